//! Bodies that are encrypted, and proofs beside or inside them: what the vectors of Feishu, WeCom and Twilio leave out.

use bytes::Bytes;
use http::Method;
use http_body_util::Full;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::aes_cbc::{AesKey, BLOCK};
use super::fake::{NOW_S, Stage, ready};
use super::signature;
use super::tests::ask;
use crate::document::Inbound;
use crate::document::settings::Encoding;
use crate::secret::Secret;

const KEY: &str = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
const OTHER_KEY: &str = "0bcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";

/// What came back and what was stored: status, body, the last event's data (where one was stored).
async fn outcome(stage: &Stage, request: http::Request<Full<Bytes>>) -> (u16, String, Option<String>) {
    use http_body_util::BodyExt as _;
    let before = stage.store.appends.lock().unwrap().len();
    let answer = ask(stage, request).await;
    let status = answer.status().as_u16();
    let said = answer.into_body().collect().await.unwrap().to_bytes();
    let stored = stage.store.appends.lock().unwrap().len() > before;
    let data = stored.then(|| stage.last(|append| append.events[0].event.data.as_str().to_owned()));
    (status, String::from_utf8(said.to_vec()).unwrap(), data)
}

fn wecom_encrypt(key: &str, message: &str, corp_id: &str) -> String {
    let mut plain = vec![7; 16];
    plain.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    plain.extend(message.as_bytes());
    plain.extend(corp_id.as_bytes());
    let key = AesKey::new(signature::aes_key(key).unwrap());
    signature::encode(&key.encrypt(&key.first_block(), &plain, 32), Encoding::Base64)
}

fn wecom_query(token: &str, at: i64, encrypted: &str) -> String {
    let at = at.to_string();
    let mut parts = [token, &at, "n", encrypted];
    parts.sort_unstable();
    let signed = hex::encode(Sha1::digest(parts.concat()));
    format!("msg_signature={signed}&timestamp={at}&nonce=n")
}

fn wecom_post(query: &str, body: String) -> http::Request<Full<Bytes>> {
    let request = http::Request::post(format!("/webhook/t?{query}"));
    request.body(Full::new(body.into())).unwrap()
}

fn wecom_app(message: &str) -> http::Request<Full<Bytes>> {
    let encrypted = wecom_encrypt(KEY, message, "ww1");
    let query = wecom_query("verify", NOW_S, &encrypted);
    wecom_post(&query, format!("<xml><Encrypt>{encrypted}</Encrypt></xml>"))
}

