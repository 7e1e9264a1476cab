//! Edits by example: what a person sees in `git diff`.

use super::*;

fn value(text: &str) -> Value {
    fn of(node: &Node<'_>) -> Value {
        use crate::document::text::Data;
        match &node.target().data {
            Data::Bool(b) => Value::Bool(*b),
            Data::Integer(n) => Value::Integer(*n),
            Data::Number(text) => Value::Decimal((**text).into()),
            Data::Text(text) => Value::text(text),
            Data::List(items) => Value::List(items.iter().map(of).collect()),
            _ => {
                let members = node.members().unwrap_or_default();
                Value::Map(members.into_iter().map(|e| ((*e.key).into(), of(&e.value))).collect())
            }
        }
    }
    of(&text::read(text, Format::Yaml).root.unwrap())
}

/// `outbound.a: retries=3 -timeout tls.ca=./x` or `outbound.a: delete`
fn edit(text: &str) -> Edit {
    let (address, change) = text.split_once(':').unwrap();
    let address = Address::parse(&format!("webhooks.{address}")).unwrap();
    let change = change.trim();
    if change == "delete" {
        return Edit {
            address,
            change: Change::Delete,
        };
    }
    let fields = change
        .split(';')
        .map(str::trim)
        .filter(|field| !field.is_empty())
        .map(|field| {
            let path = |path: &str| path.split('.').map(str::to_owned).collect();
            match field.split_once('=') {
                Some((name, text)) => (path(name), Some(value(text))),
                None => (path(field.trim_start_matches('-')), None),
            }
        });
    Edit {
        address,
        change: Change::Fields(fields.collect()),
    }
}

fn apply_as(format: Format, document: &str, change: &str) -> Result<String, EditError> {
    let source = Source {
        path: "openclaw.yaml",
        format,
        text: document.as_bytes(),
    };
    apply(&source, &edit(change)).map(|edited| edited.text)
}

/// Each case: the edit, the document, what becomes of it; again with CRLF.
#[track_caller]
fn check(format: Format, cases: &[(&str, &str, &str)]) {
    for (change, before, after) in cases {
        match apply_as(format, before, change) {
            Ok(edited) => assert_eq!(edited, *after, "{change}\nmade:\n{edited}\nexpected:\n{after}"),
            Err(error) => panic!("{change}: {error}\n{before}"),
        }
        if !before.contains('\n') {
            continue; // no line end to take after
        }
        let crlf = apply_as(format, &before.replace('\n', "\r\n"), change).unwrap();
        assert_eq!(crlf, after.replace('\n', "\r\n"), "{change} with CRLF");
    }
}

const BLOCK: &str = "\
# top
webhooks:
  outbound:
    # about a
    # in two lines
    a:
      url: https://a.example   # where
      # how often
      retries: 3
      events: [message.received, 'message.sent'] # which

    # a note that stands alone

    # about b
    b:
      url: \"https://b.example\"
      events:
        - message.received # one
        # two
        - message.sent
      # at the end of b
";

#[test]
fn a_field_is_set_added_and_taken_away_in_block_style() {
    let replaced = |from: &str, to: &str| BLOCK.replacen(from, to, 1);
    check(
        Format::Yaml,
        &[
            ("outbound.a: retries=5", BLOCK, &replaced("retries: 3", "retries: 5")),
            (
                "outbound.a: url=https://c.example",
                BLOCK,
                &replaced("https://a.example", "https://c.example"),
            ),
            (
                "outbound.b: url=https://c.example",
                BLOCK,
                &replaced("https://b.example", "https://c.example"),
            ),
            (
                "outbound.a: -retries",
                BLOCK,
                &replaced("      # how often\n      retries: 3\n", ""),
            ),
            (
                "outbound.a: timeout=5s; description='no'",
                BLOCK,
                &replaced(
                    "] # which\n",
                    "] # which\n      timeout: 5s\n      description: \"no\"\n",
                ),
            ),
            (
                "outbound.a: secret={env: A_SECRET}",
                BLOCK,
                &replaced("] # which\n", "] # which\n      secret: { env: A_SECRET }\n"),
            ),
            (
                "outbound.a: events=[message.received, message.error, message.sent]",
                BLOCK,
                &replaced(
                    "[message.received, 'message.sent']",
                    "[message.received, message.error, 'message.sent']",
                ),
            ),
            (
                "outbound.b: events=[message.sent, system.started]",
                BLOCK,
                &replaced("        - message.received # one\n", "").replacen(
                    "        - message.sent\n",
                    "        - message.sent\n        - system.started\n",
                    1,
                ),
            ),
            (
                "outbound.b: retries=1",
                BLOCK,
                &replaced(
                    "      # at the end of b\n",
                    "      retries: 1\n      # at the end of b\n",
                ),
            ),
        ],
    );
}

