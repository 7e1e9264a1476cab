//! The only place that knows every room: builds them, starts them, stops them in order.

mod own_events;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::admin;
use crate::clock::{ManualClock, SharedClock, SystemClock, from_ms};
use crate::document::settings::StoreSettings;
use crate::document::{self, Address, Desired, Lookup as _, Source};
use crate::environment::Environment;
use crate::event::{EventId, Name};
use crate::inbound::Routes;
use crate::outbound::{Dispatcher, SenderState};
use crate::reconcile::{self, AdminHandler, Broken, Core, Reconciler, Start, StartError};
use crate::store::{self, Retention, Store, StoreError};

use own_events::{OwnEvents, Sources, publish};

/// The variable that fixes the clock of signature and replay-window checks, and only that. For tests.
pub const TEST_NOW: &str = "OPENCLAW_TEST_NOW";

/// Where a store lies when the document does not load and so cannot say it.
const DEFAULT_STORE: &str = ".openclaw-webhooks";

/// How often settled events are looked through for what is older than the retention; with other settings at once.
const RETENTION_EVERY: Duration = Duration::from_mins(1);
/// How often it is looked whether there is a new generation.
const GENERATION_EVERY: Duration = Duration::from_secs(1);

/// How long what was cut at the end of `shutdownTimeout` may take to end, the store included.
const CUT: Duration = Duration::from_secs(5);

/// What `openclaw run` is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// The document.
    pub path: PathBuf,
    /// How it is written.
    pub format: document::Format,
}

/// Why the gateway ended with an error.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// It did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Runs the gateway until SIGTERM or SIGINT. `say` prints one line for a person.
pub async fn run(options: Options, mut say: impl FnMut(&str)) -> Result<(), GatewayError> {
    let mut signals = Signals::catch()?;
    let clock: SharedClock = Arc::new(SystemClock);
    let (file, sketch) = read(&options);
    let settings = store_settings(
        &options,
        file.as_ref().ok().map(|(_, desired)| &**desired).or(sketch.as_ref()),
    );
    let store: Arc<dyn Store> = store::sqlite::open(&settings.path, settings.max_bytes, &owner(&options))?;
    let routes = Routes::new(store.clone(), clock.clone(), verify_clock(&clock));
    let dispatcher = Dispatcher::new(store.clone(), clock.clone(), seed());
    store.set_wake(dispatcher.clone());
    dispatcher.set_proofs(routes.clone());

    let (notices, documents) = mpsc::channel(own_events::DOCUMENTS);
    let sources = Sources {
        senders: dispatcher.notices().expect("nobody else takes them"),
        routes: routes.rejections().expect("nobody else takes them"),
        documents,
    };

    let start = Start {
        path: options.path.clone(),
        format: options.format,
        file,
        store: store.clone(),
        routes: routes.clone(),
        dispatcher: dispatcher.clone(),
        clock: clock.clone(),
        git_commit: None,
        notices,
    };
    let rooms = (store.clone(), routes.clone(), dispatcher.clone(), clock.clone());
    let (core, reconciler) = Core::start(start, |reconciler| -> Arc<dyn AdminHandler> {
        let (store, routes, dispatcher, clock) = rooms;
        admin::server::Server::new(reconciler, store, routes, dispatcher, clock)
    })
    .await?;
    say_start(&reconciler, &mut say);
    let stop = CancellationToken::new();
    let reconciling = tokio::spawn(core.run(stop.clone()));
    let retaining = tokio::spawn(retain(store.clone(), reconciler.clone(), clock.clone(), stop.clone()));
    // Before the first of the gateway's own events: a reader sees the start first.
    publish(&*store, &clock, "system.started").await;
    let told = CancellationToken::new();
    let telling =
        tokio::spawn(OwnEvents::new(store.clone(), clock.clone()).run(sources, reconciler.clone(), told.clone()));

    signals.stop(&reconciler).await;
    info!("stopping");
    let end = Instant::now() + shutdown_timeout(&reconciler);
    stop.cancel();
    let ended = async {
        // A reconcile that takes longer goes down with the process: all of it is durable, or nothing.
        if let Ok(Ok(stopped)) = timeout_at(end, reconciling).await {
            stopped.drain(end).await;
        }
        if let Some(stopped) = publish(&*store, &clock, "system.stopped").await {
            // Whoever does not hear of it now does after the next start.
            let _ = timeout_at(end, tried(&stopped, &*store, &dispatcher)).await;
        }
        dispatcher.shutdown(end.saturating_duration_since(Instant::now())).await;
        // What the last attempts told is stored, and delivered after the next start.
        told.cancel();
        let _ = telling.await;
        let _ = retaining.await;
        store.close().await;
    };
    // What was accepted is durable already, however it ends.
    tokio::select! {
        () = ended => {}
        () = sleep_until(end + CUT) => warn!("not everything ended within shutdownTimeout and {} s", CUT.as_secs()),
        () = signals.end() => {}
    }
    Ok(())
}

/// A document's bytes and what they mean, or why it cannot be used.
type File = Result<(Vec<u8>, Arc<Desired>), Broken>;

/// The document; of a broken one also what could be read of it.
fn read(options: &Options) -> (File, Option<Desired>) {
    let bytes = match std::fs::read(&options.path) {
        Ok(bytes) => bytes,
        Err(e) => {
            return (
                Err(Broken::Unreadable(format!("{}: {e}", options.path.display()))),
                None,
            );
        }
    };
    let shown = options.path.display().to_string();
    let loaded = document::load(&Source {
        path: &shown,
        format: options.format,
        text: &bytes,
    });
    if let Some(desired) = loaded.desired {
        reconcile::warn_of(&loaded.diagnostics);
        return (Ok((bytes, Arc::new(desired))), None);
    }
    let broken = Broken::Invalid {
        sha256: reconcile::sha256(&bytes),
        found: loaded.diagnostics,
    };
    (Err(broken), loaded.sketch)
}

