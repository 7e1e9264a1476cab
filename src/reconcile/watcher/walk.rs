//! The way to a file, link by link.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Links followed, as in the kernel: a longer chain is a loop.
const LINKS: usize = 40;

/// Every place on the way to a file where something else can be put: each symbolic link, and at last the file itself (or the
/// first part of the way that does not exist). No step's directory has a link in its own name.
pub(super) fn walk(path: &Path) -> Vec<PathBuf> {
    let mut steps = Vec::new();
    let mut at = PathBuf::from("/");
    let mut rest = Vec::new();
    push(
        &mut rest,
        &std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
    );
    let mut links = 0;
    while let Some(name) = rest.pop() {
        if name == ".." {
            // `at` has no links in it, so the parent is the one that the kernel would take.
            at.pop();
            continue;
        }
        let here = at.join(&name);
        let target = match fs::symlink_metadata(&here) {
            Ok(found) if found.is_symlink() => fs::read_link(&here).ok(),
            Ok(_) if !rest.is_empty() => {
                at = here;
                continue;
            }
            _ => None,
        };
        steps.push(here);
        let Some(target) = target.filter(|_| links < LINKS) else {
            break;
        };
        links += 1;
        if target.is_absolute() {
            at = PathBuf::from("/");
        }
        push(&mut rest, &target);
    }
    steps
}

fn push(rest: &mut Vec<OsString>, path: &Path) {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name),
        Component::ParentDir => Some(OsStr::new("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    rest.extend(names.rev().map(OsStr::to_owned));
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_link_and_the_file_is_a_step() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().canonicalize().unwrap();
        fs::create_dir(root.join("..2026")).unwrap();
        fs::write(root.join("..2026/a.yaml"), "x").unwrap();
        symlink("..2026", root.join("..data")).unwrap();
        symlink("..data/a.yaml", root.join("a.yaml")).unwrap();
        let names = ["a.yaml", "..data", "..2026/a.yaml"];
        assert_eq!(walk(&root.join("a.yaml")), names.map(|name| root.join(name)));
    }

    #[test]
    fn the_first_missing_part_is_the_last_step() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().canonicalize().unwrap();
        assert_eq!(walk(&root.join("no/such/file")), [root.join("no")]);
    }

    #[test]
    fn a_relative_path_counts_from_the_working_directory() {
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        assert_eq!(walk(Path::new("Cargo.toml")).last(), Some(&here.join("Cargo.toml")));
    }

    #[test]
    fn a_loop_of_links_ends() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().canonicalize().unwrap();
        symlink("b", root.join("a")).unwrap();
        symlink("a", root.join("b")).unwrap();
        assert_eq!(walk(&root.join("a")).len(), LINKS + 1);
    }

    #[test]
    fn a_way_up_from_a_linked_directory_is_the_kernels() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("real/deep")).unwrap();
        fs::write(root.join("real/file"), "x").unwrap();
        symlink("real/deep", root.join("short")).unwrap();
        assert_eq!(
            walk(&root.join("short/../file")),
            [root.join("short"), root.join("real/file")]
        );
    }
}
