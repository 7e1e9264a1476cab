//! Filters, templates and formats, as the one at the other end sees them.

use serde_json::json;

use crate::harness::{Behaviour, Gateway, Received, Receiver, Request, document, eventually};
use crate::load::{SECRET, github};

/// A gateway with a GitHub route and these senders.
fn gateway(senders: &str) -> Gateway {
    Gateway::start(&with(senders))
}

fn with(senders: &str) -> String {
    document(&format!(
        "  inbound:\n    github: {{ secret: {SECRET} }}\n  outbound:\n{senders}"
    ))
}

/// Publishes a message through the API; its event's id.
fn say(gateway: &Gateway, message: &str) -> String {
    publish(
        gateway,
        "message.received",
        &json!({ "channel": "tg", "user": "42", "message": message, "sessionId": "tg:1", "platform": "telegram", "chatId": "1" }),
    )
}

#[track_caller]
fn publish(gateway: &Gateway, name: &str, data: &serde_json::Value) -> String {
    let answer = gateway.post("/v1/events", &json!({ "event": name, "data": data }));
    assert_eq!(answer.status, 202, "{}", answer.text());
    answer.json()["events"][0]["id"].as_str().unwrap().to_owned()
}

/// The one delivery of an event, once it is in this state.
#[track_caller]
fn delivery(gateway: &Gateway, event: &str, state: &str) -> serde_json::Value {
    eventually(&format!("{event} is {state}"), || {
        let story = gateway.json(&format!("/v1/events/{event}"));
        (story["deliveries"].as_array()?.iter())
            .find(|delivery| delivery["state"] == state)
            .cloned()
    })
}

/// The dead letter of an event.
#[track_caller]
fn dead(gateway: &Gateway, event: &str) -> serde_json::Value {
    eventually("a dead letter", || {
        let dead = gateway.json("/v1/dead");
        (dead["items"].as_array()?.iter())
            .find(|dead| dead["eventId"] == event)
            .cloned()
    })
}

/// The newest log entry of a sender.
fn last_log(gateway: &Gateway, sender: &str) -> serde_json::Value {
    eventually("a log entry", || {
        let logs = gateway.json(&format!("/v1/logs?sender={sender}"));
        logs["items"].as_array()?.first().cloned()
    })
}

#[test]
fn a_filter_decides_what_is_delivered_and_a_changed_one_what_comes_after() {
    let receiver = Receiver::start();
    let sender = |filter: &str| {
        with(&format!(
            "    out: {{ events: [message.*, webhook.*, order.*], url: \"{}\", filter: '{filter}' }}\n",
            receiver.url("/")
        ))
    };
    let gateway = Gateway::start(&sender("data.message == \"yes\" or data.body.action == \"opened\""));
    let no = say(&gateway, "no");
    say(&gateway, "yes");
    assert_eq!(github("/webhook/github", "1").send(gateway.public).status, 200);
    let received = receiver.wait_for(2);
    assert!(received.iter().all(|r| r.json()["data"]["message"] != "no"));
    delivery(&gateway, &no, "filtered");

    gateway.save_and_wait(&sender("data.message == \"no\""));
    say(&gateway, "yes");
    say(&gateway, "no");
    let received = receiver.wait_for(3);
    assert_eq!(received[2].json()["data"]["message"], "no");
    // An event that is named is sent whatever the filter says.
    let key = gateway.cli(&["replay", "out", "--id", &no]);
    assert!(key.status.success(), "{}", String::from_utf8_lossy(&key.stderr));
    receiver.wait_for(4);
}

#[test]
fn what_a_filter_or_template_fails_on_is_a_dead_letter_that_delays_no_other_and_a_changed_document_retries() {
    let receiver = Receiver::start();
    for (broken, mended) in [
        ("filter: 'data.user + 1 > 0'", "filter: 'data.user == \"42\"'"),
        (
            "body: '{\"t\":{{data.nosuch|tojson}}}'",
            "body: '{\"t\":{{data.message|tojson}}}'",
        ),
    ] {
        let before = receiver.count();
        let sender = |fields: &str| {
            with(&format!(
                "    out: {{ events: [message.*, webhook.*, order.*], url: \"{}\", ordering: fifo, {fields} }}\n",
                receiver.url("/")
            ))
        };
        let gateway = Gateway::start(&sender(broken));
        let failed = say(&gateway, "first");
        let letter = dead(&gateway, &failed);
        assert_eq!(letter["reason"], "template", "{letter}");
        assert!(letter["detail"].as_str().unwrap().contains("line 1"), "{letter}");
        // Others go on, in order, behind it.
        let good = json!({ "user": 41, "message": "second", "nosuch": 1 });
        publish(&gateway, "message.sent", &good);
        receiver.wait_for(before + 1);
        assert!(
            gateway.json("/v1/logs?sender=out")["items"].as_array().unwrap().len() <= 1,
            "no attempt was made"
        );

        gateway.save_and_wait(&sender(mended));
        delivery(&gateway, &failed, "delivered");
        let last = receiver.wait_for(before + 2).pop().unwrap();
        assert!(last.text().contains("first"), "{}", last.text());
        assert!(gateway.json("/v1/dead")["items"].as_array().unwrap().is_empty());
    }
}

