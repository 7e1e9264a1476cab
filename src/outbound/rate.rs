//! `rateLimit`: how many attempts may begin. Pure.
//!
//! Attempts are spread evenly (one every `per / count`), with a tolerance of a tenth of `count`, so that in any window of
//! `per` at most `count` and that tenth (at least one) begin.

use crate::document::settings::Rate;

/// One sender's bucket: the time from which the rate would be kept exactly, in microseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bucket {
    even_from_us: i64,
}

fn interval_us(rate: &Rate) -> i64 {
    i64::try_from(rate.per.as_micros() / u128::from(rate.count.max(1)))
        .unwrap_or(i64::MAX / 4)
        .clamp(1, i64::MAX / 4)
}

fn tolerance_us(rate: &Rate) -> i64 {
    interval_us(rate).saturating_mul(i64::from(rate.count / 10))
}

impl Bucket {
    /// How many may begin now; with none, the time (in milliseconds) from which one may.
    pub(super) fn ready(self, rate: &Rate, now_ms: i64) -> Result<usize, i64> {
        let now = now_ms.saturating_mul(1000);
        let even_from_us = self.even_from(rate, now);
        let from_us = even_from_us.saturating_sub(tolerance_us(rate));
        if now < from_us {
            // Rounded up: a timer that fires early would only ask again.
            return Err(from_us.div_euclid(1000) + i64::from(from_us.rem_euclid(1000) > 0));
        }
        let room_us = tolerance_us(rate) - (even_from_us - now).max(0);
        Ok(usize::try_from(room_us / interval_us(rate)).unwrap_or(0) + 1)
    }

    /// One begins.
    pub(super) fn begin(&mut self, rate: &Rate, now_ms: i64) {
        let now = now_ms.saturating_mul(1000);
        self.even_from_us = self.even_from(rate, now).max(now).saturating_add(interval_us(rate));
    }

    /// No attempt of this rate and this clock leaves more than the tolerance and one interval ahead: what is further away
    /// is left of another rate, or of a clock that was set back, and holds no more.
    fn even_from(self, rate: &Rate, now_us: i64) -> i64 {
        let furthest = now_us
            .saturating_add(tolerance_us(rate))
            .saturating_add(interval_us(rate));
        if self.even_from_us > furthest {
            now_us
        } else {
            self.even_from_us
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// The times at which attempts begin when as many begin as may, for `for_ms`.
    fn begun(rate: Rate, for_ms: i64) -> Vec<i64> {
        let mut bucket = Bucket::default();
        let mut times = Vec::new();
        let mut now = 1_773_570_600_000;
        let end = now + for_ms;
        while now < end {
            match bucket.ready(&rate, now) {
                Ok(n) => {
                    for _ in 0..n {
                        assert!(bucket.ready(&rate, now).is_ok());
                        bucket.begin(&rate, now);
                        times.push(now);
                    }
                }
                Err(next) => {
                    assert!(next > now);
                    now = next;
                }
            }
        }
        times
    }

    #[test]
    fn a_clock_that_is_set_back_holds_nobody_up() {
        let rate = Rate {
            count: 1,
            per: Duration::from_secs(1),
        };
        let mut bucket = Bucket::default();
        bucket.begin(&rate, 3_600_000);
        assert!(bucket.ready(&rate, 3_600_000).is_err());
        assert_eq!(bucket.ready(&rate, 0), Ok(1));
        bucket.begin(&rate, 0);
        assert_eq!(bucket.ready(&rate, 0), Err(1000));
    }

    #[test]
    fn no_window_has_more_than_the_rate_and_a_tenth() {
        for (count, per_ms) in [(50, 1000), (1, 1000), (7, 60_000), (3000, 1000)] {
            let rate = Rate {
                count,
                per: Duration::from_millis(per_ms),
            };
            let per = i64::try_from(per_ms).unwrap();
            let times = begun(rate, 5 * per);
            for (i, start) in times.iter().enumerate() {
                let within = times[i..].iter().take_while(|t| **t < start + per).count();
                assert!(within <= (count + count / 10 + 1) as usize, "{count}: {within}");
            }
            // And it is used: 5 periods give 5 times the count, within a tenth.
            assert!(times.len() >= (5 * count) as usize * 9 / 10, "{count}: {}", times.len());
        }
    }

    #[test]
    fn a_changed_rate_and_a_clock_that_was_set_back_hold_at_once() {
        let rate = |per_s: u64| Rate {
            count: 1,
            per: Duration::from_secs(per_s),
        };
        let mut bucket = Bucket::default();
        bucket.begin(&rate(3600), 0);
        assert_eq!(bucket.ready(&rate(3600), 1), Err(3_600_000));
        assert_eq!(bucket.ready(&rate(60), 1), Ok(1));
        bucket.begin(&rate(60), 1);
        assert_eq!(bucket.ready(&rate(60), 1), Err(60_001));
        assert_eq!(bucket.ready(&rate(60), -3_600_000), Ok(1));
        // The slower one counts from its own first attempt on.
        assert_eq!(bucket.ready(&rate(3600), 1), Err(60_001));
    }
}
