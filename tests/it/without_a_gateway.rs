//! Where no gateway runs, whoever reads is told so in one line and answered from document and store; a gateway that was
//! named has to answer.

use std::path::Path;
use std::process::Output;

use serde_json::Value as Json;

use crate::harness::{Behaviour, Gateway, Receiver, eventually, openclaw};
use crate::webhooks::{SECRET, alone, bad, good, json_of, telegram, webhooks};

/// Every command that reads; `EVENT` stands for an event's id.
const READING: [&str; 12] = [
    "status",
    "history",
    "export",
    "plan",
    "webhooks list",
    "webhooks show telegram",
    "webhooks show event-logger",
    "webhooks logs telegram",
    "webhooks logs event-logger",
    "events list",
    "events show EVENT",
    "dead list event-logger",
];

/// Commands that only a gateway can carry out.
const OF_A_GATEWAY: [&str; 6] = [
    "webhooks test telegram --inbound",
    "events publish message.sent --data {}",
    "events tail",
    "replay event-logger",
    "dead purge event-logger --yes",
    "webhooks logs event-logger --follow",
];

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

#[track_caller]
fn says_in_one_line(output: &Output, line: &str) {
    let note = String::from_utf8_lossy(&output.stderr).into_owned();
    let (first, more) = note.split_once('\n').unwrap();
    // A plan also says what it compares with, and a route what is worth knowing of it.
    let only = line == "plan" || more.lines().all(|line| line.starts_with("note: "));
    assert!(
        first.ends_with(": reading the local store instead") && only,
        "{line}: {note}"
    );
}

/// A gateway with a delivery that was given up, and the answers of the reading commands while it runs.
fn stopped() -> (std::sync::Arc<tempfile::TempDir>, String) {
    let receiver = Receiver::start();
    receiver.behave(Behaviour::Answer(500));
    let gateway = Gateway::start(&webhooks(&receiver));
    assert_eq!(telegram(&gateway, 1, SECRET), 200);
    let dead = eventually("a dead letter", || {
        let dead = json_of(&gateway.cli(&["dead", "list", "--json"]));
        dead["items"]
            .as_array()
            .is_some_and(|items| items.len() == 1)
            .then_some(dead)
    });
    let event = dead["items"][0]["eventId"].as_str().unwrap().to_owned();
    (gateway.kill().0, event)
}

fn answers(dir: &Path, event: &str, more: &[&str]) -> Vec<(&'static str, Output)> {
    let run = |line: &'static str| {
        let mut words: Vec<_> = words(line).iter().map(|word| word.replace("EVENT", event)).collect();
        words.extend(more.iter().map(|word| (*word).to_owned()));
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        (line, alone(dir, &words))
    };
    READING.into_iter().map(run).collect()
}

#[test]
fn reading_commands_answer_from_document_and_store() {
    let (dir, event) = stopped();
    let document = std::fs::read_to_string(dir.path().join("openclaw.yaml")).unwrap();
    let shown = [
        "Gateway:   not running\nRan last:  generation 1 (start, just now)\nDocument:  openclaw.yaml is what ran last\nWebhooks:  3 inbound, 2 outbound\nOwed:      nothing\nDead:      1 dead letter\n",
        "GENERATION  APPLIED   CAUSE",
        "webhooks:",
        "No changes.",
        "    /webhook/telegram     ✓ Active    telegram-main\n",
        "  Messages Today: 1\n",
        "  Dead Letters: 1\n",
        "accepted  message.received",
        "1/1      500",
        "message.received        evt_",
        "event-logger  dlv_",
        "exhausted",
    ];
    for ((line, output), shown) in answers(dir.path(), &event, &[]).into_iter().zip(shown) {
        says_in_one_line(&output, line);
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        assert!(output.status.success() && text.contains(shown), "{line}\n{text}");
        if line == "export" {
            assert_eq!(text, document);
        } else {
            good(&output);
        }
    }
    for (line, output) in answers(dir.path(), &event, &["--json"]) {
        says_in_one_line(&output, line);
        let json = serde_json::from_slice::<Json>(&output.stdout);
        assert!(json.is_ok(), "{line}: {json:?}");
    }
}

