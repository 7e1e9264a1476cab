//! The only room that changes what runs.
//!
//! A reconcile is a transaction: read, check, diff, [`prepare`] everything that can fail, make it durable, [`commit`] by
//! swaps that cannot fail. One task ([`core`]) makes them one after the other; everyone else talks to it through
//! [`Reconciler`], and reads what runs from a [`View`] that is swapped after each.

mod commit;
pub mod condition;
mod core;
mod fingerprint;
mod notice;
mod prepare;
mod restricted;
mod say;
pub mod settle;
mod sources;
mod start;
mod stopped;
mod view;
mod watched;
pub mod watcher;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};

use crate::document::{self, Address, Desired, Diagnostic};
use crate::document_file::{self, Lock};
use crate::plan::{Held, Plan};
use crate::store::{Cause, Generation, StoreError};

pub use self::core::Core;
pub use commit::AdminHandler;
pub use condition::{Condition, Conditions};
pub use document::Format as DocumentFormat;
pub use fingerprint::sha256;
pub use notice::Notice;
pub use say::warn_of;
pub use start::{Broken, Start, StartError};
pub use stopped::Stopped;
pub use view::View;

/// No deleted sender drains for longer than this, whatever its document says.
pub const LONGEST_DRAIN: Duration = Duration::from_hours(1);

/// How many commands wait for the reconciler at most; one more is answered with [`Rejected::Busy`].
const COMMANDS: usize = 64;

/// Why a resource (or the document as a whole) cannot be prepared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The resource.
    pub address: Address,
    /// One of [`condition::reasons`].
    pub reason: &'static str,
    /// What is wrong and how to mend it; no secrets.
    pub message: String,
}

impl Problem {
    fn new(address: &Address, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            address: address.clone(),
            reason,
            message: message.into(),
        }
    }

    /// The document's problems with one resource.
    fn all(address: &Address, found: Vec<document::Problem>) -> Vec<Self> {
        found
            .into_iter()
            .map(|problem| {
                let reason = match problem.reason {
                    document::Reason::SecretMissing | document::Reason::FileUnreadable => {
                        condition::reasons::SECRET_MISSING
                    }
                    document::Reason::ProviderFailed | document::Reason::Invalid => condition::reasons::PREPARE_FAILED,
                };
                Self::new(address, reason, problem.to_string())
            })
            .collect()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.address, self.message)
    }
}

/// A document that someone wants applied.
#[derive(Debug, Clone)]
pub struct Proposal {
    /// Its bytes.
    pub document: Vec<u8>,
    /// The generation that it builds on: another one in force means that it is stale.
    pub base: Option<u64>,
    /// Whether deletes that would be held are meant.
    pub allow_deletes: bool,
    /// Who, where it is known.
    pub who: Option<String>,
    /// The git commit, where it is known.
    pub git_commit: Option<String>,
    /// Why.
    pub cause: Cause,
}

/// An earlier generation that someone wants back.
#[derive(Debug, Clone)]
pub struct Rollback {
    /// Its number.
    pub number: u64,
    /// As [`Proposal::base`].
    pub base: Option<u64>,
    /// As [`Proposal::allow_deletes`].
    pub allow_deletes: bool,
    /// Who, where it is known.
    pub who: Option<String>,
}

/// What became of a proposal.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The generation that runs now.
    pub generation: Generation,
    /// What was changed; empty where nothing was.
    pub plan: Plan,
    /// Whether a generation was made.
    pub applied: bool,
    /// What else there is to say, a sentence each.
    pub notes: Vec<String>,
}

/// Why a proposal changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum Rejected {
    /// The document is broken.
    #[error("the document has errors")]
    Document(Vec<Diagnostic>),
    /// It has no webhooks at all, and some run: a file that was cut or emptied, not a wish.
    #[error(
        "`webhooks` is empty while {0} webhooks run: delete them by name, or with `openclaw apply --allow-deletes` and a document that has settings"
    )]
    Empty(usize),
    /// It brings a program that the gateway would run, and nothing proves who sent it.
    #[error(
        "the exec provider `{0}` is new: a document that brings one is taken only where the admin API has a token or is a unix socket"
    )]
    ExecProvider(String),
    /// Something that it needs cannot be had.
    #[error("{}", problems(.0))]
    Prepare(Vec<Problem>),
    /// It would delete too much without being told to.
    #[error("held: {}", .0.reasons.join("; "))]
    Held(Held),
    /// It was made from another generation.
    #[error("stale: it was made from generation {base}, and generation {} runs{}", .found.number, .found.who.as_ref().map(|who| format!(" (by {who})")).unwrap_or_default())]
    Stale {
        /// What it was made from.
        base: u64,
        /// What runs.
        found: Box<Generation>,
    },
    /// The gateway's file could not be read or written.
    #[error("{0}")]
    File(String),
    /// The gateway's file holds an edit that would be lost.
    #[error(
        "{} is not generation {generation}'s document: something else has edited it, and the edit would be lost; apply it \
         (`openclaw apply`) or put generation {generation}'s document back (`openclaw rollback {generation}`), then try again",
        .path.display()
    )]
    Edited {
        /// The file.
        path: PathBuf,
        /// What runs.
        generation: u64,
    },
    /// The store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Too many commands wait.
    #[error("the reconciler is busy: try again")]
    Busy,
    /// The gateway is stopping.
    #[error("the gateway is stopping")]
    Stopping,
    /// No such generation is kept.
    #[error("generation {0} is not kept: `openclaw history` lists those that are")]
    NoGeneration(u64),
}

