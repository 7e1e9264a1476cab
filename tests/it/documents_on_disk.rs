//! Whatever happens to the file, the last good document keeps running, and nothing is deleted by accident.

use std::fs;
use std::os::unix::fs::symlink;

use crate::harness::{Gateway, Provider, Request, document, eventually, sha256_signature};
use crate::load::{SECRET, github};

fn with(extra: &str) -> String {
    document(&format!(
        "  reconcile: {{ debounce: 20ms }}\n  inbound:\n    github: {{ secret: {SECRET} }}\n{extra}"
    ))
}

/// Waits until the gateway says that it did not apply the file, for this reason.
fn refused(gateway: &Gateway, reason: &str) {
    eventually(&format!("{reason} is said"), || {
        let status = gateway.status();
        status["conditions"]
            .as_array()
            .unwrap()
            .iter()
            .any(|c| c["reason"] == reason)
            .then_some(())
    });
    assert_eq!(gateway.generation(), 1);
    assert_eq!(
        github("/webhook/github", &format!("during-{reason}"))
            .send(gateway.public)
            .status,
        200
    );
}

#[test]
fn broken_documents_change_nothing_and_a_good_one_mends_it() {
    let gateway = Gateway::start(&with(""));
    for broken in [
        "",
        "webhooks:\n  inbound: [",
        "other: true\n",
        "webhooks:\n  inbound:\n    github: { secrt: x }\n",
    ] {
        gateway.save(broken);
        refused(&gateway, "DocumentInvalid");
    }
    // Written in place and cut in the middle, as a full disk would leave it.
    let whole = with("    more: { platform: token, secret: t }\n");
    fs::write(gateway.path("openclaw.yaml"), &whole[..whole.len() - 20]).unwrap();
    refused(&gateway, "DocumentInvalid");
    fs::write(gateway.path("openclaw.yaml"), &whole).unwrap();
    eventually("the whole document is applied", || {
        (gateway.generation() == 2).then_some(())
    });
}

#[test]
fn a_missing_document_keeps_the_last_one_running() {
    let gateway = Gateway::start(&with(""));
    fs::remove_file(gateway.path("openclaw.yaml")).unwrap();
    refused(&gateway, "DocumentMissing");
    gateway.save(&with("    more: { platform: token, secret: t }\n"));
    eventually("the new file is applied", || (gateway.generation() == 2).then_some(()));
}

#[test]
fn a_config_map_swap_is_one_reconcile() {
    let dir = tempfile::tempdir().unwrap();
    for (version, text) in [
        ("..v1", with("")),
        ("..v2", with("    more: { platform: token, secret: t }\n")),
    ] {
        fs::create_dir(dir.path().join(version)).unwrap();
        fs::write(dir.path().join(version).join("openclaw.yaml"), text).unwrap();
    }
    symlink("..v1", dir.path().join("..data")).unwrap();
    symlink("..data/openclaw.yaml", dir.path().join("openclaw.yaml")).unwrap();
    let gateway = Gateway::start_in(dir.into(), Vec::new());
    symlink("..v2", gateway.path("..data.new")).unwrap();
    fs::rename(gateway.path("..data.new"), gateway.path("..data")).unwrap();
    eventually("the swapped document is applied", || {
        (gateway.generation() == 2).then_some(())
    });
}

#[test]
fn a_burst_of_writes_ends_with_the_last() {
    let gateway = Gateway::start(&with(""));
    for n in 1..=1000 {
        gateway.save(&with(&format!(
            "    more: {{ platform: token, secret: t, description: \"{n}\" }}\n"
        )));
    }
    eventually("the last version is applied", || {
        let (_, text) = gateway.get("/v1/document");
        text.contains("\"1000\"").then_some(())
    });
    assert!(
        gateway.generation() < 200,
        "a burst is not a reconcile each: {}",
        gateway.generation()
    );
}

#[test]
fn equal_bytes_and_restarts_make_no_generation() {
    let gateway = Gateway::start(&with(""));
    gateway.save(&with(""));
    gateway.signal("HUP");
    assert!(gateway.cli(&["apply", "--yes"]).status.success());
    assert_eq!(gateway.generation(), 1);
    let (dir, env) = gateway.kill();
    assert_eq!(Gateway::start_in(dir, env).generation(), 1);
}

