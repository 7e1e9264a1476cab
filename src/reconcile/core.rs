//! The task that reconciles: one proposal after the other, and the only owner of what runs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::clock::SharedClock;
use crate::document::settings::Listen;
use crate::document::{self, Address, Desired, Diagnostic, Lookup, Source};
use crate::document_file;
use crate::environment::{Environment, read_regular};
use crate::event::Name;
use crate::inbound::RouteChange;
use crate::listener::Serving;
use crate::plan::{self, Fingerprints, Observed, Plan};
use crate::store::{self, Commit, NewGeneration, SenderKey, Store};

use super::commit::Running;
use super::condition::{reasons, types};
use super::fingerprint;
use super::prepare::{self, Prepared, SenderPart};
use super::restricted::Restricted;
use super::say::warn_of;
use super::settle::{MAX_BYTES, Settle};
use super::stopped::Stopped;
use super::view::View;
use super::watched::WatchedFiles;
use super::watcher::Watcher;
use super::{Command, DocumentFormat, Notice, Outcome, Planned, Problem, Proposal, Rejected};

/// The task's state. Made by [`Core::start`], run by [`Core::run`].
pub struct Core {
    pub(super) path: PathBuf,
    pub(super) format: DocumentFormat,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: SharedClock,
    pub(super) running: Running,
    pub(super) view: Arc<ArcSwap<View>>,
    pub(super) commands: mpsc::Receiver<Command>,
    /// SHA-256 of the file's bytes when it was last looked at: equal bytes are not looked at again.
    pub(super) seen: String,
    /// The content of every watched file when it was last looked at.
    pub(super) watched: WatchedFiles,
    /// How the document's file is read: once it stands still.
    pub(super) settle: Settle,
    /// For the gateway's own events.
    pub(super) notices: mpsc::Sender<Notice>,
}

