//! A secret is changed on both sides, under load: nothing is refused, and nothing is sent that cannot be verified.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use crate::harness::{
    Behaviour, Gateway, KeptAlive, Received, Receiver, Request, document, eventually, sha256_signature,
};
use crate::load::delivered;

/// Whether a receiver that knows this secret alone accepts a delivery by its Standard Webhooks headers.
fn verifies(received: &Received, secret: &str) -> bool {
    let meant = received.standard_signature(secret);
    let mut signatures = received.header("webhook-signature").unwrap().split(' ');
    signatures.any(|signature| signature == meant)
}

/// What the platform signs with, and what the receiver verifies with, at the moment.
#[derive(Default)]
struct Secrets {
    platform: RwLock<&'static str>,
    receiver: RwLock<&'static str>,
    unverifiable: AtomicUsize,
}

/// A platform that posts all the time; gives how each request was answered.
fn platform(to: std::net::SocketAddr, secrets: &Secrets, stop: &AtomicBool, thread: usize) -> Vec<(String, u16)> {
    let mut connection = KeptAlive::open(to);
    let mut answers = Vec::new();
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let id = format!("{thread}-{n}");
        // Held until the answer is there: with a change, no request of before is on its way any more.
        let secret = secrets.platform.read().unwrap();
        let body = format!(r#"{{"id":"{id}"}}"#);
        let request = Request::post("/webhook/github", body.clone())
            .header("Content-Type", "application/json")
            .header("X-GitHub-Event", "push")
            .header("X-GitHub-Delivery", id.as_str())
            .header("X-Hub-Signature-256", sha256_signature(&secret, body.as_bytes()));
        answers.push((id, connection.send(&request).unwrap().status));
        drop(secret);
        // A load that the one attempt at a time keeps up with.
        std::thread::sleep(Duration::from_millis(4));
    }
    answers
}

#[test]
fn secrets_rotate_on_both_sides_under_load_and_nothing_is_refused_or_unverifiable() {
    let receiver = Receiver::start();
    // One at a time: when something of the new settings has come, nothing of the old ones is on its way any more.
    let version = |inbound: &str, outbound: &str| {
        document(&format!(
            "  reconcile: {{ debounce: 5ms }}\n  inbound:\n    github: {{ secret: {inbound} }}\n  outbound:\n    out: {{ url: \"{}\", events: [webhook.received], concurrency: 1, secret: {outbound} }}\n",
            receiver.url("/")
        ))
    };
    let secrets = Arc::new(Secrets::default());
    (*secrets.platform.write().unwrap(), *secrets.receiver.write().unwrap()) = ("p0", "r0");
    let at_receiver = secrets.clone();
    receiver.behave_by(move |received| {
        if verifies(received, &at_receiver.receiver.read().unwrap()) {
            return Behaviour::Answer(200);
        }
        at_receiver.unverifiable.fetch_add(1, Ordering::Relaxed);
        Behaviour::Answer(401)
    });
    let gateway = Gateway::start(&version("p0", "r0"));
    let stop = Arc::new(AtomicBool::new(false));
    let threads: Vec<_> = (0..2)
        .map(|thread| {
            let (to, secrets, stop) = (gateway.public, secrets.clone(), stop.clone());
            std::thread::spawn(move || platform(to, &secrets, &stop, thread))
        })
        .collect();
    let some_more = || {
        let before = receiver.count();
        receiver.wait_for(before + 10);
    };
    let names = [("p0", "r0"), ("p1", "r1"), ("p2", "r2"), ("p0", "r0"), ("p1", "r1")];
    for pair in names.windows(2) {
        let ((old_in, old_out), (new_in, new_out)) = (pair[0], pair[1]);
        some_more();
        // The gateway knows both, then the others change, then the old one goes.
        gateway.save_and_wait(&version(
            &format!("[{new_in}, {old_in}]"),
            &format!("[{new_out}, {old_out}]"),
        ));
        some_more();
        *secrets.platform.write().unwrap() = new_in;
        *secrets.receiver.write().unwrap() = new_out;
        some_more();
        gateway.save_and_wait(&version(new_in, new_out));
    }
    some_more();
    stop.store(true, Ordering::Relaxed);
    let answers: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    let refused: Vec<_> = answers.iter().filter(|(_, status)| *status != 200).collect();
    assert!(refused.is_empty(), "{refused:?}");
    eventually("every event is delivered", || {
        let seen = delivered(&receiver.received());
        answers.iter().all(|(id, _)| seen.contains(id)).then_some(())
    });
    assert_eq!(secrets.unverifiable.load(Ordering::Relaxed), 0);
    assert_eq!(gateway.status()["totals"]["dead"], 0);
}
