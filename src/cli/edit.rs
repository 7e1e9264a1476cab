//! The write path of the commands that edit the document: lock, read, edit, check, replace, and tell what comes of it.

mod beside;
mod outcome;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use similar::{ChangeTag, TextDiff};

use super::surroundings::{self, DocumentFile};
use super::{Context, Done, Error, document, local, plan, target::Target, time};
use crate::admin::client::ClientError;
use crate::admin::wire::{DiagnosticRow, DocumentState, PlanDocument, PlanRequest, Problem, Status};
use crate::document::edit::{self, Edit, EditError};
use crate::document::mask::MASK;
use crate::document::{Code, Desired, Source, masked};
use crate::document_file::{self, Candidate, Exchanged, Late};
use crate::event::KNOWN_EVENTS;
use crate::plan::render::text::{self, visible};

use outcome::{Outcome, is_watched, outcome};

pub(crate) use beside::carry_out_beside;

/// An editor may save while a command edits; then the edit is made again on its text, at most so often.
const TRIES: usize = 10;

/// How every command that edits may be told to do it.
#[derive(Debug, Clone, Args)]
pub(crate) struct Writing {
    /// Print the edit and the plan, write nothing
    #[arg(long)]
    dry_run: bool,
    /// How long to wait until the gateway has converged
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = time::parse_duration)]
    wait: Duration,
}

impl Writing {
    pub(crate) fn dry_run(&self) -> bool {
        self.dry_run
    }
}

/// What a command wants of the document that it was given.
pub(crate) enum Wanted {
    /// These edits, one after the other.
    Edits(Vec<Edit>),
    /// Nothing: this is so already.
    Nothing(String),
}

/// What was done to the document.
pub(crate) struct Written {
    file: DocumentFile,
    plan: Option<PlanDocument>,
    before: Option<Status>,
    /// What was edited.
    old: DocumentFile,
}

/// Edits the document as `wanted` says and tells what comes of it.
pub(crate) async fn carry_out(
    writing: &Writing,
    context: &mut Context,
    wanted: impl FnMut(&DocumentFile, &Desired) -> Result<Wanted, Error>,
) -> Result<Done, Error> {
    let named = context.global.config.as_deref();
    let path = context.surroundings.find(named).or_else(|_| {
        // An editor may have renamed it away, and writes it anew.
        std::thread::sleep(document_file::SETTLE);
        context.surroundings.find(named)
    })?;
    if surroundings::assistants(&path).is_some() {
        return Err(Error::new(format!(
            "{} is the OpenClaw assistant's own file, which is never written to",
            path.display()
        ))
        .hint(
            "move its `webhooks` into an openclaw.yaml beside it: the assistant does not start while they are there",
        ));
    }
    carry_out_in(path, writing, context, wanted).await
}

async fn carry_out_in(
    path: PathBuf,
    writing: &Writing,
    context: &mut Context,
    mut wanted: impl FnMut(&DocumentFile, &Desired) -> Result<Wanted, Error>,
) -> Result<Done, Error> {
    if writing.dry_run {
        let old = beside::read(path)?;
        return match step(&old, &mut wanted)? {
            Step::Done(reason) => nothing(&reason, context),
            Step::Edits(_, new) => dry(&planned(&old, new, None, context).await?, context),
        };
    }
    let lock = lock(&path)?;
    // The text to edit, and the one that is in place, where they are not simply the file's.
    let mut next = None;
    for _ in 0..TRIES {
        let (old, in_place) = if let Some(texts) = next.take() {
            texts
        } else {
            let old = DocumentFile::read_settled(path.clone())?;
            (old.clone(), old.bytes)
        };
        let (edits, new) = match step(&old, &mut wanted)? {
            Step::Done(reason) if old.bytes == in_place => return nothing(&reason, context),
            Step::Done(_) => (Vec::new(), old.clone()),
            Step::Edits(edits, new) => (edits, new),
        };
        let not_written = |error: std::io::Error| not_written(&path, &error);
        let candidate = Candidate::write(&path, &new.bytes).map_err(not_written)?;
        let mut written = planned(&old, new, Some(&candidate), context).await?;
        let Exchanged::Done(replaced) = candidate.exchange(&in_place).map_err(not_written)? else {
            continue; // an editor has saved meanwhile
        };
        let late = replaced.settled().map_err(|error| Error::file("read", &path, &error))?;
        let saved = |bytes| DocumentFile { bytes, ..old.clone() };
        match late {
            None => {}
            Some(Late::Over(text)) if holds(&saved(text.clone()), &edits) => written.file = saved(text),
            Some(Late::Over(text)) => {
                next = Some((saved(text.clone()), text));
                continue;
            }
            Some(Late::Into(text)) => {
                next = Some((saved(text), written.file.bytes));
                continue;
            }
        }
        drop(lock);
        return told(&written, writing, context).await;
    }
    Err(Error::new(format!(
        "{}: something else writes to it all the time",
        path.display()
    )))
}

