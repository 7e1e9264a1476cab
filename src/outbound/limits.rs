//! How the budget of attempts in flight (`egress.maxInFlight`, `egress.maxPerOrigin`) is shared out.
//!
//! A permit is held for as long as an attempt takes, and a hanging endpoint holds it for its whole `timeout`: so the rules
//! keep senders that are not known to answer from holding much. G is `maxInFlight`:
//!
//! 1. *Slow start.* A sender may have one attempt in flight; each attempt that gets an answer allows one more, up to its
//!    `concurrency`; one that gets none (a timeout) sets it back to one.
//! 2. *Dynamic share.* A permit is kept back for each sender that has none (up to G / 2). Beyond its first a sender may
//!    hold `h` only while `h` is less than what is free beside those: whoever takes much leaves as much again, and the
//!    more senders take, the less each may take.
//! 3. *Hanging senders stand apart.* Those whose last attempt got no answer hold at most G / 2 together (at least one),
//!    and queue by themselves for it: a thousand of them wait for one another, not others for them.
//! 4. A sender without any permit that finds none queues, first come first served, and waits for its first only: each
//!    permit that comes free goes to another sender before anyone's second.
//!
//! So with `maxInFlight: 1024` a thousand hanging senders hold 512 permits at most, and one that answers always finds one
//! of the other 512. Only where more than G senders that were never tried before hang all at once (right after a start)
//! others wait, once, for up to one `timeout`.
//!
//! `maxPerOrigin` bounds attempts to one scheme, host and port, first come first served.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// One sender's part. Its numbers change only under the lock of [`Limits`].
#[derive(Debug)]
pub(super) struct Share {
    held: AtomicUsize,
    /// How many attempts may be in flight by rule 1.
    window: AtomicUsize,
    /// Whether the last attempt got no answer.
    hanging: AtomicBool,
}

impl Default for Share {
    fn default() -> Self {
        Self {
            held: AtomicUsize::new(0),
            window: AtomicUsize::new(1),
            hanging: AtomicBool::new(false),
        }
    }
}

impl Share {
    /// How many attempts may be in flight by rule 1.
    #[must_use]
    pub(super) fn window(&self) -> usize {
        self.window.load(Relaxed)
    }

    /// Attempts in flight.
    #[must_use]
    pub(super) fn held(&self) -> usize {
        self.held.load(Relaxed)
    }

    /// An attempt ended: with an answer (or an error that came at once), or in silence.
    pub(super) fn ended(&self, answered: bool, concurrency: usize) {
        if answered {
            let window = (self.window.load(Relaxed) + 1).min(concurrency.max(1));
            self.window.store(window, Relaxed);
        } else {
            self.window.store(1, Relaxed);
        }
        self.hanging.store(!answered, Relaxed);
    }
}

/// The right to have one attempt in flight; gives itself back when it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    limits: Arc<Limits>,
    share: Arc<Share>,
    /// Counted against rule 3 when it was given.
    hanging: bool,
    origin: Option<OwnedSemaphorePermit>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        // The origin's place first: whoever gets the budget next may wait for it.
        self.origin.take();
        self.limits.give_back(&self.share, self.hanging);
    }
}

/// The budget of all senders together.
#[derive(Debug)]
pub(super) struct Limits {
    state: Mutex<State>,
    origins: Mutex<Origins>,
}

#[derive(Debug)]
struct State {
    max: usize,
    held: usize,
    hanging_held: usize,
    /// Senders that hold a permit, and all that there are.
    holders: usize,
    senders: usize,
    /// Senders without a permit that wait for one. At most one place each: as many as senders with work.
    waiting: VecDeque<Waiter>,
    hanging_waiting: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    share: Arc<Share>,
    give: oneshot::Sender<Permit>,
}

#[derive(Debug)]
struct Origins {
    max: usize,
    /// Origins with attempts in flight or waiting; the dead ones are swept when the map has doubled.
    by_name: HashMap<Box<str>, Weak<Semaphore>>,
    sweep_at: usize,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn hanging_max(&self) -> usize {
        (self.max / 2).max(1)
    }

    /// Whether `share` may hold one more, by rules 2 and 3.
    fn admits(&self, share: &Share) -> bool {
        let free = self.max.saturating_sub(self.held);
        let held = share.held.load(Relaxed);
        if free == 0 {
            return false;
        }
        if held > 0 {
            let kept_back = self.senders.saturating_sub(self.holders).min(self.max / 2);
            return held < free.saturating_sub(kept_back) && !share.hanging.load(Relaxed);
        }
        !share.hanging.load(Relaxed) || self.hanging_held < self.hanging_max()
    }
}

