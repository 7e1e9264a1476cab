//! `openclaw.yaml` -> [`Desired`]. Pure: no sockets, no tasks, no clock, no environment.
//!
//! The way of a document: `text` makes a located tree of YAML, JSON or JSON5; `check` walks it along the one table of
//! [`fields`], collects every [`Diagnostic`] and makes [`Desired`]; [`resolve`] makes one resource's [`settings`] with a
//! [`Lookup`] that the caller brings.

mod again; // a text of which little has changed since it was read
pub mod assistant; // an assistant's own file: told apart, read, never written
mod check; // tree and table -> Desired and diagnostics
mod cut; // a large text without most of its webhooks
pub mod desired; // what must exist
pub mod diagnostic; // what is wrong, where, and the way out
pub mod edit; // lossless edits of the text
pub mod fields; // the one table of fields
mod form; // scalars: durations, rates, URLs, events
mod head; // the beginning of a large text
pub mod mask; // how values are shown
pub mod platforms; // what each platform needs, as data
pub mod reference; // `${NAME}`, `{env}`, `{file}`, `{source, provider, id}`
pub mod resolve; // resource -> settings, references filled in
pub mod schema; // the table as JSON Schema
pub mod settings; // what the running rooms get
mod text; // YAML, JSON, JSON5 -> one located tree
pub mod value; // values in normal form

pub use again::load_after;
pub use check::no_key_verifies;
pub use cut::Reading;
pub use desired::{Address, Desired, Format, Resource, Source};
pub use diagnostic::{Code, Diagnostic, Severity};
pub use fields::{Field, Form, Kind, Section};
pub use form::parse_duration;
pub use head::head;
pub use mask::shown;
pub use reference::{Lookup, Problem, Reason, Reference, Target};
pub use resolve::{
    expect, references, resolve_admin, resolve_egress, resolve_inbound, resolve_outbound, resolve_reconcile,
    resolve_server, resolve_store, sensitive_values,
};
pub use settings::{Admin, Egress, Inbound, Outbound, ReconcileSettings, Server, StoreSettings};
pub use value::Value;

/// What came of reading a document.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What must exist; `None` exactly when a diagnostic is an error.
    pub desired: Option<Desired>,
    /// What could be read of a broken document: enough to find its gateway and its store by, and never to be run.
    pub sketch: Option<Desired>,
    /// Everything that was found, in the order of the text.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads and checks a document: the form of everything, and nothing outside of its text.
#[must_use]
pub fn load(source: &Source<'_>) -> Loaded {
    read(source, again::Elsewhere::default())
}

fn read(source: &Source<'_>, elsewhere: again::Elsewhere<'_>) -> Loaded {
    let file: std::sync::Arc<str> = source.path.into();
    let (text, tree) = match text::decode(source.text) {
        Ok(text) => (text, text::read(text, source.format)),
        Err(located) => {
            // Up to the fault the text is UTF-8: enough for the position, and nothing of it is shown.
            let good = source.text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(source.text);
            let good = std::str::from_utf8(&good[..(located.span.start as usize).min(good.len())]).unwrap_or_default();
            let mut diagnostic = check::diagnostic(String::new(), &located.span, located.fault);
            if located.span.end > 0 {
                (diagnostic.line, diagnostic.column) = text::Lines::new(good).position(good, located.span.start);
            }
            diagnostic.file = file;
            return Loaded {
                desired: None,
                sketch: None,
                diagnostics: vec![diagnostic],
            };
        }
    };
    let readable = tree.faults.is_empty();
    let outline = cut::outline(&tree);
    let mut findings = tree
        .root
        .as_ref()
        .map(|root| check::document(text, root, source.format, &tree.tags, elsewhere))
        .unwrap_or_default();
    let text_faults = tree
        .faults
        .into_iter()
        .map(|located| check::diagnostic(String::new(), &located.span, located.fault));
    findings.diagnostics.extend(text_faults.take(check::MAX_DIAGNOSTICS));
    let mut diagnostics = std::mem::take(&mut findings.diagnostics);
    if !diagnostics.is_empty() {
        diagnostics.sort_by_key(|d| (d.code == Code::TooMany, d.span.start, d.span.end, d.severity));
        // One mistake in an anchor is found again wherever it is used.
        diagnostics.dedup_by(|a, b| a.span == b.span && a.code == b.code && a.message == b.message && a.path == b.path);
        let lines = text::Lines::new(text);
        let shower = diagnostic::Shower::new(text, &lines, findings.masked, findings.known);
        for diagnostic in &mut diagnostics {
            diagnostic.file = file.clone();
            if diagnostic.code != Code::TooMany && !(text.is_empty() && diagnostic.span.is_empty()) {
                shower.place(diagnostic);
            }
        }
    }
    let errors = !readable || diagnostics.iter().any(Diagnostic::is_error);
    findings.desired.reading = outline.map(|outline| Reading {
        format: source.format,
        length: text.len(),
        outline,
        diagnostics: diagnostics.as_slice().into(),
    });
    let (desired, sketch) = if errors {
        (None, Some(findings.desired))
    } else {
        (Some(findings.desired), None)
    };
    Loaded {
        desired,
        sketch,
        diagnostics,
    }
}

/// A document's text, line by line, without what no line may show: literals of sensitive fields, as in diagnostics. Of a
/// text that cannot be read nothing is shown.
#[must_use]
pub fn masked(source: &Source<'_>) -> String {
    let Ok(text) = text::decode(source.text) else {
        return String::new();
    };
    let tree = text::read(text, source.format);
    let found = match &tree.root {
        Some(root) if tree.faults.is_empty() => {
            check::document(text, root, source.format, &tree.tags, again::Elsewhere::default())
        }
        _ => return String::new(),
    };
    let lines = text::Lines::new(text);
    diagnostic::Shower::new(text, &lines, found.masked, found.known).whole()
}
