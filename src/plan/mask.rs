//! What of a value may be shown.

use crate::document::{Field, Value};

/// What stands for text that is not shown.
pub(crate) const MASK: &str = "***";

/// A field's value as it may be shown: references in clear, a secret's literals as `***`, URLs without their userinfo and
/// query.
pub(crate) fn shown(field: &Field, value: &Value) -> Value {
    mask(value, field.sensitive)
}

/// Whether a map is a reference to a secret and no secret itself: `{env: NAME}`, `{file: PATH}`, `{source, provider, id}`.
pub(crate) fn is_reference(members: &[(Box<str>, Value)]) -> bool {
    match members {
        [(name, Value::Text(_))] => matches!(&**name, "env" | "file"),
        members => members.iter().any(|(name, _)| &**name == "source") && members.iter().any(|(n, _)| &**n == "id"),
    }
}

fn mask(value: &Value, sensitive: bool) -> Value {
    match value {
        Value::Text(text) if sensitive => Value::Text(mask_literals(text).into()),
        Value::Text(text) => mask_url(text).map_or_else(|| value.clone(), |url| Value::Text(url.into())),
        Value::List(items) => Value::List(items.iter().map(|item| mask(item, sensitive)).collect()),
        Value::Map(members) if is_reference(members) => value.clone(),
        Value::Map(members) => {
            let member = |(name, value): &(Box<str>, Value)| {
                (
                    name.clone(),
                    mask(value, sensitive || name.eq_ignore_ascii_case("authorization")),
                )
            };
            Value::Map(members.iter().map(member).collect())
        }
        Value::Bool(_) | Value::Integer(_) | Value::Duration(_) | Value::Decimal(_) if !sensitive => value.clone(),
        _ => Value::text(MASK),
    }
}

/// `Bearer ${TOKEN}` -> `***${TOKEN}`, `${A:-default}` -> `${A:-***}`.
fn mask_literals(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((before, reference, after)) = next_reference(rest) {
        if !before.is_empty() {
            shown.push_str(MASK);
        }
        match reference.split_once(":-") {
            Some((name, _)) => shown.extend(["${", name, ":-", MASK, "}"]),
            None => shown.extend(["${", reference, "}"]),
        }
        rest = after;
    }
    if !rest.is_empty() || shown.is_empty() {
        shown.push_str(MASK);
    }
    shown
}

/// Splits at the next `${NAME}` or `${NAME:-default}` that is not escaped as `$${`.
fn next_reference(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    while let Some(at) = text[from..].find("${").map(|at| at + from) {
        let escaped = text[..at].ends_with('$');
        if let Some(end) = text[at..].find('}').map(|end| end + at).filter(|_| !escaped) {
            let inner = &text[at + 2..end];
            let name = inner.split_once(":-").map_or(inner, |(name, _)| name);
            let head = |c: char| c.is_ascii_uppercase() || c == '_';
            if name.starts_with(head) && name.chars().all(|c| head(c) || c.is_ascii_digit()) {
                return Some((&text[..at], inner, &text[end + 1..]));
            }
        }
        from = at + 2;
    }
    None
}

/// A URL with `***` for its userinfo and for each value of its query; `None`: nothing to hide.
fn mask_url(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    if !scheme
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    {
        return None;
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, tail) = rest.split_at(end);
    let host = authority.rsplit_once('@').map(|(_, host)| host);
    let (path, query) = match tail.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (tail, None),
    };
    if host.is_none() && query.is_none() {
        return None;
    }
    let userinfo = if host.is_some() { "***@" } else { "" };
    let query = query.map_or(String::new(), |query| {
        let parameter = |p: &str| match p.split_once('=') {
            Some((name, _)) => format!("{name}={MASK}"),
            None => MASK.to_owned(),
        };
        format!("?{}", query.split('&').map(parameter).collect::<Vec<_>>().join("&"))
    });
    Some(format!(
        "{scheme}://{userinfo}{}{path}{query}",
        host.unwrap_or(authority)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::fixtures::field;

    #[test]
    fn literals_are_masked_and_references_are_not() {
        for (text, expected) in [
            ("hunter2", "***"),
            ("", "***"),
            ("${TOKEN}", "${TOKEN}"),
            ("Bearer ${TOKEN}", "***${TOKEN}"),
            ("${A}hunter2${B}", "${A}***${B}"),
            ("${TOKEN:-hunter2}", "${TOKEN:-***}"),
            ("$${TOKEN}", "***"),
            ("${lower}", "***"),
            ("${TOKEN", "***"),
        ] {
            assert_eq!(
                shown(field("secret"), &Value::text(text)),
                Value::text(expected),
                "{text}"
            );
        }
        let reference = Value::Map([("env".into(), Value::text("TOKEN"))].into());
        assert_eq!(shown(field("secret"), &reference), reference);
        let rotation = Value::List([reference.clone(), Value::text("hunter2")].into());
        assert_eq!(
            shown(field("secret"), &rotation),
            Value::List([reference, Value::text("***")].into())
        );
        assert_eq!(shown(field("secret"), &Value::Integer(42)), Value::text("***"));
    }

    #[test]
    fn a_url_is_shown_without_userinfo_and_query() {
        for (text, expected) in [
            ("https://example.com/a#b", "https://example.com/a#b"),
            ("https://user:hunter2@example.com/a", "https://***@example.com/a"),
            (
                "https://example.com?key=hunter2&hunter3",
                "https://example.com?key=***&***",
            ),
            ("https://a@b@example.com:1/x?y=", "https://***@example.com:1/x?y=***"),
            ("not a url?x=y", "not a url?x=y"),
        ] {
            assert_eq!(shown(field("url"), &Value::text(text)), Value::text(expected), "{text}");
        }
    }

    #[test]
    fn an_authorization_header_is_masked() {
        let headers = Value::Map(
            [
                ("Authorization".into(), Value::text("Basic hunter2")),
                ("X-A".into(), Value::text("b")),
            ]
            .into(),
        );
        assert_eq!(
            shown(field("headers"), &headers).to_string(),
            r#"{"Authorization":"***","X-A":"b"}"#
        );
    }
}
