//! The commands' way to a gateway: JSON over TCP or a unix socket.

mod stream;
#[cfg(test)]
mod tests;

use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Method, RequestBuilder, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::wire::{ApplyOutcome, ApplyRequest, Generation, Listing, PlanDocument, PlanRequest, Problem, Status};
use crate::secret::Secret;

pub use stream::{EventStream, Streamed};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an answer may take, where the caller says nothing else.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(1);

/// Answers of more bytes than this are refused: 512 MiB.
const ANSWER_MAX: usize = 512 << 20;

/// Where a gateway's API is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gateway {
    /// `http://127.0.0.1:8791`, without a final slash.
    Http(String),
    /// `unix:./openclaw.sock`.
    Unix(PathBuf),
}

impl Gateway {
    /// Reads `http://HOST:PORT`, `https://HOST:PORT` or `unix:PATH`.
    ///
    /// # Errors
    /// Says what the text is instead.
    pub fn parse(text: &str) -> Result<Self, InvalidGateway> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() {
                Err(InvalidGateway("no path after `unix:`".to_owned()))
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        let url = url::Url::parse(text).map_err(|error| InvalidGateway(error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return Err(InvalidGateway("its scheme is neither http, https nor unix".to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidGateway(
                "it may have a path, and nothing else behind the address".to_owned(),
            ));
        }
        Ok(Self::Http(url.as_str().trim_end_matches('/').to_owned()))
    }
}

impl fmt::Display for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) => f.write_str(url),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why a text is no [`Gateway`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a gateway's address, such as http://127.0.0.1:8791 or unix:./openclaw.sock: {0}")]
pub struct InvalidGateway(String);

/// Why a request had no answer that is of use.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No process listens there: the one failure after which a command may look into the local store instead.
    #[error("nothing answers at {0}")]
    NothingAnswers(Gateway),
    /// It could not be reached, or the connection broke.
    #[error("{gateway} cannot be reached: {reason}")]
    Unreachable {
        /// Where.
        gateway: Gateway,
        /// What the operating system or TLS says.
        reason: String,
    },
    /// It took longer than it may.
    #[error("{gateway} did not answer within {} s", after.as_secs())]
    Timeout {
        /// Where.
        gateway: Gateway,
        /// How long was waited.
        after: Duration,
    },
    /// It needs a token, or another one.
    #[error("{gateway} wants a bearer token{}", if *.given { " and did not take the one in OPENCLAW_ADMIN_TOKEN" } else { "" })]
    Unauthorized {
        /// Where.
        gateway: Gateway,
        /// Whether one was sent.
        given: bool,
    },
    /// The gateway says no.
    #[error("{}", problem_text(.0))]
    Problem(Box<Problem>),
    /// What answers is no gateway, or one of another version.
    #[error("{gateway} is no openclaw gateway of this version: {reason}")]
    Foreign {
        /// Where.
        gateway: Gateway,
        /// What is wrong with the answer.
        reason: String,
    },
}

fn problem_text(problem: &Problem) -> String {
    match &problem.detail {
        Some(detail) => detail.clone(),
        None if problem.title.is_empty() => format!("the gateway answered {}", problem.status),
        None => problem.title.clone(),
    }
}

/// A gateway's API.
#[derive(Debug, Clone)]
pub struct Client {
    gateway: Gateway,
    http: reqwest::Client,
    token: Option<Secret>,
}

impl Client {
    /// A client of a gateway. Connects with the first request.
    ///
    /// # Errors
    /// The TLS of this machine cannot be set up.
    pub fn new(gateway: Gateway, token: Option<Secret>) -> Result<Self, ClientError> {
        let builder = reqwest::Client::builder()
            .user_agent(concat!("openclaw/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            // A token must not go to a proxy that the environment names.
            .no_proxy();
        let builder = match &gateway {
            Gateway::Unix(path) => builder.unix_socket(path.clone()),
            Gateway::Http(_) => builder,
        };
        // To read the system's roots takes longer than most commands do otherwise; only HTTPS needs them.
        let builder = match &gateway {
            Gateway::Http(url) if url.starts_with("https:") => builder,
            _ => builder.tls_certs_only([]),
        };
        let http = builder.build().map_err(|error| ClientError::Unreachable {
            gateway: gateway.clone(),
            reason: root_cause(&error),
        })?;
        Ok(Self { gateway, http, token })
    }

    /// Where it is.
    #[must_use]
    pub fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// `GET /v1/status`.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("/v1/status").await
    }

    /// `GET /v1/generations`, newest first.
    pub async fn generations(&self, limit: u32, cursor: Option<&str>) -> Result<Listing<Generation>, ClientError> {
        let cursor = cursor.map_or(String::new(), |cursor| {
            let encoded: String = url::form_urlencoded::byte_serialize(cursor.as_bytes()).collect();
            format!("&cursor={encoded}")
        });
        self.get(&format!("/v1/generations?limit={limit}{cursor}")).await
    }

    /// `GET /v1/document`: a generation's document byte for byte, and its number; `None`: the one that runs.
    pub async fn document(&self, generation: Option<u64>) -> Result<(u64, Vec<u8>), ClientError> {
        let query = generation.map_or(String::new(), |number| format!("?generation={number}"));
        let request = self.request(Method::GET, &format!("/v1/document{query}"));
        let (head, body) = self.send(request, ANSWER_TIMEOUT).await?;
        let etag = head.get(header::ETAG).and_then(|value| value.to_str().ok());
        let number = etag.and_then(|etag| etag.trim_start_matches("W/").trim_matches('"').parse().ok());
        let number = number.ok_or_else(|| self.foreign("its document has no generation as ETag"))?;
        Ok((number, body))
    }

    /// `POST /v1/plan`.
    pub async fn plan(&self, request: &PlanRequest) -> Result<PlanDocument, ClientError> {
        self.post("/v1/plan", request, ANSWER_TIMEOUT).await
    }

    /// `POST /v1/apply`: answers when the gateway has converged, at most after `wait`.
    pub async fn apply(&self, request: &ApplyRequest, wait: Duration) -> Result<ApplyOutcome, ClientError> {
        self.post("/v1/apply", request, wait).await
    }

    /// Asks for JSON.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let (_, body) = self.send(self.request(Method::GET, path), ANSWER_TIMEOUT).await?;
        self.read(&body)
    }

