//! JSON Web Key Sets (RFC 7517): where the keys of tokens come from.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::BoxFuture;
use tracing::{info, warn};
use url::Url;

use super::json::Json;
use super::request::Refusal;

/// The most bytes of a fetched key set.
const MAX_BYTES: usize = 1024 * 1024;

/// A fetch as a whole; shorter than what a request waits for it, so that the request sees how it ended.
const TIMEOUT: Duration = Duration::from_secs(4);

/// A set of this age is fetched again.
const REFRESH: Duration = Duration::from_hours(24);

/// Where a set is held, at most one fetch in so long: anyone can name an unknown key.
const AGAIN: Duration = Duration::from_mins(1);

/// Where none is held, at most one fetch in so long.
const FIRST: Duration = Duration::from_secs(1);

/// A public RSA key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key {
    kid: Box<str>,
    /// The modulus, big-endian.
    pub(super) n: Vec<u8>,
    /// The exponent, big-endian.
    pub(super) e: Vec<u8>,
    /// The channels that the key may speak for, where it says so (Bot Framework).
    pub(super) endorsements: Option<Vec<String>>,
}

/// The RSA signing keys of a set; others are left out.
#[derive(Debug)]
struct KeySet(Vec<Arc<Key>>);

impl KeySet {
    fn parse(text: &[u8]) -> Result<Self, String> {
        let set = Json::parse(text).map_err(|error| error.to_string())?;
        let Some(Json::List(keys)) = set.get("keys") else {
            return Err("it is no key set: the list `keys` is missing".to_owned());
        };
        let keys: Vec<_> = keys.iter().filter_map(key).map(Arc::new).collect();
        if keys.is_empty() {
            return Err("it has no RSA key with `kid`, `n` and `e`".to_owned());
        }
        Ok(Self(keys))
    }

    fn find(&self, kid: &str) -> Option<Arc<Key>> {
        self.0.iter().find(|key| *key.kid == *kid).cloned()
    }
}

fn key(key: &Json<'_>) -> Option<Key> {
    let text = |name| key.get(name).and_then(Json::as_text);
    let number = |name| {
        URL_SAFE_NO_PAD
            .decode(text(name)?)
            .ok()
            .filter(|bytes| !bytes.is_empty())
    };
    let other_use = text("use").is_some_and(|uses| uses != "sig") || text("alg").is_some_and(|alg| alg != "RS256");
    if text("kty") != Some("RSA") || other_use {
        return None;
    }
    let endorsements = match key.get("endorsements") {
        None => None,
        Some(Json::List(names)) => Some(names.iter().filter_map(Json::as_text).map(str::to_owned).collect()),
        Some(_) => Some(Vec::new()), // nothing that we could read: endorsed for nothing
    };
    Some(Key {
        kid: text("kid")?.into(),
        n: number("n")?,
        e: number("e")?,
        endorsements,
    })
}

/// A route's key set: given, or fetched when it is first needed.
pub(super) struct Keys(Origin);

enum Origin {
    Inline(KeySet),
    Fetched(Box<Fetched>),
}

struct Fetched {
    url: Url,
    client: reqwest::Client,
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
    held: Mutex<Held>,
    /// Held while a fetch is under way: there is one at a time.
    fetching: tokio::sync::Mutex<()>,
}

/// What the last fetches brought.
#[derive(Default)]
struct Held {
    /// The set, and when it came.
    set: Option<(Arc<KeySet>, Instant)>,
    /// When a fetch last began or ended.
    tried: Option<Instant>,
}

impl Keys {
    /// The set itself, as JSON.
    ///
    /// # Errors
    /// Says why it is none.
    pub(super) fn inline(text: &str) -> Result<Self, String> {
        KeySet::parse(text.as_bytes()).map(|set| Self(Origin::Inline(set)))
    }

    /// The set at a URL.
    ///
    /// # Errors
    /// Says what is wrong with the URL.
    pub(super) fn at(url: &str) -> Result<Self, String> {
        Self::at_by(url, Box::new(Instant::now))
    }

    fn at_by(url: &str, clock: Box<dyn Fn() -> Instant + Send + Sync>) -> Result<Self, String> {
        let url = Url::parse(url).map_err(|error| format!("its url is none: {error}"))?;
        if !matches!(url.scheme(), "https" | "http") {
            return Err("its url must begin with https:// or http://".to_owned());
        }
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .pool_max_idle_per_host(0) // one request a day
            .build()
            .map_err(|error| format!("no client for it can be made: {error}"))?;
        Ok(Self(Origin::Fetched(Box::new(Fetched {
            url,
            client,
            clock,
            held: Mutex::default(),
            fetching: tokio::sync::Mutex::new(()),
        }))))
    }

    /// The key of this id; `None`: the set has none. A refusal for lack of keys asks for [`Keys::learn`] first.
    pub(super) fn find(&self, kid: &str) -> Result<Option<Arc<Key>>, Refusal> {
        match &self.0 {
            Origin::Inline(set) => Ok(set.find(kid)),
            Origin::Fetched(fetched) => fetched.find(kid),
        }
    }

    /// Fetches the set, if it is time to.
    pub(super) fn learn(&self) -> Option<BoxFuture<'_, ()>> {
        match &self.0 {
            Origin::Inline(_) => None,
            Origin::Fetched(fetched) => Some(Box::pin(fetched.learn())),
        }
    }
}

impl Fetched {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a fetch may begin now.
    fn may_try(&self, held: &Held) -> bool {
        let rest = if held.set.is_some() { AGAIN } else { FIRST };
        held.tried
            .is_none_or(|tried| (self.clock)().saturating_duration_since(tried) >= rest)
    }

    fn find(&self, kid: &str) -> Result<Option<Arc<Key>>, Refusal> {
        let held = self.held();
        let Some((set, since)) = &held.set else {
            return Err(Refusal::keys("no key set could be had yet"));
        };
        match set.find(kid) {
            Some(_) if self.may_try(&held) && (self.clock)().saturating_duration_since(*since) >= REFRESH => {
                Err(Refusal::keys("the key set is a day old"))
            }
            // While another request fetches, the key may be about to come.
            None if self.may_try(&held) || self.fetching.try_lock().is_err() => {
                Err(Refusal::keys("the key set has no key of this kid yet"))
            }
            found => Ok(found),
        }
    }

    async fn learn(&self) {
        let _one_at_a_time = self.fetching.lock().await;
        {
            let mut held = self.held();
            if !self.may_try(&held) {
                return;
            }
            held.tried = Some((self.clock)());
        }
        let fetched = self.fetch().await;
        let now = (self.clock)();
        let mut held = self.held();
        held.tried = Some(now);
        let host = self.url.host_str().unwrap_or_default();
        match fetched {
            Ok(set) => {
                info!(host, keys = set.0.len(), "fetched a key set");
                held.set = Some((Arc::new(set), now));
            }
            Err(why) => warn!(host, why, "a key set could not be fetched"),
        }
    }

    async fn fetch(&self) -> Result<KeySet, String> {
        let said = |error: reqwest::Error| error.without_url().to_string();
        let mut response = self.client.get(self.url.clone()).send().await.map_err(said)?;
        if response.status() != http::StatusCode::OK {
            return Err(format!("the answer is {}", response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(said)? {
            if body.len() + chunk.len() > MAX_BYTES {
                return Err(format!("it is larger than {MAX_BYTES} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        KeySet::parse(&body)
    }
}

#[cfg(test)]
mod tests;
