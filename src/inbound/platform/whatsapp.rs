//! WhatsApp's Cloud API: Meta's "Webhooks". A GET proves that the address is ours; a body may hold many messages.

use http::{Method, StatusCode};
use jiff::Timestamp;

use super::{FieldError, Platform, Reading, Sample, SampleOf};
use crate::document::Inbound;
use crate::document::settings::Encoding;
use crate::inbound::form::Form;
use crate::inbound::json::{Json, OtherShape, quoted};
use crate::inbound::normalise::{Attachment, Message, Normalised, Source, unix_seconds};
use crate::inbound::request::{Answer, Reason, Refusal, Request};
use crate::inbound::signature::{self, HmacKey};
use crate::secret::Secret;

const SIGNATURE: &str = "X-Hub-Signature-256";

struct WhatsApp {
    keys: Vec<HmacKey>,
    verify_tokens: Vec<Secret>,
}

pub(super) fn build(settings: &Inbound) -> Result<Box<dyn Platform>, FieldError> {
    let keys = HmacKey::sha256_of(&super::secrets(settings)?);
    if settings.verify_tokens.is_empty() && settings.verify_signature {
        return Err(FieldError::new(
            "verifyToken",
            "it is missing; set the text that you enter as \"Verify token\" where the app's webhook is set up",
        ));
    }
    Ok(Box::new(WhatsApp {
        keys,
        verify_tokens: settings.verify_tokens.clone(),
    }))
}

impl Platform for WhatsApp {
    fn allow(&self) -> &'static str {
        "GET, POST"
    }

    fn credential_parameters(&self) -> &'static [&'static str] {
        &["hub.verify_token"]
    }

    fn greet(&self, request: &Request, _: Timestamp) -> Result<Option<Answer>, Refusal> {
        if request.method != Method::GET {
            return Ok(None);
        }
        let refused = |detail| Refusal::new(Reason::Handshake, StatusCode::FORBIDDEN, detail, "verification failed");
        let query = Form::parse(request.query().unwrap_or_default().as_bytes())
            .map_err(|_| refused("the query is not UTF-8"))?;
        if query.get("hub.mode") != Some("subscribe") {
            return Err(refused("hub.mode is not `subscribe`"));
        }
        let token = query.get("hub.verify_token").unwrap_or_default();
        if !signature::any_matches(&self.verify_tokens, token.as_bytes()) {
            return Err(refused("hub.verify_token is not the verifyToken"));
        }
        let challenge = query
            .get("hub.challenge")
            .ok_or_else(|| refused("hub.challenge is missing"))?;
        Ok(Some(Answer::text(challenge.to_owned())))
    }

    fn verify(&self, request: &Request, _: Timestamp) -> Result<(), Refusal> {
        let signed = request.required_header(SIGNATURE)?;
        let code = signature::decode(signed, "sha256=", Encoding::Hex, SIGNATURE)?;
        signature::any_verifies(&self.keys, &[&request.body], &code, SIGNATURE)
    }

    fn read(&self, request: &Request, source: &Source) -> Result<Reading, Refusal> {
        let body = request.json()?;
        Ok(Reading {
            events: super::several(request, &items(&body), |item, hash| item.event(hash, source))?,
            answer: Answer::empty(),
        })
    }

    fn sample(&self, sample: &SampleOf<'_>) -> Option<Sample> {
        let body = format!(
            concat!(
                r#"{{"object":"whatsapp_business_account","entry":[{{"id":"0","changes":[{{"field":"messages","#,
                r#""value":{{"messaging_product":"whatsapp","#,
                r#""contacts":[{{"wa_id":"0","profile":{{"name":"openclaw"}}}}],"#,
                r#""messages":[{{"from":"0","id":{id},"timestamp":"{now}","type":"text","#,
                r#""text":{{"body":{text}}}}}]}}}}]}}]}}"#
            ),
            id = quoted(sample.id),
            now = sample.now.as_second(),
            text = quoted(sample.text)
        );
        let proof = self.keys.first().map(|key| {
            let code = hex::encode(key.sign(&[body.as_bytes()]));
            (SIGNATURE.to_owned(), format!("sha256={code}"))
        });
        Some(Sample::json(body, proof))
    }
}

/// What becomes one event.
enum Item<'a> {
    /// A message, and the contacts that came with it.
    Message(&'a Json<'a>, &'a [Json<'a>]),
    /// What became of a message that was sent.
    Status(&'a Json<'a>),
    /// Anything else, with its type.
    Other(&'a str, &'a Json<'a>),
}

