//! Scalars: one value of the document, checked and brought into normal form. The same checks serve the document as it is
//! written and values in which references were filled in.

mod parse;
mod text;

use super::diagnostic::{Code, Fault, plain};
use super::fields::{Form, Kind};
use super::reference;
use super::value::{Value, duration_text};
pub use parse::parse_duration;
pub(super) use parse::{
    Address, is_header_value, is_token, parse_listen, parse_network, parse_percent, parse_rate, parse_status,
    reserved_header,
};
pub(super) use text::{event_rank, expression, expression_fault, is_content, webhook_name};
use text::{form_of, status_code};

/// A scalar as it was read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scalar<'a> {
    Bool(bool),
    Integer(i64),
    /// A number that is no 64-bit integer, as it was written.
    Number(&'a str),
    Text(&'a str),
}

impl Scalar<'_> {
    fn kind(self) -> &'static str {
        match self {
            Self::Bool(_) => "a boolean",
            Self::Integer(_) | Self::Number(_) => "a number",
            Self::Text(_) => "a text",
        }
    }
}

/// Whether references may still be in a text, or were filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Written,
    Resolved,
}

/// What a kind takes, for messages.
pub(super) fn expected(kind: &Kind) -> &'static str {
    match kind {
        Kind::Bool => "`true` or `false`",
        Kind::Integer { .. } => "a whole number",
        Kind::Decimal { .. } => "a number",
        Kind::Duration { .. } => "a duration (`5s`, `2m`, or milliseconds)",
        Kind::Text | Kind::Form(_) => "a text",
        Kind::Choice { .. } => "one of its words",
        Kind::Secret => "a text, a reference such as `{env: NAME}`, or a list of these",
        Kind::List(_) | Kind::Set(_) => "a list",
        Kind::Headers | Kind::Labels | Kind::Object(_) => "a mapping",
        Kind::ObjectOrFalse(_) => "a mapping, or `false`",
        Kind::Jwks => "`{keys: […]}`, `{file: …}` or `{url: …}`",
        Kind::NotYet(kind) => expected(kind),
    }
}

