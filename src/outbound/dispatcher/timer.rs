//! The one timer of all senders, and what becomes of their times when the clock is set back.

use std::sync::Arc;
use std::time::Duration;

use tracing::{error, info};

use super::{Shared, Slot, State, locked, millis};
use crate::store::{SenderKey, StoreError};

/// A clock that went back by less was adjusted, not set.
const SET_BACK_MS: i64 = 1000;

/// What the clock showed when the timer looked last.
struct Look {
    now_ms: i64,
    at: tokio::time::Instant,
}

impl Look {
    fn at(now_ms: i64) -> Self {
        let at = tokio::time::Instant::now();
        Self { now_ms, at }
    }

    /// By how much the clock was set back since, where it was.
    fn set_back_ms(&self, now_ms: i64) -> Option<i64> {
        let back_ms = self.now_ms.saturating_sub(now_ms);
        (back_ms >= SET_BACK_MS).then(|| back_ms.saturating_add(millis(self.at.elapsed())))
    }
}

impl Shared {
    /// Wakes a sender at this time, or earlier where its timer stands earlier already.
    pub(in crate::outbound) fn timer(&self, slot: &Slot, state: &mut State, at_ms: i64) {
        if state.timer_ms.is_some_and(|standing| standing <= at_ms) {
            return;
        }
        let mut timers = locked(&self.timers);
        if let Some(standing) = state.timer_ms.replace(at_ms) {
            timers.remove(&(standing, slot.key));
        }
        timers.insert((at_ms, slot.key));
        if timers.first() == Some(&(at_ms, slot.key)) {
            self.timer_bell.notify_one();
        }
    }

    pub(super) async fn run_timer(self: Arc<Self>) {
        let mut last = Look::at(self.clock.now_ms());
        loop {
            let now_ms = self.clock.now_ms();
            let done = match last.set_back_ms(now_ms) {
                Some(by_ms) => self.set_back(by_ms, now_ms).await,
                None => true,
            };
            // Else it is tried again at the next look: the clock has not caught up by then.
            if done {
                last = Look::at(now_ms);
            }
            let (due, next_ms) = {
                let mut timers = locked(&self.timers);
                let later = timers.split_off(&(now_ms.saturating_add(1), SenderKey(i64::MIN)));
                let due = std::mem::replace(&mut *timers, later);
                (due, timers.first().map(|(at_ms, _)| *at_ms))
            };
            for (at_ms, key) in due {
                self.ring(at_ms, key);
            }
            let sleep = next_ms.map(|next_ms| {
                let wait = u64::try_from(next_ms.saturating_sub(now_ms)).unwrap_or(0);
                Duration::from_millis(wait).min(self.timer_check)
            });
            tokio::select! {
                biased;
                () = self.stopping.cancelled() => return,
                () = self.timer_bell.notified() => {}
                () = tokio::time::sleep(sleep.unwrap_or_default()), if sleep.is_some() => {}
            }
        }
    }

    /// A sender's time, which is taken out of the timer already, has come.
    fn ring(self: &Arc<Self>, at_ms: i64, key: SenderKey) {
        let Some(slot) = self.slots().by_key.get(&key).cloned() else {
            return;
        };
        {
            let mut state = slot.lock();
            if state.timer_ms == Some(at_ms) {
                state.timer_ms = None;
            }
            // What else the store has for later is not covered any more.
            state.due_known = false;
        }
        self.poke(&slot);
    }

    /// The clock was set back: what waits comes earlier by as much, and each sender that waits asks anew for how long.
    /// Says whether the store has done it.
    async fn set_back(self: &Arc<Self>, by_ms: i64, now_ms: i64) -> bool {
        info!(
            by_ms,
            "the clock was set back: retries keep the time that they have left"
        );
        if let Err(error) = self.store.clock_set_back(by_ms, now_ms).await {
            error!(%error, "the store failed; retries may wait for as long as the clock was set back");
            return matches!(error, StoreError::Closed);
        }
        let slots: Vec<_> = self.slots().by_key.values().cloned().collect();
        for slot in slots {
            slot.lock().set_back(by_ms, now_ms);
        }
        let standing = std::mem::take(&mut *locked(&self.timers));
        for (at_ms, key) in standing {
            self.ring(at_ms, key);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_clock_is_set_back_by_what_it_lacks_of_the_time_that_passed() {
        let last = Look::at(1_000_000);
        tokio::time::advance(Duration::from_millis(400)).await;
        assert_eq!(last.set_back_ms(1_000_400), None);
        assert_eq!(last.set_back_ms(999_100), None, "adjusted");
        assert_eq!(last.set_back_ms(400_000), Some(600_400));
        assert_eq!(last.set_back_ms(90_000_000), None, "set forward");
    }
}
