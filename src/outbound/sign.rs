//! Signatures of a delivery: `X-OpenClaw-Signature` (and the body's own) and the Standard Webhooks header.

use base64::Engine as _;
use base64::engine::general_purpose;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use super::SenderError;
use crate::secret::Secret;

type HmacSha256 = Hmac<Sha256>;

/// What a keyed secret costs.
#[cfg(test)]
pub(super) const STATE_BYTES: usize = size_of::<HmacSha256>();

/// The keyed states of one sender's secrets: keyed once, cloned for each signature (half the cost for small bodies).
#[derive(Clone)]
pub(super) struct Signer {
    /// Of the first secret's own bytes, where they are not what `standard[0]` is keyed with (`whsec_`).
    first: Option<Box<HmacSha256>>,
    /// One for each secret; never empty.
    standard: Box<[HmacSha256]>,
}

impl Signer {
    /// Keys the states; `None` without a secret: then nothing is signed anywhere.
    pub(super) fn new(secrets: &[Secret]) -> Result<Option<Self>, SenderError> {
        let Some(first) = secrets.first() else {
            return Ok(None);
        };
        let standard = secrets.iter().map(standard_state).collect::<Result<Box<[_]>, _>>()?;
        let first = first
            .expose()
            .starts_with("whsec_")
            .then(|| Box::new(state(first.expose_bytes())));
        Ok(Some(Self { first, standard }))
    }

    /// `sha256=<hex>` over `parts`, by the first secret's bytes as they are written (the tutorial's `verify_webhook`).
    #[must_use]
    pub(super) fn openclaw(&self, parts: &[&[u8]]) -> String {
        let mut mac = self.first.as_deref().unwrap_or(&self.standard[0]).clone();
        for part in parts {
            mac.update(part);
        }
        format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
    }

    /// `v1,<base64>` over `id.timestamp.body`, one for each secret, the first secret's first.
    #[must_use]
    pub(super) fn standard(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let mut header = String::with_capacity(48 * self.standard.len());
        for state in &self.standard {
            let mut mac = state.clone();
            for part in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
                mac.update(part);
            }
            if !header.is_empty() {
                header.push(' ');
            }
            header.push_str("v1,");
            general_purpose::STANDARD.encode_string(mac.finalize().into_bytes(), &mut header);
        }
        header
    }
}

/// Base64 of an HMAC-SHA256: how chats sign.
pub(super) fn hmac_sha256_base64(key: &[u8], data: &[u8]) -> String {
    let mut mac = state(key);
    mac.update(data);
    general_purpose::STANDARD.encode(mac.finalize().into_bytes())
}

fn state(key: &[u8]) -> HmacSha256 {
    HmacSha256::new_from_slice(key).expect("HMAC takes a key of any length")
}

fn standard_state(secret: &Secret) -> Result<HmacSha256, SenderError> {
    let key = secret.standard_key().ok_or(SenderError::Secret)?;
    Ok(state(&key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(secrets: &[&str]) -> Signer {
        let secrets: Vec<_> = secrets.iter().map(|s| Secret::new(*s)).collect();
        Signer::new(&secrets).unwrap().unwrap()
    }

    /// Signed by the reference libraries (`standardwebhooks`, `svix`).
    #[test]
    fn a_whsec_key_signs_as_the_reference_libraries_do() {
        let body = br#"{"type":"user.created","timestamp":"2026-03-15T10:30:00Z","data":{"id":"1"}}"#;
        let header = signer(&["whsec_p/U5dEM1nqdsUL6Cx38fiToGCSW1GjMs"]).standard("msg_1", "1773570600", body);
        assert_eq!(header, "v1,7kV6/CtPqHISjFdL/lvsp+x7Carz5Y0snfyyYsFocaA=");
    }

    /// Signed by Python's `hmac`, as the tutorial does.
    #[test]
    fn the_plain_signature_is_over_the_exact_bytes() {
        let body = "{\"event\":\"message.received\",\"timestamp\":\"2026-03-15T10:00:00Z\",\"data\":{\"channel\":\"telegram-main\",\"user\":\"user123\",\"message\":\"你好\",\"sessionId\":\"session-456\"},\"signature\":\"sha256=abc\"}";
        let signer = signer(&["chain"]);
        let expected = "sha256=eeb662a3a78e688adbf53577f729aca1c3a35f6702cc6b591019cec6c51c9463";
        assert_eq!(signer.openclaw(&[body.as_bytes()]), expected);
        let (a, b) = body.as_bytes().split_at(20);
        assert_eq!(signer.openclaw(&[a, b]), expected, "in parts");
        assert_eq!(
            signer.standard("ev1", "1773570600", body.as_bytes()),
            "v1,QZW0EV13dvTkWaJ5KutD2KrkHOHiEqsfaLF3fuPCiBs="
        );
    }

    #[test]
    fn a_whsec_secret_signs_the_plain_signature_with_its_text() {
        let text = "whsec_p/U5dEM1nqdsUL6Cx38fiToGCSW1GjMs";
        let mut mac = state(text.as_bytes());
        mac.update(b"x");
        assert_eq!(
            signer(&[text]).openclaw(&[b"x"]),
            format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
        );
    }

    #[test]
    fn each_of_several_secrets_has_its_entry_and_the_first_signs_the_rest() {
        let both = signer(&["new", "old"]);
        let entries = format!(
            "{} {}",
            signer(&["new"]).standard("i", "1", b"b"),
            signer(&["old"]).standard("i", "1", b"b")
        );
        assert_eq!(both.standard("i", "1", b"b"), entries);
        assert_eq!(both.openclaw(&[b"b"]), signer(&["new"]).openclaw(&[b"b"]));
    }

    #[test]
    fn a_key_that_is_no_base64_is_an_error_without_the_key() {
        for bad in ["whsec_", "whsec_!!", "whsec_hunter2 hunter2"] {
            let error = Signer::new(&[Secret::new(bad)]).err().unwrap().to_string();
            assert!(error.contains("whsec_") && !error.contains("hunter2"), "{error}");
        }
        assert!(Signer::new(&[]).unwrap().is_none());
    }
}
