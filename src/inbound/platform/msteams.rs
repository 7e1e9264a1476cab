//! Microsoft Teams: "Bot Framework authentication", connector to bot. Each request carries a token of the Bot Connector; it
//! names the body's service URL, and its key the channels, but it does not cover the body.

use futures_util::future::BoxFuture;
use jiff::Timestamp;

use super::{FieldError, Platform, Reading, Sample, SampleOf};
use crate::document::Inbound;
use crate::inbound::json::{Json, OtherShape};
use crate::inbound::jwt::{Expected, Verifier};
use crate::inbound::normalise::{Attachment, Message, Source, rfc3339};
use crate::inbound::request::{Answer, Refusal, Request};

const CONNECTOR: Expected = Expected {
    issuers: &["https://api.botframework.com"],
    keys_url: "https://login.botframework.com/v1/.well-known/keys",
};

/// What follows it in a conversation's id is the thread.
const THREAD: &str = ";messageid=";

struct Teams {
    tokens: Option<Verifier>,
}

pub(super) fn build(settings: &Inbound) -> Result<Box<dyn Platform>, FieldError> {
    Ok(Box::new(Teams {
        tokens: super::tokens(settings, CONNECTOR)?,
    }))
}

impl Platform for Teams {
    fn signs_authorization(&self) -> bool {
        true
    }

    fn verify(&self, request: &Request, now: Timestamp) -> Result<(), Refusal> {
        let tokens = super::set_up(self.tokens.as_ref())?;
        tokens.verify(super::credentials(request, "Bearer")?, now, |claims, key| {
            let body = request.json()?;
            let text = |name| body.get(name).and_then(Json::as_text);
            let told = claims.get("serviceurl").and_then(Json::as_text);
            if told.is_none() || told != text("serviceUrl") {
                return Err(Refusal::signature(
                    "the token is for another serviceUrl than the body's",
                ));
            }
            if let Some(endorsed) = &key.endorsements
                && !text("channelId").is_some_and(|channel| endorsed.iter().any(|name| name == channel))
            {
                return Err(Refusal::signature("the key is not endorsed for the body's channelId"));
            }
            Ok(())
        })
    }

    fn learn(&self) -> Option<BoxFuture<'_, ()>> {
        self.tokens.as_ref()?.learn()
    }

    fn read(&self, request: &Request, source: &Source) -> Result<Reading, Refusal> {
        let body = request.json()?;
        let text = |name| body.get(name).and_then(Json::as_text);
        let conversation = body.get("conversation").and_then(|inside| inside.get("id")?.as_text());
        let key = match (conversation, text("id")) {
            (Some(conversation), Some(id)) => format!("{conversation}:{id}"),
            _ => request.hash().to_owned(),
        };
        let kind = text("type").unwrap_or("unknown");
        let event = match (kind, text("name"), message(&body)) {
            ("message", _, Ok(message)) => source.message(&message, Some(key)),
            ("invoke", Some(name), _) => source.webhook(&format!("invoke.{name}"), Some(key), &body),
            _ => source.webhook(kind, Some(key), &body),
        };
        Ok(Reading::one(event, Answer::empty()))
    }

    fn sample(&self, _: &SampleOf<'_>) -> Option<Sample> {
        None
    }
}

fn message<'a>(body: &'a Json<'a>) -> Result<Message<'a>, OtherShape> {
    let from = body.object("from")?.ok_or(OtherShape)?;
    let conversation = body.object("conversation")?.ok_or(OtherShape)?;
    let conversation = conversation.text("id")?.ok_or(OtherShape)?;
    let (chat_id, thread) = match conversation.split_once(THREAD) {
        Some((chat_id, thread)) => (chat_id, Some(thread)),
        None => (conversation, None),
    };
    let id = body.text("id")?;
    let mut attachments = Vec::new();
    for file in body.list("attachments")? {
        if let Some(url) = file.text("contentUrl")? {
            attachments.push(Attachment {
                kind: "file".into(),
                url: Some(url.into()),
                name: file.text("name")?.map(Into::into),
                mime_type: file.text("contentType")?.map(Into::into),
                ..Attachment::default()
            });
        }
    }
    Ok(Message {
        user: from.text("id")?.ok_or(OtherShape)?.into(),
        text: body.text("text")?.unwrap_or_default().into(),
        chat_id: chat_id.into(),
        thread_id: thread.map(Into::into),
        id: id.map(Into::into),
        user_name: from.text("name")?.map(Into::into),
        sent_at: body.text("timestamp")?.and_then(rfc3339),
        attachments,
        reply: super::known([
            ("serviceUrl", body.text("serviceUrl")?),
            ("conversationId", Some(conversation)),
            ("activityId", id),
        ]),
    })
}
