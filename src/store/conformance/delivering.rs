//! Delivering: claims, orderings, outcomes.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::*;
use crate::store::{DeadQuery, LogQuery};

pub(crate) async fn the_oldest_due_is_claimed_first(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let sender = desk.put("s", &["*"]).await;
    let sent = desk.messages(10, T0).await;
    let first = desk.claim(sender, T0 + 100, 3, Ordering::None).await;
    assert_eq!(ids(&first), sent[..3]);
    // Put off to a time between the third and the last: it takes its place there.
    desk.retry(&first[0], T0 + 100, T0 + 5).await;
    desk.store.release(sender, seqs(&first[1..])).await.unwrap();
    let rest = desk.all(sender, T0 + 100).await;
    let mut expected: Vec<&str> = sent[1..].iter().map(String::as_str).collect();
    expected.insert(5, &sent[0]);
    assert_eq!(ids(&rest), expected);
}

pub(crate) async fn a_claim_ends_with_its_bytes_and_another_goes_on(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    for ordering in [Ordering::None, Ordering::Session] {
        let sender = desk.put(&format!("{ordering:?}").to_lowercase(), &["*"]).await;
        let mut sent = Vec::new();
        for (at, bytes) in [1000, 1000, 1000, 5000, 1000, 1000].into_iter().enumerate() {
            let event = Event {
                session: Some(format!("{at}").into()),
                ..event_of(bytes)
            };
            sent.push(desk.append(event, T0).await);
        }
        // One was put off: it is taken by its time, and counts as the others.
        let first = desk.claim(sender, T0, 1, ordering).await.remove(0);
        desk.retry(&first, T0, T0 + 1).await;
        let claim = async |bytes| {
            let claim = Claim {
                sender,
                now_ms: T0 + 1,
                limit: 1024,
                bytes,
                ordering,
            };
            desk.store.claim(claim).await.unwrap()
        };
        let (mut all, mut counts) = (Vec::new(), Vec::new());
        loop {
            let owed = claim(2000).await;
            let bytes: Vec<_> = owed.iter().map(|owed| owed.event.data.as_str().len()).collect();
            assert!(bytes.iter().sum::<usize>() < 2000 + 5000, "{ordering:?}: {bytes:?}");
            if owed.is_empty() {
                break;
            }
            counts.push(owed.len());
            all.extend(ids(&owed).into_iter().map(str::to_owned));
        }
        assert!(counts.iter().all(|count| *count <= 2), "{ordering:?}: {counts:?}");
        all.sort_unstable();
        sent.sort_unstable();
        assert_eq!(all, sent, "{ordering:?}");
    }
    let sender = desk.put("one", &["*"]).await;
    desk.append(event_of(1000), T0).await;
    let claim = Claim {
        sender,
        now_ms: T0,
        limit: 1,
        bytes: 0,
        ordering: Ordering::None,
    };
    assert_eq!(desk.store.claim(claim).await.unwrap().len(), 1, "one in any case");
}

pub(crate) async fn what_is_claimed_is_in_one_pair_of_hands(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let (a, b) = (desk.put("a", &["*"]).await, desk.put("b", &["*"]).await);
    desk.messages(100, T0).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let store = desk.store.clone();
        tasks.spawn(async move {
            let claim = Claim {
                sender: a,
                now_ms: T0 + 1000,
                limit: 7,
                bytes: usize::MAX,
                ordering: Ordering::None,
            };
            store.claim(claim).await.unwrap()
        });
    }
    let claimed: Vec<Owed> = tasks.join_all().await.into_iter().flatten().collect();
    let different: HashSet<_> = claimed.iter().map(|owed| owed.seq).collect();
    assert_eq!((claimed.len(), different.len()), (100, 100));
    assert_eq!(
        desk.all(b, T0 + 1000).await.len(),
        100,
        "another sender's claims are its own"
    );
    desk.store.release(a, seqs(&claimed[..10])).await.unwrap();
    let again = desk.all(a, T0 + 1000).await;
    let mut given_back = seqs(&claimed[..10]);
    given_back.sort_unstable();
    assert_eq!(seqs(&again), given_back);
    assert_eq!(desk.owed(a).await, 100);
}

