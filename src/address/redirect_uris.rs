//! Redirect URIs (RFC 6749 section 3.1.2) and post-logout redirect URIs (OpenID Connect RP-Initiated Logout 1.0 section 3), to
//! which the provider sends browsers back.

use super::{AccessUrl, Sites};

/// The redirect URIs of all sites: each site's own, or one for all of them (`CODER_OIDC_REDIRECT_URL`), so that one alone is
/// registered at the provider. A browser that comes back at another site than the one where it began is sent on.
#[derive(Clone, Debug)]
pub struct RedirectUris {
    /// The path of the redirect URI.
    pub path: String,
    /// The site of the redirect URI, if it is one for all.
    pub for_all: Option<AccessUrl>,
    /// All sites.
    pub sites: Sites,
}

impl RedirectUris {
    /// The redirect URI of a browser of `site`.
    pub fn of(&self, site: &AccessUrl) -> String {
        self.for_all.as_ref().unwrap_or(site).at(&self.path)
    }

    /// All that must be registered at the provider, that of the access URL first. Of a pattern it has one example.
    pub fn all(&self) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        let examples = self.sites.pattern_examples().map(|(_, example)| self.of(&example));
        for uri in self.sites.all().map(|site| self.of(site)).chain(examples) {
            if !all.contains(&uri) {
                all.push(uri);
            }
        }
        all
    }

    /// The site that `state` must carry, because the browser comes back elsewhere.
    pub fn remembered<'a>(&self, site: &'a AccessUrl) -> Option<&'a str> {
        self.for_all.as_ref().filter(|one| *one != site).map(|_| site.authority())
    }

    /// Where a browser that has come back to `site` is sent on with `query`, if the site that it began at is another one, and is
    /// still one of ours.
    pub fn elsewhere(&self, began: &str, site: &AccessUrl, query: &str) -> Option<String> {
        let began = self.sites.find(began).filter(|began| **began != *site)?;
        Some(format!("{}?{query}", began.at(&self.path)))
    }
}
