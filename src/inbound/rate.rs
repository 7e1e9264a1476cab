//! `rateLimit`: a token bucket, full at first.

use std::sync::Mutex;

use crate::document::settings::Rate;

/// One route's bucket; it outlives an update of the route, and its new rate counts from the next request on.
#[derive(Debug, Default)]
pub(super) struct Bucket(Mutex<Option<Level>>);

#[derive(Debug, Clone, Copy)]
struct Level {
    tokens: f64,
    at_ms: i64,
}

impl Bucket {
    /// Takes one token, or says in how many seconds (at least 1) there will be one.
    pub(super) fn take(&self, rate: Rate, now_ms: i64) -> Result<(), u64> {
        let capacity = f64::from(rate.count.max(1));
        let per_ms = capacity / (rate.per.as_secs_f64() * 1000.0).max(1.0);
        let mut level = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let tokens = level.map_or(capacity, |level| {
            // A clock that was set back must not take tokens away.
            #[expect(clippy::cast_precision_loss, reason = "a fraction of a millisecond does not matter")]
            let passed = (now_ms - level.at_ms).max(0) as f64;
            (level.tokens + passed * per_ms).min(capacity)
        });
        let taken = tokens >= 1.0;
        *level = Some(Level {
            tokens: if taken { tokens - 1.0 } else { tokens },
            at_ms: now_ms,
        });
        if taken {
            return Ok(());
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "positive, and a rate's period is far below 2^64 seconds"
        )]
        let seconds = ((1.0 - tokens) / per_ms / 1000.0).ceil() as u64;
        Err(seconds.max(1))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_bucket_refills_evenly() {
        let bucket = Bucket::default();
        let rate = Rate {
            count: 2,
            per: Duration::from_secs(10),
        };
        assert_eq!(bucket.take(rate, 0), Ok(()));
        assert_eq!(bucket.take(rate, 0), Ok(()));
        assert_eq!(bucket.take(rate, 0), Err(5));
        assert_eq!(bucket.take(rate, 4000), Err(1));
        assert_eq!(bucket.take(rate, 5001), Ok(()));
        assert_eq!(bucket.take(rate, 1000), Err(5), "the clock was set back");
        assert_eq!(bucket.take(rate, 100_000), Ok(()));
        assert_eq!(bucket.take(rate, 100_000), Ok(()));
        assert!(
            bucket.take(rate, 100_000).is_err(),
            "it holds no more than its capacity"
        );
    }

    #[test]
    fn a_new_rate_counts_from_the_next_request_on() {
        let bucket = Bucket::default();
        let rate = |count| Rate {
            count,
            per: Duration::from_secs(1),
        };
        assert_eq!(bucket.take(rate(1), 0), Ok(()));
        assert!(bucket.take(rate(1), 0).is_err());
        assert_eq!(bucket.take(rate(1000), 10), Ok(()));
    }
}
