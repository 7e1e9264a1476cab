//! Putting back, dropping, cleaning up, copying and checking. Long work is done in slices, so that appends come in between.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension};

use super::append::add_to_lane;
use super::commit::lane_of;
use super::failure::Context;
use super::settle::{Dead, Was, bury, kill};
use super::staged::Staged;
use super::writer::Engine;
use super::{row, schema};
use crate::store::{DeadQuery, DeadReason, Replay, Result, Retained, Retention, SenderKey, StoreError};

/// Rows of one slice.
const SLICE: usize = 1000;
/// Pages given back to the file system in one slice.
const VACUUM_PAGES: u32 = 500;
/// The clock may have been set back by so much since events were stored: they are looked for from there.
const CLOCK_SLACK_MS: i64 = 24 * 60 * 60 * 1000;

/// Makes dead letters of a slice of what a sender is owed up to a seq. Returns how many; 0: it is owed nothing there.
pub(super) fn close_slice(engine: &mut Engine, sender: SenderKey, end: i64) -> Result<u64> {
    // Taken back meanwhile: what it is owed is its own again.
    if engine
        .senders
        .get(sender)
        .is_none_or(|sender| sender.removed_ms.is_none())
    {
        return Ok(0);
    }
    let now_ms = engine.clock.now_ms();
    engine.alone(|conn, staged| {
        let mut find = conn.prepare_cached(
            "DELETE FROM owed WHERE sender = ?1 AND seq IN
               (SELECT seq FROM owed INDEXED BY owed_due WHERE sender = ?1 AND seq < ?2 LIMIT ?3)
             RETURNING seq, attempts, since_ms, passed",
        )?;
        let rows: Vec<(i64, Was)> = find
            .query_map((sender.0, end, SLICE), |row| {
                let was = Was {
                    attempts: row.get(1)?,
                    since_ms: row.get(2)?,
                    passed: row.get(3)?,
                    moved: true,
                };
                Ok((row.get(0)?, was))
            })?
            .collect::<rusqlite::Result<_>>()?;
        for (seq, was) in &rows {
            let dead = Dead {
                reason: DeadReason::Deleted.as_str(),
                detail: "its sender was deleted",
                at_ms: now_ms,
                attempts: was.attempts,
            };
            kill(conn, sender, *seq, &dead, was, staged)?;
        }
        conn.prepare_cached(
            "DELETE FROM lanes WHERE sender = ?1 AND NOT EXISTS
            (SELECT 1 FROM owed WHERE owed.seq = lanes.seq AND owed.sender = ?1)",
        )?
        .execute([sender.0])?;
        staged.owed(sender, -count(rows.len()));
        Ok(rows.len() as u64)
    })
}

fn count(rows: usize) -> i64 {
    i64::try_from(rows).expect("a slice of rows")
}

// ---- replay ----

