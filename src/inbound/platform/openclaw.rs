//! Another gateway of ours: its events are taken over whole.

use jiff::Timestamp;

use super::{FieldError, Platform, Reading, Sample, SampleOf};
use crate::document::Inbound;
use crate::event::EventName;
use crate::inbound::delivery::{DeliveryProof, SIGNATURE};
use crate::inbound::json::{Json, write_text};
use crate::inbound::normalise::{Normalised, Source};
use crate::inbound::request::{Answer, Refusal, Request};
use crate::inbound::standard_webhooks;
use crate::proof::Proof;

struct OpenClaw {
    proof: DeliveryProof,
    verifies: bool,
}

pub(super) fn build(settings: &Inbound) -> Result<Box<dyn Platform>, FieldError> {
    let proof = DeliveryProof::new(&super::secrets(settings)?, super::tolerance(settings))
        .map_err(|why| FieldError::new("secret", why))?;
    Ok(Box::new(OpenClaw {
        proof,
        verifies: settings.verify_signature,
    }))
}

impl Platform for OpenClaw {
    fn verify(&self, request: &Request, now: Timestamp) -> Result<(), Refusal> {
        self.proof.verify(request, now)
    }

    fn read(&self, request: &Request, source: &Source) -> Result<Reading, Refusal> {
        let mut body = request.json()?;
        let key = request
            .header(standard_webhooks::ID)?
            .unwrap_or_else(|| request.hash())
            .to_owned();
        if !self.verifies {
            forget_mark(&mut body);
        }
        let event = whole(&body, &key).unwrap_or_else(|| {
            let kind = ["event", "type"].into_iter().find_map(|name| body.get(name)?.as_text());
            source.webhook(kind.unwrap_or("unknown"), Some(key.clone()), &body)
        });
        Ok(Reading::one(event, Answer::empty()))
    }

    fn prove(&self, request: &Request, now: Timestamp) -> Proof {
        let Ok(Some(id)) = request.header(standard_webhooks::ID) else {
            return Proof::default();
        };
        let mut headers = standard_webhooks::signed_headers(id, now, &request.body, self.proof.trio_keys());
        let signature = self.proof.sign_body(&request.body);
        headers.extend(signature.map(|signature| (SIGNATURE.to_owned(), signature)));
        Proof::of(headers)
    }

    fn sample(&self, sample: &SampleOf<'_>) -> Option<Sample> {
        let at = crate::clock::rfc3339_seconds(sample.now);
        let mut body = format!(r#"{{"event":"webhook.test","timestamp":"{at}","data":{{"message":"#);
        write_text(&mut body, sample.text);
        body.push_str("}}");
        let id = (standard_webhooks::ID.to_owned(), sample.id.to_owned());
        Some(Sample::proved(self, sample.now, body, [id]))
    }
}

/// The event that the other gateway sent; `None`: the body is of another shape.
fn whole(body: &Json<'_>, key: &str) -> Option<Normalised> {
    let data = body.object("data").ok()??;
    Some(Normalised {
        name: EventName::parse(body.get("event")?.as_text()?)?,
        data: data.to_text(),
        session: data.get("sessionId").and_then(Json::as_text).map(str::to_owned),
        key: Some(key.to_owned()),
        timestamp: Some(body.get("timestamp")?.as_text()?.parse().ok()?),
    })
}

/// On a route that verifies nothing `verified` is ours to say, whatever the sender wrote.
fn forget_mark(body: &mut Json<'_>) {
    if let Json::Object(members) = body
        && let Some((_, Json::Object(data))) = members.iter_mut().find(|(name, _)| name == "data")
    {
        data.retain(|(name, _)| name != "verified");
    }
}
