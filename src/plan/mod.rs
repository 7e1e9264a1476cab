//! ([`Desired`], [`Observed`]) -> [`Plan`]. Pure.
//!
//! [`diff()`] makes the plan, [`guard`] says whether it may be carried out without asking, [`render`] shows it to people
//! and programs, [`saved`] keeps it in a file.

pub mod diff;
pub mod guard;
pub mod impact;
pub mod render;
pub mod saved;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::document::{Address, Desired, Value};
use crate::event::Name;
pub use diff::diff;
pub use guard::{Held, held};
pub use render::PlanDocument;

/// Keyed fingerprints of resolved secrets: `webhooks.outbound.event-logger secret` to hex.
pub type Fingerprints = BTreeMap<String, String>;

/// What runs (or, with no gateway running, what was applied last).
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// The applied generation; `None`: nothing was ever applied.
    pub generation: Option<u64>,
    /// SHA-256 of the applied document in hex.
    pub sha256: Option<String>,
    /// What the applied document means.
    pub desired: Arc<Desired>,
    /// Fingerprints of the secrets in force.
    pub fingerprints: Fingerprints,
    /// Deliveries owed, by sender; senders that are owed nothing are left out.
    pub owed: BTreeMap<String, u64>,
}

/// What happens to one resource. The order is the order of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Action {
    /// `-`
    Delete,
    /// `-/+`: only where in-place is impossible.
    Replace,
    /// `~`
    Update,
    /// `+`
    Create,
}

/// One field's difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// The field, with what lies inside it: `events`, `signature.header`, `labels["app.kubernetes.io/name"]`.
    pub path: String,
    /// What runs, masked where it is sensitive; `None`: absent.
    pub before: Option<Value>,
    /// What is wanted, masked where it is sensitive; `None`: absent.
    pub after: Option<Value>,
    /// A secret's field, or one that is not shown in full: the value may be another one although before and after look
    /// the same.
    pub sensitive: bool,
    /// This field is why the resource is replaced.
    pub forces_replace: bool,
}

/// One resource's difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which resource.
    pub address: Address,
    /// The name it had, where `previousName` makes this a rename.
    pub previous: Option<Name>,
    /// What happens.
    pub action: Action,
    /// Why, where it is not plain: `previousName`, `undelete`, the file behind a secret changed.
    pub reason: Option<String>,
    /// Field by field, in the table's order; of a created or deleted resource the fields that are not the default.
    pub fields: Vec<FieldChange>,
    /// Deliveries at stake, for a sender that is deleted.
    pub undelivered: Option<u64>,
}

/// The difference between the document and what runs: deletes, replaces, updates, creates; by address within each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The changes.
    pub changes: Vec<Change>,
}

impl Plan {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// How many resources are added, changed, replaced and deleted.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let count = |action| u32::try_from(self.changes.iter().filter(|c| c.action == action).count());
        // More than 4 billion changes do not fit into memory.
        let count = |action| count(action).unwrap_or(u32::MAX);
        Summary {
            add: count(Action::Create),
            change: count(Action::Update),
            replace: count(Action::Replace),
            delete: count(Action::Delete),
        }
    }
}

/// How many resources a plan adds, changes, replaces and deletes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Created.
    pub add: u32,
    /// Updated in place.
    pub change: u32,
    /// Deleted and created anew.
    pub replace: u32,
    /// Deleted.
    pub delete: u32,
}

impl Summary {
    /// `[added, changed, replaced, deleted]`: how the store keeps it.
    #[must_use]
    pub fn counts(self) -> [u32; 4] {
        [self.add, self.change, self.replace, self.delete]
    }

    /// What was done: `1 added, 2 changed, 0 replaced, 1 deleted`.
    #[must_use]
    pub fn done(self) -> String {
        let Self {
            add,
            change,
            replace,
            delete,
        } = self;
        format!("{add} added, {change} changed, {replace} replaced, {delete} deleted")
    }
}

impl From<[u32; 4]> for Summary {
    fn from([add, change, replace, delete]: [u32; 4]) -> Self {
        Self {
            add,
            change,
            replace,
            delete,
        }
    }
}

impl fmt::Display for Summary {
    /// What is to be done: `1 to add, 2 to change, 0 to replace, 1 to delete`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            add,
            change,
            replace,
            delete,
        } = self;
        write!(
            f,
            "{add} to add, {change} to change, {replace} to replace, {delete} to delete"
        )
    }
}
