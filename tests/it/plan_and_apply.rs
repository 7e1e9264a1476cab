//! `plan` shows what `apply` does, and nothing else happens.

use std::process::Output;

use crate::harness::{Gateway, Provider, document, eventually};
use crate::load::SECRET;

fn manual(rest: &str) -> String {
    document(&format!(
        "  reconcile: {{ mode: manual, debounce: 5ms }}\n  inbound:\n    github: {{ secret: {SECRET} }}\n{rest}"
    ))
}

fn text(out: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    )
}

const LOGGER: &str = "  outbound:\n    event-logger: { url: \"https://log.example.com/events\", events: [message.received], secret: first }\n";
const LOGGER_V2: &str = "  outbound:\n    event-logger: { url: \"https://log.example.com/v2\", events: [message.received, message.sent], secret: second }\n    audit: { url: \"https://audit.example.com/\" }\n";

#[test]
fn plan_then_apply_then_plan_prints_no_changes() {
    let gateway = Gateway::start(&manual(LOGGER));
    gateway.save(&manual(LOGGER_V2));
    let plan = gateway.cli(&["plan", "--detailed-exitcode"]);
    assert_eq!(plan.status.code(), Some(2), "{}", text(&plan));
    let shown = String::from_utf8(plan.stdout).unwrap();
    insta::assert_snapshot!("plan", shown);
    assert!(
        !shown.contains("first") && !shown.contains("second"),
        "a plan shows no secret"
    );
    let apply = gateway.cli(&["apply", "--yes"]);
    assert!(apply.status.success(), "{}", text(&apply));
    assert!(
        text(&apply).contains("Apply complete! Generation 2: 1 added, 1 changed, 0 replaced, 0 deleted."),
        "{}",
        text(&apply)
    );
    let again = gateway.cli(&["plan", "--detailed-exitcode"]);
    assert_eq!(again.status.code(), Some(0), "{}", text(&again));
    assert!(text(&again).contains("No changes. The gateway matches the document."));
}

#[test]
fn the_plan_comes_as_json_and_as_markdown() {
    let gateway = Gateway::start(&manual(LOGGER));
    gateway.save(&manual(LOGGER_V2));
    let json = gateway.cli(&["plan", "--format", "json"]);
    let plan: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let schema: serde_json::Value = serde_json::from_str(include_str!("../../schema/plan.schema.json")).unwrap();
    let errors: Vec<_> = jsonschema::validator_for(&schema)
        .unwrap()
        .iter_errors(&plan)
        .map(|e| e.to_string())
        .collect();
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(
        plan["summary"],
        serde_json::json!({ "add": 1, "change": 1, "replace": 0, "delete": 0 })
    );
    assert_eq!(plan["base"]["generation"], 1);
    let markdown = gateway.cli(&["plan", "--format", "markdown"]);
    assert!(text(&markdown).starts_with("<!-- openclaw-plan -->"));
}

#[test]
fn a_stale_plan_is_refused_with_what_moved() {
    let gateway = Gateway::start(&manual(LOGGER));
    gateway.save(&manual(LOGGER_V2));
    assert!(gateway.cli(&["plan", "--out", "saved.plan"]).status.success());
    let saved = std::fs::read_to_string(gateway.path("saved.plan")).unwrap();
    assert!(
        !saved.contains("second") && !saved.contains("inbound:"),
        "neither document nor secret: {saved}"
    );
    assert!(text(&gateway.cli(&["show", "saved.plan"])).contains("webhooks.outbound.event-logger  update in place"));
    assert!(gateway.cli(&["apply", "--yes"]).status.success());
    let stale = gateway.cli(&["apply", "saved.plan", "--yes"]);
    assert_eq!(stale.status.code(), Some(1));
    assert!(
        text(&stale).contains("stale") && text(&stale).contains("generation 2"),
        "{}",
        text(&stale)
    );
}

