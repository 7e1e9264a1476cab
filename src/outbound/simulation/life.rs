//! One simulated process after the other, and what happens to each.

mod arrivals;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::dice::{Dice, hash};
use super::network::{MOODS, Mood, SimulatedNetwork};
use super::wanted::{Document, Wanted};
use super::world::{Disks, ENDPOINTS, MAX_IN_FLIGHT, World};
use crate::clock::Clock as _;
use crate::document::settings::{Egress, OnDelete};
use crate::event::Name;
use crate::outbound::clients::Clients;
use crate::outbound::{Dispatcher, PreparedSender, SenderChange};
use crate::secret::Secret;
use crate::store::simulated::SimulatedStore;
use crate::store::{self, Commit, Retention, SenderKey, Store, Subscription};

/// As in the gateway: a second.
const TIMER_CHECK: Duration = Duration::from_secs(1);
/// What settles within this time after everything is well again was not stuck.
const PATIENCE: Duration = Duration::from_mins(3);

/// At the end it is looked soon, then less often: most have little left to do, and some wait for an hour.
const FIRST_LOOK: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// A request of a platform's, which sends it again until it is answered 2xx.
struct Incoming {
    sent: u64,
    answered: bool,
    under_way: bool,
}

/// What goes on through every life.
pub(super) struct Script {
    world: Arc<World>,
    dice: Dice,
    document: Document,
    incoming: Arc<Mutex<BTreeMap<u64, Incoming>>>,
    steps: u64,
}

/// One process.
struct Process {
    store: Arc<SimulatedStore>,
    dispatcher: Arc<Dispatcher>,
    /// What runs: the applied document, and its senders' keys.
    applied: Document,
    keys: BTreeMap<Name, SenderKey>,
}

/// Lives until every step is done, then until everything is delivered.
pub(super) fn run(world: &Arc<World>) {
    let mut dice = Dice::new(world.seed());
    // Many short histories find more than few long ones; what takes long to come about needs some that are long.
    let longest = *dice.pick(&[10, 15, 20, 30]);
    let mut script = Script {
        world: Arc::clone(world),
        document: Document::first(&mut dice),
        incoming: Arc::default(),
        steps: dice.between(5, longest),
        dice,
    };
    while world.broken().is_none() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let over = runtime.block_on(script.life());
        // Whatever still ran is gone, wherever it was: kill -9.
        drop(runtime);
        if over {
            break;
        }
    }
    world.count_dead();
}

impl Script {
    /// Says whether the simulation is over.
    async fn life(&mut self) -> bool {
        let world = Arc::clone(&self.world);
        world.next_life();
        world.clock.life_begins();
        for incoming in self.incoming.lock().unwrap().values_mut() {
            incoming.under_way = false;
        }
        let most = *self.dice.pick(&[100, 3000, 60_000]);
        let crash = self.dice.chance(70).then(|| self.dice.ms(1, most));
        let over = match crash.filter(|_| self.steps > 0) {
            None => self.live().await,
            Some(after) => tokio::time::timeout(after, self.live()).await.unwrap_or_else(|_| {
                world.say(|| "crash".to_owned());
                world.count(|counts| counts.crashes += 1);
                false
            }),
        };
        world.clock.life_ends();
        over
    }

    async fn live(&mut self) -> bool {
        let mut process = self.start().await;
        while self.steps > 0 {
            self.steps -= 1;
            let most = *self.dice.pick(&[0, 20, 20, 300, 3000, 20_000]);
            tokio::time::sleep(self.dice.ms(0, most)).await;
            if self.step(&mut process).await {
                return false;
            }
            self.world.check(&process.store, &process.dispatcher);
            if self.world.broken().is_some() {
                return true;
            }
        }
        self.end(&mut process).await;
        true
    }

    // ---- starting, reloading, stopping ----

