//! Commands and an editor that save the same document at once: nothing that any of them wrote is lost.

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::harness::{Gateway, eventually, openclaw};

/// The commands find no gateway at that address and do not wait for one; it watches the file all the same.
const DOCUMENT: &str = "\
# editor: -
webhooks:
  server: { listen: \"127.0.0.1:0\" }
  admin: { listen: \"127.0.0.1:0\" }
  reconcile: { debounce: 200ms }
  outbound:
    first:
      url: https://first.example
    second:
      url: https://second.example
";

const ROUNDS: usize = 200;
const DOCUMENTS: usize = 4;

fn run(dir: &Path, args: &[&str]) -> Output {
    let mut command = openclaw();
    command.args(args).current_dir(dir).stdin(Stdio::null());
    command.output().unwrap()
}

#[track_caller]
fn well(dir: &Path, args: &[&str]) {
    let output = run(dir, args);
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{args:?}\n{out}\n{err}");
}

/// How an editor saves.
#[derive(Debug, Clone, Copy)]
enum Save {
    /// The file is cut to nothing and written anew.
    InPlace,
    /// A new file is renamed over it.
    RenameOver,
    /// The old file is renamed to a backup and a new one written.
    Backup,
}

/// Changes the document as a careful editor does: it looks once more whether the file is what it has open, and then saves.
fn edit(path: &Path, save: Save, change: impl Fn(&str) -> String) {
    loop {
        let text = fs::read_to_string(path).unwrap();
        let new = change(&text);
        if fs::read_to_string(path).unwrap() != text {
            continue;
        }
        match save {
            Save::InPlace => fs::write(path, new).unwrap(),
            Save::RenameOver => {
                let beside = path.with_extension("swp");
                fs::write(&beside, new).unwrap();
                fs::rename(beside, path).unwrap();
            }
            Save::Backup => {
                let backup = path.with_extension("yaml~");
                fs::rename(path, &backup).unwrap();
                fs::write(path, new).unwrap();
                fs::remove_file(backup).unwrap();
            }
        }
        return;
    }
}

#[test]
fn two_commands_and_an_editor_at_once_lose_no_edit_in_200_rounds() {
    // They mostly wait for each other: four documents at once.
    std::thread::scope(|scope| {
        for document in 0..DOCUMENTS {
            scope.spawn(move || rounds(document));
        }
    });
}

fn rounds(document: usize) {
    let dir = Arc::new(tempfile::tempdir().unwrap());
    let path = dir.path().join("openclaw.yaml");
    fs::write(&path, DOCUMENT).unwrap();
    let gateway = Gateway::start_in(dir.clone(), Vec::new());
    for round in (document..ROUNDS).step_by(DOCUMENTS) {
        let number = round.to_string();
        let save = [Save::InPlace, Save::RenameOver, Save::Backup][round % 3];
        std::thread::scope(|scope| {
            for name in ["first", "second"] {
                let (dir, number) = (dir.path(), &number);
                scope.spawn(move || well(dir, &["webhooks", "update", name, "--description", number]));
            }
            // Spread over the commands' whole life.
            std::thread::sleep(Duration::from_millis(7 * (round as u64 % 31)));
            edit(&path, save, |text| {
                let end = text.find('\n').unwrap();
                format!("# editor: {number}{}", &text[end..])
            });
        });
        let expected = DOCUMENT
            .replace("editor: -", &format!("editor: {number}"))
            .replace(
                "first.example\n",
                &format!("first.example\n      description: \"{number}\"\n"),
            )
            .replace(
                "second.example\n",
                &format!("second.example\n      description: \"{number}\"\n"),
            );
        assert_eq!(fs::read_to_string(&path).unwrap(), expected, "round {round}, {save:?}");
    }
    eventually("the gateway runs the last text", || {
        (gateway.get("/v1/document").1 == fs::read_to_string(&path).unwrap()).then_some(())
    });
    assert!(
        !gateway.output().contains("not applied"),
        "a broken document was seen:\n{}",
        gateway.output()
    );
    let left: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        !left.iter().any(|name| name.to_string_lossy().contains(".new")),
        "{left:?}"
    );
}
