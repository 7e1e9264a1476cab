//! Verifies a delivery of the gateway. Dependencies: `base64 = "0.22"`, `hex = "0.4"`, `hmac = "0.13"`, `sha2 = "0.11"`.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

const TOLERANCE: Duration = Duration::from_secs(300);

/// An error unless `body` (exactly as it came) was sent by whoever has `secret`, just now.
///
/// `header` gives the value of a header by its lower-case name. Afterwards remember `webhook-id`: a repeat has the same.
pub fn verify<'h>(
    header: impl Fn(&str) -> Option<&'h str>,
    body: &[u8],
    secret: &str,
    now: SystemTime,
) -> Result<(), &'static str> {
    let header = |name| header(name).unwrap_or_default();
    let mac = |key: &[u8]| Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");

    // Over the body alone, with the secret as it is written. `verify_slice` compares in constant time.
    let code = header("x-openclaw-signature")
        .strip_prefix("sha256=")
        .unwrap_or_default();
    let code = hex::decode(code).map_err(|_| "X-OpenClaw-Signature is no hex")?;
    mac(secret.as_bytes())
        .chain_update(body)
        .verify_slice(&code)
        .map_err(|_| "X-OpenClaw-Signature does not match")?;

    // Standard Webhooks: over id, time and body, so that an old request cannot be sent again.
    let timestamp = header("webhook-timestamp");
    let sent = timestamp
        .parse()
        .ok()
        .and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
        .ok_or("webhook-timestamp is missing, or no time")?;
    let away = now.duration_since(sent).unwrap_or_else(|early| early.duration());
    if away > TOLERANCE {
        return Err("webhook-timestamp is too far away");
    }
    let key = match secret.strip_prefix("whsec_") {
        Some(text) => STANDARD_NO_PAD
            .decode(text.trim_end_matches('='))
            .map_err(|_| "what follows whsec_ is no base64")?,
        None => secret.as_bytes().to_vec(),
    };
    let signed = mac(&key)
        .chain_update(format!("{}.{timestamp}.", header("webhook-id")))
        .chain_update(body);
    // While a secret is rotated there is one signature for each of two.
    let mut offered = header("webhook-signature")
        .split(' ')
        .filter_map(|one| STANDARD.decode(one.strip_prefix("v1,")?).ok());
    if offered.any(|code| signed.clone().verify_slice(&code).is_ok()) {
        Ok(())
    } else {
        Err("webhook-signature does not match")
    }
}
