//! Commands without a gateway: what the local store remembers.

use std::path::Path;
use std::sync::Arc;

use super::{Context, Error, document, surroundings::DocumentFile};
use crate::admin::wire::{DiagnosticRow, Generation, PlanDocument};
use crate::document::{Desired, Format};
use crate::plan::render::{Base, DocumentRow};
use crate::plan::{Fingerprints, Observed, diff};
use crate::store::{self, Page, Store, StoreError};

/// Opens the store of the document's gateway for reading; `None`: no gateway ever made one.
pub(crate) fn open(file: &DocumentFile) -> Result<Option<Arc<dyn Store>>, Error> {
    let path = document::store_path(file).ok_or_else(|| {
        Error::new("the document does not say where its store is").hint("`openclaw validate` shows why")
    })?;
    open_at(&path)
}

/// Opens the store of a directory for reading; `None`: there is none.
pub(crate) fn open_at(path: &Path) -> Result<Option<Arc<dyn Store>>, Error> {
    let store = store::sqlite::open_readonly(path).map_err(failed)?;
    Ok(store.map(|store| store as Arc<dyn Store>))
}

/// The store of a document, where something was ever applied: a start that failed makes one as well.
pub(crate) async fn open_applied(file: &DocumentFile) -> Option<Arc<dyn Store>> {
    let store = open(file).ok()??;
    matches!(store.last_generation().await, Ok(Some(_))).then_some(store)
}

/// No gateway ever ran with this document.
pub(crate) fn no_store(file: &DocumentFile) -> Error {
    let at = document::store_path(file).map_or(String::new(), |path| format!(" at {}", path.display()));
    Error::new(format!("there is no store{at}")).hint("start the gateway with `openclaw run`")
}

/// The document of the command line, and the store beside it.
pub(crate) fn open_described(context: &Context) -> Result<Arc<dyn Store>, Error> {
    let file = context.surroundings.read(context.global.config.as_deref())?;
    open(&file)?.ok_or_else(|| no_store(&file))
}

/// Generations, newest first.
pub(crate) async fn generations(store: &dyn Store, limit: u32) -> Result<Vec<Generation>, Error> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    Ok(store
        .generations(Page { limit, cursor: None })
        .await
        .map_err(failed)?
        .items)
}

/// One generation's document; `None`: the newest.
pub(crate) async fn generation(store: &dyn Store, number: Option<u64>) -> Result<(Generation, Vec<u8>), Error> {
    let found = match number {
        Some(number) => store.generation(number).await,
        None => store.last_generation().await,
    };
    found.map_err(failed)?.ok_or_else(|| match number {
        Some(number) => {
            Error::new(format!("there is no generation {number}")).hint("`openclaw history` lists those that are kept")
        }
        None => Error::new("nothing was ever applied"),
    })
}

/// What a document would change against the last applied generation, or against nothing where none was ever applied. Nothing
/// is prepared, no secret is read.
pub(crate) async fn plan(
    store: Option<&dyn Store>,
    file: &DocumentFile,
    document: DocumentRow,
    impact_since_ms: Option<i64>,
) -> Result<PlanDocument, Error> {
    let loaded = document::load(file);
    let Some(desired) = &loaded.desired else {
        return Err(broken(&loaded.rows()));
    };
    let last = match store {
        Some(store) => store.last_generation().await.map_err(failed)?,
        None => None,
    };
    let observed = match last {
        None => Observed::default(),
        Some((generation, bytes)) => observed(generation, bytes, file)?,
    };
    let base = Base {
        generation: observed.generation,
        sha256: observed.sha256.clone(),
    };
    let plan = PlanDocument::new(&diff(&observed, desired, &Fingerprints::new()), base, document);
    let mut plan = plan.with_diagnostics(&loaded.diagnostics);
    if let (Some(since_ms), Some(store)) = (impact_since_ms, store) {
        let documents = [observed.desired.clone(), desired.clone()];
        plan.impact = Some(impact(store, documents, since_ms).await?);
    }
    Ok(plan)
}

/// What a change of documents would have meant for the events of the store.
pub(crate) async fn impact(
    store: &dyn Store,
    documents: [Arc<Desired>; 2],
    since_ms: i64,
) -> Result<crate::plan::impact::Impact, Error> {
    crate::admin::impact::weigh(store, documents, since_ms)
        .await
        .map_err(failed)
}

/// A generation as if it ran.
fn observed(generation: Generation, bytes: Vec<u8>, like: &DocumentFile) -> Result<Observed, Error> {
    let file = DocumentFile {
        path: like.path.clone(),
        format: Format::of_extension(&generation.format),
        bytes,
    };
    let desired = document::load(&file).desired.ok_or_else(|| {
        Error::new(format!(
            "the document of generation {} cannot be read by this release",
            generation.number
        ))
    })?;
    Ok(Observed {
        generation: Some(generation.number),
        sha256: Some(generation.sha256),
        desired,
        fingerprints: generation.fingerprints,
        ..Observed::default()
    })
}

/// A document that cannot be planned.
pub(crate) fn broken(diagnostics: &[DiagnosticRow]) -> Error {
    let lines = diagnostics
        .iter()
        .filter(|d| d.severity == "error")
        .map(|d| format!("  error[{}]: {d}", d.code));
    let lines: Vec<_> = std::iter::once("the document is broken:".to_owned())
        .chain(lines)
        .collect();
    Error::new(lines.join("\n")).hint("`openclaw validate` shows it all")
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of map_err")]
pub(crate) fn failed(error: StoreError) -> Error {
    Error::new(error.to_string())
}