impl Core {
    /// Reconciles until `stop`; gives back what runs, so that the gateway can end it in order.
    pub async fn run(mut self, stop: CancellationToken) -> Stopped {
        let (watcher, mut changes) = match Watcher::start(self.watched.paths()) {
            Ok(started) => started,
            Err(e) => {
                error!("files cannot be watched: {e}");
                self.condition(types::WATCHING, false, reasons::UNWATCHED, e.to_string());
                return self.run_unwatched(stop).await;
            }
        };
        // What moved between the start's reading and the first watch would never be reported.
        self.look().await;
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(command) = self.commands.recv() => self.obey(command).await,
                // What comes while it looks is looked at once more.
                Some(_) = changes.recv_all() => self.look().await,
            }
            watcher.set_paths(self.watched.paths());
            self.say_watching(watcher.fault());
        }
        Stopped::of(self.running)
    }

    /// Without a watcher changes come by `openclaw apply` and SIGHUP alone.
    async fn run_unwatched(mut self, stop: CancellationToken) -> Stopped {
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                Some(command) = self.commands.recv() => self.obey(command).await,
            }
        }
        Stopped::of(self.running)
    }

    async fn obey(&mut self, command: Command) {
        // A caller that went away does not want its answer any more.
        match command {
            Command::Plan {
                document,
                candidate,
                reply,
            } => drop(reply.send(self.plan(document, candidate).await)),
            Command::Apply { proposal, lock, reply } => drop(reply.send(self.push(proposal, lock).await)),
            Command::Rollback { to, lock, reply } => drop(reply.send(self.roll_back(to, lock).await)),
            Command::Reload { reply } => drop(reply.send(self.reload().await)),
            Command::StorePressure { reason, message } => {
                self.condition(types::STORE_PRESSURE, reason != reasons::OK, reason, message);
            }
        }
    }

    /// Checks, diffs and prepares a document, and throws what was prepared away.
    async fn plan(&mut self, document: Option<Vec<u8>>, candidate: Option<String>) -> Result<Planned, Rejected> {
        let bytes = match document {
            Some(bytes) => bytes,
            None => self.read_file().await?,
        };
        let view = self.view.load_full();
        // Who may write beside the document may have it name whatever it likes.
        let candidate = candidate.and_then(|name| document_file::candidate(&self.path, &name));
        let own = self.read_file().await.is_ok_and(|file| file == bytes)
            || candidate.is_some_and(|path| read_regular(&path, MAX_BYTES).is_ok_and(|(text, _)| text == bytes));
        let (checked, diagnostics) = self
            .check(&bytes, true, if own { Sight::All } else { Sight::WhatRuns })
            .await?;
        let drift = view.degraded.values().cloned().collect();
        Ok(Planned {
            held: plan::held(&checked.observed, &checked.plan, max_delete(&view.desired)),
            plan: checked.plan,
            base: view.generation.clone(),
            desired: [checked.observed.desired, checked.desired],
            sha256: fingerprint::sha256(&bytes),
            diagnostics,
            not_checked: checked.skipped,
            drift,
        })
    }

    /// What a document means, or what is wrong with it: mostly it is what runs with a few changes.
    pub(super) fn read(&self, bytes: &[u8]) -> Result<(Desired, Vec<Diagnostic>), Vec<Diagnostic>> {
        let view = self.view.load();
        load(&self.path, self.format, bytes, Some((&view.document, &view.desired)))
    }

    /// Everything up to the point where something would change.
    pub(super) async fn check(
        &self,
        bytes: &[u8],
        allow_deletes: bool,
        sight: Sight,
    ) -> Result<(Checked, Vec<Diagnostic>), Rejected> {
        let view = self.view.load_full();
        let (desired, diagnostics) = block_in_place(|| self.read(bytes)).map_err(Rejected::Document)?;
        let desired = Arc::new(desired);
        if desired.is_empty() && !view.desired.is_empty() {
            let (inbound, outbound) = view.desired.counts();
            return Err(Rejected::Empty(inbound + outbound));
        }
        let environment = Environment::beside(&self.path).with_providers(&desired.providers);
        let (lookup, unseen): (Box<dyn Lookup + Send + Sync>, _) = match sight {
            Sight::All => (Box::new(environment), Vec::new()),
            Sight::WhatRuns => {
                let restricted = Restricted::to(&view.desired, environment);
                let unseen = restricted.unseen(&desired);
                (Box::new(restricted), unseen)
            }
        };
        let store_key = self.store.fingerprint_key();
        let fingerprints = block_in_place(|| fingerprint::all(&desired, &*lookup, &store_key, &view.fingerprints));
        let observed = self.observed(&view, &desired).await?;
        let plan = block_in_place(|| plan::diff(&observed, &desired, &fingerprints));
        if !allow_deletes && let Some(held) = plan::held(&observed, &plan, max_delete(&view.desired)) {
            return Err(Rejected::Held(held));
        }
        keeps_the_store(&plan)?;
        let prepared = block_in_place(|| self.prepare(&view, &desired, &plan, &*lookup, &unseen))?;
        Ok((
            Checked {
                desired,
                observed,
                plan,
                fingerprints,
                prepared,
                skipped: unseen.into_iter().map(|(_, what)| what).collect(),
            },
            diagnostics,
        ))
    }

    /// Prepares what changes, but for what cannot be looked up.
    fn prepare(
        &self,
        view: &View,
        desired: &Desired,
        plan: &Plan,
        lookup: &dyn Lookup,
        unseen: &[(Address, String)],
    ) -> Result<Prepared, Rejected> {
        let (deleted, kept): (Vec<_>, Vec<_>) = plan
            .changes
            .iter()
            .partition(|change| change.action == plan::Action::Delete);
        let mut put: BTreeSet<Address> = kept.iter().map(|change| change.address.clone()).collect();
        // What is degraded is tried again, and fails nothing but itself; a changed one has to hold.
        let lenient: BTreeSet<Address> = view
            .degraded
            .keys()
            .filter(|a| desired.resources.contains_key(*a) && !put.contains(*a))
            .cloned()
            .collect();
        put.extend(lenient.iter().cloned());
        for (address, _) in unseen {
            put.remove(address);
        }
        let runs = &view.desired.resources;
        let remove = deleted
            .iter()
            .filter_map(|change| Some((change.address.clone(), runs.get(&change.address)?)))
            .collect();
        let Running { public, admin, .. } = &self.running;
        let request = prepare::Request {
            desired,
            put,
            remove,
            lookup,
            lenient,
            public: standing(public.as_ref().map(|(serving, settings)| (serving, &settings.listen))),
            admin: standing(admin.as_ref().map(|(serving, settings)| (serving, &settings.listen))),
        };
        let mut prepared =
            prepare::prepare(&request, &self.running.routes, &self.running.dispatcher).map_err(Rejected::Prepare)?;
        // A renamed route is put under its new name: the old one goes in the same step.
        let renamed = kept
            .iter()
            .filter(|change| matches!(change.address, Address::Inbound(_)));
        prepared
            .routes
            .extend(renamed.filter_map(|change| change.previous.clone().map(RouteChange::Remove)));
        Ok(prepared)
    }

    pub(super) async fn reconcile(&mut self, proposal: Proposal) -> Result<Outcome, Rejected> {
        let result = self.transact(&proposal).await;
        match &result {
            Ok(outcome) if outcome.applied => {
                let counts = outcome.plan.summary();
                info!(
                    generation = outcome.generation.number,
                    cause = proposal.cause.as_str(),
                    added = counts.add,
                    changed = counts.change,
                    replaced = counts.replace,
                    deleted = counts.delete,
                    "reconciled"
                );
                self.notice(Notice::Applied(Box::new(outcome.generation.clone())));
            }
            Ok(_) => {}
            Err(rejected) => self.say_rejected(&proposal, rejected),
        }
        result
    }

    async fn transact(&mut self, proposal: &Proposal) -> Result<Outcome, Rejected> {
        let view = self.view.load_full();
        Self::check_base(proposal.base, &view)?;
        let sha256 = fingerprint::sha256(&proposal.document);
        let (checked, diagnostics) = self
            .check(&proposal.document, proposal.allow_deletes, Sight::All)
            .await?;
        warn_of(&diagnostics);
        let Checked {
            desired,
            plan,
            fingerprints,
            prepared,
            ..
        } = checked;
        let nothing = plan.changes.is_empty() && prepared.mended.is_empty();
        if nothing && sha256 == view.generation.sha256 {
            self.say_applied();
            return Ok(Outcome {
                generation: view.generation.clone(),
                plan,
                applied: false,
                notes: Vec::new(),
            });
        }
        let generation = NewGeneration {
            base: view.generation.number,
            document: proposal.document.clone(),
            format: self.format.extension().to_owned(),
            sha256,
            cause: proposal.cause,
            who: proposal.who.clone(),
            git_commit: proposal.git_commit.clone(),
            summary: plan.summary().counts(),
            fingerprints: fingerprints.clone(),
        };
        let senders = sender_changes(&prepared.senders, true);
        let commit = Commit {
            generation: Some(generation),
            senders,
            now_ms: self.clock.now_ms(),
        };
        let committed = self.store.commit(commit).await?;

        // From here on nothing can fail.
        let mut keys: HashMap<Name, SenderKey> = (*view.keys).clone();
        keys.extend(committed.keys);
        let mut degraded = (*view.degraded).clone();
        degraded.retain(|address, _| desired.resources.contains_key(address) && !prepared.mended.contains(address));
        degraded.extend(prepared.degraded.clone());
        self.running.commit(prepared, &keys, &|_| (None, true));
        keys.retain(|name, _| desired.resources.contains_key(&Address::Outbound(name.clone())));
        self.watched.follow(&self.path, &desired);
        self.settle.set_debounce(debounce(&desired));
        let mut generation = committed.generation.expect("a commit with a generation makes one");
        // The view has them once: it is copied for each condition.
        generation.fingerprints.clear();
        self.publish(|view| {
            view.generation = generation.clone();
            view.document = proposal.document.clone().into();
            view.manual = is_manual(&desired);
            view.desired = desired;
            view.fingerprints = Arc::new(fingerprints);
            view.degraded = Arc::new(degraded);
            view.keys = Arc::new(keys);
        });
        self.say_applied();
        Ok(Outcome {
            generation,
            plan,
            applied: true,
            notes: Vec::new(),
        })
    }

    pub(super) fn check_base(base: Option<u64>, view: &View) -> Result<(), Rejected> {
        match base {
            Some(base) if base != view.generation.number => Err(Rejected::Stale {
                base,
                found: Box::new(view.generation.clone()),
            }),
            _ => Ok(()),
        }
    }

    /// What runs, with what is owed to the senders that the new document has no more.
    async fn observed(&self, view: &View, desired: &Desired) -> Result<Observed, Rejected> {
        let deletes = view
            .desired
            .resources
            .keys()
            .any(|address| matches!(address, Address::Outbound(_)) && !desired.resources.contains_key(address));
        let owed = if deletes {
            let rows = self.store.senders().await?;
            rows.into_iter()
                .filter(|row| row.owed > 0)
                .map(|row| (row.name.to_string(), row.owed))
                .collect()
        } else {
            BTreeMap::default()
        };
        Ok(Observed {
            generation: Some(view.generation.number),
            sha256: Some(view.generation.sha256.clone()),
            desired: view.desired.clone(),
            fingerprints: (*view.fingerprints).clone(),
            owed,
        })
    }
}

