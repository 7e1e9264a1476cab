//! The raw request as it is stored: without what proves it.

use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

use super::form::Form;
use super::json::Json;
use super::platform::Platform;
use super::request::Request;
use super::signature::any_matches;
use crate::document::Inbound;
use crate::secret::Secret;

/// The header that marks test traffic: see [`super::Routes::expect_test`].
pub(super) const TEST_HEADER: &str = "x-openclaw-test";

/// Never stored, whatever they hold.
const NEVER: [&str; 3] = ["proxy-authorization", "cookie", TEST_HEADER];

/// What must not be stored of one route's requests.
#[derive(Debug)]
pub(super) struct Redaction {
    secrets: Vec<Secret>,
    headers: Vec<HeaderName>,
    parameters: &'static [&'static str],
    fields: &'static [&'static str],
}

impl Redaction {
    /// Of a route's secrets, and of the places where its platform carries a fixed token.
    pub(super) fn of(settings: &Inbound, platform: &dyn Platform) -> Self {
        let secrets = [&settings.secrets, &settings.verify_tokens, &settings.encrypt_keys];
        Self {
            secrets: secrets.into_iter().flatten().cloned().collect(),
            headers: {
                let mut headers = platform.credential_headers();
                if !platform.signs_authorization() {
                    headers.push(AUTHORIZATION);
                }
                headers
            },
            parameters: platform.credential_parameters(),
            fields: platform.credential_fields(),
        }
    }

    /// The headers to store. One goes by its name, or where its value, or the end of it after a blank (`Bearer …`), is a secret.
    pub(super) fn headers(&self, headers: HeaderMap) -> HeaderMap {
        let is_kept = |name: &HeaderName, value: &HeaderValue| {
            !NEVER.contains(&name.as_str())
                && !self.headers.contains(name)
                && !self.ends_with_a_secret(value.as_bytes().trim_ascii())
        };
        if headers.iter().all(|(name, value)| is_kept(name, value)) {
            return headers;
        }
        let kept = headers.iter().filter(|(name, value)| is_kept(name, value));
        kept.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    fn ends_with_a_secret(&self, text: &[u8]) -> bool {
        self.secrets.iter().any(|secret| {
            let rest = text.len().checked_sub(secret.expose_bytes().len());
            rest.is_some_and(|rest| {
                (rest == 0 || text[rest - 1].is_ascii_whitespace()) && secret.matches(&text[rest..])
            })
        })
    }

    /// Path and query to store. A parameter goes by its name, or where its value is a secret.
    pub(super) fn target(&self, target: &str) -> String {
        let Some((path, query)) = target.split_once('?') else {
            return target.to_owned();
        };
        let is_secret = |name: &str, value: &str| {
            self.parameters.contains(&name)
                || any_matches(&self.secrets, value.as_bytes())
                || any_matches(&self.secrets, name.as_bytes())
        };
        let kept = without(query, is_secret, !self.parameters.is_empty());
        if kept.is_empty() {
            return path.to_owned();
        }
        format!("{path}?{kept}")
    }

    /// The body to store: byte for byte what came, unless the platform carries its token in a field of it.
    pub(super) fn body(&self, request: &Request) -> Bytes {
        if self.fields.is_empty() {
            return request.body.clone();
        }
        if request.is_form() {
            let is_token = |name: &str, _: &str| self.fields.contains(&name);
            let text = String::from_utf8_lossy(&request.body);
            return without(&text, is_token, true).into();
        }
        let Ok(mut body) = Json::parse(&request.body) else {
            return Bytes::new(); // what cannot be read could hold it
        };
        let removed = self.fields.iter().filter(|field| body.remove(field)).count();
        if removed == 0 {
            return request.body.clone();
        }
        body.to_text().into()
    }
}

/// A form without some of its pairs; the others stay as they were sent. `unreadable`: whether a pair that is no UTF-8 goes.
fn without(form: &str, is_secret: impl Fn(&str, &str) -> bool, unreadable: bool) -> String {
    let goes = |pair: &str| match Form::parse(pair.as_bytes()) {
        Ok(form) => form.fields().any(|(name, value)| is_secret(name, value)),
        Err(_) => unreadable,
    };
    let kept: Vec<&str> = form.split('&').filter(|pair| !goes(pair)).collect();
    kept.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redaction() -> Redaction {
        Redaction {
            secrets: vec![Secret::new("s3cret+"), Secret::new("old"), Secret::new("with a blank")],
            headers: vec![HeaderName::from_static("x-token"), AUTHORIZATION],
            parameters: &[],
            fields: &[],
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
        let left = redaction().headers(headers);
        let left: Vec<&str> = left.keys().map(HeaderName::as_str).collect();
        assert_eq!(left, ["x-kept", "content-type"]);
    }

    #[test]
    fn query_parameters_that_prove_are_cut_out() {
        let redaction = redaction();
        assert_eq!(redaction.target("/a"), "/a");
        assert_eq!(redaction.target("/a?password=s3cret%2B&b=%zz&c"), "/a?b=%zz&c");
        assert_eq!(redaction.target("/a?guid=old"), "/a");
        assert_eq!(redaction.target("/a?old"), "/a");
        assert_eq!(redaction.target("/a?b=%FF"), "/a?b=%FF");
        let redaction = Redaction {
            parameters: &["guid"],
            ..redaction
        };
        assert_eq!(redaction.target("/a?guid=wrong&b=1&gui%64=x&guid=%FF"), "/a?b=1");
    }

    #[test]
    fn fields_that_prove_are_cut_out_of_bodies() {
        let stored = |fields, kind: &'static str, body: &'static [u8]| {
            let redaction = Redaction { fields, ..redaction() };
            let mut headers = HeaderMap::new();
            headers.insert("content-type", kind.parse().unwrap());
            let request = Request::new(http::Method::POST, "/a".into(), headers, Bytes::from_static(body));
            redaction.body(&request)
        };
        let form = "application/x-www-form-urlencoded";
        let token: &[&str] = &["token"];
        let body = br#"{"z":1.0,"token":"s3cret+","token":"old", "a":{"token":"of another"}}"#;
        assert_eq!(
            stored(token, "application/json", body),
            r#"{"z":1.0,"a":{"token":"of another"}}"#
        );
        assert_eq!(stored(&[], "application/json", body), &body[..]);
        assert_eq!(stored(token, "application/json", b"{ \"a\": 1 }"), "{ \"a\": 1 }");
        assert_eq!(stored(token, "application/json", b"{\"token\""), "");
        assert_eq!(stored(token, form, b"token=a&b=%41+&%74oken=c&token=%FF"), "b=%41+");
    }
}
