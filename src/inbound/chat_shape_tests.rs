//! More shapes that the vectors leave out: the chats whose bodies hold several events, and those of one's own server.

use bytes::Bytes;
use http_body_util::Full;
use sha2::{Digest, Sha256};

use super::Peer;
use super::fake::{Stage, inbound};
use super::shape_tests::{FORM, becomes, becomes_with, webhook};
use crate::document::Inbound;
use crate::secret::Secret;

fn hash(body: &str) -> String {
    hex::encode(Sha256::digest(body))
}

/// All events of a body: name and data, less its mark.
async fn all(platform: &'static str, body: &str) -> Vec<(String, String)> {
    let stage = Stage::with(Inbound {
        verify_signature: false,
        ..inbound("t", platform)
    });
    let request = http::Request::post("/webhook/t").body(Full::new(Bytes::from(body.to_owned())));
    let answer = stage.routes.handle(request.unwrap(), Peer::Unix).await;
    assert_eq!(answer.status().as_u16(), 200, "{body}");
    let appends = stage.store.appends.lock().unwrap();
    assert!(appends.len() <= 1, "one durable write");
    appends
        .iter()
        .flat_map(|append| &append.events)
        .map(|new| {
            let data = new.event.data.as_str().strip_suffix(r#","verified":false}"#).unwrap();
            (new.event.name.to_string(), format!("{data}}}"))
        })
        .collect()
}

fn whatsapp(changes: &str) -> String {
    format!(r#"{{"entry":[{{"id":"1","changes":[{changes}]}}]}}"#)
}

#[tokio::test]
async fn whatsapp_keeps_the_order_and_loses_nothing() {
    let (status, other) = (
        r#"{"id":"m1","status":"sent"}"#,
        r#"{"field":"account_update","value":{"n":1.0}}"#,
    );
    let body = whatsapp(&format!(
        r#"{{"field":"messages","value":{{"statuses":[{status},{{"id":"m2"}}],
            "messages":[{{"from":"1","id":"m3","type":"text","text":{{"body":"x"}}}},{{"type":"odd"}}]}}}},{other}"#
    ));
    let events = all("whatsapp", &body).await;
    let hash = hash(&body);
    assert_eq!(events[0].0, "message.received");
    assert_eq!(
        events[1..],
        [
            webhook("whatsapp", "odd", &format!("{hash}:1"), r#"{"type":"odd"}"#),
            webhook("whatsapp", "message.status", "m1:sent", status),
            webhook("whatsapp", "message.status", &format!("{hash}:3"), r#"{"id":"m2"}"#),
            webhook("whatsapp", "account_update", &format!("{hash}:4"), other),
        ]
    );
}

#[tokio::test]
async fn whatsapp_takes_what_it_does_not_know_as_a_whole() {
    for body in ["[]", "{}", r#"{"entry":[]}"#, r#"{"entry":{}}"#, "7"] {
        let expected = webhook("whatsapp", "unknown", &hash(body), body);
        assert_eq!(all("whatsapp", body).await, [expected], "{body}");
    }
    let body = r#"{"entry":[{"id":"1","messaging":[]}]}"#;
    let entry = r#"{"id":"1","messaging":[]}"#;
    assert_eq!(
        all("whatsapp", body).await,
        [webhook("whatsapp", "unknown", &hash(body), entry)]
    );
    for change in [
        r#"{"field":"messages","value":{"errors":[1]}}"#,
        r#"{"field":"messages","value":{"messages":{}}}"#,
        r#"{"field":"messages"}"#,
    ] {
        let body = whatsapp(change);
        let expected = webhook("whatsapp", "messages", &hash(&body), change);
        assert_eq!(all("whatsapp", &body).await, [expected], "{change}");
    }
}

#[tokio::test]
async fn whatsapp_messages_of_every_kind() {
    let data = async |contacts: &str, message: &str| {
        let body = whatsapp(&format!(
            r#"{{"field":"messages","value":{{"contacts":{contacts},"messages":[{message}]}}}}"#
        ));
        all("whatsapp", &body).await.remove(0)
    };
    for (kind, inside, text) in [
        ("text", r#""text":{"body":" a "}"#, " a "),
        ("button", r#""button":{"payload":"p","text":"b"}"#, "b"),
        (
            "interactive",
            r#""interactive":{"type":"list_reply","list_reply":{"id":"1","title":"l"}}"#,
            "l",
        ),
        (
            "interactive",
            r#""interactive":{"type":"nfm_reply","nfm_reply":{}}"#,
            "",
        ),
        ("video", r#""video":{"id":"v","caption":"c"}"#, "c"),
        ("reaction", r#""reaction":{"message_id":"m","emoji":"👍"}"#, "👍"),
        ("reaction", r#""reaction":{"message_id":"m"}"#, ""),
        ("location", r#""location":{"latitude":1.5}"#, ""),
        ("contacts", r#""contacts":[{"name":{}}]"#, ""),
        ("unsupported", r#""errors":[]"#, ""),
    ] {
        let message = format!(r#"{{"from":"1","id":"m","timestamp":"x","type":"{kind}",{inside}}}"#);
        let (name, data) = data("[]", &message).await;
        assert_eq!(name, "message.received", "{message}");
        let start = format!(r#"{{"channel":"t-main","user":"1","message":"{text}","sessionId":"t-main:1","#);
        assert!(data.starts_with(&start), "{data}");
        assert!(!data.contains("sentAt"), "{data}");
        assert_eq!(data.contains("attachments"), kind == "video", "{data}");
    }
    let (_, document) = data(
        r#"[{"wa_id":"2","profile":{"name":"no"}},{"wa_id":"1"}]"#,
        r#"{"from":"1","id":"m","type":"document","document":{"id":"d","filename":"a.pdf","mime_type":"x/y"}}"#,
    )
    .await;
    assert!(
        document.contains(r#""attachments":[{"type":"document","id":"d","name":"a.pdf","mimeType":"x/y"}]"#)
            && !document.contains("userName"),
        "{document}"
    );
    let (_, hidden) = data(
        r#"[{"user_id":"U","profile":{"name":"N"}}]"#,
        r#"{"id":"m","type":"text"}"#,
    )
    .await;
    assert!(
        hidden.contains(r#""user":"U""#) && hidden.contains(r#""userName":"N""#),
        "{hidden}"
    );
    for message in [
        r#"{"id":"m","type":"text","text":{"body":"x"}}"#,
        r#"{"from":1,"id":"m","type":"text"}"#,
        r#"{"from":"1","id":"m","type":"text","text":"x"}"#,
        r#"{"from":"1","id":"m","type":"text","timestamp":7}"#,
    ] {
        assert_eq!(data("[]", message).await, webhook("whatsapp", "text", "m", message));
    }
}

#[tokio::test]
async fn line_takes_only_messages_that_are_for_the_bot() {
    for body in ["{}", r#"{"events":{}}"#, r#"{"events":null}"#, "[]"] {
        assert_eq!(
            becomes("line", body).await,
            webhook("line", "unknown", &hash(body), body),
            "{body}"
        );
    }
    assert!(all("line", r#"{"events":[]}"#).await.is_empty());

    let source = r#""source":{"type":"room","roomId":"R"}"#;
    let good =
        format!(r#"{{"type":"message",{source},"timestamp":1773570600999,"message":{{"id":"1","type":"image"}}}}"#);
    let standby = format!(r#"{{"type":"message","mode":"standby",{source},"message":{{"id":"1","type":"text"}}}}"#);
    let nowhere = r#"{"type":"message","webhookEventId":"w","source":{},"message":{"id":"1","type":"text"}}"#;
    let number = format!(r#"{{"type":"message",{source},"message":{{"id":1,"type":"text"}}}}"#);
    let body = format!(r#"{{"events":[{good},{standby},{nowhere},{number},7]}}"#);
    let hash = hash(&body);
    let key = |n| format!("{hash}:{n}");
    assert_eq!(all("line", &body).await, [
        (
            "message.received".to_owned(),
            concat!(
                r#"{"channel":"t-main","user":"R","message":"","sessionId":"t-main:R","platform":"line","#,
                r#""messageId":"1","chatId":"R","sentAt":"2026-03-15T10:30:00Z","attachments":[{"type":"image","id":"1"}]}"#
            )
            .to_owned()
        ),
        webhook("line", "message", &key(1), &standby),
        webhook("line", "message", "w", nowhere),
        webhook("line", "message", &key(3), &number),
        webhook("line", "unknown", &key(4), "7"),
    ]);
}

#[tokio::test]
async fn no_body_holds_more_events_than_one_write_takes() {
    let list = |n: usize| vec!["{}"; n].join(",");
    assert_eq!(
        all("line", &format!(r#"{{"events":[{}]}}"#, list(10_000))).await.len(),
        10_000
    );
    let refused = becomes_with("line", &[], &format!(r#"{{"events":[{}]}}"#, list(10_001))).await;
    assert_eq!(refused, Err(400));
    let refused = becomes_with("whatsapp", &[], &whatsapp(&list(10_001))).await;
    assert_eq!(refused, Err(400));
}

#[tokio::test]
async fn mattermost_tells_posts_commands_and_the_rest_apart() {
    let form = |body: &'static str| becomes_with("mattermost", &[FORM], body);
    let (name, data) = form("post_id=p&user_id=u&channel_id=c&timestamp=1773570600&text=+x+")
        .await
        .unwrap();
    assert_eq!(name, "message.received");
    assert!(data.contains(r#""message":" x ""#), "{data}");
    assert!(
        data.contains(r#""sentAt":"2026-03-15T10:30:00Z""#),
        "a form's time is in seconds: {data}"
    );

    let (name, data) = form("command=%2Fx&user_id=u&channel_id=c").await.unwrap();
    assert_eq!(name, "message.received");
    assert!(data.contains(r#""message":"/x""#) && !data.contains("reply"), "{data}");

    for body in ["post_id=p&user_id=u", "post_id=p&user_id=&channel_id=c"] {
        let (name, data) = form(body).await.unwrap();
        assert_eq!(name, "webhook.received", "{body}");
        assert!(data.contains(r#""type":"unknown","deliveryId":"p""#), "{data}");
    }
    let body = "command=%2Fx&user_id=u&post_id=p";
    let (_, data) = form(body).await.unwrap();
    assert!(
        data.contains(&hash(body)),
        "a command has no key but its trigger_id: {data}"
    );
    for body in [
        r#"{"post_id":"p","user_id":"u","channel_id":"c","timestamp":"1773570600000"}"#,
        r#"{"post_id":"p","user_id":5,"channel_id":"c"}"#,
    ] {
        assert_eq!(
            becomes("mattermost", body).await,
            webhook("mattermost", "unknown", "p", body),
            "{body}"
        );
    }
    let body = r#"{"command":"/x","user_id":"u","channel_id":"c"}"#;
    assert_eq!(
        becomes("mattermost", body).await.0,
        "webhook.received",
        "commands are forms"
    );
    assert_eq!(form("a=%FF").await, Err(400));
}

#[tokio::test]
async fn a_token_in_the_body_is_text_and_there() {
    for platform in ["mattermost", "synology-chat"] {
        let stage = Stage::with(Inbound {
            secrets: vec![Secret::new("secret"), Secret::new("5")],
            ..inbound("t", platform)
        });
        for (kind, body, status) in [
            ("application/json", r#"{"token":"secret"}"#, 2),
            ("application/json", r#"{"token":"5"}"#, 2),
            ("application/json", r#"{"token":5}"#, 4),
            ("application/json", r#"{"token":""}"#, 4),
            ("application/json", r#"["secret"]"#, 4),
            ("application/json", r#"{"a":{"token":"secret"}}"#, 4),
            (FORM.1, "a=1&token=secret", 2),
            (FORM.1, "token=wrong&token=secret", 4),
            ("text/plain", "token=secret", 4),
        ] {
            let request = http::Request::post("/webhook/t").header("content-type", kind);
            let request = request.body(Full::new(Bytes::from(body))).unwrap();
            let answer = stage.routes.handle(request, Peer::Unix).await;
            assert_eq!(answer.status().as_u16() / 100, status, "{platform} {body}");
        }
    }
}

#[tokio::test]
async fn synology_forms() {
    let form = |body: &'static str| becomes_with("synology-chat", &[FORM], body);
    let body = "user_id=5&channel_id=&timestamp=x";
    let (name, data) = form(body).await.unwrap();
    assert_eq!(name, "message.received");
    assert!(
        data.contains(r#""sessionId":"t-main:5""#) && !data.contains("sentAt"),
        "{data}"
    );
    let (name, data) = form("post_id=9&username=ann").await.unwrap();
    assert_eq!(name, "webhook.received");
    assert!(
        data.ends_with(r#""type":"unknown","deliveryId":"9","body":{"post_id":"9","username":"ann"}}"#),
        "{data}"
    );
}

#[tokio::test]
async fn nextcloud_content_is_json_or_the_text_itself() {
    let note = |content: &str| {
        format!(
            r#"{{"type":"Create","actor":{{"id":"a"}},"object":{{"type":"Note","id":"1","content":{content}}},"target":{{"id":"t"}}}}"#
        )
    };
    for (content, text) in [
        (r#""{\"message\":\"hi\"}""#, "hi"),
        (r#""plain""#, "plain"),
        (r#""[1]""#, "[1]"),
        (r#""5""#, "5"),
        (r#""{\"message\":5}""#, r#"{\"message\":5}"#),
        ("null", ""),
    ] {
        let (name, data) = becomes("nextcloud-talk", &note(content)).await;
        assert_eq!(name, "message.received", "{content}");
        assert!(data.contains(&format!(r#""message":"{text}""#)), "{data}");
    }
    let random = [("x-nextcloud-talk-random", "r")];
    for (kind, body) in [
        ("Create", note("5")),
        ("Create", note(r#""x""#).replace("Note", "File")),
        ("Activity", note(r#""x""#).replace("Create", "Activity")),
        ("Create", note(r#""x""#).replace(r#""id":"t""#, "")),
        ("Join", r#"{"type":"Join","actor":{"id":"a"}}"#.to_owned()),
        ("unknown", "[]".to_owned()),
    ] {
        let event = becomes_with("nextcloud-talk", &random, &body).await.unwrap();
        assert_eq!(event, webhook("nextcloud-talk", kind, "r", &body), "{body}");
    }
}

#[tokio::test]
async fn zalo_takes_only_messages_of_its_own_shape() {
    let kind = "message.text.received";
    let update = |inside: &str| format!(r#"{{"event_name":"{kind}","message":{{"message_id":"m",{inside}}}}}"#);
    for inside in [
        r#""from":{"id":"1"}"#,
        r#""chat":{"id":"1"}"#,
        r#""from":{"id":1},"chat":{"id":"1"}"#,
        r#""from":{"id":"1"},"chat":{"id":"1"},"date":"1""#,
    ] {
        let body = update(inside);
        let expected = webhook("zalo", kind, &format!("{kind}:m"), &body);
        assert_eq!(becomes("zalo", &body).await, expected, "{body}");
    }
    let (_, data) = becomes(
        "zalo",
        &update(r#""from":{"id":"1","name":"n"},"chat":{"id":"2"},"date":1773570600,"sticker":"s""#),
    )
    .await;
    assert_eq!(
        data,
        concat!(
            r#"{"channel":"t-main","user":"1","message":"","sessionId":"t-main:2","platform":"zalo","messageId":"m","#,
            r#""userName":"n","chatId":"2","sentAt":"2026-03-15T10:30:00Z","attachments":[{"type":"sticker","id":"s"}]}"#
        )
    );
    // Only what says `ok` is a wrapper.
    let body = r#"{"ok":false,"result":{"event_name":"x"}}"#;
    assert_eq!(
        becomes("zalo", body).await,
        webhook("zalo", "unknown", &hash(body), body)
    );
}

#[tokio::test]
async fn bluebubbles_takes_only_what_another_person_wrote() {
    let body = |inside: &str| format!(r#"{{"type":"new-message","data":{{"guid":"g",{inside}}}}}"#);
    let handle = r#""handle":{"address":"+1"}"#;
    for inside in [
        handle.to_owned(),
        format!(r#"{handle},"isFromMe":null"#),
        format!(r#"{handle},"isFromMe":0"#),
        r#""isFromMe":false,"handle":null"#.to_owned(),
        format!(r#"{handle},"isFromMe":false,"text":5"#),
    ] {
        let body = body(&inside);
        let expected = webhook("bluebubbles", "new-message", &hash(&body), &body);
        assert_eq!(becomes("bluebubbles", &body).await, expected, "{body}");
    }
    let (_, data) = becomes(
        "bluebubbles",
        &body(&format!(
            r#"{handle},"isFromMe":false,"text":null,"attachments":[{{"guid":"a","mimeType":null}}]"#
        )),
    )
    .await;
    assert!(
        data.contains(r#""chatId":"+1","attachments":[{"type":"file","id":"a"}]"#),
        "{data}"
    );
    let updated = r#"{"type":"updated-message","data":{"guid":"g","handle":{"address":"+1"},"isFromMe":false}}"#;
    assert_eq!(becomes("bluebubbles", updated).await.0, "webhook.received");
}

#[tokio::test]
async fn sources_without_an_id_have_the_hash() {
    for (platform, body, kind) in [
        (
            "gitlab",
            r#"{"event_name":"project_create","object_kind":5}"#,
            "project_create",
        ),
        ("gitlab", r#"{"object_kind":"note","object_attributes":[]}"#, "note"),
        ("gitlab", "[]", "unknown"),
        ("shopify", r#"{"id":5}"#, "unknown"),
        ("stripe", r#"{"id":5,"type":"x.y"}"#, "x.y"),
        (
            "openclaw-cron",
            r#"{"jobId":"j","runAtMs":"1","action":"a"}"#,
            "automation.a",
        ),
        ("openclaw-cron", r#"{"jobId":"j","runAtMs":1}"#, "unknown"),
    ] {
        assert_eq!(
            becomes(platform, body).await,
            webhook(platform, kind, &hash(body), body),
            "{body}"
        );
    }
    let (_, data) = becomes_with("stripe", &[("stripe-signature", "v1=00,t=17")], "{}")
        .await
        .unwrap();
    assert!(data.contains(&format!(r#""deliveryId":"{}:17""#, hash("{}"))), "{data}");
    // The id that GitLab signs counts before the one that it does not.
    let headers = [
        ("idempotency-key", "k"),
        ("webhook-id", "w"),
        ("webhook-signature", "v1,x"),
    ];
    let (_, data) = becomes_with("gitlab", &headers, "{}").await.unwrap();
    assert!(data.contains(r#""deliveryId":"w""#), "{data}");
    let (_, data) = becomes_with("gitlab", &headers[..2], "{}").await.unwrap();
    assert!(data.contains(r#""deliveryId":"k""#), "{data}");
}

#[tokio::test]
async fn stripe_looks_at_sixteen_signatures() {
    let stage = Stage::with(inbound("t", "stripe"));
    let sample = stage
        .routes
        .sample(&crate::event::Name::parse("t").unwrap(), "x")
        .unwrap();
    let proof = sample
        .headers
        .iter()
        .find(|(name, _)| name == "Stripe-Signature")
        .unwrap();
    let (time, code) = proof.1.expose().split_once(',').unwrap();
    for (before, status) in [(15, 200), (16, 401)] {
        let proof = format!("{time},{}{code}", "v1=00,v0=00,".repeat(before));
        let request = http::Request::post("/webhook/t").header("stripe-signature", proof);
        let request = request.body(Full::new(Bytes::from(sample.body.clone()))).unwrap();
        let answer = stage.routes.handle(request, Peer::Unix).await;
        assert_eq!(answer.status().as_u16(), status);
    }
}
