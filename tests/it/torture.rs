//! Faults of every kind, one after the other, under load, for as long as told: `tests/torture --minutes 10`.
//!
//! `OPENCLAW_TORTURE_SECONDS` says how long (15 without it), `OPENCLAW_TORTURE_SEED` repeats the choice of faults.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::harness::{Gateway, PATIENCE, document, number, system};
use crate::load::{Load, SECRET};

/// The same choices for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn ms(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_millis(least + self.below(most - least + 1))
    }
}

/// What an endpoint does.
const MOODS: [&str; 6] = ["answers", "answers 500", "answers 429", "hangs", "cuts", "is slow"];

/// An endpoint that keeps the ids of what it answered 2xx, and nothing else.
struct Target {
    address: SocketAddr,
    mood: Arc<AtomicUsize>,
    seen: Arc<Mutex<BTreeSet<String>>>,
    requests: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Target {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Self {
            address: listener.local_addr().unwrap(),
            mood: Arc::default(),
            seen: Arc::default(),
            requests: Arc::default(),
            over: Arc::default(),
        };
        let (mood, seen, requests, over) = (
            target.mood.clone(),
            target.seen.clone(),
            target.requests.clone(),
            target.over.clone(),
        );
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let (mood, seen, requests) = (mood.clone(), seen.clone(), requests.clone());
                std::thread::spawn(move || serve(stream, &mood, &seen, &requests));
            }
        });
        target
    }

    fn set_mood(&self, mood: usize) {
        self.mood.store(mood, Ordering::Relaxed);
    }

    fn missing(&self, accepted: &BTreeSet<String>) -> usize {
        let seen = self.seen.lock().unwrap();
        accepted.iter().filter(|id| !seen.contains(*id)).count()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(
    mut stream: TcpStream,
    mood: &AtomicUsize,
    seen: &Mutex<BTreeSet<String>>,
    requests: &AtomicU64,
) -> Option<()> {
    let _ = stream.set_nodelay(true);
    stream.set_read_timeout(Some(Duration::from_mins(2))).ok()?;
    let mut bytes = Vec::new();
    loop {
        let (length, id) = loop {
            if let Some(found) = request(&bytes) {
                break found;
            }
            let mut buffer = [0; 8192];
            match stream.read(&mut buffer).ok()? {
                0 => return None,
                length => bytes.extend(&buffer[..length]),
            }
        };
        bytes.drain(..length);
        requests.fetch_add(1, Ordering::Relaxed);
        let answer = match MOODS[mood.load(Ordering::Relaxed)] {
            "answers 500" => "HTTP/1.1 500 x\r\ncontent-length: 0\r\n\r\n",
            "answers 429" => "HTTP/1.1 429 x\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n",
            "cuts" => {
                let _ = stream.write_all(b"HTTP/1.1 200 x\r\ncontent-le");
                return None;
            }
            "hangs" => {
                // Until the other side gives up.
                let _ = stream.read(&mut [0]);
                return None;
            }
            "is slow" => {
                std::thread::sleep(Duration::from_millis(300));
                "HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\n"
            }
            _ => "HTTP/1.1 200 x\r\ncontent-length: 0\r\n\r\n",
        };
        if answer.starts_with("HTTP/1.1 200") {
            seen.lock().unwrap().extend(id);
        }
        stream.write_all(answer.as_bytes()).ok()?;
    }
}

/// The length of the first request, and the id of what it delivers, where it is whole.
fn request(bytes: &[u8]) -> Option<(usize, Option<String>)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length: usize = head.split("content-length: ").nth(1)?.lines().next()?.parse().ok()?;
    let body = bytes.get(end..end + length)?;
    let event: serde_json::Value = serde_json::from_slice(body).unwrap();
    Some((end + length, event["data"]["deliveryId"].as_str().map(str::to_owned)))
}

fn text(targets: &[Target; 2], edition: usize) -> String {
    let schedule = vec!["500ms"; 100].join(", ");
    let common = format!(
        "secret: s, events: [webhook.received], timeout: 600, retrySchedule: [{schedule}], jitter: 0.2, circuitBreaker: {{ failures: {}, cooldown: 500ms }}",
        5 + edition % 3
    );
    document(&format!(
        "  reconcile: {{ debounce: 10ms }}\n  inbound:\n    github: {{ secret: {SECRET}, description: \"edition {edition}\" }}\n  outbound:\n    first: {{ url: \"http://{}/\", {common} }}\n    second: {{ url: \"http://{}/\", {common}, concurrency: {} }}\n",
        targets[0].address,
        targets[1].address,
        4 + edition % 8
    ))
    .replace("server: {", "server: { shutdownTimeout: 1s,")
}

