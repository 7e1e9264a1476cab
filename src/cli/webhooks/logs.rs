//! `openclaw webhooks logs`

use std::collections::HashSet;
use std::time::Duration;

use clap::Args;

use super::{Side, find};
use crate::admin::wire::{Direction, Listing};
use crate::cli::source::{EventsWanted, LogsWanted, Source};
use crate::cli::table::Table;
use crate::cli::{Context, Done, Error, time};
use crate::clock;
use crate::event::Name;
use crate::store::{EventRow, LogEntry};

/// How often `--follow` asks for what is new.
const POLL: Duration = Duration::from_millis(500);

/// How many entries `--follow` looks at each time: what is more between two looks is skipped, and said so.
const LOOK: usize = 1000;

/// Show what a webhook did
///
/// A sender's attempts: time, event, delivery, attempt, status or class of error, latency, next retry. A route's requests:
/// what was accepted (events) and what was refused or repeated, and why. The oldest comes first, times are UTC; --json
/// gives the newest first, and with --follow one line an entry.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  openclaw webhooks logs event-logger --last 20
  openclaw webhooks logs event-logger --failed
  openclaw webhooks logs telegram --status 401 --since 1h
  openclaw webhooks logs event-logger --follow")]
pub(crate) struct Arguments {
    /// The webhook's name
    #[arg(value_name = "NAME")]
    name: String,
    /// How many of the newest
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    last: u32,
    /// Only what failed, or was refused
    #[arg(long)]
    failed: bool,
    /// Only this HTTP status
    #[arg(long, value_name = "STATUS", value_parser = clap::value_parser!(u16).range(100..=599))]
    status: Option<u16>,
    /// Not older than this: 15m, 24h, 7d, or a time
    #[arg(long, value_name = "WHEN", value_parser = time::Since::parse)]
    since: Option<time::Since>,
    /// Go on with what comes
    #[arg(long, short)]
    follow: bool,
    #[command(flatten)]
    side: Side,
}

/// Whose log, and what of it.
struct Wanted {
    direction: Direction,
    name: Name,
    logs: LogsWanted,
}

pub(crate) async fn run(arguments: &Arguments, context: &mut Context) -> Result<Done, Error> {
    let source = Source::open(context).await?;
    let found = find(&source, &arguments.name, arguments.side.direction()).await?;
    let wanted = Wanted {
        direction: found.webhook.direction,
        name: Name::parse(&found.webhook.name).map_err(|error| Error::new(error.to_string()))?,
        logs: LogsWanted {
            failed: arguments.failed,
            status: arguments.status,
            since_ms: arguments.since.map(|since| since.ms(context.clock.now_ms())),
        },
    };
    let last = arguments.last as usize;
    if !arguments.follow {
        let items = wanted.newest(&source, last).await?;
        if context.terminal.json {
            context.terminal.answer_json(&Listing { items, next: None })?;
        } else {
            context.terminal.answer(render(&items, wanted.direction))?;
        }
        return Ok(Done::Well);
    }
    if let Source::Local(_) = source {
        return Err(Error::new("nothing new comes without a gateway")
            .hint("start it with `openclaw run`, or leave --follow out"));
    }
    follow(&wanted, &source, last, context).await
}

/// Prints what is there, then what comes, until the process is told to end.
async fn follow(wanted: &Wanted, source: &Source, last: usize, context: &mut Context) -> Result<Done, Error> {
    let seen = |items: &[LogEntry]| items.iter().map(key).collect::<HashSet<_>>();
    let mut items = wanted.newest(source, LOOK.max(last)).await?;
    let mut before = seen(&items);
    items.truncate(last);
    print(&items, wanted.direction, true, context)?;
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(Done::Well),
            () = tokio::time::sleep(POLL) => {}
        }
        let mut items = match wanted.newest(source, LOOK).await {
            Ok(items) => items,
            // What it logs before it goes is there when it comes back.
            Err(_) if source.is_away().await => continue,
            // It came back between the two, or this fails again.
            Err(_) => wanted.newest(source, LOOK).await?,
        };
        let now = seen(&items);
        if !before.is_empty() && !items.is_empty() && now.is_disjoint(&before) {
            context
                .terminal
                .note("more came than is shown: some entries are skipped");
        }
        items.retain(|entry| !before.contains(&key(entry)));
        before = now;
        print(&items, wanted.direction, false, context)?;
    }
}

