//! What a change will do, before and right after it is made: `plan --impact`, `apply --guard`, replays of the past.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use serde_json::{Value as Json, json};

use crate::harness::{Behaviour, Gateway, Receiver, document, eventually, openclaw};
use crate::load::{SECRET, github};
use crate::webhooks::{good, json_of};

fn with(outbound: &str) -> String {
    document(&format!(
        "  inbound:\n    github: {{ secret: {SECRET} }}\n    other: {{ platform: token, secret: t }}\n  outbound:\n{outbound}"
    ))
}

fn publish(gateway: &Gateway, event: &str) {
    let answer = gateway.post("/v1/events", &json!({ "event": event, "data": { "message": "hi" } }));
    assert_eq!(answer.status, 202, "{}", answer.text());
}

fn post(gateway: &Gateway, ids: &[&str]) {
    for id in ids {
        assert_eq!(github("/webhook/github", id).send(gateway.public).status, 200);
    }
}

/// Kills a command that goes on until it is stopped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

// ---- plan --impact ----

#[test]
fn an_impact_says_who_would_have_got_what() {
    let receiver = Receiver::start();
    let url = receiver.url("/in");
    let gateway = Gateway::start(&with(&format!(
        "    a: {{ url: \"{url}\" }}\n    b: {{ url: \"{url}\" }}\n"
    )));
    post(&gateway, &["one", "two"]);
    publish(&gateway, "message.sent");
    publish(&gateway, "message.error");
    let new = with(&format!(
        "    a: {{ url: \"{url}\", from: [github] }}\n    c: {{ url: \"{url}\", events: [message.*] }}\n"
    ));
    let new = new.replace("    other: { platform: token, secret: t }\n", "");
    let new = new.replace(
        &format!("    github: {{ secret: {SECRET} }}"),
        &format!("    github: {{ secret: {SECRET}, paused: true }}"),
    );
    std::fs::write(gateway.path("new.yaml"), new).unwrap();

    let text = good(&gateway.cli(&["plan", "-f", "new.yaml", "--impact", "--since", "1h"]));
    // `system.started` is an event too.
    assert!(text.contains("\nImpact: 5 events since "), "{text}");
    for line in [
        "  webhooks.outbound.a  got 5, would get 0 (-5)\n      loses, such as evt_",
        "  webhooks.outbound.b  got 5, would get 0 (-5)\n",
        "  webhooks.outbound.c  got 0, would get 2 (+2)\n      gains, such as evt_",
        "  webhooks.inbound.github  paused: 2 events would not have come\n",
    ] {
        assert!(text.contains(line), "no `{line}` in\n{text}");
    }
    let plan = json_of(&gateway.cli(&["plan", "-f", "new.yaml", "--impact", "--json"]));
    let schema: Json = serde_json::from_str(include_str!("../../schema/plan.schema.json")).unwrap();
    let faults: Vec<_> = jsonschema::validator_for(&schema)
        .unwrap()
        .iter_errors(&plan)
        .map(|e| e.to_string())
        .collect();
    assert!(faults.is_empty(), "{faults:?}");
    assert_eq!(
        plan["impact"]["senders"][2]["gained"][0]["event"], "message.error",
        "the newest first"
    );
    let comment = good(&gateway.cli(&["plan", "-f", "new.yaml", "--impact", "--format", "markdown"]));
    assert!(comment.contains("**Impact**\n\nImpact: 5 events"), "{comment}");
    let plan = json_of(&gateway.cli(&["plan", "-f", "new.yaml", "--json"]));
    assert!(plan.get("impact").is_none(), "only where it is asked for");
    let answer = gateway.post(
        "/v1/plan",
        &json!({ "document": gateway.get("/v1/document").1, "impact": { "since": "0s" } }),
    );
    assert_eq!(answer.json()["impact"]["events"], 0);

    // Without a gateway: from the store that it left.
    let (dir, _) = gateway.kill();
    let output = openclaw()
        .args(["plan", "-f", "new.yaml", "--impact"])
        .current_dir(dir.path())
        .output()
        .unwrap();
    let text = good(&output);
    assert!(
        text.contains("  webhooks.outbound.c  got 0, would get 2 (+2)\n"),
        "{text}"
    );
}

// ---- apply --guard ----

