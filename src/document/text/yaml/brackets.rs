//! Brackets over several lines whose closing one stands where the key does:
//!
//! ```yaml
//! events: [
//!   "message.received"
//! ]
//! ```
//!
//! People write that, and other readers take it; the specification wants the closing bracket deeper than the key (section
//! 8.2.3), and our parser holds to it where nothing but quoted text stands inside. So a text that fails there is read once
//! more with a blank before every closing bracket that begins a line. Nowhere does that change a value but in a block
//! scalar: lines inside of one are left as they are.

use std::ops::Range;

use super::super::Tree;
use super::Reading;

/// Once to find the block scalars, once without them; a third time would find nothing new.
const READINGS: usize = 2;

/// Reads the text so; `None`: it cannot be told what stands in a block scalar.
pub(super) fn read(text: &str) -> Option<Tree<'_>> {
    if text.split('\n').any(|line| line.trim_end_matches('\r').contains('\r')) {
        return None; // lone line ends of old: lines would be counted in two ways
    }
    let mut padded = closing(text);
    for _ in 0..READINGS {
        let shown = pad(text, &padded);
        let Reading {
            tree, block_scalars, ..
        } = super::read_shown(text, &shown, padded.clone());
        let before = padded.len();
        padded.retain(|line| !holds(&block_scalars, *line));
        if padded.len() == before {
            return Some(Tree { plain: false, ..tree });
        }
    }
    None
}

/// The lines, from 0, that begin with a closing bracket.
fn closing(text: &str) -> Vec<usize> {
    let lines = text.split_inclusive('\n').enumerate();
    lines
        .filter(|(_, line)| line.trim_start_matches([' ', '\t']).starts_with([']', '}']))
        .map(|(number, _)| number)
        .collect()
}

fn pad(text: &str, lines: &[usize]) -> String {
    let mut out = String::with_capacity(text.len() + lines.len());
    let mut next = lines.iter().peekable();
    for (number, line) in text.split_inclusive('\n').enumerate() {
        if next.next_if_eq(&&number).is_some() {
            out.push(' ');
        }
        out.push_str(line);
    }
    out
}

/// Whether one of the ranges, which are in order, holds the line.
fn holds(ranges: &[Range<usize>], line: usize) -> bool {
    let after = ranges.partition_point(|range| range.start <= line);
    after.checked_sub(1).is_some_and(|last| ranges[last].contains(&line))
}
