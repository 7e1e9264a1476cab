//! The start: which document runs, and what is degraded by itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, block_in_place};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::clock::{SharedClock, Timestamp};
use crate::document::{Address, Desired, Diagnostic};
use crate::environment::Environment;
use crate::event::Name;
use crate::inbound::Routes;
use crate::outbound::Dispatcher;
use crate::plan::{self, Fingerprints, Observed};
use crate::store::{self, Cause, Commit, Committed, Generation, NewGeneration, SenderKey, SenderRow, Store};

use super::commit::{AdminHandler, Running};
use super::condition::{Conditions, reasons, types};
use super::core::{Core, debounce, is_manual, load, max_delete, sender_changes};
use super::prepare::{self, Prepared};
use super::say::errors;
use super::settle::Settle;
use super::view::View;
use super::watched::WatchedFiles;
use super::{COMMANDS, DocumentFormat, Notice, Problem, Reconciler, fingerprint};

/// What the gateway brings to a start.
pub struct Start {
    /// The document's path.
    pub path: PathBuf,
    /// How it is written.
    pub format: DocumentFormat,
    /// The file as it was read: its bytes and what they mean, or why it cannot be used.
    pub file: Result<(Vec<u8>, Arc<Desired>), Broken>,
    /// The store.
    pub store: Arc<dyn Store>,
    /// The inbound room.
    pub routes: Arc<Routes>,
    /// The outbound room.
    pub dispatcher: Arc<Dispatcher>,
    /// The time.
    pub clock: SharedClock,
    /// The commit of a git work tree that the document lies in, where the caller knows it.
    pub git_commit: Option<String>,
    /// Takes what is to be told of reconciles; where it is full, newer notices are dropped.
    pub notices: mpsc::Sender<Notice>,
}

/// Why the document's file cannot be used.
#[derive(Debug, Clone)]
pub enum Broken {
    /// It cannot be read.
    Unreadable(String),
    /// It has errors.
    Invalid {
        /// SHA-256 of its bytes in hex: the same bytes are no news to the watcher.
        sha256: String,
        /// What is wrong.
        found: Vec<Diagnostic>,
    },
}

/// Why the gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The document is broken, and nothing was ever applied.
    #[error("the document cannot be used, and no earlier one was ever applied")]
    Broken(Broken),
    /// An address cannot be bound, or a setting of the gateway itself cannot be prepared.
    #[error("{}", super::problems(.0))]
    Prepare(Vec<Problem>),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// The last applied document does not load in this release.
    #[error("the last applied document (generation {0}) has errors in this release")]
    LastGood(u64, Vec<Diagnostic>),
}

/// What a start decided to run.
struct Choice {
    bytes: Vec<u8>,
    desired: Arc<Desired>,
    /// The document is another one than the last generation's: a generation is made.
    new: bool,
    /// Senders whose entry changed while nothing ran: their suspension is over.
    changed: BTreeSet<Name>,
    /// `added, changed, replaced, deleted` against the last generation. The plan itself is let go: of a first start it is as
    /// large as the document.
    summary: [u32; 4],
    /// Why the file's document is not what runs: a reason and a message.
    instead: Option<(&'static str, String)>,
    /// The file's document waits for `openclaw apply`.
    waits: bool,
    held: Option<plan::Held>,
}

impl Choice {
    /// A document that runs as the last generation.
    fn of(bytes: Vec<u8>, desired: Arc<Desired>) -> Self {
        Self {
            bytes,
            desired,
            new: false,
            changed: BTreeSet::new(),
            summary: [0; 4],
            instead: None,
            waits: false,
            held: None,
        }
    }

    fn instead_of(self, reason: &'static str, message: String) -> Self {
        Self {
            instead: Some((reason, message)),
            ..self
        }
    }

