//! A store with a long log, written through the store's own door: events of some days, and what came of them at 98 senders.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join_all;
use http::header::{CONTENT_TYPE, HeaderValue};
use openclaw::clock::{Clock as _, ManualClock, SystemClock, from_ms};
use openclaw::event::{Data, Event, EventId, EventName, Name, Ordering};
use openclaw::store::{
    Append, Attempt, Claim, DeadReason, EventQuery, LogQuery, NewEvent, Outcome, Owed, Page, RawRequest, SenderKey,
    Seq, Settlement, Store, sqlite,
};

use super::SECRET;
use super::load::{BODIES, body};

/// Each event has a kind. It goes to the senders of its kind, and to those of all kinds.
const KINDS: usize = 12;
const OF_A_KIND: usize = 8;
const OF_ALL: [&str; 2] = ["busy", "rarely"];
/// The events, and with them the attempts, are spread over so long.
const SPAN_MS: i64 = 6 * 24 * 60 * 60 * 1000;
/// Events appended at a time: with what is to be tried again no more than one claim takes.
const CHUNK: u64 = 900;

/// Each sender's name, and the events that it gets.
fn senders() -> impl Iterator<Item = (String, String)> {
    let of_a_kind = (0..KINDS * OF_A_KIND).map(|n| {
        let name = match n {
            0 => "always".to_owned(),
            KINDS => "never".to_owned(),
            _ => format!("other-{n}"),
        };
        (name, kind(n % KINDS))
    });
    OF_ALL
        .map(|name| (name.to_owned(), "bench.*".to_owned()))
        .into_iter()
        .chain(of_a_kind)
}

fn kind(number: usize) -> String {
    format!("bench.kind-{number}")
}

pub(super) fn document() -> String {
    let mut text = format!(
        "webhooks:\n  server: {{ listen: \"127.0.0.1:0\" }}\n  admin: {{ listen: \"unix:./admin.sock\" }}\n  \
         store: {{ retention: 30d }}\n  egress: {{ allow: [127.0.0.0/8] }}\n  \
         inbound:\n    github: {{ secret: {SECRET} }}\n  outbound:\n"
    );
    for (name, events) in senders() {
        writeln!(
            text,
            "    {name}: {{ url: \"http://127.0.0.1:9/\", events: [{events}], secret: {SECRET} }}"
        )
        .expect("memory");
    }
    text
}

/// Whether a sender's first attempt of the event at `seq` fails.
fn fails(sender: &Name, seq: Seq) -> bool {
    match sender.as_str() {
        "busy" => seq.0 % 20 == 0,
        "rarely" => seq.0 <= 10,
        "always" => true,
        "never" => false,
        _ => seq.0 % 97 == 0,
    }
}

/// What an attempt at `now_ms` came to. What failed is tried once more, and by `always` given up.
fn attempted(sender: &Name, owed: &Owed, now_ms: i64) -> Settlement {
    let gives_up = sender.as_str() == "always";
    let failed = owed.attempts == 0 && fails(sender, owed.seq);
    let detail = failed.then(|| "503 Service Unavailable".to_owned());
    let outcome = match &detail {
        None => Outcome::Delivered,
        Some(_) if !gives_up => Outcome::Retry { due_ms: now_ms },
        Some(detail) => Outcome::Dead {
            reason: DeadReason::Exhausted,
            detail: detail.clone(),
        },
    };
    let attempt = Attempt {
        number: owed.attempts + 1,
        of: if gives_up { 1 } else { 10 },
        started_ms: now_ms,
        latency_us: 1000 + owed.seq.0.unsigned_abs() % 100 * 37,
        status: Some(if failed { 503 } else { 200 }),
        error: failed.then_some("status"),
        response: Some(if failed { "try again later" } else { "{\"ok\":true}" }.into()),
        next_ms: (failed && !gives_up).then_some(now_ms),
        detail,
    };
    Settlement {
        sender: owed.sender,
        seq: owed.seq,
        attempt: Some(attempt),
        outcome,
    }
}