/// Where a replay begins; `None`: there is nothing to look at.
pub(super) fn replay_begins(engine: &mut Engine, replay: &Replay) -> Result<Option<i64>> {
    let conn = &engine.conn;
    if let Some(id) = &replay.event_id {
        return seq_of(conn, id);
    }
    let Some(since_ms) = replay.since_ms else {
        return Ok(Some(0));
    };
    // Seqs rise with time but for a clock that was set back: halving finds the place, the slack covers the clock.
    let since_ms = since_ms.saturating_sub(CLOCK_SLACK_MS);
    let (mut low, mut high) = (0, engine.next_seq);
    while low < high {
        let middle = low + (high - low) / 2;
        let at: Option<(i64, i64)> = conn
            .prepare_cached("SELECT seq, at_ms FROM events WHERE seq >= ?1 ORDER BY seq LIMIT 1")?
            .query_row([middle], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        match at {
            Some((seq, at_ms)) if at_ms < since_ms => low = seq + 1,
            _ => high = middle,
        }
    }
    Ok(Some(low))
}

/// Replays a slice of events from a seq on. Returns how many deliveries are owed anew, and where the next slice begins.
pub(super) fn replay_slice(engine: &mut Engine, replay: &Replay, from: i64) -> Result<(u64, Option<i64>)> {
    let targets: Vec<SenderKey> = match replay.sender {
        // Nobody would deliver for a sender that is gone.
        Some(key) if engine.senders.get(key).is_none_or(|s| s.removed_ms.is_some()) => return Ok((0, None)),
        Some(key) => vec![key],
        None => engine.senders.all_active(),
    };
    let senders = &engine.senders;
    let limit = if replay.event_id.is_some() { 1 } else { SLICE };
    let since_ms = replay.since_ms.unwrap_or(i64::MIN);
    let (staged, (owed, next)) = super::writer::in_transaction(&engine.conn, |conn, staged| {
        let mut owed = 0;
        let mut put = |staged: &mut Staged, key: SenderKey, seq: i64| -> Result<()> {
            let lane = lane_of(conn, seq)?;
            let new = conn
                .prepare_cached(
                    "INSERT OR IGNORE INTO owed(seq, sender, lane, due_ms, attempts, since_ms, passed)
                     VALUES(?1, ?2, ?3, max(?4, 1), 0, ?4, 0)",
                )?
                .execute((seq, key.0, lane, replay.now_ms))?;
            if new == 1 {
                if senders.get(key).is_some_and(|s| s.laned) {
                    add_to_lane(conn, key.0, lane, seq)?;
                }
                staged.owed(key, 1);
                staged.wake.push(key);
                owed += 1;
            }
            Ok(())
        };
        let mut last = None;
        let mut seen = 0;
        if replay.failed {
            let mut find = conn.prepare_cached(
                "SELECT dead.seq, dead.sender, events.at_ms FROM dead JOIN events USING(seq)
                 WHERE dead.seq >= ?1 ORDER BY dead.seq, dead.sender",
            )?;
            let mut rows = find.query([from])?;
            while let Some(row) = rows.next()? {
                let seq: i64 = row.get(0)?;
                if last != Some(seq) {
                    if seen >= limit || (replay.event_id.is_some() && seq != from) {
                        break;
                    }
                    last = Some(seq);
                }
                seen += 1;
                let key = SenderKey(row.get(1)?);
                if row.get::<_, i64>(2)? >= since_ms && targets.binary_search(&key).is_ok() {
                    put(staged, key, seq)?;
                }
            }
        } else {
            let mut find = conn.prepare_cached(concat!(
                "SELECT id, name, ts_us, source, session, traceparent, test, data, at_ms, seq",
                " FROM events WHERE seq >= ?1 ORDER BY seq LIMIT ?2"
            ))?;
            let mut rows = find.query((from, limit))?;
            let mut wanting = Vec::new();
            while let Some(row) = rows.next()? {
                seen += 1;
                let (event, at_ms) = row::event(row)?;
                let seq: i64 = row.get(9)?;
                last = Some(seq);
                if at_ms < since_ms {
                    continue;
                }
                senders.matching(&event, &mut wanting);
                // An event that is named is sent whatever the sender subscribes to.
                let named = replay.event_id.is_some() && replay.sender.is_some();
                for key in &targets {
                    if named || wanting.binary_search(key).is_ok() {
                        put(staged, *key, seq)?;
                    }
                }
            }
        }
        let next = if replay.event_id.is_some() || seen < limit {
            None
        } else {
            last.map(|seq| seq + 1)
        };
        Ok((owed, next))
    })?;
    engine.publish(staged);
    Ok((owed, next))
}

fn seq_of(conn: &Connection, id: &str) -> Result<Option<i64>> {
    Ok(conn
        .prepare_cached("SELECT seq FROM events WHERE id = ?1")?
        .query_row([row::Id(id)], |row| row.get(0))
        .optional()?)
}

// ---- purge ----

/// Drops a slice of the dead letters that a query means. Returns how many; 0: there are none left.
pub(super) fn purge_slice(engine: &mut Engine, query: &DeadQuery) -> Result<u64> {
    let (filter, values) = dead_filter(&engine.conn, query)?;
    engine.alone(|conn, staged| {
        let mut find = conn.prepare_cached(&format!("SELECT seq, sender FROM dead WHERE {filter} LIMIT {SLICE}"))?;
        let rows: Vec<(i64, i64)> = find
            .query_map(rusqlite::params_from_iter(values.iter()), |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        for (seq, sender) in &rows {
            bury(conn, SenderKey(*sender), *seq, staged)?;
        }
        Ok(rows.len() as u64)
    })
}

/// The condition of a query for dead letters, and its values.
pub(super) fn dead_filter(conn: &Connection, query: &DeadQuery) -> Result<(String, Vec<i64>)> {
    let mut filter = String::from("1");
    let mut values = Vec::new();
    let mut and = |condition: &str, value: i64| {
        filter.push_str(" AND ");
        filter.push_str(condition);
        values.push(value);
    };
    if let Some(sender) = query.sender {
        and("dead.sender = ?", sender.0);
    }
    if let Some(id) = &query.event_id {
        // No event has the seq 0: an unknown id finds nothing.
        and("dead.seq = ?", seq_of(conn, id)?.unwrap_or(0));
    }
    if let Some(since_ms) = query.since_ms {
        and("dead.dead_ms >= ?", since_ms);
    }
    if let Some(before_ms) = query.before_ms {
        and("dead.dead_ms < ?", before_ms);
    }
    Ok((filter, values))
}

// ---- retention ----

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

// ---- copies and checks ----

/// Writes a consistent copy into a new file, or as `store.db` into a directory.
pub(super) fn backup(conn: &Connection, to: &Path) -> Result<()> {
    let to = if to.is_dir() {
        to.join(schema::FILE)
    } else {
        to.to_path_buf()
    };
    if to.exists() {
        return Err(StoreError::Engine(format!(
            "{} is there already: name a new file",
            to.display()
        )));
    }
    schema::copy_database(conn, &to)
}

/// What [`check`] found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// The database's file.
    pub path: PathBuf,
    /// Its format.
    pub format: u32,
    /// The release that wrote it.
    pub written_by: String,
    /// Events.
    pub events: u64,
    /// Deliveries owed.
    pub owed: u64,
    /// Dead letters.
    pub dead: u64,
    /// Generations.
    pub generations: u64,
    /// What is wrong; empty: nothing.
    pub problems: Vec<String>,
}

/// Looks through a whole store, with or without a gateway that has it; `None`: there is none. Takes as long as reading it.
pub fn check(directory: &Path) -> Result<Option<Checked>> {
    let Some(conn) = schema::open_readonly(directory, &schema::FORMAT)? else {
        return Ok(None);
    };
    let path = directory.join(schema::FILE);
    let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, u64>(0)).context(&path);
    let mut problems: Vec<String> = conn
        .prepare("PRAGMA integrity_check(100)")
        .and_then(|mut check| check.query_map([], |row| row.get(0))?.collect())
        .context(&path)?;
    problems.retain(|line| line != "ok");
    for (what, sql) in [
        (
            "owed deliveries without their event",
            "SELECT count(*) FROM owed WHERE seq NOT IN (SELECT seq FROM events)",
        ),
        (
            "dead letters without their event",
            "SELECT count(*) FROM dead WHERE seq NOT IN (SELECT seq FROM events)",
        ),
        (
            "owed deliveries without their sender",
            "SELECT count(*) FROM owed WHERE sender NOT IN (SELECT key FROM senders)",
        ),
        (
            "dead letters without their sender",
            "SELECT count(*) FROM dead WHERE sender NOT IN (SELECT key FROM senders)",
        ),
        (
            "events whose data is no JSON",
            "SELECT count(*) FROM events WHERE NOT json_valid(data)",
        ),
    ] {
        match number(sql)? {
            0 => {}
            found => problems.push(format!("{found} {what}")),
        }
    }
    let written_by = super::meta(&conn, "written_by")?;
    Ok(Some(Checked {
        format: u32::try_from(number("PRAGMA user_version")?).unwrap_or(u32::MAX),
        written_by,
        events: number("SELECT count(*) FROM events")?,
        owed: number("SELECT count(*) FROM owed")?,
        dead: number("SELECT count(*) FROM dead")?,
        generations: number("SELECT count(*) FROM generations")?,
        problems,
        path,
    }))
}
