//! Real sockets: what a client of a listener sees.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream as StdStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::{Body, Bound, Handler, Limits, Peer, PeerAddress, Serving, Tls};
use crate::document::settings::Listen;
use crate::secret::Secret;

/// Nothing in here takes this long: a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Answers by path: `/panic` panics, `/held` waits for a permit of `gate`, `/for-ever` never answers, the rest echo the body.
struct Echo {
    gate: Semaphore,
    entered: AtomicUsize,
    peers: Mutex<Vec<Peer>>,
    finishes: bool,
}

impl Echo {
    fn new() -> Arc<Self> {
        Self::that_finishes(false)
    }

    fn that_finishes(finishes: bool) -> Arc<Self> {
        Arc::new(Self {
            gate: Semaphore::new(0),
            entered: AtomicUsize::new(0),
            peers: Mutex::default(),
            finishes,
        })
    }

    async fn entered(&self, count: usize) {
        eventually(|| self.entered.load(Ordering::SeqCst) >= count).await;
    }
}

impl Handler for Echo {
    fn handle(self: Arc<Self>, request: Request<Incoming>, peer: Peer) -> BoxFuture<'static, Response<Body>> {
        assert!(request.uri().path() != "/panic", "on purpose");
        Box::pin(async move {
            self.peers.lock().unwrap().push(peer);
            self.entered.fetch_add(1, Ordering::SeqCst);
            match request.uri().path() {
                "/held" => self.gate.acquire().await.unwrap().forget(),
                "/for-ever" => std::future::pending().await,
                "/stream" => {
                    let parts =
                        ["a", "b", "c"].map(|part| Ok::<_, std::io::Error>(Bytes::from_static(part.as_bytes())));
                    return Response::new(Body::stream(futures_util::stream::iter(parts)));
                }
                _ => {}
            }
            Response::new(Body::full(request.into_body().collect().await.unwrap().to_bytes()))
        })
    }

    fn finishes(&self) -> bool {
        self.finishes
    }
}

async fn eventually(mut done: impl FnMut() -> bool) {
    let wait = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it never came true");
}

fn start(handler: &Arc<Echo>, tls: Option<Tls>, limits: Limits) -> Serving {
    let listen = Listen::Tcp(SocketAddr::from(([127, 0, 0, 1], 0)));
    Bound::bind_first(&listen, tls).unwrap().serve(handler.clone(), limits)
}

async fn send(stream: &mut (impl AsyncWriteExt + Unpin), path: &str) {
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes())
        .await
        .unwrap();
}

// The status line of the next answer; its body must be empty. `None`: the connection was closed.
async fn answer(stream: &mut (impl AsyncReadExt + Unpin)) -> Option<String> {
    let mut text = Vec::new();
    let read = async {
        while !text.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => text.push(byte),
                Err(_) => return None,
            }
        }
        Some(String::from_utf8(text).unwrap().lines().next().unwrap().to_owned())
    };
    tokio::time::timeout(PATIENCE, read).await.expect("no answer")
}

async fn connect(serving: &Serving) -> TcpStream {
    TcpStream::connect(serving.address().unwrap()).await.unwrap()
}

const OK: Option<&str> = Some("HTTP/1.1 200 OK");

#[tokio::test]
async fn a_client_that_has_closed_its_side_is_answered_by_a_handler_that_finishes() {
    for finishes in [true, false] {
        let echo = Echo::that_finishes(finishes);
        let serving = start(&echo, None, Limits::default());
        let mut client = connect(&serving).await;
        send(&mut client, "/held").await;
        echo.entered(1).await;
        client.shutdown().await.unwrap();
        if finishes {
            echo.gate.add_permits(1);
        }
        assert_eq!(answer(&mut client).await.as_deref(), OK.filter(|_| finishes));
    }
}

