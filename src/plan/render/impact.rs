//! A plan's impact in lines, for text and Markdown.

use super::text::visible;
use crate::plan::impact::{Example, Impact, SenderImpact};

/// `Impact: 1204 events since 2026-03-14T10:30:00Z, replayed through both documents.`
pub(super) fn headline(impact: &Impact) -> String {
    let (events, since) = (impact.events, visible(&impact.since));
    let which = if impact.cut { "the newest " } else { "" };
    format!(
        "Impact: {which}{} since {since}, replayed through both documents.",
        counted(events, "event")
    )
}

/// What became of whom.
pub(super) fn lines(impact: &Impact) -> impl Iterator<Item = String> + '_ {
    let senders = impact.senders.iter().flat_map(sender);
    let routes = impact.routes.iter().map(|route| {
        let (name, events) = (visible(&route.name), counted(route.events, "event"));
        format!(
            "webhooks.inbound.{name}  {}: {events} would not have come",
            visible(&route.why)
        )
    });
    let left_out = (impact.senders_left_out > 0)
        .then(|| format!("{} are left out", counted(impact.senders_left_out, "changed sender")));
    let none = (impact.senders.is_empty() && impact.routes.is_empty())
        .then(|| "nobody would have got anything else".to_owned());
    none.into_iter().chain(senders).chain(routes).chain(left_out)
}

fn sender(sender: &SenderImpact) -> Vec<String> {
    let (got, would) = (sender.got, sender.would_get);
    let difference = match i128::from(would) - i128::from(got) {
        0 => String::new(),
        difference => format!(" ({difference:+})"),
    };
    let name = visible(&sender.name);
    let mut lines = vec![format!(
        "webhooks.outbound.{name}  got {got}, would get {would}{difference}"
    )];
    for (what, examples) in [("gains", &sender.gained), ("loses", &sender.lost)] {
        if !examples.is_empty() {
            let shown: Vec<_> = examples.iter().map(example).collect();
            lines.push(format!("    {what}, such as {}", shown.join(", ")));
        }
    }
    if sender.failures > 0 {
        lines.push(format!("    fails on {}, such as", counted(sender.failures, "event")));
        let failed = sender.failed.iter();
        lines.extend(failed.map(|failed| format!("      {}: {}", example(&failed.event), visible(&failed.reason))));
    }
    lines
}

fn example(example: &Example) -> String {
    let from = example
        .source
        .as_ref()
        .map_or(String::new(), |source| format!(" from {}", visible(source)));
    format!("{} {}{from}", visible(&example.id), visible(&example.event))
}

fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
