//! What the running rooms get: one resource's effective values, references resolved, types checked once for all.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::event::{EventPattern, Name, Ordering};
use crate::expression::{Filter, Template};
use crate::secret::Secret;

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Listen {
    /// `127.0.0.1:8790`, `[::1]:8790`, `0.0.0.0:0`.
    Tcp(std::net::SocketAddr),
    /// `unix:./openclaw.sock`, resolved against the document's directory.
    Unix(PathBuf),
}

impl Listen {
    /// Whether only this machine can reach it.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

/// PEM texts of a listener: read when the settings were resolved.
#[derive(Debug, Clone)]
pub struct ServerTls {
    /// The certificate chain.
    pub cert: String,
    /// Its private key.
    pub key: Secret,
}

/// `webhooks.server`.
#[derive(Debug, Clone)]
pub struct Server {
    /// Where platforms post to.
    pub listen: Listen,
    /// TLS, where the gateway ends it itself.
    pub tls: Option<ServerTls>,
    /// The bound of a body; a route may have another.
    pub max_body_bytes: u64,
    /// The bound of open connections.
    pub max_connections: usize,
    /// Peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How long requests in flight may take after SIGTERM.
    pub shutdown_timeout: Duration,
}

/// `webhooks.admin`.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Where the API listens.
    pub listen: Listen,
    /// Any of these bearer tokens; empty: none is needed (loopback and unix sockets only).
    pub tokens: Vec<Secret>,
    /// TLS.
    pub tls: Option<ServerTls>,
    /// Host names beside the listen address and localhost.
    pub allowed_hosts: Vec<String>,
}

/// `webhooks.store`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSettings {
    /// The data directory, resolved against the document's directory.
    pub path: PathBuf,
    /// How long settled events and attempts are kept.
    pub retention: Duration,
    /// How long dead letters are kept.
    pub dead_retention: Duration,
    /// The most bytes on disk; 0: no bound.
    pub max_bytes: u64,
}

/// `webhooks.reconcile`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReconcileSettings {
    /// Whether a saved file waits for `openclaw apply`.
    pub manual: bool,
    /// How long a file must stand still.
    pub debounce: Duration,
    /// The largest share of resources, in percent, that an automatic reconcile may delete.
    pub max_delete_percent: u8,
}

/// `webhooks.egress`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Egress {
    /// Networks that may be reached although private, loopback or link-local.
    pub allow_networks: Vec<IpNet>,
    /// Hosts that may be reached whatever they resolve to; lower case.
    pub allow_hosts: Vec<String>,
    /// Attempts in flight, all senders together.
    pub max_in_flight: usize,
    /// Attempts in flight to one origin (scheme, host, port).
    pub max_per_origin: usize,
}

/// So many per so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many; at least 1.
    pub count: u32,
    /// In how long.
    pub per: Duration,
}

/// `webhooks.inbound.NAME`.
#[derive(Debug, Clone)]
pub struct Inbound {
    /// Its name.
    pub name: Name,
    /// `data.channel` of its events.
    pub channel: String,
    /// The platform's name as `platforms.rs` spells it (aliases resolved).
    pub platform: &'static str,
    /// The path of the route.
    pub path: String,
    /// The full public URL, where it is known.
    pub url: Option<String>,
    /// Whether the platform's signature is checked.
    pub verify_signature: bool,
    /// `secret`: any of these is accepted.
    pub secrets: Vec<Secret>,
    /// `publicKey`: any of these.
    pub public_keys: Vec<String>,
    /// `verifyToken`: any of these.
    pub verify_tokens: Vec<Secret>,
    /// `encryptKey`: any of these.
    pub encrypt_keys: Vec<Secret>,
    /// `corpId`.
    pub corp_id: Option<String>,
    /// `username`.
    pub username: Option<String>,
    /// `audience`.
    pub audience: Option<String>,
    /// `jwks`.
    pub jwks: Option<Jwks>,
    /// `signature`: the scheme of `generic`, and `token`'s header.
    pub signature: SignatureScheme,
    /// The replay window, where the document sets one.
    pub tolerance: Option<Duration>,
    /// The bound of a body, where the document sets one for this route.
    pub max_body_bytes: Option<u64>,
    /// How many requests are accepted.
    pub rate_limit: Option<Rate>,
    /// Which peers may post; empty: any.
    pub allow_from: Vec<IpNet>,
    /// How long a delivery key is remembered; zero: not at all.
    pub dedupe_window: Duration,
    /// Answers 503.
    pub paused: bool,
}

