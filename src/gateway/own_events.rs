//! The gateway's own events: what the rooms tell of themselves becomes events of the store (docs/gateway-events.md).
//!
//! Each is told once in an hour for what it is about. The store's keys hold that, restarts included, and the store leaves
//! out the sender that an event is about; what happens to one of these events is no event.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value, json};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::SharedClock;
use crate::event::{Data, Event, EventId, EventName};
use crate::inbound::{REJECTING_WINDOW, Rejecting};
use crate::outbound;
use crate::reconcile::condition::reasons;
use crate::reconcile::{self, Reconciler};
use crate::store::{Append, Cause, DedupeKey, NewEvent, Space, Store, StoreError};

/// Notices of reconciles that wait at most; beyond them the newer ones are dropped.
pub(super) const DOCUMENTS: usize = 64;

/// The same is told again after this time.
const AGAIN_MS: i64 = 60 * 60 * 1000;
/// What was told lately is kept in memory for so many at most, so that a burst does not reach the store; beyond them the
/// store alone knows.
const RECENT: usize = 4096;
/// The scope of their keys: no route's, and not the API's.
const SCOPE: &str = "gateway:";
/// How often the store's room is looked at.
const SPACE_EVERY: Duration = Duration::from_millis(500);
/// The longest text of a diagnostic or the like, in bytes.
const LONGEST_TEXT: usize = 4096;

/// Who tells.
pub(super) struct Sources {
    pub(super) senders: mpsc::Receiver<outbound::Notice>,
    pub(super) routes: mpsc::Receiver<Rejecting>,
    pub(super) documents: mpsc::Receiver<reconcile::Notice>,
}

/// Makes the events.
pub(super) struct OwnEvents {
    store: Arc<dyn Store>,
    clock: SharedClock,
    /// When it was told, by what and about what.
    recent: HashMap<String, i64>,
    room: Room,
    room_told: bool,
}

/// Something worth an event.
#[derive(Debug)]
struct Fact {
    name: &'static str,
    /// What it is about.
    resource: String,
    data: Map<String, Value>,
}

/// How much room the store has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Room {
    #[default]
    Enough,
    NearlyFull,
    Full,
}

impl OwnEvents {
    pub(super) fn new(store: Arc<dyn Store>, clock: SharedClock) -> Self {
        Self {
            store,
            clock,
            recent: HashMap::new(),
            room: Room::default(),
            room_told: false,
        }
    }

    /// Until `stop`; what was told before is still made an event.
    pub(super) async fn run(mut self, mut sources: Sources, reconciler: Reconciler, stop: CancellationToken) {
        let mut ticks = interval(SPACE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let fact = tokio::select! {
                biased;
                _ = ticks.tick() => {
                    self.look_at_space(&reconciler).await;
                    None
                }
                Some(notice) = sources.documents.recv() => Some(of_document(notice)),
                Some(notice) = sources.senders.recv() => of_sender(notice),
                Some(rejecting) = sources.routes.recv() => Some(of_route(&rejecting)),
                () = stop.cancelled() => return,
            };
            if let Some(fact) = fact {
                self.tell(fact).await;
            }
        }
    }

    /// Makes an event of it, unless it was told within the hour. Says whether it is told.
    async fn tell(&mut self, fact: Fact) -> bool {
        let now_ms = self.clock.now_ms();
        let key = format!("{} {}", fact.name, fact.resource);
        // A clock that was set back forgets.
        let fresh = |told_ms: &i64| (0..AGAIN_MS).contains(&now_ms.saturating_sub(*told_ms));
        if self.recent.get(&key).is_some_and(fresh) {
            return true;
        }
        let dedupe = DedupeKey {
            scope: SCOPE.into(),
            key: key.clone(),
            expires_ms: now_ms.saturating_add(AGAIN_MS),
        };
        match append(
            &*self.store,
            &self.clock,
            fact.name,
            Value::Object(fact.data),
            Some(dedupe),
        )
        .await
        {
            Ok(_) => {
                if self.recent.len() >= RECENT {
                    self.recent.retain(|_, told_ms| fresh(told_ms));
                    if self.recent.len() >= RECENT {
                        self.recent.clear();
                    }
                }
                self.recent.insert(key, now_ms);
                true
            }
            // The condition says so.
            Err(StoreError::Full(_)) => false,
            Err(error) => {
                warn!(event = fact.name, about = fact.resource, "not stored: {error}");
                false
            }
        }
    }

