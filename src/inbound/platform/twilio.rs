//! Twilio: "Webhooks security". The public URL is signed, with the form's fields or with the body's hash in the query.

use std::collections::BTreeSet;

use jiff::Timestamp;
use subtle::ConstantTimeEq;

use super::{FieldError, Platform, Reading, Sample, SampleOf};
use crate::document::Inbound;
use crate::document::settings::{Encoding, HashAlgorithm};
use crate::inbound::form::{Form, write_form};
use crate::inbound::normalise::{Attachment, Message, Normalised, Source};
use crate::inbound::request::{Answer, Refusal, Request};
use crate::inbound::signature::{self, HmacKey};

const SIGNATURE: &str = "X-Twilio-Signature";
const SETTINGS: &str = "X-Twilio-Webhooks-Signature-Settings";
const IDEMPOTENCY: &str = "I-Twilio-Idempotency-Token";
const BODY_HASH: &str = "bodySHA256";

/// A message has at most so many pictures.
const MEDIA: usize = 10;

struct Twilio {
    sha1: Vec<HmacKey>,
    sha256: Vec<HmacKey>,
    /// What Twilio was told to post to; `None`: not asked for, on a route that verifies nothing.
    url: Option<Box<str>>,
}

pub(super) fn build(settings: &Inbound) -> Result<Box<dyn Platform>, FieldError> {
    let secrets = super::secrets(settings)?;
    if settings.verify_signature && settings.url.is_none() {
        return Err(FieldError::new(
            "url",
            "Twilio signs the public URL of the webhook: set it as the console of Twilio has it",
        ));
    }
    let keys = |algorithm| {
        let key = |secret: &crate::secret::Secret| HmacKey::new(algorithm, secret.expose_bytes());
        secrets.iter().map(key).collect()
    };
    Ok(Box::new(Twilio {
        sha1: keys(HashAlgorithm::Sha1),
        sha256: keys(HashAlgorithm::Sha256),
        url: settings.url.as_deref().map(Into::into),
    }))
}

/// The form's fields as they are signed: each distinct one, sorted by name and value, nothing between them.
fn signed_fields<'a>(form: &'a Form<'_>) -> Vec<&'a [u8]> {
    let fields: BTreeSet<(&str, &str)> = form.fields().collect();
    let both = |(name, value): (&'a str, &'a str)| [name.as_bytes(), value.as_bytes()];
    fields.into_iter().flat_map(both).collect()
}

/// `bodySHA256` of the query.
fn body_hash(request: &Request) -> Option<String> {
    let query = Form::parse(request.query()?.as_bytes()).ok()?;
    query.get(BODY_HASH).map(str::to_owned)
}

/// HMAC-SHA256 by name; SHA-1 where nothing is said.
fn is_sha256(request: &Request) -> Result<bool, Refusal> {
    let settings = request.header(SETTINGS)?.unwrap_or_default();
    let mut named = settings
        .split(',')
        .filter_map(|pair| pair.trim().strip_prefix("algorithm="))
        .peekable();
    let any = named.peek().is_some();
    if named.all(|algorithm| algorithm == "HMAC_SHA256") {
        Ok(any)
    } else {
        Err(Refusal::signature(format!("{SETTINGS} names an unknown algorithm")))
    }
}

impl Platform for Twilio {
    fn verify(&self, request: &Request, _: Timestamp) -> Result<(), Refusal> {
        let signed = request.required_header(SIGNATURE)?;
        let code = signature::decode(signed, "", Encoding::Base64, SIGNATURE)?;
        let keys = if is_sha256(request)? { &self.sha256 } else { &self.sha1 };
        let mut url = self.url.as_deref().unwrap_or_default().to_owned();
        if let Some(query) = request.query() {
            url.push('?');
            url.push_str(query);
        }
        let form;
        let mut parts = vec![url.as_bytes()];
        if let Some(hash) = body_hash(request) {
            let told = signature::decode(&hash, "", Encoding::Hex, BODY_HASH)?;
            let own = hex::decode(request.hash()).expect("the hash is hex");
            if !bool::from(own.ct_eq(&told)) {
                return Err(Refusal::signature(format!("{BODY_HASH} is not the body's hash")));
            }
        } else if request.is_form() {
            form = Form::parse(&request.body).map_err(|error| Refusal::signature(error.to_string()))?;
            parts.extend(signed_fields(&form));
        } else if !request.body.is_empty() {
            return Err(Refusal::signature(format!(
                "the body is no form and {BODY_HASH} is missing: nothing proves it"
            )));
        }
        signature::any_verifies(keys, &parts, &code, SIGNATURE)
    }