#[test]
fn a_body_of_ones_own_is_signed_to_the_byte_and_keeps_digits() {
    let receiver = Receiver::start();
    let gateway = gateway(&format!(
        "    out:\n      url: \"{}\"\n      events: [order.*]\n      secret: s3cret\n      body: |-\n        {{\"id\":{{{{data.n}}}},\"all\":{{{{data|tojson}}}},\"who\":{{{{(data.userName or data.user)|tojson}}}}}}\n",
        receiver.url("/")
    ));
    let data = serde_json::value::RawValue::from_string(
        r#"{"z":1.10,"user":"ü\"<","n":9007199254740993,"a":{"b":1,"a":2}}"#.to_owned(),
    )
    .unwrap();
    let event = format!(r#"{{"event":"order.created","data":{data}}}"#);
    let answer = Request::post("/v1/events", event)
        .header("content-type", "application/json")
        .send(gateway.admin);
    assert_eq!(answer.status, 202);
    let received = receiver.wait_for(1).remove(0);
    assert_eq!(
        received.text(),
        format!(r#"{{"id":9007199254740993,"all":{data},"who":"ü\"<"}}"#)
    );
    let mut mac = <hmac::Hmac<sha2::Sha256> as hmac::KeyInit>::new_from_slice(b"s3cret").unwrap();
    hmac::Mac::update(&mut mac, &received.body);
    let signature = hex::encode(hmac::Mac::finalize(mac).into_bytes());
    assert_eq!(
        received.header("x-openclaw-signature"),
        Some(format!("sha256={signature}").as_str())
    );
}

#[test]
fn a_changed_text_holds_for_the_next_attempt() {
    let receiver = Receiver::start();
    receiver.behave(Behaviour::Answer(503));
    let sender = |text: &str| {
        with(&format!(
            "    out: {{ events: [message.*, webhook.*, order.*], url: \"{}\", format: discord, text: \"{text}\", retries: 50, retryDelay: 100, backoff: fixed }}\n",
            receiver.url("/")
        ))
    };
    let gateway = Gateway::start(&sender("one {{data.message}}"));
    say(&gateway, "x");
    assert_eq!(receiver.wait_for(1)[0].json()["content"], "one x");
    gateway.save_and_wait(&sender("two {{data.message}}"));
    receiver.behave(Behaviour::Answer(204));
    let seen = receiver.count();
    eventually("the new text", || {
        let received = receiver.received();
        received[seen.saturating_sub(1)..]
            .iter()
            .any(|r| r.json()["content"] == "two x")
            .then_some(())
    });
}

#[test]
fn every_chat_gets_its_text_and_a_200_with_an_error_inside_is_tried_again() {
    for (format, fields, bad, good, text) in [
        ("slack", "", (500, ""), (200, "ok"), "/text"),
        ("discord", "", (500, ""), (204, ""), "/content"),
        (
            "telegram",
            "chatId: \"-100:topic:7\",",
            (200, r#"{"ok":false,"description":"no"}"#),
            (200, r#"{"ok":true}"#),
            "/text",
        ),
        (
            "feishu",
            "secret: s,",
            (200, r#"{"code":19021,"msg":"sign match fail"}"#),
            (200, r#"{"code":0}"#),
            "/content/text",
        ),
        (
            "dingtalk",
            "secret: s,",
            (200, r#"{"errcode":310000,"errmsg":"sign not match"}"#),
            (200, r#"{"errcode":0}"#),
            "/text/content",
        ),
        (
            "wecom",
            "",
            (200, r#"{"errcode":40008,"errmsg":"invalid message type"}"#),
            (200, r#"{"errcode":0}"#),
            "/text/content",
        ),
        ("teams", "", (500, ""), (202, ""), "/attachments/0/content/body/0/text"),
    ] {
        let receiver = Receiver::start();
        receiver.behave(Behaviour::AnswerBody(bad.0, bad.1));
        let gateway = gateway(&format!(
            "    out: {{ events: [message.*, webhook.*, order.*], url: \"{}\", format: {format}, {fields} retries: 50, retryDelay: 50, backoff: fixed, jitter: 0 }}\n",
            receiver.url("/hook-hunter2/send?key=1")
        ));
        let event = say(&gateway, "hello");
        receiver.wait_for(2);
        let failed = last_log(&gateway, "out");
        assert!(
            failed["error"] == "answer" || failed["error"] == "status",
            "{format}: {failed}"
        );
        receiver.behave(Behaviour::AnswerBody(good.0, good.1));
        delivery(&gateway, &event, "delivered");
        let last = receiver.received().pop().unwrap();
        assert_eq!(last.json().pointer(text).unwrap(), "tg 42: hello", "{format}");
        assert_eq!(last.method, "POST");
        match format {
            "dingtalk" => assert!(
                last.target.starts_with("/hook-hunter2/send?key=1&timestamp=") && last.target.contains("&sign="),
                "{}",
                last.target
            ),
            "feishu" => assert!(last.json()["sign"].is_string()),
            "telegram" => assert_eq!(last.json()["message_thread_id"], 7),
            _ => {}
        }
    }
}

#[test]
fn a_chat_that_gets_too_much_is_left_alone_for_as_long_as_it_says() {
    let receiver = Receiver::start();
    receiver.behave(Behaviour::AnswerBody(
        429,
        r#"{"ok":false,"error_code":429,"parameters":{"retry_after":3600}}"#,
    ));
    let gateway = gateway(&format!(
        "    out: {{ events: [message.*, webhook.*, order.*], url: \"{}\", format: telegram, chatId: \"@team\", retries: 3, retryDelay: 10 }}\n",
        receiver.url("/bot1/sendMessage")
    ));
    say(&gateway, "first");
    receiver.wait_for(1);
    eventually("the sender is parked", || {
        let sender = gateway.json("/v1/webhooks/outbound/out");
        sender["live"]["parkedUntilMs"].is_number().then_some(())
    });
    say(&gateway, "second");
    assert_eq!(last_log(&gateway, "out")["status"], 429);
    assert_eq!(receiver.count(), 1);
}

#[test]
fn an_archived_channel_suspends_its_sender() {
    let receiver = Receiver::start();
    receiver.behave(Behaviour::Answer(410));
    let gateway = gateway(&format!(
        "    out: {{ events: [message.*, webhook.*, order.*], url: \"{}\", format: slack }}\n",
        receiver.url("/")
    ));
    say(&gateway, "x");
    eventually("the sender is suspended", || {
        (gateway.json("/v1/webhooks/outbound/out")["webhook"]["state"] == "suspended").then_some(())
    });
}

#[test]
fn the_whole_url_of_a_chat_is_shown_as_scheme_and_host() {
    const TOKEN: &str = "hunter2-in-the-path";
    let receiver = Receiver::start();
    receiver.behave(Behaviour::AnswerBody(200, r#"{"errcode":1,"errmsg":"no"}"#));
    let sender = |path: &str, more: &str| {
        with(&format!(
            "    out: {{ events: [message.*, webhook.*, order.*], url: \"{}\", format: wecom, retries: 1, retryDelay: 10{more} }}\n",
            receiver.url(&format!("/{path}/{TOKEN}"))
        ))
    };
    let gateway = Gateway::start(&sender("a", ""));
    let event = say(&gateway, "x");
    dead(&gateway, &event);
    let mut said = vec![gateway.output()];
    let mut run = |args: &[&str]| {
        let out = gateway.cli(args);
        said.push(format!(
            "{args:?}: {}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        ));
        said.last().unwrap().clone()
    };
    let list = run(&["webhooks", "list"]);
    assert!(list.contains(&receiver.url("")), "{list}");
    run(&["webhooks", "show", "out"]);
    run(&["webhooks", "show", "out", "--json"]);
    run(&["webhooks", "logs", "out"]);
    run(&["webhooks", "test", "out"]);
    run(&["dead", "list", "--json"]);
    run(&["status", "--json"]);
    let other = gateway.path("other.yaml");
    std::fs::write(&other, sender("b", "")).unwrap();
    let plan = run(&["plan", "-f", "other.yaml"]);
    assert!(plan.contains("url") && plan.contains("sensitive"), "{plan}");
    run(&["plan", "-f", "other.yaml", "--json"]);
    run(&["plan", "-f", "other.yaml", "--format", "markdown"]);
    for broken in [", retires: 3", "", ""] {
        let text = sender("c d", broken);
        std::fs::write(&other, text).unwrap();
        run(&["validate", "-f", "other.yaml"]);
        run(&["validate", "-f", "other.yaml", "--format", "json"]);
    }
    for path in [
        "/v1/webhooks",
        "/v1/webhooks/outbound/out",
        "/v1/logs",
        "/v1/dead",
        "/v1/status",
        "/metrics",
    ] {
        said.push(format!("{path}: {}", gateway.get(path).1));
    }
    for text in &said {
        assert!(!text.contains(TOKEN), "the token is shown: {text}");
    }
}

fn agent(receiver: &Receiver, fields: &str) -> String {
    with(&format!(
        "    out: {{ events: [message.*, webhook.*, order.*], url: \"{}\", format: agent-hook, auth: {{ bearer: hooks-token }}, jitter: 0, {fields} }}\n",
        receiver.url("/hooks/agent")
    ))
}

#[test]
fn an_agent_is_started_with_the_same_bytes_and_key_at_every_attempt() {
    let receiver = Receiver::start();
    receiver.behave(Behaviour::AnswerBody(503, ""));
    let gateway = Gateway::start(&agent(
        &receiver,
        "retryDelay: 20, agentHook: { session: conversation, reply: channel }",
    ));
    let event = say(&gateway, "do it");
    receiver.wait_for(3);
    receiver.behave(Behaviour::AnswerBody(200, r#"{"ok":true,"runId":"run_77"}"#));
    delivery(&gateway, &event, "delivered");
    let received = receiver.received();
    let first = &received[0];
    assert_eq!(
        first.text(),
        r#"{"message":"42 (telegram tg): do it","name":"tg","sessionKey":"hook:tg:1","sessionMode":"persistent","deliver":true,"channel":"telegram","to":"1"}"#
    );
    assert_eq!(first.header("authorization"), Some("Bearer hooks-token"));
    assert_eq!(first.header("content-type"), Some("application/json"));
    assert_eq!(first.header("idempotency-key"), first.header("x-openclaw-delivery"));
    let same = |r: &Received| (r.body.clone(), r.header("idempotency-key").map(str::to_owned));
    assert!(received.iter().all(|r| same(r) == same(first)));
    let log = last_log(&gateway, "out");
    assert!(log["detail"].as_str().unwrap().contains("run_77"), "{log}");
}

#[test]
fn the_defaults_of_an_agent_hook_outlast_a_restart_of_the_assistant() {
    let receiver = Receiver::start();
    let gateway = Gateway::start(&agent(&receiver, "agentHook: { wait: true }"));
    let shown = gateway.cli(&["webhooks", "show", "out"]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("Retries: 12"), "{shown}");
}

#[test]
fn an_assistant_that_refuses_our_token_suspends_the_sender_until_the_secret_changes() {
    let receiver = Receiver::start();
    receiver.behave(Behaviour::AnswerBody(401, r#"{"ok":false,"error":"unauthorized"}"#));
    let gateway = Gateway::start(&agent(&receiver, ""));
    let event = say(&gateway, "x");
    let suspended = || gateway.json("/v1/webhooks/outbound/out")["webhook"]["state"] == "suspended";
    eventually("the sender is suspended", || suspended().then_some(()));
    let shown = gateway.get("/v1/webhooks/outbound/out").1;
    assert!(
        shown.contains("hooks.token") && shown.contains("unauthorized"),
        "{shown}"
    );
    assert_eq!(receiver.count(), 1);
    receiver.behave(Behaviour::AnswerBody(200, r#"{"ok":true,"runId":"r"}"#));
    gateway.save_and_wait(&agent(&receiver, "").replace("hooks-token", "new-token"));
    delivery(&gateway, &event, "delivered");
    assert_eq!(receiver.received()[1].header("authorization"), Some("Bearer new-token"));
}

#[test]
fn a_refusal_that_is_final_names_the_setting_to_change_and_a_failed_run_is_a_dead_letter() {
    for (status, body, says) in [
        (404, r#"{"ok":false,"error":"hooks disabled"}"#, "hooks.enabled"),
        (413, r#"{"ok":false,"error":"too large"}"#, "hooks.maxBodyBytes"),
        (
            200,
            r#"{"ok":true,"runId":"run_1","completion":{"status":"error","error":"no model"}}"#,
            "no model",
        ),
    ] {
        let receiver = Receiver::start();
        receiver.behave(Behaviour::AnswerBody(status, body));
        let gateway = Gateway::start(&agent(&receiver, "agentHook: { wait: true }"));
        let event = say(&gateway, "x");
        let letter = dead(&gateway, &event);
        assert_eq!(letter["reason"], "status");
        assert!(letter["detail"].as_str().unwrap().contains(says), "{letter}");
        assert_eq!(receiver.count(), 1);
    }
}
