//! Receiving, as a sender sees it: statuses, headers, and what was stored.

use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;

use super::fake::{Stage, inbound};
use super::{Peer, Reason, RouteChange, Routes};
use crate::document::Inbound;
use crate::document::settings::Rate;
use crate::event::Name;
use crate::listener::Body;
use crate::secret::Secret;

const LOCAL: Peer = Peer::Ip(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));

pub(super) fn token() -> Inbound {
    inbound("t", "token")
}

pub(super) fn post(body: impl Into<Bytes>) -> http::Request<Full<Bytes>> {
    http::Request::post("/webhook/t")
        .header("authorization", "Bearer secret")
        .body(Full::new(body.into()))
        .unwrap()
}

fn with(mut request: http::Request<Full<Bytes>>, name: &'static str, value: &str) -> http::Request<Full<Bytes>> {
    request.headers_mut().append(name, value.parse().unwrap());
    request
}

pub(super) async fn ask(stage: &Stage, request: http::Request<Full<Bytes>>) -> Response<Body> {
    stage.routes.handle(request, LOCAL).await
}

pub(super) async fn status(stage: &Stage, request: http::Request<Full<Bytes>>) -> u16 {
    ask(stage, request).await.status().as_u16()
}

pub(super) fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

pub(super) fn t() -> Name {
    Name::parse("t").unwrap()
}

pub(super) fn appends(stage: &Stage) -> usize {
    stage.store.appends.lock().unwrap().len()
}

/// A body that sends these chunks and then does not end.
fn endless(chunks: Vec<Bytes>) -> StreamBody<impl stream::Stream<Item = Result<Frame<Bytes>, Infallible>>> {
    StreamBody::new(stream::iter(chunks.into_iter().map(|chunk| Ok(Frame::data(chunk)))).chain(stream::pending()))
}

