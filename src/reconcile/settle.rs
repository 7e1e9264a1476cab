//! A file's content, once it stands still.
//!
//! Who writes into a file in place lets others see half of it; who renames a finished file over it does not. So content that
//! came by a rename is taken at once, everything else when two reads one debounce apart are equal.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;

use crate::environment::read_regular;

/// The most bytes that are read from a file.
pub const MAX_BYTES: u64 = 64 << 20;
/// A file that differs at so many reads in a row is given up until its next change: ten seconds with the usual debounce.
const MAX_READS: u32 = 100;

/// Why a file's content cannot be had now.
#[derive(Debug, Error)]
pub enum SettleError {
    /// It is not there, nor was it one debounce later.
    #[error("{path}: no such file")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It is being written without an end.
    #[error("{path}: its content keeps changing; it is read again at its next change")]
    Restless {
        /// The file.
        path: PathBuf,
    },
    /// It has more than [`MAX_BYTES`].
    #[error("{path}: larger than 64 MiB")]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// A directory, a pipe, a device.
    #[error("{path}: not a regular file")]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// Anything else, in the system's words.
    #[error("{path}: {source}")]
    System {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Content that stands still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stable {
    /// The whole content.
    pub bytes: Vec<u8>,
    /// Whether it came whole, by a rename over the file or a swapped link.
    pub via_rename: bool,
}

/// Reads one file over and over: it remembers which file it read last.
#[derive(Debug)]
pub struct Settle {
    path: PathBuf,
    debounce: Duration,
    last: Option<Identity>,
    taken: Option<Instant>,
}

/// Which file stands behind a path.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    /// Where the path's links lead to.
    real: PathBuf,
}

struct Reading {
    identity: Identity,
    bytes: Vec<u8>,
    /// Whether its name is younger than its last write: renamed, or linked, when it was whole.
    named_after_written: bool,
}

impl Settle {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(path: PathBuf, debounce: Duration) -> Self {
        Self {
            path,
            debounce,
            last: None,
            taken: None,
        }
    }

    /// Another debounce, from the next read on.
    pub fn set_debounce(&mut self, debounce: Duration) {
        self.debounce = debounce;
    }

    /// The content as it is: at a start, where there is nothing to compare it with.
    pub async fn read_now(&mut self) -> Result<Stable, SettleError> {
        let reading = read(&self.path).await?;
        Ok(self.take(reading, false))
    }

    /// The content once it stands still: to be called at each change. Of a burst of renames it takes at most one in each
    /// debounce, and the last.
    pub async fn read(&mut self) -> Result<Stable, SettleError> {
        if let Some(taken) = self.taken {
            tokio::time::sleep_until(taken + self.debounce).await;
        }
        let mut before: Option<Reading> = None;
        for _ in 0..MAX_READS {
            let reading = match read(&self.path).await {
                // Between a delete and a recreate there is no file.
                Err(SettleError::Missing { .. }) if before.is_none() => {
                    tokio::time::sleep(self.debounce).await;
                    read(&self.path).await?
                }
                reading => reading?,
            };
            if self.came_whole(&reading) {
                return Ok(self.take(reading, true));
            }
            if before.is_some_and(|before| before.identity == reading.identity && before.bytes == reading.bytes) {
                return Ok(self.take(reading, false));
            }
            before = Some(reading);
            tokio::time::sleep(self.debounce).await;
        }
        Err(SettleError::Restless {
            path: self.path.clone(),
        })
    }

    // A new file alone proves nothing: delete-and-recreate makes one too, and then writes. An empty one is never taken at once.
    fn came_whole(&self, reading: &Reading) -> bool {
        let Some(last) = &self.last else { return false };
        let another = (last.device, last.inode) != (reading.identity.device, reading.identity.inode);
        let led_elsewhere = last.real != reading.identity.real;
        another && !reading.bytes.is_empty() && (led_elsewhere || reading.named_after_written)
    }

