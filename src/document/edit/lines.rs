//! Lines of a text, by bytes.

/// Where the line that holds `at` begins.
pub(super) fn start(text: &str, at: usize) -> usize {
    text[..at].rfind(['\n', '\r']).map_or(0, |i| i + 1)
}

/// Where it ends, its line end not counted.
pub(super) fn end(text: &str, at: usize) -> usize {
    text[at..].find(['\n', '\r']).map_or(text.len(), |i| at + i)
}

/// Where the next line begins; the text's end after the last.
pub(super) fn next(text: &str, at: usize) -> usize {
    let end = end(text, at);
    end + match &text.as_bytes()[end..] {
        [b'\r', b'\n', ..] => 2,
        [] => 0,
        _ => 1,
    }
}

/// Where the line before the one that begins at `start` begins.
pub(super) fn previous(text: &str, start: usize) -> Option<usize> {
    let before = text[..start]
        .strip_suffix("\r\n")
        .or_else(|| text[..start].strip_suffix(['\n', '\r']))?;
    Some(self::start(text, before.len()))
}

/// The line that begins at `start`, its line end not counted.
pub(super) fn at(text: &str, start: usize) -> &str {
    &text[start..end(text, start)]
}

/// The blanks that a line begins with.
pub(super) fn indent(line: &str) -> &str {
    &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
}

/// The line end that a text uses first.
pub(super) fn ending(text: &str) -> &'static str {
    match text.find(['\n', '\r']) {
        Some(i) if text[i..].starts_with("\r\n") => "\r\n",
        Some(i) if text[i..].starts_with('\r') => "\r",
        _ => "\n",
    }
}

/// The number of a line, from 1.
pub(super) fn number(text: &str, at: usize) -> usize {
    crate::document::text::Lines::count(text, u32::try_from(at).unwrap_or(u32::MAX)).0
}
