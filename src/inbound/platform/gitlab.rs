//! GitLab: "Webhooks". A secret token in `X-Gitlab-Token`; where GitLab signs (its signing token), that is checked
//! instead.

use std::time::Duration;

use http::HeaderName;
use jiff::Timestamp;

use super::{FieldError, Platform, Reading, Sample, SampleOf};
use crate::document::Inbound;
use crate::inbound::json::{Json, quoted};
use crate::inbound::normalise::Source;
use crate::inbound::request::{Answer, Refusal, Request};
use crate::inbound::signature::{self, HmacKey};
use crate::inbound::standard_webhooks::{self, Trio};
use crate::proof::Proof;
use crate::secret::Secret;

const TOKEN: &str = "X-Gitlab-Token";
const RETRY: &str = "Idempotency-Key";
const EVENT: &str = "X-Gitlab-Event-UUID";

struct GitLab {
    secrets: Vec<Secret>,
    keys: Vec<HmacKey>,
    tolerance: Duration,
}

pub(super) fn build(settings: &Inbound) -> Result<Box<dyn Platform>, FieldError> {
    let secrets = super::secrets(settings)?;
    let keys = secrets
        .iter()
        .map(|secret| signature::standard_key(secret).map_err(|why| FieldError::new("secret", why)))
        .collect::<Result<_, _>>()?;
    Ok(Box::new(GitLab {
        secrets,
        keys,
        tolerance: super::tolerance(settings),
    }))
}

fn is_signed(request: &Request) -> Result<bool, Refusal> {
    Ok(request.header(standard_webhooks::SIGNATURE)?.is_some())
}

impl Platform for GitLab {
    fn credential_headers(&self) -> Vec<HeaderName> {
        vec![HeaderName::from_static("x-gitlab-token")]
    }

    fn verify(&self, request: &Request, now: Timestamp) -> Result<(), Refusal> {
        if is_signed(request)? {
            return Trio::of(request)?.verify(&request.body, &self.keys, &[], now, self.tolerance);
        }
        super::fixed_token(&self.secrets, request.required_header(TOKEN)?, TOKEN)
    }

    fn read(&self, request: &Request, source: &Source) -> Result<Reading, Refusal> {
        let body = request.json()?;
        // `webhook-id` repeats `Idempotency-Key`, and it is the one of the two that is signed.
        let id = if is_signed(request)? {
            request.header(standard_webhooks::ID)?
        } else {
            None
        };
        let id = match id {
            Some(id) => Some(id),
            None => request
                .header(RETRY)?
                .map_or_else(|| request.header(EVENT), |id| Ok(Some(id)))?,
        };
        let key = id.unwrap_or_else(|| request.hash()).to_owned();
        let kind = ["object_kind", "event_name"]
            .into_iter()
            .find_map(|name| body.get(name)?.as_text())
            .unwrap_or("unknown");
        let action = body.get("object_attributes").and_then(|inside| inside.get("action"));
        let event = match action.and_then(Json::as_text) {
            Some(action) => source.webhook(&format!("{kind}.{action}"), Some(key), &body),
            None => source.webhook(kind, Some(key), &body),
        };
        Ok(Reading::one(event, Answer::empty()))
    }

    fn prove(&self, request: &Request, now: Timestamp) -> Proof {
        let Some(secret) = self.secrets.first() else {
            return Proof::default();
        };
        match request.header(standard_webhooks::ID) {
            // It was signed, or is to be.
            Ok(Some(id)) if is_signed(request).unwrap_or(false) || secret.expose().starts_with("whsec_") => {
                Proof::of(standard_webhooks::signed_headers(id, now, &request.body, &self.keys))
            }
            _ => Proof::token(TOKEN, Some(secret.expose().to_owned())),
        }
    }

    fn sample(&self, sample: &SampleOf<'_>) -> Option<Sample> {
        let body = format!(r#"{{"object_kind":"test","message":{}}}"#, quoted(sample.text));
        let mut headers = vec![(RETRY.to_owned(), sample.id.to_owned())];
        let signs = |secret: &Secret| secret.expose().starts_with("whsec_");
        if self.secrets.first().is_some_and(signs) {
            headers.push((standard_webhooks::ID.to_owned(), sample.id.to_owned()));
        }
        Some(Sample::proved(self, sample.now, body, headers))
    }
}
