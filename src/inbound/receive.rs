//! The order of the work: route, method, encoding, size, raw body, proof, handshake, parse, normalise, one durable append,
//! answer. What is not answered 2xx has stored nothing.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body_util::BodyExt;
use sha2::{Digest, Sha256};
use tracing::{debug, error, info};

use super::address::{self, Peer};
use super::figures::Counters;
use super::json::write_text;
use super::normalise::Normalised;
use super::platform::Reading;
use super::redact::TEST_HEADER;
use super::request::{Answer, Reason, Refusal, Request};
use super::routes::{Limits, Mode, Route, Routes, Serving};
use super::trace;
use crate::event::{Data, Event, EventId};
use crate::listener::Body;
use crate::store::{Append, Appended, DedupeKey, NewEvent, RawRequest, RouteNote, StoreError};

/// Bodies above this are parsed off the runtime's own threads: 25 MiB of JSON must not hold up other requests.
const LARGE_BODY: usize = 256 * 1024;

/// Delivery keys above this are kept as their SHA-256.
const LONG_KEY: usize = 256;

/// How long a platform may take to fetch the keys that it lacks.
const LEARN_TIMEOUT: Duration = Duration::from_secs(5);

/// The marker of OpenClaw: the events of this request are durable.
const DURABLE: HeaderName = HeaderName::from_static("x-openclaw-delivery-accepted");

/// What a request turned out to be.
enum Judged {
    /// Answered without proof: nothing happened.
    Greeted(Answer),
    /// Its proof holds (or is not asked for), and it says this; the body to store.
    Read(Reading, Bytes),
}

impl Routes {
    /// Answers one request of the public listener. Never fails: what goes wrong is in the answer, the counters and the log.
    pub async fn handle<B>(&self, request: http::Request<B>, peer: Peer) -> Response<Body>
    where
        B: hyper::body::Body<Data = Bytes>,
    {
        let (parts, body) = request.into_parts();
        let Some(route) = self.route_at(parts.uri.path()) else {
            self.totals.refuse(Reason::Path, self.clock.now_ms());
            debug!(method = %parts.method, "no route has this path");
            return refused(&Refusal::new(
                Reason::Path,
                StatusCode::NOT_FOUND,
                "",
                "no webhook has this path",
            ));
        };
        match self.receive(&route, parts, body, peer).await {
            Ok(answer) => answer,
            Err(refusal) => {
                self.note_refusal(&route, &refusal);
                refused(&refusal)
            }
        }
    }

    async fn receive<B>(&self, route: &Arc<Route>, parts: Parts, body: B, peer: Peer) -> Result<Response<Body>, Refusal>
    where
        B: hyper::body::Body<Data = Bytes>,
    {
        let limits = self.limits.load_full();
        let serving = admit(route, &parts, peer, &limits)?;
        let mut held = Held::new(&self.held_bytes);
        let body = if parts.method == Method::POST {
            let bound = serving
                .max_body_bytes
                .unwrap_or_else(|| limits.max_body_bytes.max(serving.platform.max_body_bytes()));
            read_body(body, bound, &limits, &mut held).await?
        } else {
            Bytes::new()
        };
        let target = parts
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str())
            .to_owned();
        let request = Arc::new(Request::new(parts.method, target, parts.headers, body));

