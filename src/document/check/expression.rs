//! Filters and templates: a fault is shown where it is inside of the text.

use std::ops::Range;

use super::place::Place;
use super::{Check, Code, Fault};
use crate::document::diagnostic::nearest;
use crate::document::fields::Form;
use crate::document::form;
use crate::document::reference;
use crate::document::text::Node;

/// The members of `data` that the gateway's own events have: docs/platforms.md.
const MEMBERS: [&str; 19] = [
    "channel",
    "user",
    "message",
    "sessionId",
    "platform",
    "messageId",
    "userName",
    "chatId",
    "threadId",
    "sentAt",
    "attachments",
    "reply",
    "verified",
    "type",
    "deliveryId",
    "body",
    "error",
    "sender",
    "component",
];

impl Check<'_> {
    /// Reports what is wrong with a filter or template; says whether it is right, as far as can be known: what references
    /// lead to is part of it.
    pub(super) fn expression(&mut self, form: Form, text: &str, node: &Node<'_>, place: &Place<'_>) -> bool {
        if reference::has_reference(text) || text.trim().is_empty() {
            return true;
        }
        let members = match form::expression(form, text) {
            Ok(members) => members,
            Err(error) => {
                let span = self.inside(text, node, error.at());
                self.report(place, &span, form::expression_fault(&error));
                return false;
            }
        };
        for member in members.iter().filter(|member| !MEMBERS.contains(&member.as_str())) {
            let Some(right) = nearest(member, MEMBERS) else {
                continue;
            };
            let written = format!("data.{member}");
            let at = text.find(&written).map(|at| at..at + written.len());
            let fault = Fault::new(
                Code::UnknownMember,
                format!("events of the gateway have no `{written}`: it is undefined unless yours have it"),
            );
            let span = self.inside(text, node, at);
            self.report(place, &span, fault.hint(format!("did you mean `data.{right}`?")));
        }
        true
    }

    /// The place of a part of a node's text, or the node's.
    fn inside(&self, text: &str, node: &Node<'_>, part: Option<Range<usize>>) -> Range<u32> {
        part.and_then(|part| inner_span(self.text, &node.target().span(), text, &part))
            .unwrap_or_else(|| node.span())
    }
}

/// Where a part of a text stands in the document, whatever the style in which it is written; `None`: it is not written as
/// it is (escapes).
fn inner_span(document: &str, node: &Range<u32>, text: &str, part: &Range<usize>) -> Option<Range<u32>> {
    let source = document.get(node.start as usize..node.end as usize)?;
    // The header of a block, an opening quote.
    let mut at = match source.as_bytes().first()? {
        b'|' | b'>' => source.find('\n')?,
        b'"' | b'\'' => 1,
        _ => 0,
    };
    let (mut start, mut end) = (None, None);
    for (i, c) in text.char_indices() {
        // Line breaks and indentation are the style's own: only what can be seen is counted.
        if c.is_whitespace() {
            continue;
        }
        at += source[at..].len() - source[at..].trim_start().len();
        let doubled = source[at..].starts_with("''") && c == '\'';
        let escaped =
            source[at..].starts_with('\\') && source[at + 1..].starts_with(c) && matches!(c, '"' | '\'' | '/');
        at += usize::from(doubled || escaped);
        if !source[at..].starts_with(c) {
            return None;
        }
        if i >= part.start {
            start.get_or_insert(at);
        }
        at += c.len_utf8();
        if i < part.end {
            end = Some(at);
        }
    }
    let offset = |byte: usize| u32::try_from(byte).ok().map(|byte| node.start + byte);
    let start = start.unwrap_or(at);
    Some(offset(start)?..offset(end.unwrap_or(start).max(start + 1).min(source.len()))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Format;
    use crate::document::text;

    #[test]
    fn a_part_is_found_in_every_style_of_yaml_and_json() {
        let part = "b(c";
        for (document, format) in [
            ("k: a b(c d", Format::Yaml),
            ("k: 'a ''x'' b(c d'", Format::Yaml),
            ("k: \"a \\\"x\\\" b(c d\"", Format::Yaml),
            ("k: |\n    a\n    b(c d\n", Format::Yaml),
            ("k: >-\r\n  ü\r\n  a b(c d\r\n", Format::Yaml),
            ("k: a\n  b(c\n  d\n", Format::Yaml),
            ("{\"k\": \"a\\/ b(c d\"}", Format::Json5),
            ("{k: 'a \\' b(c d'}", Format::Json5),
        ] {
            let tree = text::read(document, format);
            let root = tree.root.unwrap();
            let node = root.get("k").unwrap();
            let text::Data::Text(value) = &node.target().data else {
                panic!("{document}")
            };
            let start = value.find(part).unwrap();
            let span = inner_span(document, &node.span(), value, &(start..start + part.len()))
                .unwrap_or_else(|| panic!("{document}"));
            assert_eq!(&document[span.start as usize..span.end as usize], part, "{document}");
        }
        // What is written in another way is not found, and the whole is shown.
        let document = "k: \"a \\u0062(c\"";
        let tree = text::read(document, Format::Yaml);
        let span = tree.root.unwrap().get("k").unwrap().span();
        assert_eq!(inner_span(document, &span, "a b(c", &(2..5)), None);
    }
}
