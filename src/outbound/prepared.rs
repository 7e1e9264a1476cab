//! A sender's settings, checked: what can fail has failed here, before anything runs with them.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use http::{Extensions, Uri};

use super::clients::{Clients, Identity};
use super::egress::{Policy, Refused};
use super::sign::Signer;
use crate::document::settings::{Auth, Chat, Format, Outbound, parse_chat_id};
use crate::event::Name;
use crate::secret::Secret;

/// Headers that a sender's own may not replace: ours, the connection's, and those that OpenClaw refuses.
const RESERVED: [&str; 17] = [
    "connection",
    "content-length",
    "content-type",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "traceparent",
    "trailer",
    "trailers",
    "transfer-encoding",
    "upgrade",
    "x-real-ip",
];
/// The same, by what they begin with.
const RESERVED_PREFIXES: [&str; 3] = ["x-forwarded-", "x-openclaw-", "webhook-"];

/// Why a sender cannot run with its settings. Never holds a secret's value.
#[derive(Debug, thiserror::Error)]
pub enum SenderError {
    /// The URL cannot be posted to.
    #[error("url: {0}")]
    Url(String),
    /// The URL's host is an address that may not be reached.
    #[error("url: {0}")]
    Egress(#[from] Refused),
    /// A `whsec_` secret whose rest is not base64.
    #[error("secret: what follows `whsec_` is not base64: copy the whole secret, or leave `whsec_` out")]
    Secret,
    /// A header that cannot be sent.
    #[error("headers.{name}: {what}")]
    Header {
        /// The header's name.
        name: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// What the format needs.
    #[error("{field}: {what}")]
    Format {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Certificates or keys that cannot be used.
    #[error("{field}: {what}")]
    Tls {
        /// Which field.
        field: &'static str,
        /// What is wrong with it.
        what: String,
    },
}

/// A sender that can run.
pub struct PreparedSender {
    /// The settings; secrets, headers, auth and tls have moved into the fields below.
    pub(super) settings: Outbound,
    pub(super) uri: Uri,
    /// Scheme, host and port: what `maxPerOrigin` counts by.
    pub(super) origin: Box<str>,
    /// Its own headers: empty (and then without an allocation) for most.
    pub(super) headers: HeaderMap,
    /// The spelling of custom headers with capitals, for HTTP/1.1.
    pub(super) spelling: Option<Box<Extensions>>,
    /// `requireHeader`.
    pub(super) required: Option<(HeaderName, Option<String>)>,
    pub(super) signer: Option<Signer>,
    /// What a chat signs with in its own way.
    pub(super) chat_secret: Option<Secret>,
    pub(super) identity: Arc<Identity>,
}

impl fmt::Debug for PreparedSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PreparedSender")
            .field("name", &self.settings.name)
            .finish_non_exhaustive()
    }
}

impl PreparedSender {
    /// Checks settings.
    pub(super) fn new(mut settings: Outbound, policy: &Policy, clients: &Clients) -> Result<Self, SenderError> {
        let url = &settings.url;
        let https = match url.scheme() {
            "https" => true,
            "http" => false,
            other => return Err(SenderError::Url(format!("`{other}:` is neither http: nor https:"))),
        };
        policy.check_literal(url)?;
        let origin = url.origin().ascii_serialization().into();
        let mut bare = url.clone();
        bare.set_fragment(None);
        // Both are possible: the URL has a host.
        let _ = (bare.set_username(""), bare.set_password(None));
        let uri = Uri::try_from(bare.as_str()).map_err(|error| SenderError::Url(error.to_string()))?;
        let (signer, chat_secret) = match settings.format {
            Format::Chat(Chat::Feishu | Chat::Dingtalk) => (None, settings.secrets.first().cloned()),
            _ => (Signer::new(&settings.secrets)?, None),
        };
        check_format(&settings)?;
        let identity = clients.identity(&settings.tls, https)?;
        let mut headers = own_headers(&settings)?;
        if let Some(value) = authorization(&settings)? {
            headers.insert(AUTHORIZATION, value);
        }
        let spelling = spelling(settings.headers.iter().map(|(name, _)| name.as_str()));
        let required = match settings.require_header.take() {
            None => None,
            Some((name, value)) => match HeaderName::from_bytes(name.as_bytes()) {
                Ok(name) => Some((name, value)),
                Err(_) => {
                    return Err(SenderError::Header {
                        name,
                        what: "this is no header name",
                    });
                }
            },
        };
        // Kept once, in the form in which they are used.
        settings.secrets = Vec::new();
        settings.headers = Vec::new();
        settings.auth = None;
        settings.tls = crate::document::settings::ClientTls::default();
        Ok(Self {
            settings,
            uri,
            origin,
            headers,
            spelling,
            required,
            signer,
            chat_secret,
            identity,
        })
    }

