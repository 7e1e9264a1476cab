//! How values are shown. Masked by where a value came from (a literal in a sensitive field, the query or userinfo of a
//! URL, an `authorization` header), never by searching for a value. References are shown in clear.

use std::borrow::Cow;

use super::fields::{Field, Form, Kind};
use super::reference::{Part, parts};
use super::value::Value;

/// What stands for a value that is not shown.
pub const MASK: &str = "***";

/// A field's value as plans, listings and logs show it.
#[must_use]
pub fn shown(field: &'static Field, value: &Value) -> Value {
    if field.sensitive {
        secret(value)
    } else {
        of_kind(&field.kind, value)
    }
}

fn of_kind(kind: &'static Kind, value: &Value) -> Value {
    match (kind, value) {
        (Kind::Form(Form::Url | Form::BaseUrl), Value::Text(text)) => Value::text(&url(text)),
        (Kind::List(kind) | Kind::Set(kind), Value::List(items)) => {
            Value::List(items.iter().map(|item| of_kind(kind, item)).collect())
        }
        (Kind::Headers, Value::Map(members)) => Value::Map(
            members
                .iter()
                .map(|(name, value)| {
                    let masked = if is_secret_name(name) {
                        secret(value)
                    } else {
                        value.clone()
                    };
                    (name.clone(), masked)
                })
                .collect(),
        ),
        (Kind::Object(fields) | Kind::ObjectOrFalse(fields), Value::Map(members)) => Value::Map(
            members
                .iter()
                .map(|(name, value)| {
                    let field = fields.iter().find(|field| field.name == &**name);
                    (
                        name.clone(),
                        field.map_or_else(|| value.clone(), |field| shown(field, value)),
                    )
                })
                .collect(),
        ),
        (Kind::NotYet(kind), value) => of_kind(kind, value),
        _ => value.clone(),
    }
}

fn secret(value: &Value) -> Value {
    match value {
        Value::Text(text) => Value::text(&literals(text)),
        Value::List(items) => Value::List(items.iter().map(secret).collect()),
        Value::Map(_) => value.clone(), // a reference: it names, and does not hold
        _ => Value::text(MASK),
    }
}

/// A text with its literal parts masked: `${NAME}` stays, `Bearer ${NAME}` is `***${NAME}`, a default is masked.
fn literals(text: &str) -> String {
    let mut out = String::new();
    for part in parts(text) {
        match part {
            Part::Literal(_) if out.ends_with(MASK) => {}
            Part::Literal(_) => out.push_str(MASK),
            Part::Env { name, default: None } => {
                out.push_str("${");
                out.push_str(name);
                out.push('}');
            }
            Part::Env { name, default: Some(_) } => {
                out.push_str("${");
                out.push_str(name);
                out.push_str(":-***}");
            }
        }
    }
    out
}

/// A URL without its userinfo and the values of its query.
#[must_use]
pub fn url(text: &str) -> Cow<'_, str> {
    let scheme = text.find("://").map_or(0, |i| i + 3);
    let rest = &text[scheme..];
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let userinfo = rest[..authority_end].rfind('@');
    let query = rest.find('?');
    if userinfo.is_none() && query.is_none() {
        return Cow::Borrowed(text);
    }
    let mut out = text[..scheme].to_owned();
    let start = match userinfo {
        Some(at) => {
            out.push_str(MASK);
            at
        }
        None => 0,
    };
    match query {
        None => out.push_str(&rest[start..]),
        Some(mark) => {
            out.push_str(&rest[start..=mark.max(start)]);
            let query = rest[mark + 1..].split('#').next().unwrap_or_default();
            let shown: Vec<String> = query
                .split('&')
                .map(|pair| match pair.split_once('=') {
                    Some((name, value)) => format!(
                        "{name}={}",
                        if value.is_empty() {
                            String::new()
                        } else {
                            literals(value)
                        }
                    ),
                    None if pair.is_empty() => String::new(),
                    None => MASK.to_owned(),
                })
                .collect();
            out.push_str(&shown.join("&"));
        }
    }
    Cow::Owned(out)
}

