//! Replays.

use super::*;
use crate::store::{Replay, SWAPPED_MS};

fn replay(sender: SenderKey) -> Replay {
    Replay {
        sender: Some(sender),
        now_ms: T0 + HOUR,
        ..Replay::default()
    }
}

pub(crate) async fn dead_letters_are_replayed_and_go_when_delivered(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let (a, b) = (desk.put("a", &["*"]).await, desk.put("b", &["*"]).await);
    let sent = desk.messages(3, T0).await;
    for key in [a, b] {
        for owed in desk.all(key, T0 + 10).await {
            desk.give_up(&owed, DeadReason::Exhausted).await;
        }
    }
    let failed = Replay {
        failed: true,
        ..replay(a)
    };
    assert_eq!(desk.store.replay(failed.clone()).await.unwrap(), 3);
    assert_eq!(desk.store.replay(failed).await.unwrap(), 0, "they are owed already");
    let desk = desk.reopen(bed).await;
    let figures = desk.store.sender_figures(a).await.unwrap();
    assert_eq!(
        (figures.owed, figures.dead, figures.oldest_owed_ms),
        (3, 3, Some(T0 + HOUR))
    );
    assert!(desk.all(a, T0 + HOUR - 1).await.is_empty());
    let owed = desk.all(a, T0 + HOUR).await;
    assert_eq!(ids(&owed), sent);
    assert_eq!(
        (owed[0].attempts, owed[0].owed_since_ms, owed[0].filter_passed),
        (0, T0 + HOUR, false)
    );
    desk.delivered(&owed[0], T0 + HOUR).await;
    desk.give_up(&owed[1], DeadReason::Status).await;
    let figures = desk.store.sender_figures(a).await.unwrap();
    assert_eq!((figures.owed, figures.dead), (1, 2));
    let states = async |id: &str| {
        let story = desk.store.story(id).await.unwrap().unwrap();
        story
            .deliveries
            .into_iter()
            .map(|delivery| delivery.state)
            .collect::<Vec<_>>()
    };
    assert_eq!(states(&sent[0]).await, ["delivered", "dead"]);
    assert_eq!(states(&sent[2]).await, ["owed", "dead"]);
    // Everyone's, of one event.
    let everyone = Replay {
        sender: None,
        failed: true,
        event_id: Some(sent[1].clone()),
        ..replay(a)
    };
    assert_eq!(desk.store.replay(everyone).await.unwrap(), 2);
}

pub(crate) async fn stored_events_are_replayed_by_time_and_subscription(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    for minute in 0..2500 {
        let kind = if minute % 2 == 0 { "message.sent" } else { "x.y" };
        desk.append(event(kind), T0 + minute * MINUTE).await;
    }
    let key = desk.put("late", &["message.*"]).await;
    let since = Replay {
        since_ms: Some(T0 + 2000 * MINUTE),
        now_ms: T0 + 9000 * MINUTE,
        ..replay(key)
    };
    assert_eq!(desk.store.replay(since.clone()).await.unwrap(), 250);
    assert_eq!(desk.store.replay(since).await.unwrap(), 0);
    let owed = desk.all(key, T0 + 9000 * MINUTE).await;
    assert_eq!(owed.len(), 250);
    assert!(owed.iter().all(|owed| owed.event.name.as_str() == "message.sent"));
    assert_eq!(desk.store.replay(replay(key)).await.unwrap(), 1000, "the rest of them");
    desk.change(remove("late"), T0).await;
    assert_eq!(
        desk.store.replay(replay(key)).await.unwrap(),
        0,
        "nobody would deliver them"
    );
}

pub(crate) async fn one_event_is_replayed_whatever_the_subscription(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let key = desk.put("s", &["message.*"]).await;
    let sent = desk.append(event("x.y"), T0).await;
    desk.append(event("x.y"), T0).await;
    let by_id = |id: &str| Replay {
        event_id: Some(id.into()),
        ..replay(key)
    };
    assert_eq!(desk.store.replay(by_id("evt_unknown")).await.unwrap(), 0);
    assert_eq!(desk.store.replay(by_id(&sent)).await.unwrap(), 1);
    assert_eq!(ids(&desk.all(key, T0 + HOUR).await), [&sent]);
}