#[test]
fn a_guard_rolls_back_a_sender_that_fails() {
    let (well, broken) = (Receiver::start(), Receiver::start());
    broken.behave(Behaviour::Answer(500));
    let document = |url: &str| with(&format!("    a: {{ url: \"{url}\" }}\n"));
    let manual = |text: String| format!("{text}  reconcile: {{ mode: manual }}\n");
    let gateway = Gateway::start(&manual(document(&well.url("/in"))));
    publish(&gateway, "message.sent");
    well.wait_for(1);

    gateway.save(&manual(document(&broken.url("/in"))));
    let guard = std::thread::scope(|scope| {
        let apply = scope.spawn(|| gateway.cli(&["apply", "--yes", "--guard", "1m"]));
        eventually("the new document runs", || (gateway.generation() == 2).then_some(()));
        publish(&gateway, "message.sent");
        apply.join().unwrap()
    });
    let text = String::from_utf8(guard.stdout).unwrap();
    assert_eq!(
        guard.status.code(),
        Some(1),
        "{text}{}",
        String::from_utf8_lossy(&guard.stderr)
    );
    assert!(
        text.contains("Rolled back: generation 1 runs again, as generation 3.\n  webhooks.outbound.a: 1 failed (HTTP 500 1x), 0 in as long a time before\n"),
        "{text}"
    );
    assert_eq!(gateway.generation(), 3);
    assert_eq!(
        std::fs::read_to_string(gateway.path("openclaw.yaml")).unwrap(),
        manual(document(&well.url("/in"))),
        "the file says it too"
    );
    // What failed is delivered to the old endpoint.
    well.wait_for(2);
}

#[test]
fn a_guard_lets_a_change_be_that_does_well() {
    let receiver = Receiver::start();
    let document = |retries: u8| {
        with(&format!(
            "    a: {{ url: \"{}\", retries: {retries} }}\n",
            receiver.url("/in")
        ))
    };
    let gateway = Gateway::start(&document(1));
    std::fs::write(gateway.path("new.yaml"), document(2)).unwrap();
    let apply = std::thread::scope(|scope| {
        let apply = scope.spawn(|| gateway.cli(&["apply", "-f", "new.yaml", "--yes", "--guard", "1500ms", "--json"]));
        eventually("the new document runs", || (gateway.generation() == 2).then_some(()));
        publish(&gateway, "message.sent");
        apply.join().unwrap()
    });
    let answer = json_of(&apply);
    assert_eq!(answer["guard"], json!({ "reasons": [] }));
    assert_eq!(gateway.generation(), 2);
}

#[test]
fn a_guard_rolls_back_a_route_that_rejects_more_than_before() {
    let old = with("    a: { url: \"https://a.example\" }\n");
    let gateway = Gateway::start(&old);
    std::fs::write(gateway.path("new.yaml"), old.replace(SECRET, "another-secret")).unwrap();
    let apply = std::thread::scope(|scope| {
        let apply = scope.spawn(|| gateway.cli(&["apply", "-f", "new.yaml", "--yes", "--guard", "1m"]));
        eventually("the new document runs", || (gateway.generation() == 2).then_some(()));
        assert_eq!(github("/webhook/github", "x").send(gateway.public).status, 401);
        apply.join().unwrap()
    });
    let text = String::from_utf8(apply.stdout).unwrap();
    assert_eq!(apply.status.code(), Some(1), "{text}");
    assert!(
        text.contains("  webhooks.inbound.github: 1 rejected (signature 1x), 0 in as long"),
        "{text}"
    );
    assert_eq!(github("/webhook/github", "y").send(gateway.public).status, 200);
}

// ---- replay ----

#[test]
fn a_replay_with_new_ids_is_new_to_its_receiver_and_goes_to_nobody_else() {
    let (first, second) = (Receiver::start(), Receiver::start());
    let outbound = format!(
        "    a: {{ url: \"{}\", events: [message.*] }}\n    b: {{ url: \"{}\", events: [message.*] }}\n",
        first.url("/a"),
        second.url("/b")
    );
    let gateway = Gateway::start(&with(&outbound));
    publish(&gateway, "message.sent");
    publish(&gateway, "channel.connected");
    let old = first.wait_for(1).remove(0);
    let text = good(&gateway.cli(&["replay", "a", "--since", "1h", "--new-id"]));
    assert_eq!(text, "1 delivery is owed to a again.\n");
    let new = first.wait_for(2).remove(1);
    assert_ne!(new.header("webhook-id"), old.header("webhook-id"));
    assert_eq!(new.json()["data"], old.json()["data"]);
    assert_eq!(new.json()["timestamp"], old.json()["timestamp"]);
    let id = old.header("webhook-id").unwrap();
    good(&gateway.cli(&["replay", "a", "--id", id]));
    let same = first.wait_for(3).remove(2);
    assert_eq!(same.header("webhook-id"), Some(id));
    assert_eq!(second.count(), 1, "nobody else gets them");
}

