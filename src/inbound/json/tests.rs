//! JSON as it comes: what is read, what is refused, and what stays as it was.

use proptest::prelude::*;

use super::*;

fn round(text: &str) -> String {
    Json::parse(text.as_bytes()).unwrap().to_text()
}

#[test]
fn order_and_digits_stay() {
    for text in [
        r#"{"z":1E5,"a":[1.0,-0,12345678901234567890,1e-7,-2.50E+03],"m":{"y":null,"b":true}}"#,
        "18446744073709551616",
        r#""你好 😀 /""#,
        r#"{"$serde_json::private::Number":"no number"}"#,
    ] {
        assert_eq!(round(text), text);
    }
    assert_eq!(round(" { \"a\" : [ ] ,\r\n\t\"b\" : { } } "), r#"{"a":[],"b":{}}"#);
}

#[test]
fn escapes_become_characters() {
    assert_eq!(round(r#""\ud83d\ude00\u4f60\/\u0041""#), r#""😀你/A""#);
    assert_eq!(round(r#""\u0000\n\"\\""#), r#""\u0000\n\"\\""#);
}

#[test]
fn what_is_no_json_is_refused() {
    for bad in [
        "",
        " ",
        "NaN",
        "-Infinity",
        "01",
        "-",
        "1.",
        ".5",
        "1e",
        "+1",
        "0x10",
        "[1,]",
        "{\"a\":1,}",
        "{a:1}",
        "'a'",
        "\"\u{1}\"",
        "\"\\x\"",
        "\"\\u12\"",
        r#""\ud83d""#,
        r#""\ude00""#,
        r#""\ud83d\ud83d""#,
        r#""\ud83dA""#,
        "[1] [2]",
        "tru",
        "\"open",
        "[",
        "{\"a\"",
        "\u{feff}{}",
        "// x\n1",
    ] {
        assert!(Json::parse(bad.as_bytes()).is_err(), "{bad}");
    }
    assert!(Json::parse(b"\"\xc3\x28\"").is_err());
}

#[test]
fn depth_128_passes_and_129_does_not() {
    let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    assert!(Json::parse(nested(128).as_bytes()).is_ok());
    assert!(Json::parse(nested(129).as_bytes()).is_err());
    assert!(Json::parse("[".repeat(1_000_000).as_bytes()).is_err());
}

#[test]
fn a_name_that_comes_twice_has_its_last_value() {
    assert_eq!(round(r#"{"a":1,"b":2,"a":3}"#), r#"{"a":3,"b":2}"#);
    let many: Vec<String> = (0..40).map(|i| format!("\"k{}\":{i},", i % 30)).collect();
    let text = round(&format!("{{{}\"k0\":99}}", many.concat()));
    assert!(
        text.starts_with(r#"{"k0":99,"k1":31,"#) && text.ends_with(r#""k29":29}"#),
        "{text}"
    );
}

#[test]
fn a_large_object_of_equal_names_is_read_in_time() {
    let text = format!("{{{}\"z\":0}}", "\"a\":1,".repeat(200_000));
    assert_eq!(round(&text), r#"{"a":1,"z":0}"#);
}

#[test]
fn members_are_read_by_type() {
    let json = Json::parse(br#"{"t":"x","n":-7,"f":1.5,"b":true,"z":null,"l":[1],"o":{}}"#).unwrap();
    assert_eq!(json.text("t"), Ok(Some("x")));
    assert_eq!(json.text("z"), Ok(None));
    assert_eq!(json.text("n"), Err(OtherShape));
    assert_eq!(json.integer("n"), Ok(Some("-7")));
    assert_eq!(json.integer("f"), Err(OtherShape));
    assert_eq!(json.flag("b"), Ok(true));
    assert_eq!(json.flag("absent"), Ok(false));
    assert_eq!(json.flag("t"), Err(OtherShape));
    assert_eq!(json.list("l").map(<[Json]>::len), Ok(1));
    assert!(json.object("o").unwrap().is_some() && json.object("l").is_err());
    assert_eq!(Json::List(vec![]).text("t"), Err(OtherShape));
}

fn tree() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        any::<String>().prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(serde_json::Value::from),
            proptest::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn what_serde_json_writes_comes_back_byte_for_byte(value in tree()) {
        let text = serde_json::to_string(&value).unwrap();
        prop_assert_eq!(round(&text), text.clone());
        prop_assert_eq!(round(&serde_json::to_string_pretty(&value).unwrap()), text);
    }

    #[test]
    fn both_readers_agree_on_damaged_text(value in tree(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = serde_json::to_vec(&value).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let theirs = serde_json::from_slice::<&serde_json::value::RawValue>(&bytes).is_ok()
            && serde_json::from_slice::<serde_json::Value>(&bytes).is_ok();
        prop_assert_eq!(Json::parse(&bytes).is_ok(), theirs);
    }
}
