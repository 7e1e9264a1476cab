//! YAML, JSON and JSON5 -> one located tree.

mod json;
mod lines;
mod node;
mod yaml;

use super::Format;
use super::diagnostic::{Code, Fault, plain};

pub(super) use lines::Lines;
pub(super) use node::{Data, Entry, Node};

/// The largest text that is read.
pub(super) const MAX_BYTES: usize = 64 * 1024 * 1024;
/// The deepest nesting, aliases followed.
pub(super) const MAX_DEPTH: usize = 128;
/// How much content aliases may repeat, in bytes of the tree that they stand for.
pub(super) const MAX_REPLAYED_BYTES: usize = 256 * 1024 * 1024;

/// A fault with its place in bytes.
#[derive(Debug)]
pub(super) struct Located {
    pub(super) fault: Fault,
    pub(super) span: std::ops::Range<u32>,
}

impl Located {
    fn new(fault: Fault, span: std::ops::Range<u32>) -> Self {
        Self { fault, span }
    }
}

/// A text that was read.
#[derive(Debug)]
pub(super) struct Tree<'a> {
    /// The document's one node; `None` when it could not be made.
    pub(super) root: Option<Node<'a>>,
    /// What is wrong with the text itself.
    pub(super) faults: Vec<Located>,
    /// Tags that mean nothing here: an error only inside `webhooks`.
    pub(super) tags: Vec<(std::ops::Range<u32>, String)>,
    /// Each part means the same whatever stands elsewhere: no anchors, no merge keys, no tags, one way of reading.
    pub(super) plain: bool,
}

/// Checks size and encoding; the text without its byte order mark.
pub(super) fn decode(bytes: &[u8]) -> Result<&str, Located> {
    if bytes.len() > MAX_BYTES {
        let fault = Fault::new(
            Code::Limit,
            format!("the document has {} bytes; at most {MAX_BYTES} are read", bytes.len()),
        );
        return Err(Located::new(fault, 0..0));
    }
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        let fault = Fault::new(Code::Encoding, "the text is UTF-16").hint("save the file as UTF-8");
        return Err(Located::new(fault, 0..0));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|error| {
        let at = node::offset(error.valid_up_to());
        let fault = Fault::new(
            Code::Encoding,
            format!("byte 0x{:02x} is not UTF-8", bytes[error.valid_up_to()]),
        )
        .hint("save the file as UTF-8");
        Located::new(fault, at..at + 1)
    })
}

/// Reads a text into a tree.
pub(super) fn read(text: &str, format: Format) -> Tree<'_> {
    match format {
        Format::Yaml => yaml::read(text),
        Format::Json5 => json::read(text),
    }
}

/// Reports keys that are there twice.
fn duplicates(entries: &[Entry<'_>], text: &str, faults: &mut Vec<Located>) {
    let mut report = |first: &Entry<'_>, second: &Entry<'_>| {
        let (line, column) = Lines::count(text, first.at);
        let key = plain(&second.key);
        let fault = Fault::new(
            Code::DuplicateKey,
            format!("the key `{key}` is there twice: first at {line}:{column}"),
        )
        .hint("remove one of the two");
        faults.push(Located::new(fault, second.at..second.end));
    };
    if entries.len() <= 12 {
        for (i, entry) in entries.iter().enumerate() {
            if let Some(first) = entries[..i].iter().find(|other| *other.key == *entry.key) {
                report(first, entry);
            }
        }
        return;
    }
    let mut seen: std::collections::HashMap<&str, &Entry<'_>> = std::collections::HashMap::with_capacity(entries.len());
    for entry in entries {
        if let Some(first) = seen.get(&*entry.key) {
            report(first, entry);
        } else {
            seen.insert(&entry.key, entry);
        }
    }
}

#[cfg(test)]
mod tests;
