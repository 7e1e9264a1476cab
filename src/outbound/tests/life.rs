//! The life of a sender: updates, deletion, degradation, shutdown.

use std::sync::atomic::Ordering::SeqCst;

use http::Response;
use http_body_util::Full;

use super::*;
use crate::outbound::sender::IN_HAND_BYTES;
use crate::outbound::{SenderError, SenderState};
use crate::store::Outcome;

#[tokio::test]
async fn an_update_takes_effect_for_the_next_attempt_and_keeps_everything_else() {
    let old = Receiver::status(|_| 500).await;
    let new = Receiver::status(|_| 200).await;
    let gateway = Gateway::with(&old, |_| {});
    gateway.owe(KEY, event(1));
    gateway.settled(1).await;
    gateway.put(KEY, &new.url(), |_| {});
    a_while().await;
    assert_eq!(new.count(), 0, "the retry's time stays");
    gateway.in_ms(5000);
    gateway.settled(2).await;
    assert_eq!(new.got()[0].header("x-openclaw-attempt"), "2");
    let status = gateway.dispatcher.status_of(KEY).unwrap();
    assert_eq!((status.attempts, status.failed), (2, 1));
    assert_eq!((old.count(), new.count()), (1, 1));
}

#[tokio::test]
async fn a_clock_that_is_set_back_leaves_a_retry_the_time_that_it_had_left() {
    let receiver = Receiver::status(|n| if n == 0 { 500 } else { 200 }).await;
    let gateway = Gateway::with(&receiver, |_| {});
    gateway.owe(KEY, event(1));
    gateway.settled(1).await;
    gateway.in_ms(1000);
    a_while().await;
    gateway.in_ms(-7_200_000);
    a_while().await;
    assert_eq!(receiver.count(), 1, "it is not due yet");
    gateway.in_ms(4000);
    gateway.settled(2).await;
    assert_eq!(receiver.count(), 2);
}

#[tokio::test]
async fn a_deleted_sender_delivers_its_backlog_and_is_closed_as_soon_as_it_owes_nothing() {
    let receiver = Receiver::status(|n| if n == 0 { 500 } else { 200 }).await;
    let gateway = Gateway::with(&receiver, |_| {});
    gateway.owe(KEY, event(1));
    gateway.settled(1).await;
    gateway.remove(KEY, OnDelete::Drain, Duration::from_secs(30));
    assert_eq!(gateway.dispatcher.status_of(KEY).unwrap().state, SenderState::Draining);
    a_while().await;
    assert!(gateway.store.closed.lock().unwrap().is_empty());
    gateway.in_ms(5000);
    gateway.settled(2).await;
    until("the end", || gateway.dispatcher.status_of(KEY).is_none()).await;
    assert_eq!(*gateway.store.closed.lock().unwrap(), [KEY]);
    assert!(gateway.dispatcher.status(&settings("http://x/").name).is_none());
    let sums = gateway.dispatcher.figures();
    assert_eq!(
        (sums.attempts, sums.delivered, sums.failed),
        (2, 1, 1),
        "what it counted stays counted"
    );
}

#[tokio::test]
async fn what_is_not_delivered_within_the_drain_timeout_is_closed() {
    let receiver = Receiver::status(|_| 500).await;
    let gateway = Gateway::with(&receiver, |s| {
        s.schedule = crate::document::settings::Schedule::List(vec![Duration::from_hours(1)]);
    });
    gateway.owe(KEY, event(1));
    gateway.settled(1).await;
    gateway.remove(KEY, OnDelete::Drain, Duration::from_secs(30));
    gateway.in_ms(29_999);
    a_while().await;
    assert!(gateway.store.closed.lock().unwrap().is_empty());
    gateway.in_ms(1);
    until("the end", || !gateway.store.closed.lock().unwrap().is_empty()).await;
    assert_eq!(gateway.store.rows().len(), 0);
}

