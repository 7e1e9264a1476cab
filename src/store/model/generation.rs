//! What was applied, and which senders there are.

use serde::{Deserialize, Serialize};

use super::SenderKey;
use crate::event::{Event, EventPattern, Name};

/// Why a reconcile was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The gateway started with a document that is not the last applied one.
    Start,
    /// The document's file changed.
    File,
    /// `openclaw apply`.
    Apply,
    /// A document pushed through the API.
    Push,
    /// SIGHUP or `/v1/reload`.
    Reload,
    /// A file that holds a secret changed.
    SecretFile,
    /// A certificate's file changed.
    CertFile,
    /// `openclaw rollback`.
    Rollback,
}

impl Cause {
    /// The word in listings and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::File => "file",
            Self::Apply => "apply",
            Self::Push => "push",
            Self::Reload => "reload",
            Self::SecretFile => "secret-file",
            Self::CertFile => "cert-file",
            Self::Rollback => "rollback",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Start,
            Self::File,
            Self::Apply,
            Self::Push,
            Self::Reload,
            Self::SecretFile,
            Self::CertFile,
            Self::Rollback,
        ]
        .into_iter()
        .find(|c| c.as_str() == text)
    }
}

/// A committed reconcile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Generation {
    /// 1, 2, ...
    pub number: u64,
    /// The document's SHA-256 in hex.
    pub sha256: String,
    /// When it was committed, in milliseconds since the Unix epoch.
    pub at_ms: i64,
    /// Why.
    pub cause: Cause,
    /// Who, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// The git commit of the document, where it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub git_commit: Option<String>,
    /// `added, changed, replaced, deleted`.
    pub summary: [u32; 4],
    /// Fingerprints of the secrets that were in force: address and field to hex. Keyed with the store's own key.
    #[serde(skip)]
    pub fingerprints: std::collections::BTreeMap<String, String>,
    /// How its document is written: `yaml` or `json5`.
    #[serde(default)]
    pub format: String,
}

/// A generation that is about to be stored; its number is the store's to give.
#[derive(Debug, Clone)]
pub struct NewGeneration {
    /// The generation it was built on: 0 for the first. The store refuses another with [`super::StoreError::Stale`].
    pub base: u64,
    /// The document's bytes; the store compresses them.
    pub document: Vec<u8>,
    /// `.yaml`, `.json` or `.json5`: how to read the bytes.
    pub format: String,
    /// SHA-256 in hex.
    pub sha256: String,
    /// Why.
    pub cause: Cause,
    /// Who.
    pub who: Option<String>,
    /// The git commit.
    pub git_commit: Option<String>,
    /// `added, changed, replaced, deleted`.
    pub summary: [u32; 4],
    /// Fingerprints of secrets.
    pub fingerprints: std::collections::BTreeMap<String, String>,
}

impl NewGeneration {
    /// The generation that it becomes.
    pub(in crate::store) fn numbered(&self, number: u64, at_ms: i64) -> Generation {
        Generation {
            number,
            sha256: self.sha256.clone(),
            at_ms,
            cause: self.cause,
            who: self.who.clone(),
            git_commit: self.git_commit.clone(),
            summary: self.summary,
            fingerprints: self.fingerprints.clone(),
            format: self.format.clone(),
        }
    }
}

/// For so long a deletion can be taken back by the name's return.
pub(in crate::store) const UNDELETE_MS: i64 = 60 * 60 * 1000;
/// What a template failed on is due again so long after the commit: until the swap that follows it, a sender still has the
/// template that failed.
pub(in crate::store) const SWAPPED_MS: i64 = 1000;

/// What one reconcile changes in the store.
#[derive(Debug, Default)]
pub struct Commit {
    /// The new generation, where one is made.
    pub generation: Option<NewGeneration>,
    /// Changes to senders, in order.
    pub senders: Vec<SenderChange>,
    /// The time of the commit.
    pub now_ms: i64,
}

/// A change to one sender's entry in the store.
#[derive(Debug, Clone)]
pub enum SenderChange {
    /// The sender exists with this subscription from now on: made anew, updated, renamed from `previous`, or (within an
    /// hour of its deletion) taken back with the dead letters that its deletion made.
    Put {
        /// Its name.
        name: Name,
        /// The name it had, where the document says so.
        previous: Option<Name>,
        /// What it gets.
        subscription: Subscription,
        /// Whether its entry changed: then dead letters that its filter or template made are owed anew.
        changed: bool,
    },
    /// The sender is gone: new events stop, what is owed stays until [`super::Store::close_sender`].
    Remove {
        /// Its name.
        name: Name,
    },
}

/// Which events a sender gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Any of these.
    pub events: Vec<EventPattern>,
    /// Only those made by these inbound webhooks; `None`: by any, or by none.
    pub from: Option<Vec<Name>>,
    /// Only the first of these of each request, and none of test traffic: what is delivered is the request.
    pub per_request: bool,
}

impl Subscription {
    /// Whether a sender with this subscription gets the event. Of one that is `per_request` it gets the first of a request.
    #[must_use]
    pub fn wants(&self, event: &Event) -> bool {
        self.events.iter().any(|pattern| pattern.matches(&event.name))
            && self
                .from
                .as_ref()
                .is_none_or(|from| event.source.as_ref().is_some_and(|source| from.contains(source)))
    }
}

/// The sender that one of the gateway's own events is about: it is not told of itself, or it would be told that it could
/// not be told.
pub(in crate::store) fn about(event: &Event) -> Option<Name> {
    #[derive(serde::Deserialize)]
    struct About {
        sender: String,
    }
    if !event.name.is_gateways_own() {
        return None;
    }
    let about: About = serde_json::from_str(event.data.as_str()).ok()?;
    Name::parse(&about.sender).ok()
}

/// What a commit did.
#[derive(Debug, Default)]
pub struct Committed {
    /// The generation made, where one was.
    pub generation: Option<Generation>,
    /// The key of every sender that was put or removed, by name.
    pub keys: Vec<(Name, SenderKey)>,
}

/// A sender as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SenderRow {
    /// Its key.
    pub key: SenderKey,
    /// Its name.
    pub name: Name,
    /// When it was removed; `None`: it is active.
    pub removed_ms: Option<i64>,
    /// Why it is suspended, where it is.
    pub suspended: Option<String>,
    /// How many deliveries it is owed.
    pub owed: u64,
}
