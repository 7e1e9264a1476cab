//! `openclaw replay`

use std::time::Duration;

use clap::Args;

use super::source::Source;
use super::{Context, Done, Error, time, webhooks};
use crate::admin::wire::{Direction, ReplayRequest, Replayed, WebhookState};

const PATIENCE: Duration = Duration::from_mins(10);

/// Send stored events to a sender again
///
/// The events keep their ids, so that a receiver can tell repeats. A dead letter goes away when its replay is delivered.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw replay event-logger --failed
  openclaw replay event-logger --since 24h
  openclaw replay event-logger --id evt_01a210f1e1837661a7a6e29811cf6df0")]
pub(crate) struct Arguments {
    /// The outbound webhook
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
    /// Do not ask before every stored event is sent
    #[arg(long, short)]
    yes: bool,
}

pub(crate) async fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    let (source, client) = Source::of_gateway(context)?;
    let row = webhooks::find(&source, &arguments.name, Some(Direction::Outbound))
        .await?
        .webhook;
    let all = !arguments.failed && arguments.since.is_none() && arguments.id.is_none();
    if all && !arguments.yes {
        context
            .terminal
            .confirm(&format!("Send every stored event to `{}` again?", row.name))?;
    }
    let request = ReplayRequest {
        sender: row.name.clone(),
        failed: arguments.failed,
        since: arguments
            .since
            .map(|since| time::exact(since.ms(context.clock.now_ms()))),
        event: arguments.id.clone(),
    };
    let replayed: Replayed = client.post("/v1/replay", &request, PATIENCE).await?;
    if replayed.owed > 0 && !matches!(row.state, WebhookState::Active | WebhookState::Failing) {
        context.terminal.note(&format!(
            "`{}` is {}: they wait until it is active",
            row.name,
            row.state.as_str()
        ));
    }
    if context.terminal.json {
        context.terminal.answer_json(&replayed)?;
    } else {
        let what = if replayed.owed == 1 {
            "delivery is"
        } else {
            "deliveries are"
        };
        context
            .terminal
            .answer(format!("{} {what} owed to {} again.\n", replayed.owed, row.name))?;
    }
    Ok(Done::Well)
}
