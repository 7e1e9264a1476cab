//! What is stored, and what each call makes of it.

mod mending;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::event::{Event, Name, Ordering};
use crate::store::{
    Append, Appended, Attempt, Claim, Commit, Committed, DeadReason, Generation, Outcome, Owed, RawRequest, Result,
    RouteNote, SWAPPED_MS, SenderChange, SenderKey, Seq, Settlement, StoreError, Subscription, UNDELETE_MS, about,
};

const GENERATIONS: usize = 100;

/// An event in the log.
#[derive(Clone)]
pub(crate) struct Stored {
    pub(crate) event: Arc<Event>,
    pub(crate) at_ms: i64,
    pub(super) request: Option<Arc<RawRequest>>,
}

/// A sender, active or removed.
#[derive(Clone)]
pub(crate) struct Sender {
    pub(crate) name: Name,
    pub(super) subscription: Subscription,
    pub(crate) removed_ms: Option<i64>,
    pub(crate) suspended: Option<String>,
}

/// A delivery that is owed.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// `None`: it was never attempted or put back, and is due whatever the clock says.
    pub(crate) due_ms: Option<i64>,
    pub(crate) attempts: u32,
    pub(crate) since_ms: i64,
    passed: bool,
}

impl Row {
    pub(crate) fn due(&self) -> i64 {
        self.due_ms.unwrap_or(self.since_ms)
    }

    fn is_due(&self, now_ms: i64) -> bool {
        self.due_ms.is_none_or(|due_ms| due_ms <= now_ms)
    }
}

/// A dead letter.
#[derive(Clone, Debug)]
pub(crate) struct Dead {
    pub(crate) reason: DeadReason,
    pub(crate) detail: String,
    pub(super) at_ms: i64,
    pub(crate) row: Row,
}

/// An entry of the log.
#[derive(Clone)]
pub(super) enum Entry {
    Attempt(SenderKey, i64, Attempt),
    Note(RouteNote),
}

#[derive(Clone, Default)]
pub(crate) struct Tables {
    pub(crate) events: BTreeMap<i64, Stored>,
    pub(super) ids: HashMap<String, i64>,
    keys: HashMap<(Arc<str>, String), (String, i64)>,
    pub(crate) senders: BTreeMap<SenderKey, Sender>,
    pub(crate) owed: BTreeMap<(SenderKey, i64), Row>,
    pub(crate) dead: BTreeMap<(SenderKey, i64), Dead>,
    /// What no attempt tells.
    pub(super) settled: BTreeMap<(SenderKey, i64), &'static str>,
    /// Every delivery that was ever owed by an append: never forgotten, for whoever holds the store to its promises.
    pub(crate) ledger: Vec<(SenderKey, i64)>,
    pub(super) log: BTreeMap<u64, Entry>,
    pub(super) messages: Vec<(Name, i64)>,
    pub(crate) generations: BTreeMap<u64, (Generation, Vec<u8>)>,
    last_seq: i64,
    last_key: i64,
    last_entry: u64,
}

impl Tables {
    pub(super) fn bytes(&self) -> u64 {
        let data: usize = self
            .events
            .values()
            .map(|stored| stored.event.data.as_str().len())
            .sum();
        (data + 512 * self.events.len() + 4096) as u64
    }

    pub(crate) fn seq(&self, event_id: &str) -> Option<i64> {
        self.ids.get(event_id).copied()
    }

    fn entry(&mut self, entry: Entry) {
        self.last_entry += 1;
        self.log.insert(self.last_entry, entry);
    }

    pub(super) fn note(&mut self, note: RouteNote) {
        self.entry(Entry::Note(note));
    }

    // ---- accepting ----

    pub(super) fn append(&mut self, append: Append, woken: &mut BTreeSet<SenderKey>) -> Result<Vec<Appended>> {
        let mut appended = Vec::new();
        let mut new = Vec::new();
        let mut keys: HashMap<(Arc<str>, String), (String, i64)> = HashMap::new();
        let mut ids = HashSet::new();
        for one in append.events {
            let id = one.event.id.as_str().to_owned();
            if let Some(key) = one.key {
                let place = (key.scope, key.key);
                let known = keys.get(&place).or_else(|| self.keys.get(&place));
                if let Some((first, _)) = known.filter(|(_, expires_ms)| *expires_ms > append.now_ms) {
                    appended.push(Appended {
                        id: first.clone(),
                        duplicate: true,
                    });
                    continue;
                }
                keys.insert(place, (id.clone(), key.expires_ms));
            }
            if self.ids.contains_key(&id) || !ids.insert(id.clone()) {
                return Err(StoreError::Engine(format!("{id} is taken")));
            }
            appended.push(Appended { id, duplicate: false });
            new.push(one.event);
        }
        // From here on nothing fails.
        self.keys.extend(keys);
        let request = append.request.map(Arc::new);
        let mut served = HashSet::new();
        for event in new {
            self.last_seq += 1;
            let seq = self.last_seq;
            let targets = match append.to {
                Some(key) => Some(key).into_iter().filter(|key| self.is_active(*key)).collect(),
                None => self.wanting(&event, request.is_some(), &mut served),
            };
            for key in targets {
                let row = Row {
                    due_ms: None,
                    attempts: 0,
                    since_ms: append.now_ms,
                    passed: false,
                };
                self.owed.insert((key, seq), row);
                self.ledger.push((key, seq));
                woken.insert(key);
            }
            if let Some(source) = event.source.clone().filter(|_| !event.test && append.to.is_none()) {
                self.messages.push((source, append.now_ms));
            }
            self.ids.insert(event.id.as_str().to_owned(), seq);
            let stored = Stored {
                event: Arc::new(event),
                at_ms: append.now_ms,
                request: request.clone(),
            };
            self.events.insert(seq, stored);
        }
        Ok(appended)
    }

