//! One suite for every engine, written against `dyn Store` and a way to open it again.
//!
//! An engine gives a [`Bed`] and calls [`conformance!`]: each case becomes a test of its own.

mod accepting;
mod cleaning;
mod delivering;
mod generations;
mod reading;
mod replaying;

pub(crate) use accepting::*;
pub(crate) use cleaning::*;
pub(crate) use delivering::*;
pub(crate) use generations::*;
pub(crate) use reading::*;
pub(crate) use replaying::*;

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{
    Append, Appended, Attempt, Claim, Commit, DeadReason, DedupeKey, EventQuery, NewEvent, Outcome, Owed, Page,
    RawRequest, SenderChange, SenderKey, Seq, Settlement, Store, Subscription,
};
use crate::clock::{ManualClock, from_ms};
use crate::event::{Data, Event, EventId, EventName, EventPattern, Name, Ordering};

/// The time at which every case begins: a whole quarter of an hour.
pub(crate) const T0: i64 = 1_800_000_000_000;
pub(crate) const MINUTE: i64 = 60_000;
pub(crate) const HOUR: i64 = 60 * MINUTE;

/// Where a store lives: its data outlive each opening.
#[async_trait]
pub(crate) trait Bed: Send + Sync {
    /// Opens the store; the one that was open before has been dropped. `max_bytes` 0: no bound.
    async fn open(&self, clock: Arc<ManualClock>, max_bytes: u64) -> Arc<dyn Store>;
    /// Opens a backup that was written to `to`.
    async fn open_backup(&self, to: &std::path::Path) -> Arc<dyn Store>;
}

/// Makes a test of each case. `$bed` is an expression that gives a new, empty [`Bed`].
macro_rules! conformance {
    ($bed:expr) => {
        conformance!(@ $bed;
            an_event_that_matches_nobody_is_stored
            each_sender_that_is_subscribed_is_owed_the_event
            a_sender_of_requests_gets_each_once_and_no_test
            an_append_to_one_sender_is_owed_to_it_alone
            a_repeat_gets_the_first_events_id_and_makes_nothing
            an_expired_key_is_forgotten
            a_key_that_comes_twice_in_one_append_is_one_event
            keys_of_two_routes_are_apart
            of_concurrent_twins_exactly_one_makes_an_event
            an_event_comes_back_as_it_was
            an_append_that_fails_leaves_nothing_and_harms_nobody
            a_full_store_refuses_appends_and_lets_deliveries_go_on
            the_sender_that_an_event_is_about_is_owed_nothing_of_it
            new_work_wakes_its_senders_once
            appends_follow_the_commit_before_them
            the_oldest_due_is_claimed_first
            a_claim_ends_with_its_bytes_and_another_goes_on
            what_is_claimed_is_in_one_pair_of_hands
            claims_die_with_the_process
            a_retry_is_charged_and_waits_for_its_time
            a_clock_that_was_set_back_brings_forward_what_is_put_off
            fifo_never_overtakes
            session_never_overtakes_within_a_session
            a_long_lane_does_not_hide_the_others
            next_due_is_that_of_the_unclaimed
            a_given_up_delivery_is_a_dead_letter
            a_late_settlement_of_a_closed_sender_is_harmless
            random_work_agrees_with_a_simple_model
            generations_count_up_and_a_stale_base_is_refused
            a_stale_commit_changes_no_sender
            the_last_hundred_generations_are_kept
            a_sender_survives_update_rename_and_reopening
            a_removed_sender_gets_nothing_new_and_keeps_what_it_is_owed
            a_name_that_comes_back_within_the_hour_goes_on_where_it_was
            a_name_that_comes_back_later_is_another_sender
            a_suspension_survives_until_it_is_lifted
            the_fingerprint_key_stays
            dead_letters_are_replayed_and_go_when_delivered
            what_a_template_failed_on_is_owed_anew_when_the_sender_changes
            an_event_that_is_named_is_replayed_past_the_filter
            stored_events_are_replayed_by_time_and_subscription
            one_event_is_replayed_whatever_the_subscription
            replays_keep_the_order_of_lanes
            retention_keeps_what_is_owed_or_dead
            retention_forgets_expired_keys_and_old_dead_letters
            a_key_outlasts_its_event
            seqs_are_never_given_twice
            purging_takes_what_it_was_asked_to
            a_backup_is_whole_while_writing_goes_on
            a_closed_store_has_written_all_and_refuses_more
            logs_are_paged_and_filtered
            notes_are_kept_with_the_attempts
            events_are_listed_newest_first
            a_page_of_large_events_is_short_and_the_next_goes_on
            a_story_tells_each_senders_part
            a_request_comes_back_as_it_was
            figures_of_a_sender
            figures_of_a_route
        );
    };
    (@ $bed:expr; $($case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                let bed = $bed;
                $crate::store::conformance::$case(&bed).await;
            }
        )*
    };
}
pub(crate) use conformance;

