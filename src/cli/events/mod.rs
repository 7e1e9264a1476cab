//! `openclaw events`: one file a subcommand.

pub(super) mod follow; // what tail and listen --forward stand on
mod list;
mod publish;
mod show;
mod tail;

use clap::{Args, Subcommand};

use super::{Context, Done, Error};

/// List, show, follow and publish events
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw events list --undelivered
  openclaw events show evt_01a210f1e1837661a7a6e29811cf6df0
  openclaw events tail
  openclaw events publish message.sent --data '{\"message\":\"hi\"}'")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// The help of each command stands at its arguments.
#[derive(Debug, Subcommand)]
enum Command {
    List(list::Arguments),
    Show(show::Arguments),
    Tail(tail::Arguments),
    Publish(publish::Arguments),
}

pub(crate) async fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    match &arguments.command {
        Command::List(arguments) => list::run(arguments, context).await,
        Command::Show(arguments) => show::run(arguments, context).await,
        Command::Tail(arguments) => tail::run(arguments, context).await,
        Command::Publish(arguments) => publish::run(arguments, context).await,
    }
}
