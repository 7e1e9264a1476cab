//! The rows of the store, as the other rooms see them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::event::{Event, EventPattern, Name, Ordering};

/// A stored event's place in the log. Later is larger; gaps are normal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub i64);

/// A sender's identity in the store: it survives a rename by `previousName` and a delete that is taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SenderKey(pub i64);

/// One accepted request and what it says.
#[derive(Debug)]
pub struct Append {
    /// The raw request; `None` for events that came through the API or that the gateway made itself.
    pub request: Option<RawRequest>,
    /// Its events, in order; at most 10,000.
    pub events: Vec<NewEvent>,
    /// When it was accepted.
    pub now_ms: i64,
}

/// An event that is about to be stored.
#[derive(Debug)]
pub struct NewEvent {
    /// The event.
    pub event: Event,
    /// What makes it a repeat of another; `None`: it is never one.
    pub key: Option<DedupeKey>,
}

/// A delivery key of the platform's, within one route (or `api`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DedupeKey {
    /// The route's name, or `api:` for the API: `:` keeps it apart from every name.
    pub scope: Arc<str>,
    /// The key, as platforms.md says for each platform; keys over 256 bytes are kept as their SHA-256.
    pub key: String,
    /// From this time on it is forgotten.
    pub expires_ms: i64,
}

/// What became of one event of an [`Append`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The event's id: of a repeat, the first one's.
    pub id: String,
    /// Whether it is a repeat.
    pub duplicate: bool,
}

/// A request as it came, less what proves it: headers, query parameters and fields of the body that are a secret are left
/// out.
#[derive(Debug, Clone)]
pub struct RawRequest {
    /// The inbound webhook's name.
    pub route: Name,
    /// The method.
    pub method: String,
    /// Path and query, as sent.
    pub target: String,
    /// Headers in order; values as bytes (HTTP allows obs-text).
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body's bytes, as sent unless a field was left out.
    pub body: bytes::Bytes,
    /// Whether the signature was checked and held.
    pub verified: bool,
}

/// Asks for deliveries to attempt.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// For whom.
    pub sender: SenderKey,
    /// What is due at this time.
    pub now_ms: i64,
    /// At most so many; 1 to 1,024.
    pub limit: usize,
    /// Which may overtake which.
    pub ordering: Ordering,
}

/// One event that is owed to one sender.
#[derive(Debug, Clone)]
pub struct Owed {
    /// To whom.
    pub sender: SenderKey,
    /// The event's place in the log.
    pub seq: Seq,
    /// The event.
    pub event: Arc<Event>,
    /// How many attempts were made and charged.
    pub attempts: u32,
    /// When it became owed: `maxAge` counts from here.
    pub owed_since_ms: i64,
    /// Whether the sender's filter has let it pass already (it is asked once, before the first attempt).
    pub filter_passed: bool,
}

impl Owed {
    /// The delivery's id: this event to this sender, the same for every attempt and replay.
    #[must_use]
    pub fn delivery_id(&self) -> String {
        delivery_id(self.event.id.as_str(), self.sender)
    }
}

/// The id of the delivery of an event to a sender.
#[must_use]
pub fn delivery_id(event_id: &str, sender: SenderKey) -> String {
    format!("dlv_{}_{}", event_id.strip_prefix("evt_").unwrap_or(event_id), sender.0)
}

/// What became of a claimed delivery. Settling ends the claim.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The sender.
    pub sender: SenderKey,
    /// The event's place.
    pub seq: Seq,
    /// The attempt's log entry; `None` where no request was made (filtered, expired, template).
    pub attempt: Option<Attempt>,
    /// What becomes of the delivery.
    pub outcome: Outcome,
}

/// What becomes of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Delivered: it is owed no more; a dead letter of the same delivery goes away.
    Delivered,
    /// To be tried again at this time; the attempt is charged.
    Retry {
        /// When.
        due_ms: i64,
    },
    /// To be tried again at this time, not charged (a stale keep-alive, a suspended sender).
    Postpone {
        /// When.
        due_ms: i64,
    },
    /// The sender's filter says no.
    Filtered,
    /// Given up.
    Dead {
        /// Why.
        reason: DeadReason,
        /// One line for a person: the last error, without secrets.
        detail: String,
    },
}

/// Why a delivery was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeadReason {
    /// The last retry failed.
    Exhausted,
    /// The endpoint answered a status that is final.
    Status,
    /// Older than `maxAge`.
    Expired,
    /// A filter or template failed on this event.
    Template,
    /// Its sender was deleted.
    Deleted,
    /// The gateway's own failure.
    Internal,
}

impl DeadReason {
    /// The word in the store, in `--json` and in listings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exhausted => "exhausted",
            Self::Status => "status",
            Self::Expired => "expired",
            Self::Template => "template",
            Self::Deleted => "deleted",
            Self::Internal => "internal",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Exhausted,
            Self::Status,
            Self::Expired,
            Self::Template,
            Self::Deleted,
            Self::Internal,
        ]
        .into_iter()
        .find(|r| r.as_str() == text)
    }
}

