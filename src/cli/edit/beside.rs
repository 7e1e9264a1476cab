//! What makes a webhook where there is no document but an assistant's own file: one is begun beside it.

use std::path::PathBuf;

use super::{Wanted, Writing, carry_out, carry_out_in};
use crate::cli::made::Made;
use crate::cli::surroundings::{self, DocumentFile};
use crate::cli::{Context, Done, Error};
use crate::document::assistant::AssistantsFile;
use crate::document::{Desired, Format};

/// What a document begins with that a command starts beside an assistant's file.
const BEGINNING: &str = "\
# The webhooks of the assistant beside this file; its own openclaw.json must not hold them.
webhooks:
  server: { listen: 127.0.0.1:8790 } # platforms post here, through your proxy or tunnel
  admin: { listen: 127.0.0.1:8791 } # API, metrics and health, for this machine alone
";

/// [`carry_out`], in the document or in the one that is begun.
pub(crate) async fn carry_out_beside(
    writing: &Writing,
    context: &mut Context,
    wanted: impl FnMut(&DocumentFile, &Desired) -> Result<Wanted, Error>,
) -> Result<Done, Error> {
    let named = context.global.config.as_deref();
    let found = named.is_none() && context.surroundings.find(None).is_ok();
    let plain = |path: &PathBuf| !found && surroundings::assistants(path) == Some(AssistantsFile::Plain);
    let Some(assistants) = context.surroundings.assistants_file(named).filter(plain) else {
        return carry_out(writing, context, wanted).await;
    };
    let beside = assistants.with_file_name("openclaw.yaml");
    context.terminal.note(&format!(
        "{} is the OpenClaw assistant's own file, and it does not start with `webhooks` in it: {} is written instead",
        assistants.display(),
        beside.display()
    ));
    let begun = if writing.dry_run || beside.exists() {
        None
    } else {
        Some(Made::file(&beside, BEGINNING)?)
    };
    let done = carry_out_in(beside, writing, context, wanted).await?;
    begun.map(Made::keep);
    Ok(done)
}

/// The document, or for a dry run the beginning of one.
pub(super) fn read(path: PathBuf) -> Result<DocumentFile, Error> {
    if path.exists() {
        return DocumentFile::read(path);
    }
    Ok(DocumentFile {
        path,
        format: Format::Yaml,
        bytes: BEGINNING.as_bytes().to_vec(),
    })
}
