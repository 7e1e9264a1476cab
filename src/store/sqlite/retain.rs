//! Removing what is settled and old, in slices, so that appends come in between.

use std::collections::BTreeSet;

use rusqlite::Connection;

use super::keys::{FIRST, Hash};
use super::log;
use super::mend::{SLICE, purge_slice};
use super::writer::{Engine, in_transaction};
use crate::store::{DeadQuery, Result, Retained, Retention, SenderKey};

/// Pages given back to the file system in one slice.
const VACUUM_PAGES: u32 = 500;
/// The clock may have been set back by so much since events were stored: they are looked for from there.
pub(super) const CLOCK_SLACK_MS: i64 = 24 * 60 * 60 * 1000;

/// How far a retention run is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) enum Progress {
    #[default]
    Dead,
    Young,
    Events(i64),
    Keys(Hash),
    Sums,
    Vacuum,
}

/// One slice of a retention run. Returns where the next one begins; `None`: it is done.
pub(super) fn retain_slice(
    engine: &mut Engine,
    retention: Retention,
    now_ms: i64,
    at: Progress,
    mut sum: Retained,
) -> Result<(Option<Progress>, Retained)> {
    let settled_before = now_ms.saturating_sub(retention.settled_ms);
    let next = match at {
        Progress::Dead => {
            engine.max_bytes = retention.max_bytes;
            let query = DeadQuery {
                before_ms: Some(now_ms.saturating_sub(retention.dead_ms)),
                ..DeadQuery::default()
            };
            let gone = purge_slice(engine, &query)?;
            sum.dead += gone;
            Some(if gone == 0 { Progress::Young } else { Progress::Dead })
        }
        // A key may outlive its event, and with it the segment that has it.
        Progress::Young => Some(if write_young(engine)? {
            Progress::Young
        } else {
            Progress::Events(0)
        }),
        Progress::Events(from) => {
            let next_seq = engine.next_seq;
            let (events, attempts, next) =
                engine.alone(|conn, _| forget_events(conn, from, settled_before, next_seq))?;
            if events > 0 {
                engine.log.forget();
            }
            sum.events += events;
            sum.log_entries += attempts;
            Some(next.map_or(Progress::Keys(FIRST), Progress::Events))
        }
        Progress::Keys(from) => {
            let (kept, next) = engine.alone(|conn, _| forget_keys(conn, &from, now_ms))?;
            engine.keys.passed(from, &kept, next);
            Some(next.map_or(Progress::Sums, Progress::Keys))
        }
        Progress::Sums => {
            let (notes, gone) = engine.alone(|conn, _| forget_sums(conn, settled_before, now_ms))?;
            sum.log_entries += notes;
            for key in gone {
                engine.senders.forget(key);
            }
            Some(Progress::Vacuum)
        }
        Progress::Vacuum => vacuum(&engine.conn)?.then_some(Progress::Vacuum),
    };
    Ok((next, sum))
}

/// Writes a slice of the keys that are not in their table yet. Returns whether there are more.
fn write_young(engine: &mut Engine) -> Result<bool> {
    let (keys, next_seq) = (&mut engine.keys, engine.next_seq);
    match in_transaction(&engine.conn, |conn, _| keys.write_slice(conn, next_seq, SLICE * 4)) {
        Ok((_, more)) => {
            keys.committed(0, next_seq);
            Ok(more)
        }
        Err(error) => {
            keys.rolled_back();
            Err(error)
        }
    }
}

