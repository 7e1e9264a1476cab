//! Every broken document gets a clear diagnostic, with code, line and column.
//!
//! The table is `bad_documents/cases.txt`: `=== FILE` and what is expected (every error and warning, in order, as
//! `CODE LINE:COLUMN`), then the document's text up to the next `===`. What cannot stand in a text file is below.

use openclaw::document::{Diagnostic, Format, Loaded, Severity, Source, load};

/// What alone may begin a message with a capital letter.
const PROPER_NAMES: [&str; 8] = [
    "DingTalk",
    "Discord",
    "GitLab",
    "Google",
    "Microsoft",
    "Telegram",
    "WeCom",
    "Zalo",
];

const CASES: &str = include_str!("bad_documents/cases.txt");

fn read(name: &str, text: &[u8]) -> Loaded {
    let format = Format::of_path(name.as_ref()).unwrap();
    load(&Source {
        path: name,
        format,
        text,
    })
}

fn found(diagnostics: &[Diagnostic]) -> Vec<String> {
    diagnostics
        .iter()
        .filter(|d| d.severity != Severity::Note)
        .map(|d| format!("{} {}:{}", d.code.as_str(), d.line, d.column))
        .collect()
}

/// Name, expectations, text.
fn cases() -> Vec<(&'static str, Vec<String>, String)> {
    CASES
        .split("=== ")
        .skip(1)
        .map(|case| {
            let (head, text) = case.split_once('\n').unwrap_or((case, ""));
            let mut words = head.splitn(2, ' ');
            let name = words.next().unwrap();
            let expected = words
                .next()
                .unwrap_or_default()
                .split(", ")
                .map(str::to_owned)
                .collect();
            let text = if name.starts_with("crlf") {
                text.replace('\n', "\r\n")
            } else {
                text.to_owned()
            };
            (name, expected, text)
        })
        .collect()
}

#[test]
fn every_broken_document_gets_its_diagnostics() {
    let cases = cases();
    assert!(cases.len() >= 60, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for (name, expected, text) in &cases {
        let loaded = read(name, text.as_bytes());
        let found = found(&loaded.diagnostics);
        if found != *expected {
            wrong.push(format!(
                "=== {name} {}\n  expected {}\n{}",
                found.join(", "),
                expected.join(", "),
                openclaw::document::diagnostic::text(&loaded.diagnostics, false)
            ));
        }
        let errors = loaded.diagnostics.iter().any(Diagnostic::is_error);
        assert_eq!(
            loaded.desired.is_none(),
            errors,
            "{name}: an error and a desired state exclude each other"
        );
        for d in &loaded.diagnostics {
            assert_eq!(&*d.file, *name);
            assert!(
                !d.message.ends_with('.') && !d.message.is_empty(),
                "{name}: {}",
                d.message
            );
            let first = d.message.chars().next().unwrap();
            assert!(
                !first.is_uppercase() || PROPER_NAMES.iter().any(|proper| d.message.starts_with(proper)),
                "{name}: {}",
                d.message
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_diagnostic_shows_a_literal_secret() {
    for (name, _, text) in cases() {
        let loaded = read(name, text.as_bytes());
        let all = [
            openclaw::document::diagnostic::text(&loaded.diagnostics, false),
            openclaw::document::diagnostic::json(&loaded.diagnostics).to_string(),
            openclaw::document::diagnostic::github(&loaded.diagnostics),
            openclaw::document::diagnostic::sarif(&loaded.diagnostics).to_string(),
        ];
        for rendered in all {
            assert!(!rendered.contains("hunter2"), "{name}: {rendered}");
        }
    }
}

/// What a text file cannot hold.
#[test]
fn bytes_that_are_no_document() {
    let deep =
        |open: &str, close: &str, n: usize| format!("webhooks: {}{}", open.repeat(n), close.repeat(n)).into_bytes();
    let bomb = {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..12 {
            let list = vec![format!("*a{}", i - 1); 9].join(", ");
            text.push_str(&format!("a{i}: &a{i} [{list}]\n"));
        }
        text + "webhooks: {}\n"
    };
    let chain = {
        let mut text = "a0: &a0 { x: 1 }\n".to_owned();
        for i in 1..5000 {
            text.push_str(&format!("a{i}: &a{i} {{ <<: *a{} }}\n", i - 1));
        }
        text + "webhooks: {}\n"
    };
    let blocks: String = (0..200).map(|i| format!("{}a:\n", " ".repeat(i))).collect();
    let large = [b"webhooks: {}\n#".as_slice(), &vec![b' '; 64 * 1024 * 1024]].concat();
    for (name, text, expected) in [
        (
            "not-utf8.yaml",
            b"webhooks:\n  inbound: \xff {}\n".to_vec(),
            "OC105 2:12",
        ),
        (
            "not-utf8.json",
            b"\xef\xbb\xbf{\"webhooks\": \"\xc3\x28\"}".to_vec(),
            "OC105 1:15",
        ),
        ("utf16.yaml", b"\xff\xfew\0e\0b\0".to_vec(), "OC105 0:0"),
        ("large.yaml", large, "OC104 0:0"),
        ("deep-flow.yaml", deep("[", "]", 129), "OC104 1:138"),
        ("very-deep-flow.yaml", deep("[", "", 100_000), "OC104 1:266"),
        (
            "deep-flow.json",
            format!("{{\"webhooks\": {}{}}}", "[".repeat(129), "]".repeat(129)).into_bytes(),
            "OC104 1:141",
        ),
        (
            "very-deep.json",
            format!("{{\"webhooks\": {}", "[".repeat(100_000)).into_bytes(),
            "OC104 1:524",
        ),
        ("deep-blocks.yaml", blocks.into_bytes(), "OC104 129:129"),
        ("alias-bomb.yaml", bomb.into_bytes(), "OC104 7:50"),
        ("merge-chain.yaml", chain.into_bytes(), "OC104 127:19"),
    ] {
        let loaded = read(name, &text);
        assert!(loaded.desired.is_none(), "{name}");
        assert_eq!(found(&loaded.diagnostics), [expected], "{name}");
    }
}

#[test]
fn a_byte_order_mark_moves_no_column() {
    let loaded = read("bom.yaml", b"\xef\xbb\xbfwebhooks: { outbond: {} }\n");
    assert_eq!(found(&loaded.diagnostics), ["OC102 1:13"]);
}

#[test]
fn very_many_faults_are_bounded() {
    let text: String = (0..5000).map(|i| format!("    s{i}: {{}}\n")).collect();
    let loaded = read("many.yaml", format!("webhooks:\n  outbound:\n{text}").as_bytes());
    assert_eq!(loaded.diagnostics.len(), 1001);
    assert_eq!(loaded.diagnostics[1000].message, "4000 more are not shown");
}
