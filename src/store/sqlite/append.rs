//! Accepting: a request, its events, their keys and what is owed for them.

use std::collections::HashSet;
use std::sync::Arc;

use rusqlite::Connection;

use super::keys::{Key, Keys};
use super::log::Writing;
use super::row::{self, Id};
use super::segment::Draft;
use super::senders::Senders;
use super::staged::Staged;
use crate::event::Event;
use crate::store::{Append, Appended, Result, RouteNote, SenderKey};

/// Route notes that are kept: the newest.
const ROUTE_LOG: i64 = 100_000;

/// Room for most requests without their body, and for most events without their data.
const ROOM: usize = 1024;

/// An event, and what callers' threads can make of it before the writer's one thread has it.
struct One {
    event: Arc<Event>,
    id: Id,
    key: Option<Key>,
}

/// An [`Append`] on its way to the writer. What a segment will hold of it is written already: the writer copies bytes, and
/// follows no pointer into what another processor has just made.
pub(super) struct Arrived {
    part: Draft,
    has_request: bool,
    events: Vec<One>,
    to: Option<SenderKey>,
    now_ms: i64,
    /// About what it holds in memory.
    pub(super) bytes: usize,
}

impl From<Append> for Arrived {
    fn from(append: Append) -> Self {
        let Append {
            request,
            events,
            to,
            now_ms,
        } = append;
        let mut part = Draft::default();
        part.reserve(ROOM + request.as_ref().map_or(0, |request| request.body.len()));
        let request = request
            .as_ref()
            .map(|request| (part.request(request, 0, events.len()), request));
        let events: Vec<One> = events
            .into_iter()
            .map(|new| {
                let id = Id::from(new.event.id.as_str());
                part.event(&new.event, &id, now_ms, request);
                One {
                    id,
                    key: new.key.as_ref().map(Key::from),
                    event: Arc::new(new.event),
                }
            })
            .collect();
        let data: usize = events.iter().map(|one| one.event.data.as_str().len() + ROOM).sum();
        Self {
            bytes: part.len() + data,
            has_request: request.is_some(),
            part,
            events,
            to,
            now_ms,
        }
    }
}

/// What an append changes, within the open transaction.
pub(super) struct Within<'a> {
    pub(super) conn: &'a Connection,
    pub(super) senders: &'a Senders,
    pub(super) keys: &'a mut Keys,
    pub(super) log: &'a mut Writing,
}

/// Stores one append within the open transaction.
pub(super) fn append(within: &mut Within<'_>, arrived: &Arrived, staged: &mut Staged) -> Result<Vec<Appended>> {
    let (conn, now_ms) = (within.conn, arrived.now_ms);
    let mut appended = Vec::with_capacity(arrived.events.len());
    for One { event, id, key } in &arrived.events {
        let first = match key {
            Some(key) => within.keys.seen(conn, key, id, now_ms)?,
            None => None,
        };
        appended.push(Appended {
            duplicate: first.is_some(),
            id: first.unwrap_or_else(|| event.id.as_str().into()),
        });
    }
    if appended.iter().all(|event| event.duplicate) {
        return Ok(appended);
    }
    let is_gone = appended.iter().map(|event| event.duplicate);
    let first = within.log.append(conn, &arrived.part, arrived.has_request, is_gone)?;
    let (mut wanting, mut served) = (Vec::new(), HashSet::new());
    for (seq, (One { event, id, key }, appended)) in (first..).zip(arrived.events.iter().zip(&appended)) {
        if appended.duplicate {
            continue;
        }
        within.log.known(conn, (seq, id), now_ms, key.as_ref())?;
        if let Some(key) = arrived.to {
            // Nobody would deliver for a sender that is gone.
            let sender = within.senders.get(key).filter(|sender| sender.removed_ms.is_none());
            wanting.clear();
            wanting.extend(sender.map(|_| key));
        } else {
            within.senders.matching(event, &mut wanting);
            within
                .senders
                .once_a_request(event, arrived.has_request, &mut served, &mut wanting);
        }
        if !wanting.is_empty() {
            owe(within, &wanting, event, seq, now_ms, staged)?;
            staged.wake.extend_from_slice(&wanting);
            staged.recent.push((seq, now_ms, event.clone()));
        }
        if let Some(source) = &event.source
            && !event.test
            && arrived.to.is_none()
        {
            staged.message(source, now_ms);
        }
    }
    Ok(appended)
}

fn owe(
    within: &Within<'_>,
    senders: &[SenderKey],
    event: &Event,
    seq: i64,
    now_ms: i64,
    staged: &mut Staged,
) -> Result<()> {
    let lane = row::lane(event.session.as_deref(), seq);
    let mut owe = within.conn.prepare_cached(
        "INSERT INTO owed(seq, sender, lane, due_ms, attempts, since_ms, passed) VALUES(?1, ?2, ?3, 0, 0, ?4, 0)",
    )?;
    for sender in senders {
        owe.execute((seq, sender.0, lane, now_ms))?;
        if within.senders.get(*sender).is_some_and(|s| s.laned) {
            add_to_lane(within.conn, sender.0, lane, seq)?;
        }
        staged.owed(*sender, 1);
    }
    Ok(())
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
