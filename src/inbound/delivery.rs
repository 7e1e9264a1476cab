//! The proof of our own deliveries, for whoever receives them: another gateway, and `openclaw listen`.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use jiff::Timestamp;

use super::request::{Refusal, Request};
use super::signature::{self, HmacKey};
use super::standard_webhooks::Trio;
use crate::document::settings::Encoding;
use crate::secret::Secret;

/// The header that signs the body alone.
pub(super) const SIGNATURE: &str = "X-OpenClaw-Signature";

/// The keys that prove a delivery: `X-OpenClaw-Signature` proves the body, the Standard Webhooks headers prove id and time
/// (without them a recorded request could be sent again for ever).
pub struct DeliveryProof {
    body_keys: Vec<HmacKey>,
    trio_keys: Vec<HmacKey>,
    tolerance: Duration,
}

impl DeliveryProof {
    /// Any of these secrets proves a delivery; its time may be `tolerance` away.
    ///
    /// # Errors
    /// A `whsec_` secret that is not base64.
    pub fn new(secrets: &[Secret], tolerance: Duration) -> Result<Self, &'static str> {
        let trio_keys = secrets.iter().map(signature::standard_key).collect::<Result<_, _>>()?;
        Ok(Self {
            body_keys: HmacKey::sha256_of(secrets),
            trio_keys,
            tolerance,
        })
    }

    pub(super) fn verify(&self, request: &Request, now: Timestamp) -> Result<(), Refusal> {
        let signed = request.required_header(SIGNATURE)?;
        let code = signature::decode(signed, "sha256=", Encoding::Hex, SIGNATURE)?;
        signature::any_verifies(&self.body_keys, &[&request.body], &code, SIGNATURE)?;
        Trio::of(request)?.verify(&request.body, &self.trio_keys, &[], now, self.tolerance)
    }

    /// Checks a delivery that some other server received.
    ///
    /// # Errors
    /// Says which check failed; without secrets.
    pub fn check(&self, headers: &HeaderMap, body: &Bytes, now: Timestamp) -> Result<(), String> {
        let request = Request::new(Method::POST, String::new(), headers.clone(), body.clone());
        self.verify(&request, now)
            .map_err(|refusal| refusal.detail.into_owned())
    }

    /// What `X-OpenClaw-Signature` says of a body, by the first secret.
    pub(super) fn sign_body(&self, body: &[u8]) -> Option<String> {
        let key = self.body_keys.first()?;
        Some(format!(
            "sha256={}",
            signature::encode(&key.sign(&[body]), Encoding::Hex)
        ))
    }

    pub(super) fn trio_keys(&self) -> &[HmacKey] {
        &self.trio_keys
    }
}
