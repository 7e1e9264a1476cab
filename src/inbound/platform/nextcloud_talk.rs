//! Nextcloud Talk: "Bots and Webhooks". The signature covers a random value and the body.

use std::borrow::Cow;

use jiff::Timestamp;

use super::{FieldError, Platform, Reading, Sample, SampleOf};
use crate::document::Inbound;
use crate::document::settings::Encoding;
use crate::inbound::json::{Json, OtherShape, quoted};
use crate::inbound::normalise::{Message, Source};
use crate::inbound::request::{Answer, Refusal, Request};
use crate::inbound::signature::{self, HmacKey};

const SIGNATURE: &str = "X-Nextcloud-Talk-Signature";
const RANDOM: &str = "X-Nextcloud-Talk-Random";
const BACKEND: &str = "X-Nextcloud-Talk-Backend";

struct NextcloudTalk {
    keys: Vec<HmacKey>,
}

pub(super) fn build(settings: &Inbound) -> Result<Box<dyn Platform>, FieldError> {
    Ok(Box::new(NextcloudTalk {
        keys: HmacKey::sha256_of(&super::secrets(settings)?),
    }))
}

impl Platform for NextcloudTalk {
    fn verify(&self, request: &Request, _: Timestamp) -> Result<(), Refusal> {
        let signed = request.required_header(SIGNATURE)?;
        let random = request.required_header(RANDOM)?;
        let code = signature::decode(signed, "", Encoding::Hex, SIGNATURE)?;
        signature::any_verifies(&self.keys, &[random.as_bytes(), &request.body], &code, SIGNATURE)
    }

    fn read(&self, request: &Request, source: &Source) -> Result<Reading, Refusal> {
        let body = request.json()?;
        let random = request.header(RANDOM)?;
        let backend = request.header(BACKEND)?;
        // A reaction taken back and given again is the same body twice: the random value tells them apart.
        let other = || random.unwrap_or_else(|| request.hash()).to_owned();
        let event = if let Ok(message) = message(&body, backend) {
            let key = match &message.id {
                Some(id) => format!("{}:{id}", message.chat_id),
                None => other(),
            };
            source.message(&message, Some(key))
        } else {
            let kind = body.get("type").and_then(Json::as_text).unwrap_or("unknown");
            source.webhook(kind, Some(other()), &body)
        };
        Ok(Reading::one(event, Answer::empty()))
    }

    fn sample(&self, sample: &SampleOf<'_>) -> Option<Sample> {
        let content = format!(r#"{{"message":{},"parameters":{{}}}}"#, quoted(sample.text));
        let body = format!(
            concat!(
                r#"{{"type":"Create","actor":{{"type":"Person","id":"users/openclaw","name":"openclaw"}},"#,
                r#""object":{{"type":"Note","id":"{number}","name":"message","content":{content}}},"#,
                r#""target":{{"type":"Collection","id":"test","name":"test"}}}}"#
            ),
            number = sample.number,
            content = quoted(&content)
        );
        let random = sample.id;
        let proof = self.keys.first().map(|key| {
            let code = hex::encode(key.sign(&[random.as_bytes(), body.as_bytes()]));
            (SIGNATURE.to_owned(), code)
        });
        let random = (RANDOM.to_owned(), random.to_owned());
        Some(Sample::json(body, std::iter::once(random).chain(proof)))
    }
}

fn message<'a>(body: &'a Json<'a>, backend: Option<&'a str>) -> Result<Message<'a>, OtherShape> {
    let object = body.object("object")?.ok_or(OtherShape)?;
    if (body.text("type")?, object.text("type")?) != (Some("Create"), Some("Note")) {
        return Err(OtherShape);
    }
    let actor = body.object("actor")?.ok_or(OtherShape)?;
    let target = body.object("target")?.ok_or(OtherShape)?;
    Ok(Message {
        user: actor.text("id")?.ok_or(OtherShape)?.into(),
        text: words(object.text("content")?.unwrap_or_default()),
        chat_id: target.text("id")?.ok_or(OtherShape)?.into(),
        id: object.text("id")?.map(Into::into),
        user_name: actor.text("name")?.map(Into::into),
        reply: backend.map(|url| ("backend", url.into())).into_iter().collect(),
        ..Message::default()
    })
}

/// `content` is JSON with the text as its `message`, or the text itself.
fn words(content: &str) -> Cow<'_, str> {
    let inside = Json::parse(content.as_bytes());
    match inside.as_ref().map(|inside| inside.text("message")) {
        Ok(Ok(Some(text))) => text.to_owned().into(),
        _ => content.into(),
    }
}
