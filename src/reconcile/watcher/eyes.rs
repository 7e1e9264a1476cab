//! The thread that looks: which directories are watched, and what was last seen of each file.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::{self, File};
use std::hash::Hasher;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use notify::{ErrorKind, RecursiveMode};
use tracing::{info, warn};

use super::walk::walk;
use super::{Inbox, Outbox, lock};

/// A poll looks at the first path (the document) and at so many others, or so many bytes; when there are more they take turns.
pub(super) const POLL_FILES: usize = 1_000;
const POLL_BYTES: u64 = 64 << 20;
/// Without an event, a file larger than this is read only when its size or times changed, or after [`LARGE_AGAIN`].
const LARGE: u64 = 1 << 20;
const LARGE_AGAIN: Duration = Duration::from_secs(30);
/// Bytes of a file that its hash covers. Nothing larger is taken from a file anyway.
const HASHED: u64 = 64 << 20;

/// What was last seen of a file.
struct Seen {
    content: Content,
    /// Size and times, which change with the content on most file systems.
    stamp: Option<Stamp>,
    read: Instant,
    /// Every step of the way to it that can be replaced.
    steps: Vec<PathBuf>,
}

type Stamp = (u64, u64, u64, (i64, i64), (i64, i64));

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    Missing,
    Unreadable(io::ErrorKind),
    /// No regular file: a pipe would block, or lose what is read from it.
    Special,
    Hash(u64, u64),
}

/// A directory whose events we want.
struct Directory {
    /// How many steps lie in it.
    steps: usize,
    /// Device and inode under watch; `None`: not watched.
    watched: Option<(u64, u64)>,
}

/// The watching thread's own.
pub(super) struct Eyes {
    outbox: Arc<Outbox>,
    events: Option<Box<dyn notify::Watcher + Send>>,
    files: HashMap<PathBuf, Seen>,
    order: Vec<PathBuf>,
    turn: usize,
    /// Which files a step belongs to.
    steps: HashMap<PathBuf, BTreeSet<PathBuf>>,
    directories: HashMap<PathBuf, Directory>,
}

impl Eyes {
    pub(super) fn new(outbox: Arc<Outbox>, events: notify::Result<Box<dyn notify::Watcher + Send>>) -> Self {
        let mut eyes = Self {
            outbox,
            events: None,
            files: HashMap::new(),
            order: Vec::new(),
            turn: 0,
            steps: HashMap::new(),
            directories: HashMap::new(),
        };
        match events {
            Ok(events) => eyes.events = Some(events),
            Err(error) => eyes.set_fault(Some(&error)),
        }
        eyes
    }

    pub(super) fn run(mut self, inbox: &Inbox, poll: Duration) {
        let mut next = Instant::now() + poll;
        loop {
            let letters = inbox.wait(next);
            if letters.stop {
                break;
            }
            if let Some(paths) = letters.paths {
                self.set_paths(paths, true);
            }
            let mut due: BTreeSet<PathBuf> = BTreeSet::new();
            for path in &letters.events {
                // The directory itself was moved, removed or replaced: its watch may be gone, though the new one can even
                // have the same inode number.
                if self.directories.contains_key(path) {
                    self.unwatch(path);
                    due.extend(self.files_in(path));
                }
                due.extend(self.steps.get(path).into_iter().flatten().cloned());
            }
            if letters.rescan {
                due.extend(self.order.iter().cloned());
            }
            for path in &due {
                if inbox.stopped() {
                    break;
                }
                self.look(path, true);
            }
            if Instant::now() >= next {
                self.poll(inbox);
                next = Instant::now() + poll;
            }
        }
    }

    fn poll(&mut self, inbox: &Inbox) {
        let mut bytes = 0;
        for index in 0..self.order.len().min(POLL_FILES + 1) {
            if inbox.stopped() || bytes > POLL_BYTES {
                return;
            }
            let path = if index == 0 {
                self.order[0].clone()
            } else {
                self.turn = self.turn % (self.order.len() - 1) + 1;
                self.order[self.turn].clone()
            };
            bytes += self.look(&path, false);
        }
    }

