//! One sender's loop: claim -> attempts -> settle. It ends when there is nothing to do now; the timer or the store's wake
//! begins it again.

mod ledger;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::attempt::Class;
use super::change::Notice;
use super::dispatcher::Shared;
use super::flight;
use super::limits::Permit;
use super::prepared::PreparedSender;
use super::slot::{Landed, MayBegin, News, Slot, Stance};
use crate::event::{Event, Ordering};
use crate::store::{Claim, DeadReason, Outcome, Owed, Settlement, StoreError};

/// The first and the longest pause after the store failed.
const STORE_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// How long a due delivery that the store does not give out is left alone.
const RECHECK_MS: i64 = 100;
/// How long the loop may take to record what is done after it was told to stop at once.
const LAST_SETTLE: Duration = Duration::from_secs(2);

/// A sender claims no more once what it has in hand, begun or not, has so many bytes of data.
pub(super) const IN_HAND_BYTES: usize = 16 * 1024 * 1024;

type Settled = (Vec<Settlement>, Result<(), StoreError>);

/// What the loop has in its hands. `flights` and `ready` are at most `concurrency` together, and at most [`IN_HAND_BYTES`]
/// and one event; `done`, which has no events, is as many again.
struct Hands {
    shared: Arc<Shared>,
    slot: Arc<Slot>,
    /// Claimed, not begun.
    ready: VecDeque<Owed>,
    flights: FuturesUnordered<BoxFuture<'static, Landed>>,
    /// Data of the events in `flights`.
    flight_bytes: usize,
    /// Not recorded yet.
    done: Vec<Settlement>,
    settling: Option<BoxFuture<'static, Settled>>,
    /// How many `settling` holds.
    settling_count: usize,
    claiming: Option<BoxFuture<'static, Result<Vec<Owed>, StoreError>>>,
    claim_limit: usize,
    claim_bytes: usize,
    /// How what is ready was claimed.
    claimed_as: Ordering,
    /// When is the next delivery due?
    asking: Option<BoxFuture<'static, Result<Option<i64>, StoreError>>>,
    /// The answer, as long as nothing was claimed or settled since.
    next: Next,
    /// What was due when it was asked could not be claimed once already.
    rechecked: bool,
    /// The first permit, where it has to be waited for.
    waiting: Option<BoxFuture<'static, Permit>>,
    permit: Option<Permit>,
    /// The store may have deliveries that are due.
    more: bool,
    /// A wake came while `claiming` was under way: its answer may be older than what the wake was about.
    woken_since: bool,
    /// The store's pause after a failure.
    trouble: Option<Trouble>,
}

struct Trouble {
    until: Instant,
    next: Duration,
}

/// When the store has something for the sender again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Unknown,
    Later,
    /// It owes nothing that is not in hand.
    Never,
}

/// Why the loop ends.
enum End {
    /// There is nothing to do.
    Idle,
    /// The sender's draining is over and recorded.
    Closed,
    /// The gateway stops, or the store is closed.
    Stopped,
}

/// Runs until there is nothing to do. The caller has set `running`.
pub(super) async fn run(shared: Arc<Shared>, slot: Arc<Slot>) {
    let mut hands = Hands {
        shared: Arc::clone(&shared),
        slot: Arc::clone(&slot),
        ready: VecDeque::new(),
        flights: FuturesUnordered::new(),
        flight_bytes: 0,
        done: Vec::new(),
        settling: None,
        settling_count: 0,
        claiming: None,
        claim_limit: 0,
        claim_bytes: 0,
        claimed_as: Ordering::None,
        asking: None,
        next: Next::Unknown,
        rechecked: false,
        waiting: None,
        permit: None,
        more: false,
        woken_since: false,
        trouble: None,
    };
    loop {
        let end = tokio::select! {
            biased;
            () = shared.kill.cancelled() => {
                hands.let_go().await;
                End::Stopped
            }
            end = hands.work() => end,
        };
        if matches!(end, End::Closed) && shared.forget(&slot) {
            return;
        }
        let mut state = slot.lock();
        // A wake that came meanwhile found `running` set: it is ours to look at. One that was taken back goes on.
        if matches!(end, End::Closed) || (matches!(end, End::Idle) && state.woken) {
            continue;
        }
        state.running = false;
        return;
    }
}

