//! What is true whatever the gateway believes, and the promises it is held to.

mod checks;
mod sent;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::dice::{WallClock, hash};
use super::network::Mood;
use crate::clock::Clock as _;
use crate::document::settings::Outbound;
use crate::outbound::backoff::millis;
use crate::store::SenderKey;
use crate::store::simulated::{Disk, Weather};

pub(super) const ENDPOINTS: usize = 4;
/// Attempts in flight, all senders together.
pub(super) const MAX_IN_FLIGHT: usize = 8;
/// The longest that our own lack of sockets parks a sender, with its jitter.
const LACK_OF_SOCKETS: Duration = Duration::from_mins(1);
/// So many calls into the store are a sender that turns in circles.
const MOST_CALLS: u64 = 100_000;

/// How the store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disks {
    Fine,
    Slow,
    Failing,
    Full,
}

/// How an endpoint's part in an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Open,
    Answered(u16),
    Cut,
    /// A kept connection was closed before a byte of an answer.
    Stale,
}

/// One request that came.
pub(super) struct Tried {
    delivery: String,
    place: (SenderKey, i64),
    index: usize,
    /// How many requests came before, to all endpoints.
    pub(super) serial: u64,
}

struct Try {
    life: u32,
    number: u32,
    version: usize,
    /// When its attempt ends at the latest.
    until: Duration,
    end: End,
}

/// A sender's settings, as they were prepared once.
pub(super) struct Version {
    pub(super) settings: Outbound,
    key: Option<SenderKey>,
    /// When it was no longer in force.
    superseded: Option<Duration>,
}

/// One sender, as the document and its endpoint have it.
#[derive(Default)]
struct Standing {
    version: Option<usize>,
    /// Deleted: from when on, and the clock's time at which it has drained.
    removed: Option<(Duration, i64)>,
    /// When a 410 was answered that still holds.
    gone: Option<Duration>,
    most_attempts: u32,
    most_at_once: usize,
    longest_park: Duration,
}

#[derive(Debug, Default, Clone)]
pub(super) struct Counts {
    pub(super) accepted: u64,
    pub(super) requests: u64,
    pub(super) delivered: u64,
    pub(super) dead: u64,
    pub(super) reloads: u64,
    pub(super) crashes: u64,
    pub(super) stops: u64,
    pub(super) jumps: u64,
    pub(super) store_failures: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Self) {
        self.accepted += other.accepted;
        self.requests += other.requests;
        self.delivered += other.delivered;
        self.dead += other.dead;
        self.reloads += other.reloads;
        self.crashes += other.crashes;
        self.stops += other.stops;
        self.jumps += other.jumps;
        self.store_failures += other.store_failures;
    }
}

struct State {
    moods: [Mood; ENDPOINTS],
    /// When each endpoint last let connections wait. A request that waited for one began earlier than it came.
    unconnected: [Option<Duration>; ENDPOINTS],
    disks: Disks,
    calls: u64,
    life: u32,
    versions: Vec<Version>,
    standing: BTreeMap<SenderKey, Standing>,
    tries: BTreeMap<String, Vec<Try>>,
    /// Requests under way: their serial numbers, for whom, and when their attempts end at the latest.
    open: Vec<(u64, SenderKey, Duration)>,
    /// Deliveries that were owed when it was looked last, or are dead.
    unsettled: Vec<(SenderKey, i64)>,
    /// So much of the store's ledger was looked at.
    looked_at: usize,
    /// Requests whose event is stored, and the last of these events.
    stored: (HashSet<String>, i64),
    /// Answered 2xx, completely.
    delivered: BTreeSet<(SenderKey, i64)>,
    broken: Option<String>,
    digest: u64,
    counts: Counts,
}

pub(super) struct World {
    seed: u64,
    pub(super) clock: Arc<WallClock>,
    pub(super) disk: Disk,
    told: bool,
    state: Mutex<State>,
}

