//! `openclaw rollback`

use clap::Args;

use super::apply::{Consent, Proposal, carry_out};
use super::{Context, Done, Error, plan, surroundings::DocumentFile, target::Target};
use crate::admin::wire::DocumentState;

/// Go back to an earlier generation
///
/// Shows the plan, asks, rewrites the gateway's file and applies it; that makes a new generation. Where something else
/// owns the file, the old document runs until the file changes.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw history
  openclaw rollback 6
  openclaw rollback 6 --yes")]
pub(crate) struct Arguments {
    /// The generation to go back to
    #[arg(value_name = "GENERATION")]
    generation: u64,
    #[command(flatten)]
    consent: Consent,
}

pub(crate) async fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    let target = Target::find(None, context)?;
    let status = target.client.status().await?;
    let running = status.generation.as_ref().map(|generation| &generation.sha256);
    if status.document.state != DocumentState::Applied && status.document.sha256.as_ref() != running {
        context.terminal.note(&format!(
            "{} holds an edit that was not applied: a rollback takes its place",
            status.document.path
        ));
    }
    let (number, bytes) = target.client.document(Some(arguments.generation)).await?;
    // The gateway reads it as its own file: it was that once.
    let path: std::path::PathBuf = status.document.path.into();
    let format = super::surroundings::format_of(&path)?;
    let file = DocumentFile {
        path: format!("generation {number}").into(),
        format,
        bytes,
    };
    let plan = target.client.plan(&plan::request(&file, None, context)?).await?;
    let proposal = Proposal {
        file,
        plan,
        rollback_to: Some(number),
        guard: None,
    };
    carry_out(proposal, &arguments.consent, &target.client, context).await
}
