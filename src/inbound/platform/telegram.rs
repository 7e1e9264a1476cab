//! Telegram: "Bot API", `setWebhook` with `secret_token`. The token proves the sender, nothing proves the body but TLS.

use std::borrow::Cow;

use http::HeaderName;
use jiff::Timestamp;

use super::{FieldError, Platform, Reading, Sample, SampleOf};
use crate::document::Inbound;
use crate::inbound::json::{Json, OtherShape};
use crate::inbound::normalise::{Attachment, Message, Source, unix_seconds};
use crate::inbound::request::{Answer, Refusal, Request};
use crate::proof::Proof;
use crate::secret::Secret;

const TOKEN: &str = "X-Telegram-Bot-Api-Secret-Token";

/// The kinds of update that are messages to the assistant.
const MESSAGES: [&str; 3] = ["message", "channel_post", "business_message"];

struct Telegram {
    secrets: Vec<Secret>,
}

pub(super) fn build(settings: &Inbound) -> Result<Box<dyn Platform>, FieldError> {
    let secrets = super::secrets(settings)?;
    let sendable = |secret: &Secret| {
        let text = secret.expose();
        (1..=256).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
    };
    if settings.verify_signature && !secrets.iter().all(sendable) {
        return Err(FieldError::new(
            "secret",
            "Telegram takes 1 to 256 of A-Z a-z 0-9 _ - as a secret token",
        ));
    }
    Ok(Box::new(Telegram { secrets }))
}

impl Platform for Telegram {
    fn credential_headers(&self) -> Vec<HeaderName> {
        vec![HeaderName::from_static("x-telegram-bot-api-secret-token")]
    }

    fn verify(&self, request: &Request, _: Timestamp) -> Result<(), Refusal> {
        super::fixed_token(&self.secrets, request.required_header(TOKEN)?, TOKEN)
    }

    fn read(&self, request: &Request, source: &Source) -> Result<Reading, Refusal> {
        let update = request.json()?;
        let update_id = update.integer("update_id").ok().flatten();
        let key = update_id.map_or_else(|| request.hash().to_owned(), str::to_owned);
        let kind = match &update {
            Json::Object(members) => MESSAGES
                .into_iter()
                .find(|kind| update.get(kind).is_some())
                .or_else(|| {
                    members
                        .iter()
                        .map(|(name, _)| &**name)
                        .find(|name| *name != "update_id")
                }),
            _ => None,
        };
        let message = kind
            .filter(|kind| MESSAGES.contains(kind) && update.integer("update_id").is_ok())
            .and_then(|kind| update.get(kind))
            .and_then(|inside| message(inside).ok());
        let event = match &message {
            Some(message) => source.message(message, Some(key)),
            None => source.webhook(kind.unwrap_or("unknown"), Some(key), &update),
        };
        Ok(Reading::one(event, Answer::empty()))
    }

    fn prove(&self, _: &Request, _: Timestamp) -> Proof {
        Proof::token(TOKEN, self.secrets.first().map(|secret| secret.expose().to_owned()))
    }

    fn sample(&self, sample: &SampleOf<'_>) -> Option<Sample> {
        let mut body = format!(
            concat!(
                r#"{{"update_id":{number},"message":{{"message_id":{number},"from":{{"id":1,"is_bot":false,"first_name":"#,
                r#""openclaw"}},"chat":{{"id":1,"type":"private"}},"date":{date},"text":"#
            ),
            number = sample.number,
            date = sample.now.as_second()
        );
        crate::inbound::json::write_text(&mut body, sample.text);
        body.push_str("}}");
        Some(Sample::proved(self, sample.now, body, []))
    }
}

fn message<'a>(inside: &'a Json<'a>) -> Result<Message<'a>, OtherShape> {
    let chat = inside.object("chat")?.ok_or(OtherShape)?;
    let chat_id = chat.integer("id")?.ok_or(OtherShape)?;
    let writer = match inside.object("from")? {
        Some(from) => from,
        None => inside.object("sender_chat")?.unwrap_or(chat),
    };
    let text = match inside.text("text")? {
        Some(text) => text,
        None => inside.text("caption")?.unwrap_or_default(),
    };
    let thread_id = if inside.flag("is_topic_message")? {
        inside.integer("message_thread_id")?
    } else {
        None
    };
    Ok(Message {
        user: writer.integer("id")?.ok_or(OtherShape)?.into(),
        text: text.into(),
        chat_id: chat_id.into(),
        thread_id: thread_id.map(Into::into),
        id: inside.integer("message_id")?.map(Into::into),
        user_name: name(writer)?,
        sent_at: inside.integer("date")?.and_then(unix_seconds),
        attachments: attachments(inside)?,
        reply: Vec::new(),
    })
}

fn name<'a>(writer: &'a Json<'a>) -> Result<Option<Cow<'a, str>>, OtherShape> {
    if let Some(name) = writer.text("username")? {
        return Ok(Some(name.into()));
    }
    Ok(match (writer.text("first_name")?, writer.text("last_name")?) {
        (Some(first), Some(last)) => Some(format!("{first} {last}").into()),
        (Some(one), None) | (None, Some(one)) => Some(one.into()),
        (None, None) => writer.text("title")?.map(Into::into),
    })
}

fn attachments<'a>(inside: &'a Json<'a>) -> Result<Vec<Attachment<'a>>, OtherShape> {
    const FILES: [&str; 7] = [
        "document",
        "audio",
        "voice",
        "video",
        "video_note",
        "animation",
        "sticker",
    ];
    let mut list = Vec::new();
    let mut largest = None;
    for size in inside.list("photo")? {
        let side = |name| {
            Ok(size
                .integer(name)?
                .and_then(|n| n.parse::<u64>().ok())
                .unwrap_or_default())
        };
        let area = u128::from(side("width")?) * u128::from(side("height")?);
        if largest.is_none_or(|(_, most)| area >= most) {
            largest = Some((size, area));
        }
    }
    if let Some((photo, _)) = largest {
        list.push(file("photo", photo)?);
    }
    for kind in FILES {
        // An animation also comes as a document.
        if kind == "document" && inside.get("animation").is_some() {
            continue;
        }
        if let Some(inside) = inside.object(kind)? {
            list.push(file(kind, inside)?);
        }
    }
    Ok(list)
}

fn file<'a>(kind: &'static str, file: &'a Json<'a>) -> Result<Attachment<'a>, OtherShape> {
    Ok(Attachment {
        kind: kind.into(),
        id: file.text("file_id")?.map(Into::into),
        url: None,
        name: file.text("file_name")?.map(Into::into),
        mime_type: file.text("mime_type")?.map(Into::into),
        size: file.integer("file_size")?.map(Into::into),
    })
}
