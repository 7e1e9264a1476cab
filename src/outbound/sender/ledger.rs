//! What a sender's loop asks of the store, and records in it.

use futures_util::FutureExt as _;

use super::*;

impl Hands {
    /// Claims as many as could begin at once.
    pub(super) fn claim(&mut self, stance: &Stance, now_ms: i64) {
        let (Some(sender), MayBegin::Some(at_most)) = (&stance.sender, stance.may_begin) else {
            return;
        };
        if !self.more || self.claiming.is_some() {
            return;
        }
        let begun = self.flights.len() + self.ready.len();
        let room = sender.concurrency().min(self.slot.share.window()).saturating_sub(begun);
        let unrecorded = self.done.len() + self.settling_count;
        let limit = match sender.settings.ordering {
            // The head is ours until it is settled: there is nothing else to claim.
            Ordering::Fifo if begun + unrecorded > 0 => 0,
            _ => room.min(sender.concurrency().saturating_sub(unrecorded)),
        }
        .min(at_most.saturating_sub(self.ready.len()));
        let held = self.flight_bytes + self.ready.iter().map(data_bytes).sum::<usize>();
        let bytes = IN_HAND_BYTES.saturating_sub(held);
        if limit == 0 || bytes == 0 {
            return;
        }
        let claim = Claim {
            sender: self.slot.key,
            now_ms,
            limit,
            bytes,
            ordering: sender.settings.ordering,
        };
        let store = Arc::clone(&self.shared.store);
        self.claim_limit = limit;
        self.claim_bytes = bytes;
        self.claimed_as = claim.ordering;
        self.woken_since = false;
        self.claiming = Some(async move { store.claim(claim).await }.boxed());
    }

    pub(super) fn claimed(&mut self, result: Result<Vec<Owed>, StoreError>) -> bool {
        match result {
            Ok(owed) => {
                self.trouble = None;
                self.next = Next::Unknown;
                self.rechecked &= owed.is_empty();
                let bytes: usize = owed.iter().map(data_bytes).sum();
                if owed.len() < self.claim_limit && bytes < self.claim_bytes {
                    self.more = self.woken_since;
                    let mut state = self.slot.lock();
                    // What the timer stood for may be among these: ask the store anew what is next.
                    let now_ms = self.shared.clock.now_ms();
                    state.due_known &= !owed.is_empty() && state.timer_ms.is_none_or(|at| at > now_ms);
                }
                self.ready.extend(owed);
                false
            }
            Err(error) => self.failed("claim", &error),
        }
    }

    /// Asks when the next delivery is due, where the timer does not cover it; of a sender that is to end also whether
    /// there is one.
    pub(super) fn ask(&mut self, stance: &Stance) {
        let claims = self.more && matches!(stance.may_begin, MayBegin::Some(_));
        let wanted = if stance.ends_ms.is_some() {
            self.next == Next::Unknown
        } else {
            matches!(stance.may_begin, MayBegin::Some(_)) && !self.slot.lock().due_known
        };
        if !wanted || claims || self.claiming.is_some() || self.asking.is_some() {
            return;
        }
        let (store, key) = (Arc::clone(&self.shared.store), self.slot.key);
        self.asking = Some(async move { store.next_due(key).await }.boxed());
    }

    pub(super) fn answered(&mut self, result: Result<Option<i64>, StoreError>) -> bool {
        let due_ms = match result {
            Ok(due_ms) => due_ms,
            Err(error) => return self.failed("next_due", &error),
        };
        self.trouble = None;
        self.next = if due_ms.is_some() { Next::Later } else { Next::Never };
        let now_ms = self.shared.clock.now_ms();
        let mut state = self.slot.lock();
        match due_ms {
            // It became due after the last claim.
            Some(due_ms) if due_ms <= now_ms && !self.rechecked => {
                self.rechecked = true;
                self.more = true;
            }
            Some(due_ms) => {
                state.due_known = true;
                let at_ms = if due_ms > now_ms {
                    due_ms
                } else {
                    now_ms.saturating_add(RECHECK_MS)
                };
                self.shared.timer(&self.slot, &mut state, at_ms);
            }
            None => state.due_known = true,
        }
        false
    }

    /// Records everything that is done in one write.
    pub(super) fn settle(&mut self) {
        let settlements = std::mem::take(&mut self.done);
        self.settling_count = settlements.len();
        let store = Arc::clone(&self.shared.store);
        self.settling = Some(
            async move {
                // Kept until it is recorded: what was answered 2xx is not sent again because the store failed.
                let result = store.settle(settlements.clone()).await;
                (settlements, result)
            }
            .boxed(),
        );
    }

    pub(super) fn settled(&mut self, (mut settlements, result): Settled) -> bool {
        self.settling_count = 0;
        if let Err(error) = result {
            settlements.append(&mut self.done);
            self.done = settlements;
            return self.failed("settle", &error);
        }
        self.trouble = None;
        self.next = Next::Unknown;
        let soonest = settlements
            .iter()
            .filter_map(|settlement| match settlement.outcome {
                Outcome::Retry { due_ms } | Outcome::Postpone { due_ms } => Some(due_ms),
                _ => None,
            })
            .min();
        let mut state = self.slot.lock();
        if let Some(due_ms) = soonest {
            self.shared.timer(&self.slot, &mut state, due_ms);
        }
        let ordering = state.sender.as_ref().map(|sender| sender.settings.ordering);
        if ordering != Some(Ordering::None) {
            // The next of its lane may come now, which a claim that is under way may have been too early for.
            self.more = true;
            self.woken_since = true;
        }
        false
    }

    /// Gives back what may not begin now.
    pub(super) async fn release_ready(&mut self) {
        self.permit = None;
        self.waiting = None;
        let seqs = self.ready.iter().map(|owed| owed.seq).collect();
        match self.shared.store.release(self.slot.key, seqs).await {
            Ok(()) => {
                self.ready.clear();
                self.trouble = None;
                self.more = true;
            }
            Err(error) => {
                self.failed("release", &error);
            }
        }
    }

    pub(super) async fn save_suspension(&mut self) {
        let reason = self.slot.lock().suspended.as_deref().map(ToOwned::to_owned);
        match self.shared.store.set_suspended(self.slot.key, reason.clone()).await {
            Ok(()) => {
                self.trouble = None;
                let mut state = self.slot.lock();
                // Changed again meanwhile: to be saved again.
                state.suspension_unsaved = state.suspended.as_deref() != reason.as_deref();
            }
            Err(error) => {
                self.failed("set_suspended", &error);
            }
        }
    }

    /// A call into the store failed: all calls pause. Says whether the store is closed.
    pub(super) fn failed(&mut self, call: &'static str, error: &StoreError) -> bool {
        if matches!(error, StoreError::Closed) {
            return true;
        }
        let pause = match &self.trouble {
            None => {
                error!(sender = %self.slot.lock().name, call, %error, "the store failed; trying again");
                STORE_PAUSE.0
            }
            Some(trouble) => trouble.next,
        };
        self.trouble = Some(Trouble {
            until: Instant::now() + pause,
            next: (pause * 2).min(STORE_PAUSE.1),
        });
        false
    }

    // ---- waiting and ending ----
}
