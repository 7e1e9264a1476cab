//! The tutorial comes true: every command of the original in its order, as printed, against the real gateway.

mod docs;

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value as Json, json};

use crate::harness::{Behaviour, Gateway, Receiver, Request, eventually};
use crate::python_verifies;

/// The original's blocks, verbatim.
const ORIGINAL: &str = include_str!("tutorial/original.md");

/// What the original's blocks of a language hold.
fn blocks(language: &str) -> Vec<&'static str> {
    let open = format!("```{language}\n");
    let ends = |rest: &'static str| rest.split_once("```").unwrap().0;
    ORIGINAL.split(&open).skip(1).map(ends).collect()
}

/// The original's commands in its order.
fn commands() -> Vec<String> {
    let mut commands: Vec<String> = Vec::new();
    let mut continued = false;
    for line in blocks("bash").concat().lines() {
        if continued {
            let command = commands.last_mut().unwrap();
            command.push('\n');
            command.push_str(line);
        } else if line.starts_with("openclaw ") {
            commands.push(line.to_owned());
        }
        continued = line.ends_with('\\');
    }
    commands
}

/// The document as it is before the original's first command: what its list shows. The names of its senders lead nowhere from
/// here, so no event of this test is for them.
fn document() -> String {
    crate::harness::document(
        "  inbound:
    telegram:
      channel: telegram-main
      url: https://gateway.example.com/webhook/telegram
      secret: a-secret
    discord:
      channel: discord-dev
      url: https://gateway.example.com/webhook/discord
      publicKey: 933f9761b55d5236853ffba79e2b3aa682ad96c72c2e9838dfbbfb7504e6af2d
    slack: { channel: slack-team, secret: a-secret, paused: true } # until the app is set up

  outbound:
    event-logger:
      url: https://log.example.com/events
      events: [agent.switched]
    backup-bot:
      url: https://backup.example.com/messages
      events: [agent.switched]
",
    )
}

/// One reader of the original.
struct Reader {
    gateway: Gateway,
    commands: std::vec::IntoIter<String>,
    /// What the document must be.
    document: String,
}

impl Reader {
    /// Types a command into a shell.
    fn types(&self, command: &str) -> Output {
        let binary = Path::new(env!("CARGO_BIN_EXE_openclaw")).parent().unwrap();
        let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
        Command::new("sh")
            .args(["-c", command])
            .current_dir(self.gateway.dir.path())
            .env("PATH", path)
            .env("OPENCLAW_GATEWAY", format!("http://{}", self.gateway.admin))
            .output()
            .unwrap()
    }

    #[track_caller]
    fn good(&self, command: &str) -> (String, String) {
        let output = self.types(command);
        let out = String::from_utf8(output.stdout).unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "$ {command}\n{out}{err}");
        (out, err)
    }

    /// Types the original's next command, which begins so; its answer, and what was said beside it.
    #[track_caller]
    fn next(&mut self, begins: &str) -> (String, String) {
        let command = self.commands.next().unwrap();
        assert!(command.starts_with(&format!("openclaw webhooks {begins}")), "{command}");
        self.good(&command)
    }

    /// The original's next command edits the document: `from` becomes `to`, and nothing else of it changes.
    #[track_caller]
    fn edits(&mut self, begins: &str, from: &str, to: &str) -> (String, String) {
        let said = self.next(begins);
        self.changed(from, to);
        said
    }

    #[track_caller]
    fn changed(&mut self, from: &str, to: &str) {
        assert_eq!(self.document.matches(from).count(), 1, "{from}");
        self.document = self.document.replace(from, to);
        let text = std::fs::read_to_string(self.gateway.path("openclaw.yaml")).unwrap();
        assert_eq!(text, self.document);
    }

    fn telegram(&self, number: usize, text: &str) -> u16 {
        let message = json!({ "message_id": number, "date": 1_773_570_600, "text": text,
            "chat": { "id": 1, "type": "private" }, "from": { "id": 2, "is_bot": false, "first_name": "Mia" } });
        Request::post(
            "/webhook/telegram",
            json!({ "update_id": number, "message": message }).to_string(),
        )
        .header("content-type", "application/json")
        .header("x-telegram-bot-api-secret-token", "a-secret")
        .send(self.gateway.public)
        .status
    }
}

/// A time zone where it is noon, whenever the test runs: "today" must not end while it does.
fn noon() -> String {
    let seconds = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let hour = i64::try_from(seconds / 3600 % 24).unwrap();
    format!("NOON{}", hour - 12)
}

