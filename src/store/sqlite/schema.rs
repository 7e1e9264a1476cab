//! The database file: how it is made, opened, and brought to this release's format.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, OptionalExtension, Transaction};

use super::failure::Context;
use crate::store::{Result, StoreError};

/// The database's name in the store's directory.
pub(super) const FILE: &str = "store.db";

/// Bytes a page. Larger pages cost more log for each scattered write, smaller ones more steps for each event.
const PAGE_BYTES: u32 = 4096;

/// Marks a SQLite file as ours ("ocwh").
const APPLICATION_ID: i32 = 0x6f63_7768;

/// A step from one format to the next.
pub(super) type Migration = fn(&Transaction<'_>) -> rusqlite::Result<()>;

/// What one release makes and understands. `migrations[n - 1]` leads from format n to n + 1.
pub(super) struct Format {
    pub(super) schema: &'static str,
    pub(super) migrations: &'static [Migration],
}

impl Format {
    /// The newest format that this release knows.
    pub(super) fn number(&self) -> u32 {
        1 + u32::try_from(self.migrations.len()).expect("a handful of migrations")
    }
}

/// This release's.
pub(super) const FORMAT: Format = Format {
    schema: SCHEMA,
    migrations: &[|tx| tx.execute_batch("ALTER TABLE segments ADD COLUMN packed INTEGER NOT NULL DEFAULT 0")],
};

// `segments`: see `log.rs`; its `keys` stand before its `bytes`, so that reading them does not read those. `packed` is 0 for those
// that were written in format 1.
// `owed.due_ms` is 0 for a delivery that was never attempted nor put back: it is due since `since_ms`, and such rows of a
// sender lie in order of their seq both in the table and in `owed_due`. `owed.lane` is made of the session's text, or
// negative and its own where there is none. `lanes` is filled for senders that claim by session alone.
const SCHEMA: &str = "
CREATE TABLE meta(key TEXT PRIMARY KEY, value ANY NOT NULL) WITHOUT ROWID;
CREATE TABLE segments(
  first INTEGER PRIMARY KEY, last INTEGER NOT NULL, events INTEGER NOT NULL, newest_ms INTEGER NOT NULL,
  low BLOB, high BLOB, packed INTEGER NOT NULL, keys BLOB NOT NULL, bytes BLOB NOT NULL);
CREATE INDEX segments_ids ON segments(high, low) WHERE high IS NOT NULL;
CREATE TABLE odd_ids(seq INTEGER PRIMARY KEY, id ANY NOT NULL UNIQUE);
CREATE TABLE keys(key BLOB PRIMARY KEY, event_id ANY NOT NULL, expires_ms INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE senders(
  key INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, removed_ms INTEGER, suspended TEXT, events TEXT NOT NULL,
  sources TEXT, per_request INTEGER NOT NULL DEFAULT 0, laned INTEGER NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX senders_name ON senders(name) WHERE removed_ms IS NULL;
CREATE INDEX senders_removed ON senders(name, removed_ms) WHERE removed_ms IS NOT NULL;
CREATE TABLE owed(
  seq INTEGER NOT NULL, sender INTEGER NOT NULL, lane INTEGER NOT NULL, due_ms INTEGER NOT NULL,
  attempts INTEGER NOT NULL, since_ms INTEGER NOT NULL, passed INTEGER NOT NULL,
  PRIMARY KEY(seq, sender)) WITHOUT ROWID;
CREATE INDEX owed_due ON owed(sender, due_ms, seq);
CREATE INDEX owed_moved ON owed(sender, seq) WHERE due_ms > 0;
CREATE INDEX owed_moved_since ON owed(sender, since_ms) WHERE due_ms > 0;
CREATE TABLE lanes(
  sender INTEGER NOT NULL, lane INTEGER NOT NULL, seq INTEGER NOT NULL,
  PRIMARY KEY(sender, lane, seq)) WITHOUT ROWID;
CREATE TABLE dead(
  seq INTEGER NOT NULL, sender INTEGER NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, dead_ms INTEGER NOT NULL,
  attempts INTEGER NOT NULL, since_ms INTEGER NOT NULL, passed INTEGER NOT NULL,
  PRIMARY KEY(seq, sender)) WITHOUT ROWID;
CREATE INDEX dead_time ON dead(dead_ms, seq, sender);
CREATE INDEX dead_sender ON dead(sender, dead_ms, seq);
CREATE TABLE settled(
  seq INTEGER NOT NULL, sender INTEGER NOT NULL, state TEXT NOT NULL,
  PRIMARY KEY(seq, sender)) WITHOUT ROWID;
CREATE TABLE attempts(
  id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, sender INTEGER NOT NULL, seq INTEGER NOT NULL,
  number INTEGER NOT NULL, of INTEGER NOT NULL, latency_us INTEGER NOT NULL, status INTEGER, error TEXT, detail TEXT,
  response TEXT, next_ms INTEGER);
CREATE INDEX attempts_seq ON attempts(seq);
CREATE INDEX attempts_sender ON attempts(sender);
CREATE INDEX attempts_failed ON attempts(sender) WHERE error IS NOT NULL;
CREATE TABLE sender_minutes(
  sender INTEGER NOT NULL, minute INTEGER NOT NULL, attempts INTEGER NOT NULL, delivered INTEGER NOT NULL,
  delivered_ms INTEGER, PRIMARY KEY(sender, minute)) WITHOUT ROWID;
CREATE TABLE route_log(
  id INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, route TEXT NOT NULL, status INTEGER NOT NULL,
  reason TEXT NOT NULL, detail TEXT NOT NULL);
CREATE INDEX route_log_route ON route_log(route);
CREATE TABLE route_quarters(
  route TEXT NOT NULL, quarter INTEGER NOT NULL, messages INTEGER NOT NULL, last_ms INTEGER NOT NULL,
  PRIMARY KEY(route, quarter)) WITHOUT ROWID;
CREATE TABLE generations(
  number INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, sha256 TEXT NOT NULL, cause TEXT NOT NULL, who TEXT,
  git_commit TEXT, summary TEXT NOT NULL, fingerprints TEXT NOT NULL, format TEXT NOT NULL, bytes INTEGER NOT NULL,
  document BLOB NOT NULL);
";

/// Opens the database of a directory for writing; makes it, or brings it to `format`, where that is needed.
pub(super) fn open(directory: &Path, format: &Format) -> Result<Connection> {
    let path = directory.join(FILE);
    let log = directory.join(format!("{FILE}-wal"));
    match fs::metadata(&path) {
        // The file is renamed into place when it is whole, so an empty one was emptied by something else.
        Ok(found) if found.len() == 0 => {
            return Err(StoreError::Damaged(format!(
                "{} is empty: restore a backup",
                path.display()
            )));
        }
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            if log.exists() {
                let text = format!("{} is there but {FILE} is missing: restore a backup", log.display());
                return Err(StoreError::Damaged(text));
            }
            create(directory, &path, format)?;
        }
        Err(error) => return Err(error).context(&path),
    }
    let mut conn = Connection::open_with_flags(
        &path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .context(&path)?;
    tune(&conn, 8 * 1024).context(&path)?;
    migrate(&mut conn, &path, format)?;
    // The checkpointer does this beside the writer: see `writer.rs`.
    conn.pragma_update(None, "wal_autocheckpoint", 0).context(&path)?;
    Ok(conn)
}

/// Opens the database of a directory for reading; `None` where there is none.
pub(super) fn open_readonly(directory: &Path, format: &Format) -> Result<Option<Connection>> {
    let path = directory.join(FILE);
    match fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).context(&path),
        Ok(found) if found.len() == 0 => {
            return Err(StoreError::Damaged(format!(
                "{} is empty: restore a backup",
                path.display()
            )));
        }
        Ok(_) => {}
    }
    let conn = Connection::open_with_flags(
        &path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )
    .context(&path)?;
    tune(&conn, 2 * 1024).context(&path)?;
    let found = found_format(&conn, &path, format)?;
    if found < format.number() {
        return Err(StoreError::Engine(format!(
            "{} has format {found}: `openclaw run` of this version brings it to format {} when it starts",
            path.display(),
            format.number()
        )));
    }
    Ok(Some(conn))
}

fn tune(conn: &Connection, cache_kib: i64) -> rusqlite::Result<()> {
    conn.busy_timeout(Duration::from_secs(10))?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "cache_size", -cache_kib)?;
    conn.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    conn.set_prepared_statement_cache_capacity(128);
    Ok(())
}

