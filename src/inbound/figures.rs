//! What a route counted since the gateway started. An update of the route keeps it.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use super::request::Reason;

/// Counters of one route, or of all.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) accepted: AtomicU64,
    pub(super) events: AtomicU64,
    pub(super) duplicates: AtomicU64,
    pub(super) handshakes: AtomicU64,
    pub(super) verified: AtomicU64,
    pub(super) tests: AtomicU64,
    refused: [AtomicU64; Reason::ALL.len()],
    last_accepted_ms: AtomicI64,
    last_refused_ms: AtomicI64,
}

/// A look at the counters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Figures {
    /// Requests that stored at least one event, test traffic left out.
    pub accepted: u64,
    /// Events stored, test traffic left out.
    pub events: u64,
    /// Events that repeated one within the dedupe window.
    pub duplicates: u64,
    /// Requests answered 2xx that hold no event.
    pub handshakes: u64,
    /// Requests whose signature was checked and held.
    pub verified: u64,
    /// Requests of `openclaw webhooks test`.
    pub tests: u64,
    /// Requests refused; reasons that never came are left out.
    pub refused: Vec<(Reason, u64)>,
    /// The last accepted request, in milliseconds since the Unix epoch.
    pub last_accepted_ms: Option<i64>,
    /// The last refused request, in milliseconds since the Unix epoch.
    pub last_refused_ms: Option<i64>,
}

impl Counters {
    pub(super) fn refuse(&self, reason: Reason, now_ms: i64) {
        self.refused[reason as usize].fetch_add(1, Relaxed);
        self.last_refused_ms.fetch_max(now_ms, Relaxed);
    }

    /// Counts what became of a request's events.
    pub(super) fn accept(&self, stored: u64, repeated: u64, test: bool, now_ms: i64) {
        self.duplicates.fetch_add(repeated, Relaxed);
        if test {
            self.tests.fetch_add(1, Relaxed);
        } else if stored > 0 {
            self.accepted.fetch_add(1, Relaxed);
            self.events.fetch_add(stored, Relaxed);
            self.last_accepted_ms.fetch_max(now_ms, Relaxed);
        }
    }

    pub(super) fn look(&self) -> Figures {
        let time = |ms: &AtomicI64| Some(ms.load(Relaxed)).filter(|ms| *ms > 0);
        Figures {
            accepted: self.accepted.load(Relaxed),
            events: self.events.load(Relaxed),
            duplicates: self.duplicates.load(Relaxed),
            handshakes: self.handshakes.load(Relaxed),
            verified: self.verified.load(Relaxed),
            tests: self.tests.load(Relaxed),
            refused: Reason::ALL
                .into_iter()
                .map(|reason| (reason, self.refused[reason as usize].load(Relaxed)))
                .filter(|(_, count)| *count > 0)
                .collect(),
            last_accepted_ms: time(&self.last_accepted_ms),
            last_refused_ms: time(&self.last_refused_ms),
        }
    }
}
