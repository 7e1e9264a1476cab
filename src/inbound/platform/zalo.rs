//! Zalo bots: "Bot API", `setWebhook` with `secret_token`. The token proves the sender; nothing but TLS proves the body.

use http::HeaderName;
use jiff::Timestamp;

use super::{FieldError, Platform, Reading, Sample, SampleOf};
use crate::document::Inbound;
use crate::inbound::json::{Json, OtherShape, quoted};
use crate::inbound::normalise::{Attachment, Message, Source, unix_seconds_or_millis};
use crate::inbound::request::{Answer, Refusal, Request};
use crate::proof::Proof;
use crate::secret::Secret;

const TOKEN: &str = "X-Bot-Api-Secret-Token";

/// The kinds of event that are messages to the assistant.
const MESSAGES: [&str; 3] = [
    "message.text.received",
    "message.image.received",
    "message.sticker.received",
];

struct Zalo {
    secrets: Vec<Secret>,
}

pub(super) fn build(settings: &Inbound) -> Result<Box<dyn Platform>, FieldError> {
    let secrets = super::secrets(settings)?;
    let sendable = |secret: &Secret| (8..=256).contains(&secret.expose().chars().count());
    if settings.verify_signature && !secrets.iter().all(sendable) {
        return Err(FieldError::new(
            "secret",
            "Zalo takes 8 to 256 characters as a secret token",
        ));
    }
    Ok(Box::new(Zalo { secrets }))
}

impl Platform for Zalo {
    fn credential_headers(&self) -> Vec<HeaderName> {
        vec![HeaderName::from_static("x-bot-api-secret-token")]
    }

    fn verify(&self, request: &Request, _: Timestamp) -> Result<(), Refusal> {
        super::fixed_token(&self.secrets, request.required_header(TOKEN)?, TOKEN)
    }

    fn read(&self, request: &Request, source: &Source) -> Result<Reading, Refusal> {
        let body = request.json()?;
        let update = match body.object("result") {
            Ok(Some(result)) if body.flag("ok") == Ok(true) => result,
            _ => &body,
        };
        let kind = update.text("event_name").ok().flatten();
        let id = update
            .get("message")
            .and_then(|message| message.get("message_id")?.as_text());
        let key = match (kind, id) {
            (Some(kind), Some(id)) => format!("{kind}:{id}"),
            _ => request.hash().to_owned(),
        };
        let message = kind
            .filter(|kind| MESSAGES.contains(kind))
            .and_then(|_| update.get("message"))
            .and_then(|inside| message(inside).ok());
        let event = match &message {
            Some(message) => source.message(message, Some(key)),
            None => source.webhook(kind.unwrap_or("unknown"), Some(key), update),
        };
        Ok(Reading::one(event, Answer::empty()))
    }

    fn prove(&self, _: &Request, _: Timestamp) -> Proof {
        Proof::token(TOKEN, self.secrets.first().map(|secret| secret.expose().to_owned()))
    }

    fn sample(&self, sample: &SampleOf<'_>) -> Option<Sample> {
        let body = format!(
            concat!(
                r#"{{"event_name":"message.text.received","message":{{"from":{{"id":"0","display_name":"openclaw","#,
                r#""is_bot":false}},"chat":{{"id":"0","chat_type":"PRIVATE"}},"text":{text},"message_id":{id},"#,
                r#""date":{now}}}}}"#
            ),
            text = quoted(sample.text),
            id = quoted(sample.id),
            now = sample.now.as_millisecond()
        );
        Some(Sample::proved(self, sample.now, body, []))
    }
}

fn message<'a>(inside: &'a Json<'a>) -> Result<Message<'a>, OtherShape> {
    let from = inside.object("from")?.ok_or(OtherShape)?;
    let chat = inside.object("chat")?.ok_or(OtherShape)?;
    let name = match from.text("display_name")? {
        Some(name) => Some(name),
        None => from.text("name")?,
    };
    let text = match inside.text("text")? {
        Some(text) => text,
        None => inside.text("caption")?.unwrap_or_default(),
    };
    let image = inside.text("photo_url")?.map(|url| Attachment {
        kind: "image".into(),
        url: Some(url.into()),
        ..Attachment::default()
    });
    let sticker = inside.text("sticker")?.map(|id| Attachment {
        kind: "sticker".into(),
        id: Some(id.into()),
        ..Attachment::default()
    });
    Ok(Message {
        user: from.text("id")?.ok_or(OtherShape)?.into(),
        text: text.into(),
        chat_id: chat.text("id")?.ok_or(OtherShape)?.into(),
        id: inside.text("message_id")?.map(Into::into),
        user_name: name.map(Into::into),
        sent_at: inside.integer("date")?.and_then(unix_seconds_or_millis),
        attachments: image.into_iter().chain(sticker).collect(),
        ..Message::default()
    })
}
