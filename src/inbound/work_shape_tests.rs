//! Shapes that the vectors leave out, of the chats that people have at work; see `shape_tests`.

use super::shape_tests::{FORM, becomes, becomes_with, webhook};

/// `message.received` with these members after the platform's name.
fn message(platform: &str, (user, text, session): (&str, &str, &str), rest: &str) -> (String, String) {
    let data = format!(
        r#"{{"channel":"t-main","user":"{user}","message":"{text}","sessionId":"t-main:{session}","platform":"{platform}",{rest}}}"#
    );
    ("message.received".to_owned(), data)
}

#[tokio::test]
async fn dingtalk_rich_text_and_odd_shapes() {
    let body = concat!(
        r#"{"msgtype":"richText","msgId":"m","senderId":"$:1","conversationId":"c","content":{"richText":["#,
        r#"{"text":"a "},{"type":"picture","downloadCode":"d"},{"text":"b"}]}}"#
    );
    let expected = message(
        "dingtalk",
        ("$:1", "a b", "c"),
        r#""messageId":"m","chatId":"c","attachments":[{"type":"picture","id":"d"}]"#,
    );
    assert_eq!(becomes("dingtalk", body).await, expected);
    for (kind, body) in [
        ("text", r#"{"msgtype":"text","msgId":"m","senderId":"s"}"#),
        ("text", r#"{"msgtype":"text","msgId":"m","conversationId":"c"}"#),
        (
            "text",
            r#"{"msgtype":"text","msgId":"m","conversationId":"c","senderId":"s","text":"x"}"#,
        ),
        (
            "file",
            r#"{"msgtype":"file","msgId":"m","conversationId":"c","senderId":"s","content":[]}"#,
        ),
        ("unknown", r#"{"msgId":"m","conversationId":"c","senderId":"s"}"#),
    ] {
        assert_eq!(
            becomes("dingtalk", body).await,
            webhook("dingtalk", kind, "m", body),
            "{body}"
        );
    }
    let (_, data) = becomes_with("dingtalk", &[("timestamp", "17")], "[]").await.unwrap();
    assert!(data.contains(r#":17","body":[]"#), "{data}");
}

#[tokio::test]
async fn feishu_takes_only_messages_of_its_own_shape() {
    let event = |inside: &str| {
        format!(
            r#"{{"header":{{"event_id":"e","event_type":"im.message.receive_v1"}},"event":{{"sender":{{"sender_id":{{"open_id":"o"}}}},"message":{{{inside}}}}}}}"#
        )
    };
    let body = event(
        r#""chat_id":"c","thread_id":"th","message_id":"m","message_type":"post","content":"{\"content\":[[{\"tag\":\"md\",\"text\":\"x\"},{\"tag\":\"media\",\"file_key\":\"f\"},{\"tag\":\"hr\"}],[]]}""#,
    );
    let expected = message(
        "feishu",
        ("o", r"x\n", "c:th"),
        r#""messageId":"m","chatId":"c","threadId":"th","attachments":[{"type":"media","id":"f"}]"#,
    );
    assert_eq!(becomes("feishu", &body).await, expected);
    for inside in [
        r#""message_type":"text","content":"{}""#,
        r#""chat_id":"c","content":"{}""#,
        r#""chat_id":"c","message_type":"text""#,
        r#""chat_id":"c","message_type":"text","content":"[]""#,
        r#""chat_id":"c","message_type":"text","content":"{\"text\":7}""#,
        r#""chat_id":"c","message_type":"post","content":"{\"content\":[7]}""#,
        r#""chat_id":"c","message_type":"file","content":"{\"file_key\":7}""#,
        r#""chat_id":"c","message_type":"text","content":{"text":"x"}"#,
    ] {
        let body = event(inside);
        let expected = webhook("feishu", "im.message.receive_v1", "e", &body);
        assert_eq!(becomes("feishu", &body).await, expected, "{body}");
    }
    let other = r#"{"uuid":"u","type":"x"}"#;
    assert_eq!(becomes("feishu", other).await, webhook("feishu", "x", "u", other));
    assert_eq!(becomes_with("feishu", &[], r#"{"encrypt":"AAAA"}"#).await, Err(400));
}

#[tokio::test]
async fn qq_chats_and_odd_shapes() {
    for (kind, inside, user, chat) in [
        (
            "AT_MESSAGE_CREATE",
            r#""author":{"id":"a","username":"n"},"channel_id":"c","guild_id":"g""#,
            "a",
            "c",
        ),
        (
            "MESSAGE_CREATE",
            r#""author":{"id":"a","username":"n"},"channel_id":"c""#,
            "a",
            "c",
        ),
        (
            "DIRECT_MESSAGE_CREATE",
            r#""author":{"id":"a","username":"n"},"channel_id":"c","guild_id":"g""#,
            "a",
            "g",
        ),
    ] {
        let body = format!(r#"{{"op":0,"id":"e","t":"{kind}","d":{{"id":"m",{inside}}}}}"#);
        let rest = format!(r#""messageId":"m","userName":"n","chatId":"{chat}","reply":{{"eventId":"e"}}"#);
        assert_eq!(
            becomes("qqbot", &body).await,
            message("qqbot", (user, "", chat), &rest),
            "{kind}"
        );
    }
    for (kind, body) in [
        (
            "C2C_MESSAGE_CREATE",
            r#"{"op":0,"id":"e","t":"C2C_MESSAGE_CREATE","d":{"id":"m"}}"#,
        ),
        (
            "GROUP_AT_MESSAGE_CREATE",
            r#"{"op":0,"id":"e","t":"GROUP_AT_MESSAGE_CREATE","d":{"id":"m","author":{"member_openid":"u"}}}"#,
        ),
        ("unknown", r#"{"op":0,"id":"e"}"#),
        ("unknown", r#"{"op":"13","id":"e"}"#),
    ] {
        assert_eq!(
            becomes("qqbot", body).await,
            webhook("qqbot", kind, "e", body),
            "{body}"
        );
    }
    for bad in ["[]", "7", "\"x\"", "{", ""] {
        assert_eq!(becomes_with("qqbot", &[], bad).await, Err(400), "{bad}");
    }
    // A route without a secret cannot answer the handshake.
    for bad in [
        r#"{"op":13}"#,
        r#"{"op":13,"d":{"plain_token":"a"}}"#,
        r#"{"op":13,"d":{"plain_token":"","event_ts":"1"}}"#,
        r#"{"op":13,"d":{"plain_token":"a b","event_ts":"1"}}"#,
        r#"{"op":13,"d":{"plain_token":"a","event_ts":""}}"#,
        r#"{"op":13,"d":{"plain_token":"a","event_ts":1}}"#,
    ] {
        assert_eq!(becomes_with("qqbot", &[], bad).await, Err(400), "{bad}");
    }
}

#[tokio::test]
async fn twilio_calls_and_the_rest() {
    let form = |body: &'static str| becomes_with("twilio", &[FORM], body);
    let call = webhook(
        "twilio",
        "call.ringing",
        "CA1:ringing",
        r#"{"CallSid":"CA1","CallStatus":"ringing"}"#,
    );
    assert_eq!(form("CallSid=CA1&CallStatus=ringing").await.unwrap(), call);
    let media = "MessageSid=MM&From=f&Body=&MediaUrl0=u&MediaContentType0=video%2Fmp4&MediaUrl2=w&ProfileName=P";
    let expected = message(
        "twilio",
        ("f", "", "f"),
        r#""messageId":"MM","userName":"P","chatId":"f","attachments":[{"type":"video","url":"u","mimeType":"video/mp4"},{"type":"file","url":"w"}]"#,
    );
    assert_eq!(form(media).await.unwrap(), expected);
    for body in ["MessageSid=SM&From=f", "MessageSid=&From=f&Body=x", "CallSid=CA", "x=1"] {
        let headers = [FORM, ("i-twilio-idempotency-token", "i")];
        let (name, data) = becomes_with("twilio", &headers, body).await.unwrap();
        assert_eq!(name, "webhook.received", "{body}");
        assert!(data.contains(r#""type":"unknown","deliveryId":"i""#), "{data}");
    }
    assert_eq!(form("a=%FF").await, Err(400));
    assert_eq!(becomes_with("twilio", &[], "a=1").await, Err(400), "no form, no JSON");
}

#[tokio::test]
async fn google_chat_takes_only_messages_of_its_own_shape() {
    let hash_of = |body: &str| {
        use sha2::{Digest, Sha256};
        hex::encode(Sha256::digest(body))
    };
    for (kind, body) in [
        ("MESSAGE", r#"{"type":"MESSAGE"}"#),
        (
            "MESSAGE",
            r#"{"type":"MESSAGE","message":{"name":"m","sender":{"name":"u"}}}"#,
        ),
        (
            "MESSAGE",
            r#"{"type":"MESSAGE","message":{"name":"m","space":{"name":"s"}}}"#,
        ),
        (
            "MESSAGE",
            r#"{"type":"MESSAGE","message":{"sender":{"name":"u"},"space":{"name":7}}}"#,
        ),
        (
            "REMOVED_FROM_SPACE",
            r#"{"type":"REMOVED_FROM_SPACE","message":{"sender":{"name":"u"},"space":{"name":"s"}}}"#,
        ),
        ("unknown", "[]"),
    ] {
        let expected = webhook("googlechat", kind, &hash_of(body), body);
        assert_eq!(becomes("googlechat", body).await, expected, "{body}");
    }
    let body = r#"{"type":"MESSAGE","space":{"name":"s"},"message":{"name":"m","sender":{"name":"u"},"thread":{"name":"th"},"attachment":[{"name":"n"}]}}"#;
    let expected = message(
        "googlechat",
        ("u", "", "s"),
        r#""messageId":"m","chatId":"s","attachments":[{"type":"file","id":"n"}],"reply":{"thread":"th"}"#,
    );
    assert_eq!(becomes("googlechat", body).await, expected);
}

#[tokio::test]
async fn teams_takes_only_messages_of_its_own_shape() {
    for (kind, body) in [
        (
            "message",
            r#"{"type":"message","id":"i","conversation":{"id":"c"},"from":{"name":"n"}}"#,
        ),
        (
            "message",
            r#"{"type":"message","id":"i","conversation":{"id":"c"},"from":{"id":"u"},"text":7}"#,
        ),
        ("invoke", r#"{"type":"invoke","id":"i","conversation":{"id":"c"}}"#),
        (
            "conversationUpdate",
            r#"{"type":"conversationUpdate","id":"i","conversation":{"id":"c"},"from":{"id":"u"}}"#,
        ),
        ("unknown", r#"{"id":"i","conversation":{"id":"c"}}"#),
    ] {
        assert_eq!(
            becomes("msteams", body).await,
            webhook("msteams", kind, "c:i", body),
            "{body}"
        );
    }
}
