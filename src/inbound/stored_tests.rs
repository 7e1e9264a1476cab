//! Tokens that come in queries and bodies: accepted, and then nowhere in what is stored.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};

use super::Peer;
use super::fake::{Stage, inbound};
use crate::document::Inbound;
use crate::secret::Secret;

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// What is stored of a request.
struct Stored {
    target: String,
    body: String,
    /// All of it, as text.
    all: String,
}

async fn stored(settings: Inbound, target: &str, kind: &str, body: &str) -> Stored {
    let stage = Stage::with(settings);
    let request = http::Request::post(target).header("content-type", kind);
    let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
    let answer = stage.routes.handle(request, Peer::Unix).await;
    assert!(answer.status().is_success(), "{target} {body}");
    let said = answer.into_body().collect().await.unwrap().to_bytes();
    stage.last(|append| {
        let raw = append.request.as_ref().unwrap();
        Stored {
            target: raw.target.clone(),
            body: String::from_utf8(raw.body.to_vec()).unwrap(),
            all: format!("{append:?} {said:?} {:?}", stage.store.notes.lock().unwrap()),
        }
    })
}

fn route(platform: &'static str, verifies: bool) -> Inbound {
    Inbound {
        secrets: vec![Secret::new("hunter+2")],
        verify_signature: verifies,
        ..inbound("t", platform)
    }
}

#[tokio::test]
async fn a_password_in_the_query_is_not_stored() {
    let body = r#"{"type":"typing-indicator","guid":"kept"}"#;
    for target in [
        "/webhook/t?a=1&password=hunter%2B2",
        "/webhook/t?guid=hunter%2B2&a=1",
        "/webhook/t?password=hunter%2B2&a=1&guid=hunter%2b2",
    ] {
        let stored = stored(route("bluebubbles", true), target, JSON, body).await;
        assert_eq!(stored.target, "/webhook/t?a=1");
        assert_eq!(stored.body, body, "a body that holds no token is as it came");
        assert!(!stored.all.contains("hunter"), "{}", stored.all);
    }
    let stored = stored(route("bluebubbles", false), "/webhook/t?password=elder", JSON, body).await;
    assert_eq!(stored.target, "/webhook/t", "nor one that is no longer ours");
    assert!(!stored.all.contains("elder"), "{}", stored.all);
}

#[tokio::test]
async fn a_token_in_the_body_is_not_stored() {
    for (platform, kind, body, left) in [
        (
            "mattermost",
            JSON,
            r#"{ "token": "hunter+2", "post_id": "1", "user_id": "u", "channel_id": "c", "n": 1.0 }"#,
            r#"{"post_id":"1","user_id":"u","channel_id":"c","n":1.0}"#,
        ),
        ("mattermost", JSON, r#"{"token":"hunter+2","a":1}"#, r#"{"a":1}"#),
        (
            "mattermost",
            FORM,
            "text=a+b&token=hunter%2B2&command=%2fx&user_id=u&channel_id=c",
            "text=a+b&command=%2fx&user_id=u&channel_id=c",
        ),
        ("synology-chat", FORM, "token=hunter%2B2&user_id=5", "user_id=5"),
        ("synology-chat", FORM, "token=hunter%2B2&a=1", "a=1"),
    ] {
        for verifies in [true, false] {
            let stored = stored(route(platform, verifies), "/webhook/t", kind, body).await;
            assert_eq!(stored.body, left, "{platform}");
            assert!(!stored.all.contains("hunter"), "{}", stored.all);
        }
    }
}

#[tokio::test]
async fn a_handshake_stores_nothing_and_tells_no_token() {
    let stage = Stage::with(Inbound {
        verify_tokens: vec![Secret::new("hunter+2"), Secret::new("elder")],
        ..inbound("t", "whatsapp")
    });
    let ask = async |query: &str| {
        let request = http::Request::get(format!("/webhook/t?{query}"));
        let request = request.body(Full::new(Bytes::new())).unwrap();
        let answer = stage.routes.handle(request, Peer::Unix).await;
        (
            answer.status().as_u16(),
            answer.into_body().collect().await.unwrap().to_bytes(),
        )
    };
    let refused = (403, Bytes::from(r#"{"error":"verification failed"}"#));
    for (query, answer) in [
        (
            "hub.mode=subscribe&hub.challenge=a%20b&hub.verify_token=hunter%2B2",
            (200, "a b".into()),
        ),
        (
            "hub.mode=subscribe&hub.challenge=1&hub.verify_token=elder",
            (200, "1".into()),
        ),
        (
            "hub.mode=subscribe&hub.challenge=1&hub.verify_token=hunter+2",
            refused.clone(),
        ),
        ("hub.mode=subscribe&hub.challenge=1&hub.verify_token=", refused.clone()),
        ("hub.mode=subscribe&hub.challenge=1", refused.clone()),
        (
            "hub.mode=unsubscribe&hub.challenge=1&hub.verify_token=elder",
            refused.clone(),
        ),
        ("hub.mode=subscribe&hub.verify_token=elder", refused.clone()),
        (
            "hub.mode=subscribe&hub.challenge=1&hub.verify_token=%FF",
            refused.clone(),
        ),
    ] {
        assert_eq!(ask(query).await, answer, "{query}");
    }
    assert!(stage.store.appends.lock().unwrap().is_empty());
    let notes = format!("{:?}", stage.store.notes.lock().unwrap());
    assert!(!notes.contains("hunter") && !notes.contains("elder"), "{notes}");

    let unset = Stage::with(Inbound {
        verify_signature: false,
        ..inbound("t", "whatsapp")
    });
    let request = http::Request::get("/webhook/t?hub.mode=subscribe&hub.challenge=1&hub.verify_token=");
    let request = request.body(Full::new(Bytes::new())).unwrap();
    let answer = unset.routes.handle(request, Peer::Unix).await;
    assert_eq!(
        answer.status().as_u16(),
        403,
        "without a verifyToken nobody may subscribe"
    );
}
