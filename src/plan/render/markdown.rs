//! The plan for a pull request's comment.
//!
//! Whatever comes from a document stands in a code span or a code block: there it is no markup, no HTML, no link and no
//! mention of a person.

use std::fmt::Write;

use super::text::{field_lines, headline, symbol, visible};
use super::{ChangeRow, PlanDocument, impact};
use crate::plan::Action;
use crate::plan::saved::short;

/// The line by which a later run finds the comment to update.
pub const MARKER: &str = "<!-- openclaw-plan -->";

/// A comment's bound: GitHub takes 65,536 characters.
pub const MAX_BYTES: usize = 60_000;

/// Deletes are listed in at most half of the comment.
const DELETES_END: usize = 30_000;

/// The impact is listed up to here.
const IMPACT_END: usize = 45_000;

/// Changes are listed up to here: the fence and the line after them need the rest.
const CHANGES_END: usize = MAX_BYTES - 1000;

/// One line of a change takes at most so many bytes.
const LINE_MAX: usize = 2000;

/// At most so many reasons, warnings, drifts.
const NOTES_MAX: usize = 10;

/// A code span shows at most so many bytes.
const SPAN_MAX: usize = 300;

/// Longer runs of backticks are cut off: the fences around them would outgrow the comment.
const BACKTICKS_MAX: usize = 20;

/// The plan as Markdown of at most [`MAX_BYTES`] bytes.
#[must_use]
pub fn render(plan: &PlanDocument) -> String {
    let mut out = format!("{MARKER}\n");
    if plan.is_empty() {
        let _ = writeln!(out, "### openclaw plan: no changes\n\n{}", plan.sameness());
    } else {
        let _ = writeln!(out, "### openclaw plan: {}", plan.summary);
    }
    let against = match (plan.base.generation, plan.other_document()) {
        (Some(number), _) => format!("generation {number}"),
        (None, Some(sha256)) => format!("the document with sha256 {}", code(short(sha256))),
        (None, None) => "an empty gateway".to_owned(),
    };
    let path = code(&plan.document.path);
    let _ = writeln!(
        out,
        "\n{path} (sha256 {}) against {against}.",
        code(short(&plan.document.sha256))
    );

    let mut left_out = push_deletes(&mut out, plan);
    let held = plan.held.iter().flat_map(|held| held.reasons.iter().cloned());
    push_notes(&mut out, "Held until `openclaw apply --allow-deletes`", held);
    let drift = plan
        .drift
        .iter()
        .map(|d| format!("{}  {}: {}", d.address, d.reason, d.message));
    push_notes(&mut out, "Drift: what runs is not what was applied", drift);
    let diagnostics = plan
        .diagnostics
        .iter()
        .map(|d| format!("{}[{}]: {d}", d.severity, d.code));
    push_notes(&mut out, "Diagnostics", diagnostics);
    push_notes(&mut out, "Not checked here", plan.not_checked.iter().cloned());

    push_impact(&mut out, plan);
    left_out += push_changes(&mut out, plan);
    if left_out > 0 {
        let _ = writeln!(
            out,
            "\n{left_out} more changes are left out here; `openclaw plan` shows them all."
        );
    }
    debug_assert!(out.len() <= MAX_BYTES);
    out
}

/// Lists what is deleted. Returns how many did not fit.
fn push_deletes(out: &mut String, plan: &PlanDocument) -> usize {
    let mut deletes = plan.changes.iter().filter(|c| c.action == Action::Delete).peekable();
    if deletes.peek().is_none() {
        return 0;
    }
    out.push_str("\n**Deletes**\n\n");
    let mut left_out = 0;
    for change in deletes {
        let at_stake = match change.undelivered {
            None | Some(0) => String::new(),
            Some(1) => " with 1 undelivered event at stake".to_owned(),
            Some(count) => format!(" with {count} undelivered events at stake"),
        };
        let line = format!("- {}{at_stake}\n", code(&change.address));
        if left_out > 0 || out.len() + line.len() > DELETES_END {
            left_out += 1;
        } else {
            out.push_str(&line);
        }
    }
    left_out
}

