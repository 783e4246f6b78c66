//! The addresses that browsers know this gateway by.

use std::sync::Arc;

use super::AccessUrl;

/// The addresses that browsers know this gateway by: the access URL, those of routes for other hosts, and all that match the
/// wildcard access URL. Each has its own cookies and sessions.
#[derive(Clone, Debug)]
pub struct Sites {
    main: Arc<AccessUrl>,
    others: Vec<Arc<AccessUrl>>,
    wildcard: Option<Wildcard>,
}

/// Hosts that differ in a part of one label.
#[derive(Clone, Debug)]
struct Wildcard {
    /// What follows that part, in lower case, with the port if it is not the scheme's own.
    suffix: String,
}

/// The longest label of a host name, in bytes (RFC 1035 section 2.3.4).
const MAX_LABEL_LEN: usize = 63;

impl Sites {
    /// Creates the set with the access URL alone.
    pub fn new(main: AccessUrl) -> Self {
        Self { main: Arc::new(main), others: Vec::new(), wildcard: None }
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

    /// Adds all hosts of a pattern like `*.apps.example.com` or `*--apps.example.com`, whose star stands for letters, digits and
    /// dashes at the beginning of one label.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence.
    pub fn add_wildcard(&mut self, pattern: &str) -> Result<(), &'static str> {
        const WRONG: &str = "must be a host whose first label begins with a star, as in *.apps.example.com";
        let suffix = pattern.strip_prefix('*').filter(|suffix| !suffix.contains('*')).ok_or(WRONG)?.to_ascii_lowercase();
        // A star for a whole top-level domain would make everybody's host a site of ours.
        let labels = suffix.split(':').next().unwrap_or_default().split('.').skip(1).count();
        let example = format!("a{suffix}");
        let site = self.site(&example).map_err(|_| WRONG)?;
        if labels < 2 || !site.is_host(&example) {
            return Err(WRONG);
        }
        self.wildcard = Some(Wildcard { suffix: site.authority().strip_prefix('a').unwrap_or_default().to_owned() });
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

    /// Returns one of the sites that match the wildcard access URL, if it is set.
    pub fn wildcard_example(&self) -> Option<AccessUrl> {
        let Wildcard { suffix } = self.wildcard.as_ref()?;
        self.of_wildcard(&format!("any{suffix}"))
    }

    /// Returns the host names that certificates must be for, one of them an example of the wildcard access URL's.
    pub fn certificate_hosts(&self) -> Vec<String> {
        let example = self.wildcard_example();
        self.all().map(Arc::as_ref).chain(&example).map(|site| site.host().to_owned()).collect()
    }

    /// The pattern of the wildcard access URL, if it is set.
    pub fn wildcard_pattern(&self) -> Option<String> {
        self.wildcard.as_ref().map(|wildcard| format!("*{}", wildcard.suffix))
    }

    /// Returns the site that a `Host` value names.
    pub fn find(&self, host: &str) -> Option<Arc<AccessUrl>> {
        let named = self.all().find(|site| site.is_host(host)).map(Arc::clone);
        named.or_else(|| self.of_wildcard(host).map(Arc::new))
    }

    fn of_wildcard(&self, host: &str) -> Option<AccessUrl> {
        let Wildcard { suffix } = self.wildcard.as_ref()?;
        let site = self.site(host).ok()?;
        let label = site.authority().strip_suffix(suffix.as_str())?;
        let is_one_label = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let is_name = (1..=MAX_LABEL_LEN).contains(&label.len()) && !label.starts_with('-') && is_one_label;
        (is_name && site.is_host(host)).then_some(site)
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
        sites.add_wildcard(pattern).unwrap();
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
    fn a_pattern_that_would_take_in_strangers_hosts_is_refused() {
        let mut sites = Sites::new(AccessUrl::parse("https://app.example").unwrap());
        for pattern in [
            "*",
            "*.",
            "*.com",
            "apps.example.com",
            "a.*.example.com",
            "*.*.example.com",
            "https://*.example.com",
            "*.example.com/x",
        ] {
            assert!(sites.add_wildcard(pattern).is_err(), "{pattern}");
        }
    }
}
