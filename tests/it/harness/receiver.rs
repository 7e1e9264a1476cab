//! Endpoints on this machine.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use super::eventually;

/// What a receiver does with a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Behaviour {
    /// Answers this status.
    Answer(u16),
    /// Answers this status with a header.
    AnswerWith(u16, &'static str, &'static str),
    /// Answers this status with a body.
    AnswerBody(u16, &'static str),
    /// Never answers.
    Hang,
}

/// A request as a receiver saw it.
#[derive(Debug, Clone)]
pub struct Received {
    pub method: String,
    /// Path and query.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    #[track_caller]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// An endpoint on this machine: records what comes in, and behaves as told.
pub struct Receiver {
    pub address: SocketAddr,
    state: Arc<Mutex<ReceiverState>>,
    end: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

struct ReceiverState {
    received: Vec<Received>,
    behaviour: Behaviour,
}

impl Receiver {
    /// A receiver that answers 200.
    pub fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap())
    }

    /// A receiver on a given address (one that was another receiver's before).
    pub fn start_at(address: SocketAddr) -> Self {
        use axum::body::Bytes;
        use axum::http::{HeaderMap, Method, StatusCode, Uri};
        let state = Arc::new(Mutex::new(ReceiverState {
            received: Vec::new(),
            behaviour: Behaviour::Answer(200),
        }));
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ended) = tokio::sync::oneshot::channel();
        let shared = state.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let app =
                    axum::Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
                        let shared = shared.clone();
                        async move {
                            let headers = headers
                                .iter()
                                .map(|(n, v)| (n.to_string(), String::from_utf8_lossy(v.as_bytes()).into_owned()))
                                .collect();
                            let behaviour = {
                                let mut state = shared.lock().unwrap();
                                state.received.push(Received {
                                    method: method.to_string(),
                                    target: uri.to_string(),
                                    headers,
                                    body: body.to_vec(),
                                });
                                state.behaviour.clone()
                            };
                            match behaviour {
                                Behaviour::Answer(status) => {
                                    (StatusCode::from_u16(status).unwrap(), HeaderMap::new(), "")
                                }
                                Behaviour::AnswerBody(status, body) => {
                                    (StatusCode::from_u16(status).unwrap(), HeaderMap::new(), body)
                                }
                                Behaviour::AnswerWith(status, name, value) => {
                                    let mut headers = HeaderMap::new();
                                    headers.insert(name, value.parse().unwrap());
                                    (StatusCode::from_u16(status).unwrap(), headers, "")
                                }
                                Behaviour::Hang => std::future::pending().await,
                            }
                        }
                    });
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let serve = async { hyper_serve(listener, app).await };
                tokio::select! { () = serve => {}, _ = ended => {} }
            });
        });
        Self {
            address,
            state,
            end: Some(end),
            thread: Some(thread),
        }
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn behave(&self, behaviour: Behaviour) {
        self.state.lock().unwrap().behaviour = behaviour;
    }

    /// What came in so far.
    pub fn received(&self) -> Vec<Received> {
        self.state.lock().unwrap().received.clone()
    }

    pub fn count(&self) -> usize {
        self.state.lock().unwrap().received.len()
    }

    /// Waits until at least `n` requests came in.
    #[track_caller]
    pub fn wait_for(&self, n: usize) -> Vec<Received> {
        eventually(&format!("{n} requests at the receiver ({} came)", self.count()), || {
            Some(self.received()).filter(|r| r.len() >= n)
        })
    }

    /// Stops listening and closes every connection.
    pub fn stop(mut self) -> SocketAddr {
        self.end();
        self.address
    }

    fn end(&mut self) {
        if let Some(end) = self.end.take() {
            let _ = end.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.end();
    }
}

async fn hyper_serve(listener: tokio::net::TcpListener, app: axum::Router) {
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        let service = hyper_util::service::TowerToHyperService::new(app.clone());
        connections.spawn(async move {
            let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}
