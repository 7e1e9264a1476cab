//! BlueBubbles: the webhooks of an iMessage server. Its password in the address is the whole proof.

use jiff::Timestamp;

use super::{FieldError, Platform, Reading, Sample, SampleOf};
use crate::document::Inbound;
use crate::inbound::form::{Form, write_form};
use crate::inbound::json::{Json, OtherShape, quoted};
use crate::inbound::normalise::{Attachment, Message, Source, unix_millis};
use crate::inbound::request::{Answer, Refusal, Request};
use crate::proof::Proof;
use crate::secret::Secret;

/// The parameters of the query that may carry the password.
const PASSWORD: [&str; 2] = ["password", "guid"];

const NEW_MESSAGE: &str = "new-message";

struct BlueBubbles {
    secrets: Vec<Secret>,
}

pub(super) fn build(settings: &Inbound) -> Result<Box<dyn Platform>, FieldError> {
    Ok(Box::new(BlueBubbles {
        secrets: super::secrets(settings)?,
    }))
}

impl Platform for BlueBubbles {
    fn credential_parameters(&self) -> &'static [&'static str] {
        &PASSWORD
    }

    fn verify(&self, request: &Request, _: Timestamp) -> Result<(), Refusal> {
        let query = Form::parse(request.query().unwrap_or_default().as_bytes())
            .map_err(|_| Refusal::signature("the query is not UTF-8"))?;
        let password = PASSWORD
            .into_iter()
            .find_map(|name| query.get(name))
            .ok_or_else(|| Refusal::signature("the query has no password"))?;
        super::fixed_token(&self.secrets, password, "the query")
    }

    fn read(&self, request: &Request, source: &Source) -> Result<Reading, Refusal> {
        let body = request.json()?;
        let kind = body.get("type").and_then(Json::as_text).unwrap_or("unknown");
        let data = body.get("data").filter(|_| kind == NEW_MESSAGE);
        let event = match data.and_then(|data| message(data).ok()) {
            Some(message) => {
                let key = match &message.id {
                    Some(guid) => format!("{NEW_MESSAGE}:{guid}"),
                    None => request.hash().to_owned(),
                };
                source.message(&message, Some(key))
            }
            None => source.webhook(kind, Some(request.hash().to_owned()), &body),
        };
        Ok(Reading::one(event, Answer::empty()))
    }

    fn prove(&self, _: &Request, _: Timestamp) -> Proof {
        let secret = self.secrets.first();
        Proof {
            query: secret.map(|secret| Secret::new(write_form(&[("password", secret.expose())]))),
            ..Proof::default()
        }
    }

    fn sample(&self, sample: &SampleOf<'_>) -> Option<Sample> {
        let body = format!(
            concat!(
                r#"{{"type":"new-message","data":{{"guid":{id},"text":{text},"handle":{{"address":"openclaw"}},"#,
                r#""isFromMe":false,"dateCreated":{now},"attachments":[]}}}}"#
            ),
            id = quoted(sample.id),
            text = quoted(sample.text),
            now = sample.now.as_millisecond()
        );
        Some(Sample::proved(self, sample.now, body, []))
    }
}

/// A message that another person wrote.
fn message<'a>(data: &'a Json<'a>) -> Result<Message<'a>, OtherShape> {
    if data.get("isFromMe") != Some(&Json::Bool(false)) {
        return Err(OtherShape);
    }
    let handle = data.object("handle")?.ok_or(OtherShape)?;
    let user = handle.filled("address")?.ok_or(OtherShape)?;
    let chat_id = match data.list("chats")?.first() {
        Some(chat) => chat.filled("guid")?,
        None => None,
    };
    let attachments = data
        .list("attachments")?
        .iter()
        .map(attachment)
        .collect::<Result<_, OtherShape>>()?;
    Ok(Message {
        user: user.into(),
        text: data.text("text")?.unwrap_or_default().into(),
        chat_id: chat_id.unwrap_or(user).into(),
        id: data.filled("guid")?.map(Into::into),
        sent_at: data.integer("dateCreated")?.and_then(unix_millis),
        attachments,
        ..Message::default()
    })
}

fn attachment<'a>(file: &'a Json<'a>) -> Result<Attachment<'a>, OtherShape> {
    let mime_type = file.filled("mimeType")?;
    let kind = mime_type.and_then(|kind| kind.split('/').next());
    Ok(Attachment {
        kind: kind.unwrap_or("file").into(),
        id: file.text("guid")?.map(Into::into),
        url: None,
        name: file.text("transferName")?.map(Into::into),
        mime_type: mime_type.map(Into::into),
        size: file.integer("totalBytes")?.map(Into::into),
    })
}
