//! Accepting: keys, subscriptions, atomicity, bounds.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use super::*;
use crate::clock::ManualClock;
use crate::store::{Replay, Retention, StoreError, Wake};

pub(crate) async fn an_event_that_matches_nobody_is_stored(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let id = desk.append(event("message.received"), T0).await;
    let desk = desk.reopen(bed).await;
    let story = desk.store.story(&id).await.unwrap().unwrap();
    assert_eq!((story.event.id, story.deliveries.len()), (id, 0));
    assert!(
        desk.store
            .story("evt_00000000000000000000000000000000")
            .await
            .unwrap()
            .is_none()
    );
}

pub(crate) async fn each_sender_that_is_subscribed_is_owed_the_event(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let all = desk.put("all", &["*"]).await;
    let chat = desk.put("chat", &["message.*", "message.received"]).await;
    let own = desk.put("own", &["gateway.*"]).await;
    let source = desk
        .change(put("from-telegram", None, &["*"], Some(&["telegram"])), T0)
        .await
        .unwrap();
    let nobody = desk
        .change(put("from-nobody", None, &["*"], Some(&[])), T0)
        .await
        .unwrap();
    let gone = desk.put("gone", &["*"]).await;
    desk.change(remove("gone"), T0).await;

    let desk = desk.reopen(bed).await;
    desk.append(event("message.received"), T0).await;
    desk.append(event_from("message.sent", "telegram"), T0).await;
    desk.append(event_from("channel.connected", "discord"), T0).await;
    desk.append(event("gateway.config.applied"), T0).await;
    let mut owed = Vec::new();
    for key in [all, chat, own, source, nobody, gone] {
        owed.push(desk.owed(key).await);
    }
    assert_eq!(owed, [3, 2, 1, 1, 0, 0]);
}

pub(crate) async fn a_sender_of_requests_gets_each_once_and_no_test(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let mut change = put("forward", None, &["message.*"], Some(&["line"]));
    if let SenderChange::Put { subscription, .. } = &mut change {
        subscription.per_request = true;
    }
    let forward = desk.change(change, T0).await.unwrap();
    let each = desk.put("each", &["*"]).await;
    let desk = desk.reopen(bed).await;
    let of_request = |events| Append {
        request: Some(request("line")),
        ..append(events, T0)
    };
    let from = |event_name| event_from(event_name, "line");
    let key = |key| keyed(from("message.received"), "line", key, T0 + HOUR);
    // Three of one request, the first of which it does not want; repeats of two of them beside a new one.
    let wanted = key("1");
    let id = wanted.event.id.to_string();
    let first = vec![new(from("webhook.received")), wanted, key("2")];
    desk.store.append(of_request(first)).await.unwrap();
    assert_eq!((desk.owed(forward).await, desk.owed(each).await), (1, 3));
    desk.store.append(of_request(vec![key("1"), key("2")])).await.unwrap();
    assert_eq!(desk.owed(forward).await, 1, "a repeat is no request");
    desk.store
        .append(of_request(vec![key("1"), key("3"), key("4")]))
        .await
        .unwrap();
    assert_eq!((desk.owed(forward).await, desk.owed(each).await), (2, 5));
    // Test traffic, and what nobody asked for.
    let test = Event {
        test: true,
        ..from("message.received")
    };
    desk.store.append(of_request(vec![new(test)])).await.unwrap();
    desk.append(from("message.sent"), T0).await;
    assert_eq!((desk.owed(forward).await, desk.owed(each).await), (2, 7));
    // A replay gives each request once as well.
    for owed in desk.all(forward, T0 + 1).await {
        desk.delivered(&owed, T0 + 1).await;
    }
    let replay = Replay {
        sender: Some(forward),
        now_ms: T0 + 2,
        ..Replay::default()
    };
    assert_eq!(desk.store.replay(replay).await.unwrap(), 2);
    let again = desk.all(forward, T0 + 2).await;
    assert_eq!((again.len(), ids(&again)[0]), (2, id.as_str()));
}

