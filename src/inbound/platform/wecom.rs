//! WeCom: "Receive messages" of an app (XML) and of an AI bot (JSON). Both sign and encrypt the same way.

use std::time::Duration;

use jiff::Timestamp;
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;

use super::{FieldError, Platform, Reading, Sample, SampleOf};
use crate::document::Inbound;
use crate::document::settings::Encoding;
use crate::inbound::aes_cbc::AesKey;
use crate::inbound::form::Form;
use crate::inbound::json::{Json, OtherShape};
use crate::inbound::normalise::{Attachment, Message, Normalised, Source, unix_seconds};
use crate::inbound::request::{Answer, Refusal, Request};
use crate::inbound::{signature, xml};
use crate::secret::Secret;

const SIGNATURE: &str = "msg_signature";
const TIMESTAMP: &str = "timestamp";
const NONCE: &str = "nonce";

/// WeCom pads to blocks of this size.
const PADDED_TO: usize = 32;

/// Random bytes before the message, then its length.
const RANDOM: usize = 16;

struct WeCom {
    tokens: Vec<Secret>,
    keys: Vec<AesKey>,
    /// `None`: not asked for, on a route that verifies nothing.
    corp_id: Option<Box<str>>,
    verifies: bool,
    tolerance: Duration,
}

pub(super) fn build(settings: &Inbound) -> Result<Box<dyn Platform>, FieldError> {
    const KEY: &str = "WeCom's EncodingAESKey has 43 characters of A-Z a-z 0-9";
    if settings.verify_signature {
        let missing = |field| {
            FieldError::new(
                field,
                "platform `wecom` cannot verify a request without it; set it, or `verifySignature: false`",
            )
        };
        if settings.verify_tokens.is_empty() {
            return Err(missing("verifyToken"));
        }
        if settings.encrypt_keys.is_empty() {
            return Err(missing("encryptKey"));
        }
        if settings.corp_id.is_none() {
            return Err(missing("corpId"));
        }
    }
    let key = |text: &Secret| {
        let bytes = signature::aes_key(text.expose()).ok_or_else(|| FieldError::new("encryptKey", KEY))?;
        Ok(AesKey::new(bytes))
    };
    Ok(Box::new(WeCom {
        tokens: settings.verify_tokens.clone(),
        keys: settings.encrypt_keys.iter().map(key).collect::<Result<_, _>>()?,
        corp_id: settings.corp_id.as_deref().map(Into::into),
        verifies: settings.verify_signature,
        tolerance: super::tolerance(settings),
    }))
}

/// SHA-1 of token, time, nonce and ciphertext, in the order of their bytes.
fn sign(token: &str, timestamp: &str, nonce: &str, encrypted: &str) -> [u8; 20] {
    let mut parts = [token, timestamp, nonce, encrypted];
    parts.sort_unstable();
    Sha1::digest(parts.concat()).into()
}

/// The query's parameters; the proof is there.
fn query(request: &Request) -> Result<Form<'_>, Refusal> {
    Form::parse(request.query().unwrap_or_default().as_bytes())
        .map_err(|_| Refusal::signature("the query is not UTF-8"))
}

/// Whether the body is an AI bot's.
fn is_json(request: &Request) -> bool {
    request.body.trim_ascii_start().starts_with(b"{")
}

/// The body, whatever its format, and the ciphertext in it.
fn outer(request: &Request) -> Result<(Json<'_>, &'static str), Refusal> {
    if is_json(request) {
        Ok((request.json()?, "encrypt"))
    } else {
        Ok((xml::read(&request.body)?, "Encrypt"))
    }
}

impl WeCom {
    fn check(&self, request: &Request, encrypted: &str, now: Timestamp) -> Result<(), Refusal> {
        let query = query(request)?;
        let needed = |name: &str| {
            query
                .get(name)
                .ok_or_else(|| Refusal::signature(format!("query parameter {name} is missing")))
        };
        let (signed, timestamp, nonce) = (needed(SIGNATURE)?, needed(TIMESTAMP)?, needed(NONCE)?);
        let code = signature::decode(signed, "", Encoding::Hex, SIGNATURE)?;
        signature::within_window(timestamp, now, self.tolerance, TIMESTAMP)?;
        let right = |token: &Secret| -> bool {
            let expected = sign(token.expose(), timestamp, nonce, encrypted);
            expected.as_slice().ct_eq(&code).into()
        };
        if self.tokens.iter().any(right) {
            Ok(())
        } else {
            Err(Refusal::signature(format!(
                "the signature in {SIGNATURE} does not match"
            )))
        }
    }

