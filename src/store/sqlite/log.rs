//! The log of events: segments in the order of their seqs.
//!
//! An event is found by its seq: a segment holds the seqs from `first` to `last`. It is found by its id through the range
//! of the segment's ids, which are those of some seconds (the ids rise with time). The few that do not fit are in
//! `odd_ids`.

use std::cell::RefCell;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row};

use super::keys::Key;
use super::row::Id;
use super::segment::{Draft, Segment, Stored};
use crate::store::Result;

/// From so many bytes on, before they are compressed, a segment is ended (one append may be longer): to read one event is to
/// read its segment.
const SEGMENT_BYTES: usize = 64 * 1024;

/// The ids of a segment are at most so far from its first in time, in milliseconds; others are odd.
const ID_RANGE_MS: u64 = 10_000;

/// The log of one connection. Remembers the segment that was read last: deliveries go through it in order.
#[derive(Debug, Default)]
pub(super) struct Log {
    last: RefCell<Option<Arc<Segment>>>,
}

impl Log {
    /// One event; `None`: there is none of this seq.
    pub(super) fn event(&self, conn: &Connection, seq: i64) -> Result<Option<Stored>> {
        match self.segment(conn, seq)? {
            Some(segment) => segment.event(seq),
            None => Ok(None),
        }
    }

    /// The segment that has a seq.
    pub(super) fn segment(&self, conn: &Connection, seq: i64) -> Result<Option<Arc<Segment>>> {
        if let Some(last) = &*self.last.borrow()
            && last.seqs().contains(&seq)
        {
            return Ok(Some(last.clone()));
        }
        let found = self.read(
            conn,
            "SELECT first, last, packed, bytes FROM segments WHERE first <= ?1 ORDER BY first DESC LIMIT 1",
            seq,
        )?;
        Ok(found.filter(|segment| segment.seqs().contains(&seq)))
    }

    /// The newest segment with a seq below.
    pub(super) fn before(&self, conn: &Connection, seq: i64) -> Result<Option<Arc<Segment>>> {
        self.read(
            conn,
            "SELECT first, last, packed, bytes FROM segments WHERE first < ?1 ORDER BY first DESC LIMIT 1",
            seq,
        )
    }

    /// The oldest segment with a seq that is this or above.
    pub(super) fn from(&self, conn: &Connection, seq: i64) -> Result<Option<Arc<Segment>>> {
        if let Some(found) = self.segment(conn, seq)? {
            return Ok(Some(found));
        }
        self.read(
            conn,
            "SELECT first, last, packed, bytes FROM segments WHERE first > ?1 ORDER BY first LIMIT 1",
            seq,
        )
    }

    fn read(&self, conn: &Connection, sql: &str, seq: i64) -> Result<Option<Arc<Segment>>> {
        let mut find = conn.prepare_cached(sql)?;
        let mut rows = find.query([seq])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let segment = Arc::new(open(row)?);
        *self.last.borrow_mut() = Some(segment.clone());
        Ok(Some(segment))
    }

    /// The seq of the event with this id.
    pub(super) fn seq_of(&self, conn: &Connection, id: &str) -> Result<Option<i64>> {
        let id = Id::from(id);
        if let Id::Usual(bytes) = &id {
            let highest = (time_of(bytes) + 2 * ID_RANGE_MS).min((1 << 48) - 1);
            let mut end = [0xff; 16];
            end[..6].copy_from_slice(&highest.to_be_bytes()[2..]);
            let mut find = conn.prepare_cached(
                "SELECT first FROM segments INDEXED BY segments_ids WHERE high BETWEEN ?1 AND ?2 AND low <= ?1 ORDER BY high",
            )?;
            let mut rows = find.query((bytes, end))?;
            while let Some(row) = rows.next()? {
                if let Some(segment) = self.segment(conn, row.get(0)?)?
                    && let Some(seq) = segment.find(bytes)
                {
                    return Ok(Some(seq));
                }
            }
        }
        let odd = conn
            .prepare_cached("SELECT seq FROM odd_ids WHERE id = ?1")?
            .query_row([&id], |row| row.get(0))
            .optional()?;
        Ok(odd)
    }

