//! Texts to what they stand for. `None`: the text has not the form.

use std::net::SocketAddr;

use ipnet::IpNet;

use crate::document::settings::Rate;

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
pub(in crate::document) fn parse_rate(text: &str) -> Option<Rate> {
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
pub(in crate::document) fn parse_network(text: &str) -> Option<IpNet> {
    text.parse::<IpNet>()
        .map(|network| network.trunc())
        .or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from))
        .ok()
}

/// Where to listen; the path of a unix socket is as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::document) enum Address<'a> {
    Tcp(SocketAddr),
    Unix(&'a str),
}

impl Address<'_> {
    pub(in crate::document) fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

pub(in crate::document) fn parse_listen(text: &str) -> Option<Address<'_>> {
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
pub(in crate::document) fn parse_status(text: &str) -> Option<std::ops::RangeInclusive<u16>> {
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

/// `30%` to 30.
pub(in crate::document) fn parse_percent(text: &str) -> Option<u8> {
    text.strip_suffix('%')?.trim().parse().ok().filter(|n| *n <= 100)
}

/// A token of RFC 9110.
pub(in crate::document) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 256
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// A host's name: labels of letters, digits, `-` and `_`.
pub(super) fn is_host(text: &str) -> bool {
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

/// Headers that `headers` may not set.
pub(in crate::document) fn reserved_header(name: &str) -> Option<&'static str> {
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
pub(in crate::document) fn is_header_value(text: &str) -> bool {
    text.len() <= 8192 && !text.chars().any(|c| c.is_control() && c != '\t')
}