pub(crate) async fn claims_die_with_the_process(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let sender = desk.put("s", &["*"]).await;
    let sent = desk.messages(3, T0).await;
    let claimed = desk.all(sender, T0 + 10).await;
    desk.delivered(&claimed[0], T0 + 10).await;
    desk.retry(&claimed[1], T0 + 10, T0 + MINUTE).await;
    assert!(desk.all(sender, T0 + 10).await.is_empty());
    let desk = desk.reopen(bed).await;
    assert_eq!(ids(&desk.all(sender, T0 + 10).await), [&sent[2]]);
    assert_eq!(ids(&desk.all(sender, T0 + MINUTE).await), [&sent[1]]);
}

pub(crate) async fn a_clock_that_was_set_back_brings_forward_what_is_put_off(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let (a, b) = (desk.put("a", &["*"]).await, desk.put("b", &["*"]).await);
    let sent = desk.messages(700, T0 + HOUR).await;
    for sender in [a, b] {
        let all = desk.all(sender, T0 + HOUR + 2000).await;
        for owed in &all[1..] {
            desk.retry(owed, T0 + HOUR, T0 + HOUR + MINUTE).await;
        }
        desk.store.release(sender, seqs(&all[..1])).await.unwrap();
    }
    desk.store.clock_set_back(HOUR, T0).await.unwrap();
    for sender in [a, b] {
        assert_eq!(
            ids(&desk.all(sender, T0).await),
            [&sent[0]],
            "what is fresh is due always"
        );
        assert_eq!(desk.store.next_due(sender).await.unwrap(), Some(T0 + MINUTE));
        let retried = desk.all(sender, T0 + MINUTE).await;
        assert_eq!(retried.len(), 699);
        assert_eq!(retried[0].attempts, 1, "it is not charged");
    }
}

pub(crate) async fn a_retry_is_charged_and_waits_for_its_time(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let sender = desk.put("s", &["*"]).await;
    desk.messages(1, T0).await;
    let mut owed = desk.all(sender, T0).await.remove(0);
    desk.settle(&owed, None, Outcome::Postpone { due_ms: T0 + 10 }).await;
    assert!(desk.all(sender, T0 + 9).await.is_empty());
    owed = desk.all(sender, T0 + 10).await.remove(0);
    assert_eq!((owed.attempts, owed.filter_passed), (0, false), "nothing was attempted");
    desk.retry(&owed, T0 + 10, T0 + 20).await;
    assert!(desk.all(sender, T0 + 19).await.is_empty());
    owed = desk.all(sender, T0 + 20).await.remove(0);
    assert_eq!((owed.attempts, owed.filter_passed, owed.owed_since_ms), (1, true, T0));
    let attempt = attempt(2, T0 + 20, Some("cut"));
    desk.settle(&owed, Some(attempt), Outcome::Postpone { due_ms: T0 + 30 })
        .await;
    let desk = desk.reopen(bed).await;
    owed = desk.all(sender, T0 + 30).await.remove(0);
    assert_eq!((owed.attempts, owed.filter_passed, owed.owed_since_ms), (1, true, T0));
}

pub(crate) async fn fifo_never_overtakes(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let sender = desk.put("s", &["*"]).await;
    let sent = desk.messages(3, T0).await;
    let next = |now_ms| desk.claim(sender, now_ms, 10, Ordering::Fifo);
    let head = next(T0 + 10).await;
    assert_eq!(ids(&head), [&sent[0]], "one at a time");
    assert!(next(T0 + 10).await.is_empty(), "the head is in hand");
    assert_eq!(desk.store.next_due(sender).await.unwrap(), None);
    desk.store.release(sender, seqs(&head)).await.unwrap();
    let head = next(T0 + 10).await;
    assert_eq!(ids(&head), [&sent[0]]);
    desk.retry(&head[0], T0 + 10, T0 + MINUTE).await;
    assert!(next(T0 + 11).await.is_empty(), "the head is not due");
    assert_eq!(desk.store.next_due(sender).await.unwrap(), Some(T0 + MINUTE));

    let desk = desk.reopen(bed).await;
    let next = |now_ms| desk.claim(sender, now_ms, 10, Ordering::Fifo);
    assert!(
        next(T0 + 11).await.is_empty(),
        "the head is not due after a restart either"
    );
    let head = next(T0 + MINUTE).await;
    assert_eq!(ids(&head), [&sent[0]]);
    desk.give_up(&head[0], DeadReason::Exhausted).await;
    let head = next(T0 + MINUTE).await;
    assert_eq!(ids(&head), [&sent[1]], "a dead head blocks no more");
    desk.delivered(&head[0], T0 + MINUTE).await;
    assert_eq!(ids(&next(T0 + MINUTE).await), [&sent[2]]);
}