/// A store that is open, with short words for what the cases do.
pub(crate) struct Desk {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<ManualClock>,
}

impl Desk {
    pub(crate) async fn open(bed: &dyn Bed) -> Self {
        let clock = Arc::new(ManualClock::at(from_ms(T0)));
        Self {
            store: bed.open(clock.clone(), 0).await,
            clock,
        }
    }

    /// Drops the store without closing it, as a crash does, and opens it again.
    pub(crate) async fn reopen(self, bed: &dyn Bed) -> Self {
        let clock = self.clock.clone();
        drop(self);
        Self {
            store: bed.open(clock.clone(), 0).await,
            clock,
        }
    }

    /// Makes (or updates) a sender for these patterns.
    pub(crate) async fn put(&self, sender: &str, patterns: &[&str]) -> SenderKey {
        self.change(put(sender, None, patterns, None), T0)
            .await
            .expect("a put has a key")
    }

    pub(crate) async fn change(&self, change: SenderChange, now_ms: i64) -> Option<SenderKey> {
        let commit = Commit {
            generation: None,
            senders: vec![change],
            now_ms,
        };
        self.store
            .commit(commit)
            .await
            .unwrap()
            .keys
            .first()
            .map(|(_, key)| *key)
    }

    /// Appends one event and returns its id.
    pub(crate) async fn append(&self, event: Event, now_ms: i64) -> String {
        let appended = self.store.append(append(vec![new(event)], now_ms)).await.unwrap();
        appended[0].id.clone()
    }

    /// Appends so many `message.received`, a millisecond apart from `now_ms` on, and returns their ids.
    pub(crate) async fn messages(&self, count: i64, now_ms: i64) -> Vec<String> {
        let mut ids = Vec::new();
        for at in 0..count {
            ids.push(self.append(event("message.received"), now_ms + at).await);
        }
        ids
    }

    pub(crate) async fn claim(&self, sender: SenderKey, now_ms: i64, limit: usize, ordering: Ordering) -> Vec<Owed> {
        let claim = Claim {
            sender,
            now_ms,
            limit,
            bytes: usize::MAX,
            ordering,
        };
        self.store.claim(claim).await.unwrap()
    }

    /// Claims all that is due, in no order.
    pub(crate) async fn all(&self, sender: SenderKey, now_ms: i64) -> Vec<Owed> {
        self.claim(sender, now_ms, 1024, Ordering::None).await
    }

    pub(crate) async fn settle(&self, owed: &Owed, attempt: Option<Attempt>, outcome: Outcome) {
        let settlement = settlement(owed, attempt, outcome);
        self.store.settle(vec![settlement]).await.unwrap();
    }

    pub(crate) async fn delivered(&self, owed: &Owed, at_ms: i64) {
        self.settle(owed, Some(attempt(owed.attempts + 1, at_ms, None)), Outcome::Delivered)
            .await;
    }

    pub(crate) async fn retry(&self, owed: &Owed, at_ms: i64, due_ms: i64) {
        let attempt = attempt(owed.attempts + 1, at_ms, Some("timeout"));
        self.settle(owed, Some(attempt), Outcome::Retry { due_ms }).await;
    }

    pub(crate) async fn give_up(&self, owed: &Owed, reason: DeadReason) {
        let outcome = Outcome::Dead {
            reason,
            detail: "no answer".into(),
        };
        self.settle(owed, None, outcome).await;
    }

    pub(crate) async fn owed(&self, sender: SenderKey) -> u64 {
        self.store.sender_figures(sender).await.unwrap().owed
    }

