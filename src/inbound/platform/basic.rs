//! A source that sends name and password: `Authorization: Basic` (RFC 7617, UTF-8).

use jiff::Timestamp;
use zeroize::Zeroizing;

use super::{FieldError, Naming, Platform, Reading, Sample, SampleOf};
use crate::document::Inbound;
use crate::document::settings::Encoding;
use crate::inbound::normalise::Source;
use crate::inbound::request::{Refusal, Request};
use crate::inbound::signature;
use crate::proof::Proof;
use crate::secret::Secret;

struct Basic {
    /// `username:secret`, for each secret.
    pairs: Vec<Secret>,
    naming: Naming,
}

pub(super) fn build(settings: &Inbound) -> Result<Box<dyn Platform>, FieldError> {
    let secrets = super::secrets(settings)?;
    let pairs = match &settings.username {
        Some(name) if name.contains(':') => {
            return Err(FieldError::new("username", "RFC 7617 allows no `:` in it"));
        }
        Some(name) => secrets
            .iter()
            .map(|secret| Secret::new(format!("{name}:{}", secret.expose())))
            .collect(),
        None if settings.verify_signature => {
            return Err(FieldError::new(
                "username",
                "platform `basic` cannot verify a request without it",
            ));
        }
        None => Vec::new(),
    };
    Ok(Box::new(Basic {
        pairs,
        naming: Naming::of(settings),
    }))
}

impl Platform for Basic {
    fn verify(&self, request: &Request, _: Timestamp) -> Result<(), Refusal> {
        let text = super::credentials(request, "Basic")?;
        let pair = signature::base64(text)
            .map(Zeroizing::new)
            .ok_or_else(|| Refusal::signature("the credentials in authorization are not base64"))?;
        if signature::any_matches(&self.pairs, &pair) {
            Ok(())
        } else {
            Err(Refusal::signature("name or password in authorization is wrong"))
        }
    }

    fn read(&self, request: &Request, source: &Source) -> Result<Reading, Refusal> {
        self.naming.read(request, source)
    }

    fn prove(&self, _: &Request, _: Timestamp) -> Proof {
        let pair = self.pairs.first();
        let text = pair.map(|pair| signature::encode(pair.expose_bytes(), Encoding::Base64));
        Proof::token("authorization", text.map(|text| format!("Basic {text}")))
    }

    fn sample(&self, sample: &SampleOf<'_>) -> Option<Sample> {
        let headers = self.naming.sample_headers(sample);
        Some(Sample::proved(self, sample.now, super::sample_body(sample), headers))
    }
}