/// Two minutes pass for a store that no gateway has open.
fn two_minutes_pass(dir: &Path) {
    let store = rusqlite::Connection::open(dir.join(".openclaw-webhooks/store.db")).unwrap();
    let moved = store.execute("UPDATE route_quarters SET last_ms = last_ms - 120000", []);
    assert!(moved.unwrap() > 0);
}

/// A gateway that has had 230 messages from Telegram, the last one two minutes ago.
fn reader() -> Reader {
    let document = document();
    let noon = noon();
    let mut reader = Reader {
        gateway: Gateway::start_with(&document, &[("TZ", &noon)]),
        commands: commands().into_iter(),
        document,
    };
    for number in 0..230 {
        assert_eq!(reader.telegram(number, "你好"), 200);
    }
    let (dir, env) = reader.gateway.kill();
    two_minutes_pass(dir.path());
    reader.gateway = Gateway::start_in(dir, env);
    reader
}

#[test]
fn every_command_of_the_original_works_as_printed_in_its_order() {
    let mut reader = reader();
    let receiver = Receiver::start();
    looks_at_what_is_there(&mut reader);
    sets_up_inbound(&mut reader);
    makes_a_sender(&mut reader, &receiver);
    receives_what_is_sent(&reader, &receiver);
    retries(&mut reader, &receiver);
    pauses_and_deletes(&mut reader, &receiver);
    assert_eq!(reader.commands.next(), None, "every command was typed");
}

/// 查看 Webhook 列表, 查看入站 Webhook 详情
fn looks_at_what_is_there(reader: &mut Reader) {
    let shown = blocks("text");
    assert_eq!(reader.next("list").0, shown[0]);
    assert_eq!(reader.next("show telegram").0, shown[1]);
}

/// 设置入站 Webhook, 测试入站 Webhook
fn sets_up_inbound(reader: &mut Reader) {
    let url = "      url: https://gateway.example.com/webhook/telegram\n      secret: a-secret\n";
    let verified = "      url: https://gateway.example.com/webhook/telegram\n      secret: a-secret\n      verifySignature: true\n";
    let (out, _) = reader.edits("set-inbound telegram", url, verified);
    assert!(out.ends_with("the gateway has converged. Generation 2.\n"), "{out}");

    let real = "933f9761b55d5236853ffba79e2b3aa682ad96c72c2e9838dfbbfb7504e6af2d";
    let (out, _) = reader.edits("set-inbound discord", real, "discord-public-key");
    let warned = "this key verifies nothing: Discord's public key has 64 hex digits";
    assert!(out.contains("warning[OC159]: ") && out.contains(warned), "{out}");
    assert!(out.ends_with("the gateway has converged. Generation 3.\n"), "{out}");
    a_key_that_is_none_lets_nothing_in(reader);

    // From here the public name leads nowhere: what the test is sent to is the listener.
    let public = format!("http://{}/webhook/telegram", reader.gateway.public);
    reader.good(&format!("openclaw webhooks set-inbound telegram --url {public}"));
    reader.changed("https://gateway.example.com/webhook/telegram", &public);
    let (out, _) = reader.next("test telegram --inbound");
    assert!(
        out.starts_with(&format!("Test of telegram: {public}\n  DNS: 127.0.0.1 (")),
        "{out}"
    );
    assert!(
        out.contains("\n  Status: 200 OK (")
            && out.contains("\n  Event: seen (evt_")
            && out.ends_with("\n  Result: works\n"),
        "{out}"
    );
}

fn a_key_that_is_none_lets_nothing_in(reader: &Reader) {
    let why = "no key can verify its requests: Discord's public key has 64 hex digits";
    let (list, _) = reader.good("openclaw webhooks list");
    let line = format!("    /webhook/discord      ✓ Active    discord-dev  ⚠ {why}\n");
    assert!(list.contains(&line), "{list}");
    let (shown, _) = reader.good("openclaw webhooks show discord");
    assert!(
        shown.contains(&format!(
            "  Warning: {why}; put the platform's own key in its place (OC159)\n"
        )),
        "{shown}"
    );
    let (valid, _) = reader.good("openclaw validate --format text");
    assert!(
        valid.contains("warning[OC159]") && valid.contains("openclaw.yaml: valid, 1 warning"),
        "{valid}"
    );
    // Neither unsigned, nor signed by whoever made the placeholder.
    let ping = Request::post("/webhook/discord", r#"{"type":1}"#);
    let signed = ping
        .clone()
        .header("x-signature-ed25519", "00".repeat(64))
        .header("x-signature-timestamp", "1773570600");
    for request in [ping, signed] {
        assert_eq!(request.send(reader.gateway.public).status, 401);
    }
    let logs = eventually("both refusals in the log", || {
        let (logs, _) = reader.good("openclaw webhooks logs discord --failed");
        Some(logs).filter(|logs| logs.matches("401 signature").count() == 2)
    });
    assert_eq!(
        logs.matches("no key can verify it: Discord's public key is 64 hex digits")
            .count(),
        2,
        "{logs}"
    );
    let output = reader.types("openclaw webhooks test discord --inbound --local");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        !output.status.success() && text.contains(&format!("  Key: {why}\n")),
        "{text}"
    );
}

