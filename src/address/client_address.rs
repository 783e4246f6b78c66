//! The address that a request comes from, as far as it is known.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
};

use ipnet::IpNet;

/// The address that a request comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientAddress {
    /// This one.
    Known(IpAddr),
    /// Whoever is trusted to say it says nothing that is an address (`unknown`, `unix:`). No network contains it: taken for the proxy's
    /// own, it would be in the networks of the house.
    Unknown,
}

impl ClientAddress {
    /// Reads an address as proxies write it: some add the port, and then put an IPv6 address in brackets; of a link-local one they write
    /// the zone too (RFC 4007 section 11), which is theirs and says nothing here.
    pub fn read(text: &str) -> Self {
        let text = text.trim().trim_matches('"');
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let socket = || text.parse::<SocketAddr>().ok().map(|socket| socket.ip());
        let bracketed = || text.strip_prefix('[')?.split_once(']').map(|(inner, _port)| inner);
        let zoned = || {
            let (address, zone) = bracketed().unwrap_or(bare).split_once('%')?;
            address.parse::<Ipv6Addr>().ok().filter(|_| !zone.is_empty()).map(IpAddr::V6)
        };
        bare.parse().ok().or_else(socket).or_else(zoned).map_or(Self::Unknown, Self::from)
    }

    /// The address, if it is known.
    pub fn known(self) -> Option<IpAddr> {
        match self {
            Self::Known(address) => Some(address),
            Self::Unknown => None,
        }
    }

    /// Whether it is in one of these networks.
    pub fn is_in(self, networks: &[IpNet]) -> bool {
        self.known().is_some_and(|address| networks.iter().any(|network| network.contains(&address)))
    }
}

impl From<IpAddr> for ClientAddress {
    fn from(address: IpAddr) -> Self {
        Self::Known(address.to_canonical())
    }
}

impl fmt::Display for ClientAddress {
    /// As RFC 7239 section 6.2 names what is not known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(address) => address.fmt(f),
            Self::Unknown => f.write_str("unknown"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_proxies_write_it_and_what_is_none_is_unknown() {
        for (written, read) in [
            ("203.0.113.9", "203.0.113.9"),
            (" 203.0.113.9:51234", "203.0.113.9"),
            ("[2001:db8::1]:443", "2001:db8::1"),
            ("\"[2001:db8::1]\"", "2001:db8::1"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("fe80::1%eth0", "fe80::1"),
            ("fe80::1%2", "fe80::1"),
            ("[fe80::1%eth0]", "fe80::1"),
            ("[fe80::1%2]:443", "fe80::1"),
            ("fe80::1%", "unknown"),
            ("10.0.0.1%eth0", "unknown"),
            ("%eth0", "unknown"),
            ("", "unknown"),
            ("unix:", "unknown"),
            ("10.0.0.1:port", "unknown"),
        ] {
            assert_eq!(ClientAddress::read(written).to_string(), read, "{written}");
        }
    }

    #[test]
    fn no_network_contains_what_is_unknown() {
        let networks: Vec<IpNet> = ["0.0.0.0/0", "::/0"].map(|network| network.parse().unwrap()).to_vec();
        assert!(ClientAddress::read("192.0.2.7").is_in(&networks) && ClientAddress::read("fe80::1%2").is_in(&networks));
        assert!(!ClientAddress::Unknown.is_in(&networks));
    }
}
