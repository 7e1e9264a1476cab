//! Real files, one scenario a test. With [`events`] nothing is polled, with [`polled`] there are no events: each eye is tested
//! by itself.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Instant;

use notify::{ErrorKind, NullWatcher, RecursiveMode};
use tempfile::TempDir;

use super::eyes::POLL_FILES;
use super::*;

const NEVER: Duration = Duration::from_hours(24);
/// Nothing in here takes this long: a test that waits for it has failed.
const PATIENCE: Duration = Duration::from_secs(20);

struct Case {
    home: TempDir,
    watcher: Watcher,
    changes: Changes,
}

/// Watches `names` in a new directory that `make` has filled, by events alone.
fn events(names: &[&str], make: impl FnOnce(&Path)) -> Case {
    case(names, make, |paths| Watcher::start_every(paths, NEVER))
}

/// The same by polling alone.
fn polled(names: &[&str], make: impl FnOnce(&Path)) -> Case {
    case(names, make, |paths| {
        Watcher::start_with(
            paths,
            Duration::from_millis(5),
            Arc::default(),
            Ok(Box::new(NullWatcher)),
        )
    })
}

fn case(
    names: &[&str],
    make: impl FnOnce(&Path),
    start: impl FnOnce(Vec<PathBuf>) -> io::Result<(Watcher, Changes)>,
) -> Case {
    let home = tempfile::tempdir().unwrap();
    make(home.path());
    let (watcher, changes) = start(names.iter().map(|name| home.path().join(name)).collect()).unwrap();
    Case { home, watcher, changes }
}

impl Case {
    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    async fn next(&mut self) -> PathBuf {
        let changed = tokio::time::timeout(PATIENCE, self.changes.recv())
            .await
            .expect("no change was seen");
        changed.expect("the watcher is alive").path
    }

    /// Takes changes until the watcher has seen `name` as it is now.
    async fn sees(&mut self, name: &str) {
        let path = self.path(name);
        assert_eq!(self.next().await, path);
    }

    /// That nothing is reported: all that happened before is looked at by the time a change of `witness` is.
    async fn sees_nothing_but(&mut self, witness: &str) {
        fs::write(self.path(witness), format!("{:?}", Instant::now())).unwrap();
        self.sees(witness).await;
    }
}

