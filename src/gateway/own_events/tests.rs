//! What is told, how often, and to whom not.

use super::*;
use crate::clock::{Clock as _, ManualClock, from_ms};
use crate::event::Name;
use crate::store::{DeadReason, EventQuery, Page, sqlite};

const HOUR_MS: i64 = 60 * 60 * 1000;

struct Desk {
    clock: Arc<ManualClock>,
    store: Arc<dyn Store>,
    own: OwnEvents,
    _dir: tempfile::TempDir,
}

fn desk() -> Desk {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(from_ms(1_773_570_600_000)));
    let store: Arc<dyn Store> = sqlite::open_with_clock(dir.path(), 0, "a test", clock.clone()).unwrap();
    Desk {
        own: OwnEvents::new(store.clone(), clock.clone()),
        clock,
        store,
        _dir: dir,
    }
}

impl Desk {
    async fn told(&self) -> Vec<String> {
        let query = EventQuery {
            page: Page {
                limit: 100,
                cursor: None,
            },
            ..EventQuery::default()
        };
        let listing = self.store.events(query).await.unwrap();
        let mut names: Vec<String> = listing.items.into_iter().map(|row| row.event).collect();
        names.reverse();
        names
    }
}

fn sender(name: &str) -> Name {
    Name::parse(name).unwrap()
}

fn failing(name: &str) -> Fact {
    of_sender(outbound::Notice::Failing {
        sender: sender(name),
        detail: "HTTP 500".to_owned(),
    })
    .unwrap()
}

#[tokio::test]
async fn the_same_is_told_once_an_hour_and_another_resource_by_itself() {
    let mut desk = desk();
    for _ in 0..5 {
        assert!(desk.own.tell(failing("a")).await);
    }
    assert!(desk.own.tell(failing("b")).await);
    assert_eq!(desk.told().await.len(), 2);
    desk.clock.advance_ms(HOUR_MS - 1);
    desk.own.tell(failing("a")).await;
    assert_eq!(desk.told().await.len(), 2);
    desk.clock.advance_ms(1);
    desk.own.tell(failing("a")).await;
    assert_eq!(desk.told().await.len(), 3);
}

#[tokio::test]
async fn a_restart_does_not_tell_the_same_again() {
    let mut desk = desk();
    desk.own.tell(failing("a")).await;
    desk.own = OwnEvents::new(desk.store.clone(), desk.clock.clone());
    assert!(desk.own.tell(failing("a")).await);
    assert_eq!(desk.told().await, ["gateway.sender.failing"]);
}

#[tokio::test]
async fn memory_is_bounded_whatever_is_told() {
    let mut desk = desk();
    for n in 0..RECENT {
        desk.own.recent.insert(format!("x {n}"), desk.clock.now_ms());
    }
    desk.own.tell(failing("a")).await;
    assert!(desk.own.recent.len() <= RECENT);
}

#[test]
fn what_happens_to_one_of_these_events_is_no_event() {
    let dead = |event: &str| outbound::Notice::Dead {
        sender: sender("a"),
        event_id: "evt_1".to_owned(),
        event: EventName::parse(event).unwrap(),
        reason: DeadReason::Exhausted,
        detail: "HTTP 500".to_owned(),
    };
    assert!(of_sender(dead("gateway.sender.failing")).is_none());
    let fact = of_sender(dead("message.sent")).unwrap();
    assert_eq!(
        Value::Object(fact.data).to_string(),
        r#"{"message":"sender a gave message.sent up (exhausted): HTTP 500","sender":"a","event":"message.sent","eventId":"evt_1","reason":"exhausted","error":"HTTP 500"}"#
    );
}

#[test]
fn pressure_begins_at_nine_tenths_and_ends_below_eight() {
    let space = |used_bytes| Space {
        used_bytes,
        max_bytes: 100,
        full: false,
    };
    assert_eq!(Room::of(space(89), Room::Enough), Room::Enough);
    assert_eq!(Room::of(space(90), Room::Enough), Room::NearlyFull);
    assert_eq!(Room::of(space(80), Room::NearlyFull), Room::NearlyFull);
    assert_eq!(Room::of(space(79), Room::Full), Room::Enough);
    assert_eq!(Room::of(space(100), Room::NearlyFull), Room::Full);
    let refused = Space {
        full: true,
        ..Space::default()
    };
    assert_eq!(Room::of(refused, Room::Enough), Room::Full);
    assert_eq!(Room::of(Space::default(), Room::Full), Room::Enough, "no bound");
}

#[test]
fn a_long_text_is_cut_and_each_name_is_one_that_a_document_may_have() {
    let rejected = of_document(reconcile::Notice::Rejected {
        generation: 7,
        sha256: "ab".to_owned(),
        cause: Cause::File,
        reason: reasons::DOCUMENT_INVALID,
        message: "错".repeat(5000),
    });
    assert!(rejected.data["error"].as_str().unwrap().len() <= LONGEST_TEXT);
    let held = of_document(reconcile::Notice::Held {
        generation: 7,
        sha256: "ab".to_owned(),
        cause: Cause::Start,
        reasons: vec!["it deletes everything".to_owned()],
    });
    assert_eq!(held.data["reasons"][0], "it deletes everything");
    for name in [rejected.name, held.name] {
        assert!(crate::event::KNOWN_EVENTS.contains(&name), "{name}");
    }
}
