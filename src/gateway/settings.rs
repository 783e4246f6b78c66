//! The gateway's settings.

use std::sync::Arc;

use http::HeaderValue;

use crate::{
    address::{AccessUrl, RedirectUris},
    exchange,
    oidc::DEFAULT_NAME,
    pages::Branding,
    routing::Routes,
};

/// What the gateway itself is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What a request is read by.
    pub exchange: exchange::Settings,
    /// Where requests lead.
    pub routes: Routes,
    /// `CODER_FORWARD_AUTH`, `CODER_EXT_AUTHZ_ADDRESS`: whether ingresses may ask about requests of theirs.
    pub forward_auth: ForwardAuth,
    /// `CODER_FORWARD_AUTH`: whether they may ask by HTTP, beside our own pages.
    pub is_asked_by_http: bool,
    /// `CODER_REDIRECT_TO_ACCESS_URL`: whether a request for an unknown host is redirected to the access URL.
    pub redirect_unknown_hosts: bool,
    /// `CODER_STRICT_TRANSPORT_SECURITY`: the value of that header, where it is to be set.
    pub strict_transport_security: Option<HeaderValue>,
    /// `CODER_PATH_PREFIX`: the path of our own pages, without a slash at its end.
    pub prefix: String,
    /// `CODER_OIDC_REDIRECT_URL`: the site of the redirect URI, where it is one for all sites.
    pub redirect_url: Option<AccessUrl>,
    /// `CODER_SHARED_LOGIN`: whether all sites share the login at one of them.
    pub shares_login: bool,
    /// By which listener the administration is reached.
    pub administered_at: Entrance,
    /// How our own pages look.
    pub branding: Arc<Branding>,
    /// Whether routes ask for groups, and no claim is known that holds them.
    pub lacks_group_claim: bool,
}

/// Whether ingresses may ask about requests of theirs (forward authentication).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardAuth {
    /// They may not.
    Off,
    /// They may, and some requests are forwarded here.
    BesideProxy,
    /// They may, and no request is forwarded here.
    Only,
}

/// A listener by which requests come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// Everybody's.
    Public,
    /// That of `CODER_ADMIN_ADDRESS`, at which our own pages are served and no app.
    Administration,
}

impl Settings {
    /// The redirect URIs of the logins at the provider of this name. Each provider has its own, so that a response cannot pass for
    /// another's (RFC 9700 section 4.4.2.2).
    pub fn callback_uris(&self, provider: &str) -> RedirectUris {
        if provider == DEFAULT_NAME {
            self.redirect_uris("callback")
        } else {
            self.redirect_uris(&format!("callback/{provider}"))
        }
    }

    /// The site at which the login is that sites share, if they do.
    pub fn login_site(&self) -> AccessUrl {
        self.redirect_url.clone().unwrap_or_else(|| self.exchange.sites.main().as_ref().clone())
    }

    /// The addresses of our page `page`, to which the provider sends browsers back.
    pub fn redirect_uris(&self, page: &str) -> RedirectUris {
        let path = format!("{}/{page}", self.prefix);
        // Where sites share a login, it is at one of them.
        let for_all = self.redirect_url.clone().or_else(|| self.shares_login.then(|| self.login_site()));
        RedirectUris { path, for_all, sites: self.exchange.sites.clone() }
    }
}
