//! The parser's markers to bytes.

use std::ops::Range;

use saphyr_parser::{Marker, ScalarStyle, Span};

use super::super::node::offset;
use super::Lines;

/// Markers (line, column in characters) to bytes. The parser's own character index is not used: a line's start and a walk
/// along the line do not depend on how it counts comments and byte order marks. Markers come nearly in order, so the walk
/// goes on from the last place: a document of one line of 64 MiB is no trap.
pub(super) struct Places<'a> {
    text: &'a str,
    pub(super) lines: Lines,
    /// Lines, from 0, that the parser sees with a blank before them.
    padded: Vec<usize>,
    line: usize,
    column: usize,
    byte: usize,
}

impl<'a> Places<'a> {
    pub(super) fn new(text: &'a str, padded: Vec<usize>) -> Self {
        Self {
            text,
            lines: Lines::new(text),
            padded,
            line: 0,
            column: 0,
            byte: 0,
        }
    }

    pub(super) fn is_padded(&self) -> bool {
        !self.padded.is_empty()
    }

    pub(super) fn byte(&mut self, marker: Marker) -> u32 {
        let line = marker.line().saturating_sub(1);
        let pad = usize::from(self.is_padded() && self.padded.binary_search(&line).is_ok());
        let column = marker.col().saturating_sub(pad);
        if line != self.line {
            (self.line, self.column, self.byte) = (line, 0, self.lines.start(line));
        }
        let bytes = self.text.as_bytes();
        while self.column < column && self.byte < bytes.len() {
            self.byte += 1;
            while self.byte < bytes.len() && bytes[self.byte] & 0xc0 == 0x80 {
                self.byte += 1;
            }
            self.column += 1;
        }
        while self.column > column && self.byte > 0 {
            self.byte -= 1;
            while bytes[self.byte] & 0xc0 == 0x80 {
                self.byte -= 1;
            }
            self.column -= 1;
        }
        offset(self.byte)
    }

    pub(super) fn span(&mut self, span: Span) -> Range<u32> {
        let at = self.byte(span.start);
        at..self.byte(span.end).max(at)
    }

    /// The parser begins a node at its anchor or tag.
    pub(super) fn after_properties(&self, mut range: Range<u32>) -> Range<u32> {
        loop {
            let written = &self.text[range.start as usize..];
            if !written.starts_with(['&', '!']) {
                range.end = range.end.max(range.start);
                return range;
            }
            let property = written.find([' ', '\t', '\r', '\n']).unwrap_or(written.len());
            let rest = &written[property..];
            range.start += offset(property + rest.len() - rest.trim_start().len());
        }
    }

    /// Of a scalar. The parser ends what stands in quotes where the next token begins.
    pub(super) fn scalar(&mut self, span: Span, style: ScalarStyle, properties: bool) -> Range<u32> {
        let mut range = self.span(span);
        if properties {
            range = self.after_properties(range);
        }
        let written = &self.text.as_bytes()[range.start as usize..range.end as usize];
        let length = match style {
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => quoted(written),
            _ => written.trim_ascii_end().len(),
        };
        range.start..range.start + offset(length)
    }
}

/// The length of a quoted text that begins here.
fn quoted(written: &[u8]) -> usize {
    let Some(quote) = written.first().copied() else {
        return 0;
    };
    let mut i = 1;
    while i < written.len() {
        match written[i] {
            b'\\' if quote == b'"' => i += 2,
            b if b == quote && quote == b'\'' && written.get(i + 1) == Some(&quote) => i += 2,
            b if b == quote => return i + 1,
            _ => i += 1,
        }
    }
    written.len()
}
