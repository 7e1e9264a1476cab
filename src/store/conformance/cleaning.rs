//! Retention, purging, backups, the end.

use super::*;
use crate::store::{DeadQuery, LogQuery, Retention, StoreError};

const RETENTION: Retention = Retention {
    settled_ms: HOUR,
    dead_ms: 3 * HOUR,
    max_bytes: 0,
};

pub(crate) async fn retention_keeps_what_is_owed_or_dead(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let (a, b) = (desk.put("a", &["*"]).await, desk.put("b", &["*"]).await);
    let with_request = Append {
        request: Some(request("telegram")),
        ..append((0..4).map(|_| new(event("a.b"))).collect(), T0)
    };
    let sent: Vec<String> = desk
        .store
        .append(with_request)
        .await
        .unwrap()
        .into_iter()
        .map(|appended| appended.id)
        .collect();
    let bulk = (0..2500).map(|_| new(event("a.b"))).collect();
    desk.store.append(append(bulk, T0)).await.unwrap();
    let young = desk.append(event("a.b"), T0 + HOUR).await;
    for owed in desk.all(b, T0 + HOUR).await {
        desk.delivered(&owed, T0).await;
    }
    let mut first = desk.all(a, T0 + HOUR).await;
    // 0 stays owed, 1 is dead, 2 is delivered to both, 3 is filtered.
    desk.give_up(&first[1], DeadReason::Exhausted).await;
    desk.delivered(&first[2], T0).await;
    desk.settle(&first[3], None, Outcome::Filtered).await;
    while !first.is_empty() {
        let rest: Vec<_> = first
            .drain(..)
            .filter(|owed| !sent.contains(&owed.event.id.as_str().to_owned()))
            .map(|owed| settlement(&owed, None, Outcome::Delivered))
            .collect();
        desk.store.settle(rest).await.unwrap();
        for owed in desk.all(b, T0 + HOUR).await {
            desk.delivered(&owed, T0).await;
        }
        first = desk.all(a, T0 + HOUR).await;
    }
    let retained = desk.store.retain(RETENTION, T0 + HOUR + 1).await.unwrap();
    assert_eq!((retained.events, retained.dead), (2502, 0));
    let left = |desk: &Desk| {
        let (store, sent, young) = (desk.store.clone(), sent.clone(), young.clone());
        async move {
            let mut left = Vec::new();
            for id in sent.iter().chain([&young]) {
                left.push(store.story(id).await.unwrap().is_some());
            }
            left
        }
    };
    assert_eq!(left(&desk).await, [true, true, false, false, true]);
    let story = desk.store.story(&sent[0]).await.unwrap().unwrap();
    assert!(story.request.is_some(), "an event that is kept keeps its request");
    let desk = desk.reopen(bed).await;
    assert_eq!(left(&desk).await, [true, true, false, false, true]);
    let owed = desk.all(a, T0 + HOUR).await;
    desk.delivered(&owed[0], T0 + HOUR).await;
    desk.store.retain(RETENTION, T0 + HOUR + 1).await.unwrap();
    assert_eq!(left(&desk).await, [false, true, false, false, true]);
    // The bulk's attempts went with its events: those of the young one and of the dead one's other sender are left.
    let query = LogQuery {
        page: page(1000),
        ..LogQuery::default()
    };
    let logs = desk.store.logs(query).await.unwrap().items;
    let expected = logs
        .iter()
        .all(|entry| [&sent[1], &young].contains(&entry.event_id.as_ref().unwrap()));
    assert!(expected && !logs.is_empty(), "{logs:?}");
}

pub(crate) async fn retention_forgets_expired_keys_and_old_dead_letters(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let key = desk.put("s", &["*"]).await;
    let keys = (0..5000)
        .map(|n| keyed(event("x.y"), "r", &n.to_string(), T0 + n))
        .collect();
    desk.store.append(append(keys, T0 - 1)).await.unwrap();
    let sent = desk.append(event("a.b"), T0).await;
    loop {
        let owed = desk.all(key, T0).await;
        if owed.is_empty() {
            break;
        }
        let settlements = owed.iter().map(|owed| {
            let dead = Outcome::Dead {
                reason: DeadReason::Status,
                detail: String::new(),
            };
            let outcome = if owed.event.id.as_str() == sent {
                dead
            } else {
                Outcome::Delivered
            };
            settlement(owed, None, outcome)
        });
        desk.store.settle(settlements.collect()).await.unwrap();
    }
    let before = desk.store.retain(RETENTION, T0 + 3 * HOUR).await.unwrap();
    assert_eq!((before.dead, before.events), (0, 5000));
    let after = desk.store.retain(RETENTION, T0 + 3 * HOUR + 1).await.unwrap();
    assert_eq!((after.dead, after.events), (1, 1));
    assert_eq!(desk.store.sender_figures(key).await.unwrap().dead, 0);
    assert_eq!(desk.stored().await, 0);
}

