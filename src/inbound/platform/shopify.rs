//! Shopify: "Deliver webhooks through HTTPS".

use jiff::Timestamp;

use super::{FieldError, Platform, Reading, Sample, SampleOf};
use crate::document::Inbound;
use crate::document::settings::Encoding;
use crate::inbound::normalise::Source;
use crate::inbound::request::{Answer, Refusal, Request};
use crate::inbound::signature::{self, HmacKey};
use crate::proof::Proof;

const SIGNATURE: &str = "X-Shopify-Hmac-Sha256";
const TOPIC: &str = "X-Shopify-Topic";
const ID: &str = "X-Shopify-Webhook-Id";

struct Shopify {
    keys: Vec<HmacKey>,
}

pub(super) fn build(settings: &Inbound) -> Result<Box<dyn Platform>, FieldError> {
    Ok(Box::new(Shopify {
        keys: HmacKey::sha256_of(&super::secrets(settings)?),
    }))
}

impl Platform for Shopify {
    fn verify(&self, request: &Request, _: Timestamp) -> Result<(), Refusal> {
        let signed = request.required_header(SIGNATURE)?;
        let code = signature::decode(signed, "", Encoding::Base64, SIGNATURE)?;
        signature::any_verifies(&self.keys, &[&request.body], &code, SIGNATURE)
    }

    fn read(&self, request: &Request, source: &Source) -> Result<Reading, Refusal> {
        let body = request.json()?;
        let key = request.header(ID)?.unwrap_or_else(|| request.hash()).to_owned();
        let kind = request.header(TOPIC)?.unwrap_or("unknown");
        Ok(Reading::one(source.webhook(kind, Some(key), &body), Answer::empty()))
    }

    fn prove(&self, request: &Request, _: Timestamp) -> Proof {
        Proof::of(self.keys.first().map(|key| {
            let code = signature::encode(&key.sign(&[&request.body]), Encoding::Base64);
            (SIGNATURE.to_owned(), code)
        }))
    }

    fn sample(&self, sample: &SampleOf<'_>) -> Option<Sample> {
        let headers = [
            (TOPIC.to_owned(), "webhook/test".to_owned()),
            (ID.to_owned(), sample.id.to_owned()),
        ];
        Some(Sample::proved(self, sample.now, super::sample_body(sample), headers))
    }
}
