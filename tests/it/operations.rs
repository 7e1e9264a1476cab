//! Testing, replaying, following, backing up: the commands of whoever operates a gateway, over the real binary.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use serde_json::{Value as Json, json};

use crate::harness::{Behaviour, Gateway, PATIENCE, Receiver, document, eventually, openclaw};
use crate::webhooks::{SECRET, alone, bad, good, json_of, telegram, webhooks};

/// Text of a run that ends with 1 because its answer is no.
#[track_caller]
fn no(gateway: &Gateway, args: &[&str]) -> String {
    let out = gateway.cli(args);
    let text = String::from_utf8(out.stdout).unwrap();
    assert_eq!(
        out.status.code(),
        Some(1),
        "{text}{}",
        String::from_utf8_lossy(&out.stderr)
    );
    assert!(!text.contains(SECRET), "{text}");
    text
}

#[test]
fn a_test_of_a_sender_is_signed_and_not_counted() {
    let receiver = Receiver::start();
    let gateway = Gateway::start(&webhooks(&receiver));
    let text = good(&gateway.cli(&["webhooks", "test", "event-logger"]));
    let head = format!(
        "Test of event-logger: {}\n  Status: 200\n  Latency: ",
        receiver.url("/events")
    );
    assert!(
        text.starts_with(&head) && text.ends_with("  Result: delivered\n"),
        "{text}"
    );
    let got = &receiver.wait_for(1)[0];
    assert_eq!(got.header("x-openclaw-event"), Some("webhook.test"));
    let signature = got.header("x-openclaw-signature").unwrap().to_owned();
    std::fs::write(gateway.path("body.json"), &got.body).unwrap();
    let verify = ["signature", "verify", "--secret", SECRET, "--body", "body.json"];
    assert_eq!(
        good(&gateway.cli(&[&verify[..], &[&signature]].concat())),
        "The signature holds.\n"
    );
    assert_eq!(good(&gateway.cli(&verify)), "The signature holds.\n", "the body's own");
    let sign = ["signature", "sign", "--secret", SECRET, "--body", "body.json"];
    assert_eq!(good(&gateway.cli(&sign)), format!("{signature}\n"));
    std::fs::write(gateway.path("body.json"), [&got.body[..], b" "].concat()).unwrap();
    assert_eq!(
        no(&gateway, &[&verify[..], &[&signature]].concat()),
        "The signature does not hold.\n"
    );

    receiver.behave(Behaviour::Answer(500));
    let text = no(&gateway, &["webhooks", "test", "event-logger"]);
    assert!(
        text.contains("  Status: 500\n") && text.contains("  Error: status"),
        "{text}"
    );
    let test: Json = serde_json::from_str(&no(&gateway, &["webhooks", "test", "event-logger", "--json"])).unwrap();
    assert_eq!((&test["delivered"], &test["status"]), (&json!(false), &json!(500)));
    let shown = good(&gateway.cli(&["webhooks", "show", "event-logger"]));
    assert!(
        shown.contains("  Success Rate (1h): no attempts\n") && shown.contains("  Backlog: 0\n"),
        "{shown}"
    );
    assert_eq!(
        bad(&gateway.cli(&["webhooks", "test", "telegram"])),
        "error: there is no outbound webhook `telegram`\nhint: `telegram` is an inbound webhook: write --inbound\n"
    );
}

