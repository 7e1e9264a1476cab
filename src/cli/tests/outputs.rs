//! What every command prints, as text and as JSON, of a gateway that answers what it is told to.

use std::fmt::Write as _;

use clap::CommandFactory as _;
use serde_json::{Value as Json, json};

use super::harness::{Gateway, NOW, Shell, answer, applied, generation, plan, problem, status};
use crate::admin::wire::Listing;
use crate::cli::Cli;

/// Commands that print no answer of their own, and where they are tested instead.
const ELSEWHERE: [&str; 5] = [
    "run",         // tests/it
    "events tail", // goes on until it is stopped: tests/it/webhooks.rs
    "listen",      // likewise: tests/it/operations.rs
    "completions", // a script: tests/it/completions.rs
    "init",        // makes files: tests/it
];

/// A plan of one change: the others are in the snapshots of plans.
fn small() -> crate::admin::wire::PlanDocument {
    let mut plan = plan();
    plan.changes.truncate(1);
    plan
}

/// The answers of a gateway with one sender and one route.
fn gateway() -> Gateway {
    let sender = json!({
        "direction": "outbound", "name": "event-logger", "state": "failing", "reason": "its last attempts failed: timeout",
        "url": "https://log.example.com/events?key=***", "events": ["message.received"], "retries": 3, "place": 60,
    });
    let route = json!({
        "direction": "inbound", "name": "telegram", "state": "active", "path": "/webhook/telegram",
        "url": "https://gateway.example.com/webhook/telegram", "channel": "telegram-main", "platform": "telegram",
        "verifySignature": true, "place": 20,
    });
    let entry = json!({ "atMs": NOW, "sender": "event-logger", "eventId": "evt_01", "event": "message.received",
        "delivery": "dlv_01_1", "attempt": 1, "of": 4, "error": "timeout", "latencyMs": 10000.0, "nextMs": NOW + 5000 });
    let event = json!({ "id": "evt_01", "event": "message.received", "timestamp": "2026-03-15T10:30:00Z", "atMs": NOW,
        "source": "telegram", "owed": 1, "dead": 0, "data": { "message": "你好" } });
    let letter = json!({ "sender": "event-logger", "eventId": "evt_01", "event": "message.received",
        "delivery": "dlv_01_1", "reason": "exhausted", "detail": "HTTP 500", "sinceMs": NOW, "attempts": 4 });
    let story = json!({
        "event": event,
        "request": { "route": "telegram", "method": "POST", "path": "/webhook/telegram", "bodyBytes": 120, "verified": true },
        "deliveries": [{ "sender": "event-logger", "delivery": "dlv_01_1", "state": "owed", "attempts": 1, "dueMs": NOW + 5000 }],
        "attempts": [entry],
    });
    let list = |item: &Json| answer(&json!({ "items": [item], "next": null }));
    let document = || {
        use axum::response::IntoResponse as _;
        ([(axum::http::header::ETAG, "\"6\"")], "webhooks: {} # old\n").into_response()
    };
    let missing = || {
        let missing = json!({ "type": "about:blank", "title": "not found", "status": 404 });
        problem(&serde_json::from_value(missing).unwrap())
    };
    let mut answers = vec![
        ("GET /v1/webhooks?limit=1", list(&route)),
        (
            "GET /v1/webhooks?limit=1000",
            answer(&json!({ "items": [route, sender], "next": null })),
        ),
        (
            "GET /v1/webhooks/inbound/telegram",
            answer(&json!({
                "webhook": route, "conditions": [], "route": { "lastReceivedMs": NOW - 120_000, "messages": 230 },
            })),
        ),
        (
            "GET /v1/webhooks/outbound/event-logger",
            answer(&json!({ "webhook": sender, "conditions": [], "sender": null })),
        ),
        // Neither has a namesake on the other side.
        ("GET /v1/webhooks/outbound/telegram", missing()),
        ("GET /v1/webhooks/inbound/event-logger", missing()),
        ("GET /v1/logs?sender=event-logger&limit=20", list(&entry)),
        ("GET /v1/events?limit=20", list(&event)),
        ("GET /v1/events?limit=50", list(&event)),
        ("GET /v1/events/evt_01", answer(&story)),
        ("GET /v1/dead?limit=50", list(&letter)),
        (
            "GET /v1/generations?limit=2",
            answer(&Listing {
                items: vec![generation(7), generation(6)],
                next: None,
            }),
        ),
        (
            "GET /v1/generations?limit=20",
            answer(&Listing {
                items: vec![generation(7), generation(6)],
                next: None,
            }),
        ),
        ("GET /v1/document", document()),
        ("GET /v1/document?generation=6", document()),
        ("POST /v1/apply", applied()),
        ("POST /v1/replay", answer(&json!({ "owed": 3 }))),
        ("POST /v1/dead/purge", answer(&json!({ "purged": 2 }))),
        (
            "POST /v1/events",
            answer(&json!({ "events": [{ "id": "evt_02", "duplicate": false }] })),
        ),
        (
            "POST /v1/webhooks/outbound/event-logger/test",
            answer(&json!({ "delivered": true, "status": 200, "latencyMs": 12.5 })),
        ),
    ];
    for _ in 0..3 {
        answers.push(("POST /v1/plan", answer(&small())));
        answers.push(("GET /v1/status", answer(&status())));
    }
    Gateway::with(answers)
}

