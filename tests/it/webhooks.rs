//! `openclaw webhooks` and `listen` over the real binary: what a person sees.

use std::io::{BufRead as _, BufReader};
use std::process::{Output, Stdio};

use serde_json::{Value as Json, json};

use crate::harness::{Behaviour, Gateway, Receiver, Request, document, eventually, openclaw};

pub const SECRET: &str = "a-secret-that-is-never-printed";

pub fn webhooks(receiver: &Receiver) -> String {
    document(&format!(
        "  inbound:\n    telegram: {{ channel: telegram-main, url: \"http://gateway.example.com/webhook/telegram\", secret: {SECRET} }}\n    slack: {{ channel: slack-team, secret: {SECRET}, paused: true }}\n    both: {{ platform: token, secret: {SECRET} }}\n  outbound:\n    event-logger: {{ url: \"{}\", events: [message.received, error], secret: {SECRET}, retries: 0 }}\n    both: {{ url: \"https://u:{SECRET}@backup.example.com/messages?key={SECRET}\", events: [system.stopped] }}\n",
        receiver.url("/events")
    ))
}

#[track_caller]
pub fn good(out: &Output) -> String {
    let text = String::from_utf8(out.stdout.clone()).unwrap();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{text}{errors}");
    assert!(!text.contains(SECRET) && !errors.contains(SECRET), "{text}{errors}");
    text
}

#[track_caller]
pub fn bad(out: &Output) -> String {
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(1), "{text}");
    assert!(!text.contains(SECRET), "{text}");
    text
}

