//! What is asked of the store, and what it answers.

use serde::{Deserialize, Serialize};

use super::{RawRequest, SenderKey, Seq};
use crate::event::{Data, Event, EventId, EventName, Name};

/// No more events are on a page once they have so many bytes of data together: it is short, and there is a next one.
pub const PAGE_BYTES: usize = 16 * 1024 * 1024;

/// One page of a listing, newest first.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// At most so many; 1 to 1,000.
    pub limit: usize,
    /// The `next` of the page before; `None`: the first page.
    pub cursor: Option<String>,
}

/// A page of rows and where the next one begins.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Listing<T> {
    /// The rows.
    pub items: Vec<T>,
    /// The cursor of the next page; `None`: this is the last.
    pub next: Option<String>,
}

impl<T> Default for Listing<T> {
    /// No rows.
    fn default() -> Self {
        Self {
            items: Vec::new(),
            next: None,
        }
    }
}

/// Asks for log entries.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    /// Only this sender's.
    pub sender: Option<SenderKey>,
    /// Only this route's.
    pub route: Option<String>,
    /// Only failures (refusals, for a route).
    pub failed: bool,
    /// Only this status.
    pub status: Option<u16>,
    /// Not older than this.
    pub since_ms: Option<i64>,
    /// Which page.
    pub page: Page,
}

/// An attempt, or something a route noted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogEntry {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// The sender, for an attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// The route, for something a route noted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The event's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    /// The event's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// The delivery's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery: Option<String>,
    /// Which attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// Of how many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<u32>,
    /// The HTTP status: the endpoint's, or the one the route answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The class of the failure or refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// One line about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// At most 2 KiB of the endpoint's answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<String>,
    /// How long it took, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// When the next attempt is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_ms: Option<i64>,
}

/// Something a route has to say that made no event.
#[derive(Debug, Clone)]
pub struct RouteNote {
    /// The route.
    pub route: Name,
    /// When.
    pub at_ms: i64,
    /// What was answered.
    pub status: u16,
    /// `signature`, `stale`, `body`, `too-large`, `rate`, `address`, `duplicate`, `paused`, ...
    pub reason: &'static str,
    /// Which check failed, without secrets or bodies.
    pub detail: String,
}

/// Asks for events.
#[derive(Debug, Clone, Default)]
pub struct EventQuery {
    /// Only those that some sender is still owed or has dead.
    pub undelivered: bool,
    /// Only of this name.
    pub name: Option<String>,
    /// Only from this inbound webhook.
    pub source: Option<String>,
    /// Not older than this.
    pub since_ms: Option<i64>,
    /// Which page.
    pub page: Page,
}

/// An event in a listing.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventRow {
    /// Its id.
    pub id: String,
    /// Its name.
    pub event: String,
    /// Its timestamp, RFC 3339.
    pub timestamp: String,
    /// When it was stored.
    pub at_ms: i64,
    /// The inbound webhook that made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// How many senders are still owed it.
    pub owed: u64,
    /// How many senders have it as a dead letter.
    pub dead: u64,
    /// Made by `openclaw webhooks test`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub test: bool,
    /// Its data.
    pub data: Data,
}

impl EventRow {
    /// The event itself, without its session and its trace, which no listing has; `None`: a later release made it.
    #[must_use]
    pub fn event(&self) -> Option<Event> {
        Some(Event {
            id: EventId::from_stored(&self.id),
            name: EventName::parse(&self.event)?,
            timestamp: self.timestamp.parse().ok()?,
            data: self.data.clone(),
            source: self.source.as_deref().and_then(|source| Name::parse(source).ok()),
            session: None,
            traceparent: None,
            test: self.test,
        })
    }
}

/// One event's whole story.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Story {
    /// The event.
    pub event: EventRow,
    /// The request that made it: method, path, header names and sizes, never bodies or header values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<StoryRequest>,
    /// What became of it at each sender that matched.
    pub deliveries: Vec<StoryDelivery>,
    /// Its attempts, oldest first; at most 1,000.
    pub attempts: Vec<LogEntry>,
}

