//! Feishu (Lark): "Subscribe to events", version 2 and 1. With an Encrypt Key requests are signed and encrypted; without
//! one the Verification Token inside the body is the proof.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{FieldError, Platform, Reading, Sample, SampleOf};
use crate::document::Inbound;
use crate::document::settings::Encoding;
use crate::inbound::aes_cbc::{AesKey, BLOCK};
use crate::inbound::json::{Json, OtherShape, write_text};
use crate::inbound::normalise::{Attachment, Message, Normalised, Source, unix_millis};
use crate::inbound::request::{Answer, Refusal, Request};
use crate::inbound::signature;
use crate::proof::Proof;
use crate::secret::Secret;

const SIGNATURE: &str = "X-Lark-Signature";
const TIMESTAMP: &str = "X-Lark-Request-Timestamp";
const NONCE: &str = "X-Lark-Request-Nonce";

/// The window of OpenClaw's own Feishu channel.
const TOLERANCE: Duration = Duration::from_hours(1);

/// Timestamps from here on are in milliseconds.
const MILLIS_FROM: u64 = 1_000_000_000_000;

struct Feishu {
    tokens: Vec<Secret>,
    keys: Vec<EncryptKey>,
    verifies: bool,
    tolerance: Duration,
}

/// An Encrypt Key: its text signs, its hash encrypts.
struct EncryptKey {
    text: Secret,
    aes: AesKey,
}

pub(super) fn build(settings: &Inbound) -> Result<Box<dyn Platform>, FieldError> {
    if settings.verify_signature && settings.encrypt_keys.is_empty() && settings.verify_tokens.is_empty() {
        return Err(FieldError::new(
            "encryptKey",
            "platform `feishu` cannot verify a request without it or `verifyToken`: set one, best both, as \
             Events & Callbacks of the app shows them, or `verifySignature: false`",
        ));
    }
    let keys = settings.encrypt_keys.iter().map(|text| EncryptKey {
        text: text.clone(),
        aes: AesKey::new(Sha256::digest(text.expose_bytes()).into()),
    });
    Ok(Box::new(Feishu {
        tokens: settings.verify_tokens.clone(),
        keys: keys.collect(),
        verifies: settings.verify_signature,
        tolerance: settings.tolerance.unwrap_or(TOLERANCE),
    }))
}

impl EncryptKey {
    fn signature(&self, timestamp: &str, nonce: &str, body: &[u8]) -> [u8; 32] {
        Sha256::new()
            .chain_update(timestamp)
            .chain_update(nonce)
            .chain_update(self.text.expose_bytes())
            .chain_update(body)
            .finalize()
            .into()
    }

    /// What was encrypted: the IV comes first.
    fn open(&self, encrypted: &[u8]) -> Option<Vec<u8>> {
        let (iv, rest) = encrypted.split_first_chunk::<BLOCK>()?;
        self.aes.decrypt(iv, rest, BLOCK)
    }
}

impl Feishu {
    /// What the body holds, where it is encrypted.
    fn open(&self, body: &Json<'_>) -> Result<Option<Vec<u8>>, Refusal> {
        let Some(encrypted) = body.get("encrypt") else {
            return Ok(None);
        };
        let bytes = encrypted.as_text().and_then(signature::base64);
        let opened = bytes.and_then(|bytes| {
            // Of two keys the wrong one may by chance leave a right padding, but no JSON.
            let mut opened = self.keys.iter().filter_map(|key| key.open(&bytes));
            opened.find(|text| Json::parse(text).is_ok())
        });
        opened
            .map(Some)
            .ok_or_else(|| Refusal::body("`encrypt` cannot be decrypted"))
    }