/// What makes an entry itself.
fn key(entry: &LogEntry) -> (i64, Option<String>, Option<u32>, Option<u16>, Option<String>) {
    let id = entry.delivery.clone().or_else(|| entry.event_id.clone());
    (entry.at_ms, id, entry.attempt, entry.status, entry.detail.clone())
}

fn print(items: &[LogEntry], direction: Direction, first: bool, context: &mut Context) -> Result<(), Error> {
    if context.terminal.json {
        for entry in items.iter().rev() {
            let line = serde_json::to_string(entry).map_err(|error| Error::new(error.to_string()))?;
            context.terminal.answer(format!("{line}\n"))?;
        }
    } else if first {
        context.terminal.answer(render(items, direction))?;
    } else if !items.is_empty() {
        context.terminal.answer(table(items, direction, false))?;
    }
    context.terminal.flush()
}

impl Wanted {
    /// The newest entries, newest first. A route's are what it noted and the events that it made.
    async fn newest(&self, source: &Source, limit: usize) -> Result<Vec<LogEntry>, Error> {
        let mut items = source.logs(self.direction, &self.name, &self.logs, limit).await?;
        if self.direction == Direction::Inbound && !self.logs.failed && self.logs.status.is_none() {
            let events = EventsWanted {
                source: Some(self.name.to_string()),
                since_ms: self.logs.since_ms,
                ..EventsWanted::default()
            };
            let events = source.events(&events, limit).await?;
            items.extend(events.into_iter().map(|event| accepted(&self.name, event)));
            items.sort_by_key(|entry| std::cmp::Reverse(entry.at_ms));
            items.truncate(limit);
        }
        Ok(items)
    }
}

/// An accepted event as an entry of its route's log.
fn accepted(route: &Name, event: EventRow) -> LogEntry {
    LogEntry {
        at_ms: event.at_ms,
        sender: None,
        route: Some(route.to_string()),
        event_id: Some(event.id),
        event: Some(event.event),
        delivery: None,
        attempt: None,
        of: None,
        status: None,
        error: None,
        detail: event.test.then(|| "test".to_owned()),
        response: None,
        latency_ms: None,
        next_ms: None,
    }
}

fn render(items: &[LogEntry], direction: Direction) -> String {
    if items.is_empty() {
        return "Nothing in the log.\n".to_owned();
    }
    table(items, direction, true)
}

fn table(items: &[LogEntry], direction: Direction, head: bool) -> String {
    let mut table = Table::default();
    if head {
        match direction {
            Direction::Outbound => table.row([
                "TIME",
                "EVENT",
                "DELIVERY",
                "ATTEMPT",
                "RESULT",
                "LATENCY",
                "NEXT RETRY",
                "DETAIL",
            ]),
            Direction::Inbound => table.row(["TIME", "RESULT", "EVENT", "DETAIL"]),
        }
    }
    for entry in items.iter().rev() {
        match direction {
            Direction::Outbound => table.row(attempt(entry)),
            Direction::Inbound => table.row(request(entry)),
        }
    }
    table.render()
}

fn dash(text: Option<&String>) -> String {
    text.cloned().unwrap_or_else(|| "-".to_owned())
}

fn attempt(entry: &LogEntry) -> [String; 8] {
    let number = match (entry.attempt, entry.of) {
        (Some(attempt), Some(of)) => format!("{attempt}/{of}"),
        _ => "-".to_owned(),
    };
    [
        time::stamp(entry.at_ms),
        dash(entry.event.as_ref()),
        dash(entry.delivery.as_ref()),
        number,
        result(entry),
        entry.latency_ms.map_or_else(|| "-".to_owned(), time::precise),
        entry
            .next_ms
            .map_or_else(|| "-".to_owned(), |at_ms| clock::rfc3339_seconds(clock::from_ms(at_ms))),
        entry.detail.clone().unwrap_or_default(),
    ]
}

