//! Where proposals come from: the file system, the API, an earlier generation.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::time::Duration;

use tokio::task::block_in_place;

use super::condition::{reasons, types};
use super::core::{Core, Sight};
use super::settle::Settle;
use super::view::View;
use super::{Outcome, Proposal, Rejected, Rollback, fingerprint};
use crate::document::settings::Listen;
use crate::document_file::{self, Candidate, Exchanged, Lock};
use crate::plan::Plan;
use crate::store::Cause;

impl Core {
    /// Something in the file system moved: the document, or a file that it names.
    pub(super) async fn look(&mut self) {
        // Said once, so that every way out of here has to answer it: by the file's document, or by the one that runs.
        let moved = block_in_place(|| self.watched.moved());
        let bytes = match self.settle.read().await {
            Ok(stable) => stable.bytes,
            Err(e) => {
                self.say_unreadable(&e.to_string());
                return self.renew(moved).await;
            }
        };
        self.say_readable();
        let sha256 = fingerprint::sha256(&bytes);
        let document_moved = sha256 != self.seen;
        self.seen.clone_from(&sha256);
        let view = self.view.load_full();
        if view.manual {
            if document_moved {
                self.say_pending(&sha256);
            }
            return self.renew(moved).await;
        }
        // A document that was refused may be mended by a file that it names.
        let applied = (document_moved || (moved.is_some() && view.waits()))
            && self.reconcile(proposed(bytes, Cause::File)).await.is_ok();
        if !applied {
            self.renew(moved).await;
        }
    }

    /// A secret or a certificate of what runs changed: it runs with the new one, and whatever waits goes on waiting.
    async fn renew(&mut self, moved: Option<Cause>) {
        let Some(cause) = moved else { return };
        let before = self.view.load_full();
        let renewed = self.reconcile(proposed(before.document.to_vec(), cause)).await.is_ok();
        let was_refused_itself = before.waiting.is_some() && !before.waits();
        self.publish(|view| {
            if before.waits() {
                view.waiting.clone_from(&before.waiting);
                view.held.clone_from(&before.held);
            }
            if renewed && !was_refused_itself {
                view.conditions.clone_from(&before.conditions);
            }
        });
    }

    /// SIGHUP and `/v1/reload`: reads the file, once it stands still, whether or not its bytes moved.
    pub(super) async fn reload(&mut self) -> Result<Outcome, Rejected> {
        let read = self.settle.read().await;
        let bytes = read.map_err(|e| Rejected::File(e.to_string()))?.bytes;
        self.seen = fingerprint::sha256(&bytes);
        let moved = block_in_place(|| self.watched.moved());
        let view = self.view.load_full();
        if view.manual && self.seen != view.generation.sha256 {
            let sha256 = self.seen.clone();
            self.say_pending(&sha256);
            self.renew(moved).await;
            return Ok(Outcome {
                generation: self.view.load().generation.clone(),
                plan: Plan::default(),
                applied: false,
                notes: Vec::new(),
            });
        }
        let result = self.reconcile(proposed(bytes, Cause::Reload)).await;
        if result.is_err() {
            self.renew(moved).await;
        }
        result
    }

    /// A document from the API: the gateway's own file, or one that replaces it. What is replaced is the document that it was
    /// made from, and no edit since.
    pub(super) async fn push(&mut self, mut proposal: Proposal, lock: io::Result<Lock>) -> Result<Outcome, Rejected> {
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
        let _lock = lock.map_err(|e| Rejected::File(e.to_string()))?;
        let replaced = self.replace(&view.document, &proposal.document);
        if !replaced.map_err(|e| Rejected::File(e.to_string()))? {
            return Err(self.edited(&view));
        }
        self.seen = sha256;
        self.reconcile(proposal).await
    }

    /// Puts a document into the file's place; `false`: the file is not `old` any more, and stays. A missing one is made.
    fn replace(&self, old: &[u8], new: &[u8]) -> io::Result<bool> {
        block_in_place(|| match Candidate::write(&self.path, new) {
            Ok(candidate) => Ok(matches!(candidate.exchange(old)?, Exchanged::Done(_))),
            Err(e) if e.kind() == ErrorKind::NotFound => document_file::create(&self.path, new),
            Err(e) => Err(e),
        })
    }

    fn edited(&self, view: &View) -> Rejected {
        Rejected::Edited {
            path: self.path.clone(),
            generation: view.generation.number,
        }
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

    /// An edit that was seen and does not run (it waits, is held or was refused) goes with a rollback: `status` shows it,
    /// and the outcome says so. One that was not seen yet stays.
    pub(super) async fn roll_back(&mut self, to: Rollback, lock: io::Result<Lock>) -> Result<Outcome, Rejected> {
        let Rollback {
            number,
            base,
            allow_deletes,
            who,
        } = to;
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
        let view = self.view.load_full();
        Self::check_base(base, &view)?;
        let found = self.read_file().await.unwrap_or_else(|_| view.document.to_vec());
        let sha256 = fingerprint::sha256(&found);
        let is_edit = sha256 != view.generation.sha256 && found != proposal.document;
        if is_edit && sha256 != self.seen {
            return Err(self.edited(&view));
        }
        self.check(&proposal.document, allow_deletes, Sight::All).await?;
        let _lock = lock.map_err(|e| Rejected::File(e.to_string()))?;
        let mut notes = Vec::new();
        let pinned = match self.replace(&found, &proposal.document) {
            Ok(true) => {
                self.seen = fingerprint::sha256(&proposal.document);
                if is_edit {
                    notes.push(format!(
                        "{} held an edit that was not applied: it is gone",
                        self.path.display()
                    ));
                }
                None
            }
            Ok(false) => return Err(self.edited(&view)),
            // The file belongs to someone else: the generation is pinned until its bytes change.
            Err(e) => Some(e.to_string()),
        };
        let mut outcome = self.reconcile(proposal).await?;
        outcome.notes.append(&mut notes);
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
        read_file(self.path.clone()).await
    }
}

/// What the gateway proposes to itself.
fn proposed(document: Vec<u8>, cause: Cause) -> Proposal {
    Proposal {
        document,
        base: None,
        allow_deletes: false,
        who: None,
        git_commit: None,
        cause,
    }
}

/// The file as it is, half-written or not.
pub(super) async fn read_file(path: PathBuf) -> Result<Vec<u8>, Rejected> {
    let read = Settle::new(path, Duration::ZERO).read_now().await;
    Ok(read.map_err(|e| Rejected::File(e.to_string()))?.bytes)
}