    /// The answer to `url_verification`, Feishu's look at a new address; `None`: the body is none.
    fn challenge(&self, body: &Json<'_>) -> Result<Option<Answer>, Refusal> {
        if body.get("type").and_then(Json::as_text) != Some("url_verification") {
            return Ok(None);
        }
        if self.verifies && !self.tokens.is_empty() {
            self.check_token(body)?;
        }
        let challenge = body.get("challenge").and_then(Json::as_text);
        let challenge = challenge.ok_or_else(|| Refusal::body("`challenge` is missing"))?;
        let mut answer = String::from(r#"{"challenge":"#);
        write_text(&mut answer, challenge);
        answer.push('}');
        Ok(Some(Answer::json(answer)))
    }

    fn check_token(&self, body: &Json<'_>) -> Result<(), Refusal> {
        let token = match body.get("header") {
            Some(header) => header.get("token"),
            None => body.get("token"),
        };
        let token = token
            .and_then(Json::as_text)
            .ok_or_else(|| Refusal::signature("the body has no token"))?;
        if signature::any_matches(&self.tokens, token.as_bytes()) {
            Ok(())
        } else {
            Err(Refusal::signature("the token in the body is not verifyToken"))
        }
    }
}

impl Platform for Feishu {
    /// `url_verification` may come unsigned. Whatever is signed is not looked into before its signature holds.
    fn greet(&self, request: &Request, _: Timestamp) -> Result<Option<Answer>, Refusal> {
        if !self.keys.is_empty() && request.headers.contains_key(SIGNATURE) {
            return Ok(None);
        }
        let Ok(body) = request.json() else {
            return Ok(None);
        };
        match self.open(&body) {
            Ok(Some(opened)) => self.challenge(&Json::parse(&opened)?),
            Ok(None) => self.challenge(&body),
            Err(_) => Ok(None),
        }
    }

    fn verify(&self, request: &Request, now: Timestamp) -> Result<(), Refusal> {
        if self.keys.is_empty() {
            return self.check_token(&request.json()?);
        }
        let signed = request.required_header(SIGNATURE)?;
        let timestamp = request.required_header(TIMESTAMP)?;
        let nonce = request.required_header(NONCE)?;
        let code = signature::decode(signed, "", Encoding::Hex, SIGNATURE)?;
        if signature::digits(timestamp).is_some_and(|at| at >= MILLIS_FROM) {
            signature::within_window_millis(timestamp, now, self.tolerance, TIMESTAMP)?;
        } else {
            signature::within_window(timestamp, now, self.tolerance, TIMESTAMP)?;
        }
        let right = |key: &EncryptKey| -> bool {
            let expected = key.signature(timestamp, nonce, &request.body);
            expected.as_slice().ct_eq(&code).into()
        };
        if self.keys.iter().any(right) {
            Ok(())
        } else {
            Err(Refusal::signature(format!(
                "the signature in {SIGNATURE} does not match"
            )))
        }
    }

    fn read(&self, request: &Request, source: &Source) -> Result<Reading, Refusal> {
        let outer = request.json()?;
        let opened = self.open(&outer)?;
        let body = match &opened {
            Some(opened) => Json::parse(opened)?,
            None => outer,
        };
        if let Some(answer) = self.challenge(&body)? {
            return Ok(Reading::handshake(answer));
        }
        let header = body.get("header");
        let id = match header {
            Some(header) => header.get("event_id"),
            None => body.get("uuid"),
        };
        let key = match id.and_then(Json::as_text) {
            Some(id) => id.to_owned(),
            None if self.keys.is_empty() => request.hash().to_owned(),
            None => request.hash_at(request.header(TIMESTAMP)?),
        };
        let kind = match header {
            Some(header) => header.get("event_type"),
            None => body.get("event").and_then(|event| event.get("type")),
        };
        let kind = kind
            .or_else(|| body.get("type"))
            .and_then(Json::as_text)
            .unwrap_or("unknown");
        Ok(Reading::one(event(kind, key, &body, source), Answer::json("{}")))
    }

    fn prove(&self, request: &Request, now: Timestamp) -> Proof {
        let Some(key) = self.keys.first() else {
            return Proof::default(); // its token is in the body
        };
        let timestamp = now.as_second().to_string();
        let nonce = request.header(NONCE).ok().flatten().unwrap_or_else(|| request.hash());
        let code = hex::encode(key.signature(&timestamp, nonce, &request.body));
        let headers = [(TIMESTAMP, timestamp), (NONCE, nonce.to_owned()), (SIGNATURE, code)];
        Proof::of(headers.map(|(name, value)| (name.to_owned(), value)))
    }

