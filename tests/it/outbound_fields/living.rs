//! Pausing, deleting, renaming, and what is for people.

use super::*;
use crate::harness::{Behaviour, eventually};

/// A document with the sender `out`, where it has one, and another that is always there.
fn beside(receiver: &Receiver, out: Option<&str>) -> String {
    let out = out.map(|entry| format!("    {entry}\n")).unwrap_or_default();
    let other = "    other: { url: \"http://127.0.0.1:1/\", events: [message.error] }\n";
    document(&format!("  reconcile: {{ debounce: 5ms }}\n  outbound:\n{other}{out}")).replace("URL", &receiver.url("/"))
}

fn entry(fields: &str) -> String {
    format!(
        "out: {{ url: \"URL\", {} }}",
        failing(&format!("retries: 100, retryDelay: 20, backoff: fixed, {fields}"))
    )
}

fn owed(gateway: &Gateway) -> u64 {
    gateway.status()["totals"]["owed"].as_u64().unwrap()
}

pub(super) fn a_pause_that_is_lifted_lets_the_backlog_through() {
    let receiver = Receiver::start();
    let gateway = start(&receiver, &plain("paused: false"));
    publish(&gateway, 1);
    receiver.wait_for(1);
    change(&gateway, &receiver, &plain("paused: true"));
    for n in 2..5 {
        publish(&gateway, n);
    }
    assert_eq!((owed(&gateway), receiver.count()), (3, 1));
    change(&gateway, &receiver, &plain("paused: false"));
    receiver.wait_for(4);
}

pub(super) fn a_change_of_what_becomes_of_the_backlog_holds_for_the_next_delete() {
    let receiver = Receiver::start();
    receiver.behave(Behaviour::Answer(500));
    let gateway = Gateway::start(&beside(&receiver, Some(&entry("onDelete: drain, drainTimeout: 50m"))));
    for n in 0..3 {
        publish(&gateway, n);
    }
    receiver.wait_for(1);
    gateway.save_and_wait(&beside(&receiver, Some(&entry("onDelete: discard, drainTimeout: 50m"))));
    assert_eq!(owed(&gateway), 3);
    gateway.save_and_wait(&beside(&receiver, None));
    assert!(gateway.dead(3).iter().all(|dead| dead["reason"] == "deleted"));
}

pub(super) fn a_changed_drain_timeout_holds_for_the_next_delete() {
    let receiver = Receiver::start();
    receiver.behave(Behaviour::Answer(500));
    let gateway = Gateway::start(&beside(&receiver, Some(&entry("drainTimeout: 50m"))));
    publish(&gateway, 1);
    receiver.wait_for(1);
    gateway.save_and_wait(&beside(&receiver, Some(&entry("drainTimeout: 300ms"))));
    gateway.save_and_wait(&beside(&receiver, None));
    let tried = receiver.count();
    receiver.wait_for(tried + 1);
    assert_eq!(gateway.dead(1)[0]["reason"], "deleted");
}

pub(super) fn a_renamed_sender_keeps_what_it_is_owed() {
    let receiver = Receiver::start();
    let gateway = Gateway::start(&beside(&receiver, Some(&entry("paused: true"))));
    for n in 0..3 {
        publish(&gateway, n);
    }
    let renamed = entry("previousName: out").replacen("out:", "renamed:", 1);
    gateway.save_and_wait(&beside(&receiver, Some(&renamed)));
    let mut numbers: Vec<_> = receiver.wait_for(3).iter().map(number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2]);
    eventually("nothing is owed, nothing is dead", || {
        let totals = &gateway.status()["totals"];
        (totals["owed"] == 0 && totals["dead"] == 0).then_some(())
    });
    assert_eq!(gateway.get("/v1/webhooks/outbound/out").0, 404);
    assert_eq!(gateway.attempts("renamed", 3).len(), 3);
}

pub(super) fn a_protection_that_was_added_holds_the_next_delete() {
    let receiver = Receiver::start();
    let gateway = Gateway::start(&beside(&receiver, Some(&entry("protect: false"))));
    gateway.save_and_wait(&beside(&receiver, Some(&entry("protect: true"))));
    let generation = gateway.generation();
    gateway.save(&beside(&receiver, None));
    gateway.condition("Applied", "Held");
    publish(&gateway, 1);
    receiver.wait_for(1);
    assert_eq!(gateway.generation(), generation);
    gateway.save_and_wait(&beside(&receiver, Some(&entry("protect: false"))));
    gateway.save_and_wait(&beside(&receiver, None));
    assert_eq!(gateway.get("/v1/webhooks/outbound/out").0, 404);
}

pub(super) fn a_changed_note_touches_no_connection() {
    let receiver = Receiver::start();
    let gateway = start(&receiver, &plain("description: before, labels: { team: a }"));
    publish(&gateway, 1);
    receiver.wait_for(1);
    eventually("the connection is free again", || (owed(&gateway) == 0).then_some(()));
    change(
        &gateway,
        &receiver,
        &plain("description: after, labels: { team: b, tier: gold }"),
    );
    publish(&gateway, 2);
    receiver.wait_for(2);
    assert_eq!(receiver.connections(), 1);
    assert_eq!(
        gateway.json("/v1/generations")["items"][0]["summary"],
        json!([0, 1, 0, 0])
    );
    let document = gateway.get("/v1/document").1;
    assert!(document.contains("after") && document.contains("gold"), "{document}");
}
