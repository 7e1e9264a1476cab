//! Shopify: "Deliver webhooks through HTTPS".

use jiff::Timestamp;

use super::{FieldError, Platform, Reading, Sample, SampleOf};
use crate::document::Inbound;
use crate::document::settings::Encoding;
use crate::inbound::normalise::Source;
use crate::inbound::request::{Answer, Refusal, Request};
use crate::inbound::signature::{self, HmacKey};

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

    fn sample(&self, sample: &SampleOf<'_>) -> Option<Sample> {
        let body = super::sample_body(sample);
        let mut headers = vec![
            (TOPIC.to_owned(), "webhook/test".to_owned()),
            (ID.to_owned(), sample.id.to_owned()),
        ];
        if let Some(key) = self.keys.first() {
            let code = signature::encode(&key.sign(&[body.as_bytes()]), Encoding::Base64);
            headers.push((SIGNATURE.to_owned(), code));
        }
        Some(Sample::json(body, headers))
    }
}