    /// The message inside: random bytes ++ its length ++ the message ++ the corporation's id.
    fn open(&self, encrypted: &str) -> Result<Vec<u8>, Refusal> {
        let unreadable = || Refusal::body("the message cannot be decrypted");
        let bytes = signature::base64(encrypted).ok_or_else(unreadable)?;
        let mut found = Err(unreadable());
        for key in &self.keys {
            let Some((message, corp_id)) = unpack(key, &bytes) else {
                continue;
            };
            if self.corp_id.as_ref().is_none_or(|own| own.as_bytes() == corp_id) {
                return Ok(message);
            }
            found = Err(Refusal::signature("the message is for another corpId"));
        }
        found
    }
}

fn unpack(key: &AesKey, encrypted: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let text = key.decrypt(&key.first_block(), encrypted, PADDED_TO)?;
    let (length, rest) = text.get(RANDOM..)?.split_first_chunk()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    let (message, corp_id) = rest.split_at_checked(length)?;
    Some((message.to_vec(), corp_id.to_vec()))
}

impl Platform for WeCom {
    fn allow(&self) -> &'static str {
        "GET, POST"
    }

    /// WeCom's look at a new address: it wants `echostr` decrypted. It is signed like a message.
    fn greet(&self, request: &Request, now: Timestamp) -> Result<Option<Answer>, Refusal> {
        if request.method != http::Method::GET {
            return Ok(None);
        }
        let query = query(request)?;
        let encrypted = query
            .get("echostr")
            .ok_or_else(|| Refusal::signature("query parameter echostr is missing"))?;
        if self.verifies {
            self.check(request, encrypted, now)?;
        }
        Ok(Some(Answer::text(self.open(encrypted)?)))
    }

    fn verify(&self, request: &Request, now: Timestamp) -> Result<(), Refusal> {
        let (body, name) = outer(request)?;
        self.check(request, encrypted(&body, name)?, now)
    }

    fn read(&self, request: &Request, source: &Source) -> Result<Reading, Refusal> {
        let (body, name) = outer(request)?;
        let message = self.open(encrypted(&body, name)?)?;
        let hash = || -> Result<String, Refusal> { Ok(request.hash_at(query(request)?.get(TIMESTAMP))) };
        Ok(if is_json(request) {
            let event = bot_event(&Json::parse(&message)?, hash, source)?;
            Reading::one(event, Answer::empty())
        } else {
            let event = app_event(&xml::read(&message)?, hash, source)?;
            Reading::one(event, Answer::text("success"))
        })
    }

    fn sample(&self, sample: &SampleOf<'_>) -> Option<Sample> {
        let key = self.keys.first()?;
        let token = self.tokens.first().map_or("", Secret::expose);
        let corp_id = self.corp_id.as_deref().unwrap_or_default();
        let timestamp = sample.now.as_second().to_string();
        let message = format!(
            concat!(
                "<xml><FromUserName>openclaw</FromUserName><CreateTime>{at}</CreateTime><MsgType>text</MsgType>",
                "<Content>{text}</Content><MsgId>{id}</MsgId></xml>"
            ),
            at = timestamp,
            text = quick_xml::escape::escape(sample.text),
            id = sample.number,
        );
        let mut plain = vec![0; RANDOM];
        getrandom::fill(&mut plain).ok()?;
        plain.extend(u32::try_from(message.len()).ok()?.to_be_bytes());
        plain.extend(message.as_bytes());
        plain.extend(corp_id.as_bytes());
        let encrypted = signature::encode(&key.encrypt(&key.first_block(), &plain, PADDED_TO), Encoding::Base64);
        let signed = hex::encode(sign(token, &timestamp, sample.id, &encrypted));
        Some(Sample {
            query: Some(Secret::new(format!(
                "{SIGNATURE}={signed}&{TIMESTAMP}={timestamp}&{NONCE}={}",
                sample.id
            ))),
            headers: vec![("content-type".to_owned(), Secret::new("text/xml"))],
            body: format!("<xml><Encrypt><![CDATA[{encrypted}]]></Encrypt></xml>"),
        })
    }
}

fn encrypted<'a>(body: &'a Json<'_>, name: &str) -> Result<&'a str, Refusal> {
    body.get(name)
        .and_then(Json::as_text)
        .ok_or_else(|| Refusal::body(format!("`{name}` is missing")))
}