pub(crate) async fn replays_keep_the_order_of_lanes(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let key = desk.put("s", &["*"]).await;
    let first = desk.append(event_of_session("a"), T0).await;
    let owed = desk.claim(key, T0, 10, Ordering::Session).await;
    desk.give_up(&owed[0], DeadReason::Exhausted).await;
    let second = desk.append(event_of_session("a"), T0 + 1).await;
    let failed = Replay {
        failed: true,
        ..replay(key)
    };
    desk.store.replay(failed).await.unwrap();
    for ordering in [Ordering::Session, Ordering::Fifo, Ordering::Session] {
        assert!(
            desk.claim(key, T0 + 2, 10, ordering).await.is_empty(),
            "the replayed one is first, and not due"
        );
        let head = desk.claim(key, T0 + HOUR, 10, ordering).await;
        assert_eq!(ids(&head), [&first], "{ordering:?}");
        desk.store.release(key, seqs(&head)).await.unwrap();
    }
    let head = desk.claim(key, T0 + HOUR, 10, Ordering::Session).await;
    desk.delivered(&head[0], T0 + HOUR).await;
    assert_eq!(ids(&desk.claim(key, T0 + HOUR, 10, Ordering::Session).await), [&second]);
}

pub(crate) async fn what_a_template_failed_on_is_owed_anew_when_the_sender_changes(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let (a, b) = (desk.put("a", &["*"]).await, desk.put("b", &["*"]).await);
    let sent = desk.messages(3, T0).await;
    for key in [a, b] {
        let owed = desk.all(key, T0 + 10).await;
        // One of them had been tried, under a template that could be made.
        desk.retry(&owed[0], T0 + 10, T0 + 20).await;
        let again = desk.all(key, T0 + 20).await;
        desk.give_up(&again[0], DeadReason::Template).await;
        desk.give_up(&owed[1], DeadReason::Template).await;
        desk.give_up(&owed[2], DeadReason::Status).await;
    }
    // A start with the same document, then a change of one of them.
    desk.change(put("a", None, &["*"], None), T0 + HOUR).await;
    assert_eq!(desk.owed(a).await, 0);
    desk.change(changed("a", &["*"]), T0 + HOUR).await;
    let desk = desk.reopen(bed).await;
    assert_eq!(
        ids(&desk.all(a, T0 + HOUR).await),
        [""; 0],
        "the changed template is not in place yet"
    );
    let owed = desk.all(a, T0 + HOUR + SWAPPED_MS).await;
    assert_eq!(ids(&owed), sent[..2]);
    let first = (owed[0].owed_since_ms, owed[0].filter_passed, owed[0].attempts > 0);
    let second = (owed[1].owed_since_ms, owed[1].filter_passed, owed[1].attempts);
    assert_eq!(
        first,
        (T0 + HOUR, true, true),
        "it passed the filter before its first attempt"
    );
    assert_eq!(second, (T0 + HOUR, false, 0));
    for (key, owed, dead) in [(a, 2, 1), (b, 0, 3)] {
        let figures = desk.store.sender_figures(key).await.unwrap();
        assert_eq!((figures.owed, figures.dead), (owed, dead));
    }
    desk.delivered(&owed[1], T0 + HOUR).await;
    desk.give_up(&owed[0], DeadReason::Template).await;
    let figures = desk.store.sender_figures(a).await.unwrap();
    assert_eq!((figures.owed, figures.dead), (0, 2));
}

pub(crate) async fn an_event_that_is_named_is_replayed_past_the_filter(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let a = desk.put("a", &["*"]).await;
    let sent = desk.messages(2, T0).await;
    for owed in desk.all(a, T0 + 10).await {
        desk.settle(&owed, None, Outcome::Filtered).await;
    }
    let named = Replay {
        event_id: Some(sent[1].clone()),
        ..replay(a)
    };
    assert_eq!(desk.store.replay(named).await.unwrap(), 1);
    assert_eq!(
        desk.store.replay(replay(a)).await.unwrap(),
        1,
        "the other one, without its name"
    );
    let owed = desk.all(a, T0 + HOUR).await;
    let passed: Vec<_> = owed.iter().map(|owed| owed.filter_passed).collect();
    assert_eq!(
        (ids(&owed), passed),
        (vec![sent[0].as_str(), &sent[1]], vec![false, true])
    );
}
