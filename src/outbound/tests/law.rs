//! The laws of section 5: what is retried, charged, parked, given up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::Full;

use super::*;
use crate::document::settings::{Breaker, Rate, Schedule};
use crate::event::Ordering;
use crate::outbound::{BreakerState, Notice, SenderState};
use crate::store::{DeadReason, Outcome};

fn retries(retries: u32) -> Schedule {
    Schedule::Law {
        retries,
        delay: Duration::from_secs(5),
        exponential: false,
    }
}

#[tokio::test]
async fn a_2xx_is_delivered_once_and_logged() {
    let receiver = Receiver::status(|_| 202).await;
    let gateway = Gateway::with(&receiver, |_| {});
    gateway.owe(KEY, event(1));
    gateway.settled(1).await;
    assert_eq!(gateway.store.outcomes(), [Outcome::Delivered]);
    let attempt = &gateway.store.attempts()[0];
    assert_eq!(
        (attempt.number, attempt.of, attempt.status, attempt.error),
        (1, 4, Some(202), None)
    );
    assert_eq!(attempt.response.as_deref(), Some("answer"));
    a_while().await;
    assert_eq!(receiver.count(), 1);
    let status = gateway.dispatcher.status(&settings("http://x/").name).unwrap();
    assert_eq!(
        (status.attempts, status.delivered, status.failed, status.in_flight),
        (1, 1, 0, 0)
    );
}

#[tokio::test]
async fn attempts_never_exceed_retries_plus_one() {
    let receiver = Receiver::status(|_| 500).await;
    let gateway = Gateway::with(&receiver, |s| s.schedule = retries(3));
    let mut notices = gateway.dispatcher.notices().unwrap();
    gateway.owe(KEY, event(1));
    for n in 1..=4 {
        gateway.settled(n).await;
        a_while().await;
        assert_eq!(receiver.count(), n, "none before its time");
        gateway.in_ms(5000);
    }
    a_while().await;
    assert_eq!(receiver.count(), 4);
    let Outcome::Dead { reason, detail } = gateway.store.outcomes().pop().unwrap() else {
        panic!()
    };
    assert_eq!((reason, detail.as_str()), (DeadReason::Exhausted, "HTTP 500"));
    let numbers: Vec<_> = gateway
        .store
        .attempts()
        .iter()
        .map(|a| (a.number, a.of, a.next_ms.is_some()))
        .collect();
    assert_eq!(numbers, [(1, 4, true), (2, 4, true), (3, 4, true), (4, 4, false)]);
    let seen: Vec<_> = receiver
        .got()
        .iter()
        .map(|g| g.header("x-openclaw-attempt").to_owned())
        .collect();
    assert_eq!(seen, ["1", "2", "3", "4"]);
    assert!(matches!(
        notices.try_recv(),
        Ok(Notice::Dead {
            reason: DeadReason::Exhausted,
            ..
        })
    ));
}

#[tokio::test]
async fn a_final_status_makes_a_dead_letter_at_once_and_a_redirect_is_not_followed() {
    for status in [400, 404, 302] {
        let receiver = Receiver::http(move |_, _| {
            let response = Response::builder().status(status).header("location", "/elsewhere");
            Box::pin(std::future::ready(response.body(Full::default()).unwrap()))
        })
        .await;
        let gateway = Gateway::with(&receiver, |_| {});
        gateway.owe(KEY, event(1));
        gateway.settled(1).await;
        assert!(matches!(
            gateway.store.outcomes()[0],
            Outcome::Dead {
                reason: DeadReason::Status,
                ..
            }
        ));
        assert_eq!(receiver.count(), 1);
    }
}

#[tokio::test]
async fn a_lowered_number_of_retries_holds_for_what_is_owed_already() {
    let receiver = Receiver::status(|_| 500).await;
    let gateway = Gateway::with(&receiver, |s| s.schedule = retries(9));
    gateway.owe(KEY, event(1));
    gateway.settled(1).await;
    gateway.in_ms(5000);
    gateway.settled(2).await;
    gateway.put(KEY, &receiver.url(), |s| s.schedule = retries(1));
    gateway.in_ms(5000);
    gateway.settled(3).await;
    assert!(matches!(
        gateway.store.outcomes()[2],
        Outcome::Dead {
            reason: DeadReason::Exhausted,
            ..
        }
    ));
    assert_eq!(receiver.count(), 2);
}

