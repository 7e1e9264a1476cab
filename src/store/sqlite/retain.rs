//! Removing what is settled and old, in slices, so that appends come in between.

use rusqlite::Connection;

use super::mend::{SLICE, purge_slice};
use super::writer::Engine;
use crate::store::{DeadQuery, Result, Retained, Retention, SenderKey};

/// Pages given back to the file system in one slice.
const VACUUM_PAGES: u32 = 500;
/// The clock may have been set back by so much since events were stored: they are looked for from there.
pub(super) const CLOCK_SLACK_MS: i64 = 24 * 60 * 60 * 1000;

/// How far a retention run is.
#[derive(Debug, Clone, Default)]
pub(super) enum Progress {
    #[default]
    Dead,
    Events(i64),
    Keys(String, String),
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
            Some(if gone == 0 { Progress::Events(0) } else { Progress::Dead })
        }
        Progress::Events(from) => {
            let next_seq = engine.next_seq;
            let (events, attempts, next) =
                engine.alone(|conn, _| forget_events(conn, from, settled_before, next_seq))?;
            sum.events += events;
            sum.log_entries += attempts;
            Some(next.map_or_else(|| Progress::Keys(String::new(), String::new()), Progress::Events))
        }
        Progress::Keys(scope, key) => {
            let next = engine.alone(|conn, _| forget_keys(conn, &scope, &key, now_ms))?;
            Some(next.map_or(Progress::Sums, |(scope, key)| Progress::Keys(scope, key)))
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

/// Removes a slice of events that are old and neither owed nor dead, with all that hangs on them.
fn forget_events(conn: &Connection, from: i64, before_ms: i64, next_seq: i64) -> Result<(u64, u64, Option<i64>)> {
    let mut find = conn.prepare_cached(
        "SELECT seq, at_ms, request,
           EXISTS(SELECT 1 FROM owed WHERE owed.seq = events.seq) OR EXISTS(SELECT 1 FROM dead WHERE dead.seq = events.seq)
         FROM events WHERE seq >= ?1 ORDER BY seq LIMIT ?2",
    )?;
    let rows: Vec<(i64, i64, Option<i64>, bool)> = find
        .query_map((from, SLICE), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    // A slice of new events is the end: what follows is newer still.
    let old = rows.iter().any(|(_, at_ms, ..)| *at_ms < before_ms);
    let next = if old && rows.len() == SLICE {
        rows.last().map(|row| row.0 + 1)
    } else {
        None
    };
    let (mut events, mut attempts) = (0, 0);
    for (seq, at_ms, request, held) in rows {
        if at_ms >= before_ms || held {
            continue;
        }
        conn.prepare_cached("DELETE FROM events WHERE seq = ?1")?
            .execute([seq])?;
        attempts += conn
            .prepare_cached("DELETE FROM attempts WHERE seq = ?1")?
            .execute([seq])? as u64;
        conn.prepare_cached("DELETE FROM settled WHERE seq = ?1")?
            .execute([seq])?;
        if let Some(request) = request {
            conn.prepare_cached(
                "DELETE FROM requests WHERE seq = ?1 AND NOT EXISTS
                   (SELECT 1 FROM events WHERE events.seq BETWEEN requests.seq AND requests.last_seq)",
            )?
            .execute([request])?;
        }
        events += 1;
    }
    if events > 0 {
        // A seq is never given twice, though the newest event may be gone.
        conn.prepare_cached("UPDATE meta SET value = ?1 WHERE key = 'next_seq'")?
            .execute([next_seq])?;
    }
    Ok((events, attempts, next))
}

/// Removes expired keys among the next rows.
fn forget_keys(conn: &Connection, scope: &str, key: &str, now_ms: i64) -> Result<Option<(String, String)>> {
    let mut find = conn.prepare_cached(
        "SELECT scope, key, expires_ms FROM keys WHERE (scope, key) > (?1, ?2) ORDER BY scope, key LIMIT ?3",
    )?;
    let rows: Vec<(String, String, i64)> = find
        .query_map((scope, key, SLICE * 4), |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let whole = rows.len() == SLICE * 4;
    let mut last = None;
    for (scope, key, expires_ms) in rows {
        if expires_ms <= now_ms {
            conn.prepare_cached("DELETE FROM keys WHERE scope = ?1 AND key = ?2")?
                .execute((&scope, &key))?;
        }
        last = Some((scope, key));
    }
    Ok(last.filter(|_| whole))
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