#[test]
fn a_saved_plan_applies_what_it_showed() {
    let gateway = Gateway::start(&manual(LOGGER));
    gateway.save(&manual(LOGGER_V2));
    assert!(gateway.cli(&["plan", "--out", "saved.plan"]).status.success());
    let apply = gateway.cli(&["apply", "saved.plan", "--yes"]);
    assert!(apply.status.success(), "{}", text(&apply));
    assert_eq!(gateway.generation(), 2);
}

#[test]
fn usage_errors_exit_1_and_apply_needs_yes_without_a_terminal() {
    let gateway = Gateway::start(&manual(LOGGER));
    assert_eq!(gateway.cli(&["plan", "--no-such-flag"]).status.code(), Some(1));
    assert_eq!(gateway.cli(&["no-such-command"]).status.code(), Some(1));
    gateway.save(&manual(LOGGER_V2));
    let apply = gateway.cli(&["apply"]);
    assert_eq!(apply.status.code(), Some(1));
    assert!(text(&apply).contains("--yes"), "{}", text(&apply));
    assert_eq!(gateway.generation(), 1);
}

#[test]
fn history_export_and_rollback_tell_and_undo() {
    let gateway = Gateway::start(&manual(LOGGER));
    gateway.save(&manual(LOGGER_V2));
    assert!(gateway.cli(&["apply", "--yes"]).status.success());
    let history = gateway.cli(&["history", "--json"]);
    let history: serde_json::Value = serde_json::from_slice(&history.stdout).unwrap();
    let causes: Vec<_> = history["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|g| g["cause"].as_str().unwrap())
        .collect();
    assert_eq!(causes, ["apply", "start"]);
    let first = gateway.cli(&["export", "--generation", "1"]);
    assert_eq!(String::from_utf8(first.stdout).unwrap(), manual(LOGGER));
    let back = gateway.cli(&["rollback", "1", "--yes", "--allow-deletes"]);
    assert!(back.status.success(), "{}", text(&back));
    assert_eq!(gateway.generation(), 3);
    assert_eq!(
        std::fs::read_to_string(gateway.path("openclaw.yaml")).unwrap(),
        manual(LOGGER)
    );
}

#[test]
fn a_push_replaces_the_gateways_own_file_and_a_stale_push_does_not() {
    let gateway = Gateway::start(&manual(LOGGER));
    std::fs::write(gateway.path("other.yaml"), manual(LOGGER_V2)).unwrap();
    let push = gateway.cli(&["apply", "-f", "other.yaml", "--yes"]);
    assert!(push.status.success(), "{}", text(&push));
    assert_eq!(
        std::fs::read_to_string(gateway.path("openclaw.yaml")).unwrap(),
        manual(LOGGER_V2)
    );
    let stale = gateway.post(
        "/v1/apply",
        &serde_json::json!({ "document": manual(""), "baseGeneration": 1 }),
    );
    assert_eq!(stale.status, 409, "{}", stale.text());
    let without = gateway.post("/v1/apply", &serde_json::json!({ "document": manual("") }));
    assert_eq!(without.status, 428, "{}", without.text());
    let broken = gateway.post(
        "/v1/apply",
        &serde_json::json!({ "document": "webhooks: [", "baseGeneration": 2 }),
    );
    assert_eq!(broken.status, 422, "{}", broken.text());
    assert_eq!(
        std::fs::read_to_string(gateway.path("openclaw.yaml")).unwrap(),
        manual(LOGGER_V2)
    );
}

#[test]
fn without_a_gateway_plan_compares_with_the_last_applied_generation() {
    let gateway = Gateway::start(&manual(LOGGER));
    let (dir, _) = gateway.kill();
    std::fs::write(dir.path().join("openclaw.yaml"), manual(LOGGER_V2)).unwrap();
    let plan = crate::harness::openclaw()
        .arg("plan")
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert!(plan.status.success(), "{}", text(&plan));
    assert!(
        text(&plan).contains("nothing answers") && text(&plan).contains("compared with generation 1"),
        "{}",
        text(&plan)
    );
    assert!(
        text(&plan).contains("webhooks.outbound.audit  create"),
        "{}",
        text(&plan)
    );
}

#[test]
fn a_foreign_document_is_planned_without_looking_at_what_it_names() {
    let gateway = Gateway::start(&manual(LOGGER));
    std::fs::write(gateway.path("private"), "hunter2").unwrap();
    let foreign = manual("    curious: { platform: token, secret: { file: ./private } }\n");
    let plan = gateway.post("/v1/plan", &serde_json::json!({ "document": foreign }));
    assert_eq!(plan.status, 200, "{}", plan.text());
    let not_checked = plan.json()["notChecked"].to_string();
    assert!(
        not_checked.contains("webhooks.inbound.curious secret: {file: ./private}"),
        "{not_checked}"
    );
    // The gateway's own file is looked at in full: it will run.
    gateway.save(&foreign);
    let own = gateway.cli(&["plan", "--json"]);
    let own: serde_json::Value = serde_json::from_slice(&own.stdout).unwrap();
    assert_eq!(own["notChecked"], serde_json::json!([]));
}

#[test]
fn a_push_that_brings_a_program_is_refused_without_a_token() {
    let gateway = Gateway::start(&manual(LOGGER));
    let text = format!(
        "secrets: {{ providers: {{ vault: {{ source: exec, command: /bin/true }} }} }}\n{}",
        manual(LOGGER)
    );
    let push = gateway.post(
        "/v1/apply",
        &serde_json::json!({ "document": text, "baseGeneration": 1 }),
    );
    assert_eq!(push.status, 403, "{}", push.text());
    assert_eq!(gateway.generation(), 1);
}

fn push(gateway: &Gateway, text: &str) -> crate::harness::Answer {
    let base = gateway.generation();
    gateway.post(
        "/v1/apply",
        &serde_json::json!({ "document": text, "baseGeneration": base }),
    )
}

#[test]
fn a_push_does_not_overwrite_an_edit_that_waits() {
    let gateway = Gateway::start(&manual(LOGGER));
    let edit = format!("# mine\n{}", manual(LOGGER));
    gateway.save(&edit);
    gateway.condition("Applied", "Pending");
    let refused = push(&gateway, &manual(LOGGER_V2));
    assert_eq!(refused.status, 409, "{}", refused.text());
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(
        detail.contains("openclaw apply") && detail.contains("openclaw rollback 1"),
        "{detail}"
    );
    assert_eq!(std::fs::read_to_string(gateway.path("openclaw.yaml")).unwrap(), edit);
    assert_eq!(gateway.generation(), 1);
    // The way out: the file is put back, and the edit that goes is told.
    let back = gateway.cli(&["rollback", "1", "--yes"]);
    assert!(back.status.success(), "{}", text(&back));
    assert!(text(&back).contains("an edit that was not applied"), "{}", text(&back));
    assert_eq!(push(&gateway, &manual(LOGGER_V2)).status, 200);
    assert_eq!(
        std::fs::read_to_string(gateway.path("openclaw.yaml")).unwrap(),
        manual(LOGGER_V2)
    );
}

#[test]
fn an_edit_that_is_saved_while_a_push_or_a_rollback_is_checked_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let provider = Provider::new(dir.path());
    std::fs::write(dir.path().join("openclaw.yaml"), provider.document("")).unwrap();
    let gateway = Gateway::start_in(dir.into(), Vec::new());
    let pushed = provider.document(LOGGER);
    for back in [false, true] {
        let body = serde_json::json!({
            "document": pushed, "baseGeneration": gateway.generation(), "rollbackTo": back.then_some(1)
        });
        let edit = format!("# mine, {back}\n{}", provider.document(""));
        provider.hold();
        let answer = std::thread::scope(|scope| {
            let pushing = scope.spawn(|| gateway.post("/v1/apply", &body));
            provider.wait_until_asked();
            gateway.save(&edit);
            provider.let_go();
            pushing.join().unwrap()
        });
        assert_eq!(answer.status, 409, "{}", answer.text());
        eventually("the edit runs", || {
            (gateway.get("/v1/document").1 == edit).then_some(())
        });
        assert_eq!(std::fs::read_to_string(gateway.path("openclaw.yaml")).unwrap(), edit);
    }
}
