//! The clock on the wall is set forward and back while requests arrive and an endpoint fails: a library of the test's own
//! stands between the gateway and the system's clock.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::harness::{Behaviour, Gateway, Receiver, document, eventually, system};
use crate::load::{SECRET, github};

/// How long a retry waits, and how many there are at most.
const DELAY: Duration = Duration::from_secs(1);
const RETRIES: usize = 9;
const HOUR: i64 = 3600;

/// The clock of a gateway, which a file sets.
struct Wall(tempfile::TempDir);

impl Wall {
    /// `None`, with the reason on stderr: there is no C compiler here, or nothing comes between a program and its clock.
    fn build() -> Option<Self> {
        if cfg!(any(not(target_os = "linux"), target_feature = "crt-static")) {
            eprintln!(
                "skipped: the gateway's clock can be set on Linux alone, and in a binary that is linked dynamically"
            );
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/clock/shim.c");
        let library = dir.path().join("clock.so").display().to_string();
        if !system("cc", &["-shared", "-fPIC", "-O1", "-o", &library, source]) {
            eprintln!("skipped: the library that sets the gateway's clock cannot be built without a C compiler (cc)");
            return None;
        }
        let wall = Self(dir);
        wall.set(0);
        Some(wall)
    }

    fn set(&self, offset_s: i64) {
        // In one write of a fixed length: a reader sees the old number or the new one.
        std::fs::write(self.0.path().join("offset"), format!("{offset_s:+020}")).unwrap();
    }

    fn env(&self) -> Vec<(String, String)> {
        let path = |name: &str| self.0.path().join(name).display().to_string();
        vec![
            ("LD_PRELOAD".into(), path("clock.so")),
            ("CLOCK_OFFSET".into(), path("offset")),
        ]
    }
}

/// When each request came: by the id of the platform's delivery.
type Times = Arc<Mutex<BTreeMap<String, Vec<Instant>>>>;

/// A gateway whose endpoint notes when requests come, and answers 200 as long as it is `up`.
struct Stage {
    wall: Wall,
    gateway: Gateway,
    receiver: Receiver,
    up: Arc<AtomicBool>,
    times: Times,
    /// What was answered 200.
    taken: Arc<Mutex<BTreeSet<String>>>,
    accepted: BTreeSet<String>,
    offset_s: i64,
}

impl Stage {
    fn begin() -> Option<Self> {
        let wall = Wall::build()?;
        let receiver = Receiver::start();
        let (up, times) = (Arc::new(AtomicBool::new(true)), Times::default());
        let taken: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let (is_up, noted, delivered) = (up.clone(), times.clone(), taken.clone());
        receiver.behave_by(move |received| {
            let id = received.json()["data"]["deliveryId"].as_str().unwrap().to_owned();
            noted
                .lock()
                .unwrap()
                .entry(id.clone())
                .or_default()
                .push(Instant::now());
            if !is_up.load(Ordering::SeqCst) {
                return Behaviour::Answer(500);
            }
            delivered.lock().unwrap().insert(id);
            Behaviour::Answer(200)
        });
        let text = document(&format!(
            "  inbound:\n    github: {{ secret: {SECRET} }}\n  outbound:\n    out: {{ url: \"{}\", secret: s, events: [webhook.received], retries: {RETRIES}, retryDelay: {}, backoff: fixed, jitter: 0, circuitBreaker: false }}\n",
            receiver.url("/"),
            DELAY.as_millis()
        ));
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("openclaw.yaml"), text).unwrap();
        let gateway = Gateway::start_in(Arc::new(dir), wall.env());
        Some(Self {
            wall,
            gateway,
            receiver,
            up,
            times,
            taken,
            accepted: BTreeSet::new(),
            offset_s: 0,
        })
    }

    fn endpoint(&self, up: bool) {
        self.up.store(up, Ordering::SeqCst);
    }

    fn send(&mut self, id: &str) {
        let answer = github("/webhook/github", id).send(self.gateway.public);
        assert_eq!(answer.status, 200, "{id}: {}", answer.text());
        self.accepted.insert(id.to_owned());
    }

    /// Sends some requests that were not sent before, and waits until each was attempted.
    fn send_new(&mut self, what: &str) -> Vec<String> {
        let ids: Vec<String> = (0..5).map(|n| format!("{what}-{n}")).collect();
        for id in &ids {
            self.send(id);
        }
        eventually("each was attempted", || {
            ids.iter().all(|id| self.attempts(id) > 0).then_some(())
        });
        ids
    }