#[test]
fn a_deleted_entry_takes_its_own_comments_and_no_others() {
    let a = &BLOCK[BLOCK.find("    # about a").unwrap()..BLOCK.find("    # a note").unwrap()];
    let b = &BLOCK[BLOCK.find("\n    # about b").unwrap()..];
    check(
        Format::Yaml,
        &[
            ("outbound.a: delete", BLOCK, &BLOCK.replacen(a, "", 1)),
            ("outbound.b: delete", BLOCK, &BLOCK.replacen(b, "", 1)),
            (
                "outbound.a: delete",
                "webhooks:\n  outbound:\n    # mine\n    a: { url: x }\n\n    # nobody's\n  inbound: {}\n",
                "webhooks:\n  outbound: {}\n    # nobody's\n  inbound: {}\n",
            ),
            (
                "outbound.a: delete",
                "webhooks:\n  outbound:\n    a:\n      description: |\n        # text\n\n        more\n    # of b\n    b: {url: y}",
                "webhooks:\n  outbound:\n    # of b\n    b: {url: y}",
            ),
        ],
    );
}

#[test]
fn a_new_entry_is_written_as_its_neighbours_are() {
    check(
        Format::Yaml,
        &[
            (
                "outbound.c: url=https://c.example; paused=true",
                "webhooks:\n   outbound:\n      a:\n         url: x\n   # end\n",
                "webhooks:\n   outbound:\n      a:\n         url: x\n      c:\n         url: https://c.example\n         paused: true\n   # end\n",
            ),
            (
                "outbound.c: url=https://c.example; secret={file: ./s}",
                "webhooks:\n  outbound:\n    a: {url: x} # a\n",
                "webhooks:\n  outbound:\n    a: {url: x} # a\n    c: {url: https://c.example, secret: {file: ./s}}\n",
            ),
            (
                "inbound.t: path=/t",
                "webhooks: {}\n",
                "webhooks:\n  inbound:\n    t:\n      path: /t\n",
            ),
            (
                "inbound.t: path=/t",
                "webhooks: {} # all\n",
                "webhooks: # all\n  inbound:\n    t:\n      path: /t\n",
            ),
            (
                "inbound.t: path=/t",
                "webhooks:",
                "webhooks:\n  inbound:\n    t:\n      path: /t",
            ),
            (
                "inbound.telegram: ",
                "webhooks:\n  inbound:\n",
                "webhooks:\n  inbound:\n    telegram: {}\n",
            ),
            (
                "inbound.t: path=/t",
                "a: 1\nwebhooks:\n  outbound: {}\nz: 2",
                "a: 1\nwebhooks:\n  outbound: {}\n  inbound:\n    t:\n      path: /t\nz: 2",
            ),
            (
                "inbound.on: path=/t",
                "webhooks: { inbound: { a: {}, }, }\n",
                "webhooks: { inbound: { a: {}, \"on\": { path: /t }, }, }\n",
            ),
            (
                "outbound.c: url=x",
                "webhooks:\n  outbound: {\n    a: { url: y }, # a\n    b: { url: z } # b\n  }\n",
                "webhooks:\n  outbound: {\n    a: { url: y }, # a\n    b: { url: z }, # b\n    c: { url: x }\n  }\n",
            ),
        ],
    );
}

#[test]
fn flow_style_keeps_its_commas_and_comments() {
    check(
        Format::Yaml,
        &[
            (
                "outbound.a: -retries",
                "webhooks: {outbound: {a: {url: x, retries: 3, paused: true}}}",
                "webhooks: {outbound: {a: {url: x, paused: true}}}",
            ),
            (
                "outbound.a: -paused; retries=4; timeout=1s",
                "webhooks: {outbound: {a: {url: x, retries: 3, paused: true}}}",
                "webhooks: {outbound: {a: {url: x, retries: 4, timeout: 1s}}}",
            ),
            (
                "outbound.a: delete",
                "webhooks: {outbound: { a: {url: x} }}",
                "webhooks: {outbound: {}}",
            ),
            (
                "outbound.b: delete",
                "webhooks:\n  outbound: {\n    # one\n    a: {url: x}, # x\n    # two\n    b: {url: y} # y\n  }\n",
                "webhooks:\n  outbound: {\n    # one\n    a: {url: x} # x\n  }\n",
            ),
        ],
    );
}

#[test]
fn anchors_stay_and_a_second_place_is_named() {
    let text = "base: &base\n  retries: 3\nwebhooks:\n  outbound:\n    a: &a\n      <<: *base\n      url: x\n    b: *a\n    c:\n      <<: *base\n";
    check(
        Format::Yaml,
        &[
            ("outbound.c: url=z", text, &format!("{text}      url: z\n")),
            ("outbound.c: retries=5", text, &format!("{text}      retries: 5\n")),
            ("outbound.b: delete", text, &text.replace("    b: *a\n", "")),
        ],
    );
    for (change, lines) in [
        ("outbound.a: url=y", (7, 8)),
        ("outbound.a: retries=5", (7, 8)),
        ("outbound.b: url=z", (8, 6)),
        ("outbound.c: -retries", (10, 2)),
        ("outbound.a: delete", (5, 8)),
    ] {
        let error = apply_as(Format::Yaml, text, change).unwrap_err();
        let EditError::SecondPlace {
            line, second, by_hand, ..
        } = &error
        else {
            panic!("{change}: {error}");
        };
        assert!(line.abs_diff(lines.0) <= 1 && *second == lines.1, "{change}: {error}");
        assert!(!by_hand.is_empty() && error.to_string().contains("by hand"), "{error}");
    }
}