/// The items of a body, in order. Nothing of it is lost: what has no parts that we know is an item as a whole.
fn items<'a>(body: &'a Json<'a>) -> Vec<Item<'a>> {
    let mut items = Vec::new();
    for entry in body.list("entry").unwrap_or_default() {
        let changes = entry.list("changes").unwrap_or_default();
        if changes.is_empty() {
            items.push(Item::Other("unknown", entry));
        }
        for change in changes {
            let list = |name| {
                let value = change.get("value")?;
                value.list(name).ok()
            };
            let contacts = list("contacts").unwrap_or_default();
            let before = items.len();
            items.extend(
                list("messages")
                    .unwrap_or_default()
                    .iter()
                    .map(|message| Item::Message(message, contacts)),
            );
            items.extend(list("statuses").unwrap_or_default().iter().map(Item::Status));
            if items.len() == before {
                let field = change.get("field").and_then(Json::as_text);
                items.push(Item::Other(field.unwrap_or("unknown"), change));
            }
        }
    }
    if items.is_empty() {
        items.push(Item::Other("unknown", body));
    }
    items
}

impl Item<'_> {
    fn event(&self, hash: String, source: &Source) -> Normalised {
        match self {
            Self::Message(inside, contacts) => {
                let key = match inside.text("id") {
                    Ok(Some(id)) => id.to_owned(),
                    _ => hash,
                };
                if let Ok(message) = message(inside, contacts) {
                    return source.message(&message, Some(key));
                }
                let kind = inside.get("type").and_then(Json::as_text);
                source.webhook(kind.unwrap_or("unknown"), Some(key), inside)
            }
            Self::Status(inside) => {
                let key = match (inside.text("id"), inside.text("status")) {
                    (Ok(Some(id)), Ok(Some(status))) => format!("{id}:{status}"),
                    _ => hash,
                };
                source.webhook("message.status", Some(key), inside)
            }
            Self::Other(kind, inside) => source.webhook(kind, Some(hash), inside),
        }
    }
}

fn message<'a>(inside: &'a Json<'a>, contacts: &'a [Json<'a>]) -> Result<Message<'a>, OtherShape> {
    // Who hides the number behind a username has a `user_id` instead of it.
    let number = inside.filled("from")?;
    let hidden = inside.filled("from_user_id")?;
    let is =
        |contact: &Json<'_>, name, id: Option<&str>| id.is_some() && contact.get(name).and_then(Json::as_text) == id;
    let contact = if number.is_none() && hidden.is_none() {
        contacts.first()
    } else {
        contacts
            .iter()
            .find(|contact| is(contact, "wa_id", number) || is(contact, "user_id", hidden))
    };
    let user = match (number.or(hidden), contact) {
        (Some(id), _) => id,
        (None, Some(contact)) => contact.filled("user_id")?.ok_or(OtherShape)?,
        (None, None) => return Err(OtherShape),
    };
    let profile = match contact {
        Some(contact) => contact.object("profile")?,
        None => None,
    };
    let user_name = match profile {
        Some(profile) => profile.text("name")?,
        None => None,
    };
    let kind = inside.text("type")?.unwrap_or_default();
    Ok(Message {
        user: user.into(),
        text: words(inside, kind)?.unwrap_or_default().into(),
        chat_id: inside.filled("group_id")?.unwrap_or(user).into(),
        id: inside.text("id")?.map(Into::into),
        user_name: user_name.map(Into::into),
        sent_at: inside.text("timestamp")?.and_then(unix_seconds),
        attachments: attachment(inside, kind)?.into_iter().collect(),
        ..Message::default()
    })
}

fn words<'a>(inside: &'a Json<'a>, kind: &str) -> Result<Option<&'a str>, OtherShape> {
    let name = match kind {
        "text" => "body",
        "button" => "text",
        "image" | "video" | "document" => "caption",
        "reaction" => "emoji",
        "interactive" => return choice(inside),
        _ => return Ok(None),
    };
    match inside.object(kind)? {
        Some(inside) => inside.text(name),
        None => Ok(None),
    }
}

/// What a person chose of buttons or of a list.
fn choice<'a>(inside: &'a Json<'a>) -> Result<Option<&'a str>, OtherShape> {
    let Some(inside) = inside.object("interactive")? else {
        return Ok(None);
    };
    for name in ["button_reply", "list_reply"] {
        if let Some(reply) = inside.object(name)? {
            return reply.text("title");
        }
    }
    Ok(None)
}

fn attachment<'a>(inside: &'a Json<'a>, kind: &'a str) -> Result<Option<Attachment<'a>>, OtherShape> {
    if !matches!(kind, "image" | "video" | "audio" | "document" | "sticker") {
        return Ok(None);
    }
    let Some(file) = inside.object(kind)? else {
        return Ok(None);
    };
    Ok(Some(Attachment {
        kind: kind.into(),
        id: file.text("id")?.map(Into::into),
        name: file.text("filename")?.map(Into::into),
        mime_type: file.text("mime_type")?.map(Into::into),
        ..Attachment::default()
    }))
}
