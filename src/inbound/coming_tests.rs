//! What the platforms that are still to come need of receiving: keys that are fetched, a GET, many events in one body.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use http::StatusCode;
use jiff::Timestamp;

use super::fake::Stage;
use super::normalise::Source;
use super::platform::{Platform, Reading, Sample, SampleOf};
use super::request::{Answer, Refusal, Request};
use super::tests::{appends, ask, header, post, status, t, token};
use super::{Reason, RouteChange, Routes};

/// Stands for the platforms that fetch keys, answer a GET and hold many events in one body; its body `panic` panics.
struct ToCome {
    has_keys: Arc<AtomicBool>,
    fetches: bool,
}

impl Platform for ToCome {
    fn allow(&self) -> &'static str {
        "GET, POST"
    }
    fn greet(&self, request: &Request, _: Timestamp) -> Result<Option<Answer>, Refusal> {
        if request.method != http::Method::GET {
            return Ok(None);
        }
        match request.query() {
            Some("challenge") => Ok(Some(Answer::text("challenge"))),
            _ => Err(Refusal::new(
                Reason::Handshake,
                StatusCode::FORBIDDEN,
                "wrong token",
                "wrong token",
            )),
        }
    }
    fn verify(&self, _: &Request, _: Timestamp) -> Result<(), Refusal> {
        if self.has_keys.load(Ordering::SeqCst) {
            Ok(())
        } else {
            Err(Refusal::keys("no key set could be had"))
        }
    }
    fn read(&self, request: &Request, source: &Source) -> Result<Reading, Refusal> {
        assert!(!request.body.starts_with(b"panic"), "a fault of the platform");
        let body = request.json()?;
        let events = (0..3).map(|n| source.webhook("x", Some(format!("{}:{}", request.hash(), n % 2)), &body));
        Ok(Reading {
            events: events.collect(),
            answer: Answer::empty(),
        })
    }
    fn learn(&self) -> Option<BoxFuture<'_, ()>> {
        self.fetches.then(|| {
            Box::pin(async {
                tokio::task::yield_now().await;
                self.has_keys.store(true, Ordering::SeqCst);
            }) as BoxFuture<'_, ()>
        })
    }
    fn sample(&self, _: &SampleOf<'_>) -> Option<Sample> {
        None
    }
}

fn to_come(has_keys: bool, fetches: bool) -> Stage {
    let stage = Stage::new();
    let platform = ToCome {
        has_keys: Arc::new(AtomicBool::new(has_keys)),
        fetches,
    };
    let route = Routes::prepared(token(), Box::new(platform));
    stage.routes.commit(vec![RouteChange::Put(route)]);
    stage
}

#[tokio::test]
async fn keys_are_fetched_when_they_are_first_needed() {
    assert_eq!(status(&to_come(false, true), post("{}")).await, 200);
    let stage = to_come(false, false);
    let refused = ask(&stage, post("{}")).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(header(&refused, "retry-after").is_some());
    assert_eq!(stage.reasons(), ["keys"]);
}

#[tokio::test]
async fn a_get_reaches_the_handshake_alone() {
    let stage = to_come(true, false);
    let get = |uri: &str| {
        let mut request = post("{}");
        *request.method_mut() = http::Method::GET;
        *request.uri_mut() = uri.parse().unwrap();
        request
    };
    let answer = ask(&stage, get("/webhook/t?challenge")).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(header(&answer, "x-openclaw-delivery-accepted"), None);
    assert_eq!(status(&stage, get("/webhook/t")).await, 403);
    assert_eq!(
        (appends(&stage), stage.routes.figures(&t()).unwrap().handshakes),
        (0, 1)
    );
}

#[tokio::test]
async fn many_events_of_one_body_are_one_append() {
    let stage = to_come(true, false);
    assert_eq!(status(&stage, post("{}")).await, 200);
    assert_eq!(appends(&stage), 1);
    let events = stage.last(|append| append.events.len());
    assert_eq!(events, 2, "an id that comes twice in one body is one event");
}

#[tokio::test]
async fn a_panic_is_a_500_and_nothing_else() {
    let stage = to_come(true, false);
    assert_eq!(status(&stage, post("panic")).await, 500);
    assert_eq!(status(&stage, post("panic".repeat(60_000))).await, 500);
    assert_eq!(status(&stage, post("{}")).await, 200);
    assert_eq!(stage.reasons(), ["internal", "internal", "duplicate"]);
}
