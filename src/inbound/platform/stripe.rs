//! Stripe: "Verify webhook signatures manually". The secret signs as it is written, `whsec_` and all.

use std::time::Duration;

use jiff::Timestamp;

use super::{FieldError, Platform, Reading, Sample, SampleOf};
use crate::document::Inbound;
use crate::inbound::json::Json;
use crate::inbound::normalise::Source;
use crate::inbound::request::{Answer, Refusal, Request};
use crate::inbound::signature::{self, HmacKey};
use crate::proof::Proof;

const SIGNATURE: &str = "Stripe-Signature";

/// The most `v1` of a signature header that are looked at; Stripe sends one for each secret that is in use.
const MAX_ENTRIES: usize = 16;

struct Stripe {
    keys: Vec<HmacKey>,
    tolerance: Duration,
}

pub(super) fn build(settings: &Inbound) -> Result<Box<dyn Platform>, FieldError> {
    Ok(Box::new(Stripe {
        keys: HmacKey::sha256_of(&super::secrets(settings)?),
        tolerance: super::tolerance(settings),
    }))
}

/// The values of one name in `t=…,v1=…,v1=…`.
fn entries<'a>(header: &'a str, name: &'static str) -> impl Iterator<Item = &'a str> {
    header
        .split(',')
        .filter_map(|entry| entry.split_once('='))
        .filter_map(move |(n, value)| (n == name).then_some(value))
}

impl Platform for Stripe {
    fn verify(&self, request: &Request, now: Timestamp) -> Result<(), Refusal> {
        let header = request.required_header(SIGNATURE)?;
        let timestamp = entries(header, "t")
            .next()
            .ok_or_else(|| Refusal::signature(format!("{SIGNATURE} has no `t`")))?;
        signature::within_window(timestamp, now, self.tolerance, SIGNATURE)?;
        let parts: [&[u8]; 3] = [timestamp.as_bytes(), b".", &request.body];
        let holds = entries(header, "v1")
            .take(MAX_ENTRIES)
            .filter_map(|text| hex::decode(text).ok())
            .any(|code| self.keys.iter().any(|key| key.verifies(&parts, &code)));
        if holds {
            Ok(())
        } else {
            Err(Refusal::signature(format!("no `v1` in {SIGNATURE} matches")))
        }
    }

    fn read(&self, request: &Request, source: &Source) -> Result<Reading, Refusal> {
        let body = request.json()?;
        let key = match body.text("id") {
            Ok(Some(id)) => id.to_owned(),
            _ => request.hash_at(
                request
                    .header(SIGNATURE)?
                    .and_then(|header| entries(header, "t").next()),
            ),
        };
        let kind = body.get("type").and_then(Json::as_text).unwrap_or("unknown");
        Ok(Reading::one(source.webhook(kind, Some(key), &body), Answer::empty()))
    }

    fn prove(&self, request: &Request, now: Timestamp) -> Proof {
        Proof::of(self.keys.first().map(|key| {
            let timestamp = now.as_second().to_string();
            let code = hex::encode(key.sign(&[timestamp.as_bytes(), b".", &request.body]));
            (SIGNATURE.to_owned(), format!("t={timestamp},v1={code}"))
        }))
    }

    fn sample(&self, sample: &SampleOf<'_>) -> Option<Sample> {
        Some(Sample::proved(self, sample.now, super::sample_body(sample), []))
    }
}
