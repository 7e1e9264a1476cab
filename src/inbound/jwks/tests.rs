//! Key sets: what is a key, and when a set is fetched, by a key server on this machine.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::document::settings::Jwks;
use crate::inbound::fake::Stage;
use crate::inbound::vector_tests::{Case, groups, request, send, settings, stage};

fn set_of(kids: &[&str]) -> String {
    let keys: Vec<String> = kids
        .iter()
        .map(|kid| format!(r#"{{"kty":"RSA","kid":"{kid}","n":"AQAB","e":"AQAB"}}"#))
        .collect();
    format!(r#"{{"keys":[{}]}}"#, keys.join(","))
}

/// Answers every request with the head and body set last, and counts.
#[derive(Clone)]
struct KeyServer {
    address: SocketAddr,
    answer: Arc<Mutex<(String, String)>>,
    asked: Arc<AtomicUsize>,
}

impl KeyServer {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            answer: Arc::default(),
            asked: Arc::default(),
        };
        let this = server.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => break,
                    }
                }
                this.asked.fetch_add(1, Ordering::SeqCst);
                let (status, body) = this.answer.lock().unwrap().clone();
                let length = body.len();
                let answer =
                    format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        server.says("503 Service Unavailable", "");
        server
    }

    fn says(&self, status: &str, body: &str) {
        *self.answer.lock().unwrap() = (status.to_owned(), body.to_owned());
    }

    fn url(&self) -> String {
        format!("http://{}/keys", self.address)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// Keys from a server, on a clock that moves by hand (in seconds).
struct Bench {
    server: KeyServer,
    keys: Keys,
    seconds: Arc<AtomicU64>,
}

impl Bench {
    async fn new() -> Self {
        let server = KeyServer::start().await;
        let seconds = Arc::new(AtomicU64::new(0));
        let (start, passed) = (Instant::now(), Arc::clone(&seconds));
        let clock = move || start + Duration::from_secs(passed.load(Ordering::SeqCst));
        let keys = Keys::at_by(&server.url(), Box::new(clock)).unwrap();
        Self { server, keys, seconds }
    }

    fn pass(&self, time: Duration) {
        self.seconds.fetch_add(time.as_secs(), Ordering::SeqCst);
    }

    /// As receiving does it: look, learn once where keys are lacking, look again.
    async fn look(&self, kid: &str) -> Result<bool, u16> {
        let mut found = self.keys.find(kid);
        if found.is_err() {
            self.keys.learn().unwrap().await;
            found = self.keys.find(kid);
        }
        found.map(|key| key.is_some()).map_err(|refusal| {
            assert!(refusal.retry_after.is_some());
            refusal.status.as_u16()
        })
    }
}

#[test]
fn only_rsa_keys_that_sign_are_keys() {
    let set = |keys: &str| KeySet::parse(format!(r#"{{"keys":[{keys}]}}"#).as_bytes());
    let good = r#"{"kty":"RSA","kid":"k","n":"AQAB","e":"AQAB","use":"sig","alg":"RS256","x5c":[]}"#;
    assert_eq!(set(good).unwrap().find("k").unwrap().n, [1, 0, 1]);
    for bad in [
        "",
        "7",
        r#"{"kty":"EC","kid":"k","n":"AQAB","e":"AQAB"}"#,
        r#"{"kty":"oct","kid":"k","k":"AQAB"}"#,
        r#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#,
        r#"{"kty":"RSA","kid":"k","e":"AQAB"}"#,
        r#"{"kty":"RSA","kid":"k","n":"","e":"AQAB"}"#,
        r#"{"kty":"RSA","kid":"k","n":"A+/=","e":"AQAB"}"#,
        r#"{"kty":"RSA","kid":"k","n":"AQAB","e":"AQAB","use":"enc"}"#,
        r#"{"kty":"RSA","kid":"k","n":"AQAB","e":"AQAB","alg":"PS256"}"#,
    ] {
        assert!(set(bad).is_err(), "{bad}");
        if !bad.is_empty() {
            let both = set(&format!("{bad},{good}")).unwrap();
            assert_eq!(both.0.len(), 1, "{bad}");
        }
    }
    for bad in ["", "[]", "{}", r#"{"keys":{}}"#] {
        assert!(KeySet::parse(bad.as_bytes()).is_err(), "{bad}");
    }
    assert!(Keys::at("ftp://127.0.0.1/keys").is_err());
    assert!(Keys::at("keys.json").is_err());
}

#[test]
fn endorsements_that_cannot_be_read_endorse_nothing() {
    let of = |more: &str| {
        let text = format!(r#"{{"keys":[{{"kty":"RSA","kid":"k","n":"AQAB","e":"AQAB"{more}}}]}}"#);
        KeySet::parse(text.as_bytes())
            .unwrap()
            .find("k")
            .unwrap()
            .endorsements
            .clone()
    };
    assert_eq!(of(""), None);
    assert_eq!(of(r#","endorsements":["msteams",7]"#), Some(vec!["msteams".to_owned()]));
    assert_eq!(of(r#","endorsements":"msteams""#), Some(Vec::new()));
}

#[tokio::test]
async fn a_set_is_fetched_once_and_kept() {
    let bench = Bench::new().await;
    bench.server.says("200 OK", &set_of(&["a"]));
    for _ in 0..3 {
        assert_eq!(bench.look("a").await, Ok(true));
    }
    assert_eq!(bench.server.asked(), 1);
}

#[tokio::test]
async fn requests_that_come_together_cause_one_fetch() {
    let bench = Bench::new().await;
    bench.server.says("200 OK", &set_of(&["a"]));
    let looks = futures_util::future::join_all((0..10).map(|_| bench.look("a"))).await;
    assert!(looks.iter().all(|look| *look == Ok(true)), "{looks:?}");
    assert_eq!(bench.server.asked(), 1);
}

#[tokio::test]
async fn an_unknown_key_causes_a_fetch_at_most_once_a_minute() {
    let bench = Bench::new().await;
    bench.server.says("200 OK", &set_of(&["a"]));
    assert_eq!(bench.look("a").await, Ok(true));
    bench.server.says("200 OK", &set_of(&["a", "b"]));
    bench.pass(Duration::from_secs(59));
    assert_eq!(bench.look("b").await, Ok(false));
    assert_eq!(bench.server.asked(), 1);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.look("b").await, Ok(true));
    assert_eq!(bench.look("c").await, Ok(false));
    assert_eq!(bench.server.asked(), 2);
}

#[tokio::test]
async fn a_key_that_is_being_fetched_is_waited_for() {
    let bench = Bench::new().await;
    bench.server.says("200 OK", &set_of(&["a"]));
    assert_eq!(bench.look("a").await, Ok(true));
    bench.server.says("200 OK", &set_of(&["a", "b"]));
    bench.pass(AGAIN);
    let looks = futures_util::future::join_all((0..10).map(|_| bench.look("b"))).await;
    assert!(looks.iter().all(|look| *look == Ok(true)), "{looks:?}");
    assert_eq!(bench.server.asked(), 2);
}

#[tokio::test]
async fn a_set_is_fetched_anew_after_a_day_and_kept_where_that_fails() {
    let bench = Bench::new().await;
    bench.server.says("200 OK", &set_of(&["a"]));
    assert_eq!(bench.look("a").await, Ok(true));
    bench.pass(Duration::from_secs(24 * 3600 - 1));
    assert_eq!(bench.look("a").await, Ok(true));
    assert_eq!(bench.server.asked(), 1);
    bench.server.says("500 Internal Server Error", "");
    bench.pass(Duration::from_secs(1));
    for _ in 0..3 {
        assert_eq!(bench.look("a").await, Ok(true), "an old set is better than none");
    }
    assert_eq!(bench.server.asked(), 2);
    bench.pass(AGAIN);
    bench.server.says("200 OK", &set_of(&["b"]));
    assert_eq!(bench.look("a").await, Ok(false), "a key that was taken back");
    assert_eq!(bench.server.asked(), 3);
}

#[tokio::test]
async fn what_is_no_key_set_is_not_taken() {
    let bench = Bench::new().await;
    let large = format!(r#"{{"keys":[{}],"x":"{}"}}"#, set_of(&["a"]), "x".repeat(MAX_BYTES));
    let moved = format!("302 Found\r\nLocation: http://{}/other", bench.server.address);
    for (status, body) in [
        ("503 Service Unavailable", set_of(&["a"])),
        ("204 No Content", String::new()),
        ("200 OK", "{}".to_owned()),
        ("200 OK", "<html>".to_owned()),
        ("200 OK", large),
        (moved.as_str(), set_of(&["a"])),
    ] {
        let before = bench.server.asked();
        bench.server.says(status, &body);
        assert_eq!(bench.look("a").await, Err(503), "{status}");
        assert_eq!(bench.look("a").await, Err(503), "{status}");
        assert_eq!(
            bench.server.asked(),
            before + 1,
            "one fetch a second, redirects are not followed"
        );
        bench.pass(FIRST);
    }
    bench.server.says("200 OK", &set_of(&["a"]));
    assert_eq!(bench.look("a").await, Ok(true));
}

#[tokio::test]
async fn a_fetch_that_is_given_up_leaves_the_next_one_free() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap(); // takes connections, says nothing
    let keys = Keys::at(&format!("http://{}/", silent.local_addr().unwrap())).unwrap();
    let given_up = tokio::time::timeout(Duration::from_millis(1), keys.learn().unwrap()).await;
    assert!(given_up.is_err());
    let Origin::Fetched(fetched) = &keys.0 else {
        unreachable!()
    };
    assert!(fetched.fetching.try_lock().is_ok());
    assert_eq!(keys.find("a").unwrap_err().status.as_u16(), 503);
}

/// The first known answer of a platform, on a route whose keys are at this URL.
fn routed(platform: &str, url: String) -> (Case, Stage) {
    let case = groups(platform)[0][0].clone();
    let stage = stage(&case);
    let mut inbound = settings(platform, &case.inbound);
    inbound.jwks = Some(Jwks::Url(url));
    stage.put(inbound);
    (case, stage)
}

#[tokio::test]
async fn a_request_waits_for_the_keys_that_it_needs() {
    for platform in ["googlechat", "msteams"] {
        let server = KeyServer::start().await;
        let (case, stage) = routed(platform, server.url());
        let refused = stage.routes.handle(request(&case), crate::inbound::Peer::Unix).await;
        assert_eq!(refused.status().as_u16(), 503, "so that the platform repeats");
        assert!(refused.headers().contains_key("retry-after"));
        assert!(stage.store.appends.lock().unwrap().is_empty());

        let (case, stage) = routed(platform, server.url());
        server.says("200 OK", &case.inbound["jwks"].to_string());
        let asked = server.asked();
        for events in [1, 0] {
            let reply = send(&stage, request(&case)).await;
            assert_eq!((reply.status, reply.events.len()), (200, events), "{platform}");
        }
        // What is no token of the right shape causes no fetch.
        let mut bad = request(&case);
        bad.headers_mut()
            .insert("authorization", "Bearer a.b.c".parse().unwrap());
        *bad.body_mut() = Full::new(Bytes::from("{}"));
        assert_eq!(send(&stage, bad).await.status, 401);
        assert_eq!(server.asked(), asked + 1);
    }
}
