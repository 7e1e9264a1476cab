//! Keeps the write-ahead log short without stopping the writer for long.
//!
//! A thread copies the log into the database file beside the writer. Only when the log is long all the same the writer
//! copies the small rest itself, after which it begins again at the log's start.
//!
//! SQLite syncs the database file when the whole log is copied, which happens to the writer alone: the thread syncs what it
//! has copied by itself, else the writer would wait until all of it is on the disk.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::failure::Context;
use crate::store::{Result, StoreError};

/// Whenever the log has so many pages more, the thread copies: a page that is written again before is copied once, and two
/// syncs serve them all.
const BESIDE: u32 = 1_000;
/// From so many pages on (64 MiB) the writer copies the rest.
const WRITER: u32 = 16_000;

/// The thread and how to tell it.
pub(super) struct Checkpointer {
    tell: Option<SyncSender<u32>>,
    /// The log's length when the thread was told last.
    told: u32,
    /// The length that the thread was told for its last copy; 0: none since the writer's own.
    copied: Arc<AtomicU32>,
    thread: Option<JoinHandle<()>>,
    /// Closed after every connection of the writer: a process that closes a file loses the locks that it has on it.
    _database: Arc<File>,
}

impl Checkpointer {
    pub(super) fn start(path: &Path) -> Result<Self> {
        let conn = Connection::open_with_flags(
            path,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .context(path)?;
        conn.busy_timeout(Duration::from_secs(10)).context(path)?;
        conn.pragma_update(None, "synchronous", "FULL").context(path)?;
        conn.pragma_update(None, "cache_size", -1024).context(path)?;
        let (tell, told) = sync_channel::<u32>(1);
        let copied = Arc::new(AtomicU32::new(0));
        let copied_to = copied.clone();
        let database = Arc::new(File::open(path).context(path)?);
        let (synced, file) = (database.clone(), path.to_owned());
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".into())
            .spawn(move || {
                while let Ok(pages) = told.recv() {
                    let sync = || synced.sync_data().context(&file);
                    match checkpoint(&conn, "PASSIVE").and_then(|()| sync()) {
                        Ok(()) => copied_to.store(pages, Ordering::Release),
                        Err(error) => {
                            tracing::warn!(%error, "the store's log could not be copied; it will be tried again");
                        }
                    }
                }
            })
            .map_err(|error| StoreError::Engine(format!("a thread of the store could not start: {error}")))?;
        Ok(Self {
            tell: Some(tell),
            told: 0,
            copied,
            thread: Some(thread),
            _database: database,
        })
    }

    /// Called by the writer between its transactions with the log's length.
    pub(super) fn after_commit(&mut self, conn: &Connection, pages: u32) {
        if pages < self.told {
            // The log has begun again at its start.
            self.told = 0;
        }
        let long = pages >= WRITER;
        if long && self.copied.load(Ordering::Acquire) >= WRITER {
            self.copied.store(0, Ordering::Release);
            if let Err(error) = checkpoint(conn, "PASSIVE") {
                tracing::warn!(%error, "the store's log could not be copied; it will be tried again");
            }
        } else if (pages >= self.told.saturating_add(BESIDE) || (long && self.told < WRITER))
            && let Some(tell) = &self.tell
        {
            match tell.try_send(pages) {
                Ok(()) => self.told = pages,
                Err(TrySendError::Full(_)) => {}
                Err(TrySendError::Disconnected(_)) => {
                    tracing::error!("the thread that copies the store's log has ended");
                }
            }
        }
    }

    /// Ends the thread, then empties the log.
    pub(super) fn end(&mut self, conn: &Connection) -> Result<()> {
        self.tell = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        checkpoint(conn, "TRUNCATE")
    }
}

fn checkpoint(conn: &Connection, mode: &str) -> Result<()> {
    conn.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))?;
    Ok(())
}
