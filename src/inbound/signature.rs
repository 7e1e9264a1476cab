//! Proofs: decoding, comparing in constant time, the replay window.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD};
use ed25519_dalek::{Signature, VerifyingKey};
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use super::request::{Refusal, Request};
use crate::document::settings::{Encoding, HashAlgorithm};
use crate::secret::Secret;

/// The replay window where neither the document nor the platform says otherwise.
pub(super) const TOLERANCE: Duration = Duration::from_mins(5);

/// Keys are read with or without padding; signatures are not.
const KEY_BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An HMAC key, set up once: a request clones its state.
#[derive(Clone)]
pub(super) enum HmacKey {
    /// HMAC-SHA1.
    Sha1(Hmac<Sha1>),
    /// HMAC-SHA256.
    Sha256(Hmac<Sha256>),
    /// HMAC-SHA512.
    Sha512(Box<Hmac<Sha512>>),
}

impl std::fmt::Debug for HmacKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

const ANY_LENGTH: &str = "HMAC takes keys of any length";

impl HmacKey {
    /// A key of these bytes.
    #[must_use]
    pub(super) fn new(algorithm: HashAlgorithm, key: &[u8]) -> Self {
        match algorithm {
            HashAlgorithm::Sha1 => Self::Sha1(Hmac::new_from_slice(key).expect(ANY_LENGTH)),
            HashAlgorithm::Sha256 => Self::Sha256(Hmac::new_from_slice(key).expect(ANY_LENGTH)),
            HashAlgorithm::Sha512 => Self::Sha512(Box::new(Hmac::new_from_slice(key).expect(ANY_LENGTH))),
        }
    }

    /// HMAC-SHA256 with the text of each secret.
    #[must_use]
    pub(super) fn sha256_of(secrets: &[Secret]) -> Vec<Self> {
        secrets
            .iter()
            .map(|secret| Self::new(HashAlgorithm::Sha256, secret.expose_bytes()))
            .collect()
    }

    /// The code of the parts, one after the other.
    #[must_use]
    pub(super) fn sign(&self, parts: &[&[u8]]) -> Vec<u8> {
        match self {
            Self::Sha1(key) => fed(key, parts).finalize().into_bytes().to_vec(),
            Self::Sha256(key) => fed(key, parts).finalize().into_bytes().to_vec(),
            Self::Sha512(key) => fed(&**key, parts).finalize().into_bytes().to_vec(),
        }
    }

    /// Whether `code` is the code of the parts, in constant time.
    #[must_use]
    pub(super) fn verifies(&self, parts: &[&[u8]], code: &[u8]) -> bool {
        match self {
            Self::Sha1(key) => fed(key, parts).verify_slice(code).is_ok(),
            Self::Sha256(key) => fed(key, parts).verify_slice(code).is_ok(),
            Self::Sha512(key) => fed(&**key, parts).verify_slice(code).is_ok(),
        }
    }
}

fn fed<M: Mac + Clone>(key: &M, parts: &[&[u8]]) -> M {
    let mut mac = key.clone();
    for part in parts {
        mac.update(part);
    }
    mac
}

/// Whether any of the keys made the code.
pub(super) fn any_verifies(keys: &[HmacKey], parts: &[&[u8]], code: &[u8], header: &str) -> Result<(), Refusal> {
    if keys.iter().any(|key| key.verifies(parts, code)) {
        Ok(())
    } else {
        Err(Refusal::signature(format!("the signature in {header} does not match")))
    }
}

/// Whether `value` is one of the secrets. Every one is compared, in constant time.
#[must_use]
pub(super) fn any_matches(secrets: &[Secret], value: &[u8]) -> bool {
    secrets
        .iter()
        .fold(false, |found, secret| found | secret.matches(value))
}

/// The bytes behind a header's text after its prefix.
pub(super) fn decode(text: &str, prefix: &str, encoding: Encoding, header: &str) -> Result<Vec<u8>, Refusal> {
    let text = text
        .strip_prefix(prefix)
        .ok_or_else(|| Refusal::signature(format!("{header} does not begin with `{prefix}`")))?;
    match encoding {
        Encoding::Hex => {
            // `hex::decode` collects byte by byte.
            let mut bytes = vec![0; text.len() / 2];
            match hex::decode_to_slice(text, &mut bytes) {
                Ok(()) => Ok(bytes),
                Err(_) => Err(Refusal::signature(format!("{header} is not hex"))),
            }
        }
        Encoding::Base64 => STANDARD
            .decode(text)
            .map_err(|_| Refusal::signature(format!("{header} is not base64"))),
    }
}

