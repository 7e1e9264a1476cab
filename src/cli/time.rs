//! Times and durations as people say and write them.

use std::time::Duration;

use crate::{clock, document};

/// `2 minutes ago`, `just now`, `in 5 minutes`.
pub(crate) fn ago(now_ms: i64, then_ms: i64) -> String {
    let passed = now_ms.saturating_sub(then_ms);
    if passed.unsigned_abs() < 5_000 {
        return "just now".to_owned();
    }
    let length = length(passed.unsigned_abs());
    if passed > 0 {
        format!("{length} ago")
    } else {
        format!("in {length}")
    }
}

/// `12 seconds`, `2 minutes`, `1 hour`, `3 days`: the largest unit, cut off.
pub(crate) fn length(ms: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(86_400_000, "day"), (3_600_000, "hour"), (60_000, "minute")];
    let (unit, name) = UNITS
        .into_iter()
        .find(|(unit, _)| ms >= *unit)
        .unwrap_or((1_000, "second"));
    let count = ms / unit;
    if count == 1 {
        format!("1 {name}")
    } else {
        format!("{count} {name}s")
    }
}

/// [`length`] of a duration.
pub(crate) fn length_of(duration: Duration) -> String {
    length(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// A flag's duration, as the document writes durations: `30s`, `1m30s`, `250ms`; a number alone is milliseconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let ms = document::parse_duration(text).ok_or("write a duration like 30s, 2m or 1h30m")?;
    Ok(Duration::from_millis(ms))
}

/// A latency: `0.8 ms`, `12 ms`, `1.2 s`.
pub(crate) fn precise(ms: f64) -> String {
    if ms < 10.0 {
        format!("{ms:.1} ms")
    } else if ms < 1000.0 {
        format!("{ms:.0} ms")
    } else {
        format!("{:.1} s", ms / 1000.0)
    }
}

/// A point in time in UTC: `2026-03-15T10:30:00Z`.
pub(crate) fn stamp(ms: i64) -> String {
    clock::rfc3339_seconds(clock::from_ms(ms))
}

/// A point in time to the millisecond, as the API reads it.
pub(crate) fn exact(ms: i64) -> String {
    clock::from_ms(ms).to_string()
}

/// A flag that says since when: a duration before now, or a time (RFC 3339).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Since {
    /// So many milliseconds before now.
    Ago(u64),
    /// At this time.
    At(i64),
}

impl Since {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Ok(at) = text.parse::<clock::Timestamp>() {
            return Ok(Self::At(at.as_millisecond()));
        }
        let ago = document::parse_duration(text).map(Self::Ago);
        ago.ok_or_else(|| "write how long ago (15m, 24h, 7d) or a time (2026-03-15T10:30:00Z)".to_owned())
    }

    /// In milliseconds since the Unix epoch.
    pub(crate) fn ms(self, now_ms: i64) -> i64 {
        match self {
            Self::Ago(ms) => now_ms.saturating_sub(i64::try_from(ms).unwrap_or(i64::MAX)),
            Self::At(ms) => ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_people_say_them() {
        let now = 1_000_000_000;
        for (then, said) in [
            (now, "just now"),
            (now - 4_999, "just now"),
            (now - 59_999, "59 seconds ago"),
            (now - 60_000, "1 minute ago"),
            (now - 150_000, "2 minutes ago"),
            (now - 7_200_000, "2 hours ago"),
            (now - 86_400_000, "1 day ago"),
            (now + 300_000, "in 5 minutes"),
        ] {
            assert_eq!(ago(now, then), said);
        }
        assert_eq!(ago(i64::MAX, i64::MIN), ago(i64::MAX, 0), "no overflow");
    }

    #[test]
    fn since_is_a_duration_or_a_time() {
        assert_eq!(Since::parse("15m").map(|since| since.ms(1_000_000)), Ok(100_000));
        assert_eq!(Since::parse("1970-01-01T00:00:01Z").map(|since| since.ms(0)), Ok(1000));
        assert!(Since::parse("yesterday").is_err());
    }

    #[test]
    fn latencies_are_as_exact_as_they_are_useful() {
        for (ms, text) in [(0.84, "0.8 ms"), (12.3, "12 ms"), (999.0, "999 ms"), (1234.0, "1.2 s")] {
            assert_eq!(precise(ms), text);
        }
    }

    #[test]
    fn durations_are_written_as_in_the_document() {
        for (text, ms) in [
            ("30s", 30_000),
            ("2m", 120_000),
            ("1h30m", 5_400_000),
            ("250ms", 250),
            ("7d", 604_800_000),
            ("5000", 5_000),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for wrong in [
            "",
            "s",
            "1",
            "-1s",
            "1 s",
            "1w",
            "1.5h",
            "99999999999999999999s",
            "999999999999999999d",
        ] {
            assert_eq!(parse_duration(wrong).is_ok(), wrong == "1", "{wrong}");
        }
    }
}
