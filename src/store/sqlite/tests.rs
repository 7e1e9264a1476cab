//! The suite, and what is this engine's own: its files, its lock, its formats, its recovery.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, StatementStatus};

use super::schema::{self, Format};
use super::{check, open, open_readonly, open_with_clock, read, story};
use crate::clock::ManualClock;
use crate::event::{Data, Ordering};
use crate::store::conformance::{
    Bed, Desk, HOUR, T0, append, attempt, conformance, event, keyed, new, noise, page, put, settlement,
};
use crate::store::{Commit, EventQuery, LogQuery, Outcome, SenderKey, Store, StoreError};

struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

#[async_trait]
impl Bed for Directory {
    async fn open(&self, clock: Arc<ManualClock>, max_bytes: u64) -> Arc<dyn Store> {
        open_with_clock(self.0.path(), max_bytes, "a test", clock).unwrap()
    }

    async fn open_backup(&self, to: &Path) -> Arc<dyn Store> {
        let directory = to.parent().unwrap().join("opened");
        std::fs::create_dir(&directory).unwrap();
        std::fs::rename(to, directory.join(schema::FILE)).unwrap();
        open(&directory, 0, "a test").unwrap()
    }
}

conformance!(Directory::new());

fn path(bed: &Directory) -> &Path {
    bed.0.path()
}

#[tokio::test]
async fn a_second_gateway_is_told_who_the_first_is() {
    let bed = Directory::new();
    let first = open(path(&bed), 0, "pid 42, http://127.0.0.1:8790").unwrap();
    let second = open(path(&bed), 0, "another").unwrap_err();
    assert!(
        matches!(&second, StoreError::Locked { owner, .. } if owner == "pid 42, http://127.0.0.1:8790"),
        "{second}"
    );
    first.close().await;
    open(path(&bed), 0, "another").unwrap();
}

