//! `openclaw webhooks create`

use clap::Args;

use super::change;
use super::flags::{FieldFlags, Outbound};
use crate::admin::wire::Direction;
use crate::cli::edit::{self, Wanted, Writing};
use crate::cli::{Context, Done, Error};
use crate::document::edit::{Change, Edit};

/// Create an outbound webhook
///
/// Edits the document, and nothing else; prints the resulting plan and waits until the gateway has converged.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw webhooks create event-logger --url https://log.example.com/events \\
    --events message.received,message.sent,error --secret env:EVENT_LOGGER_SECRET
  openclaw webhooks create audit --url https://audit.example.com --retries 3 --dry-run")]
pub(crate) struct Arguments {
    /// The webhook's name
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    writing: Writing,
    #[command(flatten)]
    fields: FieldFlags<Outbound>,
}

pub(crate) async fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    let address = change::address(Direction::Outbound, change::name(&arguments.name)?);
    change::warn(&arguments.fields, context);
    edit::carry_out_beside(&arguments.writing, context, |_, desired| {
        if desired.resources.contains_key(&address) {
            return Err(
                Error::new(format!("there is an outbound webhook `{}` already", arguments.name))
                    .hint(format!("`openclaw webhooks update {}` changes it", arguments.name)),
            );
        }
        if !arguments.fields.gives("url") {
            return Err(
                Error::new("an outbound webhook needs --url").hint("--url https://… is where events are posted to")
            );
        }
        let change = Change::Fields(arguments.fields.changes("outbound")?);
        Ok(Wanted::Edits(vec![Edit {
            address: address.clone(),
            change,
        }]))
    })
    .await
}