fn standing(listener: Option<(&Serving, &Listen)>) -> Option<prepare::Standing> {
    listener.map(|(serving, asked)| prepare::Standing {
        asked: asked.clone(),
        real: serving.listen().clone(),
    })
}

/// How far a check may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// Wherever the document's references lead: it is the gateway's own, or is about to be.
    All,
    /// At what the applied document names.
    WhatRuns,
}

/// A document that could be applied now.
pub(super) struct Checked {
    desired: Arc<Desired>,
    observed: Observed,
    plan: Plan,
    fingerprints: Fingerprints,
    prepared: Prepared,
    skipped: Vec<String>,
}

/// Reads a document, after another one with what it means.
pub(super) fn load(
    path: &Path,
    format: DocumentFormat,
    bytes: &[u8],
    before: Option<(&[u8], &Desired)>,
) -> Result<(Desired, Vec<Diagnostic>), Vec<Diagnostic>> {
    let shown = path.display().to_string();
    let source = Source {
        path: &shown,
        format,
        text: bytes,
    };
    let loaded = document::load_after(before, &source);
    match loaded.desired {
        Some(desired) => Ok((desired, loaded.diagnostics)),
        None => Err(loaded.diagnostics),
    }
}

pub(super) fn is_manual(desired: &Desired) -> bool {
    let mode = desired
        .resources
        .get(&Address::Reconcile)
        .and_then(|resource| resource.effective("mode"));
    mode.is_some_and(|mode| mode.as_text() == Some("manual"))
}

