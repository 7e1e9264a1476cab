//! The gateway's own document on disk: read, and replaced as a whole by a push or a rollback.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Replaces the file's content in one step: a new file beside it, fsync, rename, fsync of the directory. Mode and (where
/// allowed) owner are kept; of a symlink the target is replaced.
///
/// # Errors
/// A file that is read-only, or that something else owns (a ConfigMap's symlink into `..data`), is refused.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    if target
        .components()
        .any(|part| part.as_os_str().to_string_lossy().starts_with(".."))
    {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{} is mounted from a ConfigMap: change it there", path.display()),
        ));
    }
    let old = fs::metadata(&target).ok();
    if old.as_ref().is_some_and(|meta| meta.permissions().mode() & 0o222 == 0) {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{} is read-only", path.display()),
        ));
    }
    let directory = target
        .parent()
        .filter(|d| !d.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let new = directory.join(format!(".{name}.{}.new", std::process::id()));
    let written = write_new(&new, bytes, old.as_ref()).and_then(|()| fs::rename(&new, &target));
    if written.is_err() {
        // Best effort: what remains is a file beside the document, never half a document.
        let _ = fs::remove_file(&new);
        return written;
    }
    File::open(directory)?.sync_all()
}

fn write_new(new: &Path, bytes: &[u8], old: Option<&fs::Metadata>) -> io::Result<()> {
    let mut file = File::create(new)?;
    if let Some(old) = old {
        file.set_permissions(old.permissions())?;
        // Only root may give a file away: another user keeps its own.
        let _ = std::os::unix::fs::chown(new, Some(old.uid()), Some(old.gid()));
    }
    file.write_all(bytes)?;
    file.sync_all()
}

/// The path of a file that a document names: relative ones are from the document's directory.
#[must_use]
pub(super) fn beside(document: &Path, path: &str) -> PathBuf {
    document.parent().unwrap_or(Path::new(".")).join(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_keeps_its_mode_and_its_symlink() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().join("real.yaml");
        fs::write(&real, "a").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        let link = dir.path().join("openclaw.yaml");
        std::os::unix::fs::symlink("real.yaml", &link).unwrap();
        replace(&link, b"b").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "b");
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_read_only_file_and_a_config_map_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("openclaw.yaml");
        fs::write(&path, "a").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        assert_eq!(
            replace(&path, b"b").unwrap_err().kind(),
            io::ErrorKind::PermissionDenied
        );

        let data = dir.path().join("..2026_01_01");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("mapped.yaml"), "a").unwrap();
        let link = dir.path().join("mapped.yaml");
        std::os::unix::fs::symlink("..2026_01_01/mapped.yaml", &link).unwrap();
        assert!(replace(&link, b"b").unwrap_err().to_string().contains("ConfigMap"));
    }
}