/// What is to be done with a text.
enum Step {
    /// Nothing: the reason.
    Done(String),
    /// These edits, which make this of it.
    Edits(Vec<Edit>, DocumentFile),
}

fn step(
    old: &DocumentFile,
    wanted: &mut impl FnMut(&DocumentFile, &Desired) -> Result<Wanted, Error>,
) -> Result<Step, Error> {
    let edits = match wanted(old, meaning(old)?.as_ref())? {
        Wanted::Edits(edits) => edits,
        Wanted::Nothing(reason) => return Ok(Step::Done(reason)),
    };
    let new = edited(old, &edits)?;
    if new.bytes == old.bytes {
        return Ok(Step::Done("the document says so already".to_owned()));
    }
    match document::load(&new).desired {
        Some(_) => Ok(Step::Edits(edits, new)),
        None => Err(would_be_broken(&document::load(&new).rows())),
    }
}

/// Nothing is written that a gateway would refuse at once: what is wrong, and every way out.
fn would_be_broken(rows: &[DiagnosticRow]) -> Error {
    let errors = || rows.iter().filter(|row| row.severity == "error");
    let lines = errors().map(|row| format!("  error[{}]: {row}", row.code));
    let head = "nothing was written: the document would be broken:".to_owned();
    let mut error = Error::new(std::iter::once(head).chain(lines).collect::<Vec<_>>().join("\n"));
    let mut hints: Vec<_> = errors().flat_map(|row| row.hints.clone()).collect();
    if errors().any(|row| row.code == Code::EventName.as_str()) {
        let names = KNOWN_EVENTS.join(", ");
        hints.push(format!(
            "events are {names}; patterns such as message.*; or names of your own with a dot in them"
        ));
    }
    hints.dedup();
    for hint in hints {
        error = error.hint(hint);
    }
    error
}

/// Whether a text says what the edits want already.
fn holds(file: &DocumentFile, edits: &[Edit]) -> bool {
    let name = file.name();
    let source = Source {
        path: &name,
        format: file.format,
        text: &file.bytes,
    };
    edits.iter().all(|change| match edit::apply(&source, change) {
        Ok(edited) => !edited.changed,
        Err(error) => matches!(error, EditError::Missing { .. }),
    })
}

fn nothing(reason: &str, context: &mut Context) -> Result<Done, Error> {
    if context.terminal.json {
        context
            .terminal
            .answer_json(&json!({"changed": false, "reason": reason}))?;
    } else {
        context.terminal.answer(format!("Nothing to do: {reason}.\n"))?;
    }
    Ok(Done::Well)
}

fn lock(path: &Path) -> Result<document_file::Lock, Error> {
    document_file::writable(path).map_err(|error| not_written(path, &error))?;
    document_file::lock(path).map_err(|error| Error::file("lock", path, &error))
}

