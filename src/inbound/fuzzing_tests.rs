//! The inputs of `fuzz/`, and what they are made from, once through each reader.

use std::path::{Path, PathBuf};

use super::fuzzing::{TARGETS, VECTORS};
use super::vector_tests::{Case, groups};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
}

fn cases() -> Vec<Case> {
    VECTORS.iter().flat_map(|(name, _)| groups(name)).flatten().collect()
}

/// The request of a case, as the target `request` reads it.
fn request(case: &Case) -> Vec<u8> {
    let query = case.request.path.split_once('?').map(|(_, query)| query);
    let mut text = case.platform.clone();
    if let Some(query) = query {
        text = format!("{text}?{query}");
    }
    for (name, value) in &case.request.headers {
        text = format!("{text}\n{name}: {value}");
    }
    [text.as_bytes(), b"\n\n", &case.request.body()].concat()
}

/// What of the known answers a reader starts from.
fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    for (at, case) in cases().iter().enumerate() {
        let headers = || case.request.headers.iter().map(|(_, value)| value.as_str());
        let is_form = headers().any(|value| value.starts_with("application/x-www-form-urlencoded"));
        let body = case.request.body();
        let seed = match target {
            "request" => Some(request(case)),
            "signatures" => Some(headers().collect::<Vec<_>>().join("\n").into_bytes()),
            "jwt" => headers()
                .find_map(|value| value.strip_prefix("Bearer "))
                .map(|token| token.as_bytes().to_vec()),
            "form" => is_form.then_some(body),
            "xml" => body.starts_with(b"<").then_some(body),
            "json" => (!is_form && !body.starts_with(b"<")).then_some(body),
            _ => None,
        };
        found.extend(seed.map(|seed| (format!("{}-{at}", case.platform), seed)));
    }
    found
}

/// `WRITE_SEEDS=1 cargo test --lib fuzzing` writes what the known answers give into `fuzz/corpus`, for cargo-fuzz to start from.
#[test]
fn every_known_answer_passes_its_readers() {
    for (target, reader) in TARGETS {
        let seeds = seeds(target);
        assert!(seeds.len() > 1, "{target} has no seeds");
        for (name, seed) in seeds {
            reader(&seed);
            if std::env::var_os("WRITE_SEEDS").is_some() {
                let folder = folder("corpus").join(target);
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(folder.join(name), seed).unwrap();
            }
        }
    }
}

#[test]
fn every_input_that_was_kept_passes_its_reader() {
    for (target, reader) in TARGETS {
        let folder = folder("inputs").join(target);
        let inputs: Vec<_> = std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .collect();
        assert!(!inputs.is_empty(), "{target} has no inputs");
        for input in inputs {
            reader(&std::fs::read(input.unwrap().path()).unwrap());
        }
    }
}

#[test]
fn every_reader_has_a_target() {
    for (target, _) in TARGETS {
        let text = std::fs::read_to_string(folder("fuzz_targets").join(format!("{target}.rs"))).unwrap();
        assert!(text.contains(&format!("fuzzing::{target}(")), "{target}");
    }
}
