//! Proxies in front of Evergate, and what they say about a request.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

use super::{ClientAddress, Origin, Scheme, Sites};

/// The proxies whose forwarding headers are trusted.
#[derive(Clone, Debug)]
pub struct TrustedProxies {
    /// Their networks (`CODER_PROXY_TRUSTED_ORIGINS`).
    networks: Vec<IpNet>,
    /// The headers in which they write the client's address, the first one that a request has counts
    /// (`CODER_PROXY_TRUSTED_HEADERS`).
    client_headers: Vec<HeaderName>,
}

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

impl TrustedProxies {
    /// Trusts proxies in `networks`. `client_headers`: the headers in which they write the client's address; `X-Forwarded-For` if
    /// there are none.
    pub fn new(networks: Vec<IpNet>, client_headers: Vec<HeaderName>) -> Self {
        let client_headers = if client_headers.is_empty() { vec![FORWARDED_FOR] } else { client_headers };
        Self { networks, client_headers }
    }

    /// The headers in which they write the client's address, besides those in which Evergate tells an app where a request came from in
    /// any case.
    pub fn other_client_headers(&self) -> Vec<HeaderName> {
        let is_told = |name: &&HeaderName| [FORWARDED_FOR, FORWARDED_PROTO, FORWARDED_HOST, header::FORWARDED].contains(name);
        self.client_headers.iter().filter(|name| !is_told(name)).cloned().collect()
    }

    /// Whether this is the address of a trusted proxy.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|net| net.contains(&address))
    }

    /// Determines where a request comes from: `peer` is the other end of the socket, `host` and `scheme` are the request's own.
    /// Forwarding headers are used only when `peer` is a trusted proxy.
    pub fn origin(&self, peer: IpAddr, scheme: Scheme, host: &str, headers: &HeaderMap, sites: &Sites) -> Origin {
        let peer = peer.to_canonical();
        let direct = Origin { client: peer.into(), scheme, host: host.to_owned(), chain: Vec::new() };
        if self.networks.is_empty() || !self.trusts(peer) {
            return direct;
        }
        let chain = self.trusted_chain(headers);
        // As many proxies wrote the other headers as wrote this one, whichever header the client's address is in.
        let hops = chain.len();
        let chain = self.client_chain(headers, chain);
        Origin {
            client: chain.first().copied().unwrap_or(direct.client),
            scheme: match nth_last(headers, &FORWARDED_PROTO, hops) {
                Some(proto) if proto.eq_ignore_ascii_case("https") => Scheme::Https,
                Some(proto) if proto.eq_ignore_ascii_case("http") => Scheme::Http,
                Some(_) | None => scheme,
            },
            host: forwarded_host(headers, sites).map_or(direct.host, str::to_owned),
            chain,
        }
    }

    /// The chain of addresses by the first of the client headers that the request has: `forwarded_for` where that is
    /// `X-Forwarded-For`, else the one address that the header consists of. Of a header with anything else nothing is known: neither the
    /// proxy nor what a client writes elsewhere takes the address's place.
    fn client_chain(&self, headers: &HeaderMap, forwarded_for: Vec<ClientAddress>) -> Vec<ClientAddress> {
        let Some(name) = self.client_headers.iter().find(|name| headers.contains_key(*name)) else { return Vec::new() };
        if *name == FORWARDED_FOR {
            return forwarded_for;
        }
        let mut lines = headers.get_all(name).iter();
        match (lines.next(), lines.next()) {
            (Some(line), None) => vec![ClientAddress::read(&String::from_utf8_lossy(line.as_bytes()))],
            (Some(_) | None, _) => vec![ClientAddress::Unknown],
        }
    }

    /// The tail of `X-Forwarded-For` that trusted proxies wrote: everything right of the rightmost untrusted
    /// address, and that address itself, in the order of the header.
    fn trusted_chain(&self, headers: &HeaderMap) -> Vec<ClientAddress> {
        // A client's part of a line need not be text, and hides nothing of what a proxy added to it.
        let all = headers.get_all(FORWARDED_FOR).iter().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
        let mut trusted_chain = Vec::new();
        for text in all.collect::<Vec<_>>().into_iter().rev() {
            let client = ClientAddress::read(&String::from_utf8_lossy(text));
            trusted_chain.push(client);
            // Nothing left of what is no address counts: nobody who is trusted wrote it.
            if !client.is_in(&self.networks) {
                break;
            }
        }
        trusted_chain.reverse();
        trusted_chain
    }
}

/// Splits a list header that several proxies may have added to.
fn split_list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|item| !item.is_empty()).collect()
}

/// Returns the `nth` item from the end, which the same proxy wrote as the client's address; the last item if there are fewer.
fn nth_last<'a>(headers: &'a HeaderMap, name: &HeaderName, nth: usize) -> Option<&'a str> {
    let items = split_list(headers, name);
    items.len().checked_sub(nth.max(1)).and_then(|at| items.get(at)).or(items.last()).copied()
}

/// Returns the requested host, as proxies forwarded it: the last one that is a site of ours, because a proxy in between may have
/// another name.
fn forwarded_host<'a>(headers: &'a HeaderMap, sites: &Sites) -> Option<&'a str> {
    let items = split_list(headers, &FORWARDED_HOST);
    items.iter().rev().find(|host| sites.find(host).is_some()).or(items.last()).copied()
}
