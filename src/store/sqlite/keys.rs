//! De-duplication keys.
//!
//! Most keys are random, so each that goes straight into a table rewrites a page of it. They are kept in memory instead
//! and written in order, thousands at a time, a few with each transaction. Nothing of them is lost with the process: they
//! are in the segments of their events, from which the ones that are not in the table yet are read at the start.
//!
//! A key is looked for among the *young*, then the *old* that are being written, then in the table: these two only where a
//! [`Filter`] does not say that neither has it. Each pass of the retention over the table makes that anew.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};
use sha2::{Digest, Sha256};

use super::filter::Filter;
use super::row::Id;
use crate::store::{DedupeKey, Result, StoreError};

/// Young keys at most: about what a map of 65,536 places holds.
const YOUNG: usize = 57_344;
/// Young keys come from at most so many segments: they are read at the start.
const SEGMENTS: usize = 1024;
/// Old keys that are written together: many on one page, and in few transactions.
const SLICE: usize = 512;

/// The first 16 bytes of the SHA-256 of scope and key.
pub(super) type Hash = [u8; 16];

/// Where a pass over the table begins.
pub(super) const FIRST: Hash = [0; 16];

/// A key as it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    hash: Hash,
    expires_ms: i64,
}

impl From<&DedupeKey> for Key {
    fn from(key: &DedupeKey) -> Self {
        let mut digest = Sha256::new();
        digest.update(key.scope.as_bytes());
        digest.update([0]);
        digest.update(key.key.as_bytes());
        Self {
            hash: *digest.finalize().first_chunk().expect("a digest has 32 bytes"),
            expires_ms: key.expires_ms,
        }
    }
}

impl Key {
    /// Adds it to a segment's keys.
    pub(super) fn write(&self, id: &Id, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.hash);
        into.extend_from_slice(&self.expires_ms.to_le_bytes());
        match id {
            Id::Usual(bytes) => {
                into.extend_from_slice(&u32::MAX.to_le_bytes());
                into.extend_from_slice(bytes);
            }
            Id::Other(text) => {
                let len = u32::try_from(text.len()).expect("an id is a line of text");
                into.extend_from_slice(&len.to_le_bytes());
                into.extend_from_slice(text.as_bytes());
            }
        }
    }

    /// Takes the next one of a segment's keys.
    fn read(bytes: &mut &[u8]) -> Option<(Hash, Kept)> {
        let (hash, rest) = bytes.split_first_chunk()?;
        let (expires_ms, rest) = rest.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let (id, rest) = match u32::from_le_bytes(*len) {
            u32::MAX => {
                let (id, rest) = rest.split_first_chunk()?;
                (Id::Usual(*id), rest)
            }
            len => {
                let (text, rest) = rest.split_at_checked(len as usize)?;
                (Id::Other(std::str::from_utf8(text).ok()?.into()), rest)
            }
        };
        *bytes = rest;
        let kept = Kept {
            id,
            expires_ms: i64::from_le_bytes(*expires_ms),
        };
        Some((*hash, kept))
    }
}

/// Whose the key is, and until when.
#[derive(Debug, Clone)]
struct Kept {
    id: Id,
    expires_ms: i64,
}

/// The keys that are not in the table yet, and the way to those that are.
#[derive(Debug, Default)]
pub(super) struct Keys {
    young: HashMap<Hash, Kept>,
    /// What the open transaction put among the young, with what was there before.
    added: Vec<(Hash, Option<Kept>)>,
    /// Segments that the young come from.
    segments: usize,
    /// In order; those before `written` are in the table.
    old: Vec<(Hash, Kept)>,
    written: usize,
    /// As `written`, once the open transaction is committed.
    writing: usize,
    /// How many of the old may be written: see [`Keys::write_some`].
    due: usize,
    /// The first seq of which no key is among the old.
    old_end: i64,
    /// Of the old and the table; `None`: no pass over the table has ended yet.
    filter: Option<Filter>,
    /// The same, of the pass that is under way, and how far that is.
    coming: Option<(Filter, Hash)>,
}

impl Keys {
    /// Those of the last events, which the table lacks.
    pub(super) fn load(conn: &Connection) -> Result<Self> {
        let mut keys = Self::default();
        let from: i64 = super::meta(conn, "keys_from")?;
        let mut find = conn.prepare("SELECT keys FROM segments WHERE first >= ?1 ORDER BY first")?;
        let mut rows = find.query([from])?;
        while let Some(row) = rows.next()? {
            let damaged = || StoreError::Damaged("the delivery keys of some events are not what was written".into());
            let mut bytes = row.get_ref(0)?.as_blob().map_err(|_| damaged())?;
            while !bytes.is_empty() {
                let (hash, kept) = Key::read(&mut bytes).ok_or_else(damaged)?;
                keys.young.insert(hash, kept);
            }
            keys.segments += 1;
        }
        Ok(keys)
    }

