//! Which proxy calls to the provider go through: `HTTPS_PROXY` and `NO_PROXY`, as Go's `net/http` reads them
//! (golang.org/x/net/http/httpproxy). Pure.
//!
//! There is no part for `HTTP_PROXY`: calls without TLS go to a provider on this machine alone, and those go through no proxy.

use std::net::IpAddr;

use base64::prelude::*;
use http::Uri;
use ipnet::IpNet;
use url::{Host, Url, form_urlencoded};

use super::loopback::is_loopback;
use crate::secret::Secret;

/// The proxy of calls to the provider, and the hosts that are called without it.
#[derive(Clone, Debug, Default)]
pub struct ProxySettings {
    proxy: Option<Proxy>,
    exceptions: Vec<Exception>,
}

/// A forward proxy, which opens tunnels (CONNECT, RFC 9110 section 9.3.6).
#[derive(Clone, Debug)]
pub(super) struct Proxy {
    /// Its address, without credentials.
    pub(super) address: Uri,
    /// The value of `Proxy-Authorization`.
    pub(super) authorization: Option<Secret>,
}

/// A member of `NO_PROXY`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Exception {
    Any,
    Network(IpNet),
    Address(IpAddr, Option<u16>),
    Domain {
        /// The name, with the dot before it.
        suffix: String,
        /// Whether the name itself is meant too, and not only those below it.
        itself: bool,
        port: Option<u16>,
    },
}

impl ProxySettings {
    /// Reads the values of `HTTPS_PROXY` and `NO_PROXY`. An empty one counts as not set, and a member of `NO_PROXY` that is
    /// nothing counts as absent.
    ///
    /// # Errors
    /// Why `https_proxy` cannot be used, as the rest of a sentence, which does not repeat it.
    pub fn parse(https_proxy: &str, no_proxy: &str) -> Result<Self, &'static str> {
        let proxy = if https_proxy.trim().is_empty() { None } else { Some(Proxy::parse(https_proxy.trim())?) };
        Ok(Self { proxy, exceptions: no_proxy.split(',').filter_map(Exception::parse).collect() })
    }

    /// The proxy, if there is one.
    pub(super) fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    /// The proxy for calls to `target`; `None` if they go there directly.
    pub(super) fn proxy_for(&self, target: &Url) -> Option<&Proxy> {
        let proxy = self.proxy.as_ref().filter(|_| target.scheme() == "https" && !is_loopback(target))?;
        let (host, port) = (target.host()?, target.port_or_known_default());
        (!self.exceptions.iter().any(|exception| exception.covers(&host, port))).then_some(proxy)
    }
}

impl Proxy {
    fn parse(text: &str) -> Result<Self, &'static str> {
        const UNUSABLE: &str = "is no address of a proxy, as in http://proxy.example.com:3128";
        let has_scheme = text.contains("://");
        let url = if has_scheme { Url::parse(text) } else { Url::parse(&format!("http://{text}")) }.map_err(|_| UNUSABLE)?;
        if url.scheme().starts_with("socks") {
            return Err("is a SOCKS proxy, which is not supported; name an HTTP proxy, as in http://proxy.example.com:3128");
        }
        let (Some(host), Some(port), "http" | "https") = (url.host_str(), url.port_or_known_default(), url.scheme()) else {
            return Err(UNUSABLE);
        };
        let address = format!("{}://{host}:{port}", url.scheme()).parse().map_err(|_| UNUSABLE)?;
        let credentials = format!("{}:{}", decoded(url.username()), decoded(url.password().unwrap_or_default()));
        let authorization = (credentials != ":").then(|| Secret::new(format!("Basic {}", BASE64_STANDARD.encode(credentials))));
        Ok(Self { address, authorization })
    }
}

/// A part of a URL without its percent-encoding.
fn decoded(text: &str) -> String {
    // What a form takes for a blank or for a separator is neither here.
    let text = text.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    form_urlencoded::parse(text.as_bytes()).map(|(text, _)| text.into_owned()).collect()
}

/// A name as URLs have it (Punycode), if it is written in letters of other scripts.
fn in_ascii(name: &str) -> String {
    if name.is_ascii() {
        return name.to_owned();
    }
    match Host::parse(name) {
        Ok(Host::Domain(name)) => name,
        Ok(Host::Ipv4(_) | Host::Ipv6(_)) | Err(_) => name.to_owned(),
    }
}