pub(crate) async fn a_key_outlasts_its_event(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let all = |numbers: std::ops::Range<i64>, expires_ms| {
        let events = numbers.map(|n| keyed(event("x.y"), "r", &n.to_string(), expires_ms));
        append(events.collect(), T0 + 3 * HOUR)
    };
    let old = Append {
        now_ms: T0,
        ..all(0..5000, T0 + 9 * HOUR)
    };
    desk.store.append(old).await.unwrap();
    assert_eq!(desk.store.retain(RETENTION, T0 + 3 * HOUR).await.unwrap().events, 5000);
    let repeats = |appended: Vec<Appended>| appended.iter().filter(|event| event.duplicate).count();
    let again = desk.store.append(all(2500..7500, T0 + 9 * HOUR)).await.unwrap();
    assert_eq!(repeats(again), 2500);
    // What came after a pass over the keys is known as well.
    let again = desk.store.append(all(0..7500, T0 + 9 * HOUR)).await.unwrap();
    assert_eq!(repeats(again), 7500);
}

pub(crate) async fn seqs_are_never_given_twice(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let key = desk.put("s", &["*"]).await;
    desk.messages(3, T0).await;
    let owed = desk.all(key, T0 + 10).await;
    let last = owed[2].seq;
    for owed in &owed {
        desk.settle(owed, None, Outcome::Delivered).await;
    }
    assert_eq!(desk.store.retain(RETENTION, T0 + 9 * HOUR).await.unwrap().events, 3);
    let desk = desk.reopen(bed).await;
    desk.messages(1, T0).await;
    assert!(desk.all(key, T0).await[0].seq > last);
}

pub(crate) async fn purging_takes_what_it_was_asked_to(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let (a, b) = (desk.put("a", &["*"]).await, desk.put("b", &["*"]).await);
    let sent = desk.messages(4, T0).await;
    for key in [a, b] {
        for owed in desk.all(key, T0 + 10).await {
            desk.clock.advance_ms(1);
            desk.give_up(&owed, DeadReason::Exhausted).await;
        }
    }
    let query = |change: fn(&mut DeadQuery)| {
        let mut query = DeadQuery::default();
        change(&mut query);
        query
    };
    let purge = async |query: DeadQuery| desk.store.purge_dead(query).await.unwrap();
    let mut one = query(|q| q.before_ms = Some(T0 + 3));
    one.sender = Some(a);
    assert_eq!(purge(one).await, 2);
    let of_event = DeadQuery {
        event_id: Some(sent[3].clone()),
        ..DeadQuery::default()
    };
    assert_eq!(purge(of_event).await, 2);
    assert_eq!(purge(query(|q| q.event_id = Some("evt_unknown".into()))).await, 0);
    let listed = desk
        .store
        .dead(DeadQuery {
            page: page(2),
            ..DeadQuery::default()
        })
        .await
        .unwrap();
    assert_eq!(listed.items.len(), 2);
    assert!(listed.items[0].since_ms > listed.items[1].since_ms, "newest first");
    let rest = Page {
        limit: 100,
        cursor: listed.next,
    };
    let rest = desk
        .store
        .dead(DeadQuery {
            page: rest,
            ..DeadQuery::default()
        })
        .await
        .unwrap();
    assert_eq!((rest.items.len(), rest.next), (2, None));
    assert_eq!(purge(DeadQuery::default()).await, 4);
    assert_eq!(desk.store.totals().await.unwrap().dead, 0);
}

pub(crate) async fn a_backup_is_whole_while_writing_goes_on(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let key = desk.put("s", &["*"]).await;
    desk.messages(200, T0).await;
    let store = desk.store.clone();
    let writing = tokio::spawn(async move {
        for at in 0..200 {
            store
                .append(append(vec![new(event("a.b"))], T0 + 1000 + at))
                .await
                .unwrap();
        }
    });
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().join("copy");
    desk.store.backup(&to).await.unwrap();
    let again = desk.store.backup(&to).await;
    assert!(again.is_err(), "a backup never overwrites");
    writing.await.unwrap();
    let copy = bed.open_backup(&to).await;
    let owed = copy.sender_figures(key).await.unwrap().owed;
    assert!((200..=400).contains(&owed), "{owed}");
    assert_eq!(desk.owed(key).await, 400);
}

pub(crate) async fn a_closed_store_has_written_all_and_refuses_more(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    desk.put("s", &["*"]).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let store = desk.store.clone();
        tasks.spawn(async move { store.append(append(vec![new(event("a.b"))], T0)).await.is_ok() });
    }
    tokio::task::yield_now().await;
    desk.store.close().await;
    let accepted = tasks.join_all().await.into_iter().filter(|done| *done).count();
    for refused in [
        desk.store.append(append(vec![new(event("a.b"))], T0)).await.err(),
        desk.store.last_generation().await.err(),
        desk.store.settle(vec![]).await.err(),
    ] {
        assert!(matches!(refused, Some(StoreError::Closed)), "{refused:?}");
    }
    desk.store.close().await;
    let desk = desk.reopen(bed).await;
    assert_eq!(desk.stored().await, accepted);
}
