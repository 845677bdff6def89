//! Who is at the other end of a connection. A header says so only where a trusted proxy wrote it.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use axum::http::{HeaderMap, HeaderName};

/// What proxies tell of whom they speak for, the nearest last.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Proxies looked past at most.
const HOPS_MAX: usize = 16;

/// The address a request comes from, as far as it can be believed. Put into every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

/// Why a text names no network.
#[derive(Debug, thiserror::Error)]
#[error("give an address, or a network such as 10.0.0.0/8")]
pub struct InvalidNetwork;

/// An address, or a network of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let (address, bits) = match text.trim().split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text.trim(), None),
        };
        let address = address.parse::<IpAddr>().map_err(|_| InvalidNetwork)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse::<u8>).map_err(|_| InvalidNetwork)?;
        if bits > most {
            return Err(InvalidNetwork);
        }
        Ok(Self { address, bits })
    }
}

impl Network {
    /// Whether the network holds `address`.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differ = u32::from(own) ^ u32::from(other);
                differ.leading_zeros() >= u32::from(self.bits)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let differ = u128::from(own) ^ u128::from(other);
                differ.leading_zeros() >= u32::from(self.bits)
            }
            _ => false,
        }
    }
}

/// Whether `peer` is one of the `proxies`.
#[must_use]
pub fn is_trusted(peer: IpAddr, proxies: &[Network]) -> bool {
    proxies.iter().any(|proxy| proxy.contains(peer))
}

/// The client of a request that came from `peer`: the nearest address that no trusted proxy has.
#[must_use]
pub fn client(peer: IpAddr, headers: &HeaderMap, proxies: &[Network]) -> ClientAddress {
    let peer = peer.to_canonical();
    if !is_trusted(peer, proxies) {
        return ClientAddress(peer);
    }
    let values = headers.get_all(X_FORWARDED_FOR);
    let values: Vec<&str> = values.iter().filter_map(|value| value.to_str().ok()).collect();
    let told = values.iter().rev().flat_map(|value| value.rsplit(',')).take(HOPS_MAX);
    let mut nearest = peer;
    for hop in told {
        // What cannot be read was not written by one of our proxies: its sender stands behind the last one.
        let Ok(address) = hop.trim().parse::<IpAddr>() else { break };
        nearest = address.to_canonical();
        if !is_trusted(nearest, proxies) {
            break;
        }
    }
    ClientAddress(nearest)
}

/// What counts as one address: for IPv6 the /64 network, of which one customer has all addresses.
#[must_use]
pub fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) & (!0 << 64))),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| text.parse().expect("a network")).collect()
    }

    fn seen(peer: &str, forwarded: &[&'static str], proxies: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in forwarded {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_static(value));
        }
        let peer = peer.parse().expect("an address");
        client(peer, &headers, &networks(proxies)).0.to_string()
    }

    #[test]
    fn only_a_trusted_proxy_may_say_who_is_behind_it() {
        // peer, X-Forwarded-For, trusted proxies, who it is
        let cases: &[(&str, &[&'static str], &[&str], &str)] = &[
            ("192.0.2.7", &["198.51.100.1"], &[], "192.0.2.7"),
            ("192.0.2.7", &["198.51.100.1"], &["10.0.0.0/8"], "192.0.2.7"),
            ("10.0.0.2", &["198.51.100.1"], &["10.0.0.0/8"], "198.51.100.1"),
            ("::ffff:10.0.0.2", &["198.51.100.1"], &["10.0.0.0/8"], "198.51.100.1"),
            ("10.0.0.2", &[], &["10.0.0.0/8"], "10.0.0.2"),
            // What a client wrote itself stands further to the left.
            ("10.0.0.2", &["203.0.113.9, 198.51.100.1"], &["10.0.0.0/8"], "198.51.100.1"),
            ("10.0.0.2", &["203.0.113.9", "198.51.100.1"], &["10.0.0.0/8"], "198.51.100.1"),
            ("10.0.0.2", &["198.51.100.1, 10.9.9.9"], &["10.0.0.0/8"], "198.51.100.1"),
            ("10.0.0.2", &["nonsense, 10.9.9.9"], &["10.0.0.0/8"], "10.9.9.9"),
            ("10.0.0.2", &["10.9.9.9, nonsense"], &["10.0.0.0/8"], "10.0.0.2"),
            ("2001:db8::1", &["2001:db8:1::5"], &["2001:db8::1"], "2001:db8:1::5"),
        ];
        for (peer, forwarded, proxies, expected) in cases {
            assert_eq!(seen(peer, forwarded, proxies), *expected, "{peer} {forwarded:?}");
        }
    }

    #[test]
    fn networks_are_read_strictly() {
        for bad in ["", "10.0.0.0/33", "10.0.0", "::/129", "10.0.0.0/x", "proxy.example"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
        let all = networks(&["0.0.0.0/0", "::/0"]);
        assert!(all[0].contains("203.0.113.9".parse().expect("an address")));
        assert!(!all[1].contains("203.0.113.9".parse().expect("an address")));
    }

    #[test]
    fn a_customer_s_network_is_one_address() {
        let of = |text: &str| origin(text.parse().expect("an address")).to_string();
        assert_eq!(of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(of("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(of("192.0.2.7"), "192.0.2.7");
    }
}
