//! GitHub: "Validating webhook deliveries". The SHA-1 header of old is not looked at.

use jiff::Timestamp;

use super::{FieldError, Platform, Reading, Sample, SampleOf};
use crate::document::Inbound;
use crate::document::settings::Encoding;
use crate::inbound::json::Json;
use crate::inbound::normalise::{Normalised, Source};
use crate::inbound::request::{Answer, Refusal, Request};
use crate::inbound::signature::{self, HmacKey};
use crate::proof::Proof;

const SIGNATURE: &str = "X-Hub-Signature-256";
const DELIVERY: &str = "X-GitHub-Delivery";
const EVENT: &str = "X-GitHub-Event";

struct GitHub {
    keys: Vec<HmacKey>,
}

pub(super) fn build(settings: &Inbound) -> Result<Box<dyn Platform>, FieldError> {
    Ok(Box::new(GitHub {
        keys: HmacKey::sha256_of(&super::secrets(settings)?),
    }))
}

impl Platform for GitHub {
    fn max_body_bytes(&self) -> u64 {
        25 * 1024 * 1024 // GitHub's own limit of a payload
    }

    fn verify(&self, request: &Request, _: Timestamp) -> Result<(), Refusal> {
        let signed = request.required_header(SIGNATURE)?;
        let code = signature::decode(signed, "sha256=", Encoding::Hex, SIGNATURE)?;
        signature::any_verifies(&self.keys, &[&request.body], &code, SIGNATURE)
    }

    fn read(&self, request: &Request, source: &Source) -> Result<Reading, Refusal> {
        let key = request.header(DELIVERY)?.unwrap_or_else(|| request.hash()).to_owned();
        let kind = request.header(EVENT)?;
        let event = if request.is_form() {
            event(kind, key, &super::payload(&request.form()?)?, source)
        } else {
            event(kind, key, &request.json()?, source)
        };
        Ok(Reading::one(event, Answer::empty()))
    }

    fn prove(&self, request: &Request, _: Timestamp) -> Proof {
        Proof::of(self.keys.first().map(|key| {
            let code = hex::encode(key.sign(&[&request.body]));
            (SIGNATURE.to_owned(), format!("sha256={code}"))
        }))
    }

    fn sample(&self, sample: &SampleOf<'_>) -> Option<Sample> {
        let headers = [
            (EVENT.to_owned(), "ping".to_owned()),
            (DELIVERY.to_owned(), sample.id.to_owned()),
        ];
        Some(Sample::proved(self, sample.now, super::sample_body(sample), headers))
    }
}

fn event(kind: Option<&str>, key: String, body: &Json<'_>, source: &Source) -> Normalised {
    match (kind, body.get("action").and_then(Json::as_text)) {
        (Some(kind), Some(action)) => source.webhook(&format!("{kind}.{action}"), Some(key), body),
        (kind, _) => source.webhook(kind.unwrap_or("unknown"), Some(key), body),
    }
}
