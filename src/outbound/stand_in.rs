//! What a sender would send, for whoever sends or signs it without one: `openclaw listen --forward`, `openclaw signature`.

use bytes::Bytes;
use http::HeaderMap;
use jiff::Timestamp;

use super::SenderError;
use super::attempt::{self, Delivery};
use super::payload;
use super::sign::Signer;
use crate::document::settings::Format;
use crate::event::Event;
use crate::secret::Secret;

/// Signs as a sender of format `openclaw` with these secrets does.
pub struct StandIn {
    signer: Option<Signer>,
}

impl StandIn {
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
    pub fn delivery(&self, event: &Event, id: &str, now: Timestamp) -> (HeaderMap, Bytes) {
        let body = payload::body(event, Format::Openclaw, self.signer.as_ref());
        let number = 1;
        let delivery = Delivery { event, id, number, now };
        let mut headers = HeaderMap::new();
        attempt::sign(&mut headers, &delivery, self.signer.as_ref(), &body);
        (headers, body)
    }
}