#[test]
fn a_gateway_that_was_named_has_to_answer_and_some_commands_need_one() {
    let (dir, event) = stopped();
    // Nobody listens at a port that the system gave to a listener which is gone.
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let named = format!("http://{gone}");
    for (line, output) in answers(dir.path(), &event, &["--gateway", &named]) {
        let said = bad(&output);
        assert!(said.contains(&named) && output.stdout.is_empty(), "{line}: {said}");
    }
    for line in OF_A_GATEWAY {
        let said = bad(&alone(dir.path(), &words(line)));
        assert!(said.contains("openclaw run"), "{line}: {said}");
    }
}

#[test]
fn a_document_that_never_ran_answers_for_itself() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start();
    std::fs::write(dir.path().join("openclaw.yaml"), webhooks(&receiver)).unwrap();
    let shown = [
        "Gateway:   not running\nRan last:  nothing: no document was ever applied\nDocument:  openclaw.yaml takes effect at the start\n",
        "Nothing was ever applied.\n",
        "",
        "Plan: 5 to add, ",
        "    /webhook/telegram     ✓ Active    telegram-main\n",
        "  Last Received: never\n",
        "  Last Delivery: never\n",
        "Nothing in the log.\n",
        "Nothing in the log.\n",
        "No events.\n",
        "",
        "No dead letters.\n",
    ];
    for ((line, output), shown) in answers(dir.path(), "evt_01", &[]).into_iter().zip(shown) {
        if shown.is_empty() {
            bad(&output);
            continue;
        }
        says_in_one_line(&output, line);
        let text = good(&output);
        assert!(text.contains(shown), "{line}\n{text}");
    }
}

#[test]
fn status_tells_a_broken_and_a_changed_document_apart() {
    let (dir, _) = stopped();
    let file = dir.path().join("openclaw.yaml");
    let document = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{document}# changed\n")).unwrap();
    let text = good(&alone(dir.path(), &["status"]));
    assert!(
        text.contains("Document:  openclaw.yaml takes effect at the start\n"),
        "{text}"
    );
    std::fs::write(&file, document.replace("retries:", "retrys:")).unwrap();
    let text = good(&alone(dir.path(), &["status"]));
    assert!(
        text.contains("Document:  openclaw.yaml is broken:\n") && text.contains("did you mean `retries`?"),
        "{text}"
    );
}

#[test]
fn a_command_line_that_cannot_be_read_is_an_error_in_json_too() {
    let dir = tempfile::tempdir().unwrap();
    for line in [
        "webhooks --json",
        "--output json nosuch",
        "webhooks logs a --last many --output=json",
    ] {
        let output = alone(dir.path(), &words(line));
        let said = bad(&output);
        let json: Json = serde_json::from_slice(&output.stdout).unwrap();
        let error = json["error"]["message"].as_str().unwrap();
        assert!(said.starts_with(&format!("error: {error}")), "{line}: {error}\n{said}");
    }
    assert!(alone(dir.path(), &["nosuch"]).stdout.is_empty());
}

#[test]
fn a_variable_that_is_empty_counts_as_unset() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start();
    std::fs::write(dir.path().join("openclaw.yaml"), webhooks(&receiver)).unwrap();
    let run = |args: &[&str]| {
        let mut command = openclaw();
        command.args(args).current_dir(dir.path());
        command.env("OPENCLAW_CONFIG", "").env("OPENCLAW_GATEWAY", "");
        command.output().unwrap()
    };
    assert!(good(&run(&["webhooks", "list"])).contains("/webhook/telegram"));
    // What is typed is not passed over: it may stand for a variable that was forgotten.
    bad(&run(&["--config", "", "webhooks", "list"]));
    bad(&run(&["--gateway=", "webhooks", "list"]));
}
