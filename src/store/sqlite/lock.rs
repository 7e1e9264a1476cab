//! One gateway a directory.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;

use super::failure::Context;
use super::schema;
use crate::store::{Result, StoreError};

const FILE: &str = "lock";

/// The directory's lock: held as long as this lives, freed by the operating system when the process dies.
pub(super) struct Lock(#[expect(dead_code, reason = "holding it is its use")] File);

/// Locks a directory and writes there who has it.
pub(super) fn take(directory: &Path, owner: &str) -> Result<Lock> {
    let path = directory.join(FILE);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path)
        .context(&path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut first = String::new();
            // The other one may be writing its line at this moment: what can be read is shown.
            let _ = Read::by_ref(&mut file).take(1024).read_to_string(&mut first);
            let owner = match first.trim() {
                "" => "it has not said who it is yet",
                line => line,
            };
            return Err(StoreError::Locked {
                path: directory.display().to_string(),
                owner: owner.into(),
            });
        }
        Err(TryLockError::Error(error)) => return Err(error).context(&path),
    }
    schema::private(&path)?;
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{owner}"))
        .context(&path)?;
    Ok(Lock(file))
}
