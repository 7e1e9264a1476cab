//! The plan for a terminal, in Terraform's habits.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use serde_json::Value as Json;

use super::{ChangeRow, DiagnosticRow, FieldRow, PlanDocument, impact};
use crate::document::mask::MASK;
use crate::plan::Action;

const RED: Style = AnsiColor::Red.on_default();
const GREEN: Style = AnsiColor::Green.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default();
const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// The plan as text, with a final newline. With `colour`, ANSI escapes are in it; without, colour carries nothing that the
/// text does not.
#[must_use]
pub fn render(plan: &PlanDocument, colour: bool) -> String {
    let paint = Paint(colour);
    let mut out = String::new();
    for change in &plan.changes {
        push_change(&mut out, change, paint);
        out.push('\n');
    }
    if !plan.not_checked.is_empty() {
        out.push_str("Not checked here:\n");
        for line in &plan.not_checked {
            let _ = writeln!(out, "  {}", visible(line));
        }
        out.push('\n');
    }
    for diagnostic in &plan.diagnostics {
        out.push_str(&self::diagnostic(diagnostic, colour));
        out.push('\n');
    }
    if let Some(held) = &plan.held {
        let _ = writeln!(
            out,
            "{}",
            paint.with(YELLOW, "Held until `openclaw apply --allow-deletes`:")
        );
        for reason in &held.reasons {
            let _ = writeln!(out, "  {}", visible(reason));
        }
        out.push('\n');
    }
    let _ = writeln!(out, "{}", paint.with(BOLD, &verdict(plan)));
    if let Some(impact) = &plan.impact {
        let _ = writeln!(out, "\n{}", paint.with(BOLD, &impact::headline(impact)));
        for line in impact::lines(impact) {
            let _ = writeln!(out, "  {line}");
        }
    }
    if !plan.drift.is_empty() {
        let _ = writeln!(
            out,
            "\n{}",
            paint.with(YELLOW, "Drift: what runs is not what was applied.")
        );
        for drift in &plan.drift {
            let (address, reason, message) = (&drift.address, &drift.reason, &drift.message);
            let _ = writeln!(
                out,
                "  ! {}  {}: {}",
                visible(address),
                visible(reason),
                visible(message)
            );
        }
    }
    out
}

/// The line that says it in short.
#[must_use]
pub fn verdict(plan: &PlanDocument) -> String {
    if plan.is_empty() {
        format!("No changes. {}", plan.sameness())
    } else {
        format!("Plan: {}.", plan.summary)
    }
}

#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn with(self, style: Style, text: &str) -> String {
        if self.0 {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }
}

fn push_change(out: &mut String, change: &ChangeRow, paint: Paint) {
    let style = match change.action {
        Action::Delete | Action::Replace => RED,
        Action::Update => YELLOW,
        Action::Create => GREEN,
    };
    let symbol = symbol(change.action);
    let indent = " ".repeat(3 - symbol.len());
    let address = paint.with(BOLD, &visible(&change.address));
    let _ = writeln!(
        out,
        "{indent}{} {address}  {}",
        paint.with(style, symbol),
        headline(change)
    );
    for line in field_lines(change) {
        let _ = writeln!(out, "      {}{}", line.text, paint.with(DIM, line.note));
    }
}

pub(super) fn symbol(action: Action) -> &'static str {
    match action {
        Action::Delete => "-",
        Action::Replace => "-/+",
        Action::Update => "~",
        Action::Create => "+",
    }
}

/// What stands after the address: `update in place (renamed from a)`, `delete (3 undelivered events at stake)`.
pub(super) fn headline(change: &ChangeRow) -> String {
    let mut line = match change.action {
        Action::Delete => "delete",
        Action::Replace => "replace",
        Action::Update => "update in place",
        Action::Create => "create",
    }
    .to_owned();
    let forcing: Vec<_> = change
        .fields
        .iter()
        .filter(|f| f.forces_replace)
        .map(|f| visible(&f.path))
        .collect();
    if !forcing.is_empty() {
        let _ = write!(line, " (forces: {})", forcing.join(", "));
    }
    if let Some(reason) = &change.reason {
        let _ = write!(line, " ({})", visible(reason));
    }
    match change.undelivered {
        None | Some(0) => {}
        Some(1) => line.push_str(" (1 undelivered event at stake)"),
        Some(count) => {
            let _ = write!(line, " ({count} undelivered events at stake)");
        }
    }
    line
}

