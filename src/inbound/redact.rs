//! The raw request as it is stored: without what proves it.

use http::{HeaderMap, HeaderName};

use super::form::Form;
use super::signature::any_matches;
use crate::document::Inbound;
use crate::secret::Secret;

/// The header that marks test traffic: see [`super::Routes::expect_test`].
pub(super) const TEST_HEADER: &str = "x-openclaw-test";

/// Never stored, whatever they hold.
const NEVER: [&str; 4] = ["authorization", "proxy-authorization", "cookie", TEST_HEADER];

/// What must not be stored of one route's requests.
#[derive(Debug)]
pub(super) struct Redaction {
    secrets: Vec<Secret>,
    headers: Vec<HeaderName>,
}

impl Redaction {
    /// Of a route's secrets, and of the headers that carry its platform's fixed token.
    pub(super) fn of(settings: &Inbound, headers: Vec<HeaderName>) -> Self {
        let secrets = [&settings.secrets, &settings.verify_tokens, &settings.encrypt_keys];
        Self {
            secrets: secrets.into_iter().flatten().cloned().collect(),
            headers,
        }
    }

    /// The headers to store. One goes by its name, or where its value, or the last word of it (`Bearer …`), is a secret.
    pub(super) fn headers(&self, headers: &HeaderMap) -> Vec<(String, Vec<u8>)> {
        headers
            .iter()
            .filter(|(name, _)| !NEVER.contains(&name.as_str()) && !self.headers.contains(name))
            .filter(|(_, value)| {
                let value = value.as_bytes().trim_ascii();
                let last = value.rsplit(u8::is_ascii_whitespace).next().unwrap_or_default();
                !any_matches(&self.secrets, value) && !any_matches(&self.secrets, last)
            })
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect()
    }

    /// Path and query to store. A parameter whose value is a secret goes.
    pub(super) fn target(&self, target: &str) -> String {
        let Some((path, query)) = target.split_once('?') else {
            return target.to_owned();
        };
        let is_secret = |pair: &str| match Form::parse(pair.as_bytes()) {
            Ok(form) => form.fields().any(|(name, value)| {
                any_matches(&self.secrets, value.as_bytes()) || any_matches(&self.secrets, name.as_bytes())
            }),
            Err(_) => false,
        };
        let kept: Vec<&str> = query.split('&').filter(|pair| !is_secret(pair)).collect();
        if kept.is_empty() {
            return path.to_owned();
        }
        format!("{path}?{}", kept.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redaction() -> Redaction {
        Redaction {
            secrets: vec![Secret::new("s3cret+"), Secret::new("old"), Secret::new("with a blank")],
            headers: vec![HeaderName::from_static("x-token")],
        }
    }

    #[test]
    fn headers_that_prove_are_cut_out() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Basic YTpi"),
            ("x-token", "a wrong one"),
            ("x-other", " s3cret+ "),
            ("x-another", "Token old"),
            ("x-openclaw-test", "abc"),
            ("x-blank", "with a blank"),
            ("x-kept", "s3cret"),
            ("content-type", "application/json"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        let mut left: Vec<String> = redaction()
            .headers(&headers)
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        left.sort();
        assert_eq!(left, ["content-type", "x-kept"]);
    }

    #[test]
    fn query_parameters_that_prove_are_cut_out() {
        let redaction = redaction();
        assert_eq!(redaction.target("/a"), "/a");
        assert_eq!(redaction.target("/a?password=s3cret%2B&b=%zz&c"), "/a?b=%zz&c");
        assert_eq!(redaction.target("/a?guid=old"), "/a");
        assert_eq!(redaction.target("/a?old"), "/a");
    }
}
