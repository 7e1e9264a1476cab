//! What a plan would have meant for real events: what the store holds, replayed through the old and the new document.
//!
//! Work is bounded: at most [`MOST_EVENTS`] events, the newest, for at most [`MOST_SENDERS`] senders, those that the plan
//! changes. Whether a sender subscribes to an event is asked once for each name and source; a filter is asked for each event.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::document::{Address, Desired, Resource, Value};
use crate::event::{EventName, EventPattern, Name};

/// The most events that are replayed.
pub const MOST_EVENTS: usize = 100_000;

/// The most changed senders that they are replayed for.
pub const MOST_SENDERS: usize = 1_000;

/// Examples of what a sender gains, loses and fails on; of each at most so many.
const EXAMPLES: usize = 3;

/// Names and sources for which the answers are kept; beyond it they are worked out anew.
const MOST_KINDS: usize = 4_096;

/// What a plan would have meant since then.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Impact {
    /// Since when events were replayed, RFC 3339.
    pub since: String,
    /// How many.
    pub events: u64,
    /// There were more: these are the newest.
    pub cut: bool,
    /// The senders that the plan changes, by name.
    pub senders: Vec<SenderImpact>,
    /// Changed senders beyond [`MOST_SENDERS`].
    pub senders_left_out: u64,
    /// Routes that would not have made their events, by name.
    pub routes: Vec<RouteImpact>,
}

/// What a sender got, and would have got.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SenderImpact {
    /// Its name in the new document; of a deleted one the old name.
    pub name: String,
    /// By the old document.
    pub got: u64,
    /// By the new one.
    pub would_get: u64,
    /// The newest that it would get in addition.
    pub gained: Vec<Example>,
    /// The newest that it would not get any more.
    pub lost: Vec<Example>,
    /// Events on which the new filter or template fails.
    pub failures: u64,
    /// The newest of them.
    pub failed: Vec<Failed>,
}

/// A route whose events would not have come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RouteImpact {
    /// Its name.
    pub name: String,
    /// `deleted` or `paused`.
    pub why: String,
    /// How many events it made.
    pub events: u64,
}

/// An event as an example.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Example {
    /// Its id.
    pub id: String,
    /// Its name.
    pub event: String,
    /// The inbound webhook that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
}

/// An event on which a filter or template fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failed {
    /// The event.
    #[serde(flatten)]
    pub event: Example,
    /// Why.
    pub reason: String,
}

/// A stored event.
#[derive(Debug, Clone, Copy)]
pub struct Stored<'e> {
    /// Its id.
    pub id: &'e str,
    /// Its name.
    pub name: &'e str,
    /// The inbound webhook that made it.
    pub source: Option<&'e str>,
    /// Its timestamp, RFC 3339.
    pub timestamp: &'e str,
    /// Its data.
    pub data: &'e str,
}