/// Makes the database under another name and renames it into place when it is whole.
fn create(directory: &Path, path: &Path, format: &Format) -> Result<()> {
    let draft = directory.join(format!("{FILE}.new"));
    remove_if_there(&draft)?;
    let mut conn = Connection::open(&draft).context(&draft)?;
    (|| {
        conn.pragma_update(None, "page_size", PAGE_BYTES)?;
        conn.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        conn.pragma_update(None, "application_id", APPLICATION_ID)?;
        conn.pragma_update(None, "synchronous", "FULL")?;
        let tx = conn.transaction()?;
        tx.execute_batch(format.schema)?;
        let mut key = [0_u8; 32];
        getrandom::fill(&mut key).expect("the operating system has random bytes");
        let mut insert = tx.prepare("INSERT INTO meta(key, value) VALUES(?1, ?2)")?;
        insert.execute(("fingerprint_key", &key[..]))?;
        insert.execute(("written_by", env!("CARGO_PKG_VERSION")))?;
        insert.execute(("next_seq", 1))?;
        insert.execute(("keys_from", 1))?;
        drop(insert);
        tx.pragma_update(None, "user_version", format.number())?;
        tx.commit()?;
        conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))
    })()
    .context(&draft)?;
    conn.close().map_err(|(_, error)| error).context(&draft)?;
    private(&draft)?;
    fs::rename(&draft, path).context(path)?;
    sync_directory(directory)
}