pub(crate) async fn session_never_overtakes_within_a_session(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let sender = desk.put("s", &["*"]).await;
    let mut sent = Vec::new();
    for (at, session) in (0..).zip(["a", "b", "a", "", "b", ""]) {
        let event = if session.is_empty() {
            event("x.y")
        } else {
            event_of_session(session)
        };
        sent.push(desk.append(event, T0 + at).await);
    }
    let next = |now_ms| desk.claim(sender, now_ms, 10, Ordering::Session);
    let first = next(T0 + 10).await;
    assert_eq!(
        ids(&first),
        [&sent[0], &sent[1], &sent[3], &sent[5]],
        "a head each, and all without a session"
    );
    assert!(next(T0 + 10).await.is_empty());
    assert_eq!(desk.store.next_due(sender).await.unwrap(), None);
    desk.retry(&first[0], T0 + 10, T0 + MINUTE).await;
    desk.delivered(&first[1], T0 + 10).await;
    let second = next(T0 + 11).await;
    assert_eq!(ids(&second), [&sent[4]], "session a waits for its head");
    // What comes meanwhile gets in line.
    let late = desk.append(event_of_session("a"), T0 + 12).await;
    let free = desk.append(event_of_session("c"), T0 + 12).await;
    assert_eq!(ids(&next(T0 + 12).await), [&free]);
    assert_eq!(desk.store.next_due(sender).await.unwrap(), Some(T0 + MINUTE));

    let desk = desk.reopen(bed).await;
    let next = |now_ms| desk.claim(sender, now_ms, 10, Ordering::Session);
    let third = next(T0 + 13).await;
    assert_eq!(
        ids(&third),
        [&sent[3], &sent[4], &sent[5], &free],
        "claims ended, session a still waits"
    );
    let fourth = next(T0 + MINUTE).await;
    assert_eq!(ids(&fourth), [&sent[0]]);
    desk.delivered(&fourth[0], T0 + MINUTE).await;
    let fifth = next(T0 + MINUTE).await;
    assert_eq!(ids(&fifth), [&sent[2]]);
    desk.delivered(&fifth[0], T0 + MINUTE).await;
    assert_eq!(ids(&next(T0 + MINUTE).await), [&late]);
    // Another ordering sees the same rows, and back again.
    desk.store.release(sender, seqs(&third)).await.unwrap();
    assert_eq!(desk.claim(sender, T0 + MINUTE, 2, Ordering::None).await.len(), 2);
    desk.append(event_of_session("d"), T0 + MINUTE).await;
    assert_eq!(next(T0 + MINUTE).await.len(), 3);
}

pub(crate) async fn a_long_lane_does_not_hide_the_others(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let sender = desk.put("s", &["*"]).await;
    let busy = (0..6000).map(|_| new(event_of_session("busy"))).collect();
    desk.store.append(append(busy, T0)).await.unwrap();
    let other = desk.append(event_of_session("other"), T0 + 1).await;
    let first = desk.claim(sender, T0 + 2, 10, Ordering::Session).await;
    assert_eq!(first.len(), 2);
    assert_eq!(first[1].event.id.as_str(), other);
}

