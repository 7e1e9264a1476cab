//! What the rest of the gateway may know about what runs: one immutable picture, swapped after each reconcile.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use crate::document::{Address, Desired};
use crate::event::Name;
use crate::plan::{Fingerprints, Held};
use crate::store::{Generation, SenderKey};

use super::condition::Conditions;
use super::{DocumentFormat, Problem};

/// What runs. Cheap to clone: all that is large is shared.
#[derive(Debug, Clone)]
pub struct View {
    /// The document's path.
    pub path: PathBuf,
    /// How it is written.
    pub format: DocumentFormat,
    /// The applied generation; its fingerprints are left out, being those below.
    pub generation: Generation,
    /// Its bytes.
    pub document: Arc<[u8]>,
    /// What they mean.
    pub desired: Arc<Desired>,
    /// Fingerprints of the secrets in force.
    pub fingerprints: Arc<Fingerprints>,
    /// Whether a saved file waits for `openclaw apply`.
    pub manual: bool,
    /// The gateway's own conditions.
    pub conditions: Conditions,
    /// Resources that could not be prepared at the start, each with the reason.
    pub degraded: Arc<BTreeMap<Address, Problem>>,
    /// Each sender's key in the store.
    pub keys: Arc<HashMap<Name, SenderKey>>,
    /// What would be deleted, while a document is held.
    pub held: Option<Arc<Held>>,
    /// SHA-256 of the document that waits, in manual mode, held or rejected.
    pub waiting: Option<String>,
    /// Where platforms post to, as a URL.
    pub public: String,
    /// Where the admin API is, as a URL or `unix:PATH`.
    pub admin: String,
    /// When the gateway started.
    pub started: Timestamp,
}

impl View {
    /// Whether another document than the one that runs waits.
    pub(super) fn waits(&self) -> bool {
        (self.waiting.as_ref()).is_some_and(|sha256| *sha256 != self.generation.sha256)
    }
}
