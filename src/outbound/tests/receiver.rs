//! Receivers on 127.0.0.1: an HTTP one that answers as a test says, and one that speaks bytes.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(super) struct Got {
    pub(super) version: http::Version,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Got {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

pub(super) struct Receiver {
    pub(super) address: SocketAddr,
    scheme: &'static str,
    got: Arc<Mutex<Vec<Got>>>,
    pub(super) connections: Arc<AtomicUsize>,
    /// Aborts its tasks when it is dropped.
    _tasks: JoinSet<()>,
}

type Reply = Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>>;

impl Receiver {
    pub(super) fn url(&self) -> String {
        format!("{}://{}/hook?a=b", self.scheme, self.address)
    }

    pub(super) fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    pub(super) fn count(&self) -> usize {
        self.got.lock().unwrap().len()
    }

    /// Answers the n-th request (from 0) with this status.
    pub(super) async fn status(status: impl Fn(usize) -> u16 + Send + Sync + 'static) -> Self {
        Self::http(move |n, _| {
            let response = Response::builder()
                .status(status(n))
                .body(Full::from("answer"))
                .unwrap();
            Box::pin(std::future::ready(response))
        })
        .await
    }

    /// Takes every request and never answers.
    pub(super) async fn hanging() -> Self {
        Self::http(|_, _| Box::pin(std::future::pending())).await
    }

    pub(super) async fn http(reply: impl Fn(usize, &Got) -> Reply + Send + Sync + 'static) -> Self {
        Self::serve(None, reply).await
    }

    /// At this address; each connection ends with its answer, so that the next request makes another.
    pub(super) async fn closing(address: SocketAddr) -> Self {
        let reply = |_: usize, _: &Got| {
            let response = Response::builder().header("connection", "close");
            Box::pin(std::future::ready(response.body(Full::default()).unwrap())) as Reply
        };
        Self::serve_at(address, None, reply).await
    }

    pub(super) async fn serve(
        tls: Option<Arc<rustls::ServerConfig>>,
        reply: impl Fn(usize, &Got) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::serve_at(([127, 0, 0, 1], 0).into(), tls, reply).await
    }

    async fn serve_at(
        address: SocketAddr,
        tls: Option<Arc<rustls::ServerConfig>>,
        reply: impl Fn(usize, &Got) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let got = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(AtomicUsize::new(0));
        let (reply, seen, opened) = (Arc::new(reply), Arc::clone(&got), Arc::clone(&connections));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut served = JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                opened.fetch_add(1, SeqCst);
                let (reply, seen, tls) = (Arc::clone(&reply), Arc::clone(&seen), tls.clone());
                served.spawn(async move {
                    match tls {
                        None => connection(tcp, reply, seen).await,
                        Some(config) => {
                            if let Ok(stream) = tokio_rustls::TlsAcceptor::from(config).accept(tcp).await {
                                connection(stream, reply, seen).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            scheme,
            got,
            connections,
            _tasks: tasks,
        }
    }

    /// Speaks bytes: the n-th connection (from 0) is the test's to serve.
    pub(super) async fn raw<F>(serve: impl Fn(usize, TcpStream) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let opened = Arc::clone(&connections);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut served = JoinSet::new();
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                served.spawn(serve(opened.fetch_add(1, SeqCst), tcp));
            }
        });
        Self {
            address,
            scheme: "http",
            got: Arc::default(),
            connections,
            _tasks: tasks,
        }
    }
}

async fn connection<I, R>(io: I, reply: Arc<R>, seen: Arc<Mutex<Vec<Got>>>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    R: Fn(usize, &Got) -> Reply + Send + Sync + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| {
        let (reply, seen) = (Arc::clone(&reply), Arc::clone(&seen));
        async move {
            let (head, body) = request.into_parts();
            assert_eq!(head.method, http::Method::POST);
            assert_eq!(head.uri.path_and_query().unwrap(), "/hook?a=b");
            let body = body.collect().await.unwrap().to_bytes();
            let got = Got {
                version: head.version,
                headers: head.headers,
                body,
            };
            let number = {
                let mut seen = seen.lock().unwrap();
                seen.push(got.clone());
                seen.len() - 1
            };
            Ok::<_, Infallible>(reply(number, &got).await)
        }
    });
    // A client that goes away in the middle is part of the tests.
    drop(
        auto::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(io), service)
            .await,
    );
}
