//! Any source that signs as standardwebhooks.com says (and Svix, by its own header names).

use std::time::Duration;

use ed25519_dalek::VerifyingKey;
use jiff::Timestamp;

use super::{FieldError, Platform, Reading, Sample, SampleOf};
use crate::document::Inbound;
use crate::inbound::json::Json;
use crate::inbound::normalise::Source;
use crate::inbound::request::{Answer, Refusal, Request};
use crate::inbound::signature::{self, HmacKey};
use crate::inbound::standard_webhooks::{self, Trio};
use crate::proof::Proof;

struct Standard {
    keys: Vec<HmacKey>,
    public_keys: Vec<VerifyingKey>,
    tolerance: Duration,
}

pub(super) fn build(settings: &Inbound) -> Result<Box<dyn Platform>, FieldError> {
    if settings.public_keys.is_empty() {
        super::secrets(settings)?; // either field is enough
    }
    let keys = settings
        .secrets
        .iter()
        .map(|secret| signature::standard_key(secret).map_err(|why| FieldError::new("secret", why)))
        .collect::<Result<_, _>>()?;
    // What is no key lets nothing in.
    let public_keys = settings
        .public_keys
        .iter()
        .filter_map(|text| signature::ed25519_key(&signature::base64_key(text.strip_prefix("whpk_")?)?))
        .collect();
    Ok(Box::new(Standard {
        keys,
        public_keys,
        tolerance: super::tolerance(settings),
    }))
}

impl Platform for Standard {
    fn verify(&self, request: &Request, now: Timestamp) -> Result<(), Refusal> {
        if self.keys.is_empty() && self.public_keys.is_empty() {
            return Err(Refusal::signature(
                "no key can verify it: the public key is no `whpk_` and the base64 of an Ed25519 key",
            ));
        }
        Trio::of_either_name(request)?.verify(&request.body, &self.keys, &self.public_keys, now, self.tolerance)
    }

    fn read(&self, request: &Request, source: &Source) -> Result<Reading, Refusal> {
        let body = request.json()?;
        let id = match request.header(standard_webhooks::ID)? {
            Some(id) if request.header(standard_webhooks::SIGNATURE)?.is_some() => Some(id),
            other => request.header("svix-id")?.or(other),
        };
        let key = id.unwrap_or_else(|| request.hash()).to_owned();
        let kind = body.get("type").and_then(Json::as_text).unwrap_or("unknown");
        Ok(Reading::one(source.webhook(kind, Some(key), &body), Answer::empty()))
    }

    fn prove(&self, request: &Request, now: Timestamp) -> Proof {
        let named = |name| request.header(name).ok().flatten();
        // Ed25519: only the sender has the key.
        if self.keys.is_empty() {
            return Proof::default();
        }
        if let (Some(id), None) = (named("svix-id"), named(standard_webhooks::SIGNATURE)) {
            let headers = standard_webhooks::signed_headers(id, now, &request.body, &self.keys);
            return Proof::of(
                headers
                    .into_iter()
                    .map(|(name, value)| (name.replace("webhook-", "svix-"), value)),
            );
        }
        match named(standard_webhooks::ID) {
            Some(id) => Proof::of(standard_webhooks::signed_headers(id, now, &request.body, &self.keys)),
            None => Proof::default(),
        }
    }

    fn sample(&self, sample: &SampleOf<'_>) -> Option<Sample> {
        if self.keys.is_empty() {
            return None;
        }
        let id = (standard_webhooks::ID.to_owned(), sample.id.to_owned());
        Some(Sample::proved(self, sample.now, super::sample_body(sample), [id]))
    }
}