/// The status; where there was none, the class of the error.
fn result(entry: &LogEntry) -> String {
    match (entry.status, &entry.error) {
        (Some(status), _) => status.to_string(),
        (None, Some(error)) => error.clone(),
        (None, None) => "-".to_owned(),
    }
}

fn request(entry: &LogEntry) -> [String; 4] {
    let result = match (&entry.event_id, entry.status, &entry.error) {
        (Some(_), _, _) => "accepted".to_owned(),
        (None, Some(status), Some(error)) => format!("{status} {error}"),
        _ => result(entry),
    };
    let event = match (&entry.event, &entry.event_id) {
        (Some(event), Some(id)) => format!("{event} {id}"),
        _ => "-".to_owned(),
    };
    [
        time::stamp(entry.at_ms),
        result,
        event,
        entry.detail.clone().unwrap_or_default(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_773_570_600_000;

    fn entry() -> LogEntry {
        LogEntry {
            at_ms: NOW,
            sender: None,
            route: None,
            event_id: None,
            event: None,
            delivery: None,
            attempt: None,
            of: None,
            status: None,
            error: None,
            detail: None,
            response: None,
            latency_ms: None,
            next_ms: None,
        }
    }

    fn attempt(number: u32) -> LogEntry {
        LogEntry {
            event_id: Some("evt_01".to_owned()),
            event: Some("message.received".to_owned()),
            delivery: Some("dlv_01_1".to_owned()),
            attempt: Some(number),
            of: Some(4),
            latency_ms: Some(12.3),
            ..entry()
        }
    }

    #[test]
    fn attempts_tell_what_came_back_and_what_is_next() {
        let items = [
            LogEntry {
                status: Some(200),
                at_ms: NOW + 15_000,
                ..attempt(3)
            },
            LogEntry {
                error: Some("timeout".to_owned()),
                detail: Some("no answer within 10 s".to_owned()),
                latency_ms: Some(10_000.0),
                next_ms: Some(NOW + 15_000),
                at_ms: NOW + 5_000,
                ..attempt(2)
            },
            LogEntry {
                status: Some(503),
                error: Some("status".to_owned()),
                next_ms: Some(NOW + 5_000),
                ..attempt(1)
            },
        ];
        insta::assert_snapshot!(render(&items, Direction::Outbound), @r"
        TIME                  EVENT             DELIVERY  ATTEMPT  RESULT   LATENCY  NEXT RETRY            DETAIL
        2026-03-15T10:30:00Z  message.received  dlv_01_1  1/4      503      12 ms    2026-03-15T10:30:05Z
        2026-03-15T10:30:05Z  message.received  dlv_01_1  2/4      timeout  10.0 s   2026-03-15T10:30:15Z  no answer within 10 s
        2026-03-15T10:30:15Z  message.received  dlv_01_1  3/4      200      12 ms    -
        ");
        assert_eq!(render(&[], Direction::Outbound), "Nothing in the log.\n");
    }

    #[test]
    fn a_route_tells_what_it_accepted_and_what_it_refused() {
        let items = [
            LogEntry {
                event_id: Some("evt_01".to_owned()),
                event: Some("message.received".to_owned()),
                ..entry()
            },
            LogEntry {
                status: Some(401),
                error: Some("signature".to_owned()),
                detail: Some("X-Hub-Signature-256 does not match".to_owned()),
                at_ms: NOW - 1000,
                ..entry()
            },
        ];
        insta::assert_snapshot!(render(&items, Direction::Inbound), @r"
        TIME                  RESULT         EVENT                    DETAIL
        2026-03-15T10:29:59Z  401 signature  -                        X-Hub-Signature-256 does not match
        2026-03-15T10:30:00Z  accepted       message.received evt_01
        ");
    }
}