impl Hands {
    /// The loop. Cancel safe: what is in hand stays in `self`.
    async fn work(&mut self) -> End {
        loop {
            let now_ms = self.shared.clock.now_ms();
            let mut stance = {
                let mut state = self.slot.lock();
                if std::mem::take(&mut state.woken) {
                    self.more = true;
                    self.woken_since = true;
                    self.next = Next::Unknown;
                }
                state.stance(now_ms)
            };
            let stopping = self.shared.stopping.is_cancelled();
            if stopping {
                stance.may_begin = MayBegin::Not;
            }
            if let Some(sender) = stance.sender.clone().filter(|_| self.in_order(&stance)) {
                self.begin(&sender, &mut stance, now_ms);
            }
            let pausing = self
                .trouble
                .as_ref()
                .is_some_and(|trouble| trouble.until > Instant::now());
            if !pausing {
                let may_begin = matches!(stance.may_begin, MayBegin::Some(_)) && self.in_order(&stance);
                if !may_begin && !self.ready.is_empty() {
                    self.release_ready().await;
                    continue;
                }
                if self.settling.is_none() && !self.done.is_empty() {
                    self.settle();
                }
                if stance.suspension_unsaved {
                    self.save_suspension().await;
                    continue;
                }
                if !stopping {
                    self.claim(&stance, now_ms);
                    self.ask(&stance);
                }
                if self.is_empty() {
                    if let Some(end) = self.rest(&stance, stopping, now_ms).await {
                        return end;
                    }
                    continue;
                }
            }
            if let MayBegin::From(at_ms) = stance.may_begin {
                self.shared.timer(&self.slot, &mut self.slot.lock(), at_ms);
            }
            if self.wait().await {
                return End::Stopped;
            }
        }
    }

    /// Whether what is ready was claimed under the ordering that holds now: under another it may overtake.
    fn in_order(&self, stance: &Stance) -> bool {
        let sender = stance.sender.as_ref();
        self.ready.is_empty() || sender.is_some_and(|sender| sender.settings.ordering == self.claimed_as)
    }

    /// Nothing is in hand.
    fn is_empty(&self) -> bool {
        self.ready.is_empty()
            && self.flights.is_empty()
            && self.done.is_empty()
            && self.settling.is_none()
            && self.claiming.is_none()
            && self.asking.is_none()
    }

    // ---- attempts ----

    /// Begins attempts for what is ready, as far as every bound allows.
    fn begin(&mut self, sender: &Arc<PreparedSender>, stance: &mut Stance, now_ms: i64) {
        let limits = Arc::clone(&self.shared.limits);
        while let MayBegin::Some(at_most) = stance.may_begin {
            let Some(owed) = self.ready.front_mut() else {
                self.waiting = None;
                self.permit = None;
                return;
            };
            if let Some(settlement) = flight::unsent(owed, sender, now_ms) {
                let owed = self.ready.pop_front().expect("it was seen above");
                self.record(settlement, &owed.event, sender);
                continue;
            }
            // A breaker's probe goes alone.
            if self.flights.len() >= sender.concurrency().min(self.slot.share.window()) || at_most == 0 {
                return;
            }
            let free = self
                .permit
                .take()
                .or_else(|| limits.try_acquire(&self.slot.share, &sender.origin));
            let Some(permit) = free else {
                if self.flights.is_empty() && self.waiting.is_none() {
                    let share = Arc::clone(&self.slot.share);
                    self.waiting = Some(limits.acquire(share, sender.origin.clone()).boxed());
                }
                return;
            };
            self.waiting = None;
            let owed = self.ready.pop_front().expect("it was seen above");
            self.flight_bytes += data_bytes(&owed);
            let probe = {
                let mut state = self.slot.lock();
                let probe = state.begin(sender, now_ms);
                stance.may_begin = state.stance(now_ms).may_begin;
                probe
            };
            self.flights.push(flight::begin(
                Arc::clone(&self.shared),
                Arc::clone(sender),
                owed,
                probe,
                permit,
            ));
        }
    }

    /// An attempt has ended.
    fn land(&mut self, landed: &Landed) {
        let now_ms = self.shared.clock.now_ms();
        self.flight_bytes -= data_bytes(&landed.owed);
        let answered = !landed
            .answer
            .failure
            .as_ref()
            .is_some_and(|f| f.class == Class::Timeout);
        self.slot.share.ended(answered, landed.sender.concurrency());
        let (settlement, news) = {
            let mut rng = self.shared.rng();
            self.slot.lock().conclude(landed, now_ms, &mut rng)
        };
        flight::log(landed, &settlement);
        let name = landed.sender.name();
        match news {
            Some(News::Failing) => {
                let failure = landed.answer.failure.as_ref();
                self.shared.notice(Notice::Failing {
                    sender: name.clone(),
                    detail: failure.map(|failure| failure.detail.clone()).unwrap_or_default(),
                });
            }
            Some(News::Recovered) => self.shared.notice(Notice::Recovered { sender: name.clone() }),
            Some(News::Suspended(reason)) => {
                warn!(sender = %name, reason, "suspended");
                self.shared.notice(Notice::Suspended {
                    sender: name.clone(),
                    reason,
                });
            }
            None => {}
        }
        if let Outcome::Dead { reason, detail } = &settlement.outcome {
            self.dead(&landed.sender, &landed.owed.event, *reason, detail);
        }
        self.done.push(settlement);
    }

