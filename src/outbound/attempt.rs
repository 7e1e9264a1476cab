//! One HTTP request.

use std::error::Error as _;
use std::fmt;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::capture_connection;
use tokio::time::Instant;

use super::answer;
use super::clients::{Clients, ConnectError, is_local};
use super::dispatcher::Shared;
use super::forward;
use super::payload::{self, Payload};
use super::prepared::PreparedSender;
use super::sign::Signer;
use super::wire::Trace;
use crate::clock::Timestamp;
use crate::document::settings::Format;
use crate::event::Event;

const AGENT: &str = concat!("openclaw/", env!("CARGO_PKG_VERSION"));
/// How much of an answer is read.
const READ_BYTES: usize = 64 * 1024;
/// How much of it is kept.
const KEPT_BYTES: usize = 2 * 1024;
/// How often a request is sent again, within one attempt, because the connection that it took had been closed meanwhile.
const STALE_TRIES: u32 = 4;

/// What kind of failure an attempt ended with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Class {
    Dns,
    Connect,
    Tls,
    Timeout,
    /// The answer ended before its end, or is no HTTP.
    Cut,
    Egress,
    /// An answer that is not 2xx.
    Status,
    /// A 2xx without the required header.
    Header,
    /// A 2xx whose body says that it failed.
    Answer,
    /// A 2xx whose body says that what was started has failed.
    Run,
    /// A template that cannot be made of the event: nothing was sent.
    Template,
    /// Kept connections that the endpoint had closed.
    Stale,
    /// Our own lack of sockets or ports.
    Local,
    /// The gateway's own failure.
    Internal,
}

impl Class {
    /// The word in logs.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Cut => "cut",
            Self::Egress => "egress",
            Self::Status => "status",
            Self::Header => "header",
            Self::Answer => "answer",
            Self::Run => "run",
            Self::Template => "template",
            Self::Stale => "stale",
            Self::Local => "local",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failure: its class and one line for a person, without secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) class: Class,
    pub(super) detail: String,
}

impl Failure {
    pub(super) fn new(class: Class, detail: impl fmt::Display) -> Self {
        let mut detail = detail.to_string().replace(['\n', '\r'], " ");
        truncate(&mut detail, 500);
        Self { class, detail }
    }
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    pub(super) status: Option<u16>,
    /// `None`: delivered.
    pub(super) failure: Option<Failure>,
    /// At most 2 KiB of the body.
    pub(super) response: Option<String>,
    /// What the log keeps of a delivery.
    pub(super) note: Option<String>,
    /// What `Retry-After` of a 429 or 503 asks for, or the body of a chat's answer.
    pub(super) retry_after: Option<Duration>,
    pub(super) latency: Duration,
}

impl Answer {
    /// The gateway's own failure: a panic.
    pub(super) fn internal() -> Self {
        Self {
            failure: Some(Failure::new(Class::Internal, "the attempt panicked: see the log")),
            ..Self::default()
        }
    }
}

/// What one attempt sends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Delivery<'a> {
    pub(super) event: &'a Event,
    /// The delivery's id.
    pub(super) id: &'a str,
    /// 1 for the first.
    pub(super) number: u32,
    /// The time that is signed.
    pub(super) now: Timestamp,
}

/// Sends a delivery once, within the sender's timeout.
pub(super) async fn send(shared: &Shared, sender: &PreparedSender, delivery: Delivery<'_>) -> Answer {
    let began = Instant::now();
    let clients = &shared.clients;
    let payload = match sender.settings.format {
        Format::Forward => forward::payload(&*shared.store, shared.proofs(), sender, &delivery).await,
        _ => payload::render(sender, delivery.event, delivery.id, delivery.now)
            .map_err(|detail| Failure::new(Class::Template, detail)),
    };
    let payload = match payload {
        Ok(payload) => payload,
        Err(failure) => {
            return Answer {
                failure: Some(failure),
                ..Answer::default()
            };
        }
    };
    let headers = headers(sender, &delivery, &payload);
    let mut answer = match tokio::time::timeout(
        sender.settings.timeout,
        exchange(clients, sender, headers, payload, delivery.now),
    )
    .await
    {
        Ok(answer) => answer,
        Err(_) => Answer {
            failure: Some(Failure::new(
                Class::Timeout,
                format_args!("no complete answer within {} ms", sender.settings.timeout.as_millis()),
            )),
            ..Answer::default()
        },
    };
    answer.latency = began.elapsed();
    answer
}

