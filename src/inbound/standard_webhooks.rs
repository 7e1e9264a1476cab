//! The scheme of Standard Webhooks (standardwebhooks.com, also Svix): `id.timestamp.body`, signed by HMAC-SHA256 (`v1`) or
//! Ed25519 (`v1a`). Two platforms stand on it.

use std::time::Duration;

use ed25519_dalek::VerifyingKey;
use jiff::Timestamp;

use super::request::{Refusal, Request};
use super::signature::{self, HmacKey};

/// The header of the delivery's id.
pub(super) const ID: &str = "webhook-id";
/// The header of the signed time.
pub(super) const TIMESTAMP: &str = "webhook-timestamp";
/// The header of the signatures.
pub(super) const SIGNATURE: &str = "webhook-signature";

/// The most entries of a signature header that are looked at.
const MAX_ENTRIES: usize = 16;

/// The three headers of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trio<'a> {
    /// The id.
    pub(super) id: &'a str,
    timestamp: &'a str,
    signatures: &'a str,
}

impl<'a> Trio<'a> {
    /// Reads the three headers.
    pub(super) fn of(request: &'a Request) -> Result<Self, Refusal> {
        Self::named(request, [ID, TIMESTAMP, SIGNATURE])
    }

    /// Reads the three headers, by Svix's names where there is no `webhook-signature`.
    pub(super) fn of_either_name(request: &'a Request) -> Result<Self, Refusal> {
        if request.header(SIGNATURE)?.is_some() {
            return Self::of(request);
        }
        Self::named(request, ["svix-id", "svix-timestamp", "svix-signature"])
    }

    fn named(request: &'a Request, [id, timestamp, signatures]: [&str; 3]) -> Result<Self, Refusal> {
        Ok(Self {
            id: request.required_header(id)?,
            timestamp: request.required_header(timestamp)?,
            signatures: request.required_header(signatures)?,
        })
    }

    /// Whether one entry is by one of the keys, within the window. Entries of other versions, and entries that fail, are
    /// skipped.
    pub(super) fn verify(
        &self,
        body: &[u8],
        keys: &[HmacKey],
        public_keys: &[VerifyingKey],
        now: Timestamp,
        tolerance: Duration,
    ) -> Result<(), Refusal> {
        signature::within_window(self.timestamp, now, tolerance, TIMESTAMP)?;
        let parts: [&[u8]; 5] = [self.id.as_bytes(), b".", self.timestamp.as_bytes(), b".", body];
        let holds = |entry: &str| match entry.split_once(',') {
            Some(("v1", text)) => {
                signature::base64(text).is_some_and(|code| keys.iter().any(|key| key.verifies(&parts, &code)))
            }
            Some(("v1a", text)) => {
                !public_keys.is_empty()
                    && signature::base64(text).is_some_and(|code| signature::any_signed(public_keys, &parts, &code))
            }
            _ => false,
        };
        if self.signatures.split_ascii_whitespace().take(MAX_ENTRIES).any(holds) {
            Ok(())
        } else {
            Err(Refusal::signature(format!("no signature in {SIGNATURE} matches")))
        }
    }
}

/// The three headers of a request that is signed with the first of the keys.
#[must_use]
pub(super) fn signed_headers(id: &str, now: Timestamp, body: &[u8], keys: &[HmacKey]) -> Vec<(String, String)> {
    let timestamp = now.as_second().to_string();
    let mut headers = vec![
        (ID.to_owned(), id.to_owned()),
        (TIMESTAMP.to_owned(), timestamp.clone()),
    ];
    if let Some(key) = keys.first() {
        let code = key.sign(&[id.as_bytes(), b".", timestamp.as_bytes(), b".", body]);
        let code = signature::encode(&code, crate::document::settings::Encoding::Base64);
        headers.push((SIGNATURE.to_owned(), format!("v1,{code}")));
    }
    headers
}
