//! What is said about a reconcile: conditions, log lines, what waits.

use std::sync::Arc;

use tracing::{error, info, warn};

use crate::document::reference::has_reference;
use crate::document::{Address, Desired, Diagnostic, Severity};
use crate::event::Name;
use crate::inbound::Routes;

use super::commit::url;
use super::condition::{reasons, types};
use super::core::Core;
use super::settle::is_own_mount;
use super::view::View;
use super::{Notice, Proposal, Rejected, fingerprint};

impl Core {
    pub(super) fn publish(&mut self, change: impl FnOnce(&mut View)) {
        let mut view = (**self.view.load()).clone();
        change(&mut view);
        if let Some((serving, settings)) = &self.running.public {
            view.public = url(serving, settings.tls.is_some());
        }
        if let Some((serving, settings)) = &self.running.admin {
            view.admin = url(serving, settings.tls.is_some());
        }
        let missing = unanswered(&view.desired, &self.running.routes);
        let (status, reason, message) = match missing.first() {
            None => (true, reasons::OK, String::new()),
            Some((name, path)) => (
                false,
                reasons::PATH_NOT_SERVED,
                format!("webhooks.inbound.{name}: {path} does not answer"),
            ),
        };
        if !status {
            error!(message, "the router does not serve what the document says");
        }
        view.conditions.set(
            types::ROUTES_CONSISTENT,
            status,
            reason,
            message,
            self.clock.now(),
            view.generation.number,
        );
        self.view.store(Arc::new(view));
    }

    pub(super) fn condition(
        &mut self,
        r#type: &'static str,
        status: bool,
        reason: &'static str,
        message: impl Into<String>,
    ) {
        let now = self.clock.now();
        let mut view = (**self.view.load()).clone();
        view.conditions
            .set(r#type, status, reason, message, now, view.generation.number);
        self.view.store(Arc::new(view));
    }

    pub(super) fn notice(&self, notice: Notice) {
        // Full: whoever is to be told is behind by more reconciles than the bound.
        let _ = self.notices.try_send(notice);
    }

    pub(super) fn say_applied(&mut self) {
        let mut view = (**self.view.load()).clone();
        view.held = None;
        view.waiting = None;
        self.view.store(Arc::new(view));
        self.condition(types::APPLIED, true, reasons::OK, "");
    }

    pub(super) fn say_rejected(&mut self, proposal: &Proposal, rejected: &Rejected) {
        let reason = match rejected {
            Rejected::Document(_) | Rejected::Empty(_) => reasons::DOCUMENT_INVALID,
            Rejected::Held(_) => reasons::HELD,
            // The one who asked is told; what runs and what waits is as it was.
            Rejected::Stale { .. }
            | Rejected::Busy
            | Rejected::Stopping
            | Rejected::NoGeneration(_)
            | Rejected::Edited { .. }
            | Rejected::ExecProvider(_) => return,
            _ => reasons::PREPARE_FAILED,
        };
        let message = match rejected {
            Rejected::Document(found) => errors(found),
            other => other.to_string(),
        };
        let generation = self.view.load().generation.number;
        error!(
            cause = proposal.cause.as_str(),
            reason,
            generation,
            "not applied, generation {generation} keeps running: {}",
            message.replace('\n', "; ")
        );
        let sha256 = fingerprint::sha256(&proposal.document);
        self.notice(match rejected {
            Rejected::Held(held) => Notice::Held {
                generation,
                sha256: sha256.clone(),
                cause: proposal.cause,
                reasons: held.reasons.clone(),
            },
            _ => Notice::Rejected {
                generation,
                sha256: sha256.clone(),
                cause: proposal.cause,
                reason,
                message: message.clone(),
            },
        });
        let mut view = (**self.view.load()).clone();
        view.waiting = Some(sha256);
        view.held = match rejected {
            Rejected::Held(held) => Some(Arc::new(held.clone())),
            _ => None,
        };
        self.view.store(Arc::new(view));
        self.condition(types::APPLIED, false, reason, message);
        // A file that the rejected document names may be what mends it.
        if let Ok((desired, _)) = self.read(&proposal.document) {
            self.watched.follow_too(&self.path, &desired);
        }
    }

    pub(super) fn say_pending(&mut self, sha256: &str) {
        info!(
            sha256,
            "the document changed and waits for `openclaw apply` (reconcile.mode is manual)"
        );
        let mut view = (**self.view.load()).clone();
        view.waiting = Some(sha256.to_owned()).filter(|sha256| *sha256 != view.generation.sha256);
        let waits = view.waiting.is_some();
        self.view.store(Arc::new(view));
        let (reason, message) = if waits {
            (reasons::PENDING, "the document waits for `openclaw apply`")
        } else {
            (reasons::OK, "")
        };
        self.condition(types::APPLIED, !waits, reason, message);
    }

    /// Whether the files are watched by events, by polling alone, or (a bind-mounted single file) perhaps in vain.
    pub(super) fn say_watching(&mut self, fault: Option<String>) {
        let standing = self.view.load();
        let standing = standing.conditions.get(types::WATCHING);
        if standing.is_some_and(|condition| !condition.status) {
            return;
        }
        let mounted = is_own_mount(&self.path).then_some(
            "the document is mounted as a single file: one that is renamed over it outside is never seen; mount its directory",
        );
        let (reason, message) = match (mounted, fault) {
            (Some(why), _) => (reasons::BIND_MOUNTED, why.to_owned()),
            (None, Some(why)) => (reasons::POLLED, why),
            (None, None) => (reasons::OK, String::new()),
        };
        if standing.is_none_or(|condition| condition.reason != reason) {
            if reason != reasons::OK {
                warn!(path = %self.path.display(), "{message}");
            }
            self.condition(types::WATCHING, true, reason, message);
        }
    }

    pub(super) fn say_unreadable(&mut self, why: &str) {
        warn!(path = %self.path.display(), "the document cannot be read, the last applied one keeps running: {why}");
        self.condition(types::WATCHING, false, reasons::DOCUMENT_MISSING, why);
    }

    pub(super) fn say_readable(&mut self) {
        let missing = self
            .view
            .load()
            .conditions
            .get(types::WATCHING)
            .is_some_and(|c| !c.status);
        if missing {
            self.condition(types::WATCHING, true, reasons::OK, "");
        }
    }
}

/// The errors of a document, a line each.
pub(super) fn errors(found: &[Diagnostic]) -> String {
    let lines: Vec<String> = found.iter().filter(|d| d.is_error()).map(ToString::to_string).collect();
    lines.join("\n")
}

/// What a document that is taken warns of, in the log.
pub fn warn_of(found: &[Diagnostic]) {
    for warning in found.iter().filter(|d| d.severity == Severity::Warning) {
        warn!(code = warning.code.as_str(), line = warning.line, "{warning}");
    }
}

/// The desired paths that the router does not serve by the name that the document gives them.
fn unanswered(desired: &Desired, routes: &Routes) -> Vec<(Name, String)> {
    desired
        .resources
        .iter()
        .filter_map(|(address, resource)| match address {
            Address::Inbound(name) => Some((name, resource.effective_ref("path")?.as_text()?)),
            _ => None,
        })
        // A path with a reference in it has another text once it is filled in.
        .filter(|(name, path)| {
            if has_reference(path) {
                !routes.is_reached(name)
            } else {
                routes.answers(path).as_ref() != Some(*name)
            }
        })
        .map(|(name, path)| (name.clone(), path.to_owned()))
        .collect()
}
