//! Who may speak to the API: the right Host (against DNS rebinding), no foreign page, the token where one is set, and
//! writes only as JSON (which no HTML form can send).

use axum::http::{HeaderMap, Method, StatusCode, Uri, header};

use super::Failure;
use crate::document::Admin;
use crate::listener::{Peer, PeerAddress};
use crate::secret::Secret;

/// Paths that say nothing but "alive": probes reach them by whatever address the pod has.
const PROBES: [&str; 2] = ["/healthz", "/readyz"];

/// The settings of the check.
#[derive(Debug, Default)]
pub(super) struct Guard {
    /// Any of these bearer tokens; empty: none is needed.
    tokens: Vec<Secret>,
    /// Host names that are ours, lower case, without port.
    hosts: Vec<String>,
    /// The listener has every address: any IP literal is ours. Rebinding needs a name, so a literal proves its absence.
    any_literal: bool,
    configured: bool,
}

impl Guard {
    /// `address` is the listener's: `127.0.0.1:8791`, `http://…` or `unix:…`.
    pub(super) fn new(settings: &Admin, address: &str) -> Self {
        let authority = address.split_once("://").map_or(address, |(_, rest)| rest);
        let host = host_of(authority);
        let any_literal = matches!(host.as_str(), "0.0.0.0" | "::");
        let mut hosts = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned(), host];
        hosts.extend(settings.allowed_hosts.iter().map(|host| host_of(host)));
        Self {
            tokens: settings.tokens.clone(),
            hosts,
            any_literal,
            configured: true,
        }
    }

    pub(super) fn check(&self, method: &Method, uri: &Uri, headers: &HeaderMap, peer: &Peer) -> Result<(), Failure> {
        let refuse = |status, detail: &str| Err(Failure::new(status, "refused", detail));
        if PROBES.contains(&uri.path()) && method == Method::GET {
            return Ok(());
        }
        if !self.configured {
            return refuse(StatusCode::SERVICE_UNAVAILABLE, "the gateway is starting");
        }
        let authority = authority(uri, headers);
        // No browser speaks over a unix socket.
        if peer.address != PeerAddress::Unix && !authority.is_some_and(|authority| self.is_ours(authority)) {
            return refuse(
                StatusCode::MISDIRECTED_REQUEST,
                "the Host is not ours: add it to webhooks.admin.allowedHosts",
            );
        }
        if !is_same_site(authority, headers) {
            return refuse(StatusCode::FORBIDDEN, "requests of other sites are refused");
        }
        if !self.tokens.is_empty() && !self.has_token(headers) {
            return refuse(
                StatusCode::UNAUTHORIZED,
                "a bearer token is needed: set OPENCLAW_ADMIN_TOKEN",
            );
        }
        let is_write = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        if is_write && !is_json(headers) {
            return refuse(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "writes need content-type: application/json",
            );
        }
        Ok(())
    }

    fn is_ours(&self, authority: &str) -> bool {
        let host = host_of(authority);
        self.hosts.contains(&host) || (self.any_literal && host.parse::<std::net::IpAddr>().is_ok())
    }

    fn has_token(&self, headers: &HeaderMap) -> bool {
        let sent = headers
            .get(header::AUTHORIZATION)
            .map(http::HeaderValue::as_bytes)
            .unwrap_or_default();
        let sent = match sent.split_at_checked(7) {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"Bearer ") => token,
            _ => return false,
        };
        // Every token is compared, so that the time says nothing about which of them matched.
        self.tokens
            .iter()
            .fold(false, |found, token| token.matches(sent) | found)
    }
}

/// Whom the client asked for: HTTP/2 says it in `:authority` (the target's), HTTP/1.1 in Host. `None`: neither says it, or
/// they differ, or it is no host and port.
fn authority<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let target = uri.authority().map(axum::http::uri::Authority::as_str);
    let authority = match (target, hosts.next(), hosts.next()) {
        (Some(target), None, None) => target,
        (None, Some(host), None) => host.to_str().ok()?,
        (Some(target), Some(host), None) if host.as_bytes().eq_ignore_ascii_case(target.as_bytes()) => target,
        _ => return None,
    };
    (!authority.contains('@')).then_some(authority)
}

/// A page of another origin is refused: by what its browser says of the site, or by its Origin, which must be whom it asked
/// for.
fn is_same_site(authority: Option<&str>, headers: &HeaderMap) -> bool {
    if headers
        .get("sec-fetch-site")
        .is_some_and(|site| site == "cross-site" || site == "same-site")
    {
        return false;
    }
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let from = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    from.zip(authority)
        .is_some_and(|((_, from), authority)| from.eq_ignore_ascii_case(authority))
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    value
        .split(';')
        .next()
        .is_some_and(|media| media.trim().eq_ignore_ascii_case("application/json"))
}

