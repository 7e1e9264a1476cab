//! Values to and from the columns of a row.

use http::{HeaderMap, HeaderName, HeaderValue};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use sha2::{Digest, Sha256};

use crate::event::{EventPattern, Name};
use crate::store::{RawRequest, Result, StoreError, Subscription};

/// An event's id: 16 bytes where it has the usual form, else its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Id {
    Usual([u8; 16]),
    Other(Box<str>),
}

impl From<&str> for Id {
    fn from(text: &str) -> Self {
        let mut bytes = [0; 16];
        let usual = text.strip_prefix("evt_").is_some_and(|digits| {
            !digits.bytes().any(|b| b.is_ascii_uppercase()) && hex::decode_to_slice(digits, &mut bytes).is_ok()
        });
        if usual {
            Self::Usual(bytes)
        } else {
            Self::Other(text.into())
        }
    }
}

impl Id {
    pub(super) fn text(&self) -> String {
        match self {
            Self::Usual(bytes) => {
                let mut text = *b"evt_00000000000000000000000000000000";
                hex::encode_to_slice(bytes, &mut text[4..]).expect("16 bytes are 32 digits");
                String::from_utf8_lossy(&text).into_owned()
            }
            Self::Other(text) => text.to_string(),
        }
    }
}

impl ToSql for Id {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self {
            Self::Usual(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
            Self::Other(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        })
    }
}

impl FromSql for Id {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Blob(bytes) => bytes.try_into().map(Self::Usual).map_err(|_| FromSqlError::InvalidType),
            ValueRef::Text(_) => value.as_str().map(|text| Self::Other(text.into())),
            _ => Err(FromSqlError::InvalidType),
        }
    }
}

/// A request's headers: a line `name:value` each. Neither can hold a line feed in HTTP.
pub(super) fn headers(request: &RawRequest, into: &mut Vec<u8>) {
    for (name, value) in &request.headers {
        into.extend_from_slice(name.as_str().as_bytes());
        into.push(b':');
        into.extend_from_slice(value.as_bytes());
        into.push(b'\n');
    }
}

/// How many bytes [`headers`] writes.
pub(super) fn headers_len(request: &RawRequest) -> usize {
    request.headers.iter().map(|(n, v)| n.as_str().len() + v.len() + 2).sum()
}

/// What [`headers`] wrote.
pub(super) fn read_headers(bytes: &[u8]) -> Option<HeaderMap> {
    let lines = bytes.strip_suffix(b"\n").unwrap_or_default();
    if lines.is_empty() {
        return bytes.is_empty().then(HeaderMap::new);
    }
    lines
        .split(|byte| *byte == b'\n')
        .map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = HeaderName::from_bytes(&line[..colon]).ok()?;
            Some((name, HeaderValue::from_bytes(&line[colon + 1..]).ok()?))
        })
        .collect()
}

/// The lane of a delivery: positive for a session, one's own and negative without.
pub(super) fn lane(session: Option<&str>, seq: i64) -> i64 {
    match session {
        None => i64::MIN + seq,
        Some(session) => {
            let digest = Sha256::digest(session.as_bytes());
            let first = digest.first_chunk().expect("a digest has 32 bytes");
            i64::from_be_bytes(*first) & i64::MAX
        }
    }
}

/// A subscription's two columns.
pub(super) fn subscription_columns(subscription: &Subscription) -> (String, Option<String>) {
    let patterns: Vec<String> = subscription
        .events
        .iter()
        .map(|pattern| match pattern {
            EventPattern::All => "*".into(),
            EventPattern::Prefix(prefix) => format!("{prefix}*"),
            EventPattern::Exact(name) => name.as_str().into(),
        })
        .collect();
    let sources = subscription
        .from
        .as_ref()
        .map(|names| names.iter().map(Name::as_str).collect::<Vec<_>>().join(" "));
    (patterns.join(" "), sources)
}

/// A subscription from its columns.
pub(super) fn subscription(events: &str, sources: Option<&str>, per_request: bool) -> Result<Subscription> {
    let damaged = || StoreError::Damaged("a sender's subscription is not what was written".into());
    let events = events.split_ascii_whitespace();
    Ok(Subscription {
        events: events
            .map(|text| EventPattern::parse(text).ok_or_else(damaged))
            .collect::<Result<_>>()?,
        from: sources
            .map(|names| {
                names
                    .split_ascii_whitespace()
                    .map(|name| Name::parse(name).map_err(|_| damaged()))
                    .collect::<Result<_>>()
            })
            .transpose()?,
        per_request,
    })
}
