//! Where an upstream listens.

use std::path::PathBuf;

use http::uri::{Authority, Scheme};
use url::Url;

/// Where an upstream listens (`CODER_UPSTREAM_URL`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// `http://host:port` or `https://host:port`.
    Tcp {
        /// The scheme.
        scheme: Scheme,
        /// Host and port.
        authority: Authority,
    },
    /// `unix:/path/to/socket`.
    Unix(PathBuf),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp { scheme, authority } => write!(f, "{scheme}://{authority}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// What is wrong with an upstream's address, as a sentence's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadAddress(&'static str);

impl Address {
    /// Reads `http://host:port`, `https://host:port` or `unix:/path`.
    ///
    /// # Errors
    /// [`BadAddress`].
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
            return if path.is_absolute() {
                Ok(Self::Unix(path))
            } else {
                Err(BadAddress("must name the socket by its absolute path"))
            };
        }
        let url = Url::parse(text).map_err(|_| BadAddress("is not a URL"))?;
        let scheme = match url.scheme() {
            "http" => Scheme::HTTP,
            "https" => Scheme::HTTPS,
            _ => return Err(BadAddress("must begin with http://, https:// or unix:")),
        };
        if url.path() != "/"
            || url.query().is_some()
            || url.fragment().is_some()
            || !url.username().is_empty()
            || url.password().is_some()
        {
            return Err(BadAddress("must be scheme, host and port alone"));
        }
        let authority = url.authority().parse().map_err(|_| BadAddress("has no usable host"))?;
        Ok(Self::Tcp { scheme, authority })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_an_origin_or_a_socket() {
        for good in
            ["http://127.0.0.1:8080", "https://app.internal", "http://[::1]:80/", "unix:/run/app.sock", "unix:///run/app.sock"]
        {
            assert!(Address::parse(good).is_ok(), "{good}");
        }
        assert_eq!(Address::parse("unix:///run/a"), Ok(Address::Unix("/run/a".into())));
        for bad in ["127.0.0.1:8080", "ftp://a", "http://a/b", "http://u:p@a", "unix:run/a", "http://a?x", ""] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }
}
