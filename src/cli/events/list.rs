//! `openclaw events list`

use clap::Args;

use crate::admin::wire::Listing;
use crate::cli::source::{EventsWanted, Source};
use crate::cli::table::Table;
use crate::cli::{Context, Done, Error, time};
use crate::store::EventRow;

/// List stored events
///
/// The oldest comes first, times are UTC; --json gives the newest first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw events list
  openclaw events list --undelivered --json
  openclaw events list --source telegram --since 1h")]
pub(crate) struct Arguments {
    /// How many of the newest
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    last: u32,
    /// Only those that a sender is still owed, or has as a dead letter
    #[arg(long)]
    undelivered: bool,
    /// Only events of this name
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
    /// Only events that this inbound webhook made
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Not older than this: 15m, 24h, 7d, or a time
    #[arg(long, value_name = "WHEN", value_parser = time::Since::parse)]
    since: Option<time::Since>,
}

pub(crate) async fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    let source = Source::open(context).await?;
    let wanted = EventsWanted {
        undelivered: arguments.undelivered,
        event: arguments.event.clone(),
        source: arguments.source.clone(),
        since_ms: arguments.since.map(|since| since.ms(context.clock.now_ms())),
    };
    let items = source.events(&wanted, arguments.last as usize).await?;
    if context.terminal.json {
        context.terminal.answer_json(&Listing { items, next: None })?;
    } else {
        context.terminal.answer(render(&items))?;
    }
    Ok(Done::Well)
}

fn render(items: &[EventRow]) -> String {
    if items.is_empty() {
        return "No events.\n".to_owned();
    }
    let mut table = Table::default();
    table.row(["TIME", "EVENT", "ID", "SOURCE", "OWED", "DEAD"]);
    for row in items.iter().rev() {
        table.row([
            time::stamp(row.at_ms),
            row.event.clone(),
            row.id.clone(),
            source(row),
            row.owed.to_string(),
            row.dead.to_string(),
        ]);
    }
    table.render()
}

/// Where it came from.
pub(super) fn source(row: &EventRow) -> String {
    let source = row.source.clone().unwrap_or_else(|| "-".to_owned());
    if row.test { format!("{source} (test)") } else { source }
}
