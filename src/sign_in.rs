//! Login: the authorization code flow with PKCE (OpenID Connect Core section 3.1), from the first redirect to the session cookie.
//!
//! What an attempt needs between the two is carried, encrypted, in `state`, so that the server stores nothing for it and each tab
//! has its own attempt.
//!
//! | module | what it does |
//! |---|---|
//! | `sign_ins` | the workflows of all providers; which of them a response belongs to |
//! | `begin` | redirects a browser to the provider |
//! | `callback` | completes the login of a browser that comes back |
//! | `attempt` | the login attempt that `state` carries, and the cookie that binds it to its browser |
//! | `authorization_response`, `callback_error` | parses what the provider sends the browser back with; why that creates no session |
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
mod callback;
mod callback_error;
mod code_exchanges;
mod failed;
mod hand_over;
mod left_over;
mod long_return_to;
mod provider_choice;
mod redirect_loop;
mod refresh_tokens;
pub mod return_to;
mod save_login;
mod sign_ins;
mod silent;
mod silent_history;
mod site_page;
mod stored_return_tos;

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderValue};
use url::form_urlencoded;

use crate::{
    address::{AccessUrl, ClientAddress, RedirectUris},
    clock::{Clock, Stopwatch},
    oidc::{DEFAULT_NAME, Provider, Providers},
    policy::Policy,
    seal::KeyRing,
    session::{self, BrowserMark, UserHash, cookie::Cookies},
    store::{Store, StoreError},
    telemetry::metrics::Metrics,
};

use return_to::ReturnTo;

pub use authorization_response::AuthorizationResponse;
pub use begin::Purpose;
pub use callback_error::CallbackError;
pub use code_exchanges::CodeExchanges;
pub use failed::FailedLogin;
pub use hand_over::HandOverRequest;
pub use provider_choice::LastChoice;
pub use refresh_tokens::RefreshTokens;
pub use sign_ins::SignIns;
pub use silent::{BrowserHistory, Lasted};
pub use site_page::SitePage;
pub use stored_return_tos::StoredReturnTos;

/// The login workflow at one provider.
#[derive(Clone, Debug)]
pub struct SignIn {
    /// Where the provider sends browsers back to.
    pub redirect_uris: RedirectUris,
    /// `CODER_PATH_PREFIX`: the path of our own pages.
    pub prefix: String,
    /// Evergate's cookies.
    pub cookies: Cookies,
    /// How long sessions live; the cookie expires no later.
    pub sessions: session::Settings,
    /// `CODER_SHARED_LOGIN`: whether all sites share the login at one of them.
    pub shares_login: bool,
    /// The provider.
    pub provider: Arc<Provider>,
    /// The label of its button where users choose; `None` for its name.
    pub text: Option<String>,
    /// The domains whose addresses are its users'.
    pub email_domains: Vec<String>,
    /// All of them: a browser may have a session of another one.
    pub providers: Providers,
    /// The policy for every user of this provider.
    pub policy: Policy,
    /// Whether browsers are marked with who was signed in last, because forms are kept for them.
    pub marks_browsers: bool,
    /// The store of grants and sessions.
    pub store: Store,
    /// Encrypts login attempts.
    pub keys: KeyRing,
    /// The time.
    pub clock: Clock,
    /// Counts logins.
    pub metrics: Metrics,
    /// Whether logins bring the requested refresh tokens.
    pub refresh_tokens: Arc<RefreshTokens>,
    /// Limits how many long return addresses are stored.
    pub return_tos: Arc<StoredReturnTos>,
    /// Limits concurrent code exchanges: anybody can send callbacks.
    pub exchanges: Arc<CodeExchanges>,
    /// How long a login that returns waits for a store that is away.
    pub store_wait: Duration,
}

/// A redirect with its cookies.
#[derive(Debug)]
pub struct Redirect {
    /// The `Location`, always absolute.
    pub location: String,
    /// `Set-Cookie` values.
    pub cookies: Vec<HeaderValue>,
}

impl Redirect {
    /// A redirect that sets no cookie.
    pub fn to(location: String) -> Self {
        Self { location, cookies: Vec::new() }
    }
}

/// The least pause before a write that the store has not taken is made again.
const STORE_PAUSE: Duration = Duration::from_millis(250);

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

    /// The cookie that marks a browser with who is signed in there, if browsers are marked.
    fn browser_mark(&self, at: LoginBrowser<'_>, user: UserHash) -> Option<HeaderValue> {
        let site = at.site.authority();
        let before = self.marks_browsers.then(|| BrowserMark::of(&self.keys, &self.cookies, at.headers, site))?;
        BrowserMark::with_user(before, user).cookie(&self.keys, &self.cookies, site, self.sessions.absolute)
    }

    /// Whether it is the login at this provider.
    pub fn is_at(&self, provider: &Provider) -> bool {
        self.provider.name() == provider.name()
    }

    /// Makes a call of the store for a login, and makes it again while the store certainly has not taken it, for a while.
    async fn with_patience<T, F>(&self, call: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let waited = Stopwatch::start();
        loop {
            let left = self.store_wait.saturating_sub(waited.elapsed());
            match call().await {
                Err(error) if error.nothing_was_written() && !error.is_refusal() && !left.is_zero() => {
                    tokio::time::sleep(STORE_PAUSE).await;
                    let _too_long = tokio::time::timeout(left, self.store.until_writable()).await;
                }
                done => return done,
            }
        }
    }
}

/// A browser that is sent to the provider, or comes back from it.
#[derive(Clone, Copy, Debug)]
pub struct LoginBrowser<'a> {
    /// The site that it is at.
    pub site: &'a AccessUrl,
    /// The request's headers.
    pub headers: &'a HeaderMap,
    /// The client's address.
    pub client: ClientAddress,
}

/// Parses the return address in the parameter `name`. An empty one, as in a form that had none to pass on, counts as none.
pub fn return_from(query: &str, name: &str, access: &AccessUrl) -> Option<ReturnTo> {
    let (_, text) = form_urlencoded::parse(query.as_bytes()).find(|(found, text)| found == name && !text.is_empty())?;
    Some(ReturnTo::parse(&text, access))
}
