//! The embedded engine: one SQLite database in a directory that one gateway holds.
//!
//! | file | what it does |
//! |---|---|
//! | `schema.rs` `wal.rs` `lock.rs` `failure.rs` | the database file, its write-ahead log, the directory's lock, errors |
//! | `writer.rs` `staged.rs` `checkpoint.rs` | the one thread that writes, and answers many with one fsync |
//! | `log.rs` `segment.rs` `keys.rs` `filter.rs` | how events, requests and delivery keys lie in the database |
//! | `append.rs` `claim.rs` `settle.rs` `commit.rs` `mend.rs` | what it does |
//! | `senders.rs` `recent.rs` `shared.rs` | what is kept in memory |
//! | `readers.rs` `read.rs` `story.rs` | what is read beside it |
//! | `row.rs` | values to and from columns |

mod append;
mod checkpoint;
mod claim;
mod commit;
mod copy;
mod failure;
mod filter;
mod keys;
mod lock;
mod log;
mod mend;
mod read;
mod readers;
mod recent;
mod retain;
mod row;
mod schema;
mod segment;
mod senders;
mod settle;
mod shared;
mod staged;
mod story;
mod wal;
mod writer;

#[cfg(test)]
mod kept;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use async_trait::async_trait;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

pub use self::copy::{Checked, check};

use self::failure::Context;
use self::readers::Readers;
use self::shared::{Counts, Shared};
use self::writer::{Command, Engine, INBOX, Reply};
use super::{
    Append, Appended, Claim, Commit, Committed, DeadLetter, DeadQuery, EventQuery, EventRow, Generation, Listing,
    LogEntry, LogQuery, Owed, Page, Replay, Result, Retained, Retention, RouteFigures, RouteNote, SenderFigures,
    SenderKey, SenderRow, Seq, Settlement, Space, Store, StoreError, StoredRequest, Story, Totals, Wake,
};
use crate::clock::{SharedClock, SystemClock};

/// Messages of a route are counted by the quarter of an hour: every time zone's midnight lies between two.
const QUARTER_MS: i64 = 15 * 60 * 1000;

/// A store in a directory.
pub struct SqliteStore {
    /// `None`: closed, or open for reading only.
    inbox: Mutex<Option<mpsc::Sender<Command>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    closed: AtomicBool,
    read_only: bool,
    shared: Arc<Shared>,
    readers: Readers,
    fingerprint_key: [u8; 32],
    path: PathBuf,
    clock: SharedClock,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Opens (or makes) the store of a directory for one gateway.
///
/// `max_bytes`: appends are refused from there on (0: no bound). `owner_line`: what a second gateway is told about this one.
pub fn open(directory: &Path, max_bytes: u64, owner_line: &str) -> Result<Arc<SqliteStore>> {
    open_with_clock(directory, max_bytes, owner_line, Arc::new(SystemClock))
}

/// [`open`] with the clock that stamps dead letters and bounds "the last hour".
pub fn open_with_clock(
    directory: &Path,
    max_bytes: u64,
    owner_line: &str,
    clock: SharedClock,
) -> Result<Arc<SqliteStore>> {
    make_directory(directory)?;
    let lock = lock::take(directory, owner_line)?;
    wal::check(directory)?;
    let conn = schema::open(directory, &schema::FORMAT)?;
    let path = directory.join(schema::FILE);
    let senders = senders::Senders::load(&conn)?;
    let shared = Arc::new(Shared::with_counts(count(&conn)?));
    let newest: Option<i64> = conn.query_row("SELECT max(last) FROM segments", [], |row| row.get(0))?;
    let kept: i64 = meta(&conn, "next_seq")?;
    let fingerprint_key = meta(&conn, "fingerprint_key")?;
    let engine = Engine {
        senders,
        claims: HashMap::new(),
        recent: recent::Recent::default(),
        log: log::Log::default(),
        keys: keys::Keys::load(&conn)?,
        next_seq: kept.max(newest.unwrap_or(0) + 1),
        max_bytes,
        shared: shared.clone(),
        clock: clock.clone(),
        checkpointer: checkpoint::Checkpointer::start(&path)?,
        lock,
        conn,
    };
    let (inbox, commands) = mpsc::channel(INBOX);
    let thread = std::thread::Builder::new()
        .name("store-writer".into())
        .spawn(move || engine.run(commands))
        .map_err(|error| StoreError::Engine(format!("a thread of the store could not start: {error}")))?;
    Ok(Arc::new(SqliteStore {
        inbox: Mutex::new(Some(inbox)),
        thread: Mutex::new(Some(thread)),
        closed: AtomicBool::new(false),
        read_only: false,
        shared,
        readers: Readers::new(directory),
        fingerprint_key,
        path,
        clock,
    }))
}

/// Opens the store of a directory for reading, with or without a gateway that has it; `None`: there is none yet.
pub fn open_readonly(directory: &Path) -> Result<Option<Arc<SqliteStore>>> {
    let Some(conn) = schema::open_readonly(directory, &schema::FORMAT)? else {
        return Ok(None);
    };
    Ok(Some(Arc::new(SqliteStore {
        inbox: Mutex::new(None),
        thread: Mutex::new(None),
        closed: AtomicBool::new(false),
        read_only: true,
        shared: Arc::new(Shared::with_counts(count(&conn)?)),
        readers: Readers::new(directory),
        fingerprint_key: meta(&conn, "fingerprint_key")?,
        path: directory.join(schema::FILE),
        clock: Arc::new(SystemClock),
    })))
}

fn make_directory(directory: &Path) -> Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder.create(directory).context(directory)
}

