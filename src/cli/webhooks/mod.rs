//! `openclaw webhooks`: one file a subcommand.

mod list;
mod logs;
mod show;
mod test;

use clap::{Args, Subcommand};

use super::source::Source;
use super::{Context, Done, Error};
use crate::admin::wire::{Direction, WebhookDetail, WebhookRow, WebhookState};
use crate::document::diagnostic::nearest;
use crate::event::Name;

/// List, show, test and follow webhooks
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
    Test(test::Arguments),
    Logs(logs::Arguments),
}

pub(crate) async fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    match &arguments.command {
        Command::List(arguments) => list::run(arguments, context).await,
        Command::Show(arguments) => show::run(arguments, context).await,
        Command::Test(arguments) => test::run(arguments, context).await,
        Command::Logs(arguments) => logs::run(arguments, context).await,
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
        (None, _) => Err(unknown(text, side, &source.webhooks().await?)),
    }
}

/// There is no such webhook: the other side of that name, else the nearest name.
fn unknown(text: &str, side: Option<Direction>, rows: &[WebhookRow]) -> Error {
    let which = side.map_or(String::new(), |side| format!("{} ", side.as_str()));
    let error = Error::new(format!("there is no {which}webhook `{text}`"));
    if let Some(other) = rows.iter().find(|row| row.name == text) {
        let direction = other.direction.as_str();
        return error.hint(format!("`{text}` is an {direction} webhook: write --{direction}"));
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
