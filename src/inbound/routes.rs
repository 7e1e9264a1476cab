//! What runs: which path belongs to which route. `prepare` does all that can fail; `commit` is one atomic swap.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use tokio::sync::mpsc;

use super::figures::{Counters, Figures};
use super::normalise::Source;
use super::platform::{self, FieldError, Platform, Sample, SampleOf};
use super::rate::Bucket;
use super::redact::Redaction;
use super::rejecting::{Rejecting, Window};
use super::tables::Tables;
use crate::clock::SharedClock;
use crate::document::Inbound;
use crate::document::settings::Rate;
use crate::event::Name;
use crate::store::Store;

/// Routes to be told of that wait to be taken; when nobody takes them, newer ones are dropped.
const REJECTIONS: usize = 64;

/// The public routes. One for the life of the gateway; what it serves is swapped under it.
pub struct Routes {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: SharedClock,
    /// The clock of signatures and replay windows alone: `OPENCLAW_TEST_NOW` may fix it.
    pub(super) verify_clock: SharedClock,
    pub(super) limits: ArcSwap<Limits>,
    pub(super) totals: Counters,
    /// Bytes of all bodies that are held right now.
    pub(super) held_bytes: AtomicU64,
    tables: ArcSwap<Tables>,
    /// Commits follow each other: a commit reads the tables that it replaces.
    committing: Mutex<()>,
    tests: Mutex<HashMap<String, ExpectedTest>>,
    pub(super) rejecting: mpsc::Sender<Rejecting>,
    /// Until it is taken.
    rejections: Mutex<Option<mpsc::Receiver<Rejecting>>>,
}

/// What holds for all routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The bound of a body where route and platform have none of their own.
    pub max_body_bytes: u64,
    /// Peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// How long a body may take to come.
    pub body_timeout: Duration,
    /// The most bytes of all bodies together, read and not yet stored; more is answered 503.
    pub max_held_bytes: u64,
}

impl Default for Limits {
    /// 1 MiB a body, no proxies, 30 seconds, 512 MiB of bodies together.
    fn default() -> Self {
        Self {
            max_body_bytes: 1024 * 1024,
            trusted_proxies: Vec::new(),
            body_timeout: Duration::from_secs(30),
            max_held_bytes: 512 * 1024 * 1024,
        }
    }
}

/// Why a route cannot be prepared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// This release does not know the platform.
    #[error(
        "webhooks.inbound.{name}.platform: this release cannot receive from `{platform}`; it knows {}",
        known_platforms()
    )]
    Platform {
        /// The route.
        name: Name,
        /// The platform.
        platform: &'static str,
    },
    /// The platform cannot work with a field.
    #[error("webhooks.inbound.{name}.{error}")]
    Field {
        /// The route.
        name: Name,
        /// Which field, and why.
        error: FieldError,
    },
}

fn known_platforms() -> String {
    let names: Vec<&str> = platform::PLATFORMS.iter().map(|(name, _)| *name).collect();
    names.join(", ")
}

/// A route that can be committed.
pub struct PreparedRoute {
    name: Name,
    path: Arc<str>,
    previous: Option<Name>,
    serving: Box<Serving>,
}

impl std::fmt::Debug for PreparedRoute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PreparedRoute({} at {})", self.name, self.path)
    }
}

impl PreparedRoute {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Its path, references filled in.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Takes over the counters of the route that `previousName` names.
    #[must_use]
    pub fn renamed_from(mut self, previous: Name) -> Self {
        self.previous = Some(previous);
        self
    }
}

/// One change of a commit.
#[derive(Debug)]
pub enum RouteChange {
    /// The route serves with these settings from now on.
    Put(PreparedRoute),
    /// The route could not be prepared: it answers 503 until it is put.
    Degraded {
        /// Its name.
        name: Name,
        /// Its path.
        path: String,
        /// Why, for the log; without secrets.
        reason: String,
    },
    /// The route is gone.
    Remove(Name),
}

impl RouteChange {
    /// The route that is put, where one is.
    #[must_use]
    pub fn put(&self) -> Option<&PreparedRoute> {
        match self {
            Self::Put(route) => Some(route),
            Self::Degraded { .. } | Self::Remove(_) => None,
        }
    }
}