pub(super) fn max_delete(desired: &Desired) -> u8 {
    let share = desired
        .resources
        .get(&Address::Reconcile)
        .and_then(|resource| resource.effective("maxDelete"));
    share
        .and_then(|v| v.as_text().and_then(|t| t.trim_end_matches('%').parse().ok()))
        .unwrap_or(30)
}

pub(super) fn debounce(desired: &Desired) -> Duration {
    match desired
        .resources
        .get(&Address::Reconcile)
        .and_then(|resource| resource.effective("debounce"))
    {
        Some(document::Value::Duration(ms)) => Duration::from_millis(ms),
        _ => Duration::from_millis(100),
    }
}

/// Where the events lie is settled at the start.
fn keeps_the_store(plan: &Plan) -> Result<(), Rejected> {
    let mut fields = plan
        .changes
        .iter()
        .filter(|change| change.address == Address::Store)
        .flat_map(|change| &change.fields);
    if !fields.any(|field| matches!(field.path.as_str(), "path" | "engine")) {
        return Ok(());
    }
    let message = "`store.path` and `store.engine` cannot change while the gateway runs: stop it, move the directory, start it again";
    let problem = Problem::new(&Address::Store, reasons::PREPARE_FAILED, message);
    Err(Rejected::Prepare(vec![problem]))
}

pub(super) fn sender_changes(parts: &[SenderPart], changed: bool) -> Vec<store::SenderChange> {
    parts.iter().map(|part| part.to_store(changed)).collect()
}
