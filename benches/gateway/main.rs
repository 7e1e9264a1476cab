//! How fast the gateway is beside a bare server that only checks the same HMAC, and what load, backlog, senders and the
//! document's size cost.
//!
//!     cargo run --release --example bench                   accepting and delivering beside the bare server, and a backlog
//!     cargo run --release --example bench -- --accept       accepting and the bare server by turns, and the median ratio
//!     cargo run --release --example bench -- --end-to-end   delivering, likewise
//!     cargo run --release --example bench -- --delivery     latencies, and a kill under load
//!     cargo run --release --example bench -- --neighbours   1,000 senders that hang beside one that answers; one event to 1,000 senders
//!     cargo run --release --example bench -- --backlog      1,000,000 events that wait
//!     cargo run --release --example bench -- --scale        what a document of 10,000 and of 100,000 webhooks costs
//!     cargo run --release --example bench -- --reading      `webhooks logs` and `events show` with 10,000,000 attempts stored;
//!                                                           `--reading 100000 DIR`: with so many, in a store that stays in DIR
//!     cargo run --release --example bench -- --growth DIR   how each cost grows; draws it into DIR as SVG
//!
//! `--seconds N` says how long a figure is measured (5), `--connections N` over how many connections that stay open (128).
//! Every figure is taken in one run on one machine: quote the ratios. Servers are processes of their own, as they would be.
//! `CPU` is the processor time that the server's process took for one request: other work on the machine moves it less.

mod bare;
mod delivery;
mod filling;
mod growth;
mod load;
mod neighbours;
mod reading;
mod scale;

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;

use self::load::{load, rate, until};

const SECRET: &str = "bench-secret";

#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("bare") => {
            runtime(2).block_on(bare::serve());
            return ExitCode::SUCCESS;
        }
        // The gateway is this program again: an example does not know where the other program was built.
        Some("run" | "webhooks" | "events" | "plan") => return openclaw::cli::main(),
        _ => {}
    }
    measure(&arguments);
    ExitCode::SUCCESS
}

fn measure(arguments: &[String]) {
    if arguments.iter().any(|a| a == "--scale") {
        scale::measure();
        return;
    }
    if let Some(at) = arguments.iter().position(|a| a == "--reading") {
        let attempts = arguments.get(at + 1).and_then(|n| n.parse().ok());
        let kept = arguments.get(at + 2).map(Path::new);
        reading::measure(attempts.unwrap_or(10_000_000), kept);
        return;
    }
    let seconds = arguments
        .iter()
        .position(|a| a == "--seconds")
        .and_then(|at| arguments.get(at + 1)?.parse().ok());
    let run = Duration::from_secs(seconds.unwrap_or(5));
    println!(
        "{} connections, {} byte bodies, {} s a figure, {} cores\n",
        connections(),
        load::body(0).len(),
        run.as_secs(),
        cores()
    );

    if arguments.iter().any(|a| a == "--backlog") {
        delivery::backlog();
        return;
    }
    if arguments.iter().any(|a| a == "--neighbours") {
        neighbours::measure();
        return;
    }
    if let Some(at) = arguments.iter().position(|a| a == "--growth") {
        let directory = arguments.get(at + 1).map_or("docs/performance", String::as_str);
        growth::measure(run, Path::new(directory));
        return;
    }
    if arguments.iter().any(|a| a == "--delivery") {
        let (figure, _) = measure_end_to_end(run);
        delivery::measure(figure.rate);
        return;
    }
    for (flag, measure) in [
        ("--accept", measure_accept as fn(Duration) -> Figure),
        ("--end-to-end", |run| measure_end_to_end(run).0),
    ] {
        if arguments.iter().any(|a| a == flag) {
            let mut ratios = Vec::new();
            for _ in 0..5 {
                let (bare, ours) = (measure_bare(run), measure(run));
                println!(
                    "{:.0} of {:.0}: {:.3}, {:.1} us of {:.1}",
                    ours.rate,
                    bare.rate,
                    ours.rate / bare.rate,
                    ours.cpu_us,
                    bare.cpu_us
                );
                ratios.push(ours.rate / bare.rate);
            }
            ratios.sort_by(f64::total_cmp);
            println!("median {:.3}", ratios[2]);
            return;
        }
    }
    let first = measure_bare(run);
    let accept = measure_accept(run);
    let (end_to_end, delivered) = measure_end_to_end(run);
    let last = measure_bare(run);
    let bare = Figure {
        rate: f64::midpoint(first.rate, last.rate),
        cpu_us: f64::midpoint(first.cpu_us, last.cpu_us),
    };
    println!("| | requests/s | of bare | CPU | |\n|---|---:|---:|---:|---|");
    let row = |what: &str, figure: &Figure, note: &str| {
        let (rate, share) = (figure.rate, figure.rate / bare.rate);
        println!("| {what} | {rate:.0} | {share:.2} | {:.1} us | {note} |", figure.cpu_us);
    };
    let note = format!("{:.0} before, {:.0} after", first.rate, last.rate);
    row("bare hyper server, HMAC checked", &bare, &note);
    row("accepted, durable", &accept, "target 0.50");
    let note = format!("target 0.20; {delivered} delivered");
    row("accepted, durable, signed, delivered", &end_to_end, &note);

    let (small, large) = (measure_backlog(1_000), measure_backlog(100_000));
    println!("\n| events waiting | resident |\n|---:|---:|");
    println!(
        "| 1,000 | {small:.1} MiB |\n| 100,000 | {large:.1} MiB ({:+.1}) |",
        large - small
    );
}

