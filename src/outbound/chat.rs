//! Chats: one text for each event, and what a chat's answer means.
//!
//! What each platform takes and says is in docs/formats.md.

use std::time::Duration;

use http::Uri;

use super::answer::{Inside, json};
use super::payload::Payload;
use super::prepared::PreparedSender;
use super::prose::{self, cut_bytes, cut_chars};
use super::sign::hmac_sha256_base64;
use crate::clock::Timestamp;
use crate::document::settings::{Chat, parse_chat_id};
use crate::event::Event;
use crate::expression::Seen;

/// How long a sender waits after a chat said that it gets too much and not for how long (20 a minute).
const RATE_WAIT: Duration = Duration::from_mins(1);

/// The longest text: `characters`, or else bytes.
struct Longest {
    characters: bool,
    at_most: usize,
}

/// Discord, Telegram and WeCom count the text itself; the others bound the request (Feishu and DingTalk 20 KB, Teams 28 KB),
/// of which the text gets what its escapes leave.
fn longest(kind: Chat) -> Longest {
    let (characters, at_most) = match kind {
        Chat::Slack => (true, 40_000),
        Chat::Discord => (true, 2000),
        Chat::Telegram => (true, 4096),
        Chat::Wecom => (false, 2048),
        Chat::Feishu | Chat::Dingtalk => (false, 18_000),
        Chat::Teams => (false, 24_000),
    };
    Longest { characters, at_most }
}

/// The text, cut at the platform's limit.
fn text(kind: Chat, sender: &PreparedSender, event: &Event, seen: &Seen<'_>) -> Result<String, String> {
    let longest = longest(kind);
    let text = match &sender.settings.text {
        // A character has at most four bytes.
        Some(template) => template
            .render_at_most(seen, longest.at_most * 4)
            .map_err(|error| format!("text: {error}"))?,
        None => prose::text(event),
    };
    let cut = if longest.characters {
        cut_chars(&text, longest.at_most)
    } else {
        cut_bytes(&text, longest.at_most)
    };
    Ok(cut.to_owned())
}

/// The request. Nobody is mentioned by what a text holds.
pub(super) fn payload(
    kind: Chat,
    sender: &PreparedSender,
    event: &Event,
    seen: &Seen<'_>,
    now: Timestamp,
) -> Result<Payload, String> {
    let mut payload = Payload {
        uri: match (kind, &sender.chat_secret) {
            (Chat::Dingtalk, Some(secret)) => Some(signed_uri(&sender.uri, secret.expose(), now)?),
            _ => None,
        },
        ..Payload::default()
    };
    if sender.settings.body.is_some() {
        return Ok(payload);
    }
    let text = text(kind, sender, event, seen)?;
    let body = match kind {
        Chat::Slack => format!(r#"{{"text":{}}}"#, json(&escaped(&text))),
        Chat::Discord => format!(r#"{{"content":{},"allowed_mentions":{{"parse":[]}}}}"#, json(&text)),
        Chat::Telegram => {
            let id = sender.settings.chat_id.as_deref().unwrap_or_default();
            let (chat, topic) = parse_chat_id(id).ok_or("chatId is no chat of Telegram")?;
            let topic = topic.map_or_else(String::new, |topic| format!(r#""message_thread_id":{topic},"#));
            format!(r#"{{"chat_id":{},{topic}"text":{}}}"#, json(chat), json(&text))
        }
        Chat::Feishu => {
            let content = json(&unmentioned(&text, "<at"));
            let signed = sender.chat_secret.as_ref().map_or_else(String::new, |secret| {
                let seconds = now.as_second();
                let key = format!("{seconds}\n{}", secret.expose());
                let sign = hmac_sha256_base64(key.as_bytes(), b"");
                format!(r#""timestamp":"{seconds}","sign":"{sign}","#)
            });
            format!(r#"{{{signed}"msg_type":"text","content":{{"text":{content}}}}}"#)
        }
        Chat::Dingtalk => format!(r#"{{"msgtype":"text","text":{{"content":{}}}}}"#, json(&text)),
        Chat::Wecom => {
            // Breaking a mention up adds bytes.
            let text = unmentioned(&text, "<@");
            let text = cut_bytes(&text, longest(kind).at_most);
            format!(r#"{{"msgtype":"text","text":{{"content":{}}}}}"#, json(text))
        }
        Chat::Teams => format!(
            r#"{{"type":"message","attachments":[{{"contentType":"application/vnd.microsoft.card.adaptive","content":{{"type":"AdaptiveCard","version":"1.4","body":[{{"type":"TextBlock","text":{},"wrap":true}}]}}}}]}}"#,
            json(&text)
        ),
    };
    payload.body = body.into();
    Ok(payload)
}

/// Slack: "Formatting text", what has to be escaped; so nothing in a text is a mention or a link.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Breaks up what would be a mention, with a blank of no width behind the `<`.
fn unmentioned(text: &str, mention: &str) -> String {
    text.replace(mention, &format!("<\u{200b}{}", &mention[1..]))
}

/// DingTalk: "custom robot access", signed by the URL.
fn signed_uri(uri: &Uri, secret: &str, now: Timestamp) -> Result<Uri, String> {
    let ms = now.as_millisecond();
    let sign = hmac_sha256_base64(secret.as_bytes(), format!("{ms}\n{secret}").as_bytes());
    let sign: String = url::form_urlencoded::byte_serialize(sign.as_bytes()).collect();
    let mark = if uri.query().is_some() { '&' } else { '?' };
    Uri::try_from(format!("{uri}{mark}timestamp={ms}&sign={sign}")).map_err(|_| "the URL cannot be signed".to_owned())
}

/// What the body of an answer adds to its status.
pub(super) fn inside(kind: Chat, status: u16, body: &[u8]) -> Inside {
    let success = (200..300).contains(&status);
    let answer: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let (codes, said, too_many): (&[&str], &str, &[i64]) = match kind {
        Chat::Slack | Chat::Discord | Chat::Teams => return Inside::default(),
        Chat::Telegram => {
            let wait = answer["parameters"]["retry_after"].as_u64().map(Duration::from_secs);
            let says = answer["description"]
                .as_str()
                .unwrap_or("its answer has no `\"ok\": true`");
            return Inside {
                refused: (success && answer["ok"] != true).then(|| format!("telegram: {says}")),
                said: (!success)
                    .then(|| answer["description"].as_str().map(ToOwned::to_owned))
                    .flatten(),
                retry_after: wait.filter(|_| status == 429),
                ..Inside::default()
            };
        }
        Chat::Feishu => (&["code", "StatusCode"], "msg", &[9499, 11232]),
        Chat::Dingtalk => (&["errcode"], "errmsg", &[130_101]),
        Chat::Wecom => (&["errcode"], "errmsg", &[45_009]),
    };
    if !success {
        return Inside::default();
    }
    let code = codes.iter().find_map(|name| answer[*name].as_i64());
    if code == Some(0) {
        return Inside::default();
    }
    let refused = match code {
        Some(code) => format!("{} {code}: {}", codes[0], answer[said].as_str().unwrap_or_default()),
        None => format!("its answer has no `{}`", codes[0]),
    };
    Inside {
        refused: Some(refused),
        retry_after: code.filter(|code| too_many.contains(code)).map(|_| RATE_WAIT),
        ..Inside::default()
    }
}

#[cfg(test)]
mod tests;