pub(crate) async fn next_due_is_that_of_the_unclaimed(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let sender = desk.put("s", &["*"]).await;
    let due = || desk.store.next_due(sender);
    assert_eq!(due().await.unwrap(), None);
    desk.messages(2, T0).await;
    assert_eq!(due().await.unwrap(), Some(0), "whatever the clock shows");
    let claimed = desk.all(sender, T0 + 10).await;
    assert_eq!(due().await.unwrap(), None, "all is in hand");
    desk.retry(&claimed[0], T0 + 10, T0 + 2 * MINUTE).await;
    assert_eq!(due().await.unwrap(), Some(T0 + 2 * MINUTE));
    desk.retry(&claimed[1], T0 + 10, T0 + MINUTE).await;
    assert_eq!(due().await.unwrap(), Some(T0 + MINUTE));
    desk.messages(1, T0 + 50).await;
    assert_eq!(due().await.unwrap(), Some(0));
}

pub(crate) async fn a_given_up_delivery_is_a_dead_letter(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let sender = desk.put("s", &["*"]).await;
    let sent = desk.messages(3, T0).await;
    let owed = desk.all(sender, T0 + 10).await;
    desk.retry(&owed[0], T0 + 10, T0 + 20).await;
    let last = desk.all(sender, T0 + 20).await.remove(0);
    let outcome = Outcome::Dead {
        reason: DeadReason::Exhausted,
        detail: "it never answered".into(),
    };
    desk.clock.advance_ms(30);
    desk.settle(&last, Some(attempt(2, T0 + 20, Some("timeout"))), outcome)
        .await;
    desk.settle(&owed[1], None, Outcome::Filtered).await;
    desk.give_up(&owed[2], DeadReason::Template).await;
    let desk = desk.reopen(bed).await;
    let figures = desk.store.sender_figures(sender).await.unwrap();
    assert_eq!((figures.owed, figures.dead), (0, 2));
    let query = DeadQuery {
        event_id: Some(sent[0].clone()),
        page: page(10),
        ..DeadQuery::default()
    };
    let dead = desk.store.dead(query).await.unwrap().items.remove(0);
    assert_eq!(
        (dead.sender.as_str(), dead.reason.as_str(), dead.attempts),
        ("s", "exhausted", 2)
    );
    assert_eq!((dead.detail.as_str(), dead.since_ms), ("it never answered", T0 + 30));
    assert_eq!(dead.delivery, last.delivery_id());
    let states: Vec<_> = [
        desk.store.story(&sent[0]).await.unwrap().unwrap(),
        desk.store.story(&sent[1]).await.unwrap().unwrap(),
    ]
    .into_iter()
    .map(|story| story.deliveries[0].state.clone())
    .collect();
    assert_eq!(states, ["dead", "filtered"]);
}

pub(crate) async fn a_late_settlement_of_a_closed_sender_is_harmless(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let sender = desk.put("s", &["*"]).await;
    desk.messages(3, T0).await;
    let owed = desk.all(sender, T0 + 10).await;
    desk.change(remove("s"), T0 + 10).await;
    assert_eq!(desk.store.close_sender(sender).await.unwrap(), 3);
    desk.delivered(&owed[0], T0 + 11).await;
    desk.retry(&owed[1], T0 + 11, T0 + 12).await;
    desk.give_up(&owed[2], DeadReason::Exhausted).await;
    let figures = desk.store.sender_figures(sender).await.unwrap();
    assert_eq!(
        (figures.owed, figures.dead),
        (0, 2),
        "what was delivered after all is dead no more"
    );
    let query = DeadQuery {
        page: page(10),
        ..DeadQuery::default()
    };
    let dead = desk.store.dead(query).await.unwrap().items;
    assert!(dead.iter().all(|letter| letter.reason == "deleted"), "{dead:?}");
    let query = LogQuery {
        page: page(10),
        ..LogQuery::default()
    };
    assert_eq!(
        desk.store.logs(query).await.unwrap().items.len(),
        2,
        "attempts are logged"
    );
    assert_eq!(desk.store.close_sender(sender).await.unwrap(), 0);
}

/// A delivery as the model sees it; the model's keys are the places in the order of appending.
struct Modelled {
    session: Option<u64>,
    due_ms: i64,
    attempts: u32,
    claimed: bool,
}

type Model = BTreeMap<usize, Modelled>;