#[test]
fn stored_requests_are_read_again_without_being_verified_again() {
    let receiver = Receiver::start();
    let outbound = format!(
        "    a: {{ url: \"{}\", events: [webhook.received] }}\n",
        receiver.url("/a")
    );
    let gateway = Gateway::start(&with(&outbound));
    post(&gateway, &["one", "two"]);
    let old = receiver.wait_for(2);
    // Whoever signed them would not be believed any more.
    gateway.save_and_wait(&with(&outbound).replace(SECRET, "another-secret"));
    let text = good(&gateway.cli(&["replay", "github", "--inbound", "--since", "1h"]));
    assert_eq!(text, "2 requests of github made 2 new events.\n");
    let all = receiver.wait_for(4);
    let ids: std::collections::BTreeSet<_> = all.iter().map(|r| r.header("webhook-id").unwrap()).collect();
    assert_eq!(ids.len(), 4, "new events");
    let data = |requests: &[crate::harness::Received]| -> std::collections::BTreeSet<String> {
        requests
            .iter()
            .map(|request| request.json()["data"].to_string())
            .collect()
    };
    assert_eq!(data(&all[2..]), data(&old[..2]));
    let again = json_of(&gateway.cli(&["replay", "github", "--inbound", "--since", "1h", "--json"]));
    assert_eq!(
        again,
        json!({ "requests": 2, "events": 2 }),
        "new events are not read again"
    );
}

// ---- listen --forward ----

#[test]
fn the_gateways_events_are_forwarded_to_a_program_on_this_machine() {
    let program = Receiver::start();
    let gateway = Gateway::start(&with("    a: { url: \"https://a.example\" }\n"));
    let mut forward = Running(
        openclaw()
            .args([
                "listen",
                "--forward",
                &program.url("/in"),
                "--secret",
                "s3cret",
                "--events",
                "message.*",
            ])
            .current_dir(gateway.dir.path())
            .env("OPENCLAW_GATEWAY", format!("http://{}", gateway.admin))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut notes = BufReader::new(forward.0.stderr.take().unwrap()).lines();
    let said = notes.next().unwrap().unwrap();
    assert!(said.starts_with("Forwarding the events of http://"), "{said}");
    publish(&gateway, "channel.connected");
    publish(&gateway, "message.sent");
    let got = program.wait_for(1).remove(0);
    assert_eq!(got.header("x-openclaw-event"), Some("message.sent"));
    let mut lines = BufReader::new(forward.0.stdout.take().unwrap()).lines();
    let line = lines.next().unwrap().unwrap();
    assert!(
        line.starts_with("message.sent  evt_") && line.contains("  answered 200  "),
        "{line}"
    );

    // Both signatures hold, by the command that verifies them.
    std::fs::write(gateway.path("body.json"), &got.body).unwrap();
    let header = |name| got.header(name).unwrap().to_owned();
    let verify = ["signature", "verify", "--secret", "s3cret", "--body", "body.json"];
    good(&gateway.cli(&[&verify[..], &[&header("x-openclaw-signature")]].concat()));
    let (id, timestamp, signature) = (
        header("webhook-id"),
        header("webhook-timestamp"),
        header("webhook-signature"),
    );
    let standard = ["--id", &id, "--timestamp", &timestamp, &signature];
    good(&gateway.cli(&[&verify[..], &standard].concat()));
    let sign = [
        "signature",
        "sign",
        "--secret",
        "s3cret",
        "--body",
        "body.json",
        "--id",
        &id,
        "--timestamp",
        &timestamp,
    ];
    assert_eq!(
        good(&gateway.cli(&sign)),
        format!("webhook-id: {id}\nwebhook-timestamp: {timestamp}\nwebhook-signature: {signature}\n")
    );
    let later = (timestamp.parse::<u64>().unwrap() + 1).to_string();
    let wrong = gateway.cli(&[&verify[..], &["--id", &id, "--timestamp", &later, &signature]].concat());
    assert_eq!(wrong.status.code(), Some(1));
    program.behave(Behaviour::Answer(503));
    publish(&gateway, "message.sent");
    assert!(lines.next().unwrap().unwrap().contains("  answered 503  "));
}
