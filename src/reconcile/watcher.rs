//! Files -> "look again", never content.
//!
//! Two eyes: the system's events, and a look at the content every two seconds, for file systems without events and for what
//! events miss. Both only lead to a *look* at a file; it has changed when its content has another hash than at the last look.
//!
//! Events come from directories, not from files: editors and Kubernetes put a new file in the old one's place. For each file
//! we walk its path link by link; every directory in which a step of that walk could be replaced is watched, and the walk is
//! made again at every look. No debouncer (docs/decisions/004-watcher.md): a receiver that is slow sees each changed file
//! once, after its last change.

use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use notify::{Event, EventKind, RecommendedWatcher};
use tokio::sync::Notify;

mod eyes;
mod walk;

use self::eyes::Eyes;

/// How often content is looked at without an event.
pub const POLL: Duration = Duration::from_secs(2);
/// Paths of events kept until they are looked up; beyond it all files are looked at.
const EVENTS: usize = 4_096;

/// A file to look at again: as it was given to the watcher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    /// Its path.
    pub path: PathBuf,
}

/// Watches files until it is dropped.
pub struct Watcher {
    inbox: Arc<Inbox>,
    outbox: Arc<Outbox>,
    thread: Option<JoinHandle<()>>,
}

/// The receiving end: at most one entry for each watched path.
pub struct Changes(Arc<Outbox>);

impl Watcher {
    /// Watches these files; relative paths count from the working directory. The first one is the document: every poll
    /// looks at it. A change after this returns is reported; the state at this moment is not.
    ///
    /// # Errors
    /// When the system gives no thread. Files, directories or events that are missing are no error: see [`Watcher::fault`].
    pub fn start(paths: Vec<PathBuf>) -> io::Result<(Self, Changes)> {
        Self::start_every(paths, POLL)
    }

    /// As [`Watcher::start`], with another time between two polls.
    pub fn start_every(paths: Vec<PathBuf>, poll: Duration) -> io::Result<(Self, Changes)> {
        let inbox = Arc::new(Inbox::default());
        let events = Arc::clone(&inbox);
        let events = notify::recommended_watcher(move |event| events.event(event))
            .map(|watcher: RecommendedWatcher| Box::new(watcher) as Box<dyn notify::Watcher + Send>);
        Self::start_with(paths, poll, inbox, events)
    }

    fn start_with(
        paths: Vec<PathBuf>,
        poll: Duration,
        inbox: Arc<Inbox>,
        events: notify::Result<Box<dyn notify::Watcher + Send>>,
    ) -> io::Result<(Self, Changes)> {
        let outbox = Arc::new(Outbox::default());
        let mut eyes = Eyes::new(Arc::clone(&outbox), events);
        eyes.set_paths(paths, false);
        let inside = Arc::clone(&inbox);
        let thread = std::thread::Builder::new()
            .name("watcher".to_owned())
            .spawn(move || eyes.run(&inside, poll))?;
        Ok((
            Self {
                inbox,
                outbox: Arc::clone(&outbox),
                thread: Some(thread),
            },
            Changes(outbox),
        ))
    }

    /// Watches these files from now on. What was watched before keeps its state; a new path is reported once, since it may
    /// have changed between its reading and now.
    pub fn set_paths(&self, paths: Vec<PathBuf>) {
        self.inbox.tell(|letters| letters.paths = Some(paths));
    }

    /// Looks at every file now.
    pub fn look(&self) {
        self.inbox.tell(|letters| letters.rescan = true);
    }

    /// Why files are watched by polling alone, if they are.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        lock(&self.outbox.state).fault.clone()
    }

    /// Ends the watch and waits for its end.
    pub fn stop(mut self) {
        self.inbox.tell(|letters| letters.stop = true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Watcher {
    // Without waiting: a file system that hangs must not hold up the end of the process.
    fn drop(&mut self) {
        self.inbox.tell(|letters| letters.stop = true);
    }
}

impl Changes {
    /// The next file to look at; `None` when the watcher is gone. Nothing is lost when the future is dropped.
    pub async fn recv(&mut self) -> Option<Changed> {
        loop {
            if let Some(changed) = self.try_recv() {
                return Some(changed);
            }
            if lock(&self.0.state).ended {
                return None;
            }
            // Woken before it waits, it does not wait.
            self.0.woken.notified().await;
        }
    }

    /// As [`Changes::recv`], of all files that there are to look at now: a burst is one look.
    pub async fn recv_all(&mut self) -> Option<BTreeSet<PathBuf>> {
        let first = self.recv().await?;
        let mut all = std::mem::take(&mut lock(&self.0.state).changed);
        all.insert(first.path);
        Some(all)
    }

    /// The next file to look at, if there is one now.
    pub fn try_recv(&mut self) -> Option<Changed> {
        lock(&self.0.state).changed.pop_first().map(|path| Changed { path })
    }
}

#[derive(Default)]
struct Outbox {
    state: Mutex<Out>,
    woken: Notify,
}

#[derive(Default)]
struct Out {
    changed: BTreeSet<PathBuf>,
    fault: Option<String>,
    ended: bool,
}

#[derive(Default)]
struct Inbox {
    letters: Mutex<Letters>,
    woken: Condvar,
}

#[derive(Default)]
struct Letters {
    paths: Option<Vec<PathBuf>>,
    events: HashSet<PathBuf>,
    rescan: bool,
    stop: bool,
}

impl Inbox {
    fn tell(&self, write: impl FnOnce(&mut Letters)) {
        write(&mut lock(&self.letters));
        self.woken.notify_one();
    }

    fn event(&self, event: notify::Result<Event>) {
        match event {
            Ok(event) if event.need_rescan() => self.tell(|letters| letters.rescan = true),
            // Our own looks open and read files.
            Ok(Event {
                kind: EventKind::Access(access),
                ..
            }) if !closes_written(access) => {}
            Ok(event) => self.tell(|letters| {
                letters.events.extend(event.paths);
                if letters.events.len() > EVENTS {
                    letters.events.clear();
                    letters.rescan = true;
                }
            }),
            Err(_) => self.tell(|letters| letters.rescan = true),
        }
    }

    // What is there to do; nothing but a poll, when `until` comes first.
    fn wait(&self, until: Instant) -> Letters {
        let idle = |letters: &mut Letters| {
            letters.paths.is_none() && letters.events.is_empty() && !letters.rescan && !letters.stop
        };
        let time = until.saturating_duration_since(Instant::now());
        let (mut letters, _) = self
            .woken
            .wait_timeout_while(lock(&self.letters), time, idle)
            .unwrap_or_else(PoisonError::into_inner);
        let stop = letters.stop;
        Letters {
            stop,
            ..std::mem::replace(
                &mut *letters,
                Letters {
                    stop,
                    ..Letters::default()
                },
            )
        }
    }

    fn stopped(&self) -> bool {
        lock(&self.letters).stop
    }
}

fn closes_written(access: notify::event::AccessKind) -> bool {
    use notify::event::{AccessKind, AccessMode};
    access == AccessKind::Close(AccessMode::Write)
}

// What is behind these locks is whole after every statement: a panic elsewhere breaks nothing.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
