//! Values as text, in the style of the document around them.

use std::fmt::Write as _;

use super::lines;
use crate::document::text::{Data, Node};
use crate::document::value::duration_text;
use crate::document::{Format, Value};

/// How a document is written.
#[derive(Debug, Clone)]
pub(super) struct Style {
    pub(super) format: Format,
    pub(super) eol: &'static str,
    /// One level of indentation.
    pub(super) step: String,
    /// `{ a: b }`, not `{a: b}`.
    pub(super) pad: bool,
    /// JSON: webhooks and what is around them each on lines of their own.
    tall: bool,
    /// JSON: the quote of keys; `None`: none where it can be.
    key_quote: Option<char>,
    /// JSON: the quote of texts.
    text_quote: char,
}

impl Style {
    /// Of no document in particular.
    pub(super) fn plain(format: Format) -> Self {
        Self {
            format,
            eol: "\n",
            step: "  ".to_owned(),
            pad: format == Format::Yaml,
            tall: true,
            key_quote: Some('"'),
            text_quote: '"',
        }
    }

    /// Of a text that is all or the rest of a `whole`.
    pub(super) fn of(text: &str, whole: &str, root: &Node<'_>, format: Format) -> Self {
        let mut style = Self {
            eol: lines::ending(text),
            ..Self::plain(format)
        };
        // The first map with something inside on its line, in webhooks if it is there.
        let mut from = 0;
        if let Some(braces) = whole.match_indices('{').map(|(i, _)| i).take(10_000).find(|i| {
            let next = whole[i + 1..].chars().next();
            !whole[..*i].ends_with('$') && next.is_some_and(|c| !matches!(c, '}' | '\n' | '\r' | '{'))
        }) {
            from = braces;
        }
        if whole[from..].starts_with('{') && from > 0 {
            style.pad = whole[from + 1..].starts_with(' ');
        }
        let Some(first) = root.members().and_then(|members| members.first().copied()) else {
            return style;
        };
        if format == Format::Json5 {
            style.tall = text[root.at as usize..first.at as usize].contains(['\n', '\r']);
            style.key_quote =
                Some(text[first.at as usize..].chars().next().unwrap_or('"')).filter(|c| matches!(c, '"' | '\''));
            style.text_quote = first_text(text, root).unwrap_or(style.key_quote.unwrap_or('"'));
            let start = lines::start(text, first.at as usize);
            let indent = &text[start..first.at as usize];
            if style.tall && !indent.is_empty() && indent.trim().is_empty() {
                indent.clone_into(&mut style.step);
            }
        } else if let Some(step) = step(text, root, 0) {
            style.step = step;
        }
        style
    }

    /// A value on one line.
    pub(super) fn flow(&self, value: &Value) -> String {
        let mut out = String::new();
        self.flow_into(value, None, &mut out);
        out
    }

    /// A text in the quotes that the old one was in.
    pub(super) fn flow_like(&self, value: &Value, old: &str) -> String {
        let mut out = String::new();
        let quote = old.chars().next().filter(|c| matches!(c, '"' | '\''));
        self.flow_into(value, quote, &mut out);
        out
    }

    fn flow_into(&self, value: &Value, quote: Option<char>, out: &mut String) {
        match value {
            Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Value::Integer(n) => _ = write!(out, "{n}"),
            Value::Decimal(text) => out.push_str(text),
            Value::Duration(ms) => self.text_into(&duration_text(*ms), quote, out),
            Value::Text(text) => self.text_into(text, quote, out),
            Value::List(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push_str(", ");
                    }
                    self.flow_into(item, None, out);
                }
                out.push(']');
            }
            Value::Map(members) if members.is_empty() => out.push_str("{}"),
            Value::Map(members) => {
                let pad = if self.pad { " " } else { "" };
                out.push('{');
                out.push_str(pad);
                for (i, (key, value)) in members.iter().enumerate() {
                    if i > 0 {
                        out.push_str(", ");
                    }
                    out.push_str(&self.key(key));
                    out.push_str(": ");
                    self.flow_into(value, None, out);
                }
                out.push_str(pad);
                out.push('}');
            }
        }
    }

    fn text_into(&self, text: &str, quote: Option<char>, out: &mut String) {
        match self.format {
            Format::Json5 if quote.unwrap_or(self.text_quote) == '\'' => out.push_str(&json_single(text)),
            Format::Json5 => out.push_str(&double(text)),
            Format::Yaml => match quote {
                None if is_plain(text) => out.push_str(text),
                Some('\'') if !text.chars().any(is_special) => _ = write!(out, "'{}'", text.replace('\'', "''")),
                _ => out.push_str(&double(text)),
            },
        }
    }

    /// A key.
    pub(super) fn key(&self, key: &str) -> String {
        match (self.format, self.key_quote) {
            (Format::Yaml, _) if is_plain(key) => key.to_owned(),
            (Format::Json5, None) if is_identifier(key) => key.to_owned(),
            (Format::Json5, Some('\'')) => json_single(key),
            (Format::Json5, None) if self.text_quote == '\'' => json_single(key),
            _ => double(key),
        }
    }

    /// A member as it stands in flow style; down to the webhooks JSON is written tall. `level` is the key's: `webhooks` has 1.
    pub(super) fn flow_member(&self, key: &str, value: &Value, level: usize, indent: &str) -> String {
        let mut out = format!("{}: ", self.key(key));
        match value {
            Value::Map(members) if self.format == Format::Json5 && self.tall && level <= 3 && !members.is_empty() => {
                let inner = format!("{indent}{}", self.step);
                out.push('{');
                for (i, (key, value)) in members.iter().enumerate() {
                    let comma = if i > 0 { "," } else { "" };
                    _ = write!(
                        out,
                        "{comma}{}{inner}{}",
                        self.eol,
                        self.flow_member(key, value, level + 1, &inner)
                    );
                }
                _ = write!(out, "{}{indent}}}", self.eol);
            }
            _ => self.flow_into(value, None, &mut out),
        }
        out
    }

    /// Whether members of this level are written on lines of their own where nothing says otherwise.
    pub(super) fn is_tall(&self, level: usize) -> bool {
        self.format == Format::Json5 && self.tall && level <= 4
    }

    /// A member as lines of block style. `flat`: a webhook is written on one line, as its neighbours are.
    pub(super) fn block_member(&self, key: &str, value: &Value, level: usize, indent: &str, flat: bool) -> String {
        let mut out = format!("{indent}{}:", self.key(key));
        match value {
            Value::Map(members) if !members.is_empty() && level <= 3 && !(flat && level == 3) => {
                out.push_str(self.eol);
                let inner = format!("{indent}{}", self.step);
                for (key, value) in members {
                    out.push_str(&self.block_member(key, value, level + 1, &inner, flat));
                }
            }
            _ => {
                out.push(' ');
                self.flow_into(value, None, &mut out);
                out.push_str(self.eol);
            }
        }
        out
    }
}

