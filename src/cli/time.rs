//! Times and durations as people say and write them.

use std::time::Duration;

use crate::document;

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

/// A flag's duration, as the document writes durations: `30s`, `1m30s`, `250ms`; a number alone is milliseconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let ms = document::parse_duration(text).ok_or("write a duration like 30s, 2m or 1h30m")?;
    Ok(Duration::from_millis(ms))
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
