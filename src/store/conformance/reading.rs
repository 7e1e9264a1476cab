//! Listings, stories and figures.

use super::*;
use crate::store::{EventRow, LogEntry, LogQuery, PAGE_BYTES, Replay, RouteNote, Totals};

async fn all_logs(desk: &Desk, query: LogQuery) -> Vec<LogEntry> {
    let mut query = query;
    let mut entries = Vec::new();
    loop {
        let listing = desk.store.logs(query.clone()).await.unwrap();
        assert!(listing.items.len() <= query.page.limit);
        entries.extend(listing.items);
        let Some(next) = listing.next else { return entries };
        query.page.cursor = Some(next);
        assert!(entries.len() < 1000, "the listing never ends");
    }
}

fn times(entries: &[LogEntry]) -> Vec<i64> {
    entries.iter().map(|entry| entry.at_ms - T0).collect()
}

pub(crate) async fn logs_are_paged_and_filtered(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let (a, b) = (desk.put("a", &["*"]).await, desk.put("b", &["*"]).await);
    let sent = desk.messages(10, T0).await;
    for (at, owed) in (0..).zip(desk.all(a, T0 + 100).await) {
        if at % 3 == 0 {
            desk.retry(&owed, T0 + at, T0 + HOUR).await;
        } else {
            desk.delivered(&owed, T0 + at).await;
        }
    }
    for (at, owed) in (10..).zip(desk.all(b, T0 + 100).await) {
        desk.delivered(&owed, T0 + at).await;
    }
    let query = |change: &dyn Fn(&mut LogQuery)| {
        let mut query = LogQuery {
            page: page(3),
            ..LogQuery::default()
        };
        change(&mut query);
        query
    };
    let all = all_logs(&desk, query(&|_| {})).await;
    assert_eq!(times(&all), (0..20).rev().collect::<Vec<_>>());
    let of_a = all_logs(&desk, query(&|q| q.sender = Some(a))).await;
    assert_eq!(times(&of_a), (0..10).rev().collect::<Vec<_>>());
    let failed = all_logs(&desk, query(&|q| (q.sender, q.failed) = (Some(a), true))).await;
    assert_eq!(times(&failed), [9, 6, 3, 0]);
    let failed = all_logs(&desk, query(&|q| q.status = Some(503))).await;
    assert_eq!(times(&failed), [9, 6, 3, 0]);
    let late = all_logs(&desk, query(&|q| q.since_ms = Some(T0 + 17))).await;
    assert_eq!(times(&late), [19, 18, 17]);
    let entry = &failed[3];
    assert_eq!(
        (entry.sender.as_deref(), entry.event_id.as_ref()),
        (Some("a"), Some(&sent[0]))
    );
    assert_eq!((entry.attempt, entry.of, entry.status), (Some(1), Some(4), Some(503)));
    assert_eq!((entry.error.as_deref(), entry.latency_ms), (Some("timeout"), Some(1.5)));
    assert_eq!(entry.delivery, Some(crate::store::delivery_id(&sent[0], a)));
    let bad = LogQuery {
        page: Page {
            limit: 3,
            cursor: Some("nonsense".into()),
        },
        ..LogQuery::default()
    };
    assert!(desk.store.logs(bad).await.is_err());
}

pub(crate) async fn notes_are_kept_with_the_attempts(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let sender = desk.put("s", &["*"]).await;
    desk.messages(2, T0).await;
    for (at, owed) in (0..).zip(desk.all(sender, T0 + 10).await) {
        desk.delivered(&owed, T0 + 1 + at * 2).await;
    }
    for (at, reason) in [(0, "signature"), (2, "duplicate"), (4, "too-large")] {
        desk.store.note(RouteNote {
            route: name("telegram"),
            at_ms: T0 + at,
            status: if reason == "duplicate" { 200 } else { 401 },
            reason,
            detail: "the signature does not hold".into(),
        });
    }
    // Notes are written some time after: a write that is answered comes after them.
    desk.messages(1, T0).await;
    desk.messages(1, T0).await;
    let query = |limit| LogQuery {
        page: page(limit),
        ..LogQuery::default()
    };
    for limit in [1, 2, 100] {
        let all = all_logs(&desk, query(limit)).await;
        assert_eq!(times(&all), [4, 3, 2, 1, 0], "pages of {limit}");
    }
    let of_route = LogQuery {
        route: Some("telegram".into()),
        failed: true,
        ..query(2)
    };
    let refused = all_logs(&desk, of_route).await;
    assert_eq!(times(&refused), [4, 0], "a repeat is no failure");
    assert_eq!(
        (refused[1].status, refused[1].error.as_deref()),
        (Some(401), Some("signature"))
    );
    let other = LogQuery {
        route: Some("discord".into()),
        ..query(2)
    };
    assert!(all_logs(&desk, other).await.is_empty());
}

