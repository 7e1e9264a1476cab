//! Mattermost: outgoing webhooks (JSON or a form) and slash commands (forms). The token in the body is the whole proof.

use jiff::Timestamp;

use super::{FieldError, Platform, Reading, Sample, SampleOf};
use crate::document::Inbound;
use crate::inbound::json::{Json, OtherShape, quoted};
use crate::inbound::normalise::{Attachment, Message, Source, unix_seconds_or_millis};
use crate::inbound::request::{Answer, Refusal, Request};
use crate::proof::Proof;
use crate::secret::Secret;

struct Mattermost {
    secrets: Vec<Secret>,
}

pub(super) fn build(settings: &Inbound) -> Result<Box<dyn Platform>, FieldError> {
    Ok(Box::new(Mattermost {
        secrets: super::secrets(settings)?,
    }))
}

impl Platform for Mattermost {
    fn credential_fields(&self) -> &'static [&'static str] {
        &["token"]
    }

    fn verify(&self, request: &Request, _: Timestamp) -> Result<(), Refusal> {
        super::token_in_body(&self.secrets, request)
    }

    fn read(&self, request: &Request, source: &Source) -> Result<Reading, Refusal> {
        let mut body = request.json_or_form()?;
        body.remove("token");
        let command = request.is_form() && body.get("command").is_some();
        let id = body.filled(if command { "trigger_id" } else { "post_id" });
        let message = match id {
            _ if command => slash_command(&body).ok(),
            Ok(Some(_)) => post(&body, request.is_form()).ok(),
            _ => None,
        };
        let key = match id {
            Ok(Some(id)) => id.to_owned(),
            _ => request.hash().to_owned(),
        };
        let event = match &message {
            Some(message) => source.message(message, Some(key)),
            None => source.webhook("unknown", Some(key), &body),
        };
        // Mattermost shows an error where a slash command is answered with nothing.
        Ok(Reading::one(event, Answer::json("{}")))
    }

    fn prove(&self, request: &Request, _: Timestamp) -> Proof {
        super::with_token(&self.secrets, request)
    }

    fn sample(&self, sample: &SampleOf<'_>) -> Option<Sample> {
        let body = format!(
            concat!(
                r#"{{"token":{token},"channel_id":"0","user_id":"0","user_name":"openclaw","post_id":{id},"#,
                r#""timestamp":{now},"text":{text}}}"#
            ),
            token = quoted(self.secrets.first().map_or("", Secret::expose)),
            id = quoted(sample.id),
            now = sample.now.as_millisecond(),
            text = quoted(sample.text)
        );
        Some(Sample::json(body, []))
    }
}

fn post<'a>(body: &'a Json<'a>, is_form: bool) -> Result<Message<'a>, OtherShape> {
    // Milliseconds in JSON; a form has text alone, and Mattermost writes seconds there.
    let timestamp = if is_form {
        body.text("timestamp")?
    } else {
        body.integer("timestamp")?
    };
    let files = body.text("file_ids")?.unwrap_or_default();
    Ok(Message {
        text: body.text("text")?.unwrap_or_default().into(),
        id: body.text("post_id")?.map(Into::into),
        sent_at: timestamp.and_then(unix_seconds_or_millis),
        attachments: files
            .split(',')
            .filter(|id| !id.is_empty())
            .map(|id| Attachment {
                kind: "file".into(),
                id: Some(id.into()),
                ..Attachment::default()
            })
            .collect(),
        ..from(body)?
    })
}

fn slash_command<'a>(body: &'a Json<'a>) -> Result<Message<'a>, OtherShape> {
    let command = body.filled("command")?.ok_or(OtherShape)?;
    let line = format!("{command} {}", body.text("text")?.unwrap_or_default());
    let reply = [
        ("responseUrl", body.filled("response_url")?),
        ("triggerId", body.filled("trigger_id")?),
    ];
    Ok(Message {
        text: line.trim_end().to_owned().into(),
        reply: reply
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?.into())))
            .collect(),
        ..from(body)?
    })
}

/// Who, and where.
fn from<'a>(body: &'a Json<'a>) -> Result<Message<'a>, OtherShape> {
    Ok(Message {
        user: body.filled("user_id")?.ok_or(OtherShape)?.into(),
        user_name: body.filled("user_name")?.map(Into::into),
        chat_id: body.filled("channel_id")?.ok_or(OtherShape)?.into(),
        ..Message::default()
    })
}
