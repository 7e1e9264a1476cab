//! Random commented documents under random edits: a second parser checks the values, the lines' owners check the rest.
//!
//! `OPENCLAW_EDIT_CASES=10000` runs the full number; the default is a few hundred.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::*;
use crate::event::Name;

pub(in crate::document) mod documents; // random documents, line by line

use documents::{Document, Line, Random, Side};

fn cases() -> u64 {
    std::env::var("OPENCLAW_EDIT_CASES")
        .ok()
        .and_then(|n| n.parse().ok())
        .unwrap_or(400)
}

/// Texts that some reader takes for something else, and harmless ones.
const TEXTS: [&str; 22] = [
    "no",
    "1e3",
    "a: b",
    "x #y",
    "${A_SECRET}",
    "https://a.example/?q=1#f",
    "5s",
    "频道",
    "it's",
    "say \"hi\"",
    "",
    " blank ",
    "two\nlines",
    "01234",
    "0x1F",
    "12:30:45",
    "null",
    "*",
    "- a",
    "message.received",
    "tab\there",
    "back\\slash",
];

fn random_value(random: &mut Random) -> Value {
    match random.below(8) {
        0 => Value::Bool(random.one_in(2)),
        1 => Value::Integer(i64::try_from(random.below(100_000)).unwrap() - 500),
        2 => Value::Duration(random.below(100_000) as u64),
        3 => Value::Decimal("0.25".into()),
        4 => Value::List((0..random.below(4)).map(|_| Value::text(random.pick(&TEXTS))).collect()),
        5 => Value::Map([("env".into(), Value::text("A_SECRET"))].into()),
        _ => Value::text(random.pick(&TEXTS)),
    }
}

fn random_edit(random: &mut Random, document: &Document) -> Edit {
    let side = if random.one_in(2) {
        Side::Inbound
    } else {
        Side::Outbound
    };
    let known: Vec<&String> = document.entries(side).collect();
    let name = if known.is_empty() || random.one_in(4) {
        random.pick(&["new", "on", "0x1", "a.b-c"]).to_owned()
    } else {
        known[random.below(known.len())].clone()
    };
    let exists = known.iter().any(|known| **known == name);
    let name = Name::parse(&name).unwrap();
    let address = match side {
        Side::Inbound => Address::Inbound(name.clone()),
        Side::Outbound => Address::Outbound(name.clone()),
    };
    if exists && random.one_in(4) {
        return Edit {
            address,
            change: Change::Delete,
        };
    }
    let mut fields: BTreeMap<String, Option<Value>> = BTreeMap::new();
    for _ in 0..random.below(4) {
        let there = document.fields(side, name.as_str());
        let field = if there.is_empty() || random.one_in(2) {
            random.pick(&documents::FIELDS).to_owned()
        } else {
            there[random.below(there.len())].clone()
        };
        let value = (!random.one_in(4)).then(|| random_value(random));
        fields.insert(field, value);
    }
    Edit {
        address,
        change: Change::Fields(fields.into_iter().map(|(field, value)| (vec![field], value)).collect()),
    }
}

/// What the document must mean after an edit.
fn expected(mut model: Json, edit: &Edit) -> Json {
    let keys = patch::keys(&edit.address);
    let fresh = || Json::Object(Map::new());
    let Change::Fields(fields) = &edit.change else {
        model["webhooks"][&keys[1]].as_object_mut().unwrap().remove(&keys[2]);
        return model;
    };
    let exists = model["webhooks"]
        .get(&keys[1])
        .is_some_and(|side| side.get(&keys[2]).is_some());
    if !exists && !fields.is_empty() && fields.iter().all(|(_, value)| value.is_none()) {
        return model; // nothing to take away
    }
    let mut at = &mut model;
    for key in &keys {
        if at.get(key).is_none_or(Json::is_null) {
            at.as_object_mut().unwrap().insert(key.clone(), fresh());
        }
        at = at.get_mut(key).unwrap();
    }
    let entry = at.as_object_mut().unwrap();
    for (path, value) in fields {
        match value {
            Some(value) => entry.insert(path[0].clone(), value.to_json()),
            None => entry.remove(&path[0]),
        };
    }
    model
}

