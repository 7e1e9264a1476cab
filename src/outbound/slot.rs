//! One sender's place: what it may do at the moment, and what an answer changes. No I/O, no task.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::attempt::{Answer, Class};
use super::backoff::{self, Rng, millis};
use super::breaker::{Admission, Breaker, BreakerState};
use super::limits::Share;
use super::prepared::PreparedSender;
use super::rate::Bucket;
use super::status::{Figures, SenderState, SenderStatus, micros};
use super::verdict::{Verdict, judge};
use crate::document::settings::Outbound;
use crate::event::Name;
use crate::store::{Attempt, DeadReason, Outcome, Owed, SenderKey, Settlement};

/// So many failed attempts in a row make a sender a failing one.
const FAILING: u32 = 5;
/// The longest that our own lack of sockets parks a sender.
const LOCAL_WAIT: Duration = Duration::from_secs(30);

/// One sender: its identity stays while its settings come and go. A few hundred bytes beyond the settings.
pub(super) struct Slot {
    pub(super) key: SenderKey,
    pub(super) share: Arc<Share>,
    /// Wakes the sender's task.
    pub(super) bell: Notify,
    state: Mutex<State>,
}

/// What changes about a sender.
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, not states of one thing"
)]
pub(super) struct State {
    pub(super) name: Name,
    pub(super) phase: Phase,
    /// `None`: it could not be prepared.
    pub(super) sender: Option<Arc<PreparedSender>>,
    pub(super) suspended: Option<Box<str>>,
    /// The store does not know the suspension (or its end) yet.
    pub(super) suspension_unsaved: bool,
    /// It has a task.
    pub(super) running: bool,
    /// Something changed that the task has not looked at.
    pub(super) woken: bool,
    /// Its entry in the dispatcher's timer.
    pub(super) timer_ms: Option<i64>,
    /// The timer covers everything that the store has for later.
    pub(super) due_known: bool,
    /// No attempt begins before this time (`Retry-After`, our lack of sockets).
    floor_ms: i64,
    /// How often in a row sockets lacked.
    local_in_a_row: u32,
    failing: bool,
    bucket: Bucket,
    breaker: Breaker,
    figures: Option<Box<Figures>>,
}

/// Whether the document still has the sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// It has, and it runs.
    Active,
    /// It has, but it could not be prepared.
    Degraded(Box<str>),
    /// It was deleted: no attempt begins after this time.
    Draining { until_ms: i64 },
}

/// How many attempts may begin now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MayBegin {
    /// At most so many (at least 1).
    Some(usize),
    /// None before this time.
    From(i64),
    /// None before something changes.
    Not,
}

/// What a sender may do at the moment.
pub(super) struct Stance {
    pub(super) sender: Option<Arc<PreparedSender>>,
    pub(super) may_begin: MayBegin,
    /// It was deleted; the time at which its draining ends.
    pub(super) ends_ms: Option<i64>,
    /// The store is to be told whether it is suspended.
    pub(super) suspension_unsaved: bool,
}

/// An attempt that has ended.
pub(super) struct Landed {
    pub(super) owed: Owed,
    pub(super) sender: Arc<PreparedSender>,
    pub(super) answer: Answer,
    pub(super) started_ms: i64,
    /// It was the breaker's probe.
    pub(super) probe: bool,
}

/// What is to be told about a sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    Failing,
    Recovered,
    Suspended(String),
}