    fn read(&self, request: &Request, source: &Source) -> Result<Reading, Refusal> {
        let other = || -> Result<String, Refusal> {
            Ok(request
                .header(IDEMPOTENCY)?
                .unwrap_or_else(|| request.hash())
                .to_owned())
        };
        if !request.is_form() || body_hash(request).is_some() {
            let event = source.webhook("unknown", Some(other()?), &request.json()?);
            return Ok(Reading::one(event, Answer::empty()));
        }
        let form = request.form()?;
        if let Some((message, key)) = message(&form) {
            let answer = Answer {
                content_type: Some("text/xml"),
                body: r#"<?xml version="1.0" encoding="UTF-8"?><Response></Response>"#.into(),
                ..Answer::empty()
            };
            return Ok(Reading::one(source.message(&message, Some(key)), answer));
        }
        let (kind, key) = match status(&form) {
            Some(known) => known,
            None => ("unknown".to_owned(), other()?),
        };
        let event: Normalised = source.webhook(&kind, Some(key), &form.into_json());
        Ok(Reading::one(event, Answer::empty()))
    }

    fn sample(&self, sample: &SampleOf<'_>) -> Option<Sample> {
        let body = write_form(&[
            ("MessageSid", sample.id),
            ("From", "+15005550006"),
            ("To", "+15005550006"),
            ("Body", sample.text),
            ("NumMedia", "0"),
        ]);
        let form = Form::parse(body.as_bytes()).expect("what we wrote is a form");
        let mut parts = vec![self.url.as_deref().unwrap_or_default().as_bytes()];
        parts.extend(signed_fields(&form));
        let proof = self.sha1.first().map(|key| {
            let code = signature::encode(&key.sign(&parts), Encoding::Base64);
            (SIGNATURE.to_owned(), code)
        });
        Some(Sample::form(body, proof))
    }
}

/// A field that is not empty.
fn given<'a>(form: &'a Form<'_>, name: &str) -> Option<&'a str> {
    form.get(name).filter(|value| !value.is_empty())
}

/// An SMS or a WhatsApp message, and its key.
fn message<'a>(form: &'a Form<'_>) -> Option<(Message<'a>, String)> {
    if form.get("MessageStatus").is_some() {
        return None;
    }
    let (id, from) = (given(form, "MessageSid")?, given(form, "From")?);
    let attachments = (0..MEDIA).filter_map(|n| {
        let mime_type = given(form, &format!("MediaContentType{n}"));
        Some(Attachment {
            kind: super::main_type(mime_type).into(),
            url: Some(given(form, &format!("MediaUrl{n}"))?.into()),
            mime_type: mime_type.map(Into::into),
            ..Attachment::default()
        })
    });
    let message = Message {
        user: from.into(),
        text: form.get("Body")?.into(),
        chat_id: from.into(),
        id: Some(id.into()),
        user_name: given(form, "ProfileName").map(Into::into),
        attachments: attachments.collect(),
        ..Message::default()
    };
    Some((message, id.to_owned()))
}

/// What became of a message or a call: type and key.
fn status(form: &Form<'_>) -> Option<(String, String)> {
    if let (Some(id), Some(status)) = (given(form, "MessageSid"), given(form, "MessageStatus")) {
        return Some(("message.status".to_owned(), format!("{id}:{status}")));
    }
    let (id, status) = (given(form, "CallSid")?, given(form, "CallStatus")?);
    Some((format!("call.{status}"), format!("{id}:{status}")))
}
