#![allow(clippy::format_collect, clippy::items_after_statements)] // tests read better so

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::super::Format;
use super::node::Data;
use super::read;

fn yaml(text: &str) -> Json {
    let tree = read(text, Format::Yaml);
    assert!(tree.faults.is_empty(), "{text}: {:?}", tree.faults);
    tree.root.unwrap().to_json()
}

fn json5(text: &str) -> Json {
    let tree = read(text, Format::Json5);
    assert!(tree.faults.is_empty(), "{text}: {:?}", tree.faults);
    tree.root.unwrap().to_json()
}

fn fault(text: &str) -> String {
    let tree = read(text, Format::Yaml);
    assert!(!tree.faults.is_empty(), "{text:?} is taken");
    format!(
        "{} {}",
        tree.faults[0].fault.code.as_str(),
        tree.faults[0].fault.message
    )
}

#[test]
fn scalars_are_those_of_yaml_1_2() {
    for (text, value) in [
        (
            "[no, on, yes, off, y, n, No]",
            json!(["no", "on", "yes", "off", "y", "n", "No"]),
        ),
        ("[true, True, FALSE]", json!([true, true, false])),
        (
            "[01234, 0, -7, +5, 0x1F, 0o17, 1_000]",
            json!(["01234", 0, -7, 5, 31, 15, "1_000"]),
        ),
        ("[~, null, NULL, '', \"null\"]", json!([null, null, null, "", "null"])),
        (
            "[1.5, 5s, 10.0.0.1, 12:30:45, 2026-01-01]",
            json!([1.5, "5s", "10.0.0.1", "12:30:45", "2026-01-01"]),
        ),
        ("[!!str 123, !!int '7', !!str true]", json!(["123", 7, "true"])),
        ("a: |\n  x\n  y\nb: >-\n  x\n  y\n", json!({"a": "x\ny\n", "b": "x y"})),
        ("\"\\u00fc\\n\\x41\"", json!("ü\nA")),
        ("a:\n- 1\n- 2\n", json!({"a": [1, 2]})),
        ("? a\n: b\n", json!({"a": "b"})),
        ("9223372036854775807", json!(i64::MAX)),
    ] {
        assert_eq!(yaml(text), value, "{text}");
    }
    assert!(
        matches!(read("[.5, 1e3, .inf]", Format::Yaml).root.unwrap().data, Data::List(items) if items.iter().all(|i| matches!(i.data, Data::Number(_))))
    );
}

#[test]
fn a_closing_bracket_may_stand_where_the_key_does() {
    let text = "\
w:
  a:
    events: [
      \"message.received\", # one
      'x ] y'
    ]
    tls: {
      \"cert\": \"./频\"
    } # over
    note: |
      [
      ]
    folded: >-
      }
      b
  b: [ { \"c\": [
    \"d\"
  ] } ]
";
    let value = json!({"w": {
        "a": {
            "events": ["message.received", "x ] y"], "tls": {"cert": "./频"}, "note": "[\n]\n", "folded": "} b",
        },
        "b": [{"c": ["d"]}],
    }});
    for text in [text.to_owned(), text.replace('\n', "\r\n")] {
        assert_eq!(yaml(&text), value, "{text}");
        let tree = read(&text, Format::Yaml).root.unwrap();
        let a = tree.get("w").and_then(|w| w.get("a")).unwrap();
        let written =
            |key: &str| &text[a.get(key).unwrap().span().start as usize..a.get(key).unwrap().span().end as usize];
        assert!(
            written("events").starts_with('[') && written("events").ends_with(']'),
            "{}",
            written("events")
        );
        assert!(written("tls").ends_with('}'), "{}", written("tls"));
    }
    // What is wrong besides is shown where it stands.
    let tree = read("a: [\n  \"x\"\n]\nb: *nowhere\n", Format::Yaml);
    assert!(
        tree.faults[0].fault.message.contains("unknown anchor"),
        "{:?}",
        tree.faults
    );
    assert!((13..24).contains(&tree.faults[0].span.start), "{:?}", tree.faults);
}

#[test]
fn aliases_and_merge_keys_are_applied() {
    assert_eq!(yaml("a: &x {b: 1}\nc: *x\n"), json!({"a": {"b": 1}, "c": {"b": 1}}));
    assert_eq!(
        yaml("base: &b { x: 1, y: 2 }\nown: { <<: *b, y: 3, z: 4 }\n")["own"],
        json!({"y": 3, "z": 4, "x": 1})
    );
    assert_eq!(
        yaml("a: &a { x: 1 }\nb: &b { x: 2, y: 2 }\nc: { <<: [*a, *b], z: 3 }\nd: { <<: {w: 1} }\n"),
        json!({"a": {"x": 1}, "b": {"x": 2, "y": 2}, "c": {"z": 3, "x": 1, "y": 2}, "d": {"w": 1}})
    );
    // Merged maps that merge, anchors on scalars and keys, an anchor that is named anew.
    assert_eq!(
        yaml("a: &a { x: 1 }\nb: &b { <<: *a, y: 2 }\nc: { <<: *b }\n")["c"],
        json!({"y": 2, "x": 1})
    );
    assert_eq!(
        yaml("- &n text\n- *n\n- { *n : 1 }\n- { &k key: *n }\n"),
        json!(["text", "text", {"text": 1}, {"key": "text"}])
    );
    assert_eq!(yaml("- &a 1\n- *a\n- &a 2\n- *a\n"), json!([1, 1, 2, 2]));
    // Quoted, it is an ordinary key.
    assert_eq!(yaml("{\"<<\": 1}"), json!({"<<": 1}));
}