    /// As the reconciler starts senders.
    async fn start(&mut self) -> Process {
        let world = &self.world;
        world.set_disks(Disks::Fine);
        let weather = {
            let world = Arc::clone(world);
            Box::new(move |call| world.weather(call))
        };
        let store = SimulatedStore::open(&world.disk, 0, world.clock.clone(), weather);
        let network = Arc::new(SimulatedNetwork(Arc::clone(world)));
        let seed = hash(&[world.seed(), 2]);
        let clock = world.clock.clone();
        let dispatcher = Dispatcher::with(store.clone(), clock, seed, Clients::on(network), TIMER_CHECK);
        dispatcher.set_egress(&egress());
        store.set_wake(dispatcher.clone());
        let mut process = Process {
            store,
            dispatcher,
            applied: self.document.clone(),
            keys: BTreeMap::new(),
        };
        let known = process.store.senders().await.unwrap();
        let prepared: Vec<_> = process
            .applied
            .senders
            .iter()
            .map(|one| process.prepare(world, one))
            .collect();
        let mut changes: Vec<_> = process.applied.senders.iter().map(to_store).collect();
        let gone = known.iter().filter(|row| {
            let mut senders = process.applied.senders.iter();
            row.removed_ms.is_none() && !senders.any(|one| one.settings.name == row.name)
        });
        changes.extend(gone.map(|row| store::SenderChange::Remove { name: row.name.clone() }));
        process.commit_to_store(world, changes).await.unwrap();
        for row in process.store.senders().await.unwrap() {
            if row.removed_ms.is_some() {
                world.removed(row.key, Duration::ZERO);
                process.store.close_sender(row.key).await.unwrap();
            }
        }
        let mut puts = Vec::new();
        for (one, (version, sender)) in process.applied.senders.iter().zip(prepared) {
            let key = process.keys[&one.settings.name];
            if one.unready {
                world.degraded(key);
                puts.push(SenderChange::Degraded {
                    key,
                    name: one.settings.name.clone(),
                    reason: "its secret is missing".to_owned(),
                    suspended: known
                        .iter()
                        .find(|row| row.key == key)
                        .and_then(|row| row.suspended.clone()),
                });
                continue;
            }
            let row = known.iter().find(|row| row.key == key);
            let suspended = row.and_then(|row| row.suspended.clone());
            world.in_force(key, version, suspended.is_some());
            puts.push(SenderChange::Put {
                key,
                sender: Box::new(sender),
                suspended,
                owed: row.is_some_and(|row| row.owed > 0),
            });
        }
        process.dispatcher.commit(puts);
        world.say(|| format!("started with {} senders", process.applied.senders.len()));
        process
    }

    /// As a reconcile changes them: all of it, or nothing.
    async fn reload(&mut self, process: &mut Process) {
        let world = &self.world;
        let (before, after) = (process.applied.clone(), self.document.clone());
        let edited = |one: &&Wanted| !before.senders.iter().any(|old| old.edition == one.edition);
        let put: Vec<_> = after.senders.iter().filter(edited).cloned().collect();
        // What is degraded since the start stays so; a changed one that cannot be prepared fails the whole.
        if put.iter().any(|one| one.unready) {
            world.say(|| "reload refused: a secret is missing".to_owned());
            self.document = before;
            return;
        }
        let prepared: Vec<_> = put.iter().map(|one| process.prepare(world, one)).collect();
        let removed = before.senders.iter().filter(|old| {
            let name = &old.settings.name;
            let is_old = |name: &Name| before.senders.iter().any(|old| old.settings.name == *name);
            let mut senders = after.senders.iter();
            // A rename to a name that is taken is none.
            !senders.any(|one| {
                let renamed = one.previous.as_ref() == Some(name) && !is_old(&one.settings.name);
                one.settings.name == *name || renamed
            })
        });
        let removed: Vec<_> = removed.cloned().collect();
        let mut changes: Vec<_> = put.iter().map(to_store).collect();
        changes.extend(removed.iter().map(|old| store::SenderChange::Remove {
            name: old.settings.name.clone(),
        }));
        world.say(|| format!("reload: {} put, {} removed", put.len(), removed.len()));
        if let Err(error) = process.commit_to_store(world, changes).await {
            world.say(|| format!("reload refused: {error}"));
            self.document = before;
            return;
        }
        world.count(|counts| counts.reloads += 1);
        let mut commit = Vec::new();
        for (one, (version, sender)) in put.iter().zip(prepared) {
            let key = process.keys[&one.settings.name];
            world.in_force(key, version, false);
            commit.push(SenderChange::Put {
                key,
                sender: Box::new(sender),
                suspended: None,
                owed: true,
            });
        }
        for old in removed {
            let Some(key) = process.keys.remove(&old.settings.name) else {
                continue;
            };
            let drain = match old.settings.on_delete {
                OnDelete::Drain => old.settings.drain_timeout,
                OnDelete::Discard => Duration::ZERO,
            };
            world.removed(key, drain);
            commit.push(SenderChange::Remove {
                key,
                on_delete: old.settings.on_delete,
                drain_timeout: old.settings.drain_timeout,
            });
        }
        process.dispatcher.commit(commit);
        process.applied = after;
    }