/// Where the store is; where the document cannot say it, where it is by default.
fn store_settings(options: &Options, desired: Option<&Desired>) -> StoreSettings {
    let environment = Environment::beside(&options.path);
    let resolved = desired
        .and_then(|desired| desired.resources.get(&Address::Store))
        .and_then(|resource| document::resolve_store(resource, &environment).ok());
    resolved.unwrap_or_else(|| StoreSettings {
        path: environment.directory().join(DEFAULT_STORE),
        retention: Duration::from_hours(7 * 24),
        dead_retention: Duration::from_hours(30 * 24),
        max_bytes: 0,
    })
}

fn owner(options: &Options) -> String {
    format!("process {} with {}", std::process::id(), options.path.display())
}

/// The clock of signature checks: the machine's, or the one that a test fixed.
fn verify_clock(clock: &SharedClock) -> SharedClock {
    let fixed = std::env::var(TEST_NOW)
        .ok()
        .and_then(|text| text.trim().parse::<i64>().ok());
    match fixed {
        Some(seconds) => {
            warn!("{TEST_NOW} IS SET: REPLAY PROTECTION IS OFF, signatures of {seconds} are accepted for ever");
            Arc::new(ManualClock::at(from_ms(seconds.saturating_mul(1000))))
        }
        None => clock.clone(),
    }
}

/// Jitter need not be unpredictable, only different from one gateway to the next.
fn seed() -> u64 {
    uuid::Uuid::now_v7().as_u64_pair().1
}

fn say_start(reconciler: &Reconciler, say: &mut impl FnMut(&str)) {
    let view = reconciler.view();
    let (inbound, outbound) = view.desired.counts();
    say(&format!("Inbound webhooks on {}", view.public));
    say(&format!("Admin API on {}", view.admin));
    say(&format!(
        "Loaded {}: generation {}, {} inbound, {} outbound",
        view.path.display(),
        view.generation.number,
        inbound,
        outbound
    ));
    for problem in view.degraded.values() {
        say(&format!("Degraded {problem}"));
    }
}

/// The signals that the gateway obeys. They are caught from before it says that it is there: an early SIGHUP must not end it.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    /// Caught and not obeyed: a file at its limit (`ulimit -f`) is a full disk, not the end of the process.
    _file_size: Signal,
}

/// SIGXFSZ, on Linux and macOS.
const FILE_SIZE: i32 = 25;

impl Signals {
    fn catch() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            _file_size: signal(SignalKind::from_raw(FILE_SIZE))?,
        })
    }

    /// Waits for SIGTERM or SIGINT; at each SIGHUP the document is read again.
    async fn stop(&mut self, reconciler: &Reconciler) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {}
            }
            tokio::select! {
                () = self.end() => return,
                reloaded = reconciler.reload() => {
                    if let Err(rejected) = reloaded {
                        warn!("SIGHUP changed nothing: {}", rejected.to_string().replace('\n', "; "));
                    }
                }
            }
        }
    }

    /// Waits for SIGTERM or SIGINT.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits until every sender that can has tried to deliver an event: one that is paused, suspended or parked cannot.
async fn tried(id: &EventId, store: &dyn Store, dispatcher: &Dispatcher) {
    let waits = |delivery: &store::StoryDelivery| {
        let status = Name::parse(&delivery.sender)
            .ok()
            .and_then(|name| dispatcher.status(&name));
        let can = status.is_some_and(|s| s.state == SenderState::Active && s.parked_until_ms.is_none());
        can && delivery.state == "owed" && delivery.attempts == 0
    };
    let mut ticks = interval(Duration::from_millis(10));
    loop {
        ticks.tick().await;
        match store.story(id.as_str()).await {
            Ok(Some(told)) if told.deliveries.iter().any(waits) => {}
            _ => return,
        }
    }
}

async fn retain(store: Arc<dyn Store>, reconciler: Reconciler, clock: SharedClock, stop: CancellationToken) {
    let mut ticks = interval(GENERATION_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = 0;
    let mut settings: Option<StoreSettings> = None;
    let mut due = Instant::now();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let view = reconciler.view();
        if view.generation.number != seen || settings.is_none() {
            seen = view.generation.number;
            let environment = Environment::beside(&view.path);
            let resource = view.desired.resources.get(&Address::Store);
            let now = resource.and_then(|resource| document::resolve_store(resource, &environment).ok());
            if now != settings {
                due = Instant::now();
                settings = now;
            }
        }
        let Some(settings) = settings.as_ref().filter(|_| due <= Instant::now()) else {
            continue;
        };
        due = Instant::now() + RETENTION_EVERY;
        let ms = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
        let retention = Retention {
            settled_ms: ms(settings.retention),
            dead_ms: ms(settings.dead_retention),
            max_bytes: settings.max_bytes,
        };
        let retained = tokio::select! {
            // It goes on after the next start: each of its slices is a transaction.
            () = stop.cancelled() => return,
            retained = store.retain(retention, clock.now_ms()) => retained,
        };
        match retained {
            Ok(removed) if removed.events > 0 => info!(events = removed.events, dead = removed.dead, "retention"),
            Ok(_) => {}
            Err(e) => warn!("retention: {e}"),
        }
    }
}

fn shutdown_timeout(reconciler: &Reconciler) -> Duration {
    let view = reconciler.view();
    let value = view
        .desired
        .resources
        .get(&Address::Server)
        .and_then(|server| server.effective("shutdownTimeout"));
    match value {
        Some(document::Value::Duration(ms)) => Duration::from_millis(ms),
        _ => Duration::from_secs(20),
    }
}