    pub(super) fn set_paths(&mut self, mut paths: Vec<PathBuf>, report: bool) {
        let mut wanted = HashSet::with_capacity(paths.len());
        paths.retain(|path| wanted.insert(path.clone()));
        let gone: Vec<PathBuf> = self
            .files
            .keys()
            .filter(|path| !wanted.contains(*path))
            .cloned()
            .collect();
        for path in gone {
            self.route(&path, &[]);
            self.files.remove(&path);
            lock(&self.outbox.state).changed.remove(&path);
        }
        self.order.clone_from(&paths);
        for path in paths {
            if self.files.contains_key(&path) {
                continue;
            }
            let seen = Seen {
                content: Content::Missing,
                stamp: None,
                read: Instant::now(),
                steps: Vec::new(),
            };
            self.files.insert(path.clone(), seen);
            self.wire(&path);
            let (content, stamp, _) = content(&path);
            if let Some(seen) = self.files.get_mut(&path) {
                (seen.content, seen.stamp) = (content, stamp);
            }
            if report {
                self.report(&path);
            }
        }
    }

    // Looks at one file; returns the bytes that were read.
    fn look(&mut self, path: &PathBuf, by_event: bool) -> u64 {
        if !self.files.contains_key(path) {
            return 0;
        }
        self.wire(path);
        let Some(seen) = self.files.get_mut(path) else { return 0 };
        if !by_event && seen.read.elapsed() < LARGE_AGAIN && seen.stamp.is_some_and(|stamp| stamp.2 > LARGE) {
            let unchanged = fs::metadata(path).is_ok_and(|found| seen.stamp == Some(stamp(&found)));
            if unchanged {
                return 0;
            }
        }
        let (content, stamp, bytes) = content(path);
        let changed = content != seen.content;
        (seen.content, seen.stamp, seen.read) = (content, stamp, Instant::now());
        if changed {
            self.report(path);
        }
        bytes
    }

    fn report(&self, path: &Path) {
        lock(&self.outbox.state).changed.insert(path.to_owned());
        self.outbox.woken.notify_one();
    }

    // Watches the way to a file. Again until it stands still: a directory may be made between the walk and the watch. At most
    // eight times; a poll does the rest.
    fn wire(&mut self, path: &Path) {
        for _ in 0..8 {
            let steps = walk(path);
            let known = self.files.get(path).is_some_and(|seen| seen.steps == steps);
            if !known {
                self.route(path, &steps);
            }
            let armed = self.arm(path);
            if known && !armed {
                return;
            }
        }
    }

    // Records a file's steps, and drops the directories that nobody needs any more.
    fn route(&mut self, path: &Path, steps: &[PathBuf]) {
        let Some(seen) = self.files.get_mut(path) else { return };
        let old = std::mem::replace(&mut seen.steps, steps.to_owned());
        for step in steps {
            self.steps.entry(step.clone()).or_default().insert(path.to_owned());
            let directory = self.directories.entry(parent(step)).or_insert(Directory {
                steps: 0,
                watched: None,
            });
            directory.steps += 1;
        }
        for step in old {
            if !steps.contains(&step)
                && let Some(files) = self.steps.get_mut(&step)
            {
                files.remove(path);
                if files.is_empty() {
                    self.steps.remove(&step);
                }
            }
            let name = parent(&step);
            if let Some(directory) = self.directories.get_mut(&name) {
                directory.steps -= 1;
                if directory.steps == 0 {
                    self.unwatch(&name);
                    self.directories.remove(&name);
                }
            }
        }
    }

