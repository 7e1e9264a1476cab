//! The tutorial's own Python, and the Standard Webhooks library, accept what is sent.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::{Gateway, Receiver, document};
use crate::load::{SECRET, github};

/// Verbatim from the tutorial.
const TUTORIAL: &str = r#"
import hmac
import hashlib

def verify_webhook(payload, signature, secret):
    expected = hmac.new(
        secret.encode(),
        payload.encode(),
        hashlib.sha256
    ).hexdigest()
    return hmac.compare_digest(f"sha256={expected}", signature)
"#;

/// The Python that `tests/run` sets up with the libraries of these tests; the system's where it did not.
fn python() -> Option<PathBuf> {
    let prepared = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python");
    let python = if prepared.exists() { prepared } else { "python3".into() };
    let runs = Command::new(&python)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    runs.is_ok_and(|s| s.success()).then_some(python)
}

/// Runs a script with JSON on its standard input; `None` where there is no Python or the library is missing.
pub fn run(script: &str, input: &serde_json::Value) -> Option<String> {
    let Some(python) = python() else {
        eprintln!("skipped: there is no Python on this machine");
        return None;
    };
    let mut child = Command::new(python)
        .arg("-c")
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.to_string().as_bytes())
        .unwrap();
    let out = child.wait_with_output().unwrap();
    if out.status.code() == Some(77) {
        eprintln!("skipped: the Python library standardwebhooks is not installed (tests/run installs it)");
        return None;
    }
    assert!(out.status.success(), "the script failed");
    Some(String::from_utf8(out.stdout).unwrap())
}

#[test]
fn the_tutorials_verify_webhook_accepts_the_header_and_the_raw_body() {
    let receiver = Receiver::start();
    let secret = "webhook-signing-secret";
    let gateway = Gateway::start(&document(&format!(
        "  inbound:\n    github: {{ secret: {SECRET} }}\n  outbound:\n    out: {{ url: \"{}\", events: [webhook.received], secret: {secret} }}\n",
        receiver.url("/")
    )));
    assert_eq!(github("/webhook/github", "你好").send(gateway.public).status, 200);
    let sent = receiver.wait_for(1)[0].clone();
    let body = String::from_utf8(sent.body.clone()).unwrap();
    // The signature inside is over the body without that member.
    let inner = sent.json()["signature"].as_str().unwrap().to_owned();
    let without = body.replace(&format!(r#","signature":"{inner}""#), "");
    let script = format!(
        "{TUTORIAL}\nimport json, sys\ni = json.load(sys.stdin)\nprint(verify_webhook(i['body'], i['header'], i['secret']), verify_webhook(i['without'], i['inner'], i['secret']), verify_webhook(i['body'] + ' ', i['header'], i['secret']))"
    );
    let input = serde_json::json!({
        "body": body, "header": sent.header("x-openclaw-signature").unwrap(), "secret": secret, "without": without, "inner": inner,
    });
    let Some(said) = run(&script, &input) else { return };
    assert_eq!(said.trim(), "True True False");
}

#[test]
fn the_standard_webhooks_library_accepts_the_trio_with_each_of_two_secrets() {
    let receiver = Receiver::start();
    let secrets = [
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "whsec_p/U5dEM1nqdsUL6Cx38fiToGCSW1GjMs",
    ];
    let gateway = Gateway::start(&document(&format!(
        "  inbound:\n    github: {{ secret: {SECRET} }}\n  outbound:\n    out: {{ url: \"{}\", events: [webhook.received], secret: [\"{}\", \"{}\"] }}\n",
        receiver.url("/"),
        secrets[0],
        secrets[1]
    )));
    assert_eq!(github("/webhook/github", "trio").send(gateway.public).status, 200);
    let sent = receiver.wait_for(1)[0].clone();
    let script = r#"
import json, sys
try:
    from standardwebhooks.webhooks import Webhook, WebhookVerificationError
except ImportError:
    sys.exit(77)
i = json.load(sys.stdin)
for secret in i["secrets"]:
    print(Webhook(secret).verify(i["body"], i["headers"])["event"])
try:
    Webhook(i["secrets"][0]).verify(i["body"] + " ", i["headers"])
except WebhookVerificationError:
    print("refused")
"#;
    let header = |name: &str| sent.header(name).unwrap();
    let input = serde_json::json!({
        "secrets": secrets,
        "body": String::from_utf8(sent.body.clone()).unwrap(),
        "headers": {
            "webhook-id": header("webhook-id"),
            "webhook-timestamp": header("webhook-timestamp"),
            "webhook-signature": header("webhook-signature"),
        },
    });
    let Some(said) = run(script, &input) else { return };
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        ["webhook.received", "webhook.received", "refused"]
    );
}
