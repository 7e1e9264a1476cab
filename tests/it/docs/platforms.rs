//! docs/platforms: a page for each platform, whose document, commands and warnings are true.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Output;

use openclaw::document::{Value, platforms};
use serde_json::Value as Json;

use super::{blocks, read};
use crate::harness::openclaw;

const HEADINGS: [&str; 5] = [
    "\n## In openclaw.yaml\n",
    "\n## Check it\n",
    "\n## When it says 401\n",
    "\n## What comes out\n",
    "\n## What it does not prove\n",
];

fn page(platform: &str) -> String {
    read(&format!("docs/platforms/{platform}.md"))
}

/// One line, with one blank between words: where a line breaks means nothing.
fn unwrapped(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn run(directory: &Path, arguments: &[&str]) -> Output {
    openclaw().args(arguments).current_dir(directory).output().unwrap()
}

#[test]
fn every_platform_has_a_page_that_the_index_links_to() {
    let index = read("docs/platforms.md");
    let mut faults = Vec::new();
    for platform in platforms::all() {
        let name = platform.name;
        if !index.contains(&format!("[`{name}`](platforms/{name}.md)")) {
            faults.push(format!("docs/platforms.md does not link to {name}"));
        }
        let page = page(name);
        let tests = format!("    openclaw webhooks test {name} --inbound\n");
        faults.extend(
            HEADINGS
                .into_iter()
                .chain([tests.as_str()])
                .filter(|part| !page.contains(part))
                .map(|part| format!("docs/platforms/{name}.md lacks `{}`", part.trim())),
        );
        let fields = platform.keys.fields().iter();
        faults.extend(
            fields
                .filter(|field| !page.contains(**field))
                .map(|field| format!("docs/platforms/{name}.md does not name `{field}`")),
        );
    }
    assert_eq!(faults, Vec::<String>::new());
}

#[test]
fn every_document_of_a_page_is_valid_and_is_about_its_platform() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("openclaw.yaml");
    for platform in platforms::all() {
        let page = page(platform.name);
        let documents = blocks(&page, "yaml");
        assert!(!documents.is_empty(), "{}: no document", platform.name);
        for document in documents {
            std::fs::write(&file, document).unwrap();
            let out = run(directory.path(), &["validate", "--json"]);
            let said: Json = serde_json::from_slice(&out.stdout).unwrap();
            assert!(out.status.success(), "{}: {said:#}", platform.name);
            // Of warnings only that its scheme is weak.
            let warnings = said["diagnostics"].as_array().unwrap().iter();
            for found in warnings.filter(|found| found["severity"] == "warning") {
                assert_eq!(found["code"], "OC151", "{}: {said:#}", platform.name);
            }
            let loaded = openclaw::document::load(&openclaw::document::Source {
                path: "openclaw.yaml",
                format: openclaw::document::Format::Yaml,
                text: document.as_bytes(),
            });
            let mut routes = loaded
                .desired
                .unwrap()
                .resources
                .into_values()
                .filter_map(|route| route.effective("platform"));
            assert!(routes.all(|found| found.as_text() == Some(platform.name)), "{document}");
        }
    }
}

#[test]
fn every_set_inbound_of_a_page_works() {
    for platform in platforms::all() {
        let page = page(platform.name);
        let lines: Vec<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix("    openclaw webhooks set-inbound "))
            .collect();
        assert_eq!(lines.len(), 1, "{}", platform.name);
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(
            directory.path().join("openclaw.yaml"),
            "webhooks:\n  admin: { listen: unix:./none.sock }\n  server: { publicUrl: https://gateway.example.com }\n",
        )
        .unwrap();
        let mut arguments = vec!["webhooks", "set-inbound"];
        arguments.extend(lines[0].split_whitespace());
        let out = run(directory.path(), &arguments);
        let errors = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{}: {errors}", platform.name);
        let validated = run(directory.path(), &["validate"]);
        assert!(validated.status.success(), "{}", platform.name);
    }
}

#[test]
fn a_page_says_what_an_attacker_can_do_in_the_words_of_the_warning() {
    for platform in platforms::all() {
        let page = unwrapped(&page(platform.name));
        let told = page.split("## What it does not prove").nth(1).unwrap();
        match platform.weak {
            Some(weakness) => {
                assert!(told.contains(weakness.attack), "{}: {}", platform.name, weakness.attack);
                assert!(told.contains(weakness.code.as_str()), "{}", platform.name);
            }
            // Feishu's depends on its fields.
            None => assert!(
                !told.contains("OC151") || platform.name == "feishu",
                "{}",
                platform.name
            ),
        }
    }
    let token = Value::text("x");
    let without_key = |field: &str| (field == "verifyToken").then_some(&token);
    let feishu = platforms::find("feishu").unwrap().weakness(without_key).unwrap();
    assert!(unwrapped(&page("feishu")).contains(feishu.attack));
}

#[test]
fn a_page_names_every_event_that_the_known_answers_have() {
    for platform in platforms::all() {
        let page = page(platform.name);
        let told = page.split("## What comes out").nth(1).unwrap();
        let vectors: Json = serde_json::from_str(&read(&format!("tests/vectors/{}.json", platform.name))).unwrap();
        let events: BTreeSet<&str> = vectors
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|case| case["expect"]["events"].as_array())
            .flatten()
            .filter_map(|event| event["event"].as_str())
            .collect();
        // A gateway's events are those of its sources: any.
        for event in events.into_iter().filter(|_| platform.name != "openclaw") {
            assert!(
                told.contains(&format!("`{event}`")),
                "{} does not name {event}",
                platform.name
            );
        }
    }
}
