//! When again, how often, and when no more.

use std::time::Duration;

use super::*;
use crate::harness::{Behaviour, eventually};

const SECOND: i64 = 1000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;

/// A gateway whose endpoint refuses.
fn refused(fields: &str) -> (Receiver, Gateway) {
    let receiver = Receiver::start();
    receiver.behave(Behaviour::Answer(500));
    let gateway = start(&receiver, &failing(fields));
    (receiver, gateway)
}

/// The log's last attempt, the `n`-th of all.
fn last(gateway: &Gateway, n: usize) -> Value {
    let mut attempts = gateway.attempts("out", n);
    assert_eq!(attempts.len(), n);
    attempts.pop().unwrap()
}

pub(super) fn changed_retries_bound_the_attempts() {
    let (receiver, gateway) = refused("retries: 0, retryDelay: 10");
    publish(&gateway, 1);
    gateway.dead(1);
    assert_eq!(receiver.count(), 1);
    change(&gateway, &receiver, &failing("retries: 2, retryDelay: 10"));
    publish(&gateway, 2);
    let dead = gateway.dead(2);
    assert_eq!((&dead[0]["reason"], receiver.count()), (&json!("exhausted"), 1 + 3));
}

pub(super) fn a_changed_retry_delay_is_waited() {
    let (receiver, gateway) = refused("retryDelay: 1h");
    publish(&gateway, 1);
    assert!(is_about(delay_ms(&last(&gateway, 1)), HOUR));
    change(&gateway, &receiver, &failing("retryDelay: 30m"));
    publish(&gateway, 2);
    assert!(is_about(delay_ms(&last(&gateway, 2)), 30 * MINUTE));
}

pub(super) fn a_changed_backoff_spaces_the_attempts() {
    let (receiver, gateway) = refused("retryDelay: 1s, backoff: exponential, retries: 2");
    let second = |event: &str| {
        eventually("the second attempt is logged", || {
            let attempts = gateway.attempts("out", 1);
            let mut attempts = attempts.iter();
            attempts
                .find(|a| a["eventId"] == event && a["attempt"] == 2)
                .map(delay_ms)
        })
    };
    assert!(is_about(second(&publish(&gateway, 1)), 2 * SECOND));
    change(
        &gateway,
        &receiver,
        &failing("retryDelay: 1s, backoff: fixed, retries: 2"),
    );
    let fixed = second(&publish(&gateway, 2));
    assert!((SECOND - 50..2 * SECOND - 50).contains(&fixed), "{fixed}");
}

pub(super) fn a_changed_longest_delay_caps_delays() {
    let (receiver, gateway) = refused("retryDelay: 6h, maxRetryDelay: 2h");
    publish(&gateway, 1);
    assert!(is_about(delay_ms(&last(&gateway, 1)), 2 * HOUR));
    change(&gateway, &receiver, &failing("retryDelay: 6h, maxRetryDelay: 5m"));
    publish(&gateway, 2);
    assert!(is_about(delay_ms(&last(&gateway, 2)), 5 * MINUTE));
    // Retry-After is capped by the same.
    receiver.behave(Behaviour::AnswerWith(429, "retry-after", "86400"));
    change(&gateway, &receiver, &failing("retryDelay: 1, maxRetryDelay: 7m"));
    publish(&gateway, 3);
    assert!(is_about(delay_ms(&last(&gateway, 3)), 7 * MINUTE));
}

pub(super) fn a_changed_schedule_is_followed() {
    let (receiver, gateway) = refused("retrySchedule: [1h]");
    publish(&gateway, 1);
    let first = last(&gateway, 1);
    assert!(is_about(delay_ms(&first), HOUR));
    assert_eq!(first["of"], 2);
    change(&gateway, &receiver, &failing("retrySchedule: [1, 3h, 4h]"));
    publish(&gateway, 2);
    let third = last(&gateway, 3);
    assert!(is_about(delay_ms(&third), 3 * HOUR), "{third}");
    assert_eq!((&third["attempt"], &third["of"]), (&json!(2), &json!(4)));
}

