//! What a command takes from its environment, read once, and where it finds the document.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::Error;
use crate::document::assistant::{self, AssistantsFile};
use crate::document::{Format, Source};
use crate::document_file;
use crate::secret::Secret;

/// The names that are looked for in the working directory, in this order.
const NAMES: [&str; 4] = ["openclaw.yaml", "openclaw.yml", "openclaw.json", "openclaw.json5"];

/// A document may have this many bytes: 64 MiB. One more is read, so that the reader can say so.
const DOCUMENT_MAX: u64 = 64 << 20;

/// The process's environment, as far as commands care.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    /// Where relative paths begin; empty: the process's own working directory.
    pub(crate) directory: PathBuf,
    /// `$OPENCLAW_STATE_DIR`.
    pub(crate) state: Option<PathBuf>,
    /// The home directory.
    pub(crate) home: Option<PathBuf>,
    /// `$OPENCLAW_ADMIN_TOKEN`.
    pub(crate) token: Option<Secret>,
    /// Who runs the command, for the history.
    pub(crate) who: Option<String>,
    /// The git commit that is checked out, where a pipeline says so.
    pub(crate) git_commit: Option<String>,
}

impl Surroundings {
    pub(crate) fn of_process() -> Self {
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let first = |names: &[&str]| names.iter().find_map(|name| text(name));
        Self {
            directory: PathBuf::new(),
            state: text("OPENCLAW_STATE_DIR").map(PathBuf::from),
            home: std::env::home_dir(),
            token: text("OPENCLAW_ADMIN_TOKEN").and_then(|token| Secret::parse(&token)),
            who: first(&["GITHUB_ACTOR", "GITLAB_USER_LOGIN", "USER", "LOGNAME"]),
            git_commit: first(&["OPENCLAW_GIT_COMMIT", "GITHUB_SHA", "CI_COMMIT_SHA"]),
        }
    }

    /// Where the document is: the one that was named, or the first of the usual places. An assistant's own file is one only
    /// where it has `webhooks`.
    pub(crate) fn find(&self, named: Option<&Path>) -> Result<PathBuf, Error> {
        if let Some(path) = named {
            return Ok(self.directory.join(path));
        }
        let here = self.here();
        let elsewhere = [
            self.state.clone(),
            self.home.as_ref().map(|home| home.join(".openclaw")),
        ];
        let elsewhere = elsewhere
            .into_iter()
            .flatten()
            .map(|directory| directory.join(NAMES[0]));
        let places: Vec<PathBuf> = here.chain(elsewhere).collect();
        let is_document = |path: &&PathBuf| path.is_file() && assistants(path) != Some(AssistantsFile::Plain);
        places.iter().find(is_document).cloned().ok_or_else(|| {
            let looked: Vec<_> = places.iter().map(|path| path.display().to_string()).collect();
            Error::new(format!("no document found: looked for {}", looked.join(", ")))
                .hint("`openclaw init` writes one; --config FILE or OPENCLAW_CONFIG names one")
        })
    }

    /// The document's usual places in the working directory.
    pub(crate) fn here(&self) -> impl Iterator<Item = PathBuf> {
        NAMES.iter().map(|name| self.directory.join(name))
    }

    /// The assistant's own file that lies where a document is looked for, or was named as one.
    pub(crate) fn assistants_file(&self, named: Option<&Path>) -> Option<PathBuf> {
        let places: Vec<_> = match named {
            Some(path) => vec![self.directory.join(path)],
            None => self.here().collect(),
        };
        places.into_iter().find(|path| assistants(path).is_some())
    }

    /// Finds and reads the document.
    pub(crate) fn read(&self, named: Option<&Path>) -> Result<DocumentFile, Error> {
        DocumentFile::read(self.find(named)?)
    }
}

thread_local! {
    /// A command asks more than once; a large file takes a twentieth of a second each time.
    static LAST: RefCell<Option<(DocumentFile, Option<AssistantsFile>)>> = const { RefCell::new(None) };
}

/// Whether a file is an assistant's own; one that cannot be read is none.
pub(crate) fn assistants(path: &Path) -> Option<AssistantsFile> {
    if format_of(path).ok()? != Format::Json5 {
        return None;
    }
    let file = DocumentFile::read(path.to_owned()).ok()?;
    LAST.with_borrow_mut(|last| {
        if let Some((_, found)) = last.as_ref().filter(|(known, _)| *known == file) {
            return *found;
        }
        let found = assistant::recognise(&Source {
            path: &file.name(),
            format: file.format,
            text: &file.bytes,
        });
        *last = Some((file, found));
        found
    })
}

