//! `openclaw webhooks update`

use clap::Args;

use super::flags::{Both, FieldFlags};
use super::{Side, change, set_inbound};
use crate::cli::edit::{self, Wanted, Writing};
use crate::cli::{Context, Done, Error};
use crate::document::Address;
use crate::document::edit::{Change, Edit};

/// Change fields of a webhook
///
/// Edits the document, and nothing else; prints the resulting plan and waits until the gateway has converged.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw webhooks update event-logger --events message.received,message.sent,channel.disconnected
  openclaw webhooks update event-logger --retries 3 --retry-delay 5000 --timeout 10000
  openclaw webhooks update event-logger --unset retries --label team=audit --dry-run")]
pub(crate) struct Arguments {
    /// The webhook's name
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    side: Side,
    #[command(flatten)]
    writing: Writing,
    #[command(flatten)]
    fields: FieldFlags<Both>,
}

pub(crate) async fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    if arguments.fields.is_empty() {
        return Err(Error::new("nothing to change: no field was given")
            .hint("`openclaw webhooks update --help` lists the flags, one for each field"));
    }
    change::warn(&arguments.fields, context);
    edit::carry_out(&arguments.writing, context, |_, desired| {
        let (address, resource) = change::find(desired, &arguments.name, arguments.side)?;
        let changes = arguments.fields.changes(change::side(&address))?;
        if let Address::Inbound(name) = &address {
            let platform = set_inbound::platform(name, &arguments.fields, Some(resource))?;
            set_inbound::fit(platform, &arguments.fields)?;
        }
        Ok(Wanted::Edits(vec![Edit {
            address,
            change: Change::Fields(changes),
        }]))
    })
    .await
}
