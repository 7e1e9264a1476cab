//! Commands that edit the document: what they write, what they leave, and what two of them at once do.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Output, Stdio};

use crate::harness::{Gateway, document, eventually, openclaw};

const DOCUMENT: &str = "\
# ours
webhooks:
  server: { listen: \"127.0.0.1:0\" } # any port
  admin: { listen: \"127.0.0.1:0\" }

  outbound:
    # keeps everything
    audit:
      url: https://audit.example/in   # where
      paused: false
";

fn run(dir: &Path, line: &str) -> Output {
    openclaw()
        .args(words(line))
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// The words of a command line; `'…'` keeps blanks.
fn words(line: &str) -> Vec<String> {
    let parts = line.split('\'').enumerate();
    parts
        .flat_map(|(i, part)| match i % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect::<Vec<_>>(),
            _ => vec![part.to_owned()],
        })
        .collect()
}

#[track_caller]
fn well(dir: &Path, line: &str) -> String {
    let output = run(dir, line);
    let (out, err) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(output.status.success(), "{line}\n{out}\n{err}");
    out
}

#[track_caller]
fn fails(dir: &Path, line: &str, with: &[&str]) {
    let output = run(dir, line);
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{line}\n{err}");
    for text in with {
        assert!(err.contains(text), "{line}: no `{text}` in\n{err}");
    }
}

fn directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("openclaw.yaml"), DOCUMENT).unwrap();
    dir
}

fn text(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("openclaw.yaml")).unwrap()
}

#[test]
fn the_tutorials_commands_change_only_what_they_name() {
    let dir = directory();
    let dir = dir.path();
    well(
        dir,
        "webhooks create event-logger --url https://log.example.com/events \
         --events message.received,message.sent,error --secret webhook-signing-secret",
    );
    let created = format!(
        "{DOCUMENT}    event-logger:\n      url: https://log.example.com/events\n      \
         events: [message.received, message.sent, error]\n      secret: webhook-signing-secret\n"
    );
    assert_eq!(text(dir), created);
    well(
        dir,
        "webhooks update event-logger --events message.received,message.sent,channel.disconnected",
    );
    well(
        dir,
        "webhooks update event-logger --retries 3 --retry-delay 5000 --timeout 10000",
    );
    let updated = created.replace("sent, error]", "sent, channel.disconnected]");
    let mut expected = updated.replace(
        "signing-secret\n",
        "signing-secret\n      timeout: 10000\n      retries: 3\n      retryDelay: 5000\n",
    );
    assert_eq!(text(dir), expected);
    well(dir, "webhooks pause event-logger");
    expected.push_str("      paused: true\n");
    assert_eq!(text(dir), expected);
    assert!(well(dir, "webhooks pause event-logger").contains("paused already"));
    well(dir, "webhooks resume event-logger");
    expected = expected.replace("      paused: true\n", "");
    assert_eq!(text(dir), expected);
    assert!(well(dir, "webhooks resume event-logger").contains("not paused"));
    well(dir, "webhooks delete event-logger");
    assert_eq!(text(dir), DOCUMENT);
}