#[test]
fn a_comment_alone_makes_a_generation_and_changes_nothing() {
    let gateway = Gateway::start(&with(""));
    let text = format!("# a comment\n{}", with(""));
    assert_eq!(gateway.save_and_wait(&text), 2);
    let out = gateway.cli(&["export"]);
    assert_eq!(String::from_utf8(out.stdout).unwrap(), text);
}

#[test]
fn a_document_that_deletes_everything_is_held_until_it_is_allowed() {
    let many: String = (0..10)
        .map(|n| format!("    r{n}: {{ platform: token, secret: t }}\n"))
        .collect();
    let gateway = Gateway::start(&with(&many));
    gateway.save(&with(""));
    eventually("the document is held", || {
        (gateway.status()["document"]["state"] == "held").then_some(())
    });
    assert_eq!(gateway.generation(), 1);
    assert!(!gateway.cli(&["apply", "--yes"]).status.success());
    let out = gateway.cli(&["apply", "--yes", "--allow-deletes"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(gateway.generation(), 2);
}

#[test]
fn what_is_held_stays_held_over_a_restart() {
    let many: String = (0..10)
        .map(|n| format!("    r{n}: {{ platform: token, secret: t }}\n"))
        .collect();
    let gateway = Gateway::start(&with(&many));
    gateway.save(&with(""));
    eventually("the document is held", || {
        (gateway.status()["document"]["state"] == "held").then_some(())
    });
    let (dir, env) = gateway.kill();
    let gateway = Gateway::start_in(dir, env);
    assert_eq!(gateway.status()["document"]["state"], "held");
    assert_eq!(
        crate::harness::Request::post("/webhook/r3", "{}")
            .send(gateway.public)
            .status,
        401,
        "r3 still runs"
    );
}

#[test]
fn a_broken_document_at_a_restart_runs_the_last_good_one() {
    let gateway = Gateway::start(&with(""));
    let (dir, env) = gateway.kill();
    fs::write(dir.path().join("openclaw.yaml"), "webhooks: [").unwrap();
    let gateway = Gateway::start_in(dir, env);
    refused(&gateway, "DocumentInvalid");
}

#[test]
fn a_first_start_with_a_broken_document_exits_1() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("openclaw.yaml"), "webhooks:\n  inbuond: {}\n").unwrap();
    let out = crate::harness::openclaw()
        .arg("run")
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert_eq!(out.status.code(), Some(1));
    let stderr = String::from_utf8(out.stderr).unwrap();
    assert!(
        stderr.contains("openclaw.yaml:2:3") && stderr.contains("inbound"),
        "{stderr}"
    );
}

#[test]
fn manual_mode_waits_for_apply() {
    let manual = |extra: &str| with(extra).replace("debounce: 20ms", "debounce: 20ms, mode: manual");
    let gateway = Gateway::start(&manual(""));
    gateway.save(&manual("    more: { platform: token, secret: t }\n"));
    refused(&gateway, "Pending");
    let out = gateway.cli(&["apply", "--yes"]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(gateway.generation(), 2);
}

#[test]
fn an_empty_document_is_an_error_and_not_delete_everything() {
    let gateway = Gateway::start(&with(""));
    gateway.save("webhooks: {}\n");
    refused(&gateway, "DocumentInvalid");
}

#[test]
fn what_a_sighup_cannot_do_is_logged() {
    let gateway = Gateway::start(&with(""));
    fs::rename(gateway.path("openclaw.yaml"), gateway.path("away.yaml")).unwrap();
    refused(&gateway, "DocumentMissing");
    gateway.signal("HUP");
    eventually("the failure is logged", || {
        let said = gateway.output();
        let mut lines = said.lines();
        lines
            .any(|line| line.contains("SIGHUP") && line.contains("no such file"))
            .then_some(())
    });
}

#[test]
fn a_sighup_takes_no_document_that_is_half_written() {
    let dir = tempfile::tempdir().unwrap();
    let provider = Provider::new(dir.path());
    let text = |secret: u64| {
        provider.document(&format!(
            "    more: {{ platform: token, secret: t{secret} }}\n    last: {{ platform: token, secret: t{secret} }}\n  reconcile: {{ debounce: 500ms }}\n"
        ))
    };
    fs::write(dir.path().join("openclaw.yaml"), text(0)).unwrap();
    let gateway = Gateway::start_in(dir.into(), Vec::new());
    // Whether the signal or the watcher is obeyed first is chance.
    for round in 1..=4 {
        provider.hold();
        gateway.signal("HUP");
        provider.wait_until_asked();
        let whole = text(round);
        // A valid document, as far as it goes.
        let half = &whole[..whole.find("    last").unwrap()];
        fs::write(gateway.path("openclaw.yaml"), half).unwrap();
        gateway.signal("HUP");
        provider.let_go();
        std::thread::sleep(std::time::Duration::from_millis(200));
        fs::write(gateway.path("openclaw.yaml"), &whole).unwrap();
        eventually("the whole document is applied", || {
            (gateway.get("/v1/document").1 == whole).then_some(())
        });
        assert_eq!(gateway.generation(), round + 1, "nothing was applied before it");
    }
}

/// A gateway whose one route has its secret in the file `secret`, which holds `old`.
fn with_a_secret_file(text: &str) -> Gateway {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("openclaw.yaml"), text).unwrap();
    fs::write(dir.path().join("secret"), "old").unwrap();
    Gateway::start_in(dir.into(), Vec::new())
}

