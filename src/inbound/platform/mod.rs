//! One file a platform: how its requests are proved, answered and read. A platform imports nothing of another platform.
//!
//! A new platform is a file, a line in [`PLATFORMS`], its vectors and its line in the docs.

mod basic;
mod bluebubbles;
mod dingtalk;
mod discord;
mod feishu;
mod generic;
mod github;
mod gitlab;
mod googlechat;
mod line;
mod mattermost;
mod msteams;
mod nextcloud_talk;
mod openclaw;
mod openclaw_cron;
mod qqbot;
mod shopify;
mod slack;
mod standard;
mod stripe;
mod synology_chat;
mod telegram;
mod token;
mod twilio;
mod wecom;
mod whatsapp;
mod zalo;

use std::borrow::Cow;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::HeaderName;
use jiff::Timestamp;

use super::form::{Form, write_form};
use super::json::Json;
use super::jwt::{Expected, Verifier};
use super::normalise::{Normalised, Source};
use super::request::{Answer, Refusal, Request};
pub use super::sample::Sample;
pub(super) use super::sample::SampleOf;
use super::signature::{self, TOLERANCE};
use crate::document::Inbound;
use crate::proof::Proof;
use crate::secret::Secret;

/// A platform, set up with one route's keys. Everything here is synchronous and pure but [`Platform::learn`].
///
/// The order of the work: [`greet`](Platform::greet), [`verify`](Platform::verify) (left out where the route says
/// `verifySignature: false`), [`read`](Platform::read).
pub(super) trait Platform: Send + Sync + 'static {
    /// The methods for `Allow`. Anything but POST and GET is refused before the platform sees it; a GET only ever reaches
    /// [`greet`](Platform::greet), with an empty body.
    fn allow(&self) -> &'static str {
        "POST"
    }

    /// The platform's own bound of a body, where it is above the server's.
    fn max_body_bytes(&self) -> u64 {
        0
    }

    /// Headers that carry a fixed token, beside `authorization`: never stored.
    fn credential_headers(&self) -> Vec<HeaderName> {
        Vec::new()
    }

    /// Whether `authorization` is a signature of its own time and not a token that stays: then it is stored.
    fn signs_authorization(&self) -> bool {
        false
    }

    /// Query parameters that carry a fixed token: never stored.
    fn credential_parameters(&self) -> &'static [&'static str] {
        &[]
    }

    /// Fields of a form, or members of a JSON object, that carry a fixed token: never stored.
    fn credential_fields(&self) -> &'static [&'static str] {
        &[]
    }

    /// A request that is answered without the proof that all others need: Slack's `ssl_check`, WhatsApp's and WeCom's GET
    /// (which prove themselves otherwise), QQ's `op` 13, Feishu's `url_verification`. `None`: it is no such request.
    fn greet(&self, request: &Request, now: Timestamp) -> Result<Option<Answer>, Refusal> {
        let _ = (request, now);
        Ok(None)
    }

    /// Checks the proof on the raw bytes.
    fn verify(&self, request: &Request, now: Timestamp) -> Result<(), Refusal>;

    /// Reads a request whose proof holds: decrypts, parses, normalises, and says what to answer.
    fn read(&self, request: &Request, source: &Source) -> Result<Reading, Refusal>;

    /// Fetches what [`verify`](Platform::verify) said that it lacks ([`Refusal::keys`]): a set of public keys. Verifying
    /// is then tried once more. `None`: there is nothing to fetch (now).
    fn learn(&self) -> Option<BoxFuture<'_, ()>> {
        None
    }

    /// What proves a stored request now, by the first of the keys. Nothing: it proves itself as it was received, or only the
    /// platform has the key.
    fn prove(&self, request: &Request, now: Timestamp) -> Proof {
        let _ = (request, now);
        Proof::default()
    }

    /// A request as the platform would send it, rightly signed. `None`: only the platform has the key.
    fn sample(&self, sample: &SampleOf<'_>) -> Option<Sample>;
}

/// What a request says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    /// Its events, in order; none: a handshake, or nothing to tell.
    pub(super) events: Vec<Normalised>,
    /// What is answered once they are durable.
    pub(super) answer: Answer,
}

impl Reading {
    /// No event.
    #[must_use]
    pub(super) fn handshake(answer: Answer) -> Self {
        Self {
            events: Vec::new(),
            answer,
        }
    }

    /// One event.
    #[must_use]
    pub(super) fn one(event: Normalised, answer: Answer) -> Self {
        Self {
            events: vec![event],
            answer,
        }
    }
}

/// Sets a platform up for a route.
pub(super) type Build = fn(&Inbound) -> Result<Box<dyn Platform>, FieldError>;

