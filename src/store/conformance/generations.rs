//! Generations and senders.

use super::*;
use crate::store::{Cause, NewGeneration, StoreError};

fn generation(base: u64, document: &[u8]) -> NewGeneration {
    NewGeneration {
        base,
        document: document.to_vec(),
        format: ".yaml".into(),
        sha256: hex::encode([u8::try_from(base % 256).unwrap(); 32]),
        cause: Cause::File,
        who: Some("someone".into()),
        git_commit: None,
        summary: [1, 2, 3, 4],
        fingerprints: [("a secret".to_owned(), "ff".to_owned())].into(),
    }
}

fn commit(base: u64, document: &[u8], senders: Vec<SenderChange>) -> Commit {
    Commit {
        generation: Some(generation(base, document)),
        senders,
        now_ms: T0,
    }
}

pub(crate) async fn generations_count_up_and_a_stale_base_is_refused(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    assert!(desk.store.last_generation().await.unwrap().is_none());
    for base in 0..3 {
        let made = desk.store.commit(commit(base, b"first\r\n", vec![])).await.unwrap();
        assert_eq!(made.generation.unwrap().number, base + 1);
    }
    let desk = desk.reopen(bed).await;
    for base in [0, 2, 4] {
        let refused = desk.store.commit(commit(base, b"x", vec![])).await.unwrap_err();
        assert!(
            matches!(refused, StoreError::Stale { expected, found: 3 } if expected == base),
            "{refused}"
        );
    }
    desk.store.commit(commit(3, b"fourth", vec![])).await.unwrap();
    let (last, document) = desk.store.last_generation().await.unwrap().unwrap();
    assert_eq!((last.number, last.at_ms, last.cause), (4, T0, Cause::File));
    assert_eq!((last.who.as_deref(), last.summary), (Some("someone"), [1, 2, 3, 4]));
    assert_eq!(last.fingerprints["a secret"], "ff");
    assert_eq!(document, b"fourth");
    let (first, document) = desk.store.generation(1).await.unwrap().unwrap();
    assert_eq!((first.number, &document[..]), (1, &b"first\r\n"[..]));
    assert!(desk.store.generation(5).await.unwrap().is_none());
}

pub(crate) async fn a_stale_commit_changes_no_sender(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let kept = desk.put("kept", &["*"]).await;
    let changes = vec![remove("kept"), put("made", None, &["*"], None)];
    desk.store.commit(commit(7, b"x", changes)).await.unwrap_err();
    desk.append(event("a.b"), T0).await;
    let senders = desk.store.senders().await.unwrap();
    assert_eq!(senders.len(), 1);
    assert_eq!(
        (senders[0].key, senders[0].removed_ms, senders[0].owed),
        (kept, None, 1)
    );
}

pub(crate) async fn the_last_hundred_generations_are_kept(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    for base in 0..103 {
        desk.store.commit(commit(base, b"x", vec![])).await.unwrap();
    }
    assert!(desk.store.generation(3).await.unwrap().is_none());
    assert!(desk.store.generation(4).await.unwrap().is_some());
    let mut numbers = Vec::new();
    let mut next = page(30);
    loop {
        let listing = desk.store.generations(next.clone()).await.unwrap();
        numbers.extend(listing.items.iter().map(|generation| generation.number));
        let Some(cursor) = listing.next else { break };
        next.cursor = Some(cursor);
    }
    assert_eq!(numbers, (4..=103).rev().collect::<Vec<_>>());
}

pub(crate) async fn a_sender_survives_update_rename_and_reopening(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let key = desk.put("old", &["*"]).await;
    desk.messages(2, T0).await;
    assert_eq!(desk.put("old", &["x.y"]).await, key, "an update");
    let renamed = desk.change(put("new", Some("old"), &["x.y"], None), T0).await;
    assert_eq!(renamed, Some(key));
    let desk = desk.reopen(bed).await;
    // The document goes on saying `previousName`, and another sender takes the old name.
    let other = desk.put("old", &["*"]).await;
    assert_ne!(other, key);
    assert_eq!(
        desk.change(put("new", Some("old"), &["x.y"], None), T0).await,
        Some(key)
    );
    assert_eq!((desk.owed(key).await, desk.owed(other).await), (2, 0));
    desk.append(event("x.y"), T0).await;
    assert_eq!((desk.owed(key).await, desk.owed(other).await), (3, 1));
    let names: Vec<_> = desk
        .store
        .senders()
        .await
        .unwrap()
        .into_iter()
        .map(|row| (row.key, row.name))
        .collect();
    assert_eq!(names, [(key, name("new")), (other, name("old"))]);
    // Renamed and its old name given away in one commit.
    let both = Commit {
        senders: vec![put("newest", Some("new"), &["*"], None), put("new", None, &["*"], None)],
        now_ms: T0,
        ..Commit::default()
    };
    let keys = desk.store.commit(both).await.unwrap().keys;
    assert_eq!(keys[0], (name("newest"), key));
    assert!(keys[1].1 != key && keys[1].1 != other);
}