    async fn stop(&mut self, process: &Process, timeout: Duration) {
        let world = &self.world;
        world.say(|| format!("stop within {timeout:?}"));
        world.count(|counts| counts.stops += 1);
        // After the timeout what is done is recorded, for two seconds at most, one sender beside the other.
        let longest = timeout + Duration::from_secs(5);
        if tokio::time::timeout(longest, process.dispatcher.shutdown(timeout))
            .await
            .is_err()
        {
            world.break_promise(&format!("the stop within {timeout:?} takes longer than {longest:?}"));
        }
        if process.dispatcher.in_flight() > 0 {
            world.break_promise("attempts in flight after the stop");
        }
        process.store.close().await;
    }

    // ---- what happens ----

    /// Says whether the process has ended.
    async fn step(&mut self, process: &mut Process) -> bool {
        match self.dice.below(100) {
            0..=44 => {
                for _ in 0..self.dice.between(1, 6) {
                    self.arrival(process);
                }
            }
            45..=64 => {
                let mood = *self.dice.pick(&MOODS);
                self.world.set_mood(self.dice.index(ENDPOINTS), mood);
            }
            65..=82 => {
                self.document.edit(&mut self.dice);
                self.reload(process).await;
            }
            83..=87 => {
                let disks = [Disks::Fine, Disks::Fine, Disks::Slow, Disks::Failing, Disks::Full];
                self.world.set_disks(*self.dice.pick(&disks));
            }
            88..=90 => {
                // Small slews are common, an hour is a wrong time zone.
                let most = *self.dice.pick(&[50, 5_000, 60_000, 3_600_000]);
                let by = i64::try_from(self.dice.below(most)).unwrap();
                let by = if self.dice.chance(50) { by } else { -by };
                self.world.say(|| format!("the clock is set by {by} ms"));
                self.world.count(|counts| counts.jumps += 1);
                self.world.clock.jump_ms(by);
            }
            91..=93 => {
                let keys: Vec<_> = process.keys.values().copied().collect();
                if !keys.is_empty() {
                    let key = *self.dice.pick(&keys);
                    if process.dispatcher.resume(key) {
                        self.world.resumed(key);
                    }
                }
            }
            94 | 95 => self.retain(process).await,
            96 | 97 => {
                let timeout = self.dice.ms(0, 3000);
                self.stop(process, timeout).await;
                return true;
            }
            _ => self.platforms_try_again(process),
        }
        false
    }

    async fn retain(&self, process: &Process) {
        let retention = Retention {
            settled_ms: 1000,
            dead_ms: 86_400_000,
            max_bytes: 0,
        };
        let _ = process.store.retain(retention, self.world.clock.now_ms()).await;
    }

    // ---- the end ----