fn problems(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// What a plan found.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The difference to what runs.
    pub plan: Plan,
    /// What it was compared with.
    pub base: Generation,
    /// What runs, and what the planned document means.
    pub desired: [Arc<Desired>; 2],
    /// The planned document's SHA-256 in hex.
    pub sha256: String,
    /// Warnings about the document.
    pub diagnostics: Vec<Diagnostic>,
    /// Why it would be held.
    pub held: Option<Held>,
    /// Secrets that were not read, since the applied generation does not name them.
    pub not_checked: Vec<String>,
    /// What does not run as the applied generation says.
    pub drift: Vec<Problem>,
}

enum Command {
    Plan {
        document: Option<Vec<u8>>,
        candidate: Option<String>,
        reply: oneshot::Sender<Result<Planned, Rejected>>,
    },
    Apply {
        proposal: Proposal,
        lock: io::Result<Lock>,
        reply: oneshot::Sender<Result<Outcome, Rejected>>,
    },
    Rollback {
        to: Rollback,
        lock: io::Result<Lock>,
        reply: oneshot::Sender<Result<Outcome, Rejected>>,
    },
    Reload {
        reply: oneshot::Sender<Result<Outcome, Rejected>>,
    },
    /// The store's room, as the condition says it.
    StorePressure { reason: &'static str, message: String },
}

/// How everyone else talks to the reconciler. Cheap to clone.
#[derive(Clone)]
pub struct Reconciler {
    commands: mpsc::Sender<Command>,
    view: Arc<ArcSwap<View>>,
}

impl Reconciler {
    /// What runs.
    #[must_use]
    pub fn view(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// The difference between a document (`None`: the gateway's own file) and what runs. Prepares it, and throws that away.
    /// `candidate` names a file beside the gateway's own that holds the same text: then it is looked at as its own file is.
    pub async fn plan(&self, document: Option<Vec<u8>>, candidate: Option<String>) -> Result<Planned, Rejected> {
        self.ask(|reply| Command::Plan {
            document,
            candidate,
            reply,
        })
        .await
    }

    /// Applies a document; where its bytes are not the gateway's own file's, the file is replaced first.
    pub async fn apply(&self, proposal: Proposal) -> Result<Outcome, Rejected> {
        let place = self.place()?;
        let lock = self.lock().await;
        answered(place, |reply| Command::Apply { proposal, lock, reply }).await
    }

    /// Applies an earlier generation's document.
    pub async fn rollback(&self, to: Rollback) -> Result<Outcome, Rejected> {
        let place = self.place()?;
        let lock = self.lock().await;
        answered(place, |reply| Command::Rollback { to, lock, reply }).await
    }

    /// Reads the file again.
    pub async fn reload(&self) -> Result<Outcome, Rejected> {
        self.ask(|reply| Command::Reload { reply }).await
    }

    /// Sets the condition `StorePressure`: it holds unless the reason is `Ok`. Says whether the reconciler has taken it.
    #[must_use]
    pub fn store_pressure(&self, reason: &'static str, message: String) -> bool {
        let command = Command::StorePressure { reason, message };
        self.commands.try_send(command).is_ok()
    }

    /// Whether the reconciler has ended: the gateway stops.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.commands.is_closed()
    }

    /// The document's file as it is, half-written or not.
    pub async fn read_file(&self) -> Result<Vec<u8>, Rejected> {
        sources::read_file(self.path()).await
    }

    /// The path of the document.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.view.load().path.clone()
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, Rejected>>) -> Command,
    ) -> Result<T, Rejected> {
        answered(self.place()?, command).await
    }

    fn place(&self) -> Result<mpsc::Permit<'_, Command>, Rejected> {
        self.commands.try_reserve().map_err(|e| match e {
            mpsc::error::TrySendError::Full(()) => Rejected::Busy,
            mpsc::error::TrySendError::Closed(()) => Rejected::Stopping,
        })
    }

    /// The lock of the commands that edit the document. It is waited for here and not by the reconciler: who holds it may be
    /// waiting for the reconciler's answer.
    async fn lock(&self) -> io::Result<Lock> {
        let path = self.path();
        let locking = tokio::task::spawn_blocking(move || document_file::lock(&path));
        locking.await.map_err(io::Error::other)?
    }
}

async fn answered<T>(
    place: mpsc::Permit<'_, Command>,
    command: impl FnOnce(oneshot::Sender<Result<T, Rejected>>) -> Command,
) -> Result<T, Rejected> {
    let (reply, answer) = oneshot::channel();
    place.send(command(reply));
    answer.await.map_err(|_| Rejected::Stopping)?
}
