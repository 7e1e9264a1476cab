//! Shapes that the vectors leave out: what is odd, missing or of another type. The routes verify nothing, so that a line
//! here is a body and what becomes of it.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};

use super::Peer;
use super::fake::{Stage, inbound};
use crate::document::Inbound;

pub(super) const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// What a body becomes: the event's name and data (less its mark), or the status of a refusal.
pub(super) async fn becomes_with(
    platform: &'static str,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<(String, String), u16> {
    let stage = Stage::with(Inbound {
        verify_signature: false,
        ..inbound("t", platform)
    });
    let mut request = http::Request::post("/webhook/t");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
    let answer = stage.routes.handle(request, Peer::Unix).await;
    if answer.status().as_u16() >= 300 {
        return Err(answer.status().as_u16());
    }
    Ok(stage.last(|append| {
        let event = &append.events[0].event;
        let data = event
            .data
            .as_str()
            .strip_suffix(r#","verified":false}"#)
            .expect("every event is marked");
        (event.name.to_string(), format!("{data}}}"))
    }))
}

pub(super) async fn becomes(platform: &'static str, body: &str) -> (String, String) {
    becomes_with(platform, &[], body).await.unwrap()
}

/// `webhook.received` of this type and key, with the body as it came.
pub(super) fn webhook(platform: &str, kind: &str, key: &str, body: &str) -> (String, String) {
    let data =
        format!(r#"{{"channel":"t-main","platform":"{platform}","type":"{kind}","deliveryId":"{key}","body":{body}}}"#);
    ("webhook.received".to_owned(), data)
}

#[tokio::test]
async fn telegram_takes_only_messages_of_its_own_shape() {
    for (kind, inside) in [
        ("message", r#"{"chat":{"id":"5"},"from":{"id":5}}"#),
        ("message", r#"{"chat":{"id":5.5},"from":{"id":5}}"#),
        ("message", r#"{"chat":{"id":5},"from":{"first_name":"A"}}"#),
        ("message", r#"{"chat":{"id":5},"from":[]}"#),
        ("message", r#"{"chat":{"id":5},"from":{"id":5},"text":7}"#),
        ("message", r#"{"chat":{"id":5},"from":{"id":5},"photo":{}}"#),
        (
            "message",
            r#"{"chat":{"id":5},"from":{"id":5},"document":{"file_size":"9"}}"#,
        ),
        ("message", "null"),
        ("channel_post", "[]"),
        ("poll", "{}"),
    ] {
        let body = format!(r#"{{"update_id":1,"{kind}":{inside}}}"#);
        assert_eq!(
            becomes("telegram", &body).await,
            webhook("telegram", kind, "1", &body),
            "{body}"
        );
    }
    let body = r#"{"update_id":"1"}"#;
    let (_, data) = becomes("telegram", body).await;
    assert!(
        data.contains(r#""type":"unknown""#) && !data.contains(r#""deliveryId":"1""#),
        "{data}"
    );
}

#[tokio::test]
async fn telegram_names_and_pictures() {
    let message = |inside: &str| format!(r#"{{"update_id":1,"message":{{"chat":{{"id":5,"title":"ops"}},{inside}}}}}"#);
    let (name, data) = becomes(
        "telegram",
        &message(
            r#""from":{"id":18446744073709551616,"first_name":"A"},"date":-1,"message_thread_id":3,"photo":[
            {"file_id":"b","width":9,"height":9},{"file_id":"a","width":3,"height":3}],"sticker":{"file_id":"s"}"#,
        ),
    )
    .await;
    assert_eq!(name, "message.received");
    assert_eq!(
        data,
        concat!(
            r#"{"channel":"t-main","user":"18446744073709551616","message":"","sessionId":"t-main:5","platform":"telegram","#,
            r#""userName":"A","chatId":"5","sentAt":"1969-12-31T23:59:59Z","#,
            r#""attachments":[{"type":"photo","id":"b"},{"type":"sticker","id":"s"}]}"#
        )
    );
    let (_, data) = becomes("telegram", &message(r#""text":"x""#)).await;
    assert!(
        data.contains(r#""user":"5""#) && data.contains(r#""userName":"ops""#),
        "{data}"
    );
}

#[tokio::test]
async fn discord_takes_only_commands_of_its_own_shape() {
    for inside in [
        r#""channel_id":"5","data":{"name":"x"}"#,
        r#""user":{"id":"1"},"data":{"name":"x"}"#,
        r#""user":{"id":"1"},"channel_id":"5""#,
        r#""user":{"id":1},"channel_id":"5","data":{"name":"x"}"#,
        r#""user":{"id":"1"},"channel_id":"5","data":{"name":"x","options":[{"name":"o","type":4}]}"#,
        r#""user":{"id":"1"},"channel_id":"5","data":{"name":"x","options":[{"name":"o","type":3,"value":5}]}"#,
    ] {
        let body = format!(r#"{{"type":2,"id":"7",{inside}}}"#);
        let expected = webhook("discord", "application_command", "7", &body);
        assert_eq!(becomes("discord", &body).await, expected, "{body}");
    }
    let body = r#"{"type":9,"id":"7"}"#;
    assert_eq!(becomes("discord", body).await, webhook("discord", "unknown", "7", body));
    let (_, data) = becomes_with("discord", &[("x-signature-timestamp", "17")], "[]")
        .await
        .unwrap();
    assert!(
        data.contains(r#":17","body":[]"#),
        "the hash has the signed time: {data}"
    );
}

#[tokio::test]
async fn slack_tells_people_from_the_rest() {
    let event = |inside: &str| format!(r#"{{"type":"event_callback","event_id":"E","event":{{{inside}}}}}"#);
    let broadcast =
        event(r#""type":"message","subtype":"thread_broadcast","user":"U","channel":"C","ts":"1.2","text":"x""#);
    assert_eq!(becomes("slack", &broadcast).await.0, "message.received");
    for (kind, inside) in [
        ("message", r#""type":"message","channel":"C","ts":"1.2""#),
        ("message", r#""type":"message","user":"U","channel":"C","ts":1.2"#),
        (
            "message.channel_join",
            r#""type":"message","subtype":"channel_join","user":"U","channel":"C","ts":"1.2""#,
        ),
        (
            "app_mention",
            r#""type":"app_mention","bot_id":"B","user":"U","channel":"C","ts":"1.2""#,
        ),
        ("reaction_added", r#""type":"reaction_added","user":"U""#),
    ] {
        let body = event(inside);
        assert_eq!(
            becomes("slack", &body).await,
            webhook("slack", kind, "E", &body),
            "{body}"
        );
    }
}

#[tokio::test]
async fn slack_forms() {
    let form = |body: &'static str| becomes_with("slack", &[FORM], body);
    let (name, data) = form("foo=1&foo=2&trigger_id=T").await.unwrap();
    assert_eq!(name, "webhook.received");
    assert!(
        data.ends_with(r#""type":"unknown","deliveryId":"T","body":{"foo":"1","trigger_id":"T"}}"#),
        "{data}"
    );
    let (name, _) = form("command=%2Fx&user_id=U").await.unwrap();
    assert_eq!(name, "webhook.received", "a command without a channel is no message");
    let (_, data) = form("payload=[1]").await.unwrap();
    assert!(
        data.contains(r#""type":"unknown""#) && data.ends_with(r#""body":[1]}"#),
        "{data}"
    );
    assert_eq!(form("a=%FF").await, Err(400));
    // The same fields under another content type are no form.
    assert_eq!(becomes_with("slack", &[], "command=%2Fx").await, Err(400));
}

#[tokio::test]
async fn github_forms_and_types() {
    assert_eq!(becomes_with("github", &[FORM], "a=1").await, Err(400));
    let delivery = ("x-github-delivery", "d");
    let body = r#"{"action":7}"#;
    let pushed = becomes_with("github", &[("x-github-event", "push"), delivery], body)
        .await
        .unwrap();
    assert_eq!(pushed, webhook("github", "push", "d", body));
    let nameless = becomes_with("github", &[delivery], r#"{"action":"x"}"#).await.unwrap();
    assert_eq!(nameless, webhook("github", "unknown", "d", r#"{"action":"x"}"#));
    let twice = [delivery, ("x-github-delivery", "e")];
    assert_eq!(
        becomes_with("github", &twice, "{}").await,
        Err(401),
        "nobody can say which was meant"
    );
}

#[tokio::test]
async fn a_chained_gateways_event_is_taken_over_only_whole() {
    let id = [("webhook-id", "e")];
    for (kind, body) in [
        (
            "message.sent",
            r#"{"event":"message.sent","timestamp":"2026-03-15T10:00:00Z"}"#,
        ),
        (
            "message.sent",
            r#"{"event":"message.sent","timestamp":"2026-03-15T10:00:00Z","data":[]}"#,
        ),
        (
            "message.sent",
            r#"{"event":"message.sent","timestamp":"yesterday","data":{}}"#,
        ),
        (
            "Sent!",
            r#"{"event":"Sent!","timestamp":"2026-03-15T10:00:00Z","data":{}}"#,
        ),
        ("x", r#"{"type":"x"}"#),
    ] {
        let expected = webhook("openclaw", kind, "e", body);
        assert_eq!(becomes_with("openclaw", &id, body).await.unwrap(), expected, "{body}");
    }
}

#[tokio::test]
async fn numbers_and_order_stay_to_the_digit() {
    let body = r#"{"z":1E5,"a":1.0,"n":12345678901234567890,"m":-0.0,"$serde_json::private::Number":"1"}"#;
    let (_, data) = becomes("token", &format!(" {body}\n")).await;
    assert!(data.ends_with(&format!(r#""body":{body}}}"#)), "{data}");
}

#[tokio::test]
async fn an_unsigned_ssl_check_is_answered_and_nothing_else_is() {
    let stage = Stage::with(inbound("t", "slack"));
    let form = |body: &'static str| {
        let request = http::Request::post("/webhook/t").header(FORM.0, FORM.1);
        request.body(Full::new(Bytes::from(body))).unwrap()
    };
    for (body, status) in [
        ("ssl_check=1&command=x", 200),
        ("ssl_check=0", 401),
        ("ssl_check=%FF", 400),
    ] {
        let answer = stage.routes.handle(form(body), Peer::Unix).await;
        assert_eq!(answer.status().as_u16(), status, "{body}");
        if status == 200 {
            assert!(answer.into_body().collect().await.unwrap().to_bytes().is_empty());
        }
    }
    assert!(stage.store.appends.lock().unwrap().is_empty());
}
