//! What happens after the 2xx: how long a delivery takes, what a kill costs, what a backlog costs.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::load::{connect, load, next_request, post, until};
use super::{SECRET, Server, receiver, runtime, start_gateway};

const SENDERS: usize = 64;
/// What is owed at least when the gateway is killed with a backlog.
const OWED: u64 = 250_000;
/// How long it has load before it is killed.
const BEFORE_KILL: Duration = Duration::from_secs(4);

/// Prints the figures.
pub(super) fn measure(rate: f64) {
    println!("| requests/s | request to delivery, p50 | p99 | 2xx to first attempt, p99 |\n|---:|---:|---:|---:|");
    for rate in [50.0, rate / 2.0] {
        let (mut whole, mut after) = latencies(rate, |endpoint| start_gateway(&outbound(endpoint, false)));
        whole.sort_unstable();
        after.sort_unstable();
        println!(
            "| {rate:.0} | {:.2} ms | {:.2} ms | {:.2} ms |",
            at(&whole, 50),
            at(&whole, 99),
            at(&after, 99)
        );
    }
    println!(
        "\n| killed with -9 under | requests answered | to be delivered | first delivery after the start | all |\n|---|---:|---:|---:|---:|"
    );
    for (what, load) in [
        ("half of the end-to-end rate", Load::Paced(rate / 2.0)),
        ("the end-to-end rate", Load::Paced(rate)),
        ("all that 128 connections can send", Load::All),
        ("the same, to a sender that was paused", Load::Backlog(OWED)),
    ] {
        let found = recovery(load);
        println!(
            "| {what} | {} | {} | {:.2} s | {:.2} s |",
            found.accepted,
            found.waiting,
            found.first.as_secs_f64(),
            found.all.as_secs_f64()
        );
    }
}

/// 1,000,000 events wait for a paused sender; then they are delivered.
pub(super) fn backlog() {
    const EVENTS: u64 = 1_000_000;
    let rt = runtime(2);
    let (delivered, endpoint) = counting(&rt);
    let sender = |paused| outbound(endpoint, paused);
    let server = start_gateway(&sender(true));
    rt.block_on(load(server.address, |n| n >= EVENTS));
    let waiting = server.memory("VmRSS:");
    let begin = Instant::now();
    server.change(&sender(false));
    while delivered.load(Ordering::Relaxed) < EVENTS {
        assert!(begin.elapsed() < Duration::from_mins(10), "{delivered:?} delivered");
        std::thread::sleep(Duration::from_millis(20));
    }
    let rate = 1e6 / begin.elapsed().as_secs_f64();
    println!(
        "1,000,000 events wait: {waiting:.0} MiB resident; delivered at {rate:.0}/s, {:.0} MiB at most",
        server.memory("VmHWM:")
    );
}

pub(super) fn counting(rt: &tokio::runtime::Runtime) -> (Arc<AtomicU64>, SocketAddr) {
    let count = Arc::new(AtomicU64::new(0));
    let endpoint = rt.block_on(receiver(Arc::new({
        let count = count.clone();
        move |_: &[u8]| {
            count.fetch_add(1, Ordering::Relaxed);
        }
    })));
    (count, endpoint)
}

pub(super) fn outbound(endpoint: SocketAddr, paused: bool) -> String {
    format!(
        "  outbound:\n    bench: {{ url: \"http://{endpoint}/\", events: [webhook.received], secret: {SECRET}, concurrency: 128, paused: {paused} }}\n"
    )
}

#[allow(clippy::cast_precision_loss)] // microseconds of a few seconds
pub(super) fn at(sorted: &[Duration], percent: usize) -> f64 {
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted
        .get(place)
        .map_or(f64::NAN, |time| time.as_micros() as f64 / 1000.0)
}

type Times = Arc<Mutex<HashMap<String, Instant>>>;

/// When each delivery came first, by the id that GitHub would have given it.
fn noting(rt: &tokio::runtime::Runtime) -> (Times, SocketAddr) {
    let came: Times = Arc::default();
    let endpoint = rt.block_on(receiver(Arc::new({
        let came = came.clone();
        move |body: &[u8]| {
            let now = Instant::now();
            let text = String::from_utf8_lossy(body);
            let id = text
                .split_once("\"deliveryId\":\"")
                .and_then(|(_, rest)| rest.split('"').next());
            if let Some(id) = id {
                came.lock().expect("no panic").entry(id.to_owned()).or_insert(now);
            }
        }
    })));
    (came, endpoint)
}

