//! `openclaw store`

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{Context, Done, Error, document, local};
use crate::store;

/// Back the store up, or check it
///
/// Both work while the gateway runs.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw store backup /backup/openclaw.db
  openclaw store check")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Backup(Backup),
    Check(Check),
}

/// Write a consistent copy of the store
///
/// To go back to it, put it as `store.db` into the directory of `webhooks.store.path` of a gateway that does not run.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw store backup /backup/openclaw.db
  openclaw store backup /backup/")]
struct Backup {
    /// A new file, or a directory that has no store.db
    #[arg(value_name = "TO")]
    to: PathBuf,
}

/// Look through the whole store for damage
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw store check
  openclaw store check --json

Exit codes: 0 nothing is wrong, 1 something is, or an error.")]
struct Check {}

pub(crate) async fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    match &arguments.command {
        Command::Backup(arguments) => backup(arguments, context).await,
        Command::Check(_) => check(context),
    }
}

async fn backup(arguments: &Backup, context: &mut Context) -> Result<Done, Error> {
    let store = local::open_described(context)?;
    let to = context.surroundings.directory.join(&arguments.to);
    store.backup(&to).await.map_err(local::failed)?;
    let file = if to.is_dir() { to.join("store.db") } else { to };
    let bytes = std::fs::metadata(&file).map_or(0, |meta| meta.len());
    if context.terminal.json {
        let answer = serde_json::json!({ "path": file, "bytes": bytes });
        context.terminal.answer_json(&answer)?;
    } else {
        context
            .terminal
            .answer(format!("Wrote {} ({bytes} bytes).\n", file.display()))?;
    }
    Ok(Done::Well)
}

fn check(context: &mut Context) -> Result<Done, Error> {
    let file = context.surroundings.read(context.global.config.as_deref())?;
    let path = document::store_path(&file).ok_or_else(|| {
        Error::new("the document does not say where its store is").hint("`openclaw validate` shows why")
    })?;
    let checked = store::sqlite::check(&path).map_err(local::failed)?;
    let checked = checked.ok_or_else(|| local::no_store(&file))?;
    let done = if checked.problems.is_empty() {
        Done::Well
    } else {
        Done::No
    };
    if context.terminal.json {
        context.terminal.answer_json(&checked)?;
        return Ok(done);
    }
    let mut text = format!(
        "Store: {}\n  Format: {} (written by {})\n  Events: {}\n  Owed: {}\n  Dead Letters: {}\n  Generations: {}\n",
        checked.path.display(),
        checked.format,
        checked.written_by,
        checked.events,
        checked.owed,
        checked.dead,
        checked.generations
    );
    if checked.problems.is_empty() {
        text.push_str("  Nothing is wrong.\n");
    }
    for problem in &checked.problems {
        let _ = writeln!(text, "  Problem: {problem}");
    }
    context.terminal.answer(text)?;
    Ok(done)
}
