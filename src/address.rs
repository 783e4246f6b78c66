//! Where Evergate is reached, and where a request comes from.

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
    /// Accepts an http or https URL of an origin alone.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence's end.
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

    /// Whether browsers reach us over https, which decides about the cookie's name and `Secure`.
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Host and port as a `Host` header carries them.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The host as certificates name it: an address of IPv6 has no brackets there.
    pub fn host(&self) -> &str {
        let host = self.url.host_str().unwrap_or_default();
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// The scheme.
    pub fn scheme(&self) -> &str {
        self.url.scheme()
    }

    /// An absolute URL under this address. `path` begins with a slash.
    pub fn at(&self, path: &str) -> String {
        format!("{}://{}{path}", self.url.scheme(), self.authority)
    }

    /// As a URL to resolve others against.
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
    /// The access URL alone.
    pub fn new(main: AccessUrl) -> Self {
        Self { main: Arc::new(main), others: Vec::new() }
    }

    /// Adds another host, which is spoken to as the access URL is.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence's end.
    pub fn add(&mut self, host: &str) -> Result<(), &'static str> {
        let site = AccessUrl::parse(&format!("{}://{host}", self.main.scheme()))?;
        // Written otherwise, it would be found by nobody who asks for it as browsers do.
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

    /// All of them, the access URL first.
    pub fn all(&self) -> impl Iterator<Item = &Arc<AccessUrl>> {
        std::iter::once(&self.main).chain(&self.others)
    }

    /// The site that a `Host` value means.
    pub fn find(&self, host: &str) -> Option<&Arc<AccessUrl>> {
        self.all().find(|site| site.is_host(host))
    }
}

/// Who sent a request, as the upstream is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The client's address: the peer's, or the rightmost untrusted one of `X-Forwarded-For`.
    pub client: IpAddr,
    /// `http` or `https`, as the client spoke it.
    pub scheme: Scheme,
    /// The host that the client asked for.
    pub host: String,
    /// The addresses of `X-Forwarded-For` that trusted proxies vouch for, the client first, without the peer.
    pub chain: Vec<IpAddr>,
}

/// The scheme that a client used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Plain text.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// As `X-Forwarded-Proto` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Whose forwarding headers are believed (`CODER_PROXY_TRUSTED_ORIGINS`).
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

    /// Whence a request comes: `peer` is the socket's other end, `host` and `scheme` what the request itself
    /// says. Forwarding headers are read only when `peer` is a trusted proxy.
    pub fn origin(&self, peer: IpAddr, scheme: Scheme, host: &str, headers: &HeaderMap, sites: &Sites) -> Origin {
        let peer = peer.to_canonical();
        let direct = Origin { client: peer, scheme, host: host.to_owned(), chain: Vec::new() };
        if self.0.is_empty() || !self.trusts(peer) {
            return direct;
        }
        let chain = self.vouched(headers);
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
    fn vouched(&self, headers: &HeaderMap) -> Vec<IpAddr> {
        let all = headers.get_all(FORWARDED_FOR).iter().filter_map(|line| line.to_str().ok()).flat_map(|line| line.split(','));
        let mut vouched = Vec::new();
        for text in all.collect::<Vec<_>>().into_iter().rev() {
            // What cannot be read as an address was not written by a proxy of ours; nothing left of it counts.
            let Some(address) = address_of(text) else { break };
            vouched.push(address.to_canonical());
            if !self.trusts(address) {
                break;
            }
        }
        vouched.reverse();
        vouched
    }
}

/// The words of a list that several proxies may have added to.
fn listed<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Vec<&'a str> {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim).filter(|word| !word.is_empty()).collect()
}

/// The word of the proxy that stands so many from the end, as the client's own address does; the last where there are not so many.
fn nth_last<'a>(headers: &'a HeaderMap, name: &HeaderName, nth: usize) -> Option<&'a str> {
    let words = listed(headers, name);
    words.len().checked_sub(nth.max(1)).and_then(|at| words.get(at)).or(words.last()).copied()
}

/// The host that proxies say was asked for: the last that is one of ours, because one between them may have another name.
fn forwarded_host<'a>(headers: &'a HeaderMap, sites: &Sites) -> Option<&'a str> {
    let words = listed(headers, &FORWARDED_HOST);
    words.iter().rev().find(|host| sites.find(host).is_some()).or(words.last()).copied()
}

/// An address as proxies write it: some add the port, and put brackets around one of IPv6 then.
fn address_of(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    bare.unwrap_or(text).parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

/// The host that a request names: of the URI when it has one (absolute form, HTTP/2), else of `Host`.
/// `None` when there is none, several, or the two disagree (RFC 9112 section 3.2).
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