pub(crate) async fn an_append_to_one_sender_is_owed_to_it_alone(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let all = desk.put("all", &["*"]).await;
    let other = desk.put("other", &["channel.connected"]).await;
    let gone = desk.put("gone", &["*"]).await;
    desk.change(remove("gone"), T0).await;
    for to in [other, gone] {
        let append = Append {
            to: Some(to),
            ..append(vec![new(event_from("message.sent", "telegram"))], T0)
        };
        desk.store.append(append).await.unwrap();
    }
    let desk = desk.reopen(bed).await;
    assert_eq!(
        (desk.owed(all).await, desk.owed(other).await, desk.owed(gone).await),
        (0, 1, 0)
    );
    assert_eq!(desk.stored().await, 2);
    let figures = desk.store.route_figures("telegram", T0 - HOUR).await.unwrap();
    assert_eq!(figures.messages, 0, "no message of the route's");
}

pub(crate) async fn a_repeat_gets_the_first_events_id_and_makes_nothing(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let sender = desk.put("s", &["*"]).await;
    let once = |at| Append {
        request: Some(request("telegram")),
        ..append(vec![keyed(event("message.received"), "telegram", "42", T0 + HOUR)], at)
    };
    let first = desk.store.append(once(T0)).await.unwrap();
    let second = desk.store.append(once(T0 + 1)).await.unwrap();
    let desk = desk.reopen(bed).await;
    let third = desk.store.append(once(T0 + 2)).await.unwrap();
    assert_eq!(duplicates(&first), [false]);
    for repeat in [second, third] {
        assert_eq!(duplicates(&repeat), [true]);
        assert_eq!(repeat[0].id, first[0].id);
    }
    assert_eq!((desk.stored().await, desk.owed(sender).await), (1, 1));
    // Half of it is new: the new half alone is stored.
    let half = vec![
        keyed(event("message.received"), "telegram", "42", T0 + HOUR),
        keyed(event("message.received"), "telegram", "43", T0 + HOUR),
    ];
    let half = desk.store.append(append(half, T0 + 3)).await.unwrap();
    assert_eq!(duplicates(&half), [true, false]);
    assert_eq!(desk.stored().await, 2);
}

pub(crate) async fn an_expired_key_is_forgotten(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let at = |now_ms| append(vec![keyed(event("a.b"), "r", "k", now_ms + HOUR)], now_ms);
    let first = desk.store.append(at(T0)).await.unwrap();
    let within = desk.store.append(at(T0 + HOUR - 1)).await.unwrap();
    let after = desk.store.append(at(T0 + HOUR)).await.unwrap();
    let again = desk.store.append(at(T0 + HOUR + 1)).await.unwrap();
    assert_eq!((within[0].duplicate, within[0].id == first[0].id), (true, true));
    assert_eq!((after[0].duplicate, after[0].id == first[0].id), (false, false));
    assert_eq!((again[0].duplicate, again[0].id == after[0].id), (true, true));
}

pub(crate) async fn a_key_that_comes_twice_in_one_append_is_one_event(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let twice = vec![
        keyed(event("a.b"), "r", "k", T0 + HOUR),
        keyed(event("a.b"), "r", "k", T0 + HOUR),
        new(event("a.b")),
    ];
    let appended = desk.store.append(append(twice, T0)).await.unwrap();
    assert_eq!(duplicates(&appended), [false, true, false]);
    assert_eq!(appended[0].id, appended[1].id);
    assert_eq!(desk.stored().await, 2);
}

pub(crate) async fn keys_of_two_routes_are_apart(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let long = "x".repeat(4000);
    for (scope, key, repeat) in [
        ("a", "k", false),
        ("b", "k", false),
        ("a", "k", true),
        ("a", &long, false),
        ("a", &long[1..], false),
        ("a", &long, true),
    ] {
        let append = append(vec![keyed(event("a.b"), scope, key, T0 + HOUR)], T0);
        let appended = desk.store.append(append).await.unwrap();
        assert_eq!(appended[0].duplicate, repeat, "{scope} {}", key.len());
    }
}

