//! TLS of the public listener: real certificates, changed in place.

use std::time::Duration;

use crate::harness::{Gateway, eventually};
use crate::load::SECRET;

fn certificate(dir: &std::path::Path) -> reqwest::Certificate {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(dir.join("tls.key"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(dir.join("tls.crt"), made.cert.pem()).unwrap();
    reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap()
}

/// Whether a client that trusts this certificate alone gets an answer over HTTP/2.
fn trusted(port: u16, certificate: &reqwest::Certificate) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
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
