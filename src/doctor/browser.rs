//! The administrator's browser, as far as the examination needs one.

use std::io;

use url::Url;

/// What the administrator's browser is sent for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Errand {
    /// A login.
    Login,
    /// A login with `prompt=consent`, because the first one brought no refresh token.
    Consent,
    /// A login to replace a grant that a trial has ended.
    LoginAgain,
    /// A logout at the provider.
    Logout,
}

/// The administrator's browser.
pub trait Browser {
    /// Sends it to `url`, and returns the query that it comes back with; after a logout, any text.
    fn visit(&mut self, errand: Errand, url: &Url) -> impl Future<Output = io::Result<String>>;
}
