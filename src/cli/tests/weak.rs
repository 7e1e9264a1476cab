//! Where a platform's scheme proves little, every command that shows the route says what an attacker could do.

use serde_json::Value as Json;

use super::harness::{Ran, Shell};

const DOCUMENT: &str = "webhooks:
  admin: { listen: unix:./none.sock }
  inbound:
    telegram: { secret: x }
    slack: { secret: x }
    dingtalk: { secret: x }
    feishu: { verifyToken: x }
    open: { platform: slack, verifySignature: false }
    near: { platform: token, secret: x, allowFrom: [10.0.0.0/8] }
";

fn shell() -> Shell {
    let shell = Shell::new();
    std::fs::write(shell.path("openclaw.yaml"), DOCUMENT).unwrap();
    std::fs::write(
        shell.path("before.yaml"),
        "webhooks:\n  inbound:\n    slack: { secret: x }\n",
    )
    .unwrap();
    shell
}

#[track_caller]
fn good(shell: &Shell, line: &str) -> String {
    let Ran { code, out, err } = shell.run_words(line);
    assert_eq!(code, 0, "{line}: {out}{err}");
    out
}

#[track_caller]
fn json(shell: &Shell, line: &str) -> Json {
    serde_json::from_str(&good(shell, line)).unwrap()
}

/// `OC151 webhooks.inbound.dingtalk` of what is no note.
fn warned(found: &Json) -> Vec<String> {
    let rows = found.as_array().unwrap().iter().filter(|row| row["severity"] != "note");
    rows.map(|row| format!("{} {}", row["code"].as_str().unwrap(), row["path"].as_str().unwrap()))
        .collect()
}

#[test]
fn what_an_attacker_could_do_is_told_to_people() {
    let shell = shell();
    let lines = [
        "validate",
        "plan --against before.yaml",
        "plan --against before.yaml --format markdown",
        "webhooks show dingtalk",
        "webhooks show feishu",
        "webhooks show open",
        "webhooks show telegram",
        "webhooks show slack",
        "webhooks show near",
        "webhooks list",
    ];
    let told = lines.map(|line| format!("$ openclaw {line}\n{}", good(&shell, line)));
    insta::assert_snapshot!(told.join("\n"));
    // Notes stand beside the answer, which looks as ever.
    let notes = shell.run_words("webhooks show telegram").err;
    assert!(
        notes.contains("set `channels.telegram.webhookUrl`") && notes.contains("(OC158)"),
        "{notes}"
    );
}

#[test]
fn what_an_attacker_could_do_is_told_to_programs() {
    let shell = shell();
    let expected = [
        "OC151 webhooks.inbound.dingtalk",
        "OC151 webhooks.inbound.feishu",
        "OC150 webhooks.inbound.open.verifySignature",
    ];
    assert_eq!(warned(&json(&shell, "validate --json")["diagnostics"]), expected);
    let plan = json(&shell, "plan --against before.yaml --json");
    assert_eq!(warned(&plan["diagnostics"]), expected);

    let listed = json(&shell, "webhooks list --json");
    let rows = listed["items"].as_array().unwrap();
    let of = |name: &str| &rows.iter().find(|row| row["name"] == name).unwrap()["warnings"];
    assert_eq!(warned(of("dingtalk")), ["OC151 webhooks.inbound.dingtalk"]);
    assert_eq!(warned(of("open")), ["OC150 webhooks.inbound.open"]);
    assert_eq!(of("telegram")[0]["code"], "OC158");
    assert_eq!(of("telegram")[1]["code"], "OC155");
    for name in ["slack", "near"] {
        assert_eq!(of(name), &Json::Null, "{name}");
    }

    // The same words everywhere.
    let shown = json(&shell, "webhooks show dingtalk --json");
    let message = &shown["webhook"]["warnings"][0]["message"];
    assert_eq!(message, &plan["diagnostics"][0]["message"]);
    assert!(
        message
            .as_str()
            .unwrap()
            .contains("whoever sees one request can send any other")
    );
}