/// What a claim may take, in the plainest words.
fn may_take(model: &Model, place: usize, now_ms: i64, ordering: Ordering) -> bool {
    let one = &model[&place];
    let mut older = model.range(..place).map(|(_, other)| other);
    let ready = !one.claimed && one.due_ms <= now_ms;
    ready
        && match ordering {
            Ordering::None => true,
            Ordering::Fifo => older.next().is_none() && model.values().all(|other| !other.claimed),
            Ordering::Session => one.session.is_none() || older.all(|other| other.session != one.session),
        }
}

/// The same numbers for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn time(&mut self, sides: u64) -> i64 {
        i64::try_from(self.roll(sides)).unwrap()
    }
}

pub(crate) async fn random_work_agrees_with_a_simple_model(bed: &dyn Bed) {
    let orderings = [Ordering::None, Ordering::Fifo, Ordering::Session, Ordering::Session];
    for (seed, ordering) in (1..).zip(orderings) {
        random_work(bed, seed, ordering).await;
    }
}

async fn random_work(bed: &dyn Bed, seed: u64, ordering: Ordering) {
    let mut desk = Desk::open(bed).await;
    let sender = desk.put(&format!("s{seed}"), &["*"]).await;
    let mut dice = Dice(seed);
    let mut model = Model::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut hands: Vec<Owed> = Vec::new();
    let mut now_ms = T0;
    for step in 0..400 {
        let here = format!("seed {seed}, step {step}");
        now_ms += dice.time(5);
        match dice.roll(10) {
            0..=2 => {
                let session = Some(dice.roll(4)).filter(|session| *session > 0);
                let event = session.map_or_else(|| event("a.b"), |s| event_of_session(&s.to_string()));
                let place = places.len();
                places.insert(desk.append(event, now_ms).await, place);
                let one = Modelled {
                    session,
                    due_ms: now_ms,
                    attempts: 0,
                    claimed: false,
                };
                model.insert(place, one);
            }
            3..=5 => {
                let limit = 1 + usize::try_from(dice.roll(4)).unwrap();
                let taken = desk.claim(sender, now_ms, limit, ordering).await;
                let mut allowed: Vec<usize> = model.keys().copied().collect();
                allowed.retain(|place| may_take(&model, *place, now_ms, ordering));
                assert_eq!(taken.len(), allowed.len().min(limit), "{here}");
                for owed in taken {
                    let place = places[owed.event.id.as_str()];
                    assert!(allowed.contains(&place), "{here}: {place} of {allowed:?}");
                    let one = model.get_mut(&place).unwrap();
                    assert_eq!(one.attempts, owed.attempts, "{here}");
                    one.claimed = true;
                    hands.push(owed);
                }
            }
            6..=8 if !hands.is_empty() => {
                let owed = hands.swap_remove(usize::try_from(dice.roll(hands.len() as u64)).unwrap());
                let place = places[owed.event.id.as_str()];
                match dice.roll(4) {
                    0 => {
                        let due_ms = now_ms + dice.time(20);
                        desk.retry(&owed, now_ms, due_ms).await;
                        let one = model.get_mut(&place).unwrap();
                        (one.due_ms, one.claimed) = (due_ms, false);
                        one.attempts += 1;
                    }
                    1 => {
                        desk.store.release(sender, vec![owed.seq]).await.unwrap();
                        model.get_mut(&place).unwrap().claimed = false;
                    }
                    2 => {
                        desk.give_up(&owed, DeadReason::Status).await;
                        model.remove(&place);
                    }
                    _ => {
                        desk.delivered(&owed, now_ms).await;
                        model.remove(&place);
                    }
                }
            }
            9 if dice.roll(10) == 0 => {
                desk = desk.reopen(bed).await;
                hands.clear();
                for one in model.values_mut() {
                    one.claimed = false;
                }
            }
            _ => {
                assert_eq!(desk.owed(sender).await, model.len() as u64, "{here}");
                if ordering == Ordering::None {
                    let free = model.values().filter(|one| !one.claimed);
                    let next = free.map(|one| if one.attempts == 0 { 0 } else { one.due_ms }).min();
                    assert_eq!(desk.store.next_due(sender).await.unwrap(), next, "{here}");
                }
            }
        }
    }
}
