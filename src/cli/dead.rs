//! `openclaw dead`

use std::time::Duration;

use clap::{Args, Subcommand};

use super::source::Source;
use super::{Context, Done, Error, table::Table, time, webhooks};
use crate::admin::wire::{Listing, PurgeRequest, Purged};
use crate::event::Name;
use crate::store::DeadLetter;

const PATIENCE: Duration = Duration::from_mins(10);

/// List dead letters, or drop them
///
/// Deliveries that were given up, each with its reason. `openclaw replay NAME --failed` sends them again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw dead list
  openclaw dead list event-logger --since 24h
  openclaw dead purge event-logger --before 7d")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(List),
    Purge(Purge),
}

/// List dead letters
///
/// The oldest comes first, times are UTC; --json gives the newest first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw dead list
  openclaw dead list event-logger --json")]
struct List {
    /// Only this sender's
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// How many of the newest
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    last: u32,
    /// Dead not longer than this: 15m, 24h, 7d, or a time
    #[arg(long, value_name = "WHEN", value_parser = time::Since::parse)]
    since: Option<time::Since>,
}

/// Drop dead letters for good
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw dead purge event-logger
  openclaw dead purge --before 7d --yes")]
struct Purge {
    /// Only this sender's; without it, those of all
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Only those that died before: 24h, 7d, or a time
    #[arg(long, value_name = "WHEN", value_parser = time::Since::parse)]
    before: Option<time::Since>,
    /// Do not ask
    #[arg(long, short)]
    yes: bool,
}

pub(crate) async fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    match &arguments.command {
        Command::List(arguments) => list(arguments, context).await,
        Command::Purge(arguments) => purge(arguments, context).await,
    }
}

/// The sender that is meant, by its name in the document.
async fn sender(source: &Source, name: Option<&String>) -> Result<Option<Name>, Error> {
    let Some(name) = name else { return Ok(None) };
    let found = webhooks::find_sender(source, name, "only outbound ones have dead letters").await?;
    let name = Name::parse(&found.webhook.name).map_err(|error| Error::new(error.to_string()))?;
    Ok(Some(name))
}

async fn list(arguments: &List, context: &mut Context) -> Result<Done, Error> {
    let source = Source::open(context).await?;
    let name = sender(&source, arguments.name.as_ref()).await?;
    let since_ms = arguments.since.map(|since| since.ms(context.clock.now_ms()));
    let items = source.dead(name.as_ref(), since_ms, arguments.last as usize).await?;
    if context.terminal.json {
        context.terminal.answer_json(&Listing { items, next: None })?;
    } else {
        context.terminal.answer(render(&items))?;
    }
    Ok(Done::Well)
}

fn render(items: &[DeadLetter]) -> String {
    if items.is_empty() {
        return "No dead letters.\n".to_owned();
    }
    let mut table = Table::default();
    table.row(["SINCE", "SENDER", "EVENT", "ID", "REASON", "ATTEMPTS", "DETAIL"]);
    for letter in items.iter().rev() {
        table.row([
            time::stamp(letter.since_ms),
            letter.sender.clone(),
            letter.event.clone(),
            letter.event_id.clone(),
            letter.reason.clone(),
            letter.attempts.to_string(),
            letter.detail.clone(),
        ]);
    }
    table.render()
}

async fn purge(arguments: &Purge, context: &mut Context) -> Result<Done, Error> {
    let (source, client) = Source::of_gateway(context)?;
    let name = sender(&source, arguments.name.as_ref()).await?;
    if !arguments.yes {
        let whose = name
            .as_ref()
            .map_or_else(|| "all senders".to_owned(), |name| format!("`{name}`"));
        context
            .terminal
            .confirm(&format!("Drop the dead letters of {whose} for good?"))?;
    }
    let request = PurgeRequest {
        sender: name.map(|name| name.to_string()),
        event: None,
        before: arguments
            .before
            .map(|before| time::exact(before.ms(context.clock.now_ms()))),
    };
    let purged: Purged = client.post("/v1/dead/purge", &request, PATIENCE).await?;
    if context.terminal.json {
        context.terminal.answer_json(&purged)?;
    } else {
        let what = if purged.purged == 1 {
            "dead letter"
        } else {
            "dead letters"
        };
        context
            .terminal
            .answer(format!("Dropped {} {what}.\n", purged.purged))?;
    }
    Ok(Done::Well)
}
