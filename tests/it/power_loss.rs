//! What was answered 2xx survives a power loss: whatever the disk does to what was not synced.
//!
//! The store's log only grows between two of its own copies into the database, and a request is answered when the log is
//! synced up to and with its own transaction. So what a power loss can leave of a log is: every byte that was there when the
//! last answer came, and after that anything. Of the database file, each page as it was or as a copy in progress left it.
//! Samples of both files are taken under load, mistreated so, and opened again.
//!
//! What this does not show: a disk that says "synced" and lies, a file system that loses whole files or their names, and
//! what a copy does at the moment in which the log begins anew (the samples around one are left out).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use openclaw::store::{EventQuery, Page, Store as _, sqlite};

use crate::harness::{Gateway, Receiver, document, eventually};
use crate::load::{Load, SECRET};

const PAGE: usize = 4096;
/// A header, and before each page of the log another.
const LOG_HEADER: usize = 32;
const FRAME: usize = PAGE + 24;

/// Both files at one moment.
struct Sample {
    /// Read first: it may be older than the log.
    database: Vec<u8>,
    /// What was answered 2xx before the length was read.
    accepted: BTreeSet<String>,
    /// So much of the log was there then.
    synced: usize,
    log: Vec<u8>,
}

impl Sample {
    /// `None`: the log began anew meanwhile.
    fn take(directory: &Path, load: &Load) -> Option<Self> {
        let (store, log) = (directory.join("store.db"), directory.join("store.db-wal"));
        let header = |bytes: &[u8]| bytes.get(..LOG_HEADER).map(<[u8]>::to_vec);
        let before = header(&fs::read(&log).ok()?)?;
        let database = fs::read(store).ok()?;
        let accepted = load.accepted_so_far();
        let synced = usize::try_from(fs::metadata(&log).ok()?.len()).ok()?;
        // Meanwhile others are written behind it.
        std::thread::sleep(Duration::from_millis(3));
        let log = fs::read(&log).ok()?;
        let after = header(&fs::read(directory.join("store.db-wal")).ok()?)?;
        (before == after && header(&log)? == before).then_some(Self {
            database,
            accepted,
            synced,
            log,
        })
    }

    /// Opens these files and looks for every event that was answered.
    fn holds(&self, database: &[u8], log: &[u8], what: &str) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("store.db"), database).unwrap();
        fs::write(dir.path().join("store.db-wal"), log).unwrap();
        let found = events(dir.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
        let missing: Vec<_> = self.accepted.difference(&found).collect();
        assert!(
            missing.is_empty(),
            "{what}: {} of {} are missing: {:?}",
            missing.len(),
            self.accepted.len(),
            &missing[..missing.len().min(3)]
        );
    }
}

/// The delivery ids of all events of a store, and nothing wrong with it.
fn events(directory: &Path) -> Result<BTreeSet<String>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = sqlite::open(directory, 0, "a test").map_err(|e| e.to_string())?;
        let mut found = BTreeSet::new();
        let mut query = EventQuery {
            page: Page {
                limit: 1000,
                cursor: None,
            },
            ..EventQuery::default()
        };
        loop {
            let listing = store.events(query.clone()).await.map_err(|e| e.to_string())?;
            for event in listing.items {
                let data: serde_json::Value = serde_json::from_str(event.data.as_str()).unwrap();
                found.extend(data["deliveryId"].as_str().map(str::to_owned));
            }
            match listing.next {
                Some(next) => query.page.cursor = Some(next),
                None => break,
            }
        }
        store.close().await;
        let checked = sqlite::check(directory).map_err(|e| e.to_string())?.unwrap();
        if checked.problems.is_empty() {
            Ok(found)
        } else {
            Err(checked.problems.join("; "))
        }
    })
}

fn gateway(receiver: &Receiver) -> (Gateway, PathBuf) {
    let gateway = Gateway::start(&document(&format!(
        "  inbound:\n    github: {{ secret: {SECRET} }}\n  outbound:\n    all: {{ url: \"{}\", secret: s }}\n",
        receiver.url("/")
    )));
    let directory = gateway.path(".openclaw-webhooks");
    (gateway, directory)
}

/// Samples at different moments, under load.
fn samples(count: usize, apart: usize) -> Vec<Sample> {
    let receiver = Receiver::start();
    let (gateway, directory) = gateway(&receiver);
    let load = Load::start(gateway.public, "/webhook/github", 4, true);
    let mut samples = Vec::new();
    while samples.len() < count {
        let next = load.accepted() + apart;
        eventually("requests are accepted", || (load.accepted() >= next).then_some(()));
        samples.extend(Sample::take(&directory, &load));
    }
    gateway.kill();
    let (_, bad) = load.stop();
    assert!(bad.is_empty(), "{bad:?}");
    samples
}

#[test]
fn what_was_answered_survives_the_loss_of_everything_unsynced() {
    let samples = samples(12, 40);
    let mut cases = 0;
    for (number, sample) in samples.iter().enumerate() {
        let (synced, length) = (sample.synced, sample.log.len());
        let frame = synced - (synced - LOG_HEADER) % FRAME;
        let cuts = [
            synced,
            synced + 1,
            synced + 23,
            synced + 24,
            synced + 25,
            synced + FRAME - 1,
            synced + FRAME,
            frame + FRAME + PAGE / 2,
            usize::midpoint(synced, length),
            length,
        ];
        for cut in cuts.into_iter().filter(|cut| (synced..=length).contains(cut)) {
            let what = |how: &str| format!("sample {number}, {how} after {cut} ({synced} synced, {length} there)");
            let kept = &sample.log[..cut];
            sample.holds(&sample.database, kept, &what("cut"));
            // The length had reached the disk, the bytes had not: zeros, something else, or what was there with a bit turned.
            let zeros = [kept, &vec![0; length - cut + FRAME][..]].concat();
            sample.holds(&sample.database, &zeros, &what("zeros"));
            let garbage: Vec<u8> = (0..length - cut + FRAME)
                .map(|n| u8::try_from(n * 31 % 251).unwrap())
                .collect();
            sample.holds(&sample.database, &[kept, &garbage[..]].concat(), &what("garbage"));
            if cut < length {
                // One page more, and a bit of it turned: further behind, others may have been synced by then.
                let mut turned = sample.log[..length.min(cut + FRAME)].to_vec();
                turned[cut] ^= 0x10;
                sample.holds(&sample.database, &turned, &what("a bit turned"));
            }
            cases += 3;
        }
    }
    assert!(cases > 60, "only {cases} cases");
}

#[test]
fn a_copy_into_the_database_that_was_cut_anywhere_loses_nothing() {
    // Long enough apart that the log is copied meanwhile.
    let samples = samples(6, 400);
    let mut mixed = 0;
    for pair in samples.windows(2) {
        let [older, newer] = pair else {
            unreachable!("windows of two")
        };
        // Only within one life of the log.
        if older.log[..LOG_HEADER] != newer.log[..LOG_HEADER] {
            continue;
        }
        // None of the copy had reached the disk, or every second or third page of it, or one page half.
        newer.holds(&older.database, &newer.log, "the older database");
        for every in [2, 3] {
            let mut database = newer.database.clone();
            for (number, page) in database.chunks_mut(PAGE).enumerate() {
                let old = older.database.get(number * PAGE..(number + 1) * PAGE);
                if let Some(old) = old.filter(|_| number % every == 0) {
                    page.copy_from_slice(old);
                }
            }
            newer.holds(&database, &newer.log, "a mixture");
            mixed += usize::from(database != newer.database);
        }
    }
    println!("{mixed} mixtures of two different databases");
}
