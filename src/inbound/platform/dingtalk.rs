//! DingTalk: "Receive messages" of a robot over HTTP. `sign` proves that the sender knows the app's secret, and when; it
//! does not cover the body.

use std::time::Duration;

use http::HeaderName;
use jiff::Timestamp;

use super::{FieldError, Platform, Reading, Sample, SampleOf};
use crate::document::Inbound;
use crate::document::settings::Encoding;
use crate::inbound::json::{Json, OtherShape, write_text};
use crate::inbound::normalise::{Attachment, Message, Source, unix_millis};
use crate::inbound::request::{Answer, Refusal, Request};
use crate::inbound::signature::{self, HmacKey};
use crate::secret::Secret;

const SIGN: &str = "sign";
const TIMESTAMP: &str = "timestamp";

/// DingTalk's own window.
const TOLERANCE: Duration = Duration::from_hours(1);

struct DingTalk {
    keys: Vec<(HmacKey, Secret)>,
    tolerance: Duration,
}

pub(super) fn build(settings: &Inbound) -> Result<Box<dyn Platform>, FieldError> {
    let secrets = super::secrets(settings)?;
    Ok(Box::new(DingTalk {
        keys: HmacKey::sha256_of(&secrets).into_iter().zip(secrets).collect(),
        tolerance: settings.tolerance.unwrap_or(TOLERANCE),
    }))
}

/// What is signed: the time and the secret itself.
fn signed<'a>(timestamp: &'a str, secret: &'a Secret) -> [&'a [u8]; 3] {
    [timestamp.as_bytes(), b"\n", secret.expose_bytes()]
}

impl Platform for DingTalk {
    /// As good as the secret for the length of the window: nothing of the body is in it.
    fn credential_headers(&self) -> Vec<HeaderName> {
        vec![HeaderName::from_static(SIGN)]
    }

    fn verify(&self, request: &Request, now: Timestamp) -> Result<(), Refusal> {
        let sign = request.required_header(SIGN)?;
        let timestamp = request.required_header(TIMESTAMP)?;
        let code = signature::decode(sign, "", Encoding::Base64, SIGN)?;
        signature::within_window_millis(timestamp, now, self.tolerance, TIMESTAMP)?;
        let right = |(key, secret): &(HmacKey, Secret)| key.verifies(&signed(timestamp, secret), &code);
        if self.keys.iter().any(right) {
            Ok(())
        } else {
            Err(Refusal::signature(format!("the signature in {SIGN} does not match")))
        }
    }

    fn read(&self, request: &Request, source: &Source) -> Result<Reading, Refusal> {
        let body = request.json()?;
        let key = match body.text("msgId") {
            Ok(Some(id)) => id.to_owned(),
            _ => request.hash_at(request.header(TIMESTAMP)?),
        };
        let kind = body.get("msgtype").and_then(Json::as_text).unwrap_or("unknown");
        let event = match message(&body) {
            Ok(message) => source.message(&message, Some(key)),
            Err(OtherShape) => source.webhook(kind, Some(key), &body),
        };
        Ok(Reading::one(event, Answer::empty()))
    }

    fn sample(&self, sample: &SampleOf<'_>) -> Option<Sample> {
        let millis = sample.now.as_millisecond();
        let mut body = String::from(r#"{"msgtype":"text","msgId":"#);
        write_text(&mut body, sample.id);
        body.push_str(r#","text":{"content":"#);
        write_text(&mut body, sample.text);
        body.push_str(r#"},"createAt":"#);
        body.push_str(&millis.to_string());
        body.push_str(
            r#","conversationType":"1","conversationId":"openclaw","senderId":"openclaw","senderNick":"openclaw"}"#,
        );
        let timestamp = millis.to_string();
        let proof = self
            .keys
            .first()
            .map(|(key, secret)| signature::encode(&key.sign(&signed(&timestamp, secret)), Encoding::Base64));
        let headers = proof.map(|proof| [(TIMESTAMP.to_owned(), timestamp), (SIGN.to_owned(), proof)]);
        Some(Sample::json(body, headers.into_iter().flatten()))
    }
}

fn message<'a>(body: &'a Json<'a>) -> Result<Message<'a>, OtherShape> {
    let kind = body.text("msgtype")?.ok_or(OtherShape)?;
    let user = match body.text("senderStaffId")?.filter(|id| !id.is_empty()) {
        Some(id) => id,
        None => body.text("senderId")?.ok_or(OtherShape)?,
    };
    let content = body.object("content")?;
    let mut text = String::new();
    let mut attachments = Vec::new();
    match (kind, content) {
        ("text", _) => {
            if let Some(inside) = body.object("text")? {
                text.push_str(inside.text("content")?.unwrap_or_default());
            }
        }
        ("richText", Some(content)) => {
            for part in content.list("richText")? {
                text.push_str(part.text("text")?.unwrap_or_default());
                if let Some(code) = part.text("downloadCode")? {
                    attachments.push(Attachment {
                        kind: "picture".into(),
                        id: Some(code.into()),
                        ..Attachment::default()
                    });
                }
            }
        }
        (kind, Some(content)) => {
            if kind == "audio" {
                text.push_str(content.text("recognition")?.unwrap_or_default());
            }
            if let Some(code) = content.text("downloadCode")? {
                attachments.push(Attachment {
                    kind: kind.into(),
                    id: Some(code.into()),
                    name: content.text("fileName")?.map(Into::into),
                    ..Attachment::default()
                });
            }
        }
        (_, None) => {}
    }
    Ok(Message {
        user: user.into(),
        text: text.into(),
        chat_id: body.text("conversationId")?.ok_or(OtherShape)?.into(),
        id: body.text("msgId")?.map(Into::into),
        user_name: body.text("senderNick")?.map(Into::into),
        sent_at: body.integer("createAt")?.and_then(unix_millis),
        attachments,
        reply: super::known([("sessionWebhook", body.text("sessionWebhook")?)]),
        ..Message::default()
    })
}
