//! What happened: the noun that inbound makes, the store keeps and outbound delivers.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// A webhook's name, right by construction: `[a-z0-9][a-z0-9._-]{0,62}`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<str>);

impl Name {
    /// Checks a name.
    ///
    /// # Errors
    /// Says which rule the text breaks.
    pub fn parse(text: &str) -> Result<Self, InvalidName> {
        let mut bytes = text.bytes();
        let first = bytes
            .next()
            .is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let rest = bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-'));
        if first && rest && text.len() <= 63 {
            Ok(Self(text.into()))
        } else {
            Err(InvalidName)
        }
    }

    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// Why a text is no [`Name`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name is 1 to 63 of a-z 0-9 . _ - and begins with a letter or a digit")]
pub struct InvalidName;

/// The event names that the gateway knows by itself; others may be published through the API.
pub const KNOWN_EVENTS: [&str; 18] = [
    "message.received",
    "message.sent",
    "message.error",
    "channel.connected",
    "channel.disconnected",
    "agent.switched",
    "system.started",
    "system.stopped",
    "webhook.received",
    "gateway.config.applied",
    "gateway.config.rejected",
    "gateway.config.held",
    "gateway.sender.failing",
    "gateway.sender.recovered",
    "gateway.sender.suspended",
    "gateway.delivery.dead",
    "gateway.route.rejecting",
    "gateway.store.pressure",
];

/// An event's name: lower-case words of `[a-z0-9_-]`, joined by dots, at most 128 bytes. Those of [`KNOWN_EVENTS`], which is
/// nearly all, are not copied.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventName(Cow<'static, str>);

impl EventName {
    /// Checks a name; `error` is an alias of `message.error`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = if text == "error" { "message.error" } else { text };
        if let Some(known) = KNOWN_EVENTS.iter().find(|known| **known == text) {
            return Some(Self(Cow::Borrowed(known)));
        }
        let word = |w: &str| {
            w.starts_with(|c: char| c.is_ascii_lowercase())
                && w.bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
        };
        (text.len() <= 128 && text.contains('.') && text.split('.').all(word))
            .then(|| Self(Cow::Owned(text.to_owned())))
    }

    /// The name's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is one of the gateway's own events, which only senders that name them get.
    #[must_use]
    pub fn is_gateways_own(&self) -> bool {
        self.0.starts_with("gateway.")
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// What a sender subscribes to: `*`, `message.*` or one name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EventPattern {
    /// `*`: everything but the gateway's own events.
    All,
    /// `message.*`: the text before the `*`, with its dot.
    Prefix(Arc<str>),
    /// One name.
    Exact(EventName),
}

impl EventPattern {
    /// Checks a pattern.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::All);
        }
        if let Some(stem) = text.strip_suffix(".*") {
            // `x.y` is a name exactly when `x` is a list of words.
            return EventName::parse(&format!("{stem}.x")).map(|_| Self::Prefix(format!("{stem}.").into()));
        }
        EventName::parse(text).map(Self::Exact)
    }

    /// Whether an event of this name is meant.
    #[must_use]
    pub fn matches(&self, name: &EventName) -> bool {
        match self {
            Self::All => !name.is_gateways_own(),
            Self::Prefix(prefix) => name.as_str().starts_with(&**prefix),
            Self::Exact(exact) => exact == name,
        }
    }
}

/// An event's id: `evt_` and the 32 hex digits of a UUID of version 7, so that ids sort by time and hold no dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(Arc<str>);

impl EventId {
    /// A new id.
    #[must_use]
    pub fn new() -> Self {
        let mut text = *b"evt_00000000000000000000000000000000";
        hex::encode_to_slice(uuid::Uuid::now_v7(), &mut text[4..]).expect("16 bytes are 32 digits");
        Self(std::str::from_utf8(&text).expect("digits").into())
    }

    /// Takes an id as it is stored.
    #[must_use]
    pub fn from_stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for EventId {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an event says: one JSON value as text, compact, members in their order, numbers to the digit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Data(Box<str>);

impl Data {
    /// Takes what the gateway itself has written as JSON: it is not read again.
    #[must_use]
    pub fn written(text: impl Into<Box<str>>) -> Self {
        let text = text.into();
        debug_assert!(
            serde_json::from_str::<&RawValue>(&text).is_ok(),
            "what we write is JSON"
        );
        Self(text)
    }

    /// The JSON.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// As the value that it is, not as a text that holds one.
impl Serialize for Data {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let value: &RawValue = serde_json::from_str(&self.0).map_err(serde::ser::Error::custom)?;
        value.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(from).map(|value| Self(value.into()))
    }
}

/// Something that happened, before and after it is stored.
#[derive(Debug, Clone)]
pub struct Event {
    /// The `webhook-id` of every delivery of this event.
    pub id: EventId,
    /// What happened.
    pub name: EventName,
    /// When the gateway accepted it (a chained gateway's event keeps the first gateway's time).
    pub timestamp: Timestamp,
    /// What is said of it: a JSON object.
    pub data: Data,
    /// The inbound webhook that made it; `None` for the API's and the gateway's own.
    pub source: Option<Name>,
    /// `data.sessionId`, where there is one: the lane of `ordering: session`.
    pub session: Option<Arc<str>>,
    /// The W3C trace context of the request that made it, passed on to receivers.
    pub traceparent: Option<Arc<str>>,
    /// Made by `openclaw webhooks test`: marked, and not counted.
    pub test: bool,
}

/// Which deliveries of one sender may overtake which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ordering {
    /// Any may.
    #[default]
    None,
    /// None may: only the oldest owed delivery is attempted, and only one at a time.
    Fifo,
    /// None of one session may: of each session only the oldest is attempted. Events without a session are free.
    Session,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_once() {
        for good in ["a", "0", "event-logger", "a.b_c-d", &"x".repeat(63)] {
            assert!(Name::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "A", "a b", "ü", &"x".repeat(64)] {
            assert!(Name::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn wildcards_leave_the_gateways_own_events_out() {
        let own = EventName::parse("gateway.config.applied").unwrap();
        let chat = EventName::parse("message.received").unwrap();
        assert!(!EventPattern::parse("*").unwrap().matches(&own));
        assert!(EventPattern::parse("*").unwrap().matches(&chat));
        assert!(EventPattern::parse("gateway.*").unwrap().matches(&own));
        assert!(EventPattern::parse("message.*").unwrap().matches(&chat));
        assert!(!EventPattern::parse("mess.*").unwrap().matches(&chat));
        assert_eq!(EventPattern::parse("error"), EventPattern::parse("message.error"));
        for bad in [
            "",
            "message",
            "Message.sent",
            "message..sent",
            "message.*.x",
            "*.sent",
            ".*",
            "a.",
        ] {
            assert_eq!(EventPattern::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn ids_hold_no_dot_and_sort_by_time() {
        let (a, b) = (EventId::new(), EventId::new());
        assert!(!a.as_str().contains('.') && a < b);
    }
}
