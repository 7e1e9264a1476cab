//! What `fuzz/` reaches of this room, and nothing else does: a function for each reader of bytes that anybody may send. It
//! is there only where cargo-fuzz builds (`--cfg fuzzing`), and in the tests that replay its inputs.
//!
//! Each function takes whatever bytes come, and asserts what must hold of them.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::form::{Form, write_form};
use super::json::Json;
use super::jwt::{Expected, Verifier};
use super::normalise::Source;
use super::platform::{self, Platform};
use super::redact::Redaction;
use super::request::Request;
use super::xml;
use crate::clock::from_ms;
use crate::document::settings::Jwks;
use crate::document::{self, Address, Format, Inbound, Lookup};
use crate::secret::Secret;

/// A reader, by the name of its target in `fuzz/`.
pub type Target = (&'static str, fn(&[u8]));

/// Every reader.
pub const TARGETS: [Target; 6] = [
    ("json", json),
    ("form", form),
    ("xml", xml),
    ("jwt", jwt),
    ("signatures", signatures),
    ("request", request),
];

/// The time of the known answers: what is signed there holds.
const NOW_MS: i64 = 1_773_570_600_000;

/// The known answers say how a route of each platform is set up: then their requests are good ones to start from.
macro_rules! vectors {
    ($($platform:literal)+) => {
        [$(($platform, include_str!(concat!("../../tests/vectors/", $platform, ".json")))),+]
    };
}

pub(super) const VECTORS: [(&str, &str); 27] = vectors! {
    "basic" "bluebubbles" "dingtalk" "discord" "feishu" "generic" "github" "gitlab" "googlechat" "line" "mattermost"
    "msteams" "nextcloud-talk" "openclaw" "openclaw-cron" "qqbot" "shopify" "slack" "standard" "stripe" "synology-chat"
    "telegram" "token" "twilio" "wecom" "whatsapp" "zalo"
};

/// Headers that some platform reads.
const HEADERS: [&str; 27] = [
    "authorization",
    "idempotency-key",
    "sign",
    "stripe-signature",
    "timestamp",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
    "x-bot-api-secret-token",
    "x-github-event",
    "x-gitlab-token",
    "x-hub-signature-256",
    "x-lark-request-nonce",
    "x-lark-request-timestamp",
    "x-lark-signature",
    "x-line-signature",
    "x-nextcloud-talk-random",
    "x-nextcloud-talk-signature",
    "x-openclaw-signature",
    "x-shopify-hmac-sha256",
    "x-signature-ed25519",
    "x-signature-timestamp",
    "x-slack-request-timestamp",
    "x-slack-signature",
    "x-telegram-bot-api-secret-token",
    "x-twilio-signature",
    "x-twilio-webhooks-signature-settings",
];

/// A route of one platform.
struct Route {
    name: &'static str,
    platform: Box<dyn Platform>,
    source: Source,
    redaction: Redaction,
}

static ROUTES: LazyLock<Vec<Route>> =
    LazyLock::new(|| VECTORS.iter().map(|(name, cases)| route(name, cases)).collect());

/// References lead nowhere.
struct Nowhere;

impl Lookup for Nowhere {
    fn env(&self, _: &str) -> Option<Secret> {
        None
    }

    fn file(&self, _: &str) -> Result<Secret, String> {
        Err("no such file".to_owned())
    }

    fn exec(&self, _: &str, _: &Value, _: &str) -> Result<Secret, String> {
        Err("no such provider".to_owned())
    }

    fn provider(&self, _: &str) -> Option<&Value> {
        None
    }

    fn directory(&self) -> &Path {
        Path::new(".")
    }
}

fn route(name: &'static str, cases: &str) -> Route {
    let cases: Value = serde_json::from_str(cases).expect("the known answers are JSON");
    let settings = settings(name, &cases[0]["inbound"]);
    let build = platform::find(name).expect("the known answers are of platforms that are there");
    let platform = build(&settings).expect("a route that its own known answers describe");
    Route {
        name,
        redaction: Redaction::of(&settings, &*platform),
        source: Source {
            channel: settings.channel.as_str().into(),
            platform: settings.platform,
        },
        platform,
    }
}

/// What the document of a case means.
fn settings(name: &str, inbound: &Value) -> Inbound {
    let text = json!({ "webhooks": { "inbound": { name: inbound } } }).to_string();
    let loaded = document::load(&document::Source {
        path: "fuzz.json",
        format: Format::Json5,
        text: text.as_bytes(),
    });
    let desired = loaded.desired.expect("the known answers' documents are valid");
    let (address, resource) = desired.resources.last_key_value().expect("one route is there");
    let Address::Inbound(name) = address else {
        unreachable!("inbound webhooks come after the settings");
    };
    document::resolve_inbound(name, resource, &Nowhere).expect("nothing in it is a reference")
}

fn now() -> Timestamp {
    from_ms(NOW_MS)
}

/// JSON: what is read and written again is the same.
pub fn json(bytes: &[u8]) {
    if let Ok(value) = Json::parse(bytes) {
        let text = value.to_text();
        assert_eq!(Json::parse(text.as_bytes()).as_ref(), Ok(&value));
    }
}

/// Forms: likewise.
pub fn form(bytes: &[u8]) {
    if let Ok(form) = Form::parse(bytes) {
        let fields: Vec<_> = form.fields().collect();
        assert_eq!(Form::parse(write_form(&fields).as_bytes()).as_ref(), Ok(&form));
        json(form.into_json().to_text().as_bytes());
    }
}

/// WeCom's XML: what is read is an object.
pub fn xml(bytes: &[u8]) {
    if let Ok(value) = xml::read(bytes) {
        assert!(matches!(value, Json::Object(_) | Json::Text(_)));
        json(value.to_text().as_bytes());
    }
}

/// JSON Web Tokens: none holds that the key set did not sign.
pub fn jwt(bytes: &[u8]) {
    static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
        let expected = Expected {
            issuers: &["nobody"],
            keys_url: "",
        };
        let (_, cases) = VECTORS
            .iter()
            .find(|(name, _)| *name == "googlechat")
            .expect("it is there");
        let cases: Value = serde_json::from_str(cases).expect("the known answers are JSON");
        let keys = Jwks::Inline(cases[0]["inbound"]["jwks"].to_string());
        Verifier::new(expected, "nobody", Some(&keys), Duration::from_mins(5)).expect("a key set of the known answers")
    });
    let token = String::from_utf8_lossy(bytes);
    assert!(VERIFIER.verify(&token, now(), |_, _| Ok(())).is_err());
}