impl Limits {
    /// A budget; both bounds are at least 1.
    #[must_use]
    pub(super) fn new(max_in_flight: usize, max_per_origin: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                max: max_in_flight.max(1),
                held: 0,
                hanging_held: 0,
                holders: 0,
                senders: 0,
                waiting: VecDeque::new(),
                hanging_waiting: VecDeque::new(),
            }),
            origins: Mutex::new(Origins {
                max: max_per_origin.max(1),
                by_name: HashMap::new(),
                sweep_at: 1024,
            }),
        })
    }

    /// Takes new bounds. Attempts in flight go on; fewer begin until the new bounds hold.
    pub(super) fn set(self: &Arc<Self>, max_in_flight: usize, max_per_origin: usize) {
        {
            let mut origins = locked(&self.origins);
            if origins.max != max_per_origin.max(1) {
                origins.max = max_per_origin.max(1);
                // Attempts in flight under the old bound end within their timeout; new ones count anew.
                origins.by_name.clear();
            }
        }
        locked(&self.state).max = max_in_flight.max(1);
        self.grant();
    }

    /// How many senders there are.
    pub(super) fn set_senders(&self, senders: usize) {
        locked(&self.state).senders = senders;
    }

    /// Attempts in flight, all senders together.
    #[must_use]
    pub(super) fn in_flight(&self) -> usize {
        locked(&self.state).held
    }

    /// A permit, where one is free for this sender now.
    #[must_use]
    pub(super) fn try_acquire(self: &Arc<Self>, share: &Arc<Share>, origin: &str) -> Option<Permit> {
        let place = self.origin(origin).try_acquire_owned().ok()?;
        let mut state = locked(&self.state);
        state.admits(share).then(|| self.take(&mut state, share, Some(place)))
    }

    /// Waits for a sender's first permit. Dropping the future leaves the queue.
    pub(super) async fn acquire(self: Arc<Self>, share: Arc<Share>, origin: Box<str>) -> Permit {
        let place = self
            .origin(&origin)
            .acquire_owned()
            .await
            .expect("an origin's semaphore is never closed");
        let waiter = {
            let mut state = locked(&self.state);
            if state.admits(&share) {
                return self.take(&mut state, &share, Some(place));
            }
            let (give, taken) = oneshot::channel();
            let queue = if share.hanging.load(Relaxed) {
                &mut state.hanging_waiting
            } else {
                &mut state.waiting
            };
            queue.push_back(Waiter { share, give });
            taken
        };
        let mut permit = waiter.await.expect("a waiter is answered before it is dropped");
        permit.origin = Some(place);
        permit
    }

    fn take(self: &Arc<Self>, state: &mut State, share: &Arc<Share>, origin: Option<OwnedSemaphorePermit>) -> Permit {
        let hanging = share.hanging.load(Relaxed);
        state.held += 1;
        state.hanging_held += usize::from(hanging);
        state.holders += usize::from(share.held.fetch_add(1, Relaxed) == 0);
        Permit {
            limits: Arc::clone(self),
            share: Arc::clone(share),
            hanging,
            origin,
        }
    }

    fn give_back(self: &Arc<Self>, share: &Share, hanging: bool) {
        {
            let mut state = locked(&self.state);
            state.held -= 1;
            state.hanging_held -= usize::from(hanging);
            state.holders -= usize::from(share.held.fetch_sub(1, Relaxed) == 1);
        }
        self.grant();
    }

    /// Gives what is free to those that wait.
    fn grant(self: &Arc<Self>) {
        loop {
            let (waiter, permit) = {
                let mut state = locked(&self.state);
                if state.held >= state.max {
                    return;
                }
                let waiter = match state.waiting.pop_front() {
                    Some(waiter) => waiter,
                    None if state.hanging_held < state.hanging_max() => match state.hanging_waiting.pop_front() {
                        Some(waiter) => waiter,
                        None => return,
                    },
                    None => return,
                };
                if waiter.give.is_closed() {
                    continue;
                }
                let permit = self.take(&mut state, &waiter.share, None);
                (waiter, permit)
            };
            // Outside the lock: a waiter that has just gone gives the permit back, which locks again.
            drop(waiter.give.send(permit));
        }
    }

    fn origin(&self, name: &str) -> Arc<Semaphore> {
        let mut origins = locked(&self.origins);
        if let Some(semaphore) = origins.by_name.get(name).and_then(Weak::upgrade) {
            return semaphore;
        }
        if origins.by_name.len() >= origins.sweep_at {
            origins.by_name.retain(|_, semaphore| semaphore.strong_count() > 0);
            origins.sweep_at = (origins.by_name.len() * 2).max(1024);
        }
        let semaphore = Arc::new(Semaphore::new(origins.max));
        origins.by_name.insert(name.into(), Arc::downgrade(&semaphore));
        semaphore
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn sender(window: usize) -> Arc<Share> {
        let share = Share::default();
        share.window.store(window, Relaxed);
        Arc::new(share)
    }

    fn take_all(limits: &Arc<Limits>, share: &Arc<Share>, origin: &str, window: usize) -> Vec<Permit> {
        (0..window).map_while(|_| limits.try_acquire(share, origin)).collect()
    }

    #[test]
    fn a_thousand_hanging_senders_leave_room_for_one_that_answers() {
        let limits = Limits::new(1024, 64);
        // First wave: none of them is known; each starts with one attempt.
        let hanging: Vec<_> = (0..1000).map(|_| sender(1)).collect();
        let held: Vec<_> = hanging
            .iter()
            .enumerate()
            .map(|(n, s)| limits.try_acquire(s, &format!("http://h{n}")).expect("a first attempt"))
            .collect();
        let healthy = sender(1);
        assert!(limits.try_acquire(&healthy, "http://ok").is_some(), "in the first wave");
        // They time out; from now on they stand apart.
        for share in &hanging {
            share.ended(false, 16);
        }
        drop(held);
        let held: Vec<_> = hanging
            .iter()
            .enumerate()
            .filter_map(|(n, s)| limits.try_acquire(s, &format!("http://h{n}")))
            .collect();
        assert_eq!(held.len(), 512);
        for _ in 0..16 {
            healthy.ended(true, 16);
        }
        assert_eq!(
            take_all(&limits, &healthy, "http://ok", 16).len(),
            16,
            "all of its concurrency"
        );
    }

    #[test]
    fn busy_senders_leave_a_first_permit_for_each_other_sender() {
        let limits = Limits::new(1024, 64);
        limits.set_senders(201);
        let mut held = Vec::new();
        for n in 0..200 {
            let taken = take_all(&limits, &sender(16), &format!("http://h{n}"), 16);
            assert!(!taken.is_empty(), "{n}");
            held.extend(taken);
        }
        assert!(held.len() > 900, "and the budget is used: {}", held.len());
        assert!(limits.try_acquire(&sender(1), "http://new").is_some());
        drop(held);
        assert_eq!(locked(&limits.state).holders, 0);
    }

    #[test]
    fn one_sender_alone_gets_its_concurrency() {
        let limits = Limits::new(1024, 64);
        assert_eq!(take_all(&limits, &sender(64), "http://h", 64).len(), 64);
        let small = Limits::new(1, 1);
        assert_eq!(take_all(&small, &sender(16), "http://h", 16).len(), 1);
    }

    #[test]
    fn slow_start_grows_by_answers_and_falls_back_on_silence() {
        let share = Share::default();
        assert_eq!(share.window(), 1);
        for _ in 0..9 {
            share.ended(true, 4);
        }
        assert_eq!(share.window(), 4);
        share.ended(false, 4);
        assert_eq!(share.window(), 1);
    }

    #[tokio::test]
    async fn whoever_waits_longest_is_served_first_and_hanging_ones_wait_apart() {
        let limits = Limits::new(2, 64);
        let (a, b) = (sender(1), sender(1));
        let held_a = limits.try_acquire(&a, "http://a").unwrap();
        let _held_b = limits.try_acquire(&b, "http://b").unwrap();
        let hanging = sender(1);
        hanging.ended(false, 1);
        let (first, second) = (sender(1), sender(1));
        let mut wait_hanging = Box::pin(Arc::clone(&limits).acquire(hanging, "http://x".into()));
        let mut wait_first = Box::pin(Arc::clone(&limits).acquire(first, "http://c".into()));
        let mut wait_second = Box::pin(Arc::clone(&limits).acquire(second, "http://d".into()));
        assert!(wait_hanging.as_mut().now_or_never().is_none());
        assert!(wait_first.as_mut().now_or_never().is_none());
        assert!(wait_second.as_mut().now_or_never().is_none());
        drop(held_a);
        assert!(wait_second.as_mut().now_or_never().is_none());
        let got = wait_first
            .as_mut()
            .now_or_never()
            .expect("the longest waiter that answers");
        // A waiter that goes away does not take its permit with it.
        drop(wait_second);
        drop(got);
        assert!(wait_hanging.as_mut().now_or_never().is_some());
        assert_eq!(limits.in_flight(), 1);
    }

    #[tokio::test]
    async fn an_origin_has_its_own_bound_and_new_bounds_hold_at_once() {
        let limits = Limits::new(100, 2);
        let (a, b) = (sender(16), sender(16));
        let mut held = take_all(&limits, &a, "http://h", 16);
        assert_eq!(held.len(), 2);
        let mut wait = Box::pin(Arc::clone(&limits).acquire(Arc::clone(&b), "http://h".into()));
        assert!(wait.as_mut().now_or_never().is_none());
        assert!(limits.try_acquire(&b, "http://other").is_some());
        held.pop();
        assert!(wait.as_mut().now_or_never().is_some());
        limits.set(1, 2);
        assert!(limits.try_acquire(&sender(1), "http://z").is_none());
    }

    #[test]
    fn the_map_of_origins_is_swept() {
        let limits = Limits::new(10, 2);
        for n in 0..10_000 {
            drop(limits.try_acquire(&sender(1), &format!("http://h{n}")));
        }
        assert!(locked(&limits.origins).by_name.len() <= 1024);
        assert_eq!(limits.in_flight(), 0);
    }
}