fn meta<T: rusqlite::types::FromSql>(conn: &Connection, key: &str) -> Result<T> {
    conn.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0))
        .map_err(|error| match error {
            rusqlite::Error::QueryReturnedNoRows => StoreError::Damaged(format!("`{key}` of the store is missing")),
            other => other.into(),
        })
}

/// The sums of each sender.
fn count(conn: &Connection) -> Result<HashMap<SenderKey, Counts>> {
    let mut counts: HashMap<SenderKey, Counts> = HashMap::new();
    let mut each = |sql: &str, set: fn(&mut Counts, u64)| -> Result<()> {
        let mut query = conn.prepare(sql)?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            set(counts.entry(SenderKey(row.get(0)?)).or_default(), row.get(1)?);
        }
        Ok(())
    };
    each(
        "SELECT sender, count(*) FROM owed INDEXED BY owed_due GROUP BY sender",
        |c, n| c.owed = n,
    )?;
    each(
        "SELECT sender, count(*) FROM dead INDEXED BY dead_sender GROUP BY sender",
        |c, n| c.dead = n,
    )?;
    Ok(counts)
}

impl SqliteStore {
    fn inbox(&self) -> Result<mpsc::Sender<Command>> {
        if self.read_only {
            return Err(StoreError::Engine("the store is open for reading only".into()));
        }
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        inbox.clone().ok_or(StoreError::Closed)
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let inbox = self.inbox()?;
        inbox.send(command(reply)).await.map_err(|_| StoreError::Closed)?;
        // Else the writer's thread waits for this sender to end before it ends.
        drop(inbox);
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Rare work in the writer's thread, in a turn of its own.
    async fn alone<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Engine) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.ask(|reply| {
            Command::Alone(Box::new(move |engine| {
                let _ = reply.send(work(engine));
            }))
        })
        .await
    }

    async fn read<T: Send + 'static>(&self, work: impl FnOnce(&Connection) -> Result<T> + Send + 'static) -> Result<T> {
        if self.closed.load(Relaxed) {
            return Err(StoreError::Closed);
        }
        self.readers.read(work).await
    }
}