    /// A delivery that ends without an attempt.
    fn record(&mut self, settlement: Settlement, event: &Event, sender: &PreparedSender) {
        if let Outcome::Dead { reason, detail } = &settlement.outcome {
            self.dead(sender, event, *reason, detail);
        }
        self.done.push(settlement);
    }

    fn dead(&self, sender: &PreparedSender, event: &Event, reason: DeadReason, detail: &str) {
        warn!(sender = %sender.name(), event = event.id.as_str(), reason = reason.as_str(), detail, "dead letter");
        self.shared.notice(Notice::Dead {
            sender: sender.name().clone(),
            event_id: event.id.as_str().to_owned(),
            event: event.name.clone(),
            reason,
            detail: detail.to_owned(),
        });
    }

    /// Waits for the next thing to happen, and takes in all that has. Says whether the store is closed.
    async fn wait(&mut self) -> bool {
        let pause = self
            .trouble
            .as_ref()
            .map(|trouble| trouble.until)
            .filter(|until| *until > Instant::now());
        let mut closed = false;
        // In this order, so that a run can be repeated. None starves another: what comes first is bounded by what comes later.
        tokio::select! {
            biased;
            Some(landed) = self.flights.next(), if !self.flights.is_empty() => self.land(&landed),
            result = maybe(&mut self.claiming) => {
                self.claiming = None;
                closed = self.claimed(result);
            }
            result = maybe(&mut self.asking) => {
                self.asking = None;
                closed = self.answered(result);
            }
            settled = maybe(&mut self.settling) => {
                self.settling = None;
                closed = self.settled(settled);
            }
            permit = maybe(&mut self.waiting) => {
                self.waiting = None;
                self.permit = Some(permit);
            }
            () = self.slot.bell.notified() => {}
            () = self.shared.stopping.cancelled(), if !self.shared.stopping.is_cancelled() => {}
            () = tokio::time::sleep_until(pause.unwrap_or_else(Instant::now)), if pause.is_some() => {}
        }
        // Attempts that ended at the same time are settled in the same write.
        while let Some(Some(landed)) = self.flights.next().now_or_never() {
            self.land(&landed);
        }
        closed
    }

    /// With empty hands: goes on (`None`), or ends with the timer set for what comes later.
    async fn rest(&mut self, stance: &Stance, stopping: bool, now_ms: i64) -> Option<End> {
        if stopping {
            return Some(End::Stopped);
        }
        if stance
            .ends_ms
            .is_some_and(|ends_ms| now_ms >= ends_ms || self.next == Next::Never)
        {
            return self.close().await;
        }
        let from_ms = match stance.may_begin {
            MayBegin::Some(_) if self.more => return None,
            MayBegin::From(from_ms) => Some(from_ms),
            MayBegin::Some(_) | MayBegin::Not => None,
        };
        let mut state = self.slot.lock();
        for at_ms in from_ms.into_iter().chain(stance.ends_ms) {
            self.shared.timer(&self.slot, &mut state, at_ms);
        }
        Some(End::Idle)
    }

    /// Ends a deleted sender: what it is still owed becomes dead letters.
    async fn close(&mut self) -> Option<End> {
        match self.shared.store.close_sender(self.slot.key).await {
            Ok(dead) => {
                info!(sender = %self.slot.lock().name, dead, "deleted");
                Some(End::Closed)
            }
            Err(error) => self.failed("close_sender", &error).then_some(End::Stopped),
        }
    }

    /// Stops at once: records what is done, gives back the rest. Attempts in flight are cut and were not charged.
    async fn let_go(&mut self) {
        self.flights.clear();
        self.flight_bytes = 0;
        let store = Arc::clone(&self.shared.store);
        let last = async {
            if let Some(settling) = self.settling.take()
                && let (mut again, Err(_)) = settling.await
            {
                self.done.append(&mut again);
            }
            if !self.done.is_empty() && store.settle(std::mem::take(&mut self.done)).await.is_err() {
                warn!("the store failed at the end: some deliveries may be made again after the next start");
            }
        };
        // Claims end with the process: what is not given back here is claimed anew at the next start.
        let _ = tokio::time::timeout(LAST_SETTLE, last).await;
    }
}

fn data_bytes(owed: &Owed) -> usize {
    owed.event.data.as_str().len()
}

/// The future, where there is one; else never.
async fn maybe<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
