//! Taking what is due, in the order that a sender asks for.
//!
//! A sender's owed rows are of two kinds. *Fresh* ones (`due_ms` 0) were never attempted: the index `owed_due` has them in
//! the order in which they were appended. *Moved* ones were attempted, or put back by a replay or an undelete, and are
//! due at a time of their own. A claim costs what it takes and what is claimed already, whatever the backlog.

use std::collections::HashSet;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};

use super::writer::Engine;
use crate::event::Ordering;
use crate::store::{Claim, Owed, Result, SenderKey, Seq, StoreError};

/// Lanes that one claim by session looks at; the next one goes on from there.
const LANES: usize = 4096;

/// Takes what is due for one sender.
pub(super) fn claim(engine: &mut Engine, claim: Claim) -> Result<Vec<Owed>> {
    let key = claim.sender;
    set_ordering(engine, key, claim.ordering)?;
    let claimed = engine.claims.get(&key);
    let limit = claim.limit.clamp(1, 1024);
    let owed = match claim.ordering {
        Ordering::None => free(engine, &claim, limit)?,
        // One in hand means that nothing may be started, whichever it is.
        Ordering::Fifo if claimed.is_some_and(|c| !c.is_empty()) => Vec::new(),
        Ordering::Fifo => match head(&engine.conn, key)? {
            Some(seq) => due(engine, key, seq, claim.now_ms)?.into_iter().collect(),
            None => Vec::new(),
        },
        Ordering::Session => by_lane(engine, &claim, limit)?,
    };
    if !owed.is_empty() {
        let claimed = engine.claims.entry(key).or_default();
        claimed.extend(owed.iter().map(|owed| owed.seq.0));
    }
    Ok(owed)
}

/// When the next unclaimed delivery is due, under the ordering of the sender's last claim.
pub(super) fn next_due(engine: &mut Engine, key: SenderKey) -> Result<Option<i64>> {
    let none = HashSet::new();
    let claimed = engine.claims.get(&key).unwrap_or(&none);
    match engine.senders.get(key).map_or(Ordering::None, |s| s.ordering) {
        Ordering::None => {
            if !fresh(&engine.conn, key, claimed, 1)?.is_empty() {
                return Ok(Some(0));
            }
            let moved = moved(&engine.conn, key, claimed, i64::MAX, 1)?;
            Ok(moved.first().map(|(due_ms, _)| *due_ms))
        }
        Ordering::Fifo if !claimed.is_empty() => Ok(None),
        Ordering::Fifo => {
            let Some(seq) = head(&engine.conn, key)? else {
                return Ok(None);
            };
            Ok(Some(owed_row(&engine.conn, key, seq)?.due_ms))
        }
        Ordering::Session => {
            let (heads, complete) = lane_heads(&engine.conn, key, i64::MIN, claimed, |_| true)?;
            let mut next = None;
            for (_, seq) in heads {
                let due = owed_row(&engine.conn, key, seq)?.due_ms;
                next = Some(next.map_or(due, |next: i64| next.min(due)));
            }
            // More lanes than were looked at: another claim goes on with them.
            Ok(if complete {
                next
            } else {
                Some(next.map_or(0, |next| next.min(0)))
            })
        }
    }
}

/// Any may overtake any: the oldest due first.
fn free(engine: &Engine, claim: &Claim, limit: usize) -> Result<Vec<Owed>> {
    let none = HashSet::new();
    let claimed = engine.claims.get(&claim.sender).unwrap_or(&none);
    let fresh = fresh(&engine.conn, claim.sender, claimed, limit)?;
    let moved = moved(&engine.conn, claim.sender, claimed, claim.now_ms, limit)?;
    let mut taken = Vec::with_capacity((fresh.len() + moved.len()).min(limit));
    let mut fresh = fresh.into_iter().peekable();
    let mut moved = moved.into_iter().peekable();
    // The next fresh one, loaded to compare its time.
    let mut waiting: Option<Owed> = None;
    let mut bytes = 0;
    while taken.len() < limit && (taken.is_empty() || bytes < claim.bytes) {
        if waiting.is_none() {
            waiting = fresh
                .next()
                .map(|seq| load(engine, claim.sender, seq, None))
                .transpose()?;
        }
        let owed = match (waiting.take(), moved.peek()) {
            (Some(owed), Some((due_ms, _))) if owed.owed_since_ms > *due_ms => {
                waiting = Some(owed);
                let (_, seq) = moved.next().expect("it was peeked");
                load_moved(engine, claim.sender, seq)?
            }
            (Some(owed), _) => owed,
            (None, Some(_)) => {
                let (_, seq) = moved.next().expect("it was peeked");
                load_moved(engine, claim.sender, seq)?
            }
            (None, None) => break,
        };
        bytes += owed.event.data.as_str().len();
        taken.push(owed);
    }
    Ok(taken)
}