impl Drop for SqliteStore {
    /// Ends the writer: what is in its inbox is written, and the directory is free when this returns.
    fn drop(&mut self) {
        *self.inbox.get_mut().unwrap_or_else(PoisonError::into_inner) = None;
        if let Some(thread) = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn append(&self, append: Append) -> Result<Vec<Appended>> {
        let arrived = Box::new(append::Arrived::from(append));
        let inbox = self.inbox()?;
        let bytes = arrived.bytes;
        self.shared.append_begins(bytes)?;
        let (reply, answer) = oneshot::channel();
        if let Err(refused) = inbox.try_send(Command::Append { arrived, reply }) {
            self.shared.append_ended(bytes);
            return Err(match refused {
                mpsc::error::TrySendError::Full(_) => StoreError::Busy(INBOX),
                mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
            });
        }
        drop(inbox);
        let (_arrived, appended) = answer.await.map_err(|_| StoreError::Closed)?;
        appended
    }

    fn set_wake(&self, wake: Arc<dyn Wake>) {
        self.shared.set_wake(wake);
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<Owed>> {
        self.ask(|reply| Command::Claim { claim, reply }).await
    }

    async fn next_due(&self, sender: SenderKey) -> Result<Option<i64>> {
        self.ask(|reply| Command::NextDue { sender, reply }).await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<()> {
        self.ask(|reply| Command::Settle { settlements, reply }).await
    }

    async fn release(&self, sender: SenderKey, seqs: Vec<Seq>) -> Result<()> {
        self.ask(|reply| Command::Release { sender, seqs, reply }).await
    }

    async fn close_sender(&self, sender: SenderKey) -> Result<u64> {
        let mut sum = 0;
        // Only what is owed now: a sender that is not removed would be owed more meanwhile.
        let end = self.alone(|engine| Ok(engine.next_seq)).await?;
        loop {
            let closed = self.alone(move |engine| mend::close_slice(engine, sender, end)).await?;
            if closed == 0 {
                return Ok(sum);
            }
            sum += closed;
        }
    }

    async fn clock_set_back(&self, by_ms: i64, now_ms: i64) -> Result<()> {
        let mut cursor = Some(mend::FIRST);
        while let Some(at) = cursor {
            cursor = self
                .alone(move |engine| mend::set_back_slice(engine, by_ms, now_ms, at))
                .await?;
        }
        Ok(())
    }

    async fn set_suspended(&self, sender: SenderKey, reason: Option<String>) -> Result<()> {
        self.alone(move |engine| {
            engine.alone(|conn, _| {
                conn.execute("UPDATE senders SET suspended = ?2 WHERE key = ?1", (sender.0, &reason))?;
                Ok(())
            })
        })
        .await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed> {
        let prepared = readers::blocking(move || Ok(commit::Prepared::from(commit))).await?;
        self.alone(move |engine| commit::commit(engine, &prepared)).await
    }

    async fn last_generation(&self) -> Result<Option<(Generation, Vec<u8>)>> {
        self.read(|conn| commit::with_document(conn, None)).await
    }

    async fn generation(&self, number: u64) -> Result<Option<(Generation, Vec<u8>)>> {
        self.read(move |conn| commit::with_document(conn, Some(number))).await
    }

    async fn generations(&self, page: Page) -> Result<Listing<Generation>> {
        self.read(move |conn| read::generations(conn, &page)).await
    }

    async fn senders(&self) -> Result<Vec<SenderRow>> {
        let counts = self.shared.all_counts();
        self.read(move |conn| read::senders(conn, &counts)).await
    }

    fn fingerprint_key(&self) -> [u8; 32] {
        self.fingerprint_key
    }

    async fn logs(&self, query: LogQuery) -> Result<Listing<LogEntry>> {
        self.read(move |conn| read::logs(conn, &query)).await
    }

    async fn events(&self, query: EventQuery) -> Result<Listing<EventRow>> {
        self.read(move |conn| read::events(conn, &query)).await
    }

    async fn story(&self, id: &str) -> Result<Option<Story>> {
        let id = id.to_owned();
        self.read(move |conn| story::story(conn, &id)).await
    }

    async fn raw_request(&self, event_id: &str) -> Result<Option<StoredRequest>> {
        let id = event_id.to_owned();
        self.read(move |conn| story::raw_request(conn, &id)).await
    }

    async fn dead(&self, query: DeadQuery) -> Result<Listing<DeadLetter>> {
        self.read(move |conn| read::dead(conn, &query)).await
    }

    async fn sender_figures(&self, sender: SenderKey) -> Result<SenderFigures> {
        let counts = self.shared.counts(sender);
        let now_ms = self.clock.now_ms();
        self.read(move |conn| story::sender_figures(conn, sender, counts, now_ms))
            .await
    }

    async fn route_figures(&self, route: &str, since: i64) -> Result<RouteFigures> {
        let route = route.to_owned();
        self.read(move |conn| story::route_figures(conn, &route, since)).await
    }

    async fn totals(&self) -> Result<Totals> {
        let counts = self.shared.all_counts();
        let bytes = [&self.path, &PathBuf::from(format!("{}-wal", self.path.display()))]
            .into_iter()
            .filter_map(|path| std::fs::metadata(path).ok())
            .map(|found| found.len())
            .sum();
        Ok(Totals {
            owed: counts.values().map(|c| c.owed).sum(),
            dead: counts.values().map(|c| c.dead).sum(),
            oldest_owed_ms: self.read(story::oldest_owed).await?,
            bytes,
            notes_dropped: self.shared.notes_dropped.load(Relaxed),
        })
    }

    async fn answers(&self) -> Result<()> {
        self.read(|conn| meta::<String>(conn, "written_by").map(drop)).await
    }

    fn space(&self) -> Space {
        self.shared.space()
    }

    fn note(&self, entry: RouteNote) {
        if self.shared.note(entry)
            && let Ok(inbox) = self.inbox()
        {
            // A full inbox means that the writer will come by soon anyway.
            let _ = inbox.try_send(Command::Nudge);
        }
    }

    async fn replay(&self, replay: Replay) -> Result<u64> {
        let mut sum = 0;
        let mut cursor = self
            .alone({
                let replay = replay.clone();
                move |engine| mend::replay_begins(engine, &replay)
            })
            .await?;
        while let Some(at) = cursor {
            let replay = replay.clone();
            let (owed, next) = self
                .alone(move |engine| mend::replay_slice(engine, &replay, at))
                .await?;
            sum += owed;
            cursor = next;
        }
        Ok(sum)
    }

    async fn purge_dead(&self, query: DeadQuery) -> Result<u64> {
        let query = Arc::new(query);
        let mut sum = 0;
        loop {
            let slice = query.clone();
            let purged = self.alone(move |engine| mend::purge_slice(engine, &slice)).await?;
            if purged == 0 {
                return Ok(sum);
            }
            sum += purged;
        }
    }

    async fn retain(&self, retention: Retention, now_ms: i64) -> Result<Retained> {
        let mut progress = Some(retain::Progress::default());
        let mut retained = Retained::default();
        while let Some(at) = progress {
            (progress, retained) = self
                .alone(move |engine| retain::retain_slice(engine, retention, now_ms, at, retained))
                .await?;
            // Appends come in between.
            tokio::task::yield_now().await;
        }
        Ok(retained)
    }

    async fn backup(&self, to: &Path) -> Result<()> {
        if self.closed.load(Relaxed) {
            return Err(StoreError::Closed);
        }
        let to = to.to_owned();
        self.readers.run(move |conn| copy::backup(conn, &to)).await
    }

    async fn close(&self) {
        if self.closed.swap(true, Relaxed) {
            return;
        }
        self.readers.close();
        let inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(inbox) = inbox else { return };
        let (reply, answer) = oneshot::channel();
        let sent = inbox.send(Command::Close { reply }).await.is_ok();
        drop(inbox);
        if sent && let Ok(Err(error)) = answer.await {
            tracing::warn!(%error, "the store's log was not emptied; the next start does that");
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = readers::blocking(move || thread.join().map_err(|_| StoreError::Closed)).await;
        }
    }
}