/// Base64 in the standard alphabet with padding; `None`: it is not.
#[must_use]
pub(super) fn base64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// A key in base64, padding or not; `None`: it is not.
#[must_use]
pub(super) fn base64_key(text: &str) -> Option<Vec<u8>> {
    KEY_BASE64.decode(text).ok()
}

/// An AES-256 key as WeCom writes it: 43 characters of base64, whose last two bits mean nothing. `None`: it is none.
#[must_use]
pub(super) fn aes_key(text: &str) -> Option<[u8; 32]> {
    const AES_BASE64: GeneralPurpose = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::RequireNone)
            .with_decode_allow_trailing_bits(true),
    );
    let bytes = zeroize::Zeroizing::new(AES_BASE64.decode(text).ok()?);
    bytes.as_slice().try_into().ok()
}

/// Encodes a code for a header.
#[must_use]
pub(super) fn encode(code: &[u8], encoding: Encoding) -> String {
    match encoding {
        Encoding::Hex => hex::encode(code),
        Encoding::Base64 => STANDARD.encode(code),
    }
}

/// The key of Standard Webhooks: base64 after `whsec_`, else the secret's bytes.
///
/// # Errors
/// Says that what follows `whsec_` is no base64.
pub(super) fn standard_key(secret: &Secret) -> Result<HmacKey, &'static str> {
    let key = secret.standard_key().ok_or("what follows `whsec_` is no base64")?;
    Ok(HmacKey::new(HashAlgorithm::Sha256, &key))
}

/// An Ed25519 public key of 32 bytes; `None`: it is none, or one that would let anybody sign.
#[must_use]
pub(super) fn ed25519_key(bytes: &[u8]) -> Option<VerifyingKey> {
    let key = VerifyingKey::from_bytes(bytes.try_into().ok()?).ok()?;
    (!key.is_weak()).then_some(key)
}

/// The headers of a scheme that signs the time and the body with Ed25519 (Discord's, and QQ's after it).
pub(super) struct SignedHeaders {
    /// 128 hex digits.
    pub(super) signature: &'static str,
    /// Seconds since the Unix epoch.
    pub(super) timestamp: &'static str,
}

/// Checks that one of the keys signed the time and the body, and that the time is within the window.
pub(super) fn signed_with_time(
    request: &Request,
    headers: &SignedHeaders,
    keys: &[VerifyingKey],
    now: Timestamp,
    tolerance: Duration,
) -> Result<(), Refusal> {
    let name = headers.signature;
    let signed = request.required_header(name)?;
    let timestamp = request.required_header(headers.timestamp)?;
    let signature = hex::decode(signed).map_err(|_| Refusal::signature(format!("{name} is not hex")))?;
    within_window(timestamp, now, tolerance, headers.timestamp)?;
    if any_signed(keys, &[timestamp.as_bytes(), &request.body], &signature) {
        Ok(())
    } else {
        Err(Refusal::signature(format!("the signature in {name} does not match")))
    }
}

/// Whether any of the keys signed the message (strictly: no malleable signatures, no weak keys).
#[must_use]
pub(super) fn any_signed(keys: &[VerifyingKey], parts: &[&[u8]], signature: &[u8]) -> bool {
    let Ok(signature) = Signature::from_slice(signature) else {
        return false;
    };
    let message = parts.concat();
    keys.iter().any(|key| key.verify_strict(&message, &signature).is_ok())
}

/// A signed timestamp in whole seconds: 1 to 18 ASCII digits, at most `tolerance` away from now, both ways.
pub(super) fn within_window(text: &str, now: Timestamp, tolerance: Duration, header: &str) -> Result<(), Refusal> {
    let seconds = digits(text).ok_or_else(|| Refusal::signature(format!("{header} is not 1 to 18 digits")))?;
    within_window_ms(i128::from(seconds) * 1000, now, tolerance, header)
}