#[test]
fn a_test_of_a_route_goes_the_platforms_way_and_says_whether_it_came_in() {
    let elsewhere = Receiver::start();
    let inbound = |url: &str| {
        document(&format!(
            "  inbound:\n    telegram: {{ url: \"{url}/webhook/telegram\", secret: {SECRET} }}\n    discord: {{ publicKey: d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a }}\n"
        ))
    };
    let gateway = Gateway::start(&inbound(&elsewhere.url("")));
    let text = good(&gateway.cli(&["webhooks", "test", "telegram", "--inbound", "--local"]));
    let head = format!(
        "Test of telegram: http://{0}/webhook/telegram\n  Connect: {0} (",
        gateway.public
    );
    assert!(text.starts_with(&head), "{text}");
    assert!(
        text.contains("\n  Status: 200 OK (") && text.ends_with(")\n  Result: works\n"),
        "{text}"
    );
    assert!(text.contains("\n  Event: seen (evt_"), "{text}");

    // Somebody else answers 200.
    let text = no(&gateway, &["webhooks", "test", "telegram", "--inbound"]);
    assert!(text.contains("  Request: not seen by this gateway\n"), "{text}");
    assert!(text.ends_with(
        "  Note: what answers at this URL is not this gateway: no event was seen\n  Result: does not work\n"
    ));
    assert_eq!(elsewhere.count(), 1);

    gateway.save_and_wait(&inbound(&format!("http://{}", gateway.public)));
    let test = json_of(&gateway.cli(&["webhooks", "test", "telegram", "--inbound", "--json"]));
    assert_eq!(
        (&test["seen"], &test["status"], &test["signed"]),
        (&json!(true), &json!(200), &json!(true))
    );
    let steps: Vec<_> = test["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["name"].clone())
        .collect();
    assert_eq!(steps, ["dns", "connect", "request"]);
    let shown = good(&gateway.cli(&["webhooks", "show", "telegram"]));
    assert!(
        shown.contains("  Messages Today: 0\n"),
        "test traffic is not counted: {shown}"
    );

    // Only the platform can sign.
    let text = good(&gateway.cli(&["webhooks", "test", "discord", "--inbound", "--local"]));
    assert!(
        text.contains("  Note: only discord has the key that signs") && text.contains("  Status: 401"),
        "{text}"
    );
    let said = bad(&gateway.cli(&["webhooks", "test", "discord", "--inbound"]));
    assert!(
        said.contains("its full URL is not known") && said.contains("--local"),
        "{said}"
    );

    let dead = elsewhere.stop();
    gateway.save_and_wait(&inbound(&format!("http://{dead}")));
    let text = no(&gateway, &["webhooks", "test", "telegram", "--inbound"]);
    assert!(
        text.contains("  Connect: failed: ") && !text.contains("Status:"),
        "{text}"
    );
}

#[test]
fn events_are_published_listed_told_and_followed() {
    let receiver = Receiver::start();
    let gateway = Gateway::start(&webhooks(&receiver));
    let mut tail = openclaw()
        .args(["events", "tail", "--json", "-v"])
        .current_dir(gateway.dir.path())
        .env("OPENCLAW_GATEWAY", format!("http://{}", gateway.admin))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    // Whether the stream has begun is seen by what comes through it.
    let publish = |data: &str| good(&gateway.cli(&["events", "publish", "message.received", "--data", data]));
    let (send, came) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        while let Some(Ok(line)) = lines.next() {
            let _ = send.send(serde_json::from_str::<Json>(&line).unwrap());
        }
    });
    let mut number = 0;
    let first = eventually("an event in the tail", || {
        number += 1;
        let said = publish(&format!(r#"{{"n":{number},"big":12345678901234567890123}}"#));
        assert!(said.starts_with("Published evt_"), "{said}");
        let seen = came.recv_timeout(std::time::Duration::from_millis(500)).ok();
        // The gateway's own start may be told first.
        seen.filter(|event: &Json| event["event"] == "message.received")
    });
    assert_eq!(first["event"], "message.received");
    let id = first["id"].as_str().unwrap().to_owned();
    tail.kill().unwrap();
    tail.wait().unwrap();
    reader.join().unwrap();

    // What follows an event comes again, in order.
    publish(r#"{"last":true}"#);
    let mut tail = openclaw()
        .args(["events", "tail", "--after", &id])
        .current_dir(gateway.dir.path())
        .env("OPENCLAW_GATEWAY", format!("http://{}", gateway.admin))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let line = eventually("the last event", || {
        lines.next().unwrap().ok().filter(|line| line.contains("last"))
    });
    assert!(
        line.contains("  message.received  evt_") && line.ends_with(r#"  -  {"last":true}"#),
        "{line}"
    );
    tail.kill().unwrap();
    tail.wait().unwrap();

    let key = ["events", "publish", "message.sent", "--id", "one"];
    assert!(!good(&gateway.cli(&key)).contains("repeat"));
    assert!(good(&gateway.cli(&key)).contains("(a repeat: it was there already)"));
    let said = bad(&gateway.cli(&["events", "publish", "message"]));
    assert!(said.starts_with("error: `message` is no event name"), "{said}");
    let out = gateway.cli(&["events", "publish", "mesage.sent"]);
    assert!(String::from_utf8_lossy(&out.stderr).contains("did you mean `message.sent`?"));
    let said = bad(&gateway.cli(&["events", "publish", "a.b", "--data", "{"]));
    assert!(said.starts_with("error: --data is no JSON: "), "{said}");

    let list = good(&gateway.cli(&["events", "list", "--event", "message.received"]));
    assert!(
        list.starts_with("TIME                  EVENT             ID ") && list.contains(&id),
        "{list}"
    );
    let story = eventually("the delivery in the story", || {
        Some(good(&gateway.cli(&["events", "show", &id]))).filter(|story| story.contains("  delivered  "))
    });
    assert!(
        story.contains("12345678901234567890123") && story.contains("\nAttempts:\n"),
        "{story}"
    );
    let story = json_of(&gateway.cli(&["events", "show", &id, "--json"]));
    assert_eq!(story["deliveries"][0]["sender"], "event-logger");
    let said = bad(&gateway.cli(&["events", "show", "evt_0"]));
    assert!(said.starts_with("error: there is no event `evt_0`\nhint: "), "{said}");
}

#[test]
fn an_open_stream_does_not_hold_up_the_end() {
    let mut gateway = Gateway::start(&document("  outbound: {}\n"));
    let mut tail = openclaw()
        .args(["events", "tail", "--json", "--after", "evt_0"])
        .env("OPENCLAW_GATEWAY", format!("http://{}", gateway.admin))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let first: Json = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(first["event"], "system.started");
    let began = std::time::Instant::now();
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));
    // A connection that had to be cut would take the whole shutdownTimeout: 20 s.
    assert!(
        began.elapsed() < std::time::Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    tail.kill().unwrap();
    tail.wait().unwrap();
}

#[test]
fn an_event_too_large_for_a_stream_is_one_gap_in_it() {
    let gateway = Gateway::start(&document("  outbound: {}\n"));
    let text = |text: &str| json!({ "text": text });
    let first = gateway.publish("message.sent", &text("first"));
    let mut tail = openclaw()
        .args(["events", "tail", "--json", "--after", &first])
        .env("OPENCLAW_GATEWAY", format!("http://{}", gateway.admin))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(tail.stderr.take().unwrap()).lines();
    let (send, gaps) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let skipped = said.map_while(Result::ok).filter(|line| line.contains("skipped"));
        skipped.for_each(|line| drop(send.send(line)));
    });
    gateway.publish("message.sent", &text(&"x".repeat(17 << 20)));
    gaps.recv_timeout(PATIENCE).unwrap();
    gateway.publish("message.sent", &text("small"));
    let lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let events = lines.map(|line| serde_json::from_str::<Json>(&line.unwrap()).unwrap());
    let mut sent = events.filter(|event| event["event"] == "message.sent");
    assert_eq!(sent.next().unwrap()["data"]["text"], "small");
    tail.kill().unwrap();
    tail.wait().unwrap();
    reader.join().unwrap();
    assert_eq!(gaps.try_iter().count(), 0, "one event, one gap");
}

