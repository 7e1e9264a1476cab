//! What was answered 2xx survives a kill -9 at any moment.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use crate::harness::{Gateway, Receiver, document, number};
use crate::load::{Load, SECRET, all_delivered};

/// `OPENCLAW_TEST_KILLS=200` is the full number.
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
    let (kills, begun) = (number("OPENCLAW_TEST_KILLS").unwrap_or(20), Instant::now());
    for round in 0..kills {
        let gateway = Gateway::start_in(dir.clone(), Vec::new());
        let load = Load::start(gateway.public, "/webhook/github", 8, true);
        // A different moment each time.
        load.wait_for(20 + 37 * (round % 20) + round / 20);
        gateway.kill();
        let (now, bad) = load.stop();
        assert!(bad.is_empty(), "round {round}: {bad:?}");
        accepted.extend(now);
    }
    let _gateway = Gateway::start_in(dir, Vec::new());
    all_delivered(&receiver, &accepted);
    println!(
        "{kills} kills, {} requests accepted, {} deliveries received, in {:?}",
        accepted.len(),
        receiver.count(),
        begun.elapsed()
    );
}
