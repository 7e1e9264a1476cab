//! Knows every sender, wakes those with work, owns their tasks, the timer and what they share.

mod timer;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::attempt::{self, Delivery};
use super::backoff::{Rng, millis};
use super::change::{Notice, SenderChange};
use super::clients::Clients;
use super::egress::Policy;
use super::limits::Limits;
use super::prepared::{PreparedSender, SenderError};
use super::sender;
use super::slot::{Phase, Slot, State};
use super::status::{DispatcherFigures, SenderStatus, micros};
use crate::clock::SharedClock;
use crate::document::settings::{Egress, OnDelete, Outbound};
use crate::event::{Data, Event, EventId, EventName, Name};
use crate::proof::Proofs;
use crate::store::{Attempt, SenderKey, Store, Wake, delivery_id};

/// Notices that wait to be taken; when nobody takes them, newer ones are dropped.
pub const NOTICES: usize = 1024;
/// The longest sleep of the timer: so long is a jump of the clock (a suspended machine) overslept.
const TIMER_CHECK: Duration = Duration::from_millis(if cfg!(test) { 5 } else { 1000 });
/// Attempts in flight before the first `set_egress`: the document's defaults.
const DEFAULT_BUDGET: (usize, usize) = (1024, 64);

/// What all senders share. Locks are taken in this order: slots, one slot's state, timers.
pub(super) struct Shared {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: SharedClock,
    pub(super) clients: Clients,
    pub(super) limits: Arc<Limits>,
    /// No attempt begins any more.
    pub(super) stopping: CancellationToken,
    /// Attempts in flight are cut.
    pub(super) kill: CancellationToken,
    /// Who proves forwarded requests; empty until it is said.
    proofs: OnceLock<Arc<dyn Proofs>>,
    rng: Mutex<Rng>,
    slots: RwLock<Slots>,
    timers: Mutex<BTreeSet<(i64, SenderKey)>>,
    /// The longest sleep of the timer.
    timer_check: Duration,
    timer_bell: Notify,
    notices: mpsc::Sender<Notice>,
    /// What senders that are gone counted: sums never fall.
    gone: Mutex<DispatcherFigures>,
    tracker: TaskTracker,
    runtime: Handle,
}

#[derive(Default)]
struct Slots {
    by_key: HashMap<SenderKey, Arc<Slot>>,
    by_name: HashMap<Name, SenderKey>,
    /// Woken before they were put: at most one entry for each sender of the store.
    early: HashSet<SenderKey>,
}

/// The way in: see the room's page.
pub struct Dispatcher {
    shared: Arc<Shared>,
    /// Until it is taken.
    notices: Mutex<Option<mpsc::Receiver<Notice>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn rng(&self) -> MutexGuard<'_, Rng> {
        locked(&self.rng)
    }

    pub(super) fn proofs(&self) -> Option<&dyn Proofs> {
        self.proofs.get().map(|proofs| &**proofs)
    }

    pub(super) fn notice(&self, notice: Notice) {
        // Full: the gateway's own events are at most one an hour for each sender anyway.
        let _ = self.notices.try_send(notice);
    }

    /// A sender's draining is over; says whether it is gone. One that was taken back meanwhile stays.
    pub(super) fn forget(&self, slot: &Slot) -> bool {
        let counted = slot.status(0, 0);
        let mut slots = self.slots_mut();
        let mut state = slot.lock();
        if !matches!(state.phase, Phase::Draining { .. }) {
            return false;
        }
        locked(&self.gone).add(&counted);
        slots.by_key.remove(&slot.key);
        self.limits.set_senders(slots.by_key.len());
        if slots.by_name.get(&state.name) == Some(&slot.key) {
            slots.by_name.remove(&state.name);
        }
        if let Some(at_ms) = state.timer_ms.take() {
            locked(&self.timers).remove(&(at_ms, slot.key));
        }
        true
    }

    fn slots(&self) -> std::sync::RwLockReadGuard<'_, Slots> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn slots_mut(&self) -> std::sync::RwLockWriteGuard<'_, Slots> {
        self.slots.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Something changed about a sender: its task looks, and is begun where there is none.
    fn poke(self: &Arc<Self>, slot: &Arc<Slot>) {
        let mut state = slot.lock();
        state.woken = true;
        if state.running {
            slot.bell.notify_one();
        } else if !self.stopping.is_cancelled() {
            state.running = true;
            self.tracker
                .spawn_on(sender::run(Arc::clone(self), Arc::clone(slot)), &self.runtime);
        }
    }
}

