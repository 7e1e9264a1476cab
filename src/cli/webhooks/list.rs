//! `openclaw webhooks list`

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use clap::Args;
use unicode_width::UnicodeWidthStr as _;

use super::word;
use crate::admin::wire::{Direction, Listing, WebhookRow, WebhookState};
use crate::cli::source::Source;
use crate::cli::{Context, Done, Error};
use crate::document::Code;
use crate::plan::render::text::visible;

/// The narrowest first column: short names look like longer ones.
const NARROWEST: usize = 20;

/// The widest state: `✗ Inactive`.
const STATE: usize = 10;

/// List all webhooks
///
/// A route's path, state and channel, a sender's name, state and URL, in the order of the document. `✗ Inactive` is paused,
/// degraded or suspended; `⚠ Failing`: its last five attempts failed, or its breaker is open. `show` and --json say why.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw webhooks list
  openclaw webhooks list --json | jq '.items[] | select(.state != \"active\")'")]
pub(crate) struct Arguments {}

pub(crate) async fn run(_: &Arguments, context: &mut Context) -> Result<Done, Error> {
    let source = Source::open(context).await?;
    let items = source.webhooks().await?;
    if context.terminal.json {
        context.terminal.answer_json(&Listing { items, next: None })?;
    } else {
        context.terminal.answer(render(&items, context.terminal.colour))?;
    }
    Ok(Done::Well)
}

fn render(rows: &[WebhookRow], colour: bool) -> String {
    let head = |row: &WebhookRow| visible(row.path.as_deref().unwrap_or(&row.name));
    let width = rows
        .iter()
        .map(|row| head(row).width())
        .max()
        .unwrap_or(0)
        .max(NARROWEST);
    let mut out = "Webhooks:\n".to_owned();
    for (direction, title) in [
        (Direction::Inbound, "  Inbound:\n"),
        (Direction::Outbound, "\n  Outbound:\n"),
    ] {
        out.push_str(title);
        let mut none = true;
        for row in rows.iter().filter(|row| row.direction == direction) {
            none = false;
            let state = format!("{} {}", symbol(row.state), word(row.state));
            let tail = visible(row.channel.as_deref().or(row.url.as_deref()).unwrap_or_default());
            let mut line = format!(
                "    {}{}{}{}",
                padded(&head(row), width),
                painted(&state, row.state, colour),
                " ".repeat(STATE.saturating_sub(state.width()) + 2),
                tail
            );
            if row.verify_signature == Some(false) {
                line.push_str("  ⚠ signatures are not verified");
            }
            for found in row
                .warnings
                .iter()
                .filter(|found| found.code == Code::UnusableKey.as_str())
            {
                let _ = write!(line, "  ⚠ {}", visible(&found.message));
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
        if none {
            out.push_str("    (none)\n");
        }
    }
    out
}

fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(text.width()) + 2))
}

fn symbol(state: WebhookState) -> char {
    match word(state) {
        "Active" => '✓',
        "Failing" => '⚠',
        _ => '✗',
    }
}

fn painted(text: &str, state: WebhookState, colour: bool) -> String {
    let style: Style = match word(state) {
        "Active" => AnsiColor::Green,
        "Failing" => AnsiColor::Yellow,
        _ => AnsiColor::Red,
    }
    .on_default();
    if colour {
        format!("{style}{text}{style:#}")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::wire::DiagnosticRow;

    fn row(direction: Direction, name: &str, state: WebhookState, tail: &str) -> WebhookRow {
        let inbound = direction == Direction::Inbound;
        WebhookRow {
            direction,
            name: name.to_owned(),
            state,
            reason: None,
            path: inbound.then(|| format!("/webhook/{name}")),
            url: (!inbound).then(|| tail.to_owned()),
            channel: inbound.then(|| tail.to_owned()),
            platform: None,
            verify_signature: inbound.then_some(true),
            warnings: Vec::new(),
            events: None,
            retries: None,
            place: 0,
        }
    }

    #[test]
    fn the_list_looks_as_in_the_tutorial() {
        let rows = [
            row(Direction::Inbound, "telegram", WebhookState::Active, "telegram-main"),
            row(Direction::Inbound, "discord", WebhookState::Active, "discord-dev"),
            row(Direction::Inbound, "slack", WebhookState::Paused, "slack-team"),
            row(
                Direction::Outbound,
                "event-logger",
                WebhookState::Active,
                "https://log.example.com/events",
            ),
            row(
                Direction::Outbound,
                "backup-bot",
                WebhookState::Active,
                "https://backup.example.com/messages",
            ),
        ];
        // The tutorial's own lines.
        let tutorial = "\
Webhooks:
  Inbound:
    /webhook/telegram     ✓ Active    telegram-main
    /webhook/discord      ✓ Active    discord-dev
    /webhook/slack        ✗ Inactive  slack-team

  Outbound:
    event-logger          ✓ Active    https://log.example.com/events
    backup-bot            ✓ Active    https://backup.example.com/messages
";
        assert_eq!(render(&rows, false), tutorial);
    }

    #[test]
    fn wide_names_and_every_state_stay_aligned() {
        let mut open = row(Direction::Inbound, "open", WebhookState::Degraded, "频道");
        open.path = Some("/webhook/频道/开放的路径/很长".to_owned());
        open.verify_signature = Some(false);
        let mut shut = row(Direction::Inbound, "shut", WebhookState::Active, "discord-dev");
        shut.warnings = vec![DiagnosticRow {
            code: "OC159".to_owned(),
            message: "no key can verify its requests".to_owned(),
            ..DiagnosticRow::default()
        }];
        let rows = [
            open,
            shut,
            row(Direction::Outbound, "a", WebhookState::Failing, "https://a.example"),
            row(Direction::Outbound, "b", WebhookState::Suspended, "https://b.example"),
        ];
        insta::assert_snapshot!(render(&rows, false), @r"
        Webhooks:
          Inbound:
            /webhook/频道/开放的路径/很长  ✗ Inactive  频道  ⚠ signatures are not verified
            /webhook/shut                  ✓ Active    discord-dev  ⚠ no key can verify its requests

          Outbound:
            a                              ⚠ Failing   https://a.example
            b                              ✗ Inactive  https://b.example
        ");
        assert!(render(&rows, true).contains("\u{1b}[33m⚠ Failing\u{1b}[0m   https://a.example"));
        insta::assert_snapshot!(render(&[], false), @r"
        Webhooks:
          Inbound:
            (none)

          Outbound:
            (none)
        ");
    }
}
