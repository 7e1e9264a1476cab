//! Requests that are handed on, as the assistant behind the gateway sees them.

use crate::harness::{Behaviour, Gateway, Receiver, Request, document, eventually};

fn forward(receiver: &Receiver, inbound: &str, fields: &str) -> String {
    document(&format!(
        "  inbound:\n    {inbound}\n  outbound:\n    out: {{ events: [message.*, webhook.*, order.*], url: \"{}\", format: forward, jitter: 0, {fields} }}\n",
        receiver.url("/hook?own=1")
    ))
}

const UPDATE: &str = r#"{"update_id":10, "message":{"message_id":1,"from":{"id":1,"first_name":"Ada"},"chat":{"id":1,"type":"private"},"date":1773570600,"text":"hi"}}"#;

fn telegram(token: &str, body: &str) -> Request {
    Request::post("/webhook/telegram?a=b", body.to_owned())
        .header("Content-Type", "application/json")
        .header("User-Agent", "telegram")
        .header("X-Forwarded-For", "9.9.9.9")
        .header("X-Telegram-Bot-Api-Secret-Token", token)
}

#[test]
fn a_request_is_forwarded_as_it_came_and_proved_with_the_secret_of_the_moment() {
    let receiver = Receiver::start();
    receiver.behave(Behaviour::Answer(503));
    let document = |secret: &str| {
        forward(
            &receiver,
            &format!("telegram: {{ secret: {secret} }}"),
            "from: [telegram], retryDelay: 50, headers: { X-Own: \"1\" }",
        )
    };
    let gateway = Gateway::start(&document("old-token"));
    assert_eq!(telegram("old-token", UPDATE).send(gateway.public).status, 200);
    let first = receiver.wait_for(1).remove(0);
    assert_eq!(
        (first.method.as_str(), first.target.as_str()),
        ("POST", "/hook?own=1&a=b")
    );
    assert_eq!(first.text(), UPDATE);
    for (name, value) in [
        ("content-type", Some("application/json")),
        ("user-agent", Some("telegram")),
        ("x-telegram-bot-api-secret-token", Some("old-token")),
        ("x-own", Some("1")),
        ("x-openclaw-attempt", Some("1")),
        ("x-forwarded-for", None),
        ("webhook-id", None),
    ] {
        assert_eq!(first.header(name), value, "{name}");
    }
    gateway.save_and_wait(&document("new-token"));
    let seen = receiver.count();
    receiver.wait_for(seen + 1);
    let last = receiver.received().pop().unwrap();
    assert_eq!(last.header("x-telegram-bot-api-secret-token"), Some("new-token"));
    assert_eq!(last.header("x-openclaw-delivery"), first.header("x-openclaw-delivery"));

    // A repeat is answered and not forwarded, nor is a test.
    receiver.behave(Behaviour::Answer(200));
    eventually("it is delivered", || {
        (gateway.json("/v1/webhooks/outbound/out")["sender"]["owed"] == 0).then_some(())
    });
    let delivered = receiver.count();
    assert_eq!(telegram("new-token", UPDATE).send(gateway.public).status, 200);
    let tested = gateway.cli(&["webhooks", "test", "telegram", "--inbound", "--local"]);
    assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stdout));
    assert_eq!(
        telegram("new-token", &UPDATE.replace("10", "11"))
            .send(gateway.public)
            .status,
        200
    );
    let received = receiver.wait_for(delivered + 1);
    assert!(received[delivered].text().contains("\"update_id\":11"));
    assert_eq!(received.len(), delivered + 1);
}

#[test]
fn a_stale_signature_is_made_anew_with_the_time_of_the_attempt() {
    let receiver = Receiver::start();
    let gateway = Gateway::start(&forward(&receiver, "slack: { secret: s1gn }", "from: [slack]"));
    let body = r#"{"type":"event_callback","event_id":"Ev1","event":{"type":"message","user":"U1","channel":"C1","text":"hi","ts":"1773570600.1"}}"#;
    let sign = |timestamp: &str, body: &[u8]| {
        let mut mac = <hmac::Hmac<sha2::Sha256> as hmac::KeyInit>::new_from_slice(b"s1gn").unwrap();
        hmac::Mac::update(&mut mac, format!("v0:{timestamp}:").as_bytes());
        hmac::Mac::update(&mut mac, body);
        format!("v0={}", hex::encode(hmac::Mac::finalize(mac).into_bytes()))
    };
    let now = || {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since.unwrap().as_secs()
    };
    let before = now();
    let stale = (before - 200).to_string();
    let answer = Request::post("/webhook/slack", body.to_owned())
        .header("Content-Type", "application/json")
        .header("X-Slack-Request-Timestamp", stale.as_str())
        .header("X-Slack-Signature", sign(&stale, body.as_bytes()))
        .send(gateway.public);
    assert_eq!(answer.status, 200);
    let received = receiver.wait_for(1).remove(0);
    let fresh = received.header("x-slack-request-timestamp").unwrap();
    assert!(fresh.parse::<u64>().unwrap() >= before, "{fresh}");
    assert_eq!(
        received.header("x-slack-signature"),
        Some(sign(fresh, &received.body).as_str())
    );
    assert_eq!(received.text(), body);
}

