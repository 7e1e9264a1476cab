//! Texts of a certain form, checked and in normal form.

use std::collections::BTreeSet;

use super::parse::{is_host, is_token, parse_listen, parse_network, parse_percent, parse_rate, parse_status};
use crate::document::diagnostic::{Code, Fault, nearest, plain};
use crate::document::fields::Form;
use crate::document::mask;
use crate::document::platforms;
use crate::document::value::Value;
use crate::event::{EventPattern, KNOWN_EVENTS, Name};
use crate::expression::{self, Filter, Template};

pub(super) fn status_code(text: &str) -> Result<Value, Fault> {
    let range = parse_status(text.trim()).ok_or_else(|| {
        Fault::new(Code::StatusCode, format!("`{}` is not a status code", plain(text)))
            .hint("write a number from 100 to 599, a class such as `5xx`, or a range such as `520-530`")
    })?;
    let (first, last) = (*range.start(), *range.end());
    Ok(if first == last {
        Value::Integer(i64::from(first))
    } else if first % 100 == 0 && last == first + 99 {
        Value::text(&format!("{}xx", first / 100))
    } else {
        Value::text(&format!("{first}-{last}"))
    })
}

/// Whether a text is what a file holds (a key, a certificate, several lines), where its path belongs.
pub(in crate::document) fn is_content(text: &str) -> bool {
    text.contains("-----BEGIN ") || text.trim().contains('\n')
}

pub(super) fn form_of(form: Form, text: &str) -> Result<Value, Fault> {
    let shown = || plain(text);
    let keep = |ok: bool, fault: &dyn Fn() -> Fault| if ok { Ok(Value::text(text)) } else { Err(fault()) };
    match form {
        Form::Url | Form::BaseUrl => check_url(text, form == Form::BaseUrl).map(|()| Value::text(text)),
        Form::Listen => keep(parse_listen(text).is_some(), &|| {
            let fault = Fault::new(Code::Listen, format!("`{}` is not an address to listen on", shown()));
            match text.strip_prefix(':').filter(|port| port.parse::<u16>().is_ok()) {
                Some(port) => fault.hint(format!(
                    "write `127.0.0.1:{port}` (this machine) or `0.0.0.0:{port}` (any)"
                )),
                None => fault.hint("write an IP address and a port, such as `127.0.0.1:8790`, or `unix:PATH`"),
            }
        }),
        Form::File if is_content(text) => Err(Fault::new(
            Code::InvalidText,
            "this is what a file holds: its path is wanted here",
        )
        .hint("put it into a file of its own, and write `./client.key` or wherever that is")),
        Form::File | Form::Path => keep(!text.contains('\0'), &|| {
            Fault::new(Code::InvalidText, "a path holds no NUL")
        }),
        Form::RoutePath => check_route(text).map(|()| Value::text(text)),
        Form::HeaderName => keep(is_token(text), &|| {
            Fault::new(Code::Header, format!("`{}` is not a header's name", shown()))
        }),
        Form::RequiredHeader => {
            let name = text.split(':').next().unwrap_or_default().trim();
            keep(is_token(name) && !text.contains(['\r', '\n']), &|| {
                Fault::new(Code::Header, format!("`{}` is not a header", shown())).hint("write `name` or `name: value`")
            })
        }
        Form::Host => {
            if is_host(text) {
                Ok(Value::text(&text.to_ascii_lowercase()))
            } else {
                Err(Fault::new(
                    Code::InvalidText,
                    format!("`{}` is not a host's name", shown()),
                ))
            }
        }
        Form::WebhookName => keep(Name::parse(text).is_ok(), &|| webhook_name(text)),
        Form::Event => event(text),
        Form::Network => parse_network(text)
            .map(|network| Value::text(&network.to_string()))
            .ok_or_else(|| {
                Fault::new(Code::Network, format!("`{}` is not an address or CIDR", shown()))
                    .hint("write it like `10.0.0.0/8`, `192.168.1.7` or `fd00::/8`")
            }),
        Form::NetworkOrHost => match parse_network(text) {
            Some(network) => Ok(Value::text(&network.to_string())),
            None if is_host(text) && !text.bytes().all(|b| b.is_ascii_digit() || b == b'.') => {
                Ok(Value::text(&text.to_ascii_lowercase()))
            }
            None => Err(
                Fault::new(Code::Network, format!("`{}` is not an address, CIDR or host", shown()))
                    .hint("write it like `10.0.0.0/8`, `192.168.1.7` or `receiver.internal`, without scheme and port"),
            ),
        },
        Form::Rate => keep(parse_rate(text).is_some(), &|| {
            Fault::new(Code::Rate, format!("`{}` is not a rate", shown()))
                .hint("write it like `50/s`, `1000/m` or `20/10s`")
        }),
        Form::StatusCode => status_code(text),
        Form::Percent => keep(parse_percent(text).is_some(), &|| {
            Fault::new(
                Code::OutOfRange,
                format!("`{}` is not a share from `0%` to `100%`", shown()),
            )
        }),
        Form::Platform => platform(text),
        Form::SignatureTemplate => signature_template(text).map(|()| Value::text(text)),
        Form::Filter | Form::Template => expression(form, text)
            .map(|_| Value::text(text))
            .map_err(|error| expression_fault(&error)),
    }
}

