//! `openclaw webhooks show`

use std::fmt::Write as _;

use clap::Args;

use super::{Side, find, word};
use crate::admin::wire::{DiagnosticRow, Direction, SenderFigures, WebhookDetail, WebhookRow, WebhookState};
use crate::cli::source::Source;
use crate::cli::{Context, Done, Error, time};
use crate::plan::render::text::visible;

/// Show one webhook: where it is, what it does, how it goes
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw webhooks show telegram
  openclaw webhooks show event-logger --outbound --json")]
pub(crate) struct Arguments {
    /// The webhook's name
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    side: Side,
}

pub(crate) async fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    let source = Source::open(context).await?;
    let detail = find(&source, &arguments.name, arguments.side.direction()).await?;
    if context.terminal.json {
        context.terminal.answer_json(&detail)?;
    } else {
        context.terminal.answer(render(&detail, context.clock.now_ms()))?;
        for found in detail.webhook.warnings.iter().filter(|found| found.severity == "note") {
            context.terminal.note(&format!("note: {}", told(found)));
        }
    }
    Ok(Done::Well)
}

fn render(detail: &WebhookDetail, now_ms: i64) -> String {
    let row = &detail.webhook;
    let mut out = format!("Webhook: {}\n", row.name);
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(out, "  {name}: {}", visible(value));
    };
    let ago = |then_ms: Option<i64>| then_ms.map_or_else(|| "never".to_owned(), |then_ms| time::ago(now_ms, then_ms));
    if row.direction == Direction::Inbound {
        line("Path", row.path.as_deref().unwrap_or("-"));
        let unknown = "unknown (set webhooks.server.publicUrl, or the webhook's url)";
        line("Full URL", row.url.as_deref().unwrap_or(unknown));
        line("Channel", row.channel.as_deref().unwrap_or("-"));
        line("Status", &status(row));
        let verified = row.verify_signature != Some(false);
        line("Signature Verification", if verified { "enabled" } else { "disabled" });
        let figures = detail.route.clone().unwrap_or_default();
        line("Last Received", &ago(figures.last_received_ms));
        line("Messages Today", &figures.messages.to_string());
        let refused: Vec<_> = detail
            .counters
            .iter()
            .flat_map(|counters| &counters.refused)
            .map(|(reason, count)| format!("{count} {reason}"))
            .collect();
        if !refused.is_empty() {
            line("Refused since the start", &refused.join(", "));
        }
        for found in row.warnings.iter().filter(|found| found.severity == "warning") {
            line("Warning", &told(found));
        }
    } else {
        line("URL", row.url.as_deref().unwrap_or("-"));
        line("Events", &row.events.clone().unwrap_or_default().join(", "));
        line("Status", &status(row));
        line("Retries", &row.retries.unwrap_or(0).to_string());
        let figures = detail.sender.clone().unwrap_or_default();
        let oldest = figures.oldest_owed_ms.map_or(String::new(), |then_ms| {
            let waited = u64::try_from(now_ms.saturating_sub(then_ms)).unwrap_or(0);
            format!(" (the oldest for {})", time::length(waited))
        });
        line("Backlog", &format!("{}{oldest}", figures.owed));
        line("Dead Letters", &figures.dead.to_string());
        line("Success Rate (1h)", &success(&figures));
        line("Latency (1h)", &latency(&figures));
        line("Last Delivery", &ago(figures.last_delivered_ms));
        if let Some(until_ms) = detail.live.as_ref().and_then(|live| live.parked_until_ms) {
            line("Next Attempt", &time::ago(now_ms, until_ms));
        }
    }
    out
}

fn told(found: &DiagnosticRow) -> String {
    let way_out = found.hints.first().map_or(String::new(), |hint| format!("; {hint}"));
    format!("{}{way_out} ({})", found.message, found.code)
}

fn status(row: &WebhookRow) -> String {
    let word = word(row.state);
    match (&row.reason, row.state) {
        (_, WebhookState::Paused) => format!("{word} (paused)"),
        (Some(reason), WebhookState::Failing) => format!("{word} ({reason})"),
        (Some(reason), state) => format!("{word} ({}: {reason})", state.as_str()),
        (None, _) => word.to_owned(),
    }
}

