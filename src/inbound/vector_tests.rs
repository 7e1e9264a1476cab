//! Every known answer of the platforms built so far, through `Routes::handle` with a store in memory.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use http_body_util::{BodyExt, Full};
use serde_json::{Map, Value};

use super::fake::{Stage, inbound};
use super::{Peer, platform};
use crate::clock::{ManualClock, from_ms, rfc3339_seconds};
use crate::document::Inbound;
use crate::document::settings::{Encoding, HashAlgorithm, Jwks};
use crate::secret::Secret;
use std::sync::Arc;

#[path = "../../tests/it/vector_core.rs"]
mod core;
pub(super) use core::{Case, Reply, SeenEvent, differences, groups};

/// The settings that a case's `inbound` means.
pub(super) fn settings(platform: &str, fields: &Map<String, Value>) -> Inbound {
    let (name, _) = platform::PLATFORMS
        .iter()
        .find(|(name, _)| *name == platform)
        .expect("a platform of this release");
    let mut settings = inbound(platform, name);
    settings.secrets.clear();
    let texts = |value: &Value| -> Vec<String> {
        match value {
            Value::Array(items) => items.iter().map(|item| item.as_str().unwrap().to_owned()).collect(),
            one => vec![one.as_str().unwrap().to_owned()],
        }
    };
    for (field, value) in fields {
        match field.as_str() {
            "channel" => settings.channel = value.as_str().unwrap().to_owned(),
            "platform" => assert_eq!(value, platform),
            "secret" => settings.secrets = texts(value).into_iter().map(Secret::new).collect(),
            "verifyToken" => settings.verify_tokens = texts(value).into_iter().map(Secret::new).collect(),
            "publicKey" => settings.public_keys = texts(value),
            "encryptKey" => settings.encrypt_keys = texts(value).into_iter().map(Secret::new).collect(),
            "corpId" => settings.corp_id = Some(value.as_str().unwrap().to_owned()),
            "url" => settings.url = Some(value.as_str().unwrap().to_owned()),
            "audience" => settings.audience = Some(value.as_str().unwrap().to_owned()),
            "jwks" => settings.jwks = Some(Jwks::Inline(value.to_string())),
            "username" => settings.username = Some(value.as_str().unwrap().to_owned()),
            "verifySignature" => settings.verify_signature = value.as_bool().unwrap(),
            "maxBodyBytes" => settings.max_body_bytes = value.as_u64(),
            "tolerance" => settings.tolerance = value.as_u64().map(Duration::from_millis),
            "signature" => scheme(&mut settings, value.as_object().unwrap()),
            other => panic!("a field that this test does not know: {other}"),
        }
    }
    settings
}

fn scheme(settings: &mut Inbound, fields: &Map<String, Value>) {
    let scheme = &mut settings.signature;
    for (field, value) in fields {
        let text = value.as_str().unwrap().to_owned();
        match (field.as_str(), text.as_str()) {
            ("header", _) => scheme.header = Some(text),
            ("algorithm", "sha1") => scheme.algorithm = HashAlgorithm::Sha1,
            ("algorithm", "sha256") => scheme.algorithm = HashAlgorithm::Sha256,
            ("algorithm", "sha512") => scheme.algorithm = HashAlgorithm::Sha512,
            ("encoding", "hex") => scheme.encoding = Encoding::Hex,
            ("encoding", "base64") => scheme.encoding = Encoding::Base64,
            ("prefix", _) => scheme.prefix = text,
            ("timestampHeader", _) => scheme.timestamp_header = Some(text),
            ("template", _) => scheme.template = Some(text),
            ("idHeader", _) => scheme.id_header = Some(text),
            ("typeHeader", _) => scheme.type_header = Some(text),
            ("typeField", _) => scheme.type_field = Some(text),
            (other, _) => panic!("a field that this test does not know: signature.{other}"),
        }
    }
}

/// A stage with the route of a group of cases; the verifying clock stands at the cases' time, the other one does not.
pub(super) fn stage(case: &Case) -> Stage {
    let mut stage = Stage::new();
    stage.routes = super::Routes::new(
        stage.store.clone(),
        Arc::new(crate::clock::SystemClock),
        Arc::new(ManualClock::at(from_ms(case.now * 1000))),
    );
    stage.put(settings(&case.platform, &case.inbound));
    stage
}

/// The request of a case.
pub(super) fn request(case: &Case) -> http::Request<Full<Bytes>> {
    let mut request = http::Request::builder()
        .method(case.request.method.as_str())
        .uri(&case.request.path);
    for (name, value) in &case.request.headers {
        request = request.header(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    request.body(Full::new(case.request.body().into())).unwrap()
}

/// Sends a request and says what came back, and what was stored since.
pub(super) async fn send(stage: &Stage, request: http::Request<Full<Bytes>>) -> Reply {
    let before = stage.store.appends.lock().unwrap().len();
    let response = stage.routes.handle(request, Peer::Ip([127, 0, 0, 1].into())).await;
    let header = |name: &str| {
        let value = response.headers().get(name)?;
        Some(value.to_str().unwrap().to_owned())
    };
    let (content_type, durable) = (header("content-type"), header("x-openclaw-delivery-accepted"));
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes().to_vec();
    let events = stage.store.appends.lock().unwrap()[before..]
        .iter()
        .flat_map(|append| &append.events)
        .map(|new| SeenEvent {
            event: new.event.name.to_string(),
            timestamp: rfc3339_seconds(new.event.timestamp),
            data: new.event.data.as_str().to_owned(),
        })
        .collect();
    Reply {
        status,
        content_type,
        durable,
        body,
        events,
    }
}

#[tokio::test]
async fn every_known_answer_holds() {
    let mut wrong = Vec::new();
    let mut cases = 0;
    for (platform, _) in platform::PLATFORMS {
        for group in groups(platform) {
            let stage = stage(&group[0]);
            for case in &group {
                let reply = send(&stage, request(case)).await;
                wrong.extend(differences(case, &reply));
                cases += 1;
            }
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    assert!(cases > 100, "only {cases} cases ran");
}
