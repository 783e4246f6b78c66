//! The origins that a setting names, one by one or by a pattern.

use std::fmt;

use crate::address::AccessUrl;

/// One or several origins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OriginPattern {
    /// This one, as browsers write it.
    Exact(String),
    /// All that differ in the beginning of the first label of the host.
    Wildcard {
        /// The scheme, with the slashes.
        start: String,
        /// What follows the star.
        end: String,
    },
    /// Every origin.
    Any,
}

/// The origin of pages that have none: files, frames in a sandbox, which every site can make.
const OPAQUE: &str = "null";
/// The longest label of a host name, in bytes (RFC 1035 section 2.3.4).
const MAX_LABEL_LEN: usize = 63;

impl OriginPattern {
    /// Reads `https://app.example.com`, `https://*.apps.example.com`, `null` or `*`.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const STAR: &str = "has a star elsewhere than for the beginning of the first of at least three labels of the host, as in \
                            https://*.apps.example.com";
        match text {
            "*" => return Ok(Self::Any),
            OPAQUE => return Ok(Self::Exact(text.to_owned())),
            _ => {}
        }
        let Some((start, end)) = text.split_once('*') else {
            return if is_origin(text) { Ok(Self::Exact(text.to_owned())) } else { Err(NO_ORIGIN) };
        };
        // A star for a whole top-level domain would allow everybody's origins.
        let labels_behind = end.split(':').next().unwrap_or_default().split('.').skip(1).count();
        if !matches!(start, "https://" | "http://") || end.contains('*') || labels_behind < 2 {
            return Err(STAR);
        }
        if !is_origin(&format!("{start}a{end}")) {
            return Err(NO_ORIGIN);
        }
        Ok(Self::Wildcard { start: start.to_owned(), end: end.to_owned() })
    }

    /// Whether it takes in `origin`, as browsers write it.
    pub fn matches(&self, origin: &str) -> bool {
        match self {
            Self::Exact(one) => one == origin,
            Self::Wildcard { start, end } => {
                let label = origin.strip_prefix(start.as_str()).and_then(|rest| rest.strip_suffix(end.as_str()));
                let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
                label.is_some_and(|label| {
                    (1..=MAX_LABEL_LEN).contains(&label.len()) && !label.starts_with('-') && label.bytes().all(is_plain)
                })
            }
            Self::Any => true,
        }
    }

    /// Whether every site can make a page of this origin.
    pub fn is_everybodys(&self) -> bool {
        match self {
            Self::Any => true,
            Self::Exact(origin) => origin == OPAQUE,
            Self::Wildcard { .. } => false,
        }
    }
}

impl fmt::Display for OriginPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(origin) => f.write_str(origin),
            Self::Wildcard { start, end } => write!(f, "{start}*{end}"),
            Self::Any => f.write_str("*"),
        }
    }
}

const NO_ORIGIN: &str = "is no origin as browsers write it: scheme, host in lower case, and port unless it is the scheme's default, \
                         without a path or a slash at the end, as in https://app.example.com";

/// Whether this is the origin of a page, in the spelling of browsers.
fn is_origin(text: &str) -> bool {
    AccessUrl::parse(text).is_ok_and(|url| url.at("") == text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_takes_in_origins_that_differ_in_the_beginning_of_one_label() {
        for (pattern, taken, foreign) in [
            (
                "https://app.example.com",
                &["https://app.example.com"][..],
                &[
                    "http://app.example.com",
                    "https://app.example.com:8443",
                    "https://app.example.com.evil.test",
                    "https://APP.example.com",
                    "https://app.example.com/",
                    "null",
                    "",
                ][..],
            ),
            (
                "https://*.apps.example.com",
                &["https://one.apps.example.com", "https://a-1--b.apps.example.com"],
                &[
                    "https://apps.example.com",
                    "https://.apps.example.com",
                    "https://a.b.apps.example.com",
                    "https://-.apps.example.com",
                    "http://one.apps.example.com",
                    "https://one.apps.example.com:8443",
                    "https://evil.test/.apps.example.com",
                    "https://evil.test:1.apps.example.com",
                    "https://evil@one.apps.example.com",
                    "https://evilapps.example.com",
                    "https://one.apps.example.com.evil.test",
                    "https://ONE.apps.example.com",
                ],
            ),
            ("http://*.local.test:3000", &["http://a.local.test:3000"], &["http://a.local.test", "http://a.local.test:30001"]),
            ("https://*--x.example.com", &["https://8080--x.example.com"], &["https://x.example.com", "https://--x.example.com"]),
            ("null", &["null"], &["https://null", "NULL"]),
            ("*", &["null", "https://any.test"], &[]),
        ] {
            let (text, pattern) = (pattern, OriginPattern::parse(pattern).unwrap());
            assert_eq!(pattern.to_string(), text);
            assert!(taken.iter().all(|origin| pattern.matches(origin)), "{pattern:?}");
            assert!(!foreign.iter().any(|origin| pattern.matches(origin)), "{pattern:?}");
        }
    }

    #[test]
    fn what_is_no_origin_or_takes_in_strangers_is_refused() {
        for text in [
            "",
            "app.example.com",
            "https://app.example.com/",
            "https://app.example.com/path",
            "https://app.example.com:443",
            "https://App.example.com",
            "https://user@app.example.com",
            "ftp://app.example.com",
            "https://*",
            "https://*.com",
            "https://app.*.example.com",
            "https://a*.example.com",
            "https://*.*.example.com",
            "*.example.com",
            "*://app.example.com",
            "https://*.example.com/path",
            "https://*.example.com:443",
            "https://*.example.com:*",
            "https://app.example.com https://b.example.com",
        ] {
            assert!(OriginPattern::parse(text).is_err(), "{text}");
        }
    }
}