#[tokio::test]
async fn http1_and_http2_are_served_on_one_port() {
    let echo = Echo::new();
    let serving = start(&echo, None, Limits::default());
    let url = format!("http://{}/", serving.address().unwrap());
    let http1 = reqwest::Client::builder().http1_only().build().unwrap();
    let http2 = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    for (client, version) in [(http1, Version::HTTP_11), (http2, Version::HTTP_2)] {
        let answer = client.post(&url).body("hello").send().await.unwrap();
        assert_eq!(answer.version(), version);
        assert_eq!(answer.text().await.unwrap(), "hello");
        assert_eq!(
            client
                .get(format!("{url}stream"))
                .send()
                .await
                .unwrap()
                .text()
                .await
                .unwrap(),
            "abc"
        );
    }
    let peers = echo.peers.lock().unwrap();
    assert!(
        peers
            .iter()
            .all(|peer| !peer.tls && peer.ip().is_some_and(|ip| ip.is_loopback()))
    );
}

#[tokio::test]
async fn a_unix_socket_is_served_and_its_file_goes_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("openclaw.sock");
    let echo = Echo::new();
    let serving = Bound::bind_first(&Listen::Unix(path.clone()), None)
        .unwrap()
        .serve(echo.clone(), Limits::default());
    let mut client = tokio::net::UnixStream::connect(&path).await.unwrap();
    send(&mut client, "/").await;
    assert_eq!(answer(&mut client).await.as_deref(), OK);
    assert_eq!(echo.peers.lock().unwrap()[0].address, PeerAddress::Unix);
    assert_eq!(serving.drain(PATIENCE).await, 0);
    assert!(!path.exists());
}

fn certificate() -> (Tls, tokio_rustls::TlsConnector) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let tls = Tls::prepare(&made.cert.pem(), &Secret::new(made.signing_key.serialize_pem())).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    (tls, tokio_rustls::TlsConnector::from(Arc::new(client)))
}

#[tokio::test]
async fn another_certificate_is_for_new_connections_and_cuts_no_old_one() {
    let ((first, trusts_first), (second, trusts_second)) = (certificate(), certificate());
    let echo = Echo::new();
    let serving = start(&echo, Some(first), Limits::default());
    let name = || rustls_pki_types::ServerName::try_from("localhost").unwrap();
    let mut old = trusts_first.connect(name(), connect(&serving).await).await.unwrap();
    assert_eq!(old.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    send(&mut old, "/").await;
    assert_eq!(answer(&mut old).await.as_deref(), OK);

    serving.set_tls(second);
    let mut new = trusts_second.connect(name(), connect(&serving).await).await.unwrap();
    assert!(trusts_first.connect(name(), connect(&serving).await).await.is_err());
    for stream in [&mut old, &mut new] {
        send(stream, "/").await;
        assert_eq!(answer(stream).await.as_deref(), OK);
    }
    assert!(echo.peers.lock().unwrap().iter().all(|peer| peer.tls));

    serving.set_tls(None);
    let mut plain = connect(&serving).await;
    send(&mut plain, "/").await;
    assert_eq!(answer(&mut plain).await.as_deref(), OK);
}

#[tokio::test]
async fn http2_is_agreed_upon_within_tls() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let tls = Tls::prepare(&made.cert.pem(), &Secret::new(made.signing_key.serialize_pem())).unwrap();
    let serving = start(&Echo::new(), Some(tls), Limits::default());
    let address = serving.address().unwrap();
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap()])
        .resolve("localhost", address)
        .build()
        .unwrap();
    let answer = client
        .get(format!("https://localhost:{}/", address.port()))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.version(), Version::HTTP_2);
}

