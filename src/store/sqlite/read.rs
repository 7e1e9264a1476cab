//! Listings. Each page looks at a bounded number of rows: a page may be short, or empty, and still have a next one.

use std::collections::HashMap;
use std::fmt::Write as _;

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::commit::{self, GENERATION_COLUMNS};
use super::log::Log;
use super::mend::dead_filter;
use super::segment::Stored;
use super::shared::Counts;
use crate::clock;
use crate::event::Name;
use crate::store::{
    DeadLetter, DeadQuery, EventQuery, EventRow, Generation, Listing, LogEntry, LogQuery, PAGE_BYTES, Page, Result,
    SenderKey, SenderRow, StoreError, delivery_id,
};

/// Rows that one page looks at.
const LOOKED_AT: usize = 20_000;

fn limit(page: &Page) -> usize {
    page.limit.clamp(1, 1000)
}

/// A cursor's numbers; `None`: the first page.
fn cursor<const N: usize>(page: &Page) -> Result<Option<[i64; N]>> {
    let Some(text) = &page.cursor else { return Ok(None) };
    let numbers: Option<Vec<i64>> = text.split('.').map(|number| number.parse().ok()).collect();
    numbers
        .and_then(|numbers| numbers.try_into().ok())
        .map(Some)
        .ok_or_else(|| StoreError::Cursor(text.clone()))
}

/// The condition of a query and its values.
struct Filter {
    text: String,
    values: Vec<Value>,
}

impl Filter {
    fn new() -> Self {
        Self {
            text: "1".into(),
            values: Vec::new(),
        }
    }

    fn and(&mut self, condition: &str, value: impl Into<Value>) {
        let _ = write!(self.text, " AND {condition}");
        self.values.push(value.into());
    }
}

pub(super) fn generations(conn: &Connection, page: &Page) -> Result<Listing<Generation>> {
    let [before] = cursor(page)?.unwrap_or([i64::MAX]);
    let limit = limit(page);
    let mut find = conn.prepare_cached(&format!(
        "SELECT {GENERATION_COLUMNS} FROM generations WHERE number < ?1 ORDER BY number DESC LIMIT ?2"
    ))?;
    let mut rows = find.query((before, limit + 1))?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        if items.len() == limit {
            let next = items.last().map(|last: &Generation| last.number.to_string());
            return Ok(Listing { items, next });
        }
        items.push(commit::generation(row)?);
    }
    Ok(Listing { items, next: None })
}

pub(super) fn senders(conn: &Connection, counts: &HashMap<SenderKey, Counts>) -> Result<Vec<SenderRow>> {
    let mut all = conn.prepare_cached("SELECT key, name, removed_ms, suspended FROM senders ORDER BY key")?;
    let mut rows = all.query([])?;
    let mut senders = Vec::new();
    while let Some(row) = rows.next()? {
        let (key, name): (_, String) = (SenderKey(row.get(0)?), row.get(1)?);
        let removed_ms: Option<i64> = row.get(2)?;
        let owed = counts.get(&key).map_or(0, |c| c.owed);
        // One that is gone and owed nothing is kept for its dead letters and its log alone.
        if removed_ms.is_none() || owed > 0 {
            senders.push(SenderRow {
                key,
                name: Name::parse(&name)
                    .map_err(|_| StoreError::Damaged("a sender's name is not what was written".into()))?,
                removed_ms,
                suspended: row.get(3)?,
                owed,
            });
        }
    }
    Ok(senders)
}

// ---- logs ----

/// Attempts with their senders' names, found in a certain way.
fn select(indexed: &str) -> String {
    format!(
        "SELECT attempts.id, attempts.at_ms, senders.name, attempts.seq, attempts.sender,
           attempts.number, attempts.of, attempts.status, attempts.error, attempts.detail, attempts.response,
           attempts.latency_us, attempts.next_ms
         FROM attempts {indexed} LEFT JOIN senders ON senders.key = attempts.sender"
    )
}

/// A row of [`select`], with its id.
fn attempt(conn: &Connection, log: &Log, row: &Row<'_>) -> Result<(i64, LogEntry)> {
    let event = log.event(conn, row.get(3)?)?.map(|stored| stored.event);
    let sender = SenderKey(row.get(4)?);
    let latency_us: i64 = row.get(11)?;
    let entry = LogEntry {
        at_ms: row.get(1)?,
        sender: row.get(2)?,
        route: None,
        delivery: event.as_ref().map(|event| delivery_id(event.id.as_str(), sender)),
        event_id: event.as_ref().map(|event| event.id.as_str().into()),
        event: event.as_ref().map(|event| event.name.as_str().into()),
        attempt: row.get(5)?,
        of: row.get(6)?,
        status: row.get(7)?,
        error: row.get(8)?,
        detail: row.get(9)?,
        response: row.get(10)?,
        latency_ms: Some(latency(latency_us)),
        next_ms: row.get(12)?,
    };
    Ok((row.get(0)?, entry))
}

