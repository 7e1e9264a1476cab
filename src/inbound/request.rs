//! A request as a platform sees it, and what a platform says to it.

use std::borrow::Cow;
use std::sync::OnceLock;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use sha2::{Digest, Sha256};

use super::form::{Form, InvalidForm};
use super::json::{InvalidJson, Json};
use super::xml::InvalidXml;

/// A whole request: its body is read, nothing of it is parsed.
#[derive(Debug, Clone)]
pub(super) struct Request {
    /// The method: POST, or GET for a handshake.
    pub(super) method: Method,
    /// Path and query, as sent.
    pub(super) target: String,
    /// The headers.
    pub(super) headers: HeaderMap,
    /// The raw body.
    pub(super) body: Bytes,
    hash: OnceLock<String>,
}

impl Request {
    /// A request of these parts.
    #[must_use]
    pub(super) fn new(method: Method, target: String, headers: HeaderMap, body: Bytes) -> Self {
        Self {
            method,
            target,
            headers,
            body,
            hash: OnceLock::new(),
        }
    }

    /// The query, as sent.
    #[must_use]
    pub(super) fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// A header's value without the blanks around it; `None`: absent or blank. The same value twice is once; two
    /// different ones refuse the request, as does a value that is not UTF-8: nobody could say which of them was meant.
    pub(super) fn header(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let mut found = None;
        for value in self.headers.get_all(name) {
            let value = value.as_bytes().trim_ascii();
            if found.is_some_and(|first| first != value) {
                return Err(Refusal::signature(format!(
                    "header {name} came twice with different values"
                )));
            }
            found = Some(value);
        }
        let text = std::str::from_utf8(found.unwrap_or_default())
            .map_err(|_| Refusal::signature(format!("header {name} is not UTF-8")))?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// A header that a check needs.
    pub(super) fn required_header(&self, name: &str) -> Result<&str, Refusal> {
        self.header(name)?
            .ok_or_else(|| Refusal::signature(format!("header {name} is missing")))
    }

    /// Whether the body is a form by its content-type.
    #[must_use]
    pub(super) fn is_form(&self) -> bool {
        self.headers
            .get(http::header::CONTENT_TYPE)
            .and_then(|value| value.as_bytes().split(|b| *b == b';').next())
            .is_some_and(|kind| {
                kind.trim_ascii()
                    .eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
            })
    }

    /// The body as JSON.
    pub(super) fn json(&self) -> Result<Json<'_>, Refusal> {
        Ok(Json::parse(&self.body)?)
    }

    /// The body as a form.
    pub(super) fn form(&self) -> Result<Form<'_>, Refusal> {
        Ok(Form::parse(&self.body)?)
    }

    /// The body as JSON, a form's fields as an object of texts.
    pub(super) fn json_or_form(&self) -> Result<Json<'_>, Refusal> {
        if self.is_form() {
            Ok(self.form()?.into_json())
        } else {
            self.json()
        }
    }

    /// The hex SHA-256 of the raw body: the key where a platform gives none.
    #[must_use]
    pub(super) fn hash(&self) -> &str {
        self.hash.get_or_init(|| hex::encode(Sha256::digest(&self.body)))
    }

    /// The hash, followed by the signed timestamp as it was sent.
    #[must_use]
    pub(super) fn hash_at(&self, timestamp: Option<&str>) -> String {
        match timestamp {
            Some(timestamp) => format!("{}:{timestamp}", self.hash()),
            None => self.hash().to_owned(),
        }
    }
}

/// What is answered to a request that was not refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// The status.
    pub(super) status: StatusCode,
    /// The content type, where there is a body.
    pub(super) content_type: Option<&'static str>,
    /// The body.
    pub(super) body: Bytes,
}

impl Answer {
    /// 200 without a body: what most platforms want.
    #[must_use]
    pub(super) fn empty() -> Self {
        Self::status(StatusCode::OK)
    }

    /// A status without a body.
    #[must_use]
    pub(super) fn status(status: StatusCode) -> Self {
        Self {
            status,
            content_type: None,
            body: Bytes::new(),
        }
    }

    /// 200 with JSON.
    #[must_use]
    pub(super) fn json(body: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: Some("application/json"),
            body: body.into(),
        }
    }

    /// 200 with plain text.
    #[must_use]
    pub(super) fn text(body: impl Into<Bytes>) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: Some("text/plain; charset=utf-8"),
            body: body.into(),
        }
    }
}

/// Why a request made no event: the label of counters, metrics and route notes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No route has this path (404).
    Path,
    /// The route is paused (503).
    Paused,
    /// The route could not be prepared (503).
    Degraded,
    /// The client's address is not in `allowFrom` (403).
    Address,
    /// The method is none of the route's (405).
    Method,
    /// The body is compressed (415).
    Encoding,
    /// The body is larger than `maxBodyBytes` (413).
    TooLarge,
    /// The body did not come within its time (408).
    Timeout,
    /// The client went away.
    Cut,
    /// All bodies in flight together are too large (503).
    Memory,
    /// The signature, token or key does not hold (401).
    Signature,
    /// The signed time is outside the replay window (401).
    Stale,
    /// The platform's public keys could not be had (503).
    Keys,
    /// A handshake that is not right (400, 403).
    Handshake,
    /// `rateLimit` (429).
    Rate,
    /// The body cannot be read (400).
    Body,
    /// The store could not take it (503).
    Store,
    /// The gateway's own fault (500).
    Internal,
}

