//! The known answers of `tests/vectors/`: reading them, and comparing a reply with what a case expects. Shared by the unit
//! tests of `inbound` and by the test over real HTTP; knows neither.
#![allow(clippy::unwrap_used)] // all of this is test

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// One case of a file.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) platform: String,
    pub(crate) inbound: Map<String, Value>,
    pub(crate) now: i64,
    pub(crate) request: CaseRequest,
    pub(crate) expect: Expect,
}

/// The request to send.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct CaseRequest {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    body: Option<String>,
    #[serde(rename = "bodyBase64")]
    body_base64: Option<String>,
}

impl CaseRequest {
    /// The body's bytes.
    pub(crate) fn body(&self) -> Vec<u8> {
        use base64::Engine as _;
        match (&self.body, &self.body_base64) {
            (Some(text), _) => text.clone().into_bytes(),
            (None, Some(text)) => base64::engine::general_purpose::STANDARD.decode(text).unwrap(),
            (None, None) => Vec::new(),
        }
    }
}

/// What must come back.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Expect {
    pub(crate) status: u16,
    body: Option<String>,
    #[serde(rename = "contentType")]
    content_type: Option<String>,
    durable: Option<bool>,
    pub(crate) events: Vec<ExpectedEvent>,
}

/// An event that must be stored.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ExpectedEvent {
    event: String,
    data: Map<String, Value>,
    timestamp: Option<String>,
}

/// What came back.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) content_type: Option<String>,
    pub(crate) durable: Option<String>,
    pub(crate) body: Vec<u8>,
    /// The events that this request made, in order.
    pub(crate) events: Vec<SeenEvent>,
}

/// An event that was stored.
#[derive(Debug, Clone)]
pub(crate) struct SeenEvent {
    pub(crate) event: String,
    pub(crate) timestamp: String,
    pub(crate) data: String,
}

/// A file's cases, those of one gateway together: same settings, same time, in order.
pub(crate) fn groups(platform: &str) -> Vec<Vec<Case>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/vectors/{platform}.json"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let cases: Vec<Case> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(!cases.is_empty(), "{platform} has no cases");
    let mut groups: Vec<Vec<Case>> = Vec::new();
    for case in cases {
        match groups
            .iter_mut()
            .find(|group| group[0].inbound == case.inbound && group[0].now == case.now)
        {
            Some(group) => group.push(case),
            None => groups.push(vec![case]),
        }
    }
    groups
}

/// Everything in which the reply is not what the case expects; empty: it is.
pub(crate) fn differences(case: &Case, reply: &Reply) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |what: &str, expected: String, got: String| {
        if expected != got {
            found.push(format!(
                "{} / {}: {what} should be {expected}, is {got}",
                case.platform, case.name
            ));
        }
    };
    let expect = &case.expect;
    compare("status", expect.status.to_string(), reply.status.to_string());
    if let Some(body) = &expect.body {
        compare("body", body.clone(), String::from_utf8_lossy(&reply.body).into_owned());
    }
    if expect.status == 401 {
        let said = r#"{"error":"signature verification failed"}"#.to_owned();
        compare("body", said, String::from_utf8_lossy(&reply.body).into_owned());
    }
    if let Some(kind) = &expect.content_type {
        let got = reply.content_type.as_deref().and_then(|text| text.split(';').next());
        compare("content type", kind.clone(), got.unwrap_or_default().trim().to_owned());
    }
    let durable = match expect.durable {
        Some(durable) => Some(durable),
        None if !expect.events.is_empty() => Some(true),
        None if expect.status >= 400 => Some(false),
        None => None,
    };
    if let Some(durable) = durable {
        let marker = if durable { Some("durable".to_owned()) } else { None };
        compare("durable marker", format!("{marker:?}"), format!("{:?}", reply.durable));
    }
    compare(
        "number of events",
        expect.events.len().to_string(),
        reply.events.len().to_string(),
    );
    for (expected, seen) in expect.events.iter().zip(&reply.events) {
        compare("event", expected.event.clone(), seen.event.clone());
        if let Some(timestamp) = &expected.timestamp {
            compare("timestamp", timestamp.clone(), seen.timestamp.clone());
        }
        // Raw values: what is not compared may nest deeper than serde_json reads.
        let data: HashMap<String, Box<RawValue>> = serde_json::from_str(&seen.data).unwrap();
        for (name, value) in &expected.data {
            let got = data
                .get(name)
                .map(|raw| serde_json::from_str::<Value>(raw.get()).unwrap());
            if got.as_ref() != Some(value) {
                compare(&format!("data.{name}"), value.to_string(), format!("{got:?}"));
            }
        }
    }
    found
}