#[tokio::test]
async fn what_is_older_than_max_age_is_given_up_without_an_attempt() {
    let receiver = Receiver::status(|_| 200).await;
    let gateway = Gateway::with(&receiver, |s| s.paused = true);
    gateway.owe(KEY, event(1));
    gateway.in_ms(72 * 3_600_000 + 1);
    gateway.owe(KEY, event(2));
    gateway.put(KEY, &receiver.url(), |_| {});
    gateway.settled(2).await;
    let outcomes = gateway.store.outcomes();
    assert!(outcomes.iter().any(|o| matches!(
        o,
        Outcome::Dead {
            reason: DeadReason::Expired,
            ..
        }
    )));
    assert!(outcomes.contains(&Outcome::Delivered));
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn retry_after_is_a_floor_for_the_whole_sender_capped_by_max_retry_delay() {
    for (header, wait_ms) in [
        ("60", 60_000),
        ("Sun, 15 Mar 2026 10:31:00 GMT", 60_000),
        ("99999", 3_600_000),
    ] {
        let receiver = Receiver::http(move |n, _| {
            let builder = match n {
                0 => Response::builder().status(429).header("retry-after", header),
                _ => Response::builder(),
            };
            Box::pin(std::future::ready(builder.body(Full::default()).unwrap()))
        })
        .await;
        let gateway = Gateway::with(&receiver, |s| s.jitter = 0.2);
        gateway.owe(KEY, event(1));
        gateway.settled(1).await;
        // Another delivery waits as well, and so does the retry whose own delay is shorter.
        gateway.owe(KEY, event(2));
        gateway.in_ms(wait_ms - 1);
        a_while().await;
        assert_eq!(receiver.count(), 1, "{header}");
        let status = gateway.dispatcher.status_of(KEY).unwrap();
        assert_eq!(status.parked_until_ms, Some(START_MS + wait_ms));
        gateway.in_ms(1 + wait_ms / 5);
        gateway.settled(3).await;
        assert_eq!(receiver.count(), 3, "{header}");
        let Outcome::Retry { due_ms } = gateway.store.outcomes()[0] else {
            panic!()
        };
        assert!(
            due_ms >= START_MS + wait_ms && due_ms <= START_MS + wait_ms * 6 / 5,
            "jitter goes upwards"
        );
    }
}

#[tokio::test]
async fn a_410_suspends_the_sender_and_the_delivery_stays_owed() {
    let receiver = Receiver::status(|n| if n == 0 { 410 } else { 200 }).await;
    let gateway = Gateway::with(&receiver, |_| {});
    let mut notices = gateway.dispatcher.notices().unwrap();
    gateway.owe(KEY, event(1));
    gateway.settled(1).await;
    gateway.owe(KEY, event(2));
    until("the suspension in the store", || {
        gateway.store.suspended.lock().unwrap().contains_key(&KEY)
    })
    .await;
    a_while().await;
    assert_eq!(receiver.count(), 1);
    assert_eq!(gateway.store.rows().len(), 2);
    assert!(
        gateway.store.rows().values().all(|row| row.attempts == 0),
        "not charged"
    );
    assert!(matches!(
        gateway.dispatcher.status_of(KEY).unwrap().state,
        SenderState::Suspended(_)
    ));
    assert!(matches!(notices.try_recv(), Ok(Notice::Suspended { .. })));
    assert!(gateway.dispatcher.resume(KEY));
    gateway.settled(3).await;
    assert!(gateway.store.suspended.lock().unwrap().is_empty());
    assert_eq!(gateway.store.rows().len(), 0);
    assert!(!gateway.dispatcher.resume(KEY));
}

#[tokio::test]
async fn a_change_of_the_entry_lifts_a_suspension_and_a_start_keeps_it() {
    let receiver = Receiver::status(|_| 200).await;
    let gateway = Gateway::new();
    let sender = Box::new(gateway.prepare(&receiver.url(), |_| {}));
    let suspended = Some("gone".to_owned());
    gateway.dispatcher.commit(vec![SenderChange::Put {
        key: KEY,
        sender,
        suspended,
        owed: true,
    }]);
    gateway.owe(KEY, event(1));
    a_while().await;
    assert_eq!(receiver.count(), 0);
    gateway.put(KEY, &receiver.url(), |_| {});
    gateway.settled(1).await;
}

#[tokio::test]
async fn an_open_breaker_parks_deliveries_and_sends_one_probe_per_cooldown() {
    let up = Arc::new(AtomicBool::new(false));
    let answer = Arc::clone(&up);
    let receiver = Receiver::status(move |_| if answer.load(SeqCst) { 200 } else { 500 }).await;
    let gateway = Gateway::with(&receiver, |s| {
        s.breaker = Some(Breaker {
            failures: 3,
            cooldown: Duration::from_secs(30),
        });
        s.schedule = Schedule::List(vec![Duration::from_secs(1); 20]);
        s.concurrency = 1;
    });
    let mut notices = gateway.dispatcher.notices().unwrap();
    for n in 0..10 {
        gateway.owe(KEY, event(n));
    }
    gateway.settled(3).await;
    a_while().await;
    assert_eq!(receiver.count(), 3, "open");
    assert!(matches!(notices.try_recv(), Ok(Notice::Failing { .. })));
    let status = gateway.dispatcher.status_of(KEY).unwrap();
    assert_eq!(
        status.breaker,
        BreakerState::Open {
            until_ms: START_MS + 30_000
        }
    );
    assert!(status.failing && status.parked_until_ms.is_some());
    gateway.in_ms(29_999);
    a_while().await;
    assert_eq!(receiver.count(), 3);
    gateway.in_ms(1);
    gateway.settled(4).await;
    a_while().await;
    assert_eq!(receiver.count(), 4, "one probe");
    assert_eq!(
        gateway.store.rows().values().map(|r| r.attempts).sum::<u32>(),
        4,
        "parked ones are not charged"
    );
    up.store(true, SeqCst);
    gateway.in_ms(30_000);
    gateway.settled(14).await;
    assert_eq!(gateway.store.rows().len(), 0);
    assert!(matches!(notices.recv().await, Some(Notice::Recovered { .. })));
    assert_eq!(gateway.dispatcher.status_of(KEY).unwrap().breaker, BreakerState::Closed);
}

#[tokio::test]
async fn a_paused_sender_keeps_its_backlog_and_attempts_nothing() {
    let receiver = Receiver::status(|_| 200).await;
    let gateway = Gateway::with(&receiver, |s| s.paused = true);
    for n in 0..5 {
        gateway.owe(KEY, event(n));
    }
    a_while().await;
    assert_eq!((receiver.count(), gateway.store.rows().len()), (0, 5));
    assert_eq!(gateway.dispatcher.status_of(KEY).unwrap().state, SenderState::Paused);
    gateway.put(KEY, &receiver.url(), |_| {});
    gateway.settled(5).await;
    assert!(
        gateway.store.attempts().iter().all(|a| a.number == 1),
        "a pause is not charged"
    );
}

#[tokio::test]
async fn a_rate_limit_spreads_attempts_without_charging() {
    let receiver = Receiver::status(|_| 200).await;
    let gateway = Gateway::with(&receiver, |s| {
        s.rate_limit = Some(Rate {
            count: 2,
            per: Duration::from_secs(10),
        });
    });
    for n in 0..4 {
        gateway.owe(KEY, event(n));
    }
    for n in 1..=4 {
        gateway.settled(n).await;
        gateway.in_ms(4999);
        a_while().await;
        assert_eq!(receiver.count(), n);
        gateway.in_ms(1);
    }
    assert!(gateway.store.attempts().iter().all(|a| a.number == 1));
}

#[tokio::test]
async fn a_timeout_covers_the_whole_attempt_and_is_retried() {
    let receiver = Receiver::hanging().await;
    let gateway = Gateway::with(&receiver, |s| s.timeout = Duration::from_millis(100));
    gateway.owe(KEY, event(1));
    gateway.settled(1).await;
    let attempt = &gateway.store.attempts()[0];
    assert_eq!((attempt.error, attempt.status), (Some("timeout"), None));
    assert!(attempt.latency_us >= 100_000);
    assert!(matches!(gateway.store.outcomes()[0], Outcome::Retry { .. }));
}

#[tokio::test]
async fn a_2xx_without_the_required_header_is_a_failed_attempt() {
    let receiver = Receiver::http(|n, _| {
        let value = if n == 0 { "memory" } else { "durable" };
        let response = Response::builder().header("X-OpenClaw-Delivery-Accepted", value);
        Box::pin(std::future::ready(response.body(Full::<Bytes>::default()).unwrap()))
    })
    .await;
    let gateway = Gateway::with(&receiver, |s| {
        s.require_header = Some(("x-openclaw-delivery-accepted".into(), Some("durable".into())));
    });
    gateway.owe(KEY, event(1));
    gateway.settled(1).await;
    assert_eq!(gateway.store.attempts()[0].error, Some("header"));
    gateway.in_ms(5000);
    gateway.settled(2).await;
    assert_eq!(gateway.store.outcomes()[1], Outcome::Delivered);
}

#[tokio::test]
async fn fifo_never_overtakes_a_failing_head() {
    let receiver = Receiver::status(|n| if n < 2 { 500 } else { 200 }).await;
    let gateway = Gateway::with(&receiver, |s| s.ordering = Ordering::Fifo);
    for n in 0..5 {
        gateway.owe(KEY, event(n));
    }
    gateway.settled(1).await;
    a_while().await;
    assert_eq!(receiver.count(), 1);
    gateway.in_ms(5000);
    gateway.settled(2).await;
    gateway.in_ms(10_000);
    gateway.settled(7).await;
    let order: Vec<_> = receiver
        .got()
        .iter()
        .map(|g| g.header("webhook-id")[35..].to_owned())
        .collect();
    assert_eq!(order, ["0", "0", "0", "1", "2", "3", "4"]);
}

#[tokio::test]
async fn a_session_waits_for_its_own_head_alone() {
    let receiver = Receiver::status(|n| if n == 0 { 500 } else { 200 }).await;
    let gateway = Gateway::with(&receiver, |s| s.ordering = Ordering::Session);
    for (n, session) in [(0, "a"), (1, "a"), (2, "b"), (3, "b"), (4, "a")] {
        gateway.owe(
            KEY,
            Event {
                session: Some(session.into()),
                ..event(n)
            },
        );
        if n == 0 {
            gateway.settled(1).await;
        }
    }
    gateway.settled(3).await;
    a_while().await;
    assert_eq!(receiver.count(), 3, "a's head blocks a alone");
    gateway.in_ms(5000);
    gateway.settled(6).await;
    let order: Vec<_> = receiver
        .got()
        .iter()
        .map(|g| g.header("webhook-id")[35..].to_owned())
        .collect();
    assert_eq!(order, ["0", "2", "3", "0", "1", "4"]);
}

#[tokio::test]
async fn a_failed_settle_after_a_2xx_does_not_send_again() {
    let answers = Arc::new(AtomicBool::new(false));
    let wait = Arc::clone(&answers);
    let receiver = Receiver::http(move |_, _| {
        let wait = Arc::clone(&wait);
        Box::pin(async move {
            until("the store to be broken", || wait.load(SeqCst)).await;
            Response::new(Full::default())
        })
    })
    .await;
    let gateway = Gateway::with(&receiver, |_| {});
    gateway.owe(KEY, event(1));
    until("the request", || receiver.count() == 1).await;
    gateway.store.broken.store(true, SeqCst);
    answers.store(true, SeqCst);
    until("a failed settle", || gateway.store.settle_calls.load(SeqCst) > 0).await;
    gateway.owe(KEY, event(2));
    a_while().await;
    gateway.in_ms(3_600_000);
    until("more failed settles", || gateway.store.settle_calls.load(SeqCst) > 2).await;
    assert_eq!(receiver.count(), 1);
    gateway.store.broken.store(false, SeqCst);
    gateway.settled(2).await;
    assert_eq!(receiver.count(), 2);
    assert_eq!(gateway.store.outcomes(), [Outcome::Delivered, Outcome::Delivered]);
}

#[tokio::test]
async fn concurrency_bounds_what_is_in_flight_and_what_is_claimed() {
    let now = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (counted, highest) = (Arc::clone(&now), Arc::clone(&most));
    let receiver = Receiver::http(move |_, _| {
        let (counted, highest) = (Arc::clone(&counted), Arc::clone(&highest));
        Box::pin(async move {
            highest.fetch_max(counted.fetch_add(1, SeqCst) + 1, SeqCst);
            tokio::time::sleep(Duration::from_millis(3)).await;
            counted.fetch_sub(1, SeqCst);
            Response::new(Full::default())
        })
    })
    .await;
    let gateway = Gateway::with(&receiver, |s| s.concurrency = 8);
    for n in 0..300 {
        gateway.store.owe(KEY, event(n), START_MS);
    }
    gateway.store.tell(KEY);
    gateway.settled(300).await;
    assert_eq!(most.load(SeqCst), 8);
    assert!(gateway.store.most_claimed.load(SeqCst) <= 16);
    assert!(
        gateway.store.settle_calls.load(SeqCst) < 300,
        "several are settled in one write"
    );
    assert_eq!(receiver.count(), 300);
    assert!(receiver.connections.load(SeqCst) <= 16, "connections are used again");
}

#[tokio::test]
async fn hanging_senders_do_not_slow_a_healthy_one() {
    let hanging = Receiver::hanging().await;
    let healthy = Receiver::status(|_| 200).await;
    let gateway = Gateway::new();
    gateway.dispatcher.set_egress(&Egress {
        max_in_flight: 64,
        max_per_origin: 1000,
        ..this_machine()
    });
    for n in 0..60 {
        let key = SenderKey(1000 + n);
        gateway.put(key, &hanging.url(), |s| s.timeout = Duration::from_secs(30));
        for event_number in 0..20 {
            gateway.store.owe(key, event(event_number), START_MS);
        }
        gateway.store.tell(key);
    }
    until("hanging attempts", || hanging.count() == 60).await;
    gateway.put(KEY, &healthy.url(), |_| {});
    for n in 0..50 {
        gateway.owe(KEY, event(n));
    }
    gateway.settled(50).await;
    assert_eq!(healthy.count(), 50);
    assert_eq!(gateway.dispatcher.in_flight(), 60, "one each");
}