    /// The first event's id where the key is there and not expired; else the key is this event's from now on.
    pub(super) fn seen(&mut self, conn: &Connection, key: &Key, id: &Id, now_ms: i64) -> Result<Option<String>> {
        if let Some(kept) = self.find(conn, &key.hash)?
            && kept.expires_ms > now_ms
        {
            return Ok(Some(kept.id.text()));
        }
        let kept = Kept {
            id: id.clone(),
            expires_ms: key.expires_ms,
        };
        let before = self.young.insert(key.hash, kept);
        self.added.push((key.hash, before));
        Ok(None)
    }

    fn find(&self, conn: &Connection, hash: &Hash) -> Result<Option<Kept>> {
        if let Some(kept) = self.young.get(hash) {
            return Ok(Some(kept.clone()));
        }
        if self.filter.as_ref().is_some_and(|filter| !filter.may_hold(hash)) {
            return Ok(None);
        }
        if let Ok(at) = self.old.binary_search_by(|(other, _)| other.cmp(hash)) {
            return Ok(Some(self.old[at].1.clone()));
        }
        let found = conn
            .prepare_cached("SELECT event_id, expires_ms FROM keys WHERE key = ?1")?
            .query_row([hash], |row| {
                Ok(Kept {
                    id: row.get(0)?,
                    expires_ms: row.get(1)?,
                })
            })
            .optional()?;
        Ok(found)
    }

    /// How many keys the open transaction has added: see [`Keys::undo`].
    pub(super) fn mark(&self) -> usize {
        self.added.len()
    }

    /// Takes back what was added since a mark.
    pub(super) fn undo(&mut self, mark: usize) {
        for (hash, before) in self.added.drain(mark..).rev() {
            match before {
                Some(kept) => self.young.insert(hash, kept),
                None => self.young.remove(&hash),
            };
        }
    }

    /// Writes some of the old ones, now and then: more than come anew, so that they are gone before the young are too many.
    pub(super) fn write_some(&mut self, conn: &Connection) -> Result<()> {
        self.due += 2 * self.added.len();
        if self.due < SLICE {
            return Ok(());
        }
        self.write(conn, self.due)
    }

    fn write(&mut self, conn: &Connection, most: usize) -> Result<()> {
        if self.old.is_empty() {
            return Ok(());
        }
        let end = self.old.len().min(self.written + most);
        let mut insert = conn.prepare_cached(
            "INSERT INTO keys(key, event_id, expires_ms) VALUES(?1, ?2, ?3)
             ON CONFLICT(key) DO UPDATE SET event_id = excluded.event_id, expires_ms = excluded.expires_ms",
        )?;
        for (hash, kept) in &self.old[self.written..end] {
            insert.execute((hash, &kept.id, kept.expires_ms))?;
        }
        if end == self.old.len() {
            conn.prepare_cached("UPDATE meta SET value = ?1 WHERE key = 'keys_from'")?
                .execute([self.old_end])?;
        }
        self.writing = end;
        Ok(())
    }

    /// The open transaction was committed, and wrote so many segments; the next event has the seq `next`.
    pub(super) fn committed(&mut self, segments: usize, next: i64) {
        if self.writing > self.written {
            self.due = 0;
        }
        self.added.clear();
        self.segments += segments;
        self.written = self.writing;
        if self.written == self.old.len() {
            self.old = Vec::new();
            (self.written, self.writing) = (0, 0);
            if self.young.len() >= YOUNG || self.segments >= SEGMENTS {
                self.age(next);
            }
        }
    }

    /// The open transaction was undone.
    pub(super) fn rolled_back(&mut self) {
        self.undo(0);
        self.writing = self.written;
    }

    fn age(&mut self, next: i64) {
        self.old = self.young.drain().collect();
        self.old.sort_unstable_by_key(|(hash, _)| *hash);
        self.old_end = next;
        self.segments = 0;
        self.due = 0;
        let coming = self.coming.as_mut().map(|(filter, _)| filter);
        for filter in self.filter.as_mut().into_iter().chain(coming) {
            filter.insert(self.old.iter().map(|(hash, _)| hash));
        }
    }

    /// A pass over the table, in order, has come from one key to the next (`None`: to the end) and found these. A pass that
    /// does not begin with 0, or goes on where none stopped, comes to nothing.
    pub(super) fn passed(&mut self, from: Hash, found: &[Hash], next: Option<Hash>) {
        let begun = self.coming.take().filter(|(_, at)| *at == from);
        let mut filter = match begun {
            _ if from == FIRST => {
                let mut filter = Filter::new();
                filter.insert(self.old.iter().map(|(hash, _)| hash));
                filter
            }
            Some((filter, _)) => filter,
            None => return,
        };
        filter.insert(found);
        match next {
            Some(next) => self.coming = Some((filter, next)),
            None => self.filter = Some(filter),
        }
    }