pub(super) struct Line {
    pub(super) text: String,
    pub(super) note: &'static str,
}

/// The fields of a change, their values aligned. A deleted resource's fields are not listed.
pub(super) fn field_lines(change: &ChangeRow) -> Vec<Line> {
    if change.action == Action::Delete {
        return Vec::new();
    }
    let paths: Vec<String> = change.fields.iter().map(|field| visible(&field.path)).collect();
    let widths: Vec<usize> = paths
        .iter()
        .map(|path| unicode_width::UnicodeWidthStr::width(path.as_str()))
        .collect();
    // A path that is very long does not push all others to the right.
    let width = widths.iter().copied().filter(|width| *width <= 40).max().unwrap_or(0);
    let line = |((field, path), own): ((&FieldRow, String), usize)| {
        let (value, note) = difference(field, change.action);
        Line {
            text: format!("{path}:{}{value}", " ".repeat(width.saturating_sub(own) + 1)),
            note,
        }
    };
    change.fields.iter().zip(paths).zip(widths).map(line).collect()
}

fn difference(field: &FieldRow, action: Action) -> (String, &'static str) {
    let show = |value: &Option<Json>| {
        value
            .as_ref()
            .map_or_else(|| "(none)".to_owned(), |v| show(v, field.sensitive))
    };
    let forces = if field.forces_replace { " (forces replace)" } else { "" };
    if action == Action::Create {
        return (show(&field.after), "");
    }
    if field.before != field.after {
        return (format!("{} -> {}", show(&field.before), show(&field.after)), forces);
    }
    // What is shown is equal, so what changed is what is not shown.
    match &field.after {
        Some(Json::String(text)) if text == MASK => ("(sensitive value changed)".to_owned(), forces),
        None => ("(sensitive value changed)".to_owned(), forces),
        Some(value) => (
            format!("{} (sensitive value changed)", self::show(value, field.sensitive)),
            forces,
        ),
    }
}

/// A value as a person writes it: JSON with spaces, plain member names without quotes.
fn show(value: &Json, sensitive: bool) -> String {
    match value {
        Json::String(text) if sensitive && text == MASK => "(sensitive value)".to_owned(),
        Json::Array(items) => {
            let items: Vec<_> = items.iter().map(|item| show(item, sensitive)).collect();
            format!("[{}]", items.join(", "))
        }
        Json::Object(members) => {
            let plain = |n: &str| !n.is_empty() && n.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
            let name = |n: &String| {
                if plain(n) {
                    n.clone()
                } else {
                    visible(&Json::from(n.as_str()).to_string())
                }
            };
            let members: Vec<_> = members
                .iter()
                .map(|(n, v)| format!("{}: {}", name(n), show(v, sensitive)))
                .collect();
            format!("{{{}}}", members.join(", "))
        }
        other => visible(&other.to_string()),
    }
}

/// A diagnostic on its lines.
#[must_use]
pub fn diagnostic(diagnostic: &DiagnosticRow, colour: bool) -> String {
    let style = if diagnostic.severity == "error" { RED } else { YELLOW };
    let head = Paint(colour).with(
        style,
        &visible(&format!("{}[{}]", diagnostic.severity, diagnostic.code)),
    );
    let mut out = format!("{head}: {}\n", visible(&diagnostic.to_string()));
    for hint in &diagnostic.hints {
        let _ = writeln!(out, "  hint: {}", visible(hint));
    }
    out
}

/// Text without what moves the cursor, changes colours or turns the writing direction: such characters are written as
/// `\u{9b}`.
pub(crate) fn visible(text: &str) -> String {
    let invisible = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if invisible(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}