        let mut judged = self.judge(route, &request).await;
        if let Err(refusal) = &judged
            && refusal.reason == Reason::Keys
            && let Some(learning) = serving.platform.learn()
        {
            // Whether it came or not: the second look says so.
            let _ = tokio::time::timeout(LEARN_TIMEOUT, learning).await;
            judged = self.judge(route, &request).await;
        }
        let (reading, body) = match judged? {
            Judged::Greeted(answer) => (Reading::handshake(answer), Bytes::new()),
            Judged::Read(reading, body) => (reading, body),
        };
        if reading.events.is_empty() {
            count(self, route, |counters| counters.handshakes.fetch_add(1, Relaxed));
            debug!(route = %route.name, status = reading.answer.status.as_u16(), "answered, no event");
            return Ok(answered(&reading.answer, false));
        }
        let Reading { events, answer } = reading;
        let request = Arc::unwrap_or_clone(request);
        self.store_events(route, serving, request, body, events, answer.status)
            .await?;
        Ok(answered(&answer, true))
    }

    /// The synchronous part. A panic in it is this request's 500 and nothing else.
    async fn judge(&self, route: &Arc<Route>, request: &Arc<Request>) -> Result<Judged, Refusal> {
        let (now, now_ms) = (self.verify_clock.now(), self.clock.now_ms());
        let judged = if request.body.len() > LARGE_BODY {
            let (route, request) = (Arc::clone(route), Arc::clone(request));
            tokio::task::spawn_blocking(move || judge(&route, &request, now, now_ms))
                .await
                .map_err(drop)
        } else {
            catch_unwind(AssertUnwindSafe(|| judge(route, request, now, now_ms))).map_err(drop)
        };
        let (judged, verified) = judged.unwrap_or_else(|()| {
            error!(route = %route.name, "a panic while reading a request");
            (
                Err(Refusal::new(
                    Reason::Internal,
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "a panic while reading the request",
                    "internal error",
                )),
                false,
            )
        });
        if verified {
            count(self, route, |counters| counters.verified.fetch_add(1, Relaxed));
        }
        judged
    }

    /// Appends the request and its events: one durable write, or nothing.
    async fn store_events(
        &self,
        route: &Route,
        serving: &Serving,
        request: Request,
        body: Bytes,
        events: Vec<Normalised>,
        status: StatusCode,
    ) -> Result<(), Refusal> {
        let now = self.clock.now();
        let now_ms = now.as_millisecond();
        let token = request.headers.get(TEST_HEADER).and_then(|value| value.to_str().ok());
        let test = token.is_some_and(|token| self.take_test(&route.name, token));
        let window_ms = i64::try_from(serving.dedupe_window.as_millis()).unwrap_or(i64::MAX);
        let traceparent = trace::parent(&request.headers);
        let events = events
            .into_iter()
            .map(|mut event| {
                if !serving.verifies {
                    event.mark_unverified();
                }
                let key = event.key.filter(|_| window_ms > 0).map(|key| DedupeKey {
                    scope: Arc::clone(&serving.scope),
                    key: if key.len() > LONG_KEY {
                        hex::encode(Sha256::digest(&key))
                    } else {
                        key
                    },
                    expires_ms: now_ms.saturating_add(window_ms),
                });
                let event = Event {
                    id: EventId::new(),
                    name: event.name,
                    timestamp: event.timestamp.unwrap_or(now),
                    data: Data::written(event.data),
                    source: Some(route.name.clone()),
                    session: event.session.map(Into::into),
                    traceparent: traceparent.clone(),
                    test,
                };
                NewEvent { event, key }
            })
            .collect();
        let append = Append {
            request: Some(RawRequest {
                route: route.name.clone(),
                method: request.method,
                target: serving.redaction.target(&request.target),
                headers: serving.redaction.headers(request.headers),
                body,
                verified: serving.verifies,
            }),
            events,
            to: None,
            now_ms,
        };
        let appended = self.store.append(append).await.map_err(|error| unstored(&error))?;
        self.note_accepted(route, &appended, status, test, now_ms);
        Ok(())
    }

    fn note_accepted(&self, route: &Route, appended: &[Appended], status: StatusCode, test: bool, now_ms: i64) {
        let repeats = appended.iter().filter(|event| event.duplicate).count() as u64;
        let stored = appended.len() as u64 - repeats;
        count(self, route, |counters| counters.accept(stored, repeats, test, now_ms));
        for event in appended {
            if !event.duplicate {
                debug!(route = %route.name, event = event.id, test, "accepted");
                continue;
            }
            info!(route = %route.name, event = event.id, test, "duplicate");
            self.store.note(RouteNote {
                route: route.name.clone(),
                at_ms: now_ms,
                status: status.as_u16(),
                reason: "duplicate",
                detail: format!("repeats {}", event.id),
            });
        }
    }

    fn note_refusal(&self, route: &Route, refusal: &Refusal) {
        let now_ms = self.clock.now_ms();
        let (status, reason) = (refusal.status.as_u16(), refusal.reason.as_str());
        count(self, route, |counters| counters.refuse(refusal.reason, now_ms));
        self.watch(route, refusal, now_ms);
        info!(route = %route.name, status, reason, detail = &*refusal.detail, "refused");
        self.store.note(RouteNote {
            route: route.name.clone(),
            at_ms: now_ms,
            status,
            reason,
            detail: refusal.detail.to_string(),
        });
    }
}

