//! `openclaw webhooks`: one file a subcommand.

mod change;
mod create;
mod delete;
mod flags;
mod list;
mod logs;
mod pause;
mod set_inbound;
mod show;
mod test;
mod update;

use clap::{Args, Subcommand};

use super::source::Source;
use super::{Context, Done, Error};
use crate::admin::wire::{Direction, WebhookDetail, WebhookRow, WebhookState};
use crate::document::diagnostic::nearest;
use crate::event::Name;

/// List, show, make, change, test and follow webhooks
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw webhooks list
  openclaw webhooks show telegram
  openclaw webhooks test telegram --inbound
  openclaw webhooks logs event-logger --last 20")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// The help of each command stands at its arguments.
#[derive(Debug, Subcommand)]
enum Command {
    List(list::Arguments),
    Show(show::Arguments),
    SetInbound(set_inbound::Arguments),
    Create(create::Arguments),
    Update(update::Arguments),
    Test(test::Arguments),
    Logs(logs::Arguments),
    Pause(pause::Pause),
    Resume(pause::Resume),
    Delete(delete::Arguments),
}

pub(crate) async fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    match &arguments.command {
        Command::List(arguments) => list::run(arguments, context).await,
        Command::Show(arguments) => show::run(arguments, context).await,
        Command::SetInbound(arguments) => set_inbound::run(arguments, context).await,
        Command::Create(arguments) => create::run(arguments, context).await,
        Command::Update(arguments) => update::run(arguments, context).await,
        Command::Test(arguments) => test::run(arguments, context).await,
        Command::Logs(arguments) => logs::run(arguments, context).await,
        Command::Pause(arguments) => pause::pause(arguments, context).await,
        Command::Resume(arguments) => pause::resume(arguments, context).await,
        Command::Delete(arguments) => delete::run(arguments, context).await,
    }
}

/// Which of two webhooks that share a name.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Side {
    /// The inbound webhook of that name
    #[arg(long, conflicts_with = "outbound")]
    inbound: bool,
    /// The outbound webhook of that name
    #[arg(long)]
    outbound: bool,
}

impl Side {
    fn direction(self) -> Option<Direction> {
        match (self.inbound, self.outbound) {
            (true, _) => Some(Direction::Inbound),
            (_, true) => Some(Direction::Outbound),
            _ => None,
        }
    }
}

/// The webhook that a command names.
///
/// # Errors
/// There is none (then the nearest name is told), or there is one on both sides and nothing says which.
pub(crate) async fn find(source: &Source, text: &str, side: Option<Direction>) -> Result<WebhookDetail, Error> {
    look_for(source, text, side, "write --inbound").await
}

/// The outbound webhook that a command names which has no flag for the other side: `only` says why.
pub(crate) async fn find_sender(source: &Source, text: &str, only: &str) -> Result<WebhookDetail, Error> {
    look_for(source, text, Some(Direction::Outbound), only).await
}

/// `if_inbound`: what to tell of an inbound webhook of that name where an outbound one is meant.
async fn look_for(
    source: &Source,
    text: &str,
    side: Option<Direction>,
    if_inbound: &str,
) -> Result<WebhookDetail, Error> {
    let mut found = Vec::new();
    if let Ok(name) = Name::parse(text) {
        for direction in [Direction::Inbound, Direction::Outbound] {
            if side.is_none_or(|side| side == direction) {
                found.extend(source.webhook(direction, &name).await?);
            }
        }
    }
    match (found.pop(), found.pop()) {
        (Some(webhook), None) => Ok(webhook),
        (Some(_), Some(_)) => Err(
            Error::new(format!("`{text}` is the name of an inbound and of an outbound webhook"))
                .hint("add --inbound or --outbound"),
        ),
        (None, _) => Err(unknown(text, side, if_inbound, &source.webhooks().await?)),
    }
}

/// There is no such webhook: the other side of that name, else the nearest name.
fn unknown(text: &str, side: Option<Direction>, if_inbound: &str, rows: &[WebhookRow]) -> Error {
    let which = side.map_or(String::new(), |side| format!("{} ", side.as_str()));
    let error = Error::new(format!("there is no {which}webhook `{text}`"));
    if let Some(other) = rows.iter().find(|row| row.name == text) {
        return error.hint(match other.direction {
            Direction::Inbound => format!("`{text}` is an inbound webhook: {if_inbound}"),
            // Not every command has the flag --outbound: it is what is meant without one.
            Direction::Outbound => format!("`{text}` is an outbound webhook: leave --inbound out"),
        });
    }
    let names = rows
        .iter()
        .filter(|row| side.is_none_or(|side| side == row.direction))
        .map(|row| row.name.as_str());
    match nearest(text, names) {
        Some(name) => error.hint(format!("did you mean `{name}`?")),
        None => error.hint("`openclaw webhooks list` shows all"),
    }
}

/// The tutorial's word for a state.
fn word(state: WebhookState) -> &'static str {
    match state {
        WebhookState::Active => "Active",
        WebhookState::Failing => "Failing",
        WebhookState::Paused | WebhookState::Degraded | WebhookState::Suspended | WebhookState::Draining => "Inactive",
    }
}
