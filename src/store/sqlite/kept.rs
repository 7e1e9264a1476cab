//! Stores that earlier releases wrote open in this one: `tests/stores/format-N/store.db` is one of each format.
//!
//! None of them is ever written again. A release whose format is new keeps its own before it goes out:
//! `WRITE_STORES=1 cargo test --lib kept_store` writes the one that is missing.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{check, open_with_clock, schema};
use crate::clock::{ManualClock, from_ms};
use crate::event::{Event, EventId, Ordering};
use crate::store::conformance::{
    Desk, HOUR, MINUTE, T0, append, attempt, event, event_from, event_of_session, keyed, name, new, page, put, remove,
    request,
};
use crate::store::{
    Append, Cause, Commit, DeadQuery, DeadReason, LogQuery, NewGeneration, Outcome, Replay, Retention, RouteNote,
    SenderKey,
};

const DOCUMENT: &[u8] = b"webhooks:\n  inbound: {} # \xe4\xbd\xa0\xe5\xa5\xbd\n";

fn kept(format: u32) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stores");
    root.join(format!("format-{format}")).join(schema::FILE)
}

fn open(directory: &Path, now_ms: i64) -> Desk {
    let clock = Arc::new(ManualClock::at(from_ms(now_ms)));
    Desk {
        store: open_with_clock(directory, 0, "a test", clock.clone()).unwrap(),
        clock,
    }
}

fn id(number: u32) -> String {
    format!("evt_0199c0de00007000800000000000{number:04x}")
}

fn numbered(number: u32, event: Event) -> Event {
    Event {
        id: EventId::from_stored(&id(number)),
        ..event
    }
}

/// Something of everything that a store keeps: what `holds` looks for.
async fn fill(desk: &Desk) {
    let sender = |sender: &str| put(sender, None, &["*"], None);
    let generation = NewGeneration {
        base: 0,
        document: DOCUMENT.to_vec(),
        format: ".yaml".into(),
        sha256: hex::encode([7; 32]),
        cause: Cause::File,
        who: Some("someone".into()),
        git_commit: None,
        summary: [4, 0, 0, 0],
        fingerprints: [("webhooks.inbound.github.secret".to_owned(), "ff".to_owned())].into(),
    };
    let commit = Commit {
        generation: Some(generation),
        senders: vec![sender("plain"), sender("laned"), sender("suspended"), sender("removed")],
        now_ms: T0,
    };
    let keys = desk.store.commit(commit).await.unwrap().keys;
    let [plain, laned, suspended, _] = [0, 1, 2, 3].map(|at: usize| keys[at].1);
    // Two events of one request with its key, one of a session, one whose id is another program's.
    let of_request = Append {
        request: Some(request("github")),
        events: vec![
            keyed(
                numbered(1, event_from("message.received", "github")),
                "github",
                "delivery-1",
                T0 + HOUR,
            ),
            new(numbered(2, event("message.edited"))),
        ],
        to: None,
        now_ms: T0,
    };
    desk.store.append(of_request).await.unwrap();
    desk.append(numbered(3, event_of_session("你")), T0 + 1).await;
    desk.append(numbered(4, event_of_session("你")), T0 + 2).await;
    let odd = Event {
        id: EventId::from_stored("odd-5"),
        ..event("a.b")
    };
    desk.store.append(append(vec![new(odd)], T0 + 3)).await.unwrap();
    // One sender: a delivery, a retry, a dead letter, and two that were never tried.
    let owed = desk.all(plain, T0 + MINUTE).await;
    desk.delivered(&owed[0], T0 + 10).await;
    desk.retry(&owed[1], T0 + 20, T0 + 2 * HOUR).await;
    let outcome = Outcome::Dead {
        reason: DeadReason::Exhausted,
        detail: "no answer".into(),
    };
    desk.settle(&owed[2], Some(attempt(1, T0 + 30, Some("timeout"))), outcome)
        .await;
    // One that claims by session has the head of the session in hand when the process ends.
    assert_eq!(desk.claim(laned, T0 + MINUTE, 10, Ordering::Session).await.len(), 4);
    desk.store
        .set_suspended(suspended, Some("it answered 410".into()))
        .await
        .unwrap();
    desk.change(remove("removed"), T0 + MINUTE).await;
    desk.store.note(RouteNote {
        route: name("github"),
        at_ms: T0 + 40,
        status: 401,
        reason: "signature",
        detail: "it does not match".into(),
    });
}

