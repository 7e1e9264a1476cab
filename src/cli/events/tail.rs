//! `openclaw events tail`

use clap::Args;

use super::follow::{Followed, Follower};
use super::list::source;
use crate::cli::source::Source;
use crate::cli::{Context, Done, Error, time};
use crate::plan::render::text::visible;
use crate::store::EventRow;

/// Follow events as they are stored
///
/// One line an event; with --json one JSON document a line. Goes on where it was when the gateway comes back.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw events tail
  openclaw events tail --json | jq .data
  openclaw events tail --after evt_01a210f1e1837661a7a6e29811cf6df0")]
pub(crate) struct Arguments {
    /// Begin after this event instead of now
    #[arg(long, value_name = "ID")]
    after: Option<String>,
}

pub(crate) async fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    let (_, client) = Source::of_gateway(context)?;
    let mut follower = Follower::start(client, arguments.after.clone()).await?;
    loop {
        match follower.next().await? {
            Followed::Event(row) => print(&row, context)?,
            Followed::Gap => context
                .terminal
                .note("more came than is shown: some events are skipped"),
            Followed::BrokenOff => context.terminal.detail("the stream broke off: asking again"),
            Followed::Ended => return Ok(Done::Well),
        }
    }
}

fn print(row: &EventRow, context: &mut Context) -> Result<(), Error> {
    let line = if context.terminal.json {
        serde_json::to_string(row).map_err(|error| Error::new(error.to_string()))?
    } else {
        let data = visible(row.data.as_str());
        format!(
            "{}  {}  {}  {}  {data}",
            time::stamp(row.at_ms),
            row.event,
            row.id,
            source(row)
        )
    };
    context.terminal.answer(format!("{line}\n"))?;
    context.terminal.flush()
}