/// Whatever stands in the headers that prove a request: each line is a header's value, in turn; the last is the body too.
pub fn signatures(bytes: &[u8]) {
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    let mut headers = HeaderMap::new();
    for (at, name) in HEADERS.into_iter().enumerate() {
        if let Ok(value) = HeaderValue::from_bytes(lines[at % lines.len()]) {
            headers.insert(name, value);
        }
    }
    let body = Bytes::copy_from_slice(lines[lines.len() - 1]);
    let request = Request::new(Method::POST, "/webhook/x".to_owned(), headers, body);
    for route in ROUTES.iter() {
        let _ = route.platform.verify(&request, now());
    }
}

/// A whole request, as text: `slack?query`, the headers, an empty line, the body. It goes all the way, whether its proof holds
/// or not: with `verifySignature: false` it would.
pub fn request(bytes: &[u8]) {
    let Some((platform, request)) = read(bytes) else { return };
    let Some(route) = ROUTES.iter().find(|route| route.name == platform) else {
        return;
    };
    let _ = route.platform.greet(&request, now());
    let _ = route.platform.verify(&request, now());
    let _ = route.redaction.headers(request.headers.clone());
    let _ = route.redaction.target(&request.target);
    let _ = route.redaction.body(&request);
    let Ok(reading) = route.platform.read(&request, &route.source) else {
        return;
    };
    for event in reading.events {
        // Of any depth: a body as deep as it may be lies inside of it.
        let data = serde_json::value::RawValue::from_string(event.data).expect("an event's data is JSON");
        assert!(data.get().starts_with('{'), "an event's data is an object");
        json(data.get().as_bytes());
    }
}

/// The platform's name, and the request.
fn read(bytes: &[u8]) -> Option<(&str, Request)> {
    let end = bytes.windows(2).position(|window| window == b"\n\n");
    let head = std::str::from_utf8(&bytes[..end?]).ok()?;
    let body = Bytes::copy_from_slice(&bytes[end? + 2..]);
    let mut lines = head.split('\n');
    let target = lines.next()?;
    let platform = target.split('?').next()?;
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    // The receiver bounds what it lets in.
    let request = Request::new(Method::POST, format!("/webhook/{target}"), headers, body);
    Some((platform, request))
}