#[tokio::test]
async fn slow_headers_silence_and_a_slow_handshake_are_cut() {
    let short = Duration::from_millis(50);
    let limits = Limits {
        header_timeout: short,
        handshake_timeout: short,
        ..Limits::default()
    };
    let plain = start(&Echo::new(), None, limits.clone());
    let secure = start(&Echo::new(), Some(certificate().0), limits);
    for (serving, begin) in [
        (&plain, "POST / HTTP/1.1\r\nhost: "),
        (&plain, ""),
        (&secure, "\x16\x03"),
    ] {
        let mut client = connect(serving).await;
        client.write_all(begin.as_bytes()).await.unwrap();
        assert_eq!(answer(&mut client).await, None);
    }
    // After a request the same counts for the next one's headers.
    let mut client = connect(&plain).await;
    send(&mut client, "/").await;
    assert_eq!(answer(&mut client).await.as_deref(), OK);
    client.write_all(b"GET").await.unwrap();
    assert_eq!(answer(&mut client).await, None);
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_time_and_a_held_request_is_not() {
    let echo = Echo::new();
    let serving = start(
        &echo,
        None,
        Limits {
            idle_timeout: Duration::from_millis(50),
            ..Limits::default()
        },
    );
    let (mut idle, mut held) = (connect(&serving).await, connect(&serving).await);
    send(&mut held, "/held").await;
    echo.entered(1).await;
    send(&mut idle, "/").await;
    assert_eq!(answer(&mut idle).await.as_deref(), OK);
    assert_eq!(answer(&mut idle).await, None);
    echo.gate.add_permits(1);
    assert_eq!(answer(&mut held).await.as_deref(), OK);
}

#[tokio::test]
async fn headers_above_the_bounds_are_a_431() {
    let serving = start(&Echo::new(), None, Limits::default());
    let long = format!("a: {}\r\n", "x".repeat(70 * 1024));
    let lines = |count: usize, length: usize| {
        (0..count)
            .map(|index| format!("a{index}: {}\r\n", "x".repeat(length)))
            .collect::<Vec<_>>()
            .concat()
    };
    let (many, fits) = (lines(101, 1), lines(99, 500));
    for (headers, status) in [(long, "431"), (many, "431"), (fits, "200")] {
        let mut client = connect(&serving).await;
        // The answer may come before all is written: a broken pipe here says nothing.
        let _ = client
            .write_all(format!("GET / HTTP/1.1\r\n{headers}\r\n").as_bytes())
            .await;
        let line = answer(&mut client).await.unwrap_or_default();
        assert!(line.contains(status), "{line}");
    }
}

#[tokio::test]
async fn a_panic_in_a_handler_is_a_500_and_nothing_else() {
    let serving = start(&Echo::new(), None, Limits::default());
    let mut client = connect(&serving).await;
    let mut text = vec![0; 1024];
    send(&mut client, "/panic").await;
    let count = client.read(&mut text).await.unwrap();
    assert!(text[..count].starts_with(b"HTTP/1.1 500 "));
    send(&mut client, "/").await;
    assert_eq!(answer(&mut client).await.as_deref(), OK);
}

#[tokio::test]
async fn connections_above_the_bound_wait_and_are_served_later() {
    let echo = Echo::new();
    let serving = start(
        &echo,
        None,
        Limits {
            max_connections: 2,
            ..Limits::default()
        },
    );
    let mut clients = Vec::new();
    for _ in 0..5 {
        let mut client = connect(&serving).await;
        client
            .write_all(b"GET /held HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        clients.push(client);
    }
    echo.entered(2).await;
    assert_eq!((serving.open(), echo.entered.load(Ordering::SeqCst)), (2, 2));
    echo.gate.add_permits(1);
    echo.entered(3).await;
    assert_eq!(serving.open(), 2);
    serving.set_limits(Limits {
        max_connections: 100,
        ..Limits::default()
    });
    echo.entered(5).await;
    echo.gate.add_permits(4);
    for mut client in clients {
        assert_eq!(answer(&mut client).await.as_deref(), OK);
    }
}

#[tokio::test]
async fn a_drain_finishes_what_is_in_flight_and_refuses_what_comes_after() {
    let echo = Echo::new();
    let serving = start(&echo, None, Limits::default());
    let address = serving.address().unwrap();
    let (mut idle, mut held) = (connect(&serving).await, connect(&serving).await);
    send(&mut idle, "/").await;
    assert_eq!(answer(&mut idle).await.as_deref(), OK);
    send(&mut held, "/held").await;
    echo.entered(2).await;
    let drain = tokio::spawn(serving.drain(PATIENCE));
    assert_eq!(answer(&mut idle).await, None, "an idle connection is closed at once");
    assert!(!drain.is_finished());
    echo.gate.add_permits(1);
    assert_eq!(answer(&mut held).await.as_deref(), OK);
    assert_eq!(answer(&mut held).await, None);
    assert_eq!(drain.await.unwrap(), 0);
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_drain_serves_a_connection_that_nobody_had_accepted_yet() {
    let echo = Echo::new();
    let serving = start(
        &echo,
        None,
        Limits {
            max_connections: 1,
            ..Limits::default()
        },
    );
    let (mut held, mut queued) = (connect(&serving).await, connect(&serving).await);
    send(&mut held, "/held").await;
    echo.entered(1).await;
    send(&mut queued, "/").await;
    let drain = tokio::spawn(serving.drain(PATIENCE));
    assert_eq!(answer(&mut queued).await.as_deref(), OK);
    echo.gate.add_permits(1);
    assert_eq!(answer(&mut held).await.as_deref(), OK);
    assert_eq!(drain.await.unwrap(), 0);
}

#[tokio::test]
async fn a_drain_cuts_what_does_not_finish_in_time() {
    let echo = Echo::new();
    let serving = start(&echo, None, Limits::default());
    let mut client = connect(&serving).await;
    send(&mut client, "/for-ever").await;
    let http2 = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let other = tokio::spawn(
        http2
            .get(format!("http://{}/for-ever", serving.address().unwrap()))
            .send(),
    );
    echo.entered(2).await;
    assert_eq!(serving.drain(Duration::from_millis(20)).await, 2);
    assert_eq!(answer(&mut client).await, None);
    assert!(other.await.unwrap().is_err());
    // The handlers are gone with their connections.
    assert_eq!(Arc::strong_count(&echo), 1);
}

#[tokio::test]
async fn a_dropped_listener_leaves_nothing_behind() {
    let echo = Echo::new();
    let serving = start(&echo, None, Limits::default());
    let address = serving.address().unwrap();
    let mut client = connect(&serving).await;
    send(&mut client, "/for-ever").await;
    echo.entered(1).await;
    drop(serving);
    assert_eq!(answer(&mut client).await, None);
    eventually(|| Arc::strong_count(&echo) == 1).await;
    assert!(TcpStream::connect(address).await.is_err());
}

// One request on a new connection; the error of the first step that fails.
fn visit(address: SocketAddr) -> std::io::Result<()> {
    let mut stream = StdStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    if text.starts_with("HTTP/1.1 200 ") {
        Ok(())
    } else {
        Err(std::io::Error::other(format!("answered {text:?}")))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_rebinds_refuse_and_reset_no_connection() {
    let echo = Echo::new();
    let mut serving = start(&echo, None, Limits::default());
    let specific = serving.listen().clone();
    let address = serving.address().unwrap();
    let wildcard = Listen::Tcp(SocketAddr::from(([0, 0, 0, 0], address.port())));
    let mut keep_alive = connect(&serving).await;
    send(&mut keep_alive, "/").await;
    assert_eq!(answer(&mut keep_alive).await.as_deref(), OK);

    let (stop, visits) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    // A few in a tight loop, and some that pause: a client that meets the moment of a change waits for a second.
    let clients: Vec<_> = (0..64)
        .map(|index| {
            let (stop, visits) = (Arc::clone(&stop), Arc::clone(&visits));
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    visit(address)?;
                    visits.fetch_add(1, Ordering::Relaxed);
                    if index >= 4 {
                        std::thread::sleep(Duration::from_millis(200));
                    }
                }
                Ok::<(), std::io::Error>(())
            })
        })
        .collect();
    let mut retired = Vec::new();
    for round in 0..50 {
        let target = if round % 2 == 0 { &wildcard } else { &specific };
        let bound = Bound::bind(target, None, std::slice::from_ref(serving.listen())).unwrap();
        let old = std::mem::replace(&mut serving, bound.serve(echo.clone(), Limits::default()));
        let before = visits.load(Ordering::Relaxed);
        retired.push(old.retire().await);
        eventually(|| visits.load(Ordering::Relaxed) > before + 5 || clients.iter().all(JoinHandle::is_finished)).await;
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().unwrap().expect("no connection may fail");
    }
    // The connection from before the first rebind was never closed.
    send(&mut keep_alive, "/").await;
    assert_eq!(answer(&mut keep_alive).await.as_deref(), OK);
    eventually(|| retired.iter().map(super::Retired::open).sum::<usize>() == 1).await;
    for old in retired {
        assert_eq!(old.drain(PATIENCE).await, 0);
    }
    assert_eq!(answer(&mut keep_alive).await, None);
}