/// Values through the second parser.
fn read(format: Format, strict: bool, text: &str) -> Json {
    if format == Format::Yaml {
        let mut value: serde_yaml::Value = serde_yaml::from_str(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
        value.apply_merge().unwrap();
        return serde_json::to_value(value).unwrap();
    }
    if strict {
        return serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    }
    let tree = text::read(text, format);
    assert!(tree.faults.is_empty(), "{:?}\n{text}", tree.faults);
    tree.root.unwrap().to_json()
}

/// Numbers by their text, members by name: what two parsers agree on.
fn normal(json: &Json) -> Json {
    match json {
        Json::Number(n) => json!(format!("number {n}")),
        Json::Array(items) => items.iter().map(normal).collect(),
        Json::Object(members) => {
            let sorted: BTreeMap<_, _> = members.iter().map(|(k, v)| (k.clone(), normal(v))).collect();
            Json::Object(sorted.into_iter().collect())
        }
        other => other.clone(),
    }
}

/// Lines that an edit must leave: all but its own.
fn must_stay<'d>(document: &'d Document, edit: &Edit) -> Vec<&'d Line> {
    let keys = patch::keys(&edit.address);
    let touched = |line: &Line| {
        line.shared
            || (line.owner.starts_with(&keys[1..])
                && match &edit.change {
                    Change::Delete => true,
                    Change::Fields(fields) => fields.iter().any(|(path, _)| line.owner.get(2) == Some(&path[0])),
                })
    };
    (document.lines.iter())
        .filter(|line| !line.text.trim().is_empty() && !touched(line))
        .collect()
}

fn run(format: Format) {
    let (mut refused, mut second_places, mut unchanged, mut unread) = (Vec::new(), 0, 0, Vec::new());
    let cases = cases();
    for seed in 0..cases {
        let mut random = Random::new(seed.wrapping_mul(7_919) ^ 0x5eed);
        let document = documents::random(&mut random, format);
        let text = document.text();
        let edit = random_edit(&mut random, &document);
        let old = read(format, document.strict, &text);
        let source = Source {
            path: "d",
            format,
            text: text.as_bytes(),
        };
        let shown = || format!("seed {seed}: {edit:?}\n{text}");
        match apply(&source, &edit) {
            Ok(edited) => {
                unchanged += u64::from(!edited.changed);
                let new = read(format, document.strict, &edited.text);
                let expected = normal(&expected(old, &edit));
                assert_eq!(normal(&new), expected, "{}\nbecame\n{}", shown(), edited.text);
                if text.contains("\r\n") {
                    assert!(
                        !edited.text.replace("\r\n", "").contains('\n'),
                        "{}\nmixes line ends\n{}",
                        shown(),
                        edited.text
                    );
                }
                // In flow style a neighbour's comma comes and goes.
                let bare = |line: &str| line.replace(',', "");
                let mut rest = edited.text.lines().map(bare);
                for line in must_stay(&document, &edit) {
                    let wanted = bare(&line.text);
                    assert!(
                        rest.any(|found| found == wanted),
                        "{}\nlost `{}`\n{}",
                        shown(),
                        line.text,
                        edited.text
                    );
                }
            }
            Err(EditError::SecondPlace { .. }) if document.anchors => second_places += 1,
            // What the second parser reads, ours reads too.
            Err(EditError::Broken { .. }) => unread.push(shown()),
            Err(error) => refused.push(format!("{}\n{error}", shown())),
        }
    }
    eprintln!(
        "{cases} cases, {second_places} second places, {unchanged} unchanged, {} refused",
        refused.len()
    );
    assert!(unread.is_empty(), "{} unread, such as\n{}", unread.len(), unread[0]);
    assert!(
        refused.len() as u64 <= cases.div_ceil(1000),
        "{} of {cases} refused, such as\n{}",
        refused.len(),
        refused.iter().take(5).cloned().collect::<Vec<_>>().join("\n----\n")
    );
    assert!(
        second_places * 5 < cases && unchanged * 2 < cases,
        "the cases test little"
    );
}

#[test]
fn yaml_means_what_was_asked_for_and_nothing_else_moves() {
    run(Format::Yaml);
}

#[test]
fn json_means_what_was_asked_for_and_nothing_else_moves() {
    run(Format::Json5);
}
