//! Discord: "Receiving and Responding" to interactions, and "Webhook Events". Both are signed with the application's key.

use std::borrow::Cow;
use std::time::Duration;

use ed25519_dalek::VerifyingKey;
use http::StatusCode;
use jiff::Timestamp;

use super::{FieldError, Platform, Reading, Sample, SampleOf};
use crate::document::Inbound;
use crate::inbound::json::{Json, OtherShape};
use crate::inbound::normalise::{Message, Source};
use crate::inbound::request::{Answer, Refusal, Request};
use crate::inbound::signature::{self, SignedHeaders};

const SIGNATURE: &str = "X-Signature-Ed25519";
const TIMESTAMP: &str = "X-Signature-Timestamp";

const FORM: &str = "Discord's public key is 64 hex digits: see General Information of the application";

struct Discord {
    keys: Vec<VerifyingKey>,
    tolerance: Duration,
}

pub(super) fn build(settings: &Inbound) -> Result<Box<dyn Platform>, FieldError> {
    if settings.public_keys.is_empty() && settings.verify_signature {
        return Err(FieldError::new("publicKey", format!("it is missing; {FORM}")));
    }
    // What is no key lets nothing in.
    let keys = settings
        .public_keys
        .iter()
        .filter_map(|text| signature::ed25519_key(&hex::decode(text).ok()?))
        .collect();
    Ok(Box::new(Discord {
        keys,
        tolerance: super::tolerance(settings),
    }))
}

impl Platform for Discord {
    fn verify(&self, request: &Request, now: Timestamp) -> Result<(), Refusal> {
        if self.keys.is_empty() {
            return Err(Refusal::signature(format!("no key can verify it: {FORM}")));
        }
        let headers = SignedHeaders {
            signature: SIGNATURE,
            timestamp: TIMESTAMP,
        };
        signature::signed_with_time(request, &headers, &self.keys, now, self.tolerance)
    }

    fn read(&self, request: &Request, source: &Source) -> Result<Reading, Refusal> {
        let body = request.json()?;
        let hash = || Ok::<_, Refusal>(request.hash_at(request.header(TIMESTAMP)?));
        let kind = body.integer("type").ok().flatten().unwrap_or_default();

        // Webhook Events have a `version` too, but an interaction never is of type 0 nor holds an `event`.
        if kind == "0" && body.get("version").is_some() {
            return Ok(Reading::handshake(Answer::status(StatusCode::NO_CONTENT)));
        }
        if let ("1", Some(event)) = (kind, body.get("event")) {
            let kind = event.text("type").ok().flatten().unwrap_or("unknown");
            let event = source.webhook(kind, Some(hash()?), &body);
            return Ok(Reading::one(event, Answer::status(StatusCode::NO_CONTENT)));
        }

        let key = match body.text("id") {
            Ok(Some(id)) => id.to_owned(),
            _ => hash()?,
        };
        let event = |kind: &str| source.webhook(kind, Some(key.clone()), &body);
        Ok(match kind {
            "1" => Reading::handshake(Answer::json(r#"{"type":1}"#)),
            "2" => {
                let event = match command(&body) {
                    Ok(message) => source.message(&message, Some(key.clone())),
                    Err(OtherShape) => event("application_command"),
                };
                Reading::one(event, Answer::json(r#"{"type":5}"#))
            }
            "3" => Reading::one(event("message_component"), Answer::json(r#"{"type":6}"#)),
            "4" => Reading::handshake(Answer::json(r#"{"type":8,"data":{"choices":[]}}"#)),
            "5" => Reading::one(event("modal_submit"), Answer::json(r#"{"type":5}"#)),
            _ => Reading::one(event("unknown"), Answer::empty()),
        })
    }

    fn sample(&self, _: &SampleOf<'_>) -> Option<Sample> {
        None
    }
}

fn command<'a>(body: &'a Json<'a>) -> Result<Message<'a>, OtherShape> {
    let member = match body.object("member")? {
        Some(member) => member.object("user")?,
        None => None,
    };
    let user = match member {
        Some(user) => user,
        None => body.object("user")?.ok_or(OtherShape)?,
    };
    let chat_id = match body.text("channel_id")? {
        Some(id) => id,
        None => body
            .object("channel")?
            .ok_or(OtherShape)?
            .text("id")?
            .ok_or(OtherShape)?,
    };
    let id = body.text("id")?;
    let reply = [
        ("applicationId", body.text("application_id")?),
        ("interactionId", id),
        ("token", body.text("token")?),
    ];
    let user_name = match user.text("global_name")? {
        Some(name) => Some(name),
        None => user.text("username")?,
    };
    Ok(Message {
        user: user.text("id")?.ok_or(OtherShape)?.into(),
        text: words(body.object("data")?.ok_or(OtherShape)?)?,
        chat_id: chat_id.into(),
        id: id.map(Into::into),
        user_name: user_name.map(Into::into),
        reply: reply
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?.into())))
            .collect(),
        ..Message::default()
    })
}

/// The command as a person would type it; of a single text option its value alone.
fn words<'a>(command: &'a Json<'a>) -> Result<Cow<'a, str>, OtherShape> {
    const TEXT: &str = "3";
    let options = command.list("options")?;
    if let [only] = options
        && only.integer("type")? == Some(TEXT)
    {
        return Ok(only.text("value")?.ok_or(OtherShape)?.into());
    }
    let mut line = format!("/{}", command.text("name")?.ok_or(OtherShape)?);
    add_options(&mut line, options)?;
    Ok(line.into())
}

fn add_options(line: &mut String, options: &[Json<'_>]) -> Result<(), OtherShape> {
    const SUB_COMMAND: &str = "1";
    const SUB_COMMAND_GROUP: &str = "2";
    for option in options {
        line.push(' ');
        line.push_str(option.text("name")?.ok_or(OtherShape)?);
        if let Some(SUB_COMMAND | SUB_COMMAND_GROUP) = option.integer("type")? {
            add_options(line, option.list("options")?)?;
            continue;
        }
        line.push(':');
        match option.get("value").ok_or(OtherShape)? {
            Json::Text(text) => line.push_str(text),
            other => other.write(line),
        }
    }
    Ok(())
}
