//! Random documents, random changes: the short way leads to the same as the full one wherever it leads anywhere.
//!
//! `OPENCLAW_AGAIN_CASES=100000` runs more; the default is a few thousand.

use super::*;
use crate::document::{Format, load};

pub(in crate::document) mod documents; // random documents that are right, and what may become of them

use crate::document::edit::properties::documents::Random;
use documents::Draft;

fn cases() -> u64 {
    let told = std::env::var("OPENCLAW_AGAIN_CASES").ok();
    told.and_then(|n| n.parse().ok()).unwrap_or(3000)
}

fn source(text: &str, format: Format) -> Source<'_> {
    Source {
        path: "d",
        format,
        text: text.as_bytes(),
    }
}

/// Everything that a reading says, places and all.
fn told(loaded: &Loaded) -> impl PartialEq + std::fmt::Debug + '_ {
    let desired = loaded.desired.as_ref().expect("the short way makes one");
    let reading = desired.reading.as_ref().expect("the short way leaves one");
    let resources: Vec<_> = desired.resources.iter().map(|(a, r)| (a, r, r.extent())).collect();
    (
        resources,
        &desired.providers,
        &loaded.diagnostics,
        (reading.format, reading.length, &reading.outline, &reading.diagnostics),
    )
}

fn run(format: Format) {
    let (mut answered, mut changed, mut broken) = (0, 0, 0);
    for seed in 0..cases() {
        let mut random = Random::new(seed.wrapping_mul(104_729) ^ 0xa6a1);
        let mut draft = Draft::random(&mut random, format);
        let mut text = draft.text();
        let loaded = load(&source(&text, format));
        let Some(mut desired) = loaded.desired else {
            broken += 1; // two routes with one path, and the like
            continue;
        };
        // What the short way leads to is where the next one begins.
        for _ in 0..4 {
            let new = if random.one_in(2) {
                draft.change(&mut random);
                draft.text()
            } else {
                documents::damaged(&text, &mut random)
            };
            changed += u64::from(new != text);
            let Some(short) = short(text.as_bytes(), &desired, &source(&new, format), 1) else {
                continue;
            };
            let full = load(&source(&new, format));
            let shown = || format!("seed {seed}\n{text}\n==== became\n{new}\n====");
            assert!(full.desired.is_some(), "{}\n{:#?}", shown(), full.diagnostics);
            assert_eq!(told(&short), told(&full), "{}", shown());
            answered += u64::from(new != text);
            (text, desired) = (new, short.desired.expect("just asked for"));
        }
    }
    eprintln!("{changed} changes, {answered} the short way; {broken} broken");
    assert!(broken * 10 < cases(), "{broken} documents cannot be changed");
    assert!(
        answered * 5 > changed,
        "{answered} of {changed} the short way: the cases test little"
    );
}

#[test]
fn yaml_means_the_same_either_way() {
    run(Format::Yaml);
}

#[test]
fn json_means_the_same_either_way() {
    run(Format::Json5);
}

fn senders(format: Format, count: usize) -> String {
    let entry = |i| match format {
        Format::Yaml => format!("    s-{i}: # sender\n      url: https://a.example/{i}\n      retries: 3\n"),
        Format::Json5 => format!("    \"s-{i}\": {{ \"url\": \"https://a.example/{i}\", \"retries\": 3 }}"),
    };
    let entries: Vec<String> = (0..count).map(entry).collect();
    match format {
        Format::Yaml => format!("webhooks:\n  outbound:\n{}  egress: {{}}\n", entries.concat()),
        Format::Json5 => format!(
            "{{ \"webhooks\": {{\n  \"outbound\": {{\n{}\n  }}, \"egress\": {{}}\n}} }}\n",
            entries.join(",\n")
        ),
    }
}

#[test]
fn a_plain_change_of_a_large_document_goes_the_short_way() {
    for format in [Format::Yaml, Format::Json5] {
        let old = senders(format, 200);
        let desired = load(&source(&old, format)).desired.unwrap();
        let all: Vec<&str> = old.split_inclusive('\n').collect();
        let (lines, first) = if format == Format::Yaml { (3, 2) } else { (1, 2) };
        let at = |i: usize| first + i * lines;
        let field = old
            .replacen("a.example/100\"", "b.example\"", 1)
            .replacen("a.example/100\n", "b.example\n", 1);
        let entry = all[at(0)..at(1)].concat().replace("s-0", "new");
        let added = [&all[..at(100)], &[&*entry], &all[at(100)..]].concat().concat();
        let without = [&all[..at(100)], &all[at(101)..]].concat().concat();
        let last = [&all[..at(200)], &[&*entry], &all[at(200)..]].concat().concat();
        let last = last
            .replace("3 }\n    \"new\"", "3 },\n    \"new\"")
            .replace("3 },\n  }", "3 }\n  }");
        for (what, new) in [("field", field), ("added", added), ("without", without), ("last", last)] {
            let short = short(old.as_bytes(), &desired, &source(&new, format), cut::FEWEST);
            let short = short.unwrap_or_else(|| panic!("{what} goes the full way\n{new}"));
            let full = load(&source(&new, format));
            assert_eq!(told(&short), told(&full), "{what}");
            assert_ne!(short.desired.unwrap(), desired, "{what}");
        }
    }
}

#[test]
fn what_was_read_is_not_taken_for_another_text() {
    let old = senders(Format::Yaml, 200);
    let desired = load(&source(&old, Format::Yaml)).desired.unwrap();
    let new = source(&old, Format::Yaml);
    assert!(short(&old.as_bytes()[1..], &desired, &new, 1).is_none());
    assert!(short(old.as_bytes(), &desired, &source(&old, Format::Json5), 1).is_none());
    assert!(short(old.as_bytes(), &Desired::default(), &new, 1).is_none());
    assert!(short(old.as_bytes(), &desired, &new, 1).is_some());
}

#[test]
fn an_anchor_anywhere_is_read_with_everything() {
    let plain = senders(Format::Yaml, 100);
    for (what, text) in [
        ("retries: &n 3", plain.replacen("retries: 3", "retries: &n 3", 1)),
        ("!!str", plain.replacen("retries: 3", "description: !!str a", 1)),
        ("<<", plain.replacen("retries: 3", "<<: { retries: 3 }", 1)),
    ] {
        let desired = load(&source(&text, Format::Yaml))
            .desired
            .unwrap_or_else(|| panic!("{what}"));
        let new = text.replacen("a.example/50", "b.example", 1);
        assert!(
            short(text.as_bytes(), &desired, &source(&new, Format::Yaml), 1).is_none(),
            "{what}"
        );
        let desired = load(&source(&plain, Format::Yaml)).desired.unwrap();
        assert!(
            short(plain.as_bytes(), &desired, &source(&text, Format::Yaml), 1).is_none(),
            "{what}"
        );
    }
}
