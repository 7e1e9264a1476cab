//! Everything that commands ask of a document's meaning.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

use super::surroundings::DocumentFile;
use crate::admin::wire::DiagnosticRow;
use crate::document::diagnostic;
use crate::document::{self, Address, Code, Desired, Diagnostic, Lookup, Source};
use crate::environment::Environment;

/// A document that was read.
#[derive(Clone)]
pub(crate) struct Loaded {
    /// What it means; `None`: it is broken.
    pub(crate) desired: Option<Arc<Desired>>,
    /// What could be read of a broken one: enough to find its gateway by.
    pub(crate) sketch: Option<Arc<Desired>>,
    /// Everything that is wrong with it, or may be.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl Loaded {
    /// How many are errors, and how many are warnings.
    pub(crate) fn count(&self) -> (usize, usize) {
        let errors = self.diagnostics.iter().filter(|d| d.is_error()).count();
        let warnings = self
            .diagnostics
            .iter()
            .filter(|d| d.severity == document::Severity::Warning)
            .count();
        (errors, warnings)
    }

    /// The findings as plans and the API have them.
    pub(crate) fn rows(&self) -> Vec<DiagnosticRow> {
        self.diagnostics.iter().map(DiagnosticRow::from).collect()
    }
}

/// Documents that are kept as they were read: the one before an edit and the one after it.
const KEPT: usize = 2;

thread_local! {
    /// A command asks for the meaning of one text again and again (its gateway, its store, its plan); a large one takes a
    /// tenth of a second each time.
    static LAST: RefCell<VecDeque<(DocumentFile, Loaded)>> = const { RefCell::new(VecDeque::new()) };
}

/// Reads and checks a document.
pub(crate) fn load(file: &DocumentFile) -> Loaded {
    LAST.with_borrow_mut(|last| {
        if let Some((_, loaded)) = last.iter().find(|(known, _)| known == file) {
            return loaded.clone();
        }
        // What is read next mostly differs a little from what was read before.
        let before = last
            .iter()
            .find(|(known, loaded)| known.format == file.format && loaded.desired.is_some());
        let loaded = read(file, before);
        last.truncate(KEPT - 1);
        last.push_front((file.clone(), loaded.clone()));
        loaded
    })
}

fn read(file: &DocumentFile, before: Option<&(DocumentFile, Loaded)>) -> Loaded {
    let name = file.name();
    let source = source(file, &name);
    let before = before.and_then(|(file, loaded)| Some((&*file.bytes, loaded.desired.as_deref()?)));
    let loaded = document::load_after(before, &source);
    Loaded {
        desired: loaded.desired.map(Arc::new),
        sketch: loaded.sketch.map(Arc::new),
        diagnostics: loaded.diagnostics,
    }
}

fn source<'a>(file: &'a DocumentFile, name: &'a str) -> Source<'a> {
    Source {
        path: name,
        format: file.format,
        text: &file.bytes,
    }
}

/// What does not resolve here, with the process's environment, `.env` and files.
pub(crate) fn unresolved(desired: &Desired, file: &DocumentFile) -> Vec<Diagnostic> {
    let environment = Environment::beside(&file.path).with_providers(&desired.providers);
    let lookup: &dyn Lookup = &environment;
    document::expect(desired, lookup);
    desired
        .resources
        .iter()
        .flat_map(|(address, resource)| {
            let found = match address {
                Address::Server => document::resolve_server(resource, lookup).err(),
                Address::Admin => document::resolve_admin(resource, lookup).err(),
                Address::Store => document::resolve_store(resource, lookup).err(),
                Address::Reconcile => document::resolve_reconcile(resource, lookup).err(),
                Address::Egress => document::resolve_egress(resource, lookup).err(),
                Address::Inbound(name) => document::resolve_inbound(name, resource, lookup).err(),
                Address::Outbound(name) => document::resolve_outbound(name, resource, lookup).err(),
            };
            found
                .into_iter()
                .flatten()
                .map(|problem| Diagnostic::unresolved(&file.name(), address, &problem))
        })
        .collect()
}

/// `admin.listen` as it is written, of a broken document too, and whether `admin.tls` is set; `None`: it is a reference that
/// does not resolve here. A large document is not read whole for it where its beginning has it.
pub(crate) fn admin_listen(file: &DocumentFile) -> Option<(String, bool)> {
    let head = document::head(&source(file, &file.name()));
    let loaded = match head {
        Some(bytes) => read(
            &DocumentFile {
                path: file.path.clone(),
                format: file.format,
                bytes,
            },
            None,
        ),
        None => load(file),
    };
    let desired = loaded.desired.or(loaded.sketch)?;
    let admin = desired.resources.get(&Address::Admin)?;
    let listen = admin.effective("listen")?;
    Some((listen.as_text()?.to_owned(), admin.effective("tls").is_some()))
}

/// Where the document's store is, a broken document's too; `None`: the document does not say it, or by a reference that does not resolve here.
pub(crate) fn store_path(file: &DocumentFile) -> Option<std::path::PathBuf> {
    let loaded = load(file);
    let desired = loaded.desired.or(loaded.sketch)?;
    let environment = Environment::beside(&file.path);
    let settings = document::resolve_store(desired.resources.get(&Address::Store)?, &environment).ok()?;
    Some(settings.path)
}

/// What a code means: title and explanation.
pub(crate) fn explain(code: &str) -> Option<(String, String)> {
    let code = Code::parse(code)?;
    Some((code.title().to_owned(), code.explanation().to_owned()))
}

/// Every code with its title.
pub(crate) fn codes() -> Vec<(String, String)> {
    Code::ALL
        .iter()
        .map(|code| (code.as_str().to_owned(), code.title().to_owned()))
        .collect()
}

/// The schema of documents as JSON text.
pub(crate) fn schema() -> String {
    document::schema::schema_text()
}

/// Diagnostics as a compiler shows them.
pub(crate) fn shown(diagnostics: &[Diagnostic], colour: bool) -> String {
    diagnostic::text(diagnostics, colour)
}

/// Diagnostics as GitHub's annotations or SARIF.
pub(crate) fn annotations(diagnostics: &[Diagnostic], sarif: bool) -> String {
    if sarif {
        format!("{:#}\n", diagnostic::sarif(diagnostics))
    } else {
        diagnostic::github(diagnostics)
    }
}
