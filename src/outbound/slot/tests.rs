//! What a slot says of attempts that landed.

use super::super::attempt::Failure;
use super::super::clients::Clients;
use super::super::egress::Policy;
use super::super::prepared::tests::settings;
use super::*;
use crate::event::{Data, Event, EventId, EventName};
use crate::store::Seq;

fn slot() -> (Slot, Arc<PreparedSender>) {
    let sender = PreparedSender::new(settings("http://example.com/"), &Policy::default(), &Clients::new()).unwrap();
    let (slot, sender) = (Slot::new(SenderKey(1), sender.name().clone()), Arc::new(sender));
    slot.lock().sender = Some(Arc::clone(&sender));
    (slot, sender)
}

fn landed(sender: &Arc<PreparedSender>, class: Class) -> Landed {
    let event = Event {
        id: EventId::new(),
        name: EventName::parse("message.sent").unwrap(),
        timestamp: crate::clock::from_ms(0),
        data: Data::written("{}"),
        source: None,
        session: None,
        traceparent: None,
        test: false,
    };
    let owed = Owed {
        sender: SenderKey(1),
        seq: Seq(1),
        event: Arc::new(event),
        attempts: 0,
        owed_since_ms: 0,
        filter_passed: false,
    };
    let failure = Some(Failure {
        class,
        detail: "why".to_owned(),
    });
    let answer = Answer {
        failure,
        ..Answer::default()
    };
    Landed {
        owed,
        sender: Arc::clone(sender),
        answer,
        started_ms: 0,
        probe: false,
    }
}

#[test]
fn a_lack_of_sockets_parks_the_sender_longer_each_time_and_charges_nothing() {
    let (slot, sender) = slot();
    let mut now_ms = 1_000_000;
    for wait_ms in [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000] {
        let (settlement, _) = slot
            .lock()
            .conclude(&landed(&sender, Class::Local), now_ms, &mut Rng::new(1));
        assert_eq!(
            settlement.outcome,
            Outcome::Postpone {
                due_ms: now_ms + wait_ms
            }
        );
        assert_eq!(slot.lock().stance(now_ms).may_begin, MayBegin::From(now_ms + wait_ms));
        now_ms += wait_ms;
    }
    assert_eq!(slot.lock().stance(now_ms).may_begin, MayBegin::Some(16));
    assert!(!slot.status(now_ms, 0).failing, "it says nothing about the endpoint");
}

#[test]
fn stale_connections_are_not_charged_and_tried_again_at_once() {
    let (slot, sender) = slot();
    let (settlement, _) = slot
        .lock()
        .conclude(&landed(&sender, Class::Stale), 5, &mut Rng::new(1));
    assert_eq!(settlement.outcome, Outcome::Postpone { due_ms: 5 });
}

#[test]
fn a_panic_ends_the_delivery_as_internal() {
    let (slot, sender) = slot();
    let (settlement, _) = slot
        .lock()
        .conclude(&landed(&sender, Class::Internal), 5, &mut Rng::new(1));
    assert!(matches!(
        settlement.outcome,
        Outcome::Dead {
            reason: DeadReason::Internal,
            ..
        }
    ));
}

#[test]
fn five_failures_in_a_row_are_told_once_and_so_is_the_recovery() {
    let (slot, sender) = slot();
    let mut told = Vec::new();
    for _ in 0..7 {
        told.extend(
            slot.lock()
                .conclude(&landed(&sender, Class::Dns), 5, &mut Rng::new(1))
                .1,
        );
    }
    let delivered = Landed {
        answer: Answer::default(),
        ..landed(&sender, Class::Dns)
    };
    told.extend(slot.lock().conclude(&delivered, 5, &mut Rng::new(1)).1);
    told.extend(slot.lock().conclude(&delivered, 5, &mut Rng::new(1)).1);
    assert_eq!(told, [News::Failing, News::Recovered]);
}

#[test]
fn what_a_sender_costs_beside_its_texts() {
    assert!(size_of::<PreparedSender>() <= 1200, "{}", size_of::<PreparedSender>());
    assert!(size_of::<Slot>() <= 512, "{}", size_of::<Slot>());
    const { assert!(super::super::sign::STATE_BYTES <= 256) };
}
