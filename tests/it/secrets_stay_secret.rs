//! A secret's value is in no log, plan, answer, listing, metric or error; one behind a reference is nowhere in the store.

use crate::harness::{Behaviour, Gateway, Receiver, Request, eventually};

const LITERAL: &str = "literal-hunter2-value";
const FROM_ENV: &str = "environment-hunter2-value";
const FROM_FILE: &str = "file-hunter2-value";
const IN_URL: &str = "query-hunter2-value";
const IN_HEADER: &str = "header-hunter2-value";
const ALL: [&str; 5] = [LITERAL, FROM_ENV, FROM_FILE, IN_URL, IN_HEADER];

#[expect(
    clippy::too_many_lines,
    reason = "every place that a secret could come out of, one after the other"
)]
#[test]
fn no_output_and_no_store_shows_a_secret() {
    let receiver = Receiver::start();
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("token"), FROM_FILE).unwrap();
    let document = |retries: u32| {
        format!(
            "webhooks:\n  server: {{ listen: \"127.0.0.1:0\" }}\n  admin: {{ listen: \"127.0.0.1:0\" }}\n  egress: {{ allow: [127.0.0.0/8] }}\n  reconcile: {{ mode: manual, debounce: 5ms }}\n  inbound:\n    literal: {{ platform: token, secret: {LITERAL} }}\n    filed: {{ platform: token, secret: {{ file: ./token }} }}\n    telegram: {{ secret: \"${{TELEGRAM}}\" }}\n  outbound:\n    out:\n      url: \"{}?key={IN_URL}\"\n      secret: {{ env: SIGNING }}\n      auth: {{ bearer: {LITERAL} }}\n      headers: {{ X-Api-Token: {IN_HEADER} }}\n      retries: {retries}\n      retryDelay: 10\n",
            receiver.url("/")
        )
    };
    std::fs::write(dir.path().join("openclaw.yaml"), document(1)).unwrap();
    let env = vec![
        ("TELEGRAM".to_owned(), FROM_ENV.to_owned()),
        ("SIGNING".to_owned(), FROM_ENV.to_owned()),
        // Everything that there is to log, of every crate.
        ("OPENCLAW_LOG".to_owned(), "trace".to_owned()),
    ];
    let gateway = Gateway::start_in(dir.into(), env);

    // Right and wrong proofs, deliveries that succeed, that fail and that end as dead letters.
    let post = |path: &str, token: &str| {
        let request = Request::post(path, r#"{"type":"x"}"#).header("Content-Type", "application/json");
        request
            .header("Authorization", format!("Bearer {token}"))
            .send(gateway.public)
    };
    let mut said: Vec<String> = Vec::new();
    for (path, token) in [
        ("/webhook/literal", LITERAL),
        ("/webhook/filed", FROM_FILE),
        ("/webhook/filed", LITERAL),
    ] {
        let answer = post(path, token);
        said.push(format!("{:?}{}", answer.headers, answer.text()));
    }
    receiver.wait_for(3);
    receiver.behave(Behaviour::Answer(500));
    assert_eq!(post("/webhook/literal", LITERAL).status, 200);
    eventually("a dead letter", || {
        (gateway.json("/v1/status")["totals"]["dead"] == 1).then_some(())
    });

    gateway.save(&document(2));
    for args in [
        &["plan"][..],
        &["plan", "--json"],
        &["plan", "--format", "markdown"],
        &["status", "--json"],
        &["validate"],
        &["validate", "--resolve", "--format", "json"],
        &["apply", "--yes"],
        &["history", "--json"],
        &["webhooks", "list", "--json"],
        &["webhooks", "show", "literal"],
        &["webhooks", "show", "telegram", "--json"],
        &["webhooks", "show", "out"],
        &["webhooks", "show", "out", "--json"],
        &["webhooks", "logs", "literal"],
        &["webhooks", "logs", "out", "--json"],
        &["webhooks", "test", "out"],
        &["webhooks", "test", "literal", "--inbound", "--local"],
        &["webhooks", "update", "out", "--retries", "3", "--dry-run"],
        &["events", "list", "--json"],
        &["dead", "list"],
        &["dead", "list", "--json"],
        &["store", "check"],
        &["plan", "--impact"],
    ] {
        let out = gateway.cli(args);
        let error = String::from_utf8_lossy(&out.stderr);
        assert!(!error.contains("Usage:"), "{args:?}: {error}");
        said.push(format!(
            "{args:?}: {}{}",
            String::from_utf8_lossy(&out.stdout),
            String::from_utf8_lossy(&out.stderr)
        ));
    }
    // A mistake in the line of a secret shows the line, masked.
    gateway.save(&document(2).replace("secret: literal", "secrt: literal"));
    let out = gateway.cli(&["validate"]);
    assert_eq!(out.status.code(), Some(1));
    said.push(String::from_utf8_lossy(&out.stdout).into_owned());
    let story = gateway.json("/v1/dead")["items"][0]["eventId"]
        .as_str()
        .unwrap()
        .to_owned();
    for path in [
        "/v1/status",
        "/v1/webhooks",
        "/v1/webhooks/inbound/literal",
        "/v1/webhooks/outbound/out",
        "/v1/generations",
        "/v1/logs",
        "/v1/dead",
        "/v1/events",
        &format!("/v1/events/{story}"),
        "/metrics",
    ] {
        let (status, body) = gateway.get(path);
        assert_eq!(status, 200, "{path}: {body}");
        said.push(format!("{path}: {body}"));
    }
    said.push(gateway.output());
    // The document itself is the exception, and shows that this test would see a secret.
    assert!(gateway.get("/v1/document").1.contains(LITERAL));
    for secret in ALL {
        for text in &said {
            assert!(!text.contains(secret), "{secret} is shown: {text}");
        }
    }

    // The store: the applied documents hold literals as they were written (compressed); nothing else holds any secret.
    let (dir, _env) = gateway.kill();
    let mut looked_at = 0;
    for entry in std::fs::read_dir(dir.path().join(".openclaw-webhooks")).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        looked_at += bytes.len();
        for secret in ALL {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} is in the store");
        }
    }
    assert!(looked_at > 10_000, "the store was read");
}
