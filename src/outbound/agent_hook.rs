//! Starting an assistant's agent: `POST /hooks/agent` of OpenClaw.
//!
//! The idempotency key is the delivery's id, and the assistant takes the same key with another body for another run. So the
//! body is the same at every attempt: it is made of the stored event and the sender's settings alone, without time, number
//! of the attempt or chance. What changes it is a change of the settings (or of the gateway's release) between two attempts
//! of one delivery: then the new settings hold, as for every sender, and an attempt that was admitted although its answer
//! was lost has a second run.

use std::fmt::Write as _;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::answer::{Inside, json};
use super::payload::Payload;
use super::prepared::PreparedSender;
use super::prose::{self, Told, cut_bytes};
use crate::document::platforms::CHANNELS;
use crate::event::Event;
use crate::expression::Seen;

/// The longest message, in bytes.
const MESSAGE_BYTES: usize = 200 * 1024;
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// A JSON object whose absent members are left out.
struct Members(String);

impl Members {
    fn add(&mut self, name: &str, value: Option<String>) {
        if let Some(value) = value {
            self.0.push(if self.0.is_empty() { '{' } else { ',' });
            let _ = write!(self.0, "\"{name}\":{value}"); // writing into a String cannot fail
        }
    }
}

pub(super) fn payload(
    sender: &PreparedSender,
    event: &Event,
    seen: &Seen<'_>,
    delivery_id: &str,
) -> Result<Payload, String> {
    let default = Box::default();
    let hook = sender.settings.agent_hook.as_ref().unwrap_or(&default);
    let told = Told::of(event);
    let message = match &hook.message {
        Some(template) => template
            .render_at_most(seen, MESSAGE_BYTES)
            .map_err(|error| format!("agentHook.message: {error}"))?,
        None => cut_bytes(&prose::message(event), MESSAGE_BYTES).to_owned(),
    };
    // A test has nobody to answer to.
    let reply = hook.reply && !event.test;
    let (channel, to) = if reply {
        let channel = match &hook.channel {
            Some(channel) => channel.clone(),
            None => channel_of(&told)?,
        };
        let to = hook.to.clone().or_else(|| receiver(&channel, &told));
        (Some(channel), to)
    } else {
        (hook.channel.clone(), hook.to.clone())
    };
    let session = told.text("sessionId").filter(|_| hook.conversation);

    let text = |value: &Option<String>| value.as_deref().map(json);
    let mut members = Members(String::with_capacity(message.len() + 256));
    members.add("message", Some(json(&message)));
    members.add("name", told.text("channel").as_deref().map(json));
    members.add("agentId", text(&hook.agent_id));
    members.add(
        "sessionKey",
        session.as_ref().map(|session| json(&format!("hook:{session}"))),
    );
    members.add("sessionMode", session.map(|_| json("persistent")));
    members.add("deliver", Some(reply.to_string()));
    members.add("channel", text(&channel));
    members.add("to", text(&to));
    members.add("accountId", text(&hook.account_id));
    members.add("model", text(&hook.model));
    members.add("thinking", text(&hook.thinking));
    members.add(
        "timeoutSeconds",
        hook.timeout_seconds.map(|seconds| seconds.to_string()),
    );
    members.add("waitForCompletion", hook.wait.then(|| "true".to_owned()));
    members.0.push('}');

    let key = HeaderValue::from_str(delivery_id).map_err(|_| "the delivery's id is no header".to_owned())?;
    Ok(Payload {
        body: members.0.into(),
        headers: HeaderMap::from_iter([(IDEMPOTENCY_KEY, key)]),
        ..Payload::default()
    })
}

/// The assistant's channel that an event came through.
fn channel_of(told: &Told<'_>) -> Result<String, String> {
    match told.text("platform") {
        Some(platform) if CHANNELS.contains(&platform.as_str()) => Ok(platform),
        Some(platform) => Err(format!(
            "agentHook.reply: the assistant has no channel `{}` to reply through: set agentHook.channel and agentHook.to",
            prose::cut_chars(&platform, 40)
        )),
        None => Err("agentHook.reply: the event has no data.platform to reply through".to_owned()),
    }
}

/// The event's chat, as the assistant writes receivers of a channel.
fn receiver(channel: &str, told: &Told<'_>) -> Option<String> {
    let chat = told.text("chatId")?;
    Some(match channel {
        "telegram" => match told.text("threadId") {
            Some(thread) => format!("{chat}:topic:{thread}"),
            None => chat,
        },
        "slack" | "discord" => format!("channel:{chat}"),
        "googlechat" if !chat.starts_with("spaces/") => format!("spaces/{chat}"),
        "whatsapp" if chat.bytes().all(|b| b.is_ascii_digit()) => format!("+{chat}"),
        _ => chat,
    })
}

/// What the body of an answer adds to its status.
pub(super) fn inside(status: u16, body: &[u8]) -> Inside {
    let answer: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let error = (answer["error"].as_str())
        .or(answer["error"]["message"].as_str())
        .map(ToOwned::to_owned);
    if !(200..300).contains(&status) {
        let quoted = error.map(|error| format!("\"{}\"", prose::cut_chars(&error, 200)));
        let said = [quoted, to_change(status).map(ToOwned::to_owned)];
        return Inside {
            said: Some(said.into_iter().flatten().collect::<Vec<_>>().join("; ")).filter(|said| !said.is_empty()),
            ..Inside::default()
        };
    }
    if answer["ok"] != true {
        let error = error.unwrap_or_else(|| "its answer has no `\"ok\": true`".to_owned());
        return Inside {
            refused: Some(format!("not admitted: {}", prose::cut_chars(&error, 200))),
            ..Inside::default()
        };
    }
    let run = answer["runId"]
        .as_str()
        .map(|run| format!("run {}", prose::cut_chars(run, 100)));
    let completion = &answer["completion"];
    let status = completion["status"].as_str();
    let ended = status.map(|status| format!("completion {}", prose::cut_chars(status, 40)));
    let note = [run, ended].into_iter().flatten().collect::<Vec<_>>().join(", ");
    let failed = (status == Some("error")).then(|| {
        let error = (completion["error"].as_str()).or(completion["error"]["message"].as_str());
        let error = error.map_or_else(String::new, |error| format!(": {}", prose::cut_chars(error, 200)));
        format!("the run failed ({note}){error}")
    });
    Inside {
        failed,
        note: Some(note).filter(|note| !note.is_empty()),
        ..Inside::default()
    }
}

/// What to change on the assistant's side.
fn to_change(status: u16) -> Option<&'static str> {
    Some(match status {
        400 => {
            "the assistant refuses a field: see agentHook, and hooks.allowRequestSessionKey, hooks.allowedSessionKeyPrefixes and hooks.allowedAgentIds there"
        }
        401 => "auth.bearer is not the assistant's hooks.token",
        403 => "a proxy on the way adds X-Forwarded-For, which the assistant refuses: reach it directly",
        404 => "set hooks.enabled on the assistant, and make the URL end in its hooks.path and /agent",
        405 => "make the URL end in the assistant's hooks.path and /agent",
        413 => "raise hooks.maxBodyBytes on the assistant, or shorten agentHook.message",
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
