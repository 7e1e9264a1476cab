//! The load: requests as GitHub posts them, over connections that stay open.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Figure, SECRET, Server, connections};

const WARM_UP: Duration = Duration::from_millis(500);

/// More than the store compresses together.
pub(super) const BODIES: u64 = 1024;

const TEXT_BYTES: usize = 616;

const WORDS: &str = "the of and a to in is it when that was for on are with as this issue after update crashes webhook cannot connect \
                     timeout server returns error expected version please reproduce steps log attached works before request \
                     response header payload missing fixed branch merge review tests deploy";

/// Delivery ids go on from figure to figure: a repeat would be cheaper than a new delivery.
static NEXT_ID: AtomicU64 = AtomicU64::new(0);

/// A delivery id as GitHub makes them: none comes twice, and they come in no order, which is what costs a store most.
fn delivery_id(number: u64) -> String {
    let z = mixed(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let part = |from: u32, bits: u32| (z >> from) & ((1 << bits) - 1);
    format!(
        "{:08x}-{:04x}-{:04x}-8000-000000000000",
        part(32, 32),
        part(16, 16),
        part(0, 16)
    )
}

/// The finalizer of SplitMix64: a bijection.
fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What is posted by turns, but for the delivery's id: a store that compresses must not find the same again and again.
static REQUESTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let request = |number| {
        let body = body(number);
        format!(
            "\r\nX-GitHub-Event: issues\r\nX-GitHub-Hook-ID: 292430182\r\nX-GitHub-Hook-Installation-Target-ID: 79929171\r\n\
             X-GitHub-Hook-Installation-Target-Type: repository\r\nUser-Agent: GitHub-Hookshot/044aadd\r\nAccept: */*\r\n\
             Content-Type: application/json\r\nX-Hub-Signature-256: sha256={}\r\nContent-Length: {}\r\n\r\n{body}",
            signature(&body),
            body.len()
        )
    };
    (0..BODIES).map(request).collect()
});

/// Writes the next request; its delivery's id.
pub(super) fn next_request(into: &mut Vec<u8>) -> String {
    let number = NEXT_ID.fetch_add(1, Ordering::Relaxed);
    let id = delivery_id(number);
    into.clear();
    into.extend_from_slice(b"POST /webhook/github HTTP/1.1\r\nHost: bench\r\nX-GitHub-Delivery: ");
    into.extend_from_slice(id.as_bytes());
    into.extend_from_slice(request(number).as_bytes());
    id
}

/// The rest of a request behind its delivery's id.
pub(super) fn request(number: u64) -> &'static str {
    &REQUESTS[usize::try_from(number % BODIES).expect("it is small")]
}

/// One of [`BODIES`] bodies of 700 bytes and some: what somebody wrote differs from one to the next, the rest does not.
pub(super) fn body(number: u64) -> String {
    let words: Vec<&str> = WORDS.split(' ').collect();
    let mut text = String::new();
    let mut state = number % BODIES;
    while text.len() < TEXT_BYTES {
        state = mixed(state.wrapping_add(0x9e37_79b9_7f4a_7c15));
        text.push_str(words[usize::try_from(state % words.len() as u64).expect("it is small")]);
        text.push(' ');
    }
    text.truncate(TEXT_BYTES);
    format!(
        r#"{{"action":"opened","issue":{{"number":1347,"title":"Found a bug","body":"{text}"}},"sender":{{"login":"octocat","id":1}}}}"#
    )
}

fn signature(body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any length is a key");
    mac.update(body.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

pub(super) async fn connect(to: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(to).await.expect("the server accepts");
    stream.set_nodelay(true).expect("a TCP option");
    stream
}

/// Posts one request. Anything but a 200 ends the program, a connection that is cut is an error.
pub(super) async fn post(stream: &mut TcpStream, request: &[u8], buffer: &mut [u8]) -> std::io::Result<()> {
    stream.write_all(request).await?;
    let mut have = 0;
    while !buffer[..have].ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer[have..]).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => have += n,
        }
    }
    let text = String::from_utf8_lossy(&buffer[..have]);
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    Ok(())
}

/// Posts over every connection until `done` says so, or until it is cut; gives how many were answered.
pub(super) async fn load(to: SocketAddr, done: impl Fn(u64) -> bool + Send + Sync + 'static) -> u64 {
    load_over(connections(), to, done).await
}

pub(super) async fn load_over(
    connections: usize,
    to: SocketAddr,
    done: impl Fn(u64) -> bool + Send + Sync + 'static,
) -> u64 {
    let done = Arc::new(done);
    let (sent, answered) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let (done, sent, answered) = (done.clone(), sent.clone(), answered.clone());
        tasks.spawn(async move {
            let mut stream = connect(to).await;
            let (mut bytes, mut buffer) = (Vec::new(), vec![0; 4096]);
            while !done(sent.fetch_add(1, Ordering::Relaxed)) {
                next_request(&mut bytes);
                if post(&mut stream, &bytes, &mut buffer).await.is_err() {
                    return;
                }
                answered.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    tasks.join_all().await;
    answered.load(Ordering::Relaxed)
}

/// Answers per second over `run`, after a warm-up.
pub(super) async fn rate(server: &Server, run: Duration) -> Figure {
    rate_over(connections(), server, run).await
}

pub(super) async fn rate_over(connections: usize, server: &Server, run: Duration) -> Figure {
    until(server.address, WARM_UP).await;
    let (begin, cpu) = (Instant::now(), server.cpu());
    let end = begin + run;
    let answered = load_over(connections, server.address, move |_| Instant::now() >= end).await;
    Figure::of(answered, begin.elapsed(), server.cpu().saturating_sub(cpu))
}

pub(super) async fn until(to: SocketAddr, run: Duration) -> u64 {
    let end = Instant::now() + run;
    load(to, move |_| Instant::now() >= end).await
}
