//! A source that sends a fixed token: `Authorization: Bearer`, or a header of its own.

use http::HeaderName;
use jiff::Timestamp;

use super::{FieldError, Naming, Platform, Reading, Sample, SampleOf};
use crate::document::Inbound;
use crate::inbound::normalise::Source;
use crate::inbound::request::{Refusal, Request};
use crate::proof::Proof;
use crate::secret::Secret;

struct Token {
    secrets: Vec<Secret>,
    header: Option<HeaderName>,
    naming: Naming,
}

pub(super) fn build(settings: &Inbound) -> Result<Box<dyn Platform>, FieldError> {
    let header = settings
        .signature
        .header
        .as_deref()
        .map(super::header_name)
        .transpose()?;
    Ok(Box::new(Token {
        secrets: super::secrets(settings)?,
        header,
        naming: Naming::of(settings),
    }))
}

impl Platform for Token {
    fn credential_headers(&self) -> Vec<HeaderName> {
        self.header.clone().into_iter().collect()
    }

    fn verify(&self, request: &Request, _: Timestamp) -> Result<(), Refusal> {
        let (token, name) = match &self.header {
            Some(name) => (request.required_header(name.as_str())?, name.as_str()),
            None => (super::credentials(request, "Bearer")?, "authorization"),
        };
        super::fixed_token(&self.secrets, token, name)
    }

    fn read(&self, request: &Request, source: &Source) -> Result<Reading, Refusal> {
        self.naming.read(request, source)
    }

    fn prove(&self, _: &Request, _: Timestamp) -> Proof {
        Proof::of(self.secrets.first().map(|secret| match &self.header {
            Some(name) => (name.to_string(), secret.expose().to_owned()),
            None => ("authorization".to_owned(), format!("Bearer {}", secret.expose())),
        }))
    }

    fn sample(&self, sample: &SampleOf<'_>) -> Option<Sample> {
        let headers = self.naming.sample_headers(sample);
        Some(Sample::proved(self, sample.now, super::sample_body(sample), headers))
    }
}