/// A document with two webhooks, for the commands that edit or check it.
const DOCUMENT: &str = "\
webhooks:
  inbound:
    telegram: { secret: { env: TELEGRAM_WEBHOOK_SECRET } }
  outbound:
    event-logger:
      url: https://log.example.com/events
    old:
      url: https://old.example.com/
      paused: true
";

/// A command line for each command.
const LINES: [(&str, &str); 30] = [
    ("validate", ""),
    ("explain", "OC102"),
    ("schema", ""),
    ("plan", ""),
    ("show", "p.plan"),
    ("apply", "--yes"),
    ("status", ""),
    ("history", "--last 2"),
    ("export", ""),
    ("rollback", "6 --yes"),
    ("webhooks list", ""),
    ("webhooks show", "telegram"),
    ("webhooks set-inbound", "github --secret env:GITHUB_SECRET"),
    (
        "webhooks create",
        "new --url https://new.example.com --events message.sent",
    ),
    ("webhooks update", "event-logger --retries 3 --dry-run"),
    ("webhooks test", "event-logger"),
    ("webhooks logs", "event-logger --last 20"),
    ("webhooks pause", "event-logger"),
    ("webhooks resume", "old"),
    ("webhooks delete", "old"),
    ("events list", "--last 20"),
    ("events show", "evt_01"),
    ("events publish", "message.sent --data {\"message\":\"hi\"}"),
    ("dead list", ""),
    ("dead purge", "--yes"),
    ("replay", "event-logger --failed"),
    (
        "signature sign",
        "--secret s3cret --body body.json --id evt_01 --timestamp 1773570600",
    ),
    ("signature verify", "sha256=00 --secret s3cret --body body.json"),
    ("store backup", "copy.db"),
    ("store check", ""),
];

fn run(command: &str, rest: &str, flag: &str) -> (u8, String, String) {
    let shell = Shell::new();
    std::fs::write(shell.path("openclaw.yaml"), DOCUMENT).unwrap();
    std::fs::write(shell.path("body.json"), "{}").unwrap();
    std::fs::write(shell.path("p.plan"), crate::plan::saved::write(&small())).unwrap();
    if command.starts_with("store") {
        let path = shell.path(".openclaw-webhooks");
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            use crate::store::Store as _;
            let store = crate::store::sqlite::open(std::path::Path::new(&path), 0, "a test").unwrap();
            store.close().await;
        });
    }
    let ran = shell.run(&gateway(), &format!("{flag} {command} {rest}"));
    let place = shell.path("");
    let place = place.trim_end_matches('/');
    (ran.code, ran.out.replace(place, "."), ran.err.replace(place, "."))
}

/// What differs from one machine or release to the next.
fn steady(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let varies = ["bytes", "Format:", "\"format\":", "written", "\"version\""]
            .iter()
            .any(|word| line.contains(word));
        let kept = if varies {
            line.split(|c: char| c.is_ascii_digit()).next().unwrap_or_default()
        } else {
            line
        };
        out.push_str(kept);
        out.push('\n');
    }
    out
}

#[test]
fn every_command_prints_text_and_json() {
    let mut all = String::new();
    for (command, rest) in LINES {
        // The schema and the man page are files of their own.
        let long = ["schema"].contains(&command);
        for flag in ["", "--json"] {
            let (code, out, err) = run(command, rest, flag);
            if flag == "--json" && !["export", "schema"].contains(&command) {
                let read = serde_json::from_str::<Json>(&out);
                assert!(read.is_ok(), "{command} --json prints no JSON document:\n{out}\n{err}");
            }
            if long {
                assert!(code == 0 && out.len() > 1000, "{out}{err}");
                continue;
            }
            _ = write!(all, "==== openclaw {flag} {command} {rest}\n{}", steady(&out));
            if !err.is_empty() {
                _ = write!(all, "---- stderr\n{}", steady(&err));
            }
            _ = write!(all, "---- exit {code}\n\n");
        }
    }
    insta::assert_snapshot!("outputs", all);
}

#[test]
fn no_command_is_without_such_a_line() {
    let mut missing = Vec::new();
    leaves(&Cli::command(), "", &mut |path| {
        if !LINES.iter().any(|(command, _)| *command == path) && !ELSEWHERE.contains(&path) && path != "man" {
            missing.push(path.to_owned());
        }
    });
    assert!(missing.is_empty(), "no snapshot of their output: {missing:?}");
}

/// Each command that does something, by its path.
fn leaves(command: &clap::Command, path: &str, each: &mut dyn FnMut(&str)) {
    let mut below = command.get_subcommands().peekable();
    if below.peek().is_none() {
        return each(path);
    }
    for command in below {
        leaves(command, format!("{path} {}", command.get_name()).trim_start(), each);
    }
}