#[tokio::test]
async fn a_discarded_sender_is_closed_at_once_even_if_the_store_fails_first() {
    let receiver = Receiver::status(|_| 200).await;
    let gateway = Gateway::with(&receiver, |s| s.paused = true);
    gateway.owe(KEY, event(1));
    a_while().await;
    gateway.store.broken.store(true, SeqCst);
    gateway.remove(KEY, OnDelete::Discard, Duration::ZERO);
    a_while().await;
    gateway.store.broken.store(false, SeqCst);
    until("the end", || gateway.dispatcher.status_of(KEY).is_none()).await;
    assert_eq!((receiver.count(), gateway.store.rows().len()), (0, 0));
    // Deleted before a restart: known to the store alone.
    gateway.remove(SenderKey(99), OnDelete::Discard, Duration::ZERO);
    until("the other's end", || {
        gateway.store.closed.lock().unwrap().contains(&SenderKey(99))
    })
    .await;
}

#[tokio::test]
async fn a_paused_sender_that_is_deleted_waits_for_its_drain_timeout() {
    let receiver = Receiver::status(|_| 200).await;
    let gateway = Gateway::with(&receiver, |s| s.paused = true);
    gateway.owe(KEY, event(1));
    gateway.remove(KEY, OnDelete::Drain, Duration::from_secs(30));
    a_while().await;
    assert!(gateway.store.closed.lock().unwrap().is_empty());
    gateway.in_ms(30_000);
    until("the end", || !gateway.store.closed.lock().unwrap().is_empty()).await;
    assert_eq!(receiver.count(), 0);
}

#[tokio::test]
async fn a_name_that_comes_back_while_it_drains_goes_on_where_it_was() {
    let receiver = Receiver::status(|n| if n == 0 { 500 } else { 200 }).await;
    let gateway = Gateway::with(&receiver, |_| {});
    gateway.owe(KEY, event(1));
    gateway.settled(1).await;
    gateway.remove(KEY, OnDelete::Drain, Duration::from_secs(3));
    a_while().await;
    gateway.put(KEY, &receiver.url(), |_| {});
    gateway.in_ms(5000);
    gateway.settled(2).await;
    assert_eq!(gateway.store.outcomes()[1], Outcome::Delivered);
    assert!(gateway.store.closed.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_degraded_sender_keeps_its_backlog_until_it_can_be_prepared() {
    let receiver = Receiver::status(|_| 200).await;
    let gateway = Gateway::new();
    let name = settings("http://x/").name;
    let reason = "secret: `LOGGER_SECRET` is not set".to_owned();
    gateway.dispatcher.commit(vec![SenderChange::Degraded {
        key: KEY,
        name: name.clone(),
        reason: reason.clone(),
        suspended: None,
    }]);
    gateway.owe(KEY, event(1));
    a_while().await;
    assert_eq!(
        gateway.dispatcher.status(&name).unwrap().state,
        SenderState::Degraded(reason)
    );
    assert!(gateway.dispatcher.test(KEY).await.is_none());
    gateway.put(KEY, &receiver.url(), |_| {});
    gateway.settled(1).await;
}

#[tokio::test]
async fn a_wake_before_the_sender_is_put_is_not_lost() {
    let receiver = Receiver::status(|_| 200).await;
    let gateway = Gateway::new();
    gateway.owe(KEY, event(1));
    gateway.put(KEY, &receiver.url(), |_| {});
    gateway.settled(1).await;
}

#[tokio::test]
async fn a_renamed_sender_is_found_by_its_new_name_alone() {
    let receiver = Receiver::status(|_| 200).await;
    let gateway = Gateway::with(&receiver, |_| {});
    let new = crate::event::Name::parse("renamed").unwrap();
    gateway.put(KEY, &receiver.url(), |s| s.name = new.clone());
    assert!(gateway.dispatcher.status(&new).is_some());
    assert!(gateway.dispatcher.status(&settings("http://x/").name).is_none());
}

#[tokio::test]
async fn a_literal_that_egress_refuses_is_an_error_of_prepare() {
    let gateway = Gateway::new();
    let nothing = Egress {
        allow_networks: Vec::new(),
        ..this_machine()
    };
    let error = gateway
        .dispatcher
        .prepare(settings("http://127.0.0.1:1/"), &nothing)
        .unwrap_err();
    assert!(
        matches!(error, SenderError::Egress(_)) && error.to_string().contains("`webhooks.egress.allow`"),
        "{error}"
    );
}

#[tokio::test]
async fn a_test_is_signed_sent_once_and_not_counted() {
    let receiver = Receiver::status(|_| 503).await;
    let gateway = Gateway::with(&receiver, |s| s.secrets = vec![crate::secret::Secret::new("k")]);
    let attempt = gateway.dispatcher.test(KEY).await.unwrap();
    assert_eq!(
        (attempt.status, attempt.error, attempt.of),
        (Some(503), Some("status"), 1)
    );
    let got = receiver.got();
    assert_eq!((got.len(), got[0].header("x-openclaw-event")), (1, "webhook.test"));
    assert!(got[0].header("x-openclaw-signature").starts_with("sha256="));
    assert!(serde_json::from_slice::<serde_json::Value>(&got[0].body).is_ok());
    assert_eq!(gateway.dispatcher.status_of(KEY).unwrap().attempts, 0);
    assert!(gateway.store.settled().is_empty());
}

#[tokio::test]
async fn a_shutdown_waits_for_attempts_in_flight_and_records_them() {
    let receiver = Receiver::http(|_, _| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            http::Response::new(http_body_util::Full::default())
        })
    })
    .await;
    let gateway = Gateway::with(&receiver, |_| {});
    gateway.owe(KEY, event(1));
    until("the request", || receiver.count() == 1).await;
    gateway.owe(KEY, event(2));
    gateway.dispatcher.shutdown(Duration::from_secs(10)).await;
    assert_eq!(gateway.store.outcomes(), [Outcome::Delivered]);
    assert_eq!(
        (receiver.count(), gateway.store.rows().len()),
        (1, 1),
        "nothing new begins"
    );
    gateway.owe(KEY, event(3));
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn a_shutdown_that_takes_too_long_cuts_what_hangs() {
    let receiver = Receiver::hanging().await;
    let gateway = Gateway::with(&receiver, |_| {});
    gateway.owe(KEY, event(1));
    until("the request", || receiver.count() == 1).await;
    gateway.dispatcher.shutdown(Duration::from_millis(50)).await;
    assert_eq!(
        gateway.store.rows().values().next().unwrap().attempts,
        0,
        "still owed, not charged"
    );
    assert_eq!(gateway.dispatcher.in_flight(), 0);
}

