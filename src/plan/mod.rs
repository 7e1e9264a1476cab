//! ([`Desired`], [`Observed`]) -> [`Plan`]. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::document::{Address, Desired, Value};

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

/// What happens to one resource.
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
    /// The field, with what lies inside it: `events`, `signature.header`.
    pub path: String,
    /// What runs, masked where it is sensitive; `None`: absent.
    pub before: Option<Value>,
    /// What is wanted, masked where it is sensitive; `None`: absent.
    pub after: Option<Value>,
    /// The value behind an unchanged (or changed) reference, or a masked literal, is another one.
    pub sensitive: bool,
    /// This field is why the resource is replaced.
    pub forces_replace: bool,
}

/// One resource's difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which resource.
    pub address: Address,
    /// What happens.
    pub action: Action,
    /// Why, where it is not plain: `previousName`, `undelete`, the file behind a secret changed.
    pub reason: Option<String>,
    /// Field by field, in the table's order.
    pub fields: Vec<FieldChange>,
    /// Deliveries at stake, for a sender that is deleted.
    pub undelivered: Option<u64>,
}

/// The difference between the document and what runs: deletes, replaces, updates, creates; by address within each.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The changes.
    pub changes: Vec<Change>,
}
