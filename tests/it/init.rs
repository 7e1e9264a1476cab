//! `openclaw init`: a gateway that works at once, and a document in front of an assistant.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value as Json, json};

use crate::harness::console::Console;
use crate::harness::{Gateway, document, eventually, openclaw};

fn run(dir: &Path, args: &[&str]) -> Output {
    openclaw()
        .args(args)
        .current_dir(dir)
        .env("HOME", dir)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[track_caller]
fn well(dir: &Path, args: &[&str]) -> (String, String) {
    let output = run(dir, args);
    let (out, err) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(output.status.success(), "{args:?}\n{out}{err}");
    (out, err)
}

#[track_caller]
fn fails(dir: &Path, args: &[&str]) -> String {
    let output = run(dir, args);
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{args:?}\n{err}");
    err
}

fn text(dir: &Path, name: &str) -> String {
    std::fs::read_to_string(dir.join(name)).unwrap()
}

#[test]
fn init_and_run_give_a_gateway_whose_next_three_steps_work() {
    let mut console = Console::open();
    let printed = console.run("openclaw init").join("\n");
    // The document's ports may be taken on this machine.
    let written = text(console.directory(), "openclaw.yaml");
    console.save("openclaw.yaml", &written);
    let (start, steps) = printed
        .split_once("\nStart the gateway:\n  ")
        .and_then(|(_, rest)| rest.split_once("\n\nThen, in other terminals:\n"))
        .unwrap();
    assert_eq!(start, "openclaw run");
    let steps: Vec<_> = steps.lines().filter_map(|line| line.strip_prefix("     ")).collect();
    assert_eq!(steps.len(), 3, "{printed}");

    console.run(&format!("{start} > gateway.log 2>&1 &"));
    assert_eq!(
        console.run("openclaw status --wait Ready --timeout 60s > /dev/null; echo $?"),
        ["0"]
    );
    let says = |out: Vec<String>, last: &str| assert_eq!(out.last().map(String::as_str), Some(last), "{out:#?}");
    says(console.run(steps[0]), "  Result: works");
    console.run(&format!("{} > received.log 2>&1 &", steps[1]));
    eventually("the receiver listens", || {
        let received = console.run("cat received.log").join("\n");
        received.contains("Listening on").then_some(())
    });
    says(console.run(steps[2]), "  Result: delivered");
    let received = text(console.directory(), "received.log");
    assert!(
        received.contains("webhook.test  attempt 1  signature ok  answered 200"),
        "{received}"
    );
}

#[test]
fn init_writes_over_nothing_and_says_all_in_json() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (out, err) = well(dir, &["init", "--json"]);
    let answer: Json = serde_json::from_str(&out).unwrap();
    assert_eq!(err, "");
    assert_eq!(
        answer["files"],
        json!([
            "openclaw.yaml",
            "secrets/telegram",
            "secrets/event-logger",
            ".gitignore"
        ])
    );
    assert_eq!(
        answer["next"][0]["command"],
        "openclaw webhooks test telegram --inbound --local"
    );
    well(dir, &["validate", "--resolve", "--deny-warnings"]);
    let (document, secret) = (text(dir, "openclaw.yaml"), text(dir, "secrets/telegram"));
    assert!(secret.len() == 64 && !document.contains(&secret) && !out.contains(&secret));

    let said = fails(dir, &["init"]);
    assert!(
        said.contains("openclaw.yaml is there already") && said.contains("hint: "),
        "{said}"
    );
    // Somebody's own secret stays, in another directory of documents too.
    std::fs::remove_file(dir.join("openclaw.yaml")).unwrap();
    well(dir, &["init"]);
    assert_eq!(text(dir, "secrets/telegram"), secret);
    let other = dir.join("other/webhooks.yaml");
    std::fs::create_dir(dir.join("other")).unwrap();
    let (out, _) = well(dir, &["--config", "other/webhooks.yaml", "init"]);
    assert!(
        out.contains("openclaw --config other/webhooks.yaml run") && other.exists(),
        "{out}"
    );
    assert!(dir.join("other/secrets/event-logger").exists());
    assert!(fails(dir, &["--config", "x.json", "init"]).contains("YAML"));
}

/// An assistant's own file, with secrets as people write them.
const ASSISTANT: &str = r#"{
  // mine
  gateway: { port: 19000 },
  channels: {
    telegram: { botToken: "hunter2", webhookUrl: "https://gw.example.com/tg", webhookSecret: "hunter2", webhookPort: 8799 },
    slack: { signingSecret: { source: "env", provider: "default", id: "SLACK_SECRET" }, botToken: "${SLACK_BOT_TOKEN}" },
    line: {
      channelSecret: "hunter2",
      accounts: { default: {}, Shop: { channelSecret: "${LINE_SHOP}", webhookPath: "/line/shop" } },
    },
    feishu: { enabled: false, encryptKey: "hunter2" },
    googlechat: { audience: "https://gw.example.com/googlechat" },
    wecom: { token: "hunter2", encodingAESKey: "hunter2", corpId: "corp1" },
    discord: { token: "hunter2" },
  },
}
"#;