/// Checks a scalar. `kind` is one that takes scalars.
pub(super) fn scalar(kind: &Kind, scalar: Scalar<'_>, stage: Stage) -> Result<Value, Fault> {
    if let Scalar::Text(text) = scalar {
        if stage == Stage::Written && reference::has_reference(text) {
            return match kind {
                Kind::Form(form) if !form.allows_references() => {
                    Err(Fault::new(Code::Reference, "a reference is not possible here").hint("write the value itself"))
                }
                _ => Ok(Value::text(text)),
            };
        }
        if text.trim().is_empty() && !matches!(kind, Kind::Text) {
            return Err(Fault::new(Code::Blank, "the value is blank"));
        }
    }
    match (kind, scalar) {
        (Kind::Bool, Scalar::Bool(b)) => Ok(Value::Bool(b)),
        (Kind::Bool, Scalar::Text(text)) => match (stage, text.trim()) {
            (Stage::Resolved, "true") => Ok(Value::Bool(true)),
            (Stage::Resolved, "false") => Ok(Value::Bool(false)),
            (Stage::Resolved, _) => Err(Fault::new(Code::WrongType, "is neither `true` nor `false`")),
            (Stage::Written, word) => {
                let hint = match word.to_ascii_lowercase().as_str() {
                    "yes" | "on" | "y" | "true" | "1" => "write `true`",
                    "no" | "off" | "n" | "false" | "0" => "write `false`",
                    _ => "write `true` or `false`, without quotes",
                };
                Err(wrong_type(kind, scalar).hint(hint))
            }
        },
        (Kind::Integer { min, max }, Scalar::Integer(n)) => bounded(n, *min, *max),
        (Kind::Integer { min, max }, Scalar::Text(text)) if stage == Stage::Resolved => {
            let n = text
                .trim()
                .parse()
                .map_err(|_| Fault::new(Code::WrongType, "is not a whole number"))?;
            bounded(n, *min, *max)
        }
        (Kind::Integer { min, max }, Scalar::Number(text)) if text.bytes().all(|b| b.is_ascii_digit() || b == b'-') => {
            Err(out_of_range(&plain(text), &min.to_string(), &max.to_string()))
        }
        (Kind::Integer { .. }, Scalar::Text(text)) if text.parse::<i64>().is_ok() => {
            Err(wrong_type(kind, scalar).hint("write the number without quotes"))
        }
        (Kind::Decimal { min, max }, Scalar::Integer(n)) => decimal(&n.to_string(), *min, *max),
        (Kind::Decimal { min, max }, Scalar::Number(text)) => decimal(text, *min, *max),
        (Kind::Decimal { min, max }, Scalar::Text(text)) if stage == Stage::Resolved => {
            decimal(text.trim(), *min, *max)
        }
        (Kind::Duration { min, max }, Scalar::Integer(n)) => {
            let ms = u64::try_from(n)
                .map_err(|_| out_of_range(&format!("{n}"), &duration_text(*min), &duration_text(*max)))?;
            duration_within(ms, *min, *max)
        }
        (Kind::Duration { min, max }, Scalar::Text(text)) => {
            let ms = parse_duration(text.trim()).ok_or_else(|| {
                Fault::new(Code::Duration, format!("`{}` is not a duration", plain(text)))
                    .hint("write milliseconds, or numbers with units: `500ms`, `5s`, `1m30s`, `2h`, `7d`")
            })?;
            duration_within(ms, *min, *max)
        }
        (Kind::Duration { .. }, Scalar::Number(text)) => Err(Fault::new(
            Code::Duration,
            format!("`{}` is not a duration", plain(text)),
        )
        .hint("milliseconds are whole numbers; or write it with a unit: `1500ms`")),
        (Kind::Text, Scalar::Text(text)) => Ok(Value::text(text)),
        (Kind::Form(Form::StatusCode), Scalar::Integer(n)) => status_code(&n.to_string()),
        (Kind::Form(form), Scalar::Text(text)) => form_of(*form, text),
        (Kind::Form(Form::Percent), Scalar::Integer(n)) => {
            Err(Fault::new(Code::WrongType, "a share is written with a percent sign").hint(format!("write `{n}%`")))
        }
        (
            Kind::Text | Kind::Form(_) | Kind::Choice { .. },
            Scalar::Bool(_) | Scalar::Integer(_) | Scalar::Number(_),
        ) => Err(wrong_type(kind, scalar).hint("put it in quotes to make it a text")),
        (Kind::Choice { now, later }, Scalar::Text(text)) => choice(text, now, later),
        _ => Err(wrong_type(kind, scalar)),
    }
}

fn wrong_type(kind: &Kind, scalar: Scalar<'_>) -> Fault {
    Fault::new(
        Code::WrongType,
        format!("expected {}, found {}", expected(kind), scalar.kind()),
    )
}

fn out_of_range(value: &str, min: &str, max: &str) -> Fault {
    Fault::new(
        Code::OutOfRange,
        format!("{value} is out of range: from {min} to {max}"),
    )
}

fn bounded(n: i64, min: i64, max: i64) -> Result<Value, Fault> {
    if (min..=max).contains(&n) {
        return Ok(Value::Integer(n));
    }
    if max == i64::MAX {
        return Err(Fault::new(
            Code::OutOfRange,
            format!("{n} is out of range: at least {min}"),
        ));
    }
    Err(out_of_range(&n.to_string(), &min.to_string(), &max.to_string()))
}

fn duration_within(ms: u64, min: u64, max: u64) -> Result<Value, Fault> {
    if (min..=max).contains(&ms) {
        return Ok(Value::Duration(ms));
    }
    Err(out_of_range(
        &format!("`{}`", duration_text(ms)),
        &duration_text(min),
        &duration_text(max),
    ))
}

fn decimal(text: &str, min: f64, max: f64) -> Result<Value, Fault> {
    let number: f64 = text
        .parse()
        .ok()
        .filter(|n: &f64| n.is_finite())
        .ok_or_else(|| Fault::new(Code::WrongType, "is not a number"))?;
    if !(min..=max).contains(&number) {
        return Err(out_of_range(&plain(text), &min.to_string(), &max.to_string()));
    }
    // The shortest text, so that 0.20 and 0.2 are one value.
    Ok(Value::Decimal(number.to_string().into()))
}

