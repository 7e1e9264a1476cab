//! How long an edit of a large document takes: `cargo bench --bench edit`.
//!
//! A document of 10,000 outbound webhooks with comments, as YAML and as JSON. Printed are medians in milliseconds: the edit
//! in the whole text (two readings and the oracle), the same in the rest of it, the reading after it, a check of the whole
//! document, and the whole command without a gateway, whose plan compares two documents. Ends with 1 where a command takes
//! longer than [`BOUND_MS`].

#![allow(clippy::unwrap_used, clippy::format_push_string, missing_docs)] // a program of its own

use std::process::{Command, Stdio};
use std::time::Instant;

use openclaw::document::edit::{self, Change, Edit};
use openclaw::document::{self, Address, Format, Source, Value};
use openclaw::event::Name;

const WEBHOOKS: usize = 10_000;
const BOUND_MS: f64 = 500.0;
const TIMES: usize = 7;

fn yaml() -> String {
    let mut text = "webhooks:\n  admin: { listen: 127.0.0.1:1 }\n  outbound:\n".to_owned();
    for i in 0..WEBHOOKS {
        text.push_str(&format!(
            "    # sender {i}\n    s-{i}:\n      url: https://log-{i}.example.com/events # where\n      \
             events: [message.received, message.sent]\n      secret: {{ env: SECRET_{i} }}\n      retries: 3\n      \
             retryDelay: 5s\n      timeout: 10000\n      description: \"number {i}\"\n      labels:\n        team: t{}\n\n",
            i % 100
        ));
    }
    text
}

fn json() -> String {
    let mut text =
        "{\n  \"webhooks\": {\n    \"admin\": { \"listen\": \"127.0.0.1:1\" },\n    \"outbound\": {\n".to_owned();
    for i in 0..WEBHOOKS {
        let comma = if i + 1 < WEBHOOKS { "," } else { "" };
        text.push_str(&format!(
            "      // sender {i}\n      \"s-{i}\": {{\n        \"url\": \"https://log-{i}.example.com/events\",\n        \
             \"events\": [\"message.received\", \"message.sent\"],\n        \"secret\": {{ \"env\": \"SECRET_{i}\" }},\n        \
             \"retries\": 3,\n        \"retryDelay\": \"5s\",\n        \"timeout\": 10000\n      }}{comma}\n"
        ));
    }
    text.push_str("    }\n  }\n}\n");
    text
}

fn median(mut once: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..TIMES)
        .map(|_| {
            let began = Instant::now();
            once();
            began.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[TIMES / 2]
}

fn sender(name: &str) -> Address {
    Address::Outbound(Name::parse(name).unwrap())
}

fn main() {
    let mut slow = false;
    for (file, format, text) in [
        ("openclaw.yaml", Format::Yaml, yaml()),
        ("openclaw.json", Format::Json5, json()),
    ] {
        let source = Source {
            path: file,
            format,
            text: text.as_bytes(),
        };
        println!("{file}: {WEBHOOKS} webhooks, {} KiB", text.len() / 1024);
        let desired = document::load(&source).desired.unwrap();
        let load = median(|| assert!(document::load(&source).desired.is_some()));
        println!("  {load:8.1} ms  check of the document");
        let retries = |n| Change::Fields(vec![(vec!["retries".to_owned()], Some(Value::Integer(n)))]);
        let url = Change::Fields(vec![(
            vec!["url".to_owned()],
            Some(Value::text("https://new.example.com/")),
        )]);
        for (what, name, change) in [
            ("change of a field", "s-5000", retries(7)),
            ("new webhook", "new", url),
            ("deletion", "s-5000", Change::Delete),
        ] {
            let edit = Edit {
                address: sender(name),
                change,
            };
            let edited = median(|| assert!(edit::apply(&source, &edit).unwrap().changed));
            println!("  {edited:8.1} ms  {what}");
            let short = median(|| assert!(edit::apply_to(&desired, &source, &edit).unwrap().changed));
            let new = edit::apply_to(&desired, &source, &edit).unwrap().text;
            let new = Source {
                text: new.as_bytes(),
                ..source
            };
            let before = Some((source.text, &desired));
            let again = median(|| assert!(document::load_after(before, &new).desired.is_some()));
            println!(
                "  {short:8.1} ms  the same, of a document that was read; {again:.1} ms to read the new text after it"
            );
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(file);
        for (what, line) in [
            ("webhooks update", "webhooks update s-5000 --retries 7"),
            ("webhooks create", "webhooks create new --url https://new.example.com/"),
            ("webhooks delete", "webhooks delete s-5000"),
        ] {
            let command = median(|| {
                std::fs::write(&path, &text).unwrap();
                // As old as a document is that nobody writes right now.
                let old = std::fs::File::options().write(true).open(&path).unwrap();
                old.set_modified(std::time::SystemTime::now() - std::time::Duration::from_mins(1))
                    .unwrap();
                let mut command = Command::new(env!("CARGO_BIN_EXE_openclaw"));
                let status = command
                    .args(line.split(' '))
                    .current_dir(dir.path())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .status();
                assert!(status.unwrap().success(), "{line}");
            });
            println!("  {command:8.1} ms  the command `{what}`, 100 ms of it a last look at the file");
            slow |= command > BOUND_MS;
        }
    }
    if slow {
        println!("slower than {BOUND_MS} ms");
        std::process::exit(1);
    }
}