    /// Everything is well again: whatever is owed is delivered, by itself.
    async fn end(&mut self, process: &mut Process) {
        let world = Arc::clone(&self.world);
        world.say(|| "all is well".to_owned());
        world.set_disks(Disks::Fine);
        for endpoint in 0..ENDPOINTS {
            world.set_mood(endpoint, Mood::Fine);
        }
        self.document.heal();
        self.reload(process).await;
        let parked = process
            .keys
            .values()
            .filter_map(|key| process.dispatcher.status_of(*key)?.parked_until_ms);
        let last_ms = parked
            .chain([world.last_due_ms(), world.last_drained_ms()])
            .max()
            .unwrap_or_default();
        let wait = Duration::from_millis(u64::try_from(last_ms.saturating_sub(world.clock.now_ms())).unwrap_or(0));
        let deadline = world.clock.elapsed() + wait + PATIENCE;
        let mut pause = FIRST_LOOK;
        loop {
            world.check(&process.store, &process.dispatcher);
            let owed = world.disk.tables().owed.len();
            let idle = process.dispatcher.tasks() == 1;
            let waiting = self
                .incoming
                .lock()
                .unwrap()
                .values()
                .filter(|one| !one.answered)
                .count();
            if world.broken().is_some() || (owed == 0 && waiting == 0 && idle) {
                break;
            }
            self.platforms_try_again(process);
            if world.clock.elapsed() > deadline {
                let tables = world.disk.tables();
                let rows = tables
                    .senders
                    .iter()
                    .filter(|(key, _)| tables.owed_to(**key).next().is_some());
                let stuck: Vec<_> = rows
                    .map(|(key, sender)| {
                        let status = process.dispatcher.status_of(*key);
                        let told = status.map(|s| (s.state, s.breaker, s.parked_until_ms, s.in_flight));
                        let now_ms = world.clock.now_ms();
                        let memory = process.store.memory();
                        let first = tables.owed_to(*key).next().map(|(seq, row)| {
                            (
                                seq,
                                row.due() - now_ms,
                                row.attempts,
                                memory.claims.contains(&(*key, seq)),
                            )
                        });
                        let task = process.dispatcher.told(*key);
                        let owed = tables.owed_to(*key).count();
                        format!("{} owes {owed}, first {first:?}: {told:?} {task:?}", sender.name)
                    })
                    .collect();
                let tasks = process.dispatcher.tasks();
                let what = format!("{waiting} requests wait, {tasks} tasks run, {}", stuck.join("; "));
                drop(tables);
                world.break_promise(&format!("stuck: {what}"));
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
        self.stop(process, Duration::from_secs(1)).await;
    }
}

impl Process {
    /// A sender that can run, with the place of its settings among all versions.
    fn prepare(&self, world: &World, one: &Wanted) -> (usize, PreparedSender) {
        let version = world.next_version();
        let mut settings = one.settings.clone();
        settings.headers = vec![("x-version".to_owned(), Secret::new(version.to_string()))];
        world.add_version(settings.clone());
        (version, self.dispatcher.prepare(settings, &egress()).unwrap())
    }

    async fn commit_to_store(&mut self, world: &World, senders: Vec<store::SenderChange>) -> store::Result<()> {
        let commit = Commit {
            generation: None,
            senders,
            now_ms: world.clock.now_ms(),
        };
        let committed = self.store.commit(commit).await?;
        self.keys.extend(committed.keys);
        Ok(())
    }
}

fn egress() -> Egress {
    Egress {
        allow_networks: Vec::new(),
        allow_hosts: Vec::new(),
        max_in_flight: MAX_IN_FLIGHT,
        max_per_origin: 4,
    }
}

fn to_store(one: &Wanted) -> store::SenderChange {
    store::SenderChange::Put {
        name: one.settings.name.clone(),
        previous: one.previous.clone(),
        subscription: Subscription {
            events: one.settings.events.clone(),
            from: one.settings.from.clone(),
            per_request: false,
        },
        // Nothing here has a template that could fail.
        changed: false,
    }
}