#[test]
fn faults_of_the_text_are_faults() {
    for (text, code) in [
        ("a: 1\nb: 2\na: 3\n", "OC103"),
        ("{a: 1, \"a\": 2}", "OC103"),
        ("a: &a [*a]\n", "OC104"),
        ("a: *b\n", "OC101"),
        ("[a, b]: c\n", "OC101"),
        ("a: {<<: 1}", "OC110"),
        ("a: {<<: [1]}", "OC110"),
        ("--- 1\n--- 2\n", "OC106"),
        ("", "OC106"),
        ("%YAML 1.2\n---\n", "OC106"),
        ("a: 'x\n", "OC101"),
        ("a:\n\tb: 1", "OC101"),
    ] {
        assert!(fault(text).starts_with(code), "{text:?}: {}", fault(text));
    }
    let twice: String = (0..40).map(|i| format!("k{i}: 1\n")).collect::<String>() + "k7: 2\nk7: 3\n";
    assert_eq!(
        read(&twice, Format::Yaml).faults.len(),
        2,
        "every repeat is reported, in a large map too"
    );
}

#[test]
fn every_node_knows_where_it_stands() {
    for newline in ["\n", "\r\n", "\r"] {
        let text = "# Größe ✓\nwebhooks:\n  a: { url: \"ü\", list: [1, 'x' ] }  # ✓\n  b:\n    - y\n    - |\n      z\n  c: &c plain text # ✓\n  d: 'it''s' # ✓\n  e: &e \"\\\"\" # ✓\n  f: !!map &f { x: y }\n"
            .replace('\n', newline);
        let tree = read(&text, Format::Yaml);
        let root = tree.root.unwrap();
        let webhooks = root.get("webhooks").unwrap();
        let written = |node: &super::Node<'_>| text[node.at as usize..node.end as usize].to_owned();
        let a = webhooks.get("a").unwrap();
        assert_eq!(written(a), "{ url: \"ü\", list: [1, 'x' ] }");
        assert_eq!(written(a.get("url").unwrap()), "\"ü\"");
        assert_eq!(written(a.get("list").unwrap()), "[1, 'x' ]");
        assert_eq!(written(webhooks.get("c").unwrap()), "plain text");
        assert_eq!(written(webhooks.get("d").unwrap()), "'it''s'");
        assert_eq!(written(webhooks.get("e").unwrap()), "\"\\\"\"");
        assert_eq!(written(webhooks.get("f").unwrap()), "{ x: y }");
        let b = webhooks.get("b").unwrap();
        assert!(
            written(b).starts_with("- y") && written(b).ends_with('z'),
            "{:?}",
            written(b)
        );
        for entry in webhooks.members().unwrap() {
            assert_eq!(&text[entry.at as usize..entry.end as usize], &*entry.key);
        }
    }
    let text = "{\n  // ü\n  webhooks: { 'a': [1, \"ü\",], },\n}";
    let tree = read(text, Format::Json5);
    let root = tree.root.unwrap();
    let a = root.get("webhooks").unwrap().get("a").unwrap();
    assert_eq!(&text[a.at as usize..a.end as usize], "[1, \"ü\",]");
}

#[test]
fn what_is_not_escaped_is_not_copied() {
    let tree = read(
        "a: plain\nb: 'single'\nc: \"double\"\nd: { e: \"in flow\" , f: g }\n",
        Format::Yaml,
    );
    fn borrowed(node: &super::Node<'_>) -> bool {
        match &node.data {
            Data::Text(text) => matches!(text, super::node::Str::Borrowed(_)),
            Data::Map(entries) => entries
                .iter()
                .all(|e| matches!(e.key, super::node::Str::Borrowed(_)) && borrowed(&e.value)),
            _ => false,
        }
    }
    assert!(borrowed(&tree.root.unwrap()));
}

#[test]
fn json_and_json5_make_the_same_tree() {
    assert_eq!(
        json5("{\"a\": [1, -2, 1.5, true, null, \"\\u00fc\"], \"b\": {}}"),
        json!({"a": [1, -2, 1.5, true, null, "ü"], "b": {}})
    );
    assert_eq!(
        json5("// c\n{a: 'x', /* c */ b: [0x1F, +5, .5,], 'c-d': \"\\\n\",}"),
        serde_json::from_str::<Json>("{\"a\": \"x\", \"b\": [31, 5, \".5\"], \"c-d\": \"\"}").unwrap()
    );
    for bad in ["{a: 1 b: 2}", "{a}", "[1", "{} {}", "{'a': 1, a: 2}", ""] {
        assert!(!read(bad, Format::Json5).faults.is_empty(), "{bad}");
    }
}