fn wecom_bot(message: &str) -> http::Request<Full<Bytes>> {
    let encrypted = wecom_encrypt(KEY, message, "ww1");
    let query = wecom_query("verify", NOW_S, &encrypted);
    wecom_post(&query, format!(r#" {{"encrypt":"{encrypted}"}}"#))
}

#[tokio::test]
async fn wecoms_get_is_proved_like_a_message() {
    let stage = Stage::with(ready("t", "wecom"));
    let get = |query: &str| {
        let mut request = wecom_post(query, String::new());
        *request.method_mut() = Method::GET;
        request
    };
    let encrypted = wecom_encrypt(KEY, "echo", "ww1");
    let echo = url::form_urlencoded::byte_serialize(encrypted.as_bytes()).collect::<String>();
    let asked = |at| get(&format!("{}&echostr={echo}", wecom_query("verify", at, &encrypted)));
    assert_eq!(outcome(&stage, asked(NOW_S + 300)).await, (200, "echo".into(), None));
    for refused in [
        asked(NOW_S + 301),
        asked(NOW_S - 301),
        get(&wecom_query("verify", NOW_S, &encrypted)),
        get(&format!("{}&echostr={echo}", wecom_query("other", NOW_S, &encrypted))),
        get(&format!("echostr={echo}")),
        get(""),
    ] {
        assert_eq!(outcome(&stage, refused).await.0, 401);
    }
    let other_corp = wecom_encrypt(KEY, "echo", "ww2");
    let echo = url::form_urlencoded::byte_serialize(other_corp.as_bytes()).collect::<String>();
    let refused = get(&format!("{}&echostr={echo}", wecom_query("verify", NOW_S, &other_corp)));
    assert_eq!(outcome(&stage, refused).await.0, 401);
}

#[tokio::test]
async fn wecom_accepts_either_of_two_keys_and_tokens() {
    let stage = Stage::with(Inbound {
        encrypt_keys: vec![Secret::new(OTHER_KEY), Secret::new(KEY)],
        verify_tokens: vec![Secret::new("new"), Secret::new("verify")],
        ..ready("t", "wecom")
    });
    for (key, token) in [(KEY, "verify"), (OTHER_KEY, "new"), (KEY, "new")] {
        let message =
            format!("<xml><FromUserName>u</FromUserName><MsgType>text</MsgType><MsgId>{key}{token}</MsgId></xml>");
        let encrypted = wecom_encrypt(key, &message, "ww1");
        let query = wecom_query(token, NOW_S, &encrypted);
        let request = wecom_post(&query, format!("<xml><Encrypt>{encrypted}</Encrypt></xml>"));
        let (status, said, data) = outcome(&stage, request).await;
        assert_eq!((status, said.as_str(), data.is_some()), (200, "success", true));
    }
}

#[tokio::test]
async fn wecom_signs_every_byte_of_encrypt() {
    let stage = Stage::with(ready("t", "wecom"));
    let encrypted = wecom_encrypt(
        KEY,
        "<xml><FromUserName>u</FromUserName><MsgType>text</MsgType></xml>",
        "ww1",
    );
    let query = wecom_query("verify", NOW_S, &encrypted);
    for at in 0..encrypted.len() {
        let mut damaged = encrypted.clone().into_bytes();
        damaged[at] = if damaged[at] == b'A' { b'B' } else { b'A' };
        let damaged = String::from_utf8(damaged).unwrap();
        let request = wecom_post(&query, format!("<xml><Encrypt>{damaged}</Encrypt></xml>"));
        assert_eq!(outcome(&stage, request).await.0, 401, "{at}");
    }
}

#[tokio::test]
async fn wecom_shapes() {
    let stage = Stage::with(ready("t", "wecom"));
    let head = r#"{"channel":"t-main","platform":"wecom","#;
    for (message, expected) in [
        (
            "<xml><MsgType>location</MsgType><FromUserName>u</FromUserName><MsgId>1</MsgId><Label>x</Label></xml>",
            r#""type":"location","deliveryId":"1","body":{"MsgType":"location","FromUserName":"u","MsgId":"1","Label":"x"}}"#,
        ),
        (
            "<xml><MsgType>text</MsgType><MsgId>2</MsgId></xml>",
            r#""type":"text","deliveryId":"2","body":{"MsgType":"text","MsgId":"2"}}"#,
        ),
        (
            "<xml><MsgType>event</MsgType><FromUserName>u</FromUserName><CreateTime>5</CreateTime><Event>click</Event><I><K>v</K></I></xml>",
            r#""type":"event.click","deliveryId":"u:5:click","body":{"MsgType":"event","FromUserName":"u","CreateTime":"5","Event":"click","I":{"K":"v"}}}"#,
        ),
    ] {
        let (status, said, data) = outcome(&stage, wecom_app(message)).await;
        assert_eq!((status, said.as_str()), (200, "success"));
        assert_eq!(data, Some(format!("{head}{expected}")), "{message}");
    }
    for bad in ["", "x", "<xml>", "<!DOCTYPE x><xml/>", "<xml><A>&e;</A></xml>"] {
        assert_eq!(outcome(&stage, wecom_app(bad)).await.0, 400, "{bad}");
    }
    for bad in [
        "<xml/>",
        "<xml><encrypt>x</encrypt></xml>",
        "{}",
        r#"{"encrypt":7}"#,
        "{",
        "",
        "x",
    ] {
        let request = wecom_post(&wecom_query("verify", NOW_S, ""), bad.to_owned());
        assert_eq!(outcome(&stage, request).await.0, 400, "{bad}");
    }
}

#[tokio::test]
async fn wecoms_ai_bots() {
    let stage = Stage::with(ready("t", "wecom"));
    for (message, expected) in [
        (
            r#"{"msgid":"1","from":{"userid":"u"},"msgtype":"mixed","mixed":{"msg_item":[{"msgtype":"text","text":{"content":"a"}},{"msgtype":"image","image":{"url":"i"}},{"msgtype":"text","text":{"content":"b"}}]}}"#,
            r#""message":"a\nb","sessionId":"t-main:u","platform":"wecom","messageId":"1","chatId":"u","attachments":[{"type":"image","url":"i"}]}"#,
        ),
        (
            r#"{"msgid":"2","from":{"userid":"u"},"msgtype":"voice","voice":{"content":"said"}}"#,
            r#""message":"said","sessionId":"t-main:u","platform":"wecom","messageId":"2","chatId":"u"}"#,
        ),
        (
            r#"{"msgid":"3","from":{"userid":"u"},"msgtype":"file","file":{"url":"f"}}"#,
            r#""message":"","sessionId":"t-main:u","platform":"wecom","messageId":"3","chatId":"u","attachments":[{"type":"file","url":"f"}]}"#,
        ),
        (
            r#"{"msgid":"4","from":{"userid":"u"},"msgtype":"event","event":{"eventtype":"enter_chat"}}"#,
            r#""type":"event.enter_chat","deliveryId":"4","body":{"msgid":"4","from":{"userid":"u"},"msgtype":"event","event":{"eventtype":"enter_chat"}}}"#,
        ),
        (
            r#"{"msgid":"5","from":{"userid":"u"},"msgtype":"stream"}"#,
            r#""type":"stream","deliveryId":"5","body":{"msgid":"5","from":{"userid":"u"},"msgtype":"stream"}}"#,
        ),
        (
            r#"{"msgid":"6","msgtype":"text","text":{"content":"x"}}"#,
            r#""type":"text","deliveryId":"6","body":{"msgid":"6","msgtype":"text","text":{"content":"x"}}}"#,
        ),
    ] {
        let (status, said, data) = outcome(&stage, wecom_bot(message)).await;
        assert_eq!((status, said.as_str()), (200, ""));
        let data = data.unwrap();
        assert!(data.ends_with(expected), "{data}");
    }
    assert_eq!(outcome(&stage, wecom_bot("{")).await.0, 400);
}

fn feishu_encrypt(key: &str, text: &str) -> String {
    let iv = [3; BLOCK];
    let aes = AesKey::new(Sha256::digest(key).into());
    let bytes = [iv.as_slice(), &aes.encrypt(&iv, text.as_bytes(), BLOCK)].concat();
    format!(r#"{{"encrypt":"{}"}}"#, signature::encode(&bytes, Encoding::Base64))
}

fn feishu_post(body: String, signed_with: Option<&str>) -> http::Request<Full<Bytes>> {
    let mut request = http::Request::post("/webhook/t");
    if let Some(key) = signed_with {
        let code = hex::encode(Sha256::digest(format!("{NOW_S}n{key}{body}")));
        request = request
            .header("x-lark-request-timestamp", NOW_S.to_string())
            .header("x-lark-request-nonce", "n")
            .header("x-lark-signature", code);
    }
    request.body(Full::new(body.into())).unwrap()
}

#[tokio::test]
async fn feishus_look_at_an_address_needs_the_token() {
    let look = |token: &str| format!(r#"{{"type":"url_verification","challenge":"c\"","token":"{token}"}}"#);
    let right = (200, r#"{"challenge":"c\""}"#.to_owned(), None);
    let stage = Stage::with(ready("t", "feishu"));
    for signed in [None, Some(KEY)] {
        for encrypted in [false, true] {
            let body = |token: &str| {
                if encrypted {
                    feishu_encrypt(KEY, &look(token))
                } else {
                    look(token)
                }
            };
            assert_eq!(outcome(&stage, feishu_post(body("verify"), signed)).await, right);
            assert_eq!(outcome(&stage, feishu_post(body("wrong"), signed)).await.0, 401);
        }
    }
    let badly_signed = feishu_post(feishu_encrypt(KEY, &look("verify")), Some(OTHER_KEY));
    assert_eq!(outcome(&stage, badly_signed).await.0, 401);
    let no_challenge = r#"{"type":"url_verification","token":"verify"}"#.to_owned();
    assert_eq!(outcome(&stage, feishu_post(no_challenge, None)).await.0, 400);
    assert_eq!(stage.store.appends.lock().unwrap().len(), 0);

    let keys_alone = Stage::with(Inbound {
        verify_tokens: Vec::new(),
        ..ready("t", "feishu")
    });
    let body = feishu_encrypt(KEY, &look("any"));
    assert_eq!(outcome(&keys_alone, feishu_post(body, None)).await, right);
}

#[tokio::test]
async fn feishu_accepts_either_of_two_keys() {
    let stage = Stage::with(Inbound {
        encrypt_keys: vec![Secret::new(OTHER_KEY), Secret::new(KEY)],
        ..ready("t", "feishu")
    });
    for key in [KEY, OTHER_KEY] {
        let body = feishu_encrypt(key, &format!(r#"{{"uuid":"{key}","type":"x"}}"#));
        let (status, said, data) = outcome(&stage, feishu_post(body, Some(key))).await;
        assert_eq!((status, said.as_str()), (200, "{}"));
        assert!(data.unwrap().contains(&format!(r#""deliveryId":"{key}""#)));
    }
    let other_key = feishu_post(feishu_encrypt("third", "{}"), Some(KEY));
    assert_eq!(
        outcome(&stage, other_key).await.0,
        400,
        "signed rightly, encrypted otherwise"
    );
}

#[tokio::test]
async fn twilio_signs_all_or_nothing_is_accepted() {
    use super::signature::HmacKey;
    use crate::document::settings::HashAlgorithm;
    let stage = Stage::with(ready("t", "twilio"));
    let post = |query: &str, content_type: &str, body: &str, signed: &str| {
        let key = HmacKey::new(HashAlgorithm::Sha1, b"secret");
        let signed = format!("https://gateway.example.com/webhook/t{query}{signed}");
        let code = signature::encode(&key.sign(&[signed.as_bytes()]), Encoding::Base64);
        http::Request::post(format!("/webhook/t{query}"))
            .header("content-type", content_type)
            .header("x-twilio-signature", code)
            .body(Full::new(Bytes::from(body.to_owned())))
            .unwrap()
    };
    let form = "application/x-www-form-urlencoded";
    let json = "application/json";
    let hash = hex::encode(Sha256::digest("{}"));
    let hashed = format!("?bodySHA256={hash}");
    for (request, status) in [
        (post("", form, "b=2&a=1&a=0&a=1", "a0a1b2"), 200),
        (post("", form, "b=2&a=1&a=0&a=1", "a0a1a1b2"), 401),
        (post("", form, "b=2&a=1", "b2a1"), 401),
        // The URL alone is signed: the body could be anybody's.
        (post("", json, "{}", ""), 401),
        (post("", form, "x=1", ""), 401),
        (post("", form, "x=%FF", ""), 401),
        (post(&hashed, json, "{}", ""), 200),
        (post(&hashed, form, "{}", ""), 200),
        (post(&hashed, json, "{} ", ""), 401),
        (post("?bodySHA256=", json, "{}", ""), 401),
        (post("?bodySHA256=zz", json, "{}", ""), 401),
    ] {
        let said = format!("{request:?}");
        assert_eq!(outcome(&stage, request).await.0, status, "{said}");
    }
}