impl Slot {
    pub(super) fn new(key: SenderKey, name: Name) -> Self {
        Self {
            key,
            share: Arc::default(),
            bell: Notify::new(),
            state: Mutex::new(State {
                name,
                phase: Phase::Active,
                sender: None,
                suspended: None,
                suspension_unsaved: false,
                running: false,
                woken: false,
                timer_ms: None,
                due_known: false,
                floor_ms: i64::MIN,
                local_in_a_row: 0,
                failing: false,
                bucket: Bucket::default(),
                breaker: Breaker::default(),
                figures: None,
            }),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the sender shows of itself.
    pub(super) fn status(&self, now_ms: i64, in_flight: usize) -> SenderStatus {
        let state = self.lock();
        let figures = state.figures.as_deref().cloned().unwrap_or_default();
        let settings = state
            .sender
            .as_ref()
            .and_then(|sender| sender.settings.breaker.as_ref());
        let breaker = state.breaker.state(settings);
        let parked = state.parked_until_ms(now_ms);
        SenderStatus {
            name: state.name.clone(),
            state: state.shown(),
            in_flight,
            breaker,
            parked_until_ms: (parked > now_ms).then_some(parked),
            failing: state.failing || breaker != BreakerState::Closed,
            last_error: figures.last_error,
            attempts: figures.attempts,
            delivered: figures.delivered,
            failed: figures.failed,
            latency: figures.latency,
        }
    }
}

impl State {
    fn shown(&self) -> SenderState {
        match &self.phase {
            Phase::Draining { .. } => SenderState::Draining,
            Phase::Degraded(reason) => SenderState::Degraded(reason.to_string()),
            Phase::Active => match (&self.suspended, &self.sender) {
                (Some(reason), _) => SenderState::Suspended(reason.to_string()),
                (None, Some(sender)) if sender.settings.paused => SenderState::Paused,
                _ => SenderState::Active,
            },
        }
    }

    /// Lifts a suspension; says whether there was one.
    pub(super) fn lift(&mut self) -> bool {
        let was = self.suspended.take().is_some();
        self.suspension_unsaved |= was;
        was
    }

    /// What the sender may do now.
    pub(super) fn stance(&self, now_ms: i64) -> Stance {
        Stance {
            sender: self.sender.clone(),
            may_begin: self.may_begin(now_ms),
            ends_ms: match self.phase {
                Phase::Draining { until_ms } => Some(until_ms),
                _ => None,
            },
            suspension_unsaved: self.suspension_unsaved,
        }
    }

    /// The clock was set back by so much, to `now_ms`: what is left of each wait stays.
    pub(super) fn set_back(&mut self, by_ms: i64, now_ms: i64) {
        if self.floor_ms > now_ms {
            self.floor_ms = self.floor_ms.saturating_sub(by_ms);
        }
        if let Phase::Draining { until_ms } = &mut self.phase {
            *until_ms = until_ms.saturating_sub(by_ms);
        }
    }

    /// No attempt begins before this time, unless it is further off than anything can park a sender: then the clock was set
    /// back.
    fn floor_ms(&self, now_ms: i64) -> i64 {
        let Some(sender) = &self.sender else { return i64::MIN };
        let longest = millis(sender.settings.max_retry_delay.max(2 * LOCAL_WAIT));
        if self.floor_ms.saturating_sub(now_ms) > longest {
            i64::MIN
        } else {
            self.floor_ms
        }
    }

    fn parked_until_ms(&self, now_ms: i64) -> i64 {
        let settings = self.sender.as_ref().and_then(|sender| sender.settings.breaker.as_ref());
        match self.breaker.admits(settings, now_ms) {
            Admission::Until(until_ms) => until_ms.max(self.floor_ms(now_ms)),
            _ => self.floor_ms(now_ms),
        }
    }

    fn may_begin(&self, now_ms: i64) -> MayBegin {
        let Some(sender) = &self.sender else {
            return MayBegin::Not;
        };
        let over = match self.phase {
            Phase::Active => false,
            Phase::Degraded(_) => true,
            Phase::Draining { until_ms } => now_ms >= until_ms,
        };
        if over || self.suspended.is_some() || sender.settings.paused {
            return MayBegin::Not;
        }
        let floor_ms = self.floor_ms(now_ms);
        if now_ms < floor_ms {
            return MayBegin::From(floor_ms);
        }
        let at_most = match self.breaker.admits(sender.settings.breaker.as_ref(), now_ms) {
            Admission::Any => sender.concurrency(),
            Admission::Probe => 1,
            Admission::Until(until_ms) => return MayBegin::From(until_ms),
            Admission::AfterProbe => return MayBegin::Not,
        };
        match sender
            .settings
            .rate_limit
            .as_ref()
            .map(|rate| self.bucket.ready(rate, now_ms))
        {
            None => MayBegin::Some(at_most),
            Some(Ok(ready)) => MayBegin::Some(at_most.min(ready)),
            Some(Err(from_ms)) => MayBegin::From(from_ms),
        }
    }

    /// An attempt begins; says whether it is the breaker's probe.
    pub(super) fn begin(&mut self, sender: &PreparedSender, now_ms: i64) -> bool {
        if let Some(rate) = &sender.settings.rate_limit {
            self.bucket.begin(rate, now_ms);
        }
        sender.settings.breaker.is_some() && self.breaker.begin()
    }

    /// An attempt has ended: what becomes of its delivery, and what is to be told.
    pub(super) fn conclude(&mut self, landed: &Landed, now_ms: i64, rng: &mut Rng) -> (Settlement, Option<News>) {
        let Landed {
            owed,
            sender,
            answer,
            started_ms,
            probe,
        } = landed;
        let settings = &sender.settings;
        let verdict = judge(answer, settings);
        // What the sender has left, an endpoint or a template, says nothing of what it has now.
        let current = self.sender.as_ref().is_some_and(|now| Arc::ptr_eq(now, sender));
        // Of what could not be made nothing was sent: that is no attempt, and says nothing about the endpoint.
        let sent = verdict != Verdict::Unsendable;
        if sent {
            self.count(verdict, answer);
        }
        let wait = answer.retry_after.map(|wait| wait.min(settings.max_retry_delay));
        if let Some(wait) = wait {
            self.floor_ms = self.floor_ms(now_ms).max(now_ms.saturating_add(millis(wait)));
        }
        let mut news = self.learn(verdict, settings, *probe, now_ms);
        if verdict == Verdict::Suspend && current && self.suspended.is_none() {
            let reason = suspending(landed);
            self.suspended = Some(reason.as_str().into());
            self.suspension_unsaved = true;
            news = Some(News::Suspended(reason));
        }

        let detail = answer.failure.as_ref().map(|failure| failure.detail.clone());
        let dead = |reason| Outcome::Dead {
            reason,
            detail: detail.clone().unwrap_or_default(),
        };
        let number = owed.attempts.saturating_add(1);
        let outcome = match verdict {
            Verdict::Delivered => Outcome::Delivered,
            Verdict::Final => dead(DeadReason::Status),
            Verdict::Broken => dead(DeadReason::Internal),
            Verdict::Unsendable if current => dead(DeadReason::Template),
            Verdict::Unsendable | Verdict::Suspend => Outcome::Postpone { due_ms: now_ms },
            Verdict::NotCharged => Outcome::Postpone {
                due_ms: self.postponed(answer, settings.jitter, now_ms, rng),
            },
            Verdict::Retry => match backoff::delay(&settings.schedule, number, settings.max_retry_delay) {
                None => dead(DeadReason::Exhausted),
                Some(delay) => {
                    let delay = backoff::jittered(delay, settings.jitter, rng);
                    let floor = wait.map_or(Duration::ZERO, |wait| backoff::jittered_up(wait, settings.jitter, rng));
                    Outcome::Retry {
                        due_ms: now_ms.saturating_add(millis(delay.max(floor))),
                    }
                }
            },
        };
        let next_ms = match outcome {
            Outcome::Retry { due_ms } | Outcome::Postpone { due_ms } => Some(due_ms),
            _ => None,
        };
        let attempt = Attempt {
            number,
            of: sender.attempts(),
            started_ms: *started_ms,
            latency_us: micros(answer.latency),
            status: answer.status,
            error: answer.failure.as_ref().map(|failure| failure.class.as_str()),
            detail: detail.or_else(|| answer.note.clone()),
            response: answer.response.clone(),
            next_ms,
        };
        let settlement = Settlement {
            sender: owed.sender,
            seq: owed.seq,
            attempt: sent.then_some(attempt),
            outcome,
        };
        (settlement, news)
    }

    /// What an attempt says of the endpoint: to the breaker, and to those who watch.
    fn learn(&mut self, verdict: Verdict, settings: &Outbound, probe: bool, now_ms: i64) -> Option<News> {
        match verdict {
            Verdict::Delivered => {
                self.breaker.succeeded();
                return std::mem::take(&mut self.failing).then_some(News::Recovered);
            }
            Verdict::NotCharged | Verdict::Unsendable => {
                if probe {
                    self.breaker.probe_undecided();
                }
            }
            Verdict::Retry | Verdict::Final | Verdict::Suspend | Verdict::Broken => {
                let opened = self.breaker.failed(settings.breaker.as_ref(), probe, now_ms);
                if !self.failing && (opened || self.breaker.in_a_row() >= FAILING) {
                    self.failing = true;
                    return Some(News::Failing);
                }
            }
        }
        None
    }

    /// When a delivery whose attempt was not charged is due again; a lack of sockets parks the whole sender.
    fn postponed(&mut self, answer: &Answer, jitter: f64, now_ms: i64, rng: &mut Rng) -> i64 {
        let local = answer
            .failure
            .as_ref()
            .is_some_and(|failure| failure.class == Class::Local);
        if !local {
            return now_ms;
        }
        let wait = Duration::from_secs(1 << self.local_in_a_row.min(5)).min(LOCAL_WAIT);
        self.local_in_a_row = self.local_in_a_row.saturating_add(1);
        let due_ms = now_ms.saturating_add(millis(backoff::jittered_up(wait, jitter, rng)));
        self.floor_ms = self.floor_ms(now_ms).max(due_ms);
        due_ms
    }

    fn count(&mut self, verdict: Verdict, answer: &Answer) {
        let local = answer
            .failure
            .as_ref()
            .is_some_and(|failure| failure.class == Class::Local);
        if !local {
            self.local_in_a_row = 0;
        }
        let figures = self.figures.get_or_insert_default();
        figures.attempts += 1;
        figures.latency.record(answer.latency);
        if verdict == Verdict::Delivered {
            figures.delivered += 1;
            figures.last_error = None;
        } else {
            figures.failed += 1;
            figures.last_error = answer.failure.as_ref().map(|failure| failure.class.as_str());
        }
    }
}

/// Why an answer suspends its sender.
fn suspending(landed: &Landed) -> String {
    let (answer, event) = (&landed.answer, &landed.owed.event.id);
    let failure = answer.failure.as_ref().map_or("", |failure| &failure.detail);
    match answer.status {
        Some(status) if status != 410 => format!("the endpoint answered {failure} to {event}"),
        _ => format!("the endpoint answered 410 to {event}"),
    }
}

#[cfg(test)]
mod tests;
