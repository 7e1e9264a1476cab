//! A disk of a test's own, that can be full or read-only.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::harness::system;

/// A file system in memory. Where it may not be mounted there is none, and the test says so and passes.
pub struct Disk {
    dir: tempfile::TempDir,
}

impl Disk {
    pub fn mount(mebibytes: u32) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={mebibytes}m,mode=0755");
        let mounted = system(
            "mount",
            &["-t", "tmpfs", "-o", &size, "tmpfs", dir.path().to_str().unwrap()],
        );
        if !mounted {
            eprintln!("skipped: this user may not mount a file system");
        }
        mounted.then_some(Self { dir })
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Fills it to the last byte.
    pub fn fill(&self) {
        let mut file = fs::File::create(self.ballast()).unwrap();
        for block in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![0; block]).is_ok() {}
        }
    }

    pub fn make_room(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    pub fn make_read_only(&self) {
        let path = self.path().to_str().unwrap();
        assert!(system("mount", &["-o", "remount,ro", path]));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        system("umount", &["-l", self.dir.path().to_str().unwrap()]);
    }
}
