//! Scalars: one value of the document, checked and brought into normal form. The same checks serve the document as it is
//! written and values in which references were filled in.

use std::net::SocketAddr;

use ipnet::IpNet;

use super::diagnostic::{Code, Fault, nearest};
use super::fields::{Form, Kind};
use super::mask::{self, plain};
use super::platforms;
use super::reference;
use super::settings::Rate;
use super::value::{Value, duration_text};
use crate::event::{EventPattern, KNOWN_EVENTS, Name};

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

/// Milliseconds of `5s`, `1m30s`, `7d`; digits alone are milliseconds.
#[must_use]
pub fn parse_duration(text: &str) -> Option<u64> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        return text.parse().ok();
    }
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: u64 = rest[..digits].parse().ok()?;
        let letters = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = match &rest[digits..digits + letters] {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(number.checked_mul(unit)?)?;
        rest = &rest[digits + letters..];
    }
    (!text.is_empty()).then_some(total)
}

/// `50/s`, `20/10s`.
pub(super) fn parse_rate(text: &str) -> Option<Rate> {
    let (count, per) = text.split_once('/')?;
    let per = per.trim();
    let per = match per {
        "s" | "m" | "h" | "d" => parse_duration(&format!("1{per}"))?,
        _ if per.bytes().all(|b| b.is_ascii_digit()) => return None,
        _ => parse_duration(per)?,
    };
    let count: u32 = count.trim().parse().ok().filter(|n| *n > 0)?;
    (per > 0).then(|| Rate {
        count,
        per: std::time::Duration::from_millis(per),
    })
}

/// An address or CIDR; bits behind the prefix are cut off.
pub(super) fn parse_network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>()
        .map(|network| network.trunc())
        .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from))
        .ok()
}

/// Where to listen; the path of a unix socket is as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address<'a> {
    Tcp(SocketAddr),
    Unix(&'a str),
}

impl Address<'_> {
    pub(super) fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

pub(super) fn parse_listen(text: &str) -> Option<Address<'_>> {
    if let Some(path) = text.strip_prefix("unix:") {
        return (!path.is_empty()).then_some(Address::Unix(path));
    }
    match text.strip_prefix("localhost:") {
        Some(port) => port
            .parse()
            .ok()
            .map(|port: u16| Address::Tcp(([127, 0, 0, 1], port).into())),
        None => text.parse().ok().map(Address::Tcp),
    }
}

/// `503`, `5xx`, `520-530`.
pub(super) fn parse_status(text: &str) -> Option<std::ops::RangeInclusive<u16>> {
    let code = |text: &str| {
        (text.len() == 3)
            .then(|| text.parse::<u16>().ok())
            .flatten()
            .filter(|n| (100..=599).contains(n))
    };
    if let Some(class) = text.strip_suffix("xx").or_else(|| text.strip_suffix("XX")) {
        let class: u16 = class.parse().ok().filter(|n| (1..=5).contains(n))?;
        return Some(class * 100..=class * 100 + 99);
    }
    match text.split_once('-') {
        Some((first, last)) => {
            let (first, last) = (code(first.trim())?, code(last.trim())?);
            (first <= last).then_some(first..=last)
        }
        None => code(text).map(|n| n..=n),
    }
}

fn status_code(text: &str) -> Result<Value, Fault> {
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

fn form_of(form: Form, text: &str) -> Result<Value, Fault> {
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
    }
}

/// `30%` to 30.
pub(super) fn parse_percent(text: &str) -> Option<u8> {
    text.strip_suffix('%')?.trim().parse().ok().filter(|n| *n <= 100)
}

pub(super) fn webhook_name(text: &str) -> Fault {
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

/// A token of RFC 9110.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 256
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn is_host(text: &str) -> bool {
    (1..=253).contains(&text.len())
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        })
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
pub(super) fn event_rank(text: &str) -> usize {
    if text == "*" {
        return 0;
    }
    KNOWN_EVENTS
        .iter()
        .position(|known| *known == text)
        .map_or(usize::MAX, |n| n + 1)
}

fn platform(text: &str) -> Result<Value, Fault> {
    match platforms::find(text) {
        Some(platform) if platform.implemented => Ok(Value::text(platform.name)),
        Some(platform) => Err(not_yet_platform(platform.name)),
        None => {
            let names = || platforms::all().flat_map(|p| std::iter::once(p.name).chain(p.aliases.iter().copied()));
            let fault = Fault::new(Code::UnknownPlatform, format!("unknown platform `{}`", plain(text)));
            Err(match nearest(text, names()) {
                Some(right) => fault.hint(format!("did you mean `{right}`?")),
                None => fault.hint(format!("the platforms are {}", names().collect::<Vec<_>>().join(", "))),
            })
        }
    }
}

pub(super) fn not_yet_platform(name: &str) -> Fault {
    let now: Vec<_> = platforms::all().filter(|p| p.implemented).map(|p| p.name).collect();
    Fault::new(
        Code::NotYet,
        format!("the platform `{name}` is not supported by this version yet"),
    )
    .hint(format!("this version has {}", now.join(", ")))
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

/// Headers that `headers` may not set.
pub(super) fn reserved_header(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    match lower.as_str() {
        "host" | "content-length" | "content-type" | "traceparent" => Some("the gateway sets it itself"),
        "connection"
        | "keep-alive"
        | "proxy-connection"
        | "te"
        | "trailer"
        | "transfer-encoding"
        | "upgrade"
        | "proxy-authenticate"
        | "proxy-authorization" => Some("it belongs to the connection"),
        "forwarded" | "x-real-ip" => Some("the assistant answers it with 403"),
        _ if lower.starts_with("x-forwarded-") => Some("the assistant answers it with 403"),
        _ if lower.starts_with("x-openclaw-") || lower.starts_with("webhook-") => Some("the gateway sets it itself"),
        _ => None,
    }
}

/// Whether a header's value can be sent.
pub(super) fn is_header_value(text: &str) -> bool {
    text.len() <= 8192 && !text.chars().any(|c| c.is_control() && c != '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert!(event(good).is_ok(), "{good}");
        }
        for (bad, right) in [
            ("mesage.sent", "message.sent"),
            ("message.recieved", "message.received"),
            ("messages.*", "message.*"),
            ("message.send", "message.sent"),
        ] {
            let fault = event(bad).unwrap_err();
            assert!(fault.hints[0].contains(right), "{bad}: {:?}", fault.hints);
        }
        for bad in ["Message.Sent", "", "gateway.unknown", "a b.c"] {
            assert!(event(bad).is_err(), "{bad}");
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
