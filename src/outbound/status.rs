//! What a sender shows of itself.

use std::time::Duration;

use super::breaker::BreakerState;
use crate::event::Name;

/// Whether a sender makes attempts, and why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SenderState {
    /// It does.
    Active,
    /// `paused: true`.
    Paused,
    /// It could not be prepared (at a start): it keeps its backlog.
    Degraded(String),
    /// Its endpoint said that it is gone (410), or an assistant that it does not know us (401, 403); lifted by a change of
    /// its entry or by `webhooks resume`.
    Suspended(String),
    /// It was deleted and delivers what it still owes.
    Draining,
}

/// One sender at one moment.
#[derive(Debug, Clone)]
pub struct SenderStatus {
    /// Its name.
    pub name: Name,
    /// Whether it makes attempts.
    pub state: SenderState,
    /// Attempts in flight.
    pub in_flight: usize,
    /// Its breaker.
    pub breaker: BreakerState,
    /// Until when it begins nothing (an open breaker, `Retry-After`, our lack of sockets), where that is in the future.
    pub parked_until_ms: Option<i64>,
    /// Its last five attempts failed, or its breaker is open.
    pub failing: bool,
    /// The class of its last failure since it last delivered.
    pub last_error: Option<&'static str>,
    /// Attempts since the process started.
    pub attempts: u64,
    /// Of those, delivered.
    pub delivered: u64,
    /// Of those, failed.
    pub failed: u64,
    /// How long attempts took.
    pub latency: Histogram,
}

/// Sums over all senders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DispatcherFigures {
    /// Attempts in flight.
    pub in_flight: usize,
    /// Senders that begin nothing for now: an open breaker, `Retry-After`, our lack of sockets.
    pub parked: usize,
    /// Attempts since the process started.
    pub attempts: u64,
    /// Of those, delivered.
    pub delivered: u64,
    /// Of those, failed.
    pub failed: u64,
    /// How long attempts took.
    pub latency: Histogram,
}

impl DispatcherFigures {
    pub(super) fn add(&mut self, sender: &SenderStatus) {
        self.attempts += sender.attempts;
        self.delivered += sender.delivered;
        self.failed += sender.failed;
        self.latency.add(&sender.latency);
    }
}

/// Upper bounds of the histogram's buckets in milliseconds; one more takes the rest.
const BOUNDS_MS: [u64; 13] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000];

/// How many attempts took how long.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; 14],
    sum_us: u64,
}

impl Histogram {
    /// Upper bounds of the buckets, in milliseconds; the last bucket has none.
    #[must_use]
    pub fn bounds_ms() -> &'static [u64] {
        &BOUNDS_MS
    }

    /// Attempts in each bucket (not summed up): one more than there are bounds.
    #[must_use]
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The time of all together, in microseconds.
    #[must_use]
    pub fn sum_us(&self) -> u64 {
        self.sum_us
    }

    pub(super) fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }

    pub(super) fn record(&mut self, latency: Duration) {
        let bucket = BOUNDS_MS.partition_point(|bound| Duration::from_millis(*bound) < latency);
        self.counts[bucket] += 1;
        self.sum_us = self.sum_us.saturating_add(micros(latency));
    }
}

/// Whole microseconds.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Counters since the process started; made with the first attempt, so that idle senders cost nothing.
#[derive(Debug, Clone, Default)]
pub(super) struct Figures {
    pub(super) attempts: u64,
    pub(super) delivered: u64,
    pub(super) failed: u64,
    pub(super) last_error: Option<&'static str>,
    pub(super) latency: Histogram,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_fall_into_the_bucket_of_their_upper_bound() {
        let mut histogram = Histogram::default();
        for us in [0, 1000, 1001, 10_000_000, 10_000_001] {
            histogram.record(Duration::from_micros(us));
        }
        assert_eq!(histogram.counts()[0], 2);
        assert_eq!(histogram.counts()[1], 1);
        assert_eq!(histogram.counts()[12], 1);
        assert_eq!(histogram.counts()[13], 1);
        assert_eq!(histogram.counts().len(), Histogram::bounds_ms().len() + 1);
    }
}