pub(crate) async fn events_are_listed_newest_first(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let sender = desk.put("s", &["message.*"]).await;
    for at in 0..10 {
        let kind = if at % 2 == 0 { "message.sent" } else { "x.y" };
        desk.append(event_from(kind, if at < 5 { "a" } else { "b" }), T0 + at)
            .await;
    }
    let owed = desk.all(sender, T0 + 10).await;
    desk.delivered(&owed[0], T0).await;
    desk.give_up(&owed[1], DeadReason::Status).await;
    let list = async |change: &dyn Fn(&mut EventQuery)| {
        let mut query = EventQuery {
            page: page(2),
            ..EventQuery::default()
        };
        change(&mut query);
        let mut rows: Vec<EventRow> = Vec::new();
        loop {
            let listing = desk.store.events(query.clone()).await.unwrap();
            rows.extend(listing.items);
            let Some(next) = listing.next else { return rows };
            query.page.cursor = Some(next);
        }
    };
    let times = |rows: &[EventRow]| rows.iter().map(|row| row.at_ms - T0).collect::<Vec<_>>();
    assert_eq!(times(&list(&|_| {}).await), [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]);
    assert_eq!(times(&list(&|q| q.name = Some("x.y".into())).await), [9, 7, 5, 3, 1]);
    assert_eq!(times(&list(&|q| q.source = Some("a".into())).await), [4, 3, 2, 1, 0]);
    assert_eq!(times(&list(&|q| q.since_ms = Some(T0 + 8)).await), [9, 8]);
    let undelivered = list(&|q| q.undelivered = true).await;
    assert_eq!(times(&undelivered), [8, 6, 4, 2]);
    assert_eq!((undelivered[0].owed, undelivered[0].dead), (1, 0));
    assert_eq!((undelivered[3].owed, undelivered[3].dead), (0, 1));
    assert_eq!(
        (undelivered[0].event.as_str(), undelivered[0].timestamp.as_str()),
        ("message.sent", "2027-01-15T08:00:00Z")
    );
    assert_eq!(
        (undelivered[0].source.as_deref(), undelivered[0].data.as_str()),
        (Some("b"), "{\"n\":1}")
    );
}

