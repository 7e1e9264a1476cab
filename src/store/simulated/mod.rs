//! A store in memory for simulations: the same promises as every engine (the conformance suite holds it to them), in one
//! thread and under the caller's time.
//!
//! [`Disk`] is what outlives a crash. A write becomes durable at one moment, after [`Weather::before`] and before
//! [`Weather::after`] have passed: whoever is dropped earlier leaves nothing of it, whoever is dropped later leaves all of
//! it without having been told.

mod reading;
mod tables;
mod tests;

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

pub(crate) use self::tables::Tables;

use super::{
    Append, Appended, Claim, Commit, Committed, DeadLetter, DeadQuery, EventQuery, EventRow, Generation, Listing,
    LogEntry, LogQuery, Owed, Page, Replay, Result, Retained, Retention, RouteFigures, RouteNote, SenderFigures,
    SenderKey, SenderRow, Seq, Settlement, Space, Store, StoreError, StoredRequest, Story, Totals, Wake,
};
use crate::clock::SharedClock;
use crate::event::Ordering;

/// What outlives a crash.
#[derive(Clone, Default)]
pub(crate) struct Disk {
    tables: Arc<Mutex<Tables>>,
    backups: Arc<Mutex<HashMap<PathBuf, Tables>>>,
}

impl Disk {
    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk that a backup was.
    pub(crate) fn backup(&self, path: &std::path::Path) -> Self {
        let tables = self.backups.lock().unwrap()[path].clone();
        Self {
            tables: Arc::new(Mutex::new(tables)),
            backups: Arc::default(),
        }
    }
}

/// What befalls one call.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weather {
    /// So long it takes until the call has its effect.
    pub(crate) before: Duration,
    /// So long it takes from there until its caller is told.
    pub(crate) after: Duration,
    /// It fails and has no effect.
    pub(crate) fails: bool,
}

