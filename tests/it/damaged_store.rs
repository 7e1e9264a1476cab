//! A store that is damaged, or cannot be written, is said: never passed over.

use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::sync::Arc;

use crate::disk::Disk;
use crate::harness::{Gateway, Receiver, document, eventually, openclaw};
use crate::load::{Load, SECRET, github};

const PAGE: usize = 4096;

/// A stopped gateway's store with some hundred events; `kill`: with its log, as a crash leaves it.
struct Store {
    dir: Arc<tempfile::TempDir>,
    database: Vec<u8>,
    log: Vec<u8>,
}

impl Store {
    fn of_a_gateway(events: usize, kill: bool) -> Self {
        let text = document(&format!(
            "  inbound:\n    github: {{ secret: {SECRET} }}\n  outbound:\n    all: {{ url: \"http://127.0.0.1:9/\", paused: true }}\n"
        ));
        let mut gateway = Gateway::start(&text);
        for n in 0..events {
            let id = format!("damage-{n}");
            assert_eq!(github("/webhook/github", &id).send(gateway.public).status, 200);
        }
        let dir = if kill {
            gateway.kill().0
        } else {
            gateway.signal("TERM");
            assert_eq!(gateway.wait(), Some(0));
            gateway.dir.clone()
        };
        let mut store = Self {
            dir,
            database: Vec::new(),
            log: Vec::new(),
        };
        store.database = fs::read(store.file("store.db")).unwrap();
        store.log = fs::read(store.file("store.db-wal")).unwrap_or_default();
        store
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(".openclaw-webhooks").join(name)
    }

    /// Puts these bytes into the place of the two files.
    fn put(&self, database: &[u8], log: &[u8]) {
        fs::write(self.file("store.db"), database).unwrap();
        let _ = fs::remove_file(self.file("store.db-shm"));
        if log.is_empty() {
            let _ = fs::remove_file(self.file("store.db-wal"));
        } else {
            fs::write(self.file("store.db-wal"), log).unwrap();
        }
    }

    fn check(&self) -> Output {
        openclaw()
            .args(["store", "check"])
            .current_dir(self.dir.path())
            .output()
            .unwrap()
    }

    /// Whether a check says that something is wrong.
    fn is_said(&self) -> bool {
        let output = self.check();
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(!text.contains("panicked"), "{text}");
        let said = output.status.code() == Some(1);
        assert!(!said || text.contains("Problem:") || text.contains("damaged"), "{text}");
        said
    }
}

#[test]
fn a_store_file_that_is_cut_is_said() {
    let store = Store::of_a_gateway(300, false);
    store.put(&store.database, &[]);
    assert!(!store.is_said(), "whole, nothing is wrong");
    let pages = store.database.len() / PAGE;
    for cut in [1, 99, 4095, PAGE, PAGE + 1, (pages / 2) * PAGE, (pages - 1) * PAGE] {
        store.put(&store.database[..cut], &[]);
        assert!(store.is_said(), "cut at {cut} of {}", store.database.len());
        let started = Gateway::try_start_in(store.dir.clone(), Vec::new());
        if let Err(output) = started {
            assert!(output.contains("the store is damaged"), "cut at {cut}:\n{output}");
        }
    }
}

#[test]
fn flipped_bits_in_the_structure_of_any_page_are_said() {
    let store = Store::of_a_gateway(300, false);
    let pages = store.database.len() / PAGE;
    let (mut said, mut looked_at) = (0, 0);
    for page in (0..pages).step_by(pages / 40 + 1) {
        let mut bytes = store.database.clone();
        // The kind of the page, its first free block and how many cells it has; the first page begins with the file's header.
        let at = page * PAGE + if page == 0 { 100 } else { 0 };
        for byte in &mut bytes[at..at + 5] {
            *byte ^= 0x55;
        }
        store.put(&bytes, &[]);
        said += usize::from(store.is_said());
        looked_at += 1;
    }
    // All but pages that hold nothing: free ones, and the map of what points where.
    assert!(said >= looked_at * 9 / 10, "{said} of {looked_at}");
}

#[test]
fn flipped_bits_in_the_log_are_said() {
    let store = Store::of_a_gateway(60, true);
    let mut said = 0;
    // The last transactions may be taken for a torn end: they could be one.
    let places = (0..store.log.len() * 3 / 4).step_by(store.log.len() / 40);
    for at in places.clone() {
        let mut log = store.log.clone();
        log[at] ^= 0x20;
        store.put(&store.database, &log);
        assert!(store.is_said(), "the bit at {at} of {}", log.len());
        said += 1;
        if said % 10 == 0 {
            let output = Gateway::try_start_in(store.dir.clone(), Vec::new())
                .map(drop)
                .unwrap_err();
            assert!(
                output.contains("damaged") && output.contains("restore a backup"),
                "{output}"
            );
        }
    }
    store.put(&store.database, &store.log);
    assert!(!store.is_said());
}

#[test]
fn a_read_only_directory_is_an_error_that_names_it() {
    let Some(disk) = Disk::mount(8) else { return };
    let path = disk.path().join("store");
    let text = document(&format!(
        "  store: {{ path: \"{}\" }}\n  inbound:\n    github: {{ secret: {SECRET} }}\n",
        path.display()
    ));
    let mut gateway = Gateway::start(&text);
    assert_eq!(github("/webhook/github", "one").send(gateway.public).status, 200);
    gateway.signal("TERM");
    assert_eq!(gateway.wait(), Some(0));
    let dir = gateway.dir.clone();
    drop(gateway);
    disk.make_read_only();
    let refused = Gateway::try_start_in(dir, Vec::new()).map(drop).unwrap_err();
    assert!(
        refused.contains(path.to_str().unwrap()) && refused.contains("ead-only"),
        "{refused}"
    );
}

#[test]
fn a_gateway_goes_on_after_a_torn_end_of_its_log() {
    let store = Store::of_a_gateway(50, true);
    assert!(store.log.len() > 20 * PAGE, "{} bytes of log", store.log.len());
    // Half of a last write, as a power loss leaves it.
    for torn in [1, 24, 2000] {
        let mut log = store.log.clone();
        log.extend(vec![0x5a; torn]);
        store.put(&store.database, &log);
        assert!(!store.is_said(), "{torn} bytes");
        let gateway = Gateway::start_in(store.dir.clone(), Vec::new());
        eventually("all of it is owed", || {
            (gateway.json("/v1/webhooks/outbound/all")["sender"]["owed"].as_u64() >= Some(50)).then_some(())
        });
    }
}

#[test]
fn a_check_beside_a_working_gateway_finds_nothing() {
    let receiver = Receiver::start();
    let gateway = Gateway::start(&document(&format!(
        "  inbound:\n    github: {{ secret: {SECRET} }}\n  outbound:\n    all: {{ url: \"{}\" }}\n    more: {{ url: \"http://127.0.0.1:9/\", paused: true }}\n",
        receiver.url("/")
    )));
    let load = Load::start(gateway.public, "/webhook/github", 8, false);
    load.wait_for(1000);
    for _ in 0..5 {
        let checked = gateway.cli(&["store", "check"]);
        let said = [checked.stdout, checked.stderr].concat();
        assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&said));
    }
    let (_, bad) = load.stop();
    assert!(bad.is_empty(), "{bad:?}");
}