/// Where JSON Web Keys come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Jwks {
    /// The key set's JSON itself (inline, or a file's content).
    Inline(String),
    /// A URL to fetch it from.
    Url(String),
}

/// `signature` of an inbound webhook.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SignatureScheme {
    /// The header that carries the signature (generic) or the token (token).
    pub header: Option<String>,
    /// `sha1`, `sha256` or `sha512`.
    pub algorithm: HashAlgorithm,
    /// How the signature is written.
    pub encoding: Encoding,
    /// What stands before it.
    pub prefix: String,
    /// The header that carries the signed time.
    pub timestamp_header: Option<String>,
    /// What is signed: `{body}`, `{id}.{timestamp}.{body}`; `None`: the body.
    pub template: Option<String>,
    /// The header that carries the delivery's id.
    pub id_header: Option<String>,
    /// The header that carries the type.
    pub type_header: Option<String>,
    /// The body's member that carries the type; dots go inside.
    pub type_field: Option<String>,
}

/// The hash of a generic signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HashAlgorithm {
    /// SHA-1.
    Sha1,
    /// SHA-256.
    #[default]
    Sha256,
    /// SHA-512.
    Sha512,
}

/// How a generic signature is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoding {
    /// Hex, either case.
    #[default]
    Hex,
    /// Base64, standard alphabet with padding.
    Base64,
}

/// `webhooks.outbound.NAME`.
#[derive(Debug, Clone)]
pub struct Outbound {
    /// Its name.
    pub name: Name,
    /// The endpoint's URL.
    pub url: url::Url,
    /// What it subscribes to.
    pub events: Vec<EventPattern>,
    /// Only events of these inbound webhooks.
    pub from: Option<Vec<Name>>,
    /// `secret`: the first signs, all sign `webhook-signature`; empty: unsigned.
    pub secrets: Vec<Secret>,
    /// The delays between attempts: its length is the number of retries. At most 100.
    pub schedule: Schedule,
    /// The share by which a delay is varied: 0.2 = up to 20 % either way.
    pub jitter: f64,
    /// The longest delay, and the longest `Retry-After` that is honoured.
    pub max_retry_delay: Duration,
    /// The oldest delivery that is still tried.
    pub max_age: Duration,
    /// The bound of a whole attempt: DNS, connect, TLS, request, response.
    pub timeout: Duration,
    /// Statuses that are retried beside 408, 425 and 429.
    pub retry_status_codes: Vec<RangeInclusive<u16>>,
    /// Makes no attempts; keeps the backlog.
    pub paused: bool,
    /// Headers to add.
    pub headers: Vec<(String, Secret)>,
    /// The shape of the request.
    pub format: Format,
    /// Which events are delivered; `None`: all.
    pub filter: Option<Filter>,
    /// The whole body, where the document makes it.
    pub body: Option<Template>,
    /// The text of a chat, where it is not the default.
    pub text: Option<Template>,
    /// `chatId` of Telegram.
    pub chat_id: Option<String>,
    /// `agentHook`.
    pub agent_hook: Option<Box<AgentHook>>,
    /// A header that a 2xx must carry: name and, where given, value.
    pub require_header: Option<(String, Option<String>)>,
    /// Attempts in flight to this endpoint.
    pub concurrency: usize,
    /// How many attempts may begin.
    pub rate_limit: Option<Rate>,
    /// Which delivery may overtake which.
    pub ordering: Ordering,
    /// The `authorization` header.
    pub auth: Option<Auth>,
    /// The endpoint's CA and our certificate.
    pub tls: ClientTls,
    /// When to stop trying for a while; `None`: never.
    pub breaker: Option<Breaker>,
    /// What becomes of the backlog when it is deleted.
    pub on_delete: OnDelete,
    /// How long a deleted sender may go on delivering.
    pub drain_timeout: Duration,
}

/// The delays between attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    /// One delay for each retry.
    List(Vec<Duration>),
    /// `retries` of them from `delay` on.
    Law {
        /// How many.
        retries: u32,
        /// The first.
        delay: Duration,
        /// Whether each is twice the one before.
        exponential: bool,
    },
}

impl Schedule {
    /// How many retries follow the first attempt.
    #[must_use]
    pub fn retries(&self) -> u32 {
        match self {
            Self::List(delays) => u32::try_from(delays.len()).unwrap_or(u32::MAX),
            Self::Law { retries, .. } => *retries,
        }
    }
}