    /// Keeps the condition `StorePressure`, and tells of it. A store without room takes the event when it has some again.
    async fn look_at_space(&mut self, reconciler: &Reconciler) {
        let space = self.store.space();
        let room = Room::of(space, self.room);
        if room != self.room && reconciler.store_pressure(room.reason(), room.message(space)) {
            match room {
                Room::Enough => info!("the store has room again"),
                Room::NearlyFull | Room::Full => warn!("{}", room.message(space)),
            }
            self.room = room;
        }
        if room == Room::Enough {
            self.room_told = false;
        } else if !self.room_told {
            self.room_told = self.tell(of_space(room, space)).await;
        }
    }
}

impl Room {
    /// It is little from nine tenths of the bound on, and enough again below eight tenths.
    fn of(space: Space, before: Self) -> Self {
        let tenths = if before == Self::Enough { 9 } else { 8 };
        let used = u128::from(space.used_bytes);
        let bound = u128::from(space.max_bytes);
        if space.full || (bound > 0 && used >= bound) {
            Self::Full
        } else if bound > 0 && used * 10 >= bound * tenths {
            Self::NearlyFull
        } else {
            Self::Enough
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::Enough => reasons::OK,
            Self::NearlyFull => reasons::NEARLY_FULL,
            Self::Full => reasons::FULL,
        }
    }

    fn message(self, space: Space) -> String {
        let Space {
            used_bytes, max_bytes, ..
        } = space;
        match self {
            Self::Enough => String::new(),
            Self::NearlyFull => {
                format!(
                    "the store uses {used_bytes} of {max_bytes} bytes (store.maxBytes): raise it, or shorten retention"
                )
            }
            Self::Full if max_bytes > 0 && used_bytes >= max_bytes => {
                format!(
                    "the store is full ({used_bytes} of {max_bytes} bytes, store.maxBytes): new events are answered 503"
                )
            }
            Self::Full => "the disk of the store is full: new events are answered 503".to_owned(),
        }
    }
}

fn fact(name: &'static str, resource: String, message: String, more: Value) -> Fact {
    let mut data = Map::new();
    data.insert("message".to_owned(), Value::String(message));
    if let Value::Object(more) = more {
        data.extend(more.into_iter().filter(|(_, value)| !value.is_null()));
    }
    Fact { name, resource, data }
}

fn of_sender(notice: outbound::Notice) -> Option<Fact> {
    use outbound::Notice;
    Some(match notice {
        Notice::Failing { sender, detail } => fact(
            "gateway.sender.failing",
            format!("outbound.{sender}"),
            format!("sender {sender} fails: {detail}"),
            json!({ "sender": sender.as_str(), "error": detail }),
        ),
        Notice::Recovered { sender } => fact(
            "gateway.sender.recovered",
            format!("outbound.{sender}"),
            format!("sender {sender} delivers again"),
            json!({ "sender": sender.as_str() }),
        ),
        Notice::Suspended { sender, reason } => fact(
            "gateway.sender.suspended",
            format!("outbound.{sender}"),
            format!("sender {sender} is suspended until `openclaw webhooks resume {sender}`: {reason}"),
            json!({ "sender": sender.as_str(), "reason": reason }),
        ),
        // What happens to one of these events is no event: two senders could tell of each other for ever.
        Notice::Dead { event, .. } if event.is_gateways_own() => return None,
        Notice::Dead {
            sender,
            event_id,
            event,
            reason,
            detail,
        } => fact(
            "gateway.delivery.dead",
            format!("outbound.{sender}"),
            format!("sender {sender} gave {event} up ({}): {detail}", reason.as_str()),
            json!({
                "sender": sender.as_str(),
                "event": event.as_str(),
                "eventId": event_id,
                "reason": reason.as_str(),
                "error": detail,
            }),
        ),
    })
}

