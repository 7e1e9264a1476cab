use super::*;
use crate::document::settings::{Format, Outbound};
use crate::expression::Template;
use crate::outbound::clients::Clients;
use crate::outbound::egress::Policy;
use crate::outbound::payload::{self, tests::event_of};
use crate::outbound::prepared::tests::settings;
use crate::secret::Secret;

const NOW: i64 = 1_773_570_600_123;

fn rendered(kind: Chat, data: &str, change: impl FnOnce(&mut Outbound)) -> Payload {
    let mut settings = settings("https://chat.example/hook?key=1");
    settings.format = Format::Chat(kind);
    settings.chat_id = (kind == Chat::Telegram).then(|| "-100123:topic:7".to_owned());
    change(&mut settings);
    let sender = PreparedSender::new(settings, &Policy::default(), &Clients::new()).unwrap();
    let event = event_of("message.received", data);
    payload::render(&sender, &event, "dlv_1_1", crate::clock::from_ms(NOW)).unwrap()
}

fn body(kind: Chat, message: &str) -> String {
    let data = serde_json::json!({ "channel": "tg", "user": "42", "message": message }).to_string();
    String::from_utf8(rendered(kind, &data, |_| {}).body.to_vec()).unwrap()
}

#[test]
fn every_chat_gets_its_own_body() {
    for (kind, expected) in [
        (Chat::Slack, r#"{"text":"tg 42: &lt;!here&gt; &amp; \"ü\""}"#),
        (
            Chat::Discord,
            r#"{"content":"tg 42: <!here> & \"ü\"","allowed_mentions":{"parse":[]}}"#,
        ),
        (
            Chat::Telegram,
            r#"{"chat_id":"-100123","message_thread_id":7,"text":"tg 42: <!here> & \"ü\""}"#,
        ),
        (
            Chat::Feishu,
            r#"{"msg_type":"text","content":{"text":"tg 42: <!here> & \"ü\""}}"#,
        ),
        (
            Chat::Dingtalk,
            r#"{"msgtype":"text","text":{"content":"tg 42: <!here> & \"ü\""}}"#,
        ),
        (
            Chat::Wecom,
            r#"{"msgtype":"text","text":{"content":"tg 42: <!here> & \"ü\""}}"#,
        ),
        (
            Chat::Teams,
            r#"{"type":"message","attachments":[{"contentType":"application/vnd.microsoft.card.adaptive","content":{"type":"AdaptiveCard","version":"1.4","body":[{"type":"TextBlock","text":"tg 42: <!here> & \"ü\"","wrap":true}]}}]}"#,
        ),
    ] {
        assert_eq!(body(kind, "<!here> & \"ü\""), expected);
    }
}

#[test]
fn texts_are_cut_at_each_limit_on_a_character() {
    let long = "ü".repeat(50_000);
    let text = |kind, pointer: &str| {
        let json: serde_json::Value = serde_json::from_str(&body(kind, &long)).unwrap();
        json.pointer(pointer).unwrap().as_str().unwrap().to_owned()
    };
    assert_eq!(text(Chat::Discord, "/content").chars().count(), 2000);
    assert_eq!(text(Chat::Telegram, "/text").chars().count(), 4096);
    // 7 bytes come before the message, so that the limit falls into a character.
    assert_eq!(text(Chat::Wecom, "/text/content").len(), 2047);
    assert_eq!(text(Chat::Slack, "/text").chars().count(), 40_000);
    for (kind, pointer, request) in [
        (Chat::Feishu, "/content/text", 20_000),
        (Chat::Dingtalk, "/text/content", 20_000),
        (Chat::Teams, "/attachments/0/content/body/0/text", 28_000),
    ] {
        assert!(
            text(kind, pointer).len() > 15_000 && body(kind, &long).len() < request,
            "{kind:?}"
        );
    }
}

#[test]
fn a_text_mentions_nobody() {
    assert!(body(Chat::Feishu, r#"<at user_id="all">x</at>"#).contains("<\u{200b}at user_id"));
    assert!(body(Chat::Wecom, "<@all>").contains("<\u{200b}@all>"));
    let full = "<@".repeat(1100);
    let json: serde_json::Value = serde_json::from_str(&body(Chat::Wecom, &full)).unwrap();
    assert!(json["text"]["content"].as_str().unwrap().len() <= 2048);
}

/// The signatures by Python: `base64.b64encode(hmac.new(key, message, hashlib.sha256).digest())`.
#[test]
fn feishu_signs_in_the_body_and_dingtalk_in_the_url() {
    let data = r#"{"channel":"c","user":"u","message":"m"}"#;
    let signed = |kind| {
        rendered(kind, data, |settings| {
            settings.secrets = vec![Secret::new("SECabc"), Secret::new("old")];
        })
    };
    let feishu = signed(Chat::Feishu);
    assert_eq!(
        feishu.body,
        r#"{"timestamp":"1773570600","sign":"pyfioNjTfa8bRCWeqS5MBhCU0IL6zK0Kgn7w4SGjrUE=","msg_type":"text","content":{"text":"c u: m"}}"#
    );
    let dingtalk = signed(Chat::Dingtalk);
    assert_eq!(
        dingtalk.uri.unwrap().to_string(),
        "https://chat.example/hook?key=1&timestamp=1773570600123&sign=gNnD5xOie6MSGPaVCgzpd4KWdEOg6qeiSKIr6ASDFIE%3D"
    );
    assert!(
        rendered(Chat::Dingtalk, data, |_| {}).uri.is_none(),
        "without a secret the URL is as it is"
    );
}

#[test]
fn a_text_and_a_body_of_ones_own() {
    let data = r#"{"channel":"c","user":"u","message":"a<b"}"#;
    let with =
        |change: fn(&mut Outbound)| String::from_utf8(rendered(Chat::Slack, data, change).body.to_vec()).unwrap();
    assert_eq!(
        with(|s| s.text = Some(Template::parse("{{event}} {{data.message}}").unwrap())),
        r#"{"text":"message.received a&lt;b"}"#
    );
    assert_eq!(
        with(|s| s.body = Some(Template::parse(r#"{"blocks":[{{data.message|tojson}}]}"#).unwrap())),
        r#"{"blocks":["a<b"]}"#
    );
}

#[test]
fn a_200_with_an_error_inside_is_a_failure() {
    let refused = |kind, body: &str| inside(kind, 200, body.as_bytes());
    for (kind, good) in [
        (Chat::Slack, "ok"),
        (Chat::Discord, ""),
        (Chat::Teams, ""),
        (Chat::Telegram, r#"{"ok":true,"result":{}}"#),
        (Chat::Feishu, r#"{"code":0,"msg":"success"}"#),
        (Chat::Feishu, r#"{"StatusCode":0,"StatusMessage":"success"}"#),
        (Chat::Dingtalk, r#"{"errcode":0,"errmsg":"ok"}"#),
        (Chat::Wecom, r#"{"errcode":0,"errmsg":"ok"}"#),
    ] {
        assert_eq!(refused(kind, good), Inside::default(), "{kind:?} {good}");
    }
    for (kind, bad, says) in [
        (Chat::Telegram, r#"{"ok":false,"description":"nope"}"#, "nope"),
        (Chat::Telegram, "<html>", "ok"),
        (
            Chat::Feishu,
            r#"{"code":19021,"msg":"sign match fail"}"#,
            "code 19021: sign match fail",
        ),
        (Chat::Feishu, "{}", "no `code`"),
        (
            Chat::Dingtalk,
            r#"{"errcode":310000,"errmsg":"keywords not in content"}"#,
            "errcode 310000",
        ),
        (
            Chat::Wecom,
            r#"{"errcode":93000,"errmsg":"invalid webhook url"}"#,
            "errcode 93000",
        ),
        (Chat::Wecom, "", "no `errcode`"),
    ] {
        let inside = refused(kind, bad);
        assert!(
            inside.refused.as_ref().is_some_and(|text| text.contains(says)),
            "{kind:?} {bad}: {inside:?}"
        );
        assert_eq!(inside.retry_after, None);
    }
}

#[test]
fn a_chat_that_gets_too_much_is_left_alone_for_a_while() {
    let wait = |kind, status, body: &str| {
        inside(kind, status, body.as_bytes())
            .retry_after
            .map(|wait| wait.as_secs())
    };
    let telegram = r#"{"ok":false,"error_code":429,"description":"Too Many Requests","parameters":{"retry_after":17}}"#;
    assert_eq!(wait(Chat::Telegram, 429, telegram), Some(17));
    assert_eq!(
        wait(Chat::Dingtalk, 200, r#"{"errcode":130101,"errmsg":"send too fast"}"#),
        Some(60)
    );
    assert_eq!(
        wait(
            Chat::Wecom,
            200,
            r#"{"errcode":45009,"errmsg":"api freq out of limit"}"#
        ),
        Some(60)
    );
    assert_eq!(
        wait(Chat::Feishu, 200, r#"{"code":11232,"msg":"frequency limited"}"#),
        Some(60)
    );
}
