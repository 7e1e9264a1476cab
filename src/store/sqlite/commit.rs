//! Generations and the senders that belong to them, in one transaction.

use std::collections::HashMap;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use rusqlite::{Connection, OptionalExtension, Row};

use super::log::Log;
use super::row;
use super::senders::Sender;
use super::staged::Staged;
use super::writer::Engine;
use crate::event::{Name, Ordering};
use crate::store::{
    Cause, Commit, Committed, DeadReason, Generation, NewGeneration, Result, SWAPPED_MS, SenderChange, SenderKey,
    StoreError, Subscription, UNDELETE_MS,
};

/// Generations that are kept.
const GENERATIONS: u64 = 100;
/// Bytes of compressed documents that are kept; the newest is kept whatever its size.
const DOCUMENT_BYTES: u64 = 256 * 1024 * 1024;
/// A document is at most 64 MiB: what unpacks to more than this was not written by us.
const MOST_UNPACKED: u64 = 80 * 1024 * 1024;

/// A [`Commit`] with its document packed already: that takes long and is not the writer's to do.
pub(super) struct Prepared {
    generation: Option<(NewGeneration, Vec<u8>)>,
    senders: Vec<SenderChange>,
    now_ms: i64,
}

impl From<Commit> for Prepared {
    fn from(commit: Commit) -> Self {
        let generation = commit.generation.map(|mut new| {
            let packed = pack(&std::mem::take(&mut new.document));
            (new, packed)
        });
        Self {
            generation,
            senders: commit.senders,
            now_ms: commit.now_ms,
        }
    }
}

fn pack(document: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(document).expect("writing to memory does not fail");
    encoder.finish().expect("writing to memory does not fail")
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>> {
    let mut document = Vec::new();
    let read = DeflateDecoder::new(packed)
        .take(MOST_UNPACKED)
        .read_to_end(&mut document);
    match read {
        Ok(_) if (document.len() as u64) < MOST_UNPACKED => Ok(document),
        _ => Err(StoreError::Damaged(
            "a generation's document is not what was written".into(),
        )),
    }
}

/// Carries a commit out, and makes its subscriptions those of the next append.
pub(super) fn commit(engine: &mut Engine, prepared: &Prepared) -> Result<Committed> {
    // What this commit makes of the senders; in memory only once it is durable.
    let mut changes = Changes {
        engine_senders: &engine.senders,
        log: &engine.log,
        changed: HashMap::new(),
        names: HashMap::new(),
        now_ms: prepared.now_ms,
    };
    let mut keys = Vec::with_capacity(prepared.senders.len());
    let mut generation = None;
    let (staged, ()) = super::writer::in_transaction(&engine.conn, |conn, staged| {
        if let Some((new, packed)) = &prepared.generation {
            generation = Some(add_generation(conn, new, packed, prepared.now_ms)?);
        }
        for change in &prepared.senders {
            match change {
                SenderChange::Put {
                    name,
                    previous,
                    subscription,
                    changed,
                } => {
                    let key = changes.put(conn, name, previous.as_ref(), subscription, staged)?;
                    if *changed {
                        changes.owe_anew(conn, key, DeadReason::Template, staged)?;
                    }
                    keys.push((name.clone(), key));
                }
                SenderChange::Remove { name } => {
                    if let Some(key) = changes.remove(conn, name)? {
                        keys.push((name.clone(), key));
                    }
                }
            }
        }
        Ok(())
    })?;
    let after = changes.changed;
    for (key, sender) in after {
        engine.senders.put(key, sender);
    }
    engine.publish(staged);
    Ok(Committed { generation, keys })
}

struct Changes<'a> {
    engine_senders: &'a super::senders::Senders,
    log: &'a Log,
    changed: HashMap<SenderKey, Sender>,
    /// Names that this commit gave or took.
    names: HashMap<Name, Option<SenderKey>>,
    now_ms: i64,
}

