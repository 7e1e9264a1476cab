//! The proof of a platform's request, made anew: inbound has the keys, outbound sends what it gets.
//!
//! Requests are stored without what proves them, and signed times go stale. So whoever forwards a request asks for its
//! proof at each attempt.

use std::fmt;

use crate::clock::Timestamp;
use crate::event::Name;
use crate::secret::Secret;

/// A stored request.
#[derive(Debug, Clone, Copy)]
pub struct Unproved<'a> {
    /// Its method.
    pub method: &'a http::Method,
    /// Its path and query, as stored.
    pub target: &'a str,
    /// Its headers, as stored.
    pub headers: &'a http::HeaderMap,
    /// Its body, as stored.
    pub body: &'a bytes::Bytes,
}

/// What proves a request: headers that take the place of those of the same name, and a parameter for the query. Nothing of
/// it: the request proves itself as it was received.
#[derive(Default)]
pub struct Proof {
    /// Names and values.
    pub headers: Vec<(String, Secret)>,
    /// Encoded.
    pub query: Option<Secret>,
    /// The body, where the proof is inside of it.
    pub body: Option<bytes::Bytes>,
}

impl fmt::Debug for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Proof(***)")
    }
}

impl Proof {
    /// Headers.
    pub fn of(headers: impl IntoIterator<Item = (String, String)>) -> Self {
        let headers = headers.into_iter().map(|(name, value)| (name, Secret::new(value)));
        Self {
            headers: headers.collect(),
            ..Self::default()
        }
    }

    /// One header that is a secret itself.
    #[must_use]
    pub fn token(name: &str, value: Option<String>) -> Self {
        Self::of(value.map(|value| (name.to_owned(), value)))
    }
}

/// Why there is no proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unprovable {
    /// The inbound webhook is gone from the document.
    #[error("is gone from the document: nothing proves its requests any more")]
    Gone,
    /// The inbound webhook is there, and its keys cannot be had now.
    #[error("is degraded: its keys cannot be had")]
    NotNow,
}

/// Makes proofs with the keys that an inbound webhook has at the moment.
pub trait Proofs: Send + Sync + 'static {
    /// The proof of a request to that webhook at that time.
    ///
    /// # Errors
    /// There is no such webhook, or it has no keys now.
    fn proof(&self, webhook: &Name, request: &Unproved<'_>, now: Timestamp) -> Result<Proof, Unprovable>;
}