#[test]
fn a_refusal_shows_no_secret() {
    let text = "webhooks:\n  outbound:\n    a: &a { url: x, secret: old }\n    b: *a\n";
    let error = apply_as(Format::Yaml, text, "outbound.b: secret=hunter2")
        .unwrap_err()
        .to_string();
    assert!(
        !error.contains("hunter2") && error.contains("webhooks.outbound.b.secret"),
        "{error}"
    );
}

#[test]
fn block_scalars_are_replaced_whole() {
    let text =
        "webhooks:\n  outbound:\n    a:\n      description: |+ # note\n        one\n          two\n\n      url: x\n";
    check(
        Format::Yaml,
        &[
            (
                "outbound.a: description=short",
                text,
                "webhooks:\n  outbound:\n    a:\n      description: short # note\n      url: x\n",
            ),
            (
                "outbound.a: -description",
                text,
                "webhooks:\n  outbound:\n    a:\n      url: x\n",
            ),
            (
                "outbound.b: url=z",
                "webhooks:\n  outbound:\n    a:\n      description: >-\n        one\n        # no comment",
                "webhooks:\n  outbound:\n    a:\n      description: >-\n        one\n        # no comment\n    b:\n      url: z",
            ),
        ],
    );
}

#[test]
fn json_keeps_quotes_commas_and_comments() {
    let tall = "{\n  // all\n  \"webhooks\": {\n    \"outbound\": {\n      // of a\n      \"a\": {\n        \"url\": \"x\", // here\n        \"retryStatusCodes\": [500, 502]\n      }, // after a\n      'b': { url: 'y', },\n    }\n  }\n}\n";
    check(
        Format::Json5,
        &[
            ("outbound.a: url=z", tall, &tall.replace("\"x\"", "\"z\"")),
            ("outbound.b: url=z", tall, &tall.replace("'y'", "'z'")),
            (
                "outbound.a: retries=3",
                tall,
                &tall.replace("[500, 502]\n", "[500, 502],\n        \"retries\": 3\n"),
            ),
            (
                "outbound.b: retries=3",
                tall,
                &tall.replace("'y', }", "'y', \"retries\": 3, }"),
            ),
            (
                "outbound.a: -retryStatusCodes",
                tall,
                &tall.replace(
                    "\"x\", // here\n        \"retryStatusCodes\": [500, 502]\n",
                    "\"x\" // here\n",
                ),
            ),
            (
                "outbound.a: delete",
                tall,
                "{\n  // all\n  \"webhooks\": {\n    \"outbound\": {\n      'b': { url: 'y', },\n    }\n  }\n}\n",
            ),
            (
                "inbound.t: path=/t",
                "{\n  \"webhooks\": {}\n}\n",
                "{\n  \"webhooks\": {\n    \"inbound\": {\n      \"t\": {\n        \"path\": \"/t\"\n      }\n    }\n  }\n}\n",
            ),
            (
                "inbound.t: path=/t",
                "{webhooks: {}}",
                "{webhooks: {inbound: {t: {path: \"/t\"}}}}",
            ),
        ],
    );
}

#[test]
fn what_is_not_there_or_not_readable_is_said() {
    let missing = apply_as(Format::Yaml, BLOCK, "outbound.x: delete").unwrap_err();
    assert_eq!(missing.to_string(), "openclaw.yaml: there is no `webhooks.outbound.x`");
    let broken = apply_as(Format::Yaml, "webhooks:\n  a: [", "outbound.x: delete").unwrap_err();
    assert!(matches!(broken, EditError::Broken { .. }), "{broken}");
}

#[test]
fn an_edit_that_changes_nothing_leaves_every_byte() {
    for change in ["outbound.a: retries=3", "outbound.a: -timeout", "outbound.a: "] {
        assert_eq!(apply_as(Format::Yaml, BLOCK, change).unwrap(), BLOCK, "{change}");
    }
}

/// A document of 10,000 webhooks is edited in under half a second (release; here only that it works and is not quadratic).
#[test]
fn a_large_document_is_edited() {
    use std::fmt::Write as _;
    let mut text = "webhooks:\n  outbound:\n".to_owned();
    for i in 0..10_000 {
        write!(
            text,
            "    # sender {i}\n    s{i}:\n      url: https://example.com/{i}\n      events: [message.received, message.sent]\n      secret: {{ env: SECRET_{i} }}\n      retries: 3\n      timeout: 10s\n      headers: {{ X-A: '{i}' }}\n      labels:\n        team: a\n        tier: b\n"
        )
        .unwrap();
    }
    let start = std::time::Instant::now();
    let edited = apply_as(Format::Yaml, &text, "outbound.s5000: retries=5").unwrap();
    let took = start.elapsed();
    eprintln!("{took:?} for {} bytes", text.len());
    assert_eq!(edited.len(), text.len());
    assert!(took < std::time::Duration::from_secs(20), "{took:?}");
}