    fn attempts(&self, id: &str) -> usize {
        self.times.lock().unwrap().get(id).map_or(0, Vec::len)
    }

    /// Sets the clock by so many seconds, and waits until the gateway shows the new time.
    fn set_by(&mut self, by_s: i64) {
        let now_s = |gateway: &Gateway| {
            let id = gateway.publish("message.sent", &serde_json::json!({}));
            let event = gateway.json(&format!("/v1/events/{id}"));
            let at = event["event"]["timestamp"].as_str().unwrap();
            at.parse::<jiff::Timestamp>().unwrap().as_second()
        };
        let before = now_s(&self.gateway);
        self.offset_s += by_s;
        self.wall.set(self.offset_s);
        let moved = now_s(&self.gateway) - before - by_s;
        assert!((0..60).contains(&moved), "the clock was set by {by_s} s and {moved} s");
    }

    /// The least and the most that these waited between an attempt and the next.
    fn waits(&self, ids: &[String]) -> (Duration, Duration) {
        let times = self.times.lock().unwrap();
        let waits = ids
            .iter()
            .flat_map(|id| times[id].windows(2).map(|pair| pair[1] - pair[0]));
        let waits: Vec<_> = waits.collect();
        assert!(!waits.is_empty(), "nothing was retried");
        (*waits.iter().min().unwrap(), *waits.iter().max().unwrap())
    }

    /// The endpoint is back: everything accepted is delivered.
    fn recover(&mut self) {
        self.endpoint(true);
        eventually("everything accepted is delivered", || {
            self.accepted.is_subset(&self.taken.lock().unwrap()).then_some(())
        });
        eventually("nothing is owed", || {
            (self.gateway.status()["totals"]["owed"] == 0).then_some(())
        });
    }
}

/// About a retry's time: never earlier (but for a few milliseconds of each clock), and not much later.
fn about(waits: (Duration, Duration)) -> bool {
    waits.0 > DELAY.mul_f64(0.95) && waits.1 < DELAY * 30
}

#[test]
fn a_clock_that_is_set_forward_and_back_loses_nothing_and_nobody_waits_for_it() {
    let Some(mut stage) = Stage::begin() else { return };
    for (round, by_s) in [24 * HOUR, -2 * HOUR, HOUR, -24 * HOUR].into_iter().enumerate() {
        let first = stage.send_new(&format!("calm-{round}"));
        stage.endpoint(false);
        let before = stage.send_new(&format!("before-{round}"));
        stage.set_by(by_s);
        if by_s < 0 {
            // What waited keeps its time, whichever way the clock is read.
            let all_again = || before.iter().all(|id| stage.attempts(id) > 1).then_some(());
            eventually("what waited is tried again", all_again);
            assert!(about(stage.waits(&before)), "{by_s}: {:?}", stage.waits(&before));
        }
        let after = stage.send_new(&format!("after-{round}"));
        eventually("what came after is tried again", || {
            after.iter().all(|id| stage.attempts(id) > 1).then_some(())
        });
        assert!(about(stage.waits(&after)), "{by_s}: {:?}", stage.waits(&after));
        stage.recover();
        // A repeat is a repeat, whatever the clock shows.
        for id in first.iter().chain(&before) {
            stage.send(id);
        }
    }
    stage.recover();
    let received = stage.receiver.received();
    let mut made: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut numbers: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for request in &received {
        let id = request.json()["data"]["deliveryId"].as_str().unwrap().to_owned();
        let header = |name: &str| request.header(name).unwrap().to_owned();
        numbers
            .entry(id.clone())
            .or_default()
            .push(header("x-openclaw-attempt").parse().unwrap());
        made.entry(id).or_default().insert(header("webhook-id"));
    }
    for (id, numbers) in &numbers {
        assert_eq!(made[id].len(), 1, "{id} made one event");
        assert_eq!(
            *numbers,
            (1..=numbers.len()).collect::<Vec<_>>(),
            "{id}: no attempt twice"
        );
        assert!(numbers.len() <= RETRIES + 1, "{id}: {} attempts", numbers.len());
    }
    assert_eq!(stage.gateway.json("/v1/dead")["items"], serde_json::json!([]));
    let check = stage.gateway.cli(&["store", "check"]);
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
}
