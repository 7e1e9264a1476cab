//! What holds for every platform alike.

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Full};

use super::fake::{Stage, ready};
use super::platform::{PLATFORMS, Sample};
use super::tests::{ask, t};
use crate::document::Inbound;
use crate::proof::{Proofs as _, Unprovable, Unproved};
use crate::secret::Secret;

/// Whether only the platform has the key that signs.
fn keeps_its_key(platform: &str) -> bool {
    matches!(platform, "discord" | "googlechat" | "msteams")
}

/// A route of the platform with all that it takes.
fn settings(platform: &'static str) -> Inbound {
    let mut settings = ready("t", platform);
    settings.signature.header = (platform == "generic").then(|| "X-Sig".into());
    settings.signature.timestamp_header = Some("X-Time".into());
    settings.signature.template = Some("{id}.{timestamp}.{body}".into());
    settings.public_keys = vec!["933f9761b55d5236853ffba79e2b3aa682ad96c72c2e9838dfbbfb7504e6af2d".into()];
    settings.secrets = vec![Secret::new("secret&secret-1")];
    settings.verify_tokens = vec![Secret::new("verify")];
    if platform == "standard" {
        settings.public_keys.clear();
    }
    if platform == "telegram" {
        settings.secrets = vec![Secret::new("secret-1")];
    }
    settings
}

/// A POST to the route; what follows the path begins with `?`.
fn post<'a>(
    query: &str,
    headers: impl Iterator<Item = (&'a str, &'a [u8])>,
    body: Bytes,
) -> http::Request<Full<Bytes>> {
    let mut request = http::Request::post(format!("/webhook/t{query}"));
    for (name, value) in headers {
        request = request.header(name, value);
    }
    request.body(Full::new(body)).unwrap()
}

fn of_sample(sample: &Sample) -> http::Request<Full<Bytes>> {
    let query = sample.query.as_ref();
    let query = query.map(|query| format!("?{}", query.expose())).unwrap_or_default();
    let headers = sample
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.expose_bytes()));
    post(&query, headers, sample.body.clone().into())
}

