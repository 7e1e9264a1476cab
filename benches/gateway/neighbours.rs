//! What one sender costs another, and what an event for many costs.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;

use super::delivery::{at, counting, latencies};
use super::load::{connect, next_request, post, request};
use super::{SECRET, Server, runtime, start_gateway};

const SENDERS: usize = 1_000;
/// Requests a second to the healthy one.
const RATE: f64 = 50.0;
/// Events whose fan-out is measured; the median counts.
const TIMES: usize = 7;

/// Prints the figures.
pub(super) fn measure() {
    println!("| beside it | request to delivery, p50 | p99 |\n|---|---:|---:|");
    for hanging in [0, SENDERS] {
        let (mut whole, _) = latencies(RATE, |endpoint| beside(endpoint, hanging));
        whole.sort_unstable();
        println!(
            "| {hanging} senders that hang | {:.2} ms | {:.2} ms |",
            at(&whole, 50),
            at(&whole, 99)
        );
    }
    println!(
        "\none event to {SENDERS} senders: all delivered after {:.1} ms",
        fan_out(SENDERS)
    );
}

/// A gateway with one sender that is answered, and others whose endpoint takes a request each and never answers.
fn beside(endpoint: SocketAddr, hanging: usize) -> Server {
    let taken = Arc::new(AtomicUsize::new(0));
    let port = hang(taken.clone());
    let mut outbound = format!(
        "    other: {{ platform: github, secret: {SECRET} }}\n  outbound:\n    bench: {{ url: \"http://{endpoint}/\", \
         events: [webhook.received], from: [github], secret: {SECRET} }}\n"
    );
    for n in 0..hanging {
        writeln!(
            outbound,
            "    hang-{n}: {{ url: \"http://{}:{port}/\", events: [webhook.received], from: [other], timeout: 120s }}",
            address(n)
        )
        .expect("memory");
    }
    let server = start_gateway(&outbound);
    if hanging > 0 {
        runtime(1).block_on(async {
            let mut stream = connect(server.address).await;
            let bytes = format!(
                "POST /webhook/other HTTP/1.1\r\nHost: bench\r\nX-GitHub-Delivery: hang{}",
                request(0)
            );
            post(&mut stream, bytes.as_bytes(), &mut vec![0; 4096])
                .await
                .expect("the server answers");
        });
        wait(|| taken.load(Ordering::Relaxed) >= hanging);
    }
    server
}

/// Each sender's endpoint has an address of its own: then no limit for one origin stands in the way.
fn address(n: usize) -> Ipv4Addr {
    let part = |n: usize| u8::try_from(n).expect("less than 256");
    Ipv4Addr::new(127, 1, part(n / 250), part(n % 250 + 1))
}

/// Takes connections and leaves them.
fn hang(taken: Arc<AtomicUsize>) -> u16 {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        runtime(1).block_on(async move {
            let listener = TcpListener::bind("0.0.0.0:0").await.expect("a port is free");
            tell.send(listener.local_addr().expect("a bound address").port())
                .expect("somebody waits");
            let mut kept = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                kept.push(stream);
                taken.fetch_add(1, Ordering::Relaxed);
            }
        });
    });
    told.recv().expect("it listens")
}

/// From the post of one event until all of so many senders have delivered it, in milliseconds.
pub(super) fn fan_out(senders: usize) -> f64 {
    let rt = runtime(2);
    let (delivered, endpoint) = counting(&rt);
    let mut outbound = "  outbound:\n".to_owned();
    for n in 0..senders {
        writeln!(
            outbound,
            "    to-{n}: {{ url: \"http://{}:{}/\", events: [webhook.received], secret: {SECRET} }}",
            address(n),
            endpoint.port()
        )
        .expect("memory");
    }
    let server = start_gateway(&outbound);
    let mut times: Vec<f64> = (0..=TIMES)
        .map(|n| {
            let begin = Instant::now();
            rt.block_on(async {
                let mut stream = connect(server.address).await;
                let mut bytes = Vec::new();
                next_request(&mut bytes);
                post(&mut stream, &bytes, &mut vec![0; 4096])
                    .await
                    .expect("the server answers");
            });
            let all = u64::try_from((n + 1) * senders).expect("thousands");
            wait(|| delivered.load(Ordering::Relaxed) >= all);
            begin.elapsed().as_secs_f64() * 1000.0
        })
        .skip(1) // opens the connections
        .collect();
    times.sort_by(f64::total_cmp);
    times[TIMES / 2]
}

fn wait(done: impl Fn() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < Duration::from_mins(1), "it does not happen");
        std::thread::sleep(Duration::from_micros(200));
    }
}
