//! What the files that a document names held when they were last looked at: whether one of them moved.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::document::Desired;
use crate::environment::{DOTENV, Environment, LARGEST_FILE, read_regular};
use crate::store::Cause;

use super::fingerprint;
use crate::document_file;

/// The content of one file: `None` where no reference can lead to it.
type Content = Option<[u8; 32]>;

/// The document and every file that it names.
#[derive(Debug)]
pub(super) struct WatchedFiles {
    document: PathBuf,
    files: BTreeMap<PathBuf, (Content, Cause)>,
}

impl WatchedFiles {
    /// The files of a document, as they are now.
    pub(super) fn of(document: &Path, desired: &Desired) -> Self {
        let mut watched = Self {
            document: document.to_path_buf(),
            files: BTreeMap::new(),
        };
        watched.follow_too(document, desired);
        watched
    }

    /// Everything to watch: the document first.
    pub(super) fn paths(&self) -> Vec<PathBuf> {
        std::iter::once(&self.document)
            .chain(self.files.keys())
            .cloned()
            .collect()
    }

    /// Whether a file that the document names moved since the last look, and what that means.
    pub(super) fn moved(&mut self) -> Option<Cause> {
        let mut cause = None;
        for (path, (content, kind)) in &mut self.files {
            let now = read(path);
            if now != *content {
                *content = now;
                cause = Some(*kind);
            }
        }
        cause
    }

    /// Follows the files of another document in place of those of the one before; known content stays known.
    pub(super) fn follow(&mut self, document: &Path, desired: &Desired) {
        let named = named(document, desired);
        self.files.retain(|path, _| named.contains_key(path));
        self.add(named);
    }

    /// Follows the files of another document too: one that was rejected, and that one of them may mend.
    pub(super) fn follow_too(&mut self, document: &Path, desired: &Desired) {
        self.add(named(document, desired));
    }

    fn add(&mut self, named: BTreeMap<PathBuf, Cause>) {
        for (path, cause) in named {
            self.files.entry(path).or_insert_with_key(|path| (read(path), cause));
        }
    }
}

fn named(document: &Path, desired: &Desired) -> BTreeMap<PathBuf, Cause> {
    let environment = Environment::beside(document);
    let mut files: BTreeMap<PathBuf, Cause> = fingerprint::files(desired, &environment)
        .into_iter()
        .map(|(path, fields)| {
            let certificate = fields
                .iter()
                .any(|field| field.starts_with("tls") || field.starts_with("jwks"));
            (
                document_file::beside(document, &path),
                if certificate {
                    Cause::CertFile
                } else {
                    Cause::SecretFile
                },
            )
        })
        .collect();
    files.insert(document_file::beside(document, DOTENV), Cause::SecretFile);
    files
}

fn read(path: &Path) -> Content {
    let (bytes, _) = read_regular(path, LARGEST_FILE).ok()?;
    Some(Sha256::digest(bytes).into())
}