#[tokio::test]
async fn a_sample_is_accepted_by_its_own_route() {
    for (platform, _) in PLATFORMS {
        let stage = Stage::with(settings(platform));
        for _ in 0..2 {
            stage.clock.advance_ms(1);
            let Some(sample) = stage.routes.sample(&t(), "测试 \"1\"") else {
                assert!(keeps_its_key(platform), "{platform} has a sample");
                continue;
            };
            assert!(!format!("{sample:?}").contains("secret-1"), "{platform}");
            let reply = ask(&stage, of_sample(&sample)).await;
            assert!(reply.status().is_success(), "{platform}");
            let data = stage.last(|append| append.events[0].event.data.as_str().to_owned());
            assert!(data.contains(r#"测试 \"1\""#), "{platform}: {data}");
        }
        let figures = stage.routes.figures(&t()).unwrap();
        assert_eq!(
            figures.events,
            if keeps_its_key(platform) { 0 } else { 2 },
            "{platform}"
        );
    }
}

/// What signs a time that its receiver cannot have made anew: it passes as it was received, for as long as it holds.
const STALE: [&str; 3] = ["dingtalk", "qqbot", "wecom"];
/// What signs no time: it proves itself as it was received, for ever.
const TIMELESS: [&str; 6] = ["github", "line", "nextcloud-talk", "shopify", "twilio", "whatsapp"];

#[tokio::test]
async fn a_stored_request_holds_again_hours_later_by_the_proof_that_is_made_of_it() {
    const HOURS_MS: i64 = 2 * 60 * 60 * 1000;
    for (platform, _) in PLATFORMS {
        let first = Stage::with(settings(platform));
        let Some(sample) = first.routes.sample(&t(), "again") else {
            continue;
        };
        assert!(
            ask(&first, of_sample(&sample)).await.status().is_success(),
            "{platform}"
        );
        let stored = first.last(|append| append.request.clone().unwrap());
        assert!(!format!("{stored:?}").contains("secret-1"), "{platform}");

        let later = Stage::with(settings(platform));
        later.clock.advance_ms(HOURS_MS);
        let unproved = Unproved {
            method: &stored.method,
            target: &stored.target,
            headers: &stored.headers,
            body: &stored.body,
        };
        let now = crate::clock::Clock::now(&*later.clock);
        let proof = later.routes.proof(&t(), &unproved, now).unwrap();
        let kept = || {
            stored
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_bytes()))
        };
        let query = |more: &str| {
            let own = stored.target.split_once('?').map_or("", |(_, query)| query);
            let all: Vec<&str> = [own, more].into_iter().filter(|query| !query.is_empty()).collect();
            if all.is_empty() {
                return String::new();
            }
            format!("?{}", all.join("&"))
        };
        let as_stored = ask(&later, post(&query(""), kept(), stored.body.clone()))
            .await
            .status();
        assert_eq!(
            as_stored.is_success(),
            TIMELESS.contains(&platform),
            "{platform}: as it is stored"
        );
        if STALE.contains(&platform) || TIMELESS.contains(&platform) && proof.headers.is_empty() {
            assert!(proof.headers.is_empty() && proof.body.is_none(), "{platform}");
            continue;
        }
        let names: Vec<_> = proof.headers.iter().map(|(name, _)| name.to_lowercase()).collect();
        let headers = kept().filter(|(name, _)| !names.contains(&name.to_lowercase())).chain(
            proof
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.expose_bytes())),
        );
        let query = query(proof.query.as_ref().map_or("", |query| query.expose()));
        let body = proof.body.clone().unwrap_or_else(|| stored.body.clone());
        let proved = ask(&later, post(&query, headers, body)).await.status();
        assert!(proved.is_success(), "{platform}: {proved}");
        assert_eq!(later.store.appends.lock().unwrap().len(), 1, "{platform}");
    }
    let gone = Stage::new();
    let nothing = Unproved {
        method: &http::Method::POST,
        target: "/",
        headers: &http::HeaderMap::new(),
        body: &Bytes::new(),
    };
    let now = crate::clock::Clock::now(&*gone.clock);
    assert_eq!(gone.routes.proof(&t(), &nothing, now).err(), Some(Unprovable::Gone));
}

/// The platforms whose proof is in the body: what cannot be read is a 400.
const PROVED_INSIDE: [&str; 4] = ["mattermost", "qqbot", "synology-chat", "wecom"];

#[tokio::test]
async fn no_refusal_tells_a_secret() {
    let secret = "hunter2-hunter2";
    for (platform, _) in PLATFORMS.iter().filter(|(platform, _)| *platform != "discord") {
        let mut settings = ready("t", platform);
        settings.secrets = vec![Secret::new(secret)];
        settings.verify_tokens = vec![Secret::new(secret)];
        settings.signature.header = Some("x-sig".into());
        let stage = Stage::with(settings);
        let request = http::Request::post(format!("/webhook/t?password={secret}!"))
            .header("authorization", format!("Bearer {secret}!"))
            .header("x-sig", format!("{secret}!"))
            .header("x-telegram-bot-api-secret-token", format!("{secret}!"))
            .header("x-bot-api-secret-token", format!("{secret}!"))
            .header("x-gitlab-token", format!("{secret}!"))
            .header("stripe-signature", format!("t=1,v1={secret}"))
            .header("x-line-signature", secret)
            .body(Full::new(Bytes::from(format!("{{{secret}"))))
            .unwrap();
        let refused = ask(&stage, request).await;
        let status = refused.status();
        let said = refused.into_body().collect().await.unwrap().to_bytes();
        if PROVED_INSIDE.contains(platform) {
            assert_eq!(status, StatusCode::BAD_REQUEST, "{platform}");
            assert!(!String::from_utf8_lossy(&said).contains(secret), "{platform}");
        } else {
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{platform}");
            assert_eq!(said, r#"{"error":"signature verification failed"}"#);
        }
        assert!(
            !format!("{:?}", stage.store.notes.lock().unwrap()).contains(secret),
            "{platform}"
        );
    }
}