/// The request of a [`Story`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoryRequest {
    /// The inbound webhook.
    pub route: String,
    /// The method.
    pub method: String,
    /// The path, without its query.
    pub path: String,
    /// The size of the body.
    pub body_bytes: u64,
    /// Whether its signature was checked and held.
    pub verified: bool,
}

/// A stored request with its place in the log.
#[derive(Debug, Clone)]
pub struct StoredRequest {
    /// Its first event's place.
    pub first: Seq,
    /// Its last event's place; all from `first` on are its own.
    pub last: Seq,
    /// When it was accepted.
    pub at_ms: i64,
    /// The request.
    pub request: RawRequest,
}

/// One sender's part in a [`Story`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoryDelivery {
    /// The sender.
    pub sender: String,
    /// The delivery's id.
    pub delivery: String,
    /// `owed`, `delivered`, `filtered` or `dead`.
    pub state: String,
    /// Charged attempts so far.
    pub attempts: u32,
    /// When the next attempt is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_ms: Option<i64>,
    /// Why it is dead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Asks for (or purges) dead letters.
#[derive(Debug, Clone, Default)]
pub struct DeadQuery {
    /// Only this sender's.
    pub sender: Option<SenderKey>,
    /// Only of this event.
    pub event_id: Option<String>,
    /// Not older than this.
    pub since_ms: Option<i64>,
    /// Older than this.
    pub before_ms: Option<i64>,
    /// Which page (a purge takes all).
    pub page: Page,
}

/// A delivery that was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// The sender.
    pub sender: String,
    /// The event's id.
    pub event_id: String,
    /// The event's name.
    pub event: String,
    /// The delivery's id.
    pub delivery: String,
    /// Why.
    pub reason: String,
    /// One line about it.
    pub detail: String,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: i64,
    /// Charged attempts.
    pub attempts: u32,
}

/// One sender's figures.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SenderFigures {
    /// Deliveries owed.
    pub owed: u64,
    /// Dead letters.
    pub dead: u64,
    /// When the oldest owed delivery became owed.
    pub oldest_owed_ms: Option<i64>,
    /// Attempts in the last hour.
    pub attempts_hour: u64,
    /// Of those, delivered.
    pub delivered_hour: u64,
    /// Median latency of the last hour, in milliseconds.
    pub p50_ms: Option<f64>,
    /// 99th percentile of the last hour, in milliseconds.
    pub p99_ms: Option<f64>,
    /// The last delivery that succeeded.
    pub last_delivered_ms: Option<i64>,
    /// Whether each of the last five attempts failed (false with fewer than five).
    pub last_five_failed: bool,
}

/// One route's figures.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteFigures {
    /// The last accepted request.
    pub last_received_ms: Option<i64>,
    /// Messages since the time asked for.
    pub messages: u64,
}

/// Sums over the store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Deliveries owed by all senders.
    pub owed: u64,
    /// Dead letters.
    pub dead: u64,
    /// When the oldest owed delivery became owed.
    pub oldest_owed_ms: Option<i64>,
    /// Bytes on disk.
    pub bytes: u64,
    /// Route notes that were dropped because the writer was behind.
    pub notes_dropped: u64,
}

/// How much room the store has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Space {
    /// Bytes in use, free pages left out; kept up while there is a bound.
    pub used_bytes: u64,
    /// `store.maxBytes` as it is in force; 0: no bound.
    pub max_bytes: u64,
    /// The last append was refused for lack of room: the bound is reached, or the disk is full.
    pub full: bool,
}

/// Asks that events be delivered (again).
#[derive(Debug, Clone, Default)]
pub struct Replay {
    /// To whom.
    pub sender: Option<SenderKey>,
    /// Only dead letters.
    pub failed: bool,
    /// Only this event.
    pub event_id: Option<String>,
    /// Only events stored since.
    pub since_ms: Option<i64>,
    /// The time from which they are due.
    pub now_ms: i64,
}

/// How long what is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Settled events, their requests and attempts.
    pub settled_ms: i64,
    /// Dead letters and their events.
    pub dead_ms: i64,
    /// The most bytes on disk; 0: no bound.
    pub max_bytes: u64,
}

/// What a retention run removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retained {
    /// Events.
    pub events: u64,
    /// Attempts and notes.
    pub log_entries: u64,
    /// Dead letters.
    pub dead: u64,
}