impl Changes<'_> {
    fn active(&self, name: &Name) -> Option<SenderKey> {
        match self.names.get(name) {
            Some(now) => *now,
            None => self.engine_senders.active(name),
        }
    }

    fn sender(&self, key: SenderKey) -> Option<&Sender> {
        self.changed.get(&key).or_else(|| self.engine_senders.get(key))
    }

    fn put(
        &mut self,
        conn: &Connection,
        name: &Name,
        previous: Option<&Name>,
        subscription: &Subscription,
        staged: &mut Staged,
    ) -> Result<SenderKey> {
        let mut found = self
            .active(name)
            .or_else(|| previous.and_then(|name| self.active(name)));
        if found.is_none() {
            found = self.taken_back(conn, name, staged)?;
        }
        if let (None, Some(previous)) = (found, previous) {
            found = self.taken_back(conn, previous, staged)?;
        }
        let (events, sources) = row::subscription_columns(subscription);
        let Some(key) = found else {
            conn.prepare_cached("INSERT INTO senders(name, events, sources, per_request) VALUES(?1, ?2, ?3, ?4)")?
                .execute((name.as_str(), events, sources, subscription.per_request))?;
            let key = SenderKey(conn.last_insert_rowid());
            let sender = Sender {
                name: name.clone(),
                subscription: subscription.clone(),
                removed_ms: None,
                laned: false,
                ordering: Ordering::None,
                lane: i64::MIN,
            };
            self.names.insert(name.clone(), Some(key));
            self.changed.insert(key, sender);
            return Ok(key);
        };
        let was = self
            .sender(key)
            .ok_or_else(|| StoreError::Damaged(format!("sender {} is in the store and not in memory", key.0)))?
            .clone();
        if was.removed_ms.is_none() && was.name == *name && was.subscription == *subscription {
            return Ok(key);
        }
        conn.prepare_cached(
            "UPDATE senders SET name = ?2, events = ?3, sources = ?4, per_request = ?5, removed_ms = NULL WHERE key = ?1",
        )?
        .execute((key.0, name.as_str(), events, sources, subscription.per_request))?;
        if was.name != *name && self.active(&was.name) == Some(key) {
            self.names.insert(was.name.clone(), None);
        }
        self.names.insert(name.clone(), Some(key));
        let sender = Sender {
            name: name.clone(),
            subscription: subscription.clone(),
            removed_ms: None,
            ..was
        };
        self.changed.insert(key, sender);
        Ok(key)
    }

    /// The sender of that name that was removed within the hour, with what its removal made dead owed again.
    fn taken_back(&self, conn: &Connection, name: &Name, staged: &mut Staged) -> Result<Option<SenderKey>> {
        let key: Option<i64> = conn
            .prepare_cached(
                "SELECT key FROM senders WHERE name = ?1 AND removed_ms > ?2 ORDER BY removed_ms DESC, key DESC LIMIT 1",
            )?
            .query_row((name.as_str(), self.now_ms - UNDELETE_MS), |row| row.get(0))
            .optional()?;
        let Some(key) = key.map(SenderKey) else { return Ok(None) };
        self.owe_anew(conn, key, DeadReason::Deleted, staged)?;
        staged.wake.push(key);
        Ok(Some(key))
    }

    /// Makes dead letters of one reason owed again. What was not sent because of a template begins a new age; what a deletion
    /// ended goes on where it was.
    fn owe_anew(&self, conn: &Connection, key: SenderKey, reason: DeadReason, staged: &mut Staged) -> Result<()> {
        let mut seqs =
            conn.prepare_cached("SELECT seq FROM dead INDEXED BY dead_sender WHERE sender = ?1 AND reason = ?2")?;
        let seqs: Vec<i64> = seqs
            .query_map((key.0, reason.as_str()), |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        if seqs.is_empty() {
            return Ok(());
        }
        let laned = self.sender(key).is_some_and(|s| s.laned);
        let (since, due_ms) = match reason {
            DeadReason::Deleted => ("dead.since_ms", self.now_ms),
            _ => ("?2", self.now_ms.saturating_add(SWAPPED_MS)),
        };
        let mut back = conn.prepare_cached(&format!(
            "INSERT OR IGNORE INTO owed(seq, sender, lane, due_ms, attempts, since_ms, passed)
             SELECT dead.seq, dead.sender, ?3, max(?5, 1), dead.attempts, {since}, dead.passed
             FROM dead WHERE seq = ?4 AND sender = ?1"
        ))?;
        for seq in &seqs {
            let lane = lane_of(conn, self.log, *seq)?;
            let owed = back.execute((key.0, self.now_ms, lane, seq, due_ms))?;
            staged.owed(key, i64::try_from(owed).expect("0 or 1"));
            if laned {
                super::append::add_to_lane(conn, key.0, lane, *seq)?;
            }
        }
        conn.execute(
            "DELETE FROM dead WHERE sender = ?1 AND reason = ?2",
            (key.0, reason.as_str()),
        )?;
        staged.dead(key, -i64::try_from(seqs.len()).expect("a count of rows"));
        staged.wake.push(key);
        Ok(())
    }

    fn remove(&mut self, conn: &Connection, name: &Name) -> Result<Option<SenderKey>> {
        let Some(key) = self.active(name) else { return Ok(None) };
        let Some(was) = self.sender(key).cloned() else {
            return Ok(None);
        };
        conn.prepare_cached("UPDATE senders SET removed_ms = ?2 WHERE key = ?1")?
            .execute((key.0, self.now_ms))?;
        self.names.insert(name.clone(), None);
        let sender = Sender {
            removed_ms: Some(self.now_ms),
            ..was
        };
        self.changed.insert(key, sender);
        Ok(Some(key))
    }
}