/// Every platform by its name in the document.
pub(super) const PLATFORMS: [(&str, Build); 27] = [
    ("basic", basic::build),
    ("bluebubbles", bluebubbles::build),
    ("dingtalk", dingtalk::build),
    ("discord", discord::build),
    ("feishu", feishu::build),
    ("generic", generic::build),
    ("github", github::build),
    ("gitlab", gitlab::build),
    ("googlechat", googlechat::build),
    ("line", line::build),
    ("mattermost", mattermost::build),
    ("msteams", msteams::build),
    ("nextcloud-talk", nextcloud_talk::build),
    ("openclaw", openclaw::build),
    ("openclaw-cron", openclaw_cron::build),
    ("qqbot", qqbot::build),
    ("shopify", shopify::build),
    ("slack", slack::build),
    ("standard", standard::build),
    ("stripe", stripe::build),
    ("synology-chat", synology_chat::build),
    ("telegram", telegram::build),
    ("token", token::build),
    ("twilio", twilio::build),
    ("wecom", wecom::build),
    ("whatsapp", whatsapp::build),
    ("zalo", zalo::build),
];

/// How a platform of this name is set up.
#[must_use]
pub(super) fn find(name: &str) -> Option<Build> {
    PLATFORMS.iter().find(|(n, _)| *n == name).map(|(_, build)| *build)
}

/// A field that a platform cannot work with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct FieldError {
    /// The field, as the document spells it.
    pub field: &'static str,
    /// What is wrong and how to mend it; never holds the value.
    pub problem: String,
}

impl FieldError {
    fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self {
            field,
            problem: problem.into(),
        }
    }
}

/// The secrets; an error where there are none although the route verifies.
fn secrets(settings: &Inbound) -> Result<Vec<Secret>, FieldError> {
    if settings.secrets.is_empty() && settings.verify_signature {
        return Err(FieldError::new(
            "secret",
            format!(
                "platform `{}` cannot verify a request without it; set it, or `verifySignature: false`",
                settings.platform
            ),
        ));
    }
    Ok(settings.secrets.clone())
}

/// The replay window.
fn tolerance(settings: &Inbound) -> Duration {
    settings.tolerance.unwrap_or(TOLERANCE)
}

/// A header's name as the document gives it.
fn header_name(text: &str) -> Result<HeaderName, FieldError> {
    text.parse()
        .map_err(|_| FieldError::new("signature", format!("`{text}` is no name of a header")))
}

/// What follows the scheme (in either case) in `authorization`.
fn credentials<'a>(request: &'a Request, scheme: &str) -> Result<&'a str, Refusal> {
    let value = request.required_header("authorization")?;
    value
        .split_once(' ')
        .filter(|(first, _)| first.eq_ignore_ascii_case(scheme))
        .map(|(_, rest)| rest.trim_start_matches(' '))
        .ok_or_else(|| Refusal::signature(format!("authorization is not of the scheme {scheme}")))
}

/// A proof that is the secret itself, found at `place`.
fn fixed_token(secrets: &[Secret], token: &str, place: &str) -> Result<(), Refusal> {
    if signature::any_matches(secrets, token.as_bytes()) {
        Ok(())
    } else {
        Err(Refusal::signature(format!("the token in {place} is not the secret")))
    }
}

/// A proof that is the secret itself, in the body's field `token`.
fn token_in_body(secrets: &[Secret], request: &Request) -> Result<(), Refusal> {
    let body = request.json_or_form()?;
    match body.filled("token") {
        Ok(Some(token)) => fixed_token(secrets, token, "the body"),
        _ => Err(Refusal::signature("the body has no token")),
    }
}

/// The body with the token that was cut out of it, first.
fn with_token(secrets: &[Secret], request: &Request) -> Proof {
    let Some(secret) = secrets.first() else {
        return Proof::default();
    };
    let token = secret.expose();
    let body = if request.is_form() {
        let token = write_form(&[("token", token)]);
        [token.as_bytes(), b"&", &request.body].concat()
    } else {
        let rest = request.body.trim_ascii_start().strip_prefix(b"{").unwrap_or_default();
        let comma: &[u8] = if rest.trim_ascii_start().starts_with(b"}") {
            b""
        } else {
            b","
        };
        let token = format!("{{\"token\":{}", super::json::quoted(token));
        [token.as_bytes(), comma, rest].concat()
    };
    Proof {
        body: Some(body.into()),
        ..Proof::default()
    }
}

/// The events of a body that may hold several, each of one item; an item's fallback key is given beside it.
///
/// At most 10,000: the store takes no more in one write.
fn several<T>(
    request: &Request,
    items: &[T],
    event: impl Fn(&T, String) -> Normalised,
) -> Result<Vec<Normalised>, Refusal> {
    const MOST: usize = 10_000;
    if items.len() > MOST {
        return Err(Refusal::body("the body holds more than 10000 events"));
    }
    let key = |n| match items.len() {
        1 => request.hash().to_owned(),
        _ => format!("{}:{n}", request.hash()),
    };
    Ok(items.iter().enumerate().map(|(n, item)| event(item, key(n))).collect())
}