fn assistant() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("assistant")).unwrap();
    std::fs::write(dir.path().join("assistant/openclaw.json"), ASSISTANT).unwrap();
    dir
}

#[test]
fn an_assistants_channels_become_webhooks_before_it_and_its_file_stays() {
    let dir = assistant();
    let dir = dir.path();
    let (out, err) = well(dir, &["init", "--assistant", "assistant"]);
    assert_eq!(text(dir, "assistant/openclaw.json"), ASSISTANT);
    let document = text(dir, "openclaw.yaml");
    let handler = text(dir, "assistant/hooks/webhook-bridge/handler.js");
    for said in [&out, &err, &document, &handler] {
        assert!(!said.contains("hunter2"), "{said}");
    }
    insta::assert_snapshot!("assistant_document", document);
    insta::assert_snapshot!("assistant_answer", out);
    assert!(handler.contains(
        r#"const INBOUND = {"telegram":"telegram","slack":"slack","line":"line","line:Shop":"line-shop","googlechat":"googlechat","wecom":"wecom"};"#
    ));
    assert!(text(dir, "assistant/hooks/webhook-bridge/HOOK.md").starts_with("---\nname: webhook-bridge\n"));
    let output = run(dir, &["validate", "--format", "json"]);
    let found: Json = serde_json::from_slice(&output.stdout).unwrap();
    for diagnostic in found["diagnostics"].as_array().unwrap() {
        assert_ne!(diagnostic["severity"], "error", "{diagnostic}");
    }
    let said = fails(dir, &["init", "--assistant", "assistant"]);
    assert!(said.contains("is there already"), "{said}");
    std::fs::remove_file(dir.join("openclaw.yaml")).unwrap();
    let said = fails(dir, &["init", "--assistant", "assistant"]);
    assert!(said.contains("HOOK.md"), "{said}");
    assert!(!dir.join("openclaw.yaml").exists(), "all of it or nothing");
    assert!(fails(dir, &["init", "--assistant", "nowhere"]).contains("--assistant is its directory"));
}

#[test]
fn an_assistants_own_file_is_never_written_to() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("openclaw.json"), ASSISTANT).unwrap();
    assert!(fails(dir, &["webhooks", "list"]).contains("no document found"));
    let line = ["webhooks", "create", "audit", "--url", "https://audit.example"];
    let (diff, err) = well(dir, &[&line[..], &["--dry-run"]].concat());
    assert!(
        err.contains("openclaw.json is the OpenClaw assistant's own file"),
        "{err}"
    );
    assert!(diff.contains("+webhooks:") && diff.contains("+    audit:"), "{diff}");
    assert!(!dir.join("openclaw.yaml").exists(), "a dry run writes nothing");
    well(dir, &line);
    well(
        dir,
        &["--config", "openclaw.json", "webhooks", "set-inbound", "telegram"],
    );
    let document = text(dir, "openclaw.yaml");
    assert!(
        document.contains("    audit:\n") && document.contains("    telegram:\n"),
        "{document}"
    );
    well(dir, &["validate"]);

    // One that has `webhooks` already is read, and warned of, and not written to either.
    let other = dir.join("other");
    std::fs::create_dir(&other).unwrap();
    let both = ASSISTANT.replace(
        "gateway:",
        "webhooks: { outbound: { audit: { url: 'https://audit.example' } } },\n  gateway:",
    );
    std::fs::write(other.join("openclaw.json"), &both).unwrap();
    assert!(well(&other, &["webhooks", "list"]).0.contains("audit"));
    for line in [
        "webhooks create b --url https://b.example",
        "webhooks pause audit",
        "webhooks set-inbound telegram",
    ] {
        let said = fails(&other, &line.split(' ').collect::<Vec<_>>());
        assert!(
            said.contains("never written to") && said.contains("beside it"),
            "{said}"
        );
    }
    let (valid, plan) = (well(&other, &["validate"]), well(&other, &["plan"]));
    assert!((valid.0 + &valid.1).contains("OC153") && plan.0.contains("OC153"));
    assert_eq!(text(&other, "openclaw.json"), both);
    assert_eq!(text(dir, "openclaw.json"), ASSISTANT);
}