/// The host of an authority, lower case, without port and brackets.
fn host_of(authority: &str) -> String {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None if authority.matches(':').count() > 1 => authority,
        None => authority.split(':').next().unwrap_or(authority),
    };
    host.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::document::settings::Listen;

    fn guard(listen: &str, tokens: &[&str]) -> Guard {
        let settings = Admin {
            listen: Listen::Tcp(listen.parse().unwrap()),
            tokens: tokens.iter().map(|token| Secret::new(*token)).collect(),
            tls: None,
            allowed_hosts: vec!["Gateway.Internal".to_owned()],
        };
        Guard::new(&settings, listen)
    }

    fn check(guard: &Guard, method: &Method, headers: &[(&str, &str)]) -> u16 {
        check_target(guard, method, "/v1/status", headers)
    }

    fn check_target(guard: &Guard, method: &Method, target: &str, headers: &[(&str, &str)]) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
                value.parse().unwrap(),
            );
        }
        let peer = Peer {
            address: PeerAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 9))),
            tls: false,
        };
        guard
            .check(method, &target.parse().unwrap(), &map, &peer)
            .map_or_else(|failure| failure.0.status, |()| 200)
    }

    #[test]
    fn only_our_own_hosts_are_answered() {
        let guard = guard("127.0.0.1:8791", &[]);
        for host in [
            "127.0.0.1:8791",
            "localhost:1",
            "LOCALHOST",
            "gateway.internal:443",
            "[::1]:8791",
        ] {
            assert_eq!(check(&guard, &Method::GET, &[("host", host)]), 200, "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example", "10.0.0.1", ""] {
            assert_eq!(check(&guard, &Method::GET, &[("host", host)]), 421, "{host}");
        }
        assert_eq!(check(&guard, &Method::GET, &[]), 421);
        assert_eq!(
            check(&guard, &Method::GET, &[("host", "localhost"), ("host", "evil.example")]),
            421
        );
    }

    #[test]
    fn http_2_says_whom_it_asks_for_in_its_target() {
        let guard = guard("127.0.0.1:8791", &[]);
        let get = |target, headers: &[(&str, &str)]| check_target(&guard, &Method::GET, target, headers);
        assert_eq!(get("https://localhost:8791/v1/status", &[]), 200);
        assert_eq!(
            get("https://localhost:8791/v1/status", &[("host", "LOCALHOST:8791")]),
            200
        );
        for (target, host) in [
            ("https://evil.example/v1/status", "evil.example"),
            ("https://evil.example/v1/status", "localhost"),
            ("https://localhost/v1/status", "evil.example"),
            ("https://localhost/v1/status", "127.0.0.1"),
        ] {
            assert_eq!(get(target, &[("host", host)]), 421, "{target} with {host}");
        }
        assert_eq!(get("https://evil.example/v1/status", &[]), 421);
        assert_eq!(get("https://localhost:1@evil.example/v1/status", &[]), 421);
        let target = "https://localhost:8791/v1/status";
        assert_eq!(get(target, &[("origin", "https://localhost:8791")]), 200);
        assert_eq!(get(target, &[("origin", "https://localhost:9999")]), 403);
        assert_eq!(get(target, &[("origin", "https://evil.example")]), 403);
    }

    #[test]
    fn a_wildcard_listener_takes_literals_and_no_names() {
        let guard = guard("0.0.0.0:8791", &[]);
        assert_eq!(check(&guard, &Method::GET, &[("host", "10.1.2.3:8791")]), 200);
        assert_eq!(check(&guard, &Method::GET, &[("host", "evil.example")]), 421);
    }

    #[test]
    fn a_foreign_page_is_refused() {
        let guard = guard("127.0.0.1:8791", &[]);
        let host = ("host", "127.0.0.1:8791");
        assert_eq!(
            check(&guard, &Method::GET, &[host, ("origin", "http://127.0.0.1:8791")]),
            200
        );
        for (name, value) in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("origin", "http://127.0.0.1:9999"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            assert_eq!(
                check(&guard, &Method::GET, &[host, (name, value)]),
                403,
                "{name}: {value}"
            );
        }
    }

    #[test]
    fn the_token_is_needed_where_one_is_set() {
        let guard = guard("127.0.0.1:8791", &["old", "new"]);
        let host = ("host", "localhost");
        for (sent, status) in [
            ("Bearer new", 200),
            ("bearer old", 200),
            ("Bearer newer", 401),
            ("Basic new", 401),
            ("", 401),
        ] {
            assert_eq!(
                check(&guard, &Method::GET, &[host, ("authorization", sent)]),
                status,
                "{sent}"
            );
        }
        assert_eq!(check(&guard, &Method::GET, &[host]), 401);
    }

    #[test]
    fn writes_are_json() {
        let guard = guard("127.0.0.1:8791", &[]);
        let host = ("host", "localhost");
        assert_eq!(
            check(
                &guard,
                &Method::POST,
                &[host, ("content-type", "application/json; charset=utf-8")]
            ),
            200
        );
        for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"] {
            assert_eq!(
                check(&guard, &Method::POST, &[host, ("content-type", kind)]),
                415,
                "{kind}"
            );
        }
        assert_eq!(check(&guard, &Method::POST, &[host]), 415);
    }
}