    fn sample(&self, sample: &SampleOf<'_>) -> Option<Sample> {
        let quoted = |text: &str| {
            let mut out = String::new();
            write_text(&mut out, text);
            out
        };
        let token = self.tokens.first().map_or("", Secret::expose);
        let content = format!(r#"{{"text":{}}}"#, quoted(sample.text));
        let plain = format!(
            concat!(
                r#"{{"schema":"2.0","header":{{"event_id":{id},"event_type":"im.message.receive_v1","token":{token}}},"#,
                r#""event":{{"sender":{{"sender_id":{{"open_id":"openclaw"}}}},"message":{{"message_id":{id},"#,
                r#""chat_id":"openclaw","create_time":"{at}","message_type":"text","content":{content}}}}}}}"#
            ),
            id = quoted(sample.id),
            token = quoted(token),
            at = sample.now.as_millisecond(),
            content = quoted(&content),
        );
        let Some(key) = self.keys.first() else {
            return Some(Sample::json(plain, []));
        };
        let mut iv = [0; BLOCK];
        getrandom::fill(&mut iv).ok()?;
        let encrypted = [iv.as_slice(), &key.aes.encrypt(&iv, plain.as_bytes(), BLOCK)].concat();
        let body = format!(r#"{{"encrypt":"{}"}}"#, signature::encode(&encrypted, Encoding::Base64));
        let nonce = (NONCE.to_owned(), sample.id.to_owned());
        Some(Sample::proved(self, sample.now, body, [nonce]))
    }
}

fn event(kind: &str, key: String, body: &Json<'_>, source: &Source) -> Normalised {
    let inside = body.get("event").filter(|_| kind == "im.message.receive_v1");
    let text = inside
        .and_then(|event| event.get("message")?.get("content"))
        .and_then(Json::as_text);
    let (Some(inside), Some(text)) = (inside, text) else {
        return source.webhook(kind, Some(key), body);
    };
    let Ok(content) = Json::parse(text.as_bytes()) else {
        return source.error("the message's content is no JSON", Some(key));
    };
    match message(inside, &content) {
        Ok(message) => source.message(&message, Some(key)),
        Err(OtherShape) => source.webhook(kind, Some(key), body),
    }
}

fn message<'a>(event: &'a Json<'a>, content: &'a Json<'a>) -> Result<Message<'a>, OtherShape> {
    let message = event.object("message")?.ok_or(OtherShape)?;
    let sender = event.object("sender")?.ok_or(OtherShape)?;
    let sender = sender.object("sender_id")?.ok_or(OtherShape)?;
    let (text, attachments) = match message.text("message_type")?.ok_or(OtherShape)? {
        "text" => (content.text("text")?.unwrap_or_default().into(), Vec::new()),
        "post" => post(content)?,
        kind => (Cow::default(), vec![file(kind, content)?]),
    };
    Ok(Message {
        user: sender.text("open_id")?.ok_or(OtherShape)?.into(),
        text,
        chat_id: message.text("chat_id")?.ok_or(OtherShape)?.into(),
        thread_id: message.text("thread_id")?.map(Into::into),
        id: message.text("message_id")?.map(Into::into),
        sent_at: message.text("create_time")?.and_then(unix_millis),
        attachments,
        ..Message::default()
    })
}

fn file<'a>(kind: &'a str, content: &'a Json<'a>) -> Result<Attachment<'a>, OtherShape> {
    let id = match content.text("file_key")? {
        Some(id) => Some(id),
        None => content.text("image_key")?,
    };
    Ok(Attachment {
        kind: kind.into(),
        id: id.map(Into::into),
        name: content.text("file_name")?.map(Into::into),
        ..Attachment::default()
    })
}

/// A rich text: a title, and paragraphs that are lists of parts.
fn post<'a>(content: &'a Json<'a>) -> Result<(Cow<'a, str>, Vec<Attachment<'a>>), OtherShape> {
    let mut lines: Vec<String> = Vec::new();
    let mut attachments = Vec::new();
    let title = content.text("title")?.unwrap_or_default();
    if !title.is_empty() {
        lines.push(title.to_owned());
    }
    for paragraph in content.list("content")? {
        let Json::List(parts) = paragraph else {
            return Err(OtherShape);
        };
        let mut line = String::new();
        for part in parts {
            let attached = |kind: &'static str, id: &'a str| Attachment {
                kind: kind.into(),
                id: Some(id.into()),
                ..Attachment::default()
            };
            match part.text("tag")?.unwrap_or_default() {
                "text" | "a" | "md" | "code_block" => line.push_str(part.text("text")?.unwrap_or_default()),
                "at" => {
                    line.push('@');
                    line.push_str(part.text("user_name")?.unwrap_or_default());
                }
                "img" => attachments.extend(part.text("image_key")?.map(|id| attached("image", id))),
                "media" => attachments.extend(part.text("file_key")?.map(|id| attached("media", id))),
                _ => {}
            }
        }
        lines.push(line);
    }
    Ok((lines.join("\n").into(), attachments))
}
