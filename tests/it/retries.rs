//! What outbound promises to whoever is at the other end.

use std::sync::Arc;

use crate::harness::{Behaviour, Gateway, Receiver, document, eventually};
use crate::load::{SECRET, github};

fn gateway(receiver: &Receiver, fields: &str) -> Gateway {
    Gateway::start(&document(&format!(
        "  inbound:\n    github: {{ secret: {SECRET} }}\n  outbound:\n    out: {{ url: \"{}\", secret: s, jitter: 0, {fields} }}\n",
        receiver.url("/events")
    )))
}

#[test]
fn an_endpoint_that_is_away_gets_the_event_when_it_is_back() {
    let receiver = Receiver::start();
    let gateway = gateway(
        &receiver,
        "events: [webhook.received], retrySchedule: [50ms, 50ms, 100ms, 200ms, 500ms, 1s, 2s, 2s, 2s, 2s, 2s, 2s]",
    );
    let address = receiver.stop();
    assert_eq!(github("/webhook/github", "away").send(gateway.public).status, 200);
    eventually("an attempt failed", || {
        let logs = gateway.json("/v1/logs?sender=out&failed=true");
        logs["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|l| l["error"] == "connect")
            .then_some(())
    });
    let back = Receiver::start_at(address);
    let received = back.wait_for(1);
    assert_eq!(received[0].json()["data"]["deliveryId"], "away");
    assert!(
        received[0]
            .header("x-openclaw-attempt")
            .unwrap()
            .parse::<u32>()
            .unwrap()
            > 1
    );
}

#[test]
fn attempts_never_exceed_retries_plus_one_and_end_as_a_dead_letter() {
    let receiver = Receiver::start();
    receiver.behave(Behaviour::Answer(500));
    let gateway = gateway(
        &receiver,
        "events: [webhook.received], retries: 3, retryDelay: 20, backoff: fixed",
    );
    assert_eq!(github("/webhook/github", "doomed").send(gateway.public).status, 200);
    let dead = eventually("a dead letter", || {
        let dead = gateway.json("/v1/dead");
        dead["items"].as_array().unwrap().first().cloned()
    });
    assert_eq!((&dead["reason"], &dead["sender"]), (&"exhausted".into(), &"out".into()));
    let received = receiver.received();
    assert_eq!(received.len(), 4);
    let attempts: Vec<_> = received
        .iter()
        .map(|r| r.header("x-openclaw-attempt").unwrap().to_owned())
        .collect();
    assert_eq!(attempts, ["1", "2", "3", "4"]);
    let of = |header: &str| {
        received
            .iter()
            .map(|r| r.header(header).unwrap().to_owned())
            .collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(of("x-openclaw-delivery").len(), 1, "one delivery");
    assert_eq!(of("webhook-id").len(), 1, "one event");
    // The story of the event says all of it.
    let story = gateway.json(&format!("/v1/events/{}", dead["eventId"].as_str().unwrap()));
    assert_eq!(story["deliveries"][0]["state"], "dead");
    assert_eq!(story["attempts"].as_array().unwrap().len(), 4);
}

#[test]
fn a_final_status_is_not_retried_and_a_redirect_is_not_followed() {
    for status in [400, 401, 404, 302] {
        let receiver = Receiver::start();
        receiver.behave(Behaviour::AnswerWith(status, "location", "/elsewhere"));
        let gateway = gateway(&receiver, "events: [webhook.received], retries: 3, retryDelay: 20");
        assert_eq!(github("/webhook/github", "final").send(gateway.public).status, 200);
        eventually("a dead letter", || {
            let dead = gateway.json("/v1/dead");
            dead["items"]
                .as_array()
                .unwrap()
                .iter()
                .any(|d| d["reason"] == "status")
                .then_some(())
        });
        assert_eq!(receiver.count(), 1, "{status}");
    }
}

#[test]
fn gone_suspends_the_sender_and_the_delivery_stays_owed() {
    let receiver = Receiver::start();
    receiver.behave(Behaviour::Answer(410));
    let gateway = gateway(&receiver, "events: [webhook.received], retries: 3, retryDelay: 20");
    assert_eq!(github("/webhook/github", "gone").send(gateway.public).status, 200);
    eventually("the sender is suspended", || {
        let sender = gateway.json("/v1/webhooks/outbound/out");
        (sender["webhook"]["state"] == "suspended" && sender["sender"]["owed"] == 1).then_some(())
    });
    receiver.behave(Behaviour::Answer(200));
    assert_eq!(
        gateway
            .post("/v1/webhooks/outbound/out/resume", &serde_json::json!({}))
            .status,
        200
    );
    receiver.wait_for(2);
}

#[test]
fn an_event_of_the_api_is_durable_and_its_id_makes_it_idempotent() {
    let receiver = Receiver::start();
    let gateway = gateway(&receiver, "events: [message.sent]");
    let event = serde_json::json!({ "event": "message.sent", "data": { "channel": "c", "text": "你好" }, "id": "m.1" });
    let first = gateway.post("/v1/events", &event);
    assert_eq!(first.status, 202, "{}", first.text());
    assert_eq!(first.json()["events"][0]["duplicate"], false);
    let again = gateway.post("/v1/events", &event);
    assert_eq!(again.json()["events"][0]["duplicate"], true);
    assert_eq!(again.json()["events"][0]["id"], first.json()["events"][0]["id"]);
    let received = receiver.wait_for(1);
    assert_eq!(received[0].header("x-openclaw-event"), Some("message.sent"));
    assert!(
        String::from_utf8(received[0].body.clone())
            .unwrap()
            .contains(r#""text":"你好""#)
    );
}

#[test]
fn the_gateways_own_life_is_told() {
    let receiver = Receiver::start();
    let mut gateway = gateway(&receiver, "events: [system.started, system.stopped]");
    receiver.wait_for(1);
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));
    let names: Vec<_> = receiver
        .received()
        .iter()
        .map(|r| r.header("x-openclaw-event").unwrap().to_owned())
        .collect();
    assert_eq!(names, ["system.started", "system.stopped"]);
}

#[test]
fn a_suspended_sender_that_is_degraded_at_a_start_is_suspended_when_it_is_mended() {
    let receiver = Receiver::start();
    receiver.behave(Behaviour::Answer(410));
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let (secret, aside) = (dir.path().join("secret"), dir.path().join("aside"));
    std::fs::write(&secret, "s").unwrap();
    let text = document(&format!(
        "  inbound:\n    github: {{ secret: {SECRET} }}\n  outbound:\n    out: {{ url: \"{}\", secret: {{ file: ./secret }}, events: [webhook.received] }}\n",
        receiver.url("/events")
    ));
    std::fs::write(dir.path().join("openclaw.yaml"), &text).unwrap();
    let is = |gateway: &Gateway, wanted: &str| {
        eventually(&format!("it is {wanted}"), || {
            let found = gateway.json("/v1/webhooks/outbound/out");
            (found["webhook"]["state"] == wanted).then_some(())
        });
    };
    let mut gateway = Gateway::start_in(dir.clone(), Vec::new());
    assert_eq!(github("/webhook/github", "kept").send(gateway.public).status, 200);
    is(&gateway, "suspended");
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));

    std::fs::rename(&secret, &aside).unwrap();
    let gateway = Gateway::start_in(dir, Vec::new());
    is(&gateway, "degraded");
    std::fs::rename(&aside, &secret).unwrap();
    is(&gateway, "suspended");
    assert_eq!(receiver.count(), 1);
    // Only a changed entry ends it, and it has ended for good then.
    receiver.behave(Behaviour::Answer(200));
    gateway.save_and_wait(&text.replace("/events", "/others"));
    receiver.wait_for(2);
    is(&gateway, "active");
    let (dir, env) = gateway.kill();
    let gateway = Gateway::start_in(dir, env);
    is(&gateway, "active");
}