/// Says what befalls the next call of this name.
pub(crate) type Forecast = dyn Fn(&'static str) -> Weather + Send + Sync;

/// One opening of a [`Disk`]: a process's.
pub(crate) struct SimulatedStore {
    disk: Disk,
    clock: SharedClock,
    forecast: Box<Forecast>,
    memory: Mutex<Memory>,
}

/// What dies with the process.
#[derive(Default)]
pub(crate) struct Memory {
    /// Sorted by sender, then by place.
    pub(crate) claims: BTreeSet<(SenderKey, i64)>,
    /// How each sender claimed last.
    orderings: HashMap<SenderKey, Ordering>,
    wake: Option<Arc<dyn Wake>>,
    max_bytes: u64,
    closed: bool,
}

impl SimulatedStore {
    pub(crate) fn open(disk: &Disk, max_bytes: u64, clock: SharedClock, forecast: Box<Forecast>) -> Arc<Self> {
        let memory = Memory {
            max_bytes,
            ..Memory::default()
        };
        Arc::new(Self {
            disk: disk.clone(),
            clock,
            forecast,
            memory: Mutex::new(memory),
        })
    }

    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_still(&self) -> Result<()> {
        if self.memory().closed {
            Err(StoreError::Closed)
        } else {
            Ok(())
        }
    }

    /// One call: weather, its work at one moment, whom it wakes, weather.
    async fn call<T>(
        &self,
        name: &'static str,
        work: impl FnOnce(&mut Tables, &mut Memory, &mut BTreeSet<SenderKey>) -> Result<T> + Send,
    ) -> Result<T> {
        self.open_still()?;
        let weather = (self.forecast)(name);
        if !weather.before.is_zero() {
            tokio::time::sleep(weather.before).await;
            self.open_still()?;
        }
        if weather.fails {
            return Err(StoreError::Engine("the disk fails".into()));
        }
        let mut woken = BTreeSet::new();
        let (answer, wake) = {
            let mut memory = self.memory();
            let answer = work(&mut self.disk.tables(), &mut memory, &mut woken)?;
            (answer, memory.wake.clone())
        };
        if let Some(wake) = wake.filter(|_| !woken.is_empty()) {
            wake.wake(&woken.into_iter().collect::<Vec<_>>());
        }
        if !weather.after.is_zero() {
            tokio::time::sleep(weather.after).await;
        }
        Ok(answer)
    }

    fn read<T>(&self, work: impl FnOnce(&Tables) -> Result<T>) -> Result<T> {
        self.open_still()?;
        work(&self.disk.tables())
    }
}

#[async_trait]
impl Store for SimulatedStore {
    async fn append(&self, append: Append) -> Result<Vec<Appended>> {
        self.call("append", |tables, memory, woken| {
            let bytes = tables.bytes();
            if memory.max_bytes > 0 && bytes >= memory.max_bytes {
                return Err(StoreError::Full(format!("it holds {bytes} bytes")));
            }
            tables.append(append, woken)
        })
        .await
    }

    fn set_wake(&self, wake: Arc<dyn Wake>) {
        self.memory().wake = Some(wake);
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<Owed>> {
        self.call("claim", |tables, memory, _| {
            memory.orderings.insert(claim.sender, claim.ordering);
            let claims = &mut memory.claims;
            let owed = tables.claim(&claim, |seq| claims.contains(&(claim.sender, seq)));
            claims.extend(owed.iter().map(|owed| (owed.sender, owed.seq.0)));
            Ok(owed)
        })
        .await
    }

    async fn next_due(&self, sender: SenderKey) -> Result<Option<i64>> {
        self.call("next_due", |tables, memory, _| {
            let ordering = memory.orderings.get(&sender).copied().unwrap_or_default();
            let claims = &memory.claims;
            Ok(tables.next_due(sender, ordering, |seq| claims.contains(&(sender, seq))))
        })
        .await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> Result<()> {
        let now_ms = self.clock.now_ms();
        self.call("settle", |tables, memory, _| {
            for settlement in settlements {
                memory.claims.remove(&(settlement.sender, settlement.seq.0));
                tables.settle(settlement, now_ms);
            }
            Ok(())
        })
        .await
    }

    async fn release(&self, sender: SenderKey, seqs: Vec<Seq>) -> Result<()> {
        self.call("release", |_, memory, _| {
            for seq in seqs {
                memory.claims.remove(&(sender, seq.0));
            }
            Ok(())
        })
        .await
    }

    async fn close_sender(&self, sender: SenderKey) -> Result<u64> {
        let now_ms = self.clock.now_ms();
        self.call("close_sender", |tables, _, _| Ok(tables.close_sender(sender, now_ms)))
            .await
    }

    async fn clock_set_back(&self, by_ms: i64, now_ms: i64) -> Result<()> {
        self.call("clock_set_back", |tables, _, _| {
            let due = tables.owed.values_mut().filter_map(|row| row.due_ms.as_mut());
            for due_ms in due.filter(|due_ms| **due_ms > now_ms) {
                *due_ms = (*due_ms - by_ms).max(1);
            }
            Ok(())
        })
        .await
    }

    async fn set_suspended(&self, sender: SenderKey, reason: Option<String>) -> Result<()> {
        self.call("set_suspended", |tables, _, _| {
            if let Some(sender) = tables.senders.get_mut(&sender) {
                sender.suspended = reason;
            }
            Ok(())
        })
        .await
    }

    async fn commit(&self, commit: Commit) -> Result<Committed> {
        self.call("commit", |tables, _, woken| tables.commit(commit, woken))
            .await
    }

    async fn last_generation(&self) -> Result<Option<(Generation, Vec<u8>)>> {
        self.read(|tables| Ok(tables.generations.values().next_back().cloned()))
    }

    async fn generation(&self, number: u64) -> Result<Option<(Generation, Vec<u8>)>> {
        self.read(|tables| Ok(tables.generations.get(&number).cloned()))
    }

    async fn generations(&self, page: Page) -> Result<Listing<Generation>> {
        self.read(|tables| tables.list_generations(&page))
    }

    async fn senders(&self) -> Result<Vec<SenderRow>> {
        self.read(|tables| Ok(tables.sender_rows()))
    }

    fn fingerprint_key(&self) -> [u8; 32] {
        [7; 32]
    }

    async fn logs(&self, query: LogQuery) -> Result<Listing<LogEntry>> {
        self.read(|tables| tables.list_logs(&query))
    }

    async fn events(&self, query: EventQuery) -> Result<Listing<EventRow>> {
        self.read(|tables| tables.list_events(&query))
    }

    async fn story(&self, id: &str) -> Result<Option<Story>> {
        self.read(|tables| Ok(tables.story(id)))
    }

    async fn raw_request(&self, event_id: &str) -> Result<Option<StoredRequest>> {
        self.read(|tables| Ok(tables.raw_request(event_id)))
    }

    async fn dead(&self, query: DeadQuery) -> Result<Listing<DeadLetter>> {
        self.read(|tables| tables.list_dead(&query))
    }

    async fn sender_figures(&self, sender: SenderKey) -> Result<SenderFigures> {
        let now_ms = self.clock.now_ms();
        self.read(|tables| Ok(tables.sender_figures(sender, now_ms)))
    }

    async fn route_figures(&self, route: &str, since: i64) -> Result<RouteFigures> {
        self.read(|tables| Ok(tables.route_figures(route, since)))
    }

    async fn totals(&self) -> Result<Totals> {
        self.read(|tables| Ok(tables.totals()))
    }

    fn space(&self) -> Space {
        let (used_bytes, max_bytes) = (self.disk.tables().bytes(), self.memory().max_bytes);
        Space {
            used_bytes,
            max_bytes,
            full: max_bytes > 0 && used_bytes >= max_bytes,
        }
    }

    fn note(&self, entry: RouteNote) {
        self.disk.tables().note(entry);
    }

    async fn replay(&self, replay: Replay) -> Result<u64> {
        self.call("replay", |tables, _, woken| Ok(tables.replay(&replay, woken)))
            .await
    }

    async fn purge_dead(&self, query: DeadQuery) -> Result<u64> {
        self.call("purge_dead", |tables, _, _| Ok(tables.purge_dead(&query)))
            .await
    }

    async fn retain(&self, retention: Retention, now_ms: i64) -> Result<Retained> {
        self.call("retain", |tables, memory, _| {
            memory.max_bytes = retention.max_bytes;
            Ok(tables.retain(retention, now_ms))
        })
        .await
    }

    async fn backup(&self, to: &std::path::Path) -> Result<()> {
        self.read(|tables| {
            // The file only keeps the place.
            std::fs::File::create_new(to).map_err(|error| StoreError::Engine(error.to_string()))?;
            self.disk.backups.lock().unwrap().insert(to.to_owned(), tables.clone());
            Ok(())
        })
    }

    async fn close(&self) {
        self.memory().closed = true;
    }
}