/// 创建出站 Webhook, 配置推送事件类型
fn makes_a_sender(reader: &mut Reader, receiver: &Receiver) {
    // The original's list has it already; one that exists is not created.
    reader.good("openclaw webhooks delete event-logger");
    reader.changed(
        "    event-logger:\n      url: https://log.example.com/events\n      events: [agent.switched]\n",
        "",
    );
    let (out, err) = reader.edits(
        "create event-logger",
        "    backup-bot:\n      url: https://backup.example.com/messages\n      events: [agent.switched]\n",
        "    backup-bot:\n      url: https://backup.example.com/messages\n      events: [agent.switched]\n    event-logger:\n      \
         url: https://log.example.com/events\n      events: [message.received, message.sent, error]\n      \
         secret: webhook-signing-secret\n",
    );
    assert!(out.contains("  + webhooks.outbound.event-logger  create\n"), "{out}");
    assert!(
        err.contains("warning: the value of `secret` is now in the document"),
        "{err}"
    );
    let (shown, _) = reader.good("openclaw webhooks show event-logger");
    assert!(
        shown.contains("  Events: message.received, message.sent, message.error\n"),
        "`error` is message.error: {shown}"
    );

    let url = receiver.url("/events");
    reader.good(&format!("openclaw webhooks update event-logger --url {url}"));
    reader.changed("https://log.example.com/events", &url);
    reader.edits(
        "update event-logger",
        "[message.received, message.sent, error]",
        "[message.received, message.sent, channel.disconnected]",
    );
    for event in ["message.error", "channel.disconnected", "message.sent"] {
        let data = json!({ "event": event, "data": { "channel": "telegram-main" } });
        assert_eq!(reader.gateway.post("/v1/events", &data).status, 202);
    }
    let mut events: Vec<_> = receiver
        .wait_for(2)
        .iter()
        .map(|sent| sent.json()["event"].clone())
        .collect();
    events.sort_by_key(Json::to_string);
    assert_eq!(events, ["channel.disconnected", "message.sent"]);
}

/// 出站 Webhook 负载格式, 签名验证
fn receives_what_is_sent(reader: &Reader, receiver: &Receiver) {
    let before = receiver.count();
    assert_eq!(reader.telegram(230, "你好"), 200);
    let sent = receiver.wait_for(before + 1).pop().unwrap();
    let payload = sent.json();
    let printed: Json = serde_json::from_str(blocks("json")[0]).unwrap();
    let keys = |json: &Json| json.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&payload), keys(&printed), "the same keys in the same order");
    let data = keys(&payload["data"]);
    assert_eq!(data[..4], keys(&printed["data"])[..], "{data:?}");
    assert_eq!(payload["event"], printed["event"]);
    assert_eq!(payload["data"]["channel"], printed["data"]["channel"]);
    assert_eq!(payload["data"]["message"], printed["data"]["message"]);
    let timestamp = payload["timestamp"].as_str().unwrap();
    assert!(
        timestamp.len() == "2026-03-15T10:30:00Z".len() && timestamp.ends_with('Z'),
        "{timestamp}"
    );
    assert!(payload["signature"].as_str().unwrap().starts_with("sha256="));

    let script = format!(
        "{}\nimport json, sys\ni = json.load(sys.stdin)\nprint(*[verify_webhook(i['body'], i['header'], secret) for secret in ('webhook-signing-secret', 'another')])",
        blocks("python")[0]
    );
    let input =
        json!({ "body": String::from_utf8(sent.body.clone()).unwrap(), "header": sent.header("x-openclaw-signature") });
    if let Some(said) = python_verifies::run(&script, &input) {
        assert_eq!(said.trim(), "True False");
    }
}

