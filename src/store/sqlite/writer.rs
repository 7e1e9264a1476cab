//! The writer: one thread owns the connection that writes, and answers many callers with one fsync.
//!
//! It takes what waits in its inbox (at most [`GROUP`] commands, [`GROUP_BYTES`] of events), looks first (claims see what
//! is committed), then writes the appends and settlements in one transaction, then answers them all. A failure of one
//! does not touch the others: the group is done again with a savepoint for each. Rare work runs alone, in its own
//! transaction.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::append::{self, Arrived};
use super::checkpoint::Checkpointer;
use super::failure::again;
use super::keys::Keys;
use super::lock::Lock;
use super::log::{Log, Writing};
use super::recent::Recent;
use super::senders::Senders;
use super::shared::Shared;
use super::staged::Staged;
use super::{claim, settle};
use crate::clock::SharedClock;
use crate::store::{Appended, Claim, Owed, Result, SenderKey, Seq, Settlement, StoreError};

/// Commands that wait at most: callers beyond them wait to get in; appends are refused before (see `shared.rs`).
pub(super) const INBOX: usize = 16 * 1024;
/// Commands in one transaction at most.
const GROUP: usize = 512;
/// Below so many commands the processor is given up once more to whoever may bring others: a transaction costs as much as ten
/// appends. More would not pay: what comes in while this group is synced is the next one.
const FEW: usize = 32;
/// Bytes of events in one transaction at most (one append may be larger).
const GROUP_BYTES: usize = 16 * 1024 * 1024;
/// Deliveries claimed before the next transaction at most: claims must not hold up appends.
const CLAIMED_PER_TURN: usize = 4096;

pub(super) type Reply<T> = oneshot::Sender<Result<T>>;
/// With what was appended: who made it frees it, which is cheaper than here.
pub(super) type AppendReply = oneshot::Sender<(Box<Arrived>, Result<Vec<Appended>>)>;
/// Rare work, with its reply inside.
pub(super) type Work = Box<dyn FnOnce(&mut Engine) + Send>;

/// What the writer is asked.
pub(super) enum Command {
    Append {
        arrived: Box<Arrived>,
        reply: AppendReply,
    },
    Settle {
        settlements: Vec<Settlement>,
        reply: Reply<()>,
    },
    Claim {
        claim: Claim,
        reply: Reply<Vec<Owed>>,
    },
    NextDue {
        sender: SenderKey,
        reply: Reply<Option<i64>>,
    },
    Release {
        sender: SenderKey,
        seqs: Vec<Seq>,
        reply: Reply<()>,
    },
    /// Work with a transaction of its own.
    Alone(Work),
    /// There are route notes.
    Nudge,
    /// The last one: what waits behind it is still done.
    Close {
        reply: Reply<()>,
    },
}

enum Write {
    Append(Box<Arrived>, AppendReply),
    Settle(Vec<Settlement>, Reply<()>),
}

enum Done {
    Appended(Vec<Appended>),
    Settled,
}

/// What the writer's thread owns.
pub(super) struct Engine {
    pub(super) conn: Connection,
    pub(super) senders: Senders,
    pub(super) claims: HashMap<SenderKey, HashSet<i64>>,
    pub(super) recent: Recent,
    pub(super) log: Log,
    pub(super) keys: Keys,
    pub(super) next_seq: i64,
    pub(super) max_bytes: u64,
    pub(super) shared: Arc<Shared>,
    pub(super) clock: SharedClock,
    pub(super) checkpointer: Checkpointer,
    /// Freed when this thread has ended, not before.
    pub(super) lock: Lock,
}

