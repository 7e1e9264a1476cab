//! What was answered 2xx survives a kill -9 at any moment.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::harness::{Gateway, Receiver, document, eventually};
use crate::load::{Load, SECRET, delivered};

#[test]
fn twenty_kills_under_load_lose_nothing_that_was_accepted() {
    let receiver = Receiver::start();
    let text = document(&format!(
        "  inbound:\n    github: {{ secret: {SECRET} }}\n  outbound:\n    all: {{ url: \"{}\", secret: s }}\n",
        receiver.url("/")
    ));
    let dir = Arc::new(tempfile::tempdir().unwrap());
    std::fs::write(dir.path().join("openclaw.yaml"), text).unwrap();
    let mut accepted = BTreeSet::new();
    for round in 0..20 {
        let gateway = Gateway::start_in(dir.clone(), Vec::new());
        let load = Load::start(gateway.public, "/webhook/github", 8, true);
        // A different moment each time.
        eventually("requests are accepted", || {
            (load.accepted() > 20 + 37 * round).then_some(())
        });
        gateway.kill();
        let (now, bad) = load.stop();
        assert!(bad.is_empty(), "round {round}: {bad:?}");
        accepted.extend(now);
    }
    let _gateway = Gateway::start_in(dir, Vec::new());
    eventually("every accepted event is delivered", || {
        let seen = delivered(&receiver.received());
        accepted.iter().all(|id| seen.contains(id)).then_some(())
    });
}
