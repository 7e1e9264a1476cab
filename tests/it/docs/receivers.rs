//! The functions of docs/receivers take real deliveries and refuse all others, in each language that is on the machine.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use super::at;
use crate::harness::{Gateway, Received, Receiver, document, standard_signature};
use crate::load::{SECRET, github};

#[path = "../../../docs/receivers/rust.rs"]
#[allow(clippy::duration_suboptimal_units)] // for readers with an older Rust
mod rust;

const PLAIN: &str = "webhook-signing-secret";
const STANDARD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_cGFkZGluZyBpcyBwYXJ0IG9mIGl0Lg==";

/// A request as a receiver sees it.
#[derive(Clone)]
struct Delivery {
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    secret: &'static str,
}

impl Delivery {
    fn with(&self, name: &str, value: &str) -> Self {
        let mut other = self.clone();
        other.headers.retain(|(n, _)| n != name);
        other.headers.push((name.to_owned(), value.to_owned()));
        other
    }

    fn header(&self, name: &str) -> &str {
        &self.headers.iter().find(|(n, _)| n == name).unwrap().1
    }
}

/// One delivery that is signed with these secrets, the first one's first.
fn delivery(secrets: &[&'static str]) -> Delivery {
    let receiver = Receiver::start();
    let listed = secrets
        .iter()
        .map(|secret| format!("\"{secret}\""))
        .collect::<Vec<_>>()
        .join(", ");
    let gateway = Gateway::start(&document(&format!(
        "  inbound:\n    github: {{ secret: {SECRET} }}\n  outbound:\n    out: {{ url: \"{}\", events: [webhook.received], secret: [{listed}] }}\n",
        receiver.url("/")
    )));
    assert_eq!(
        github("/webhook/github", "你好, \u{1f600}").send(gateway.public).status,
        200
    );
    let Received { headers, body, .. } = receiver.wait_for(1)[0].clone();
    let wanted = |(name, _): &(String, String)| name.starts_with("webhook-") || name == "x-openclaw-signature";
    let headers = headers.into_iter().map(|(name, value)| (name.to_lowercase(), value));
    Delivery {
        headers: headers.filter(wanted).collect(),
        body,
        secret: secrets[0],
    }
}

/// What is right, and what must be refused, each with a name.
fn cases() -> Vec<(&'static str, Delivery, bool)> {
    let good = delivery(&[PLAIN]);
    let rotated = delivery(&[STANDARD, PLAIN]);
    let mut altered = good.clone();
    altered.body.push(b' ');
    let (signature, trio) = (good.header("x-openclaw-signature"), good.header("webhook-signature"));
    let seconds: u64 = good.header("webhook-timestamp").parse().unwrap();
    let base64 = trio.strip_prefix("v1,").unwrap();
    let elsewhere = Delivery {
        secret: "another-secret",
        ..good.clone()
    };
    vec![
        ("a delivery", good.clone(), true),
        ("whsec_, and a second signature", rotated.clone(), true),
        ("whsec_ with padding", delivery(&[OTHER]), true),
        (
            "the right signature behind another",
            good.with("webhook-signature", &format!("v1,AAAA v1a,{base64} {trio}")),
            true,
        ),
        ("another body", altered, false),
        ("another secret", elsewhere, false),
        ("no signature", good.with("x-openclaw-signature", ""), false),
        (
            "a signature without its prefix",
            good.with("x-openclaw-signature", &signature["sha256=".len()..]),
            false,
        ),
        ("no base64", good.with("webhook-signature", "v1,é"), false),
        (
            "no Standard Webhooks signature",
            good.with("webhook-signature", ""),
            false,
        ),
        (
            "a signature of another version",
            good.with("webhook-signature", &format!("v1a,{base64}")),
            false,
        ),
        ("another id", good.with("webhook-id", "evt_other"), false),
        (
            "another time",
            good.with("webhook-timestamp", &(seconds + 1).to_string()),
            false,
        ),
        ("no time", good.with("webhook-timestamp", ""), false),
        ("a time that is none", good.with("webhook-timestamp", "１２"), false),
        ("a signed time, long ago", stale(&good, seconds - 400), false),
        ("a signed time that is to come", stale(&good, seconds + 400), false),
    ]
}

/// The delivery as it would have been signed at another time.
fn stale(good: &Delivery, seconds: u64) -> Delivery {
    let at = seconds.to_string();
    let signature = standard_signature(good.secret, good.header("webhook-id"), &at, &good.body);
    good.with("webhook-timestamp", &at)
        .with("webhook-signature", &signature)
}

/// Runs a program on every case; says why it does not where the language is not on this machine.
fn check(language: &str, program: &str, arguments: &[&str]) {
    if Command::new(program).arg("--version").output().is_err() {
        eprintln!("skipped: there is no {language} (`{program}`) on this machine");
        return;
    }
    for (name, delivery, right) in cases() {
        let headers = delivery.headers.iter().map(|(name, value)| format!("{name}: {value}"));
        let mut child = Command::new(program)
            .args(arguments)
            .args(headers)
            .env("WEBHOOK_SECRET", delivery.secret)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(&delivery.body).unwrap();
        let ended = child.wait_with_output().unwrap();
        let (out, err) = (
            String::from_utf8_lossy(&ended.stdout),
            String::from_utf8_lossy(&ended.stderr),
        );
        let shown = format!("{language}: {name}: {out}{err}");
        assert_eq!(ended.status.success(), right, "{shown}");
        if right {
            assert_eq!(out.trim(), "verified", "{shown}");
        } else {
            // It refused, and did not fall over.
            assert!(err.lines().all(|line| !line.contains("Traceback")), "{shown}");
            assert!(err.contains("refused: "), "{shown}");
        }
    }
}

fn file(name: &str) -> String {
    at("docs/receivers").join(name).to_str().unwrap().to_owned()
}

#[test]
fn python_takes_real_deliveries_and_refuses_all_others() {
    check("Python", "python3", &[&file("python.py")]);
}

#[test]
fn node_takes_real_deliveries_and_refuses_all_others() {
    check("Node", "node", &[&file("node.mjs")]);
}

#[test]
fn php_takes_real_deliveries_and_refuses_all_others() {
    check("PHP", "php", &[&file("php.php")]);
}

#[test]
fn go_takes_real_deliveries_and_refuses_all_others() {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("receiver");
    let built = Command::new("go")
        .args(["build", "-o", program.to_str().unwrap(), &file("go/main.go")])
        .env("GO111MODULE", "off")
        .output();
    match built {
        Err(_) => eprintln!("skipped: there is no Go (`go`) on this machine"),
        Ok(built) => {
            assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
            check("Go", program.to_str().unwrap(), &[]);
        }
    }
}

#[test]
fn rust_takes_real_deliveries_and_refuses_all_others() {
    for (name, delivery, right) in cases() {
        let header = |wanted: &str| {
            let found = delivery.headers.iter().find(|(name, _)| name == wanted);
            found.map(|(_, value)| value.as_str())
        };
        let said = rust::verify(header, &delivery.body, delivery.secret, SystemTime::now());
        assert_eq!(said.is_ok(), right, "{name}: {said:?}");
        if right {
            let later = SystemTime::now() + Duration::from_secs(301);
            assert!(
                rust::verify(header, &delivery.body, delivery.secret, later).is_err(),
                "{name}"
            );
        }
    }
}
