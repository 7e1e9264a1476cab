//! What a reconcile tells, for the gateway's own events.

use crate::store::{Cause, Generation};

/// What became of a document.
#[derive(Debug, Clone)]
pub enum Notice {
    /// It runs.
    Applied(Box<Generation>),
    /// It was refused; what ran before goes on.
    Rejected {
        /// What runs.
        generation: u64,
        /// SHA-256 of the refused document in hex; empty where it cannot be read.
        sha256: String,
        /// Why it was looked at.
        cause: Cause,
        /// One of [`super::condition::reasons`].
        reason: &'static str,
        /// What is wrong, a line each; no secrets.
        message: String,
    },
    /// It would delete too much; it waits for `openclaw apply --allow-deletes`.
    Held {
        /// What runs.
        generation: u64,
        /// SHA-256 of the held document in hex.
        sha256: String,
        /// Why it was looked at.
        cause: Cause,
        /// Why it is held, a sentence each.
        reasons: Vec<String>,
    },
}