pub(crate) async fn of_concurrent_twins_exactly_one_makes_an_event(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let sender = desk.put("s", &["*"]).await;
    let mut tasks = tokio::task::JoinSet::new();
    for twin in 0..200 {
        let store = desk.store.clone();
        tasks.spawn(async move {
            let key = (twin / 4).to_string();
            let append = append(vec![keyed(event("a.b"), "r", &key, T0 + HOUR)], T0);
            let appended = store.append(append).await.unwrap().remove(0);
            (key, appended)
        });
    }
    let mut made = HashSet::new();
    let mut ids = HashSet::new();
    for (key, appended) in tasks.join_all().await {
        if !appended.duplicate {
            assert!(made.insert(key), "two events of one key");
        }
        ids.insert(appended.id);
    }
    assert_eq!((made.len(), ids.len()), (50, 50));
    assert_eq!((desk.stored().await, desk.owed(sender).await), (50, 50));
}

pub(crate) async fn an_event_comes_back_as_it_was(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let sender = desk.put("s", &["*"]).await;
    let text = r#"{"z":1,"a":12345678901234567890.10,"t":"ü\u0000\ud83d\ude00","n":null}"#;
    let sent = Event {
        id: EventId::from_stored("evt_of-another-form"),
        name: EventName::parse("message.received").unwrap(),
        timestamp: from_ms(T0 - 12_345),
        data: Data::written(text),
        source: Some(name("telegram")),
        session: Some("chat-1".into()),
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        test: true,
    };
    desk.append(sent.clone(), T0 + 7).await;
    // As it was appended, and as it is read from the disk.
    let mut desk = desk;
    for _ in 0..2 {
        let claimed = desk.all(sender, T0 + 7).await;
        let [owed] = &claimed[..] else {
            panic!("{} deliveries", claimed.len())
        };
        let event = &owed.event;
        assert_eq!(
            (&event.id, &event.name, event.timestamp),
            (&sent.id, &sent.name, sent.timestamp)
        );
        assert_eq!(event.data.as_str(), text);
        assert_eq!((&event.source, &event.session), (&sent.source, &sent.session));
        assert_eq!((&event.traceparent, event.test), (&sent.traceparent, true));
        assert_eq!(
            (owed.attempts, owed.owed_since_ms, owed.filter_passed),
            (0, T0 + 7, false)
        );
        desk = desk.reopen(bed).await;
    }
}

pub(crate) async fn an_append_that_fails_leaves_nothing_and_harms_nobody(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let sender = desk.put("s", &["*"]).await;
    // An id that others make, not the gateway: nothing but the store says that it is taken.
    let first = Event {
        id: EventId::from_stored("evt_taken"),
        ..event("a.b")
    };
    desk.append(first.clone(), T0).await;
    // The second event of each bad append has an id that is taken.
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..100 {
        let (store, first) = (desk.store.clone(), first.clone());
        tasks.spawn(async move {
            let mut events = vec![keyed(event("a.b"), "r", &number.to_string(), T0 + HOUR)];
            if number % 10 == 0 {
                events.push(new(first));
            }
            (number, store.append(append(events, T0)).await.is_ok())
        });
    }
    for (number, done) in tasks.join_all().await {
        assert_eq!(done, number % 10 != 0, "{number}");
    }
    assert_eq!((desk.stored().await, desk.owed(sender).await), (91, 91));
    // The keys of those that failed are not burnt.
    let again = append(vec![keyed(event("a.b"), "r", "10", T0 + HOUR)], T0);
    assert_eq!(duplicates(&desk.store.append(again).await.unwrap()), [false]);
}

