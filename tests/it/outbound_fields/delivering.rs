//! Where, what and how much.

use std::time::Duration;

use super::*;
use crate::harness::{Behaviour, eventually};
use crate::load::{SECRET, github};

pub(super) fn a_changed_url_gets_what_the_old_one_refused() {
    let (old, new) = (Receiver::start(), Receiver::start());
    old.behave(Behaviour::Answer(500));
    let fields = failing("retries: 100, retryDelay: 20, backoff: fixed");
    let gateway = start(&old, &fields);
    publish(&gateway, 1);
    let first = old.wait_for(1).remove(0);
    gateway.save_and_wait(&text(&new.url("/elsewhere?a=b"), &fields));
    let next = new.wait_for(1).remove(0);
    assert_eq!(next.target, "/elsewhere?a=b");
    assert_eq!(next.header("x-openclaw-delivery"), first.header("x-openclaw-delivery"));
    let attempt: usize = next.header("x-openclaw-attempt").unwrap().parse().unwrap();
    assert_eq!(attempt, old.count() + 1);
}

pub(super) fn changed_events_are_those_that_come_next() {
    let receiver = Receiver::start();
    let gateway = start(&receiver, "events: [message.sent]");
    let both = |n: u32| {
        gateway.publish("message.error", &json!({ "n": n }));
        publish(&gateway, n + 1);
    };
    both(1);
    receiver.wait_for(1);
    change(&gateway, &receiver, "events: [message.error]");
    both(3);
    let seen: Vec<_> = receiver.wait_for(2).iter().map(number).collect();
    assert_eq!(seen, [2, 3]);
    eventually("nothing is owed", || {
        (gateway.status()["totals"]["owed"] == 0).then_some(())
    });
}

pub(super) fn changed_origins_are_those_that_come_next() {
    let receiver = Receiver::start();
    let text = |from: &str| {
        let routes = ["one", "two"].map(|name| format!("    {name}: {{ platform: github, secret: {SECRET} }}\n"));
        let head = document(&format!(
            "  reconcile: {{ debounce: 5ms }}\n  inbound:\n{}",
            routes.concat()
        ));
        format!(
            "{head}  outbound:\n    out: {{ url: \"{}\", from: [{from}] }}\n",
            receiver.url("/")
        )
    };
    let gateway = Gateway::start(&text("one"));
    let both = |id: &str| {
        for route in ["one", "two"] {
            let answer = github(&format!("/webhook/{route}"), &format!("{route}-{id}")).send(gateway.public);
            assert_eq!(answer.status, 200);
        }
    };
    both("a");
    receiver.wait_for(1);
    gateway.save_and_wait(&text("two"));
    both("b");
    let seen = crate::load::delivered(&receiver.wait_for(2));
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["one-a", "two-b"]);
}

pub(super) fn a_changed_format_shapes_the_next_body() {
    let receiver = Receiver::start();
    let keys = |n: usize| -> Vec<String> {
        let body = receiver.wait_for(n).pop().unwrap().json();
        body.as_object().unwrap().keys().cloned().collect()
    };
    let gateway = start(&receiver, &plain("secret: s"));
    publish(&gateway, 1);
    assert_eq!(keys(1), ["event", "timestamp", "data", "signature"]);
    change(&gateway, &receiver, &plain("secret: s, format: standard"));
    publish(&gateway, 2);
    assert_eq!(keys(2), ["type", "timestamp", "data"]);
    change(&gateway, &receiver, &plain("secret: s, format: raw"));
    publish(&gateway, 3);
    assert_eq!(keys(3), ["n"]);
}

pub(super) fn changed_headers_are_sent() {
    let receiver = Receiver::start();
    let gateway = start(&receiver, &plain("headers: { X-Source: before, X-Gone: one }"));
    publish(&gateway, 1);
    receiver.wait_for(1);
    change(&gateway, &receiver, &plain("headers: { X-Source: after }"));
    publish(&gateway, 2);
    let seen = receiver.wait_for(2);
    let sent = |at: usize, name: &str| seen[at].header(name).map(str::to_owned);
    assert_eq!(
        (sent(0, "x-source"), sent(0, "x-gone")),
        (Some("before".into()), Some("one".into()))
    );
    assert_eq!((sent(1, "x-source"), sent(1, "x-gone")), (Some("after".into()), None));
}

pub(super) fn a_changed_concurrency_bounds_what_is_in_flight() {
    let receiver = Receiver::start();
    receiver.behave(Behaviour::Delay(Duration::from_millis(40), 200));
    let gateway = start(&receiver, &plain("concurrency: 1"));
    for n in 0..4 {
        publish(&gateway, n);
    }
    receiver.wait_for(4);
    assert_eq!(receiver.most_in_flight(), 1);
    change(&gateway, &receiver, &plain("concurrency: 3"));
    for n in 4..24 {
        publish(&gateway, n);
    }
    receiver.wait_for(24);
    assert_eq!(receiver.most_in_flight(), 3);
}

pub(super) fn a_changed_rate_limit_lets_the_backlog_through() {
    let receiver = Receiver::start();
    let gateway = start(&receiver, &plain("rateLimit: 1/h"));
    for n in 0..5 {
        publish(&gateway, n);
    }
    receiver.wait_for(1);
    eventually("four wait", || (gateway.status()["totals"]["owed"] == 4).then_some(()));
    change(&gateway, &receiver, &plain("rateLimit: 1000/s"));
    receiver.wait_for(5);
    let attempts = gateway.attempts("out", 5);
    assert!(attempts.iter().all(|a| a["attempt"] == 1), "waiting is not charged");
}

/// Odd numbers fail twice; what is answered 200 is noted in its order.
fn failing_heads(receiver: &Receiver) -> std::sync::Arc<std::sync::Mutex<Vec<u64>>> {
    let order = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let noted = order.clone();
    receiver.behave_by(move |received| {
        let n = number(received);
        let attempt: u32 = received.header("x-openclaw-attempt").unwrap().parse().unwrap();
        if n % 2 == 1 && attempt <= 2 {
            return Behaviour::Answer(500);
        }
        noted.lock().unwrap().push(n);
        Behaviour::Answer(200)
    });
    order
}

pub(super) fn a_changed_ordering_holds_for_what_is_owed_next() {
    let receiver = Receiver::start();
    let order = failing_heads(&receiver);
    let taken = |n: usize| {
        eventually("all are delivered", || {
            let order = order.lock().unwrap().clone();
            (order.len() >= n).then_some(order)
        })
    };
    let fields = |ordering: &str| {
        failing(&format!(
            "retries: 5, retryDelay: 150, backoff: fixed, ordering: {ordering}"
        ))
    };
    let publish = |gateway: &Gateway, session: &str, n: u32| {
        gateway.publish("message.sent", &json!({ "sessionId": session, "n": n }));
    };
    let gateway = start(&receiver, &fields("none"));
    publish(&gateway, "a", 1);
    publish(&gateway, "a", 2);
    assert_eq!(taken(2), [2, 1], "none: any may overtake");
    change(&gateway, &receiver, &fields("fifo"));
    publish(&gateway, "a", 3);
    publish(&gateway, "b", 4);
    assert_eq!(taken(4)[2..], [3, 4], "fifo: none may");
    change(&gateway, &receiver, &fields("session"));
    publish(&gateway, "a", 5);
    publish(&gateway, "b", 6);
    publish(&gateway, "a", 8);
    assert_eq!(taken(7)[4..], [6, 5, 8], "session: none of its own");
}
