//! Signatures, credentials, certificates.

use std::sync::Arc;

use axum::http::Version;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::harness::{Authority, Behaviour, eventually, sha256_signature};

pub(super) fn a_changed_secret_signs_and_of_a_list_all_sign() {
    let receiver = Receiver::start();
    let signed = |n: usize, secrets: &[&str]| {
        let received = receiver.wait_for(n).pop().unwrap();
        let all: Vec<String> = secrets
            .iter()
            .map(|secret| received.standard_signature(secret))
            .collect();
        assert_eq!(received.header("webhook-signature"), Some(&*all.join(" ")));
        let first = secrets.first().map(|secret| sha256_signature(secret, &received.body));
        assert_eq!(received.header("x-openclaw-signature"), first.as_deref());
    };
    let gateway = start(&receiver, &plain("secret: old"));
    publish(&gateway, 1);
    signed(1, &["old"]);
    change(&gateway, &receiver, &plain("secret: [new, old]"));
    publish(&gateway, 2);
    signed(2, &["new", "old"]);
    change(&gateway, &receiver, &plain("secret: new"));
    publish(&gateway, 3);
    signed(3, &["new"]);
    change(&gateway, &receiver, &plain(""));
    publish(&gateway, 4);
    let unsigned = receiver.wait_for(4).pop().unwrap();
    assert_eq!(unsigned.header("webhook-signature"), None);
    assert!(!String::from_utf8(unsigned.body).unwrap().contains("signature"));
}

pub(super) fn a_changed_bearer_token_is_sent() {
    let receiver = Receiver::start();
    let gateway = start(&receiver, &plain("auth: { bearer: one }"));
    publish(&gateway, 1);
    receiver.wait_for(1);
    change(&gateway, &receiver, &plain("auth: { bearer: two }"));
    publish(&gateway, 2);
    let seen = receiver.wait_for(2);
    let sent: Vec<_> = seen.iter().map(|r| r.header("authorization").unwrap()).collect();
    assert_eq!(sent, ["Bearer one", "Bearer two"]);
}

pub(super) fn changed_basic_credentials_are_sent() {
    let receiver = Receiver::start();
    let basic = |user: &str, password: &str| {
        plain(&format!(
            "auth: {{ basic: {{ username: {user}, password: {password} }} }}"
        ))
    };
    let gateway = start(&receiver, &basic("u1", "p1"));
    let pairs = [("u1", "p1"), ("u2", "p1"), ("u2", "p2")];
    for (n, (user, password)) in (1..).zip(pairs) {
        if n > 1 {
            change(&gateway, &receiver, &basic(user, password));
        }
        publish(&gateway, n);
        let last = receiver.wait_for(n as usize).pop().unwrap();
        let meant = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        assert_eq!(last.header("authorization"), Some(&*meant));
    }
}

/// A gateway whose directory has these files.
fn start_with(files: &[(&str, &str)], receiver: &Receiver, fields: &str) -> Gateway {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    std::fs::write(dir.path().join("openclaw.yaml"), text(&receiver.url("/"), fields)).unwrap();
    Gateway::start_in(Arc::new(dir), Vec::new())
}

fn fails_with(gateway: &Gateway, class: &str) {
    eventually(&format!("an attempt fails: {class}"), || {
        gateway
            .attempts("out", 1)
            .iter()
            .any(|a| a["error"] == class)
            .then_some(())
    });
}

pub(super) fn a_changed_ca_is_trusted_over_http_2() {
    let (right, wrong) = (Authority::new(), Authority::new());
    let receiver = Receiver::start_tls(right.server(false, &[b"h2", b"http/1.1"]));
    let fields = |ca: &str| {
        failing(&format!(
            "retries: 100, retryDelay: 20, backoff: fixed, tls: {{ ca: {ca} }}"
        ))
    };
    let files = [("right.crt", &*right.pem()), ("wrong.crt", &*wrong.pem())];
    let gateway = start_with(&files, &receiver, &fields("./wrong.crt"));
    publish(&gateway, 1);
    fails_with(&gateway, "tls");
    assert_eq!(receiver.count(), 0);
    change(&gateway, &receiver, &fields("./right.crt"));
    let received = receiver.wait_for(1).remove(0);
    assert_eq!(received.version, Version::HTTP_2);
    assert_eq!(number(&received), 1);
}

pub(super) fn a_changed_client_certificate_is_shown() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let receiver = Receiver::start_tls(authority.server(true, &[b"http/1.1"]));
    let (good, bad) = (authority.issue("gateway"), stranger.issue("gateway"));
    let files = [
        ("ca.crt", &*authority.pem()),
        ("good.crt", &*good.certificate),
        ("good.key", &*good.key),
        ("bad.crt", &*bad.certificate),
        ("bad.key", &*bad.key),
    ];
    let fields = |pair: &str| {
        failing(&format!(
            "retries: 100, retryDelay: 20, backoff: fixed, tls: {{ ca: ./ca.crt, clientCert: ./{pair}.crt, clientKey: ./{pair}.key }}"
        ))
    };
    let gateway = start_with(&files, &receiver, &fields("bad"));
    publish(&gateway, 1);
    fails_with(&gateway, "tls");
    assert_eq!(receiver.count(), 0);
    change(&gateway, &receiver, &fields("good"));
    assert_eq!(number(&receiver.wait_for(1)[0]), 1);
}

pub(super) fn a_changed_required_header_is_what_a_2xx_must_carry() {
    let receiver = Receiver::start();
    receiver.behave(Behaviour::AnswerWith(200, "x-accepted", "durable"));
    let fields = |required: &str| failing(&format!("retries: 100, retryDelay: 20, backoff: fixed, {required}"));
    let gateway = start(&receiver, &fields(""));
    publish(&gateway, 1);
    receiver.wait_for(1);
    change(&gateway, &receiver, &fields("requireHeader: x-elsewhere"));
    publish(&gateway, 2);
    fails_with(&gateway, "header");
    assert_eq!(gateway.status()["totals"]["owed"], 1);
    change(&gateway, &receiver, &fields("requireHeader: \"x-accepted: durable\""));
    eventually("it is delivered", || {
        (gateway.status()["totals"]["owed"] == 0).then_some(())
    });
}
