//! Putting back, dropping, cleaning up, copying and checking. Long work is done in slices, so that appends come in between.
//! What is not, since the swap that it belongs to must be whole (docs/limits.md has the cost): lanes that a changed ordering
//! fills or empties (`claim`), and dead letters that a changed or restored sender is owed again (`commit`).

use std::collections::HashSet;

use rusqlite::{Connection, OptionalExtension};

use super::append::add_to_lane;
use super::log::Log;
use super::retain::CLOCK_SLACK_MS;
use super::row;
use super::settle::{Dead, Was, bury, kill};
use super::writer::Engine;
use crate::store::{DeadQuery, DeadReason, Replay, Result, SenderKey};

/// Rows of one slice.
pub(super) const SLICE: usize = 1000;

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
             RETURNING seq, attempts, since_ms, passed, lane",
        )?;
        let rows: Vec<(i64, Was, i64)> = find
            .query_map((sender.0, end, SLICE), |row| {
                let was = Was {
                    attempts: row.get(1)?,
                    since_ms: row.get(2)?,
                    passed: row.get(3)?,
                    moved: true,
                };
                Ok((row.get(0)?, was, row.get(4)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let mut leave = conn.prepare_cached("DELETE FROM lanes WHERE sender = ?1 AND lane = ?2 AND seq = ?3")?;
        for (seq, was, lane) in &rows {
            let dead = Dead {
                reason: DeadReason::Deleted.as_str(),
                detail: "its sender was deleted",
                at_ms: now_ms,
                attempts: was.attempts,
            };
            kill(conn, sender, *seq, &dead, was, staged)?;
            leave.execute((sender.0, lane, seq))?;
        }
        staged.owed(sender, -count(rows.len()));
        Ok(rows.len() as u64)
    })
}

/// Where a walk over what was put off has come to: a sender and a seq.
pub(super) type Place = (i64, i64);
/// Before every place.
pub(super) const FIRST: Place = (i64::MIN, i64::MIN);

/// Brings a slice of what is put off to after `now_ms` forward. Returns where the next slice begins.
pub(super) fn set_back_slice(engine: &mut Engine, by_ms: i64, now_ms: i64, after: Place) -> Result<Option<Place>> {
    engine.alone(|conn, _| {
        let mut find = conn.prepare_cached(
            "SELECT sender, seq, due_ms FROM owed INDEXED BY owed_moved WHERE due_ms > 0 AND (sender, seq) > (?1, ?2)
             ORDER BY sender, seq LIMIT ?3",
        )?;
        let rows: Vec<(Place, i64)> = find
            .query_map((after.0, after.1, SLICE), |row| {
                Ok(((row.get(0)?, row.get(1)?), row.get(2)?))
            })?
            .collect::<rusqlite::Result<_>>()?;
        let mut bring = conn.prepare_cached("UPDATE owed SET due_ms = ?3 WHERE seq = ?2 AND sender = ?1")?;
        for ((sender, seq), due_ms) in rows.iter().filter(|(_, due_ms)| *due_ms > now_ms) {
            bring.execute((sender, seq, earlier(*due_ms, by_ms)))?;
        }
        Ok(rows.get(SLICE - 1).map(|(place, _)| *place))
    })
}

fn earlier(due_ms: i64, by_ms: i64) -> i64 {
    // 0 would make it a fresh one.
    due_ms.saturating_sub(by_ms).max(1)
}

fn count(rows: usize) -> i64 {
    i64::try_from(rows).expect("a slice of rows")
}

// ---- replay ----

/// Where a replay begins; `None`: there is nothing to look at.
pub(super) fn replay_begins(engine: &mut Engine, replay: &Replay) -> Result<Option<i64>> {
    let conn = &engine.conn;
    if let Some(id) = &replay.event_id {
        return engine.log.seq_of(conn, id);
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
            .prepare_cached("SELECT last, newest_ms FROM segments WHERE first >= ?1 ORDER BY first LIMIT 1")?
            .query_row([middle], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        match at {
            Some((last, at_ms)) if at_ms < since_ms => low = last + 1,
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
    let (senders, log) = (&engine.senders, &engine.log);
    let limit = if replay.event_id.is_some() { 1 } else { SLICE };
    let since_ms = replay.since_ms.unwrap_or(i64::MIN);
    let (staged, (owed, next)) = super::writer::in_transaction(&engine.conn, |conn, staged| {
        let mut owed = 0;
        // An event that is named is sent whatever the sender subscribes to, and whatever its filter says.
        let named = replay.event_id.is_some() && replay.sender.is_some();
        let mut put = |key: SenderKey, seq: i64, lane: i64| -> Result<()> {
            let new = conn
                .prepare_cached(
                    "INSERT OR IGNORE INTO owed(seq, sender, lane, due_ms, attempts, since_ms, passed)
                     VALUES(?1, ?2, ?3, max(?4, 1), 0, ?4, ?5)",
                )?
                .execute((seq, key.0, lane, replay.now_ms, named))?;
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
            let mut find = conn.prepare_cached("SELECT seq, sender FROM dead WHERE seq >= ?1 ORDER BY seq, sender")?;
            let mut rows = find.query([from])?;
            while let Some(row) = rows.next()? {
                let (seq, key) = (row.get(0)?, SenderKey(row.get(1)?));
                if last != Some(seq) {
                    if seen >= limit || (replay.event_id.is_some() && seq != from) {
                        break;
                    }
                    last = Some(seq);
                }
                seen += 1;
                if let Some(stored) = log.event(conn, seq)?
                    && stored.at_ms >= since_ms
                    && targets.binary_search(&key).is_ok()
                {
                    put(key, seq, row::lane(stored.event.session.as_deref(), seq))?;
                }
            }
        } else {
            let mut wanting = Vec::new();
            // Of a request that two slices share, its senders may get it twice.
            let (mut request, mut served) = (None, HashSet::new());
            let mut at = from;
            while seen < limit
                && let Some(segment) = log.from(conn, at)?
            {
                for seq in at.max(segment.seqs().start)..segment.seqs().end {
                    if seen >= limit {
                        break;
                    }
                    at = seq + 1;
                    let Some(stored) = segment.event(seq)? else { continue };
                    seen += 1;
                    last = Some(seq);
                    if stored.at_ms < since_ms {
                        continue;
                    }
                    senders.matching(&stored.event, &mut wanting);
                    let of = stored.request.map(|place| (segment.seqs().start, place));
                    if of.is_none() || of != request {
                        served.clear();
                        request = of;
                    }
                    senders.once_a_request(&stored.event, of.is_some(), &mut served, &mut wanting);
                    let lane = row::lane(stored.event.session.as_deref(), seq);
                    for key in &targets {
                        if named || wanting.binary_search(key).is_ok() {
                            put(*key, seq, lane)?;
                        }
                    }
                }
            }
        }
        let next = if replay.event_id.is_some() || seen < limit {
            None
        } else {
            last.map(|seq: i64| seq + 1)
        };
        Ok((owed, next))
    })?;
    engine.publish(staged);
    Ok((owed, next))
}

// ---- purge ----

/// Drops a slice of the dead letters that a query means. Returns how many; 0: there are none left.
pub(super) fn purge_slice(engine: &mut Engine, query: &DeadQuery) -> Result<u64> {
    let (filter, values) = dead_filter(&engine.conn, &engine.log, query)?;
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
pub(super) fn dead_filter(conn: &Connection, log: &Log, query: &DeadQuery) -> Result<(String, Vec<i64>)> {
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
        and("dead.seq = ?", log.seq_of(conn, id)?.unwrap_or(0));
    }
    if let Some(since_ms) = query.since_ms {
        and("dead.dead_ms >= ?", since_ms);
    }
    if let Some(before_ms) = query.before_ms {
        and("dead.dead_ms < ?", before_ms);
    }
    Ok((filter, values))
}
