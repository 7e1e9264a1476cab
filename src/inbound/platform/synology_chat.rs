//! Synology Chat: outgoing webhooks, forms. The token in the body is the whole proof.

use http::StatusCode;
use jiff::Timestamp;

use super::{FieldError, Platform, Reading, Sample, SampleOf};
use crate::document::Inbound;
use crate::inbound::form::write_form;
use crate::inbound::json::{Json, OtherShape};
use crate::inbound::normalise::{Message, Source, unix_millis};
use crate::inbound::request::{Answer, Refusal, Request};
use crate::proof::Proof;
use crate::secret::Secret;

struct SynologyChat {
    secrets: Vec<Secret>,
}

pub(super) fn build(settings: &Inbound) -> Result<Box<dyn Platform>, FieldError> {
    Ok(Box::new(SynologyChat {
        secrets: super::secrets(settings)?,
    }))
}

impl Platform for SynologyChat {
    fn credential_fields(&self) -> &'static [&'static str] {
        &["token"]
    }

    fn verify(&self, request: &Request, _: Timestamp) -> Result<(), Refusal> {
        super::token_in_body(&self.secrets, request)
    }

    fn read(&self, request: &Request, source: &Source) -> Result<Reading, Refusal> {
        let mut body = request.json_or_form()?;
        body.remove("token");
        let key = match body.filled("post_id") {
            Ok(Some(id)) => id.to_owned(),
            _ => request.hash().to_owned(),
        };
        let event = match message(&body) {
            Ok(message) => source.message(&message, Some(key)),
            Err(OtherShape) => source.webhook("unknown", Some(key), &body),
        };
        Ok(Reading::one(event, Answer::status(StatusCode::NO_CONTENT)))
    }

    fn prove(&self, request: &Request, _: Timestamp) -> Proof {
        super::with_token(&self.secrets, request)
    }

    fn sample(&self, sample: &SampleOf<'_>) -> Option<Sample> {
        let (number, now) = (sample.number.to_string(), sample.now.as_millisecond().to_string());
        let mut fields = vec![
            ("user_id", "0"),
            ("username", "openclaw"),
            ("post_id", &number),
            ("timestamp", &now),
            ("text", sample.text),
        ];
        if let Some(secret) = self.secrets.first() {
            fields.insert(0, ("token", secret.expose()));
        }
        Some(Sample::form(write_form(&fields), []))
    }
}

fn message<'a>(body: &'a Json<'a>) -> Result<Message<'a>, OtherShape> {
    let user = body.filled("user_id")?.ok_or(OtherShape)?;
    Ok(Message {
        user: user.into(),
        text: body.text("text")?.unwrap_or_default().into(),
        chat_id: body.filled("channel_id")?.unwrap_or(user).into(),
        id: body.filled("post_id")?.map(Into::into),
        user_name: body.filled("username")?.map(Into::into),
        sent_at: body.text("timestamp")?.and_then(unix_millis),
        ..Message::default()
    })
}
