//! QQ bots: "Webhook" of the event docs. One key pair, made of the bot's secret, proves QQ's requests and our handshake.

use std::time::Duration;

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use http::StatusCode;
use jiff::Timestamp;
use zeroize::Zeroizing;

use super::{FieldError, Platform, Reading, Sample, SampleOf};
use crate::document::Inbound;
use crate::inbound::json::{Json, OtherShape, write_text};
use crate::inbound::normalise::{Attachment, Message, Source, rfc3339};
use crate::inbound::request::{Answer, Reason, Refusal, Request};
use crate::inbound::signature::{self, SignedHeaders};
use crate::secret::Secret;

const SIGNATURE: &str = "X-Signature-Ed25519";
const TIMESTAMP: &str = "X-Signature-Timestamp";

struct QqBot {
    keys: Vec<SigningKey>,
    public_keys: Vec<VerifyingKey>,
    tolerance: Duration,
}

pub(super) fn build(settings: &Inbound) -> Result<Box<dyn Platform>, FieldError> {
    let keys: Vec<SigningKey> = super::secrets(settings)?
        .iter()
        .map(|secret| key(secret).ok_or_else(|| FieldError::new("secret", "it is empty")))
        .collect::<Result<_, _>>()?;
    Ok(Box::new(QqBot {
        public_keys: keys.iter().map(SigningKey::verifying_key).collect(),
        keys,
        tolerance: super::tolerance(settings),
    }))
}

/// The seed is the secret, repeated up to 32 bytes and cut there.
fn key(secret: &Secret) -> Option<SigningKey> {
    let mut seed = Zeroizing::new([0; 32]);
    let text = secret.expose_bytes();
    if text.is_empty() {
        return None;
    }
    for (place, byte) in seed.iter_mut().zip(text.iter().cycle()) {
        *place = *byte;
    }
    Some(SigningKey::from_bytes(&seed))
}

impl Platform for QqBot {
    /// `op` 13 may come unsigned. It has us sign with the very key that proves requests: what is signed must not be
    /// readable as a time and a JSON object, or anyone could have a forged event signed.
    fn greet(&self, request: &Request, _: Timestamp) -> Result<Option<Answer>, Refusal> {
        if request.method != http::Method::POST {
            return Ok(None);
        }
        let body = request.json()?;
        if body.integer("op") != Ok(Some("13")) {
            return Ok(None);
        }
        let wrong = |detail: &'static str| Refusal::new(Reason::Handshake, StatusCode::BAD_REQUEST, detail, detail);
        let member = |name| body.get("d").and_then(|inside| inside.get(name)?.as_text());
        let token = member("plain_token")
            .filter(|token| {
                (1..=64).contains(&token.len())
                    && token
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
            })
            .ok_or_else(|| wrong("plain_token is not 1 to 64 of A-Z a-z 0-9 _ -"))?;
        let at = member("event_ts")
            .filter(|at| signature::digits(at).is_some())
            .ok_or_else(|| wrong("event_ts is not 1 to 18 digits"))?;
        let key = self
            .keys
            .first()
            .ok_or_else(|| wrong("the route has no secret to sign with"))?;
        let signed = hex::encode(key.sign(format!("{at}{token}").as_bytes()).to_bytes());
        let answer = format!(r#"{{"plain_token":"{token}","signature":"{signed}"}}"#);
        Ok(Some(Answer::json(answer)))
    }

    fn verify(&self, request: &Request, now: Timestamp) -> Result<(), Refusal> {
        let headers = SignedHeaders {
            signature: SIGNATURE,
            timestamp: TIMESTAMP,
        };
        signature::signed_with_time(request, &headers, &self.public_keys, now, self.tolerance)
    }

    fn read(&self, request: &Request, source: &Source) -> Result<Reading, Refusal> {
        let body = request.json()?;
        // Anything else could be an answer to `op` 13, signed by ourselves.
        if !matches!(body, Json::Object(_)) {
            return Err(Refusal::body("the body is no JSON object"));
        }
        let kind = body.get("t").and_then(Json::as_text).unwrap_or("unknown");
        let id = match body.text("id") {
            Ok(Some(id)) => id.to_owned(),
            _ => request.hash_at(request.header(TIMESTAMP)?),
        };
        let event = match message(kind, &body) {
            Ok(message) => {
                let key = message.id.as_deref().map_or(id, str::to_owned);
                source.message(&message, Some(key))
            }
            Err(OtherShape) => source.webhook(kind, Some(id), &body),
        };
        Ok(Reading::one(event, Answer::json(r#"{"op":12}"#)))
    }

    fn sample(&self, sample: &SampleOf<'_>) -> Option<Sample> {
        let mut body = String::from(r#"{"op":0,"t":"C2C_MESSAGE_CREATE","id":"#);
        write_text(&mut body, &format!("C2C_MESSAGE_CREATE:{}", sample.id));
        body.push_str(r#","d":{"id":"#);
        write_text(&mut body, sample.id);
        body.push_str(r#","author":{"user_openid":"openclaw"},"timestamp":"#);
        write_text(&mut body, &crate::clock::rfc3339_seconds(sample.now));
        body.push_str(r#","content":"#);
        write_text(&mut body, sample.text);
        body.push_str("}}");
        let timestamp = sample.now.as_second().to_string();
        let proof = self
            .keys
            .first()
            .map(|key| hex::encode(key.sign(format!("{timestamp}{body}").as_bytes()).to_bytes()));
        let headers = proof.map(|proof| [(TIMESTAMP.to_owned(), timestamp), (SIGNATURE.to_owned(), proof)]);
        Some(Sample::json(body, headers.into_iter().flatten()))
    }
}

fn message<'a>(kind: &str, body: &'a Json<'a>) -> Result<Message<'a>, OtherShape> {
    let inside = body.object("d")?.ok_or(OtherShape)?;
    let author = inside.object("author")?.ok_or(OtherShape)?;
    let (user, chat_id) = match kind {
        "C2C_MESSAGE_CREATE" => (author.text("user_openid")?, author.text("user_openid")?),
        "GROUP_AT_MESSAGE_CREATE" => (author.text("member_openid")?, inside.text("group_openid")?),
        "AT_MESSAGE_CREATE" | "MESSAGE_CREATE" => (author.text("id")?, inside.text("channel_id")?),
        "DIRECT_MESSAGE_CREATE" => (author.text("id")?, inside.text("guild_id")?),
        _ => return Err(OtherShape),
    };
    Ok(Message {
        user: user.ok_or(OtherShape)?.into(),
        text: inside.text("content")?.unwrap_or_default().into(),
        chat_id: chat_id.ok_or(OtherShape)?.into(),
        id: inside.text("id")?.map(Into::into),
        user_name: author.text("username")?.map(Into::into),
        sent_at: inside.text("timestamp")?.and_then(rfc3339),
        attachments: inside
            .list("attachments")?
            .iter()
            .map(attachment)
            .collect::<Result<_, _>>()?,
        reply: super::known([("eventId", body.text("id")?)]),
        ..Message::default()
    })
}

fn attachment<'a>(file: &'a Json<'a>) -> Result<Attachment<'a>, OtherShape> {
    let mime_type = file.text("content_type")?;
    Ok(Attachment {
        kind: super::main_type(mime_type).into(),
        id: None,
        url: file.text("url")?.map(Into::into),
        name: file.text("filename")?.map(Into::into),
        mime_type: mime_type.map(Into::into),
        size: file.integer("size")?.map(Into::into),
    })
}