#[test]
fn dead_letters_are_listed_replayed_and_dropped() {
    let receiver = Receiver::start();
    let gateway = Gateway::start(&webhooks(&receiver));
    receiver.behave(Behaviour::Answer(500));
    for number in 1..=2 {
        assert_eq!(telegram(&gateway, number, SECRET), 200);
    }
    let dead = || json_of(&gateway.cli(&["dead", "list", "event-logger", "--json"]))["items"].clone();
    let letters = eventually("two dead letters", || {
        Some(dead()).filter(|items| items.as_array().unwrap().len() == 2)
    });
    let text = good(&gateway.cli(&["dead", "list"]));
    assert!(text.contains("  exhausted  1         HTTP 500\n"), "{text}");
    let list = good(&gateway.cli(&["events", "list", "--undelivered"]));
    assert_eq!(list.lines().count(), 3, "{list}");

    let id = letters[0]["eventId"].as_str().unwrap();
    receiver.behave(Behaviour::Answer(200));
    let said = good(&gateway.cli(&["replay", "event-logger", "--id", id]));
    assert_eq!(said, "1 delivery is owed to event-logger again.\n");
    eventually("one dead letter less", || {
        Some(()).filter(|()| dead().as_array().unwrap().len() == 1)
    });
    let said = bad(&gateway.cli(&["replay", "event-logger", "--id", "evt_0"]));
    assert!(said.starts_with("error: there is no event `evt_0`"), "{said}");
    let said = bad(&gateway.cli(&["replay", "event-loger", "--failed"]));
    assert!(said.ends_with("hint: did you mean `event-logger`?\n"), "{said}");
    let said = bad(&gateway.cli(&["replay", "event-logger"]));
    assert!(said.contains("add --yes"), "everything again is asked about: {said}");

    let said = bad(&gateway.cli(&["dead", "purge"]));
    assert!(said.contains("add --yes"), "{said}");
    assert_eq!(
        good(&gateway.cli(&["dead", "purge", "--before", "1h", "--yes"])),
        "Dropped 0 dead letters.\n"
    );
    assert_eq!(
        good(&gateway.cli(&["dead", "purge", "event-logger", "--yes"])),
        "Dropped 1 dead letter.\n"
    );
    assert_eq!(good(&gateway.cli(&["dead", "list"])), "No dead letters.\n");
    assert_eq!(
        good(&gateway.cli(&["replay", "event-logger", "--failed"])),
        "0 deliveries are owed to event-logger again.\n"
    );
}

