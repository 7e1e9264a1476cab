//! Files that a command makes beside the document, and takes away again where it fails.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::Error;

/// A new file that goes again unless it is kept.
pub(crate) struct Made(Option<PathBuf>);

impl Made {
    /// 32 random bytes as text, for its owner alone, in a directory that git ignores.
    pub(crate) fn secret(path: &Path) -> Result<Self, Error> {
        let failed = |error: io::Error| Error::file("write", path, &error);
        let directory = path.parent().unwrap_or(Path::new("."));
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(failed)?;
        let ignored = directory.join(".gitignore");
        if !ignored.exists() {
            fs::write(ignored, "# secrets stay on this machine\n*\n").map_err(failed)?;
        }
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes).map_err(|error| Error::new(format!("no random bytes: {error}")))?;
        Self::new(path, &hex::encode(bytes), 0o600)
    }

    /// A file of this text, never over one that is there.
    pub(crate) fn file(path: &Path, text: &str) -> Result<Self, Error> {
        Self::new(path, text, 0o666)
    }

    fn new(path: &Path, text: &str, mode: u32) -> Result<Self, Error> {
        let mut options = fs::File::options();
        let opened = options.write(true).create_new(true).mode(mode).open(path);
        let mut file = opened.map_err(|error| Error::file("write", path, &error))?;
        let new = Self(Some(path.to_owned()));
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
        written.map_err(|error| Error::file("write", path, &error))?;
        Ok(new)
    }

    /// It stays.
    pub(crate) fn keep(mut self) -> PathBuf {
        self.0.take().unwrap_or_default()
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Best effort: a file that nothing names does no harm.
            let _ = fs::remove_file(path);
        }
    }
}
