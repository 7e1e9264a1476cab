//! Slack: "Verifying requests from Slack" (5 minutes), the Events API, slash commands, interactivity.

use std::time::Duration;

use jiff::Timestamp;

use super::{FieldError, Platform, Reading, Sample, SampleOf};
use crate::document::Inbound;
use crate::document::settings::Encoding;
use crate::inbound::form::Form;
use crate::inbound::json::{Json, OtherShape, write_text};
use crate::inbound::normalise::{Attachment, Message, Normalised, Source, unix_seconds};
use crate::inbound::request::{Answer, Refusal, Request};
use crate::inbound::signature::{self, HmacKey};
use crate::proof::Proof;

const SIGNATURE: &str = "X-Slack-Signature";
const TIMESTAMP: &str = "X-Slack-Request-Timestamp";

struct Slack {
    keys: Vec<HmacKey>,
    tolerance: Duration,
}

pub(super) fn build(settings: &Inbound) -> Result<Box<dyn Platform>, FieldError> {
    Ok(Box::new(Slack {
        keys: HmacKey::sha256_of(&super::secrets(settings)?),
        tolerance: super::tolerance(settings),
    }))
}

impl Platform for Slack {
    /// Slack looks at the certificate with an unsigned `ssl_check=1`, by GET or as a form.
    fn greet(&self, request: &Request, _: Timestamp) -> Result<Option<Answer>, Refusal> {
        let check = |form: &Form<'_>| form.get("ssl_check") == Some("1");
        let asked = if request.method == http::Method::GET {
            Form::parse(request.query().unwrap_or_default().as_bytes()).is_ok_and(|query| check(&query))
        } else {
            request.is_form() && check(&request.form()?)
        };
        Ok(asked.then(Answer::empty))
    }

    fn verify(&self, request: &Request, now: Timestamp) -> Result<(), Refusal> {
        let signed = request.required_header(SIGNATURE)?;
        let timestamp = request.required_header(TIMESTAMP)?;
        let code = signature::decode(signed, "v0=", Encoding::Hex, SIGNATURE)?;
        signature::within_window(timestamp, now, self.tolerance, TIMESTAMP)?;
        signature::any_verifies(
            &self.keys,
            &[b"v0:", timestamp.as_bytes(), b":", &request.body],
            &code,
            SIGNATURE,
        )
    }

    fn read(&self, request: &Request, source: &Source) -> Result<Reading, Refusal> {
        let timestamp = request.header(TIMESTAMP)?;
        let hash = || request.hash_at(timestamp);
        if request.is_form() {
            return Ok(Reading::one(
                form_event(request.form()?, hash, source)?,
                Answer::empty(),
            ));
        }
        let body = request.json()?;
        let kind = body.get("type").and_then(Json::as_text);
        if let (Some("url_verification"), Ok(Some(challenge))) = (kind, body.text("challenge")) {
            return Ok(Reading::handshake(Answer::text(challenge.to_owned())));
        }
        let event = match (kind, body.object("event")) {
            (Some("event_callback"), Ok(Some(event))) => callback(&body, event, hash, source),
            _ => source.webhook(kind.unwrap_or("unknown"), Some(event_id(&body, hash)), &body),
        };
        Ok(Reading::one(event, Answer::empty()))
    }

    fn prove(&self, request: &Request, now: Timestamp) -> Proof {
        let Some(key) = self.keys.first() else {
            return Proof::default();
        };
        let timestamp = now.as_second().to_string();
        let code = key.sign(&[b"v0:", timestamp.as_bytes(), b":", &request.body]);
        let code = format!("v0={}", hex::encode(code));
        Proof::of([(TIMESTAMP.to_owned(), timestamp), (SIGNATURE.to_owned(), code)])
    }

