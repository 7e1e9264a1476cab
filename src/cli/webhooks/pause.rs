//! `openclaw webhooks pause` and `openclaw webhooks resume`

use std::time::Duration;

use clap::Args;

use super::{Side, change};
use crate::cli::edit::{self, Wanted, Writing};
use crate::cli::surroundings::DocumentFile;
use crate::cli::target::Target;
use crate::cli::{Context, Done, Error, document};
use crate::document::edit::{Change, Edit};
use crate::document::{Address, Resource, Value};

/// How long the gateway may take to lift a suspension.
const LIFT_TIMEOUT: Duration = Duration::from_secs(10);

/// Pause a webhook
///
/// A paused sender makes no attempts and keeps its backlog; a paused route answers 503.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw webhooks pause event-logger
  openclaw webhooks pause telegram --inbound")]
pub(crate) struct Pause {
    #[command(flatten)]
    which: Which,
}

/// Resume a webhook that is paused or suspended
///
/// A sender goes on with its backlog.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw webhooks resume event-logger
  openclaw webhooks resume telegram --inbound")]
pub(crate) struct Resume {
    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
struct Which {
    /// The webhook's name
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    side: Side,
    #[command(flatten)]
    writing: Writing,
}

fn is_paused(resource: &Resource) -> bool {
    resource.effective("paused") == Some(Value::Bool(true))
}

fn setting(address: &Address, paused: Option<bool>) -> Edit {
    Edit {
        address: address.clone(),
        change: Change::Fields(vec![(vec!["paused".to_owned()], paused.map(Value::Bool))]),
    }
}

pub(crate) async fn pause(arguments: &Pause, context: &mut Context) -> Result<Done, Error> {
    let which = &arguments.which;
    edit::carry_out(&which.writing, context, |_, desired| {
        let (address, resource) = change::find(desired, &which.name, which.side)?;
        if is_paused(resource) {
            return Ok(Wanted::Nothing(format!("`{}` is paused already", which.name)));
        }
        Ok(Wanted::Edits(vec![setting(&address, Some(true))]))
    })
    .await
}

pub(crate) async fn resume(arguments: &Resume, context: &mut Context) -> Result<Done, Error> {
    let which = &arguments.which;
    let lifted = !which.writing.dry_run() && lift(which, context).await?;
    edit::carry_out(&which.writing, context, |file, desired| {
        let (address, resource) = change::find(desired, &which.name, which.side)?;
        if !is_paused(resource) {
            let state = if lifted {
                "was suspended and goes on"
            } else {
                "is not paused"
            };
            return Ok(Wanted::Nothing(format!("`{}` {state}", which.name)));
        }
        // Without the line it is as it was before the pause, unless the defaults or a merge key pause it.
        let edit = setting(&address, None);
        let runs = edit::edited(file, std::slice::from_ref(&edit))
            .ok()
            .and_then(|edited| document::load(&edited).desired)
            .is_some_and(|after| after.resources.get(&address).is_some_and(|after| !is_paused(after)));
        Ok(Wanted::Edits(vec![if runs {
            edit
        } else {
            setting(&address, Some(false))
        }]))
    })
    .await
}

/// Lifts the suspension of a sender, where a gateway runs that knows it. That is no edit: the document says nothing of it.
async fn lift(which: &Which, context: &mut Context) -> Result<bool, Error> {
    let file: DocumentFile = context.surroundings.read(context.global.config.as_deref())?;
    let Some(desired) = document::load(&file).desired else {
        return Ok(false); // the edit says what is wrong
    };
    let (Address::Outbound(name), _) = change::find(&desired, &which.name, which.side)? else {
        return Ok(false);
    };
    let target = Target::find(Some(&file), context)?;
    let path = format!("/v1/webhooks/outbound/{name}/resume");
    let answer: Result<serde_json::Value, _> = target.client.post(&path, &serde_json::json!({}), LIFT_TIMEOUT).await;
    // Where nothing answers, or the sender does not run yet, nothing is suspended.
    Ok(answer.is_ok_and(|answer| answer["resumed"] == true))
}