    fn is_active(&self, key: SenderKey) -> bool {
        self.senders.get(&key).is_some_and(|sender| sender.removed_ms.is_none())
    }

    /// Who gets this event; `served` have the request that it is of already.
    fn wanting(&self, event: &Event, of_request: bool, served: &mut HashSet<SenderKey>) -> Vec<SenderKey> {
        let about = about(event);
        let mut wanting = Vec::new();
        for (key, sender) in &self.senders {
            let wants = sender.removed_ms.is_none()
                && sender.subscription.wants(event)
                && about.as_ref() != Some(&sender.name)
                && (!sender.subscription.per_request || (of_request && !event.test && served.insert(*key)));
            if wants {
                wanting.push(*key);
            }
        }
        wanting
    }

    // ---- delivering ----

    /// What one sender is owed, oldest first.
    pub(crate) fn owed_to(&self, sender: SenderKey) -> impl Iterator<Item = (i64, &Row)> {
        self.owed
            .range((sender, i64::MIN)..=(sender, i64::MAX))
            .map(|((_, seq), row)| (*seq, row))
    }

    fn session(&self, seq: i64) -> Option<&Arc<str>> {
        self.events[&seq].event.session.as_ref()
    }

    /// Those that no older one stands in front of.
    fn heads(&self, sender: SenderKey, ordering: Ordering) -> Vec<(i64, &Row)> {
        let mut sessions = HashSet::new();
        let mut first = true;
        let heads = self.owed_to(sender).filter(|(seq, _)| match ordering {
            Ordering::None => true,
            Ordering::Fifo => std::mem::take(&mut first),
            Ordering::Session => self.session(*seq).is_none_or(|session| sessions.insert(session)),
        });
        heads.collect()
    }

    pub(super) fn claim(&self, claim: &Claim, claimed: impl Fn(i64) -> bool) -> Vec<Owed> {
        let sender = claim.sender;
        if claim.ordering == Ordering::Fifo && self.owed_to(sender).any(|(seq, _)| claimed(seq)) {
            return Vec::new();
        }
        let mut heads = self.heads(sender, claim.ordering);
        heads.retain(|(seq, row)| !claimed(*seq) && row.is_due(claim.now_ms));
        if claim.ordering == Ordering::None {
            heads.sort_by_key(|(seq, row)| (row.due(), row.due_ms.is_some(), *seq));
        }
        heads.truncate(claim.limit);
        let mut bytes = 0;
        let taken = heads.iter().take_while(|(seq, _)| {
            let fits = bytes == 0 || bytes < claim.bytes;
            bytes += self.events[seq].event.data.as_str().len();
            fits
        });
        let fitting = taken.count();
        heads.truncate(fitting);
        let owed = heads.into_iter().map(|(seq, row)| Owed {
            sender,
            seq: Seq(seq),
            event: self.events[&seq].event.clone(),
            attempts: row.attempts,
            owed_since_ms: row.since_ms,
            filter_passed: row.passed,
        });
        owed.collect()
    }

    pub(super) fn next_due(&self, sender: SenderKey, ordering: Ordering, claimed: impl Fn(i64) -> bool) -> Option<i64> {
        if ordering == Ordering::Fifo && self.owed_to(sender).any(|(seq, _)| claimed(seq)) {
            return None;
        }
        let heads = self.heads(sender, ordering).into_iter();
        heads
            .filter(|(seq, _)| !claimed(*seq))
            .map(|(_, row)| row.due_ms.unwrap_or(0))
            .min()
    }

    pub(super) fn settle(&mut self, settlement: Settlement, now_ms: i64) {
        let place = (settlement.sender, settlement.seq.0);
        let tried = settlement.attempt.is_some();
        if let Some(attempt) = settlement.attempt {
            self.entry(Entry::Attempt(place.0, place.1, attempt));
        }
        let (due_ms, charge) = match settlement.outcome {
            Outcome::Delivered => {
                self.owed.remove(&place);
                self.dead.remove(&place);
                if !tried {
                    self.settled.insert(place, "delivered");
                }
                return;
            }
            Outcome::Filtered => {
                self.owed.remove(&place);
                self.settled.insert(place, "filtered");
                return;
            }
            Outcome::Dead { reason, detail } => {
                if let Some(mut row) = self.owed.remove(&place) {
                    row.attempts += u32::from(tried);
                    let dead = Dead {
                        reason,
                        detail,
                        at_ms: now_ms,
                        row,
                    };
                    self.dead.insert(place, dead);
                }
                return;
            }
            Outcome::Retry { due_ms } => (due_ms, 1),
            Outcome::Postpone { due_ms } => (due_ms, 0),
        };
        if let Some(row) = self.owed.get_mut(&place) {
            row.due_ms = Some(due_ms.max(1));
            row.attempts += charge;
            row.passed |= tried;
        }
    }