impl Reason {
    /// Every reason, in the order of the work.
    pub const ALL: [Self; 18] = [
        Self::Path,
        Self::Paused,
        Self::Degraded,
        Self::Address,
        Self::Method,
        Self::Encoding,
        Self::TooLarge,
        Self::Timeout,
        Self::Cut,
        Self::Memory,
        Self::Signature,
        Self::Stale,
        Self::Keys,
        Self::Handshake,
        Self::Rate,
        Self::Body,
        Self::Store,
        Self::Internal,
    ];

    /// The word in metrics, logs and listings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Paused => "paused",
            Self::Degraded => "degraded",
            Self::Address => "address",
            Self::Method => "method",
            Self::Encoding => "encoding",
            Self::TooLarge => "too-large",
            Self::Timeout => "timeout",
            Self::Cut => "cut",
            Self::Memory => "memory",
            Self::Signature => "signature",
            Self::Stale => "stale",
            Self::Keys => "keys",
            Self::Handshake => "handshake",
            Self::Rate => "rate",
            Self::Body => "body",
            Self::Store => "store",
            Self::Internal => "internal",
        }
    }
}

/// A request that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The class.
    pub(super) reason: Reason,
    /// What is answered.
    pub(super) status: StatusCode,
    /// For the log: which check failed. Never a secret, never what a body or a header holds.
    pub(super) detail: Cow<'static, str>,
    /// For the sender: the `error` of the answer.
    pub(super) said: Cow<'static, str>,
    /// `Retry-After`, in seconds.
    pub(super) retry_after: Option<u64>,
    /// `Allow`.
    pub(super) allow: Option<&'static str>,
}

impl Refusal {
    /// A refusal whose answer says no more than `said`.
    #[must_use]
    pub(super) fn new(
        reason: Reason,
        status: StatusCode,
        detail: impl Into<Cow<'static, str>>,
        said: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            reason,
            status,
            detail: detail.into(),
            said: said.into(),
            retry_after: None,
            allow: None,
        }
    }

    /// With `Retry-After` in the answer.
    #[must_use]
    pub(super) fn after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// 401: the proof does not hold. The answer does not say why.
    #[must_use]
    pub(super) fn signature(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(
            Reason::Signature,
            StatusCode::UNAUTHORIZED,
            detail,
            "signature verification failed",
        )
    }

    /// 401: the signed time is outside the window. The answer is that of any bad signature.
    #[must_use]
    pub(super) fn stale(detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            reason: Reason::Stale,
            ..Self::signature(detail)
        }
    }

    /// 400: the body cannot be read.
    #[must_use]
    pub(super) fn body(said: impl Into<Cow<'static, str>>) -> Self {
        let said = said.into();
        Self::new(Reason::Body, StatusCode::BAD_REQUEST, said.clone(), said)
    }

    /// 503: the keys that would verify it are not there yet; see [`super::platform::Platform::learn`].
    #[must_use]
    pub(super) fn keys(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(
            Reason::Keys,
            StatusCode::SERVICE_UNAVAILABLE,
            detail,
            "keys are not available; try again later",
        )
        .after(10)
    }
}

impl From<InvalidJson> for Refusal {
    fn from(error: InvalidJson) -> Self {
        Self::body(error.to_string())
    }
}

impl From<InvalidXml> for Refusal {
    fn from(error: InvalidXml) -> Self {
        Self::body(error.to_string())
    }
}

impl From<InvalidForm> for Refusal {
    fn from(error: InvalidForm) -> Self {
        Self::body(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn request(headers: &[(&'static str, &[u8])]) -> Request {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value).unwrap());
        }
        Request::new(Method::POST, "/x?a=1".into(), map, Bytes::from_static(b"a=1"))
    }

    #[test]
    fn a_header_is_read_once_and_without_blanks() {
        let request = request(&[
            ("x-a", b" \tv "),
            ("x-a", b"v"),
            ("x-b", b"1"),
            ("x-b", b"2"),
            ("x-c", b" "),
        ]);
        assert_eq!(request.header("X-A").unwrap(), Some("v"));
        assert_eq!(request.header("x-b").unwrap_err().status, StatusCode::UNAUTHORIZED);
        assert_eq!(request.header("x-c").unwrap(), None);
        assert_eq!(
            request.required_header("x-d").unwrap_err().detail,
            "header x-d is missing"
        );
        assert_eq!(request.query(), Some("a=1"));
    }

    #[test]
    fn a_header_that_is_no_text_is_refused() {
        assert!(request(&[("x-a", b"\xff")]).header("x-a").is_err());
        assert_eq!(request(&[("x-a", "ü".as_bytes())]).header("x-a").unwrap(), Some("ü"));
    }

    #[test]
    fn a_form_is_known_by_its_content_type() {
        assert!(request(&[("content-type", b"Application/X-www-form-urlencoded; charset=utf-8")]).is_form());
        assert!(!request(&[("content-type", b"application/json")]).is_form());
        assert!(!request(&[]).is_form());
    }

    #[test]
    fn the_hash_is_of_the_raw_body() {
        let request = request(&[]);
        assert_eq!(
            request.hash(),
            "c22fea5d7428e5cf47ef6354c97c9223c95d6dcdc3e0d2300ff79056b1ff3d85"
        );
        assert_eq!(request.hash_at(Some("17")), format!("{}:17", request.hash()));
    }

    #[test]
    fn every_reason_has_its_own_word() {
        let words: std::collections::HashSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(words.len(), Reason::ALL.len());
        for (place, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place);
        }
    }
}