fn found_format(conn: &Connection, path: &Path, format: &Format) -> Result<u32> {
    let id: i32 = conn
        .query_row("PRAGMA application_id", [], |row| row.get(0))
        .context(path)?;
    if id != APPLICATION_ID {
        return Err(StoreError::Damaged(format!(
            "{} is not a store of openclaw",
            path.display()
        )));
    }
    let found: u32 = conn
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .context(path)?;
    if found > format.number() {
        let written_by: Option<String> = conn
            .query_row("SELECT value FROM meta WHERE key = 'written_by'", [], |row| row.get(0))
            .optional()
            .context(path)?;
        return Err(StoreError::Newer {
            found,
            known: format.number(),
            written_by: written_by.unwrap_or_else(|| "an unknown release".into()),
        });
    }
    if found == 0 {
        return Err(StoreError::Damaged(format!("{} names no format", path.display())));
    }
    Ok(found)
}

/// Brings an older store to `format`: first a copy beside it, then all steps in one transaction.
fn migrate(conn: &mut Connection, path: &Path, format: &Format) -> Result<()> {
    let found = found_format(conn, path, format)?;
    let release: Option<String> = conn
        .query_row("SELECT value FROM meta WHERE key = 'written_by'", [], |row| row.get(0))
        .optional()
        .context(path)?;
    if found == format.number() {
        if release.as_deref() != Some(env!("CARGO_PKG_VERSION")) {
            set_written_by(conn).context(path)?;
        }
        return Ok(());
    }
    let copy = PathBuf::from(format!("{}.format-{found}", path.display()));
    copy_database(conn, &copy)?;
    (|| {
        let tx = conn.transaction()?;
        let first = usize::try_from(found).unwrap_or(1) - 1;
        for step in &format.migrations[first..] {
            step(&tx)?;
        }
        set_written_by(&tx)?;
        tx.pragma_update(None, "user_version", format.number())?;
        tx.commit()
    })()
    .context(path)
}

fn set_written_by(conn: &Connection) -> rusqlite::Result<usize> {
    conn.execute(
        "INSERT OR REPLACE INTO meta(key, value) VALUES('written_by', ?1)",
        [env!("CARGO_PKG_VERSION")],
    )
}

/// Writes a consistent copy, readable by its owner alone; `to` appears when it is whole and on the disk.
pub(super) fn copy_database(conn: &Connection, to: &Path) -> Result<()> {
    let draft = PathBuf::from(format!("{}.part", to.display()));
    remove_if_there(&draft)?;
    let name = draft
        .to_str()
        .ok_or_else(|| StoreError::Engine(format!("{} is not UTF-8", draft.display())))?;
    // Made first so that no byte is ever readable by others: SQLite takes an empty file.
    fs::File::create_new(&draft).context(&draft)?;
    private(&draft)?;
    conn.execute("VACUUM INTO ?1", [name]).context(&draft)?;
    fs::File::open(&draft)
        .and_then(|file| file.sync_all())
        .context(&draft)?;
    fs::rename(&draft, to).context(to)?;
    sync_directory(to.parent().unwrap_or(Path::new(".")))
}

fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error).context(path),
        _ => Ok(()),
    }
}

/// Only the owner may read it.
pub(super) fn private(path: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).context(path)?;
    }
    let _ = path;
    Ok(())
}

/// Makes a rename survive a power loss.
fn sync_directory(directory: &Path) -> Result<()> {
    let directory = if directory.as_os_str().is_empty() {
        Path::new(".")
    } else {
        directory
    };
    fs::File::open(directory)
        .and_then(|file| file.sync_all())
        .context(directory)
}