/// Scheme and host of a URL whose path is a secret too. A reference that stands for all of it stays.
#[must_use]
pub fn origin(text: &str) -> Cow<'_, str> {
    let Some(scheme) = text.find("://").map(|at| at + 3) else {
        return Cow::Owned(literals(text));
    };
    let rest = &text[scheme..];
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => Cow::Owned(format!("{}{MASK}{}", &text[..scheme], &rest[at..end])),
        None => Cow::Borrowed(&text[..scheme + end]),
    }
}

/// Whether a name (a header's, a key's) says that its value is a secret.
#[must_use]
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace(['-', '_'], "");
    if name == "publickey" {
        return false;
    }
    [
        "secret",
        "token",
        "password",
        "passwd",
        "bearer",
        "authorization",
        "cookie",
        "signature",
        "credential",
    ]
    .iter()
    .any(|word| name.contains(word))
        || name.ends_with("key")
        || name == "auth"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::fields::section;

    #[test]
    fn literals_go_and_references_stay() {
        for (text, masked) in [
            ("hunter2", "***"),
            ("${A}", "${A}"),
            ("Bearer ${A}", "***${A}"),
            ("${A:-hunter2}", "${A:-***}"),
            ("a${A}b${B}", "***${A}***${B}"),
            ("$${A}", "***"),
        ] {
            assert_eq!(literals(text), masked, "{text}");
        }
    }

    #[test]
    fn urls_lose_userinfo_and_query_values() {
        for (text, masked) in [
            ("https://a.example/x", "https://a.example/x"),
            ("https://u:p@a.example/x", "https://***@a.example/x"),
            (
                "https://a.example/x?key=hunter2&b=${B}&c=",
                "https://a.example/x?key=***&b=${B}&c=",
            ),
            ("https://a.example?hunter2", "https://a.example?***"),
            ("https://u:p@ss@a.example?x=1", "https://***@a.example?x=***"),
        ] {
            assert_eq!(url(text), masked, "{text}");
        }
    }

    #[test]
    fn of_a_url_that_holds_a_token_scheme_and_host_are_left() {
        for (text, masked) in [
            (
                "https://hooks.slack.com/services/T0/B0/hunter2",
                "https://hooks.slack.com",
            ),
            ("https://a.example:8443?hunter2", "https://a.example:8443"),
            ("https://u:p@a.example/x", "https://***@a.example"),
            ("https://${HOST}/hunter2", "https://${HOST}"),
            ("${SLACK_URL}", "${SLACK_URL}"),
            ("${SLACK_URL:-hunter2}", "${SLACK_URL:-***}"),
            ("hooks.slack.com/hunter2", "***"),
        ] {
            assert_eq!(origin(text), masked, "{text}");
        }
    }

    #[test]
    fn what_lies_inside_is_masked_too() {
        let outbound = section("outbound").unwrap();
        let map =
            |members: &[(&str, Value)]| Value::Map(members.iter().map(|(n, v)| ((*n).into(), v.clone())).collect());
        let auth = map(&[(
            "basic",
            map(&[("username", Value::text("u")), ("password", Value::text("hunter2"))]),
        )]);
        assert_eq!(
            shown(outbound.field("auth").unwrap(), &auth).to_string(),
            r#"{"basic":{"username":"u","password":"***"}}"#
        );
        let headers = map(&[("Authorization", Value::text("Bearer x")), ("X-A", Value::text("b"))]);
        assert_eq!(
            shown(outbound.field("headers").unwrap(), &headers).to_string(),
            r#"{"Authorization":"***","X-A":"b"}"#
        );
        let secret = Value::List([Value::text("a"), map(&[("env", Value::text("B"))])].into());
        assert_eq!(
            shown(outbound.field("secret").unwrap(), &secret).to_string(),
            r#"["***",{"env":"B"}]"#
        );
    }
}
