//! Connections that read beside the writer.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::schema;
use crate::store::{Result, StoreError};

/// Reads at a time at most; the others wait.
const READERS: usize = 4;

/// At most [`READERS`] connections, opened when they are first needed.
pub(super) struct Readers {
    directory: PathBuf,
    idle: Arc<Mutex<Vec<Connection>>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            idle: Arc::default(),
            permits: Arc::new(Semaphore::new(READERS)),
        }
    }

    /// [`Readers::run`], all of it in one snapshot.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.run(move |conn| {
            let snapshot = conn.unchecked_transaction()?;
            let answer = work(&snapshot);
            snapshot.finish()?;
            answer
        })
        .await
    }

    /// Runs `work` on a connection, away from the runtime's threads.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let permit = self
            .permits
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| StoreError::Closed)?;
        let (idle, directory) = (self.idle.clone(), self.directory.clone());
        blocking(move || {
            let _permit = permit;
            let taken = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let conn = match taken {
                Some(conn) => conn,
                None => schema::open_readonly(&directory, &schema::FORMAT)?
                    .ok_or_else(|| StoreError::Damaged(format!("{} is gone", directory.display())))?,
            };
            let answer = work(&conn);
            // One that failed is not used again.
            if answer.is_ok() {
                idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
            }
            answer
        })
        .await
    }

    /// Later reads are refused; idle connections are closed.
    pub(super) fn close(&self) {
        self.permits.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// Runs what may block on a thread that may.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(StoreError::Engine(format!("the store's work was cut short: {error}"))))
}