    /// Sends JSON and asks for JSON.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
        timeout: Duration,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.foreign(&error.to_string()))?;
        let request = self
            .request(Method::POST, path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body);
        let (_, body) = self.send(request, timeout).await?;
        self.read(&body)
    }

    /// `GET /v1/events/stream`: events as they are stored, after the one with this id.
    pub async fn events(&self, after: Option<&str>) -> Result<EventStream, ClientError> {
        let mut request = self.request(Method::GET, "/v1/events/stream");
        if let Some(id) = after {
            request = request.header("last-event-id", id);
        }
        let sent = tokio::time::timeout(stream::SILENCE, request.send()).await;
        let sent = sent.map_err(|_| ClientError::Timeout {
            gateway: self.gateway.clone(),
            after: stream::SILENCE,
        })?;
        let response = sent.map_err(|error| self.failure(&error, CONNECT_TIMEOUT))?;
        if !response.status().is_success() {
            return Err(self.refused(response, ANSWER_TIMEOUT).await);
        }
        Ok(EventStream::of(response))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = match &self.gateway {
            Gateway::Http(base) => format!("{base}{path}"),
            // The host of a unix socket's requests: one that the gateway always allows.
            Gateway::Unix(_) => format!("http://localhost{path}"),
        };
        let request = self.http.request(method, url);
        match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        }
    }

    async fn send(
        &self,
        request: RequestBuilder,
        timeout: Duration,
    ) -> Result<(header::HeaderMap, Vec<u8>), ClientError> {
        let failed = |error: reqwest::Error| self.failure(&error, timeout);
        let response = request.timeout(timeout).send().await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(self.refused(response, timeout).await);
        }
        let headers = response.headers().clone();
        Ok((headers, self.body(response, timeout).await?))
    }

    async fn body(&self, mut response: reqwest::Response, timeout: Duration) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failure(&error, timeout))? {
            if body.len() + chunk.len() > ANSWER_MAX {
                return Err(self.foreign(&format!("its answer has more than {ANSWER_MAX} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// What an answer that is no success says.
    async fn refused(&self, response: reqwest::Response, timeout: Duration) -> ClientError {
        let status = response.status();
        if status == StatusCode::UNAUTHORIZED {
            return ClientError::Unauthorized {
                gateway: self.gateway.clone(),
                given: self.token.is_some(),
            };
        }
        let kind = response.headers().get(header::CONTENT_TYPE);
        let is_problem = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/problem+json"));
        let body = match self.body(response, timeout).await {
            Ok(body) => body,
            Err(error) => return error,
        };
        match serde_json::from_slice(&body) {
            Ok(problem) if is_problem => ClientError::Problem(Box::new(problem)),
            _ => self.foreign(&format!("it answered {status}")),
        }
    }

    fn read<T: DeserializeOwned>(&self, body: &[u8]) -> Result<T, ClientError> {
        serde_json::from_slice(body).map_err(|error| self.foreign(&format!("its answer is not understood: {error}")))
    }

    fn foreign(&self, reason: &str) -> ClientError {
        ClientError::Foreign {
            gateway: self.gateway.clone(),
            reason: reason.to_owned(),
        }
    }

    fn failure(&self, error: &reqwest::Error, timeout: Duration) -> ClientError {
        let gateway = self.gateway.clone();
        let kind = io_kind(error);
        // A socket's file that is not there, or that no process listens on any more.
        let absent = matches!(
            kind,
            Some(std::io::ErrorKind::ConnectionRefused | std::io::ErrorKind::NotFound)
        );
        if error.is_connect() && absent {
            ClientError::NothingAnswers(gateway)
        } else if error.is_timeout() {
            let after = if error.is_connect() {
                CONNECT_TIMEOUT.min(timeout)
            } else {
                timeout
            };
            ClientError::Timeout { gateway, after }
        } else {
            let mut reason = root_cause(error);
            if sources(error).any(is_unknown_issuer) {
                reason.push_str(" (SSL_CERT_FILE names a PEM file of the authorities to trust)");
            }
            ClientError::Unreachable { gateway, reason }
        }
    }
}

fn sources(error: &reqwest::Error) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    std::iter::successors(error.source(), |error| (*error).source())
}

fn io_kind(error: &reqwest::Error) -> Option<std::io::ErrorKind> {
    sources(error)
        .filter_map(|error| error.downcast_ref::<std::io::Error>())
        .map(std::io::Error::kind)
        .last()
}

/// Whether a certificate is of an authority that is not trusted. An I/O error's source is not what it holds, but the source of that.
fn is_unknown_issuer(error: &(dyn StdError + 'static)) -> bool {
    if let Some(held) = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        return is_unknown_issuer(held);
    }
    matches!(
        error.downcast_ref(),
        Some(rustls::Error::InvalidCertificate(
            rustls::CertificateError::UnknownIssuer
        ))
    )
}

/// The innermost error: what the operating system, DNS or TLS said. The outer ones name the URL again.
fn root_cause(error: &reqwest::Error) -> String {
    sources(error)
        .last()
        .map_or_else(|| error.to_string(), ToString::to_string)
}
