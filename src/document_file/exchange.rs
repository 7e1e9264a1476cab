//! Replaces a document that was read a moment ago, so that no editor's save between reading and replacing is lost.
//!
//! The new file and the old one change places in one step (`RENAME_EXCHANGE`). Only then is it certain what was replaced:
//! if that is not what was read, an editor has saved in between, and the two change places again. Where a file system
//! cannot exchange, the document is compared directly before a plain rename; a save in the microseconds between is lost.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::{directory, new_beside, writable, write_new};

/// How long a file must have been left alone to be taken as it is, and how long it is looked at after it was replaced: as
/// long as a gateway's default `reconcile.debounce`.
pub const SETTLE: Duration = Duration::from_millis(100);

/// How often a file is looked at that is written to all the time: for 10 s.
const ROUNDS: usize = 100;

/// How often an empty file is looked at: for 1 s. An editor that writes in place begins with one.
const EMPTY_ROUNDS: usize = 10;

/// Reads a document that is not being written right now: of a file that was written within [`SETTLE`] two reads that far
/// apart are equal. At most `limit` bytes.
///
/// # Errors
/// It cannot be read; one that is missing for a moment (an editor renames it away and writes it anew) is waited for.
pub fn read_settled(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut before = None;
    let mut missing = false;
    for round in 0..ROUNDS {
        match read(path, limit) {
            Ok((bytes, written)) => {
                // A time that lies ahead says nothing.
                let fresh = written.elapsed().is_ok_and(|age| age < SETTLE);
                let empty = bytes.is_empty() && round < EMPTY_ROUNDS;
                if !empty && (!fresh || before.as_ref() == Some(&bytes)) {
                    return Ok(bytes);
                }
                before = Some(bytes);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && !missing => missing = true,
            Err(error) => return Err(error),
        }
        std::thread::sleep(SETTLE);
    }
    Err(always_written())
}

fn always_written() -> io::Error {
    io::Error::new(io::ErrorKind::WouldBlock, "something else writes to it all the time")
}

fn read(path: &Path, limit: u64) -> io::Result<(Vec<u8>, SystemTime)> {
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    (&file).take(limit).read_to_end(&mut bytes)?;
    Ok((bytes, file.metadata()?.modified()?))
}

/// What became of a replacement.
#[derive(Debug)]
pub enum Exchanged {
    /// The new text is in place.
    Done(Replaced),
    /// The document is not what was read any more: nothing was changed.
    Other,
}

/// A document that was replaced, and the file that it was until then.
#[derive(Debug)]
pub struct Replaced {
    target: PathBuf,
    old: File,
    before: Vec<u8>,
    after: Vec<u8>,
}

/// What was saved by something else within [`SETTLE`] of a replacement.
#[derive(Debug, PartialEq, Eq)]
pub enum Late {
    /// A text that was saved over the new one.
    Over(Vec<u8>),
    /// A text that went into the replaced file, by an editor that had it open already: the new one is still in place.
    Into(Vec<u8>),
}

impl Replaced {
    /// Looks again after [`SETTLE`]; `None`: all is as it was left.
    ///
    /// # Errors
    /// The document, or the file that it was, cannot be read.
    pub fn settled(mut self) -> io::Result<Option<Late>> {
        std::thread::sleep(SETTLE);
        let now = read_settled(&self.target, u64::MAX)?;
        if now != self.after {
            return Ok(Some(Late::Over(now)));
        }
        let mut last = None;
        for _ in 0..ROUNDS {
            let mut old = Vec::new();
            self.old.rewind()?;
            self.old.read_to_end(&mut old)?;
            if old == self.before {
                return Ok(None);
            }
            if last.as_ref() == Some(&old) {
                return Ok(Some(Late::Into(old)));
            }
            last = Some(old);
            std::thread::sleep(SETTLE);
        }
        Err(always_written())
    }
}

/// When a test may come between two steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// The document was compared for the last time.
    Compared,
    /// The two files have changed places.
    Exchanged,
}

/// A new text for a document, in a file of its own beside it: it goes again unless it takes the document's place.
#[derive(Debug)]
pub struct Candidate {
    target: PathBuf,
    beside: PathBuf,
    text: Vec<u8>,
}

impl Candidate {
    /// Writes it, with the document's mode and (where allowed) owner.
    ///
    /// # Errors
    /// As [`super::replace`].
    pub fn write(document: &Path, text: &[u8]) -> io::Result<Self> {
        let old = fs::metadata(document).or_else(|_| {
            // An editor may have renamed it away, and writes it anew.
            std::thread::sleep(SETTLE);
            fs::metadata(document)
        })?;
        let target = writable(document)?;
        let candidate = Self {
            beside: new_beside(&target),
            text: text.to_vec(),
            target,
        };
        write_new(&candidate.beside, text, Some(&old))?;
        Ok(candidate)
    }

