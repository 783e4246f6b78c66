//! Evergate's own addresses, and the origin of requests behind trusted proxies.

mod client_address;
mod host_pattern;
mod redirect_uris;
mod sites;
mod trusted_proxies;

use http::{HeaderMap, header};
use url::Url;

pub use client_address::ClientAddress;
pub use host_pattern::HostPattern;
pub use redirect_uris::RedirectUris;
pub use sites::Sites;
pub use trusted_proxies::TrustedProxies;

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

/// Where a request comes from, as it is forwarded to the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The client's address: the peer's, or the rightmost of `X-Forwarded-For` that is no trusted proxy's. Where that is no address,
    /// the client's is unknown.
    pub client: ClientAddress,
    /// The scheme that the client used.
    pub scheme: Scheme,
    /// The host that the client requested.
    pub host: String,
    /// The addresses of `X-Forwarded-For` that trusted proxies vouch for, the client first, without the peer.
    pub chain: Vec<ClientAddress>,
}

impl Origin {
    /// The host without brackets, and the port if the client named one: OpenTelemetry's `server.address` and `server.port`.
    pub fn server(&self) -> (&str, Option<u16>) {
        // The port follows the last colon, and those of an IPv6 address are within brackets.
        let (name, port) = match self.host.rsplit_once(':').map(|(name, port)| (name, port.parse().ok())) {
            Some((name, port @ Some(_))) if !name.contains(':') || name.ends_with(']') => (name, port),
            Some(_) | None => (self.host.as_str(), None),
        };
        (name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name), port)
    }
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