#[tokio::test]
async fn a_store_answers_until_it_is_closed() {
    let bed = Directory::new();
    let store = open(path(&bed), 0, "a test").unwrap();
    store.answers().await.unwrap();
    store.close().await;
    assert!(matches!(store.answers().await, Err(StoreError::Closed)));
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    let bed = Directory::new();
    let directory = path(&bed).join("made/here");
    let store = open(&directory, 0, "a test").unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    store.backup(&bed.0.path().join("copy")).await.unwrap();
    assert_eq!(mode(&bed.0.path().join("copy")), 0o600);
    for file in std::fs::read_dir(&directory).unwrap() {
        let path = file.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn a_store_of_a_newer_release_is_refused() {
    let bed = Directory::new();
    drop(open(path(&bed), 0, "a test").unwrap());
    let conn = Connection::open(path(&bed).join(schema::FILE)).unwrap();
    conn.execute_batch("PRAGMA user_version = 9; UPDATE meta SET value = '3.1.4' WHERE key = 'written_by'")
        .unwrap();
    drop(conn);
    let expected = |error: StoreError| {
        let newer = matches!(&error, StoreError::Newer { found: 9, known: 2, written_by } if written_by == "3.1.4");
        assert!(newer, "{error}");
    };
    expected(open(path(&bed), 0, "a test").unwrap_err());
    expected(open_readonly(path(&bed)).unwrap_err());
    expected(check(path(&bed)).unwrap_err());
}

/// A release that this one is the past of.
const NEXT: Format = Format {
    schema: schema::FORMAT.schema,
    migrations: &[schema::FORMAT.migrations[0], |tx| {
        tx.execute_batch("ALTER TABLE segments ADD COLUMN colour TEXT; UPDATE segments SET colour = 'red'")
    }],
};
const BROKEN: Format = Format {
    schema: schema::FORMAT.schema,
    migrations: &[schema::FORMAT.migrations[0], |tx| {
        tx.execute_batch("UPDATE segments SET events = 7; UPDATE nonsense SET a = 1")
    }],
};

#[tokio::test]
async fn an_older_store_is_copied_and_brought_forward() {
    let bed = Directory::new();
    let desk = Desk::open(&bed).await;
    desk.messages(3, T0).await;
    drop(desk);
    let read_only = schema::open_readonly(path(&bed), &NEXT).map(|_| ()).unwrap_err();
    assert!(
        matches!(&read_only, StoreError::Engine(text) if text.contains("format 2")),
        "{read_only}"
    );
    schema::open(path(&bed), &BROKEN).map(|_| ()).unwrap_err();
    let count = |conn: &Connection, sql: &str| conn.query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap();
    let old = schema::open(path(&bed), &schema::FORMAT).unwrap();
    assert_eq!(
        count(&old, "SELECT count(*) FROM segments WHERE events = 1"),
        3,
        "a failed step is undone"
    );
    drop(old);
    let conn = schema::open(path(&bed), &NEXT).unwrap();
    assert_eq!(count(&conn, "SELECT count(*) FROM segments WHERE colour = 'red'"), 3);
    assert_eq!(count(&conn, "PRAGMA user_version"), 3);
    drop(conn);
    assert!(matches!(
        open(path(&bed), 0, "old"),
        Err(StoreError::Newer { found: 3, known: 2, .. })
    ));
    // The copy is the store as it was.
    let back = path(&bed).join("back");
    std::fs::create_dir(&back).unwrap();
    std::fs::copy(path(&bed).join("store.db.format-2"), back.join(schema::FILE)).unwrap();
    let copy = open(&back, 0, "a test").unwrap();
    let query = EventQuery {
        page: page(10),
        ..EventQuery::default()
    };
    assert_eq!(copy.events(query).await.unwrap().items.len(), 3);
}

#[tokio::test]
async fn a_damaged_file_is_never_passed_over() {
    let bed = Directory::new();
    let desk = Desk::open(&bed).await;
    desk.put("s", &["*"]).await;
    for _ in 0..200 {
        desk.messages(10, T0).await;
    }
    desk.store.close().await;
    drop(desk);
    let file = path(&bed).join(schema::FILE);
    let whole = std::fs::read(&file).unwrap();
    let opened = |bytes: &[u8]| {
        std::fs::write(&file, bytes).unwrap();
        open(path(&bed), 0, "a test")
    };
    for (what, bytes) in [
        ("empty", Vec::new()),
        ("another file", vec![b'x'; 10_000]),
        ("cut short", whole[..whole.len() / 2].to_vec()),
        (
            "overwritten from the second page on",
            [&whole[..4096], &vec![0xaa; whole.len() - 4096][..]].concat(),
        ),
    ] {
        let error = match opened(&bytes) {
            Err(error) => Some(error),
            Ok(store) => {
                let query = EventQuery {
                    page: page(1000),
                    ..EventQuery::default()
                };
                store.events(query).await.err()
            }
        };
        assert!(matches!(error, Some(StoreError::Damaged(_))), "{what}: {error:?}");
    }
    // Damage where a start does not look is found by the check.
    let mut bytes = whole.clone();
    let at = whole.len() / 2 / 4096 * 4096;
    bytes[at..at + 4096].fill(0xaa);
    std::fs::write(&file, &bytes).unwrap();
    let checked = check(path(&bed));
    assert!(
        matches!(&checked, Ok(Some(found)) if !found.problems.is_empty())
            || matches!(&checked, Err(StoreError::Damaged(_))),
        "{checked:?}"
    );
    std::fs::remove_file(&file).unwrap();
    std::fs::write(path(&bed).join("store.db-wal"), "x").unwrap();
    assert!(
        matches!(open(path(&bed), 0, "a test"), Err(StoreError::Damaged(_))),
        "the log alone"
    );
}

/// Copies the database and its log as they are at this moment, the log last: what a crash could leave.
fn snapshot(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for file in [schema::FILE, "store.db-wal"] {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_taken_while_writing_has_all_that_was_answered() {
    let bed = Directory::new();
    let desk = Desk::open(&bed).await;
    let sender = desk.put("s", &["*"]).await;
    let answered = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (store, answered) = (desk.store.clone(), answered.clone());
        tasks.spawn(async move {
            for _ in 0..150 {
                store.append(append(vec![new(event("a.b"))], T0)).await.unwrap();
                answered.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            }
        });
    }
    for round in 0..5 {
        while answered.load(std::sync::atomic::Ordering::SeqCst) < round * 100 {
            tokio::task::yield_now().await;
        }
        let sure = answered.load(std::sync::atomic::Ordering::SeqCst);
        let to = path(&bed).join(format!("snapshot-{round}"));
        snapshot(path(&bed), &to);
        assert!(check(&to).unwrap().unwrap().problems.is_empty());
        let copy = open(&to, 0, "a test").unwrap();
        let owed = copy.sender_figures(sender).await.unwrap().owed;
        assert!(owed >= sure as u64, "{owed} of {sure}");
        let claim = crate::store::Claim {
            sender,
            now_ms: T0,
            limit: 1024,
            bytes: usize::MAX,
            ordering: Ordering::None,
        };
        assert_eq!(copy.claim(claim).await.unwrap().len() as u64, owed);
    }
    tasks.join_all().await;
}

#[tokio::test]
async fn a_store_is_read_and_checked_beside_its_gateway() {
    let bed = Directory::new();
    assert!(open_readonly(path(&bed)).unwrap().is_none());
    assert!(check(path(&bed)).unwrap().is_none());
    let desk = Desk::open(&bed).await;
    let sender = desk.put("s", &["*"]).await;
    desk.messages(5, T0).await;
    for running in [true, false] {
        if !running {
            desk.store.close().await;
        }
        let reader = open_readonly(path(&bed)).unwrap().unwrap();
        assert_eq!(reader.sender_figures(sender).await.unwrap().owed, 5);
        assert_eq!(reader.senders().await.unwrap()[0].owed, 5);
        assert_eq!(reader.fingerprint_key(), desk.store.fingerprint_key());
        let refused = reader.append(append(vec![new(event("a.b"))], T0)).await.unwrap_err();
        assert!(refused.to_string().contains("reading only"), "{refused}");
        reader.close().await;
        let checked = check(path(&bed)).unwrap().unwrap();
        assert_eq!(
            (checked.events, checked.owed, checked.dead, checked.format),
            (5, 5, 0, 2)
        );
        assert_eq!(checked.problems, [""; 0]);
    }
}

#[tokio::test]
async fn space_of_what_is_gone_is_given_back() {
    let bed = Directory::new();
    let desk = Desk::open(&bed).await;
    let bulk = (0..2000).map(|_| {
        let mut event = event("a.b");
        event.data = Data::written(format!("\"{}\"", noise(8000)));
        new(event)
    });
    desk.store.append(append(bulk.collect(), T0)).await.unwrap();
    let size = || std::fs::metadata(path(&bed).join(schema::FILE)).unwrap().len();
    let retention = crate::store::Retention {
        settled_ms: HOUR,
        dead_ms: HOUR,
        max_bytes: 0,
    };
    let bytes = desk.store.totals().await.unwrap().bytes;
    assert!(bytes > 16_000_000, "{bytes} bytes take no room");
    assert_eq!(desk.store.retain(retention, T0 + 2 * HOUR).await.unwrap().events, 2000);
    desk.store.close().await;
    assert!(size() < 8 * 1024 * 1024, "{} bytes for nothing", size());
}

#[tokio::test]
async fn a_large_commit_and_its_appends_agree() {
    let bed = Directory::new();
    let desk = Desk::open(&bed).await;
    let names: Vec<String> = (0..2000).map(|n| format!("s{n}")).collect();
    let commit = Commit {
        senders: names.iter().map(|name| put(name, None, &["a.b"], None)).collect(),
        now_ms: T0,
        ..Commit::default()
    };
    let keys = desk.store.commit(commit).await.unwrap().keys;
    desk.append(event("a.b"), T0).await;
    assert_eq!(desk.store.totals().await.unwrap().owed, 2000);
    let owed = desk.all(keys[1234].1, T0).await;
    let settlements = owed
        .iter()
        .map(|owed| settlement(owed, None, Outcome::Delivered))
        .collect();
    desk.store.settle(settlements).await.unwrap();
    assert_eq!(desk.store.totals().await.unwrap().owed, 1999);
}

#[tokio::test]
async fn appends_beyond_the_bound_are_told_so() {
    let bed = Directory::new();
    let desk = Desk::open(&bed).await;
    let mut tasks = tokio::task::JoinSet::new();
    let body = "x".repeat(5 * 1024 * 1024);
    for number in 0..40 {
        let store = desk.store.clone();
        let mut event = event("a.b");
        event.data = Data::written(format!("\"{body}\""));
        tasks.spawn(async move {
            let append = append(vec![keyed(event, "r", &number.to_string(), T0 + HOUR)], T0);
            (number, store.append(append).await)
        });
    }
    let mut stored = 0;
    for (number, result) in tasks.join_all().await {
        match result {
            Ok(_) => stored += 1,
            Err(StoreError::Busy(_)) => {
                let again = append(vec![keyed(event("a.b"), "r", &number.to_string(), T0 + HOUR)], T0);
                assert!(
                    !desk.store.append(again).await.unwrap()[0].duplicate,
                    "its key was burnt"
                );
                stored += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(stored, 40);
    assert_eq!(desk.stored().await, 40);
}

#[tokio::test]
async fn a_page_of_failures_costs_what_it_shows_however_long_the_log_is() {
    const ATTEMPTS: i64 = 21_000;
    let bed = Directory::new();
    let desk = Desk::open(&bed).await;
    let (rarely, always) = (desk.put("rarely", &["a.b"]).await, desk.put("always", &["a.b"]).await);
    desk.append(event("a.b"), T0).await;
    for sender in [always, rarely] {
        let owed = desk.all(sender, T0).await.remove(0);
        let tried = (0..ATTEMPTS).map(|at| {
            let failed = sender == always || at < 3;
            let attempt = attempt(1, T0 + at, failed.then_some("status"));
            settlement(&owed, Some(attempt), Outcome::Retry { due_ms: T0 + HOUR })
        });
        desk.store.settle(tried.collect()).await.unwrap();
    }
    desk.store.close().await;
    let mut conn = schema::open_readonly(path(&bed), &schema::FORMAT).unwrap().unwrap();
    let mut failures = |sender: Option<SenderKey>, cursor: Option<String>, most_steps: u32| {
        let mut steps = 0;
        let stop = move || {
            steps += 100;
            steps > most_steps
        };
        conn.progress_handler(100, Some(stop)).unwrap();
        let query = LogQuery {
            sender,
            failed: true,
            page: crate::store::Page { limit: 10, cursor },
            ..LogQuery::default()
        };
        read::logs(&conn, &query).unwrap()
    };
    let times = |listing: crate::store::Listing<crate::store::LogEntry>| -> Vec<i64> {
        listing.items.iter().map(|entry| entry.at_ms - T0).collect()
    };
    assert_eq!(times(failures(Some(rarely), None, 5_000)), [2, 1, 0]);
    let newest: Vec<i64> = (0..ATTEMPTS).rev().take(10).collect();
    assert_eq!(times(failures(Some(always), None, 5_000)), newest);
    // Of all senders: what one page looks at is bounded, and the pages after it find what is older.
    let first = failures(None, None, 1_000_000);
    assert!(first.items.is_empty());
    assert!(times(failures(None, first.next, 1_000_000)).starts_with(&[2, 1, 0]));
}

#[tokio::test]
async fn no_backlog_adds_a_step_to_finding_the_oldest_delivery_of_all() {
    let bed = Directory::new();
    let desk = Desk::open(&bed).await;
    for name in ["a", "b", "c"] {
        desk.put(name, &["*"]).await;
    }
    let mut steps = Vec::new();
    for _ in 0..2 {
        desk.messages(300, T0).await;
        let conn = Connection::open(path(&bed).join(schema::FILE)).unwrap();
        let mut oldest = conn.prepare(story::OLDEST_OWED).unwrap();
        let found: Option<i64> = oldest.query_row([], |row| row.get(0)).unwrap();
        assert_eq!(found, Some(T0));
        steps.push(oldest.get_status(StatementStatus::VmStep));
    }
    assert_eq!(steps[0], steps[1]);
}