#[derive(Default)]
struct Tally {
    faults: BTreeMap<&'static str, u64>,
    accepted: BTreeSet<String>,
    refused: usize,
}

impl Tally {
    fn count(&mut self, fault: &'static str) {
        *self.faults.entry(fault).or_default() += 1;
    }

    fn end(&mut self, load: Load) {
        let (accepted, bad) = load.stop();
        self.refused += bad.len();
        let worse: Vec<_> = bad.iter().filter(|line| !line.contains(": 503 ")).collect();
        assert!(worse.is_empty(), "neither accepted nor told to come again: {worse:?}");
        self.accepted.extend(accepted);
    }
}

#[test]
fn a_torture_of_every_fault_loses_nothing() {
    let long = Duration::from_secs(number("OPENCLAW_TORTURE_SECONDS").unwrap_or(15) as u64);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let seed = number("OPENCLAW_TORTURE_SEED").map_or(now.as_secs(), |seed| seed as u64);
    println!("OPENCLAW_TORTURE_SEED={seed}");
    let mut dice = Dice(seed);
    let targets = [Target::start(), Target::start()];
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let mut edition = 0;
    std::fs::write(dir.path().join("openclaw.yaml"), text(&targets, edition)).unwrap();
    let mut tally = Tally::default();
    let begun = Instant::now();
    while begun.elapsed() < long {
        let mut gateway = Gateway::start_in(dir.clone(), Vec::new());
        let load = Load::paced(gateway.public, "/webhook/github", 4, true, Duration::from_millis(8));
        for _ in 0..=dice.below(8) {
            fault(&gateway, &targets, &mut dice, &mut tally, &mut edition);
            std::thread::sleep(dice.ms(0, 200));
        }
        if dice.below(3) == 0 {
            gateway.signal("TERM");
            assert_eq!(gateway.wait(), Some(0), "a stop");
            tally.count("SIGTERM");
            tally.end(load);
        } else {
            gateway.kill();
            tally.count("kill -9");
            tally.end(load);
        }
    }
    let gateway = Gateway::start_in(dir, Vec::new());
    for target in &targets {
        target.set_mood(0);
    }
    let (mut left, mut since) = (usize::MAX, Instant::now());
    loop {
        let now: usize = targets.iter().map(|target| target.missing(&tally.accepted)).sum();
        if now == 0 {
            break;
        }
        if now < left {
            (left, since) = (now, Instant::now());
        }
        assert!(
            since.elapsed() < PATIENCE,
            "{now} deliveries are missing: {}",
            gateway.status()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    let status = gateway.status();
    assert_eq!(status["totals"]["dead"], 0, "{status}");
    let check = gateway.cli(&["store", "check"]);
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    let requests: u64 = targets
        .iter()
        .map(|target| target.requests.load(Ordering::Relaxed))
        .sum();
    println!(
        "{:?}: {} requests accepted, {} answered 503; {} deliveries in {requests} attempts; nothing is missing",
        begun.elapsed(),
        tally.accepted.len(),
        tally.refused,
        2 * tally.accepted.len(),
    );
    for (fault, count) in &tally.faults {
        println!("{count:>8} {fault}");
    }
    assert!(tally.accepted.len() > 50, "too little was accepted to show anything");
}

fn fault(gateway: &Gateway, targets: &[Target; 2], dice: &mut Dice, tally: &mut Tally, edition: &mut usize) {
    let pid = gateway.pid().to_string();
    match dice.below(8) {
        0..=2 => {
            let mood = usize::try_from(dice.below(MOODS.len() as u64)).unwrap();
            targets[usize::try_from(dice.below(2)).unwrap()].set_mood(mood);
            tally.count(
                [
                    "an endpoint answers again",
                    "an endpoint answers 500",
                    "an endpoint answers 429",
                    "an endpoint hangs",
                    "an endpoint cuts its answers",
                    "an endpoint is slow",
                ][mood],
            );
        }
        3 | 4 => {
            *edition += 1;
            gateway.save(&text(targets, *edition));
            tally.count("a reload");
        }
        5 => {
            gateway.save("webhooks: { outbound: [");
            std::thread::sleep(dice.ms(0, 100));
            gateway.save(&text(targets, *edition));
            tally.count("a broken document");
        }
        6 => {
            if system("prlimit", &["--pid", &pid, "--fsize=4096:unlimited"]) {
                std::thread::sleep(dice.ms(50, 600));
                assert!(system("prlimit", &["--pid", &pid, "--fsize=unlimited:unlimited"]));
                tally.count("a full disk");
            }
        }
        _ => {
            gateway.signal("STOP");
            std::thread::sleep(dice.ms(10, 1200));
            gateway.signal("CONT");
            tally.count("a stalled machine");
        }
    }
}
