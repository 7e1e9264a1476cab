//! LINE: "Messaging API", webhooks. One body may hold several events, each with an id of its own.

use jiff::Timestamp;

use super::{FieldError, Platform, Reading, Sample, SampleOf};
use crate::document::Inbound;
use crate::document::settings::Encoding;
use crate::inbound::json::{Json, OtherShape, quoted};
use crate::inbound::normalise::{Attachment, Message, Normalised, Source, unix_millis};
use crate::inbound::request::{Answer, Refusal, Request};
use crate::inbound::signature::{self, HmacKey};
use crate::proof::Proof;

const SIGNATURE: &str = "X-Line-Signature";

struct Line {
    keys: Vec<HmacKey>,
}

pub(super) fn build(settings: &Inbound) -> Result<Box<dyn Platform>, FieldError> {
    Ok(Box::new(Line {
        keys: HmacKey::sha256_of(&super::secrets(settings)?),
    }))
}

impl Platform for Line {
    fn verify(&self, request: &Request, _: Timestamp) -> Result<(), Refusal> {
        let signed = request.required_header(SIGNATURE)?;
        let code = signature::decode(signed, "", Encoding::Base64, SIGNATURE)?;
        signature::any_verifies(&self.keys, &[&request.body], &code, SIGNATURE)
    }

    /// An empty list of events is the console's check.
    fn read(&self, request: &Request, source: &Source) -> Result<Reading, Refusal> {
        let body = request.json()?;
        let answer = Answer::empty();
        let Some(Json::List(items)) = body.get("events") else {
            let key = Some(request.hash().to_owned());
            return Ok(Reading::one(source.webhook("unknown", key, &body), answer));
        };
        let events = super::several(request, items, |item, hash| event(item, hash, source))?;
        Ok(Reading { events, answer })
    }

    fn prove(&self, request: &Request, _: Timestamp) -> Proof {
        Proof::of(self.keys.first().map(|key| {
            let code = key.sign(&[&request.body]);
            (SIGNATURE.to_owned(), signature::encode(&code, Encoding::Base64))
        }))
    }

    fn sample(&self, sample: &SampleOf<'_>) -> Option<Sample> {
        let body = format!(
            concat!(
                r#"{{"destination":"U0","events":[{{"type":"message","mode":"active","timestamp":{now},"#,
                r#""source":{{"type":"user","userId":"U0"}},"webhookEventId":{id},"#,
                r#""message":{{"id":"{number}","type":"text","text":{text}}}}}]}}"#
            ),
            now = sample.now.as_millisecond(),
            id = quoted(sample.id),
            number = sample.number,
            text = quoted(sample.text)
        );
        Some(Sample::proved(self, sample.now, body, []))
    }
}

fn event(item: &Json<'_>, hash: String, source: &Source) -> Normalised {
    let key = match item.text("webhookEventId") {
        Ok(Some(id)) => id.to_owned(),
        _ => hash,
    };
    let kind = item.get("type").and_then(Json::as_text).unwrap_or("unknown");
    // In standby another service has the chat: the bot must not answer.
    let standby = item.get("mode").and_then(Json::as_text) == Some("standby");
    if kind == "message"
        && !standby
        && let Ok(message) = message(item)
    {
        return source.message(&message, Some(key));
    }
    source.webhook(kind, Some(key), item)
}

fn message<'a>(item: &'a Json<'a>) -> Result<Message<'a>, OtherShape> {
    let from = item.object("source")?.ok_or(OtherShape)?;
    let inside = item.object("message")?.ok_or(OtherShape)?;
    let user = from.text("userId")?;
    let chat_id = match (from.text("groupId")?, from.text("roomId")?) {
        (Some(id), _) | (None, Some(id)) => id,
        (None, None) => user.ok_or(OtherShape)?,
    };
    let reply_token = item.text("replyToken")?;
    Ok(Message {
        user: user.unwrap_or(chat_id).into(),
        text: inside.text("text")?.unwrap_or_default().into(),
        chat_id: chat_id.into(),
        id: inside.text("id")?.map(Into::into),
        sent_at: item.integer("timestamp")?.and_then(unix_millis),
        attachments: attachment(inside)?.into_iter().collect(),
        reply: reply_token
            .map(|token| ("replyToken", token.into()))
            .into_iter()
            .collect(),
        ..Message::default()
    })
}

fn attachment<'a>(inside: &'a Json<'a>) -> Result<Option<Attachment<'a>>, OtherShape> {
    let kind = inside.text("type")?.unwrap_or_default();
    let id = match kind {
        "image" | "video" | "audio" | "file" => inside.text("id")?,
        "sticker" => inside.text("stickerId")?,
        _ => return Ok(None),
    };
    Ok(Some(Attachment {
        kind: kind.into(),
        id: id.map(Into::into),
        name: inside.text("fileName")?.map(Into::into),
        size: inside.integer("fileSize")?.map(Into::into),
        ..Attachment::default()
    }))
}