#[test]
fn the_store_is_backed_up_and_checked_with_and_without_a_gateway() {
    let receiver = Receiver::start();
    let gateway = Gateway::start(&webhooks(&receiver));
    assert_eq!(telegram(&gateway, 1, SECRET), 200);
    receiver.wait_for(1);
    let said = good(&gateway.cli(&["store", "backup", "copy.db"]));
    assert!(
        said.starts_with("Wrote copy.db (") || said.contains("copy.db ("),
        "{said}"
    );
    assert!(bad(&gateway.cli(&["store", "backup", "copy.db"])).contains("is there already"));
    let checked = json_of(&gateway.cli(&["store", "check", "--json"]));
    assert_eq!((&checked["problems"], &checked["generations"]), (&json!([]), &json!(1)));
    let (dir, _) = gateway.kill();
    let text = good(&alone(dir.path(), &["store", "check"]));
    assert!(text.ends_with("  Nothing is wrong.\n"), "{text}");

    // A store that is the copy holds what was accepted.
    let restored = dir.path().join("restored");
    std::fs::create_dir_all(restored.join(".openclaw-webhooks")).unwrap();
    std::fs::copy(dir.path().join("copy.db"), restored.join(".openclaw-webhooks/store.db")).unwrap();
    std::fs::copy(dir.path().join("openclaw.yaml"), restored.join("openclaw.yaml")).unwrap();
    let events = good(&alone(&restored, &["events", "list", "--source", "telegram"]));
    assert_eq!(events.lines().count(), 2, "{events}");
}