/// The same for a timestamp in milliseconds.
pub(super) fn within_window_millis(
    text: &str,
    now: Timestamp,
    tolerance: Duration,
    header: &str,
) -> Result<(), Refusal> {
    let millis = digits(text).ok_or_else(|| Refusal::signature(format!("{header} is not 1 to 18 digits")))?;
    within_window_ms(i128::from(millis), now, tolerance, header)
}

fn within_window_ms(at_ms: i128, now: Timestamp, tolerance: Duration, header: &str) -> Result<(), Refusal> {
    let away = (i128::from(now.as_millisecond()) - at_ms).unsigned_abs();
    if away <= tolerance.as_millis() {
        return Ok(());
    }
    Err(Refusal::stale(format!(
        "{header} is {} s away, the tolerance is {} s",
        away / 1000,
        tolerance.as_secs()
    )))
}

/// 1 to 18 ASCII digits.
#[must_use]
pub(super) fn digits(text: &str) -> Option<u64> {
    let right = (1..=18).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    right.then(|| text.parse().expect("18 digits fit into 64 bits"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::from_ms;

    #[test]
    fn published_values_hold() {
        // RFC 4231, test case 2; RFC 2202, test case 2.
        let parts: [&[u8]; 2] = [b"what do ya want ", b"for nothing?"];
        for (algorithm, code) in [
            (HashAlgorithm::Sha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (
                HashAlgorithm::Sha256,
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                HashAlgorithm::Sha512,
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
            ),
        ] {
            let key = HmacKey::new(algorithm, b"Jefe");
            assert_eq!(hex::encode(key.sign(&parts)), code);
            let mut bytes = hex::decode(code).unwrap();
            assert!(key.verifies(&parts, &bytes));
            assert!(!key.verifies(&parts, &bytes[1..]));
            bytes[3] ^= 1;
            assert!(!key.verifies(&parts, &bytes));
            assert!(!key.verifies(&parts, &[]));
        }
    }

    #[test]
    fn hex_is_read_in_either_case_and_base64_only_with_padding() {
        assert_eq!(decode("v0=00fF", "v0=", Encoding::Hex, "x").unwrap(), [0, 255]);
        assert!(decode("00ff", "v0=", Encoding::Hex, "x").is_err());
        assert!(decode("00f", "", Encoding::Hex, "x").is_err());
        assert!(decode("é0", "", Encoding::Hex, "x").is_err());
        assert_eq!(decode("/w==", "", Encoding::Base64, "x").unwrap(), [255]);
        assert!(decode("/w", "", Encoding::Base64, "x").is_err());
        assert!(decode("_w==", "", Encoding::Base64, "x").is_err());
        assert_eq!(base64_key("/w"), Some(vec![255]));
    }

    #[test]
    fn the_window_is_closed_at_both_ends() {
        let now = from_ms(1_773_570_600_000);
        let at = |text| within_window(text, now, TOLERANCE, "x").map_err(|refusal| refusal.reason.as_str());
        assert_eq!(at("1773570300"), Ok(()));
        assert_eq!(at("1773570900"), Ok(()));
        assert_eq!(at("1773570299"), Err("stale"));
        assert_eq!(at("1773570901"), Err("stale"));
        assert_eq!(at("999999999999999999"), Err("stale"));
        for bad in [
            "",
            "-1",
            "+1773570600",
            "1773570600.0",
            " 1773570600",
            "1e9",
            "1000000000000000000",
            "१",
        ] {
            assert_eq!(at(bad), Err("signature"), "{bad}");
        }
    }

    #[test]
    fn a_window_counts_fractions_of_seconds() {
        let now = from_ms(1_773_570_600_001);
        assert!(within_window("1773570300", now, TOLERANCE, "x").is_err());
    }

    #[test]
    fn weak_keys_are_no_keys() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert!(ed25519_key(&identity).is_none());
        assert!(ed25519_key(&[0; 31]).is_none());
    }

    #[test]
    fn a_standard_secret_is_base64_after_its_prefix() {
        let by_text = standard_key(&Secret::new("whsec_c2VjcmV0")).unwrap();
        assert!(by_text.verifies(&[b"x"], &HmacKey::new(HashAlgorithm::Sha256, b"secret").sign(&[b"x"])));
        assert!(standard_key(&Secret::new("whsec_***")).is_err());
        assert!(standard_key(&Secret::new("secret")).is_ok());
    }
}