    fn take(&mut self, reading: Reading, via_rename: bool) -> Stable {
        self.last = Some(reading.identity);
        self.taken = Some(Instant::now());
        Stable {
            bytes: reading.bytes,
            via_rename,
        }
    }
}

async fn read(path: &Path) -> Result<Reading, SettleError> {
    let owned = path.to_owned();
    let reading = tokio::task::spawn_blocking(move || read_blocking(&owned)).await;
    reading
        .map_err(io::Error::other)
        .and_then(|reading| reading)
        .map_err(|source| {
            let path = path.to_owned();
            match source.kind() {
                ErrorKind::NotFound | ErrorKind::NotADirectory => SettleError::Missing { path },
                ErrorKind::FileTooLarge => SettleError::TooLarge { path },
                ErrorKind::InvalidInput => SettleError::NotAFile { path },
                _ => SettleError::System { path, source },
            }
        })
}

fn read_blocking(path: &Path) -> io::Result<Reading> {
    let real = fs::canonicalize(path)?;
    // Times of after the reading, and of what was read: those that a write meanwhile has moved must count.
    let (bytes, found) = read_regular(path, MAX_BYTES)?;
    let named_after_written = (found.ctime(), found.ctime_nsec()) > (found.mtime(), found.mtime_nsec());
    Ok(Reading {
        identity: Identity {
            device: found.dev(),
            inode: found.ino(),
            real,
        },
        bytes,
        named_after_written,
    })
}

/// Whether this file is a mount of its own (`docker run -v ./openclaw.yaml:/openclaw.yaml`). Such a file stays the old one
/// when its source is replaced by a rename, so edits may never be seen: a warning says to mount the directory instead.
#[must_use]
pub fn is_own_mount(path: &Path) -> bool {
    let Ok(real) = fs::canonicalize(path) else { return false };
    let mounts = fs::read("/proc/self/mountinfo").unwrap_or_default();
    real.is_file() && has_mount(&mounts, &real)
}

// A line: `36 35 98:0 /root /mount/point rw,noatime ...`; space, tab, line end and backslash are octal.
fn has_mount(mounts: &[u8], path: &Path) -> bool {
    let wanted = path.as_os_str().as_bytes();
    let points = mounts
        .split(|byte| *byte == b'\n')
        .filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    points.into_iter().any(|point| unescape(point) == wanted)
}

fn unescape(mut text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    while let Some((first, rest)) = text.split_first() {
        let octal = text.get(1..4).filter(|_| *first == b'\\');
        let byte = octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        plain.push(byte.unwrap_or(*first));
        text = if byte.is_some() { &text[4..] } else { rest };
    }
    plain
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::os::unix::fs::symlink;

    use super::*;

    const DEBOUNCE: Duration = Duration::from_millis(30);

    struct Case {
        home: tempfile::TempDir,
        settle: Settle,
    }

    // A file with `old` in it that was read once, long enough ago for the next read to be no burst.
    async fn case() -> Case {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("openclaw.yaml");
        fs::write(&path, "old").unwrap();
        let mut settle = Settle::new(path, DEBOUNCE);
        settle.read_now().await.unwrap();
        settle.taken = None;
        Case { home, settle }
    }

    impl Case {
        // As editors do: write beside it, then rename over it. The clock of the file system must have ticked between.
        fn rename_over(&self, text: &str) {
            let new = self.home.path().join("new");
            fs::write(&new, text).unwrap();
            let written = fs::metadata(&new).unwrap();
            loop {
                fs::rename(&new, &self.settle.path).unwrap();
                let named = fs::metadata(&self.settle.path).unwrap();
                if (named.ctime(), named.ctime_nsec()) > (written.mtime(), written.mtime_nsec()) {
                    return;
                }
                fs::rename(&self.settle.path, &new).unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_file_renamed_over_the_old_one_is_taken_at_once() {
        let mut case = case().await;
        case.rename_over("new");
        case.settle.debounce = Duration::from_hours(1);
        let stable = tokio::time::timeout(Duration::from_secs(20), case.settle.read())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            stable,
            Stable {
                bytes: b"new".to_vec(),
                via_rename: true
            }
        );
    }

    #[tokio::test]
    async fn a_file_written_in_place_is_taken_when_two_reads_are_equal() {
        let mut case = case().await;
        let mut file = File::create(&case.settle.path).unwrap();
        let begun = Instant::now();
        // Longer than one debounce in the writing: every read but the last two sees something else.
        let writer = std::thread::spawn(move || {
            for _ in 0..20 {
                file.write_all(b"line\n").unwrap();
                std::thread::sleep(DEBOUNCE / 6);
            }
        });
        let stable = case.settle.read().await.unwrap();
        assert!(begun.elapsed() >= DEBOUNCE);
        assert!(!stable.via_rename);
        // A scheduler may stall the writer for a debounce; whatever is taken stood still that long.
        writer.join().unwrap();
        let last = case.settle.read().await.unwrap();
        assert_eq!(last.bytes, "line\n".repeat(20).into_bytes());
    }

    #[tokio::test]
    async fn a_truncated_file_is_not_taken_while_its_writer_goes_on() {
        let mut case = case().await;
        case.settle.debounce = Duration::from_millis(300);
        let mut file = File::create(&case.settle.path).unwrap();
        let reading = tokio::spawn(async move { case.settle.read().await.map(|stable| stable.bytes) });
        tokio::time::sleep(Duration::from_millis(20)).await;
        file.write_all(b"whole").unwrap();
        assert_eq!(reading.await.unwrap().unwrap(), b"whole");
    }

    #[tokio::test]
    async fn a_deleted_and_recreated_file_is_not_mistaken_for_a_rename() {
        let mut case = case().await;
        // Held open, the old file keeps its inode number to itself.
        let _old = File::open(&case.settle.path).unwrap();
        fs::remove_file(&case.settle.path).unwrap();
        fs::write(&case.settle.path, "new").unwrap();
        let stable = case.settle.read().await.unwrap();
        assert_eq!(
            stable,
            Stable {
                bytes: b"new".to_vec(),
                via_rename: false
            }
        );
    }

    #[tokio::test]
    async fn a_file_that_comes_back_within_a_debounce_was_never_missing() {
        let mut case = case().await;
        case.settle.debounce = Duration::from_millis(300);
        let path = case.settle.path.clone();
        fs::remove_file(&path).unwrap();
        let reading = tokio::spawn(async move { case.settle.read().await.map(|stable| stable.bytes) });
        tokio::time::sleep(Duration::from_millis(20)).await;
        fs::write(&path, "back").unwrap();
        assert_eq!(reading.await.unwrap().unwrap(), b"back");
    }

    #[tokio::test]
    async fn a_missing_file_is_an_error_that_names_it() {
        let mut case = case().await;
        fs::remove_file(&case.settle.path).unwrap();
        let error = case.settle.read().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("{}: no such file", case.settle.path.display())
        );
    }

    #[tokio::test]
    async fn a_swapped_kubernetes_link_is_taken_at_once() {
        let home = tempfile::tempdir().unwrap();
        for (version, text) in [("..1", "old"), ("..2", "new")] {
            fs::create_dir(home.path().join(version)).unwrap();
            fs::write(home.path().join(version).join("openclaw.yaml"), text).unwrap();
        }
        symlink("..1", home.path().join("..data")).unwrap();
        symlink("..data/openclaw.yaml", home.path().join("openclaw.yaml")).unwrap();
        let mut settle = Settle::new(home.path().join("openclaw.yaml"), DEBOUNCE);
        assert_eq!(settle.read_now().await.unwrap().bytes, b"old");
        symlink("..2", home.path().join("..tmp")).unwrap();
        fs::rename(home.path().join("..tmp"), home.path().join("..data")).unwrap();
        assert_eq!(
            settle.read().await.unwrap(),
            Stable {
                bytes: b"new".to_vec(),
                via_rename: true
            }
        );
    }

    #[tokio::test]
    async fn a_burst_of_renames_is_read_once_in_a_debounce_and_ends_with_the_last() {
        let mut case = case().await;
        case.settle.debounce = Duration::from_millis(50);
        let (mut reads, begun) = (0, Instant::now());
        for round in 0..200 {
            case.rename_over(&format!("{round}"));
            if round % 20 == 0 {
                case.settle.read().await.unwrap();
                reads += 1;
            }
        }
        assert_eq!(case.settle.read().await.unwrap().bytes, b"199");
        assert!(begun.elapsed() >= Duration::from_millis(50) * reads);
    }

    #[tokio::test]
    async fn what_is_no_regular_file_is_refused_unopened() {
        let home = tempfile::tempdir().unwrap();
        let error = Settle::new(home.path().to_owned(), DEBOUNCE)
            .read_now()
            .await
            .unwrap_err();
        assert!(matches!(error, SettleError::NotAFile { .. }));
    }

    #[test]
    fn a_bind_mounted_file_is_recognised_among_the_mounts() {
        let mounts = b"22 28 0:21 / /proc rw - proc proc rw\n\
            540 528 254:1 /srv/a.yaml /etc/my\\040conf/openclaw.yaml rw,relatime - ext4 /dev/vda1 rw\n";
        assert!(has_mount(mounts, Path::new("/etc/my conf/openclaw.yaml")));
        assert!(!has_mount(mounts, Path::new("/etc/my conf")));
        assert!(!has_mount(mounts, Path::new("/srv/a.yaml")));
    }
}