/// Of each lane its oldest, where that is due and in nobody's hands.
fn by_lane(engine: &mut Engine, claim: &Claim, limit: usize) -> Result<Vec<Owed>> {
    let none = HashSet::new();
    let claimed = engine.claims.get(&claim.sender).unwrap_or(&none);
    let from = engine.senders.get(claim.sender).map_or(i64::MIN, |s| s.lane);
    let mut owed = Vec::new();
    let mut bytes = 0;
    let mut failure = None;
    let mut last = from;
    lane_heads(&engine.conn, claim.sender, from, claimed, |(lane, seq)| {
        last = lane;
        match due(engine, claim.sender, seq, claim.now_ms) {
            Ok(found) => {
                bytes += found.as_ref().map_or(0, |owed| owed.event.data.as_str().len());
                owed.extend(found);
            }
            Err(error) => failure = Some(error),
        }
        owed.len() < limit && (owed.is_empty() || bytes < claim.bytes) && failure.is_none()
    })?;
    if let Some(error) = failure {
        return Err(error);
    }
    if let Some(sender) = engine.senders.claiming(claim.sender) {
        sender.lane = last;
    }
    owed.sort_unstable_by_key(|owed| owed.seq);
    Ok(owed)
}

/// The heads of the lanes after `from`, once around, that nobody has in hand; and whether all lanes were looked at.
/// `each` says whether to go on.
fn lane_heads(
    conn: &Connection,
    sender: SenderKey,
    from: i64,
    claimed: &HashSet<i64>,
    mut each: impl FnMut((i64, i64)) -> bool,
) -> Result<(Vec<(i64, i64)>, bool)> {
    let mut next = conn.prepare_cached(
        "SELECT lane, seq FROM lanes WHERE sender = ?1 AND lane > ?2 AND lane <= ?3 ORDER BY lane, seq LIMIT 1",
    )?;
    let mut heads = Vec::new();
    // `i64::MIN` itself is no lane: a seq is at least 1.
    for (mut at, end) in [(from, i64::MAX), (i64::MIN, from)] {
        loop {
            let found: Option<(i64, i64)> = next
                .query_row((sender.0, at, end), |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((lane, seq)) = found else { break };
            at = lane;
            if claimed.contains(&seq) {
                continue;
            }
            heads.push((lane, seq));
            if !each((lane, seq)) || heads.len() >= LANES {
                return Ok((heads, false));
            }
        }
    }
    Ok((heads, true))
}

/// Keeps `lanes` for exactly the senders that claim by session. All in one transaction: with a part of its lanes a sender would
/// overtake within a session.
fn set_ordering(engine: &mut Engine, key: SenderKey, ordering: Ordering) -> Result<()> {
    let Some(sender) = engine.senders.get(key) else {
        return Ok(());
    };
    let laned = ordering == Ordering::Session;
    if sender.laned != laned {
        engine.snapshot_ends()?;
        engine.alone(|conn, _| {
            if laned {
                conn.execute(
                    "INSERT INTO lanes(sender, lane, seq) SELECT sender, lane, seq FROM owed INDEXED BY owed_due
                     WHERE sender = ?1",
                    [key.0],
                )?;
            } else {
                conn.execute("DELETE FROM lanes WHERE sender = ?1", [key.0])?;
            }
            conn.execute("UPDATE senders SET laned = ?2 WHERE key = ?1", (key.0, laned))?;
            Ok(())
        })?;
    }
    if let Some(sender) = engine.senders.claiming(key) {
        sender.laned = laned;
        sender.ordering = ordering;
    }
    Ok(())
}

/// The oldest delivery that a sender is owed, claimed or not.
fn head(conn: &Connection, key: SenderKey) -> Result<Option<i64>> {
    let first = |sql: &str| -> Result<Option<i64>> {
        Ok(conn
            .prepare_cached(sql)?
            .query_row([key.0], |row| row.get(0))
            .optional()?)
    };
    let fresh =
        first("SELECT seq FROM owed INDEXED BY owed_due WHERE sender = ?1 AND due_ms = 0 ORDER BY seq LIMIT 1")?;
    let moved =
        first("SELECT seq FROM owed INDEXED BY owed_moved WHERE sender = ?1 AND due_ms > 0 ORDER BY seq LIMIT 1")?;
    Ok(match (fresh, moved) {
        (Some(fresh), Some(moved)) => Some(fresh.min(moved)),
        (fresh, moved) => fresh.or(moved),
    })
}

/// Fresh deliveries that nobody has in hand, oldest first.
fn fresh(conn: &Connection, key: SenderKey, claimed: &HashSet<i64>, limit: usize) -> Result<Vec<i64>> {
    let mut find = conn.prepare_cached(
        "SELECT seq FROM owed INDEXED BY owed_due WHERE sender = ?1 AND due_ms = 0 ORDER BY seq LIMIT ?2",
    )?;
    let mut rows = find.query((key.0, most(limit, claimed)))?;
    let mut seqs = Vec::new();
    while let Some(row) = rows.next()?
        && seqs.len() < limit
    {
        let seq = row.get(0)?;
        if !claimed.contains(&seq) {
            seqs.push(seq);
        }
    }
    Ok(seqs)
}

/// Moved deliveries that are due and in nobody's hands, as (due, seq), the longest due first.
fn moved(
    conn: &Connection,
    key: SenderKey,
    claimed: &HashSet<i64>,
    now_ms: i64,
    limit: usize,
) -> Result<Vec<(i64, i64)>> {
    let mut find = conn.prepare_cached(
        "SELECT due_ms, seq FROM owed INDEXED BY owed_due WHERE sender = ?1 AND due_ms > 0 AND due_ms <= ?2
         ORDER BY due_ms, seq LIMIT ?3",
    )?;
    let mut rows = find.query((key.0, now_ms, most(limit, claimed)))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()?
        && found.len() < limit
    {
        let (due_ms, seq) = (row.get(0)?, row.get(1)?);
        if !claimed.contains(&seq) {
            found.push((due_ms, seq));
        }
    }
    Ok(found)
}

fn most(limit: usize, claimed: &HashSet<i64>) -> i64 {
    i64::try_from(limit + claimed.len()).unwrap_or(i64::MAX)
}

struct OwedRow {
    /// 0: never put off.
    due_ms: i64,
    attempts: u32,
    since_ms: i64,
    passed: bool,
}

fn owed_row(conn: &Connection, key: SenderKey, seq: i64) -> Result<OwedRow> {
    conn.prepare_cached("SELECT due_ms, attempts, since_ms, passed FROM owed WHERE seq = ?1 AND sender = ?2")?
        .query_row((seq, key.0), |row| {
            Ok(OwedRow {
                due_ms: row.get(0)?,
                attempts: row.get(1)?,
                since_ms: row.get(2)?,
                passed: row.get(3)?,
            })
        })
        .optional()?
        .ok_or_else(|| {
            StoreError::Damaged(format!(
                "an index names delivery {seq} to sender {}, which is not there",
                key.0
            ))
        })
}

/// The delivery, where it is due.
fn due(engine: &Engine, key: SenderKey, seq: i64, now_ms: i64) -> Result<Option<Owed>> {
    let row = owed_row(&engine.conn, key, seq)?;
    if row.due_ms > now_ms {
        return Ok(None);
    }
    load(engine, key, seq, Some(&row)).map(Some)
}

fn load_moved(engine: &Engine, key: SenderKey, seq: i64) -> Result<Owed> {
    load(engine, key, seq, Some(&owed_row(&engine.conn, key, seq)?))
}

/// A delivery with its event; without a row it is a fresh one, which is owed since its event was stored.
fn load(engine: &Engine, key: SenderKey, seq: i64, row: Option<&OwedRow>) -> Result<Owed> {
    let (at_ms, event) = if let Some(found) = engine.recent.get(seq) {
        found
    } else {
        let stored = engine
            .log
            .event(&engine.conn, seq)?
            .ok_or_else(|| StoreError::Damaged(format!("event {seq} is owed to sender {} and is not there", key.0)))?;
        (stored.at_ms, Arc::new(stored.event))
    };
    Ok(Owed {
        sender: key,
        seq: Seq(seq),
        event,
        attempts: row.map_or(0, |row| row.attempts),
        owed_since_ms: row.map_or(at_ms, |row| row.since_ms),
        filter_passed: row.is_some_and(|row| row.passed),
    })
}
