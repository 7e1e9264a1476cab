//! Copying a store, and checking one.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::failure::Context;
use super::{schema, wal};
use crate::store::{Result, StoreError};

/// Writes a consistent copy into a new file, or as `store.db` into a directory.
pub(super) fn backup(conn: &Connection, to: &Path) -> Result<()> {
    let to = if to.is_dir() {
        to.join(schema::FILE)
    } else {
        to.to_path_buf()
    };
    if to.exists() {
        return Err(StoreError::Engine(format!(
            "{} is there already: name a new file",
            to.display()
        )));
    }
    schema::copy_database(conn, &to)
}

/// What [`check`] found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// The database's file.
    pub path: PathBuf,
    /// Its format.
    pub format: u32,
    /// The release that wrote it.
    pub written_by: String,
    /// Events.
    pub events: u64,
    /// Deliveries owed.
    pub owed: u64,
    /// Dead letters.
    pub dead: u64,
    /// Generations.
    pub generations: u64,
    /// What is wrong; empty: nothing.
    pub problems: Vec<String>,
}

/// Looks through a whole store, with or without a gateway that has it; `None`: there is none. Takes as long as reading it.
pub fn check(directory: &Path) -> Result<Option<Checked>> {
    wal::check(directory)?;
    let Some(conn) = schema::open_readonly(directory, &schema::FORMAT)? else {
        return Ok(None);
    };
    let path = directory.join(schema::FILE);
    let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, u64>(0)).context(&path);
    let mut problems: Vec<String> = conn
        .prepare("PRAGMA integrity_check(100)")
        .and_then(|mut check| check.query_map([], |row| row.get(0))?.collect())
        .context(&path)?;
    problems.retain(|line| line != "ok");
    for (what, sql) in [
        (
            "owed deliveries without their event",
            "SELECT count(*) FROM owed WHERE seq NOT IN (SELECT seq FROM events)",
        ),
        (
            "dead letters without their event",
            "SELECT count(*) FROM dead WHERE seq NOT IN (SELECT seq FROM events)",
        ),
        (
            "owed deliveries without their sender",
            "SELECT count(*) FROM owed WHERE sender NOT IN (SELECT key FROM senders)",
        ),
        (
            "dead letters without their sender",
            "SELECT count(*) FROM dead WHERE sender NOT IN (SELECT key FROM senders)",
        ),
        (
            "events whose data is no JSON",
            "SELECT count(*) FROM events WHERE NOT json_valid(data)",
        ),
    ] {
        match number(sql)? {
            0 => {}
            found => problems.push(format!("{found} {what}")),
        }
    }
    let written_by = super::meta(&conn, "written_by")?;
    Ok(Some(Checked {
        format: u32::try_from(number("PRAGMA user_version")?).unwrap_or(u32::MAX),
        written_by,
        events: number("SELECT count(*) FROM events")?,
        owed: number("SELECT count(*) FROM owed")?,
        dead: number("SELECT count(*) FROM dead")?,
        generations: number("SELECT count(*) FROM generations")?,
        problems,
        path,
    }))
}