/// An app's message or event.
fn app_event(
    body: &Json<'_>,
    hash: impl Fn() -> Result<String, Refusal>,
    source: &Source,
) -> Result<Normalised, Refusal> {
    let text = |name| body.get(name).and_then(Json::as_text);
    let event = text("Event").filter(|_| text("MsgType") == Some("event"));
    let key = match (text("MsgId"), event, text("FromUserName"), text("CreateTime")) {
        (Some(id), ..) => id.to_owned(),
        (None, Some(event), Some(user), Some(at)) => format!("{user}:{at}:{event}"),
        _ => hash()?,
    };
    if let Ok(message) = app_message(body) {
        return Ok(source.message(&message, Some(key)));
    }
    let kind = match event {
        Some(event) => format!("event.{event}"),
        None => text("MsgType").unwrap_or("unknown").to_owned(),
    };
    Ok(source.webhook(&kind, Some(key), body))
}

fn app_message<'a>(body: &'a Json<'a>) -> Result<Message<'a>, OtherShape> {
    let kind = body.text("MsgType")?.ok_or(OtherShape)?;
    if !matches!(kind, "text" | "image" | "voice" | "video") {
        return Err(OtherShape);
    }
    let user = body.text("FromUserName")?.ok_or(OtherShape)?;
    let (media, picture) = (body.text("MediaId")?, body.text("PicUrl")?);
    let attachment = (kind != "text").then(|| Attachment {
        kind: kind.into(),
        id: media.map(Into::into),
        url: picture.map(Into::into),
        ..Attachment::default()
    });
    Ok(Message {
        user: user.into(),
        text: body.text("Content")?.unwrap_or_default().into(),
        chat_id: user.into(),
        id: body.text("MsgId")?.map(Into::into),
        sent_at: body.text("CreateTime")?.and_then(unix_seconds),
        attachments: attachment.into_iter().collect(),
        ..Message::default()
    })
}

/// An AI bot's message or event.
fn bot_event(
    body: &Json<'_>,
    hash: impl Fn() -> Result<String, Refusal>,
    source: &Source,
) -> Result<Normalised, Refusal> {
    let key = match body.text("msgid") {
        Ok(Some(id)) => id.to_owned(),
        _ => hash()?,
    };
    if let Ok(message) = bot_message(body) {
        return Ok(source.message(&message, Some(key)));
    }
    let event = body.get("event").and_then(|event| event.get("eventtype")?.as_text());
    let kind = match (body.get("msgtype").and_then(Json::as_text), event) {
        (Some("event"), Some(event)) => format!("event.{event}"),
        (kind, _) => kind.unwrap_or("unknown").to_owned(),
    };
    Ok(source.webhook(&kind, Some(key), body))
}

fn bot_message<'a>(body: &'a Json<'a>) -> Result<Message<'a>, OtherShape> {
    let from = body.object("from")?.ok_or(OtherShape)?;
    let user = from.text("userid")?.ok_or(OtherShape)?;
    let mut lines: Vec<&str> = Vec::new();
    let mut attachments = Vec::new();
    match body.text("msgtype")?.ok_or(OtherShape)? {
        "mixed" => {
            for item in body.object("mixed")?.ok_or(OtherShape)?.list("msg_item")? {
                bot_part(item, &mut lines, &mut attachments)?;
            }
        }
        "text" | "voice" | "image" | "file" => bot_part(body, &mut lines, &mut attachments)?,
        _ => return Err(OtherShape),
    }
    Ok(Message {
        user: user.into(),
        text: lines.join("\n").into(),
        chat_id: body.text("chatid")?.unwrap_or(user).into(),
        id: body.text("msgid")?.map(Into::into),
        attachments,
        reply: super::known([("responseUrl", body.text("response_url")?)]),
        ..Message::default()
    })
}

/// A message of one part, or a part of a mixed one: `{msgtype: X, X: {…}}`.
fn bot_part<'a>(
    part: &'a Json<'a>,
    lines: &mut Vec<&'a str>,
    attachments: &mut Vec<Attachment<'a>>,
) -> Result<(), OtherShape> {
    let kind = part.text("msgtype")?.ok_or(OtherShape)?;
    let inside = part.object(kind)?.ok_or(OtherShape)?;
    match kind {
        "text" | "voice" => lines.push(inside.text("content")?.unwrap_or_default()),
        "image" | "file" => attachments.push(Attachment {
            kind: kind.into(),
            url: inside.text("url")?.map(Into::into),
            ..Attachment::default()
        }),
        _ => {}
    }
    Ok(())
}
