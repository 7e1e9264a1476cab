//! `openclaw replay`

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;

use super::source::Source;
use super::{Context, Done, Error, time, webhooks};
use crate::admin::wire::{Direction, ReplayRequest, Replayed, WebhookState};
use crate::plan::render::text::visible;

const PATIENCE: Duration = Duration::from_mins(10);

/// Send stored events to a sender again
///
/// The events keep their ids, so that a receiver can tell repeats; not so with --new-id, for at most 10,000 at once. A dead
/// letter goes away when its replay, under its old id, is delivered.
///
/// With --inbound a change of the gateway's own reading is made good: requests are not verified again (they were when they
/// were stored), and their events are new ones, with new ids.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw replay event-logger --failed
  openclaw replay event-logger --since 24h
  openclaw replay event-logger --id evt_01a210f1e1837661a7a6e29811cf6df0
  openclaw replay event-logger --since 1h --new-id
  openclaw replay telegram --inbound --since 24h")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Arguments {
    /// The outbound webhook; with --inbound the inbound one
    #[arg(value_name = "NAME")]
    name: String,
    /// Only its dead letters
    #[arg(long)]
    failed: bool,
    /// Only events stored since: 15m, 24h, 7d, or a time
    #[arg(long, value_name = "WHEN", value_parser = time::Since::parse)]
    since: Option<time::Since>,
    /// Only this event
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// As new events with ids of their own: receivers do not take them for repeats
    #[arg(long)]
    new_id: bool,
    /// The stored requests of an inbound webhook, read again by today's normaliser, as new events for all that subscribe
    #[arg(long, conflicts_with_all = ["failed", "new_id"])]
    inbound: bool,
    /// Do not ask before every stored event is sent
    #[arg(long, short)]
    yes: bool,
}

pub(crate) async fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    let (source, client) = Source::of_gateway(context)?;
    let side = if arguments.inbound {
        Direction::Inbound
    } else {
        Direction::Outbound
    };
    let row = webhooks::find(&source, &arguments.name, Some(side)).await?.webhook;
    let all = !arguments.failed && arguments.since.is_none() && arguments.id.is_none();
    if all && !arguments.yes {
        let question = if arguments.inbound {
            format!(
                "Read every stored request of `{}` again, and send its events to all that subscribe?",
                row.name
            )
        } else {
            format!("Send every stored event to `{}` again?", row.name)
        };
        context.terminal.confirm(&question)?;
    }
    let name = Some(row.name.clone());
    let request = ReplayRequest {
        sender: name.clone().filter(|_| !arguments.inbound),
        route: name.filter(|_| arguments.inbound),
        failed: arguments.failed,
        since: arguments
            .since
            .map(|since| time::exact(since.ms(context.clock.now_ms()))),
        event: arguments.id.clone(),
        new_id: arguments.new_id && !arguments.inbound,
    };
    let replayed: Replayed = client.post("/v1/replay", &request, PATIENCE).await?;
    let owed = replayed.owed.unwrap_or(0);
    if owed > 0 && !matches!(row.state, WebhookState::Active | WebhookState::Failing) {
        context.terminal.note(&format!(
            "`{}` is {}: they wait until it is active",
            row.name,
            row.state.as_str()
        ));
    }
    if context.terminal.json {
        context.terminal.answer_json(&replayed)?;
    } else {
        context.terminal.answer(told(&row.name, &replayed))?;
    }
    Ok(if replayed.failed.is_empty() {
        Done::Well
    } else {
        Done::No
    })
}

fn told(name: &str, replayed: &Replayed) -> String {
    let Some(requests) = replayed.requests else {
        let owed = replayed.owed.unwrap_or(0);
        let what = if owed == 1 { "delivery is" } else { "deliveries are" };
        return format!("{owed} {what} owed to {name} again.\n");
    };
    let plural = |count: u64| if count == 1 { "" } else { "s" };
    let events = replayed.events.unwrap_or(0);
    let mut text = format!(
        "{requests} request{} of {name} made {events} new event{}.\n",
        plural(requests),
        plural(events)
    );
    for failed in &replayed.failed {
        _ = writeln!(text, "  {}", visible(failed));
    }
    text
}
