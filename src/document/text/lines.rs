//! Bytes to lines and columns.

use std::ops::Range;

/// Where each line begins. `\n`, `\r\n` and a lone `\r` end a line.
#[derive(Debug)]
pub(in crate::document) struct Lines {
    starts: Vec<u32>,
}

impl Lines {
    pub(in crate::document) fn new(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut starts = vec![0];
        for (i, byte) in bytes.iter().enumerate() {
            if *byte == b'\n' || (*byte == b'\r' && bytes.get(i + 1) != Some(&b'\n')) {
                starts.push(super::node::offset(i + 1));
            }
        }
        Self { starts }
    }

    /// Line and column from 1; columns count characters.
    pub(in crate::document) fn position(&self, text: &str, byte: u32) -> (u32, u32) {
        let line = self.index(byte);
        let start = self.starts[line] as usize;
        let end = floor(text, byte as usize).max(start);
        let column = text[start..end].chars().count();
        (super::node::offset(line + 1), super::node::offset(column + 1))
    }

    /// The bytes of the line that holds `byte`, without its end.
    pub(in crate::document) fn line_of(&self, text: &str, byte: u32) -> Range<usize> {
        let line = self.index(byte);
        let start = self.starts[line] as usize;
        let end = self.starts.get(line + 1).map_or(text.len(), |next| *next as usize);
        let trimmed = text[start..end].trim_end_matches(['\n', '\r']).len();
        start..start + trimmed
    }

    /// Where a line (from 0) begins.
    pub(super) fn start(&self, line: usize) -> usize {
        self.starts[line.min(self.starts.len() - 1)] as usize
    }

    /// The position of one byte, without an index: for the rare fault.
    pub(in crate::document) fn count(text: &str, byte: u32) -> (usize, usize) {
        let before = &text[..floor(text, byte as usize)];
        let start = before.rfind(['\n', '\r']).map_or(0, |i| i + 1);
        let line = before.matches('\n').count() + before.replace("\r\n", "").matches('\r').count();
        (line + 1, before[start..].chars().count() + 1)
    }

    fn index(&self, byte: u32) -> usize {
        self.starts.partition_point(|start| *start <= byte) - 1
    }
}

/// The nearest boundary of a character at or before `byte`.
fn floor(text: &str, byte: usize) -> usize {
    let mut at = byte.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_line_end_counts_once() {
        let text = "a\nüb\r\nc\rd";
        let lines = Lines::new(text);
        for (byte, position) in [
            (0, (1, 1)),
            (2, (2, 1)),
            (4, (2, 2)),
            (7, (3, 1)),
            (9, (4, 1)),
            (10, (4, 2)),
        ] {
            assert_eq!(lines.position(text, byte), position, "{byte}");
            assert_eq!(
                Lines::count(text, byte),
                (position.0 as usize, position.1 as usize),
                "{byte}"
            );
        }
        assert_eq!(&text[lines.line_of(text, 4)], "üb");
    }
}