    /// The conditions of what runs as this generation.
    fn conditions(&self, now: Timestamp, generation: u64) -> Conditions {
        let mut conditions = Conditions::default();
        let mut set =
            |kind, holds, reason, message: &str| conditions.set(kind, holds, reason, message, now, generation);
        match &self.instead {
            None => set(types::APPLIED, true, reasons::OK, ""),
            Some((reason, message)) => set(types::APPLIED, false, *reason, message),
        }
        set(types::READY, true, reasons::OK, "");
        set(types::STORE_PRESSURE, false, reasons::OK, "");
        conditions
    }
}

impl Core {
    /// Starts what the document says: chooses it, prepares it, makes it durable, serves it.
    pub async fn start(
        start: Start,
        admin: impl FnOnce(Reconciler) -> Arc<dyn AdminHandler>,
    ) -> Result<(Self, Reconciler), StartError> {
        let now = start.clock.now();
        let last = start.store.last_generation().await?;
        let seen = match &start.file {
            Ok((bytes, _)) => fingerprint::sha256(bytes),
            Err(Broken::Invalid { sha256, .. }) => sha256.clone(),
            Err(Broken::Unreadable(_)) => String::new(),
        };
        let choice = choose(&start, last.as_ref())?;
        let last = last.map(|(generation, _)| generation);
        let (prepared, fingerprints) = block_in_place(|| prepare_all(&start, &choice, last.as_ref()))?;
        let mut standing = start.store.senders().await?;
        let committed = commit(&start, &choice, &prepared, &fingerprints, last.as_ref(), &standing).await?;
        let keys: HashMap<Name, SenderKey> = committed.keys.into_iter().collect();
        let generation = committed.generation.or(last);
        let mut generation = generation.expect("the first start makes a generation");
        generation.fingerprints.clear();
        for key in choice.changed.iter().filter_map(|name| keys.get(name)) {
            let row = standing.iter_mut().find(|row| row.key == *key);
            if row.and_then(|row| row.suspended.take()).is_some() {
                start.store.set_suspended(*key, None).await?;
            }
        }

        let conditions = choice.conditions(now, generation.number);
        let degraded = prepared.degraded.clone();
        for problem in degraded.values() {
            warn!(address = %problem.address, reason = problem.reason, "degraded: {}", problem.message);
        }
        if let Some(notice) = start_notice(&choice, &generation, &seen) {
            // The channel is new: there is room.
            let _ = start.notices.try_send(notice);
        }
        let view = View {
            path: start.path.clone(),
            format: start.format,
            document: choice.bytes.into(),
            desired: choice.desired.clone(),
            fingerprints: Arc::new(fingerprints),
            manual: is_manual(&choice.desired),
            conditions,
            degraded: Arc::new(degraded),
            keys: Arc::new(keys.clone()),
            held: choice.held.map(Arc::new),
            waiting: choice.waits.then(|| seen.clone()),
            public: String::new(),
            admin: String::new(),
            started: now,
            generation,
        };
        let view = Arc::new(ArcSwap::from_pointee(view));
        let (sender, commands) = mpsc::channel(COMMANDS);
        let reconciler = Reconciler {
            commands: sender,
            view: view.clone(),
        };
        let mut running = Running {
            routes: start.routes,
            dispatcher: start.dispatcher,
            admin_handler: admin(reconciler.clone()),
            public: None,
            admin: None,
            retiring: JoinSet::new(),
            stopping: CancellationToken::new(),
        };
        let standing: HashMap<SenderKey, (Option<String>, bool)> = standing
            .into_iter()
            .map(|row| (row.key, (row.suspended, row.owed > 0)))
            .collect();
        running.commit(prepared, &keys, &|key| standing.get(&key).cloned().unwrap_or_default());
        let mut core = Self {
            watched: WatchedFiles::of(&start.path, &choice.desired),
            settle: Settle::new(start.path.clone(), debounce(&choice.desired)),
            path: start.path,
            format: start.format,
            store: start.store,
            clock: start.clock,
            running,
            view,
            commands,
            seen,
            notices: start.notices,
        };
        core.publish(|_| {});
        Ok((core, reconciler))
    }
}

/// Prepares every resource; a webhook that cannot be is degraded by itself.
fn prepare_all(
    start: &Start,
    choice: &Choice,
    last: Option<&Generation>,
) -> Result<(Prepared, Fingerprints), StartError> {
    let environment = Environment::beside(&start.path).with_providers(&choice.desired.providers);
    let before = last
        .map(|generation| generation.fingerprints.clone())
        .unwrap_or_default();
    let fingerprints = fingerprint::all(&choice.desired, &environment, &start.store.fingerprint_key(), &before);
    let addresses = choice.desired.resources.keys();
    let webhooks = addresses
        .clone()
        .filter(|address| matches!(address, Address::Inbound(_) | Address::Outbound(_)));
    let request = prepare::Request {
        desired: &choice.desired,
        put: addresses.cloned().collect(),
        remove: Vec::new(),
        lookup: &environment,
        lenient: webhooks.cloned().collect(),
        public: None,
        admin: None,
    };
    let prepared = prepare::prepare(&request, &start.routes, &start.dispatcher).map_err(StartError::Prepare)?;
    Ok((prepared, fingerprints))
}

/// Makes the generation and its senders durable, and ends those that have no entry any more.
async fn commit(
    start: &Start,
    choice: &Choice,
    prepared: &Prepared,
    fingerprints: &Fingerprints,
    last: Option<&Generation>,
    known: &[SenderRow],
) -> Result<Committed, StartError> {
    let generation = choice.new.then(|| NewGeneration {
        base: last.map_or(0, |generation| generation.number),
        document: choice.bytes.clone(),
        format: start.format.extension().to_owned(),
        sha256: fingerprint::sha256(&choice.bytes),
        cause: Cause::Start,
        who: None,
        git_commit: start.git_commit.clone(),
        summary: choice.summary,
        fingerprints: fingerprints.clone(),
    });
    let mut senders = sender_changes(&prepared.senders, choice.new);
    let has_entry = |name: &Name| choice.desired.resources.contains_key(&Address::Outbound(name.clone()));
    let gone = known
        .iter()
        .filter(|row| row.removed_ms.is_none() && !has_entry(&row.name));
    // After the puts: one that a put has renamed has its old name no more, and stays.
    senders.extend(gone.map(|row| store::SenderChange::Remove { name: row.name.clone() }));
    let now_ms = start.clock.now_ms();
    let committed = start
        .store
        .commit(Commit {
            generation,
            senders,
            now_ms,
        })
        .await?;
    // Whoever was deleted while nothing ran, or was still draining, has no settings any more to deliver with.
    let senders = start.store.senders().await?;
    for row in senders.iter().filter(|row| row.removed_ms.is_some()) {
        start.store.close_sender(row.key).await?;
    }
    Ok(committed)
}

/// What a start tells: a new document, or why the file's does not run. One that waits for `openclaw apply` is no news.
fn start_notice(choice: &Choice, generation: &Generation, seen: &str) -> Option<Notice> {
    if choice.new {
        return Some(Notice::Applied(Box::new(generation.clone())));
    }
    let (reason, message) = choice.instead.clone()?;
    if let Some(held) = &choice.held {
        return Some(Notice::Held {
            generation: generation.number,
            sha256: seen.to_owned(),
            cause: Cause::Start,
            reasons: held.reasons.clone(),
        });
    }
    (!choice.waits).then(|| Notice::Rejected {
        generation: generation.number,
        sha256: seen.to_owned(),
        cause: Cause::Start,
        reason,
        message,
    })
}

fn choose(start: &Start, last: Option<&(Generation, Vec<u8>)>) -> Result<Choice, StartError> {
    let Some((generation, bytes)) = last else {
        let (bytes, desired) = start.file.clone().map_err(StartError::Broken)?;
        let plan = plan::diff(&Observed::default(), &desired, &Fingerprints::default());
        return Ok(Choice {
            summary: plan.summary().counts(),
            new: true,
            ..Choice::of(bytes, desired)
        });
    };
    let last_good = || {
        let format = DocumentFormat::of_extension(&generation.format);
        let file = start.file.as_ref().ok().map(|(file, desired)| (&**file, &**desired));
        let (desired, _) =
            load(&start.path, format, bytes, file).map_err(|found| StartError::LastGood(generation.number, found))?;
        Ok::<_, StartError>(Choice::of(bytes.clone(), Arc::new(desired)))
    };
    let (file, desired) = match &start.file {
        Ok((file, desired)) => (file, desired),
        Err(broken) => {
            let (reason, message) = broken.reason();
            error!(
                generation = generation.number,
                "the document cannot be used, the last applied one runs: {message}"
            );
            return Ok(last_good()?.instead_of(reason, message));
        }
    };
    let of_file = Choice::of(file.clone(), desired.clone());
    if fingerprint::sha256(file) == generation.sha256 {
        return Ok(of_file);
    }
    let before = last_good()?;
    let observed = Observed {
        generation: Some(generation.number),
        sha256: Some(generation.sha256.clone()),
        desired: before.desired.clone(),
        fingerprints: generation.fingerprints.clone(),
        owed: BTreeMap::default(),
    };
    let plan = plan::diff(&observed, desired, &generation.fingerprints);
    if is_manual(&before.desired) {
        let message = "the document waits for `openclaw apply`";
        info!(generation = generation.number, "{message} (reconcile.mode is manual)");
        return Ok(Choice {
            waits: true,
            ..before.instead_of(reasons::PENDING, message.to_owned())
        });
    }
    if let Some(held) = plan::held(&observed, &plan, max_delete(&before.desired)) {
        error!(
            generation = generation.number,
            "the document is held: {}",
            held.reasons.join("; ")
        );
        return Ok(Choice {
            waits: true,
            held: Some(held.clone()),
            ..before.instead_of(reasons::HELD, held.reasons.join("\n"))
        });
    }
    Ok(Choice {
        new: true,
        changed: changed_senders(&plan),
        summary: plan.summary().counts(),
        ..of_file
    })
}

fn changed_senders(plan: &plan::Plan) -> BTreeSet<Name> {
    let changed = plan
        .changes
        .iter()
        .filter(|change| change.action != plan::Action::Delete);
    changed
        .filter_map(|change| match &change.address {
            Address::Outbound(name) => Some(name.clone()),
            _ => None,
        })
        .collect()
}

impl Broken {
    fn reason(&self) -> (&'static str, String) {
        match self {
            Self::Unreadable(why) => (reasons::DOCUMENT_MISSING, why.clone()),
            Self::Invalid { found, .. } => (reasons::DOCUMENT_INVALID, errors(found)),
        }
    }
}
