//! The documents of fuzz/inputs, and every document that this repository has, once through what fuzzing asserts of them.

use std::path::Path;

use openclaw::document::Format;

#[path = "../../fuzz/document.rs"]
mod document;

fn files(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect()
}

#[test]
fn every_document_that_was_kept_is_read_or_refused() {
    for (folder, format) in [
        ("fuzz/inputs/document_yaml", Format::Yaml),
        ("fuzz/inputs/document_json5", Format::Json5),
        ("examples", Format::Yaml),
    ] {
        let inputs = files(folder);
        assert!(inputs.len() >= 4, "{folder}");
        for input in inputs {
            document::read(&input, format);
        }
    }
}

#[test]
fn every_broken_document_of_the_tests_is_read_or_refused_in_either_language() {
    for case in include_str!("bad_documents/cases.txt").split("=== ").skip(1) {
        let (_, text) = case.split_once('\n').unwrap_or((case, ""));
        document::read(text.as_bytes(), Format::Yaml);
        document::read(text.as_bytes(), Format::Json5);
    }
}
