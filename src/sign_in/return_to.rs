//! The return address of a login, which is always a page of the same site (no open redirect).

use url::Url;

use crate::address::AccessUrl;

/// A path with its query on this site. It is parsed, checked and serialized again; anything invalid becomes the front page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReturnTo(String);

/// The maximum length, which all servers should accept (RFC 9110 section 4.1).
const MAX_LEN: usize = 8 * 1024;

impl ReturnTo {
    /// Parses an untrusted address: a path, or a URL of this site's origin.
    pub fn parse(text: &str, access: &AccessUrl) -> Self {
        Self::checked(text, access).unwrap_or_else(Self::front_page)
    }

    /// Parses the address of a page of this site, as in `Referer`.
    pub fn of_page(address: &str, access: &AccessUrl) -> Option<Self> {
        Self::checked(address, access)
    }

    /// Returns `/`.
    pub fn front_page() -> Self {
        Self("/".to_owned())
    }

    /// Returns the path and query, to be appended to the site's origin and never sent alone: browsers would take the path
    /// `/.//evil.example` for a host.
    pub fn path(&self) -> &str {
        &self.0
    }

    /// Returns this address, or the front page if it is longer.
    pub fn if_no_longer_than(&self, length: usize) -> Self {
        if self.0.len() <= length { self.clone() } else { Self::front_page() }
    }

    fn checked(text: &str, access: &AccessUrl) -> Option<Self> {
        // Whoever writes an address into a parameter as it stands has its escaped blanks and its pluses read as blanks.
        let text = &*text.replace(' ', "%20");
        // Browsers drop tabs and line ends, and read a backslash before the query as a slash; no legitimate address has them
        // there.
        let path = text.split(['?', '#']).next().unwrap_or_default();
        if text.len() > MAX_LEN || text.chars().any(char::is_control) || path.contains('\\') {
            return None;
        }
        let url = if text.starts_with('/') {
            if text.starts_with("//") {
                return None;
            }
            access.as_url().join(text).ok()?
        } else {
            Url::parse(text).ok()?
        };
        let ours = access.as_url();
        let same_origin = url.scheme() == ours.scheme() && url.host() == ours.host() && url.port() == ours.port();
        if !same_origin || !url.username().is_empty() || url.password().is_some() || url.path().starts_with("//") {
            return None;
        }
        Some(Self(match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        }))
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests {
    use super::*;

    fn returned(text: &str) -> String {
        ReturnTo::parse(text, &AccessUrl::parse("https://app.example").unwrap()).path().to_owned()
    }

    #[test]
    fn pages_of_ours_are_kept_with_their_query() {
        for same in [
            "/",
            "/a",
            "/a/b?c=d&e=%2F",
            "/a?next=https://evil.example",
            "/%09/evil.example",
            "/a%5c..",
            "/?rd=//evil",
            r"/a?file=C:\dir\x",
        ] {
            assert_eq!(returned(same), same);
        }
        assert_eq!(returned("https://app.example/a?b#c"), "/a?b");
        assert_eq!(returned("https://APP.example:443/a"), "/a");
        assert_eq!(returned("/a/../b"), "/b");
    }

    #[test]
    fn a_page_with_a_blank_in_its_address_is_come_back_to() {
        for (text, page) in [
            ("/search?q=a b", "/search?q=a%20b"),
            ("/search?q=a ", "/search?q=a%20"),
            ("/files/my doc.pdf", "/files/my%20doc.pdf"),
            ("https://app.example/my doc?q=a b#c d", "/my%20doc?q=a%20b"),
            ("/ /evil.example", "/%20/evil.example"),
        ] {
            assert_eq!(returned(text), page);
            assert_eq!(returned(page), page);
        }
    }

    #[test]
    fn every_other_address_is_the_front_page() {
        for evil in [
            "",
            "a",
            "//evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            " /evil.example",
            " //evil.example",
            " https://app.example/a",
            "https://app.example /a",
            "https://app.example @evil.example/",
            "https: //app.example/",
            "/\u{b}/evil",
            "/./\\evil.example",
            "/.//evil.example",
            "/a/..//evil.example",
            "/./../..//evil.example",
            "http://app.example/",
            "https://app.example:8443/",
            "https://app.example.evil.example/",
            "https://evil.example/",
            "https://app.example@evil.example/",
            "https://u:p@app.example/",
            "https://evilapp.example/",
            "javascript:alert(1)",
            "data:text/html,x",
            "https:evil.example",
            "https:/evil.example",
            "///evil.example",
            "////evil.example",
            "https://app.example\\@evil.example",
            "//app.example@evil.example/",
            "https://app.example%2eevil.example/",
            "ftp://app.example/",
        ] {
            assert_eq!(returned(evil), "/", "{evil:?}");
        }
        assert_eq!(returned(&format!("/{}", "a".repeat(MAX_LEN))), "/");
    }
}
