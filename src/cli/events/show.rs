//! `openclaw events show`

use std::fmt::Write as _;

use clap::Args;

use super::list::source;
use crate::cli::source::Source;
use crate::cli::table::Table;
use crate::cli::{Context, Done, Error, time};
use crate::plan::render::text::visible;
use crate::store::Story;

/// Tell one event's whole story
///
/// The request that made it, which senders matched, every attempt, and what became of it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw events show evt_01a210f1e1837661a7a6e29811cf6df0
  openclaw events show evt_01a210f1e1837661a7a6e29811cf6df0 --json")]
pub(crate) struct Arguments {
    /// The event's id
    #[arg(value_name = "ID")]
    id: String,
}

pub(crate) async fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    let story = Source::open(context).await?.story(&arguments.id).await?;
    let story = story.ok_or_else(|| {
        Error::new(format!("there is no event `{}`", arguments.id))
            .hint("it may be older than the retention; `openclaw events list` shows those that are kept")
    })?;
    if context.terminal.json {
        context.terminal.answer_json(&story)?;
    } else {
        context.terminal.answer(render(&story))?;
    }
    Ok(Done::Well)
}

fn render(story: &Story) -> String {
    let event = &story.event;
    let mut out = format!("Event: {}\n", event.id);
    let _ = writeln!(out, "  Name: {}", event.event);
    let _ = writeln!(out, "  Stored: {}", time::stamp(event.at_ms));
    let _ = writeln!(out, "  Source: {}", source(event));
    if let Some(request) = &story.request {
        let verified = if request.verified { "verified" } else { "not verified" };
        let shown = visible(&format!("{} {}", request.method, request.path));
        let _ = writeln!(out, "  Request: {shown}, {} bytes, {verified}", request.body_bytes);
    }
    let _ = writeln!(out, "  Data: {}", visible(event.data.as_str()));
    if story.deliveries.is_empty() {
        out.push_str("\nNo sender matched.\n");
        return out;
    }
    out.push_str("\nDeliveries:\n");
    let mut table = Table::indented(2);
    table.row(["SENDER", "DELIVERY", "STATE", "ATTEMPTS", "NEXT ATTEMPT"]);
    for delivery in &story.deliveries {
        let state = match &delivery.reason {
            Some(reason) => format!("{} ({reason})", delivery.state),
            None => delivery.state.clone(),
        };
        table.row([
            delivery.sender.clone(),
            delivery.delivery.clone(),
            state,
            delivery.attempts.to_string(),
            delivery.due_ms.map_or_else(|| "-".to_owned(), time::stamp),
        ]);
    }
    out.push_str(&table.render());
    if !story.attempts.is_empty() {
        out.push_str("\nAttempts:\n");
        let mut table = Table::indented(2);
        table.row(["TIME", "SENDER", "ATTEMPT", "RESULT", "LATENCY", "DETAIL"]);
        for attempt in &story.attempts {
            let number = match (attempt.attempt, attempt.of) {
                (Some(number), Some(of)) => format!("{number}/{of}"),
                _ => "-".to_owned(),
            };
            let result = attempt.status.map(|status| status.to_string());
            table.row([
                time::stamp(attempt.at_ms),
                attempt.sender.clone().unwrap_or_default(),
                number,
                result.or_else(|| attempt.error.clone()).unwrap_or_default(),
                attempt.latency_ms.map_or_else(|| "-".to_owned(), time::precise),
                attempt.detail.clone().unwrap_or_default(),
            ]);
        }
        out.push_str(&table.render());
    }
    out
}
