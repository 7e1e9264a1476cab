//! TLS of both listeners: real certificates, changed in place, and clients that speak HTTP/2 over them.

use std::net::SocketAddr;
use std::process::Output;
use std::time::Duration;

use crate::harness::{Authority, Gateway, eventually, openclaw};
use crate::load::SECRET;

fn certificate(dir: &std::path::Path) -> reqwest::Certificate {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(dir.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(dir.join("tls.crt"), made.cert.pem()).unwrap();
    reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap()
}

/// Runs one client.
fn block_on<T>(client: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(client)
}

/// Whether a client that trusts this certificate alone gets an answer over HTTP/2.
fn trusted(port: u16, certificate: &reqwest::Certificate) -> bool {
    block_on(async {
        let client = reqwest::Client::builder()
            .tls_certs_only([certificate.clone()])
            .timeout(Duration::from_secs(10))
            .no_proxy()
            .build()
            .unwrap();
        let answer = client
            .post(format!("https://localhost:{port}/webhook/github"))
            .body("{}")
            .send()
            .await;
        answer.is_ok_and(|answer| answer.status() == 401 && answer.version() == http::Version::HTTP_2)
    })
}

#[test]
fn a_changed_certificate_takes_effect_in_place_and_a_broken_one_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let first = certificate(dir.path());
    let text = format!(
        "webhooks:\n  server: {{ listen: \"127.0.0.1:0\", tls: {{ cert: ./tls.crt, key: ./tls.key }} }}\n  admin: {{ listen: \"127.0.0.1:0\" }}\n  reconcile: {{ debounce: 20ms }}\n  inbound:\n    github: {{ secret: {SECRET} }}\n"
    );
    std::fs::write(dir.path().join("openclaw.yaml"), text).unwrap();
    let gateway = Gateway::start_in(dir.into(), Vec::new());
    let port = gateway.public.port();
    assert!(trusted(port, &first));

    std::fs::write(gateway.path("tls.crt"), "not a certificate").unwrap();
    eventually("the broken certificate is told", || {
        let status = gateway.status();
        status["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .any(|c| c["reason"] == "PrepareFailed")
            .then_some(())
    });
    assert!(trusted(port, &first), "the good one keeps serving");

    let second = certificate(gateway.dir.path());
    eventually("the new certificate is served", || trusted(port, &second).then_some(()));
    assert!(!trusted(port, &first));
    assert_eq!(gateway.json("/v1/generations")["items"][0]["cause"], "cert-file");
}

/// A gateway whose admin API has a certificate of `authority` for two names, one of which is not the gateway's.
fn with_tls_for_admin(authority: &Authority) -> Gateway {
    let dir = tempfile::tempdir().unwrap();
    let pair = authority.issue_for(&["localhost", "evil.example"]);
    std::fs::write(dir.path().join("admin.crt"), pair.certificate).unwrap();
    std::fs::write(dir.path().join("admin.key"), pair.key).unwrap();
    std::fs::write(dir.path().join("ca.crt"), authority.pem()).unwrap();
    let text = "webhooks:\n  server: { listen: \"127.0.0.1:0\" }\n  admin: { listen: \"127.0.0.1:0\", token: letmein, tls: { cert: ./admin.crt, key: ./admin.key } }\n  inbound:\n    hook: { platform: token, secret: t }\n";
    std::fs::write(dir.path().join("openclaw.yaml"), text).unwrap();
    Gateway::start_in(dir.into(), Vec::new())
}

#[test]
fn the_admin_api_over_tls_answers_a_browser_that_speaks_http_2() {
    let authority = Authority::new();
    let gateway = with_tls_for_admin(&authority);
    let port = gateway.admin.port();
    let get = |host: &str, headers: &[(&'static str, &str)]| {
        block_on(async {
            let client = reqwest::Client::builder()
                .tls_certs_only([reqwest::Certificate::from_pem(authority.pem().as_bytes()).unwrap()])
                .resolve(host, SocketAddr::from(([127, 0, 0, 1], port)))
                .no_proxy()
                .build()
                .unwrap();
            let request = client
                .get(format!("https://{host}:{port}/v1/status"))
                .bearer_auth("letmein");
            let request = headers
                .iter()
                .fold(request, |request, (name, value)| request.header(*name, *value));
            let answer = request.send().await.unwrap();
            assert_eq!(answer.version(), http::Version::HTTP_2);
            answer.status().as_u16()
        })
    };
    assert_eq!(get("localhost", &[]), 200);
    assert_eq!(
        get("localhost", &[("origin", &format!("https://localhost:{port}"))]),
        200
    );
    assert_eq!(get("localhost", &[("origin", "https://evil.example")]), 403);
    assert_eq!(get("evil.example", &[]), 421);
    assert_eq!(get("evil.example", &[("host", "localhost")]), 421);
}

#[test]
fn the_commands_reach_an_admin_api_behind_a_private_authority() {
    let authority = Authority::new();
    let gateway = with_tls_for_admin(&authority);
    let address = format!("https://localhost:{}", gateway.admin.port());
    let run = |args: &[&str], trusted: Option<&str>| -> Output {
        let mut command = openclaw();
        command
            .args(args)
            .current_dir(gateway.dir.path())
            .env("OPENCLAW_ADMIN_TOKEN", "letmein")
            .env_remove("SSL_CERT_DIR")
            .env_remove("SSL_CERT_FILE");
        if let Some(file) = trusted {
            command.env("SSL_CERT_FILE", gateway.path(file));
        }
        command.output().unwrap()
    };
    let shown = |out: Output| {
        let (said, failed) = (
            String::from_utf8(out.stdout).unwrap(),
            String::from_utf8(out.stderr).unwrap(),
        );
        (out.status.code(), format!("{said}{failed}"))
    };
    let (code, text) = shown(run(&["status", "--gateway", &address], Some("ca.crt")));
    assert!(code == Some(0) && text.contains("generation 1"), "{text}");
    let publish = ["events", "publish", "message.sent", "--gateway", &address];
    let (code, text) = shown(run(&publish, Some("ca.crt")));
    assert!(code == Some(0) && text.starts_with("Published evt_"), "{text}");
    let (code, text) = shown(run(&["status", "--gateway", &address], None));
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("UnknownIssuer") && text.contains("SSL_CERT_FILE"),
        "{text}"
    );
}