impl Dispatcher {
    /// A dispatcher without senders. Give it to `Store::set_wake` as well.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: SharedClock, seed: u64) -> Arc<Self> {
        Self::with(store, clock, seed, Clients::new(), TIMER_CHECK)
    }

    /// [`Dispatcher::new`] with its connections and the longest sleep of its timer.
    pub(super) fn with(
        store: Arc<dyn Store>,
        clock: SharedClock,
        seed: u64,
        clients: Clients,
        timer_check: Duration,
    ) -> Arc<Self> {
        let (notices, taken) = mpsc::channel(NOTICES);
        let shared = Arc::new(Shared {
            store,
            clock,
            clients,
            limits: Limits::new(DEFAULT_BUDGET.0, DEFAULT_BUDGET.1),
            stopping: CancellationToken::new(),
            kill: CancellationToken::new(),
            proofs: OnceLock::new(),
            rng: Mutex::new(Rng::new(seed)),
            slots: RwLock::default(),
            timers: Mutex::default(),
            timer_check,
            timer_bell: Notify::new(),
            notices,
            gone: Mutex::default(),
            tracker: TaskTracker::new(),
            runtime: Handle::current(),
        });
        shared.tracker.spawn(Arc::clone(&shared).run_timer());
        let notices = Mutex::new(Some(taken));
        Arc::new(Self { shared, notices })
    }

    /// Who makes the proofs of forwarded requests. To be said once, before the first `commit`.
    pub fn set_proofs(&self, proofs: Arc<dyn Proofs>) {
        let _ = self.shared.proofs.set(proofs);
    }

    /// Checks a sender's settings against the egress policy that will be in force with them. Changes nothing.
    ///
    /// # Errors
    /// Everything that can be wrong with them: see [`SenderError`]. A URL whose host is an address that may not be reached
    /// is an error here; a name is judged when it is resolved, at each connection.
    pub fn prepare(&self, settings: Outbound, egress: &Egress) -> Result<PreparedSender, SenderError> {
        PreparedSender::new(settings, &Policy::new(egress), &self.shared.clients)
    }

    /// Makes changes take effect, each for its sender's next attempt. Returns at once.
    pub fn commit(&self, changes: Vec<SenderChange>) {
        let mut slots = self.shared.slots_mut();
        let mut poked = Vec::new();
        for change in changes {
            match change {
                SenderChange::Put {
                    key,
                    sender,
                    suspended,
                    owed,
                } => {
                    let known = slots.by_key.contains_key(&key);
                    let slot = slots.place(key, sender.name());
                    let mut state = slot.lock();
                    state.phase = Phase::Active;
                    state.sender = Some(Arc::from(sender));
                    match suspended {
                        Some(reason) => state.suspended = Some(reason.into()),
                        None => drop(state.lift()),
                    }
                    drop(state);
                    let early = slots.early.remove(&key);
                    if known || owed || early {
                        poked.push(slot);
                    } else {
                        slot.lock().due_known = true;
                    }
                }
                SenderChange::Degraded {
                    key,
                    name,
                    reason,
                    suspended,
                } => {
                    let slot = slots.place(key, &name);
                    let mut state = slot.lock();
                    state.phase = Phase::Degraded(reason.into());
                    state.sender = None;
                    state.suspended = suspended.map(Into::into);
                }
                SenderChange::Remove {
                    key,
                    on_delete,
                    drain_timeout,
                } => {
                    let slot = slots.by_key.get(&key).cloned().unwrap_or_else(|| {
                        // Deleted before a restart: nothing is known of it but that it is to end.
                        slots.place(key, &unknown_name(key))
                    });
                    let wait = match on_delete {
                        OnDelete::Drain => millis(drain_timeout),
                        OnDelete::Discard => 0,
                    };
                    let mut state = slot.lock();
                    state.phase = Phase::Draining {
                        until_ms: self.shared.clock.now_ms().saturating_add(wait),
                    };
                    state.due_known = false;
                    drop(state);
                    poked.push(slot);
                }
            }
        }
        self.shared.limits.set_senders(slots.by_key.len());
        drop(slots);
        for slot in poked {
            self.shared.poke(&slot);
        }
    }

    /// Takes `webhooks.egress`: policy and bounds. Connections that were made under another policy are not used again.
    /// To be called before the `commit` of senders that were prepared with it.
    pub fn set_egress(&self, egress: &Egress) {
        self.shared.clients.set_policy(Policy::new(egress));
        self.shared.limits.set(egress.max_in_flight, egress.max_per_origin);
    }

    /// One sender's status by its name.
    #[must_use]
    pub fn status(&self, name: &Name) -> Option<SenderStatus> {
        let key = *self.shared.slots().by_name.get(name)?;
        self.status_of(key)
    }

    /// One sender's status.
    #[must_use]
    pub fn status_of(&self, key: SenderKey) -> Option<SenderStatus> {
        let slot = self.slot(key)?;
        Some(slot.status(self.shared.clock.now_ms(), slot.share.held()))
    }

    /// Why a sender is suspended, degraded or not.
    #[must_use]
    pub fn suspension(&self, key: SenderKey) -> Option<String> {
        let slot = self.slot(key)?;
        slot.lock().suspended.as_deref().map(str::to_owned)
    }

    /// Lifts a suspension; says whether there was one.
    pub fn resume(&self, key: SenderKey) -> bool {
        let Some(slot) = self.slot(key) else {
            return false;
        };
        let lifted = slot.lock().lift();
        if lifted {
            self.shared.poke(&slot);
        }
        lifted
    }

    /// Sends a signed `webhook.test` event once, through the same egress check, TLS and signing as real attempts. It is
    /// not stored, not counted, not limited and does not touch the breaker. `None`: no such sender, or it is degraded.
    pub async fn test(&self, key: SenderKey) -> Option<Attempt> {
        let sender = self.slot(key)?.lock().sender.clone()?;
        Some(self.test_prepared(key, &sender).await)
    }

    /// The same with settings that are not in force.
    pub async fn test_prepared(&self, key: SenderKey, sender: &PreparedSender) -> Attempt {
        let now = self.shared.clock.now();
        // A name needs no escape. The members of a message are there, so that templates have something to take.
        let data = format!(
            r#"{{"sender":"{}","message":"a test of this webhook","channel":"test","user":"openclaw","sessionId":"test:test","platform":"openclaw","messageId":"test","userName":"openclaw","chatId":"test"}}"#,
            sender.name()
        );
        let event = Event {
            id: EventId::new(),
            name: test_event_name(),
            timestamp: now,
            data: Data::written(data),
            source: None,
            session: None,
            traceparent: None,
            test: true,
        };
        let id = delivery_id(event.id.as_str(), key);
        let answer = attempt::send(
            &self.shared,
            sender,
            Delivery {
                event: &event,
                id: &id,
                number: 1,
                now,
            },
        )
        .await;
        Attempt {
            number: 1,
            of: 1,
            started_ms: now.as_millisecond(),
            latency_us: micros(answer.latency),
            status: answer.status,
            error: answer.failure.as_ref().map(|failure| failure.class.as_str()),
            detail: answer.failure.map(|failure| failure.detail),
            response: answer.response,
            next_ms: None,
        }
    }

    /// Sums over all senders, since the process started.
    #[must_use]
    pub fn figures(&self) -> DispatcherFigures {
        let now_ms = self.shared.clock.now_ms();
        let slots: Vec<Arc<Slot>> = self.shared.slots().by_key.values().cloned().collect();
        let mut sum = DispatcherFigures {
            in_flight: self.in_flight(),
            ..locked(&self.shared.gone).clone()
        };
        for slot in slots {
            let status = slot.status(now_ms, 0);
            sum.parked += usize::from(status.parked_until_ms.is_some());
            sum.add(&status);
        }
        sum
    }

    /// Attempts in flight, all senders together.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.limits.in_flight()
    }

    /// What happens to senders; to be taken once.
    #[must_use]
    pub fn notices(&self) -> Option<mpsc::Receiver<Notice>> {
        locked(&self.notices).take()
    }

    /// Ends: no attempt begins any more, those in flight have `timeout` to end and be recorded; then they are cut (they
    /// stay owed and are not charged). Returns when every task has ended. To be called before `Store::close`.
    pub async fn shutdown(&self, timeout: Duration) {
        self.shared.stopping.cancel();
        self.shared.tracker.close();
        if tokio::time::timeout(timeout, self.shared.tracker.wait()).await.is_err() {
            self.shared.kill.cancel();
            self.shared.tracker.wait().await;
        }
    }

    /// How a sender's task stands: has one, was woken, its timer, whether that covers what is owed.
    #[cfg(test)]
    pub(super) fn told(&self, key: SenderKey) -> Option<(bool, bool, Option<i64>, bool)> {
        let slot = self.slot(key)?;
        let state = slot.lock();
        Some((state.running, state.woken, state.timer_ms, state.due_known))
    }

    #[cfg(test)]
    pub(super) fn tasks(&self) -> usize {
        self.shared.tracker.len()
    }

    fn slot(&self, key: SenderKey) -> Option<Arc<Slot>> {
        self.shared.slots().by_key.get(&key).cloned()
    }
}