#[test]
fn set_inbound_makes_a_secret_that_only_its_owner_reads() {
    let dir = directory();
    let dir = dir.path();
    let line = "webhooks set-inbound telegram --url https://gateway.example.com/webhook/telegram --verify-signature";
    well(dir, &format!("{line} --dry-run"));
    assert!(!dir.join("secrets").exists() && text(dir) == DOCUMENT);
    well(dir, line);
    assert!(text(dir).ends_with(
        "  inbound:\n    telegram:\n      url: https://gateway.example.com/webhook/telegram\n      verifySignature: true\n      \
         secret: { file: ./secrets/telegram }\n"
    ));
    let secret = dir.join("secrets/telegram");
    assert_eq!(std::fs::read_to_string(&secret).unwrap().len(), 64);
    assert_eq!(std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(
        std::fs::read_to_string(dir.join("secrets/.gitignore"))
            .unwrap()
            .contains('*')
    );
    assert!(
        well(dir, line).contains("Nothing to do"),
        "the second time changes nothing"
    );

    let before = text(dir);
    fails(
        dir,
        "webhooks set-inbound slack",
        &["slack needs --secret", "Signing Secret"],
    );
    fails(
        dir,
        "webhooks set-inbound telegram --public-key x",
        &["--public-key does not fit", "telegram takes --secret", "discord"],
    );
    // A refused edit leaves no secret behind.
    fails(
        dir,
        "webhooks set-inbound github --path nowhere",
        &["nothing was written: the document would be broken"],
    );
    assert!(!dir.join("secrets/github").exists() && text(dir) == before);
    well(
        dir,
        "webhooks set-inbound discord --public-key 933f9761b55d5236853ffba79e2b3aa682ad96c72c2e9838dfbbfb7504e6af2d",
    );
}

#[test]
fn mistakes_are_told_and_nothing_is_written() {
    let dir = directory();
    let dir = dir.path();
    fails(dir, "webhooks update audit", &["nothing to change"]);
    fails(
        dir,
        "webhooks update audti --retries 1",
        &["no webhook `audti`", "did you mean `audit`?"],
    );
    fails(
        dir,
        "webhooks create audit --url https://x.example",
        &["already", "webhooks update audit"],
    );
    fails(dir, "webhooks create other", &["needs --url"]);
    fails(dir, "webhooks delete other", &["no webhook `other`"]);
    fails(
        dir,
        "webhooks update audit --events mesage.sent",
        &[
            "unknown event \"mesage.sent\"",
            "did you mean \"message.sent\"?",
            "events are message.received, ",
            ", gateway.store.pressure; patterns",
        ],
    );
    fails(
        dir,
        "webhooks set-inbound x --platform githb",
        &["did you mean `github`?"],
    );
    fails(
        dir,
        "webhooks update audit --verify-token x",
        &["--verify-token does not fit an outbound webhook", "only inbound"],
    );
    fails(
        dir,
        "webhooks update audit --channel x",
        &["--channel does not fit an outbound webhook"],
    );
    fails(
        dir,
        "webhooks create UPPER --url https://x.example",
        &["no name for a webhook"],
    );
    assert_eq!(text(dir), DOCUMENT);
    let diff = well(dir, "webhooks update audit --retries 2 --dry-run");
    assert!(
        diff.contains("--- a/openclaw.yaml\n+++ b/openclaw.yaml\n") && diff.contains("\n+      retries: 2\n"),
        "{diff}"
    );
    assert_eq!(text(dir), DOCUMENT);
}

#[test]
fn a_file_of_something_else_is_refused_and_still_shown() {
    let dir = directory();
    let dir = dir.path();
    let file = dir.join("openclaw.yaml");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o444)).unwrap();
    fails(dir, "webhooks pause audit", &["read-only", "--dry-run"]);
    assert!(well(dir, "webhooks pause audit --dry-run").contains("+      paused: true"));
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(dir.join("..2026_01_01")).unwrap();
    std::fs::write(dir.join("..2026_01_01/openclaw.yaml"), DOCUMENT).unwrap();
    symlink("..2026_01_01/openclaw.yaml", &file).unwrap();
    fails(dir, "webhooks pause audit", &["ConfigMap", "--dry-run"]);
    assert_eq!(text(dir), DOCUMENT);
}

#[test]
fn two_commands_at_once_lose_no_edit() {
    let dir = directory();
    let rounds = 8;
    std::thread::scope(|scope| {
        for cli in 0..2 {
            let dir = dir.path();
            scope.spawn(move || {
                for i in 0..rounds {
                    well(
                        dir,
                        &format!("webhooks create s-{cli}-{i} --url https://x.example/{cli}/{i}"),
                    );
                }
            });
        }
    });
    let all = text(dir.path());
    for cli in 0..2 {
        for i in 0..rounds {
            assert!(
                all.contains(&format!("    s-{cli}-{i}:\n      url: https://x.example/{cli}/{i}\n")),
                "{all}"
            );
        }
    }
    assert!(all.starts_with(DOCUMENT));
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        1,
        "nothing is left beside it"
    );
}

#[test]
fn a_gateway_has_converged_when_the_command_returns() {
    let gateway = Gateway::start(&document("  outbound:\n    a: { url: https://a.example }\n"));
    let output = gateway.cli(&["webhooks", "pause", "a"]);
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{out}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        out.contains("~ webhooks.outbound.a") && out.contains("the gateway has converged. Generation 2."),
        "{out}"
    );
    assert_eq!(gateway.generation(), 2);
}