fn accepts(gateway: &Gateway, secret: &str) -> bool {
    let body = r#"{"zen":"x"}"#;
    let request = Request::post("/webhook/github", body)
        .header("content-type", "application/json")
        .header("x-github-event", "push")
        .header("x-github-delivery", "one")
        .header("x-hub-signature-256", sha256_signature(secret, body.as_bytes()));
    request.send(gateway.public).status == 200
}

#[track_caller]
fn takes_the_new_secret(gateway: &Gateway) {
    eventually("the new secret is in force", || accepts(gateway, "new").then_some(()));
    assert!(!accepts(gateway, "old"));
}

/// Long enough for the secret and the document to move in the same look.
const SECRET_FILE: &str = "  reconcile: { debounce: 300ms }\n  inbound:\n    github: { secret: { file: secret } }\n";
const MORE: &str = "    more: { platform: token, secret: t }\n";

#[test]
fn in_manual_mode_a_secret_that_moves_with_the_document_is_taken_and_the_document_waits() {
    let manual = |extra: &str| document(&format!("{SECRET_FILE}{extra}").replace("300ms", "300ms, mode: manual"));
    let gateway = with_a_secret_file(&manual(""));
    fs::write(gateway.path("secret"), "new").unwrap();
    gateway.save(&manual(MORE));
    gateway.condition("Applied", "Pending");
    takes_the_new_secret(&gateway);
    gateway.condition("Applied", "Pending");
    assert_eq!(gateway.status()["document"]["state"], "pending");
    assert!(gateway.cli(&["apply", "--yes"]).status.success());
    gateway.condition("Applied", "Ok");
    assert!(accepts(&gateway, "new"));
}

#[test]
fn a_reload_in_manual_mode_takes_a_secret_and_lets_the_document_wait() {
    let manual = |extra: &str| document(&format!("{SECRET_FILE}{extra}").replace("300ms", "300ms, mode: manual"));
    let gateway = with_a_secret_file(&manual(""));
    gateway.save(&manual(MORE));
    gateway.condition("Applied", "Pending");
    fs::write(gateway.path("secret"), "new").unwrap();
    gateway.signal("HUP");
    takes_the_new_secret(&gateway);
    gateway.condition("Applied", "Pending");
}

#[test]
fn a_secret_that_moves_with_a_broken_document_is_taken_and_the_document_stays_refused() {
    let gateway = with_a_secret_file(&document(SECRET_FILE));
    fs::write(gateway.path("secret"), "new").unwrap();
    gateway.save(&document(&format!("{SECRET_FILE}    more: {{ platfrom: token }}\n")));
    gateway.condition("Applied", "DocumentInvalid");
    takes_the_new_secret(&gateway);
    gateway.condition("Applied", "DocumentInvalid");
    fs::write(gateway.path("secret"), "newer").unwrap();
    eventually("a broken document holds up no secret", || {
        accepts(&gateway, "newer").then_some(())
    });
    gateway.condition("Applied", "DocumentInvalid");
    gateway.save(&document(&format!("{SECRET_FILE}{MORE}")));
    gateway.condition("Applied", "Ok");
}

#[test]
fn a_secret_that_moves_while_the_document_is_missing_is_taken() {
    let gateway = with_a_secret_file(&document(SECRET_FILE));
    fs::remove_file(gateway.path("openclaw.yaml")).unwrap();
    fs::write(gateway.path("secret"), "new").unwrap();
    gateway.condition("Watching", "DocumentMissing");
    takes_the_new_secret(&gateway);
    gateway.save(&document(&format!("{SECRET_FILE}{MORE}")));
    gateway.condition("Watching", "Ok");
}
