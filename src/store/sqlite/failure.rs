//! Failures of SQLite and of the file system, as the store's errors.

use std::path::Path;

use rusqlite::ErrorCode;

use crate::store::{Result, StoreError};

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error as E;
        match &error {
            E::SqliteFailure(failure, _) => match failure.code {
                ErrorCode::DiskFull => Self::Full("no space is left on the disk: make room".into()),
                ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
                    Self::Damaged(format!("{error}: restore a backup, `openclaw store check` says more"))
                }
                _ => Self::Engine(format!("sqlite: {error}")),
            },
            // A column of another type than the one that was written.
            E::FromSqlConversionFailure(..) | E::InvalidColumnType(..) | E::IntegralValueOutOfRange(..) => {
                Self::Damaged(format!("{error}: restore a backup"))
            }
            _ => Self::Engine(format!("sqlite: {error}")),
        }
    }
}

/// Says which file it was.
pub(super) trait Context<T> {
    fn context(self, path: &Path) -> Result<T>;
}

impl<T> Context<T> for std::io::Result<T> {
    fn context(self, path: &Path) -> Result<T> {
        self.map_err(|error| match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                StoreError::Full(format!("{}: {error}", path.display()))
            }
            _ => StoreError::Engine(format!("{}: {error}", path.display())),
        })
    }
}

impl<T> Context<T> for rusqlite::Result<T> {
    fn context(self, path: &Path) -> Result<T> {
        self.map_err(|error| match StoreError::from(error) {
            StoreError::Damaged(text) => StoreError::Damaged(format!("{}: {text}", path.display())),
            StoreError::Engine(text) => StoreError::Engine(format!("{}: {text}", path.display())),
            other => other,
        })
    }
}

/// The same failure for one more of a group.
pub(super) fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::Full(text) => StoreError::Full(text.clone()),
        StoreError::Busy(waiting) => StoreError::Busy(*waiting),
        StoreError::Damaged(text) => StoreError::Damaged(text.clone()),
        StoreError::Closed => StoreError::Closed,
        StoreError::Stale { expected, found } => StoreError::Stale {
            expected: *expected,
            found: *found,
        },
        other => StoreError::Engine(other.to_string()),
    }
}
