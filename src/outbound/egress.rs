//! Which addresses deliveries may reach.
//!
//! The policy is asked three times: for an IP literal when a sender is prepared, for an IP literal again and for every
//! resolved address when a connection is made (`clients.rs`). A connection goes to exactly the addresses that passed, so
//! there is no gap for DNS rebinding; a changed policy gets new connections.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::document::Egress;

/// What `webhooks.egress.allow` permits beside the public internet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Policy {
    networks: Vec<IpNet>,
    hosts: Vec<String>,
}

/// An address that the policy refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{host} is {what} ({address}): add it to `webhooks.egress.allow` if it is meant")]
pub struct Refused {
    /// The URL's host.
    pub host: String,
    /// The address that it stands for.
    pub address: IpAddr,
    /// What kind of address that is.
    pub what: &'static str,
}

impl Policy {
    /// The policy of a document.
    #[must_use]
    pub(super) fn new(egress: &Egress) -> Self {
        Self {
            networks: egress.allow_networks.clone(),
            hosts: egress.allow_hosts.clone(),
        }
    }

    /// Whether a connection for `host` may go to `address`.
    pub(super) fn check(&self, host: &str, address: IpAddr) -> Result<(), Refused> {
        let embedded = embedded_v4(address).map(IpAddr::V4);
        let Some(what) = not_public(address) else {
            return Ok(());
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        let allowed = self.hosts.iter().any(|h| h.eq_ignore_ascii_case(bare))
            || [Some(address), embedded]
                .into_iter()
                .flatten()
                .any(|a| self.networks.iter().any(|network| network.contains(&a)));
        if allowed {
            Ok(())
        } else {
            Err(Refused {
                host: bare.to_owned(),
                address,
                what,
            })
        }
    }

    /// Checks a host that is an IP literal; a name is left for when it is resolved.
    pub(super) fn check_literal(&self, url: &url::Url) -> Result<(), Refused> {
        let host = url.host_str().unwrap_or_default();
        match literal(host) {
            Some(address) => self.check(host, address),
            None => Ok(()),
        }
    }
}

/// The address of a host that is a literal, as the `url` crate writes it (it has normalised `0x7f.1`, `2130706433`, ...).
#[must_use]
pub(super) fn literal(host: &str) -> Option<IpAddr> {
    host.strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(host)
        .parse()
        .ok()
}

/// What an address is that is not a public one.
fn not_public(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => not_public_v4(v4),
        IpAddr::V6(v6) => match embedded_v4(address) {
            Some(v4) => not_public_v4(v4),
            None => not_public_v6(v6),
        },
    }
}

/// IANA's special-purpose registry of IPv4, as far as it is not globally reachable, and multicast.
fn not_public_v4(a: Ipv4Addr) -> Option<&'static str> {
    let [b0, b1, b2, b3] = a.octets();
    match (b0, b1, b2, b3) {
        (0, ..) => Some("an unspecified address"),
        (10, ..) | (172, 16..=31, ..) | (192, 168, ..) => Some("a private address"),
        (100, 64..=127, ..) => Some("a carrier's private address (CGNAT)"),
        (127, ..) => Some("a loopback address"),
        (169, 254, 169, 254) => Some("a cloud's metadata service"),
        (169, 254, ..) => Some("a link-local address"),
        (192, 0, 2, _) | (198, 51, 100, _) | (203, 0, 113, _) => Some("a documentation address"),
        (198, 18..=19, ..) => Some("a benchmarking address"),
        (224..=239, ..) => Some("a multicast address"),
        (255, 255, 255, 255) => Some("the broadcast address"),
        (192, 0, 0, _) | (192, 88, 99, _) | (240..=255, ..) => Some("a reserved address"),
        _ => None,
    }
}