#[test]
fn a_request_of_several_events_is_forwarded_once_and_needs_its_mark() {
    let receiver = Receiver::start();
    let gateway = Gateway::start(&forward(
        &receiver,
        "line: { secret: s1gn }",
        "from: [line], retryDelay: 20, requireHeader: \"x-openclaw-delivery-accepted: durable\"",
    ));
    let event = |id: &str| {
        format!(
            r#"{{"type":"message","timestamp":1773570600000,"source":{{"type":"user","userId":"U1"}},"webhookEventId":"{id}","message":{{"id":"{id}","type":"text","text":"hi"}}}}"#
        )
    };
    let body = format!(
        r#"{{"destination":"U0","events":[{},{},{}]}}"#,
        event("a"),
        event("b"),
        event("c")
    );
    let mut mac = <hmac::Hmac<sha2::Sha256> as hmac::KeyInit>::new_from_slice(b"s1gn").unwrap();
    hmac::Mac::update(&mut mac, body.as_bytes());
    let signature = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(hmac::Mac::finalize(mac).into_bytes())
    };
    let answer = Request::post("/webhook/line", body.clone())
        .header("Content-Type", "application/json")
        .header("X-Line-Signature", signature.as_str())
        .send(gateway.public);
    assert_eq!(answer.status, 200);
    receiver.wait_for(2);
    receiver.behave(Behaviour::AnswerWith(200, "x-openclaw-delivery-accepted", "durable"));
    eventually("it is delivered", || {
        (gateway.json("/v1/webhooks/outbound/out")["sender"]["owed"] == 0).then_some(())
    });
    let received = receiver.received();
    let deliveries: std::collections::BTreeSet<_> = received
        .iter()
        .map(|r| r.header("x-openclaw-delivery").unwrap().to_owned())
        .collect();
    assert_eq!(deliveries.len(), 1);
    assert!(
        received
            .iter()
            .all(|r| r.text() == body && r.header("x-line-signature") == Some(&signature))
    );
}

#[test]
fn a_test_of_a_forwarding_sender_is_a_request_that_its_platform_could_have_sent() {
    let receiver = Receiver::start();
    let inbound = |entry: &str| forward(&receiver, entry, "from: [in]");
    let gateway = Gateway::start(&inbound("in: { platform: telegram, secret: a-token }"));
    let test = |gateway: &Gateway| {
        gateway
            .post("/v1/webhooks/outbound/out/test", &serde_json::json!({}))
            .json()
    };
    assert_eq!(test(&gateway)["delivered"], true);
    let got = receiver.wait_for(1).remove(0);
    assert_eq!(got.header("x-telegram-bot-api-secret-token"), Some("a-token"));
    assert_eq!(got.header("content-type"), Some("application/json"));
    assert_eq!(got.json()["message"]["text"], "a test of this webhook");

    gateway.save_and_wait(&inbound("in: { platform: bluebubbles, secret: a-password }"));
    assert_eq!(test(&gateway)["delivered"], true);
    let got = receiver.wait_for(2).remove(1);
    assert_eq!(got.target, "/hook?own=1&password=a-password");

    // Discord alone has the key that signs.
    let key = "6f1c".repeat(16);
    gateway.save_and_wait(&inbound(&format!("in: {{ platform: discord, publicKey: \"{key}\" }}")));
    let answer = test(&gateway);
    assert_eq!(answer["error"], "template");
    assert!(
        answer["detail"]
            .as_str()
            .unwrap()
            .contains("only its platform has the key"),
        "{answer}"
    );
    assert_eq!(receiver.count(), 2);
}