/// A route: immutable but for its state. A request in flight holds the one that it met.
pub(super) struct Route {
    pub(super) name: Name,
    pub(super) path: Arc<str>,
    pub(super) mode: Mode,
    pub(super) state: Arc<State>,
}

pub(super) enum Mode {
    Serving(Box<Serving>),
    Degraded(String),
}

/// What outlives an update of the route.
#[derive(Default)]
pub(super) struct State {
    pub(super) counters: Counters,
    pub(super) bucket: Bucket,
    pub(super) window: Window,
}

/// The settings that a request meets.
pub(super) struct Serving {
    pub(super) platform: Box<dyn Platform>,
    pub(super) source: Source,
    pub(super) verifies: bool,
    pub(super) paused: bool,
    pub(super) max_body_bytes: Option<u64>,
    pub(super) rate_limit: Option<Rate>,
    pub(super) allow_from: Box<[IpNet]>,
    pub(super) dedupe_window: Duration,
    pub(super) redaction: Redaction,
    /// The scope of delivery keys: the route's name.
    pub(super) scope: Arc<str>,
}

struct ExpectedTest {
    route: Name,
    until_ms: i64,
}

impl Routes {
    /// No routes yet. `verify_clock` is asked for signatures and replay windows, `clock` for everything else.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: SharedClock, verify_clock: SharedClock) -> Arc<Self> {
        let (rejecting, rejections) = mpsc::channel(REJECTIONS);
        Arc::new(Self {
            rejecting,
            rejections: Mutex::new(Some(rejections)),
            store,
            clock,
            verify_clock,
            limits: ArcSwap::from_pointee(Limits::default()),
            totals: Counters::default(),
            held_bytes: AtomicU64::new(0),
            tables: ArcSwap::from_pointee(Tables::default()),
            committing: Mutex::new(()),
            tests: Mutex::new(HashMap::new()),
        })
    }

    /// All that can fail of a route: its platform is known, its keys can be read.
    pub fn prepare(&self, settings: Inbound) -> Result<PreparedRoute, RouteError> {
        let build = platform::find(settings.platform).ok_or_else(|| RouteError::Platform {
            name: settings.name.clone(),
            platform: settings.platform,
        })?;
        let platform = build(&settings).map_err(|error| RouteError::Field {
            name: settings.name.clone(),
            error,
        })?;
        Ok(Self::prepared(settings, platform))
    }

    pub(super) fn prepared(settings: Inbound, platform: Box<dyn Platform>) -> PreparedRoute {
        let redaction = Redaction::of(&settings, &*platform);
        PreparedRoute {
            path: settings.path.into(),
            previous: None,
            serving: Box::new(Serving {
                platform,
                source: Source {
                    channel: settings.channel.into(),
                    platform: settings.platform,
                },
                verifies: settings.verify_signature,
                paused: settings.paused,
                max_body_bytes: settings.max_body_bytes,
                rate_limit: settings.rate_limit,
                allow_from: settings.allow_from.into(),
                dedupe_window: settings.dedupe_window,
                redaction,
                scope: settings.name.as_str().into(),
            }),
            name: settings.name,
        }
    }

    /// Makes the changes, all at once. Requests in flight finish under the settings that they met; counters stay.
    ///
    /// Costs what changes, not what exists: the tables are in shards that are copied only where they are touched.
    pub fn commit(&self, changes: Vec<RouteChange>) {
        let _one_at_a_time = lock(&self.committing);
        let mut tables = Tables::clone(&self.tables.load());
        // Every old path goes before a new one comes: two routes may swap theirs.
        let mut states = HashMap::new();
        for change in &changes {
            let (name, previous) = match change {
                RouteChange::Put(route) => (&route.name, route.previous.as_ref()),
                RouteChange::Degraded { name, .. } | RouteChange::Remove(name) => (name, None),
            };
            for name in [Some(name), previous].into_iter().flatten() {
                if let Some(old) = tables.names.remove(name) {
                    tables.paths.remove(&*old.path);
                    states.insert(name.clone(), Arc::clone(&old.state));
                }
            }
        }
        for change in changes {
            let (name, previous, path, mode) = match change {
                RouteChange::Put(route) => (route.name, route.previous, route.path, Mode::Serving(route.serving)),
                RouteChange::Degraded { name, path, reason } => (name, None, path.into(), Mode::Degraded(reason)),
                RouteChange::Remove(_) => continue,
            };
            let state = states
                .get(&name)
                .or_else(|| states.get(previous.as_ref()?))
                .cloned()
                .unwrap_or_default();
            let route = Arc::new(Route {
                name: name.clone(),
                path: Arc::clone(&path),
                mode,
                state,
            });
            tables.names.insert(name, Arc::clone(&route));
            tables.paths.insert(path, route);
        }
        self.tables.store(Arc::new(tables));
    }

    /// Sets what holds for all routes. A request that is being read goes on under the old limits.
    pub fn set_limits(&self, limits: Limits) {
        self.limits.store(Arc::new(limits));
    }

    /// Which route answers a path: what a reconcile asserts after its commit.
    #[must_use]
    pub fn answers(&self, path: &str) -> Option<Name> {
        self.route_at(path).map(|route| route.name.clone())
    }

    /// Whether a route is reached at the path that it was put with.
    #[must_use]
    pub fn is_reached(&self, name: &Name) -> bool {
        self.route_named(name)
            .is_some_and(|route| self.answers(&route.path).as_ref() == Some(name))
    }

    /// What a route counted; `None`: there is no such route.
    #[must_use]
    pub fn figures(&self, name: &Name) -> Option<Figures> {
        self.route_named(name).map(|route| route.state.counters.look())
    }

    /// Routes that refuse most of what comes to them; to be taken once.
    #[must_use]
    pub fn rejections(&self) -> Option<mpsc::Receiver<Rejecting>> {
        lock(&self.rejections).take()
    }

    /// What all routes counted, those that are gone too, and requests for paths that no route has.
    #[must_use]
    pub fn totals(&self) -> Figures {
        self.totals.look()
    }

    /// A request as the route's platform would send it, rightly signed for now. `None`: there is no such route, it is
    /// degraded, or only the platform has the key that signs.
    #[must_use]
    pub fn sample(&self, name: &Name, text: &str) -> Option<Sample> {
        let route = self.route_named(name)?;
        let Mode::Serving(serving) = &route.mode else {
            return None;
        };
        let id = format!("test_{}", random_hex());
        serving.platform.sample(&SampleOf {
            id: &id,
            number: u64::try_from(self.clock.now().as_microsecond()).unwrap_or_default(),
            text,
            now: self.verify_clock.now(),
        })
    }

    /// A token that marks one request to the route as test traffic, when it comes in `X-OpenClaw-Test` within 60 seconds.
    /// Who does not have a token cannot hide traffic; any other value of the header means nothing.
    ///
    /// At most 1,024 are kept; the one that ends first makes room.
    #[must_use]
    pub fn expect_test(&self, name: &Name) -> String {
        const MOST: usize = 1024;
        const VALID_MS: i64 = 60_000;
        let now_ms = self.clock.now_ms();
        let token = random_hex();
        let mut tests = lock(&self.tests);
        tests.retain(|_, test| test.until_ms > now_ms);
        if tests.len() >= MOST
            && let Some(first) = tests.iter().min_by_key(|(_, test)| test.until_ms)
        {
            let first = first.0.clone();
            tests.remove(&first);
        }
        let test = ExpectedTest {
            route: name.clone(),
            until_ms: now_ms + VALID_MS,
        };
        tests.insert(token.clone(), test);
        token
    }

    /// Whether the token marks test traffic of this route. A token counts once.
    pub(super) fn take_test(&self, name: &Name, token: &str) -> bool {
        let mut tests = lock(&self.tests);
        let right = tests
            .get(token)
            .is_some_and(|test| test.route == *name && test.until_ms > self.clock.now_ms());
        right && tests.remove(token).is_some()
    }

    pub(super) fn route_at(&self, path: &str) -> Option<Arc<Route>> {
        self.tables.load().paths.get(path).cloned()
    }

    pub(super) fn route_named(&self, name: &Name) -> Option<Arc<Route>> {
        self.tables.load().names.get(name).cloned()
    }
}

/// 128 random bits in hex.
fn random_hex() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("the operating system has random numbers");
    hex::encode(bytes)
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