fn choice(text: &str, now: &[&str], later: &[&str]) -> Result<Value, Fault> {
    if now.contains(&text) {
        return Ok(Value::text(text));
    }
    let list = now
        .iter()
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(", ");
    if later.contains(&text) {
        return Err(
            Fault::new(Code::NotYet, format!("`{text}` is not supported by this version yet"))
                .hint(format!("this version has {list}")),
        );
    }
    Err(Fault::new(Code::Choice, format!("`{}` is none of {list}", plain(text))).nearest(text, now.iter().copied()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_event(text: &str) -> Result<Value, Fault> {
        form_of(Form::Event, text)
    }

    #[test]
    fn durations_rates_networks_and_codes_are_read_as_people_write_them() {
        for (text, ms) in [
            ("0", 0),
            ("250", 250),
            ("250ms", 250),
            ("5s", 5000),
            ("1m30s", 90_000),
            ("2h", 7_200_000),
            ("7d", 604_800_000),
        ] {
            assert_eq!(parse_duration(text), Some(ms), "{text}");
        }
        for text in [
            "",
            "s",
            "5",
            "5x",
            "-5s",
            "1.5s",
            "5 s",
            "5S",
            "99999999999999999999",
            "999999999999999d",
        ] {
            assert_eq!(parse_duration(text).filter(|_| text != "5"), None, "{text}");
        }
        assert_eq!(
            parse_rate("50/s").map(|r| (r.count, r.per.as_millis())),
            Some((50, 1000))
        );
        assert_eq!(
            parse_rate("20/10s").map(|r| (r.count, r.per.as_millis())),
            Some((20, 10_000))
        );
        for text in ["50", "0/s", "50/x", "50/10", "/s", "-1/s", "5/0s"] {
            assert_eq!(parse_rate(text), None, "{text}");
        }
        assert_eq!(
            parse_network("10.1.2.3/8").map(|n| n.to_string()).as_deref(),
            Some("10.0.0.0/8")
        );
        assert_eq!(parse_network("::1").map(|n| n.to_string()).as_deref(), Some("::1/128"));
        assert_eq!(parse_status("5xx"), Some(500..=599));
        assert_eq!(parse_status("520-530"), Some(520..=530));
        for text in ["6xx", "99", "600", "530-520", "5x", "abc", "0500"] {
            assert_eq!(parse_status(text), None, "{text}");
        }
    }

    #[test]
    fn a_slip_is_an_error_and_a_name_of_ones_own_is_not() {
        for good in [
            "message.received",
            "error",
            "*",
            "order.created",
            "message.seen",
            "message.read",
            "shop.*",
            "message.*",
        ] {
            assert!(text_event(good).is_ok(), "{good}");
        }
        for (bad, right) in [
            ("mesage.sent", "message.sent"),
            ("message.recieved", "message.received"),
            ("messages.*", "message.*"),
            ("message.send", "message.sent"),
        ] {
            let fault = text_event(bad).unwrap_err();
            assert!(fault.hints[0].contains(right), "{bad}: {:?}", fault.hints);
        }
        for bad in ["Message.Sent", "", "gateway.unknown", "a b.c"] {
            assert!(text_event(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_to_listen_on() {
        assert!(parse_listen("127.0.0.1:8790").is_some_and(|a| a.is_local()));
        assert!(parse_listen("localhost:0").is_some_and(|a| a.is_local()));
        assert!(parse_listen("[::]:80").is_some_and(|a| !a.is_local()));
        assert!(parse_listen("unix:./s.sock").is_some_and(|a| a.is_local()));
        for bad in [
            "",
            "8790",
            ":8790",
            "example.com:80",
            "127.0.0.1",
            "127.0.0.1:99999",
            "unix:",
        ] {
            assert_eq!(parse_listen(bad), None, "{bad}");
        }
    }
}