pub(crate) async fn a_removed_sender_gets_nothing_new_and_keeps_what_it_is_owed(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let key = desk.put("s", &["*"]).await;
    desk.messages(2, T0).await;
    assert_eq!(desk.change(remove("s"), T0 + 5).await, Some(key));
    assert_eq!(desk.change(remove("s"), T0 + 6).await, None, "it is gone already");
    desk.messages(1, T0 + 10).await;
    let desk = desk.reopen(bed).await;
    desk.messages(1, T0 + 20).await;
    let rows = desk.store.senders().await.unwrap();
    assert_eq!((rows[0].key, rows[0].removed_ms, rows[0].owed), (key, Some(T0 + 5), 2));
    assert_eq!(desk.all(key, T0 + 30).await.len(), 2, "it drains");
    assert_eq!(desk.store.close_sender(key).await.unwrap(), 2);
    assert!(desk.store.senders().await.unwrap().is_empty());
    let figures = desk.store.sender_figures(key).await.unwrap();
    assert_eq!((figures.owed, figures.dead), (0, 2));
}

pub(crate) async fn a_name_that_comes_back_within_the_hour_goes_on_where_it_was(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let key = desk.put("s", &["*"]).await;
    let sent = desk.messages(3, T0).await;
    let owed = desk.all(key, T0 + 10).await;
    desk.retry(&owed[0], T0 + 10, T0 + 20).await;
    desk.give_up(&owed[1], DeadReason::Status).await;
    desk.store.release(key, vec![owed[2].seq]).await.unwrap();
    desk.change(remove("s"), T0 + 30).await;
    assert_eq!(desk.store.close_sender(key).await.unwrap(), 2);
    let desk = desk.reopen(bed).await;
    let back = desk.change(put("s", None, &["*"], None), T0 + 30 + HOUR - 1).await;
    assert_eq!(back, Some(key));
    let figures = desk.store.sender_figures(key).await.unwrap();
    assert_eq!((figures.owed, figures.dead), (2, 1), "what failed by itself stays dead");
    let owed = desk.all(key, T0 + 2 * HOUR).await;
    assert_eq!(ids(&owed), [&sent[0], &sent[2]]);
    assert_eq!(
        (owed[0].attempts, owed[0].owed_since_ms, owed[0].filter_passed),
        (1, T0, true)
    );
    desk.messages(1, T0 + 2 * HOUR).await;
    assert_eq!(desk.owed(key).await, 3);
    // Not yet closed is simply not removed any more.
    desk.change(remove("s"), T0 + 3 * HOUR).await;
    assert_eq!(
        desk.change(put("s", None, &["*"], None), T0 + 3 * HOUR).await,
        Some(key)
    );
    assert_eq!(desk.owed(key).await, 3);
}

pub(crate) async fn a_name_that_comes_back_later_is_another_sender(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let key = desk.put("s", &["*"]).await;
    desk.messages(2, T0).await;
    desk.change(remove("s"), T0).await;
    desk.store.close_sender(key).await.unwrap();
    let other = desk.change(put("s", None, &["*"], None), T0 + HOUR).await.unwrap();
    assert_ne!(other, key);
    assert_eq!((desk.owed(key).await, desk.owed(other).await), (0, 0));
    assert_eq!(desk.store.sender_figures(key).await.unwrap().dead, 2);
}

pub(crate) async fn a_suspension_survives_until_it_is_lifted(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let key = desk.put("s", &["*"]).await;
    desk.store.set_suspended(key, Some("410 Gone".into())).await.unwrap();
    let desk = desk.reopen(bed).await;
    desk.put("s", &["a.b"]).await;
    let suspended = || async { desk.store.senders().await.unwrap()[0].suspended.clone() };
    assert_eq!(suspended().await.as_deref(), Some("410 Gone"));
    desk.store.set_suspended(key, None).await.unwrap();
    assert_eq!(suspended().await, None);
}

pub(crate) async fn the_fingerprint_key_stays(bed: &dyn Bed) {
    let desk = Desk::open(bed).await;
    let key = desk.store.fingerprint_key();
    assert_ne!(key, [0; 32]);
    assert_eq!(desk.reopen(bed).await.store.fingerprint_key(), key);
}
