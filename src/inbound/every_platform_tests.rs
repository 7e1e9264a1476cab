//! What holds for every platform alike.

use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Full};

use super::fake::{Stage, ready};
use super::platform::PLATFORMS;
use super::tests::{ask, t};
use crate::secret::Secret;

/// Whether only the platform has the key that signs.
fn keeps_its_key(platform: &str) -> bool {
    matches!(platform, "discord" | "googlechat" | "msteams")
}

#[tokio::test]
async fn a_sample_is_accepted_by_its_own_route() {
    for (platform, _) in PLATFORMS {
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
        let stage = Stage::with(settings);
        for _ in 0..2 {
            stage.clock.advance_ms(1);
            let Some(sample) = stage.routes.sample(&t(), "测试 \"1\"") else {
                assert!(keeps_its_key(platform), "{platform} has a sample");
                continue;
            };
            let query = sample.query.as_ref();
            let query = query.map(|query| format!("?{}", query.expose())).unwrap_or_default();
            let mut request = http::Request::post(format!("/webhook/t{query}"));
            for (name, value) in &sample.headers {
                request = request.header(name, value.expose());
            }
            assert!(!format!("{sample:?}").contains("secret-1"), "{platform}");
            let reply = ask(&stage, request.body(Full::new(sample.body.into())).unwrap()).await;
            assert!(reply.status().is_success(), "{platform}");
            let data = stage.last(|append| append.events[0].event.data.get().to_owned());
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
