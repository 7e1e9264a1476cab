//! The redacted value: it can be used, and never printed.

use std::fmt;

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A secret's text. `Debug` prints `***`, there is no `Display`, and its memory is wiped when it is dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a secret. Blank text is no secret: see [`Secret::parse`].
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// A secret from text that may be blank: blank counts as missing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (!text.trim().is_empty()).then(|| Self::new(text))
    }

    /// The text itself. Every call is a place to review: it must not reach a log, an error or an answer.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The bytes of the text itself.
    #[must_use]
    pub fn expose_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The key of Standard Webhooks: base64 after `whsec_`, with or without padding, else the secret's own bytes. `None`:
    /// what follows `whsec_` is no base64, or nothing.
    #[must_use]
    pub fn standard_key(&self) -> Option<Zeroizing<Vec<u8>>> {
        let Some(encoded) = self.expose().strip_prefix("whsec_") else {
            return Some(Zeroizing::new(self.expose_bytes().to_vec()));
        };
        let key = BASE64.decode(encoded).ok().map(Zeroizing::new);
        key.filter(|key| !key.is_empty())
    }

    /// Whether `other` is this secret, in a time that depends on the lengths alone.
    #[must_use]
    pub fn matches(&self, other: &[u8]) -> bool {
        self.expose_bytes().ct_eq(other).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_the_text() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "***");
    }

    #[test]
    fn the_standard_key_is_what_whsec_stands_before_or_the_text() {
        let key = |text: &str| Secret::new(text).standard_key().map(|key| key.to_vec());
        assert_eq!(key("plain"), Some(b"plain".to_vec()));
        assert_eq!(key("whsec_eA=="), Some(b"x".to_vec()));
        assert_eq!(key("whsec_eA"), Some(b"x".to_vec()));
        for bad in ["whsec_", "whsec_===", "whsec_!!", "whsec_e A=="] {
            assert_eq!(key(bad), None, "{bad}");
        }
    }

    #[test]
    fn blank_counts_as_missing() {
        assert!(Secret::parse(" \t").is_none());
        assert!(Secret::parse("x").is_some_and(|s| s.matches(b"x") && !s.matches(b"xy")));
    }
}