/// The same for IPv6; addresses that embed an IPv4 one are judged by that one.
fn not_public_v6(a: Ipv6Addr) -> Option<&'static str> {
    let s = a.segments();
    match s {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("the unspecified address"),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("a loopback address"),
        [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254] => Some("a cloud's metadata service"),
        [0x0064, 0xff9b, 1, ..] => Some("a private translation address (NAT64)"),
        [0x0100, 0, 0, 0 | 1, ..] => Some("a discard address"),
        [0x2001, 0x0002, 0, ..] => Some("a benchmarking address"),
        [0x2001, 0x0010..=0x002f, ..] => Some("a reserved address"),
        [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => Some("a documentation address"),
        [0x5f00, ..] => Some("a segment-routing address"),
        [0xfc00..=0xfdff, ..] => Some("a private address (unique local)"),
        [0xfe80..=0xfebf, ..] => Some("a link-local address"),
        [0xfec0..=0xfeff, ..] => Some("a private address (site-local)"),
        [0xff00..=0xffff, ..] => Some("a multicast address"),
        // Of the rest only 2000::/3 is given out.
        [0x2000..=0x3fff, ..] => None,
        _ => Some("a reserved address"),
    }
}

/// The IPv4 address behind `::ffff:0:0/96`, `::/96`, `64:ff9b::/96`, 6to4 and Teredo.
fn embedded_v4(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else {
        return None;
    };
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)));
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0xffff | 0, high, low] | [0x0064, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            v4(high, low)
        }
        // Teredo hides the client's address by inverting its bits.
        [0x2001, 0, _, _, _, _, high, low] => v4(!high, !low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(networks: &[&str], hosts: &[&str]) -> Policy {
        Policy {
            networks: networks.iter().map(|n| n.parse().unwrap()).collect(),
            hosts: hosts.iter().map(|h| (*h).to_owned()).collect(),
        }
    }

    #[test]
    fn every_spelling_of_a_loopback_literal_is_refused() {
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0177.0.0.1/",
            "http://0x7f.1/",
            "http://127.0.0.1./",
            "http://①②⑦.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://[0:0:0:0:0:ffff:127.0.0.1]/",
            "http://[64:ff9b::127.0.0.1]/",
            "http://[2002:7f00:1::]/",
            "http://[2001:0:1234::80ff:fffe]/",
            "http://0/",
        ] {
            let error = Policy::default()
                .check_literal(&url::Url::parse(url).unwrap())
                .expect_err(url);
            assert!(error.to_string().contains("`webhooks.egress.allow`"), "{url}: {error}");
        }
    }

    #[test]
    fn everything_that_is_not_public_is_refused() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.255.255.254",
            "169.254.169.254",
            "169.254.1.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:db8::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "2002:a00:1::1",
            "2002:a9fe:a9fe::1",
            "2001:0:1::f5ff:fffe",
            "4000::1",
        ] {
            assert!(
                Policy::default().check("h", address.parse().unwrap()).is_err(),
                "{address}"
            );
        }
    }

    #[test]
    fn the_public_internet_is_reached() {
        for address in [
            "1.1.1.1",
            "9.9.9.9",
            "11.0.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "172.15.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
            "2002:101:101::1",
        ] {
            assert_eq!(
                Policy::default().check("h", address.parse().unwrap()),
                Ok(()),
                "{address}"
            );
        }
    }

    #[test]
    fn networks_and_hosts_are_allowed_by_name() {
        let networks = policy(&["10.0.0.0/8", "fd00::/8"], &[]);
        for good in ["10.9.9.9", "::ffff:10.9.9.9", "fd12::1"] {
            assert!(networks.check("h", good.parse().unwrap()).is_ok(), "{good}");
        }
        assert!(networks.check("h", "192.168.0.1".parse().unwrap()).is_err());
        let hosts = policy(&[], &["receiver.internal", "::1"]);
        assert!(hosts.check("Receiver.internal.", "127.0.0.1".parse().unwrap()).is_ok());
        assert!(hosts.check("[::1]", "::1".parse().unwrap()).is_ok());
        assert!(hosts.check("other.internal", "127.0.0.1".parse().unwrap()).is_err());
    }

    #[test]
    fn a_name_is_left_for_when_it_is_resolved() {
        assert!(
            Policy::default()
                .check_literal(&url::Url::parse("http://localhost/").unwrap())
                .is_ok()
        );
    }
}