pub(super) fn a_changed_jitter_varies_the_delays() {
    let receiver = Receiver::start();
    receiver.behave(Behaviour::Answer(500));
    let fields =
        |jitter: &str| format!("events: [message.sent], circuitBreaker: false, retryDelay: 1h, jitter: {jitter}");
    let gateway = start(&receiver, &fields("0"));
    for n in 0..5 {
        publish(&gateway, n);
    }
    let delays =
        |from: usize, to: usize| -> Vec<i64> { gateway.attempts("out", to)[from..].iter().map(delay_ms).collect() };
    assert!(delays(0, 5).iter().all(|delay| is_about(*delay, HOUR)));
    change(&gateway, &receiver, &fields("0.5"));
    for n in 5..25 {
        publish(&gateway, n);
    }
    let varied = delays(5, 25);
    assert!(
        varied
            .iter()
            .all(|d| (30 * MINUTE - SECOND..90 * MINUTE + 2 * SECOND).contains(d))
    );
    let spread = varied.iter().max().unwrap() - varied.iter().min().unwrap();
    assert!(spread > 10 * MINUTE, "{varied:?}");
}

pub(super) fn a_changed_timeout_bounds_the_next_attempt() {
    let receiver = Receiver::start();
    receiver.behave(Behaviour::Delay(Duration::from_millis(150), 200));
    let fields = |timeout: &str| {
        failing(&format!(
            "retries: 100, retryDelay: 20, backoff: fixed, timeout: {timeout}"
        ))
    };
    let gateway = start(&receiver, &fields("20ms"));
    publish(&gateway, 1);
    assert_eq!(gateway.attempts("out", 1)[0]["error"], "timeout");
    change(&gateway, &receiver, &fields("30s"));
    eventually("it is delivered", || {
        (gateway.status()["totals"]["owed"] == 0).then_some(())
    });
    let attempts = gateway.attempts("out", 2);
    let last = attempts.last().unwrap();
    assert!(
        last["error"].is_null() && last["latencyMs"].as_f64().unwrap() >= 150.0,
        "{last}"
    );
}

pub(super) fn changed_status_codes_are_retried() {
    let receiver = Receiver::start();
    receiver.behave(Behaviour::Answer(418));
    let gateway = start(&receiver, &failing("retries: 1, retryDelay: 10"));
    publish(&gateway, 1);
    assert_eq!(gateway.dead(1)[0]["reason"], "status");
    change(
        &gateway,
        &receiver,
        &failing("retries: 1, retryDelay: 10, retryStatusCodes: [5xx, 418]"),
    );
    publish(&gateway, 2);
    assert_eq!(gateway.dead(2)[0]["reason"], "exhausted");
    assert_eq!(receiver.count(), 1 + 2);
}

pub(super) fn a_changed_age_ends_what_is_older() {
    let (receiver, gateway) = refused("retries: 100, retryDelay: 50, backoff: fixed");
    publish(&gateway, 1);
    receiver.wait_for(2);
    change(
        &gateway,
        &receiver,
        &failing("retries: 100, retryDelay: 50, backoff: fixed, maxAge: 1s"),
    );
    assert_eq!(gateway.dead(1)[0]["reason"], "expired");
}

pub(super) fn a_changed_breaker_opens_and_probes_as_it_says_now() {
    let receiver = Receiver::start();
    receiver.behave(Behaviour::Answer(500));
    let fields = |breaker: &str| {
        plain(&format!(
            "retries: 100, retryDelay: 1, backoff: fixed, circuitBreaker: {breaker}"
        ))
    };
    let gateway = start(&receiver, &fields("{ failures: 2, cooldown: 1h }"));
    let opens = |n: usize| {
        eventually("the breaker is open", || {
            (gateway.json("/v1/webhooks/outbound/out")["live"]["breaker"] == "open").then_some(())
        });
        gateway.attempts("out", n);
        assert_eq!(receiver.count(), n);
    };
    publish(&gateway, 1);
    opens(2);
    // It is open for an hour; with another cooldown that one holds.
    receiver.behave(Behaviour::Answer(200));
    change(&gateway, &receiver, &fields("{ failures: 4, cooldown: 20ms }"));
    receiver.wait_for(3);
    eventually("it is closed", || {
        (gateway.json("/v1/webhooks/outbound/out")["live"]["breaker"] == "closed").then_some(())
    });
    receiver.behave(Behaviour::Answer(500));
    change(&gateway, &receiver, &fields("{ failures: 4, cooldown: 1h }"));
    publish(&gateway, 2);
    opens(3 + 4);
    change(&gateway, &receiver, &fields("false"));
    receiver.wait_for(7 + 10);
    assert_eq!(gateway.json("/v1/webhooks/outbound/out")["live"]["breaker"], "closed");
}