/// The shape of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// `{event, timestamp, data, signature}`.
    #[default]
    Openclaw,
    /// `{type, timestamp, data}`, signed by the Standard Webhooks headers alone.
    Standard,
    /// `data` itself.
    Raw,
    /// One text to a chat.
    Chat(Chat),
    /// Starts an assistant's agent.
    AgentHook,
    /// The request itself, as the platform sent it.
    Forward,
}

impl Format {
    /// Reads the word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "openclaw" => Some(Self::Openclaw),
            "standard" => Some(Self::Standard),
            "raw" => Some(Self::Raw),
            "agent-hook" => Some(Self::AgentHook),
            "forward" => Some(Self::Forward),
            chat => Chat::parse(chat).map(Self::Chat),
        }
    }
}

/// A chat that takes webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chat {
    /// Slack, and what speaks its language: Mattermost, Google Chat, Rocket.Chat.
    Slack,
    /// Discord.
    Discord,
    /// Telegram's `sendMessage`.
    Telegram,
    /// Feishu and Lark.
    Feishu,
    /// DingTalk.
    Dingtalk,
    /// WeCom.
    Wecom,
    /// Microsoft Teams.
    Teams,
}

impl Chat {
    /// Reads the format's word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "slack" => Self::Slack,
            "discord" => Self::Discord,
            "telegram" => Self::Telegram,
            "feishu" => Self::Feishu,
            "dingtalk" => Self::Dingtalk,
            "wecom" => Self::Wecom,
            "teams" => Self::Teams,
            _ => return None,
        })
    }

    /// Whether a format's word means a chat: then the whole URL is a secret.
    #[must_use]
    pub fn is_name(word: &str) -> bool {
        Self::parse(word).is_some()
    }
}

/// A chat of Telegram and, where there is one, the topic in it: `-100123`, `@channel`, `-100123:topic:7`.
#[must_use]
pub fn parse_chat_id(text: &str) -> Option<(&str, Option<i64>)> {
    let (chat, topic) = match text.split_once(":topic:") {
        Some((chat, topic)) => (chat, Some(topic.parse().ok().filter(|topic: &i64| *topic > 0)?)),
        None => (text, None),
    };
    let number = chat.strip_prefix('-').unwrap_or(chat);
    let is_id = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let is_name = chat
        .strip_prefix('@')
        .is_some_and(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
    (is_id || is_name).then_some((chat, topic))
}

/// `agentHook`: how an assistant's agent is started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AgentHook {
    /// Which agent.
    pub agent_id: Option<String>,
    /// Whether the run belongs to the conversation's session; else it has one of its own.
    pub conversation: bool,
    /// Whether the answer goes to a channel.
    pub reply: bool,
    /// Which channel, where it is not the event's platform.
    pub channel: Option<String>,
    /// To whom, where it is not the event's chat.
    pub to: Option<String>,
    /// The channel's account.
    pub account_id: Option<String>,
    /// The run's model.
    pub model: Option<String>,
    /// How much it thinks.
    pub thinking: Option<String>,
    /// The run's bound in seconds.
    pub timeout_seconds: Option<u32>,
    /// Whether the answer is waited for.
    pub wait: bool,
    /// The message, where it is not the default.
    pub message: Option<Template>,
}

/// `auth` of a sender.
#[derive(Debug, Clone)]
pub enum Auth {
    /// `authorization: Bearer ...`.
    Bearer(Secret),
    /// `authorization: Basic ...`.
    Basic {
        /// The user's name.
        username: String,
        /// The password.
        password: Secret,
    },
}

/// `tls` of a sender: PEM texts, read when the settings were resolved.
#[derive(Debug, Clone, Default)]
pub struct ClientTls {
    /// Certificates to trust beside the system's.
    pub ca: Option<String>,
    /// Our certificate chain and its key.
    pub identity: Option<(String, Secret)>,
}

/// `circuitBreaker`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// Opens after so many failed attempts in a row.
    pub failures: u32,
    /// And lets one probe through after each of these.
    pub cooldown: Duration,
}

/// What becomes of a deleted sender's backlog.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDelete {
    /// It is delivered within `drainTimeout`; the rest becomes dead letters.
    #[default]
    Drain,
    /// It becomes dead letters at once.
    Discard,
}
