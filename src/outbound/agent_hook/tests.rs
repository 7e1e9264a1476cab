use super::*;
use crate::document::settings::{AgentHook, Auth, Format};
use crate::expression::Template;
use crate::outbound::clients::Clients;
use crate::outbound::egress::Policy;
use crate::outbound::payload::{self, tests::event_of};
use crate::outbound::prepared::tests::settings;
use crate::secret::Secret;

const CHAT: &str = r#"{"channel":"tg","user":"42","message":"hi","sessionId":"tg:-1:7","platform":"telegram","userName":"Ada","chatId":"-1","threadId":"7"}"#;

fn rendered(hook: AgentHook, name: &str, data: &str) -> Result<Payload, String> {
    let mut settings = settings("https://assistant.example/hooks/agent");
    settings.format = Format::AgentHook;
    settings.auth = Some(Auth::Bearer(Secret::new("t")));
    settings.agent_hook = Some(Box::new(hook));
    let sender = PreparedSender::new(settings, &Policy::default(), &Clients::new()).unwrap();
    payload::render(&sender, &event_of(name, data), "dlv_1_1", crate::clock::from_ms(0))
}

fn body(hook: AgentHook, data: &str) -> String {
    String::from_utf8(rendered(hook, "message.received", data).unwrap().body.to_vec()).unwrap()
}

#[test]
fn absent_members_are_left_out_and_the_rest_has_its_order() {
    assert_eq!(
        body(AgentHook::default(), CHAT),
        r#"{"message":"Ada (telegram tg): hi","name":"tg","deliver":false}"#
    );
    let all = AgentHook {
        agent_id: Some("main".into()),
        conversation: true,
        reply: true,
        account_id: Some("default".into()),
        model: Some("sonnet".into()),
        thinking: Some("low".into()),
        timeout_seconds: Some(120),
        wait: true,
        message: Some(Template::parse("{{data.message}}").unwrap()),
        ..AgentHook::default()
    };
    assert_eq!(
        body(all.clone(), CHAT),
        r#"{"message":"hi","name":"tg","agentId":"main","sessionKey":"hook:tg:-1:7","sessionMode":"persistent","deliver":true,"channel":"telegram","to":"-1:topic:7","accountId":"default","model":"sonnet","thinking":"low","timeoutSeconds":120,"waitForCompletion":true}"#
    );
    let payload = rendered(all, "message.received", CHAT).unwrap();
    assert_eq!(payload.headers[IDEMPOTENCY_KEY], "dlv_1_1");
}

#[test]
fn receivers_are_written_as_the_assistant_writes_them() {
    for (platform, chat, to) in [
        ("telegram", "-100", "-100"),
        ("slack", "C1", "channel:C1"),
        ("discord", "77", "channel:77"),
        ("googlechat", "spaces/A", "spaces/A"),
        ("whatsapp", "15551234567", "+15551234567"),
        ("line", "U1", "U1"),
    ] {
        let data = format!(r#"{{"channel":"c","user":"u","message":"m","platform":"{platform}","chatId":"{chat}"}}"#);
        let hook = AgentHook {
            reply: true,
            ..AgentHook::default()
        };
        let body: serde_json::Value = serde_json::from_str(&body(hook, &data)).unwrap();
        assert_eq!((&body["channel"], &body["to"]), (&platform.into(), &to.into()));
    }
    let elsewhere = AgentHook {
        reply: true,
        channel: Some("slack".into()),
        to: Some("channel:ops".into()),
        ..AgentHook::default()
    };
    assert!(body(elsewhere, r#"{"n":1}"#).contains(r#""deliver":true,"channel":"slack","to":"channel:ops""#));
}

#[test]
fn an_event_that_cannot_be_answered_fails_by_itself() {
    let hook = AgentHook {
        reply: true,
        ..AgentHook::default()
    };
    for data in [r#"{"platform":"wecom","chatId":"1"}"#, "{}"] {
        let error = rendered(hook.clone(), "message.received", data).unwrap_err();
        assert!(error.contains("agentHook.reply"), "{error}");
    }
}

#[test]
fn a_message_is_cut_at_200_kib_and_the_bytes_are_the_same_each_time() {
    let data = format!(
        r#"{{"channel":"gh","platform":"github","type":"push","body":{{"z":1.10,"text":"{}"}}}}"#,
        "ü".repeat(1 << 20)
    );
    let first = rendered(AgentHook::default(), "webhook.received", &data).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&first.body).unwrap();
    let message = json["message"].as_str().unwrap();
    assert!(
        message.starts_with("github push\n{\"z\":1.10,\"text\":\"ü"),
        "{}",
        &message[..40]
    );
    assert!((MESSAGE_BYTES - 1..=MESSAGE_BYTES).contains(&message.len()));
    for _ in 0..5 {
        assert_eq!(
            rendered(AgentHook::default(), "webhook.received", &data).unwrap().body,
            first.body
        );
    }
}

#[test]
fn answers_are_told_with_what_to_change() {
    let admitted = inside(200, br#"{"ok":true,"runId":"run_1"}"#);
    assert_eq!(
        (admitted.note.as_deref(), admitted.refused, admitted.failed),
        (Some("run run_1"), None, None)
    );
    let ended = inside(200, br#"{"ok":true,"runId":"run_1","completion":{"status":"ok"}}"#);
    assert_eq!(ended.note.as_deref(), Some("run run_1, completion ok"));
    let failed = inside(
        200,
        br#"{"ok":true,"runId":"run_1","completion":{"status":"error","error":"no model"}}"#,
    );
    assert!(
        failed
            .failed
            .is_some_and(|text| text.contains("run_1") && text.contains("no model"))
    );
    assert!(inside(200, b"<html>").refused.is_some());
    assert!(
        inside(202, br#"{"ok":false,"error":"busy"}"#)
            .refused
            .is_some_and(|text| text.contains("busy"))
    );
    for (status, setting) in [
        (400, "hooks.allow"),
        (401, "hooks.token"),
        (403, "X-Forwarded-For"),
        (404, "hooks.enabled"),
        (405, "hooks.path"),
        (413, "hooks.maxBodyBytes"),
    ] {
        let said = inside(status, br#"{"ok":false,"error":"because"}"#).said.unwrap();
        assert!(said.contains("\"because\"") && said.contains(setting), "{said}");
    }
    assert_eq!(inside(500, b"").said, None);
}
