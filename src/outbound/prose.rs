//! An event in words: what people and agents are told where the document says nothing else.

use std::collections::HashMap;
use std::fmt::Write as _;

use serde_json::value::RawValue;

use crate::event::Event;

/// The longest line about an event that is no message, in characters.
const LINE_CHARS: usize = 500;

/// The members of an event's data.
pub(super) struct Told<'a>(HashMap<String, &'a RawValue>);

impl<'a> Told<'a> {
    pub(super) fn of(event: &'a Event) -> Self {
        Self(serde_json::from_str(event.data.as_str()).unwrap_or_default())
    }

    /// A member as text; `None`: it is missing, null, empty, or no text and no number.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let raw = self.0.get(name)?.get();
        match raw.as_bytes().first()? {
            b'"' => serde_json::from_str(raw).ok().filter(|text: &String| !text.is_empty()),
            b'-' | b'0'..=b'9' => Some(raw.to_owned()),
            _ => None,
        }
    }

    /// A member's JSON.
    pub(super) fn json(&self, name: &str) -> Option<&'a str> {
        self.0.get(name).map(|raw| raw.get())
    }

    /// The message and who wrote it, of an event that is one.
    fn message(&self) -> Option<(String, String)> {
        let message: String = serde_json::from_str(self.json("message")?).ok()?;
        Some((self.text("userName").or_else(|| self.text("user"))?, message))
    }

    fn joined(&self, names: &[&str]) -> String {
        names
            .iter()
            .filter_map(|name| self.text(name))
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// For a chat: `channel user: message`; of other events the name and one line.
pub(super) fn text(event: &Event) -> String {
    let told = Told::of(event);
    if let Some((user, message)) = told.message() {
        let who = [told.text("channel"), Some(user)]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>();
        return format!("{}: {message}", who.join(" "));
    }
    let line = told
        .text("error")
        .map(|error| format!("{} {error}", told.joined(&["channel"])))
        .or_else(|| Some(told.joined(&["channel", "platform", "type"])).filter(|_| told.text("type").is_some()))
        .unwrap_or_else(|| event.data.as_str().to_owned());
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{}: {}", event.name, cut_chars(&line, LINE_CHARS))
}

/// For an agent: `user (platform channel): message`; of other events platform and type, and the JSON of `data.body`.
pub(super) fn message(event: &Event) -> String {
    let told = Told::of(event);
    if let Some((user, message)) = told.message() {
        let at = told.joined(&["platform", "channel"]);
        return if at.is_empty() {
            format!("{user}: {message}")
        } else {
            format!("{user} ({at}): {message}")
        };
    }
    let mut text = told.joined(&["platform", "type"]);
    if text.is_empty() {
        text.push_str(event.name.as_str());
    }
    let json = told.json("body").unwrap_or(event.data.as_str());
    let _ = write!(text, "\n{json}"); // writing into a String cannot fail
    text
}

/// The first so many characters.
pub(super) fn cut_chars(text: &str, at_most: usize) -> &str {
    text.char_indices().nth(at_most).map_or(text, |(end, _)| &text[..end])
}

/// The first so many bytes, cut between characters.
pub(super) fn cut_bytes(text: &str, at_most: usize) -> &str {
    &text[..text.floor_char_boundary(at_most)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbound::payload::tests::event_of;

    #[test]
    fn an_event_is_told_in_one_text() {
        for (name, data, expected, to_agent) in [
            (
                "message.received",
                r#"{"channel":"tg","user":"42","message":"hi\nyou","userName":"Ada","platform":"telegram"}"#,
                "tg Ada: hi\nyou",
                "Ada (telegram tg): hi\nyou",
            ),
            ("message.sent", r#"{"user":42,"message":""}"#, "42: ", "42: "),
            (
                "webhook.received",
                r#"{"channel":"gh","platform":"github","type":"push","deliveryId":"1","body":{"b":1.10,"a":2}}"#,
                "webhook.received: gh github push",
                "github push\n{\"b\":1.10,\"a\":2}",
            ),
            (
                "message.error",
                r#"{"channel":"fs","platform":"feishu","error":"no\nJSON"}"#,
                "message.error: fs no JSON",
                "feishu\n{\"channel\":\"fs\",\"platform\":\"feishu\",\"error\":\"no\\nJSON\"}",
            ),
            (
                "order.created",
                r#"{"n":1}"#,
                "order.created: {\"n\":1}",
                "order.created\n{\"n\":1}",
            ),
        ] {
            let event = event_of(name, data);
            assert_eq!((text(&event).as_str(), message(&event).as_str()), (expected, to_agent));
        }
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!((cut_chars("üüü", 2), cut_bytes("üüü", 3)), ("üü", "ü"));
        assert_eq!((cut_chars("ab", 2), cut_bytes("ab", 2)), ("ab", "ab"));
        assert_eq!(cut_bytes("😀", 3), "");
    }
}