/// Removes a slice of events that are old and neither owed nor dead, with all that hangs on them.
fn forget_events(conn: &Connection, from: i64, before_ms: i64, next_seq: i64) -> Result<(u64, u64, Option<i64>)> {
    let mut find = conn.prepare_cached(
        "SELECT first, last, events, newest_ms FROM segments WHERE first >= ?1 ORDER BY first LIMIT ?2",
    )?;
    let mut rows = find.query((from, SLICE))?;
    let (mut events, mut attempts) = (0, 0);
    let (mut looked_at, mut next, mut old) = (0, None, false);
    while let Some(row) = rows.next()? {
        let (first, last, has, newest_ms): (i64, i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        if newest_ms < before_ms {
            old = true;
            let (gone, log_entries) = forget_segment(conn, first, last, has)?;
            events += gone;
            attempts += log_entries;
        }
        looked_at += has.max(1);
        if looked_at >= count(SLICE) {
            next = Some(last + 1);
            break;
        }
    }
    if events > 0 {
        // A seq is never given twice, though the newest event may be gone.
        conn.prepare_cached("UPDATE meta SET value = ?1 WHERE key = 'next_seq'")?
            .execute([next_seq])?;
    }
    // A slice of new events is the end: what follows is newer still.
    Ok((events, attempts, next.filter(|_| old)))
}

/// Removes what nobody is owed and nobody has dead of a segment with `has` events. Returns how many, and their attempts.
fn forget_segment(conn: &Connection, first: i64, last: i64, has: i64) -> Result<(u64, u64)> {
    let held: BTreeSet<i64> = conn
        .prepare_cached(
            "SELECT seq FROM owed WHERE seq BETWEEN ?1 AND ?2 UNION SELECT seq FROM dead WHERE seq BETWEEN ?1 AND ?2",
        )?
        .query_map((first, last), |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    if count(held.len()) >= has {
        return Ok((0, 0));
    }
    if held.is_empty() {
        conn.prepare_cached("DELETE FROM segments WHERE first = ?1")?
            .execute([first])?;
    } else {
        let segment = conn
            .prepare_cached("SELECT first, last, packed, bytes FROM segments WHERE first = ?1")?
            .query_row([first], |row| Ok(log::open(row)))??;
        let (bytes, kept) = segment.only(|seq| held.contains(&seq))?;
        conn.prepare_cached("UPDATE segments SET events = ?2, packed = 1, bytes = ?3 WHERE first = ?1")?
            .execute((first, kept, bytes))?;
    }
    let mut attempts = 0;
    // Between those that are held.
    let mut from = first;
    for end in held.iter().copied().chain([last + 1]) {
        if from < end {
            for table in ["odd_ids", "settled", "attempts"] {
                let gone = conn
                    .prepare_cached(&format!("DELETE FROM {table} WHERE seq >= ?1 AND seq < ?2"))?
                    .execute((from, end))?;
                if table == "attempts" {
                    attempts += gone as u64;
                }
            }
        }
        from = end + 1;
    }
    Ok((u64::try_from(has).unwrap_or(0) - held.len() as u64, attempts))
}

fn count(rows: usize) -> i64 {
    i64::try_from(rows).expect("it fits in memory")
}

/// Removes expired keys among the next rows. Returns the others, and the last of the rows.
fn forget_keys(conn: &Connection, from: &Hash, now_ms: i64) -> Result<(Vec<Hash>, Option<Hash>)> {
    let mut find = conn.prepare_cached("SELECT key, expires_ms FROM keys WHERE key > ?1 ORDER BY key LIMIT ?2")?;
    let rows: Vec<(Hash, i64)> = find
        .query_map((from, SLICE * 4), |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let last = rows.last().map(|(key, _)| *key).filter(|_| rows.len() == SLICE * 4);
    let (kept, expired): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(_, expires_ms)| *expires_ms > now_ms);
    for (key, _) in expired {
        conn.prepare_cached("DELETE FROM keys WHERE key = ?1")?.execute([key])?;
    }
    Ok((kept.into_iter().map(|(key, _)| key).collect(), last))
}

/// Removes old sums and notes, and senders that are gone and have left nothing. Each table is small.
fn forget_sums(conn: &Connection, settled_before: i64, now_ms: i64) -> Result<(u64, Vec<SenderKey>)> {
    // The newest minute with a delivery stays: it says when that was.
    conn.execute(
        "DELETE FROM sender_minutes AS old WHERE minute < ?1 AND (delivered_ms IS NULL OR EXISTS
           (SELECT 1 FROM sender_minutes AS newer
            WHERE newer.sender = old.sender AND newer.minute > old.minute AND newer.delivered_ms IS NOT NULL))",
        [now_ms.div_euclid(60_000) - 120],
    )?;
    conn.execute(
        "DELETE FROM route_quarters AS old WHERE quarter < ?1 AND EXISTS
           (SELECT 1 FROM route_quarters AS newer WHERE newer.route = old.route AND newer.quarter > old.quarter)",
        [settled_before
            .min(now_ms - 2 * CLOCK_SLACK_MS)
            .div_euclid(super::QUARTER_MS)],
    )?;
    let notes = conn.execute("DELETE FROM route_log WHERE at_ms < ?1", [settled_before])?;
    let mut find = conn.prepare(
        "DELETE FROM senders WHERE removed_ms < ?1
           AND NOT EXISTS (SELECT 1 FROM owed INDEXED BY owed_due WHERE owed.sender = senders.key)
           AND NOT EXISTS (SELECT 1 FROM dead INDEXED BY dead_sender WHERE dead.sender = senders.key)
           AND NOT EXISTS (SELECT 1 FROM attempts INDEXED BY attempts_sender WHERE attempts.sender = senders.key)
         RETURNING key",
    )?;
    let gone: Vec<SenderKey> = find
        .query_map([settled_before.min(now_ms - CLOCK_SLACK_MS)], |row| {
            row.get(0).map(SenderKey)
        })?
        .collect::<rusqlite::Result<_>>()?;
    for key in &gone {
        conn.execute("DELETE FROM sender_minutes WHERE sender = ?1", [key.0])?;
    }
    Ok((notes as u64, gone))
}

/// Gives some free pages back to the file system, where many are free. Returns whether there are more to give.
fn vacuum(conn: &Connection) -> Result<bool> {
    let pragma = |sql: &str| -> rusqlite::Result<u32> { conn.query_row(sql, [], |row| row.get(0)) };
    let (pages, free) = (pragma("PRAGMA page_count")?, pragma("PRAGMA freelist_count")?);
    // A quarter stays: it is about to be used again, and moving pages costs as much as writing them.
    if free < 2 * VACUUM_PAGES || free < pages / 4 {
        return Ok(false);
    }
    // The statement frees a page a step; `execute_batch` would make one step.
    let mut steps = conn.prepare(&format!("PRAGMA incremental_vacuum({VACUUM_PAGES})"))?;
    let mut rows = steps.query([])?;
    while rows.next()?.is_some() {}
    drop(rows);
    Ok(pragma("PRAGMA freelist_count")? < free)
}
