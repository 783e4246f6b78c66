//! Login: the authorization code flow with PKCE (OpenID Connect Core section 3.1), from the first redirect to the session cookie.
//!
//! What an attempt needs between the two is carried, encrypted, in `state`, so that the server stores nothing for it and each tab
//! has its own attempt.
//!
//! | module | what it does |
//! |---|---|
//! | `sign_ins` | the workflows of all providers; which of them a response belongs to |
//! | `login_parts` | what the workflows of all providers share |
//! | `browser` | a browser on its way, and where it is sent |
//! | `begin`, `purpose` | redirects a browser to the provider, and why |
//! | `callback` | completes the login of a browser that comes back |
//! | `attempt` | the login attempt that `state` carries, and the cookie that binds it to its browser |
//! | `authorization_response`, `callback_error` | parses what the provider sends the browser back with; why that creates no session |
//! | `browser_turns` | the logins of one browser, one at a time |
//! | `code_exchanges` | rate limit of the provider calls that anybody can cause |
//! | `save_login` | saves the grant and the session |
//! | `refresh_tokens` | whether logins bring refresh tokens |
//! | `hand_over` | hands the session of the login site over to other sites |
//! | `failed` | what to do for a browser whose login failed |
//! | `provider_choice` | the provider that a browser's user chose last, where there are several |
//! | `silent`, `silent_history` | silent re-authentication (`prompt=none`), and its record in a browser's cookie |
//! | `redirect_loop` | detects redirect loops |
//! | `return_to`, `long_return_to`, `stored_return_tos` | the page that a login leads to: guards against open redirects, and stores long ones |
//! | `site_page` | the page that a logout leads to |

mod attempt;
mod authorization_response;
mod begin;
mod browser;
mod browser_turns;
mod callback;
mod callback_error;
mod code_exchanges;
mod failed;
mod hand_over;
mod left_over;
mod login_parts;
mod long_return_to;
mod provider_choice;
mod purpose;
mod redirect_loop;
mod refresh_tokens;
pub mod return_to;
mod save_login;
mod sign_ins;
mod silent;
mod silent_history;
mod site_page;
mod stored_return_tos;

use std::sync::Arc;

use crate::{
    address::RedirectUris,
    oidc::{DEFAULT_NAME, Provider},
    policy::Policy,
    telemetry::metrics::Metrics,
};

pub use authorization_response::AuthorizationResponse;
pub use browser::{LoginBrowser, Redirect, return_from};
pub use browser_turns::BrowserTurns;
pub use callback_error::CallbackError;
pub use code_exchanges::CodeExchanges;
pub use failed::FailedLogin;
pub use hand_over::HandOverRequest;
pub use login_parts::LoginParts;
pub use provider_choice::LastChoice;
pub use purpose::Purpose;
pub use refresh_tokens::RefreshTokens;
pub use sign_ins::SignIns;
pub use silent::{BrowserHistory, Lasted};
pub use site_page::SitePage;
pub use stored_return_tos::StoredReturnTos;

/// The login workflow at one provider.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// What it shares with the workflows at all others.
    pub parts: Arc<LoginParts>,
    /// The provider.
    pub provider: Arc<Provider>,
    /// Where the provider sends browsers back to.
    pub redirect_uris: RedirectUris,
    /// The label of its button where users choose; `None` for its name.
    pub text: Option<String>,
    /// The domains whose addresses are its users'.
    pub email_domains: Vec<String>,
    /// The policy for every user of this provider.
    pub policy: Policy,
    /// Counts logins.
    pub metrics: Metrics,
    /// Whether logins bring the requested refresh tokens.
    pub refresh_tokens: Arc<RefreshTokens>,
    /// Limits concurrent code exchanges: anybody can send callbacks.
    pub exchanges: Arc<CodeExchanges>,
}

impl SignIn {
    /// The label of its button where users choose.
    pub fn label(&self) -> &str {
        let host = || match self.provider.name() {
            // It says nothing to a user.
            DEFAULT_NAME => self.provider.issuer().split('/').nth(2),
            name => Some(name),
        };
        self.text.as_deref().or_else(host).unwrap_or(DEFAULT_NAME)
    }

    /// Whether it is the login at this provider.
    pub fn is_at(&self, provider: &Provider) -> bool {
        self.provider.name() == provider.name()
    }
}
