//! Copying a store, and checking one.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::failure::Context;
use super::{log, schema, wal};
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

/// Looks through a whole store, with or without a gateway that has it; `None`: there is none. Takes as long as reading it,
/// and sees the store as it is at one moment: what a gateway writes meanwhile stays in its log until the end.
pub fn check(directory: &Path) -> Result<Option<Checked>> {
    wal::check(directory)?;
    let Some(conn) = schema::open_readonly(directory, &schema::FORMAT)? else {
        return Ok(None);
    };
    let conn = conn.unchecked_transaction()?;
    let path = directory.join(schema::FILE);
    let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, u64>(0)).context(&path);
    let mut problems: Vec<String> = conn
        .prepare("PRAGMA integrity_check(100)")
        .and_then(|mut check| check.query_map([], |row| row.get(0))?.collect())
        .context(&path)?;
    problems.retain(|line| line != "ok");
    for (what, sql) in [
        (
            "owed deliveries without their sender",
            "SELECT count(*) FROM owed WHERE sender NOT IN (SELECT key FROM senders)",
        ),
        (
            "dead letters without their sender",
            "SELECT count(*) FROM dead WHERE sender NOT IN (SELECT key FROM senders)",
        ),
    ] {
        match number(sql)? {
            0 => {}
            found => problems.push(format!("{found} {what}")),
        }
    }
    let (events, owed_of_events, dead_of_events) = read_events(&conn, &mut problems)?;
    let owed = number("SELECT count(*) FROM owed")?;
    let dead = number("SELECT count(*) FROM dead")?;
    for (what, found) in [
        ("owed deliveries", owed.saturating_sub(owed_of_events)),
        ("dead letters", dead.saturating_sub(dead_of_events)),
    ] {
        if found > 0 {
            problems.push(format!("{found} {what} without their event"));
        }
    }
    let written_by = super::meta(&conn, "written_by")?;
    Ok(Some(Checked {
        format: u32::try_from(number("PRAGMA user_version")?).unwrap_or(u32::MAX),
        written_by,
        events,
        owed,
        dead,
        generations: number("SELECT count(*) FROM generations")?,
        problems,
        path,
    }))
}

/// Reads every event. Returns how many there are, and how many deliveries are owed and dead of them.
fn read_events(conn: &Connection, problems: &mut Vec<String>) -> Result<(u64, u64, u64)> {
    let mut all = conn.prepare("SELECT first, last, packed, bytes FROM segments ORDER BY first")?;
    let mut rows = all.query([])?;
    let (mut events, mut owed, mut dead) = (0, 0, 0);
    while let Some(row) = rows.next()? {
        let segment = match log::open(row) {
            Ok(segment) => segment,
            Err(error) => {
                problems.push(error.to_string());
                continue;
            }
        };
        for seq in segment.seqs() {
            match segment.event(seq) {
                Ok(None) => {}
                Ok(Some(_)) => {
                    let count = |sql: &str| conn.prepare_cached(sql)?.query_row([seq], |row| row.get::<_, u64>(0));
                    events += 1;
                    owed += count("SELECT count(*) FROM owed WHERE seq = ?1")?;
                    dead += count("SELECT count(*) FROM dead WHERE seq = ?1")?;
                }
                Err(error) => problems.push(error.to_string()),
            }
        }
    }
    Ok((events, owed, dead))
}