fn count<T>(routes: &Routes, route: &Route, add: impl Fn(&Counters) -> T) {
    add(&routes.totals);
    add(&route.state.counters);
}

/// What can be said before the body is read.
fn admit<'a>(route: &'a Route, parts: &Parts, peer: Peer, limits: &Limits) -> Result<&'a Serving, Refusal> {
    let unavailable = |reason, detail: String, said: &'static str, seconds| {
        Refusal::new(reason, StatusCode::SERVICE_UNAVAILABLE, detail, said).after(seconds)
    };
    let serving = match &route.mode {
        Mode::Serving(serving) => serving,
        Mode::Degraded(why) => {
            return Err(unavailable(
                Reason::Degraded,
                why.clone(),
                "this webhook is not ready",
                30,
            ));
        }
    };
    if !serving.allow_from.is_empty() {
        let client = address::client(peer, &parts.headers, &limits.trusted_proxies);
        if !client.is_some_and(|ip| serving.allow_from.iter().any(|net| net.contains(&ip))) {
            let detail = match client {
                Some(ip) => format!("{ip} is not in allowFrom"),
                None => "the client's address is not known".to_owned(),
            };
            return Err(Refusal::new(
                Reason::Address,
                StatusCode::FORBIDDEN,
                detail,
                "this address is not allowed",
            ));
        }
    }
    if parts.method != Method::POST && parts.method != Method::GET {
        return Err(wrong_method(serving, &parts.method));
    }
    let compressed = |value: &HeaderValue| !value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity");
    if parts.headers.get_all(CONTENT_ENCODING).iter().any(compressed) {
        return Err(Refusal::new(
            Reason::Encoding,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content-encoding is not identity",
            "content-encoding must be identity",
        ));
    }
    if serving.paused {
        return Err(unavailable(
            Reason::Paused,
            "the route is paused".to_owned(),
            "this webhook is paused",
            60,
        ));
    }
    Ok(serving)
}

fn wrong_method(serving: &Serving, method: &Method) -> Refusal {
    let allow = serving.platform.allow();
    let method: String = method.as_str().chars().take(16).collect();
    Refusal {
        allow: Some(allow),
        ..Refusal::new(
            Reason::Method,
            StatusCode::METHOD_NOT_ALLOWED,
            format!("{method} is not {allow}"),
            "method not allowed",
        )
    }
}

/// Proof, then reading; says beside it whether a proof was checked and held.
fn judge(route: &Route, request: &Request, now: jiff::Timestamp, now_ms: i64) -> (Result<Judged, Refusal>, bool) {
    let Mode::Serving(serving) = &route.mode else {
        unreachable!("only a serving route admits a request")
    };
    let mut verified = false;
    let mut steps = || {
        if let Some(answer) = serving.platform.greet(request, now)? {
            return Ok(Judged::Greeted(answer));
        }
        if request.method != Method::POST {
            return Err(wrong_method(serving, &request.method));
        }
        if serving.verifies {
            serving.platform.verify(request, now)?;
            verified = true;
        }
        // After the proof: nobody can use up a sender's rate without its secret.
        if let Some(rate) = serving.rate_limit
            && let Err(seconds) = route.state.bucket.take(rate, now_ms)
        {
            let limited = Refusal::new(
                Reason::Rate,
                StatusCode::TOO_MANY_REQUESTS,
                "more than rateLimit allows",
                "too many requests",
            );
            return Err(limited.after(seconds));
        }
        let reading = serving.platform.read(request, &serving.source)?;
        Ok(Judged::Read(reading, serving.redaction.body(request)))
    };
    let judged = steps();
    (judged, verified)
}

