//! Both tutorials of `docs/` say all that the original says, and are true word for word.

use std::path::Path;

use serde_json::Value as Json;

use super::{blocks, commands};
use crate::harness::console::{Console, Step, steps};
use crate::python_verifies;

/// What a tutorial says, as its reader does it.
fn tutorial(file: &str) -> Vec<Step> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(file);
    steps(&std::fs::read_to_string(path).unwrap())
}

/// Blanks and the ends of lines do not count: the documents indent what goes on behind a `\` by two more.
fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What is typed and shown, and which files are saved: their comments are in the reader's language, as comments at the prompt are.
fn story(steps: &[Step]) -> Vec<(String, &[String])> {
    let told = steps.iter().map(|step| match step {
        Step::Command { line, shown } if line.starts_with("# ") => ("#".to_owned(), &shown[..]),
        Step::Command { line, shown } => (line.clone(), &shown[..]),
        Step::File { name, .. } => (name.clone(), &[][..]),
    });
    told.collect()
}

#[test]
fn both_tutorials_say_all_that_the_original_says_in_its_order() {
    let [english, chinese] = ["tutorial.md", "tutorial.zh.md"].map(tutorial);
    assert_eq!(story(&english), story(&chinese), "both tell the same story");
    let mut lines = english.iter().filter_map(|step| match step {
        Step::Command { line, .. } => Some(squeezed(line)),
        Step::File { .. } => None,
    });
    for command in commands() {
        let command = squeezed(&command);
        assert!(lines.any(|line| line == command), "{command}");
    }
    let files: Vec<_> = english
        .iter()
        .filter_map(|step| match step {
            Step::File { text, .. } => Some(text.as_str()),
            Step::Command { .. } => None,
        })
        .collect();
    for block in [blocks("python")[0], blocks("json")[1]] {
        assert!(files.iter().any(|file| file.contains(block)), "{block}");
    }
}

fn is_true_word_for_word(file: &str) {
    if python_verifies::run("", &Json::Null).is_none() {
        return; // the tutorial's receiver is written in it
    }
    Console::open().follow(&tutorial(file));
}

#[test]
fn the_english_tutorial_is_true_word_for_word() {
    is_true_word_for_word("tutorial.md");
}

#[test]
fn the_chinese_tutorial_is_true_word_for_word() {
    is_true_word_for_word("tutorial.zh.md");
}