pub(crate) async fn a_page_of_large_events_is_short_and_the_next_goes_on(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let mut sent = Vec::new();
    for at in 0..7 {
        sent.push(desk.append(event_of(PAGE_BYTES / 3), T0 + at).await);
    }
    sent.reverse();
    for undelivered in [false, true] {
        if undelivered {
            let sender = desk.put("s", &["*"]).await;
            let all = Replay {
                sender: Some(sender),
                since_ms: Some(T0),
                now_ms: T0 + HOUR,
                ..Replay::default()
            };
            assert_eq!(desk.store.replay(all).await.unwrap(), 7);
        }
        let (mut pages, mut listed, mut cursor) = (Vec::new(), Vec::new(), None);
        loop {
            let query = EventQuery {
                undelivered,
                page: Page { limit: 1000, cursor },
                ..EventQuery::default()
            };
            let listing = desk.store.events(query).await.unwrap();
            pages.push(listing.items.len());
            listed.extend(listing.items.into_iter().map(|row| row.id));
            cursor = listing.next;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!((pages.as_slice(), &listed), (&[4, 3][..], &sent), "{undelivered}");
    }
}

pub(crate) async fn a_story_tells_each_senders_part(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let mut keys = Vec::new();
    for sender in ["delivered", "filtered", "dead", "owed"] {
        keys.push(desk.put(sender, &["*"]).await);
    }
    let one = Append {
        request: Some(request("telegram")),
        ..append(vec![new(event_from("message.received", "telegram"))], T0)
    };
    let id = desk.store.append(one).await.unwrap().remove(0).id;
    for (key, outcome) in keys.iter().zip([
        Outcome::Delivered,
        Outcome::Filtered,
        Outcome::Dead {
            reason: DeadReason::Status,
            detail: "404".into(),
        },
        Outcome::Retry { due_ms: T0 + MINUTE },
    ]) {
        let owed = desk.all(*key, T0).await.remove(0);
        let tried = match outcome {
            Outcome::Delivered => Some(attempt(1, T0, None)),
            Outcome::Filtered => None,
            _ => Some(attempt(1, T0, Some("status"))),
        };
        desk.settle(&owed, tried, outcome).await;
    }
    let desk = desk.reopen(bed).await;
    let story = desk.store.story(&id).await.unwrap().unwrap();
    let told: Vec<_> = story
        .deliveries
        .iter()
        .map(|d| {
            (
                d.sender.as_str(),
                d.state.as_str(),
                d.attempts,
                d.due_ms,
                d.reason.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("delivered", "delivered", 1, None, None),
            ("filtered", "filtered", 0, None, None),
            ("dead", "dead", 1, None, Some("status")),
            ("owed", "owed", 1, Some(T0 + MINUTE), None),
        ]
    );
    assert_eq!(story.attempts.len(), 3);
    let request = story.request.unwrap();
    assert_eq!((request.route.as_str(), request.method.as_str()), ("telegram", "POST"));
    assert_eq!(
        (request.path.as_str(), request.body_bytes, request.verified),
        ("/webhook/telegram", 11, true)
    );
    assert_eq!((story.event.owed, story.event.dead), (1, 1));
}

pub(crate) async fn a_request_comes_back_as_it_was(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let sent = RawRequest {
        headers: headers(&[("x-odd", b"\xff:value"), ("x-odd", b""), ("accept", b" a: b ")]),
        body: bytes::Bytes::from_static(b"{\"a\":\"\x00\xff\"}\n"),
        verified: false,
        ..request("telegram")
    };
    let two = Append {
        request: Some(sent.clone()),
        ..append(vec![new(event("message.received")), new(event("message.sent"))], T0 + 5)
    };
    let bare = Append {
        request: Some(RawRequest {
            headers: http::HeaderMap::new(),
            body: bytes::Bytes::new(),
            ..request("discord")
        }),
        ..append(vec![new(event("message.received"))], T0 + 6)
    };
    let both = desk.store.append(two).await.unwrap();
    let other = desk.store.append(bare).await.unwrap().remove(0).id;
    let own = desk.append(event("message.received"), T0).await;
    let desk = desk.reopen(bed).await;
    for appended in &both {
        let stored = desk.store.raw_request(&appended.id).await.unwrap().unwrap();
        assert_eq!((stored.last.0 - stored.first.0, stored.at_ms), (1, T0 + 5));
        let came = stored.request;
        assert_eq!(
            (
                came.route,
                came.method,
                came.target,
                came.headers,
                came.body,
                came.verified
            ),
            (
                sent.route.clone(),
                sent.method.clone(),
                sent.target.clone(),
                sent.headers.clone(),
                sent.body.clone(),
                false
            )
        );
    }
    let bare = desk.store.raw_request(&other).await.unwrap().unwrap();
    assert_eq!(
        (bare.first, bare.request.headers.len(), bare.request.body.len()),
        (bare.last, 0, 0)
    );
    assert_eq!((bare.request.route, bare.request.verified), (name("discord"), true));
    for id in [own.as_str(), "evt_unknown"] {
        assert!(desk.store.raw_request(id).await.unwrap().is_none());
    }
}

pub(crate) async fn figures_of_a_sender(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let key = desk.put("s", &["*"]).await;
    let nothing = desk.store.sender_figures(key).await.unwrap();
    assert_eq!(nothing, crate::store::SenderFigures::default());
    desk.messages(10, T0).await;
    let owed = desk.all(key, T0 + 10).await;
    for (at, owed) in (0..).zip(&owed[..4]) {
        desk.delivered(owed, T0 + at * MINUTE).await;
    }
    for owed in &owed[4..8] {
        desk.retry(owed, T0 + 5 * MINUTE, T0 + HOUR).await;
    }
    desk.clock.advance_ms(10 * MINUTE);
    let figures = desk.store.sender_figures(key).await.unwrap();
    assert_eq!(
        (figures.owed, figures.dead, figures.oldest_owed_ms),
        (6, 0, Some(T0 + 4))
    );
    assert_eq!((figures.attempts_hour, figures.delivered_hour), (8, 4));
    assert_eq!((figures.p50_ms, figures.p99_ms), (Some(1.5), Some(1.5)));
    assert_eq!(figures.last_delivered_ms, Some(T0 + 3 * MINUTE + 1));
    assert!(!figures.last_five_failed, "four of the last five");
    desk.retry(&owed[8], T0 + 6 * MINUTE, T0 + HOUR).await;
    let desk = desk.reopen(bed).await;
    assert!(desk.store.sender_figures(key).await.unwrap().last_five_failed);
    desk.clock.advance_ms(3 * HOUR);
    let later = desk.store.sender_figures(key).await.unwrap();
    assert_eq!((later.attempts_hour, later.delivered_hour, later.p50_ms), (0, 0, None));
    assert_eq!(later.last_delivered_ms, Some(T0 + 3 * MINUTE + 1));
    let totals = desk.store.totals().await.unwrap();
    assert!(totals.bytes > 0);
    let expected = Totals {
        owed: 6,
        oldest_owed_ms: Some(T0 + 4),
        ..Totals::default()
    };
    assert_eq!(Totals { bytes: 0, ..totals }, expected);
}

pub(crate) async fn figures_of_a_route(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let nothing = desk.store.route_figures("telegram", T0).await.unwrap();
    assert_eq!((nothing.last_received_ms, nothing.messages), (None, 0));
    for at in [-HOUR, 0, MINUTE, HOUR] {
        desk.append(event_from("message.received", "telegram"), T0 + at).await;
    }
    let test = Event {
        test: true,
        ..event_from("message.received", "telegram")
    };
    desk.append(test, T0 + 2 * HOUR).await;
    desk.append(event_from("message.received", "discord"), T0 + 2 * HOUR)
        .await;
    let desk = desk.reopen(bed).await;
    let figures = desk.store.route_figures("telegram", T0).await.unwrap();
    assert_eq!((figures.last_received_ms, figures.messages), (Some(T0 + HOUR), 3));
}
