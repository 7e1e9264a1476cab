//! The words of webhooks, and what a document alone says of one.

use super::{DiagnosticRow, Direction, WebhookRow, WebhookState};
use crate::document::{Address, Code, Resource, Value, no_key_verifies, platforms};

impl Direction {
    /// The word in JSON and in paths.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

impl WebhookState {
    /// The word in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Degraded => "degraded",
            Self::Suspended => "suspended",
            Self::Failing => "failing",
            Self::Draining => "draining",
        }
    }
}

impl WebhookRow {
    /// A webhook as its document describes it: active, or paused. `None`: the address is none of a webhook.
    #[must_use]
    pub fn of(address: &Address, resource: &Resource) -> Option<Self> {
        let text = |value: Option<Value>| value.and_then(|value| value.as_text().map(str::to_owned));
        let effective = |field: &str| text(resource.effective(field));
        let paused = resource.effective("paused") == Some(Value::Bool(true));
        let row = |direction, name: &crate::event::Name| Self {
            direction,
            name: name.to_string(),
            state: if paused {
                WebhookState::Paused
            } else {
                WebhookState::Active
            },
            reason: paused.then(|| "the document pauses it".to_owned()),
            path: None,
            url: text(resource.shown("url")),
            channel: None,
            platform: None,
            verify_signature: None,
            warnings: Vec::new(),
            events: None,
            retries: None,
            place: resource.place(),
        };
        match address {
            Address::Inbound(name) => Some(Self {
                path: effective("path"),
                channel: effective("channel"),
                platform: effective("platform"),
                verify_signature: Some(resource.effective("verifySignature") != Some(Value::Bool(false))),
                warnings: weaknesses(address, resource)
                    .chain(unusable_key(address, resource))
                    .collect(),
                ..row(Direction::Inbound, name)
            }),
            Address::Outbound(name) => Some(Self {
                events: Some(texts(resource.effective("events"))),
                retries: Some(retries(resource)),
                ..row(Direction::Outbound, name)
            }),
            _ => None,
        }
    }
}

/// What an attacker could do on a route whose scheme proves little, and what an assistant with the same bot does.
fn weaknesses(address: &Address, resource: &Resource) -> impl Iterator<Item = DiagnosticRow> {
    let platform = resource
        .effective_ref("platform")
        .and_then(Value::as_text)
        .and_then(platforms::find);
    let found = platform.map(|platform| {
        [
            platform.weakness(|field| resource.effective_ref(field)),
            platform.rival(),
        ]
    });
    found.into_iter().flatten().flatten().map(|weakness| DiagnosticRow {
        code: weakness.code.as_str().to_owned(),
        severity: weakness.code.severity().as_str().to_owned(),
        path: address.to_string(),
        message: weakness.attack.to_owned(),
        hints: vec![weakness.way_out.to_owned()],
        ..DiagnosticRow::default()
    })
}

/// Why nothing can come in, although the route is active.
fn unusable_key(address: &Address, resource: &Resource) -> Option<DiagnosticRow> {
    let code = Code::UnusableKey;
    Some(DiagnosticRow {
        code: code.as_str().to_owned(),
        severity: code.severity().as_str().to_owned(),
        path: address.to_string(),
        message: no_key_verifies(resource)?,
        hints: vec!["put the platform's own key in its place".to_owned()],
        ..DiagnosticRow::default()
    })
}

fn texts(value: Option<Value>) -> Vec<String> {
    match value {
        Some(Value::List(items)) => items
            .iter()
            .filter_map(|item| item.as_text().map(str::to_owned))
            .collect(),
        _ => Vec::new(),
    }
}

/// How many retries follow the first attempt: of the list, or of the law.
fn retries(resource: &Resource) -> u32 {
    match (resource.effective("retries"), resource.effective("retrySchedule")) {
        (Some(Value::Integer(retries)), _) => u32::try_from(retries).unwrap_or(0),
        (_, Some(Value::List(delays))) => u32::try_from(delays.len()).unwrap_or(u32::MAX),
        _ => 0,
    }
}
