//! The page that a logout leads to, which is one of ours, at whichever of our sites (no open redirect).

use std::sync::Arc;

use url::Url;

use super::return_to::ReturnTo;
use crate::address::{AccessUrl, Sites};

/// A page of one of our sites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SitePage {
    site: Arc<AccessUrl>,
    path: ReturnTo,
}

impl SitePage {
    /// Parses an untrusted address: a path of the site `here`, or a URL of any of `sites`. Anything else is the front page here.
    pub fn parse(text: &str, here: &Arc<AccessUrl>, sites: &Sites) -> Self {
        let at = |site: Arc<AccessUrl>| Some(Self { path: ReturnTo::of_page(text, &site)?, site });
        // What `Url` reads into a text is checked by `ReturnTo` against the text itself.
        let elsewhere = || at(sites.of_url(&Url::parse(text).ok()?)?);
        at(Arc::clone(here)).or_else(elsewhere).unwrap_or_else(|| Self::front_page(here))
    }

    /// The front page of `site`.
    pub fn front_page(site: &Arc<AccessUrl>) -> Self {
        Self { site: Arc::clone(site), path: ReturnTo::front_page() }
    }

    /// The site that it is a page of.
    pub fn site(&self) -> &AccessUrl {
        &self.site
    }

    /// Its path and query there.
    pub fn path(&self) -> &str {
        self.path.path()
    }

    /// Its URL.
    pub fn url(&self) -> String {
        self.site.at(self.path())
    }

    /// What [`SitePage::parse`] reads as this page at the site `here`: the path alone, if it is of that site.
    pub fn seen_from(&self, here: &AccessUrl) -> String {
        if *self.site == *here { self.path().to_owned() } else { self.url() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::HostPattern;

    fn sites() -> Sites {
        let mut sites = Sites::new(AccessUrl::parse("https://app.example").unwrap());
        sites.add("wiki.example:8443").unwrap();
        sites.add_pattern(&HostPattern::parse("*.apps.example").unwrap()).unwrap();
        sites
    }

    fn led_to(text: &str) -> String {
        let sites = sites();
        let page = SitePage::parse(text, sites.main(), &sites);
        let again = SitePage::parse(&page.seen_from(sites.main()), sites.main(), &sites);
        assert_eq!(again, page, "{text}");
        page.url()
    }

    #[test]
    fn a_page_of_any_of_our_sites_is_led_to() {
        for (text, url) in [
            ("/a?b", "https://app.example/a?b"),
            ("https://app.example/a", "https://app.example/a"),
            ("https://wiki.example:8443/a?b=//c", "https://wiki.example:8443/a?b=//c"),
            ("https://wiki.example:8443", "https://wiki.example:8443/"),
            ("https://One.apps.example:443/x#y", "https://one.apps.example/x"),
        ] {
            assert_eq!(led_to(text), url);
        }
    }

    #[test]
    fn every_other_address_is_the_front_page_here() {
        for evil in [
            "",
            "https://evil.example/",
            "//wiki.example:8443/",
            "http://wiki.example:8443/",
            "http://one.apps.example/",
            "ftp://one.apps.example/",
            "https://wiki.example/",
            "https://wiki.example:443/",
            "https://one.apps.example:8443/",
            "https://apps.example/",
            "https://a.b.apps.example/",
            "https://one.apps.example.evil.example/",
            "https://one.apps.example@evil.example/",
            "https://evil.example@one.apps.example/",
            "https://u:p@one.apps.example/",
            "https://evil.example\\@one.apps.example/",
            "https://one.apps.example\\.evil.example/",
            "https:\\\\one.apps.example/",
            "https:/one.apps.example\\",
            "https://one.apps\t.example/",
            "https://one.apps.example/\n",
            " https://one.apps.example/",
            "https://one.apps.example//evil.example",
            "https://one.apps.example/.//evil.example",
            "https://*.apps.example/",
            "https://evil.example#.apps.example/",
            "https://evil.example?.apps.example/",
            "https://evil.example/.apps.example/",
            "javascript://one.apps.example/%0aalert(1)",
        ] {
            assert_eq!(led_to(evil), "https://app.example/", "{evil:?}");
        }
    }
}