/// What one server did.
struct Figure {
    /// Requests a second.
    rate: f64,
    /// Processor time of the server's process for one of them, in microseconds.
    cpu_us: f64,
}

impl Figure {
    #[allow(clippy::cast_precision_loss)] // counts of a few millions
    fn of(requests: u64, time: Duration, cpu: Duration) -> Self {
        let requests = requests as f64;
        Self {
            rate: requests / time.as_secs_f64(),
            cpu_us: cpu.as_secs_f64() * 1e6 / requests,
        }
    }
}

/// Over how many connections the load comes.
fn connections() -> usize {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--connections");
    arguments.nth(1).and_then(|n| n.parse().ok()).unwrap_or(128)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn runtime(threads: usize) -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
        .expect("a runtime can be made")
}

// ---- servers ----

/// A process that ends with the figure that it serves.
struct Server {
    child: Child,
    address: SocketAddr,
    dir: Option<tempfile::TempDir>,
}

impl Server {
    /// Processor time that it took so far, to 10 ms.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("Linux");
        // After the command in brackets: utime and stime are fields 14 and 15, in ticks of 10 ms.
        let fields = stat.rsplit(") ").next().expect("it has fields").split(' ');
        let ticks: u64 = fields.skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// A line of its memory, in MiB: `VmRSS:`, `VmHWM:`.
    fn memory(&self, line: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("Linux");
        let found = status.lines().find_map(|l| l.strip_prefix(line)).expect("a size");
        let kib = found.split_whitespace().next().and_then(|n| n.parse::<f64>().ok());
        kib.expect("a number") / 1024.0
    }

    fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Another process in the same directory.
    fn start_again(&mut self) {
        self.kill();
        let dir = self.dir.take().expect("a gateway has a directory");
        *self = start(gateway_in(dir.path()), "Inbound webhooks on ", Some(dir));
    }