#[test]
fn what_the_gateway_would_refuse_is_not_written() {
    let gateway = Gateway::start(&document("  outbound:\n    a: { url: https://a.example }\n"));
    let before = text(gateway.dir.path());
    let update = ["webhooks", "update", "a", "--secret"];
    let output = gateway.cli(&[&update[..], &["env:NOT_SET_ANYWHERE"]].concat());
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{err}");
    for text in ["NOT_SET_ANYWHERE", "nothing was written"] {
        assert!(err.contains(text), "{err}");
    }
    assert_eq!(text(gateway.dir.path()), before);
    assert_eq!(gateway.status()["document"]["state"], "applied");

    // A document that it refuses already may be mended step by step.
    gateway.save(&document(
        "  outbound:\n    a: { url: https://a.example, secret: { env: NOT_SET } }\n    b: { url: https://b.example, secret: { env: NOT_SET } }\n",
    ));
    eventually("the saved document is refused", || {
        (gateway.status()["document"]["state"] == "rejected").then_some(())
    });
    let output = gateway.cli(&["webhooks", "update", "b", "--unset", "secret"]);
    assert_eq!(output.status.code(), Some(1), "saved, and still refused");
    assert!(text(gateway.dir.path()).ends_with("b: { url: https://b.example }\n"));
    let output = gateway.cli(&["webhooks", "update", "a", "--unset", "secret"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(gateway.status()["document"]["state"], "applied");
}

#[test]
fn the_gateway_of_the_document_checks_a_secret_that_was_just_made() {
    let gateway = Gateway::start(&document("  outbound:\n    a: { url: https://a.example }\n"));
    let output = gateway.cli(&["webhooks", "set-inbound", "telegram"]);
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{out}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(!out.contains("Not checked"), "{out}");
    assert!(
        out.contains("+ webhooks.inbound.telegram") && out.contains("Generation 2."),
        "{out}"
    );
    assert!(
        !std::fs::read_dir(gateway.dir.path()).unwrap().any(|entry| entry
            .unwrap()
            .file_name()
            .to_string_lossy()
            .ends_with(".new"))
    );
}

#[test]
fn a_dry_run_masks_secrets_and_shows_that_one_changes() {
    let dir = tempfile::tempdir().unwrap();
    let before = DOCUMENT.replace(
        "paused: false",
        "secret: old-hunter2 # ours\n      auth:\n        bearer: \"token-hunter2\"\nelsewhere:\n  password: other-hunter2\n  token: |\n    first-hunter2\n      deeper: hunter2\n      third-hunter2",
    );
    std::fs::write(dir.path().join("openclaw.yaml"), &before).unwrap();
    // Another part's secret, in the lines around an edit at the end of the webhooks.
    let end = well(dir.path(), "webhooks update audit --retries 3 --dry-run");
    assert!(!end.contains("hunter2") && end.contains("   password: ***"), "{end}");
    let shown = well(dir.path(), "webhooks update audit --secret new-hunter2 --dry-run");
    assert!(!shown.contains("hunter2"), "{shown}");
    for line in [
        "-      secret: *** # ours",
        "+      secret: *** # ours",
        "         bearer: ***",
    ] {
        assert!(shown.lines().any(|found| found == line), "no `{line}` in\n{shown}");
    }
    let json = well(
        dir.path(),
        "webhooks update audit --secret new-hunter2 --dry-run --json",
    );
    assert!(
        !json.contains("hunter2") && json.contains("+      secret: ***"),
        "{json}"
    );
    assert_eq!(
        std::fs::read_to_string(dir.path().join("openclaw.yaml")).unwrap(),
        before
    );
}

#[test]
fn where_a_start_failed_an_edits_plan_is_the_edit() {
    let dir = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = format!("listen: \"{}\" }} # any port", taken.local_addr().unwrap());
    let text = DOCUMENT.replace("listen: \"127.0.0.1:0\" } # any port", &at);
    std::fs::write(dir.path().join("openclaw.yaml"), text).unwrap();
    fails(dir.path(), "run", &["in use"]);
    assert!(
        dir.path().join(".openclaw-webhooks").is_dir(),
        "it has a store without a generation"
    );
    let shown = well(dir.path(), "webhooks update audit --retries 3 --dry-run");
    assert!(
        shown.contains("Plan: 0 to add, 1 to change, 0 to replace, 0 to delete."),
        "{shown}"
    );
}