/// A document's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DocumentFile {
    pub(crate) path: PathBuf,
    pub(crate) format: Format,
    pub(crate) bytes: Vec<u8>,
}

impl DocumentFile {
    pub(crate) fn read(path: PathBuf) -> Result<Self, Error> {
        let format = format_of(&path)?;
        let mut bytes = Vec::new();
        let read = std::fs::File::open(&path)
            .and_then(|file| std::io::Read::read_to_end(&mut std::io::Read::take(file, DOCUMENT_MAX + 1), &mut bytes));
        read.map_err(|error| Error::file("read", &path, &error))?;
        Ok(Self { path, format, bytes })
    }

    /// Reads one that is not being written right now.
    pub(crate) fn read_settled(path: PathBuf) -> Result<Self, Error> {
        let format = format_of(&path)?;
        let bytes = document_file::read_settled(&path, DOCUMENT_MAX + 1);
        let bytes = bytes.map_err(|error| Error::file("read", &path, &error))?;
        Ok(Self { path, format, bytes })
    }

    /// The path as it is shown.
    pub(crate) fn name(&self) -> String {
        self.path.display().to_string()
    }

    pub(crate) fn sha256(&self) -> String {
        sha256(&self.bytes)
    }

    /// The text as it goes to a gateway: unparsed.
    pub(crate) fn text(&self) -> Result<&str, Error> {
        std::str::from_utf8(&self.bytes).map_err(|error| {
            Error::new(format!("{}: byte {} is not UTF-8", self.name(), error.valid_up_to()))
                .hint("save the file as UTF-8")
        })
    }
}

/// SHA-256 in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// How a document is written: its extension says it.
pub(crate) fn format_of(path: &Path) -> Result<Format, Error> {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("yaml" | "yml") => Ok(Format::Yaml),
        Some("json" | "json5") => Ok(Format::Json5),
        _ => Err(Error::new(format!(
            "{}: the extension does not say how it is written",
            path.display()
        ))
        .hint("name it .yaml, .yml, .json or .json5")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_found_in_the_documented_order() {
        let root = tempfile::tempdir().unwrap();
        let at = |place: &str| root.path().join(place);
        for directory in ["here", "state", "home/.openclaw"] {
            std::fs::create_dir_all(at(directory)).unwrap();
        }
        let surroundings = Surroundings {
            directory: at("here"),
            state: Some(at("state")),
            home: Some(at("home")),
            ..Surroundings::default()
        };
        let order = [
            "here/openclaw.yaml",
            "here/openclaw.yml",
            "here/openclaw.json",
            "here/openclaw.json5",
            "state/openclaw.yaml",
            "home/.openclaw/openclaw.yaml",
        ];
        for place in order {
            std::fs::write(at(place), "webhooks: {}").unwrap();
        }
        for place in order {
            assert_eq!(surroundings.find(None).unwrap(), at(place));
            std::fs::remove_file(at(place)).unwrap();
        }
        std::fs::write(at("here/openclaw.json"), "{ channels: {} }").unwrap();
        assert!(
            surroundings.find(None).is_err(),
            "an assistant's own file is no document"
        );
        assert_eq!(surroundings.assistants_file(None), Some(at("here/openclaw.json")));
        std::fs::write(at("here/openclaw.json"), "{ channels: {}, webhooks: {} }").unwrap();
        assert_eq!(surroundings.find(None).unwrap(), at("here/openclaw.json"));
        std::fs::remove_file(at("here/openclaw.json")).unwrap();
        let error = surroundings.find(None).unwrap_err().to_string();
        assert!(order.iter().all(|place| error.contains(place)), "{error}");
        assert_eq!(
            surroundings.find(Some(Path::new("x.yaml"))).unwrap(),
            at("here/x.yaml"),
            "named, there or not"
        );
    }

    #[test]
    fn the_extension_says_the_format() {
        assert_eq!(format_of(Path::new("a.yml")).unwrap(), Format::Yaml);
        assert_eq!(format_of(Path::new("a.b/c.json")).unwrap(), Format::Json5);
        assert!(format_of(Path::new("openclaw")).is_err());
    }
}