/// Reads a body of at most `bound` bytes.
async fn read_body<B>(body: B, bound: u64, limits: &Limits, held: &mut Held<'_>) -> Result<Bytes, Refusal>
where
    B: hyper::body::Body<Data = Bytes>,
{
    let too_large = || {
        Refusal::new(
            Reason::TooLarge,
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body is larger than {bound} bytes"),
            format!("the body is larger than {bound} bytes"),
        )
    };
    if body.size_hint().lower() > bound {
        return Err(too_large());
    }
    let mut body = pin!(body);
    let reading = async {
        let mut first = Bytes::new();
        let mut more = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| {
                let detail = "the client went away before its body was whole";
                Refusal::new(Reason::Cut, StatusCode::BAD_REQUEST, detail, "incomplete body")
            })?;
            let Ok(chunk) = frame.into_data() else {
                continue; // trailers
            };
            if (first.len() + more.len() + chunk.len()) as u64 > bound {
                return Err(too_large());
            }
            held.add(chunk.len() as u64, limits.max_held_bytes)?;
            // A body of one chunk, the usual case, is not copied.
            if first.is_empty() && more.is_empty() {
                first = chunk;
            } else {
                if more.is_empty() {
                    more.extend_from_slice(&std::mem::take(&mut first));
                }
                more.extend_from_slice(&chunk);
            }
        }
        Ok(if more.is_empty() { first } else { more.freeze() })
    };
    tokio::time::timeout(limits.body_timeout, reading)
        .await
        .unwrap_or_else(|_| {
            let detail = format!("the body took longer than {} s", limits.body_timeout.as_secs());
            Err(Refusal::new(
                Reason::Timeout,
                StatusCode::REQUEST_TIMEOUT,
                detail,
                "the body took too long",
            ))
        })
}

/// The bytes of one request's body, in the sum over all: given back when the request is answered.
struct Held<'a> {
    sum: &'a AtomicU64,
    mine: u64,
}

impl<'a> Held<'a> {
    fn new(sum: &'a AtomicU64) -> Self {
        Self { sum, mine: 0 }
    }

    fn add(&mut self, bytes: u64, most: u64) -> Result<(), Refusal> {
        self.mine += bytes;
        if self.sum.fetch_add(bytes, Relaxed) + bytes <= most {
            return Ok(());
        }
        let detail = format!("all bodies in flight hold more than {most} bytes");
        let full = Refusal::new(
            Reason::Memory,
            StatusCode::SERVICE_UNAVAILABLE,
            detail,
            "busy; try again later",
        );
        Err(full.after(1))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.sum.fetch_sub(self.mine, Relaxed);
    }
}

fn unstored(error: &StoreError) -> Refusal {
    Refusal::new(
        Reason::Store,
        StatusCode::SERVICE_UNAVAILABLE,
        error.to_string(),
        "the event could not be stored; try again later",
    )
    .after(5)
}

fn answered(answer: &Answer, durable: bool) -> Response<Body> {
    let mut response = Response::new(Body::full(answer.body.clone()));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    if let Some(kind) = answer.content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    if durable {
        headers.insert(DURABLE, HeaderValue::from_static("durable"));
    }
    response
}

fn refused(refusal: &Refusal) -> Response<Body> {
    let mut body = String::from(r#"{"error":"#);
    write_text(&mut body, &refusal.said);
    body.push('}');
    let mut response = Response::new(Body::full(body));
    *response.status_mut() = refusal.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(seconds) = refusal.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(allow) = refusal.allow {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
    response
}
