//! Events and their ids, to and from the bytes of a row.

use std::sync::Arc;

use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Row};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::clock::Timestamp;
use crate::event::{Event, EventId, EventName, EventPattern, Name};
use crate::store::{RawRequest, Result, StoreError, Subscription};

/// An event's id: 16 bytes where it has the usual form, else its text.
pub(super) struct Id<'a>(pub(super) &'a str);

impl ToSql for Id<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let mut bytes = [0; 16];
        let usual = self.0.strip_prefix("evt_").is_some_and(|digits| {
            !digits.bytes().any(|b| b.is_ascii_uppercase()) && hex::decode_to_slice(digits, &mut bytes).is_ok()
        });
        Ok(if usual {
            ToSqlOutput::Owned(bytes.to_vec().into())
        } else {
            ToSqlOutput::Borrowed(self.0.into())
        })
    }
}

/// An id as it comes out of a row.
pub(super) struct StoredId(pub(super) String);

impl FromSql for StoredId {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Blob(bytes) if bytes.len() == 16 => Ok(Self(format!("evt_{}", hex::encode(bytes)))),
            ValueRef::Text(_) => value.as_str().map(|text| Self(text.into())),
            _ => Err(FromSqlError::InvalidType),
        }
    }
}

/// The columns that [`event`] reads, in its order.
pub(super) const EVENT_COLUMNS: &str = "id, name, ts_us, source, session, traceparent, test, data, at_ms";

/// One event of a row of [`EVENT_COLUMNS`], and when it was stored.
pub(super) fn event(row: &Row<'_>) -> Result<(Event, i64)> {
    let damaged = |what: &str| StoreError::Damaged(format!("an event's {what} is not what was written"));
    let id: StoredId = row.get(0)?;
    let source: Option<String> = row.get(3)?;
    let session: Option<String> = row.get(4)?;
    let traceparent: Option<String> = row.get(5)?;
    let event = Event {
        id: EventId::from_stored(&id.0),
        name: EventName::parse(row.get_ref(1)?.as_str().map_err(|_| damaged("name"))?)
            .ok_or_else(|| damaged("name"))?,
        timestamp: Timestamp::from_microsecond(row.get(2)?).map_err(|_| damaged("time"))?,
        data: RawValue::from_string(row.get(7)?).map_err(|_| damaged("data"))?,
        source: source
            .map(|name| Name::parse(&name))
            .transpose()
            .map_err(|_| damaged("source"))?,
        session: session.map(Arc::from),
        traceparent: traceparent.map(Arc::from),
        test: row.get(6)?,
    };
    Ok((event, row.get(8)?))
}

/// The event of a seq; `None`: there is none.
pub(super) fn event_of(conn: &Connection, seq: i64) -> Result<Option<(Event, i64)>> {
    let mut find = conn.prepare_cached(concat!(
        "SELECT id, name, ts_us, source, session, traceparent, test, data, at_ms",
        " FROM events WHERE seq = ?1"
    ))?;
    let mut rows = find.query([seq])?;
    rows.next()?.map(event).transpose()
}

/// A request's headers: a line `name:value` each. Neither can hold a line feed in HTTP.
pub(super) fn headers(request: &RawRequest) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(request.headers.iter().map(|(n, v)| n.len() + v.len() + 2).sum());
    for (name, value) in &request.headers {
        bytes.extend_from_slice(name.as_bytes());
        bytes.push(b':');
        bytes.extend_from_slice(value);
        bytes.push(b'\n');
    }
    bytes
}

/// What [`headers`] wrote.
pub(super) fn read_headers(bytes: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let lines = bytes.strip_suffix(b"\n").unwrap_or_default();
    if lines.is_empty() {
        return bytes.is_empty().then(Vec::new);
    }
    lines
        .split(|byte| *byte == b'\n')
        .map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = std::str::from_utf8(&line[..colon]).ok()?;
            Some((name.to_owned(), line[colon + 1..].to_vec()))
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

/// A de-duplication key as it is kept.
pub(super) fn kept_key(key: &str) -> std::borrow::Cow<'_, str> {
    if key.len() <= 256 {
        key.into()
    } else {
        format!("sha256:{}", hex::encode(Sha256::digest(key.as_bytes()))).into()
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

/// A subscription from its two columns.
pub(super) fn subscription(events: &str, sources: Option<&str>) -> Result<Subscription> {
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
    })
}
