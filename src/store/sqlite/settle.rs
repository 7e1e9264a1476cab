//! Outcomes: the attempt's log entry and what becomes of the delivery.

use rusqlite::{Connection, OptionalExtension};

use super::senders::Senders;
use super::staged::Staged;
use crate::store::{Attempt, Outcome, Result, SenderKey, Settlement};

/// Records settlements within the open transaction. A delivery that is gone (its sender was closed meanwhile) leaves its
/// attempt in the log and nothing else.
pub(super) fn settle(
    conn: &Connection,
    senders: &Senders,
    now_ms: i64,
    settlements: &[Settlement],
    staged: &mut Staged,
) -> Result<()> {
    for settlement in settlements {
        let (sender, seq) = (settlement.sender, settlement.seq.0);
        if let Some(attempt) = &settlement.attempt {
            log(conn, sender, seq, attempt, staged)?;
        }
        match &settlement.outcome {
            Outcome::Delivered => {
                let was = take(conn, senders, sender, seq, staged)?;
                // Only what was closed meanwhile or put back can have a dead letter.
                if was.is_none_or(|was| was.moved) {
                    bury(conn, sender, seq, staged)?;
                }
                if settlement.attempt.is_none() {
                    remember(conn, sender, seq, "delivered")?;
                }
            }
            Outcome::Filtered => {
                take(conn, senders, sender, seq, staged)?;
                remember(conn, sender, seq, "filtered")?;
            }
            Outcome::Retry { due_ms } => later(conn, sender, seq, *due_ms, 1, true)?,
            Outcome::Postpone { due_ms } => later(conn, sender, seq, *due_ms, 0, settlement.attempt.is_some())?,
            Outcome::Dead { reason, detail } => {
                if let Some(was) = take(conn, senders, sender, seq, staged)? {
                    let dead = Dead {
                        reason: reason.as_str(),
                        detail,
                        at_ms: now_ms,
                        attempts: was.attempts + u32::from(settlement.attempt.is_some()),
                    };
                    kill(conn, sender, seq, &dead, &was, staged)?;
                }
            }
        }
        staged.settled.push((sender, seq));
    }
    Ok(())
}

fn ended_ms(attempt: &Attempt) -> i64 {
    attempt.started_ms + i64::try_from(attempt.latency_us / 1000).unwrap_or(i64::MAX / 2)
}

fn log(conn: &Connection, sender: SenderKey, seq: i64, attempt: &Attempt, staged: &mut Staged) -> Result<()> {
    conn.prepare_cached(
        "INSERT INTO attempts(at_ms, sender, seq, number, of, latency_us, status, error, detail, response, next_ms)
         VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?
    .execute((
        attempt.started_ms,
        sender.0,
        seq,
        attempt.number,
        attempt.of,
        i64::try_from(attempt.latency_us).unwrap_or(i64::MAX),
        attempt.status,
        attempt.error,
        &attempt.detail,
        &attempt.response,
        attempt.next_ms,
    ))?;
    staged.attempt(sender, ended_ms(attempt), attempt.error.is_none());
    Ok(())
}

/// A delivery that is owed no more.
pub(super) struct Was {
    pub(super) attempts: u32,
    pub(super) since_ms: i64,
    pub(super) passed: bool,
    /// Whether it was attempted or put back before.
    pub(super) moved: bool,
}

/// Takes a delivery out of what is owed; `None`: it was not there.
fn take(conn: &Connection, senders: &Senders, sender: SenderKey, seq: i64, staged: &mut Staged) -> Result<Option<Was>> {
    let was = conn
        .prepare_cached(
            "DELETE FROM owed WHERE seq = ?1 AND sender = ?2 RETURNING attempts, since_ms, passed, due_ms > 0, lane",
        )?
        .query_row((seq, sender.0), |row| {
            let was = Was {
                attempts: row.get(0)?,
                since_ms: row.get(1)?,
                passed: row.get(2)?,
                moved: row.get(3)?,
            };
            Ok((was, row.get::<_, i64>(4)?))
        })
        .optional()?;
    let Some((was, lane)) = was else { return Ok(None) };
    staged.owed(sender, -1);
    if senders.get(sender).is_some_and(|s| s.laned) {
        conn.prepare_cached("DELETE FROM lanes WHERE sender = ?1 AND lane = ?2 AND seq = ?3")?
            .execute((sender.0, lane, seq))?;
    }
    Ok(Some(was))
}

/// Puts a delivery off. One that was attempted has passed its sender's filter, which is not asked again.
fn later(conn: &Connection, sender: SenderKey, seq: i64, due_ms: i64, charge: u32, passed: bool) -> Result<()> {
    conn.prepare_cached(
        "UPDATE owed SET due_ms = max(?3, 1), attempts = attempts + ?4, passed = passed OR ?5
         WHERE seq = ?1 AND sender = ?2",
    )?
    .execute((seq, sender.0, due_ms, charge, passed))?;
    Ok(())
}

/// How a delivery ended.
pub(super) struct Dead<'a> {
    pub(super) reason: &'a str,
    pub(super) detail: &'a str,
    pub(super) at_ms: i64,
    pub(super) attempts: u32,
}

/// Makes a dead letter, in the place of an older one of the same delivery.
pub(super) fn kill(
    conn: &Connection,
    sender: SenderKey,
    seq: i64,
    dead: &Dead<'_>,
    was: &Was,
    staged: &mut Staged,
) -> Result<()> {
    bury(conn, sender, seq, staged)?;
    conn.prepare_cached(
        "INSERT INTO dead(seq, sender, reason, detail, dead_ms, attempts, since_ms, passed)
         VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?
    .execute((
        seq,
        sender.0,
        dead.reason,
        dead.detail,
        dead.at_ms,
        dead.attempts,
        was.since_ms,
        was.passed,
    ))?;
    staged.dead(sender, 1);
    Ok(())
}

/// Takes a dead letter away, where there is one.
pub(super) fn bury(conn: &Connection, sender: SenderKey, seq: i64, staged: &mut Staged) -> Result<()> {
    let gone = conn
        .prepare_cached("DELETE FROM dead WHERE seq = ?1 AND sender = ?2")?
        .execute((seq, sender.0))?;
    if gone > 0 {
        staged.dead(sender, -1);
    }
    Ok(())
}

/// Keeps for the event's story what no attempt tells.
fn remember(conn: &Connection, sender: SenderKey, seq: i64, state: &str) -> Result<()> {
    conn.prepare_cached("INSERT OR REPLACE INTO settled(seq, sender, state) VALUES(?1, ?2, ?3)")?
        .execute((seq, sender.0, state))?;
    Ok(())
}
