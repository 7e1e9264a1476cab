//! Values of fields, in the one form in which they are compared.

use std::fmt::{self, Write as _};

/// A field's value as the document means it: durations in milliseconds, aliases and merge keys applied, references left
/// as they were written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A duration in milliseconds. Shown as `5s`, `2m`, `1h30m`.
    Duration(u64),
    /// A decimal number, as its shortest text (`0.2`): kept as text so that values can be compared exactly.
    Decimal(Box<str>),
    /// Text; may hold `${NAME}` references.
    Text(Box<str>),
    /// A list.
    List(Box<[Value]>),
    /// Members in the order of the table of fields, or sorted by name where names are the user's.
    Map(Box<[(Box<str>, Value)]>),
}

impl Value {
    /// Text of a value.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    /// The member of a map.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(members) => members.iter().find(|(n, _)| &**n == name).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The text, where it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// As JSON, durations as text.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Self::Bool(b) => Json::Bool(*b),
            Self::Integer(n) => Json::from(*n),
            Self::Duration(ms) => Json::String(duration_text(*ms)),
            Self::Decimal(text) => serde_json::from_str(text).unwrap_or_else(|_| Json::String(text.to_string())),
            Self::Text(text) => Json::String(text.to_string()),
            Self::List(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Self::Map(members) => Json::Object(members.iter().map(|(n, v)| (n.to_string(), v.to_json())).collect()),
        }
    }
}

impl fmt::Display for Value {
    /// As compact JSON: `"text"`, `["a","b"]`, `5s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duration(ms) => f.write_str(&duration_text(*ms)),
            other => other.to_json().fmt(f),
        }
    }
}

/// A duration as a person writes it: the largest units that divide it, `0s`, `250ms`, `5s`, `1m30s`, `28h`, `7d`.
#[must_use]
pub fn duration_text(ms: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut rest = ms;
    let mut text = String::new();
    for (unit, letter) in UNITS {
        if rest >= unit {
            let _ = write!(text, "{}{letter}", rest / unit); // writing into a String cannot fail
            rest %= unit;
        }
    }
    if rest > 0 {
        let _ = write!(text, "{rest}ms");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (ms, text) in [
            (0, "0s"),
            (250, "250ms"),
            (5000, "5s"),
            (90_000, "1m30s"),
            (604_800_000, "7d"),
            (5_400_000, "1h30m"),
        ] {
            assert_eq!(duration_text(ms), text);
        }
    }
}