#[track_caller]
pub fn json_of(out: &Output) -> Json {
    let text = good(out);
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// A message from Telegram; `number` is the update's.
pub fn telegram(gateway: &Gateway, number: u32, secret: &str) -> u16 {
    let message = json!({ "message_id": number, "date": 1_773_570_600, "text": "你好",
        "chat": { "id": 1, "type": "private" }, "from": { "id": 2, "is_bot": false, "first_name": "Mia" } });
    let update = json!({ "update_id": number, "message": message });
    Request::post("/webhook/telegram", update.to_string())
        .header("content-type", "application/json")
        .header("x-telegram-bot-api-secret-token", secret)
        .send(gateway.public)
        .status
}

/// Runs a command where no gateway is named and none answers.
pub fn alone(gateway_dir: &std::path::Path, args: &[&str]) -> Output {
    openclaw().args(args).current_dir(gateway_dir).output().unwrap()
}

#[test]
fn list_and_show_look_as_in_the_tutorial_with_and_without_a_gateway() {
    let receiver = Receiver::start();
    let gateway = Gateway::start(&webhooks(&receiver));
    assert_eq!(telegram(&gateway, 1, SECRET), 200);
    assert_eq!(telegram(&gateway, 2, "wrong"), 401);
    receiver.wait_for(1);
    let shown = || good(&gateway.cli(&["webhooks", "show", "event-logger"]));
    let sender = eventually("the attempt in the figures", || {
        Some(shown()).filter(|text| text.contains("Last Delivery: just now") && text.contains("Backlog: 0"))
    });
    let list = good(&gateway.cli(&["webhooks", "list"]));
    let expected = format!(
        "Webhooks:\n  Inbound:\n    /webhook/telegram     ✓ Active    telegram-main\n    /webhook/slack        ✗ Inactive  slack-team\n    /webhook/both         ✓ Active    both\n\n  Outbound:\n    event-logger          ✓ Active    {}\n    both                  ✓ Active    https://***@backup.example.com/messages?key=***\n",
        receiver.url("/events")
    );
    assert_eq!(list, expected);
    let route = good(&gateway.cli(&["webhooks", "show", "telegram"]));
    let tutorial = "Webhook: telegram\n  Path: /webhook/telegram\n  Full URL: http://gateway.example.com/webhook/telegram\n  Channel: telegram-main\n  Status: Active\n  Signature Verification: enabled\n  Last Received: just now\n  Messages Today: 1\n";
    assert_eq!(route, format!("{tutorial}  Refused since the start: 1 signature\n"));
    for line in [
        "  Events: message.received, message.error\n",
        "  Retries: 0\n",
        "  Backlog: 0\n",
        "  Dead Letters: 0\n",
        "  Success Rate (1h): 100.0% of 1 attempts\n",
        "  Latency (1h): p50 ",
    ] {
        assert!(sender.contains(line), "{line}{sender}");
    }
    let listed = json_of(&gateway.cli(&["webhooks", "list", "--json"]));
    assert_eq!(listed["items"][1]["reason"], "the document pauses it");
    let detail = json_of(&gateway.cli(&["webhooks", "show", "telegram", "--json"]));
    assert_eq!(detail["route"]["messages"], 1);

    let (dir, _) = gateway.kill();
    let list = alone(dir.path(), &["webhooks", "list"]);
    assert_eq!(good(&list), expected);
    let note = String::from_utf8_lossy(&list.stderr).into_owned();
    assert!(
        note.ends_with(": reading the local store instead\n") && note.lines().count() == 1,
        "{note}"
    );
    assert_eq!(good(&alone(dir.path(), &["webhooks", "show", "telegram"])), tutorial);
    let sender = good(&alone(dir.path(), &["webhooks", "show", "event-logger"]));
    assert!(
        sender.contains("  Success Rate (1h): 100.0% of 1 attempts\n"),
        "{sender}"
    );
}

#[test]
fn a_name_that_is_wrong_or_on_both_sides_is_told_with_the_way_out() {
    let receiver = Receiver::start();
    let gateway = Gateway::start(&webhooks(&receiver));
    let said = |args: &[&str]| bad(&gateway.cli(args));
    assert_eq!(
        said(&["webhooks", "show", "telegarm"]),
        "error: there is no webhook `telegarm`\nhint: did you mean `telegram`?\n"
    );
    assert_eq!(
        said(&["webhooks", "logs", "Nothing/like it"]),
        "error: there is no webhook `Nothing/like it`\nhint: `openclaw webhooks list` shows all\n"
    );
    assert_eq!(
        said(&["webhooks", "show", "both"]),
        "error: `both` is the name of an inbound and of an outbound webhook\nhint: add --inbound or --outbound\n"
    );
    assert_eq!(
        said(&["webhooks", "show", "telegram", "--outbound"]),
        "error: there is no outbound webhook `telegram`\nhint: `telegram` is an inbound webhook: write --inbound\n"
    );
    assert!(good(&gateway.cli(&["webhooks", "show", "both", "--inbound"])).contains("  Path: /webhook/both\n"));
    assert!(good(&gateway.cli(&["webhooks", "show", "both", "--outbound"])).contains("  URL: https://***@"));
}

#[test]
fn logs_tell_each_attempt_and_what_a_route_refused() {
    let receiver = Receiver::start();
    let gateway = Gateway::start(&webhooks(&receiver));
    assert_eq!(telegram(&gateway, 1, SECRET), 200);
    receiver.wait_for(1);
    receiver.behave(Behaviour::Answer(500));
    assert_eq!(telegram(&gateway, 2, SECRET), 200);
    assert_eq!(telegram(&gateway, 2, SECRET), 200);
    assert_eq!(telegram(&gateway, 3, "wrong"), 401);
    let logs = |args: &[&str]| good(&gateway.cli(&[&["webhooks", "logs"], args].concat()));
    let all = eventually("two attempts in the log", || {
        Some(logs(&["event-logger"])).filter(|text| text.lines().count() == 3)
    });
    let lines: Vec<&str> = all.lines().collect();
    assert!(
        lines[0].starts_with("TIME                  EVENT             DELIVERY"),
        "{all}"
    );
    assert!(
        lines[1].contains("  message.received  dlv_") && lines[1].contains("  1/1      200     "),
        "{all}"
    );
    assert!(lines[2].contains("  1/1      500     "), "{all}");
    assert_eq!(logs(&["event-logger", "--failed"]).lines().count(), 2);
    assert_eq!(
        logs(&["event-logger", "--status", "200", "--last", "20"])
            .lines()
            .count(),
        2
    );
    assert_eq!(logs(&["event-logger", "--last", "1"]).lines().count(), 2);
    assert_eq!(
        logs(&["event-logger", "--since", "2099-01-01T00:00:00Z"]),
        "Nothing in the log.\n"
    );
    let newest = json_of(&gateway.cli(&["webhooks", "logs", "event-logger", "--json"]));
    assert_eq!(
        (&newest["items"][0]["status"], &newest["items"][0]["of"]),
        (&json!(500), &json!(1))
    );
    let route = eventually("what the route noted", || {
        Some(logs(&["telegram"])).filter(|text| text.contains("401 signature") && text.contains("duplicate"))
    });
    assert_eq!(route.matches("  accepted ").count(), 2, "{route}");
    let refused = logs(&["telegram", "--failed"]);
    assert!(
        refused.lines().count() == 2 && refused.contains("401 signature"),
        "{refused}"
    );
    let (dir, _) = gateway.kill();
    let offline = alone(dir.path(), &["webhooks", "logs", "event-logger"]);
    assert_eq!(good(&offline), all);
}

#[test]
fn logs_follow_what_comes() {
    let receiver = Receiver::start();
    let gateway = Gateway::start(&webhooks(&receiver));
    assert_eq!(telegram(&gateway, 1, SECRET), 200);
    receiver.wait_for(1);
    eventually("the first attempt in the log", || {
        Some(()).filter(|()| !good(&gateway.cli(&["webhooks", "logs", "event-logger"])).starts_with("Nothing"))
    });
    let mut child = openclaw()
        .args(["webhooks", "logs", "event-logger", "--follow", "--json"])
        .current_dir(gateway.dir.path())
        .env("OPENCLAW_GATEWAY", format!("http://{}", gateway.admin))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || serde_json::from_str::<Json>(&lines.next().unwrap().unwrap()).unwrap();
    let first = next();
    assert_eq!(first["status"], 200);
    receiver.behave(Behaviour::Answer(502));
    assert_eq!(telegram(&gateway, 2, SECRET), 200);
    let second = next();
    assert_eq!(second["status"], 502);
    assert_ne!(first["delivery"], second["delivery"]);

    // While the gateway is away nobody answers; what it does when it is back follows.
    let (admin, path) = (gateway.admin, gateway.path("openclaw.yaml"));
    let (dir, env) = gateway.kill();
    let nobody = std::net::TcpListener::bind(admin).unwrap();
    for _ in 0..2 {
        drop(nobody.accept().unwrap());
    }
    drop(nobody);
    let text = std::fs::read_to_string(&path).unwrap();
    let here = format!("admin: {{ listen: \"{admin}\" }}");
    std::fs::write(&path, text.replace("admin: { listen: \"127.0.0.1:0\" }", &here)).unwrap();
    let gateway = Gateway::start_in(dir, env);
    assert_eq!(telegram(&gateway, 3, SECRET), 200);
    let third = next();
    assert_eq!(third["status"], 502);
    assert_ne!(second["delivery"], third["delivery"]);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn listen_checks_the_gateways_own_signature() {
    let start = |secret: &str| {
        let mut child = openclaw()
            .args(["listen", "--port", "0", "--secret", secret])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        let url = first.strip_prefix("Listening on ").unwrap().to_owned();
        (child, lines, url)
    };
    let (mut right, mut right_lines, right_url) = start(SECRET);
    let (mut wrong, mut wrong_lines, wrong_url) = start("another");
    let sender =
        |name: &str, url: &str| format!("    {name}: {{ url: \"{url}\", events: [message.sent], secret: {SECRET} }}\n");
    let gateway = Gateway::start(&document(&format!(
        "  outbound:\n{}{}",
        sender("right", &right_url),
        sender("wrong", &wrong_url)
    )));
    let event = json!({ "event": "message.sent", "data": { "message": "hi" } });
    assert_eq!(gateway.post("/v1/events", &event).status, 202);
    let line = right_lines.next().unwrap().unwrap();
    assert_eq!(line, "message.sent  attempt 1  signature ok  answered 200");
    assert!(right_lines.next().unwrap().unwrap().contains(r#""message":"hi""#));
    let line = wrong_lines.next().unwrap().unwrap();
    assert!(
        line.contains("signature does not hold") && line.ends_with("answered 401"),
        "{line}"
    );
    for child in [&mut right, &mut wrong] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