    /// Writes a slice of what the table lacks, in the open transaction. Returns whether there is more.
    pub(super) fn write_slice(&mut self, conn: &Connection, next: i64, most: usize) -> Result<bool> {
        if self.old.is_empty() && !self.young.is_empty() {
            self.age(next);
        }
        self.write(conn, most)?;
        Ok(self.writing < self.old.len() || !self.young.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::{T0, event};
    use crate::store::sqlite::log::Writing;
    use crate::store::sqlite::schema::FORMAT;
    use crate::store::sqlite::segment::Draft;
    use proptest::prelude::*;

    fn key(number: u64, expires_ms: i64) -> Key {
        Key::from(&DedupeKey {
            scope: "route".into(),
            key: number.to_string(),
            expires_ms,
        })
    }

    fn database() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(FORMAT.schema).unwrap();
        conn.execute("INSERT INTO meta(key, value) VALUES('keys_from', 1)", [])
            .unwrap();
        conn
    }

    fn all(mut select: rusqlite::Statement<'_>) -> Vec<Hash> {
        let rows = select.query_map([], |row| row.get(0)).unwrap();
        rows.collect::<rusqlite::Result<_>>().unwrap()
    }

    #[test]
    fn scope_and_key_are_apart() {
        let hash = |scope: &str, key: &str| {
            Key::from(&DedupeKey {
                scope: scope.into(),
                key: key.into(),
                expires_ms: 0,
            })
            .hash
        };
        assert_ne!(hash("a", "bc"), hash("ab", "c"));
        assert_eq!(hash("a", "b"), hash("a", "b"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Transactions that end well or are undone, and restarts, in any order: keys are young, old, half written, in the
        /// table; each answer is that of a map.
        #[test]
        fn a_key_is_known_wherever_it_is(
            steps in prop::collection::vec((prop::collection::vec(0_u64..600, 1..150), 0_u8..10, any::<bool>()), 1..40),
        ) {
            let conn = database();
            let mut keys = Keys::default();
            let mut known: HashMap<u64, (String, i64)> = HashMap::new();
            let mut next = 1;
            let mut now_ms = T0;
            for (numbers, fate, ages) in steps {
                now_ms += 1000;
                let mut log = Writing::new(next);
                let mut after = known.clone();
                conn.execute_batch("BEGIN").unwrap();
                for number in numbers {
                    let event = event("a.b");
                    let key = key(number, now_ms + 5000);
                    let expected = after.get(&number).filter(|(_, expires_ms)| *expires_ms > now_ms);
                    let seen = keys.seen(&conn, &key, &event.id.as_str().into(), now_ms).unwrap();
                    prop_assert_eq!(seen.as_ref(), expected.map(|(id, _)| id));
                    if seen.is_none() {
                        let id = event.id.as_str().into();
                        let mut part = Draft::default();
                        part.event(&event, &id, now_ms, None);
                        let seq = log.append(&conn, &part, false, [false].into_iter()).unwrap();
                        log.known(&conn, (seq, &id), now_ms, Some(&key)).unwrap();
                        after.insert(number, (event.id.as_str().into(), now_ms + 5000));
                    }
                }
                log.end(&conn).unwrap();
                keys.write_some(&conn).unwrap();
                if fate == 0 {
                    conn.execute_batch("ROLLBACK").unwrap();
                    keys.rolled_back();
                    continue;
                }
                conn.execute_batch("COMMIT").unwrap();
                (known, next) = (after, log.next());
                keys.committed(if ages { SEGMENTS } else { log.ended() }, next);
                if fate == 1 {
                    keys = Keys::load(&conn).unwrap();
                } else if fate == 3 {
                    let found = all(conn.prepare("SELECT key FROM keys ORDER BY key").unwrap());
                    if let Some(middle) = found.get(found.len() / 2) {
                        let (first, last) = found.split_at(found.len() / 2);
                        keys.passed(FIRST, first, Some(*middle));
                        if ages && keys.old.is_empty() {
                            keys.age(next); // what ages during a pass belongs to it
                        }
                        keys.passed(*middle, last, None);
                        prop_assert!(keys.filter.is_some());
                    }
                    keys.passed([7; 16], &[], None); // nobody stopped there
                } else if fate == 2 {
                    while keys.write_slice(&conn, next, 50).unwrap() {
                        keys.committed(0, next);
                    }
                    keys.committed(0, next);
                    prop_assert!(keys.young.is_empty() && keys.old.is_empty());
                    conn.execute("DELETE FROM segments", []).unwrap();
                }
            }
        }
    }
}
