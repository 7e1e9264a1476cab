// A long room: what is true, and what must hold because of it, are read together.
//! What is true whatever the gateway believes, and the promises it is held to.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::dice::{WallClock, hash};
use super::network::{Mood, Seen};
use crate::clock::Clock as _;
use crate::document::settings::Outbound;
use crate::event::Ordering;
use crate::outbound::Dispatcher;
use crate::outbound::backoff::millis;
use crate::store::simulated::{Disk, SimulatedStore, Weather};
use crate::store::{DeadReason, SenderKey};

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

    // ---- what endpoints see ----

    /// A request is complete: may it have been sent?
    pub(super) fn arrive(&self, endpoint: usize, seen: &Seen) -> Tried {
        let (now, now_ms) = (self.clock.elapsed(), self.clock.now_ms());
        let tables = self.disk.tables();
        let mut state = self.state();
        let state = &mut *state;
        state.counts.requests += 1;
        let serial = state.counts.requests;
        state.digest = hash(&[
            state.digest,
            u64::try_from(now.as_millis()).unwrap(),
            seen.version as u64,
            seen.number.into(),
        ]);
        let version = &state.versions[seen.version];
        let settings = &version.settings;
        let key = version.key.expect("only what is in force is sent with");
        let seq = tables.seq(&seen.event).unwrap_or_default();
        let mut faults = Vec::new();
        let waited = state.moods[endpoint] == Mood::NeverConnects
            || state.unconnected[endpoint].is_some_and(|last| last + settings.timeout >= now);

        // Whatever is sent is owed, with so many attempts before.
        match tables.owed.get(&(key, seq)) {
            None => faults.push("it is not owed".to_owned()),
            Some(row) => {
                if row.attempts + 1 != seen.number {
                    faults.push(format!("{} attempts are charged", row.attempts));
                }
                if !waited && now_ms - row.since_ms > millis(settings.max_age) {
                    faults.push("it is older than maxAge".to_owned());
                }
            }
        }
        if seen.number > settings.schedule.retries() + 1 {
            faults.push(format!("only {} retries are allowed", settings.schedule.retries()));
        }
        // No attempt is made twice, but for those that are not charged.
        let tries = state.tries.entry(seen.delivery.clone()).or_default();
        let last = tries
            .last()
            .filter(|last| last.life == state.life && last.number == seen.number);
        let again = last.is_some_and(|last| last.end == End::Stale);
        if let Some(last) = last.filter(|last| !matches!(last.end, End::Stale | End::Answered(410))) {
            faults.push(format!("the same attempt was made before: {:?}", last.end));
        }
        // The settings in force, and what they allow.
        let standing = state.standing.entry(key).or_default();
        if !again && !waited {
            if version.superseded.is_some_and(|at| at < now) {
                faults.push("with settings that are not in force any more".to_owned());
            }
            if settings.paused {
                faults.push("to a paused sender".to_owned());
            }
            if standing
                .removed
                .is_some_and(|(at, until_ms)| at < now && now_ms >= until_ms)
            {
                faults.push("to a deleted sender".to_owned());
            }
            if standing.gone.is_some_and(|at| at < now) {
                faults.push("to a suspended sender".to_owned());
            }
        }
        // Nothing overtakes.
        let session = |seq: i64| tables.events.get(&seq).and_then(|stored| stored.event.session.as_ref());
        let mut older = tables
            .owed_to(key)
            .map(|(older, _)| older)
            .take_while(|older| *older < seq);
        let overtaken = match settings.ordering {
            Ordering::None => None,
            Ordering::Fifo => older.next(),
            Ordering::Session => older.find(|older| session(seq).is_some() && session(*older) == session(seq)),
        };
        drop(older);
        if let Some(older) = overtaken {
            faults.push(format!("it overtakes {older}"));
        }
        // What waited for its connection, or was sent before, began earlier: when it ends is not known, or known from there.
        let until = match last.filter(|_| again) {
            Some(last) => last.until,
            None if waited => now,
            None => now + settings.timeout,
        };
        // As many at once as are allowed.
        state.open.retain(|(_, _, until)| *until > now);
        let open = state.open.iter().filter(|(_, of, _)| *of == key).count();
        state.open.push((serial, key, until));
        let at_once = match settings.ordering {
            Ordering::Fifo => 1,
            _ => settings.concurrency,
        };
        if open >= at_once {
            faults.push(format!("{open} others are under way"));
        }
        let tries = state.tries.entry(seen.delivery.clone()).or_default();
        tries.push(Try {
            life: state.life,
            number: seen.number,
            version: seen.version,
            until,
            end: End::Open,
        });
        let came = Tried {
            delivery: seen.delivery.clone(),
            place: (key, seq),
            index: tries.len() - 1,
            serial,
        };
        let name = settings.name.clone();
        drop(tables);
        let line = || format!("{name} (version {}) sends {seq}, attempt {}", seen.version, seen.number);
        if !faults.is_empty() {
            let elapsed = now;
            let what = format!("after {elapsed:?}: {}: {}", line(), faults.join("; "));
            state.broken.get_or_insert(what);
        }
        if self.told {
            println!("{now:>12?} {} {}", line(), faults.join("; "));
        }
        came
    }

    pub(super) fn ends(&self, tried: &Tried, end: End) {
        self.say(|| format!("{} ends: {end:?}", tried.place.1));
        let now = self.clock.elapsed();
        let mut state = self.state();
        state.digest = hash(&[state.digest, u64::try_from(now.as_millis()).unwrap()]);
        let one = &mut state.tries.get_mut(&tried.delivery).unwrap()[tried.index];
        one.end = end;
        let version = one.version;
        state.open.retain(|(serial, ..)| *serial != tried.serial);
        match end {
            End::Answered(200..=299) => {
                state.delivered.insert(tried.place);
                state.counts.delivered += 1;
            }
            // An endpoint that the sender has left says nothing of the one it has now.
            End::Answered(410) if state.versions[version].superseded.is_none() => {
                state.standing.entry(tried.place.0).or_default().gone.get_or_insert(now);
            }
            _ => {}
        }
    }

    // ---- what must hold at every moment ----

    pub(super) fn check(&self, store: &SimulatedStore, dispatcher: &Dispatcher) {
        let mut faults = Vec::new();
        self.check_events(&mut faults);
        let (tables, state) = (self.disk.tables(), self.state());
        let now_ms = self.clock.now_ms();
        let mut in_hand: BTreeMap<SenderKey, usize> = BTreeMap::new();
        for (key, _) in &store.memory().claims {
            *in_hand.entry(*key).or_default() += 1;
        }
        for (key, count) in in_hand {
            // As many under way as are settled.
            let most = 2 * state.standing.get(&key).map_or(0, |standing| standing.most_at_once);
            if count > most {
                faults.push(format!("sender {} holds {count} deliveries in memory", key.0));
            }
        }
        if dispatcher.tasks() > 1 + tables.senders.len() {
            faults.push(format!("{} tasks", dispatcher.tasks()));
        }
        if dispatcher.in_flight() > MAX_IN_FLIGHT {
            faults.push(format!("{} attempts in flight", dispatcher.in_flight()));
        }
        for (key, standing) in &state.standing {
            let (Some(version), Some(status)) = (standing.version, dispatcher.status_of(*key)) else {
                continue;
            };
            let settings = &state.versions[version].settings;
            let longest = millis(standing.longest_park);
            if let Some(wait) = status
                .parked_until_ms
                .map(|until_ms| until_ms - now_ms)
                .filter(|wait| *wait > longest)
            {
                faults.push(format!("{} is parked for {wait} ms", settings.name));
            }
        }
        drop((tables, state));
        if let Some(fault) = faults.into_iter().next() {
            self.break_promise(&fault);
        }
    }

    /// Everything accepted is delivered, owed or dead with a reason.
    fn check_events(&self, faults: &mut Vec<String>) {
        let (tables, mut state) = (self.disk.tables(), self.state());
        let state = &mut *state;
        state.unsettled.extend(&tables.ledger[state.looked_at..]);
        state.looked_at = tables.ledger.len();
        let mut unsettled = Vec::new();
        for place in &state.unsettled {
            let most = state
                .standing
                .get(&place.0)
                .map_or(0, |standing| standing.most_attempts);
            let attempts = if let Some(row) = tables.owed.get(place) {
                unsettled.push(*place);
                row.attempts
            } else if let Some(dead) = tables.dead.get(place) {
                let never_deleted = state
                    .standing
                    .get(&place.0)
                    .is_some_and(|standing| standing.removed.is_none());
                if dead.reason == DeadReason::Internal || (dead.reason == DeadReason::Deleted && never_deleted) {
                    faults.push(format!("{place:?} is dead: {:?} {}", dead.reason, dead.detail));
                }
                unsettled.push(*place);
                dead.row.attempts
            } else {
                if !state.delivered.contains(place) {
                    faults.push(format!("{place:?} is lost"));
                }
                0
            };
            if attempts > most {
                faults.push(format!("{place:?} has {attempts} attempts, {most} are allowed"));
            }
        }
        state.unsettled = unsettled;
        let (numbers, last) = &mut state.stored;
        for (seq, stored) in tables.events.range(*last + 1..) {
            *last = *seq;
            // The same request, come again.
            if !numbers.insert(stored.event.data.get().to_owned()) {
                faults.push(format!("{} was stored twice", stored.event.data.get()));
            }
        }
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
