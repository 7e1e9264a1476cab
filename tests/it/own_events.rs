//! The gateway's own events: who hears of what, and who does not.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::{Behaviour, Gateway, Receiver, Request, document, eventually};
use crate::load::{SECRET, github};

/// What a receiver was told, by the event's name.
fn told(receiver: &Receiver) -> BTreeMap<String, Vec<Value>> {
    let mut told: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for received in receiver.received() {
        let body = received.json();
        let name = body["event"].as_str().unwrap().to_owned();
        told.entry(name).or_default().push(body["data"].clone());
    }
    told
}

/// Waits for an event of this name; its data.
#[track_caller]
fn hears(receiver: &Receiver, name: &str) -> Value {
    eventually(&format!("{name} is told"), || told(receiver).remove(name)?.pop())
}

/// A document whose sender `watch` has these events; `URL` is its receiver.
fn watching(watch: &Receiver, events: &str, rest: &str) -> String {
    document(&format!(
        "  reconcile: {{ debounce: 5ms }}\n{rest}    watch: {{ url: \"{}\", events: [{events}] }}\n",
        watch.url("/")
    ))
}

#[test]
fn documents_that_are_applied_rejected_and_held_are_told_to_those_who_name_it() {
    let (watch, all) = (Receiver::start(), Receiver::start());
    let version = |note: &str| {
        let rest = format!(
            "  outbound:\n    all: {{ url: \"{}\", protect: true, description: {note} }}\n",
            all.url("/")
        );
        watching(
            &watch,
            "gateway.config.applied, gateway.config.rejected, gateway.config.held",
            &rest,
        )
    };
    let gateway = Gateway::start(&version("one"));
    let first = hears(&watch, "gateway.config.applied");
    assert_eq!((&first["generation"], &first["cause"]), (&json!(1), &json!("start")));
    assert!(
        first["message"].as_str().unwrap().contains("generation 1 runs"),
        "{first}"
    );

    gateway.save_and_wait(&version("two"));
    let applied = eventually("the second generation is told", || {
        told(&watch)["gateway.config.applied"]
            .iter()
            .find(|data| data["generation"] == 2)
            .cloned()
    });
    assert_eq!((&applied["cause"], &applied["changed"]), (&json!("file"), &json!(1)));

    let broken = version("three").replace("protect: true", "protects: true");
    gateway.save(&broken);
    let rejected = hears(&watch, "gateway.config.rejected");
    assert_eq!(
        (&rejected["generation"], &rejected["reason"]),
        (&json!(2), &json!("DocumentInvalid"))
    );
    assert!(
        rejected["error"].as_str().unwrap().contains("did you mean `protect`?"),
        "{rejected}"
    );

    gateway.save(&watching(&watch, "gateway.config.held", "  outbound:\n"));
    let held = hears(&watch, "gateway.config.held");
    assert!(held["reasons"][0].as_str().unwrap().contains("all"), "{held}");

    // The same broken bytes within the hour are no news.
    gateway.save(&broken);
    gateway.condition("Applied", "DocumentInvalid");
    gateway.save_and_wait(&version("four"));
    eventually("the third generation is told", || {
        told(&watch)["gateway.config.applied"]
            .iter()
            .any(|data| data["generation"] == 3)
            .then_some(())
    });
    assert_eq!(told(&watch)["gateway.config.rejected"].len(), 1);
    // `*` does not mean them.
    let names: Vec<_> = told(&all).into_keys().collect();
    assert_eq!(names, ["system.started"]);
}

#[test]
fn a_broken_document_at_a_start_is_told_and_the_last_good_one_runs() {
    let watch = Receiver::start();
    let gateway = Gateway::start(&watching(&watch, "gateway.*", "  outbound:\n"));
    hears(&watch, "gateway.config.applied");
    let (dir, env) = gateway.kill();
    std::fs::write(dir.path().join("openclaw.yaml"), "webhooks: [").unwrap();
    let gateway = Gateway::start_in(dir, env);
    let rejected = hears(&watch, "gateway.config.rejected");
    assert_eq!(
        (&rejected["generation"], &rejected["cause"]),
        (&json!(1), &json!("start"))
    );
    // The watcher's first look at the same bytes is no news: what is saved after it comes next.
    gateway.save("webhooks: {");
    let causes = eventually("the next broken document is told", || {
        let rejected = told(&watch).remove("gateway.config.rejected")?;
        (rejected.len() > 1).then(|| rejected.iter().map(|data| data["cause"].clone()).collect::<Vec<_>>())
    });
    assert_eq!(causes, ["start", "file"]);
}

