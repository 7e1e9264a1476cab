//! One event's whole story, and the figures of senders and routes.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};

use super::log::Log;
use super::read::{attempts_of, event_row, latency};
use super::segment::{Segment, Stored};
use super::shared::Counts;
use crate::store::{
    Result, RouteFigures, SenderFigures, SenderKey, StoredRequest, Story, StoryDelivery, StoryRequest, delivery_id,
};

/// Attempts of a story.
const ATTEMPTS: usize = 1000;
/// Attempts of the last hour that the percentiles are taken from: the newest.
const SAMPLE: usize = 5000;

pub(super) fn story(conn: &Connection, id: &str) -> Result<Option<Story>> {
    let log = Log::default();
    let Some((seq, segment, stored)) = find(conn, &log, id)? else {
        return Ok(None);
    };
    let request = segment.request(&stored)?.map(|stored| StoryRequest {
        route: stored.request.route.as_str().into(),
        method: stored.request.method.to_string(),
        path: stored.request.target.split('?').next().unwrap_or_default().into(),
        body_bytes: stored.request.body.len() as u64,
        verified: stored.request.verified,
    });
    Ok(Some(Story {
        event: event_row(conn, seq, stored)?,
        request,
        deliveries: deliveries(conn, seq, id)?,
        attempts: attempts_of(conn, &log, seq, ATTEMPTS)?,
    }))
}

fn find(conn: &Connection, log: &Log, id: &str) -> Result<Option<(i64, Arc<Segment>, Stored)>> {
    let Some(seq) = log.seq_of(conn, id)? else {
        return Ok(None);
    };
    let Some(segment) = log.segment(conn, seq)? else {
        return Ok(None);
    };
    let stored = segment.event(seq)?;
    Ok(stored.map(|stored| (seq, segment, stored)))
}

/// The request that made an event.
pub(super) fn raw_request(conn: &Connection, event_id: &str) -> Result<Option<StoredRequest>> {
    match find(conn, &Log::default(), event_id)? {
        Some((_, segment, stored)) => segment.request(&stored),
        None => Ok(None),
    }
}

/// What became of an event at each sender. Later tables know better: what is owed (again) is owed whatever was before.
fn deliveries(conn: &Connection, seq: i64, id: &str) -> Result<Vec<StoryDelivery>> {
    let mut found: BTreeMap<i64, StoryDelivery> = BTreeMap::new();
    for sql in [
        "SELECT sender, 'delivered', max(number), NULL, NULL FROM attempts
         WHERE seq = ?1 AND error IS NULL GROUP BY sender",
        "SELECT sender, state, 0, NULL, NULL FROM settled WHERE seq = ?1",
        "SELECT sender, 'dead', attempts, NULL, reason FROM dead WHERE seq = ?1",
        "SELECT sender, 'owed', attempts, iif(due_ms > 0, due_ms, since_ms), NULL FROM owed WHERE seq = ?1",
    ] {
        let mut find = conn.prepare_cached(sql)?;
        let mut rows = find.query([seq])?;
        while let Some(row) = rows.next()? {
            let key: i64 = row.get(0)?;
            let name: Option<String> = conn
                .prepare_cached("SELECT name FROM senders WHERE key = ?1")?
                .query_row([key], |row| row.get(0))
                .optional()?;
            let delivery = StoryDelivery {
                sender: name.unwrap_or_else(|| format!("sender {key}")),
                delivery: delivery_id(id, SenderKey(key)),
                state: row.get(1)?,
                attempts: row.get(2)?,
                due_ms: row.get(3)?,
                reason: row.get(4)?,
            };
            found.insert(key, delivery);
        }
    }
    Ok(found.into_values().collect())
}