/// The lane of a stored event.
pub(super) fn lane_of(conn: &Connection, log: &Log, seq: i64) -> Result<i64> {
    let session = log.event(conn, seq)?.and_then(|stored| stored.event.session);
    Ok(row::lane(session.as_deref(), seq))
}

fn add_generation(conn: &Connection, new: &NewGeneration, packed: &[u8], now_ms: i64) -> Result<Generation> {
    let newest: Option<u64> = conn.query_row("SELECT max(number) FROM generations", [], |row| row.get(0))?;
    let newest = newest.unwrap_or(0);
    if newest != new.base {
        return Err(StoreError::Stale {
            expected: new.base,
            found: newest,
        });
    }
    let generation = new.numbered(newest + 1, now_ms);
    let json = |text: serde_json::Result<String>| text.expect("numbers and texts are always JSON");
    conn.execute(
        "INSERT INTO generations(number, at_ms, sha256, cause, who, git_commit, summary, fingerprints, format, bytes, document)
         VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        (
            generation.number,
            now_ms,
            &new.sha256,
            new.cause.as_str(),
            &new.who,
            &new.git_commit,
            json(serde_json::to_string(&new.summary)),
            json(serde_json::to_string(&new.fingerprints)),
            &new.format,
            packed.len(),
            packed,
        ),
    )?;
    conn.execute(
        "DELETE FROM generations WHERE number <= ?1",
        [i64::try_from(generation.number).unwrap_or(i64::MAX) - i64::try_from(GENERATIONS).expect("100")],
    )?;
    let mut sizes = conn.prepare("SELECT number, bytes FROM generations ORDER BY number DESC")?;
    let sizes: Vec<(u64, u64)> = sizes
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<_>>()?;
    let mut sum = 0;
    for (number, bytes) in sizes {
        sum += bytes;
        if sum > DOCUMENT_BYTES && number != generation.number {
            conn.execute("DELETE FROM generations WHERE number <= ?1", [number])?;
            break;
        }
    }
    Ok(generation)
}

pub(super) const GENERATION_COLUMNS: &str =
    "number, sha256, at_ms, cause, who, git_commit, summary, fingerprints, document, format";

/// A row of [`GENERATION_COLUMNS`] without its document.
pub(super) fn generation(row: &Row<'_>) -> Result<Generation> {
    let damaged = |what: &str| StoreError::Damaged(format!("a generation's {what} is not what was written"));
    let cause: String = row.get(3)?;
    let summary: String = row.get(6)?;
    let fingerprints: String = row.get(7)?;
    Ok(Generation {
        number: row.get(0)?,
        sha256: row.get(1)?,
        at_ms: row.get(2)?,
        cause: Cause::parse(&cause).ok_or_else(|| damaged("cause"))?,
        who: row.get(4)?,
        git_commit: row.get(5)?,
        summary: serde_json::from_str(&summary).map_err(|_| damaged("summary"))?,
        fingerprints: serde_json::from_str(&fingerprints).map_err(|_| damaged("fingerprints"))?,
        format: row.get(9)?,
    })
}

/// One generation with its document; `None`: the newest.
pub(super) fn with_document(conn: &Connection, number: Option<u64>) -> Result<Option<(Generation, Vec<u8>)>> {
    let filter = if number.is_some() {
        "WHERE number = ?1"
    } else {
        "WHERE ?1 IS NULL"
    };
    let mut find = conn.prepare_cached(&format!(
        "SELECT {GENERATION_COLUMNS} FROM generations {filter} ORDER BY number DESC LIMIT 1"
    ))?;
    let mut rows = find.query([number])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let packed: Vec<u8> = row.get(8)?;
    Ok(Some((generation(row)?, unpack(&packed)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_comes_back_byte_for_byte_and_a_spoilt_one_does_not() {
        let document = "webhooks:\r\n  \u{1f980}\n".repeat(1000).into_bytes();
        let mut packed = pack(&document);
        assert!(packed.len() < document.len() / 10);
        assert_eq!(unpack(&packed).unwrap(), document);
        packed.truncate(packed.len() / 2);
        assert!(matches!(unpack(&packed), Err(StoreError::Damaged(_))));
    }
}
