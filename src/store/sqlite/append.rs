//! Accepting: a request, its events, their keys and what is owed for them.

use std::collections::HashSet;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};

use super::row::{self, Id, StoredId};
use super::senders::Senders;
use super::staged::Staged;
use crate::event::Event;
use crate::store::{Append, Appended, DedupeKey, RawRequest, Result, RouteNote, SenderKey};

/// Route notes that are kept: the newest.
const ROUTE_LOG: i64 = 100_000;

/// An [`Append`] on its way to the writer.
pub(super) struct Arrived {
    request: Option<RawRequest>,
    events: Vec<(Arc<Event>, Option<DedupeKey>)>,
    to: Option<SenderKey>,
    now_ms: i64,
    /// About what it holds in memory.
    pub(super) bytes: usize,
}

impl From<Append> for Arrived {
    fn from(append: Append) -> Self {
        let request = append.request.as_ref().map_or(0, |r| r.body.len() + 1024);
        let events: usize = append.events.iter().map(|e| e.event.data.get().len() + 512).sum();
        Self {
            request: append.request,
            events: append
                .events
                .into_iter()
                .map(|new| (Arc::new(new.event), new.key))
                .collect(),
            to: append.to,
            now_ms: append.now_ms,
            bytes: request + events,
        }
    }
}

/// Stores one append within the open transaction.
pub(super) fn append(
    conn: &Connection,
    senders: &Senders,
    next_seq: &mut i64,
    arrived: &Arrived,
    staged: &mut Staged,
) -> Result<Vec<Appended>> {
    let now_ms = arrived.now_ms;
    let mut first = None;
    let mut keys = Vec::new();
    let mut served = HashSet::new();
    let mut appended = Vec::with_capacity(arrived.events.len());
    for (event, key) in &arrived.events {
        if let Some(key) = key
            && let Some(id) = seen(conn, key, event, now_ms)?
        {
            appended.push(Appended { id, duplicate: true });
            continue;
        }
        let seq = *next_seq;
        *next_seq += 1;
        let first = *first.get_or_insert(seq);
        conn.prepare_cached(
            "INSERT INTO events(seq, id, name, at_ms, ts_us, source, session, traceparent, test, request, data)
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute((
            seq,
            Id(event.id.as_str()),
            event.name.as_str(),
            now_ms,
            event.timestamp.as_microsecond(),
            event.source.as_ref().map(crate::event::Name::as_str),
            event.session.as_deref(),
            event.traceparent.as_deref(),
            event.test,
            arrived.request.is_some().then_some(first),
            event.data.get(),
        ))?;
        match arrived.to {
            // Nobody would deliver for a sender that is gone.
            Some(key) => {
                keys.clear();
                keys.extend(
                    senders
                        .get(key)
                        .filter(|sender| sender.removed_ms.is_none())
                        .map(|_| key),
                );
            }
            None => {
                senders.matching(event, &mut keys);
                senders.once_a_request(event, arrived.request.is_some(), &mut served, &mut keys);
            }
        }
        if !keys.is_empty() {
            let lane = row::lane(event.session.as_deref(), seq);
            let mut owe = conn.prepare_cached(
                "INSERT INTO owed(seq, sender, lane, due_ms, attempts, since_ms, passed)
                 VALUES(?1, ?2, ?3, 0, 0, ?4, 0)",
            )?;
            for sender in &keys {
                owe.execute((seq, sender.0, lane, now_ms))?;
                if senders.get(*sender).is_some_and(|s| s.laned) {
                    add_to_lane(conn, sender.0, lane, seq)?;
                }
                staged.owed(*sender, 1);
            }
            staged.wake.extend_from_slice(&keys);
            staged.recent.push((seq, now_ms, event.clone()));
        }
        if let Some(source) = &event.source
            && !event.test
            && arrived.to.is_none()
        {
            staged.message(source, now_ms);
        }
        appended.push(Appended {
            id: event.id.as_str().into(),
            duplicate: false,
        });
    }
    if let (Some(first), Some(request)) = (first, &arrived.request) {
        conn.prepare_cached(
            "INSERT INTO requests(seq, last_seq, route, method, target, verified, headers, body)
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute((
            first,
            *next_seq - 1,
            request.route.as_str(),
            &request.method,
            &request.target,
            request.verified,
            row::headers(request),
            &request.body[..],
        ))?;
    }
    Ok(appended)
}

/// The first event's id where the key is there and not expired; else the key is this event's from now on.
fn seen(conn: &Connection, key: &DedupeKey, event: &Event, now_ms: i64) -> Result<Option<String>> {
    let kept = row::kept_key(&key.key);
    let new = conn
        .prepare_cached(
            "INSERT INTO keys(scope, key, event_id, expires_ms) VALUES(?1, ?2, ?3, ?4)
             ON CONFLICT(scope, key) DO UPDATE SET event_id = excluded.event_id, expires_ms = excluded.expires_ms
             WHERE expires_ms <= ?5",
        )?
        .execute((&key.scope[..], &kept, Id(event.id.as_str()), key.expires_ms, now_ms))?;
    if new == 1 {
        return Ok(None);
    }
    let id = conn
        .prepare_cached("SELECT event_id FROM keys WHERE scope = ?1 AND key = ?2")?
        .query_row((&key.scope[..], &kept), |row| row.get::<_, StoredId>(0))
        .optional()?;
    Ok(id.map(|id| id.0))
}

pub(super) fn add_to_lane(conn: &Connection, sender: i64, lane: i64, seq: i64) -> Result<()> {
    conn.prepare_cached("INSERT OR IGNORE INTO lanes(sender, lane, seq) VALUES(?1, ?2, ?3)")?
        .execute((sender, lane, seq))?;
    Ok(())
}

/// Writes route notes, and drops the oldest beyond [`ROUTE_LOG`].
pub(super) fn notes(conn: &Connection, notes: &[RouteNote]) -> Result<()> {
    let mut insert =
        conn.prepare_cached("INSERT INTO route_log(at_ms, route, status, reason, detail) VALUES(?1, ?2, ?3, ?4, ?5)")?;
    for note in notes {
        insert.execute((note.at_ms, note.route.as_str(), note.status, note.reason, &note.detail))?;
    }
    conn.prepare_cached("DELETE FROM route_log WHERE id <= ?1")?
        .execute([conn.last_insert_rowid() - ROUTE_LOG])?;
    Ok(())
}