    /// The name of its file: what a gateway of this document may look at before it is in place.
    #[must_use]
    pub fn name(&self) -> String {
        let name = self.beside.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Takes the document's place if that still is `old`; a symlink stays.
    ///
    /// # Errors
    /// The file system refuses. Then the document is what it was.
    pub fn exchange(&self, old: &[u8]) -> io::Result<Exchanged> {
        self.exchange_with(old, &mut |_| ())
    }

    fn exchange_with(&self, old: &[u8], between: &mut dyn FnMut(Moment)) -> io::Result<Exchanged> {
        let (target, beside) = (&self.target, &self.beside);
        let ours = Found::at(beside)?.ok_or(io::ErrorKind::NotFound)?;
        let Some(found) = Found::at(target)? else {
            return Ok(Exchanged::Other);
        };
        if found.bytes != old || !found.is_still_at(target)? {
            return Ok(Exchanged::Other);
        }
        between(Moment::Compared);
        match renameat_with(CWD, beside, CWD, target, RenameFlags::EXCHANGE) {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(Exchanged::Other),
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                fs::rename(beside, target)?;
                return self.done(found.file, old);
            }
            Err(error) => return Err(error.into()),
        }
        between(Moment::Exchanged);
        match Found::at(beside)? {
            Some(out) if out.bytes == old => self.done(out.file, old),
            Some(out) => {
                give_back(target, beside, ours, out)?;
                Ok(Exchanged::Other)
            }
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn done(&self, file: File, old: &[u8]) -> io::Result<Exchanged> {
        File::open(directory(&self.target))?.sync_all()?;
        Ok(Exchanged::Done(Replaced {
            target: self.target.clone(),
            old: file,
            before: old.to_vec(),
            after: self.text.clone(),
        }))
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        // Best effort: what remains is a file beside the document, never half a document.
        let _ = fs::remove_file(&self.beside);
    }
}

/// Puts what was taken out by mistake back in place: the file itself, since an editor may still be writing to it. What
/// comes out in turn must be what was put in before; if it is not, it is a still newer save, and goes back likewise. A round
/// more takes a save within microseconds.
fn give_back(target: &Path, beside: &Path, ours: Found, taken: Found) -> io::Result<()> {
    let (mut put, mut taken) = (ours, taken);
    loop {
        match renameat_with(CWD, beside, CWD, target, RenameFlags::EXCHANGE) {
            Ok(()) => {}
            // Something took the document away: what was taken out is the newest there is.
            Err(Errno::NOENT) => return fs::rename(beside, target),
            Err(error) => return Err(error.into()),
        }
        let out = Found::at(beside)?.ok_or(io::ErrorKind::NotFound)?;
        if out.is(&put) {
            return File::open(directory(target))?.sync_all();
        }
        (put, taken) = (taken, out);
    }
}

/// A file as it was found.
struct Found {
    file: File,
    meta: fs::Metadata,
    bytes: Vec<u8>,
}

impl Found {
    /// `None`: there is none.
    fn at(path: &Path) -> io::Result<Option<Self>> {
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let meta = file.metadata()?;
        Ok(Some(Self { file, meta, bytes }))
    }

    /// Whether the same file is there, not written to since.
    fn is_still_at(&self, path: &Path) -> io::Result<bool> {
        match fs::metadata(path) {
            Ok(now) => Ok(mark(&now) == mark(&self.meta)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether both are one file with one content.
    fn is(&self, other: &Self) -> bool {
        (self.meta.dev(), self.meta.ino()) == (other.meta.dev(), other.meta.ino()) && self.bytes == other.bytes
    }
}

/// What changes when a file is replaced or written to.
fn mark(meta: &fs::Metadata) -> (u64, u64, u64, i64, i64) {
    (meta.dev(), meta.ino(), meta.size(), meta.mtime(), meta.mtime_nsec())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A document in a directory of its own.
    fn document(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("openclaw.yaml");
        fs::write(&path, text).unwrap();
        (dir, path)
    }

    fn save_over(path: &Path, text: &str) {
        let new = path.with_extension("editor");
        fs::write(&new, text).unwrap();
        fs::rename(&new, path).unwrap();
    }

    fn exchange(path: &Path, old: &[u8], new: &[u8]) -> io::Result<Exchanged> {
        Candidate::write(path, new)?.exchange(old)
    }

    /// Exchanges `old` for `new` while `editor` is at work; what the document is then, and whether it was exchanged.
    fn with_editor(moment: Moment, editor: impl Fn(&Path)) -> (String, bool) {
        let (dir, path) = document("old");
        let mut between = |now| {
            if now == moment {
                editor(&path);
            }
        };
        let candidate = Candidate::write(&path, b"new").unwrap();
        let done = matches!(
            candidate.exchange_with(b"old", &mut between).unwrap(),
            Exchanged::Done(_)
        );
        drop(candidate);
        assert_eq!(
            fs::read_dir(dir.path()).unwrap().count(),
            1,
            "nothing is left beside it"
        );
        (fs::read_to_string(&path).unwrap(), done)
    }

    #[test]
    fn a_text_that_was_read_is_replaced_and_keeps_its_mode() {
        let (dir, path) = document("old");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let Exchanged::Done(replaced) = exchange(&path, b"old", b"new").unwrap() else {
            panic!("not exchanged");
        };
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(replaced.settled().unwrap(), None);
    }

    #[test]
    fn a_text_that_is_another_by_now_stays() {
        let (_dir, path) = document("edited");
        assert!(matches!(exchange(&path, b"old", b"new").unwrap(), Exchanged::Other));
        assert_eq!(fs::read_to_string(&path).unwrap(), "edited");
    }

    #[test]
    fn a_save_between_the_last_look_and_the_exchange_stays() {
        for editor in [save_over, |path: &Path, text: &str| fs::write(path, text).unwrap()] {
            let (text, done) = with_editor(Moment::Compared, |path| editor(path, "saved"));
            assert_eq!((text.as_str(), done), ("saved", false));
        }
        let (text, done) = with_editor(Moment::Compared, |path| {
            fs::rename(path, path.with_extension("away")).unwrap();
            fs::write(path, "saved").unwrap();
            fs::remove_file(path.with_extension("away")).unwrap();
        });
        assert_eq!((text.as_str(), done), ("saved", false));
    }

    #[test]
    fn of_two_saves_during_an_exchange_the_last_stays() {
        for editor in [save_over, |path: &Path, text: &str| fs::write(path, text).unwrap()] {
            let (_dir, path) = document("old");
            let mut between = |moment| match moment {
                Moment::Compared => editor(&path, "first"),
                Moment::Exchanged => editor(&path, "second"),
            };
            let exchanged = Candidate::write(&path, b"new")
                .unwrap()
                .exchange_with(b"old", &mut between)
                .unwrap();
            assert!(matches!(exchanged, Exchanged::Other));
            assert_eq!(fs::read_to_string(&path).unwrap(), "second");
        }
    }

    #[test]
    fn an_editor_that_had_the_file_open_goes_on_in_it() {
        use std::io::Write as _;
        let (_dir, path) = document("old");
        let mut open = None;
        let mut between = |moment| {
            if moment == Moment::Compared {
                open = Some(File::create(&path).unwrap());
            }
        };
        let exchanged = Candidate::write(&path, b"new")
            .unwrap()
            .exchange_with(b"old", &mut between)
            .unwrap();
        assert!(matches!(exchanged, Exchanged::Other));
        open.unwrap().write_all(b"written late").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "written late");
    }

    #[test]
    fn what_is_saved_right_after_an_exchange_is_told() {
        use std::io::Write as _;
        let (_dir, path) = document("old");
        let mut open = File::options().write(true).open(&path).unwrap();
        let Exchanged::Done(replaced) = exchange(&path, b"old", b"new").unwrap() else {
            panic!("not exchanged");
        };
        open.write_all(b"into the old file").unwrap();
        assert_eq!(
            replaced.settled().unwrap(),
            Some(Late::Into(b"into the old file".to_vec()))
        );

        let (_dir, path) = document("old");
        let Exchanged::Done(replaced) = exchange(&path, b"old", b"new").unwrap() else {
            panic!("not exchanged");
        };
        save_over(&path, "saved over");
        assert_eq!(replaced.settled().unwrap(), Some(Late::Over(b"saved over".to_vec())));
    }

    #[test]
    fn a_text_that_is_being_written_is_waited_for() {
        let (_dir, path) = document("");
        let writer = std::thread::spawn({
            let path = path.clone();
            move || {
                for text in ["", "h", "half"] {
                    fs::write(&path, text).unwrap();
                    std::thread::sleep(SETTLE / 2);
                }
                fs::remove_file(&path).unwrap();
                std::thread::sleep(SETTLE / 2);
                fs::write(&path, "whole").unwrap();
            }
        });
        assert_eq!(read_settled(&path, 1024).unwrap(), b"whole");
        writer.join().unwrap();
    }
}