    fn sample(&self, sample: &SampleOf<'_>) -> Option<Sample> {
        let seconds = sample.now.as_second();
        let mut body = String::from(r#"{"type":"event_callback","event_id":"#);
        write_text(&mut body, sample.id);
        body.push_str(r#","event":{"type":"message","user":"U0","channel":"C0","ts":"#);
        write_text(&mut body, &format!("{seconds}.{:06}", sample.number % 1_000_000));
        body.push_str(r#","text":"#);
        write_text(&mut body, sample.text);
        body.push_str("}}");
        Some(Sample::proved(self, sample.now, body, []))
    }
}

fn event_id(body: &Json<'_>, hash: impl Fn() -> String) -> String {
    match body.text("event_id") {
        Ok(Some(id)) => id.to_owned(),
        _ => hash(),
    }
}

fn callback(body: &Json<'_>, event: &Json<'_>, hash: impl Fn() -> String, source: &Source) -> Normalised {
    let kind = event.get("type").and_then(Json::as_text).unwrap_or("unknown");
    let subtype = event.get("subtype").and_then(Json::as_text);
    let from_a_person = event.get("bot_id").is_none()
        && matches!(
            (kind, subtype),
            ("message", None | Some("file_share" | "thread_broadcast")) | ("app_mention", _)
        );
    if from_a_person && let Ok(message) = message(event) {
        // A mention in a channel comes as two types of event with ids of their own: the message itself is the key.
        let key = match &message.id {
            Some(ts) => format!("{}:{ts}", message.chat_id),
            None => event_id(body, hash),
        };
        return source.message(&message, Some(key));
    }
    let kind = subtype.map_or_else(|| kind.to_owned(), |subtype| format!("{kind}.{subtype}"));
    source.webhook(&kind, Some(event_id(body, hash)), body)
}

fn message<'a>(event: &'a Json<'a>) -> Result<Message<'a>, OtherShape> {
    let ts = event.text("ts")?;
    let attachments = event
        .list("files")?
        .iter()
        .map(|file| {
            Ok(Attachment {
                kind: "file".into(),
                id: file.text("id")?.map(Into::into),
                url: file.text("url_private")?.map(Into::into),
                name: file.text("name")?.map(Into::into),
                mime_type: file.text("mimetype")?.map(Into::into),
                size: file.integer("size")?.map(Into::into),
            })
        })
        .collect::<Result<_, OtherShape>>()?;
    Ok(Message {
        user: event.text("user")?.ok_or(OtherShape)?.into(),
        text: event.text("text")?.unwrap_or_default().into(),
        chat_id: event.text("channel")?.ok_or(OtherShape)?.into(),
        thread_id: event.text("thread_ts")?.map(Into::into),
        id: ts.map(Into::into),
        sent_at: ts.and_then(|ts| unix_seconds(ts.split('.').next().unwrap_or_default())),
        attachments,
        ..Message::default()
    })
}

fn form_event(form: Form<'_>, hash: impl Fn() -> String, source: &Source) -> Result<Normalised, Refusal> {
    let key = match form.get("trigger_id") {
        Some(id) if !id.is_empty() => id.to_owned(),
        _ => hash(),
    };
    if let (Some(command), Some(user), Some(chat)) = (form.get("command"), form.get("user_id"), form.get("channel_id"))
    {
        let line = format!("{command} {}", form.get("text").unwrap_or_default());
        let reply = [("responseUrl", "response_url"), ("triggerId", "trigger_id")];
        let message = Message {
            user: user.into(),
            text: line.trim_end().into(),
            chat_id: chat.into(),
            user_name: form.get("user_name").map(Into::into),
            reply: reply
                .into_iter()
                .filter_map(|(name, field)| Some((name, form.get(field)?.into())))
                .collect(),
            ..Message::default()
        };
        return Ok(source.message(&message, Some(key)));
    }
    if form.get("payload").is_some() {
        let payload = super::payload(&form)?;
        let key = match payload.text("trigger_id") {
            Ok(Some(id)) => id.to_owned(),
            _ => hash(),
        };
        let kind = payload.get("type").and_then(Json::as_text).unwrap_or("unknown");
        return Ok(source.webhook(kind, Some(key), &payload));
    }
    let body = form.into_json();
    let kind = body.get("type").and_then(Json::as_text).unwrap_or("unknown");
    Ok(source.webhook(kind, Some(key), &body))
}
