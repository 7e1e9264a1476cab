//! What people and programs see.

use serde_json::{Value as Json, json};

use super::*;
use crate::document::{self, Format, Source};
use crate::plan::fixtures::{desired, observed};
use crate::plan::{Fingerprints, Held, diff};

fn document_row() -> DocumentRow {
    DocumentRow {
        path: "openclaw.yaml".to_owned(),
        sha256: "bb".repeat(32),
        git_commit: Some("1f2e3d4".to_owned()),
    }
}

fn plan_of(before: Json, after: Json) -> PlanDocument {
    let mut observed = observed(desired(before));
    observed.owed.insert("old-crm".to_owned(), 12);
    observed
        .fingerprints
        .insert("webhooks.outbound.audit secret".to_owned(), "01".to_owned());
    let fingerprints = Fingerprints::from([("webhooks.outbound.audit secret".to_owned(), "02".to_owned())]);
    let plan = diff(&observed, &desired(after), &fingerprints);
    let base = Base {
        generation: observed.generation,
        sha256: observed.sha256.clone(),
    };
    PlanDocument::new(&plan, base, document_row())
}

/// One change of each kind.
pub(crate) fn sample() -> PlanDocument {
    let before = json!({
        "store": {"engine": "sqlite"},
        "out.old-crm": {"url": "https://crm.example.com/in"},
        "out.audit": {"url": "https://audit.example.com", "secret": {"env": "AUDIT_SECRET"}},
        "out.event-logger": {
            "url": "https://log.example.com/events", "events": ["message.received"], "secret": "hunter2", "retries": 3,
            "headers": {"X-Team": "support"},
        },
        "out.backup": {"url": "https://backup.example.com", "retryDelay": "5s"},
    });
    let after = json!({
        "store": {"engine": "postgres"},
        "out.audit": {"url": "https://audit.example.com", "secret": {"env": "AUDIT_SECRET"}},
        "out.event-logger": {
            "url": "https://log.example.com/v2/events", "events": ["message.received", "message.sent"],
            "secret": "hunter3", "headers": {"X-Team": "support", "X-Env": "prod"},
        },
        "out.backup-bot": {"url": "https://backup.example.com", "retryDelay": "10s", "previousName": "backup"},
        "in.github": {"secret": {"env": "GITHUB_SECRET"}, "description": "issues and pull requests"},
    });
    plan_of(before, after)
}

/// The sample with everything else that a plan can carry.
fn full() -> PlanDocument {
    let mut plan = sample();
    plan.held = Some(Held {
        reasons: vec!["it would delete webhooks.outbound.old-crm, which has `protect: true`".to_owned()],
    });
    plan.not_checked = vec!["webhooks.inbound.github secret: {env: GITHUB_SECRET}".to_owned()];
    plan.drift = vec![Drift {
        address: "webhooks.server".to_owned(),
        reason: "ListenFailed".to_owned(),
        message: "127.0.0.1:8790 is in use".to_owned(),
    }];
    plan.diagnostics = vec![DiagnosticRow {
        code: "OC310".to_owned(),
        severity: "warning".to_owned(),
        file: "openclaw.yaml".to_owned(),
        path: "webhooks.outbound.event-logger.secret".to_owned(),
        line: 14,
        column: 9,
        message: "the secret is written in the document".to_owned(),
        hints: vec!["write `secret: {env: EVENT_LOGGER_SECRET}`".to_owned()],
        shown: Some("    secret: ***".to_owned()),
    }];
    plan
}

fn empty() -> PlanDocument {
    let same = json!({"out.a": {"url": "https://a.example.com"}});
    plan_of(same.clone(), same)
}

#[test]
fn text_reads_like_terraforms() {
    insta::assert_snapshot!("text", text::render(&sample(), false));
    insta::assert_snapshot!("text_full", text::render(&full(), false));
    assert_eq!(
        text::render(&empty(), false),
        "No changes. The gateway matches the document.\n"
    );
}

#[test]
fn colours_are_there_only_when_asked_for_and_carry_nothing_alone() {
    let coloured = text::render(&full(), true);
    assert!(
        coloured.contains("\u{1b}[31m-\u{1b}[0m \u{1b}[1mwebhooks.outbound.old-crm\u{1b}[0m  delete"),
        "{coloured:?}"
    );
    assert_eq!(
        anstream::adapter::strip_str(&coloured).to_string(),
        text::render(&full(), false)
    );
}

#[test]
fn a_plan_against_another_document_says_nothing_of_a_gateway() {
    let mut plan = empty();
    plan.base.generation = None;
    plan.base.sha256 = Some("0123456789abcdef".repeat(4));
    assert_eq!(
        text::render(&plan, false),
        "No changes. The two documents mean the same.\n"
    );
    let markdown = markdown::render(&plan);
    assert!(
        markdown.contains("\nThe two documents mean the same.\n")
            && markdown.contains(" against the document with sha256 `0123456789ab`."),
        "{markdown}"
    );
}