#[test]
fn the_shells_complete_and_the_man_pages_are_whole() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = good(&alone(dir.path(), &["completions", shell]));
        assert!(script.contains("set-inbound") || script.contains("webhooks"), "{shell}");
    }
    let script = good(&alone(dir.path(), &["completions", "bash"]));
    let mut bash = Command::new("bash")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let asked =
        "\nCOMP_WORDS=(openclaw webhooks l) COMP_CWORD=2; _openclaw openclaw l webhooks; echo \"${COMPREPLY[@]}\"\n";
    bash.stdin
        .take()
        .unwrap()
        .write_all(format!("{script}{asked}").as_bytes())
        .unwrap();
    let completed = String::from_utf8(bash.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(completed.trim(), "list logs");

    assert!(good(&alone(dir.path(), &["man"])).contains(".TH openclaw 1"));
    good(&alone(dir.path(), &["man", "--out", "."]));
    let page = std::fs::read_to_string(dir.path().join("openclaw-webhooks-logs.1")).unwrap();
    assert!(page.contains("Examples") && page.contains("follow"), "{page}");
}

#[test]
fn what_cannot_be_read_of_a_request_to_the_api_is_a_problem_as_any_other() {
    let gateway = Gateway::start(&webhooks(&Receiver::start()));
    for path in [
        "/v1/logs?limit=many",
        "/v1/logs?cursor=nonsense",
        "/v1/events?undelivered=perhaps",
        "/v1/events?cursor=1.x",
        "/v1/dead?cursor=",
        "/v1/generations?cursor=first",
        "/v1/webhooks?cursor=first",
        "/v1/document?generation=newest",
        "/v1/webhooks/inbound/%ff",
        "/v1/events/%ff",
    ] {
        let answer = crate::harness::Request::get(path).send(gateway.admin);
        assert_eq!(answer.status, 400, "{path}: {}", answer.text());
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{path}"
        );
        assert_eq!(answer.json()["status"], 400, "{path}");
    }
}

#[test]
fn published_data_is_delivered_with_its_numbers_as_they_came() {
    let receiver = Receiver::start();
    let gateway = Gateway::start(&webhooks(&receiver));
    let data = r#"{"z":1E5,"a":1e400,"id":12345678901234567890,"x":{"$serde_json::private::Number":"1"}}"#;
    let answer = crate::harness::Request::post(
        "/v1/events",
        format!(r#"{{"event": "message.received", "data": {data}}}"#),
    )
    .header("content-type", "application/json")
    .send(gateway.admin);
    assert_eq!(answer.status, 202, "{}", answer.text());
    let body = receiver.wait_for(1)[0].body.clone();
    let body = String::from_utf8(body).unwrap();
    assert!(body.contains(&format!(r#""data":{data}"#)), "{body}");
}

#[test]
fn metrics_tell_how_long_attempts_took() {
    let receiver = Receiver::start();
    let gateway = Gateway::start(&webhooks(&receiver));
    for message in 1..=3 {
        assert_eq!(telegram(&gateway, message, SECRET), 200);
    }
    let text = eventually("three attempts are counted", || {
        let (_, text) = gateway.get("/metrics");
        text.contains("\nopenclaw_attempt_duration_seconds_count 3\n")
            .then_some(text)
    });
    assert!(
        text.contains("# TYPE openclaw_attempt_duration_seconds histogram\n"),
        "{text}"
    );
    assert!(
        text.contains("openclaw_attempt_duration_seconds_bucket{le=\"+Inf\"} 3\n"),
        "{text}"
    );
    assert!(
        text.contains("openclaw_attempt_duration_seconds_bucket{le=\"0.001\"} "),
        "{text}"
    );
}

#[test]
fn each_condition_names_the_generation_under_which_it_was_seen() {
    let gateway = Gateway::start(&webhooks(&Receiver::start()));
    let status = gateway.status();
    let conditions = status["conditions"].as_array().unwrap();
    assert!(conditions.len() >= 4, "{conditions:?}");
    for condition in conditions {
        assert_eq!(condition["observedGeneration"], 1, "{condition}");
    }
}