/// One request and its event.
fn request(number: u64, now_ms: i64, body: &bytes::Bytes) -> Append {
    // An id of that time, as the gateway would have made it.
    let mut random = [0; 10];
    random[2..].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    let id = uuid::Builder::from_unix_timestamp_millis(now_ms.unsigned_abs(), &random).into_uuid();
    let route = Name::parse("github").expect("a name");
    let place = usize::try_from(number).expect("it fits in memory") % KINDS;
    let event = Event {
        id: EventId::from_stored(&format!("evt_{}", id.simple())),
        name: EventName::parse(&kind(place)).expect("a name"),
        timestamp: from_ms(now_ms),
        data: Data::written(String::from_utf8_lossy(body).into_owned()),
        source: Some(route.clone()),
        session: None,
        traceparent: None,
        test: false,
    };
    Append {
        request: Some(RawRequest {
            route,
            method: http::Method::POST,
            target: "/webhook/github".into(),
            headers: [(CONTENT_TYPE, HeaderValue::from_static("application/json"))]
                .into_iter()
                .collect(),
            body: body.clone(),
            verified: true,
        }),
        events: vec![NewEvent { event, key: None }],
        to: None,
        now_ms,
    }
}

/// Fills the store of a directory, whose senders are those of [`document`], with so many attempts.
pub(super) async fn fill(directory: &Path, attempts: u64) {
    let begin = Instant::now();
    let end_ms = SystemClock.now_ms();
    // Of an event come at most so many, with those that are tried again.
    let events = attempts / (OF_ALL.len() + OF_A_KIND) as u64;
    let step =
        |number: u64| i64::try_from(number).expect("millions") * SPAN_MS / i64::try_from(events).expect("millions");
    let clock = Arc::new(ManualClock::at(from_ms(end_ms - SPAN_MS)));
    let store = sqlite::open_with_clock(directory, 0, "bench", clock.clone()).expect("the store opens");
    let senders: Vec<(SenderKey, Name)> = store
        .senders()
        .await
        .expect("it has senders")
        .into_iter()
        .map(|row| (row.key, row.name))
        .collect();
    let bodies: Vec<bytes::Bytes> = (0..BODIES).map(|number| body(number).into()).collect();
    let (mut number, mut written) = (0, 0);
    loop {
        let chunk = number..(number + CHUNK).min(events);
        number = chunk.end;
        let appends = chunk.map(|number| {
            let body = &bodies[usize::try_from(number % BODIES).expect("it is small")];
            store.append(request(number, end_ms - SPAN_MS + step(number), body))
        });
        for appended in join_all(appends).await {
            appended.expect("it is stored");
        }
        clock.advance_ms(end_ms - SPAN_MS + step(number) - clock.now_ms());
        let now_ms = clock.now_ms();
        let claims = senders.iter().map(|(sender, _)| {
            store.claim(Claim {
                sender: *sender,
                now_ms,
                limit: 1024,
                bytes: usize::MAX,
                ordering: Ordering::None,
            })
        });
        let mut settlements = Vec::new();
        for ((_, name), owed) in senders.iter().zip(join_all(claims).await) {
            settlements.extend(
                owed.expect("it can be claimed")
                    .iter()
                    .map(|owed| attempted(name, owed, now_ms)),
            );
        }
        if settlements.is_empty() {
            break;
        }
        // In the log the senders' attempts come mixed, as their events did.
        settlements.sort_unstable_by_key(|settlement| settlement.seq);
        written += settlements.len();
        store.settle(settlements).await.expect("they are stored");
    }
    store.close().await;
    println!(
        "{written} attempts of {events} events were stored in {:.0} s",
        begin.elapsed().as_secs_f64()
    );
}

/// The ids of the oldest event that failed at `rarely`, and of the newest.
pub(super) async fn ends(directory: &Path) -> (String, String) {
    let store = sqlite::open_readonly(directory)
        .expect("the store opens")
        .expect("it is there");
    let senders = store.senders().await.expect("it has senders");
    let rarely = senders
        .iter()
        .find(|row| row.name.as_str() == "rarely")
        .expect("it is one");
    let failed = LogQuery {
        sender: Some(rarely.key),
        failed: true,
        page: Page {
            limit: 100,
            cursor: None,
        },
        ..LogQuery::default()
    };
    let oldest = store.logs(failed).await.expect("it has a log").items;
    let newest = EventQuery {
        name: Some(kind(0)),
        page: Page { limit: 1, cursor: None },
        ..EventQuery::default()
    };
    let newest = store.events(newest).await.expect("it has events").items;
    let oldest = oldest.last().and_then(|entry| entry.event_id.clone());
    (oldest.expect("some failed"), newest[0].id.clone())
}
