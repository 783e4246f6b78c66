//! The table of our own pages: what there is below the prefix, by which methods, and for whom.

use http::Method;

use super::administrators;
use crate::kept_posts;

/// An entry of the table. A path that shows something by GET has HEAD as well.
pub(super) struct Endpoint {
    pub(super) path: &'static str,
    pub(super) methods: &'static [Method],
    pub(super) who: Who,
}

/// Who may ask, and for which page.
#[derive(Clone, Copy)]
pub(super) enum Who {
    /// Anybody: the page judges for itself.
    Anybody(Page),
    /// Whoever the app's pages would be shown to. Others are told to sign in, and are not redirected.
    SignedIn(UserPage),
}

#[derive(Clone, Copy)]
pub(super) enum Page {
    Start,
    Callback,
    HandOver,
    HandedOver,
    Again,
    SignOut,
    SignedOut,
    BackchannelLogout,
    FrontchannelLogout,
    GlobalTokenRevocation,
    SecurityEvents,
    Liveness,
    Readiness,
    KeySet,
    Sessions,
    Tokens,
    Terminal,
    TerminalToken,
    KeptPost,
    Script,
    LoginDone,
    Logo,
    Portal,
    Icon,
}

#[derive(Clone, Copy)]
pub(super) enum UserPage {
    UserInfo,
    Refresh,
}

const GET: &[Method] = &[Method::GET, Method::HEAD];
const POST: &[Method] = &[Method::POST];
/// A GET uses something up.
const FORM: &[Method] = &[Method::GET, Method::POST];
/// A GET shows the form.
const SHOWN_FORM: &[Method] = &[Method::GET, Method::HEAD, Method::POST];

/// Where a login in a new window ends.
const SIGNED_IN: &str = "/signed_in";

pub(super) const TABLE: [Endpoint; 30] = [
    // Like an app's page, a HEAD is answered as a GET, by the beginning of a login, which ends nothing.
    Endpoint { path: "/start", methods: SHOWN_FORM, who: Who::Anybody(Page::Start) },
    // oauth2-proxy's name.
    Endpoint { path: "/sign_in", methods: SHOWN_FORM, who: Who::Anybody(Page::Start) },
    // What it answers is not known before the attempt and its code are used up, which a HEAD must not do.
    Endpoint { path: "/callback", methods: FORM, who: Who::Anybody(Page::Callback) },
    Endpoint { path: "/hand_over", methods: GET, who: Who::Anybody(Page::HandOver) },
    Endpoint { path: "/handed_over", methods: GET, who: Who::Anybody(Page::HandedOver) },
    Endpoint { path: "/again", methods: GET, who: Who::Anybody(Page::Again) },
    // A HEAD is answered as the GET that has to be confirmed, and ends nothing.
    Endpoint { path: "/sign_out", methods: SHOWN_FORM, who: Who::Anybody(Page::SignOut) },
    Endpoint { path: "/signed_out", methods: GET, who: Who::Anybody(Page::SignedOut) },
    Endpoint { path: "/backchannel_logout", methods: POST, who: Who::Anybody(Page::BackchannelLogout) },
    // Its provider loads it in a frame, and a HEAD would end a session too.
    Endpoint { path: "/frontchannel_logout", methods: &[Method::GET], who: Who::Anybody(Page::FrontchannelLogout) },
    Endpoint { path: "/global_token_revocation", methods: POST, who: Who::Anybody(Page::GlobalTokenRevocation) },
    Endpoint { path: "/security_events", methods: POST, who: Who::Anybody(Page::SecurityEvents) },
    Endpoint { path: "/userinfo", methods: GET, who: Who::SignedIn(UserPage::UserInfo) },
    Endpoint { path: "/sessions", methods: SHOWN_FORM, who: Who::Anybody(Page::Sessions) },
    Endpoint { path: "/tokens", methods: SHOWN_FORM, who: Who::Anybody(Page::Tokens) },
    Endpoint { path: "/terminal", methods: SHOWN_FORM, who: Who::Anybody(Page::Terminal) },
    Endpoint { path: "/terminal/token", methods: POST, who: Who::Anybody(Page::TerminalToken) },
    Endpoint { path: kept_posts::PAGE, methods: SHOWN_FORM, who: Who::Anybody(Page::KeptPost) },
    Endpoint { path: "/refresh", methods: POST, who: Who::SignedIn(UserPage::Refresh) },
    Endpoint { path: "/session.js", methods: GET, who: Who::Anybody(Page::Script) },
    Endpoint { path: SIGNED_IN, methods: GET, who: Who::Anybody(Page::LoginDone) },
    Endpoint { path: "/logo", methods: GET, who: Who::Anybody(Page::Logo) },
    Endpoint { path: "/icon", methods: GET, who: Who::Anybody(Page::Icon) },
    Endpoint { path: "/", methods: GET, who: Who::Anybody(Page::Portal) },
    Endpoint { path: "", methods: GET, who: Who::Anybody(Page::Portal) },
    Endpoint { path: "/jwks", methods: GET, who: Who::Anybody(Page::KeySet) },
    Endpoint { path: "/healthz", methods: GET, who: Who::Anybody(Page::Liveness) },
    Endpoint { path: "/readyz", methods: GET, who: Who::Anybody(Page::Readiness) },
    // oauth2-proxy's names.
    Endpoint { path: "/ping", methods: GET, who: Who::Anybody(Page::Liveness) },
    Endpoint { path: "/ready", methods: GET, who: Who::Anybody(Page::Readiness) },
];

/// Whether a path below the prefix is a health probe's. Probes ask by whatever address they find us at.
pub fn is_probe(path: &str) -> bool {
    TABLE.iter().any(|endpoint| endpoint.path == path && matches!(endpoint.who, Who::Anybody(Page::Liveness | Page::Readiness)))
}

/// Whether a path below the prefix is the administration's, which may have a listener of its own.
pub fn is_administration(path: &str) -> bool {
    administrators::below(path).is_some()
}

/// Whether a path below the prefix is that of a page to which a login may lead.
pub(super) fn follows_a_login(path: &str) -> bool {
    let follows = |endpoint: &Endpoint| match endpoint.who {
        Who::Anybody(
            Page::HandOver | Page::Sessions | Page::Tokens | Page::Terminal | Page::KeptPost | Page::LoginDone | Page::Portal,
        )
        | Who::SignedIn(UserPage::UserInfo) => true,
        Who::Anybody(
            Page::Start
            | Page::Callback
            | Page::HandedOver
            | Page::Again
            | Page::SignOut
            | Page::SignedOut
            | Page::BackchannelLogout
            | Page::FrontchannelLogout
            | Page::GlobalTokenRevocation
            | Page::SecurityEvents
            | Page::Liveness
            | Page::Readiness
            | Page::KeySet
            | Page::TerminalToken
            | Page::Script
            | Page::Logo
            | Page::Icon,
        )
        | Who::SignedIn(UserPage::Refresh) => false,
    };
    is_administration(path) || TABLE.iter().any(|endpoint| endpoint.path == path && follows(endpoint))
}

/// Whether a path below the prefix is that of a page to which a logout may lead: also one that begins the next login, or says that nobody is
/// signed in.
pub(super) fn follows_a_logout(path: &str) -> bool {
    let is_between = |endpoint: &Endpoint| matches!(endpoint.who, Who::Anybody(Page::Start | Page::SignedOut));
    follows_a_login(path) || TABLE.iter().any(|endpoint| endpoint.path == path && is_between(endpoint))
}
