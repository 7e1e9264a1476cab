//! Keeps the write-ahead log short without stopping the writer for long.
//!
//! A thread copies the log into the database file beside the writer. Only when the log is long all the same the writer
//! copies the small rest itself, after which it begins again at the log's start.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::failure::Context;
use crate::store::{Result, StoreError};

/// From so many pages on the thread copies.
const BESIDE: u32 = 2_000;
/// From so many pages on (64 MiB) the writer copies the rest.
const WRITER: u32 = 16_000;

/// The thread and how to tell it.
pub(super) struct Checkpointer {
    tell: Option<SyncSender<()>>,
    /// Set when the thread has copied since the writer looked last.
    copied: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
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
        let (tell, told) = sync_channel::<()>(1);
        let copied = Arc::new(AtomicBool::new(false));
        let flag = copied.clone();
        let thread = std::thread::Builder::new()
            .name("store-checkpoint".into())
            .spawn(move || {
                while told.recv().is_ok() {
                    match checkpoint(&conn, "PASSIVE") {
                        Ok(()) => flag.store(true, Ordering::Release),
                        Err(error) => {
                            tracing::warn!(%error, "the store's log could not be copied; it will be tried again");
                        }
                    }
                }
            })
            .map_err(|error| StoreError::Engine(format!("a thread of the store could not start: {error}")))?;
        Ok(Self {
            tell: Some(tell),
            copied,
            thread: Some(thread),
        })
    }

    /// Called by the writer between its transactions with the log's length.
    pub(super) fn after_commit(&self, conn: &Connection, pages: u32) {
        if pages >= WRITER && self.copied.swap(false, Ordering::Acquire) {
            if let Err(error) = checkpoint(conn, "PASSIVE") {
                tracing::warn!(%error, "the store's log could not be copied; it will be tried again");
            }
        } else if pages >= BESIDE
            && let Some(Err(TrySendError::Disconnected(()))) = self.tell.as_ref().map(|tell| tell.try_send(()))
        {
            tracing::error!("the thread that copies the store's log has ended");
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