    /// Changes the document that it watches.
    fn change(&self, outbound: &str) {
        let dir = self.dir.as_ref().expect("a gateway has a directory");
        std::fs::write(dir.path().join("openclaw.yaml"), document(outbound)).expect("the document can be written");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn start(mut command: Command, prefix: &str, dir: Option<tempfile::TempDir>) -> Server {
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the server starts");
    let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
    let mut lines = stdout.lines().map_while(Result::ok);
    let line = lines
        .find(|line| line.starts_with(prefix))
        .expect("the server says where it listens");
    let address = line
        .rsplit("://")
        .next()
        .and_then(|a| a.trim().parse().ok())
        .expect("an address");
    // The rest of what it says is read and thrown away, so that its pipe never fills.
    std::thread::spawn(move || lines.for_each(drop));
    Server { child, address, dir }
}

fn start_bare() -> Server {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.arg("bare");
    start(command, "bare on ", None)
}

fn start_gateway(outbound: &str) -> Server {
    let dir = tempfile::tempdir().expect("a directory can be made");
    std::fs::write(dir.path().join("openclaw.yaml"), document(outbound)).expect("the document can be written");
    let command = gateway_in(dir.path());
    start(command, "Inbound webhooks on ", Some(dir))
}

fn document(outbound: &str) -> String {
    format!(
        "webhooks:\n  server: {{ listen: \"127.0.0.1:0\" }}\n  admin: {{ listen: \"127.0.0.1:0\" }}\n  egress: {{ allow: [127.0.0.0/8] }}\n  \
         inbound:\n    github: {{ secret: {SECRET} }}\n{outbound}"
    )
}

fn gateway_in(directory: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command.arg("run").current_dir(directory).env("OPENCLAW_LOG", "warn");
    command
}

/// Looks at a delivery's body.
type Seen = dyn Fn(&[u8]) + Send + Sync;

/// An endpoint that answers 200 and shows what came.
async fn receiver(seen: Arc<Seen>) -> SocketAddr {
    use http_body_util::{BodyExt as _, Full};
    let listener = TcpListener::bind("0.0.0.0:0").await.expect("a port is free");
    // At every address of this machine.
    let port = listener.local_addr().expect("a bound address").port();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    tokio::spawn(serve_on(listener, move |request| {
        let seen = seen.clone();
        async move {
            seen(&request.into_body().collect().await?.to_bytes());
            Ok(hyper::Response::new(Full::new(bytes::Bytes::new())))
        }
    }));
    address
}

/// Answers every request of every connection, as a plain hyper server does.
async fn serve_on<F>(
    listener: TcpListener,
    answer: impl Fn(hyper::Request<hyper::body::Incoming>) -> F + Clone + Send + 'static,
) where
    F: Future<Output = hyper::Result<hyper::Response<http_body_util::Full<bytes::Bytes>>>> + Send + 'static,
{
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        let io = hyper_util::rt::TokioIo::new(stream);
        let service = hyper::service::service_fn(answer.clone());
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
    }
}

fn measure_bare(run: Duration) -> Figure {
    let server = start_bare();
    runtime(2).block_on(rate(&server, run))
}

fn measure_accept(run: Duration) -> Figure {
    let server = start_gateway("");
    runtime(2).block_on(rate(&server, run))
}

fn measure_end_to_end(run: Duration) -> (Figure, u64) {
    runtime(2).block_on(async {
        let delivered = Arc::new(AtomicU64::new(0));
        let count = delivered.clone();
        let endpoint = receiver(Arc::new(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        }))
        .await;
        let server = start_gateway(&delivery::outbound(endpoint, false));
        let (begin, cpu) = (Instant::now(), server.cpu());
        let accepted = until(server.address, run).await;
        while delivered.load(Ordering::Relaxed) < accepted {
            assert!(
                begin.elapsed() < run + Duration::from_mins(2),
                "not delivered: {delivered:?} of {accepted}"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let figure = Figure::of(accepted, begin.elapsed(), server.cpu().saturating_sub(cpu));
        (figure, delivered.load(Ordering::Relaxed))
    })
}

/// Resident memory, in MiB, with so many events waiting for an endpoint that is away.
fn measure_backlog(events: u64) -> f64 {
    let server = start_gateway(
        "  outbound:\n    away: { url: \"http://127.0.0.1:9/\", events: [webhook.received], paused: true }\n",
    );
    let accepted = runtime(2).block_on(load(server.address, move |n| n >= events));
    assert_eq!(accepted, events);
    server.memory("VmRSS:")
}
