//! Endpoints behind simulated connections: what each does to a request is its mood at that moment.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::Uri;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

use super::dice::hash;
use super::world::{End, World};
use crate::outbound::clients::{ConnectError, Network};

/// What an endpoint does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Fine,
    /// Every second answer is a 500.
    Flaky,
    Down,
    /// 404.
    Missing,
    /// 410.
    Gone,
    /// 429 or 503 with `Retry-After`.
    Busy,
    /// Reads and never answers.
    Hangs,
    /// Answers, often too late.
    Slow,
    /// Closes in the middle of the head.
    CutsHead,
    /// Closes in the middle of the body.
    CutsBody,
    /// Closes kept connections when another request comes.
    Stale,
    Refuses,
    HasNoName,
    /// Our own sockets are used up.
    NoSockets,
    NeverConnects,
}

pub(super) const MOODS: [Mood; 19] = [
    Mood::Fine,
    Mood::Fine,
    Mood::Fine,
    Mood::Flaky,
    Mood::Flaky,
    Mood::Down,
    Mood::Missing,
    Mood::Gone,
    Mood::Busy,
    Mood::Hangs,
    Mood::Slow,
    Mood::Slow,
    Mood::CutsHead,
    Mood::CutsBody,
    Mood::Stale,
    Mood::Refuses,
    Mood::HasNoName,
    Mood::NoSockets,
    Mood::NeverConnects,
];

/// What becomes of one request.
enum Answer {
    Status(u16, &'static str),
    Part(&'static str),
    Nothing,
    Never,
}

/// A request as an endpoint reads it.
pub(super) struct Seen {
    pub(super) delivery: String,
    pub(super) event: String,
    pub(super) number: u32,
    pub(super) version: usize,
}

pub(super) struct SimulatedNetwork(pub(super) Arc<World>);

impl Network for SimulatedNetwork {
    fn connect(&self, uri: &Uri) -> BoxFuture<'static, Result<DuplexStream, ConnectError>> {
        let world = Arc::clone(&self.0);
        let endpoint = endpoint(uri);
        async move {
            match world.mood(endpoint) {
                Mood::Refuses => return Err(ConnectError::Connect("connection refused".to_owned())),
                Mood::HasNoName => {
                    return Err(ConnectError::Dns {
                        host: endpoint.to_string(),
                        error: std::io::Error::other("no such name"),
                    });
                }
                Mood::NoSockets => return Err(ConnectError::Local(std::io::Error::other("too many open files"))),
                Mood::NeverConnects => std::future::pending().await,
                _ => {}
            }
            let (near, far) = tokio::io::duplex(16 * 1024);
            tokio::spawn(serve(world, endpoint, far));
            Ok(near)
        }
        .boxed()
    }
}

/// `e3.sim` is endpoint 3.
fn endpoint(uri: &Uri) -> usize {
    let host = uri.host().unwrap();
    host[1..host.find('.').unwrap()].parse().unwrap()
}

async fn serve(world: Arc<World>, endpoint: usize, mut io: DuplexStream) {
    let mut served = 0_u64;
    // Some close what is idle early.
    let idle = Duration::from_millis([200, 3_000, 70_000][endpoint % 3]);
    loop {
        let Ok(Some(seen)) = tokio::time::timeout(idle, read(&mut io)).await else {
            return;
        };
        let tried = world.arrive(endpoint, &seen);
        let chance = hash(&[world.seed(), seen.number.into(), tried.serial]);
        let (after, answer) = plan(world.mood(endpoint), chance, served > 0);
        if matches!(answer, Answer::Never) {
            let _ = io.read(&mut [0]).await;
            return;
        }
        // Never a multiple of ten, as timeouts are: which of both comes first is certain.
        let after = Duration::from_millis(after / 10 * 10 + 5);
        let mut byte = [0];
        tokio::select! {
            biased;
            _ = io.read(&mut byte) => return,
            () = tokio::time::sleep(after) => {}
        }
        let close = chance.is_multiple_of(4);
        match answer {
            Answer::Status(status, headers) => {
                let close = if close { "connection: close\r\n" } else { "" };
                let text = format!("HTTP/1.1 {status} x\r\ncontent-length: 2\r\n{headers}{close}\r\nok");
                world.ends(&tried, End::Answered(status));
                if io.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
            }
            Answer::Part(text) => {
                world.ends(&tried, End::Cut);
                let _ = io.write_all(text.as_bytes()).await;
                return;
            }
            Answer::Nothing => {
                world.ends(&tried, if served > 0 { End::Stale } else { End::Cut });
                return;
            }
            Answer::Never => unreachable!("dealt with above"),
        }
        if close {
            return;
        }
        served += 1;
    }
}

fn plan(mood: Mood, chance: u64, kept: bool) -> (u64, Answer) {
    let soon = chance % 40;
    let fine = Answer::Status(if chance.is_multiple_of(3) { 204 } else { 200 }, "");
    match mood {
        Mood::Flaky if chance.is_multiple_of(2) => (soon, Answer::Status(500, "")),
        Mood::Down => (
            soon,
            Answer::Status([500, 502, 408][usize::from(chance.is_multiple_of(5))], ""),
        ),
        Mood::Missing => (soon, Answer::Status(404, "")),
        Mood::Gone => (soon, Answer::Status(410, "")),
        Mood::Busy if chance.is_multiple_of(2) => (soon, Answer::Status(429, "retry-after: 7\r\n")),
        Mood::Busy => (soon, Answer::Status(503, "retry-after: 1\r\n")),
        Mood::Hangs => (0, Answer::Never),
        Mood::Slow => (chance % 2500, fine),
        Mood::CutsHead => (soon, Answer::Part("HTTP/1.1 20")),
        Mood::CutsBody => (soon, Answer::Part("HTTP/1.1 200 x\r\ncontent-length: 1000\r\n\r\npart")),
        Mood::Stale if kept => (soon, Answer::Nothing),
        _ => (soon, fine),
    }
}

/// One request; `None`: the other side is gone.
async fn read(io: &mut DuplexStream) -> Option<Seen> {
    let mut bytes = Vec::with_capacity(2048);
    let end = loop {
        if let Some(end) = memchr::memmem::find(&bytes, b"\r\n\r\n") {
            break end + 4;
        }
        if io.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = std::str::from_utf8(&bytes[..end]).unwrap();
    let (mut delivery, mut event, mut number, mut version, mut length) = (None, None, None, None, None);
    for line in head.lines().skip(1) {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        let value = value.trim_start();
        match name {
            "content-length" => length = Some(value.parse::<usize>().unwrap()),
            "x-openclaw-delivery" => delivery = Some(value.to_owned()),
            "x-openclaw-attempt" => number = Some(value.parse().unwrap()),
            "webhook-id" => event = Some(value.to_owned()),
            "x-version" => version = Some(value.parse().unwrap()),
            _ => {}
        }
    }
    let seen = Seen {
        delivery: delivery.unwrap(),
        event: event.unwrap(),
        number: number.unwrap(),
        version: version.unwrap(),
    };
    while bytes.len() < end + length.unwrap() {
        if io.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    Some(seen)
}