fn push_notes(out: &mut String, title: &str, notes: impl Iterator<Item = String>) {
    let notes: Vec<String> = notes.collect();
    if notes.is_empty() {
        return;
    }
    let _ = write!(out, "\n**{title}**\n\n");
    for note in notes.iter().take(NOTES_MAX) {
        let _ = writeln!(out, "- {}", code(note));
    }
    if notes.len() > NOTES_MAX {
        let _ = writeln!(out, "- and {} more", notes.len() - NOTES_MAX);
    }
}

/// What it would have meant, as one block.
fn push_impact(out: &mut String, plan: &PlanDocument) {
    let Some(impact) = &plan.impact else { return };
    let mut block = String::new();
    let mut lines = impact::lines(impact);
    while let Some(line) = lines.next() {
        let line = cut(&line, LINE_MAX);
        if out.len() + block.len() + line.len() > IMPACT_END {
            let _ = writeln!(block, "({} more lines are left out here)", 1 + lines.count());
            break;
        }
        let _ = writeln!(block, "{line}");
    }
    let fence = "`".repeat(longest_run(&block).max(2) + 1);
    let headline = impact::headline(impact);
    let _ = write!(out, "\n**Impact**\n\n{headline}\n\n{fence}text\n{block}{fence}\n");
}

/// Everything but deletes, as one block that GitHub colours. Returns how many did not fit.
fn push_changes(out: &mut String, plan: &PlanDocument) -> usize {
    let mut block = String::new();
    let mut left_out = 0;
    let room = CHANGES_END.saturating_sub(out.len());
    for change in plan.changes.iter().filter(|c| c.action != Action::Delete) {
        if left_out > 0 {
            left_out += 1;
            continue;
        }
        let text = lines_of(change, true);
        let text = if block.len() + text.len() <= room {
            text
        } else {
            lines_of(change, false)
        };
        if block.len() + text.len() > room {
            left_out = 1;
        } else {
            block.push_str(&text);
        }
    }
    if !block.is_empty() {
        let fence = "`".repeat(longest_run(&block).max(2) + 1);
        let _ = write!(out, "\n**Changes**\n\n{fence}diff\n{block}{fence}\n");
    }
    left_out
}

/// The lines of a change: symbols first, so that they are coloured as a diff's.
fn lines_of(change: &ChangeRow, with_fields: bool) -> String {
    let line = format!(
        "{} {}  {}",
        symbol(change.action),
        visible(&change.address),
        headline(change)
    );
    let mut text = format!("{}\n", cut(&line, LINE_MAX));
    if with_fields {
        for line in field_lines(change) {
            let _ = writeln!(text, "    {}{}", cut(&line.text, LINE_MAX), line.note);
        }
    } else {
        let _ = writeln!(text, "    ({} fields are left out here)", change.fields.len());
    }
    text
}

/// A code span of this text: longer backticks around it than in it, on one line.
fn code(text: &str) -> String {
    let text = cut(&visible(text), SPAN_MAX);
    let fence = "`".repeat(longest_run(&text) + 1);
    // CommonMark takes one space off either end.
    let pad = if text.is_empty() || text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) {
        " "
    } else {
        ""
    };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// The longest run of backticks.
fn longest_run(text: &str) -> usize {
    text.split(|c| c != '`').map(str::len).max().unwrap_or(0)
}

/// Text of at most `max` bytes, with a count of what was cut off.
fn cut(text: &str, max: usize) -> String {
    let end = text.find(&"`".repeat(BACKTICKS_MAX + 1)).map_or(max, |at| at.min(max));
    if text.len() <= end {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(end);
    format!("{}… ({} more bytes)", &text[..end], text.len() - end)
}