#[test]
fn a_listener_can_spawn_what_handles_a_request() {
    fn sendable<F: Send>(_: impl Fn(&'static Routes, http::Request<hyper::body::Incoming>) -> F) {}
    sendable(|routes, request| routes.handle(request, LOCAL));
}

#[tokio::test]
async fn each_refusal_has_its_status() {
    let stage = Stage::with(token());
    stage.limits(|limits| limits.max_body_bytes = 8);
    let mut elsewhere = post("{}");
    *elsewhere.uri_mut() = "/webhook/x".parse().unwrap();
    assert_eq!(status(&stage, elsewhere).await, 404);

    let mut get = post("{}");
    *get.method_mut() = http::Method::DELETE;
    let refused = ask(&stage, get).await;
    assert_eq!(
        (refused.status().as_u16(), header(&refused, "allow")),
        (405, Some("POST"))
    );

    assert_eq!(status(&stage, with(post("{}"), "content-encoding", "gzip")).await, 415);
    assert_eq!(
        status(&stage, with(post("{}"), "content-encoding", " Identity ")).await,
        200
    );
    assert_eq!(status(&stage, post("[1,2,34]")).await, 200);
    assert_eq!(status(&stage, post("[1,2,345]")).await, 413);
    let broken = ask(&stage, post("{")).await;
    assert_eq!(broken.status().as_u16(), 400);
    assert_eq!(header(&broken, "x-openclaw-delivery-accepted"), None);
    let said = broken.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(
        said,
        r#"{"error":"invalid JSON at byte 1: a member's name is missing"}"#
    );

    let figures = stage.routes.figures(&t()).unwrap();
    let refused: Vec<_> = figures
        .refused
        .iter()
        .map(|(reason, n)| (reason.as_str(), *n))
        .collect();
    assert_eq!(refused, [("method", 1), ("encoding", 1), ("too-large", 1), ("body", 1)]);
    assert_eq!((figures.accepted, figures.events, figures.verified), (2, 2, 3));
    let totals = stage.routes.totals();
    assert_eq!(totals.refused[0], (Reason::Path, 1));
    assert_eq!(totals.accepted, 2);
    assert_eq!(stage.reasons(), ["method", "encoding", "too-large", "body"]);
}

#[tokio::test]
async fn a_public_key_that_is_none_lets_nothing_in() {
    for (platform, headers) in [
        ("discord", ["x-signature-ed25519", "x-signature-timestamp"]),
        ("standard", ["webhook-signature", "webhook-id"]),
    ] {
        let mut settings = inbound("t", platform);
        settings.secrets.clear();
        settings.public_keys = vec!["0".repeat(64), "a placeholder".to_owned()];
        let stage = Stage::new();
        stage.put(settings);
        let signed = headers
            .into_iter()
            .fold(post("{}"), |request, name| with(request, name, "0"));
        assert_eq!(status(&stage, post("{}")).await, 401);
        assert_eq!(status(&stage, signed).await, 401);
        let notes = stage.store.notes.lock().unwrap();
        let why: Vec<_> = notes.iter().map(|note| note.detail.as_str()).collect();
        assert!(
            why.len() == 2 && why.iter().all(|why| why.starts_with("no key can verify it: ")),
            "{why:?}"
        );
    }
}

#[tokio::test]
async fn a_body_is_bounded_while_it_comes() {
    let stage = Stage::with(token());
    stage.limits(|limits| limits.max_body_bytes = 4);
    let chunks = vec![Bytes::from("[1"), Bytes::from(",2"), Bytes::from("]")];
    let request = post("").map(|_| endless(chunks));
    assert_eq!(
        stage.routes.handle(request, LOCAL).await.status(),
        StatusCode::PAYLOAD_TOO_LARGE
    );

    stage.limits(|limits| limits.max_held_bytes = 3);
    let full = stage
        .routes
        .handle(post("").map(|_| endless(vec!["[1".into(), ",2".into()])), LOCAL)
        .await;
    assert_eq!(full.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(header(&full, "retry-after"), Some("1"));
    assert_eq!(status(&stage, post("[1]")).await, 200, "what was held is given back");
    assert_eq!(stage.routes.held_bytes.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn chunks_are_put_together() {
    let stage = Stage::with(token());
    let chunks = ["{\"a\"", ":", "\"你", "好\"}"].map(|chunk| Ok::<_, Infallible>(Frame::data(Bytes::from(chunk))));
    let request = post("").map(|_| StreamBody::new(stream::iter(chunks)));
    assert_eq!(stage.routes.handle(request, LOCAL).await.status(), StatusCode::OK);
    stage.last(|append| {
        assert_eq!(append.request.as_ref().unwrap().body, "{\"a\":\"你好\"}");
        assert!(append.events[0].event.data.as_str().contains(r#""body":{"a":"你好"}"#));
    });
}

#[tokio::test]
async fn a_platform_may_take_more_than_the_server() {
    let stage = Stage::with(inbound("g", "github"));
    let big = http::Request::post("/webhook/g")
        .body(Full::new(Bytes::from(vec![b' '; 2 * 1024 * 1024])))
        .unwrap();
    assert_eq!(status(&stage, big).await, 401);
    let too_big = vec![b' '; 25 * 1024 * 1024 + 1];
    let too_big = http::Request::post("/webhook/g")
        .body(Full::new(Bytes::from(too_big)))
        .unwrap();
    assert_eq!(status(&stage, too_big).await, 413);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let stage = Stage::with(token());
    stage.limits(|limits| limits.body_timeout = Duration::from_millis(5));
    let slow = post("").map(|_| endless(vec!["{".into()]));
    assert_eq!(
        stage.routes.handle(slow, LOCAL).await.status(),
        StatusCode::REQUEST_TIMEOUT
    );
    assert_eq!(stage.reasons(), ["timeout"]);
}

#[tokio::test]
async fn a_client_that_goes_away_stores_nothing() {
    let stage = Stage::with(token());
    let cut = [Ok(Frame::data(Bytes::from("{}"))), Err(std::io::Error::other("reset"))];
    let request = post("").map(|_| StreamBody::new(stream::iter(cut)));
    assert_eq!(
        stage.routes.handle(request, LOCAL).await.status(),
        StatusCode::BAD_REQUEST
    );
    assert_eq!((appends(&stage), stage.reasons()), (0, vec!["cut"]));
}

#[tokio::test]
async fn a_paused_and_a_degraded_route_ask_to_come_again() {
    let stage = Stage::with(Inbound {
        paused: true,
        ..token()
    });
    let paused = ask(&stage, post("{}")).await;
    assert_eq!(paused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(header(&paused, "retry-after").is_some());
    stage.routes.commit(vec![RouteChange::Degraded {
        name: t(),
        path: "/webhook/t".into(),
        reason: "SecretMissing".into(),
    }]);
    let degraded = ask(&stage, post("{}")).await;
    assert_eq!(degraded.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(header(&degraded, "retry-after").is_some());
    assert_eq!((appends(&stage), stage.reasons()), (0, vec!["paused", "degraded"]));
    stage.put(token());
    assert_eq!(status(&stage, post("{}")).await, 200);
}

#[tokio::test]
async fn only_allowed_addresses_may_post() {
    let stage = Stage::with(Inbound {
        allow_from: vec!["192.0.2.0/24".parse().unwrap()],
        ..token()
    });
    stage.limits(|limits| limits.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()]);
    assert_eq!(status(&stage, post("{}")).await, 403);
    assert_eq!(
        status(&stage, with(post("{}"), "x-forwarded-for", "192.0.2.7, 198.51.100.1")).await,
        403
    );
    assert_eq!(
        status(&stage, with(post("{}"), "x-forwarded-for", "192.0.2.7")).await,
        200
    );
    let stranger = stage
        .routes
        .handle(
            with(post("{}"), "x-forwarded-for", "192.0.2.7"),
            Peer::Ip([203, 0, 113, 1].into()),
        )
        .await;
    assert_eq!(stranger.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn only_proved_requests_use_up_the_rate() {
    let stage = Stage::with(Inbound {
        rate_limit: Some(Rate {
            count: 1,
            per: Duration::from_secs(10),
        }),
        ..token()
    });
    for _ in 0..5 {
        let mut forged = post("{}");
        forged
            .headers_mut()
            .insert("authorization", "Bearer wrong".parse().unwrap());
        assert_eq!(status(&stage, forged).await, 401);
    }
    assert_eq!(status(&stage, post("{}")).await, 200);
    let limited = ask(&stage, post("{}")).await;
    assert_eq!(
        (limited.status().as_u16(), header(&limited, "retry-after")),
        (429, Some("10"))
    );
    stage.put(token());
    stage.put(Inbound {
        rate_limit: Some(Rate {
            count: 1,
            per: Duration::from_secs(10),
        }),
        ..token()
    });
    assert_eq!(
        status(&stage, post("{}")).await,
        429,
        "an update does not fill the bucket"
    );
    stage.clock.advance_ms(10_000);
    assert_eq!(status(&stage, post("{}")).await, 200);
}

#[tokio::test]
async fn a_full_store_burns_no_key() {
    let stage = Stage::with(token());
    let request = || with(post("{}"), "idempotency-key", "1");
    stage.store.full.store(true, Ordering::SeqCst);
    let full = ask(&stage, request()).await;
    assert_eq!(full.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(header(&full, "retry-after").is_some());
    stage.store.full.store(false, Ordering::SeqCst);
    assert_eq!(status(&stage, request()).await, 200);
    assert_eq!(appends(&stage), 1);
    assert_eq!(stage.reasons(), ["store"]);
}

#[tokio::test]
async fn a_repeat_is_answered_as_the_first_and_makes_nothing() {
    let stage = Stage::with(token());
    let request = |body: &'static str| with(post(body), "idempotency-key", "1");
    let (one, two) = tokio::join!(ask(&stage, request("{}")), ask(&stage, request("[1]")));
    for answer in [one, two] {
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(header(&answer, "x-openclaw-delivery-accepted"), Some("durable"));
    }
    let figures = stage.routes.figures(&t()).unwrap();
    assert_eq!((figures.accepted, figures.events, figures.duplicates), (1, 1, 1));
    assert_eq!((appends(&stage), stage.reasons()), (1, vec!["duplicate"]));

    stage.clock.advance_ms(7 * 86_400_000);
    ask(&stage, request("{}")).await;
    assert_eq!(appends(&stage), 2, "the window is over");
}

#[tokio::test]
async fn keys_are_the_platforms_hashed_where_they_are_long_and_none_without_a_window() {
    let stage = Stage::with(token());
    let key = |stage: &Stage| stage.last(|append| append.events[0].key.clone());
    ask(&stage, with(post("{}"), "idempotency-key", &"k".repeat(256))).await;
    let short = key(&stage).unwrap();
    assert_eq!((&*short.scope, short.key.len()), ("t", 256));
    ask(&stage, with(post("{}"), "idempotency-key", &"k".repeat(257))).await;
    assert_eq!(key(&stage).unwrap().key.len(), 64);
    stage.last(|append| assert!(append.events[0].event.data.as_str().contains(&"k".repeat(257))));
    stage.put(Inbound {
        dedupe_window: Duration::ZERO,
        ..token()
    });
    ask(&stage, with(post("{}"), "idempotency-key", "1")).await;
    assert!(key(&stage).is_none());
    stage.last(|append| assert!(append.events[0].event.data.as_str().contains(r#""deliveryId":"1""#)));
}

#[tokio::test]
async fn the_raw_request_is_stored_without_what_proves_it() {
    let stage = Stage::with(token());
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let mut request = with(with(post("{}"), "x-copy", "secret"), "traceparent", trace);
    *request.uri_mut() = "/webhook/t?a=1&key=secret".parse().unwrap();
    assert_eq!(status(&stage, request).await, 200);
    stage.last(|append| {
        let raw = append.request.as_ref().unwrap();
        assert!(raw.verified);
        assert_eq!((raw.method.as_str(), raw.target.as_str()), ("POST", "/webhook/t?a=1"));
        let names: Vec<&str> = raw.headers.keys().map(http::HeaderName::as_str).collect();
        assert_eq!(names, ["traceparent"]);
        let event = &append.events[0].event;
        assert_eq!(event.traceparent.as_deref(), Some(trace));
        assert_eq!((event.source.clone(), event.test), (Some(t()), false));
    });
}

#[tokio::test]
async fn a_session_is_kept_beside_the_event() {
    let stage = Stage::with(inbound("t", "telegram"));
    let request = http::Request::post("/webhook/t")
        .header("x-telegram-bot-api-secret-token", "secret")
        .body(Full::new(Bytes::from(
            r#"{"update_id":1,"message":{"message_id":1,"from":{"id":1},"chat":{"id":2},"date":1,"text":"x"}}"#,
        )))
        .unwrap();
    assert_eq!(status(&stage, request).await, 200);
    stage.last(|append| assert_eq!(append.events[0].event.session.as_deref(), Some("t-main:2")));
}

#[tokio::test]
async fn an_unverified_route_says_so_whatever_the_sender_wrote() {
    let stage = Stage::with(Inbound {
        verify_signature: false,
        ..inbound("t", "openclaw")
    });
    let body = r#"{"event":"message.sent","timestamp":"2026-03-15T10:00:00Z","data":{"verified":true,"n":1.0}}"#;
    assert_eq!(status(&stage, post(body)).await, 200);
    stage.last(|append| {
        assert_eq!(append.events[0].event.data.as_str(), r#"{"n":1.0,"verified":false}"#);
        assert!(!append.request.as_ref().unwrap().verified);
    });
    assert_eq!(stage.routes.figures(&t()).unwrap().verified, 0);
}

#[tokio::test]
async fn only_a_token_of_ours_marks_test_traffic_and_only_once() {
    let stage = Stage::with(token());
    let is_test = |stage: &Stage| stage.last(|append| append.events[0].event.test);
    ask(&stage, with(post("{}"), "x-openclaw-test", "1")).await;
    assert!(!is_test(&stage));
    let ours = stage.routes.expect_test(&t());
    ask(&stage, with(post("{}"), "x-openclaw-test", &ours)).await;
    assert!(is_test(&stage));
    ask(&stage, with(post("{}"), "x-openclaw-test", &ours)).await;
    assert!(!is_test(&stage), "a token counts once");
    let others = stage.routes.expect_test(&Name::parse("other").unwrap());
    ask(&stage, with(post("{}"), "x-openclaw-test", &others)).await;
    assert!(!is_test(&stage), "a token counts for its route");
    let late = stage.routes.expect_test(&t());
    stage.clock.advance_ms(60_000);
    ask(&stage, with(post("{}"), "x-openclaw-test", &late)).await;
    assert!(!is_test(&stage), "a token counts for a minute");
    let figures = stage.routes.figures(&t()).unwrap();
    assert_eq!((figures.tests, figures.accepted), (1, 4));
}

#[tokio::test]
async fn a_request_in_flight_finishes_under_the_settings_that_it_met() {
    let stage = Stage::with(token());
    let (sender, receiver) = tokio::sync::oneshot::channel::<()>();
    let body = stream::once(async move {
        receiver.await.unwrap();
        Ok::<_, Infallible>(Frame::data(Bytes::from("{}")))
    });
    let mut in_flight = std::pin::pin!(
        stage
            .routes
            .handle(post("").map(|_| StreamBody::new(Box::pin(body))), LOCAL)
    );
    assert!(futures_util::poll!(&mut in_flight).is_pending());
    stage.put(Inbound {
        secrets: vec![Secret::new("another")],
        channel: "moved".into(),
        ..token()
    });
    sender.send(()).unwrap();
    assert_eq!(in_flight.await.status(), StatusCode::OK);
    stage.last(|append| assert!(append.events[0].event.data.as_str().contains(r#""channel":"t-main""#)));
    assert_eq!(
        status(&stage, post("{}")).await,
        401,
        "the next one meets the new settings"
    );
    assert_eq!(stage.routes.figures(&t()).unwrap().accepted, 1, "and the same counters");
}
