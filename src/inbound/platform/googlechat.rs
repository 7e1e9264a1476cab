//! Google Chat: "Verify requests from Google Chat". Each request carries a token that Google signed; the token does not
//! cover the body.

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::{FieldError, Platform, Reading, Sample, SampleOf};
use crate::document::Inbound;
use crate::inbound::json::{Json, OtherShape};
use crate::inbound::jwt::{Expected, Verifier};
use crate::inbound::normalise::{Attachment, Message, Source, rfc3339};
use crate::inbound::request::{Answer, Refusal, Request};

/// Who signs, where the audience is the project's number; and whose e-mail it is, where it is a URL.
const CHAT: &str = "chat@system.gserviceaccount.com";

const BY_NUMBER: Expected = Expected {
    issuers: &[CHAT],
    keys_url: "https://www.googleapis.com/service_accounts/v1/jwk/chat@system.gserviceaccount.com",
};

const BY_URL: Expected = Expected {
    issuers: &["https://accounts.google.com", "accounts.google.com"],
    keys_url: "https://www.googleapis.com/oauth2/v3/certs",
};

struct GoogleChat {
    tokens: Option<Verifier>,
    by_number: bool,
}

pub(super) fn build(settings: &Inbound) -> Result<Box<dyn Platform>, FieldError> {
    let audience = settings.audience.as_deref().unwrap_or_default();
    let by_number = audience.bytes().all(|b| b.is_ascii_digit());
    let expected = if by_number { BY_NUMBER } else { BY_URL };
    Ok(Box::new(GoogleChat {
        tokens: super::tokens(settings, expected)?,
        by_number,
    }))
}

impl Platform for GoogleChat {
    fn signs_authorization(&self) -> bool {
        true
    }

    fn verify(&self, request: &Request, now: Timestamp) -> Result<(), Refusal> {
        let tokens = super::set_up(self.tokens.as_ref())?;
        tokens.verify(super::credentials(request, "Bearer")?, now, |claims, _| {
            let from_chat = claims.text("email") == Ok(Some(CHAT)) && claims.flag("email_verified") == Ok(true);
            if self.by_number || from_chat {
                Ok(())
            } else {
                Err(Refusal::signature(
                    "the token is not for Google Chat's own e-mail address",
                ))
            }
        })
    }

    fn learn(&self) -> Option<BoxFuture<'_, ()>> {
        self.tokens.as_ref()?.learn()
    }

    fn read(&self, request: &Request, source: &Source) -> Result<Reading, Refusal> {
        let body = request.json()?;
        let kind = body.get("type").and_then(Json::as_text).unwrap_or("unknown");
        let message = if kind == "MESSAGE" {
            message(&body)
        } else {
            Err(OtherShape)
        };
        let event = match message {
            Ok(message) => {
                let key = message.id.as_deref().unwrap_or_else(|| request.hash()).to_owned();
                source.message(&message, Some(key))
            }
            Err(OtherShape) => source.webhook(kind, Some(request.hash().to_owned()), &body),
        };
        Ok(Reading::one(event, Answer::json("{}")))
    }

    fn sample(&self, _: &SampleOf<'_>) -> Option<Sample> {
        None
    }
}

fn message<'a>(body: &'a Json<'a>) -> Result<Message<'a>, OtherShape> {
    let message = body.object("message")?.ok_or(OtherShape)?;
    let sender = message.object("sender")?.ok_or(OtherShape)?;
    let name = |of: Option<&'a Json<'a>>| of.map_or(Ok(None), |of| of.text("name"));
    let chat_id = match name(message.object("space")?)? {
        Some(name) => name,
        None => name(body.object("space")?)?.ok_or(OtherShape)?,
    };
    let thread = name(message.object("thread")?)?;
    let in_thread = message.flag("threadReply")?;
    Ok(Message {
        user: sender.text("name")?.ok_or(OtherShape)?.into(),
        text: message.text("text")?.unwrap_or_default().into(),
        chat_id: chat_id.into(),
        thread_id: thread.filter(|_| in_thread).map(Into::into),
        id: message.text("name")?.map(Into::into),
        user_name: sender.text("displayName")?.map(Into::into),
        sent_at: message.text("createTime")?.and_then(rfc3339),
        attachments: message
            .list("attachment")?
            .iter()
            .map(attachment)
            .collect::<Result<_, _>>()?,
        reply: super::known([("thread", thread)]),
    })
}

fn attachment<'a>(file: &'a Json<'a>) -> Result<Attachment<'a>, OtherShape> {
    let resource = match file.object("attachmentDataRef")? {
        Some(data) => data.text("resourceName")?,
        None => None,
    };
    let id = match resource {
        Some(id) => Some(id),
        None => file.text("name")?,
    };
    Ok(Attachment {
        kind: "file".into(),
        id: id.map(Into::into),
        name: file.text("contentName")?.map(Into::into),
        mime_type: file.text("contentType")?.map(Into::into),
        ..Attachment::default()
    })
}
