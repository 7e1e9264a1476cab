//! What must hold at every moment.

use std::collections::BTreeMap;

use super::{MAX_IN_FLIGHT, World};
use crate::clock::Clock as _;
use crate::outbound::Dispatcher;
use crate::outbound::backoff::millis;
use crate::store::simulated::SimulatedStore;
use crate::store::{DeadReason, SenderKey};

impl World {
    pub(in crate::outbound::simulation) fn check(&self, store: &SimulatedStore, dispatcher: &Dispatcher) {
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
            if !numbers.insert(stored.event.data.as_str().to_owned()) {
                faults.push(format!("{} was stored twice", stored.event.data.as_str()));
            }
        }
    }
}