#[tokio::test]
async fn an_idle_sender_has_no_task_and_is_small() {
    let receiver = Receiver::status(|n| if n == 0 { 500 } else { 200 }).await;
    let gateway = Gateway::with(&receiver, |_| {});
    gateway.owe(KEY, event(1));
    gateway.settled(1).await;
    // Its retry is an entry of the timer; the one task left is the timer's.
    until("an end of its task", || gateway.dispatcher.tasks() == 1).await;
    assert!(
        size_of::<super::super::slot::Slot>() <= 512,
        "{}",
        size_of::<super::super::slot::Slot>()
    );
    gateway.in_ms(5000);
    gateway.settled(2).await;
}

#[tokio::test]
async fn large_events_bound_what_a_sender_has_in_hand_by_their_bytes() {
    // It answers until the sender may have many attempts in flight, and then no more.
    let receiver = Receiver::http(|n, _| {
        Box::pin(async move {
            if n >= 30 {
                std::future::pending::<()>().await;
            }
            Response::new(Full::default())
        })
    })
    .await;
    let gateway = Gateway::with(&receiver, |s| s.concurrency = 64);
    for n in 0..30 {
        gateway.owe(KEY, event(n));
    }
    gateway.settled(30).await;
    let data = format!("\"{}\"", "x".repeat(IN_HAND_BYTES / 4));
    for n in 30..50 {
        let data = Data::written(data.clone());
        gateway.store.owe(KEY, Event { data, ..event(n) }, START_MS);
    }
    gateway.store.most_claimed.store(0, SeqCst);
    gateway.store.tell(KEY);
    let most = || gateway.store.most_claimed.load(SeqCst);
    until("four are claimed", || most() >= 4).await;
    a_while().await;
    assert_eq!(most(), 4);
}