impl Exception {
    fn parse(member: &str) -> Option<Self> {
        let member = member.trim().to_ascii_lowercase();
        if member == "*" {
            return Some(Self::Any);
        }
        if let Ok(network) = member.parse() {
            return Some(Self::Network(network));
        }
        if let Ok(address) = member.parse() {
            return Some(Self::Address(address, None));
        }
        let (name, port) = match member.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok()?)),
            None => (member.as_str(), None),
        };
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        if let Ok(address) = bare.parse() {
            return Some(Self::Address(address, port));
        }
        let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
        let (name, itself) = name.strip_prefix('.').map_or((name, true), |name| (name, false));
        (!name.is_empty()).then(|| Self::Domain { suffix: format!(".{}", in_ascii(name)), itself, port })
    }

    fn covers(&self, host: &Host<&str>, port: Option<u16>) -> bool {
        let address = match host {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(IpAddr::V4(*address)),
            Host::Ipv6(address) => Some(IpAddr::V6(*address)),
        };
        let has_port = |own: Option<u16>| own.is_none() || own == port;
        match (self, host, address) {
            (Self::Any, _, _) => true,
            (Self::Network(network), _, Some(address)) => network.contains(&address),
            (Self::Address(own, own_port), _, Some(address)) => *own == address && has_port(*own_port),
            (Self::Domain { suffix, itself, port: own_port }, Host::Domain(name), _) => {
                let name = name.to_ascii_lowercase();
                let is_it = *itself && suffix.strip_prefix('.') == Some(name.as_str());
                (is_it || name.ends_with(suffix.as_str())) && has_port(*own_port)
            }
            (Self::Network(_) | Self::Address(..) | Self::Domain { .. }, _, _) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goes_through(no_proxy: &str, target: &str) -> bool {
        let settings = ProxySettings::parse("proxy:3128", no_proxy).unwrap();
        settings.proxy_for(&Url::parse(target).unwrap()).is_some()
    }

    #[test]
    fn what_no_proxy_names_is_called_directly() {
        for (no_proxy, target, expected) in [
            ("", "https://id.example.com", true),
            ("*", "https://id.example.com", false),
            ("example.com", "https://id.example.com", false),
            ("example.com", "https://example.com", false),
            ("EXAMPLE.com", "https://id.Example.COM", false),
            ("example.com", "https://notexample.com", true),
            (".example.com", "https://id.example.com", false),
            ("bücher.example", "https://id.bücher.example", false),
            (".Bücher.example:443", "https://id.xn--bcher-kva.example", false),
            ("bücher.example", "https://bucher.example", true),
            (".example.com", "https://example.com", true),
            ("*.example.com", "https://id.example.com", false),
            ("*.example.com", "https://example.com", true),
            ("other.com, example.com ,", "https://id.example.com", false),
            ("example.com:443", "https://id.example.com", false),
            ("example.com:8443", "https://id.example.com", true),
            ("example.com:8443", "https://id.example.com:8443", false),
            ("10.0.0.0/8", "https://10.1.2.3", false),
            ("10.0.0.0/8", "https://11.1.2.3", true),
            ("10.1.2.3", "https://10.1.2.3:8443", false),
            ("10.1.2.3:443", "https://10.1.2.3:8443", true),
            ("10.1.2.3:8443", "https://10.1.2.3:8443", false),
            ("fd00::/8", "https://[fd00::1]", false),
            ("fd00::1", "https://[fd00::1]", false),
            ("[fd00::1]:443", "https://[fd00::1]", false),
            ("[fd00::1]:444", "https://[fd00::1]", true),
            (":443", "https://id.example.com", true),
            ("example.com:x", "https://id.example.com", true),
            (".", "https://id.example.com", true),
        ] {
            assert_eq!(goes_through(no_proxy, target), expected, "{no_proxy:?} {target}");
        }
    }

    #[test]
    fn this_machine_is_never_called_through_a_proxy_and_neither_is_plain_http() {
        for target in
            ["https://localhost", "https://127.0.0.1:8443", "https://[::1]", "https://id.localhost", "http://id.example.com"]
        {
            assert!(!goes_through("", target), "{target}");
        }
    }

    #[test]
    fn a_proxy_is_named_with_or_without_a_scheme_and_with_credentials() {
        let read = |text: &str| {
            let proxy = Proxy::parse(text)?;
            let authorization = proxy.authorization.as_ref().map(|value| {
                let encoded = value.expose().strip_prefix("Basic ").unwrap();
                String::from_utf8(BASE64_STANDARD.decode(encoded).unwrap()).unwrap()
            });
            Ok::<_, &str>((proxy.address.to_string(), authorization))
        };
        for (text, address, credentials) in [
            ("http://proxy.example:3128", "http://proxy.example:3128/", None),
            ("proxy.example:3128", "http://proxy.example:3128/", None),
            ("proxy.example", "http://proxy.example:80/", None),
            ("10.0.0.1:8080", "http://10.0.0.1:8080/", None),
            ("https://proxy.example/", "https://proxy.example:443/", None),
            ("http://[fd00::1]:3128", "http://[fd00::1]:3128/", None),
            ("http://ann:s%40cret%2B+%26%3D@proxy.example:3128", "http://proxy.example:3128/", Some("ann:s@cret++&=")),
            ("http://ann@proxy.example", "http://proxy.example:80/", Some("ann:")),
        ] {
            assert_eq!(read(text), Ok((address.to_owned(), credentials.map(str::to_owned))), "{text}");
        }
        for text in ["socks5://proxy.example:1080", "socks5h://proxy.example"] {
            assert!(read(text).unwrap_err().contains("SOCKS"), "{text}");
        }
        for text in ["ftp://proxy.example", "http://", "http://a b", "::"] {
            assert!(read(text).unwrap_err().contains("no address"), "{text}");
        }
        let settings = ProxySettings::parse("http://ann:hunter2@proxy.example", "").unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
