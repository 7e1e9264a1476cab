//! The circuit breaker: a pure state machine. After `failures` failed attempts in a row it parks the sender's deliveries
//! and lets one probe through after each `cooldown`.

use super::backoff::millis;
use crate::document::settings::Breaker as Settings;

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BreakerState {
    /// Attempts are made.
    #[default]
    Closed,
    /// Deliveries are parked until this time (milliseconds since the Unix epoch); then one probe goes out.
    Open {
        /// When the next probe may go.
        until_ms: i64,
    },
    /// One probe is under way.
    Probing,
}

/// How many attempts may begin now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// As many as other bounds allow.
    Any,
    /// One: the probe.
    Probe,
    /// None before this time.
    Until(i64),
    /// None before the probe has ended.
    AfterProbe,
}

/// One sender's breaker. It keeps when it opened, not until when: a changed cooldown holds for the one that it is in.
#[derive(Debug, Clone, Default)]
pub(super) struct Breaker {
    state: State,
    in_a_row: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Closed,
    Open {
        since_ms: i64,
    },
    Probing,
}

impl Breaker {
    /// Where it stands.
    #[must_use]
    pub(super) fn state(&self, settings: Option<&Settings>) -> BreakerState {
        match (self.state, settings) {
            (State::Closed, _) | (_, None) => BreakerState::Closed,
            (State::Open { since_ms }, Some(settings)) => BreakerState::Open {
                until_ms: since_ms.saturating_add(millis(settings.cooldown)),
            },
            (State::Probing, _) => BreakerState::Probing,
        }
    }

    /// Failed attempts in a row.
    #[must_use]
    pub(super) fn in_a_row(&self) -> u32 {
        self.in_a_row
    }

    /// Whether an attempt may begin. Without settings (`circuitBreaker: false`) it always may.
    #[must_use]
    pub(super) fn admits(&self, settings: Option<&Settings>, now_ms: i64) -> Admission {
        match self.state(settings) {
            BreakerState::Closed => Admission::Any,
            BreakerState::Open { until_ms } if now_ms >= until_ms => Admission::Probe,
            // Longer than a cooldown: the clock was set back.
            BreakerState::Open { until_ms }
                if settings.is_some_and(|s| until_ms.saturating_sub(now_ms) > millis(s.cooldown)) =>
            {
                Admission::Probe
            }
            BreakerState::Open { until_ms } => Admission::Until(until_ms),
            BreakerState::Probing => Admission::AfterProbe,
        }
    }

    /// An attempt begins; says whether it is the probe.
    pub(super) fn begin(&mut self) -> bool {
        let probe = matches!(self.state, State::Open { .. });
        if probe {
            self.state = State::Probing;
        }
        probe
    }

    /// An attempt delivered: whichever it was, the endpoint is back.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// An attempt failed; says whether the breaker opened because of it. One that began before it opened changes
    /// nothing: only the probe's failure starts another cooldown.
    pub(super) fn failed(&mut self, settings: Option<&Settings>, probe: bool, now_ms: i64) -> bool {
        self.in_a_row = self.in_a_row.saturating_add(1);
        let Some(settings) = settings else {
            self.state = State::Closed;
            return false;
        };
        let open = State::Open { since_ms: now_ms };
        match self.state {
            State::Closed if self.in_a_row >= settings.failures => {
                self.state = open;
                true
            }
            State::Probing if probe => {
                self.state = open;
                false
            }
            _ => false,
        }
    }

    /// The probe ended without saying anything about the endpoint: another may go at once.
    pub(super) fn probe_undecided(&mut self) {
        if self.state == State::Probing {
            // However long the cooldown is.
            self.state = State::Open { since_ms: i64::MIN };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SETTINGS: Settings = Settings {
        failures: 3,
        cooldown: Duration::from_secs(30),
    };

    fn opened() -> Breaker {
        let mut breaker = Breaker::default();
        assert!(!breaker.failed(Some(&SETTINGS), false, 0));
        assert!(!breaker.failed(Some(&SETTINGS), false, 0));
        assert!(breaker.failed(Some(&SETTINGS), false, 1000));
        breaker
    }

    #[test]
    fn it_opens_after_so_many_failures_in_a_row_and_not_before() {
        let mut breaker = Breaker::default();
        for _ in 0..10 {
            breaker.failed(Some(&SETTINGS), false, 0);
            breaker.failed(Some(&SETTINGS), false, 0);
            assert_eq!(breaker.admits(Some(&SETTINGS), 0), Admission::Any);
            breaker.succeeded();
        }
        assert_eq!(opened().admits(Some(&SETTINGS), 1000), Admission::Until(31_000));
    }

    #[test]
    fn one_probe_per_cooldown() {
        let mut breaker = opened();
        assert_eq!(breaker.admits(Some(&SETTINGS), 31_000), Admission::Probe);
        assert!(breaker.begin());
        assert_eq!(breaker.admits(Some(&SETTINGS), 31_001), Admission::AfterProbe);
        assert!(!breaker.failed(Some(&SETTINGS), true, 32_000));
        assert_eq!(breaker.admits(Some(&SETTINGS), 32_000), Admission::Until(62_000));
        assert!(breaker.begin());
        breaker.succeeded();
        assert_eq!(breaker.admits(Some(&SETTINGS), 62_000), Admission::Any);
        assert!(!breaker.begin());
    }

    #[test]
    fn late_failures_of_attempts_before_it_opened_do_not_extend_the_cooldown() {
        let mut breaker = opened();
        breaker.failed(Some(&SETTINGS), false, 20_000);
        assert_eq!(breaker.admits(Some(&SETTINGS), 20_000), Admission::Until(31_000));
        breaker.begin();
        breaker.failed(Some(&SETTINGS), false, 40_000);
        assert_eq!(breaker.state(Some(&SETTINGS)), BreakerState::Probing);
    }

    #[test]
    fn a_changed_cooldown_holds_for_the_breaker_that_is_open_already() {
        let breaker = opened();
        let shorter = Settings {
            cooldown: Duration::from_secs(1),
            ..SETTINGS
        };
        assert_eq!(breaker.state(Some(&shorter)), BreakerState::Open { until_ms: 2000 });
        assert_eq!(breaker.admits(Some(&shorter), 2000), Admission::Probe);
        assert_eq!(breaker.state(None), BreakerState::Closed);
        assert_eq!(breaker.admits(None, 1000), Admission::Any);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_park_for_longer_than_a_cooldown() {
        let breaker = opened();
        assert_eq!(breaker.admits(Some(&SETTINGS), 1000), Admission::Until(31_000));
        assert_eq!(breaker.admits(Some(&SETTINGS), -3_600_000), Admission::Probe);
    }

    #[test]
    fn an_undecided_probe_may_be_repeated_at_once() {
        let mut breaker = opened();
        breaker.begin();
        breaker.probe_undecided();
        assert_eq!(breaker.admits(Some(&SETTINGS), 35_000), Admission::Probe);
    }

    #[test]
    fn without_settings_it_never_opens() {
        let mut breaker = Breaker::default();
        for _ in 0..100 {
            assert!(!breaker.failed(None, false, 0));
        }
        assert_eq!(breaker.admits(None, 0), Admission::Any);
        // Turned on again, the count goes on.
        assert!(breaker.failed(Some(&SETTINGS), false, 0));
    }
}