#[expect(clippy::cast_precision_loss, reason = "2^53 microseconds are 285 years")]
pub(super) fn latency(us: i64) -> f64 {
    us as f64 / 1000.0
}

/// An event's attempts, oldest first.
pub(super) fn attempts_of(conn: &Connection, log: &Log, seq: i64, most: usize) -> Result<Vec<LogEntry>> {
    let mut find = conn.prepare_cached(&format!(
        "{} WHERE attempts.seq = ?1 ORDER BY attempts.id LIMIT ?2",
        select("INDEXED BY attempts_seq")
    ))?;
    let mut rows = find.query((seq, most))?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(attempt(conn, log, row)?.1);
    }
    Ok(entries)
}

pub(super) fn logs(conn: &Connection, query: &LogQuery) -> Result<Listing<LogEntry>> {
    let limit = limit(&query.page);
    let [attempts_before, notes_before] = cursor(&query.page)?.unwrap_or([i64::MAX, i64::MAX]);
    // Of attempts and notes so many as a page could need, then the newest of both.
    let mut attempts = if query.route.is_some() && query.sender.is_none() {
        Look::none(attempts_before)
    } else {
        attempts(conn, query, attempts_before, limit)?
    };
    let mut notes = if query.sender.is_some() && query.route.is_none() {
        Look::none(notes_before)
    } else {
        notes(conn, query, notes_before, limit)?
    };
    let mut items = Vec::with_capacity(limit);
    let (mut last_attempt, mut last_note) = (attempts_before, notes_before);
    while items.len() < limit {
        let newer = match (attempts.rows.front(), notes.rows.front()) {
            (Some(attempt), Some(note)) => attempt.1.at_ms >= note.1.at_ms,
            // Beyond what was looked at there may be newer ones: the next page goes on from here.
            (Some(_), None) if !notes.ended => break,
            (None, Some(_)) if !attempts.ended => break,
            (Some(_), None) => true,
            (None, Some(_)) => false,
            (None, None) => break,
        };
        let (look, last) = if newer {
            (&mut attempts, &mut last_attempt)
        } else {
            (&mut notes, &mut last_note)
        };
        let (id, entry) = look.rows.pop_front().expect("it was looked at");
        *last = id;
        items.push(entry);
    }
    for (look, last) in [(&attempts, &mut last_attempt), (&notes, &mut last_note)] {
        if look.rows.is_empty() {
            *last = (*last).min(look.at);
        }
    }
    let more = [&attempts, &notes]
        .iter()
        .any(|look| !look.ended || !look.rows.is_empty());
    Ok(Listing {
        items,
        next: more.then(|| format!("{last_attempt}.{last_note}")),
    })
}

/// Rows of one of the two logs.
struct Look {
    rows: std::collections::VecDeque<(i64, LogEntry)>,
    /// The last id that was looked at.
    at: i64,
    /// Whether there are none after those.
    ended: bool,
}

impl Look {
    fn none(at: i64) -> Self {
        Self {
            rows: std::collections::VecDeque::new(),
            at,
            ended: true,
        }
    }
}

/// The place of the `LOOKED_AT`th row of a table before an id: a filter that matches little looks no further.
fn floor(conn: &Connection, sql: &str, values: &[Value]) -> Result<i64> {
    let mut find = conn.prepare_cached(&format!("{sql} LIMIT 1 OFFSET {}", LOOKED_AT - 1))?;
    let mut rows = find.query(params_from_iter(values))?;
    Ok(rows.next()?.map(|row| row.get(0)).transpose()?.unwrap_or(i64::MIN))
}

