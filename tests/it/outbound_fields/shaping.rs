//! Which events, and what is made of them.

use super::*;
use crate::harness::Behaviour;

/// Changes one field between two events; the bodies that came, as text.
fn bodies(path: &str, common: &str, before: &str, after: &str) -> [String; 2] {
    let receiver = Receiver::start();
    receiver.behave(Behaviour::AnswerBody(200, r#"{"ok":true,"runId":"run-1"}"#));
    let document = |field: &str| text(&receiver.url(path), &plain(&format!("{common}{field}")));
    let gateway = Gateway::start(&document(before));
    let say = |n: u32| gateway.publish("message.sent", &json!({ "n": n, "sessionId": "s" }));
    say(1);
    receiver.wait_for(1);
    gateway.save_and_wait(&document(after));
    say(2);
    let received = receiver.wait_for(2);
    [0, 1].map(|n: usize| String::from_utf8(received[n].body.clone()).unwrap())
}

pub(super) fn a_changed_filter_decides_before_the_first_attempt() {
    let receiver = Receiver::start();
    let gateway = start(&receiver, &plain("filter: data.n == 1"));
    publish(&gateway, 1);
    publish(&gateway, 2);
    receiver.wait_for(1);
    change(&gateway, &receiver, &plain("filter: data.n > 3"));
    publish(&gateway, 3);
    publish(&gateway, 4);
    let seen: Vec<_> = receiver.wait_for(2).iter().map(number).collect();
    assert_eq!(seen, [1, 4]);
}

pub(super) fn a_changed_body_is_what_is_sent() {
    let seen = bodies("/", "", "body: 'first {{data.n}}'", "body: 'second {{data.n}}'");
    assert_eq!(seen, ["first 1", "second 2"]);
}

pub(super) fn a_changed_text_is_what_a_chat_shows() {
    let seen = bodies(
        "/",
        "format: slack, ",
        "text: 'first {{data.n}}'",
        "text: 'second {{data.n}}'",
    );
    assert_eq!(seen, [r#"{"text":"first 1"}"#, r#"{"text":"second 2"}"#]);
}

pub(super) fn a_changed_chat_is_written_to() {
    let seen = bodies(
        "/bot1:a/sendMessage",
        "format: telegram, text: hi, ",
        "chatId: '-1001'",
        "chatId: '-1002:topic:7'",
    );
    assert_eq!(
        seen,
        [
            r#"{"chat_id":"-1001","text":"hi"}"#,
            r#"{"chat_id":"-1002","message_thread_id":7,"text":"hi"}"#
        ]
    );
}

pub(super) fn a_changed_agent_gets_the_next_message() {
    let common = "format: agent-hook, auth: { bearer: token }, ";
    let one = "agentHook: { message: first }";
    let all = "agentHook: { message: 'second {{data.n}}', agentId: ops, session: conversation, reply: channel, \
               channel: telegram, to: '42', accountId: main, model: large, thinking: high, timeoutSeconds: 90, wait: true }";
    let [first, second] = bodies("/hooks/agent", common, one, all);
    let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
    assert_eq!(json(&first), json!({ "message": "first", "deliver": false }));
    assert_eq!(
        json(&second),
        json!({
            "message": "second 2", "agentId": "ops", "sessionKey": "hook:s", "sessionMode": "persistent", "deliver": true,
            "channel": "telegram", "to": "42", "accountId": "main", "model": "large", "thinking": "high",
            "timeoutSeconds": 90, "waitForCompletion": true,
        })
    );
}
