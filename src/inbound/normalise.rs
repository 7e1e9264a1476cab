//! What a platform says, as events: the members of `data` and their order are laid down here, for all platforms.

use std::borrow::Cow;

use jiff::Timestamp;

use super::json::{Json, write_text};
use crate::clock::rfc3339_seconds;
use crate::event::EventName;

/// An event as a platform read it; receiving adds its id, source and trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Normalised {
    /// Its name.
    pub(super) name: EventName,
    /// Its `data`: a compact JSON object.
    pub(super) data: String,
    /// `data.sessionId`.
    pub(super) session: Option<String>,
    /// The delivery key; `None`: it is never a repeat.
    pub(super) key: Option<String>,
    /// The event's own time; `None`: when it was accepted.
    pub(super) timestamp: Option<Timestamp>,
}

/// Whose events these are: the `channel` and `platform` of every `data`.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// `channel` of the document.
    pub(super) channel: Box<str>,
    /// The platform's name.
    pub(super) platform: &'static str,
}

type Text<'a> = Cow<'a, str>;

/// A chat message. What is not known is left out.
#[derive(Debug, Clone, Default)]
pub(super) struct Message<'a> {
    /// Who wrote it.
    pub(super) user: Text<'a>,
    /// Its text, unchanged; empty where there is none.
    pub(super) text: Text<'a>,
    /// Where.
    pub(super) chat_id: Text<'a>,
    /// In which thread.
    pub(super) thread_id: Option<Text<'a>>,
    /// The platform's id of it.
    pub(super) id: Option<Text<'a>>,
    /// The writer's name.
    pub(super) user_name: Option<Text<'a>>,
    /// When it was written.
    pub(super) sent_at: Option<Timestamp>,
    /// What hangs on it.
    pub(super) attachments: Vec<Attachment<'a>>,
    /// What an agent needs to answer.
    pub(super) reply: Vec<(&'static str, Text<'a>)>,
}

/// Something that hangs on a message.
#[derive(Debug, Clone, Default)]
pub(super) struct Attachment<'a> {
    /// The platform's word for its kind.
    pub(super) kind: Text<'a>,
    /// Its id.
    pub(super) id: Option<Text<'a>>,
    /// Where to fetch it.
    pub(super) url: Option<Text<'a>>,
    /// Its file name.
    pub(super) name: Option<Text<'a>>,
    /// Its MIME type.
    pub(super) mime_type: Option<Text<'a>>,
    /// Its size: a JSON number's text.
    pub(super) size: Option<Text<'a>>,
}

impl Source {
    /// `message.received`.
    #[must_use]
    pub(super) fn message(&self, message: &Message<'_>, key: Option<String>) -> Normalised {
        let mut session = format!("{}:{}", self.channel, message.chat_id);
        if let Some(thread) = &message.thread_id {
            session.push(':');
            session.push_str(thread);
        }
        let mut object = ObjectWriter::new();
        object.text("channel", &self.channel);
        object.text("user", &message.user);
        object.text("message", &message.text);
        object.text("sessionId", &session);
        object.text("platform", self.platform);
        object.known("messageId", message.id.as_ref());
        object.known("userName", message.user_name.as_ref());
        object.text("chatId", &message.chat_id);
        object.known("threadId", message.thread_id.as_ref());
        if let Some(at) = message.sent_at {
            object.text("sentAt", &rfc3339_seconds(at));
        }
        if !message.attachments.is_empty() {
            let list: Vec<String> = message.attachments.iter().map(Attachment::to_json).collect();
            object.raw("attachments", &format!("[{}]", list.join(",")));
        }
        if !message.reply.is_empty() {
            let mut reply = ObjectWriter::new();
            for (name, value) in &message.reply {
                reply.text(name, value);
            }
            object.raw("reply", &reply.end());
        }
        Normalised {
            name: known_name("message.received"),
            data: object.end(),
            session: Some(session),
            key,
            timestamp: None,
        }
    }

    /// `webhook.received`: everything that is no message.
    #[must_use]
    pub(super) fn webhook(&self, kind: &str, key: Option<String>, body: &Json<'_>) -> Normalised {
        let mut object = ObjectWriter::new();
        object.text("channel", &self.channel);
        object.text("platform", self.platform);
        object.text("type", kind);
        if let Some(key) = &key {
            object.text("deliveryId", key);
        }
        object.json("body", body);
        Normalised {
            name: known_name("webhook.received"),
            data: object.end(),
            session: None,
            key,
            timestamp: None,
        }
    }

    /// `message.error`: a message whose inside cannot be read. `why` says what is wrong, never what it holds.
    #[must_use]
    pub(super) fn error(&self, why: &str, key: Option<String>) -> Normalised {
        let mut object = ObjectWriter::new();
        object.text("channel", &self.channel);
        object.text("platform", self.platform);
        object.text("error", why);
        if let Some(key) = &key {
            object.text("deliveryId", key);
        }
        Normalised {
            name: known_name("message.error"),
            data: object.end(),
            session: None,
            key,
            timestamp: None,
        }
    }
}

fn known_name(name: &str) -> EventName {
    EventName::parse(name).expect("the gateway's own names are right")
}

impl Attachment<'_> {
    fn to_json(&self) -> String {
        let mut object = ObjectWriter::new();
        object.text("type", &self.kind);
        object.known("id", self.id.as_ref());
        object.known("url", self.url.as_ref());
        object.known("name", self.name.as_ref());
        object.known("mimeType", self.mime_type.as_ref());
        if let Some(size) = &self.size {
            object.raw("size", size);
        }
        object.end()
    }
}

