//! The joint between the commands and the room of documents: everything that commands ask of a document's meaning.
//!
//! The room's reader is not part of this tree yet; until it is, every document is answered with one error that says so.

use std::path::Path;

use super::surroundings::DocumentFile;
use crate::admin::wire::DiagnosticRow;
use crate::document::{Address, Desired};

/// A document that was read.
pub(crate) struct Loaded {
    /// What it means; `None`: it is broken.
    pub(crate) desired: Option<Desired>,
    /// Everything that is wrong with it, or may be.
    pub(crate) diagnostics: Vec<DiagnosticRow>,
}

impl Loaded {
    /// How many are errors, and how many are warnings.
    pub(crate) fn count(&self) -> (usize, usize) {
        let count = |severity| self.diagnostics.iter().filter(|d| d.severity == severity).count();
        (count("error"), count("warning"))
    }
}

/// Reads and checks a document: `document::load(&Source { path, format, text })`.
pub(crate) fn load(file: &DocumentFile) -> Loaded {
    let missing = DiagnosticRow {
        code: "OC000".to_owned(),
        severity: "error".to_owned(),
        file: file.name(),
        message: "this build cannot read documents".to_owned(),
        ..DiagnosticRow::default()
    };
    Loaded {
        desired: None,
        diagnostics: vec![missing],
    }
}

/// What does not resolve here: `document::resolve` of every resource, with the process's environment, `.env` and files.
pub(crate) fn unresolved(_desired: &Desired, _directory: &Path) -> Vec<DiagnosticRow> {
    Vec::new() // no document is read, so none is asked about
}

/// `admin.listen` as it is written, and whether `admin.tls` is set; `None`: it is a reference that does not resolve here.
pub(crate) fn admin_listen(desired: &Desired) -> Option<(String, bool)> {
    let admin = desired.resources.get(&Address::Admin)?;
    let listen = admin.effective("listen")?;
    Some((listen.as_text()?.to_owned(), admin.effective("tls").is_some()))
}

/// What a code means: title and explanation. `document::diagnostic::Code::parse`.
pub(crate) fn explain(_code: &str) -> Option<(String, String)> {
    None
}

/// Every code with its title.
pub(crate) fn codes() -> Vec<(String, String)> {
    Vec::new()
}

/// The schema of documents as JSON text; `None`: this build has none. `document::schema`.
pub(crate) fn schema() -> Option<String> {
    None
}

/// Diagnostics as GitHub's annotations or SARIF: `document::diagnostic::{github, sarif}`.
pub(crate) fn annotations(diagnostics: &[DiagnosticRow], sarif: bool) -> Option<String> {
    let _ = (diagnostics, sarif);
    None
}