    // Watches the directories of a file that are not watched, or are others by now. Says whether it did anything.
    fn arm(&mut self, path: &Path) -> bool {
        let Some(seen) = self.files.get(path) else { return false };
        let names: BTreeSet<PathBuf> = seen.steps.iter().map(|step| parent(step)).collect();
        let mut armed = false;
        for name in names {
            let Ok(found) = fs::metadata(&name) else { continue };
            let identity = (found.dev(), found.ino());
            if self
                .directories
                .get(&name)
                .is_none_or(|directory| directory.watched == Some(identity))
            {
                continue;
            }
            self.unwatch(&name);
            let Some(events) = &mut self.events else { continue };
            match events.watch(&name, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    if let Some(directory) = self.directories.get_mut(&name) {
                        directory.watched = Some(identity);
                    }
                    armed = true;
                    self.set_fault(None);
                }
                // It went away again: the next look sees that.
                Err(error) if matches!(error.kind, ErrorKind::PathNotFound) => {}
                Err(error) => self.set_fault(Some(&error)),
            }
        }
        armed
    }

    fn unwatch(&mut self, name: &Path) {
        let watched = self
            .directories
            .get_mut(name)
            .and_then(|directory| directory.watched.take());
        if let (Some(_), Some(events)) = (watched, &mut self.events) {
            // The kernel may have dropped it already.
            let _ = events.unwatch(name);
        }
    }

    fn files_in(&self, name: &Path) -> BTreeSet<PathBuf> {
        let inside = self.steps.iter().filter(|(step, _)| step.parent() == Some(name));
        inside.flat_map(|(_, files)| files).cloned().collect()
    }

    // Says once when events fail, and once when they work again.
    fn set_fault(&mut self, error: Option<&notify::Error>) {
        let fault = error.map(|error| {
            let hint = match error.kind {
                ErrorKind::MaxFilesWatch => "; raise fs.inotify.max_user_watches",
                _ if self.events.is_none() => "; raise fs.inotify.max_user_instances",
                _ => "",
            };
            format!("no file events ({error}{hint}): changes are seen by polling")
        });
        let mut state = lock(&self.outbox.state);
        match (&state.fault, &fault) {
            (None, Some(fault)) => warn!("{fault}"),
            (Some(_), None) if self.directories.values().all(|directory| directory.watched.is_some()) => {
                info!("file events work again");
            }
            _ => return,
        }
        state.fault = fault;
    }
}

impl Drop for Eyes {
    fn drop(&mut self) {
        lock(&self.outbox.state).ended = true;
        self.outbox.woken.notify_one();
    }
}

// A step is an absolute path with a name at its end.
fn parent(step: &Path) -> PathBuf {
    step.parent().unwrap_or(step).to_owned()
}

fn stamp(found: &fs::Metadata) -> Stamp {
    (
        found.dev(),
        found.ino(),
        found.len(),
        (found.mtime(), found.mtime_nsec()),
        (found.ctime(), found.ctime_nsec()),
    )
}

// What a file holds, when it was stamped (before the reading: a change meanwhile shows next time), and the bytes read.
fn content(path: &Path) -> (Content, Option<Stamp>, u64) {
    let failed = |error: &io::Error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => (Content::Missing, None, 0),
        kind => (Content::Unreadable(kind), None, 0),
    };
    let found = match fs::metadata(path) {
        Ok(found) => found,
        Err(error) => return failed(&error),
    };
    if !found.is_file() {
        return (Content::Special, None, 0);
    }
    match hash(path) {
        Ok((hash, bytes)) => (Content::Hash(hash, bytes), Some(stamp(&found)), bytes),
        Err(error) => failed(&error),
    }
}

fn hash(path: &Path) -> io::Result<(u64, u64)> {
    let mut file = File::open(path)?.take(HASHED);
    let mut hasher = std::hash::DefaultHasher::new();
    let (mut buffer, mut bytes) = (vec![0; 64 * 1024], 0);
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((hasher.finish(), bytes));
        }
        hasher.write(&buffer[..count]);
        bytes += count as u64;
    }
}
