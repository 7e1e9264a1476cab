//! `fifo` and `session` never overtake: whatever the receiver does, whatever is reloaded, across a kill -9.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Behaviour, Gateway, Received, Receiver, document, eventually};

/// Sessions, and events of each.
const SESSIONS: usize = 200;
const EVENTS: usize = 12;
/// Events of the one lane of `fifo`.
const FIFO: usize = 300;

/// What a receiver has taken of each lane, and everything that came too early.
#[derive(Default)]
struct Lanes {
    /// The next number that is not taken yet.
    next: BTreeMap<String, u64>,
    faults: Vec<String>,
    repeats: usize,
}

impl Lanes {
    /// A request of a lane came: it may be the next, or one that was taken before (at least once), and nothing later.
    fn came(&mut self, lane: &str, n: u64, taken: bool) {
        let next = self.next.entry(lane.to_owned()).or_default();
        if n > *next {
            self.faults
                .push(format!("lane {lane}: {n} came before {next} was taken"));
        } else if n < *next {
            self.repeats += 1;
        } else if taken {
            *next += 1;
        }
    }

    fn taken(&self) -> u64 {
        self.next.values().sum()
    }
}

/// A receiver that refuses every third request, and now and then all of them for a while.
fn flapping(receiver: &Receiver, lane: fn(&Received) -> String) -> (Arc<Mutex<Lanes>>, Arc<AtomicBool>) {
    let (lanes, down) = (Arc::new(Mutex::new(Lanes::default())), Arc::new(AtomicBool::new(false)));
    let (noted, is_down, count) = (lanes.clone(), down.clone(), AtomicU64::new(0));
    receiver.behave_by(move |received| {
        let refused = is_down.load(Ordering::SeqCst) || count.fetch_add(1, Ordering::SeqCst) % 3 == 2;
        let n = received.json()["data"]["n"].as_u64().unwrap();
        noted.lock().unwrap().came(&lane(received), n, !refused);
        Behaviour::Answer(if refused { 503 } else { 200 })
    });
    (lanes, down)
}

/// Publishes in batches; one that was not answered is published again after the restart: its ids make it the same.
fn publish(gateway: &Gateway, batch: &[Value]) -> bool {
    let request = crate::harness::Request::post("/v1/events", Value::from(batch.to_vec()).to_string());
    let answer = request
        .header("content-type", "application/json")
        .try_send(gateway.admin);
    answer.is_ok_and(|answer| answer.status == 202)
}

