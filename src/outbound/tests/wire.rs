//! What is on the wire: headers, signatures, TLS, cut answers, egress.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use base64::Engine as _;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::Response;
use http_body_util::Full;
use rustls::pki_types::PrivateKeyDer;
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;
use crate::document::settings::{Auth, Format};
use crate::secret::Secret;
use crate::store::Outcome;

fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// Reads one request's head and body from a connection; `None` when it is closed.
async fn read_request(tcp: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .unwrap();
            if body.len() >= length.parse().unwrap() {
                return Some(text);
            }
        }
        if tcp.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
}

#[tokio::test]
async fn headers_and_signatures_are_those_of_the_contract() {
    let receiver = Receiver::status(|_| 200).await;
    let gateway = Gateway::with(&receiver, |s| {
        s.secrets = vec![Secret::new("whsec_c2VjcmV0"), Secret::new("old")];
        s.auth = Some(Auth::Bearer(Secret::new("token")));
    });
    let traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    gateway.in_ms(61_500);
    let sent = Event {
        traceparent: Some(traceparent.into()),
        ..event(5)
    };
    gateway.owe(KEY, sent.clone());
    gateway.settled(1).await;
    let got = &receiver.got()[0];
    assert_eq!(got.header("content-type"), "application/json");
    assert_eq!(
        got.header("user-agent"),
        concat!("openclaw/", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(got.header("authorization"), "Bearer token");
    assert_eq!(got.header("x-openclaw-event"), "message.received");
    assert_eq!(
        got.header("x-openclaw-delivery"),
        crate::store::delivery_id(sent.id.as_str(), KEY)
    );
    assert_eq!(got.header("x-openclaw-attempt"), "1");
    assert_eq!(got.header("webhook-id"), sent.id.as_str());
    assert_eq!(
        got.header("webhook-timestamp"),
        "1773570661",
        "of the attempt, not of the event"
    );
    assert_eq!(got.header("traceparent"), traceparent);
    assert_eq!(got.header("host"), receiver.address.to_string());
    for (name, _) in &got.headers {
        assert!(!name.as_str().contains("forward") && name != "x-real-ip", "{name}");
    }
    let whole = hex::encode(hmac(b"whsec_c2VjcmV0", &[&got.body]));
    assert_eq!(got.header("x-openclaw-signature"), format!("sha256={whole}"));
    let signed: [&[u8]; 5] = [sent.id.as_str().as_bytes(), b".", b"1773570661", b".", &got.body];
    let base64 = |key: &[u8]| base64::engine::general_purpose::STANDARD.encode(hmac(key, &signed));
    assert_eq!(
        got.header("webhook-signature"),
        format!("v1,{} v1,{}", base64(b"secret"), base64(b"old"))
    );
    let body = std::str::from_utf8(&got.body).unwrap();
    let without =
        r#"{"event":"message.received","timestamp":"2026-03-15T10:30:00Z","data":{"n":5,"text":"你好"}}"#.to_owned();
    let own = hex::encode(hmac(b"whsec_c2VjcmV0", &[without.as_bytes()]));
    assert_eq!(
        body,
        format!(r#"{},"signature":"sha256={own}"}}"#, without.strip_suffix('}').unwrap())
    );
}

#[tokio::test]
async fn without_a_secret_nothing_is_signed() {
    let receiver = Receiver::status(|_| 200).await;
    let gateway = Gateway::with(&receiver, |s| s.format = Format::Raw);
    gateway.owe(KEY, event(1));
    gateway.settled(1).await;
    let got = &receiver.got()[0];
    assert!(!got.headers.keys().any(|name| name.as_str().contains("signature")));
    assert_eq!(got.body, r#"{"n":1,"text":"你好"}"#.as_bytes());
}

#[tokio::test]
async fn custom_headers_keep_their_case() {
    let (heads, mut taken) = tokio::sync::mpsc::channel(4);
    let receiver = Receiver::raw(move |_, mut tcp| {
        let heads = heads.clone();
        async move {
            let request = read_request(&mut tcp).await.unwrap();
            heads.send(request).await.unwrap();
            tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                .await
                .unwrap();
        }
    })
    .await;
    let gateway = Gateway::with(&receiver, |s| {
        s.headers = [
            ("X-API-Key", "1"),
            ("x-lower", "2"),
            ("X-MiXeD", "3"),
            ("X-API-Key", "4"),
            ("User-Agent", "me"),
        ]
        .map(|(name, value)| (name.to_owned(), Secret::new(value)))
        .to_vec();
    });
    gateway.owe(KEY, event(1));
    let head = taken.recv().await.unwrap();
    for line in [
        "X-API-Key: 1",
        "x-lower: 2",
        "X-MiXeD: 3",
        "X-API-Key: 4",
        "User-Agent: me",
    ] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} in {head}");
    }
    gateway.settled(1).await;
}

#[tokio::test]
async fn a_cut_answer_is_retried_whatever_its_status_was() {
    for answer in [
        "",
        "HTTP/1.1 20",
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        "no http at all\r\n\r\n",
    ] {
        let receiver = Receiver::raw(move |_, mut tcp| async move {
            read_request(&mut tcp).await;
            tcp.write_all(answer.as_bytes()).await.unwrap();
        })
        .await;
        let gateway = Gateway::with(&receiver, |_| {});
        gateway.owe(KEY, event(1));
        gateway.settled(1).await;
        assert_eq!(gateway.store.attempts()[0].error, Some("cut"), "{answer:?}");
        assert!(
            matches!(gateway.store.outcomes()[0], Outcome::Retry { .. }),
            "charged: it was a new connection"
        );
    }
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_meanwhile_is_not_charged() {
    // Each connection answers one request, promises to stay, and cuts the next before any byte.
    let receiver = Receiver::raw(|_, mut tcp| async move {
        read_request(&mut tcp).await;
        tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .await
            .unwrap();
        read_request(&mut tcp).await;
    })
    .await;
    let gateway = Gateway::with(&receiver, |_| {});
    for n in 0..3 {
        gateway.owe(KEY, event(n));
        gateway.settled(n + 1).await;
    }
    assert_eq!(
        gateway.store.outcomes(),
        [Outcome::Delivered, Outcome::Delivered, Outcome::Delivered]
    );
    assert!(gateway.store.attempts().iter().all(|attempt| attempt.number == 1));
    assert_eq!(receiver.connections.load(SeqCst), 3);
}

#[tokio::test]
async fn of_a_huge_answer_64_kib_are_read_and_2_are_kept() {
    let receiver = Receiver::raw(|_, mut tcp| async move {
        read_request(&mut tcp).await;
        tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000000\r\n\r\n")
            .await
            .unwrap();
        // Far more than is read, and then silence: whoever waited for all of it would time out.
        for _ in 0..200 {
            if tcp.write_all("ü".repeat(4096).as_bytes()).await.is_err() {
                return;
            }
        }
        std::future::pending::<()>().await;
    })
    .await;
    let gateway = Gateway::with(&receiver, |_| {});
    gateway.owe(KEY, event(1));
    gateway.settled(1).await;
    let attempt = &gateway.store.attempts()[0];
    assert_eq!(attempt.error, None);
    assert_eq!(attempt.response.as_ref().unwrap().len(), 2048);
}

#[tokio::test]
async fn a_slow_answer_ends_with_the_timeout() {
    let receiver = Receiver::raw(|_, mut tcp| async move {
        read_request(&mut tcp).await;
        tcp.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
            .await
            .unwrap();
        while tcp.write_all(b".").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    let gateway = Gateway::with(&receiver, |s| s.timeout = Duration::from_millis(150));
    gateway.owe(KEY, event(1));
    gateway.settled(1).await;
    assert_eq!(gateway.store.attempts()[0].error, Some("timeout"));
}

#[tokio::test]
async fn errors_on_the_way_have_their_class() {
    let refused = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let plain = Receiver::raw(|_, mut tcp| async move {
        // Speaks no TLS.
        let _ = tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    })
    .await;
    let cases = [
        (format!("http://{refused}/"), "connect"),
        (format!("https://{}/", plain.address), "tls"),
        // A label that is too long: no resolver asks the network for it.
        (format!("http://{}.invalid/", "x".repeat(64)), "dns"),
        (format!("http://localhost:{}/", plain.address.port()), "egress"),
    ];
    for (url, class) in cases {
        let gateway = Gateway::new();
        // `localhost` is a name: its addresses are judged when it is resolved.
        gateway.dispatcher.set_egress(&Egress {
            allow_networks: if class == "egress" {
                Vec::new()
            } else {
                this_machine().allow_networks
            },
            ..this_machine()
        });
        gateway.put(KEY, &url, |s| {
            s.tls.ca = url.starts_with("https").then(|| Authority::new().pem());
        });
        gateway.owe(KEY, event(1));
        gateway.settled(1).await;
        let attempt = &gateway.store.attempts()[0];
        assert_eq!(attempt.error, Some(class), "{url}: {:?}", attempt.detail);
        assert!(matches!(gateway.store.outcomes()[0], Outcome::Retry { .. }), "{url}");
        if class == "egress" {
            assert!(attempt.detail.as_ref().unwrap().contains("`webhooks.egress.allow`"));
        }
    }
}

#[tokio::test]
async fn a_tightened_policy_cuts_kept_connections_too() {
    let receiver = Receiver::status(|_| 200).await;
    let gateway = Gateway::with(&receiver, |_| {});
    gateway.owe(KEY, event(1));
    gateway.settled(1).await;
    gateway.dispatcher.set_egress(&Egress {
        allow_networks: Vec::new(),
        ..this_machine()
    });
    gateway.owe(KEY, event(2));
    gateway.settled(2).await;
    assert_eq!(gateway.store.attempts()[1].error, Some("egress"));
    gateway.dispatcher.set_egress(&Egress {
        allow_hosts: vec!["127.0.0.1".into()],
        ..this_machine()
    });
    gateway.in_ms(5000);
    gateway.settled(3).await;
    assert_eq!(gateway.store.outcomes()[2], Outcome::Delivered);
    assert_eq!(receiver.count(), 2);
}

// ---- TLS ----

/// A private certificate authority.
struct Authority {
    certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self {
            certificate,
            issuer: rcgen::Issuer::new(params, key),
        }
    }

    fn pem(&self) -> String {
        self.certificate.pem()
    }

    fn issue(&self, name: &str) -> (rcgen::Certificate, rcgen::KeyPair) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// A receiver that has a certificate of this authority and wants one from its clients.
    async fn receiver(&self, alpn: &[&[u8]]) -> Receiver {
        let (certificate, key) = self.issue("127.0.0.1");
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier =
            rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
                .unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
        let answer = |_, _: &_| -> std::pin::Pin<Box<dyn Future<Output = Response<Full<Bytes>>> + Send>> {
            Box::pin(std::future::ready(Response::new(Full::default())))
        };
        Receiver::serve(Some(Arc::new(config)), answer).await
    }
}

#[tokio::test]
async fn a_private_ca_and_a_client_certificate_are_used_over_http_1_and_2() {
    let authority = Authority::new();
    let (certificate, key) = authority.issue("client");
    for (alpn, version) in [
        (&b"h2"[..], http::Version::HTTP_2),
        (b"http/1.1", http::Version::HTTP_11),
    ] {
        let receiver = authority.receiver(&[alpn]).await;
        let gateway = Gateway::with(&receiver, |s| {
            s.tls.ca = Some(authority.pem());
            s.tls.identity = Some((certificate.pem(), Secret::new(key.serialize_pem())));
        });
        for n in 0..3 {
            gateway.owe(KEY, event(n));
            gateway.settled(n + 1).await;
        }
        assert_eq!(
            gateway.store.outcomes(),
            [Outcome::Delivered, Outcome::Delivered, Outcome::Delivered]
        );
        assert_eq!(receiver.got()[0].version, version);
        assert_eq!(receiver.connections.load(SeqCst), 1, "kept");
    }
}

#[tokio::test]
async fn an_unknown_ca_and_a_missing_client_certificate_are_tls_errors() {
    let authority = Authority::new();
    let receiver = authority.receiver(&[b"http/1.1"]).await;
    for ca in [Authority::new().pem(), authority.pem()] {
        let gateway = Gateway::with(&receiver, |s| s.tls.ca = Some(ca));
        gateway.owe(KEY, event(1));
        gateway.settled(1).await;
        let attempt = &gateway.store.attempts()[0];
        assert_eq!(attempt.error, Some("tls"), "{:?}", attempt.detail);
    }
    assert_eq!(receiver.count(), 0);
}

#[tokio::test]
async fn senders_with_the_same_tls_share_connections() {
    let receiver = Receiver::status(|_| 200).await;
    let gateway = Gateway::with(&receiver, |_| {});
    gateway.put(SenderKey(8), &receiver.url(), |s| {
        s.name = crate::event::Name::parse("other").unwrap();
    });
    gateway.owe(KEY, event(1));
    gateway.settled(1).await;
    gateway.owe(SenderKey(8), event(2));
    gateway.settled(2).await;
    assert_eq!(receiver.connections.load(SeqCst), 1);
}