    /// To be called when segments were changed.
    pub(super) fn forget(&self) {
        *self.last.borrow_mut() = None;
    }
}

/// The segment of a row of (first, last, packed, bytes).
pub(super) fn open(row: &Row<'_>) -> Result<Segment> {
    let bytes = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
    Segment::open(row.get(0)?, row.get(1)?, row.get(2)?, bytes)
}

/// The time of a UUID of version 7, in milliseconds.
fn time_of(id: &[u8; 16]) -> u64 {
    let mut bytes = [0; 8];
    bytes[2..].copy_from_slice(&id[..6]);
    u64::from_be_bytes(bytes)
}

/// The segment that the open transaction fills, and the seqs that it gives.
#[derive(Debug)]
pub(super) struct Writing {
    draft: Draft,
    next: i64,
    newest_ms: i64,
    /// The time of its first usual id, and the lowest and the highest of those near it.
    ids: Option<(u64, [u8; 16], [u8; 16])>,
    /// The keys of its events: see [`Key::write`].
    keys: Vec<u8>,
    /// Segments that were ended.
    ended: usize,
}

impl Writing {
    pub(super) fn new(next_seq: i64) -> Self {
        Self {
            draft: Draft::default(),
            next: next_seq,
            newest_ms: i64::MIN,
            ids: None,
            keys: Vec::new(),
            ended: 0,
        }
    }

    /// How many segments were ended.
    pub(super) fn ended(&self) -> usize {
        self.ended
    }

    /// The seq of the next event.
    pub(super) fn next(&self) -> i64 {
        self.next
    }

    /// Adds an append; the seqs of its events follow one another from the one that is returned. Those that are gone have
    /// theirs, and nobody finds them.
    pub(super) fn append(
        &mut self,
        conn: &Connection,
        part: &Draft,
        has_request: bool,
        is_gone: impl Iterator<Item = bool>,
    ) -> Result<i64> {
        if self.draft.len() >= SEGMENT_BYTES {
            self.end(conn)?;
        }
        if self.draft.len() == 0 {
            self.draft.reserve(SEGMENT_BYTES);
        }
        let first = self.next;
        self.draft.append(part, first, has_request, is_gone);
        self.next += i64::try_from(part.events()).expect("it fits in memory");
        Ok(first)
    }

    /// Makes an event of the last append known by its id and its key.
    pub(super) fn known(
        &mut self,
        conn: &Connection,
        (seq, id): (i64, &Id),
        at_ms: i64,
        key: Option<&Key>,
    ) -> Result<()> {
        if !self.fits(id) {
            conn.prepare_cached("INSERT INTO odd_ids(seq, id) VALUES(?1, ?2)")?
                .execute((seq, id))?;
        }
        if let Some(key) = key {
            key.write(id, &mut self.keys);
        }
        self.newest_ms = self.newest_ms.max(at_ms);
        Ok(())
    }

    /// Takes an id into the segment's range, where it is near its first.
    fn fits(&mut self, id: &Id) -> bool {
        let Id::Usual(id) = id else { return false };
        let time = time_of(id);
        let (first, low, high) = self.ids.get_or_insert((time, *id, *id));
        if first.abs_diff(time) > ID_RANGE_MS {
            return false;
        }
        *low = (*low).min(*id);
        *high = (*high).max(*id);
        true
    }

    /// Writes the segment, where there is one.
    pub(super) fn end(&mut self, conn: &Connection) -> Result<()> {
        let events = i64::try_from(self.draft.events()).expect("it fits in memory");
        if events == 0 {
            return Ok(());
        }
        let there = i64::try_from(self.draft.there()).expect("it fits in memory");
        let (low, high) = self.ids.take().map(|(_, low, high)| (low, high)).unzip();
        conn.prepare_cached(
            "INSERT INTO segments(first, last, events, newest_ms, low, high, packed, keys, bytes)
             VALUES(?1, ?2, ?3, ?4, ?5, ?6, 1, ?7, ?8)",
        )?
        .execute((
            self.next - events,
            self.next - 1,
            there,
            self.newest_ms,
            low,
            high,
            &self.keys,
            self.draft.end(),
        ))?;
        *self = Self {
            ended: self.ended + 1,
            ..Self::new(self.next)
        };
        Ok(())
    }
}