    pub(super) fn close_sender(&mut self, sender: SenderKey, now_ms: i64) -> u64 {
        if self.senders.get(&sender).is_none_or(|s| s.removed_ms.is_none()) {
            return 0;
        }
        let rows: Vec<_> = self.owed_to(sender).map(|(seq, row)| (seq, row.clone())).collect();
        let count = rows.len() as u64;
        for (seq, row) in rows {
            self.owed.remove(&(sender, seq));
            let dead = Dead {
                reason: DeadReason::Deleted,
                detail: "its sender was deleted".into(),
                at_ms: now_ms,
                row,
            };
            self.dead.insert((sender, seq), dead);
        }
        count
    }

    // ---- generations ----

    pub(super) fn commit(&mut self, commit: Commit, woken: &mut BTreeSet<SenderKey>) -> Result<Committed> {
        let mut committed = Committed::default();
        if let Some(new) = commit.generation {
            let newest = self.generations.keys().next_back().copied().unwrap_or(0);
            if newest != new.base {
                return Err(StoreError::Stale {
                    expected: new.base,
                    found: newest,
                });
            }
            let generation = new.numbered(newest + 1, commit.now_ms);
            committed.generation = Some(generation.clone());
            self.generations.insert(newest + 1, (generation, new.document));
            while self.generations.len() > GENERATIONS {
                self.generations.pop_first();
            }
        }
        for change in commit.senders {
            match change {
                SenderChange::Put {
                    name,
                    previous,
                    subscription,
                    changed,
                } => {
                    let key = self.put(&name, previous.as_ref(), subscription, commit.now_ms, woken);
                    if changed {
                        self.owe_anew(
                            key,
                            DeadReason::Template,
                            commit.now_ms + SWAPPED_MS,
                            commit.now_ms,
                            woken,
                        );
                    }
                    committed.keys.push((name, key));
                }
                SenderChange::Remove { name } => {
                    if let Some(key) = self.active(&name) {
                        self.senders.get_mut(&key).unwrap().removed_ms = Some(commit.now_ms);
                        committed.keys.push((name, key));
                    }
                }
            }
        }
        Ok(committed)
    }

    fn active(&self, name: &Name) -> Option<SenderKey> {
        let mut senders = self.senders.iter();
        senders
            .find(|(_, s)| s.removed_ms.is_none() && s.name == *name)
            .map(|(key, _)| *key)
    }

    fn put(
        &mut self,
        name: &Name,
        previous: Option<&Name>,
        subscription: Subscription,
        now_ms: i64,
        woken: &mut BTreeSet<SenderKey>,
    ) -> SenderKey {
        let key = self
            .active(name)
            .or_else(|| previous.and_then(|name| self.active(name)))
            .or_else(|| self.taken_back(name, now_ms, woken))
            .or_else(|| previous.and_then(|name| self.taken_back(name, now_ms, woken)))
            .unwrap_or_else(|| {
                self.last_key += 1;
                SenderKey(self.last_key)
            });
        let suspended = self.senders.get(&key).and_then(|s| s.suspended.clone());
        let sender = Sender {
            name: name.clone(),
            subscription,
            removed_ms: None,
            suspended,
        };
        self.senders.insert(key, sender);
        key
    }

    fn taken_back(&mut self, name: &Name, now_ms: i64, woken: &mut BTreeSet<SenderKey>) -> Option<SenderKey> {
        let removed = self.senders.iter().filter(|(_, s)| s.name == *name);
        let (_, key) = removed
            .filter_map(|(key, s)| Some((s.removed_ms.filter(|at| *at > now_ms - UNDELETE_MS)?, *key)))
            .max()?;
        self.owe_anew(key, DeadReason::Deleted, now_ms, now_ms, woken);
        Some(key)
    }

    fn owe_anew(
        &mut self,
        key: SenderKey,
        reason: DeadReason,
        due_ms: i64,
        now_ms: i64,
        woken: &mut BTreeSet<SenderKey>,
    ) {
        let dead = self.dead.iter().filter(|((sender, _), _)| *sender == key);
        let meant: Vec<_> = dead
            .filter(|(_, dead)| dead.reason == reason)
            .map(|(place, dead)| (*place, dead.row.clone()))
            .collect();
        for (place, mut row) in meant {
            self.dead.remove(&place);
            row.due_ms = Some(due_ms.max(1));
            if reason == DeadReason::Template {
                row.since_ms = now_ms;
            }
            self.owed.entry(place).or_insert(row);
        }
        woken.insert(key);
    }
}