impl World {
    /// `told`: each thing that happens is printed.
    pub(super) fn new(seed: u64, told: bool) -> Arc<Self> {
        Arc::new(Self {
            seed,
            clock: Arc::new(WallClock::new()),
            disk: Disk::default(),
            told,
            state: Mutex::new(State {
                moods: [Mood::Fine; ENDPOINTS],
                unconnected: [None; ENDPOINTS],
                disks: Disks::Fine,
                calls: 0,
                life: 0,
                versions: Vec::new(),
                standing: BTreeMap::new(),
                tries: BTreeMap::new(),
                open: Vec::new(),
                unsettled: Vec::new(),
                looked_at: 0,
                stored: (HashSet::new(), 0),
                delivered: BTreeSet::new(),
                broken: None,
                digest: 0,
                counts: Counts::default(),
            }),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    pub(super) fn say(&self, what: impl FnOnce() -> String) {
        if self.told {
            println!("{:>12?} {}", self.clock.elapsed(), what());
        }
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.state().counts);
    }

    pub(super) fn counts(&self) -> Counts {
        self.state().counts.clone()
    }

    /// A number that two equal runs have in common.
    pub(super) fn digest(&self) -> u64 {
        self.state().digest
    }

    /// The first promise that was broken.
    pub(super) fn broken(&self) -> Option<String> {
        self.state().broken.clone()
    }

    pub(super) fn break_promise(&self, what: &str) {
        self.say(|| format!("BROKEN: {what}"));
        let elapsed = self.clock.elapsed();
        self.state().broken.get_or_insert(format!("after {elapsed:?}: {what}"));
    }

    // ---- what the driver changes ----

    pub(super) fn mood(&self, endpoint: usize) -> Mood {
        self.state().moods[endpoint]
    }

    pub(super) fn set_mood(&self, endpoint: usize, mood: Mood) {
        self.say(|| format!("endpoint {endpoint}: {mood:?}"));
        let now = self.clock.elapsed();
        let mut state = self.state();
        let before = std::mem::replace(&mut state.moods[endpoint], mood);
        if before == Mood::NeverConnects {
            state.unconnected[endpoint] = Some(now);
        }
    }

    pub(super) fn set_disks(&self, disks: Disks) {
        self.say(|| format!("store: {disks:?}"));
        self.state().disks = disks;
    }

    pub(super) fn next_life(&self) {
        let mut state = self.state();
        state.life += 1;
        state.calls = 0;
        state.open.clear();
    }

    pub(super) fn weather(&self, call: &'static str) -> Weather {
        let mut state = self.state();
        state.calls += 1;
        assert!(state.calls < MOST_CALLS, "a sender turns in circles: {call}");
        let chance = hash(&[self.seed, 1, u64::from(state.life), state.calls]);
        let ms = |most: u64, by: u32| Duration::from_millis((chance >> by) % (most + 1));
        let fails = match state.disks {
            Disks::Fine | Disks::Slow => false,
            Disks::Failing => !chance.is_multiple_of(5),
            Disks::Full => call == "append",
        };
        state.counts.store_failures += u64::from(fails);
        let slow = state.disks == Disks::Slow;
        Weather {
            before: ms(if slow { 300 } else { 2 }, 8),
            after: ms(if slow { 100 } else { 1 }, 24),
            fails,
        }
    }

    /// The place of a sender's new settings among all versions.
    pub(super) fn next_version(&self) -> usize {
        self.state().versions.len()
    }

    pub(super) fn add_version(&self, settings: Outbound) {
        let version = Version {
            settings,
            key: None,
            superseded: None,
        };
        self.state().versions.push(version);
    }

    /// A sender runs with these settings from now on. `gone`: it was suspended before and still is.
    pub(super) fn in_force(&self, key: SenderKey, version: usize, gone: bool) {
        let now = self.clock.elapsed();
        let mut state = self.state();
        let State { versions, standing, .. } = &mut *state;
        let standing = standing.entry(key).or_default();
        if let Some(before) = standing.version.replace(version) {
            versions[before].superseded.get_or_insert(now);
        }
        let one = &mut versions[version];
        (one.key, one.superseded) = (Some(key), None);
        let retries = one.settings.schedule.retries();
        standing.removed = None;
        standing.gone = gone.then_some(now);
        standing.most_attempts = standing.most_attempts.max(retries + 1);
        standing.most_at_once = standing.most_at_once.max(one.settings.concurrency);
        let cooldown = one.settings.breaker.map_or(Duration::ZERO, |breaker| breaker.cooldown);
        let parks = [
            standing.longest_park,
            cooldown,
            one.settings.max_retry_delay,
            LACK_OF_SOCKETS,
        ];
        standing.longest_park = parks.into_iter().max().unwrap_or_default();
    }

    /// A sender has no settings to run with.
    pub(super) fn degraded(&self, key: SenderKey) {
        let now = self.clock.elapsed();
        let mut state = self.state();
        let State { versions, standing, .. } = &mut *state;
        if let Some(before) = standing.entry(key).or_default().version.take() {
            versions[before].superseded.get_or_insert(now);
        }
    }

    pub(super) fn removed(&self, key: SenderKey, drain: Duration) {
        let until_ms = self.clock.now_ms() + millis(drain);
        let now = self.clock.elapsed();
        self.state().standing.entry(key).or_default().removed = Some((now, until_ms));
    }

    /// `webhooks resume`.
    pub(super) fn resumed(&self, key: SenderKey) {
        self.state().standing.entry(key).or_default().gone = None;
    }

    /// An event's request was answered 2xx.
    pub(super) fn accepted(&self, id: &str) {
        if self.disk.tables().seq(id).is_none() {
            self.break_promise(&format!("{id} was answered 2xx and is not stored"));
        }
        self.state().counts.accepted += 1;
    }

    /// The clock's time by which everything that is owed now is due.
    pub(super) fn last_due_ms(&self) -> i64 {
        let tables = self.disk.tables();
        tables
            .owed
            .values()
            .filter_map(|row| row.due_ms)
            .max()
            .unwrap_or(i64::MIN)
    }

    /// The clock's time by which every deleted sender has drained.
    pub(super) fn last_drained_ms(&self) -> i64 {
        let state = self.state();
        let removed = state.standing.values().filter_map(|standing| standing.removed);
        removed.map(|(_, until_ms)| until_ms).max().unwrap_or(i64::MIN)
    }

    pub(super) fn count_dead(&self) {
        let dead = self.disk.tables().dead.len() as u64;
        self.state().counts.dead = dead;
    }
}
