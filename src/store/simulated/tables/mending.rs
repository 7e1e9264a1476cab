//! Putting back, dropping, cleaning up.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::{Dead, Entry, Row, Tables};
use crate::store::{DeadQuery, Replay, Retained, Retention, SenderKey};

impl Tables {
    pub(in crate::store::simulated) fn replay(&mut self, replay: &Replay, woken: &mut BTreeSet<SenderKey>) -> u64 {
        let active = |key: &SenderKey| self.senders.get(key).is_some_and(|s| s.removed_ms.is_none());
        let targets: Vec<SenderKey> = match replay.sender {
            Some(key) => Some(key).into_iter().filter(active).collect(),
            None => self.senders.keys().copied().filter(active).collect(),
        };
        let since_ms = replay.since_ms.unwrap_or(i64::MIN);
        let wanted = replay.event_id.as_ref().map(|id| self.ids.get(id).copied());
        let named = wanted.is_some() && replay.sender.is_some();
        let mut places = Vec::new();
        let (mut request, mut served) = (None, HashSet::new());
        for (seq, stored) in &self.events {
            if stored.at_ms < since_ms || wanted.is_some_and(|wanted| wanted != Some(*seq)) {
                continue;
            }
            let of = stored.request.as_ref().map(Arc::as_ptr);
            if of.is_none() || of != request {
                served.clear();
                request = of;
            }
            let wanting = self.wanting(&stored.event, of.is_some(), &mut served);
            let meant = |key: &SenderKey| {
                if replay.failed {
                    self.dead.contains_key(&(*key, *seq))
                } else {
                    named || wanting.contains(key)
                }
            };
            places.extend(targets.iter().filter(|key| meant(key)).map(|key| (*key, *seq)));
        }
        places.retain(|place| !self.owed.contains_key(place));
        for place in &places {
            let row = Row {
                due_ms: Some(replay.now_ms.max(1)),
                attempts: 0,
                since_ms: replay.now_ms,
                passed: named && !replay.failed,
            };
            self.owed.insert(*place, row);
            woken.insert(place.0);
        }
        places.len() as u64
    }

    pub(in crate::store::simulated) fn is_meant(
        &self,
        query: &DeadQuery,
        (sender, seq): (SenderKey, i64),
        dead: &Dead,
    ) -> bool {
        query.sender.is_none_or(|wanted| wanted == sender)
            && query.event_id.as_ref().is_none_or(|id| self.ids.get(id) == Some(&seq))
            && query.since_ms.is_none_or(|since_ms| dead.at_ms >= since_ms)
            && query.before_ms.is_none_or(|before_ms| dead.at_ms < before_ms)
    }

    pub(in crate::store::simulated) fn purge_dead(&mut self, query: &DeadQuery) -> u64 {
        let meant = self
            .dead
            .iter()
            .filter(|(place, dead)| self.is_meant(query, **place, dead));
        let places: Vec<_> = meant.map(|(place, _)| *place).collect();
        for place in &places {
            self.dead.remove(place);
        }
        places.len() as u64
    }

    pub(in crate::store::simulated) fn retain(&mut self, retention: Retention, now_ms: i64) -> Retained {
        let query = DeadQuery {
            before_ms: Some(now_ms.saturating_sub(retention.dead_ms)),
            ..DeadQuery::default()
        };
        let dead = self.purge_dead(&query);
        let before_ms = now_ms.saturating_sub(retention.settled_ms);
        let places = self.owed.keys().chain(self.dead.keys());
        let held: HashSet<i64> = places.map(|(_, seq)| *seq).collect();
        let old = self
            .events
            .iter()
            .filter(|(seq, stored)| stored.at_ms < before_ms && !held.contains(seq));
        let old: HashSet<i64> = old.map(|(seq, _)| *seq).collect();
        self.events.retain(|seq, _| !old.contains(seq));
        self.ids.retain(|_, seq| !old.contains(seq));
        self.settled.retain(|(_, seq), _| !old.contains(seq));
        self.keys.retain(|_, (_, expires_ms)| *expires_ms > now_ms);
        let entries = self.log.len();
        self.log.retain(|_, entry| match entry {
            Entry::Attempt(_, seq, _) => !old.contains(seq),
            Entry::Note(note) => note.at_ms >= before_ms,
        });
        Retained {
            events: old.len() as u64,
            log_entries: (entries - self.log.len()) as u64,
            dead,
        }
    }
}