#[test]
fn drift_is_told_when_there_is_nothing_else_to_do() {
    let plan = PlanDocument {
        drift: full().drift,
        ..empty()
    };
    insta::assert_snapshot!(text::render(&plan, false), @r"
    No changes. The gateway matches the document.

    Drift: what runs is not what was applied.
      ! webhooks.server  ListenFailed: 127.0.0.1:8790 is in use
    ");
}

#[test]
fn what_moves_the_cursor_is_made_visible() {
    let after = json!({"out.a": {"description": "a\u{1b}[2J\u{9b}2J\u{202e}b\nPlan: 0 to add"}});
    let text = text::render(&plan_of(json!({}), after), false);
    assert!(
        text.contains(r#"description: "a\u001b[2J\u{9b}2J\u{202e}b\nPlan: 0 to add""#),
        "{text}"
    );
}

#[test]
fn json_holds_everything_and_reads_back() {
    // The tool's version moves with each release.
    let version = format!("\"version\": \"{}\"", env!("CARGO_PKG_VERSION"));
    insta::assert_snapshot!(
        "json",
        json::render(&full()).replace(&version, "\"version\": \"[version]\"")
    );
    for plan in [sample(), full(), empty()] {
        assert_eq!(
            serde_json::from_str::<PlanDocument>(&json::render(&plan)).unwrap(),
            plan
        );
    }
}

#[test]
fn a_later_releases_members_are_ignored() {
    let mut json: Json = serde_json::from_str(&json::render(&full())).unwrap();
    json["added"] = json!(1);
    json["changes"][0]["added"] = json!({"a": 1});
    assert_eq!(serde_json::from_value::<PlanDocument>(json).unwrap(), full());
}

#[test]
fn the_schema_describes_the_json() {
    let schema: Json = serde_json::from_str(include_str!("../../../schema/plan.schema.json")).unwrap();
    jsonschema::meta::validate(&schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors = |json: &Json| {
        validator
            .iter_errors(json)
            .map(|e| format!("{}: {e}", e.instance_path()))
            .collect::<Vec<_>>()
    };
    for plan in [sample(), full(), empty()] {
        let json: Json = serde_json::from_str(&json::render(&plan)).unwrap();
        assert_eq!(errors(&json), Vec::<String>::new());
    }
    // The schema says something: each of these breaks one rule of it.
    let good: Json = serde_json::from_str(&json::render(&full())).unwrap();
    for (pointer, wrong) in [
        ("/formatVersion", json!("2.0")),
        ("/base/generation", json!("6")),
        ("/document/sha256", json!("xyz")),
        ("/changes/0/actions", json!(["create", "delete"])),
        ("/changes/0/address", json!("outbound.a")),
        ("/changes/0/undelivered", json!(-1)),
        ("/changes/0/fields/0/sensitive", json!("no")),
        ("/summary", json!({"add": 1})),
        ("/held/reasons", json!([])),
        ("/drift/0/message", json!(null)),
        ("/diagnostics/0/severity", json!("fatal")),
    ] {
        let mut json = good.clone();
        *json
            .pointer_mut(pointer)
            .unwrap_or_else(|| panic!("{pointer} is in the sample")) = wrong;
        assert!(!errors(&json).is_empty(), "{pointer}");
    }
    for member in good.as_object().unwrap().keys() {
        let mut json = good.clone();
        json.as_object_mut().unwrap().remove(member);
        assert!(!errors(&json).is_empty(), "{member} is required");
    }
}

#[test]
fn markdown_reads_well_in_a_comment() {
    insta::assert_snapshot!("markdown", markdown::render(&full()));
    insta::assert_snapshot!("markdown_empty", markdown::render(&empty()));
}

#[test]
fn nothing_of_the_document_becomes_markup() {
    let hostile =
        "@everyone <img src=x onerror=alert(1)> [x](https://evil.example) ```\n```` **b** `c` <!-- openclaw-plan -->";
    let mut plan = plan_of(
        json!({}),
        json!({"out.a": {"description": hostile, "headers": {"@team ````": hostile}}}),
    );
    plan.document.path = hostile.to_owned();
    plan.changes[0].reason = Some(hostile.to_owned());
    plan.held = Some(Held {
        reasons: vec![hostile.to_owned()],
    });
    plan.not_checked = vec![hostile.to_owned()];
    plan.diagnostics = vec![DiagnosticRow {
        message: hostile.to_owned(),
        ..DiagnosticRow::default()
    }];
    let outside = outside_of_code(&markdown::render(&plan));
    let outside = outside.replacen(markdown::MARKER, "", 1);
    for forbidden in ["@", "<", "[x]", "https:", "**b**"] {
        assert!(!outside.contains(forbidden), "{forbidden} in {outside}");
    }
}

/// What is left of Markdown when code spans and fenced blocks are taken away, by CommonMark's rules: a run of backticks
/// ends only at a run of the same length, a fence only at a line of at least its length.
fn outside_of_code(markdown: &str) -> String {
    let mut outside = String::new();
    let mut lines = markdown.lines();
    while let Some(line) = lines.next() {
        let ticks = line.len() - line.trim_start_matches('`').len();
        if ticks >= 3 && !line[ticks..].contains('`') {
            let closes = |l: &str| l.trim_end().len() >= ticks && l.trim_end().chars().all(|c| c == '`');
            let found = lines.by_ref().any(closes);
            assert!(found, "an open fence in {markdown}");
            continue;
        }
        let mut rest = line;
        while let Some(at) = rest.find('`') {
            outside.push_str(&rest[..at]);
            let run = rest[at..].len() - rest[at..].trim_start_matches('`').len();
            let inner = &rest[at + run..];
            let end = (0..inner.len()).find(|i| {
                let tail = inner.as_bytes();
                tail[*i] == b'`'
                    && (*i == 0 || tail[i - 1] != b'`')
                    && tail[*i..].iter().take_while(|b| **b == b'`').count() == run
            });
            rest = &inner[end.unwrap_or_else(|| panic!("an open code span in {line}")) + run..];
        }
        outside.push_str(rest);
        outside.push('\n');
    }
    outside
}

#[test]
fn a_comment_has_a_bound_and_says_what_is_left_out() {
    let many = |prefix: &str, count: usize| {
        let members = (0..count).map(|n| {
            (
                format!("out.{prefix}{n:05}"),
                json!({"url": format!("https://{n}.example.com")}),
            )
        });
        Json::Object(members.collect())
    };
    let plan = plan_of(many("old", 5000), many("new", 5000));
    let comment = markdown::render(&plan);
    assert!(comment.len() <= markdown::MAX_BYTES, "{}", comment.len());
    let shown = comment
        .lines()
        .filter(|l| l.starts_with("- `webhooks.") || l.starts_with("+ webhooks."))
        .count();
    let last = format!(
        "{} more changes are left out here; `openclaw plan` shows them all.",
        10_000 - shown
    );
    assert_eq!(comment.lines().last(), Some(last.as_str()));
    assert!(shown > 500, "{shown}");

    let long = "x`\u{1b}".repeat(200_000);
    let mut plan = plan_of(
        json!({}),
        json!({"out.a": {"description": long, "url": "`".repeat(100_000)}}),
    );
    plan.not_checked = vec![long.clone(); 12];
    plan.held = Some(Held {
        reasons: vec!["`".repeat(5000); 12],
    });
    plan.document.path = long;
    let comment = markdown::render(&plan);
    assert!(comment.len() <= markdown::MAX_BYTES, "{}", comment.len());
    assert!(
        comment.contains("+ webhooks.outbound.a  create") && comment.contains("- and 2 more"),
        "{comment}"
    );
    outside_of_code(&comment);
}

#[test]
fn documents_are_compared_by_what_they_mean() {
    let read = |text: &str| {
        let source = Source {
            path: "openclaw.yaml",
            format: Format::Yaml,
            text: text.as_bytes(),
        };
        let loaded = document::load(&source);
        loaded.desired.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics))
    };
    let before = read(
        "webhooks:
  inbound:
    slack: { secret: '${SLACK_SECRET}', paused: true }
  outbound:
    log: { url: 'https://log.example.com/?key=hunter2', events: [error, message.sent], secret: hunter2, retries: 3 }
    same: { url: https://same.example.com, timeout: 10000, retryDelay: 5s }
",
    );
    let after = read(
        "webhooks:
  server: { maxBodyBytes: 2097152 }
  inbound:
    slack: { secret: '${SLACK_SECRET}' }
  outbound:
    # aliases, other spellings and written defaults are no changes
    same: { url: https://same.example.com, timeout: 10s, retryDelay: 5000, paused: false }
    log:
      url: https://log.example.com/?key=hunter3
      events: [message.sent, message.error, message.received]
      secret: [{ env: LOG_SECRET }, hunter2]
      headers: { X-Team: support, X-Token: 'a ${LOG_TOKEN}' }
      circuitBreaker: { failures: 5 }
      auth: { bearer: hunter3 }
",
    );
    let observed = observed(before);
    let plan = diff(&observed, &after, &Fingerprints::new());
    let plan = PlanDocument::new(&plan, Base::default(), document_row());
    insta::assert_snapshot!("documents", text::render(&plan, false));
    assert!(!json::render(&plan).contains("hunter"));
}
