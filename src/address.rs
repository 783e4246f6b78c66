//! Evergate's own addresses, and the origin of requests behind trusted proxies.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;
use url::Url;

/// The address that browsers know this gateway by (`CODER_ACCESS_URL`): scheme, host and port, no path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessUrl {
    url: Url,
    authority: String,
}

impl AccessUrl {
    /// Parses an http or https URL that consists of an origin alone.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let url = Url::parse(text).map_err(|_| "is not a URL")?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("must begin with https:// or http://");
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err("must be scheme, host and port alone, without a path");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must not carry a user or password");
        }
        let host = url.host_str().ok_or("has no host")?;
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        Ok(Self { url, authority })
    }

    /// Whether browsers use https, which decides about the cookies' names and `Secure`.
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Host and port as a `Host` header carries them.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The host as certificates name it: an IPv6 address has no brackets there.
    pub fn host(&self) -> &str {
        let host = self.url.host_str().unwrap_or_default();
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// The scheme.
    pub fn scheme(&self) -> &str {
        self.url.scheme()
    }

    /// Builds an absolute URL of this site. `path` begins with a slash.
    pub fn at(&self, path: &str) -> String {
        format!("{}://{}{path}", self.url.scheme(), self.authority)
    }

    /// The URL, to resolve others against.
    pub fn as_url(&self) -> &Url {
        &self.url
    }

    /// Whether a `Host` value means this address; the scheme's default port may be written or left out.
    pub fn is_host(&self, host: &str) -> bool {
        let host = match self.url.port() {
            None if self.is_https() => host.strip_suffix(":443").unwrap_or(host),
            None => host.strip_suffix(":80").unwrap_or(host),
            Some(_) => host,
        };
        host.eq_ignore_ascii_case(&self.authority)
    }
}

/// The addresses that browsers know this gateway by: the access URL, and those of routes for other hosts. Each has its own
/// cookies and its own redirect URI.
#[derive(Clone, Debug)]
pub struct Sites {
    main: Arc<AccessUrl>,
    others: Vec<Arc<AccessUrl>>,
}

impl Sites {
    /// Creates the set with the access URL alone.
    pub fn new(main: AccessUrl) -> Self {
        Self { main: Arc::new(main), others: Vec::new() }
    }

    /// Adds another host, which has the access URL's scheme.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence.
    pub fn add(&mut self, host: &str) -> Result<(), &'static str> {
        let site = AccessUrl::parse(&format!("{}://{host}", self.main.scheme()))?;
        // In any other spelling, requests of browsers would not match it.
        if !site.is_host(host) {
            return Err("must be a host as browsers write it, as in app.example.com or app.example.com:8443");
        }
        if self.find(host).is_none() {
            self.others.push(Arc::new(site));
        }
        Ok(())
    }

    /// The access URL.
    pub fn main(&self) -> &Arc<AccessUrl> {
        &self.main
    }

    /// Returns all sites, the access URL first.
    pub fn all(&self) -> impl Iterator<Item = &Arc<AccessUrl>> {
        std::iter::once(&self.main).chain(&self.others)
    }

    /// Returns the site that a `Host` value names.
    pub fn find(&self, host: &str) -> Option<&Arc<AccessUrl>> {
        self.all().find(|site| site.is_host(host))
    }
}

/// Where a request comes from, as it is forwarded to the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The client's address: the peer's, or the rightmost untrusted one of `X-Forwarded-For`.
    pub client: IpAddr,
    /// The scheme that the client used.
    pub scheme: Scheme,
    /// The host that the client requested.
    pub host: String,
    /// The addresses of `X-Forwarded-For` that trusted proxies vouch for, the client first, without the peer.
    pub chain: Vec<IpAddr>,
}

/// The scheme that a client used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP without TLS.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// Returns the value for `X-Forwarded-Proto`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// The proxies whose forwarding headers are trusted (`CODER_PROXY_TRUSTED_ORIGINS`).
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(pub Vec<IpNet>);

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

impl TrustedProxies {
    fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|net| net.contains(&address))
    }

    /// Determines where a request comes from: `peer` is the other end of the socket, `host` and `scheme` are the request's own.
    /// Forwarding headers are used only when `peer` is a trusted proxy.
    pub fn origin(&self, peer: IpAddr, scheme: Scheme, host: &str, headers: &HeaderMap, sites: &Sites) -> Origin {
        let peer = peer.to_canonical();
        let direct = Origin { client: peer, scheme, host: host.to_owned(), chain: Vec::new() };
        if self.0.is_empty() || !self.trusts(peer) {
            return direct;
        }
        let chain = self.trusted_chain(headers);
        Origin {
            client: chain.first().copied().unwrap_or(peer),
            scheme: match nth_last(headers, &FORWARDED_PROTO, chain.len()) {
                Some(proto) if proto.eq_ignore_ascii_case("https") => Scheme::Https,
                Some(proto) if proto.eq_ignore_ascii_case("http") => Scheme::Http,
                Some(_) | None => scheme,
            },
            host: forwarded_host(headers, sites).map_or(direct.host, str::to_owned),
            chain,
        }
    }

    /// The tail of `X-Forwarded-For` that trusted proxies wrote: everything right of the rightmost untrusted
    /// address, and that address itself, in the order of the header.
    fn trusted_chain(&self, headers: &HeaderMap) -> Vec<IpAddr> {
        let all = headers.get_all(FORWARDED_FOR).iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
        let mut trusted_chain = Vec::new();
        for text in all.collect::<Vec<_>>().into_iter().rev() {
            // A trusted proxy writes addresses only; nothing left of anything else counts.
            let Some(address) = address_of(text) else { break };
            trusted_chain.push(address.to_canonical());
            if !self.trusts(address) {
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

/// Parses an address as proxies write it: some add the port, and then put an IPv6 address in brackets.
fn address_of(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    bare.unwrap_or(text).parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

/// Returns the host that a request names: the URI's if it has one (absolute form, HTTP/2), else that of `Host`. `None` if there
/// is none, there are several, or the two disagree (RFC 9112 section 3.2).
pub fn requested_host<'a>(uri: &'a http::Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let mut lines = headers.get_all(header::HOST).iter();
    let line = match (lines.next(), lines.next()) {
        (None, _) => None,
        (Some(line), None) => Some(line.to_str().ok()?),
        (Some(_), Some(_)) => return None,
    };
    match (uri.authority(), line) {
        (Some(authority), Some(line)) if !authority.as_str().eq_ignore_ascii_case(line) => None,
        (Some(authority), _) => Some(authority.as_str()),
        (None, line) => line,
    }
}

#[cfg(test)]
mod tests;
