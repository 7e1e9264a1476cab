//! Tree and table -> [`Desired`], and everything that is wrong, at once.

mod document;
mod expression;
mod format;
mod inbound;
mod outbound;
mod place;
mod secret;
mod slots;
mod value;

use std::collections::BTreeMap;
use std::ops::Range;

use super::again::Elsewhere;
use super::diagnostic::{Code, Diagnostic, Fault};
use super::fields::Kind;
use super::text::{self, Node};
use super::value::Value;
use super::{Desired, Format};
pub(super) use inbound::key_form;
pub use inbound::no_key_verifies;
use place::Place;

/// At most so many diagnostics are kept.
pub(super) const MAX_DIAGNOSTICS: usize = 1000;

/// What a check found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) desired: Desired,
    /// Without positions and shown lines yet.
    pub(super) diagnostics: Vec<Diagnostic>,
    /// Literals of sensitive fields: never shown.
    pub(super) masked: Vec<Range<u32>>,
    /// The part of the text that was walked.
    pub(super) known: Range<u32>,
}

/// The walk.
struct Check<'t> {
    text: &'t str,
    format: Format,
    diagnostics: Vec<Diagnostic>,
    more: usize,
    masked: Vec<Range<u32>>,
    /// The URLs of this webhook hold a token: only scheme and host may be shown.
    hides_url: bool,
    providers: BTreeMap<String, serde_json::Value>,
    elsewhere: Elsewhere<'t>,
}

/// Walks a document.
pub(super) fn document<'t>(
    text: &'t str,
    root: &Node<'_>,
    format: Format,
    tags: &[(Range<u32>, String)],
    elsewhere: Elsewhere<'t>,
) -> Findings {
    let mut check = Check {
        elsewhere,
        ..Check::new(text, format)
    };
    let (desired, known) = check.document(root, tags);
    if check.more > 0 {
        let fault = Fault::new(Code::TooMany, format!("{} more are not shown", check.more));
        check.diagnostics.push(diagnostic(String::new(), &(0..0), fault));
    }
    Findings {
        desired,
        diagnostics: check.diagnostics,
        masked: check.masked,
        known,
    }
}

/// The normal form of a value of the table of fields, written as in YAML.
///
/// # Panics
/// When the table holds a value that its own kind refuses: a test reads the whole table.
pub(super) fn written(kind: &'static Kind, text: &str) -> Value {
    let tree = text::read(text, Format::Yaml);
    let mut check = Check::new(text, Format::Yaml);
    let root = tree
        .root
        .unwrap_or_else(|| panic!("the table holds `{text}`, which is no YAML"));
    let value = check.value(kind, false, &root, &Place::root("table"));
    assert!(
        check.diagnostics.is_empty(),
        "the table holds `{text}`: {}",
        check.diagnostics[0]
    );
    value.expect("a value without faults")
}

impl<'t> Check<'t> {
    fn new(text: &'t str, format: Format) -> Self {
        Self {
            text,
            format,
            diagnostics: Vec::new(),
            more: 0,
            masked: Vec::new(),
            hides_url: false,
            providers: BTreeMap::new(),
            elsewhere: Elsewhere::default(),
        }
    }

    fn report(&mut self, place: &Place<'_>, span: &Range<u32>, fault: Fault) {
        // An alias brings the same fault once for each place it is used in; its text is there once.
        if self.diagnostics.len() >= MAX_DIAGNOSTICS {
            self.more += 1;
            return;
        }
        self.diagnostics.push(diagnostic(place.to_string(), span, fault));
    }

    /// Keeps a value out of every shown line.
    fn hide(&mut self, node: &Node<'_>) {
        self.masked.push(node.span());
        let target = node.target();
        if !std::ptr::eq(target, node) {
            self.masked.push(target.span());
        }
    }
}

pub(super) fn diagnostic(path: String, span: &Range<u32>, fault: Fault) -> Diagnostic {
    Diagnostic {
        code: fault.code,
        severity: fault.code.severity(),
        file: "".into(),
        path,
        line: 0,
        column: 0,
        span: span.clone(),
        message: fault.message,
        hints: fault.hints,
        shown: None,
    }
}

#[cfg(test)]
mod tests;