/// One HTTP request that a sender made, as its log shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// How many there can be at most (retries + 1).
    pub of: u32,
    /// When it began.
    pub started_ms: i64,
    /// How long it took, in microseconds.
    pub latency_us: u64,
    /// The status, where there was an answer.
    pub status: Option<u16>,
    /// The class of the failure: `dns`, `connect`, `tls`, `timeout`, `cut`, `egress`, `status`, ...; `None`: delivered.
    pub error: Option<&'static str>,
    /// One line about the failure, without secrets.
    pub detail: Option<String>,
    /// At most 2 KiB of the answer's body.
    pub response: Option<String>,
    /// When the next attempt is due, where there is one.
    pub next_ms: Option<i64>,
}

// ---- generations ----

/// Why a reconcile was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The gateway started with a document that is not the last applied one.
    Start,
    /// The document's file changed.
    File,
    /// `openclaw apply`.
    Apply,
    /// A document pushed through the API.
    Push,
    /// SIGHUP or `/v1/reload`.
    Reload,
    /// A file that holds a secret changed.
    SecretFile,
    /// A certificate's file changed.
    CertFile,
    /// `openclaw rollback`.
    Rollback,
}

impl Cause {
    /// The word in listings and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::File => "file",
            Self::Apply => "apply",
            Self::Push => "push",
            Self::Reload => "reload",
            Self::SecretFile => "secret-file",
            Self::CertFile => "cert-file",
            Self::Rollback => "rollback",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Start,
            Self::File,
            Self::Apply,
            Self::Push,
            Self::Reload,
            Self::SecretFile,
            Self::CertFile,
            Self::Rollback,
        ]
        .into_iter()
        .find(|c| c.as_str() == text)
    }
}

/// A committed reconcile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Generation {
    /// 1, 2, ...
    pub number: u64,
    /// The document's SHA-256 in hex.
    pub sha256: String,
    /// When it was committed, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Why.
    pub cause: Cause,
    /// Who, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// The git commit of the document, where it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git_commit: Option<String>,
    /// `added, changed, replaced, deleted`.
    pub summary: [u32; 4],
    /// Fingerprints of the secrets that were in force: address and field to hex. Keyed with the store's own key.
    #[serde(skip)]
    pub fingerprints: std::collections::BTreeMap<String, String>,
    /// How its document is written: `yaml` or `json5`.
    #[serde(default)]
    pub format: String,
}

/// A generation that is about to be stored; its number is the store's to give.
#[derive(Debug, Clone)]
pub struct NewGeneration {
    /// The generation it was built on: 0 for the first. The store refuses another with [`super::StoreError::Stale`].
    pub base: u64,
    /// The document's bytes; the store compresses them.
    pub document: Vec<u8>,
    /// `.yaml`, `.json` or `.json5`: how to read the bytes.
    pub format: String,
    /// SHA-256 in hex.
    pub sha256: String,
    /// Why.
    pub cause: Cause,
    /// Who.
    pub who: Option<String>,
    /// The git commit.
    pub git_commit: Option<String>,
    /// `added, changed, replaced, deleted`.
    pub summary: [u32; 4],
    /// Fingerprints of secrets.
    pub fingerprints: std::collections::BTreeMap<String, String>,
}

/// What one reconcile changes in the store.
#[derive(Debug, Default)]
pub struct Commit {
    /// The new generation, where one is made.
    pub generation: Option<NewGeneration>,
    /// Changes to senders, in order.
    pub senders: Vec<SenderChange>,
    /// The time of the commit.
    pub now_ms: i64,
}

/// A change to one sender's entry in the store.
#[derive(Debug, Clone)]
pub enum SenderChange {
    /// The sender exists with this subscription from now on: made anew, updated, renamed from `previous`, or (within an
    /// hour of its deletion) taken back with the dead letters that its deletion made.
    Put {
        /// Its name.
        name: Name,
        /// The name it had, where the document says so.
        previous: Option<Name>,
        /// What it gets.
        subscription: Subscription,
    },
    /// The sender is gone: new events stop, what is owed stays until [`super::Store::close_sender`].
    Remove {
        /// Its name.
        name: Name,
    },
}

/// Which events a sender gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Any of these.
    pub events: Vec<EventPattern>,
    /// Only those made by these inbound webhooks; `None`: by any, or by none.
    pub from: Option<Vec<Name>>,
}

impl Subscription {
    /// Whether a sender with this subscription gets the event.
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        self.events.iter().any(|pattern| pattern.matches(&event.name))
            && self
                .from
                .as_ref()
                .is_none_or(|from| event.source.as_ref().is_some_and(|source| from.contains(source)))
    }
}

/// What a commit did.
#[derive(Debug, Default)]
pub struct Committed {
    /// The generation made, where one was.
    pub generation: Option<Generation>,
    /// The key of every sender that was put or removed, by name.
    pub keys: Vec<(Name, SenderKey)>,
}

/// A sender as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderRow {
    /// Its key.
    pub key: SenderKey,
    /// Its name.
    pub name: Name,
    /// When it was removed; `None`: it is active.
    pub removed_ms: Option<i64>,
    /// Why it is suspended, where it is.
    pub suspended: Option<String>,
    /// How many deliveries it is owed.
    pub owed: u64,
}

// ---- reading ----

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
    pub data: Box<serde_json::value::RawValue>,
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
