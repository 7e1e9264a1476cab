//! The pages that name a test for each promise name tests that there are.

use std::fs;
use std::path::Path;

fn rust_files(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, text);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}

/// The last cell of each row of a page's tables, and the names in it.
fn rows(page: &str) -> Vec<(&str, Vec<&str>)> {
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| ") && !line.ends_with("| tests |"));
    rows.map(|line| {
        let cell = line.trim_end_matches('|').rsplit('|').next().unwrap();
        (line, cell.split('`').skip(1).step_by(2).collect())
    })
    .collect()
}

#[test]
fn every_promise_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut code = String::new();
    for folder in ["src", "tests"] {
        rust_files(&root.join(folder), &mut code);
    }
    let mut faults = Vec::new();
    for page in ["docs/guarantees.md", "docs/security.md"] {
        let text = fs::read_to_string(root.join(page)).unwrap();
        let rows = rows(&text);
        assert!(rows.len() > 10, "{page} has {} rows", rows.len());
        for (row, names) in rows {
            if names.is_empty() {
                faults.push(format!("{page}: no test is named: {row}"));
            }
            let missing = names.into_iter().filter(|name| !code.contains(&format!("fn {name}(")));
            faults.extend(missing.map(|name| format!("{page}: there is no test `{name}`")));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
