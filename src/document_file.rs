//! A document on disk: replaced as a whole by a push, a rollback or a command that edits it, and locked while a command
//! does so.

mod exchange; // replaced only if it still is what was read

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use exchange::{Candidate, Exchanged, Late, Replaced, SETTLE, read_settled};

/// How long a command waits for others that edit the same document.
const PATIENCE: Duration = Duration::from_mins(1);

/// Holds the lock of a document's directory: freed when it is dropped, or by the operating system when the process dies.
#[derive(Debug)]
pub struct Lock {
    _directory: File,
}

/// Locks out every other command that edits a document of this directory. Editors do not ask for it.
///
/// # Errors
/// Other commands hold it for more than a minute, or the directory cannot be opened.
pub fn lock(path: &Path) -> io::Result<Lock> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let directory = File::open(directory(&target))?;
    let end = Instant::now() + PATIENCE;
    loop {
        match directory.try_lock() {
            Ok(()) => return Ok(Lock { _directory: directory }),
            Err(fs::TryLockError::Error(error)) => return Err(error),
            Err(fs::TryLockError::WouldBlock) if Instant::now() < end => std::thread::sleep(Duration::from_millis(10)),
            Err(fs::TryLockError::WouldBlock) => {
                let reason = format!(
                    "other commands have been editing {} for {} s",
                    path.display(),
                    PATIENCE.as_secs()
                );
                return Err(io::Error::new(io::ErrorKind::WouldBlock, reason));
            }
        }
    }
}

fn directory(target: &Path) -> &Path {
    let parent = target.parent().filter(|directory| !directory.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// The file that is replaced: of a symlink its target.
///
/// # Errors
/// It is read-only, or something else owns it.
pub fn writable(path: &Path) -> io::Result<PathBuf> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    if target
        .components()
        .any(|part| part.as_os_str().to_string_lossy().starts_with("..") && part != std::path::Component::ParentDir)
    {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{} is mounted from a ConfigMap: change it there", path.display()),
        ));
    }
    let old = fs::metadata(&target).ok();
    if old.is_some_and(|meta| meta.permissions().mode() & 0o222 == 0) {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{} is read-only", path.display()),
        ));
    }
    Ok(target)
}

/// Makes a document where there is none; `false`: there is one by now, and it stays.
///
/// # Errors
/// The file system refuses.
pub fn create(path: &Path, bytes: &[u8]) -> io::Result<bool> {
    let new = new_beside(path);
    let made = write_new(&new, bytes, None).and_then(|()| fs::hard_link(&new, path));
    let _ = fs::remove_file(&new);
    match made {
        Ok(()) => File::open(directory(path))?.sync_all().map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Where a new file is written before it takes the document's place.
fn new_beside(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    directory(target).join(format!(".{name}.{}.new", std::process::id()))
}

fn write_new(new: &Path, bytes: &[u8], old: Option<&fs::Metadata>) -> io::Result<()> {
    // Nobody else reads it before it has the old one's mode: it may hold secrets.
    let _ = fs::remove_file(new);
    let mode = if old.is_some() { 0o600 } else { 0o666 };
    let mut file = File::options().write(true).create_new(true).mode(mode).open(new)?;
    if let Some(old) = old {
        file.set_permissions(old.permissions())?;
        // Only root may give a file away: another user keeps its own.
        let _ = std::os::unix::fs::chown(new, Some(old.uid()), Some(old.gid()));
    }
    file.write_all(bytes)?;
    file.sync_all()
}

/// The path of a document's candidate (see [`Candidate`]); `None`: the name is none of a candidate's.
#[must_use]
pub fn candidate(document: &Path, name: &str) -> Option<PathBuf> {
    let target = fs::canonicalize(document).ok()?;
    let number = name.strip_prefix(&format!(".{}.", target.file_name()?.to_str()?))?;
    let number = number.strip_suffix(".new")?;
    let ours = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    ours.then(|| directory(&target).join(name))
}

/// The path of a file that a document names: relative ones are from the document's directory.
#[must_use]
pub fn beside(document: &Path, path: &str) -> PathBuf {
    document.parent().unwrap_or(Path::new(".")).join(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replace(path: &Path, bytes: &[u8]) -> io::Result<Exchanged> {
        Candidate::write(path, bytes)?.exchange(&fs::read(path)?)
    }

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
    fn a_document_is_made_only_where_there_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("openclaw.yaml");
        assert!(create(&path, b"a").unwrap());
        assert!(!create(&path, b"b").unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), "a");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_second_command_waits_for_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("openclaw.yaml");
        let held = lock(&path).unwrap();
        let second = std::thread::spawn({
            let path = path.clone();
            move || lock(&path).map(drop)
        });
        assert!(File::open(dir.path()).unwrap().try_lock().is_err());
        drop(held);
        second.join().unwrap().unwrap();
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