const DELIVERY: HeaderName = HeaderName::from_static("x-openclaw-delivery");
const ATTEMPT: HeaderName = HeaderName::from_static("x-openclaw-attempt");

fn headers(sender: &PreparedSender, delivery: &Delivery<'_>, payload: &Payload) -> HeaderMap {
    if sender.settings.format == Format::Forward {
        // The platform's own, a sender's own, what proves the request: the later replace the earlier.
        let mut headers = payload.headers.clone();
        for (name, value) in &sender.headers {
            if !payload.headers.get(name).is_some_and(HeaderValue::is_sensitive) {
                headers.insert(name, value.clone());
            }
        }
        for (name, value) in [(DELIVERY, delivery.id), (ATTEMPT, &delivery.number.to_string())] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        return headers;
    }
    let mut headers = HeaderMap::with_capacity(16);
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    // A sender's own may replace the user agent, and nothing else.
    headers.extend(sender.headers.clone());
    sign(&mut headers, delivery, sender.signer.as_ref(), &payload.body);
    headers.extend(payload.headers.clone());
    headers
}

/// The headers that say which event, delivery and attempt it is, and prove it.
pub(super) fn sign(headers: &mut HeaderMap, delivery: &Delivery<'_>, signer: Option<&Signer>, body: &[u8]) {
    const EVENT: HeaderName = HeaderName::from_static("x-openclaw-event");
    const SIGNATURE: HeaderName = HeaderName::from_static("x-openclaw-signature");
    const ID: HeaderName = HeaderName::from_static("webhook-id");
    const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
    const STANDARD: HeaderName = HeaderName::from_static("webhook-signature");
    const TRACE: HeaderName = HeaderName::from_static("traceparent");

    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut set = |name: HeaderName, value: &str| {
        // Names, ids and signatures are visible ASCII; an id that came through the API could be anything.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    let timestamp = delivery.now.as_second().to_string();
    let id = delivery.event.id.as_str();
    set(EVENT, delivery.event.name.as_str());
    set(DELIVERY, delivery.id);
    set(ATTEMPT, &delivery.number.to_string());
    set(ID, id);
    set(TIMESTAMP, &timestamp);
    if let Some(trace) = &delivery.event.traceparent {
        set(TRACE, trace);
    }
    if let Some(signer) = signer {
        set(SIGNATURE, &signer.openclaw(&[body]));
        set(STANDARD, &signer.standard(id, &timestamp, body));
    }
}

async fn exchange(
    clients: &Clients,
    sender: &PreparedSender,
    headers: HeaderMap,
    payload: Payload,
    now: Timestamp,
) -> Answer {
    let client = clients.client(&sender.identity);
    let mut tries = 0;
    let response = loop {
        let mut request = Request::new(Full::new(payload.body.clone()));
        *request.method_mut() = payload.method.clone();
        *request.uri_mut() = payload.uri.as_ref().unwrap_or(&sender.uri).clone();
        *request.headers_mut() = headers.clone();
        if let Some(spelling) = &sender.spelling {
            *request.extensions_mut() = (**spelling).clone();
        }
        if clients.crowded() {
            request
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        // Dropped in the middle (a timeout), the connection is not used again: over HTTP/2 it would be otherwise.
        let mut guard = Poison(Some(capture_connection(&mut request)));
        let result = client.request(request).await;
        guard.0 = None;
        match result {
            Ok(response) => break response,
            Err(error) => {
                let failure = classify(&error);
                tries += 1;
                if failure.class != Class::Stale || tries >= STALE_TRIES {
                    return Answer {
                        failure: Some(failure),
                        ..Answer::default()
                    };
                }
            }
        }
    };
    read(response, sender, now).await
}

/// Takes a connection out of use when an attempt is dropped while it waits for the answer.
struct Poison(Option<legacy::connect::CaptureConnection>);

impl Drop for Poison {
    fn drop(&mut self) {
        if let Some(captured) = &self.0
            && let Some(connected) = captured.connection_metadata().as_ref()
        {
            connected.poison();
        }
    }
}

async fn read(response: Response<Incoming>, sender: &PreparedSender, now: Timestamp) -> Answer {
    let (head, mut body) = response.into_parts();
    let retry_after = matches!(
        head.status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    )
    .then(|| head.headers.get(RETRY_AFTER).and_then(|value| retry_after(value, now)))
    .flatten();
    let keep = if answer::is_looked_into(sender.settings.format) {
        READ_BYTES
    } else {
        KEPT_BYTES
    };
    let mut kept = Vec::new();
    let mut read = 0;
    let mut failure = None;
    while read < READ_BYTES {
        match body.frame().await {
            None => break,
            Some(Ok(frame)) => {
                if let Ok(chunk) = frame.into_data() {
                    read += chunk.len();
                    let room = keep - kept.len();
                    kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
                }
            }
            Some(Err(error)) => {
                failure = Some(Failure::new(
                    Class::Cut,
                    format_args!("the answer was cut: {}", root(&error)),
                ));
                break;
            }
        }
    }
    let status = head.status.as_u16();
    let inside = answer::inside(sender.settings.format, status, &kept);
    let failure = failure.or_else(|| {
        if !head.status.is_success() {
            let said = inside
                .said
                .as_ref()
                .map_or_else(String::new, |said| format!(": {said}"));
            return Some(Failure::new(Class::Status, format_args!("HTTP {status}{said}")));
        }
        if let Some(refused) = &inside.refused {
            return Some(Failure::new(
                Class::Answer,
                format_args!("HTTP {status}, but {refused}"),
            ));
        }
        if let Some(failed) = &inside.failed {
            return Some(Failure::new(Class::Run, failed));
        }
        let missing = missing_header(sender, &head.headers)?;
        let detail = format!("HTTP {status} without the header `{missing}`");
        Some(Failure::new(Class::Header, detail))
    });
    Answer {
        status: Some(status),
        failure,
        response: (!kept.is_empty()).then(|| text(kept)),
        note: inside.note,
        retry_after: retry_after.max(inside.retry_after),
        latency: Duration::ZERO,
    }
}

/// The required header, where the answer does not carry it.
fn missing_header(sender: &PreparedSender, headers: &HeaderMap) -> Option<String> {
    let (name, value) = sender.required.as_ref()?;
    let carried = headers.get_all(name).iter().any(|found| {
        value.as_ref().is_none_or(|value| {
            found
                .as_bytes()
                .trim_ascii()
                .eq_ignore_ascii_case(value.trim().as_bytes())
        })
    });
    (!carried).then(|| match value {
        Some(value) => format!("{name}: {value}"),
        None => name.to_string(),
    })
}

/// Seconds or an HTTP date (RFC 9110, 10.2.3); a time that has passed asks for nothing.
fn retry_after(value: &HeaderValue, now: Timestamp) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    let wait = at.as_millisecond().checked_sub(now.as_millisecond())?;
    u64::try_from(wait).ok().map(Duration::from_millis)
}

/// Bytes as text, cut at 2 KiB and between characters.
fn text(bytes: Vec<u8>) -> String {
    let mut text =
        String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    truncate(&mut text, KEPT_BYTES);
    text
}

fn truncate(text: &mut String, at_most: usize) {
    text.truncate(text.floor_char_boundary(at_most));
}

fn classify(error: &legacy::Error) -> Failure {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<ConnectError>() {
            let class = match error {
                ConnectError::Egress(_) => Class::Egress,
                ConnectError::Dns { .. } => Class::Dns,
                ConnectError::Connect(_) => Class::Connect,
                ConnectError::Tls(_) => Class::Tls,
                ConnectError::Local(_) => Class::Local,
            };
            return Failure::new(class, error);
        }
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            if is_local(error) {
                return Failure::new(Class::Local, error);
            }
            // TLS 1.3: an endpoint refuses our certificate only after the handshake.
            if is_tls(error) {
                return Failure::new(Class::Tls, error);
            }
        }
        cause = error.source();
    }
    let connection = error.connect_info();
    let stale = connection.is_some_and(|connected| {
        let mut extras = http::Extensions::new();
        connected.get_extras(&mut extras);
        let trace = extras.get::<std::sync::Arc<Trace>>();
        !connected.is_negotiated_h2() && trace.is_some_and(|trace| trace.is_stale())
    });
    if stale {
        return Failure::new(Class::Stale, "kept connections had been closed by the endpoint");
    }
    if error.is_connect() && connection.is_none() {
        return Failure::new(Class::Connect, root(error));
    }
    Failure::new(Class::Cut, format_args!("no complete answer: {}", root(error)))
}

fn is_tls(error: &std::io::Error) -> bool {
    let inner = error.get_ref();
    inner.is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>)
}

/// The innermost error: the outer ones say only where it happened.
fn root(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