impl Wake for Dispatcher {
    fn wake(&self, senders: &[SenderKey]) {
        let mut early = Vec::new();
        {
            let slots = self.shared.slots();
            for key in senders {
                match slots.by_key.get(key) {
                    Some(slot) => self.shared.poke(slot),
                    None => early.push(*key),
                }
            }
        }
        if !early.is_empty() {
            let mut slots = self.shared.slots_mut();
            for key in early {
                // Put meanwhile: then it is told at once.
                match slots.by_key.get(&key) {
                    Some(slot) => self.shared.poke(slot),
                    None => drop(slots.early.insert(key)),
                }
            }
        }
    }
}

/// The name of a sender that was deleted before a restart.
fn unknown_name(key: SenderKey) -> Name {
    Name::parse(&format!("deleted-{}", key.0.unsigned_abs())).expect("letters, a dash and digits are a name")
}

fn test_event_name() -> EventName {
    EventName::parse("webhook.test").expect("two words and a dot are an event's name")
}

impl Slots {
    /// The sender's place, under this name.
    fn place(&mut self, key: SenderKey, name: &Name) -> Arc<Slot> {
        let slot = self
            .by_key
            .entry(key)
            .or_insert_with(|| Arc::new(Slot::new(key, name.clone())));
        let slot = Arc::clone(slot);
        let before = std::mem::replace(&mut slot.lock().name, name.clone());
        if before != *name && self.by_name.get(&before) == Some(&key) {
            self.by_name.remove(&before);
        }
        self.by_name.insert(name.clone(), key);
        slot
    }
}