/// The members of `data` that a filter or template looks at.
pub(in crate::document) fn expression(form: Form, text: &str) -> Result<BTreeSet<String>, expression::Error> {
    match form {
        Form::Filter => Filter::parse(text).map(|filter| filter.members()),
        _ => Template::parse(text).map(|template| template.members()),
    }
}

/// What is wrong with one, for a person.
pub(in crate::document) fn expression_fault(error: &expression::Error) -> Fault {
    let fault = Fault::new(Code::Expression, error.to_string());
    match error.unknown_name() {
        Some(name) => fault.nearest(name, expression::NAMES),
        None => fault,
    }
}

pub(in crate::document) fn webhook_name(text: &str) -> Fault {
    let fault = Fault::new(Code::WebhookName, format!("`{}` is not a webhook's name", plain(text)));
    let better: String = text
        .to_lowercase()
        .chars()
        .map(|c| if c.is_whitespace() { '-' } else { c })
        .filter(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-'))
        .skip_while(|c| !c.is_ascii_alphanumeric())
        .take(63)
        .collect();
    let fault = fault.hint("a name is 1 to 63 of a-z 0-9 . _ - and begins with a letter or a digit");
    if Name::parse(&better).is_ok() {
        fault.hint(format!("`{better}` would be one"))
    } else {
        fault
    }
}

fn check_url(text: &str, base: bool) -> Result<(), Fault> {
    let bad = |why: &str| {
        Fault::new(
            Code::Url,
            format!("`{}` is not a usable URL: {why}", plain(&mask::url(text))),
        )
    };
    if text.chars().any(|c| c.is_whitespace() || c.is_control() || c == '\\') {
        return Err(bad("it holds a blank or a backslash"));
    }
    let lower = text.to_ascii_lowercase();
    if !lower.starts_with("http://") && !lower.starts_with("https://") {
        let fault = bad("only http:// and https:// are possible");
        return Err(if text.contains("://") {
            fault
        } else {
            fault.hint("put `https://` before it")
        });
    }
    let url = url::Url::parse(text).map_err(|error| bad(&error.to_string()))?;
    if url.fragment().is_some() {
        return Err(bad("a fragment (`#…`) is never sent").hint("remove what follows the `#`"));
    }
    if base && url.query().is_some() {
        return Err(bad("paths are put behind it, so it cannot have a query"));
    }
    Ok(())
}

fn check_route(text: &str) -> Result<(), Fault> {
    let bad = |why: &str| {
        Err(Fault::new(
            Code::RoutePath,
            format!("`{}` cannot be the path of a route: {why}", plain(text)),
        ))
    };
    if !text.starts_with('/') {
        let fault = Fault::new(
            Code::RoutePath,
            format!("`{}` cannot be the path of a route: it begins with `/`", plain(text)),
        );
        return Err(fault.hint(format!("write `/{}`", plain(text))));
    }
    if text.len() > 1024 {
        return bad("it has more than 1024 bytes");
    }
    if text.contains(['?', '#']) {
        return bad("it has no query and no fragment");
    }
    if !text
        .bytes()
        .all(|b| b.is_ascii_graphic() && !matches!(b, b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}'))
    {
        return bad("other characters are percent-encoded");
    }
    if text.contains("//") || text.split('/').any(|segment| matches!(segment, "." | "..")) {
        return bad("`//`, `.` and `..` are not the same to every proxy");
    }
    Ok(())
}

fn event(text: &str) -> Result<Value, Fault> {
    let fault = || Fault::new(Code::EventName, format!("unknown event \"{}\"", plain(text)));
    let all = || {
        format!(
            "the known ones are {}; or a name of your own with a dot in it",
            KNOWN_EVENTS.join(", ")
        )
    };
    let Some(pattern) = EventPattern::parse(text) else {
        let near = nearest(text, KNOWN_EVENTS);
        return Err(match near {
            Some(right) => fault().hint(format!("did you mean \"{right}\"?")),
            None => fault().hint(all()),
        });
    };
    let name = match &pattern {
        EventPattern::All => return Ok(Value::text("*")),
        EventPattern::Prefix(stem) => {
            let known = KNOWN_EVENTS.iter().any(|name| name.starts_with(&**stem));
            let wildcards = [
                "message.*",
                "channel.*",
                "agent.*",
                "system.*",
                "webhook.*",
                "gateway.*",
            ];
            let near = wildcards
                .into_iter()
                .find(|word| strsim::damerau_levenshtein(word, text) == 1);
            return match near {
                Some(right) if !known => Err(fault().hint(format!("did you mean \"{right}\"?"))),
                _ => Ok(Value::text(text)),
            };
        }
        EventPattern::Exact(name) => name,
    };
    if KNOWN_EVENTS.contains(&name.as_str()) {
        return Ok(Value::text(name.as_str()));
    }
    // A name of the user's own may resemble a known one; one that is a slip of the finger away is a mistake.
    let slip = KNOWN_EVENTS.into_iter().find(|known| {
        let distance = strsim::damerau_levenshtein(known, text);
        distance == 1 || (distance == 2 && known.len() >= 14)
    });
    match slip {
        Some(right) => Err(fault().hint(format!("did you mean \"{right}\"?"))),
        None if name.is_gateways_own() => Err(fault().hint(all())),
        None => Ok(Value::text(name.as_str())),
    }
}

/// Where an event stands in listings: the known ones in the order of the documentation, then the others.
pub(in crate::document) fn event_rank(text: &str) -> usize {
    if text == "*" {
        return 0;
    }
    KNOWN_EVENTS
        .iter()
        .position(|known| *known == text)
        .map_or(usize::MAX, |n| n + 1)
}

fn platform(text: &str) -> Result<Value, Fault> {
    if let Some(platform) = platforms::find(text) {
        return Ok(Value::text(platform.name));
    }
    let names = || platforms::all().flat_map(|p| std::iter::once(p.name).chain(p.aliases.iter().copied()));
    let fault = Fault::new(Code::UnknownPlatform, format!("unknown platform `{}`", plain(text)));
    Err(match nearest(text, names()) {
        Some(right) => fault.hint(format!("did you mean `{right}`?")),
        None => fault.hint(format!("the platforms are {}", names().collect::<Vec<_>>().join(", "))),
    })
}

fn signature_template(text: &str) -> Result<(), Fault> {
    let bad = |why: String| {
        Err(Fault::new(Code::InvalidText, why)
            .hint("it is made of {id}, {timestamp} and {body}: `{id}.{timestamp}.{body}`"))
    };
    let mut rest = text;
    while let Some(open) = rest.find('{') {
        let Some(close) = rest[open..].find('}') else {
            return bad("the template has a `{` without a `}`".to_owned());
        };
        let name = &rest[open + 1..open + close];
        if !matches!(name, "id" | "timestamp" | "body") {
            return bad(format!("the template has an unknown `{{{}}}`", plain(name)));
        }
        rest = &rest[open + close + 1..];
    }
    if text.contains("{body}") {
        Ok(())
    } else {
        bad("the template does not sign the body".to_owned())
    }
}