pub(crate) async fn a_full_store_refuses_appends_and_lets_deliveries_go_on(bed: &dyn Bed) {
    let clock = Arc::new(ManualClock::at(from_ms(T0)));
    let desk = Desk {
        store: bed.open(clock.clone(), 1024 * 1024).await,
        clock,
    };
    let sender = desk.put("s", &["*"]).await;
    let big = || {
        let mut big = event("a.b");
        let text = format!("\"{}\"", noise(50_000));
        big.data = Data::written(text);
        big
    };
    let mut stored = 0;
    let refused = loop {
        let one = append(vec![keyed(big(), "r", &stored.to_string(), T0 + HOUR)], T0);
        match desk.store.append(one).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
        assert!(stored < 100, "the bound is never reached");
    };
    assert!(matches!(refused, StoreError::Full(_)), "{refused}");
    let space = desk.store.space();
    assert!(
        space.full && space.used_bytes >= space.max_bytes && space.max_bytes > 0,
        "{space:?}"
    );
    assert_eq!(desk.owed(sender).await, stored);
    for owed in desk.all(sender, T0).await {
        desk.delivered(&owed, T0).await;
    }
    let retention = Retention {
        settled_ms: HOUR,
        dead_ms: HOUR,
        max_bytes: 1024 * 1024,
    };
    let retained = desk.store.retain(retention, T0 + 2 * HOUR).await.unwrap();
    assert_eq!(retained.events, stored);
    desk.all(sender, T0).await;
    let space = desk.store.space();
    assert!(!space.full && space.used_bytes < space.max_bytes, "{space:?}");
    // Room again, and the key of the one that was refused is not burnt.
    let one = append(
        vec![keyed(big(), "r", &stored.to_string(), T0 + 9 * HOUR)],
        T0 + 2 * HOUR,
    );
    assert_eq!(duplicates(&desk.store.append(one).await.unwrap()), [false]);
}

pub(crate) async fn the_sender_that_an_event_is_about_is_owed_nothing_of_it(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let about = desk.put("about", &["gateway.*", "*"]).await;
    let other = desk.put("other", &["gateway.sender.failing"]).await;
    let mut failing = event("gateway.sender.failing");
    failing.data = Data::written(r#"{"sender":"about"}"#);
    let id = failing.id.as_str().to_owned();
    desk.append(failing, T0).await;
    assert_eq!((desk.owed(about).await, desk.owed(other).await), (0, 1));
    let replay = |event_id| Replay {
        event_id,
        now_ms: T0,
        ..Replay::default()
    };
    desk.store.replay(replay(None)).await.unwrap();
    assert_eq!(desk.owed(about).await, 0, "a replay keeps to it");
    // Whoever names the event and the sender means it.
    let named = Replay {
        sender: Some(about),
        ..replay(Some(id))
    };
    assert_eq!(desk.store.replay(named).await.unwrap(), 1);
}

#[derive(Default)]
struct Woken(Mutex<Vec<Vec<SenderKey>>>);

impl Wake for Woken {
    fn wake(&self, senders: &[SenderKey]) {
        self.0.lock().unwrap().push(senders.to_vec());
    }
}

pub(crate) async fn new_work_wakes_its_senders_once(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let a = desk.put("a", &["*"]).await;
    let b = desk.put("b", &["message.*"]).await;
    let woken = Arc::new(Woken::default());
    desk.store.set_wake(woken.clone());
    let three = vec![
        new(event("message.sent")),
        new(event("message.sent")),
        new(event("x.y")),
    ];
    desk.store.append(append(three, T0)).await.unwrap();
    // The answer may come before the call.
    for _ in 0..1000 {
        if !woken.0.lock().unwrap().is_empty() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(*woken.0.lock().unwrap(), [vec![a, b]]);
}

pub(crate) async fn appends_follow_the_commit_before_them(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let sender = desk.put("s", &["a.b"]).await;
    let mut expected = 0;
    for round in 0..50 {
        let wants = round % 3 != 0;
        desk.put("s", &[if wants { "a.b" } else { "c.d" }]).await;
        desk.append(event("a.b"), T0).await;
        expected += u64::from(wants);
        assert_eq!(desk.owed(sender).await, expected);
    }
}
