//! Requests as a platform would send them, rightly signed.

use http::{HeaderName, HeaderValue, Method};
use jiff::Timestamp;

use super::platform::Platform;
use super::request::Request;
use crate::secret::Secret;

/// What a sample is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct SampleOf<'a> {
    /// Unique: the delivery's id, where the platform has one.
    pub(super) id: &'a str,
    /// A unique number, for platforms whose ids are numbers.
    pub(super) number: u64,
    /// The message's text.
    pub(super) text: &'a str,
    /// The signed time.
    pub(super) now: Timestamp,
}

/// A signed request for `openclaw webhooks test NAME --inbound`; its method is POST.
#[derive(Clone)]
pub struct Sample {
    /// What follows the path after a `?`, encoded, where the platform proves itself there; it may carry the secret.
    pub query: Option<Secret>,
    /// Its headers.
    pub headers: Vec<(String, Secret)>,
    /// Its body; it may hold the secret.
    pub body: String,
}

impl std::fmt::Debug for Sample {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sample")
            .field("query", &self.query)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

impl Sample {
    /// A JSON body and the headers that prove it.
    pub(super) fn json(body: String, headers: impl IntoIterator<Item = (String, String)>) -> Self {
        Self::of("application/json", body, headers)
    }

    /// A form and the headers that prove it.
    pub(super) fn form(body: String, headers: impl IntoIterator<Item = (String, String)>) -> Self {
        Self::of("application/x-www-form-urlencoded", body, headers)
    }

    /// A JSON body, its headers and what proves both.
    pub(super) fn proved(
        platform: &dyn Platform,
        now: Timestamp,
        body: String,
        headers: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let mut sample = Self::json(body, headers);
        let named = sample.headers.iter().filter_map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_str(value.expose()).ok()?))
        });
        let request = Request::new(Method::POST, String::new(), named.collect(), sample.body.clone().into());
        let proof = platform.prove(&request, now);
        sample.headers.extend(proof.headers);
        sample.query = proof.query;
        sample
    }

    fn of(content_type: &str, body: String, headers: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut all = vec![("content-type".to_owned(), Secret::new(content_type))];
        all.extend(headers.into_iter().map(|(name, value)| (name, Secret::new(value))));
        Self {
            query: None,
            headers: all,
            body,
        }
    }
}
