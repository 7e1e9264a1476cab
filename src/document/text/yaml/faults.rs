//! Faults of the text itself.

use std::ops::Range;

use super::super::node::offset;
use super::{Builder, Code, Fault, Located, MAX_DEPTH};

impl Builder<'_> {
    pub(super) fn syntax(&mut self, error: &saphyr_parser::ScanError) -> Located {
        // A fault at the end is shown at the last thing that was written.
        let at = self
            .places
            .byte(*error.marker())
            .min(offset(self.text.trim_end().len()));
        if error.info().contains("recursion limit") {
            return too_deep(at..at); // the scanner looks ahead, with a bound of its own
        }
        let mut fault = Fault::new(Code::Syntax, lower_first(error.info()));
        let line = self.places.lines.line_of(self.text, at);
        let indent = self.text[line]
            .split(|c: char| !c.is_whitespace())
            .next()
            .unwrap_or_default();
        if indent.contains('\t') {
            fault = fault.hint("YAML does not allow tabs as indentation: use spaces");
        }
        let opened = self
            .frames
            .last()
            .and_then(|frame| self.text.as_bytes().get(frame.at as usize));
        if error.info() == "invalid indentation" && matches!(opened, Some(b'[' | b'{')) {
            fault = fault.hint("indent what stands in brackets over several lines deeper than the key before them");
        }
        Located::new(fault, at..at)
    }
}

pub(super) fn too_deep(range: Range<u32>) -> Located {
    Located::new(
        Fault::new(Code::Limit, format!("nested more than {MAX_DEPTH} levels deep")),
        range,
    )
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(first), second) if second.is_none_or(char::is_lowercase) => {
            first.to_lowercase().chain(second).chain(chars).collect()
        }
        _ => text.to_owned(),
    }
}
