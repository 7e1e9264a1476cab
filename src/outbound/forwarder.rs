//! What a sender would send, for whoever sends or signs it without one: `openclaw listen --forward`, `openclaw signature`.

use bytes::Bytes;
use jiff::Timestamp;

use super::SenderError;
use super::payload;
use super::sign::Signer;
use crate::document::settings::Format;
use crate::event::Event;
use crate::secret::Secret;

/// Signs as a sender of format `openclaw` with these secrets does.
pub struct Forwarder {
    signer: Option<Signer>,
}

impl Forwarder {
    /// Without a secret nothing is signed.
    ///
    /// # Errors
    /// A `whsec_` secret that is not base64.
    pub fn new(secrets: &[Secret]) -> Result<Self, SenderError> {
        let signer = Signer::new(secrets)?;
        Ok(Self { signer })
    }

    /// `webhook-signature` of a body.
    #[must_use]
    pub fn standard(&self, id: &str, timestamp: &str, body: &[u8]) -> Option<String> {
        let signer = self.signer.as_ref()?;
        Some(signer.standard(id, timestamp, body))
    }

    /// The headers and the body of a first attempt.
    #[must_use]
    pub fn delivery(&self, event: &Event, delivery: &str, now: Timestamp) -> (Vec<(&'static str, String)>, Bytes) {
        let body = payload::body(event, Format::Openclaw, self.signer.as_ref());
        let timestamp = now.as_second().to_string();
        let id = event.id.as_str();
        let mut headers = vec![
            ("content-type", "application/json".to_owned()),
            ("x-openclaw-event", event.name.to_string()),
            ("x-openclaw-delivery", delivery.to_owned()),
            ("x-openclaw-attempt", "1".to_owned()),
            ("webhook-id", id.to_owned()),
        ];
        if let Some(signer) = &self.signer {
            headers.push(("x-openclaw-signature", signer.openclaw(&[&body])));
            headers.push(("webhook-signature", signer.standard(id, &timestamp, &body)));
        }
        headers.push(("webhook-timestamp", timestamp));
        (headers, body)
    }
}
