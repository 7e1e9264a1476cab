//! A source whose HMAC scheme the document describes: `signature`.

use std::time::Duration;

use jiff::Timestamp;

use super::{FieldError, Naming, Platform, Reading, Sample, SampleOf};
use crate::document::Inbound;
use crate::document::settings::Encoding;
use crate::inbound::normalise::Source;
use crate::inbound::request::{Refusal, Request};
use crate::inbound::signature::{self, HmacKey};
use crate::proof::Proof;

struct Generic {
    keys: Vec<HmacKey>,
    header: Box<str>,
    encoding: Encoding,
    prefix: Box<str>,
    timestamp_header: Option<Box<str>>,
    tolerance: Duration,
    template: Vec<Part>,
    naming: Naming,
}

/// A piece of what is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Id,
    Timestamp,
    Body,
}

pub(super) fn build(settings: &Inbound) -> Result<Box<dyn Platform>, FieldError> {
    let scheme = &settings.signature;
    if scheme.header.is_none() && settings.verify_signature {
        return Err(FieldError::new(
            "signature.header",
            "platform `generic` must know which header carries the signature, such as `X-Signature`",
        ));
    }
    for name in [&scheme.header, &scheme.timestamp_header].into_iter().flatten() {
        super::header_name(name)?;
    }
    let template = template(scheme.template.as_deref().unwrap_or("{body}"))?;
    let signs_time = template.contains(&Part::Timestamp);
    if settings.verify_signature && signs_time != scheme.timestamp_header.is_some() {
        let problem = if signs_time {
            "`signature.template` signs a `{timestamp}`: name the header that carries it"
        } else {
            // A time that is not signed proves nothing: it would only look like replay protection.
            "it is there, and `signature.template` does not sign `{timestamp}`"
        };
        return Err(FieldError::new("signature.timestampHeader", problem));
    }
    let keys = super::secrets(settings)?
        .iter()
        .map(|secret| HmacKey::new(scheme.algorithm, secret.expose_bytes()))
        .collect();
    Ok(Box::new(Generic {
        keys,
        header: scheme.header.as_deref().unwrap_or_default().into(),
        encoding: scheme.encoding,
        prefix: scheme.prefix.as_str().into(),
        timestamp_header: scheme.timestamp_header.as_deref().map(Into::into),
        tolerance: super::tolerance(settings),
        template,
        naming: Naming::of(settings),
    }))
}

fn template(mut text: &str) -> Result<Vec<Part>, FieldError> {
    let wrong = |problem: &str| FieldError::new("signature.template", problem);
    let mut parts = Vec::new();
    while let Some(open) = text.find('{') {
        let close = text[open..].find('}').map(|at| open + at);
        let part = match close.map(|close| &text[open + 1..close]) {
            Some("id") => Part::Id,
            Some("timestamp") => Part::Timestamp,
            Some("body") => Part::Body,
            _ => return Err(wrong("in braces only `{id}`, `{timestamp}` and `{body}` are known")),
        };
        if open > 0 {
            parts.push(Part::Text(text[..open].into()));
        }
        parts.push(part);
        text = &text[close.map_or(text.len(), |close| close + 1)..];
    }
    if !text.is_empty() {
        parts.push(Part::Text(text.into()));
    }
    if parts.contains(&Part::Body) {
        Ok(parts)
    } else {
        Err(wrong("it must hold `{body}`: else anybody could send any body"))
    }
}

impl Generic {
    fn signed<'a>(&'a self, id: &'a str, timestamp: &'a str, body: &'a [u8]) -> Vec<&'a [u8]> {
        self.template
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.as_bytes(),
                Part::Id => id.as_bytes(),
                Part::Timestamp => timestamp.as_bytes(),
                Part::Body => body,
            })
            .collect()
    }
}

impl Platform for Generic {
    fn verify(&self, request: &Request, now: Timestamp) -> Result<(), Refusal> {
        let signed = request.required_header(&self.header)?;
        let code = signature::decode(signed, &self.prefix, self.encoding, &self.header)?;
        let timestamp = match &self.timestamp_header {
            Some(name) => {
                let timestamp = request.required_header(name)?;
                signature::within_window(timestamp, now, self.tolerance, name)?;
                timestamp
            }
            None => "",
        };
        let id = if self.template.contains(&Part::Id) {
            request.required_header(&self.naming.id_header)?
        } else {
            ""
        };
        let parts = self.signed(id, timestamp, &request.body);
        signature::any_verifies(&self.keys, &parts, &code, &self.header)
    }

    fn read(&self, request: &Request, source: &Source) -> Result<Reading, Refusal> {
        self.naming.read(request, source)
    }

    fn prove(&self, request: &Request, now: Timestamp) -> Proof {
        let Some(key) = self.keys.first() else {
            return Proof::default();
        };
        let timestamp = now.as_second().to_string();
        let id = request
            .header(&self.naming.id_header)
            .ok()
            .flatten()
            .unwrap_or_default();
        let code = key.sign(&self.signed(id, &timestamp, &request.body));
        let code = format!("{}{}", self.prefix, signature::encode(&code, self.encoding));
        let time = self.timestamp_header.as_ref().map(|name| (name.to_string(), timestamp));
        Proof::of(time.into_iter().chain([(self.header.to_string(), code)]))
    }

    fn sample(&self, sample: &SampleOf<'_>) -> Option<Sample> {
        let headers = self.naming.sample_headers(sample);
        Some(Sample::proved(self, sample.now, super::sample_body(sample), headers))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_read_once() {
        assert_eq!(
            template("v1:{id}.{timestamp}.{body}!").unwrap(),
            [
                Part::Text("v1:".into()),
                Part::Id,
                Part::Text(".".into()),
                Part::Timestamp,
                Part::Text(".".into()),
                Part::Body,
                Part::Text("!".into()),
            ]
        );
        for bad in ["", "{timestamp}", "{body", "{Body}", "{body}{x}"] {
            assert_eq!(template(bad).unwrap_err().field, "signature.template", "{bad}");
        }
    }
}