    /// The sender's name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.settings.name
    }

    /// The most attempts that one delivery can have.
    pub(super) fn attempts(&self) -> u32 {
        self.settings.schedule.retries().saturating_add(1)
    }

    /// How many attempts may be in flight.
    pub(super) fn concurrency(&self) -> usize {
        match self.settings.ordering {
            crate::event::Ordering::Fifo => 1,
            _ => self.settings.concurrency.clamp(1, 1024),
        }
    }
}

/// What the document's check cannot see where a reference stands for a value.
fn check_format(settings: &Outbound) -> Result<(), SenderError> {
    let wrong = |field, what| Err(SenderError::Format { field, what });
    match settings.format {
        Format::Chat(Chat::Telegram) if settings.chat_id.as_deref().and_then(parse_chat_id).is_none() => {
            wrong("chatId", "format telegram needs a chat such as `-100123` or `@channel`")
        }
        Format::AgentHook if !matches!(settings.auth, Some(Auth::Bearer(_))) => {
            wrong("auth.bearer", "format agent-hook needs the assistant's hooks.token")
        }
        _ => Ok(()),
    }
}

fn own_headers(settings: &Outbound) -> Result<HeaderMap, SenderError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &settings.headers {
        let wrong = |what| SenderError::Header {
            name: name.clone(),
            what,
        };
        let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("this is no header name"))?;
        let lower = parsed.as_str();
        if RESERVED.contains(&lower) || RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix)) {
            return Err(wrong("this header is the gateway's own, or is never sent: remove it"));
        }
        let mut value = HeaderValue::from_bytes(value.expose_bytes())
            .map_err(|_| wrong("its value has a character that no header may have"))?;
        value.set_sensitive(true);
        headers.append(parsed, value);
    }
    Ok(headers)
}