#[test]
fn order_holds_with_200_sessions_a_flapping_receiver_reloads_and_a_kill() {
    let (by_session, by_fifo) = (Receiver::start(), Receiver::start());
    let (sessions, sessions_down) = flapping(&by_session, |r| {
        r.json()["data"]["sessionId"].as_str().unwrap().to_owned()
    });
    let (fifo, fifo_down) = flapping(&by_fifo, |_| "fifo".to_owned());
    let version = |n: usize| {
        let fields = format!(
            "retries: 100, retryDelay: 5, backoff: fixed, maxRetryDelay: 20ms, timeout: {}, headers: {{ X-Version: \"{n}\" }}",
            5000 + n
        );
        document(&format!(
            "  reconcile: {{ debounce: 5ms }}\n  outbound:\n    sessions: {{ url: \"{}\", events: [message.sent], ordering: session, concurrency: {}, circuitBreaker: false, {fields} }}\n    fifo: {{ url: \"{}\", events: [message.error], ordering: fifo, circuitBreaker: {{ failures: 4, cooldown: 10ms }}, {fields} }}\n",
            by_session.url("/"),
            16 + 8 * (n % 3),
            by_fifo.url("/")
        ))
    };
    let mut batches: Vec<Vec<Value>> = Vec::new();
    for n in 0..EVENTS {
        let event = |s: usize| json!({ "event": "message.sent", "id": format!("s{s}-{n}"), "data": { "sessionId": format!("s{s}"), "n": n } });
        batches.push((0..SESSIONS).map(event).collect());
        let in_one_lane = (n * FIFO / EVENTS)..((n + 1) * FIFO / EVENTS);
        let event = |n: usize| json!({ "event": "message.error", "id": format!("f{n}"), "data": { "n": n } });
        batches.push(in_one_lane.map(event).collect());
    }
    let mut waiting = batches.as_slice();
    let mut gateway = Gateway::start(&version(0));
    let all = (SESSIONS * EVENTS + FIFO) as u64;
    let mut killed = false;
    for n in 1.. {
        // In the middle: some were delivered, some are on their way, some were never published.
        if let Some((batch, rest)) = waiting.split_first()
            && publish(&gateway, batch)
        {
            waiting = rest;
        }
        for down in [&sessions_down, &fifo_down] {
            down.store(n % 5 == 0, Ordering::SeqCst);
        }
        gateway.save_and_wait(&version(n));
        let taken = sessions.lock().unwrap().taken() + fifo.lock().unwrap().taken();
        if !killed && taken > all / 3 {
            killed = true;
            let (dir, env) = gateway.kill();
            gateway = Gateway::start_in(dir, env);
        }
        if waiting.is_empty() && killed {
            break;
        }
        assert!(
            n < 1000,
            "published {}, taken {taken} of {all}",
            batches.len() - waiting.len()
        );
    }
    for down in [&sessions_down, &fifo_down] {
        down.store(false, Ordering::SeqCst);
    }
    eventually("everything is delivered", || {
        let taken = sessions.lock().unwrap().taken() + fifo.lock().unwrap().taken();
        (taken == all).then_some(())
    });
    for lanes in [&sessions, &fifo] {
        let lanes = lanes.lock().unwrap();
        assert_eq!(lanes.faults, Vec::<String>::new());
        // Only what was under way at the kill comes twice.
        assert!(lanes.repeats <= 100, "{} repeats", lanes.repeats);
    }
    assert_eq!(sessions.lock().unwrap().next.len(), SESSIONS);
    eventually("nothing is owed and nothing is dead", || {
        let totals = &gateway.status()["totals"];
        (totals["owed"] == 0 && totals["dead"] == 0).then_some(())
    });
}

#[test]
fn a_lane_goes_on_after_a_restart_where_its_head_failed() {
    let receiver = Receiver::start();
    let lanes = Arc::new(Mutex::new(Lanes::default()));
    let (noted, up) = (lanes.clone(), Arc::new(AtomicBool::new(false)));
    let is_up = up.clone();
    receiver.behave_by(move |received| {
        let n = received.json()["data"]["n"].as_u64().unwrap();
        let taken = n < 2 || is_up.load(Ordering::SeqCst);
        noted.lock().unwrap().came("lane", n, taken);
        Behaviour::Delay(Duration::ZERO, if taken { 200 } else { 500 })
    });
    let gateway = Gateway::start(&document(&format!(
        "  outbound:\n    out: {{ url: \"{}\", events: [message.sent], ordering: session, retries: 100, retryDelay: 10, backoff: fixed, circuitBreaker: false }}\n",
        receiver.url("/")
    )));
    for n in 0..10 {
        gateway.publish("message.sent", &json!({ "sessionId": "one", "n": n }));
    }
    receiver.wait_for(6);
    let (dir, env) = gateway.kill();
    let _gateway = Gateway::start_in(dir, env);
    let before = receiver.count();
    receiver.wait_for(before + 2);
    assert_eq!(lanes.lock().unwrap().taken(), 2, "the head blocks its lane");
    up.store(true, Ordering::SeqCst);
    eventually("all are delivered", || {
        (lanes.lock().unwrap().taken() == 10).then_some(())
    });
    assert_eq!(lanes.lock().unwrap().faults, Vec::<String>::new());
}
