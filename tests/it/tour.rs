//! README's five minutes are true word for word.

use std::path::Path;

use crate::harness::console::{Console, steps};

#[test]
fn the_readmes_tour_is_true_word_for_word() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let document = std::fs::read_to_string(root.join("openclaw.yaml")).unwrap();
    let steps = steps(&readme);
    assert!(
        steps.len() > 30,
        "only {} commands were found in the README",
        steps.len()
    );
    let mut console = Console::open();
    console.save("openclaw.yaml", &document);
    console.follow(&steps);
}
