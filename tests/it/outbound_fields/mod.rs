//! Every field of `outbound`, changed on a running gateway: the next attempt obeys.

mod delivering;
mod living;
mod retrying;
mod securing;

use std::collections::BTreeSet;

use openclaw::document::fields::{self, Kind};
use serde_json::{Value, json};

use crate::harness::{Gateway, Received, Receiver, document};

/// A test for each line, and the fields that it changes.
macro_rules! fields {
    ($($name:ident in $file:ident: $($path:literal),+;)+) => {
        $(#[test] fn $name() { $file::$name(); })+
        const TESTED: &[&str] = &[$($($path),+),+];
    };
}

fields! {
    a_changed_url_gets_what_the_old_one_refused in delivering: "url";
    changed_events_are_those_that_come_next in delivering: "events";
    changed_origins_are_those_that_come_next in delivering: "from";
    a_changed_format_shapes_the_next_body in delivering: "format";
    changed_headers_are_sent in delivering: "headers";
    a_changed_concurrency_bounds_what_is_in_flight in delivering: "concurrency";
    a_changed_rate_limit_lets_the_backlog_through in delivering: "rateLimit";
    a_changed_ordering_holds_for_what_is_owed_next in delivering: "ordering";
    a_changed_secret_signs_and_of_a_list_all_sign in securing: "secret";
    a_changed_bearer_token_is_sent in securing: "auth.bearer";
    changed_basic_credentials_are_sent in securing: "auth.basic.username", "auth.basic.password";
    a_changed_ca_is_trusted_over_http_2 in securing: "tls.ca";
    a_changed_client_certificate_is_shown in securing: "tls.clientCert", "tls.clientKey";
    a_changed_required_header_is_what_a_2xx_must_carry in securing: "requireHeader";
    changed_retries_bound_the_attempts in retrying: "retries";
    a_changed_retry_delay_is_waited in retrying: "retryDelay";
    a_changed_backoff_spaces_the_attempts in retrying: "backoff";
    a_changed_longest_delay_caps_delays in retrying: "maxRetryDelay";
    a_changed_schedule_is_followed in retrying: "retrySchedule";
    a_changed_jitter_varies_the_delays in retrying: "jitter";
    a_changed_timeout_bounds_the_next_attempt in retrying: "timeout";
    changed_status_codes_are_retried in retrying: "retryStatusCodes";
    a_changed_age_ends_what_is_older in retrying: "maxAge";
    a_changed_breaker_opens_and_probes_as_it_says_now in retrying:
        "circuitBreaker", "circuitBreaker.failures", "circuitBreaker.cooldown";
    a_pause_that_is_lifted_lets_the_backlog_through in living: "paused";
    a_change_of_what_becomes_of_the_backlog_holds_for_the_next_delete in living: "onDelete";
    a_changed_drain_timeout_holds_for_the_next_delete in living: "drainTimeout";
    a_renamed_sender_keeps_what_it_is_owed in living: "previousName";
    a_protection_that_was_added_holds_the_next_delete in living: "protect";
    a_changed_note_touches_no_connection in living: "description", "labels";
}

#[test]
fn no_field_is_without_a_test() {
    let table = fields::section("outbound").unwrap().fields;
    let supported = table.iter().filter(|field| field.is_supported());
    let mut paths = BTreeSet::new();
    for field in supported {
        // An object is its members; one that may be `false` is something by itself too.
        let nested = fields::nested(&field.kind);
        if nested.is_none() || matches!(field.kind, Kind::ObjectOrFalse(_)) {
            paths.insert(field.name.to_owned());
        }
        let inner = fields::walk(nested.unwrap_or_default());
        let leaves = inner.filter(|(_, field)| fields::nested(&field.kind).is_none());
        paths.extend(leaves.map(|(path, _)| format!("{}.{path}", field.name)));
    }
    let tested: BTreeSet<String> = TESTED.iter().map(|path| (*path).to_owned()).collect();
    let untested: Vec<_> = paths.difference(&tested).collect();
    let unknown: Vec<_> = tested.difference(&paths).collect();
    assert!(
        untested.is_empty(),
        "fields of `outbound` without a test that changes them on a running gateway: {untested:?}"
    );
    assert!(unknown.is_empty(), "tests of fields that do not exist: {unknown:?}");
}

/// A document with the sender `out`.
fn text(url: &str, fields: &str) -> String {
    document(&format!(
        "  reconcile: {{ debounce: 5ms }}\n  outbound:\n    out: {{ url: \"{url}\", {fields} }}\n"
    ))
}

/// Fields of most tests: one event, no chance, and those given.
fn plain(fields: &str) -> String {
    format!("events: [message.sent], jitter: 0, {fields}")
}

/// The same without a breaker, which would come between many failures.
fn failing(fields: &str) -> String {
    plain(&format!("circuitBreaker: false, {fields}"))
}

fn start(receiver: &Receiver, fields: &str) -> Gateway {
    Gateway::start(&text(&receiver.url("/"), fields))
}

fn change(gateway: &Gateway, receiver: &Receiver, fields: &str) {
    gateway.save_and_wait(&text(&receiver.url("/"), fields));
}

/// Publishes `message.sent` number `n`.
fn publish(gateway: &Gateway, n: u32) -> String {
    gateway.publish("message.sent", &json!({ "n": n }))
}

/// Which one it was, in format `openclaw`.
fn number(received: &Received) -> u64 {
    received.json()["data"]["n"].as_u64().unwrap()
}

/// How long after an attempt's end the next one is due, by the log.
#[allow(clippy::cast_possible_truncation)] // milliseconds
fn delay_ms(attempt: &Value) -> i64 {
    let ended = attempt["atMs"].as_i64().unwrap() + attempt["latencyMs"].as_f64().unwrap() as i64;
    attempt["nextMs"].as_i64().unwrap() - ended
}

/// Whether a delay is the one meant: the machine may take a while between the answer and the log.
fn is_about(delay_ms: i64, meant_ms: i64) -> bool {
    (meant_ms - 50..meant_ms + 2000).contains(&delay_ms)
}
