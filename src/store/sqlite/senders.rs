//! The senders in memory: who gets an event is answered without the database.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use rusqlite::Connection;

use super::row;
use crate::event::{Event, EventName, EventPattern, Name, Ordering};
use crate::store::{Result, SenderKey, StoreError, Subscription, about};

/// One sender, active or removed.
#[derive(Debug, Clone)]
pub(super) struct Sender {
    pub(super) name: Name,
    pub(super) subscription: Subscription,
    pub(super) removed_ms: Option<i64>,
    /// Whether `lanes` is kept for it: its last claim was by session.
    pub(super) laned: bool,
    /// How it claimed last: `next_due` answers for that.
    pub(super) ordering: Ordering,
    /// The lane that the last claim by session looked at last.
    pub(super) lane: i64,
}

/// All senders, and an index of the active ones by what they subscribe to.
#[derive(Debug, Default)]
pub(super) struct Senders {
    all: HashMap<SenderKey, Sender>,
    active: HashMap<Name, SenderKey>,
    /// By the source that is asked for; `None`: any source, or none.
    index: HashMap<Option<Name>, Patterns>,
    /// Those that get requests, not events.
    per_request: HashSet<SenderKey>,
}

#[derive(Debug, Default)]
struct Patterns {
    all: BTreeSet<SenderKey>,
    prefix: HashMap<Arc<str>, BTreeSet<SenderKey>>,
    exact: HashMap<EventName, BTreeSet<SenderKey>>,
}

impl Senders {
    pub(super) fn load(conn: &Connection) -> Result<Self> {
        let mut senders = Self::default();
        let mut all = conn.prepare("SELECT key, name, removed_ms, events, sources, laned, per_request FROM senders")?;
        let mut rows = all.query([])?;
        while let Some(row) = rows.next()? {
            let name: String = row.get(1)?;
            let events: String = row.get(3)?;
            let sources: Option<String> = row.get(4)?;
            let sender = Sender {
                name: Name::parse(&name)
                    .map_err(|_| StoreError::Damaged("a sender's name is not what was written".into()))?,
                subscription: row::subscription(&events, sources.as_deref(), row.get(6)?)?,
                removed_ms: row.get(2)?,
                laned: row.get(5)?,
                ordering: Ordering::None,
                lane: i64::MIN,
            };
            senders.put(SenderKey(row.get(0)?), sender);
        }
        Ok(senders)
    }

    pub(super) fn get(&self, key: SenderKey) -> Option<&Sender> {
        self.all.get(&key)
    }

    /// For the fields that are not indexed.
    pub(super) fn claiming(&mut self, key: SenderKey) -> Option<&mut Sender> {
        self.all.get_mut(&key)
    }

    pub(super) fn active(&self, name: &Name) -> Option<SenderKey> {
        self.active.get(name).copied()
    }

    pub(super) fn all_active(&self) -> Vec<SenderKey> {
        let mut keys: Vec<_> = self.active.values().copied().collect();
        keys.sort_unstable();
        keys
    }

    /// Adds a sender, or takes the place of the one that has the key.
    pub(super) fn put(&mut self, key: SenderKey, sender: Sender) {
        self.forget(key);
        if sender.removed_ms.is_none() {
            self.active.insert(sender.name.clone(), key);
            self.each_set(&sender.subscription, |set| {
                set.insert(key);
            });
            if sender.subscription.per_request {
                self.per_request.insert(key);
            }
        }
        self.all.insert(key, sender);
    }

    pub(super) fn forget(&mut self, key: SenderKey) {
        let Some(old) = self.all.remove(&key) else { return };
        self.per_request.remove(&key);
        if self.active.get(&old.name) == Some(&key) {
            self.active.remove(&old.name);
        }
        self.each_set(&old.subscription, |set| {
            set.remove(&key);
        });
    }

