//! Where proposals come from: the file system, the API, an earlier generation.

use std::io;

use tokio::task::{block_in_place, spawn_blocking};

use super::condition::{reasons, types};
use super::core::{Core, Sight};
use super::settle::MAX_BYTES;
use super::view::View;
use super::{Outcome, Proposal, Rejected, fingerprint};
use crate::document::settings::Listen;
use crate::document_file;
use crate::environment::read_regular;
use crate::plan::Plan;
use crate::store::Cause;

impl Core {
    /// Something in the file system moved: the document, or a file that it names.
    pub(super) async fn look(&mut self) {
        let moved = block_in_place(|| self.watched.moved());
        let bytes = match self.settle.read().await {
            Ok(stable) => stable.bytes,
            Err(e) => return self.say_unreadable(&e.to_string()),
        };
        let sha256 = fingerprint::sha256(&bytes);
        let view = self.view.load_full();
        if sha256 == self.seen && moved.is_none() {
            return self.say_readable();
        }
        let document_moved = sha256 != self.seen;
        self.seen.clone_from(&sha256);
        let waits = view
            .waiting
            .as_ref()
            .is_some_and(|sha256| *sha256 != view.generation.sha256);
        let (document, cause) = match moved {
            // A secret or a certificate of what runs changed; whatever waits goes on waiting.
            Some(cause) if !document_moved && (!waits || view.manual) => (view.document.to_vec(), cause),
            _ => (bytes, Cause::File),
        };
        if document_moved && view.manual {
            return self.say_pending(&sha256);
        }
        let proposal = Proposal {
            document,
            base: None,
            allow_deletes: false,
            who: None,
            git_commit: None,
            cause,
        };
        let _logged = self.reconcile(proposal).await;
    }

    /// SIGHUP and `/v1/reload`: reads the file now, whether or not its bytes moved.
    pub(super) async fn reload(&mut self) -> Result<Outcome, Rejected> {
        let bytes = self.read_file().await?;
        self.seen = fingerprint::sha256(&bytes);
        self.watched.moved();
        let view = self.view.load_full();
        if view.manual && self.seen != view.generation.sha256 {
            let sha256 = self.seen.clone();
            self.say_pending(&sha256);
            return Ok(Outcome {
                generation: view.generation.clone(),
                plan: Plan::default(),
                applied: false,
                notes: Vec::new(),
            });
        }
        let cause = Cause::Reload;
        self.reconcile(Proposal {
            document: bytes,
            base: None,
            allow_deletes: false,
            who: None,
            git_commit: None,
            cause,
        })
        .await
    }

    /// A document from the API: the gateway's own file, or one that replaces it.
    pub(super) async fn push(&mut self, mut proposal: Proposal) -> Result<Outcome, Rejected> {
        let view = self.view.load_full();
        let sha256 = fingerprint::sha256(&proposal.document);
        let own = self
            .read_file()
            .await
            .ok()
            .is_some_and(|bytes| bytes == proposal.document);
        if own {
            proposal.cause = Cause::Apply;
            self.seen = sha256;
            return self.reconcile(proposal).await;
        }
        Self::check_base(proposal.base, &view)?;
        proposal.cause = Cause::Push;
        // Everything that can be refused is refused before the file is touched.
        self.check_providers(&proposal.document, &view)?;
        self.check(&proposal.document, proposal.allow_deletes, Sight::All)
            .await?;
        document_file::replace(&self.path, &proposal.document).map_err(|e| Rejected::File(e.to_string()))?;
        self.seen = sha256;
        self.reconcile(proposal).await
    }

    /// A pushed document must not make the gateway run a program that nobody vouches for.
    fn check_providers(&self, document: &[u8], view: &View) -> Result<(), Rejected> {
        if self
            .running
            .admin
            .as_ref()
            .is_some_and(|(_, admin)| !admin.tokens.is_empty() || matches!(admin.listen, Listen::Unix(_)))
        {
            return Ok(());
        }
        // A document that does not load is told so by the check that follows.
        let Ok((desired, _)) = self.read(document) else {
            return Ok(());
        };
        let brought = desired.providers.iter().find(|(name, provider)| {
            provider["source"] == "exec" && view.desired.providers.get(*name) != Some(provider)
        });
        brought.map_or(Ok(()), |(name, _)| Err(Rejected::ExecProvider(name.clone())))
    }

    pub(super) async fn roll_back(
        &mut self,
        number: u64,
        base: Option<u64>,
        allow_deletes: bool,
        who: Option<String>,
    ) -> Result<Outcome, Rejected> {
        let (_, document) = self
            .store
            .generation(number)
            .await?
            .ok_or(Rejected::NoGeneration(number))?;
        let cause = Cause::Rollback;
        let proposal = Proposal {
            document,
            base,
            allow_deletes,
            who,
            git_commit: None,
            cause,
        };
        Self::check_base(base, &self.view.load_full())?;
        self.check(&proposal.document, allow_deletes, Sight::All).await?;
        let sha256 = fingerprint::sha256(&proposal.document);
        let pinned = match document_file::replace(&self.path, &proposal.document) {
            Ok(()) => {
                self.seen = sha256;
                None
            }
            // The file belongs to someone else: the generation is pinned until its bytes change.
            Err(e) => Some(e.to_string()),
        };
        let mut outcome = self.reconcile(proposal).await?;
        if let Some(why) = pinned {
            let note = format!(
                "the file cannot be written ({why}): generation {number}'s document is pinned until the file changes"
            );
            self.condition(types::APPLIED, false, reasons::PINNED, &note);
            outcome.notes.push(note);
        }
        Ok(outcome)
    }

    pub(super) async fn read_file(&self) -> Result<Vec<u8>, Rejected> {
        let path = self.path.clone();
        let read = spawn_blocking(move || read_regular(&path, MAX_BYTES)).await;
        match read.map_err(io::Error::other).flatten() {
            Ok((bytes, _)) => Ok(bytes),
            Err(e) => Err(Rejected::File(format!("{}: {e}", self.path.display()))),
        }
    }
}