impl Engine {
    /// The thread's life: until [`Command::Close`], or until nobody is left to ask.
    pub(super) fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        let log_pages = Arc::new(AtomicU32::new(0));
        let counted = log_pages.clone();
        let hook = move |_: &mut rusqlite::hooks::Wal, pages| {
            counted.store(u32::try_from(pages).unwrap_or(0), Relaxed);
            Ok(())
        };
        self.conn.wal_hook(Some(hook)).expect("the connection is open");
        let _ = full(&self.conn, &self.shared, self.max_bytes);
        let mut closing = None;
        let mut later: Vec<Command> = Vec::new();
        loop {
            let first = if let Some(command) = later.pop() {
                command
            } else {
                match inbox.blocking_recv() {
                    Some(command) => command,
                    None => break,
                }
            };
            let mut turn = Turn::default();
            turn.add(first, &mut closing);
            let mut came = true;
            while turn.has_room() {
                // What was put off comes first; `later` is in reverse order.
                match later.pop().or_else(|| inbox.try_recv().ok()) {
                    Some(command) => {
                        turn.add(command, &mut closing);
                        came = true;
                    }
                    None if came && turn.commands < FEW => {
                        std::thread::yield_now();
                        came = false;
                    }
                    None => break,
                }
            }
            later.extend(self.look(turn.looks).into_iter().rev());
            self.write(turn.writes);
            if !turn.alone.is_empty() {
                for work in turn.alone {
                    work(&mut self);
                }
                // Retention may have made room, or brought another bound.
                let _ = full(&self.conn, &self.shared, self.max_bytes);
            }
            self.flush_notes();
            self.checkpointer.after_commit(&self.conn, log_pages.load(Relaxed));
            if closing.is_some() {
                inbox.close();
            }
        }
        // Left for the next start, this would only make its recovery longer.
        let end = self.checkpointer.end(&self.conn);
        let Engine {
            conn,
            lock,
            checkpointer,
            ..
        } = self;
        let end = end.and(conn.close().map_err(|(_, error)| error.into()));
        drop(checkpointer);
        drop(lock);
        if let Some(reply) = closing {
            let _ = reply.send(end);
        }
    }

    /// Claims and the like: nothing of this touches the disk. Returns what there was no time for, in order.
    fn look(&mut self, looks: Vec<Command>) -> Vec<Command> {
        let mut taken = 0;
        // One snapshot for all of them: by itself each statement would lock and unlock the log.
        if !looks.is_empty() {
            let _ = self.snapshot("BEGIN");
        }
        let mut looks = looks.into_iter();
        while taken < CLAIMED_PER_TURN {
            match looks.next() {
                Some(Command::Claim { claim, reply }) => {
                    if reply.is_closed() {
                        continue;
                    }
                    let owed = claim::claim(self, claim);
                    taken += 1 + owed.as_ref().map_or(0, Vec::len);
                    // Nobody is there to settle them any more.
                    if let Err(Ok(unheard)) = reply.send(owed) {
                        self.release(claim.sender, unheard.iter().map(|owed| owed.seq));
                    }
                }
                Some(Command::NextDue { sender, reply }) => {
                    taken += 1;
                    let _ = reply.send(claim::next_due(self, sender));
                }
                Some(Command::Release { sender, seqs, reply }) => {
                    self.release(sender, seqs.into_iter());
                    let _ = reply.send(Ok(()));
                }
                Some(_) => unreachable!("a turn sorts its commands"),
                None => break,
            }
        }
        let _ = self.snapshot_ends();
        looks.collect()
    }

    /// Ends the snapshot of [`Engine::look`], where there is one: before anything is written.
    pub(super) fn snapshot_ends(&self) -> Result<()> {
        if self.conn.is_autocommit() {
            return Ok(());
        }
        self.snapshot("COMMIT")
    }

    fn snapshot(&self, sql: &str) -> Result<()> {
        self.conn.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    fn release(&mut self, sender: SenderKey, seqs: impl Iterator<Item = Seq>) {
        if let Some(claimed) = self.claims.get_mut(&sender) {
            for seq in seqs {
                claimed.remove(&seq.0);
            }
            if claimed.is_empty() {
                self.claims.remove(&sender);
            }
        }
    }

    fn write(&mut self, writes: Vec<Write>) {
        if writes.is_empty() {
            return;
        }
        let mut result = self.transact(&writes, false);
        if result.is_err() && writes.len() > 1 {
            result = self.transact(&writes, true);
        }
        match result {
            Ok(results) => {
                self.note_room(&writes, &results);
                for (write, done) in writes.into_iter().zip(results) {
                    match (write, done) {
                        (Write::Append(arrived, reply), done) => {
                            self.shared.append_ended(arrived.bytes);
                            let appended = done.map(|done| match done {
                                Done::Appended(appended) => appended,
                                Done::Settled => unreachable!("an append was done"),
                            });
                            let _ = reply.send((arrived, appended));
                        }
                        (Write::Settle(_, reply), done) => {
                            let _ = reply.send(done.map(|_| ()));
                        }
                    }
                }
            }
            Err(error) => {
                if matches!(error, StoreError::Full(_)) {
                    self.shared.set_space(|space| space.full = true);
                }
                for write in writes {
                    match write {
                        Write::Append(arrived, reply) => {
                            self.shared.append_ended(arrived.bytes);
                            let _ = reply.send((arrived, Err(again(&error))));
                        }
                        Write::Settle(_, reply) => {
                            let _ = reply.send(Err(again(&error)));
                        }
                    }
                }
            }
        }
    }

    /// Whether the last append of a group found room.
    fn note_room(&self, writes: &[Write], results: &[Result<Done>]) {
        let mut written = writes.iter().zip(results);
        if let Some((_, done)) = written.rfind(|(write, _)| matches!(write, Write::Append(..))) {
            let full = matches!(done, Err(StoreError::Full(_)));
            self.shared.set_space(|space| space.full = full);
        }
    }

    /// Does a group in one transaction. `Err`: none of it happened.
    fn transact(&mut self, writes: &[Write], careful: bool) -> Result<Vec<Result<Done>>> {
        let mut log = Writing::new(self.next_seq);
        let (senders, keys, shared, max_bytes) = (&self.senders, &mut self.keys, &self.shared, self.max_bytes);
        let now_ms = self.clock.now_ms();
        let mut results = Vec::with_capacity(writes.len());
        let done = in_transaction(&self.conn, |conn, staged| {
            let full = full(conn, shared, max_bytes)?;
            for write in writes {
                if let (Write::Append(..), Some(bytes)) = (write, full) {
                    results.push(Err(StoreError::Full(format!(
                        "it holds {bytes} bytes and `store.maxBytes` is reached"
                    ))));
                    continue;
                }
                let mark = (keys.mark(), log.next());
                let mut one = |staged: &mut Staged| match write {
                    Write::Append(arrived, _) => {
                        let mut within = append::Within {
                            conn,
                            senders,
                            keys: &mut *keys,
                            log: &mut log,
                        };
                        let appended = append::append(&mut within, arrived, staged)?;
                        if careful {
                            log.end(conn)?;
                        }
                        Ok(Done::Appended(appended))
                    }
                    Write::Settle(settlements, _) => {
                        settle::settle(conn, senders, now_ms, settlements, staged).map(|()| Done::Settled)
                    }
                };
                if !careful {
                    results.push(Ok(one(staged)?));
                    continue;
                }
                conn.prepare_cached("SAVEPOINT one")?.execute([])?;
                let mut own = Staged::default();
                match one(&mut own) {
                    Ok(done) => {
                        conn.prepare_cached("RELEASE one")?.execute([])?;
                        staged.merge(own);
                        results.push(Ok(done));
                    }
                    Err(error) if conn.is_autocommit() => return Err(error), // SQLite has undone it all
                    Err(error) => {
                        conn.prepare_cached("ROLLBACK TO one")?.execute([])?;
                        conn.prepare_cached("RELEASE one")?.execute([])?;
                        keys.undo(mark.0);
                        log = Writing::new(mark.1);
                        results.push(Err(error));
                    }
                }
            }
            log.end(conn)?;
            keys.write_some(conn)
        });
        match done {
            Ok((staged, ())) => {
                self.keys.committed(log.ended(), log.next());
                self.next_seq = log.next();
                self.publish(staged);
                Ok(results)
            }
            Err(error) => {
                self.keys.rolled_back();
                Err(error)
            }
        }
    }

    /// Does rare work in a transaction of its own.
    pub(super) fn alone<T>(&mut self, work: impl FnOnce(&Connection, &mut Staged) -> Result<T>) -> Result<T> {
        let (staged, answer) = in_transaction(&self.conn, work)?;
        self.publish(staged);
        Ok(answer)
    }

    /// What a commit changes in memory, and whom it wakes.
    pub(super) fn publish(&mut self, staged: Staged) {
        for (sender, seq) in staged.settled {
            if let Some(claimed) = self.claims.get_mut(&sender) {
                claimed.remove(&seq);
                if claimed.is_empty() {
                    self.claims.remove(&sender);
                }
            }
        }
        for (seq, at_ms, event) in staged.recent {
            self.recent.put(seq, at_ms, event);
        }
        self.shared.apply(&staged.counts);
        if !staged.wake.is_empty() {
            self.shared.wake(staged.wake);
        }
    }

    /// Writes what routes have noted. A failure drops the notes and counts them: they are best effort.
    fn flush_notes(&mut self) {
        let notes = self.shared.take_notes();
        if notes.is_empty() {
            return;
        }
        if self.alone(|conn, _| append::notes(conn, &notes)).is_err() {
            self.shared.notes_dropped.fetch_add(notes.len() as u64, Relaxed);
        }
    }
}