pub(super) fn sender_figures(conn: &Connection, key: SenderKey, counts: Counts, now_ms: i64) -> Result<SenderFigures> {
    let hour_ago = now_ms - 60 * 60 * 1000;
    let (attempts_hour, delivered_hour) = conn
        .prepare_cached(
            "SELECT coalesce(sum(attempts), 0), coalesce(sum(delivered), 0) FROM sender_minutes
             WHERE sender = ?1 AND minute > ?2",
        )?
        .query_row((key.0, hour_ago.div_euclid(60_000)), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let last_delivered_ms = conn
        .prepare_cached(
            "SELECT delivered_ms FROM sender_minutes WHERE sender = ?1 AND delivered_ms IS NOT NULL
             ORDER BY minute DESC LIMIT 1",
        )?
        .query_row([key.0], |row| row.get(0))
        .optional()?;
    let mut newest = conn.prepare_cached(
        "SELECT at_ms, latency_us, error IS NOT NULL FROM attempts INDEXED BY attempts_sender
         WHERE sender = ?1 ORDER BY id DESC LIMIT ?2",
    )?;
    let mut rows = newest.query((key.0, SAMPLE))?;
    let mut latencies: Vec<i64> = Vec::new();
    let (mut looked, mut failed) = (0, 0);
    while let Some(row) = rows.next()? {
        looked += 1;
        if looked <= 5 && row.get(2)? {
            failed += 1;
        }
        if row.get::<_, i64>(0)? >= hour_ago {
            latencies.push(row.get(1)?);
        } else if looked >= 5 {
            break;
        }
    }
    latencies.sort_unstable();
    let at = |percent: usize| {
        let place = (latencies.len() * percent).div_ceil(100).saturating_sub(1);
        latencies.get(place).map(|us| latency(*us))
    };
    Ok(SenderFigures {
        owed: counts.owed,
        dead: counts.dead,
        oldest_owed_ms: if counts.owed > 0 { oldest_of(conn, key)? } else { None },
        attempts_hour,
        delivered_hour,
        p50_ms: at(50),
        p99_ms: at(99),
        last_delivered_ms,
        last_five_failed: failed == 5,
    })
}

/// When the oldest delivery that a sender is owed became owed: two steps, whatever the backlog.
fn oldest_of(conn: &Connection, key: SenderKey) -> Result<Option<i64>> {
    let first = |sql: &str| -> Result<Option<i64>> {
        Ok(conn
            .prepare_cached(sql)?
            .query_row([key.0], |row| row.get(0))
            .optional()?)
    };
    let fresh =
        first("SELECT since_ms FROM owed INDEXED BY owed_due WHERE sender = ?1 AND due_ms = 0 ORDER BY seq LIMIT 1")?;
    let moved = first(
        "SELECT since_ms FROM owed INDEXED BY owed_moved_since WHERE sender = ?1 AND due_ms > 0
         ORDER BY since_ms LIMIT 1",
    )?;
    Ok(fresh.into_iter().chain(moved).min())
}

/// [`oldest_of`] for every sender that is owed something. From one sender to the next is a step in the index, whatever the
/// backlog between them.
pub(super) const OLDEST_OWED: &str = "
WITH RECURSIVE owing(sender) AS (
  SELECT min(sender) FROM owed INDEXED BY owed_due
  UNION ALL
  SELECT (SELECT min(sender) FROM owed INDEXED BY owed_due WHERE owed.sender > owing.sender)
  FROM owing WHERE sender IS NOT NULL)
SELECT min(since_ms) FROM (
  SELECT (SELECT since_ms FROM owed INDEXED BY owed_due WHERE sender = owing.sender AND due_ms = 0
          ORDER BY seq LIMIT 1) AS since_ms FROM owing
  UNION ALL
  SELECT (SELECT since_ms FROM owed INDEXED BY owed_moved_since WHERE sender = owing.sender AND due_ms > 0
          ORDER BY since_ms LIMIT 1) FROM owing)";

pub(super) fn oldest_owed(conn: &Connection) -> Result<Option<i64>> {
    Ok(conn.prepare_cached(OLDEST_OWED)?.query_row([], |row| row.get(0))?)
}

pub(super) fn route_figures(conn: &Connection, route: &str, since_ms: i64) -> Result<RouteFigures> {
    let messages = conn
        .prepare_cached("SELECT coalesce(sum(messages), 0) FROM route_quarters WHERE route = ?1 AND quarter >= ?2")?
        .query_row((route, since_ms.div_euclid(super::QUARTER_MS)), |row| row.get(0))?;
    let last_received_ms = conn
        .prepare_cached("SELECT last_ms FROM route_quarters WHERE route = ?1 ORDER BY quarter DESC LIMIT 1")?
        .query_row([route], |row| row.get(0))
        .optional()?;
    Ok(RouteFigures {
        last_received_ms,
        messages,
    })
}
