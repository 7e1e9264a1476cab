//! The rows of the store, as the other rooms see them.

mod generation;
mod reading;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use generation::*;
pub use reading::*;

use crate::event::{Event, Name, Ordering};

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
    /// Owed to this sender alone, whatever it subscribes to, and counted as no route's message; `None`: to all that
    /// subscribe.
    pub to: Option<SenderKey>,
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
    /// The key, as platforms.md says for each platform; an engine may keep a hash of it.
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
    pub method: http::Method,
    /// Path and query, as sent.
    pub target: String,
    /// The headers.
    pub headers: http::HeaderMap,
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
    /// No more once they have so many bytes of data together: one is given in any case.
    pub bytes: usize,
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