/// The bytes in use, where they have reached the bound.
fn full(conn: &Connection, shared: &Shared, max_bytes: u64) -> Result<Option<u64>> {
    if max_bytes == 0 {
        shared.set_space(|space| space.max_bytes = 0);
        return Ok(None);
    }
    let pragma = |sql: &str| -> rusqlite::Result<u64> { conn.prepare_cached(sql)?.query_row([], |row| row.get(0)) };
    // Free pages inside the file are room: a store that was full takes events again when retention has made room.
    let pages = pragma("PRAGMA page_count")?.saturating_sub(pragma("PRAGMA freelist_count")?);
    let bytes = pages * pragma("PRAGMA page_size")?;
    shared.set_space(|space| {
        space.used_bytes = bytes;
        space.max_bytes = max_bytes;
        space.full &= bytes >= max_bytes;
    });
    Ok((bytes >= max_bytes).then_some(bytes))
}

/// Runs `work` in a transaction, with the sums that it staged; any error undoes it all.
pub(super) fn in_transaction<T>(
    conn: &Connection,
    work: impl FnOnce(&Connection, &mut Staged) -> Result<T>,
) -> Result<(Staged, T)> {
    let mut staged = Staged::default();
    conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    let done = work(conn, &mut staged).and_then(|answer| {
        staged.write_sums(conn)?;
        conn.prepare_cached("COMMIT")?.execute([])?;
        Ok(answer)
    });
    match done {
        Ok(answer) => Ok((staged, answer)),
        Err(error) => {
            // Where SQLite has rolled back by itself this is an error of no consequence.
            let _ = conn.execute_batch("ROLLBACK");
            Err(error)
        }
    }
}

/// What is done together.
#[derive(Default)]
struct Turn {
    looks: Vec<Command>,
    writes: Vec<Write>,
    alone: Vec<Work>,
    commands: usize,
    bytes: usize,
}

impl Turn {
    fn has_room(&self) -> bool {
        self.commands < GROUP && self.bytes < GROUP_BYTES
    }

    fn add(&mut self, command: Command, closing: &mut Option<Reply<()>>) {
        self.commands += 1;
        match command {
            Command::Append { arrived, reply } => {
                self.bytes += arrived.bytes;
                self.writes.push(Write::Append(arrived, reply));
            }
            Command::Settle { settlements, reply } => {
                self.commands += settlements.len() / 8;
                self.writes.push(Write::Settle(settlements, reply));
            }
            Command::Alone(work) => self.alone.push(work),
            Command::Nudge => {}
            Command::Close { reply } => *closing = Some(reply),
            look => self.looks.push(look),
        }
    }
}