/// What checks the tokens of a platform that signs with JSON Web Keys; `None`: the route verifies nothing.
fn tokens(settings: &Inbound, expected: Expected) -> Result<Option<Verifier>, FieldError> {
    if !settings.verify_signature {
        return Ok(None);
    }
    let audience = settings.audience.as_deref().filter(|audience| !audience.is_empty());
    let audience = audience.ok_or_else(|| {
        let missing = "without it a token for anybody would be accepted; set it, or `verifySignature: false`";
        FieldError::new("audience", missing)
    })?;
    Verifier::new(expected, audience, settings.jwks.as_ref(), tolerance(settings))
        .map(Some)
        .map_err(|problem| FieldError::new("jwks", problem))
}

/// The check of a route that verifies.
fn set_up(tokens: Option<&Verifier>) -> Result<&Verifier, Refusal> {
    tokens.ok_or_else(|| Refusal::signature("the route has no keys"))
}

/// The members of `reply` that are known.
fn known<'a, const N: usize>(members: [(&'static str, Option<&'a str>); N]) -> Vec<(&'static str, Cow<'a, str>)> {
    members
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?.into())))
        .collect()
}

/// The first half of a MIME type: an attachment's kind. `file` where there is none.
fn main_type(mime_type: Option<&str>) -> &str {
    mime_type
        .and_then(|kind| kind.split('/').next())
        .map(str::trim)
        .filter(|kind| !kind.is_empty())
        .unwrap_or("file")
}

/// Id and type of a request of a source without a scheme of its own, as `signature` names them.
struct Naming {
    id_header: Box<str>,
    type_header: Option<Box<str>>,
    type_field: Option<Box<str>>,
}

impl Naming {
    fn of(settings: &Inbound) -> Self {
        let scheme = &settings.signature;
        Self {
            id_header: scheme.id_header.as_deref().unwrap_or("Idempotency-Key").into(),
            type_header: scheme.type_header.as_deref().map(Into::into),
            type_field: scheme.type_field.as_deref().map(Into::into),
        }
    }

    /// The headers that name a sample; its type is in its body where the route looks there.
    fn sample_headers(&self, sample: &SampleOf<'_>) -> Vec<(String, String)> {
        let mut headers = vec![(self.id_header.to_string(), sample.id.to_owned())];
        if let Some(name) = &self.type_header {
            headers.push((name.to_string(), "webhook.test".to_owned()));
        }
        headers
    }

    /// `webhook.received`, of JSON or a form.
    fn read(&self, request: &Request, source: &Source) -> Result<Reading, Refusal> {
        let body = request.json_or_form()?;
        let key = request.header(&self.id_header)?.map(str::to_owned);
        let from_header = match &self.type_header {
            Some(name) => request.header(name)?,
            None => None,
        };
        let from_body = || self.type_field.as_deref().and_then(|field| type_inside(&body, field));
        let kind = from_header.or_else(from_body).unwrap_or("unknown");
        Ok(Reading::one(source.webhook(kind, key, &body), Answer::empty()))
    }
}

/// The text (or the digits) of a member; dots go inside where no member has the whole name.
fn type_inside<'a>(body: &'a Json<'_>, field: &str) -> Option<&'a str> {
    let value = body
        .get(field)
        .or_else(|| field.split('.').try_fold(body, |value, name| value.get(name)))?;
    match value {
        Json::Text(text) if !text.is_empty() => Some(text),
        Json::Number(digits) => Some(digits),
        _ => None,
    }
}

/// The form's field `payload`, which is JSON.
fn payload<'a>(form: &'a Form<'_>) -> Result<Json<'a>, Refusal> {
    let text = form
        .get("payload")
        .ok_or_else(|| Refusal::body("invalid form: the field `payload` is missing"))?;
    Ok(Json::parse(text.as_bytes())?)
}

/// A sample body of the sources that are not chats.
fn sample_body(sample: &SampleOf<'_>) -> String {
    let text = |text: &str| Json::Text(text.to_owned().into());
    Json::Object(vec![
        ("type".into(), text("webhook.test")),
        ("id".into(), text(sample.id)),
        ("message".into(), text(sample.text)),
    ])
    .to_text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_found_by_name() {
        assert!(find("telegram").is_some());
        assert!(find("Telegram").is_none());
        assert!(PLATFORMS.is_sorted_by_key(|(name, _)| *name));
    }

    #[test]
    fn the_document_names_the_same_platforms() {
        let mut named: Vec<&str> = crate::document::platforms::all()
            .map(|platform| platform.name)
            .collect();
        named.sort_unstable();
        assert_eq!(PLATFORMS.map(|(name, _)| name)[..], named);
    }

    #[test]
    fn a_type_is_looked_for_inside() {
        let body =
            Json::parse(br#"{"kind":{"name":"a","n":5},"kind.name":"b","x.y":null,"x":{"y":"c"},"l":[]}"#).unwrap();
        assert_eq!(type_inside(&body, "kind.name"), Some("b"));
        assert_eq!(type_inside(&body, "kind.n"), Some("5"));
        assert_eq!(type_inside(&body, "x.y"), Some("c"));
        assert_eq!(type_inside(&body, "l.0"), None);
        assert_eq!(type_inside(&body, "kind"), None);
    }
}
