//! When a route refuses most of what comes to it: worth telling its owner.

use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::figures::Counters;
use super::request::{Reason, Refusal};
use super::routes::{Route, Routes, lock};
use crate::event::Name;

/// How long a route's refusals are counted together, from the first one on.
pub const REJECTING_WINDOW: Duration = Duration::from_mins(1);
/// A route is told of once so many of its requests were refused within the window, and at least as many as were not.
pub const REJECTING_REFUSALS: u64 = 10;

/// A route that refuses most of what comes to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejecting {
    /// Which.
    pub route: Name,
    /// Requests refused since the window began.
    pub refused: u64,
    /// Requests not refused since then.
    pub accepted: u64,
    /// Why the last one was refused.
    pub reason: &'static str,
    /// How it was answered.
    pub status: u16,
}

/// The window of one route. Nothing is kept for a route that never refused anything.
#[derive(Debug, Default)]
pub(super) struct Window(Mutex<Option<Box<Began>>>);

#[derive(Debug)]
struct Began {
    at_ms: i64,
    refused: u64,
    /// What the route had not refused when the window began.
    accepted_before: u64,
    told: bool,
}

impl Window {
    /// Counts a refusal; says how many were refused and how many were not, the first time that it is worth telling.
    fn refused(&self, accepted: u64, now_ms: i64) -> Option<(u64, u64)> {
        let window_ms = i64::try_from(REJECTING_WINDOW.as_millis()).unwrap_or(i64::MAX);
        let mut window = lock(&self.0);
        // A clock that was set back begins a new one too.
        if window
            .as_ref()
            .is_none_or(|began| !(0..window_ms).contains(&now_ms.saturating_sub(began.at_ms)))
        {
            *window = Some(Box::new(Began {
                at_ms: now_ms,
                refused: 0,
                accepted_before: accepted,
                told: false,
            }));
        }
        let began = window.as_mut()?;
        began.refused += 1;
        let accepted = accepted.saturating_sub(began.accepted_before);
        if began.told || began.refused < REJECTING_REFUSALS || began.refused < accepted {
            return None;
        }
        began.told = true;
        Some((began.refused, accepted))
    }
}

/// Whether a refusal says something about the route: not where the document pauses it, nor where the gateway itself has no
/// room (the store tells that by itself).
fn counts(reason: Reason) -> bool {
    !matches!(reason, Reason::Paused | Reason::Store | Reason::Memory)
}

/// Requests that were not refused.
fn accepted(counters: &Counters) -> u64 {
    [
        &counters.accepted,
        &counters.duplicates,
        &counters.handshakes,
        &counters.tests,
    ]
    .into_iter()
    .map(|counter| counter.load(Relaxed))
    .sum()
}

impl Routes {
    /// Counts a refusal, and tells of the route where most of what comes is refused.
    pub(super) fn watch(&self, route: &Route, refusal: &Refusal, now_ms: i64) {
        if !counts(refusal.reason) {
            return;
        }
        let Some((refused, accepted)) = route.state.window.refused(accepted(&route.state.counters), now_ms) else {
            return;
        };
        let rejecting = Rejecting {
            route: route.name.clone(),
            refused,
            accepted,
            reason: refusal.reason.as_str(),
            status: refusal.status.as_u16(),
        };
        // Full: whoever is to be told is behind by more routes than the bound.
        let _ = self.rejecting.try_send(rejecting);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_told_of_once_in_a_window_when_most_is_refused() {
        let window = Window::default();
        for n in 1..REJECTING_REFUSALS {
            assert_eq!(window.refused(0, 1000), None, "{n}");
        }
        assert_eq!(window.refused(0, 1000), Some((10, 0)));
        assert_eq!(window.refused(0, 2000), None);
        // A new window.
        for _ in 1..REJECTING_REFUSALS {
            assert_eq!(window.refused(0, 61_000), None);
        }
        assert_eq!(window.refused(0, 61_000), Some((10, 0)));
    }

    #[test]
    fn a_route_that_accepts_more_than_it_refuses_is_not_told_of() {
        let window = Window::default();
        window.refused(1000, 0);
        for _ in 0..50 {
            assert_eq!(window.refused(1100, 1), None);
        }
        for _ in 51..99 {
            window.refused(1100, 1);
        }
        assert_eq!(window.refused(1100, 1), Some((100, 100)));
    }

    #[test]
    fn few_refusals_over_a_long_time_are_not_told_of() {
        let window = Window::default();
        for n in 0..100 {
            assert_eq!(window.refused(0, n * 10_000), None);
        }
    }
}
