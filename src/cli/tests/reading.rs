//! Reading commands as programs read them: one JSON document, of the API's own members.

use clap::Parser as _;
use serde_json::{Value as Json, json};

use super::harness::{Gateway, NOW, Shell, answer};
use crate::cli::{Cli, usage_code, usage_error};

/// The answers of a gateway with one sender, and what else it is asked for.
fn gateway(more: Vec<(&'static str, Json)>) -> Gateway {
    let row = json!({
        "direction": "outbound", "name": "event-logger", "state": "failing", "reason": "its last attempts failed: timeout",
        "url": "https://log.example.com/events?key=***", "events": ["message.received"], "retries": 3, "place": 60,
    });
    let detail = json!({ "webhook": row, "conditions": [], "sender": null });
    let problem = missing();
    let mut answers = vec![
        (
            "GET /v1/webhooks?limit=1",
            answer(&json!({ "items": [row], "next": null })),
        ),
        (
            "GET /v1/webhooks?limit=1000",
            answer(&json!({ "items": [row], "next": null })),
        ),
        ("GET /v1/webhooks/inbound/event-logger", problem),
        ("GET /v1/webhooks/outbound/event-logger", answer(&detail)),
    ];
    answers.extend(more.into_iter().map(|(to, body)| (to, answer(&body))));
    Gateway::with(answers)
}

fn missing() -> axum::response::Response {
    let missing = json!({ "type": "about:blank", "title": "not found", "status": 404 });
    super::harness::problem(&serde_json::from_value(missing).unwrap())
}

fn run(line: &str, more: Vec<(&'static str, Json)>) -> String {
    let ran = Shell::new().run(&gateway(more), line);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{line}");
    serde_json::from_str::<Json>(&ran.out).unwrap_or_else(|error| panic!("{line}: {error}: {}", ran.out));
    ran.out
}

#[test]
fn webhooks_are_listed_as_json() {
    insta::assert_snapshot!(run("webhooks list --json", Vec::new()), @r#"
    {
      "items": [
        {
          "direction": "outbound",
          "name": "event-logger",
          "state": "failing",
          "reason": "its last attempts failed: timeout",
          "url": "https://log.example.com/events?key=***",
          "events": [
            "message.received"
          ],
          "retries": 3,
          "place": 60
        }
      ],
      "next": null
    }
    "#);
}

#[test]
fn a_log_is_json() {
    let entry = json!({ "atMs": NOW, "sender": "event-logger", "eventId": "evt_01", "event": "message.received",
        "delivery": "dlv_01_1", "attempt": 1, "of": 4, "error": "timeout", "latencyMs": 10000.0, "nextMs": NOW + 5000 });
    let logs = (
        "GET /v1/logs?sender=event-logger&failed=true&limit=20",
        json!({ "items": [entry], "next": null }),
    );
    insta::assert_snapshot!(run("webhooks logs event-logger --last 20 --failed --json", vec![logs]), @r#"
    {
      "items": [
        {
          "atMs": 1773570600000,
          "sender": "event-logger",
          "eventId": "evt_01",
          "event": "message.received",
          "delivery": "dlv_01_1",
          "attempt": 1,
          "of": 4,
          "error": "timeout",
          "latencyMs": 10000.0,
          "nextMs": 1773570605000
        }
      ],
      "next": null
    }
    "#);
}

#[test]
fn dead_letters_are_json() {
    let letter = json!({ "sender": "event-logger", "eventId": "evt_01", "event": "message.received",
        "delivery": "dlv_01_1", "reason": "exhausted", "detail": "HTTP 500", "sinceMs": NOW, "attempts": 4 });
    let dead = (
        "GET /v1/dead?sender=event-logger&limit=50",
        json!({ "items": [letter], "next": null }),
    );
    insta::assert_snapshot!(run("dead list event-logger --json", vec![dead]), @r#"
    {
      "items": [
        {
          "sender": "event-logger",
          "eventId": "evt_01",
          "event": "message.received",
          "delivery": "dlv_01_1",
          "reason": "exhausted",
          "detail": "HTTP 500",
          "sinceMs": 1773570600000,
          "attempts": 4
        }
      ],
      "next": null
    }
    "#);
}

#[test]
fn tests_and_replays_are_json() {
    let tested = json!({ "delivered": true, "status": 200, "latencyMs": 12.5 });
    let test = ("POST /v1/webhooks/outbound/event-logger/test", tested);
    insta::assert_snapshot!(run("webhooks test event-logger --json", vec![test]), @r#"
    {
      "delivered": true,
      "status": 200,
      "latencyMs": 12.5
    }
    "#);
    let replay = ("POST /v1/replay", json!({ "owed": 3 }));
    let gateway = gateway(vec![replay]);
    let ran = Shell::new().run(&gateway, "replay event-logger --failed --since 1h --json");
    assert_eq!(ran.out, "{\n  \"owed\": 3\n}\n", "{}", ran.err);
    let asked = json!({ "sender": "event-logger", "failed": true, "since": "2026-03-15T09:30:00Z" });
    assert_eq!(gateway.body(gateway.requests().len() - 1), asked);
}

#[test]
fn a_route_has_no_dead_letters_and_no_flag_is_told_that_would_find_some() {
    for command in ["dead list telegram", "dead purge telegram --yes"] {
        let rows =
            json!({ "items": [{ "direction": "inbound", "name": "telegram", "state": "active" }], "next": null });
        let gateway = Gateway::with(vec![
            ("GET /v1/webhooks?limit=1", answer(&rows)),
            ("GET /v1/webhooks/outbound/telegram", missing()),
            ("GET /v1/webhooks?limit=1000", answer(&rows)),
        ]);
        let ran = Shell::new().run(&gateway, command);
        let expected = "error: there is no outbound webhook `telegram`\n\
                        hint: `telegram` is an inbound webhook: only outbound ones have dead letters\n";
        assert_eq!((ran.code, ran.err.as_str()), (1, expected), "{command}");
    }
}

#[test]
fn a_condition_that_there_is_not_is_never_waited_for() {
    for (condition, near) in [
        ("Redy", Some("'Ready'")),
        ("storepresure", Some("'StorePressure'")),
        ("event-logger", None),
    ] {
        let error = Cli::try_parse_from(["openclaw", "status", "--wait", condition]).unwrap_err();
        assert_eq!(usage_code(&error), 1);
        let text = error.to_string();
        assert!(text.contains("[possible values: Ready, Applied, "), "{text}");
        let told = usage_error(&error).json();
        let message = format!("invalid value '{condition}' for '--wait <CONDITION>'");
        assert_eq!(told["error"]["message"], json!(message));
        let hints: Vec<String> = near
            .iter()
            .map(|near| format!("a similar value exists: {near}"))
            .collect();
        assert_eq!(told["error"]["hints"], json!(hints), "{text}");
    }
}