#[test]
fn a_suspension_ends_where_the_entry_changed_while_nothing_ran() {
    let (old, new) = (Receiver::start(), Receiver::start());
    old.behave(Behaviour::Answer(410));
    let text = |receiver: &Receiver| {
        document(&format!(
            "  inbound:\n    github: {{ secret: {SECRET} }}\n  outbound:\n    out: {{ url: \"{}\", secret: s, events: [webhook.received] }}\n",
            receiver.url("/events")
        ))
    };
    let state = |gateway: &Gateway| gateway.json("/v1/webhooks/outbound/out")["webhook"]["state"].clone();
    let stop = |mut gateway: Gateway| {
        gateway.signal("TERM");
        assert_eq!(gateway.wait(), Some(0));
        gateway.dir.clone()
    };
    let gateway = Gateway::start(&text(&old));
    assert_eq!(github("/webhook/github", "kept").send(gateway.public).status, 200);
    eventually("it is suspended", || (state(&gateway) == "suspended").then_some(()));
    // Unchanged, it stays so at a start.
    let gateway = Gateway::start_in(stop(gateway), Vec::new());
    assert_eq!(state(&gateway), "suspended");
    let dir = stop(gateway);
    std::fs::write(dir.path().join("openclaw.yaml"), text(&new)).unwrap();
    let gateway = Gateway::start_in(dir, Vec::new());
    new.wait_for(1);
    assert_eq!(state(&gateway), "active");
}
