//! What a delivery sends, to the byte.

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};

use super::prepared::PreparedSender;
use super::sign::Signer;
use super::{agent_hook, chat};
use crate::clock::{Timestamp, rfc3339_seconds};
use crate::document::settings::Format;
use crate::event::Event;
use crate::expression::Seen;

/// What an attempt sends beside the headers that all formats have.
#[derive(Debug)]
pub(super) struct Payload {
    pub(super) body: Bytes,
    /// Where to, where it is not the sender's URL as it is.
    pub(super) uri: Option<Uri>,
    /// The format's own headers.
    pub(super) headers: HeaderMap,
    /// POST, but of a forwarded request.
    pub(super) method: Method,
}

impl Default for Payload {
    fn default() -> Self {
        Self {
            body: Bytes::new(),
            uri: None,
            headers: HeaderMap::new(),
            method: Method::POST,
        }
    }
}

/// Makes it of the event and the settings of the moment.
///
/// # Errors
/// Why a template cannot be made of this event, for a person. A request is forwarded by `forward.rs`.
pub(super) fn render(
    sender: &PreparedSender,
    event: &Event,
    delivery_id: &str,
    now: Timestamp,
) -> Result<Payload, String> {
    let settings = &sender.settings;
    if settings.body.is_none() && matches!(settings.format, Format::Openclaw | Format::Standard | Format::Raw) {
        return Ok(Payload {
            body: body(event, settings.format, sender.signer.as_ref()),
            ..Payload::default()
        });
    }
    let timestamp = rfc3339_seconds(event.timestamp);
    let seen = seen(event, &timestamp);
    let mut payload = match settings.format {
        Format::Chat(kind) => chat::payload(kind, sender, event, &seen, now)?,
        Format::AgentHook => agent_hook::payload(sender, event, &seen, delivery_id)?,
        _ => Payload::default(),
    };
    if let Some(template) = &settings.body {
        let body = template.render(&seen).map_err(|error| format!("body: {error}"))?;
        payload.body = body.into();
    }
    Ok(payload)
}

/// What filters and templates see of an event.
pub(super) fn seen<'a>(event: &'a Event, timestamp: &'a str) -> Seen<'a> {
    Seen {
        event: event.name.as_str(),
        id: event.id.as_str(),
        timestamp,
        source: event.source.as_ref().map(crate::event::Name::as_str),
        data: event.data.as_str(),
    }
}

/// The body: compact, members in this order, UTF-8 unescaped; `data` exactly as it is stored.
///
/// `openclaw` carries the signature of its own bytes with the member `,"signature":"..."` left out.
pub(super) fn body(event: &Event, format: Format, signer: Option<&Signer>) -> Bytes {
    let data = event.data.as_str();
    match format {
        Format::Standard => envelope("type", event, data).into(),
        Format::Openclaw => {
            let mut body = envelope("event", event, data);
            if let Some(signer) = signer {
                let signature = signer.openclaw(&[body.as_bytes()]);
                body.pop();
                body.push_str(",\"signature\":\"");
                body.push_str(&signature);
                body.push_str("\"}");
            }
            body.into()
        }
        _ => Bytes::copy_from_slice(data.as_bytes()),
    }
}

fn envelope(name_member: &str, event: &Event, data: &str) -> String {
    let timestamp = rfc3339_seconds(event.timestamp);
    // 128: the names of the members, their punctuation and a signature.
    let mut body = String::with_capacity(data.len() + event.name.as_str().len() + timestamp.len() + 128);
    body.push_str("{\"");
    body.push_str(name_member);
    body.push_str("\":\"");
    // An event's name holds nothing that JSON would escape: `EventName` is right by construction.
    body.push_str(event.name.as_str());
    body.push_str("\",\"timestamp\":\"");
    body.push_str(&timestamp);
    body.push_str("\",\"data\":");
    body.push_str(data);
    body.push('}');
    body
}

#[cfg(test)]
pub(super) mod tests {

    use super::*;
    use crate::event::{Data, EventId, EventName};
    use crate::secret::Secret;

    const DATA: &str = r#"{"user":"用户","id":9007199254740993,"price":1.10,"a/b":"</x>\n"}"#;

    fn event() -> Event {
        event_of("message.received", DATA)
    }

    /// An event of 2026-03-15T10:30:00Z.
    pub(in crate::outbound) fn event_of(name: &str, data: &str) -> Event {
        Event {
            id: EventId::from_stored("evt_1"),
            name: EventName::parse(name).unwrap(),
            timestamp: crate::clock::from_ms(1_773_570_600_123),
            data: Data::written(data),
            source: None,
            session: None,
            traceparent: None,
            test: false,
        }
    }

    #[test]
    fn the_body_signs_itself_with_the_signature_left_out() {
        let signer = Signer::new(&[Secret::new("s3cret")]).unwrap().unwrap();
        let without = format!(r#"{{"event":"message.received","timestamp":"2026-03-15T10:30:00Z","data":{DATA}}}"#);
        let signature = signer.openclaw(&[without.as_bytes()]);
        let expected = format!(
            r#"{{"event":"message.received","timestamp":"2026-03-15T10:30:00Z","data":{DATA},"signature":"{signature}"}}"#
        );
        let body = body(&event(), Format::Openclaw, Some(&signer));
        assert_eq!(body, expected.as_bytes());
        // As a receiver takes it out again.
        let text = std::str::from_utf8(&body).unwrap();
        assert_eq!(text.replace(&format!(r#","signature":"{signature}""#), ""), without);
    }

    #[test]
    fn without_a_secret_there_is_no_signature_member() {
        let expected = format!(r#"{{"event":"message.received","timestamp":"2026-03-15T10:30:00Z","data":{DATA}}}"#);
        assert_eq!(body(&event(), Format::Openclaw, None), expected.as_bytes());
    }

    #[test]
    fn the_other_formats_carry_no_signature_in_the_body() {
        let signer = Signer::new(&[Secret::new("s3cret")]).unwrap().unwrap();
        let expected = format!(r#"{{"type":"message.received","timestamp":"2026-03-15T10:30:00Z","data":{DATA}}}"#);
        assert_eq!(body(&event(), Format::Standard, Some(&signer)), expected.as_bytes());
        assert_eq!(body(&event(), Format::Raw, Some(&signer)), DATA.as_bytes());
    }
}
