//! Whose request it is: the peer, or who the trusted proxies before us say it is.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

/// The other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// A TCP connection from this address.
    Ip(IpAddr),
    /// A Unix socket: only a proxy on this machine can be behind it, so what it forwards is believed.
    Unix,
}

/// The most hops of `X-Forwarded-For` that are looked at.
const MAX_HOPS: usize = 64;

/// The client's address: the peer, or where the peer is a trusted proxy the right-most entry of `X-Forwarded-For` that
/// is none (the left-most, where all are). `None`: a trusted proxy says nothing that can be read.
pub(super) fn client(peer: Peer, headers: &HeaderMap, trusted: &[IpNet]) -> Option<IpAddr> {
    let is_trusted = |ip: IpAddr| trusted.iter().any(|net| net.contains(&ip));
    let mut client = match peer {
        Peer::Ip(ip) => {
            let ip = ip.to_canonical();
            if !is_trusted(ip) {
                return Some(ip);
            }
            Some(ip)
        }
        Peer::Unix => None,
    };
    let entries = headers
        .get_all("x-forwarded-for")
        .into_iter()
        .flat_map(|value| value.as_bytes().split(|b| *b == b','));
    let entries: Vec<&[u8]> = entries.collect();
    for entry in entries.into_iter().rev().take(MAX_HOPS) {
        let ip = parse(entry)?;
        client = Some(ip);
        if !is_trusted(ip) {
            break;
        }
    }
    client
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn parse(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim();
    let ip = text
        .parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip()))
        .or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok())?;
    Some(ip.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(peer: &str, forwarded: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append("x-forwarded-for", value.parse().unwrap());
        }
        let peer = if peer == "unix" {
            Peer::Unix
        } else {
            Peer::Ip(peer.parse().unwrap())
        };
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        client(peer, &headers, &trusted).map(|ip| ip.to_string())
    }

    #[test]
    fn a_stranger_cannot_say_who_it_is() {
        assert_eq!(ask("192.0.2.1", &["198.51.100.7"]).as_deref(), Some("192.0.2.1"));
    }

    #[test]
    fn the_right_most_entry_that_is_no_proxy_counts() {
        assert_eq!(
            ask("10.0.0.1", &["203.0.113.9, 198.51.100.7", "10.1.1.1"]).as_deref(),
            Some("198.51.100.7")
        );
        assert_eq!(
            ask("::ffff:10.0.0.1", &["[2001:db8::1]:443"]).as_deref(),
            Some("2001:db8::1")
        );
        assert_eq!(ask("10.0.0.1", &["10.0.0.3, 10.0.0.2"]).as_deref(), Some("10.0.0.3"));
        assert_eq!(ask("10.0.0.1", &[]).as_deref(), Some("10.0.0.1"));
        assert_eq!(ask("unix", &["192.0.2.1:99"]).as_deref(), Some("192.0.2.1"));
    }

    #[test]
    fn what_cannot_be_read_is_nobody() {
        assert_eq!(ask("10.0.0.1", &["192.0.2.1, unknown"]), None);
        assert_eq!(ask("10.0.0.1", &["192.0.2.1,"]), None);
        assert_eq!(ask("unix", &[]), None);
    }
}