/// Of each request: until its delivery came, since it was sent and since it was answered (0 where the delivery was first).
pub(super) fn latencies(rate: f64, gateway: impl FnOnce(SocketAddr) -> Server) -> (Vec<Duration>, Vec<Duration>) {
    let rt = runtime(2);
    let (came, endpoint) = noting(&rt);
    let server = gateway(endpoint);
    let seconds = if rate < 100.0 { 10.0 } else { 4.0 };
    let sent = rt.block_on(paced(server.address, rate, Duration::from_secs_f64(seconds)));
    let begin = Instant::now();
    while came.lock().expect("no panic").len() < sent.len() {
        assert!(begin.elapsed() < Duration::from_secs(30), "not all were delivered");
        std::thread::sleep(Duration::from_millis(5));
    }
    let came = came.lock().expect("no panic");
    // The first ones open connections and fill caches.
    let warm = sent.len() / 10;
    sent.iter()
        .skip(warm)
        .map(|(id, sent, answered)| (came[id] - *sent, came[id].saturating_duration_since(*answered)))
        .unzip()
}

/// Posts at an even rate, whatever the answers take, for so long or until the server is gone; gives what was answered.
async fn paced(to: SocketAddr, rate: f64, run: Duration) -> Vec<(String, Instant, Instant)> {
    let sent: Arc<Mutex<Vec<(String, Instant, Instant)>>> = Arc::default();
    let begin = tokio::time::Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    let next = Arc::new(AtomicU64::new(0));
    for _ in 0..SENDERS {
        let (sent, next) = (sent.clone(), next.clone());
        tasks.spawn(async move {
            let mut stream = connect(to).await;
            let (mut bytes, mut buffer) = (Vec::new(), vec![0; 4096]);
            loop {
                #[allow(clippy::cast_precision_loss)] // thousands
                let due = Duration::from_secs_f64(next.fetch_add(1, Ordering::Relaxed) as f64 / rate);
                if due >= run {
                    return;
                }
                tokio::time::sleep_until(begin + due).await;
                let id = next_request(&mut bytes);
                let at = Instant::now();
                if post(&mut stream, &bytes, &mut buffer).await.is_err() {
                    return;
                }
                sent.lock().expect("no panic").push((id, at, Instant::now()));
            }
        });
    }
    tasks.join_all().await;
    let mut sent = std::mem::take(&mut *sent.lock().expect("no panic"));
    sent.sort_unstable_by_key(|(_, at, _)| *at);
    sent
}

/// What a gateway has to do when it is killed.
#[derive(Clone, Copy)]
enum Load {
    /// Requests at this rate.
    Paced(f64),
    /// As many requests as it answers.
    All,
    /// The same, until so many deliveries wait for a sender that is paused, and is not when it starts again.
    Backlog(u64),
}

struct Recovery {
    /// Requests answered before the kill.
    accepted: u64,
    /// Deliveries that were missing then.
    waiting: u64,
    /// From the start until the first of them has come.
    first: Duration,
    /// From the start until all have come.
    all: Duration,
}

/// Kills the gateway under load and starts it again.
fn recovery(load_of: Load) -> Recovery {
    let rt = runtime(2);
    let (came, endpoint) = noting(&rt);
    let delivered = || came.lock().expect("no panic").len() as u64;
    let paused = matches!(load_of, Load::Backlog(_));
    let mut server = start_gateway(&outbound(endpoint, paused));
    let accepted = rt.block_on(async {
        let to = server.address;
        let waiting = match load_of {
            Load::Backlog(owed) => load(to, move |n| n >= owed).await,
            Load::Paced(_) | Load::All => 0,
        };
        let under = tokio::spawn(async move {
            match load_of {
                Load::Paced(rate) => paced(to, rate, Duration::from_secs(20)).await.len() as u64,
                Load::All | Load::Backlog(_) => until(to, Duration::from_secs(20)).await,
            }
        });
        tokio::time::sleep(BEFORE_KILL).await;
        server.kill();
        waiting + under.await.expect("the load ends")
    });
    // What is on the way comes in before the next start.
    std::thread::sleep(Duration::from_millis(200));
    let before = delivered();
    if paused {
        server.change(&outbound(endpoint, false));
    }
    let begin = Instant::now();
    server.start_again();
    let mut first = None;
    while delivered() < accepted {
        if first.is_none() && delivered() > before {
            first = Some(begin.elapsed());
        }
        assert!(
            begin.elapsed() < Duration::from_mins(2),
            "{} of {accepted}",
            delivered()
        );
        std::thread::sleep(Duration::from_millis(2));
    }
    let all = begin.elapsed();
    Recovery {
        accepted,
        waiting: accepted.saturating_sub(before),
        first: first.unwrap_or(all),
        all,
    }
}
