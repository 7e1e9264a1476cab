//! The line that a diagnostic shows, with literals of sensitive fields masked.

use std::ops::Range;

use super::Diagnostic;
use crate::document::mask;
use crate::document::text::Lines;

/// At most so many characters of a line are shown: before and after the place.
const BEFORE: usize = 100;
const AFTER: usize = 140;

/// How far a key is looked for before the place, in a text that could not be read.
const LOOK_BACK: usize = 16 * 1024;

/// One line of the document, or a cut-out of a long one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownLine {
    /// The text.
    pub text: String,
    /// Where the marked part begins, in characters.
    pub start: u32,
    /// How many characters are marked; at least 1.
    pub length: u32,
}

/// Makes shown lines.
pub(in crate::document) struct Shower<'a> {
    text: &'a str,
    lines: &'a Lines,
    /// What must not be shown, in order, not overlapping.
    masked: Vec<Range<u32>>,
    /// The part of the text of which `masked` is complete; elsewhere keys are recognised by their names.
    known: Range<u32>,
}

impl<'a> Shower<'a> {
    pub(in crate::document) fn new(
        text: &'a str,
        lines: &'a Lines,
        mut masked: Vec<Range<u32>>,
        known: Range<u32>,
    ) -> Self {
        masked.sort_unstable_by_key(|range| (range.start, range.end));
        let mut merged: Vec<Range<u32>> = Vec::with_capacity(masked.len());
        for range in masked {
            match merged.last_mut() {
                Some(last) if range.start < last.end => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        Self {
            text,
            lines,
            masked: merged,
            known,
        }
    }

    /// Fills in position and shown line from the span.
    pub(in crate::document) fn place(&self, diagnostic: &mut Diagnostic) {
        let span = diagnostic.span.clone();
        let (line, column) = self.lines.position(self.text, span.start);
        (diagnostic.line, diagnostic.column) = (line, column);
        diagnostic.shown = Some(self.show(&span));
    }

    /// The whole text, line by line.
    pub(in crate::document) fn whole(&self) -> String {
        let mut hidden = self.hidden(0, self.text.len());
        let mut start = 0;
        for line in self.text.split_inclusive('\n') {
            let end = start + line.trim_end_matches(['\r', '\n']).len();
            if start < self.known.start as usize || end > self.known.end as usize {
                hidden.extend(self.hidden_by_name(start, start, end));
            }
            start += line.len();
        }
        hidden.sort_unstable_by_key(|range| (range.start, range.end));
        let (mut out, mut at) = (String::with_capacity(self.text.len()), 0);
        for range in hidden {
            let (start, end) = (range.start.max(at), range.end.min(self.text.len()));
            if start >= end {
                continue;
            }
            out.push_str(&self.text[at..start]);
            for line in self.text[start..end].split_inclusive('\n') {
                let value = line.trim_start();
                out.push_str(&line[..line.len() - value.len()]);
                out.push_str(if value.is_empty() { "" } else { mask::MASK });
                out.push_str(if value.ends_with('\n') { "\n" } else { "" });
            }
            at = end;
        }
        out.push_str(&self.text[at..]);
        out
    }

    fn show(&self, span: &Range<u32>) -> ShownLine {
        let line = self.lines.line_of(self.text, span.start);
        let at = (span.start as usize).clamp(line.start, line.end);
        let end = (span.end as usize).clamp(at, line.end);
        let from = back(self.text, line.start, at, BEFORE);
        let to = self.text[at..line.end]
            .char_indices()
            .nth(AFTER)
            .map_or(line.end, |(i, _)| at + i);
        let end = end.min(to);

        let mut hidden = self.hidden(from, to);
        if !(self.known.start <= span.start && span.end <= self.known.end) {
            hidden.extend(self.hidden_by_name(line.start, from, to));
            hidden.sort_unstable_by_key(|range| range.start);
        }

        let mut out = Out::default();
        if from > line.start {
            out.push("…");
        }
        let mut i = from;
        let (mut start, mut stop) = (None, None);
        while i < to {
            if let Some(range) = hidden.iter().find(|range| range.contains(&i)) {
                let until = range.end.min(to);
                if start.is_none() && at < until {
                    start = Some(out.length);
                }
                out.push("***");
                if stop.is_none() && end <= until && start.is_some() {
                    stop = Some(out.length);
                }
                i = until;
                continue;
            }
            if i >= at && start.is_none() {
                start = Some(out.length);
            }
            if i >= end && stop.is_none() {
                stop = Some(out.length);
            }
            let c = self.text[i..].chars().next().expect("inside the text, on a boundary");
            out.push_char(c);
            i += c.len_utf8();
        }
        let start = start.unwrap_or(out.length);
        let stop = stop.unwrap_or(out.length);
        if to < line.end {
            out.push("…");
        }
        ShownLine {
            text: out.text,
            start,
            length: stop.saturating_sub(start).max(1),
        }
    }

    fn hidden(&self, from: usize, to: usize) -> Vec<Range<usize>> {
        let first = self.masked.partition_point(|range| range.end as usize <= from);
        self.masked[first..]
            .iter()
            .take_while(|range| (range.start as usize) < to)
            .map(|range| range.start as usize..range.end as usize)
            .collect()
    }

    /// Values of keys that are named like secrets: for a text that could not be read.
    fn hidden_by_name(&self, line_start: usize, from: usize, to: usize) -> Vec<Range<usize>> {
        let mut hidden = Vec::new();
        let region = back(self.text, line_start, from, LOOK_BACK);
        let bytes = self.text.as_bytes();
        let mut i = region;
        while let Some(colon) = self.text[i..to].find(':').map(|n| i + n) {
            i = colon + 1;
            if !mask::is_secret_name(key_before(self.text, region, colon)) {
                continue;
            }
            let value = colon + 1 + self.text[colon + 1..to].len() - self.text[colon + 1..to].trim_start().len();
            let end = match bytes.get(value) {
                Some(quote @ (b'"' | b'\'')) => closing(bytes, value + 1, to, *quote),
                Some(b'[') => self.text[value..to].find(']').map_or(to, |n| value + n),
                Some(b'{') => continue,
                _ => to,
            };
            if value < end {
                hidden.push(value..end);
                i = end;
            }
        }
        // The line goes on with the value of a key above: an item of its list, a line of its block.
        if hidden.is_empty() && self.owner_is_secret(line_start) {
            let content = line_start + self.text[line_start..to].len() - self.text[line_start..to].trim_start().len();
            if content < to {
                hidden.push(content..to);
            }
        }
        hidden
    }

    /// Whether the nearest key above is named like a secret, or any above it whose value is a block: in that, lines may
    /// look like keys and be indented as they like.
    fn owner_is_secret(&self, line_start: usize) -> bool {
        let indent = |line: &str| line.len() - line.trim_start().len();
        let own = self.text[line_start..].lines().next().unwrap_or_default();
        let is_item = own.trim_start().starts_with('-');
        let region = back(self.text, 0, line_start, LOOK_BACK);
        let (mut least, mut found) = (indent(own), false);
        for line in self.text[region..line_start].lines().rev() {
            let trimmed = line.trim();
            let is_another = is_item && !found && trimmed.starts_with('-');
            if trimmed.is_empty() || trimmed.starts_with('#') || is_another {
                continue;
            }
            if indent(line) < least || (is_item && !found && indent(line) <= least) {
                least = indent(line);
                let Some((key, is_block)) = owner(trimmed) else {
                    continue;
                };
                if mask::is_secret_name(key) && (!found || is_block) {
                    return true;
                }
                found = true;
            }
        }
        false
    }
}

/// The key of a line that what follows may belong to, and whether its value is a block: the last one where the line ends with
/// it or opens its value, else the first.
fn owner(line: &str) -> Option<(&str, bool)> {
    let (last, first) = (line.rfind(':')?, line.find(':')?);
    let value = line[last + 1..].trim_start();
    let is_block = value.starts_with(['|', '>']);
    let opens = value.is_empty() || is_block || (value.starts_with(['[', '{']) && !value.contains([']', '}']));
    Some((key_before(line, 0, if opens { last } else { first }), is_block))
}

/// The word before a colon.
fn key_before(text: &str, from: usize, colon: usize) -> &str {
    let before = text[from..colon].trim_end().trim_end_matches(['"', '\'']);
    let word = before
        .rfind(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-')))
        .map_or(0, |i| i + before[i..].chars().next().map_or(1, char::len_utf8));
    &before[word..]
}

fn closing(bytes: &[u8], from: usize, to: usize, quote: u8) -> usize {
    let mut i = from;
    while i < to {
        match bytes[i] {
            b'\\' => i += 2,
            b if b == quote => return i + 1,
            _ => i += 1,
        }
    }
    to
}

/// The boundary `count` characters before `at`, not before `from`.
fn back(text: &str, from: usize, at: usize, count: usize) -> usize {
    text[from..at]
        .char_indices()
        .rev()
        .take(count)
        .last()
        .map_or(at, |(i, _)| from + i)
}

#[derive(Default)]
struct Out {
    text: String,
    length: u32,
}

impl Out {
    fn push(&mut self, text: &str) {
        text.chars().for_each(|c| self.push_char(c));
    }

    fn push_char(&mut self, c: char) {
        // A terminal must not be steered by what a document holds.
        self.text.push(match c {
            '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        });
        self.length += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_could_not_be_read_hides_what_is_named_like_a_secret() {
        for text in [
            "a:\n  secret: hunter2 and more, more",
            "a:\n  secret:\n    - one\n    - hunter2",
            "a:\n  token: |\n    hunter2",
            "a:\n  token: |\n    one\n      hunter2",
            "a:\n  token: >- # folded\n    one: 1\n\n      hunter2",
            "a:\n  token: |\n    -----BEGIN KEY-----\n    # x: 1\n      - hunter2",
            "a:\n  password: one\n    two\n      hunter2",
            "{a: {secret: \"hunter2",
            "{ \"a\": {\"secret\":\n   \"hunter2\"",
            "{\"x\": 1, \"secret\": [\n  \"one\",\n  \"hunter2",
            "{\"authorization\": \"Bearer hunter2\", x: 1",
            "  - secret: 'hunter2'",
        ] {
            let lines = Lines::new(text);
            let shower = Shower::new(text, &lines, Vec::new(), 0..0);
            let end = u32::try_from(text.len()).unwrap();
            let shown = shower.show(&(end - 1..end));
            assert!(!shown.text.contains("hunter2"), "{text:?} shows {:?}", shown.text);
            assert!(shown.text.contains("***"), "{text:?} shows {:?}", shown.text);
        }
    }

    #[test]
    fn of_a_text_as_a_whole_every_line_of_a_secret_block_is_masked_and_no_other() {
        let text = "password: |\n  hunter2\n    deep: hunter2\n\n   hunter2\nname: |\n  one\n    two: 2\n    three\n";
        let lines = Lines::new(text);
        let shown = Shower::new(text, &lines, Vec::new(), 0..0).whole();
        assert_eq!(
            shown,
            "password: ***\n  ***\n    ***\n\n   ***\nname: |\n  one\n    two: 2\n    three\n"
        );
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let text = format!("{}ü!{}", "a".repeat(5000), "b".repeat(5000));
        let lines = Lines::new(&text);
        let shown = Shower::new(&text, &lines, Vec::new(), 0..0).show(&(5002..5003));
        assert!(shown.text.chars().count() < 260);
        assert_eq!(shown.text.chars().nth(shown.start as usize), Some('!'));
    }

    #[test]
    fn a_mask_before_the_place_moves_the_mark() {
        let text = "x: {secret: hunter2, wrong: 1}";
        let lines = Lines::new(text);
        let shown = Shower::new(text, &lines, vec![12..19, 40..41], 0..30).show(&(21..26));
        assert_eq!(shown.text, "x: {secret: ***, wrong: 1}");
        assert_eq!((shown.start, shown.length), (17, 5));
    }
}