/// The indentation of the first map that stands in block style inside another.
fn step(text: &str, node: &Node<'_>, depth: usize) -> Option<String> {
    for entry in node.members()? {
        let target = entry.value.target();
        let inner = matches!(&target.data, Data::Map(_) | Data::Merged(_))
            && text.as_bytes().get(target.at as usize) != Some(&b'{');
        if !inner {
            continue;
        }
        let (outer_at, inner_at) = (entry.at as usize, target.at as usize);
        let outer = &text[lines::start(text, outer_at)..outer_at];
        let indent = &text[lines::start(text, inner_at)..inner_at];
        if let Some(step) = indent.strip_prefix(outer)
            && !step.is_empty()
            && step.trim().is_empty()
        {
            return Some(step.to_owned());
        }
        if depth < 3 {
            return self::step(text, target, depth + 1);
        }
    }
    None
}

/// The quote of the first text value.
fn first_text(text: &str, node: &Node<'_>) -> Option<char> {
    match &node.data {
        Data::Text(_) => text[node.at as usize..].chars().next(),
        Data::List(items) => items.iter().find_map(|item| first_text(text, item)),
        Data::Map(entries) => entries.iter().find_map(|entry| first_text(text, &entry.value)),
        _ => None,
    }
}

fn is_identifier(key: &str) -> bool {
    let mut chars = key.chars();
    chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || matches!(c, '_' | '$'))
        && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '$'))
}

/// What must be escaped to be seen, or to be read the same by every reader.
fn is_special(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// In double quotes, as JSON and YAML both read it.
fn double(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if is_special(c) => _ = write!(out, "\\u{:04x}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// In single quotes, as JSON5 reads it.
fn json_single(text: &str) -> String {
    let double = double(text);
    let inner = double[1..double.len() - 1].replace("\\\"", "\"").replace('\'', "\\'");
    format!("'{inner}'")
}

/// Whether a text can stand without quotes anywhere, and every reader, of YAML 1.1 too, takes it for a text.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 10] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan"];
    let Some(first) = text.chars().next() else {
        return false;
    };
    let begins = first.is_alphanumeric() || matches!(first, '/' | '_') || (first == '.' && text.starts_with("./"));
    // Digits, signs and separators alone may be a number, a time or a date; so may what begins like a hexadecimal number.
    let number = text.chars().all(|c| {
        matches!(
            c,
            '0'..='9' | '.' | '_' | ':' | ',' | 'e' | 'E' | '+' | '-' | 'T' | 'Z' | 'i' | 'n' | 'f'
        )
    }) || (first == '0' && text.len() > 1 && text[1..].starts_with(['x', 'o', 'b', 'X', 'O', 'B']));
    let other = (first.is_numeric() && number) || WORDS.iter().any(|word| text.eq_ignore_ascii_case(word));
    let syntax = text.ends_with([' ', ':'])
        || text.contains([',', '[', ']', '{', '}', '"', '\'', '`', '\\'])
        || text.contains(": ")
        || text.contains(" #")
        || text.chars().any(|c| is_special(c) || c == '\u{a0}');
    begins && !other && !syntax
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_any_reader_may_take_for_something_else_is_quoted() {
        for text in [
            "",
            "no",
            "Yes",
            "ON",
            "y",
            "off",
            "null",
            "~",
            "true",
            "1",
            "01234",
            "1_000",
            "12:30:45",
            "2026-01-01",
            "0x1F",
            "0o7",
            "1e3",
            ".5",
            "-",
            "- a",
            "a: b",
            "a #b",
            "a:",
            " a",
            "a ",
            "*",
            "&a",
            "!a",
            "%a",
            "@a",
            "{a",
            "a, b",
            "${A}",
            "a\nb",
            "<<",
            "=",
            "a\u{7f}",
            "?",
            "# a",
            "2026-01-01T00:00:00Z",
        ] {
            assert!(!is_plain(text), "{text}");
        }
        for text in [
            "message.*",
            "https://a.example/b?c=d#e",
            "5s",
            "5xx",
            "50/s",
            "30%",
            "./ca.crt",
            "/webhook/telegram",
            "频道",
            "a b",
            "Authorization",
            "520-530x",
        ] {
            assert!(is_plain(text), "{text}");
        }
    }
}
