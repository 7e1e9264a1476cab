//! What may come into a build: `deny.toml`, held without cargo-deny too.

use std::collections::BTreeSet;
use std::process::Command;

fn rules() -> toml::Table {
    include_str!("../../deny.toml").parse().unwrap()
}

fn texts(list: &toml::Value) -> Vec<&str> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap())
        .collect()
}

/// Each crate that is built, tests included, for a target of `deny.toml`, with its version, its source where that is not crates.io, and its
/// licence.
fn crates() -> BTreeSet<String> {
    let rules = rules();
    let targets = texts(&rules["graph"]["targets"]);
    assert!(targets.len() > 1);
    let mut crates = BTreeSet::new();
    for target in targets {
        let tree = Command::new(env!("CARGO"))
            .args([
                "tree",
                "--locked",
                "--offline",
                "--all-features",
                "--edges",
                "normal,build,dev",
            ])
            .args([
                "--prefix",
                "none",
                "--no-dedupe",
                "--format",
                "{p}|{l}",
                "--target",
                target,
            ])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
        crates.extend(String::from_utf8(tree.stdout).unwrap().lines().map(str::to_owned));
    }
    crates.retain(|line| !line.starts_with("openclaw "));
    assert!(crates.len() > 100, "{crates:?}");
    crates
}

#[test]
fn every_dependency_has_a_licence_that_is_allowed_and_comes_from_the_registry() {
    let rules = rules();
    let allowed = texts(&rules["licenses"]["allow"]);
    let mut used: BTreeSet<&str> = BTreeSet::new();
    for line in crates() {
        let (package, licence) = line.split_once('|').unwrap();
        let source = package.replace(" (proc-macro)", "");
        assert!(!source.contains('('), "{package} does not come from crates.io");
        let expression = spdx::Expression::parse_mode(licence, spdx::ParseMode::LAX)
            .unwrap_or_else(|error| panic!("{package}: {error}"));
        let is_allowed = expression.evaluate(|licence| {
            let name = licence.license.id().map_or("", |id| id.name);
            used.insert(name);
            licence.addition.is_none() && allowed.contains(&name)
        });
        assert!(
            is_allowed,
            "{package}: {licence} is not in `licenses.allow` of deny.toml"
        );
    }
    // Else the list would allow what nobody has looked at.
    let idle: Vec<_> = allowed.iter().filter(|allowed| !used.contains(*allowed)).collect();
    assert!(
        idle.is_empty(),
        "`licenses.allow` of deny.toml has {idle:?}, which no dependency needs"
    );
}

#[test]
fn no_crate_that_is_denied_is_built() {
    let rules = rules();
    let crates = crates();
    let denied = rules["bans"]["deny"].as_array().unwrap();
    assert!(!denied.is_empty());
    for ban in denied {
        let name = format!("{} v", ban["crate"].as_str().unwrap());
        let built: Vec<_> = crates.iter().filter(|line| line.starts_with(&name)).collect();
        assert!(built.is_empty(), "{built:?}: {}", ban["reason"].as_str().unwrap());
    }
}