fn attempts(conn: &Connection, query: &LogQuery, before: i64, limit: usize) -> Result<Look> {
    // Each of these has its rows in the order of the log. A sender's failures have an index of their own: there may be few
    // of them, or all may be old.
    let (indexed, found_by) = match (query.sender, query.failed) {
        (Some(_), true) => ("INDEXED BY attempts_failed", " AND attempts.error IS NOT NULL"),
        (Some(_), false) => ("INDEXED BY attempts_sender", ""),
        (None, _) => ("NOT INDEXED", ""),
    };
    let mut filter = Filter::new();
    filter.text.push_str(found_by);
    filter.and("attempts.id < ?", before);
    if let Some(sender) = query.sender {
        filter.and("attempts.sender = ?", sender.0);
    }
    // Where every row is one of the page's, the page itself is the bound.
    let chosen = query.status.is_some() || query.since_ms.is_some() || (query.failed && query.sender.is_none());
    let floor = if chosen {
        let sql = format!(
            "SELECT id FROM attempts {indexed} WHERE {} ORDER BY id DESC",
            filter.text
        );
        floor(conn, &sql, &filter.values)?
    } else {
        i64::MIN
    };
    filter.and("attempts.id >= ?", floor);
    if query.failed && found_by.is_empty() {
        filter.text.push_str(" AND attempts.error IS NOT NULL");
    }
    if let Some(status) = query.status {
        filter.and("attempts.status = ?", i64::from(status));
    }
    if let Some(since_ms) = query.since_ms {
        filter.and("attempts.at_ms >= ?", since_ms);
    }
    let sql = format!(
        "{} WHERE {} ORDER BY attempts.id DESC LIMIT {limit}",
        select(indexed),
        filter.text
    );
    let log = Log::default();
    look(conn, &sql, &filter, floor, limit, |row| attempt(conn, &log, row))
}

fn notes(conn: &Connection, query: &LogQuery, before: i64, limit: usize) -> Result<Look> {
    let mut filter = Filter::new();
    filter.and("id < ?", before);
    if let Some(route) = &query.route {
        filter.and("route = ?", route.clone());
    }
    if query.failed {
        filter.text.push_str(" AND reason <> 'duplicate'");
    }
    if let Some(status) = query.status {
        filter.and("status = ?", i64::from(status));
    }
    if let Some(since_ms) = query.since_ms {
        filter.and("at_ms >= ?", since_ms);
    }
    let sql = format!(
        "SELECT id, at_ms, route, status, reason, detail FROM route_log WHERE {} ORDER BY id DESC LIMIT {limit}",
        filter.text
    );
    // The whole log is bounded: no floor is needed.
    look(conn, &sql, &filter, i64::MIN, limit, |row| {
        let detail: String = row.get(5)?;
        let entry = LogEntry {
            at_ms: row.get(1)?,
            sender: None,
            route: row.get(2)?,
            event_id: None,
            event: None,
            delivery: None,
            attempt: None,
            of: None,
            status: row.get(3)?,
            error: row.get(4)?,
            detail: (!detail.is_empty()).then_some(detail),
            response: None,
            latency_ms: None,
            next_ms: None,
        };
        Ok((row.get(0)?, entry))
    })
}