async fn holds(desk: &Desk) {
    let store = &desk.store;
    // Generations and senders.
    let (last, document) = store.last_generation().await.unwrap().unwrap();
    assert_eq!(
        (last.number, last.cause, last.who.as_deref()),
        (1, Cause::File, Some("someone"))
    );
    assert_eq!((last.summary, &document[..]), ([4, 0, 0, 0], DOCUMENT));
    assert_eq!(last.fingerprints["webhooks.inbound.github.secret"], "ff");
    let senders = store.senders().await.unwrap();
    let told: Vec<_> = senders
        .iter()
        .map(|row| (row.name.as_str(), row.removed_ms, row.suspended.as_deref(), row.owed))
        .collect();
    assert_eq!(
        told,
        [
            ("plain", None, None, 3),
            ("laned", None, None, 5),
            ("suspended", None, Some("it answered 410"), 5),
            ("removed", Some(T0 + MINUTE), None, 5),
        ]
    );
    let key = |at: usize| -> SenderKey { senders[at].key };
    // Events, in every part.
    assert_eq!(desk.stored().await, 5);
    let told = store.story(&id(1)).await.unwrap().unwrap();
    assert_eq!(
        (told.event.source.as_deref(), told.event.data.as_str()),
        (Some("github"), "{\"n\":1}")
    );
    let states: Vec<_> = told
        .deliveries
        .iter()
        .map(|part| (&*part.sender, &*part.state))
        .collect();
    assert!(
        states.contains(&("plain", "delivered")) && states.contains(&("laned", "owed")),
        "{states:?}"
    );
    let raw = store.raw_request(&id(2)).await.unwrap().unwrap().request;
    let sent = request("github");
    assert_eq!(
        (raw.target, raw.headers, raw.body),
        (sent.target, sent.headers, sent.body)
    );
    assert!(store.raw_request(&id(3)).await.unwrap().is_none());
    assert_eq!(store.story("odd-5").await.unwrap().unwrap().event.event, "a.b");
    // The log, and dead letters.
    let query = LogQuery {
        page: page(100),
        ..LogQuery::default()
    };
    let log: Vec<_> = store.logs(query).await.unwrap().items;
    let told: Vec<_> = log.iter().map(|entry| (entry.at_ms - T0, entry.status)).collect();
    assert_eq!(
        told,
        [(40, Some(401)), (30, Some(503)), (20, Some(503)), (10, Some(200))]
    );
    assert_eq!(
        (log[0].route.as_deref(), log[1].sender.as_deref()),
        (Some("github"), Some("plain"))
    );
    let query = DeadQuery {
        page: page(100),
        ..DeadQuery::default()
    };
    let dead = store.dead(query).await.unwrap().items;
    assert_eq!(dead.len(), 1);
    let letter = &dead[0];
    assert_eq!(
        (&*letter.event_id, &*letter.reason, letter.attempts),
        (&*id(3), "exhausted", 1)
    );
    // What is owed is claimed in its order, with what was charged; the retry waits for its time.
    let now_ms = T0 + HOUR / 2;
    let owed = desk.all(key(0), now_ms).await;
    assert_eq!(
        owed.iter().map(|owed| owed.event.id.as_str()).collect::<Vec<_>>(),
        [&*id(4), "odd-5"]
    );
    let heads = desk.claim(key(1), now_ms, 10, Ordering::Session).await;
    let heads: Vec<_> = heads.iter().map(|owed| owed.event.id.as_str().to_owned()).collect();
    assert_eq!(heads, [id(1), id(2), id(3), "odd-5".to_owned()]);
    let later = desk.all(key(0), T0 + 2 * HOUR).await;
    assert_eq!(
        (later.len(), later[0].event.id.as_str(), later[0].attempts),
        (1, &*id(2), 1)
    );
    // The key still tells a repeat, and new work goes on behind the old.
    let repeat = keyed(event("message.received"), "github", "delivery-1", T0 + 2 * HOUR);
    let appended = store.append(append(vec![repeat], now_ms)).await.unwrap();
    assert_eq!((&*appended[0].id, appended[0].duplicate), (&*id(1), true));
    desk.append(numbered(6, event("a.b")), now_ms).await;
    assert_eq!(desk.owed(key(0)).await, 4);
    let replay = Replay {
        failed: true,
        now_ms,
        ..Replay::default()
    };
    assert_eq!(store.replay(replay).await.unwrap(), 1);
    assert_eq!(desk.owed(key(0)).await, 5);
}

#[tokio::test]
async fn a_kept_store_of_each_format_opens_and_has_everything() {
    for format in 1..=schema::FORMAT.number() {
        let file = kept(format);
        if std::env::var_os("WRITE_STORES").is_some() && format == schema::FORMAT.number() && !file.exists() {
            let beds = tempfile::tempdir().unwrap();
            let desk = open(beds.path(), T0 + MINUTE);
            fill(&desk).await;
            desk.store.close().await;
            let whole = open(beds.path(), T0 + MINUTE);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            whole.store.backup(&file).await.unwrap();
        }
        let bed = tempfile::tempdir().unwrap();
        let copied = std::fs::copy(&file, bed.path().join(schema::FILE));
        copied.unwrap_or_else(|error| panic!("{}: {error}: see kept.rs", file.display()));
        let desk = open(bed.path(), T0 + HOUR / 2);
        holds(&desk).await;
        desk.store.close().await;
        let checked = check(bed.path()).unwrap().unwrap();
        assert_eq!((checked.format, checked.events), (schema::FORMAT.number(), 6));
        assert!(checked.problems.is_empty(), "format {format}: {:?}", checked.problems);

        // Of the first two only the second is owed still: what stays is written again.
        let desk = open(bed.path(), T0 + HOUR);
        let senders = desk.store.senders().await.unwrap();
        for sender in &senders[1..] {
            if sender.removed_ms.is_none() {
                desk.change(remove(sender.name.as_str()), T0 + HOUR).await;
            }
            desk.store.close_sender(sender.key).await.unwrap();
        }
        let retention = Retention {
            settled_ms: HOUR,
            dead_ms: HOUR,
            max_bytes: 0,
        };
        assert_eq!(desk.store.retain(retention, T0 + 9 * HOUR).await.unwrap().events, 1);
        let owed = desk.all(senders[0].key, T0 + 9 * HOUR).await;
        assert!(owed.iter().any(|owed| owed.event.id.as_str() == id(2)), "{owed:?}");
        desk.store.close().await;
        let checked = check(bed.path()).unwrap().unwrap();
        assert_eq!((checked.events, checked.problems), (5, Vec::new()), "format {format}");
    }
}