    fn each_set(&mut self, subscription: &Subscription, mut change: impl FnMut(&mut BTreeSet<SenderKey>)) {
        let sources: Vec<Option<Name>> = match &subscription.from {
            None => vec![None],
            Some(names) => names.iter().cloned().map(Some).collect(),
        };
        for source in sources {
            let patterns = self.index.entry(source).or_default();
            for pattern in &subscription.events {
                match pattern {
                    EventPattern::All => change(&mut patterns.all),
                    EventPattern::Prefix(prefix) => change(patterns.prefix.entry(prefix.clone()).or_default()),
                    EventPattern::Exact(name) => change(patterns.exact.entry(name.clone()).or_default()),
                }
            }
        }
    }

    /// Who gets this event, each once, in order of their keys.
    pub(super) fn matching(&self, event: &Event, into: &mut Vec<SenderKey>) {
        into.clear();
        let sources = [Some(&None), event.source.is_some().then_some(&event.source)];
        for patterns in sources.into_iter().flatten().filter_map(|s| self.index.get(s)) {
            if !event.name.is_gateways_own() {
                into.extend(&patterns.all);
            }
            if let Some(keys) = patterns.exact.get(&event.name) {
                into.extend(keys);
            }
            if !patterns.prefix.is_empty() {
                let text = event.name.as_str();
                for (at, _) in text.match_indices('.') {
                    if let Some(keys) = patterns.prefix.get(&text[..=at]) {
                        into.extend(keys);
                    }
                }
            }
        }
        if let Some(about) = about(event).and_then(|name| self.active(&name)) {
            into.retain(|key| *key != about);
        }
        into.sort_unstable();
        into.dedup();
    }

    /// Of those that get an event, leaves out the ones that get requests and have this one already (`served`), or never get
    /// it: nobody asked (`of_request`), or it is a test.
    pub(super) fn once_a_request(
        &self,
        event: &Event,
        of_request: bool,
        served: &mut HashSet<SenderKey>,
        keys: &mut Vec<SenderKey>,
    ) {
        if !self.per_request.is_empty() {
            keys.retain(|key| !self.per_request.contains(key) || (of_request && !event.test && served.insert(*key)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Data, EventId};
    use proptest::prelude::*;

    fn event(name: &str, source: Option<&str>) -> Event {
        Event {
            id: EventId::new(),
            name: EventName::parse(name).unwrap(),
            timestamp: crate::clock::from_ms(0),
            data: Data::written("{}"),
            source: source.map(|s| Name::parse(s).unwrap()),
            session: None,
            traceparent: None,
            test: false,
        }
    }

    proptest! {
        #[test]
        fn the_index_says_what_the_subscriptions_say(
            subscriptions in prop::collection::vec((
                prop::collection::vec(prop::sample::select(vec![
                    "*", "message.*", "gateway.*", "gateway.config.*", "message.received", "gateway.config.applied",
                ]), 1..4),
                prop::option::of(prop::collection::vec(prop::sample::select(vec!["a", "b"]), 0..3)),
                any::<bool>(),
            ), 0..8),
            name in prop::sample::select(vec!["message.received", "message.sent", "gateway.config.applied", "x.y"]),
            source in prop::option::of(prop::sample::select(vec!["a", "b", "c"])),
        ) {
            let mut senders = Senders::default();
            let event = event(name, source);
            let mut expected = Vec::new();
            for (key, (patterns, from, removed)) in (1_i64..).zip(&subscriptions) {
                let subscription = Subscription {
                    events: patterns.iter().map(|p| EventPattern::parse(p).unwrap()).collect(),
                    from: from.as_ref().map(|names| names.iter().map(|n| Name::parse(n).unwrap()).collect()),
                    per_request: false,
                };
                let wants = subscription.wants(&event);
                let sender = Sender {
                    name: Name::parse(&format!("s{key}")).unwrap(),
                    subscription,
                    removed_ms: None,
                    laned: false,
                    ordering: Ordering::None,
                    lane: 0,
                };
                senders.put(SenderKey(key), sender.clone());
                if *removed {
                    senders.put(SenderKey(key), Sender { removed_ms: Some(1), ..sender });
                } else if wants {
                    expected.push(SenderKey(key));
                }
            }
            let mut found = Vec::new();
            senders.matching(&event, &mut found);
            prop_assert_eq!(found, expected);
        }
    }
}