    pub(crate) async fn stored(&self) -> usize {
        let (mut count, mut cursor) = (0, None);
        loop {
            let query = EventQuery {
                page: Page { limit: 1000, cursor },
                ..EventQuery::default()
            };
            let listing = self.store.events(query).await.unwrap();
            count += listing.items.len();
            cursor = listing.next;
            if cursor.is_none() {
                return count;
            }
        }
    }
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(crate) fn page(limit: usize) -> Page {
    Page { limit, cursor: None }
}

pub(crate) fn event(name: &str) -> Event {
    Event {
        id: EventId::new(),
        name: EventName::parse(name).unwrap(),
        timestamp: from_ms(T0),
        data: Data::written("{\"n\":1}"),
        source: None,
        session: None,
        traceparent: None,
        test: false,
    }
}

/// Text that takes its room: a store may keep what repeats itself in less.
pub(crate) fn noise(bytes: usize) -> String {
    let mut random = vec![0; bytes / 4 * 3];
    getrandom::fill(&mut random).unwrap();
    STANDARD.encode(random)
}

/// An event with so many bytes of data.
pub(crate) fn event_of(bytes: usize) -> Event {
    let data = format!("\"{}\"", "x".repeat(bytes - 2));
    Event {
        data: Data::written(data),
        ..event("message.received")
    }
}

pub(crate) fn event_from(event_name: &str, source: &str) -> Event {
    Event {
        source: Some(name(source)),
        ..event(event_name)
    }
}

pub(crate) fn event_of_session(session: &str) -> Event {
    Event {
        session: Some(session.into()),
        ..event("message.received")
    }
}

pub(crate) fn new(event: Event) -> NewEvent {
    NewEvent { event, key: None }
}

pub(crate) fn keyed(event: Event, scope: &str, key: &str, expires_ms: i64) -> NewEvent {
    let key = DedupeKey {
        scope: scope.into(),
        key: key.into(),
        expires_ms,
    };
    NewEvent { event, key: Some(key) }
}

pub(crate) fn append(events: Vec<NewEvent>, now_ms: i64) -> Append {
    Append {
        request: None,
        events,
        to: None,
        now_ms,
    }
}

pub(crate) fn headers(pairs: &[(&'static str, &[u8])]) -> http::HeaderMap {
    let pairs = pairs.iter().map(|(name, value)| {
        let value = http::HeaderValue::from_bytes(value).unwrap();
        (http::HeaderName::from_static(name), value)
    });
    pairs.collect()
}

pub(crate) fn request(route: &str) -> RawRequest {
    RawRequest {
        route: name(route),
        method: http::Method::POST,
        target: format!("/webhook/{route}?a=b"),
        headers: headers(&[("x-odd", b"\xff:value")]),
        body: bytes::Bytes::from_static(b"{\"hello\":1}"),
        verified: true,
    }
}

pub(crate) fn put(sender: &str, previous: Option<&str>, patterns: &[&str], from: Option<&[&str]>) -> SenderChange {
    SenderChange::Put {
        name: name(sender),
        previous: previous.map(name),
        subscription: Subscription {
            events: patterns.iter().map(|p| EventPattern::parse(p).unwrap()).collect(),
            from: from.map(|names| names.iter().map(|n| name(n)).collect()),
            per_request: false,
        },
        changed: false,
    }
}

/// The same sender with other settings.
pub(crate) fn changed(sender: &str, patterns: &[&str]) -> SenderChange {
    let mut change = put(sender, None, patterns, None);
    if let SenderChange::Put { changed, .. } = &mut change {
        *changed = true;
    }
    change
}

pub(crate) fn remove(sender: &str) -> SenderChange {
    SenderChange::Remove { name: name(sender) }
}

pub(crate) fn attempt(number: u32, started_ms: i64, error: Option<&'static str>) -> Attempt {
    Attempt {
        number,
        of: 4,
        started_ms,
        latency_us: 1500,
        status: Some(if error.is_some() { 503 } else { 200 }),
        error,
        detail: error.map(|_| "the endpoint was slow".into()),
        response: Some("ok".into()),
        next_ms: None,
    }
}

pub(crate) fn settlement(owed: &Owed, attempt: Option<Attempt>, outcome: Outcome) -> Settlement {
    Settlement {
        sender: owed.sender,
        seq: owed.seq,
        attempt,
        outcome,
    }
}

pub(crate) fn ids(owed: &[Owed]) -> Vec<&str> {
    owed.iter().map(|owed| owed.event.id.as_str()).collect()
}

pub(crate) fn seqs(owed: &[Owed]) -> Vec<Seq> {
    owed.iter().map(|owed| owed.seq).collect()
}

pub(crate) fn duplicates(appended: &[Appended]) -> Vec<bool> {
    appended.iter().map(|appended| appended.duplicate).collect()
}