/// What a sender's filter and templates say of an event that it subscribes to: whether it gets it, or why one fails on it.
pub type Sieve = Box<dyn Fn(&Stored<'_>) -> Result<bool, String> + Send>;

/// Makes the sieve of a sender; `None`: it gets all that it subscribes to.
pub type Compile<'c> = &'c (dyn Fn(&Resource) -> Option<Sieve> + Sync);

/// What decides whether a sender gets an event.
pub struct Taste {
    events: Vec<EventPattern>,
    from: Option<HashSet<Name>>,
    sieve: Option<Sieve>,
}

impl Taste {
    /// A sender's, by its resource.
    #[must_use]
    pub fn of(resource: &Resource, compile: Compile<'_>) -> Self {
        let texts = |field| match resource.effective(field) {
            Some(Value::List(items)) => Some(items.iter().filter_map(Value::as_text).map(str::to_owned).collect()),
            _ => None,
        };
        let patterns: Option<Vec<String>> = texts("events");
        let from: Option<Vec<String>> = texts("from");
        Self {
            events: (patterns.iter().flatten())
                .filter_map(|text| EventPattern::parse(text))
                .collect(),
            from: from.map(|names| names.iter().filter_map(|name| Name::parse(name).ok()).collect()),
            sieve: compile(resource),
        }
    }

    /// Whether it subscribes to events of this name that this inbound webhook made.
    #[must_use]
    pub fn subscribes(&self, name: &EventName, source: Option<&Name>) -> bool {
        self.events.iter().any(|pattern| pattern.matches(name))
            && (self.from.as_ref()).is_none_or(|from| source.is_some_and(|source| from.contains(source)))
    }

    fn gets(&self, event: &Stored<'_>) -> Result<bool, String> {
        self.sieve.as_ref().map_or(Ok(true), |sieve| sieve(event))
    }
}

struct Sender {
    before: Option<Taste>,
    after: Option<Taste>,
    impact: SenderImpact,
}

/// Which changed senders subscribe to a kind of events: before, after.
type Kind = Arc<[(usize, bool, bool)]>;

/// Replays events, one after the other, the newest first.
pub struct Weigher {
    senders: Vec<Sender>,
    left_out: u64,
    /// What the old document's routes are called in the new one.
    renamed: HashMap<Name, Name>,
    /// Routes that are gone or paused, and why.
    silent: BTreeMap<Name, (&'static str, u64)>,
    kinds: HashMap<(EventName, Option<Name>), Kind>,
    events: u64,
}

impl Weigher {
    /// Compares two documents.
    #[must_use]
    pub fn new(old: &Desired, new: &Desired, compile: Compile<'_>) -> Self {
        let mut weigher = Self {
            senders: Vec::new(),
            left_out: 0,
            renamed: HashMap::new(),
            silent: BTreeMap::new(),
            kinds: HashMap::new(),
            events: 0,
        };
        let mut taken = HashSet::new();
        for (address, after) in &new.resources {
            let previous = previous(address, after).filter(|previous| old.resources.contains_key(previous));
            let before = old.resources.get(address);
            let before = before.or_else(|| old.resources.get(previous.as_ref()?));
            if let Some(previous) = previous.filter(|_| !old.resources.contains_key(address)) {
                if let (Address::Inbound(was), Address::Inbound(is)) = (&previous, address) {
                    weigher.renamed.insert(was.clone(), is.clone());
                }
                taken.insert(previous);
            }
            match address {
                Address::Outbound(name) if before != Some(after) => {
                    weigher.sender(name, before, Some(after), compile);
                }
                Address::Inbound(name) => {
                    let paused = |resource: &Resource| resource.effective("paused") == Some(Value::Bool(true));
                    if paused(after) && !before.is_some_and(paused) {
                        weigher.silent.insert(name.clone(), ("paused", 0));
                    }
                }
                _ => {}
            }
        }
        for (address, before) in &old.resources {
            if new.resources.contains_key(address) || taken.contains(address) {
                continue;
            }
            match address {
                Address::Outbound(name) => weigher.sender(name, Some(before), None, compile),
                Address::Inbound(name) => _ = weigher.silent.insert(name.clone(), ("deleted", 0)),
                _ => {}
            }
        }
        weigher.senders.sort_by(|a, b| a.impact.name.cmp(&b.impact.name));
        weigher
    }

    fn sender(&mut self, name: &Name, before: Option<&Resource>, after: Option<&Resource>, compile: Compile<'_>) {
        if self.senders.len() == MOST_SENDERS {
            self.left_out += 1;
            return;
        }
        self.senders.push(Sender {
            before: before.map(|resource| Taste::of(resource, compile)),
            after: after.map(|resource| Taste::of(resource, compile)),
            impact: SenderImpact {
                name: name.to_string(),
                ..SenderImpact::default()
            },
        });
    }

    /// Replays one event. A name that no release knows any more is nobody's.
    pub fn weigh(&mut self, event: &Stored<'_>) {
        self.events += 1;
        let Some(name) = EventName::parse(event.name) else {
            return;
        };
        let source = event.source.and_then(|source| Name::parse(source).ok());
        let is_called = source.as_ref().map(|source| self.renamed.get(source).unwrap_or(source));
        let silent = is_called.and_then(|source| self.silent.get_mut(source));
        let comes = silent.is_none();
        if let Some((_, events)) = silent {
            *events += 1;
        }
        let kind = self.kind(name, source);
        for (index, subscribed, subscribes) in &*kind {
            let sender = &mut self.senders[*index];
            let got = *subscribed && (sender.before.as_ref()).is_some_and(|taste| taste.gets(event) == Ok(true));
            let would = match sender.after.as_ref().filter(|_| *subscribes && comes) {
                None => false,
                Some(taste) => taste.gets(event).unwrap_or_else(|reason| {
                    sender.impact.failures += 1;
                    if sender.impact.failed.len() < EXAMPLES {
                        let event = event.into();
                        sender.impact.failed.push(Failed { event, reason });
                    }
                    false
                }),
            };
            let impact = &mut sender.impact;
            impact.got += u64::from(got);
            impact.would_get += u64::from(would);
            let examples = match (got, would) {
                (false, true) => &mut impact.gained,
                (true, false) => &mut impact.lost,
                _ => continue,
            };
            if examples.len() < EXAMPLES {
                examples.push(event.into());
            }
        }
    }

    fn kind(&mut self, name: EventName, source: Option<Name>) -> Kind {
        if self.kinds.len() == MOST_KINDS {
            self.kinds.clear();
        }
        let (senders, renamed) = (&self.senders, &self.renamed);
        let work_out = |(name, source): &(EventName, Option<Name>)| {
            let source = source.as_ref();
            let is_called = source.map(|source| renamed.get(source).unwrap_or(source));
            let answers = senders.iter().enumerate().map(|(index, sender)| {
                let wants =
                    |taste: &Option<Taste>, source| (taste.as_ref()).is_some_and(|t| t.subscribes(name, source));
                (index, wants(&sender.before, source), wants(&sender.after, is_called))
            });
            answers.filter(|(_, before, after)| *before || *after).collect()
        };
        let key = (name, source);
        let kind: Kind = match self.kinds.get(&key) {
            Some(kind) => return Arc::clone(kind),
            None => work_out(&key),
        };
        self.kinds.insert(key, Arc::clone(&kind));
        kind
    }

    /// What came of it.
    #[must_use]
    pub fn finish(self, since: String, cut: bool) -> Impact {
        let routes = self.silent.into_iter().filter(|(_, (_, events))| *events > 0);
        Impact {
            since,
            events: self.events,
            cut,
            senders: self.senders.into_iter().map(|sender| sender.impact).collect(),
            senders_left_out: self.left_out,
            routes: routes
                .map(|(name, (why, events))| RouteImpact {
                    name: name.to_string(),
                    why: why.to_owned(),
                    events,
                })
                .collect(),
        }
    }
}

impl From<&Stored<'_>> for Example {
    fn from(event: &Stored<'_>) -> Self {
        Self {
            id: event.id.to_owned(),
            event: event.name.to_owned(),
            source: event.source.map(str::to_owned),
        }
    }
}

/// The address that a webhook had.
fn previous(address: &Address, resource: &Resource) -> Option<Address> {
    let name = resource.effective("previousName")?;
    let name = Name::parse(name.as_text()?).ok()?;
    match address {
        Address::Inbound(_) => Some(Address::Inbound(name)),
        Address::Outbound(_) => Some(Address::Outbound(name)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::document::{self, Format, Source};

    fn desired(text: &str) -> Desired {
        let source = Source {
            path: "d",
            format: Format::Yaml,
            text: text.as_bytes(),
        };
        let loaded = document::load(&source);
        loaded.desired.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics))
    }

    /// Replays `events` (name, source), the newest first.
    fn impact(old: &str, new: &str, events: &[(&str, Option<&str>)], compile: Compile<'_>) -> Impact {
        let mut weigher = Weigher::new(&desired(old), &desired(new), compile);
        let data = json!({"n": 1}).to_string();
        for (i, (name, source)) in events.iter().enumerate() {
            let id = format!("evt_{i}");
            weigher.weigh(&Stored {
                id: &id,
                name,
                source: *source,
                timestamp: "2026-03-15T10:30:00Z",
                data: &data,
            });
        }
        weigher.finish("2026-03-14T10:30:00Z".to_owned(), false)
    }

    const EVENTS: [(&str, Option<&str>); 6] = [
        ("message.received", Some("telegram")),
        ("message.received", Some("github")),
        ("message.sent", None),
        ("gateway.config.applied", None),
        ("message.received", Some("telegram")),
        ("message.error", None),
    ];

    fn sender<'i>(impact: &'i Impact, name: &str) -> &'i SenderImpact {
        impact.senders.iter().find(|sender| sender.name == name).unwrap()
    }

    fn ids(examples: &[Example]) -> Vec<&str> {
        examples.iter().map(|example| example.id.as_str()).collect()
    }

    #[test]
    fn patterns_and_sources_decide_who_gets_what() {
        let old = "webhooks: { outbound: { a: { url: 'https://a.example', events: [message.received] }, \
                   same: { url: 'https://s.example' }, gone: { url: 'https://g.example' } }, \
                   inbound: { telegram: { secret: s }, github: { secret: s } } }";
        let new = "webhooks: { outbound: { a: { url: 'https://a.example', events: ['message.*'], from: [github] }, \
                   same: { url: 'https://s.example' }, new: { url: 'https://n.example', events: [message.sent, gateway.config.applied] } }, \
                   inbound: { telegram: { secret: s }, github: { secret: s } } }";
        let impact = impact(old, new, &EVENTS, &|_| None);
        assert_eq!((impact.events, impact.senders.len(), impact.routes.len()), (6, 3, 0));
        let a = sender(&impact, "a");
        assert_eq!((a.got, a.would_get, ids(&a.lost)), (3, 1, vec!["evt_0", "evt_4"]));
        let gone = sender(&impact, "gone");
        assert_eq!((gone.got, gone.would_get, gone.lost.len()), (5, 0, EXAMPLES));
        let new = sender(&impact, "new");
        assert_eq!(
            (new.got, new.would_get, ids(&new.gained)),
            (0, 2, vec!["evt_2", "evt_3"])
        );
    }

    #[test]
    fn a_rename_is_no_loss_and_a_silent_route_is() {
        let old = "webhooks: { outbound: { a: { url: 'https://a.example', from: [telegram] } }, \
                   inbound: { telegram: { secret: s }, github: { secret: s } } }";
        let new = "webhooks: { outbound: { b: { url: 'https://a.example', previousName: a, from: [chat] } }, \
                   inbound: { chat: { platform: telegram, secret: s, previousName: telegram }, \
                   github: { secret: s, paused: true } } }";
        let impact = impact(old, new, &EVENTS, &|_| None);
        let b = sender(&impact, "b");
        assert_eq!((b.got, b.would_get, impact.senders.len()), (2, 2, 1));
        let silent = RouteImpact {
            name: "github".to_owned(),
            why: "paused".to_owned(),
            events: 1,
        };
        assert_eq!(impact.routes, [silent]);
    }

    #[test]
    fn a_filter_that_fails_on_real_data_is_told() {
        let old = "webhooks: { outbound: { a: { url: 'https://a.example' } } }";
        let new = "webhooks: { outbound: { a: { url: 'https://b.example' } } }";
        let compile = |resource: &Resource| -> Option<Sieve> {
            let is_new = resource.effective("url")?.as_text()?.starts_with("https://b.example");
            is_new.then(|| -> Sieve {
                Box::new(|event| match event.name {
                    "message.error" => Err("no such field".to_owned()),
                    name => Ok(name != "message.sent"),
                })
            })
        };
        let impact = impact(old, new, &EVENTS, &compile);
        let a = sender(&impact, "a");
        assert_eq!((a.got, a.would_get, a.failures), (5, 3, 1));
        assert_eq!(a.failed[0].reason, "no such field");
        assert_eq!(
            (a.failed[0].event.id.as_str(), ids(&a.lost)),
            ("evt_5", vec!["evt_2", "evt_5"])
        );
    }
}