impl Normalised {
    /// Marks the event of a route that verifies nothing: `"verified": false`, last in data.
    pub(super) fn mark_unverified(&mut self) {
        let empty = self.data == "{}";
        self.data.truncate(self.data.len() - 1);
        self.data.push_str(if empty {
            "\"verified\":false}"
        } else {
            ",\"verified\":false}"
        });
    }
}

/// Room for most objects: growing by doubling copies them many times.
const USUAL: usize = 1024;

/// Writes one JSON object, member by member. Names are ours: they need no escapes.
struct ObjectWriter(String);

impl ObjectWriter {
    fn new() -> Self {
        let mut text = String::with_capacity(USUAL);
        text.push('{');
        Self(text)
    }

    fn name(&mut self, name: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
    }

    fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        write_text(&mut self.0, value);
    }

    fn known(&mut self, name: &str, value: Option<&Text<'_>>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    fn raw(&mut self, name: &str, json: &str) {
        self.name(name);
        self.0.push_str(json);
    }

    fn json(&mut self, name: &str, value: &Json<'_>) {
        self.name(name);
        value.write(&mut self.0);
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// The time of Unix seconds in digits; `None`: no such time.
#[must_use]
pub(super) fn unix_seconds(digits: &str) -> Option<Timestamp> {
    Timestamp::from_second(digits.parse().ok()?).ok()
}

/// The time of Unix milliseconds in digits; `None`: no such time.
#[must_use]
pub(super) fn unix_millis(digits: &str) -> Option<Timestamp> {
    Timestamp::from_millisecond(digits.parse().ok()?).ok()
}

/// The time of a source that writes seconds here and milliseconds there: below 10^11 they are seconds (until 5138).
#[must_use]
pub(super) fn unix_seconds_or_millis(digits: &str) -> Option<Timestamp> {
    match digits.parse::<i64>().ok()? {
        seconds if seconds < 100_000_000_000 => Timestamp::from_second(seconds).ok(),
        millis => Timestamp::from_millisecond(millis).ok(),
    }
}

/// The time of an RFC 3339 text; `None`: no such time.
#[must_use]
pub(super) fn rfc3339(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_ms;

    fn source() -> Source {
        Source {
            channel: "c\"1".into(),
            platform: "telegram",
        }
    }

    #[test]
    fn a_message_has_its_members_in_order_and_leaves_out_what_is_not_known() {
        let full = Message {
            user: "u".into(),
            text: " 你\n".into(),
            chat_id: "-1".into(),
            thread_id: Some("9".into()),
            id: Some("7".into()),
            user_name: Some("n".into()),
            sent_at: unix_seconds("1773570600"),
            attachments: vec![Attachment {
                kind: "file".into(),
                id: Some("i".into()),
                url: Some("u".into()),
                name: Some("n".into()),
                mime_type: Some("m".into()),
                size: Some("12".into()),
            }],
            reply: vec![("token", "t".into())],
        };
        let event = source().message(&full, Some("k".into()));
        assert_eq!(
            event.data,
            concat!(
                r#"{"channel":"c\"1","user":"u","message":" 你\n","sessionId":"c\"1:-1:9","platform":"telegram","#,
                r#""messageId":"7","userName":"n","chatId":"-1","threadId":"9","sentAt":"2026-03-15T10:30:00Z","#,
                r#""attachments":[{"type":"file","id":"i","url":"u","name":"n","mimeType":"m","size":12}],"#,
                r#""reply":{"token":"t"}}"#
            )
        );
        assert_eq!(event.session.as_deref(), Some("c\"1:-1:9"));

        let bare = Message {
            user: "u".into(),
            chat_id: "c".into(),
            ..Message::default()
        };
        assert_eq!(
            source().message(&bare, None).data,
            r#"{"channel":"c\"1","user":"u","message":"","sessionId":"c\"1:c","platform":"telegram","chatId":"c"}"#
        );
    }

    #[test]
    fn times_are_seconds_or_milliseconds() {
        let at = from_ms(1_773_570_600_000);
        assert_eq!(unix_seconds("1773570600"), Some(at));
        assert_eq!(unix_millis("1773570600000"), Some(at));
        assert_eq!(unix_seconds_or_millis("1773570600"), Some(at));
        assert_eq!(unix_seconds_or_millis("1773570600000"), Some(at));
        for bad in ["", "x", "1.5", "9223372036854775807", "9223372036854775808"] {
            let times = [unix_seconds(bad), unix_millis(bad), unix_seconds_or_millis(bad)];
            assert_eq!(times, [None; 3], "{bad}");
        }
    }

    #[test]
    fn a_webhook_without_a_key_has_no_delivery_id() {
        let body = Json::parse(br#"{"b": 1E5}"#).unwrap();
        let mut event = source().webhook("x.y", None, &body);
        assert_eq!(
            event.data,
            r#"{"channel":"c\"1","platform":"telegram","type":"x.y","body":{"b":1E5}}"#
        );
        event.mark_unverified();
        assert!(event.data.ends_with(r#""body":{"b":1E5},"verified":false}"#));
    }

    #[test]
    fn an_empty_object_can_be_marked() {
        let mut event = source().webhook("x", None, &Json::Null);
        event.data = "{}".into();
        event.mark_unverified();
        assert_eq!(event.data, r#"{"verified":false}"#);
    }
}