/// `auth`, or else what the URL says before its `@`.
fn authorization(settings: &Outbound) -> Result<Option<HeaderValue>, SenderError> {
    let basic = |user: &str, password: &str| format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
    let text = match &settings.auth {
        Some(Auth::Bearer(token)) => format!("Bearer {}", token.expose()),
        Some(Auth::Basic { username, password }) => basic(username, password.expose()),
        None if settings.url.username().is_empty() && settings.url.password().is_none() => return Ok(None),
        None => basic(
            &decoded(settings.url.username()),
            &decoded(settings.url.password().unwrap_or_default()),
        ),
    };
    let mut value = HeaderValue::from_str(&text).map_err(|_| SenderError::Header {
        name: "authorization".to_owned(),
        what: "`auth` has a character that no header may have",
    })?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// `%41` -> `A`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let mut digits = [0u8; 1];
        if first == b'%' && tail.len() >= 2 && hex::decode_to_slice(&tail[..2], &mut digits).is_ok() {
            bytes.push(digits[0]);
            rest = &tail[2..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// How names were spelled, in the form in which hyper hands it on.
///
/// `http::HeaderName` is lower case; hyper keeps spellings beside it, in a type of its own that only its parser makes (it
/// is meant for proxies). So its parser gets to read the names once, from memory.
fn spelling<'a>(names: impl Iterator<Item = &'a str> + Clone) -> Option<Box<Extensions>> {
    if !names.clone().any(|name| name.bytes().any(|b| b.is_ascii_uppercase())) {
        return None;
    }
    let mut head = b"GET / HTTP/1.1\r\nhost: x\r\n".to_vec();
    for name in names {
        head.extend_from_slice(name.as_bytes());
        head.extend_from_slice(b": x\r\n");
    }
    head.extend_from_slice(b"\r\n");
    let seen = std::sync::Mutex::new(None);
    let service = hyper::service::service_fn(|request: http::Request<hyper::body::Incoming>| {
        *seen.lock().expect("nobody panics with it") = Some(request.extensions().clone());
        std::future::ready(Err::<http::Response<http_body_util::Empty<bytes::Bytes>>, _>(
            std::io::Error::other("seen"),
        ))
    });
    let io = hyper_util::rt::TokioIo::new(tokio::io::join(std::io::Cursor::new(head), tokio::io::sink()));
    // Memory is always ready: one poll reads the whole head. It ends with the error above.
    drop(
        hyper::server::conn::http1::Builder::new()
            .preserve_header_case(true)
            .max_headers(1024)
            .serve_connection(io, service)
            .now_or_never(),
    );
    seen.into_inner().expect("nobody panics with it").map(Box::new)
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::document::settings::{ClientTls, OnDelete, Schedule};
    use crate::event::{EventPattern, Ordering};

    /// Settings with the document's defaults, for a test's endpoint.
    pub(in crate::outbound) fn settings(url: &str) -> Outbound {
        Outbound {
            name: Name::parse("event-logger").unwrap(),
            url: url::Url::parse(url).unwrap(),
            events: vec![EventPattern::All],
            from: None,
            secrets: Vec::new(),
            schedule: Schedule::Law {
                retries: 3,
                delay: Duration::from_secs(5),
                exponential: true,
            },
            jitter: 0.0,
            max_retry_delay: Duration::from_hours(1),
            max_age: Duration::from_hours(72),
            timeout: Duration::from_secs(10),
            retry_status_codes: vec![500..=599],
            paused: false,
            headers: Vec::new(),
            format: Format::Openclaw,
            filter: None,
            body: None,
            text: None,
            chat_id: None,
            agent_hook: None,
            require_header: None,
            concurrency: 16,
            rate_limit: None,
            ordering: Ordering::None,
            auth: None,
            tls: ClientTls::default(),
            breaker: None,
            on_delete: OnDelete::Drain,
            drain_timeout: Duration::from_secs(30),
        }
    }

    fn prepare(settings: Outbound) -> Result<PreparedSender, SenderError> {
        PreparedSender::new(settings, &Policy::default(), &Clients::new())
    }

    #[test]
    fn headers_of_the_gateway_cannot_be_replaced() {
        for name in [
            "Host",
            "content-length",
            "Content-Type",
            "X-OpenClaw-Event",
            "webhook-id",
            "X-Forwarded-For",
            "forwarded",
            "X-Real-IP",
            "Connection",
            "transfer-encoding",
            "traceparent",
        ] {
            let mut settings = settings("https://example.com/");
            settings.url.set_scheme("http").unwrap();
            settings.headers = vec![(name.to_owned(), Secret::new("hunter2"))];
            let error = prepare(settings).expect_err(name).to_string();
            assert!(error.contains(name) && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn userinfo_of_the_url_becomes_basic_auth_and_leaves_the_url() {
        let sender = prepare(settings("http://us%40er:p%3Ass@example.com/x?y=1#z")).unwrap();
        assert_eq!(sender.uri.to_string(), "http://example.com/x?y=1");
        assert_eq!(&*sender.origin, "http://example.com");
        assert_eq!(
            sender.headers[AUTHORIZATION],
            format!("Basic {}", STANDARD.encode("us@er:p:ss"))
        );
        assert!(!format!("{sender:?} {:?}", sender.headers).contains(&STANDARD.encode("us@er:p:ss")));
    }

    #[test]
    fn a_refused_literal_names_the_field_to_add() {
        let error = prepare(settings("http://0x7f000001:1/")).unwrap_err().to_string();
        assert!(
            error.contains("127.0.0.1") && error.contains("`webhooks.egress.allow`"),
            "{error}"
        );
        assert!(
            prepare(settings("ftp://example.com/"))
                .unwrap_err()
                .to_string()
                .contains("ftp")
        );
    }

    #[test]
    fn values_that_no_header_may_have_are_refused_without_showing_them() {
        let mut bad = settings("http://example.com/");
        bad.auth = Some(Auth::Bearer(Secret::new("hunter2\n")));
        let error = prepare(bad).unwrap_err().to_string();
        assert!(error.contains("auth") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn broken_certificates_say_which_field() {
        let mut bad = settings("https://example.com/");
        bad.tls.ca = Some("not pem".to_owned());
        assert!(prepare(bad).unwrap_err().to_string().starts_with("tls.ca"));
    }
}