fn success(figures: &SenderFigures) -> String {
    if figures.attempts_hour == 0 {
        return "no attempts".to_owned();
    }
    // In tenths of a percent, cut off: 100% is said only of all.
    let tenths = figures.delivered_hour.saturating_mul(1000) / figures.attempts_hour;
    format!("{}.{}% of {} attempts", tenths / 10, tenths % 10, figures.attempts_hour)
}

fn latency(figures: &SenderFigures) -> String {
    match (figures.p50_ms, figures.p99_ms) {
        (Some(p50), Some(p99)) => format!("p50 {}, p99 {}", time::precise(p50), time::precise(p99)),
        _ => "no attempts".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::wire::RouteFigures;

    const NOW: i64 = 1_773_570_600_000;

    fn detail(direction: Direction, name: &str) -> WebhookDetail {
        WebhookDetail {
            webhook: WebhookRow {
                direction,
                name: name.to_owned(),
                state: WebhookState::Active,
                reason: None,
                path: Some("/webhook/telegram".to_owned()),
                url: Some("https://gateway.example.com/webhook/telegram".to_owned()),
                channel: Some("telegram-main".to_owned()),
                platform: Some("telegram".to_owned()),
                verify_signature: Some(true),
                warnings: Vec::new(),
                events: None,
                retries: None,
                place: 0,
            },
            conditions: Vec::new(),
            route: None,
            counters: None,
            sender: None,
            live: None,
        }
    }

    #[test]
    fn a_route_looks_as_in_the_tutorial() {
        let mut route = detail(Direction::Inbound, "telegram");
        route.route = Some(RouteFigures {
            last_received_ms: Some(NOW - 120_000),
            messages: 230,
        });
        let tutorial = "\
Webhook: telegram
  Path: /webhook/telegram
  Full URL: https://gateway.example.com/webhook/telegram
  Channel: telegram-main
  Status: Active
  Signature Verification: enabled
  Last Received: 2 minutes ago
  Messages Today: 230
";
        assert_eq!(render(&route, NOW), tutorial);
    }

    #[test]
    fn a_sender_shows_how_its_last_hour_went() {
        let mut sender = detail(Direction::Outbound, "event-logger");
        sender.webhook = WebhookRow {
            path: None,
            channel: None,
            url: Some("https://log.example.com/events?key=***".to_owned()),
            state: WebhookState::Failing,
            reason: Some("its last attempts failed: timeout".to_owned()),
            events: Some(vec!["message.received".to_owned(), "message.error".to_owned()]),
            retries: Some(3),
            ..sender.webhook
        };
        sender.sender = Some(SenderFigures {
            owed: 12,
            dead: 1,
            oldest_owed_ms: Some(NOW - 300_000),
            attempts_hour: 1999,
            delivered_hour: 1998,
            p50_ms: Some(12.345),
            p99_ms: Some(1234.5),
            last_delivered_ms: Some(NOW - 3_600_000),
            last_five_failed: true,
        });
        insta::assert_snapshot!(render(&sender, NOW), @r"
        Webhook: event-logger
          URL: https://log.example.com/events?key=***
          Events: message.received, message.error
          Status: Failing (its last attempts failed: timeout)
          Retries: 3
          Backlog: 12 (the oldest for 5 minutes)
          Dead Letters: 1
          Success Rate (1h): 99.9% of 1999 attempts
          Latency (1h): p50 12 ms, p99 1.2 s
          Last Delivery: 1 hour ago
        ");
        sender.sender = None;
        insta::assert_snapshot!(render(&sender, NOW), @r"
        Webhook: event-logger
          URL: https://log.example.com/events?key=***
          Events: message.received, message.error
          Status: Failing (its last attempts failed: timeout)
          Retries: 3
          Backlog: 0
          Dead Letters: 0
          Success Rate (1h): no attempts
          Latency (1h): no attempts
          Last Delivery: never
        ");
    }
}
