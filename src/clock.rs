//! Time as a parameter. Nothing outside this file asks the operating system what time it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

pub use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Where a room gets the current time from.
pub trait Clock: Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> Timestamp;

    /// Milliseconds since the Unix epoch: the store's unit.
    fn now_ms(&self) -> i64 {
        self.now().as_millisecond()
    }
}

/// A clock that many share.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that stands still: `OPENCLAW_TEST_NOW`, and tests that move it by hand.
#[derive(Debug)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    /// A clock that shows `at` until it is moved.
    #[must_use]
    pub fn at(at: Timestamp) -> Self {
        Self(AtomicI64::new(at.as_millisecond()))
    }

    /// Moves the clock forward (or back, with a negative number).
    pub fn advance_ms(&self, by: i64) {
        self.0.fetch_add(by, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        from_ms(self.0.load(Ordering::SeqCst))
    }
}

/// The time of a number of milliseconds since the Unix epoch; what does not fit is cut to the nearest time that does.
#[must_use]
pub fn from_ms(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap_or(if ms < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// RFC 3339 in UTC and whole seconds, a fraction cut off: `2026-03-15T10:30:00Z`.
#[must_use]
pub fn rfc3339_seconds(at: Timestamp) -> String {
    let seconds = at.as_millisecond().div_euclid(1000);
    Timestamp::from_second(seconds).unwrap_or(at).to_string()
}

/// The midnight before a time in the zone of this machine: what "today" means to whoever looks.
#[must_use]
pub fn last_midnight(at: Timestamp) -> Timestamp {
    let day = at.to_zoned_datetime(TimeZone::system());
    day.start_of_day().map_or(at, |midnight| midnight.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_of_a_second_is_cut_off() {
        assert_eq!(rfc3339_seconds(from_ms(1_773_570_600_999)), "2026-03-15T10:30:00Z");
        assert_eq!(rfc3339_seconds(from_ms(-1)), "1969-12-31T23:59:59Z");
    }

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let clock = ManualClock::at(from_ms(5));
        clock.advance_ms(7);
        assert_eq!(clock.now_ms(), 12);
    }
}
