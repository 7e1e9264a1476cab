//! When to try again: the schedule, its jitter, and a floor below it. Knows nothing of HTTP.

use std::time::Duration;

use crate::document::settings::Schedule;

/// A small seeded generator (SplitMix64): jitter needs spread, not secrecy.
#[derive(Debug, Clone)]
pub(super) struct Rng(u64);

impl Rng {
    /// A generator that always gives the same numbers for the same seed.
    #[must_use]
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub(super) fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from 0 (inclusive) to 1 (exclusive).
    pub(super) fn unit(&mut self) -> f64 {
        let bits = u32::try_from(self.next_u64() >> 32).expect("32 bits are left");
        f64::from(bits) / 4_294_967_296.0
    }
}

/// The delay before retry `retry` (1 for the first), without jitter; `None`: there is no such retry.
///
/// `max_delay` caps the growth of a law. A list means what it says: its delays are not capped.
#[must_use]
pub(super) fn delay(schedule: &Schedule, retry: u32, max_delay: Duration) -> Option<Duration> {
    let index = retry.checked_sub(1)?;
    match schedule {
        Schedule::List(delays) => delays.get(usize::try_from(index).ok()?).copied(),
        Schedule::Law { retries, .. } if retry > *retries => None,
        Schedule::Law { delay, exponential, .. } => {
            let factor = if *exponential {
                1u32.checked_shl(index).unwrap_or(u32::MAX)
            } else {
                1
            };
            Some(delay.saturating_mul(factor).min(max_delay))
        }
    }
}

/// A delay varied by up to `jitter` (0.2 = 20 %) either way.
#[must_use]
pub(super) fn jittered(delay: Duration, jitter: f64, rng: &mut Rng) -> Duration {
    scaled(delay, 1.0 + jitter * (2.0 * rng.unit() - 1.0))
}

/// A floor varied by up to `jitter` upwards only: nobody comes before the time that they were told.
#[must_use]
pub(super) fn jittered_up(floor: Duration, jitter: f64, rng: &mut Rng) -> Duration {
    scaled(floor, 1.0 + jitter * rng.unit())
}

fn scaled(delay: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(delay.as_secs_f64() * factor.max(0.0)).unwrap_or(delay)
}

/// A duration in whole milliseconds, cut to what a timestamp can hold.
#[must_use]
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis())
        .unwrap_or(i64::MAX / 4)
        .min(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn law(retries: u32, exponential: bool) -> Schedule {
        Schedule::Law {
            retries,
            delay: Duration::from_secs(5),
            exponential,
        }
    }

    #[test]
    fn a_law_doubles_up_to_its_cap_and_ends() {
        let delays: Vec<_> = (1..=13)
            .map(|n| delay(&law(12, true), n, HOUR).map(|d| d.as_secs()))
            .collect();
        let expected = [5, 10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600, 3600];
        assert_eq!(delays[..12], expected.map(Some));
        assert_eq!(delays[12], None);
        assert_eq!(delay(&law(3, false), 3, HOUR), Some(Duration::from_secs(5)));
        assert_eq!(delay(&law(100, true), 99, HOUR), Some(HOUR), "no overflow");
    }

    #[test]
    fn a_list_is_taken_as_written_even_beyond_the_cap() {
        let list = Schedule::List(vec![Duration::from_secs(5), 10 * HOUR]);
        assert_eq!(delay(&list, 2, HOUR), Some(10 * HOUR));
        assert_eq!(delay(&list, 3, HOUR), None);
        assert_eq!(delay(&list, 0, HOUR), None);
    }

    #[test]
    fn jitter_stays_within_its_share_and_a_floor_is_never_undercut() {
        let mut rng = Rng::new(7);
        let base = Duration::from_secs(10);
        let (mut low, mut high) = (base, base);
        for _ in 0..1000 {
            let varied = jittered(base, 0.2, &mut rng);
            assert!(
                varied >= Duration::from_secs(8) && varied <= Duration::from_secs(12),
                "{varied:?}"
            );
            (low, high) = (low.min(varied), high.max(varied));
            let floor = jittered_up(base, 0.2, &mut rng);
            assert!(floor >= base && floor <= Duration::from_secs(12), "{floor:?}");
        }
        assert!(
            low < Duration::from_millis(8200) && high > Duration::from_millis(11_800),
            "it spreads: {low:?} {high:?}"
        );
        assert_eq!(jittered(base, 0.0, &mut rng), base);
    }

    #[test]
    fn the_same_seed_gives_the_same_delays() {
        let draw = |seed| {
            let mut rng = Rng::new(seed);
            [rng.next_u64(), rng.next_u64()]
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }
}