#[test]
fn the_assistants_commands_are_handed_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let assistant = dir.path().join("openclaw");
    std::fs::write(&assistant, "#!/bin/sh\necho \"assistant: $*\"; exit 7\n").unwrap();
    std::fs::set_permissions(&assistant, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let ours = Path::new(env!("CARGO_BIN_EXE_openclaw")).parent().unwrap();
    let with = |path: &str, args: &[&str]| openclaw().args(args).env("PATH", path).output().unwrap();
    let both = format!("{}:{}:/bin:/usr/bin", ours.display(), dir.path().display());
    for line in [
        "gateway --port 18789",
        "webhooks gmail run",
        "--profile work doctor --fix",
    ] {
        let output = with(&both, &line.split(' ').collect::<Vec<_>>());
        assert_eq!(output.status.code(), Some(7));
        assert_eq!(String::from_utf8_lossy(&output.stdout), format!("assistant: {line}\n"));
    }
    let alone = with(&ours.display().to_string(), &["gateway"]);
    assert_eq!(alone.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&alone.stderr),
        "error: \"gateway\" belongs to the OpenClaw assistant (npm install -g openclaw); this is its webhook gateway\n"
    );
}

/// Whether there is a Node that runs the bridge.
fn node() -> bool {
    let version = Command::new("node").arg("--version").output();
    let found = version.is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("skipped: there is no Node on this machine");
    }
    found
}

/// What an assistant tells its hooks, as JavaScript.
const HAPPENS: &str = r#"
const at = new Date("2026-03-15T10:30:00Z");
const message = (action, sessionKey, context) => ({
  type: "message", action, sessionKey, timestamp: at, messages: [],
  context: { channelId: "telegram", accountId: "default", conversationId: "456", messageId: "7", ...context },
});
const sent = { to: "456", content: "hello", success: true };
await handler({ type: "gateway", action: "startup", sessionKey: "gateway", timestamp: at, context: {}, messages: [] });
await handler(message("received", "agent:main:main", { from: "42", content: "hi" }));
await handler(message("sent", "agent:main:hook:team:abc", sent));
await handler(message("sent", "agent:main:hook:team:abc", sent));
await handler(message("sent", "agent:main:main", { ...sent, messageId: "8", success: false, error: "blocked" }));
await handler(message("received", "agent:main:irc", { channelId: "irc", from: "mia", content: "hi", metadata: { senderId: "m1", senderName: "Mia" } }));
await handler({ type: "command", action: "new", context: {}, messages: [] });
"#;

#[test]
fn the_bridge_publishes_what_the_assistant_does() {
    if !node() {
        return;
    }
    let dir = assistant();
    well(dir.path(), &["init", "--assistant", "assistant"]);
    let handler = dir.path().join("handler.mjs");
    std::fs::copy(dir.path().join("assistant/hooks/webhook-bridge/handler.js"), &handler).unwrap();
    let gateway = Gateway::start(&document("  outbound: {}\n"));
    let session = json!({ "event": "message.received", "data": { "sessionId": "Team:ABC" } });
    assert_eq!(gateway.post("/v1/events", &session).status, 202);
    let script = format!(
        "import handler from {};{HAPPENS}",
        Json::from(handler.to_str().unwrap())
    );
    let output = Command::new("node")
        .args(["--input-type=module", "-e", &script])
        .env("OPENCLAW_WEBHOOKS_GATEWAY", format!("http://{}", gateway.admin))
        .env_remove("OPENCLAW_ADMIN_TOKEN")
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !err.contains("webhook-bridge"), "{err}");

    let events = gateway.json("/v1/events?limit=100");
    let mut told: Vec<_> = events["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["data"]["sessionId"] != "Team:ABC" || event["event"] != "message.received")
        .map(|event| (event["event"].as_str().unwrap().to_owned(), event["data"].clone()))
        .collect();
    told.retain(|(name, data)| {
        !name.starts_with("gateway.") && (name != "system.started" || data["component"] == "assistant")
    });
    told.reverse();
    let reply = |id: &str| json!({ "channel": "telegram", "user": "456", "message": "hello", "platform": "telegram", "messageId": id, "chatId": "456" });
    let with = |mut data: Json, name: &str, value: &str| {
        data[name] = value.into();
        data
    };
    let failed = with(with(reply("8"), "sessionId", "agent:main:main"), "error", "blocked");
    let irc = json!({ "channel": "irc", "user": "m1", "message": "hi", "sessionId": "agent:main:irc", "platform": "irc",
        "messageId": "7", "userName": "Mia", "chatId": "456" });
    let expected = [
        ("system.started".to_owned(), json!({ "component": "assistant" })),
        ("message.sent".to_owned(), with(reply("7"), "sessionId", "Team:ABC")),
        ("message.error".to_owned(), failed),
        ("message.received".to_owned(), irc),
    ];
    assert_eq!(told, expected, "each once, a repeat makes nothing");
}