fn look(
    conn: &Connection,
    sql: &str,
    filter: &Filter,
    floor: i64,
    limit: usize,
    read: impl Fn(&Row<'_>) -> Result<(i64, LogEntry)>,
) -> Result<Look> {
    let mut find = conn.prepare_cached(sql)?;
    let mut rows = find.query(params_from_iter(&filter.values))?;
    let mut look = Look::none(i64::MAX);
    while let Some(row) = rows.next()? {
        look.rows.push_back(read(row)?);
    }
    let whole = look.rows.len() == limit;
    look.at = match look.rows.back() {
        Some((id, _)) if whole => *id,
        _ => floor,
    };
    look.ended = !whole && floor == i64::MIN;
    Ok(look)
}

// ---- events and dead letters ----

/// An event as listings show it.
pub(super) fn event_row(conn: &Connection, seq: i64, stored: Stored) -> Result<EventRow> {
    let count = |sql: &str| conn.prepare_cached(sql)?.query_row([seq], |row| row.get::<_, u64>(0));
    let event = stored.event;
    Ok(EventRow {
        id: event.id.as_str().into(),
        event: event.name.as_str().into(),
        timestamp: clock::rfc3339_seconds(event.timestamp),
        at_ms: stored.at_ms,
        source: event.source.map(|name| name.as_str().into()),
        owed: count("SELECT count(*) FROM owed WHERE seq = ?1")?,
        dead: count("SELECT count(*) FROM dead WHERE seq = ?1")?,
        test: event.test,
        data: event.data,
    })
}

pub(super) fn events(conn: &Connection, query: &EventQuery) -> Result<Listing<EventRow>> {
    let [before] = cursor(&query.page)?.unwrap_or([i64::MAX]);
    let limit = limit(&query.page);
    let filtered = query.name.is_some() || query.source.is_some() || query.since_ms.is_some();
    let looked_at = if filtered { LOOKED_AT } else { limit + 1 };
    let wanted = |stored: &Stored| {
        let event = &stored.event;
        query.name.as_ref().is_none_or(|name| event.name.as_str() == name)
            && query
                .source
                .as_ref()
                .is_none_or(|source| event.source.as_ref().is_some_and(|name| name.as_str() == source))
            && query.since_ms.is_none_or(|since_ms| stored.at_ms >= since_ms)
    };
    let mut items = Vec::new();
    let (mut looked, mut bytes, mut last) = (0, 0, None);
    // Says whether to go on.
    let mut look = |seq: i64, stored: Stored| -> Result<bool> {
        if items.len() == limit {
            return Ok(false);
        }
        looked += 1;
        last = Some(seq);
        if wanted(&stored) {
            bytes += stored.event.data.as_str().len();
            items.push(event_row(conn, seq, stored)?);
        }
        Ok(looked < looked_at && bytes < PAGE_BYTES)
    };
    let log = Log::default();
    let more = if query.undelivered {
        undelivered(conn, &log, before, looked_at, &mut look)?
    } else {
        newest_first(conn, &log, before, &mut look)?
    };
    let next = last.filter(|_| more).map(|seq| seq.to_string());
    Ok(Listing { items, next })
}

type Each<'a> = &'a mut dyn FnMut(i64, Stored) -> Result<bool>;

/// Returns whether there may be more.
fn newest_first(conn: &Connection, log: &Log, before: i64, look: Each<'_>) -> Result<bool> {
    let mut end = before;
    while let Some(segment) = log.before(conn, end)? {
        let seqs = segment.seqs();
        for seq in (seqs.start..seqs.end.min(end)).rev() {
            if let Some(stored) = segment.event(seq)?
                && !look(seq, stored)?
            {
                return Ok(true);
            }
        }
        end = seqs.start;
    }
    Ok(false)
}

/// As [`newest_first`], of the events that someone is owed or has dead: they are looked for where they are few.
fn undelivered(conn: &Connection, log: &Log, before: i64, most: usize, look: Each<'_>) -> Result<bool> {
    let mut find = conn.prepare_cached(
        "SELECT seq FROM owed WHERE seq < ?1 UNION SELECT seq FROM dead WHERE seq < ?1 ORDER BY 1 DESC LIMIT ?2",
    )?;
    let mut rows = find.query((before, most))?;
    while let Some(row) = rows.next()? {
        let seq = row.get(0)?;
        if let Some(stored) = log.event(conn, seq)?
            && !look(seq, stored)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn dead(conn: &Connection, query: &DeadQuery) -> Result<Listing<DeadLetter>> {
    let limit = limit(&query.page);
    let log = Log::default();
    let (mut filter, mut values) = dead_filter(conn, &log, query)?;
    if let Some(at) = cursor::<3>(&query.page)? {
        filter.push_str(" AND (dead.dead_ms, dead.seq, dead.sender) < (?, ?, ?)");
        values.extend(at);
    }
    let mut find = conn.prepare_cached(&format!(
        "SELECT dead.dead_ms, dead.seq, dead.sender, senders.name, dead.reason, dead.detail, dead.attempts
         FROM dead JOIN senders ON senders.key = dead.sender
         WHERE {filter} ORDER BY dead.dead_ms DESC, dead.seq DESC, dead.sender DESC LIMIT {}",
        limit + 1
    ))?;
    let mut rows = find.query(params_from_iter(&values))?;
    let (mut items, mut last) = (Vec::new(), None);
    while let Some(row) = rows.next()? {
        if items.len() == limit {
            return Ok(Listing { items, next: last });
        }
        let (since_ms, seq, sender): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        last = Some(format!("{since_ms}.{seq}.{sender}"));
        let event = log
            .event(conn, seq)?
            .ok_or_else(|| StoreError::Damaged(format!("event {seq} is dead at sender {sender} and is not there")))?
            .event;
        items.push(DeadLetter {
            sender: row.get(3)?,
            delivery: delivery_id(event.id.as_str(), SenderKey(sender)),
            event_id: event.id.as_str().into(),
            event: event.name.as_str().into(),
            reason: row.get(4)?,
            detail: row.get(5)?,
            since_ms,
            attempts: row.get(6)?,
        });
    }
    Ok(Listing { items, next: None })
}