#[test]
fn a_failing_sender_is_told_to_others_once_and_never_to_itself() {
    let (watch, bad) = (Receiver::start(), Receiver::start());
    bad.behave(Behaviour::Answer(500));
    // Each is subscribed to everything, the failing one too.
    let rest = format!(
        "  outbound:\n    bad: {{ url: \"{}\", events: [message.sent, \"gateway.*\"], retries: 0, circuitBreaker: {{ failures: 3, cooldown: 1ms }} }}\n",
        bad.url("/")
    );
    let gateway = Gateway::start(&watching(&watch, "\"gateway.*\"", &rest));
    let publish = |n: u32| {
        gateway.publish("message.sent", &json!({ "n": n }));
        gateway.dead(n as usize);
    };
    // The first of its dead letters may be `gateway.config.applied`: what becomes of one of these events is no event.
    (1..=4).for_each(publish);
    let failing = hears(&watch, "gateway.sender.failing");
    assert_eq!(
        (&failing["sender"], &failing["error"]),
        (&json!("bad"), &json!("HTTP 500"))
    );
    let dead = hears(&watch, "gateway.delivery.dead");
    assert_eq!((&dead["sender"], &dead["reason"]), (&json!("bad"), &json!("exhausted")));
    assert_eq!(dead["event"], "message.sent");
    let story = gateway.json(&format!("/v1/events/{}", dead["eventId"].as_str().unwrap()));
    assert_eq!(story["event"]["event"], "message.sent");

    bad.behave(Behaviour::Answer(200));
    let good = bad.count();
    gateway.publish("message.sent", &json!({ "n": 5 }));
    bad.wait_for(good + 1);
    assert_eq!(hears(&watch, "gateway.sender.recovered")["sender"], "bad");

    // Failing again within the hour is no news; the suspension is.
    bad.behave(Behaviour::Answer(500));
    let before = gateway.dead(4).len();
    for n in 0..4 {
        gateway.publish("message.sent", &json!({ "n": n }));
        gateway.dead(before + 1 + n);
    }
    bad.behave(Behaviour::Answer(410));
    gateway.publish("message.sent", &json!({ "n": 9 }));
    let suspended = hears(&watch, "gateway.sender.suspended");
    assert!(suspended["reason"].as_str().unwrap().contains("410"), "{suspended}");
    let told_of = told(&watch);
    for name in [
        "gateway.sender.failing",
        "gateway.sender.recovered",
        "gateway.delivery.dead",
    ] {
        assert_eq!(told_of[name].len(), 1, "{name}");
    }
    let itself: Vec<_> = told(&bad)
        .into_keys()
        .filter(|name| !name.starts_with("message"))
        .collect();
    assert!(itself.iter().all(|name| name == "gateway.config.applied"), "{itself:?}");
}

#[test]
fn a_route_that_refuses_most_requests_is_told() {
    let watch = Receiver::start();
    let rest = format!("  inbound:\n    github: {{ secret: {SECRET} }}\n  outbound:\n");
    let gateway = Gateway::start(&watching(&watch, "gateway.route.rejecting", &rest));
    assert_eq!(github("/webhook/github", "good").send(gateway.public).status, 200);
    for n in 0..12 {
        let forged = Request::post("/webhook/github", format!("{{\"n\":{n}}}"))
            .header("Content-Type", "application/json")
            .header("X-Hub-Signature-256", format!("sha256={}", "0".repeat(64)));
        assert_eq!(forged.send(gateway.public).status, 401);
    }
    let data = hears(&watch, "gateway.route.rejecting");
    assert_eq!(
        (&data["route"], &data["refused"], &data["reason"], &data["status"]),
        (&json!("github"), &json!(10), &json!("signature"), &json!(401))
    );
    assert_eq!(told(&watch)["gateway.route.rejecting"].len(), 1);
}

#[test]
fn a_store_without_room_is_told_before_it_refuses_and_takes_events_again_when_it_has_some() {
    let watch = Receiver::start();
    let version = |max: u64| {
        let rest =
            format!("  store: {{ maxBytes: {max} }}\n  inbound:\n    github: {{ secret: {SECRET} }}\n  outbound:\n");
        watching(&watch, "gateway.store.pressure", &rest)
    };
    let gateway = Gateway::start(&version(1024 * 1024));
    gateway.condition("StorePressure", "Ok");
    let fill = |bytes: usize| {
        // What does not repeat itself takes its room.
        let mut random = vec![0; bytes / 4 * 3];
        getrandom::fill(&mut random).unwrap();
        let data = json!({ "text": STANDARD.encode(random) });
        gateway
            .post("/v1/events", &json!({ "event": "message.sent", "data": data }))
            .status
    };
    for n in 0..45 {
        assert_eq!(fill(16 * 1024), 202, "{n}");
    }
    // The last tenth takes longer than the gateway needs to look.
    let told = eventually("pressure is told", || {
        assert_eq!(fill(4 * 1024), 202);
        std::thread::sleep(Duration::from_millis(50));
        told(&watch).remove("gateway.store.pressure")
    });
    assert_eq!(
        (&told[0]["reason"], &told[0]["maxBytes"]),
        (&json!("NearlyFull"), &json!(1024 * 1024))
    );
    assert_eq!(gateway.condition("StorePressure", "NearlyFull")["status"], "True");

    eventually("new events are refused", || (fill(16 * 1024) == 503).then_some(()));
    let refused = github("/webhook/github", "full").send(gateway.public);
    assert_eq!((refused.status, refused.header("retry-after").is_some()), (503, true));
    gateway.condition("StorePressure", "Full");

    // A larger bound, and the key of what was refused is not burnt.
    gateway.save_and_wait(&version(64 * 1024 * 1024));
    eventually("it is accepted", || {
        (github("/webhook/github", "full").send(gateway.public).status == 200).then_some(())
    });
    assert_eq!(gateway.condition("StorePressure", "Ok")["status"], "False");
}