fn of_route(rejecting: &Rejecting) -> Fact {
    let Rejecting {
        route,
        refused,
        accepted,
        reason,
        status,
    } = rejecting;
    let seconds = REJECTING_WINDOW.as_secs();
    fact(
        "gateway.route.rejecting",
        format!("inbound.{route}"),
        format!(
            "webhook {route} refused {refused} requests and accepted {accepted} within {seconds} s, the last for {reason} ({status})"
        ),
        json!({
            "route": route.as_str(),
            "refused": refused,
            "accepted": accepted,
            "reason": reason,
            "status": status,
        }),
    )
}

fn of_document(notice: reconcile::Notice) -> Fact {
    use reconcile::Notice;
    match notice {
        Notice::Applied(generation) => {
            let [added, changed, replaced, deleted] = generation.summary;
            let number = generation.number;
            fact(
                "gateway.config.applied",
                number.to_string(),
                format!(
                    "generation {number} runs: {added} added, {changed} changed, {replaced} replaced, {deleted} deleted"
                ),
                json!({
                    "generation": number,
                    "sha256": generation.sha256,
                    "cause": generation.cause.as_str(),
                    "who": generation.who,
                    "gitCommit": generation.git_commit,
                    "added": added,
                    "changed": changed,
                    "replaced": replaced,
                    "deleted": deleted,
                }),
            )
        }
        Notice::Rejected {
            generation,
            sha256,
            cause,
            reason,
            mut message,
        } => {
            message.truncate(message.floor_char_boundary(LONGEST_TEXT));
            let first = message.lines().next().unwrap_or_default();
            fact(
                "gateway.config.rejected",
                sha256.clone(),
                format!("a document was rejected, generation {generation} keeps running: {first}"),
                waits(
                    generation,
                    &sha256,
                    cause,
                    &json!({ "reason": reason, "error": message }),
                ),
            )
        }
        Notice::Held {
            generation,
            sha256,
            cause,
            reasons,
        } => fact(
            "gateway.config.held",
            sha256.clone(),
            format!(
                "a document is held until `openclaw apply --allow-deletes`, generation {generation} keeps running: {}",
                reasons.join("; ")
            ),
            waits(generation, &sha256, cause, &json!({ "reasons": reasons })),
        ),
    }
}

/// What a document that does not run has in common.
fn waits(generation: u64, sha256: &str, cause: Cause, more: &Value) -> Value {
    let mut data = json!({ "generation": generation, "sha256": sha256, "cause": cause.as_str() });
    if let (Some(data), Some(more)) = (data.as_object_mut(), more.as_object()) {
        data.extend(more.clone());
    }
    data
}

fn of_space(room: Room, space: Space) -> Fact {
    fact(
        "gateway.store.pressure",
        "store".to_owned(),
        room.message(space),
        json!({ "reason": room.reason(), "usedBytes": space.used_bytes, "maxBytes": space.max_bytes }),
    )
}

/// The gateway's own life, as events. A store that refuses them is full or broken: it says so by itself.
pub(super) async fn publish(store: &dyn Store, clock: &SharedClock, name: &str) -> Option<EventId> {
    let data = json!({ "component": "gateway", "version": env!("CARGO_PKG_VERSION") });
    match append(store, clock, name, data, None).await {
        Ok(id) => Some(id),
        Err(e) => {
            warn!(event = name, "not stored: {e}");
            None
        }
    }
}

async fn append(
    store: &dyn Store,
    clock: &SharedClock,
    name: &str,
    data: Value,
    key: Option<DedupeKey>,
) -> Result<EventId, StoreError> {
    let id = EventId::new();
    let event = Event {
        id: id.clone(),
        name: EventName::parse(name).expect("a constant name"),
        timestamp: clock.now(),
        data: Data::written(data.to_string()),
        source: None,
        session: None,
        traceparent: None,
        test: false,
    };
    let append = Append {
        request: None,
        events: vec![NewEvent { event, key }],
        to: None,
        now_ms: clock.now_ms(),
    };
    store.append(append).await.map(|_| id)
}

#[cfg(test)]
mod tests;
