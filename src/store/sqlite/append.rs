//! Accepting: a request, its events, their keys and what is owed for them.

use std::collections::HashSet;
use std::sync::Arc;

use rusqlite::Connection;

use super::keys::{Key, Keys};
use super::log::Writing;
use super::row::{self, Id};
use super::senders::Senders;
use super::staged::Staged;
use crate::event::Event;
use crate::store::{Append, Appended, RawRequest, Result, RouteNote, SenderKey};

/// Route notes that are kept: the newest.
const ROUTE_LOG: i64 = 100_000;

/// An event, and what callers' threads can make of it before the writer's one thread has it.
struct One {
    event: Arc<Event>,
    id: Id,
    key: Option<Key>,
}

/// An [`Append`] on its way to the writer.
pub(super) struct Arrived {
    request: Option<RawRequest>,
    events: Vec<One>,
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
                .map(|new| One {
                    id: new.event.id.as_str().into(),
                    key: new.key.as_ref().map(Key::from),
                    event: Arc::new(new.event),
                })
                .collect(),
            to: append.to,
            now_ms: append.now_ms,
            bytes: request + events,
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
    let new = appended.iter().filter(|event| !event.duplicate).count();
    if new == 0 {
        return Ok(appended);
    }
    let place = within.log.begin(conn, arrived.request.as_ref(), new)?;
    let request = place.zip(arrived.request.as_ref());
    let (mut wanting, mut served) = (Vec::new(), HashSet::new());
    for (One { event, id, key }, _) in arrived
        .events
        .iter()
        .zip(&appended)
        .filter(|(_, event)| !event.duplicate)
    {
        let seq = within.log.event(conn, (event, id), now_ms, request, key.as_ref())?;
        if let Some(key) = arrived.to {
            // Nobody would deliver for a sender that is gone.
            let sender = within.senders.get(key).filter(|sender| sender.removed_ms.is_none());
            wanting.clear();
            wanting.extend(sender.map(|_| key));
        } else {
            within.senders.matching(event, &mut wanting);
            within
                .senders
                .once_a_request(event, arrived.request.is_some(), &mut served, &mut wanting);
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
