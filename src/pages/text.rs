//! The labels and sentences of pages, in every language.

use std::{borrow::Cow, time::Duration};

use super::texts;
use crate::language::Language;

/// A label or a sentence, with what it is about. It is text: whoever writes it into a page escapes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text<'a> {
    /// Begins a login.
    SignIn,
    /// Says in an app's page that its session has ended.
    SessionEnded,
    /// Begins a login after a logout.
    SignInAgain,
    /// Begins a login that leads to the page whose form was lost.
    SignInAndGoBack,
    /// Begins a login beside a frame.
    SignInInNewWindow,
    /// Opens the page in a window that no service worker sees.
    OpenInNewWindow,
    /// Begins a login as somebody else.
    AnotherAccount,
    /// Begins a login at the provider that the page is for.
    SignInThere,
    /// The label of the field for an address.
    EmailAddress,
    /// Goes on with the address.
    Continue,
    /// Marks the provider that was chosen last.
    LastUsed,
    /// Asks for the same page once more.
    TryAgain,
    /// Loads the page of a form once more.
    LoadAgain,
    /// Ends the session.
    SignOut,
    /// Does not end the session.
    StaySignedIn,
    /// Leads to whoever helps.
    Help,
    /// The request ID.
    Request(&'a str),
    /// The account that one is signed in as.
    SignedInAs(&'a str),
    /// The account that the provider knows somebody as whom no rule lets in.
    KnownAs(&'a str),
    /// The `error` code of the provider.
    ProviderCode(&'a str),
    /// What may be wrong: the authorization request.
    HintRequest,
    /// What may be wrong: the client's registration.
    HintClient,
    /// What may be wrong: the scopes.
    HintScopes,
    /// What may be wrong: the provider.
    HintProvider,
    /// What may be wrong: the `prompt`.
    HintInteraction,
    /// Where a kept form was going, and how large it is.
    KeptPostTarget {
        /// The path.
        path: &'a str,
        /// Kibibytes, rounded up.
        kibibytes: usize,
    },
    /// The heading of a kept form's fields.
    KeptPostFields,
    /// Sends a kept form again.
    SendAgain,
    /// Removes a kept form.
    Discard,
    /// Leads to the front page.
    FrontPage,
    /// The heading of a user's tokens.
    Tokens,
    /// Whose tokens they are, and what they do.
    TokensAreOf(&'a str),
    /// The heading of the portal.
    Apps,
    /// There is no app on it.
    NoApps,
    /// The heading of a user's sessions.
    Sessions,
    /// Whose sessions they are.
    SessionsAreOf(&'a str),
    /// A session or a token has just been ended.
    OneEnded,
    /// All sessions but this browser's have just been ended.
    OthersEnded,
    /// The session of the browser that asks.
    ThisBrowser,
    /// The browser of a session that nothing is known of.
    UnknownBrowser,
    /// A session's times.
    SessionTimes {
        /// How long ago it began.
        since: Duration,
        /// How long ago it was last used, if it was.
        seen: Option<Duration>,
    },
    /// A session's end.
    SessionEnds {
        /// How far off that is.
        left: Duration,
        /// Whether use puts it off.
        unused: bool,
    },
    /// So many more are not shown.
    More(usize),
    /// More tokens are not shown here.
    MoreTokens,
    /// So many routes are not to be chosen here.
    MoreRoutes(usize),
    /// Leads to the next part of a list.
    NextPage,
    /// Ends all sessions but this browser's.
    EndOthers,
    /// Ends all sessions.
    SignOutEverywhere,
    /// Ends a session or a token.
    End,
    /// The same to who does not see which.
    EndNamed(&'a str),
    /// The legend of the routes.
    TokenPlaces,
    /// The label of what makes a token for the administration.
    TokenForAdministration,
    /// Tokens are for nothing else.
    TokenForAdministrationAlone,
    /// The routes and the site of a token; no routes are all.
    TokenRoutes(&'a [Box<str>], &'a str),
    /// A token's times, in days.
    TokenTimes {
        /// How long ago it was made.
        made: u64,
        /// How long ago it was last used, if ever.
        used: Option<u64>,
        /// How long it lives still; `None`: it is over with the login that it had.
        left: Option<u64>,
    },
    /// The heading of the form that makes a token.
    NewTokenHeading,
    /// The label of a token's name.
    TokenName,
    /// The label of a token's lifetime.
    TokenDays,
    /// Makes a token.
    MakeToken,
    /// Leads to the tokens.
    BackToTokens,
    /// The title where no token was made.
    NoTokenMade,
    /// A token's name does not do.
    TokenNameUnfit,
    /// A token's lifetime does not do.
    TokenLifetimeUnfit,
    /// A token's routes do not do.
    TokenRouteUnfit,
    /// A login does not outlive its access token.
    TokenNotRenewable,
    /// The heading of a terminal's request.
    TerminalTitle,
    /// What a terminal asks for.
    TerminalAsks {
        /// Who would be signed in.
        user: &'a str,
        /// How long it would live, in days.
        left: u64,
        /// The routes where it could be used; none are all.
        routes: &'a [String],
    },
    /// The label of what a terminal calls itself. Whoever made the link chose that.
    TerminalName,
    /// Agrees.
    Allow,
    /// Does not agree.
    DoNotAllow,
}

impl Text<'_> {
    /// The text in a language.
    pub fn said(&self, language: Language) -> Cow<'static, str> {
        match language {
            Language::English => texts::english::text(self),
            Language::German => texts::german::text(self),
        }
    }
}