#[test]
fn a_default_block_that_all_webhooks_merge_is_within_the_bounds() {
    let block = "x: &base { url: https://a.example, events: [message.received], retries: 3, timeout: 5s, labels: {a: b} }\nwebhooks:\n  outbound:\n";
    let text: String = std::iter::once(block.to_owned())
        .chain((0..100_000).map(|i| format!("    s{i}: {{ <<: *base }}\n")))
        .collect();
    let tree = read(&text, Format::Yaml);
    assert!(tree.faults.is_empty(), "{:?}", tree.faults);
}

/// The second parser's value as JSON, and back. (Not by serde: with arbitrary precision a number is a map of its own.)
fn to_json(value: serde_yaml::Value) -> Json {
    use serde_yaml::Value as Yaml;
    match value {
        Yaml::Null => Json::Null,
        Yaml::Bool(b) => Json::from(b),
        Yaml::Number(n) => n.as_i64().map_or_else(|| Json::from(n.as_f64()), Json::from),
        Yaml::String(text) => Json::from(text),
        Yaml::Sequence(items) => items.into_iter().map(to_json).collect(),
        Yaml::Mapping(map) => {
            let key = |key: Yaml| key.as_str().map(str::to_owned).unwrap();
            Json::Object(map.into_iter().map(|(k, v)| (key(k), to_json(v))).collect())
        }
        Yaml::Tagged(_) => panic!("no tags are generated"),
    }
}

fn to_yaml(value: &Json) -> serde_yaml::Value {
    use serde_yaml::Value as Yaml;
    match value {
        Json::Null => Yaml::Null,
        Json::Bool(b) => Yaml::from(*b),
        Json::Number(n) => Yaml::from(n.as_i64().unwrap()),
        Json::String(text) => Yaml::from(text.as_str()),
        Json::Array(items) => Yaml::Sequence(items.iter().map(to_yaml).collect()),
        Json::Object(map) => Yaml::Mapping(map.iter().map(|(k, v)| (Yaml::from(k.as_str()), to_yaml(v))).collect()),
    }
}

/// Scalars on which YAML's readers agree.
fn scalar() -> impl Strategy<Value = Json> {
    prop_oneof![
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        Just(Json::Null),
        "[a-zA-Z0-9_./:#'\"\\\\ äß✓,\\[\\]{}&*!|>%@`~?-]{0,12}".prop_map(Json::from),
        prop_oneof![
            Just("no"),
            Just("on"),
            Just("true"),
            Just("null"),
            Just("~"),
            Just("0x1F"),
            Just("-"),
            Just("<<x")
        ]
        .prop_map(Json::from),
    ]
}

fn tree() -> impl Strategy<Value = Json> {
    scalar().prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
            proptest::collection::btree_map("[a-zA-Z0-9_.-]{1,8}|ü[a-z]|a b|a: b", inner, 0..5)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

/// The same document in a style that a person would choose, which neither library would print.
fn flow(value: &Json) -> String {
    match value {
        Json::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Json::Object(map) => {
            let members: Vec<_> = map
                .iter()
                .map(|(k, v)| format!("{}: {}", Json::from(k.as_str()), flow(v)))
                .collect();
            format!("{{ {} }}", members.join(" , "))
        }
        Json::String(text) if !text.contains(['\\', '"']) && text.contains('\'') => format!("\"{text}\""),
        Json::String(text) => format!("'{}'", text.replace('\'', "''")),
        other => other.to_string(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// What the second parser prints, we read as it was; and both read the same.
    #[test]
    fn the_reader_agrees_with_the_second_parser(value in tree()) {
        prop_assume!(!value.is_null());
        let text = serde_yaml::to_string(&to_yaml(&value)).unwrap();
        let theirs = to_json(serde_yaml::from_str(&text).unwrap());
        let ours = yaml(&text);
        prop_assert_eq!(&ours, &theirs, "{}", text);
        let text = flow(&value);
        let theirs = to_json(serde_yaml::from_str(&text).unwrap());
        prop_assert_eq!(&yaml(&text), &theirs, "{}", text);
        prop_assert_eq!(&json5(&value.to_string()), &value);
    }

    /// No text makes the reader panic, and every fault lies inside of the text.
    #[test]
    fn no_text_is_a_crash(text in "[a-c:\\-\\[\\]{}&*!|>'\"#%@,?<~ \t\r\nä0-9]{0,80}") {
        for format in [Format::Yaml, Format::Json5] {
            let tree = read(&text, format);
            for located in &tree.faults {
                prop_assert!(located.span.end as usize <= text.len() && located.span.start <= located.span.end);
            }
            let loaded = crate::document::load(&crate::document::Source { path: "x", format, text: text.as_bytes() });
            let errors = loaded.diagnostics.iter().any(crate::document::Diagnostic::is_error);
            prop_assert_eq!(loaded.desired.is_none(), errors);
        }
    }
}
