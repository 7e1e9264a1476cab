//! What the gateway that watches a document makes of it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Writing, Written};
use crate::admin::wire::{DocumentState, Mode, Status};
use crate::cli::surroundings::DocumentFile;
use crate::cli::{Context, Error, target::Target};

/// How long after a look at the gateway it is looked at again: at first, and at last.
const POLL: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// What came of a document that was written.
pub(super) enum Outcome {
    /// The gateway runs it as this generation.
    Applied(Option<u64>),
    /// It waits: `held` or `pending`, with the reasons.
    Waiting(&'static str, Vec<String>),
    /// The gateway refused it.
    Rejected(Vec<String>),
    /// The gateway runs another file, or none runs.
    NotWatched(&'static str),
    /// It did not converge in time.
    Late,
}

/// Waits for the gateway that watches this file.
pub(super) async fn outcome(written: &Written, writing: &Writing, context: &mut Context) -> Result<Outcome, Error> {
    let Some(before) = &written.before else {
        return Ok(Outcome::NotWatched("no gateway runs: it starts with this document"));
    };
    if !is_watched(before, &written.old) {
        return Ok(Outcome::NotWatched(
            "the gateway runs another document: `openclaw apply -f` pushes this one",
        ));
    }
    let client = Target::find(Some(&written.file), context)?.client;
    let sha256 = written.file.sha256();
    let end = Instant::now() + writing.wait;
    let mut pause = POLL.0;
    while Instant::now() < end {
        let status = client.status().await?;
        let seen = status.document.sha256.as_deref() == Some(&*sha256);
        let runs = status
            .generation
            .as_ref()
            .is_some_and(|generation| generation.sha256 == sha256);
        let reasons = status.document.reasons.clone();
        match status.document.state {
            DocumentState::Applied if seen && runs => {
                return Ok(Outcome::Applied(status.generation.map(|generation| generation.number)));
            }
            DocumentState::Pending if seen && status.document.mode == Mode::Manual => {
                return Ok(Outcome::Waiting("pending", reasons));
            }
            DocumentState::Held if seen => return Ok(Outcome::Waiting("held", reasons)),
            DocumentState::Rejected if seen => return Ok(Outcome::Rejected(reasons)),
            _ => tokio::time::sleep(pause).await,
        }
        pause = (pause * 3 / 2).min(POLL.1);
    }
    Ok(Outcome::Late)
}

/// Whether the gateway's file is this one.
pub(super) fn is_watched(status: &Status, file: &DocumentFile) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
    let (ours, theirs) = (real(&file.path), Path::new(&status.document.path));
    // A gateway that was given a relative path says it from its own directory.
    real(theirs) == ours
        || (theirs.is_relative()
            && ours.ends_with(theirs.strip_prefix(".").unwrap_or(theirs))
            && status.document.sha256.as_deref() == Some(&*file.sha256()))
}
