//! The addresses that browsers know this gateway by.

use std::sync::Arc;

use url::Url;

use super::{AccessUrl, HostPattern};

/// The addresses that browsers know this gateway by: the access URL, those of routes for other hosts, and all that match a pattern: the
/// wildcard access URL's, or a route's. Each has its own cookies and sessions.
#[derive(Clone, Debug)]
pub struct Sites {
    main: Arc<AccessUrl>,
    others: Vec<Arc<AccessUrl>>,
    patterns: Vec<HostPattern>,
}

impl Sites {
    /// Creates the set with the access URL alone.
    pub fn new(main: AccessUrl) -> Self {
        Self { main: Arc::new(main), others: Vec::new(), patterns: Vec::new() }
    }

    /// Adds another host, which has the access URL's scheme.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence.
    pub fn add(&mut self, host: &str) -> Result<(), &'static str> {
        let site = self.site(host)?;
        // In any other spelling, requests of browsers would not match it.
        if !site.is_host(host) {
            return Err("must be a host as browsers write it, as in app.example.com or app.example.com:8443");
        }
        if !self.all().any(|known| known.is_host(host)) {
            self.others.push(Arc::new(site));
        }
        Ok(())
    }

    /// Adds all hosts of a pattern, which have the access URL's scheme.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence.
    pub fn add_pattern(&mut self, pattern: &HostPattern) -> Result<(), &'static str> {
        let example = pattern.example();
        if self.site(&example)?.authority() != example {
            return Err("must be hosts as browsers write them, without the scheme's own port");
        }
        if !self.patterns.contains(pattern) {
            self.patterns.push(pattern.clone());
        }
        Ok(())
    }

    /// The access URL.
    pub fn main(&self) -> &Arc<AccessUrl> {
        &self.main
    }

    /// Returns all sites that have a name of their own, the access URL first.
    pub fn all(&self) -> impl Iterator<Item = &Arc<AccessUrl>> {
        std::iter::once(&self.main).chain(&self.others)
    }

    /// The patterns, each with one of its sites.
    pub fn pattern_examples(&self) -> impl Iterator<Item = (&HostPattern, AccessUrl)> {
        self.patterns.iter().filter_map(|pattern| Some((pattern, self.site(&pattern.example()).ok()?)))
    }

    /// Returns the host names that certificates must be for, of each pattern an example.
    pub fn certificate_hosts(&self) -> Vec<String> {
        let examples = self.pattern_examples().map(|(_, example)| example.host().to_owned());
        self.all().map(|site| site.host().to_owned()).chain(examples).collect()
    }

    /// Returns the site that a `Host` value names.
    pub fn find(&self, host: &str) -> Option<Arc<AccessUrl>> {
        let named = self.all().find(|site| site.is_host(host)).map(Arc::clone);
        named.or_else(|| self.of_pattern(host).map(Arc::new))
    }

    /// Returns the site whose page a URL is of, by its scheme, host and port.
    pub fn of_url(&self, url: &Url) -> Option<Arc<AccessUrl>> {
        let host = url.host_str()?;
        let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        self.find(&authority).filter(|site| site.scheme() == url.scheme())
    }

    fn of_pattern(&self, host: &str) -> Option<AccessUrl> {
        if self.patterns.is_empty() {
            return None;
        }
        let site = self.site(host).ok()?;
        let matches = self.patterns.iter().any(|pattern| pattern.values(site.authority()).is_some());
        (matches && site.is_host(host)).then_some(site)
    }

    fn site(&self, host: &str) -> Result<AccessUrl, &'static str> {
        AccessUrl::parse(&format!("{}://{host}", self.main.scheme()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sites(pattern: &str) -> Sites {
        let mut sites = Sites::new(AccessUrl::parse("https://app.example").unwrap());
        sites.add_pattern(&HostPattern::parse(pattern).unwrap()).unwrap();
        sites
    }

    #[test]
    fn a_wildcard_is_every_host_that_differs_in_the_beginning_of_one_label() {
        let plain = sites("*.apps.example.com");
        for host in ["one.apps.example.com", "ONE.Apps.example.com:443", "a-1--b.apps.example.com"] {
            let site = plain.find(host).unwrap();
            assert_eq!(site.at("/x"), format!("https://{}/x", host.to_ascii_lowercase().trim_end_matches(":443")));
        }
        for host in [
            "apps.example.com",
            ".apps.example.com",
            "a.b.apps.example.com",
            "one.apps.example.com:8443",
            "one.apps.example.com.",
            "one.apps.example.com.evil.example",
            "oneapps.example.com",
            "-.apps.example.com",
            "*.apps.example.com",
            "a_b.apps.example.com",
            "evil@one.apps.example.com",
            "evil.example/one.apps.example.com",
            "evil.example?one.apps.example.com",
            "evil.example#one.apps.example.com",
            "%6fne.apps.example.com",
            "\u{66f}.apps.example.com",
            "",
        ] {
            assert!(plain.find(host).is_none(), "{host:?}");
        }
        assert_eq!(plain.find("app.example").unwrap().authority(), "app.example");
        let (suffixed, ported) = (sites("*--x.example.com"), sites("*.example.com:8443"));
        assert!(suffixed.find("one--x.example.com").is_some() && suffixed.find("one.example.com").is_none());
        assert!(ported.find("one.example.com:8443").is_some() && ported.find("one.example.com").is_none());
    }

    #[test]
    fn a_pattern_with_the_scheme_s_own_port_would_match_no_host_and_is_refused() {
        let mut sites = Sites::new(AccessUrl::parse("https://app.example").unwrap());
        assert!(sites.add_pattern(&HostPattern::parse("*.example.com:443").unwrap()).is_err());
        assert!(sites.add_pattern(&HostPattern::parse("*.example.com:80").unwrap()).is_ok());
    }
}