fn rename_over(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

fn one_file(home: &Path) {
    fs::write(home.join("a.yaml"), "old").unwrap();
}

#[tokio::test]
async fn a_file_written_in_place_is_seen() {
    for mut case in [events(&["a.yaml"], one_file), polled(&["a.yaml"], one_file)] {
        fs::write(case.path("a.yaml"), "new").unwrap();
        case.sees("a.yaml").await;
    }
}

#[tokio::test]
async fn a_burst_of_changed_files_is_taken_in_one() {
    let names: Vec<String> = (0..200).map(|n| format!("{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for mut case in [events(&names, |_| {}), polled(&names, |_| {})] {
        for name in &names {
            fs::write(case.path(name), "new").unwrap();
        }
        let end = Instant::now() + PATIENCE;
        while lock(&case.changes.0.state).changed.len() < names.len() {
            assert!(Instant::now() < end, "they are not all seen");
            std::thread::sleep(Duration::from_millis(5));
        }
        let all = case.changes.recv_all().await.unwrap();
        assert_eq!(all.len(), names.len());
        assert!(case.changes.try_recv().is_none());
    }
}

#[tokio::test]
async fn a_file_renamed_over_the_old_one_is_seen_again_and_again() {
    for mut case in [events(&["a.yaml"], one_file), polled(&["a.yaml"], one_file)] {
        for round in 0..5 {
            rename_over(&case.path("a.yaml"), &format!("{round}"));
            case.sees("a.yaml").await;
        }
    }
}

#[tokio::test]
async fn a_file_that_is_deleted_and_made_again_is_seen() {
    for mut case in [events(&["a.yaml"], one_file), polled(&["a.yaml"], one_file)] {
        for round in 0..3 {
            fs::remove_file(case.path("a.yaml")).unwrap();
            case.sees("a.yaml").await;
            fs::write(case.path("a.yaml"), format!("{round}")).unwrap();
            case.sees("a.yaml").await;
        }
    }
}

#[tokio::test]
async fn a_swapped_kubernetes_data_link_is_seen() {
    let volume = |home: &Path| {
        fs::create_dir(home.join("..1")).unwrap();
        fs::write(home.join("..1/a.yaml"), "1").unwrap();
        symlink("..1", home.join("..data")).unwrap();
        symlink("..data/a.yaml", home.join("a.yaml")).unwrap();
    };
    for mut case in [events(&["a.yaml"], volume), polled(&["a.yaml"], volume)] {
        for version in 2..5 {
            let directory = case.path(&format!("..{version}"));
            fs::create_dir(&directory).unwrap();
            fs::write(directory.join("a.yaml"), format!("{version}")).unwrap();
            symlink(format!("..{version}"), case.path("..tmp")).unwrap();
            fs::rename(case.path("..tmp"), case.path("..data")).unwrap();
            fs::remove_dir_all(case.path(&format!("..{}", version - 1))).unwrap();
            case.sees("a.yaml").await;
        }
    }
}

#[tokio::test]
async fn each_link_of_a_chain_is_watched_in_its_own_directory() {
    let chain = |home: &Path| {
        for name in ["one", "two", "three", "four"] {
            fs::create_dir(home.join(name)).unwrap();
        }
        fs::write(home.join("three/a.yaml"), "3").unwrap();
        fs::write(home.join("four/a.yaml"), "4").unwrap();
        symlink("../two/link", home.join("one/a.yaml")).unwrap();
        symlink(home.join("three/a.yaml"), home.join("two/link")).unwrap();
    };
    for mut case in [events(&["one/a.yaml"], chain), polled(&["one/a.yaml"], chain)] {
        fs::write(case.path("three/a.yaml"), "3, changed").unwrap();
        case.sees("one/a.yaml").await;
        symlink(case.path("four/a.yaml"), case.path("two/new")).unwrap();
        fs::rename(case.path("two/new"), case.path("two/link")).unwrap();
        case.sees("one/a.yaml").await;
        rename_over(&case.path("four/a.yaml"), "4, changed");
        case.sees("one/a.yaml").await;
        rename_over(&case.path("one/a.yaml"), "no link any more");
        case.sees("one/a.yaml").await;
    }
}

#[tokio::test]
async fn a_missing_file_in_a_missing_directory_is_seen_when_it_comes() {
    for mut case in [events(&["x/y/a.yaml"], |_| {}), polled(&["x/y/a.yaml"], |_| {})] {
        fs::create_dir(case.path("x")).unwrap();
        fs::create_dir(case.path("x/y")).unwrap();
        rename_over(&case.path("x/y/a.yaml"), "here");
        case.sees("x/y/a.yaml").await;
    }
}

#[tokio::test]
async fn a_directory_that_is_replaced_is_watched_again() {
    let directory = |home: &Path| {
        fs::create_dir(home.join("conf")).unwrap();
        fs::write(home.join("conf/a.yaml"), "old").unwrap();
    };
    for mut case in [events(&["conf/a.yaml"], directory), polled(&["conf/a.yaml"], directory)] {
        fs::rename(case.path("conf"), case.path("conf.old")).unwrap();
        case.sees("conf/a.yaml").await;
        fs::create_dir(case.path("conf.new")).unwrap();
        fs::write(case.path("conf.new/a.yaml"), "new").unwrap();
        fs::rename(case.path("conf.new"), case.path("conf")).unwrap();
        // By events a directory's return is not seen from within it: a look, or the next poll, finds it.
        case.watcher.look();
        case.sees("conf/a.yaml").await;
        rename_over(&case.path("conf/a.yaml"), "newer");
        case.sees("conf/a.yaml").await;
        fs::remove_dir_all(case.path("conf")).unwrap();
        case.sees("conf/a.yaml").await;
    }
}

#[tokio::test]
async fn a_thousand_writes_are_a_few_changes_and_the_last_is_seen() {
    let mut case = events(&["a.yaml"], one_file);
    let path = case.path("a.yaml");
    for round in 0..1000 {
        fs::write(&path, format!("{round}")).unwrap();
    }
    // Nobody received meanwhile: the changes are one by now. The receiver reads after it is told, so what it reads is the
    // last, or it is told again.
    let mut told = 0;
    loop {
        case.sees("a.yaml").await;
        told += 1;
        if fs::read_to_string(&path).unwrap() == "999" {
            break;
        }
    }
    assert!(told <= 2, "told {told} times");
}

#[tokio::test]
async fn a_slow_receiver_is_told_once_of_each_file() {
    let mut case = events(&["a.yaml", "b", "witness"], one_file);
    for round in 0..50 {
        fs::write(case.path("a.yaml"), format!("{round}")).unwrap();
        fs::write(case.path("b"), format!("{round}")).unwrap();
    }
    fs::write(case.path("witness"), "x").unwrap();
    let witness = case.path("witness");
    let all = async {
        while !lock(&case.changes.0.state).changed.contains(&witness) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, all).await.unwrap();
    assert!(lock(&case.changes.0.state).changed.len() <= 3);
    case.sees("a.yaml").await;
    case.sees("b").await;
    case.sees("witness").await;
}

#[tokio::test]
async fn a_file_that_was_only_touched_or_read_or_rewritten_alike_is_no_change() {
    let mut case = events(&["a.yaml", "witness"], one_file);
    rename_over(&case.path("a.yaml"), "old");
    fs::File::open(case.path("a.yaml"))
        .unwrap()
        .set_modified(std::time::SystemTime::UNIX_EPOCH)
        .unwrap();
    fs::read(case.path("a.yaml")).unwrap();
    fs::write(case.path("unrelated"), "x").unwrap();
    case.sees_nothing_but("witness").await;
}

#[tokio::test]
async fn other_paths_take_effect_in_place() {
    let mut case = events(&["a.yaml", "b"], one_file);
    let (a, c) = (case.path("a.yaml"), case.path("c"));
    case.watcher.set_paths(vec![a, c]);
    // A new path is reported once: it may have changed since it was read.
    case.sees("c").await;
    fs::write(case.path("b"), "nobody looks").unwrap();
    case.sees_nothing_but("c").await;
    fs::write(case.path("a.yaml"), "new").unwrap();
    case.sees("a.yaml").await;
}

#[tokio::test]
async fn without_any_more_inotify_watches_it_polls_and_says_so() {
    struct Full;
    impl notify::Watcher for Full {
        fn new<F: notify::EventHandler>(_: F, _: notify::Config) -> notify::Result<Self> {
            Ok(Self)
        }
        fn watch(&mut self, _: &Path, _: RecursiveMode) -> notify::Result<()> {
            Err(notify::Error::new(ErrorKind::MaxFilesWatch))
        }
        fn unwatch(&mut self, _: &Path) -> notify::Result<()> {
            Ok(())
        }
        fn kind() -> notify::WatcherKind {
            notify::WatcherKind::Inotify
        }
    }
    let full: [notify::Result<Box<dyn notify::Watcher + Send>>; 2] = [
        Ok(Box::new(Full)),
        Err(notify::Error::io(io::Error::from_raw_os_error(24))),
    ];
    for (events, hint) in full.into_iter().zip(["max_user_watches", "max_user_instances"]) {
        let mut case = case(&["a.yaml"], one_file, |paths| {
            Watcher::start_with(paths, Duration::from_millis(5), Arc::default(), events)
        });
        let fault = case.watcher.fault().unwrap();
        assert!(fault.starts_with("no file events (") && fault.contains(hint), "{fault}");
        fs::write(case.path("a.yaml"), "new").unwrap();
        case.sees("a.yaml").await;
    }
    assert_eq!(events(&["a.yaml"], one_file).watcher.fault(), None);
}

#[tokio::test]
async fn a_poll_comes_round_to_every_file_however_many_there_are() {
    let names: Vec<String> = (0..POLL_FILES * 2 + 50).map(|index| format!("f{index}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut case = polled(&names, |_| {});
    for name in ["f0", "f1", "f1000", "f1001", "f2049"] {
        fs::write(case.path(name), "x").unwrap();
        case.sees(name).await;
    }
}

#[tokio::test]
async fn a_large_file_is_read_again_when_its_stamp_changes() {
    let large = |home: &Path| fs::write(home.join("a.yaml"), vec![b' '; 2 << 20]).unwrap();
    let mut case = polled(&["a.yaml"], large);
    fs::OpenOptions::new()
        .append(true)
        .open(case.path("a.yaml"))
        .unwrap()
        .write_all(b"x")
        .unwrap();
    case.sees("a.yaml").await;
}

#[tokio::test]
async fn a_pipe_is_never_opened() {
    let pipe = |home: &Path| {
        assert!(
            std::process::Command::new("mkfifo")
                .arg(home.join("pipe"))
                .status()
                .unwrap()
                .success()
        );
    };
    let mut case = polled(&["pipe", "witness"], pipe);
    case.sees_nothing_but("witness").await;
}

#[tokio::test]
async fn the_receiver_ends_with_the_watcher() {
    let Case {
        home: _home,
        watcher,
        mut changes,
    } = events(&["a.yaml"], one_file);
    watcher.stop();
    assert_eq!(changes.recv().await, None);
}
