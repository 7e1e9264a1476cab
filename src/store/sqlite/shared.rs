//! What the writer and the callers share: sums, bounds, notes and whom to wake.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::staged::Change;
use crate::store::{Result, RouteNote, SenderKey, Space, StoreError, Wake};

/// Appends that wait at most.
const APPENDS: usize = 8192;
/// Bytes of appends that wait at most; one append is always let in.
const APPEND_BYTES: usize = 64 * 1024 * 1024;
/// Route notes that wait at most.
const NOTES: usize = 4096;

/// Sums of one sender.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) owed: u64,
    pub(super) dead: u64,
}

#[derive(Default)]
pub(super) struct Shared {
    counts: Mutex<HashMap<SenderKey, Counts>>,
    waiting: Mutex<(usize, usize)>,
    notes: Mutex<Vec<RouteNote>>,
    pub(super) notes_dropped: AtomicU64,
    space: Mutex<Space>,
    wake: RwLock<Option<Arc<dyn Wake>>>,
}

/// Nothing behind these locks is ever half done, so a panic elsewhere does not spoil them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn with_counts(counts: HashMap<SenderKey, Counts>) -> Self {
        Self {
            counts: Mutex::new(counts),
            ..Self::default()
        }
    }

    /// Lets an append in, or says how many wait already.
    pub(super) fn append_begins(&self, bytes: usize) -> Result<()> {
        let mut waiting = lock(&self.waiting);
        if waiting.0 >= APPENDS || (waiting.0 > 0 && waiting.1 + bytes > APPEND_BYTES) {
            return Err(StoreError::Busy(waiting.0));
        }
        waiting.0 += 1;
        waiting.1 += bytes;
        Ok(())
    }

    pub(super) fn append_ended(&self, bytes: usize) {
        let mut waiting = lock(&self.waiting);
        waiting.0 -= 1;
        waiting.1 -= bytes;
    }

    pub(super) fn space(&self) -> Space {
        *lock(&self.space)
    }

    pub(super) fn set_space(&self, set: impl FnOnce(&mut Space)) {
        set(&mut lock(&self.space));
    }

    /// Keeps a note for the writer; true: it is the first, so the writer must be told.
    pub(super) fn note(&self, note: RouteNote) -> bool {
        let mut notes = lock(&self.notes);
        if notes.len() >= NOTES {
            self.notes_dropped.fetch_add(1, Relaxed);
            return false;
        }
        notes.push(note);
        notes.len() == 1
    }

    pub(super) fn take_notes(&self) -> Vec<RouteNote> {
        std::mem::take(&mut *lock(&self.notes))
    }

    pub(super) fn apply(&self, changes: &HashMap<SenderKey, Change>) {
        let mut counts = lock(&self.counts);
        for (sender, change) in changes {
            let mine = counts.entry(*sender).or_default();
            mine.owed = mine.owed.saturating_add_signed(change.owed);
            mine.dead = mine.dead.saturating_add_signed(change.dead);
            if *mine == Counts::default() {
                counts.remove(sender);
            }
        }
    }

    pub(super) fn counts(&self, sender: SenderKey) -> Counts {
        lock(&self.counts).get(&sender).copied().unwrap_or_default()
    }

    pub(super) fn all_counts(&self) -> HashMap<SenderKey, Counts> {
        lock(&self.counts).clone()
    }

    pub(super) fn set_wake(&self, wake: Arc<dyn Wake>) {
        *self.wake.write().unwrap_or_else(PoisonError::into_inner) = Some(wake);
    }

    pub(super) fn wake(&self, mut senders: Vec<SenderKey>) {
        senders.sort_unstable();
        senders.dedup();
        let wake = self.wake.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(wake) = wake {
            wake.wake(&senders);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appends_beyond_the_bounds_are_refused_and_one_is_always_let_in() {
        let shared = Shared::default();
        shared.append_begins(APPEND_BYTES * 2).unwrap();
        assert!(matches!(shared.append_begins(1), Err(StoreError::Busy(1))));
        shared.append_ended(APPEND_BYTES * 2);
        for _ in 0..APPENDS {
            shared.append_begins(1).unwrap();
        }
        assert!(matches!(shared.append_begins(1), Err(StoreError::Busy(APPENDS))));
        shared.append_ended(1);
        shared.append_begins(1).unwrap();
    }
}