fn not_written(path: &Path, error: &std::io::Error) -> Error {
    let failed = Error::new(format!("cannot edit {}: {error}", path.display()));
    if error.kind() == std::io::ErrorKind::PermissionDenied {
        return failed
            .hint("--dry-run prints the edit: make it where the file comes from")
            .hint("or edit a copy: `--config COPY`, then `openclaw apply -f COPY`");
    }
    failed
}

/// What a document means, or everything that is wrong with it.
fn meaning(file: &DocumentFile) -> Result<Arc<Desired>, Error> {
    let loaded = document::load(file);
    let rows = loaded.rows();
    loaded.desired.ok_or_else(|| local::broken(&rows))
}

/// Makes the edits, in memory.
pub(crate) fn edited(file: &DocumentFile, edits: &[Edit]) -> Result<DocumentFile, Error> {
    let name = file.name();
    // The text that the edits begin with was read already.
    let mut desired = document::load(file).desired;
    let mut file = file.clone();
    for change in edits {
        let source = Source {
            path: &name,
            format: file.format,
            text: &file.bytes,
        };
        let edited = match desired.take() {
            Some(desired) => edit::apply_to(&desired, &source, change),
            None => edit::apply(&source, change),
        };
        file.bytes = edited.map_err(refused)?.text.into_bytes();
    }
    Ok(file)
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of map_err")]
fn refused(error: EditError) -> Error {
    let second = matches!(error, EditError::SecondPlace { .. });
    let failed = Error::new(error.to_string());
    if second {
        failed.hint("write the value out where it is used, then try again")
    } else {
        failed
    }
}

/// The plan: the gateway's, else against what was applied last, else against the old text. A gateway of
/// this very file prepares the candidate: what it would refuse is not written.
async fn planned(
    old: &DocumentFile,
    new: DocumentFile,
    candidate: Option<&Candidate>,
    context: &mut Context,
) -> Result<Written, Error> {
    let target = Target::find(Some(old), context)?;
    let request = PlanRequest {
        candidate: candidate.map(Candidate::name),
        ..plan::request(&new, None, context)?
    };
    let (plan, before) = match target.client.plan(&request).await {
        Ok(plan) => (Some(plan), target.client.status().await.ok()),
        Err(ClientError::NothingAnswers(_)) if !target.named => (without_gateway(old, &new, context).await, None),
        Err(ClientError::Problem(problem)) if problem.kind == Problem::PREPARE => {
            let status = target.client.status().await?;
            // What it refuses already may be mended step by step.
            if is_watched(&status, old) && status.document.state != DocumentState::Rejected {
                return Err(Error::from(ClientError::Problem(problem))
                    .hint("nothing was written: the gateway would refuse the document"));
            }
            (plan::compare(old, &new, context).ok(), Some(status))
        }
        Err(error) => return Err(error.into()),
    };
    Ok(Written {
        old: old.clone(),
        file: new,
        plan,
        before,
    })
}

async fn without_gateway(old: &DocumentFile, new: &DocumentFile, context: &Context) -> Option<PlanDocument> {
    let row = plan::row(new, context);
    // Where nothing was ever applied, all of a large document would be new: what is told is the edit.
    if let Some(store) = local::open_applied(old).await
        && let Ok(plan) = local::plan(Some(store.as_ref()), new, row, None).await
    {
        return Some(plan);
    }
    plan::compare(old, new, context).ok()
}

/// A unified diff, with literals of sensitive fields masked. A line of which only such a literal changed is in it too.
fn difference(old: &DocumentFile, new: &DocumentFile) -> Result<String, Error> {
    // A document that a dry run begins is not there.
    let is_new = !old.path.exists();
    let before = if is_new { "" } else { old.text()? };
    let name = old
        .path
        .file_name()
        .map_or_else(|| old.name(), |name| name.to_string_lossy().into_owned());
    let shown = |file: &DocumentFile| {
        masked(&Source {
            path: &file.name(),
            text: &file.bytes,
            format: file.format,
        })
    };
    let (shown_before, shown_after) = (if is_new { String::new() } else { shown(old) }, shown(new));
    let diff = TextDiff::from_lines(before, new.text()?);
    // The same lines as they are shown, split the same way.
    let shown = TextDiff::from_lines(&shown_before, &shown_after);
    let mut out = String::new();
    for hunk in diff.unified_diff().context_radius(3).iter_hunks() {
        if out.is_empty() {
            out = format!("--- a/{name}\n+++ b/{name}\n");
        }
        let _ = writeln!(out, "{}", hunk.header());
        for change in hunk.iter_changes() {
            let (lines, at) = match change.tag() {
                ChangeTag::Insert => (shown.new_slices(), change.new_index()),
                ChangeTag::Delete | ChangeTag::Equal => (shown.old_slices(), change.old_index()),
            };
            let line = at.and_then(|at| lines.get(at)).copied().unwrap_or(MASK);
            let _ = writeln!(out, "{}{}", change.tag(), line.trim_end_matches(['\r', '\n']));
            if change.missing_newline() {
                out.push_str("\\ No newline at end of file\n");
            }
        }
    }
    Ok(out)
}

fn dry(written: &Written, context: &mut Context) -> Result<Done, Error> {
    let diff = difference(&written.old, &written.file)?;
    if context.terminal.json {
        let answer = json!({"changed": true, "dryRun": true, "diff": diff, "plan": written.plan});
        context.terminal.answer_json(&answer)?;
        return Ok(Done::Well);
    }
    context.terminal.answer(&diff)?;
    if let Some(plan) = &written.plan {
        let shown = plan::Form::Text.render(plan, context.terminal.colour);
        context.terminal.answer(format!("\n{shown}"))?;
    }
    context.terminal.note("nothing was written: this was a dry run");
    Ok(Done::Well)
}

async fn told(written: &Written, writing: &Writing, context: &mut Context) -> Result<Done, Error> {
    if !context.terminal.json
        && let Some(plan) = &written.plan
    {
        let shown = plan::Form::Text.render(plan, context.terminal.colour);
        context.terminal.answer(shown)?;
        context.terminal.flush()?;
    }
    let outcome = outcome(written, writing, context).await?;
    let name = written.file.name();
    let (word, line, reasons, done) = match outcome {
        Outcome::Applied(generation) => {
            let number = generation.map_or(String::new(), |number| format!(" Generation {number}."));
            (
                "applied",
                format!("Saved {name}; the gateway has converged.{number}"),
                vec![],
                Done::Well,
            )
        }
        Outcome::Waiting(word, reasons) => {
            let way = if word == "held" {
                "openclaw apply --allow-deletes"
            } else {
                "openclaw apply"
            };
            (
                word,
                format!("Saved {name}; it is {word} until `{way}`."),
                reasons,
                Done::Well,
            )
        }
        Outcome::Rejected(reasons) => {
            let line = format!("Saved {name}; the gateway refuses it and keeps what it runs.");
            ("rejected", line, reasons, Done::No)
        }
        Outcome::NotWatched(reason) => ("saved", format!("Saved {name}; {reason}."), vec![], Done::Well),
        Outcome::Late => {
            let line = format!(
                "Saved {name}; the gateway has not converged within {}.",
                time::length_of(writing.wait)
            );
            (
                "late",
                line,
                vec!["`openclaw status` tells how far it is".to_owned()],
                Done::No,
            )
        }
    };
    if context.terminal.json {
        let answer =
            json!({"changed": true, "document": name, "outcome": word, "reasons": reasons, "plan": written.plan});
        context.terminal.answer_json(&answer)?;
    } else {
        context.terminal.answer(format!("\n{}\n", visible(&line)))?;
        for reason in &reasons {
            context.terminal.answer(format!("  {}\n", text::visible(reason)))?;
        }
    }
    Ok(done)
}
