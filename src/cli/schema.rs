//! `openclaw schema`

use clap::Args;

use super::{Context, Done, Error, document};

/// Print the JSON schema of documents
///
/// For editors: every field with its description, default and example (draft 2020-12).
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw schema > openclaw.schema.json

Then, at the top of the document:
  # yaml-language-server: $schema=./openclaw.schema.json")]
pub(crate) struct Arguments {}

pub(crate) fn run(_: &Arguments, context: &mut Context) -> Result<Done, Error> {
    context.terminal.answer(document::schema())?;
    Ok(Done::Well)
}