/// 重试策略, Webhook 日志
fn retries(reader: &mut Reader, receiver: &Receiver) {
    let secret = "      secret: webhook-signing-secret\n";
    let written = format!("{secret}      timeout: 10000\n      retries: 3\n      retryDelay: 5000\n");
    reader.edits("update event-logger", secret, &written);

    std::fs::write(reader.gateway.path("printed.json"), blocks("json")[1]).unwrap();
    let (valid, _) = reader.good("openclaw validate -f printed.json --format text");
    assert!(valid.contains("printed.json: valid"), "{valid}");

    receiver.behave(Behaviour::Answer(503));
    assert_eq!(reader.telegram(231, "is anybody there?"), 200);
    receiver.wait_for(4);
    eventually("the failed attempt in the log", || {
        let (logs, _) = reader.good("openclaw webhooks logs event-logger");
        logs.contains("  503  ").then_some(())
    });
    let (all, _) = reader.next("logs event-logger --last 20");
    let head = "TIME                  EVENT                 DELIVERY";
    assert!(all.starts_with(head), "{all}");
    assert!(all.contains("  200  ") && all.contains("  1/4      503  "), "{all}");
    let (failed, _) = reader.next("logs event-logger --failed");
    assert!(
        failed.contains("  1/4      503  ") && !failed.contains("  200  "),
        "{failed}"
    );
}

/// 暂停和恢复, 删除 Webhook
fn pauses_and_deletes(reader: &mut Reader, receiver: &Receiver) {
    let delay = "      retryDelay: 5000\n";
    let paused = format!("{delay}      paused: true\n");
    reader.edits("pause event-logger", delay, &paused);
    let (shown, _) = reader.good("openclaw webhooks show event-logger");
    assert!(shown.contains("  Status: Inactive (paused)\n"), "{shown}");
    let before = receiver.count();
    receiver.behave(Behaviour::Answer(200));
    assert_eq!(reader.telegram(232, "it waits"), 200);
    let (shown, _) = reader.good("openclaw webhooks show event-logger");
    assert!(shown.contains("  Backlog: 2 ("), "{shown}");
    assert_eq!(receiver.count(), before, "a paused sender sends nothing");

    reader.edits("resume event-logger", &paused, delay);
    receiver.wait_for(before + 1);
    eventually("nothing is owed any more", || {
        let (shown, _) = reader.good("openclaw webhooks show event-logger");
        shown.contains("  Backlog: 0\n").then_some(())
    });

    let start = reader.document.find("    event-logger:\n").unwrap();
    let entry = reader.document[start..].to_owned();
    let (out, _) = reader.edits("delete event-logger", &entry, "");
    assert!(out.contains("  - webhooks.outbound.event-logger  delete"), "{out}");
    let (list, _) = reader.good("openclaw webhooks list");
    assert!(!list.contains("event-logger") && list.contains("backup-bot"), "{list}");
}

#[test]
fn the_originals_commands_also_make_what_is_not_there() {
    let document = crate::harness::document("  outbound: {}\n");
    let reader = Reader {
        gateway: Gateway::start(&document),
        commands: commands().into_iter(),
        document,
    };
    let commands = commands();
    for command in commands.iter().filter(|command| command.contains(" set-inbound ")) {
        reader.good(command);
    }
    let text = std::fs::read_to_string(reader.gateway.path("openclaw.yaml")).unwrap();
    let made = "  inbound:\n    telegram:\n      url: https://gateway.example.com/webhook/telegram\n      verifySignature: true\n      \
                secret: { file: ./secrets/telegram }\n    discord:\n      url: https://gateway.example.com/webhook/discord\n      \
                publicKey: discord-public-key\n";
    assert_eq!(text, format!("{}{made}", reader.document));
    assert_eq!(
        std::fs::read_to_string(reader.gateway.path("secrets/telegram"))
            .unwrap()
            .len(),
        64
    );
    let (out, _) = reader.good("openclaw webhooks test telegram --inbound --local");
    assert!(out.ends_with("  Result: works\n"), "{out}");
}

#[test]
fn a_public_name_that_does_not_lead_here_is_told_with_the_way_out() {
    // No label has more than 63 characters: nothing is asked on the network.
    let name = format!("http://{}.example/webhook/telegram", "gateway".repeat(10));
    let gateway = Gateway::start(&crate::harness::document(&format!(
        "  inbound:\n    telegram: {{ url: \"{name}\", secret: a-secret }}\n"
    )));
    let output = gateway.cli(&["webhooks", "test", "telegram", "--inbound"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("  DNS: failed: ")
            && text.contains("--local tests the gateway's own listener\n")
            && text.ends_with("  Result: does not work\n"),
        "{text}"
    );
}
