//! `openclaw webhooks delete`

use clap::Args;

use super::{Side, change};
use crate::cli::edit::{self, Wanted, Writing};
use crate::cli::{Context, Done, Error};
use crate::document::edit::{Change, Edit};

/// Delete a webhook from the document
///
/// Its own comments go with it. A sender's backlog is drained or discarded as its `onDelete` says; a name that comes back
/// within an hour goes on where it was.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw webhooks delete event-logger
  openclaw webhooks delete telegram --inbound --dry-run")]
pub(crate) struct Arguments {
    /// The webhook's name
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    side: Side,
    #[command(flatten)]
    writing: Writing,
}

pub(crate) async fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    edit::carry_out(&arguments.writing, context, |_, desired| {
        let (address, _) = change::find(desired, &arguments.name, arguments.side)?;
        Ok(Wanted::Edits(vec![Edit {
            address,
            change: Change::Delete,
        }]))
    })
    .await
}
