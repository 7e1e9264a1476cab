//! Endpoints on this machine.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Request, Response, Version};

use super::eventually;

/// What a receiver does with a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Behaviour {
    /// Answers this status.
    Answer(u16),
    /// Answers this status with a header.
    AnswerWith(u16, &'static str, &'static str),
    /// Answers this status after a while.
    Delay(Duration, u16),
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
    pub version: Version,
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

    /// What `webhook-signature` should be with this secret alone.
    #[track_caller]
    pub fn standard_signature(&self, secret: &str) -> String {
        let header = |name| self.header(name).unwrap();
        super::standard_signature(secret, header("webhook-id"), header("webhook-timestamp"), &self.body)
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
    scheme: &'static str,
    state: Arc<Mutex<ReceiverState>>,
    end: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

type Decide = Arc<dyn Fn(&Received) -> Behaviour + Send + Sync>;

struct ReceiverState {
    received: Vec<Received>,
    decide: Decide,
    connections: usize,
    in_flight: usize,
    most_in_flight: usize,
}

/// A request that is in the receiver's hands; it may be cut while it is.
struct InFlight(Arc<Mutex<ReceiverState>>);

impl InFlight {
    fn begin(state: &Arc<Mutex<ReceiverState>>) -> Self {
        let mut locked = state.lock().unwrap();
        locked.in_flight += 1;
        locked.most_in_flight = locked.most_in_flight.max(locked.in_flight);
        Self(state.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.lock().unwrap().in_flight -= 1;
    }
}

impl Receiver {
    /// A receiver that answers 200.
    pub fn start() -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap())
    }

    /// A receiver on a given address (one that was another receiver's before).
    pub fn start_at(address: SocketAddr) -> Self {
        Self::serve(address, None)
    }

    /// A receiver that speaks TLS.
    pub fn start_tls(config: Arc<rustls::ServerConfig>) -> Self {
        Self::serve("127.0.0.1:0".parse().unwrap(), Some(config))
    }

    fn serve(address: SocketAddr, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let state = Arc::new(Mutex::new(ReceiverState {
            received: Vec::new(),
            decide: Arc::new(|_| Behaviour::Answer(200)),
            connections: 0,
            in_flight: 0,
            most_in_flight: 0,
        }));
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (end, ended) = tokio::sync::oneshot::channel();
        let shared = state.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let serve = accept(listener, tls, shared);
                tokio::select! { () = serve => {}, _ = ended => {} }
            });
        });
        Self {
            address,
            scheme,
            state,
            end: Some(end),
            thread: Some(thread),
        }
    }

    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    pub fn behave(&self, behaviour: Behaviour) {
        self.behave_by(move |_| behaviour.clone());
    }

    /// Decides for each request by itself, in the order in which they are recorded.
    pub fn behave_by(&self, decide: impl Fn(&Received) -> Behaviour + Send + Sync + 'static) {
        self.state.lock().unwrap().decide = Arc::new(decide);
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }

    /// The most requests that were in its hands at once.
    pub fn most_in_flight(&self) -> usize {
        self.state.lock().unwrap().most_in_flight
    }

    /// What came in so far.
    pub fn received(&self) -> Vec<Received> {
        self.state.lock().unwrap().received.clone()
    }

    /// What came in after the first so many.
    pub fn received_from(&self, first: usize) -> Vec<Received> {
        self.state.lock().unwrap().received[first..].to_vec()
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

async fn accept(
    listener: tokio::net::TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    state: Arc<Mutex<ReceiverState>>,
) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        state.lock().unwrap().connections += 1;
        let (tls, state) = (tls.clone(), state.clone());
        connections.spawn(async move {
            match tls {
                None => connection(stream, state).await,
                Some(config) => {
                    if let Ok(stream) = tokio_rustls::TlsAcceptor::from(config).accept(stream).await {
                        connection(stream, state).await;
                    }
                }
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn connection<I>(io: I, state: Arc<Mutex<ReceiverState>>)
where
    I: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    use hyper_util::rt::{TokioExecutor, TokioIo};
    let service = hyper::service::service_fn(move |request| answer(request, state.clone()));
    let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
    let _ = builder.serve_connection(TokioIo::new(io), service).await;
}

async fn answer(
    request: Request<hyper::body::Incoming>,
    state: Arc<Mutex<ReceiverState>>,
) -> Result<Response<Body>, hyper::Error> {
    use http_body_util::BodyExt as _;
    let (head, body) = request.into_parts();
    let body: Bytes = body.collect().await?.to_bytes();
    let received = Received {
        method: head.method.to_string(),
        target: head.uri.path_and_query().map_or("/", |p| p.as_str()).to_owned(),
        version: head.version,
        headers: head
            .headers
            .iter()
            .map(|(n, v)| (n.to_string(), String::from_utf8_lossy(v.as_bytes()).into_owned()))
            .collect(),
        body: body.to_vec(),
    };
    let _in_flight = InFlight::begin(&state);
    let behaviour = {
        let mut state = state.lock().unwrap();
        let behaviour = (state.decide)(&received);
        state.received.push(received);
        behaviour
    };
    let response = Response::builder();
    let mut said = "";
    let response = match behaviour {
        Behaviour::Answer(status) => response.status(status),
        Behaviour::AnswerBody(status, body) => {
            said = body;
            response.status(status)
        }
        Behaviour::AnswerWith(status, name, value) => response.status(status).header(name, value),
        Behaviour::Delay(wait, status) => {
            tokio::time::sleep(wait).await;
            response.status(status)
        }
        Behaviour::Hang => std::future::pending().await,
    };
    Ok(response.body(Body::from(said)).unwrap())
}
