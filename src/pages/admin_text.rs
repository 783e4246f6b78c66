//! The labels of the administration's pages, in every language.

use std::borrow::Cow;

use super::texts;
use crate::language::Language;

/// A label or a sentence of the administration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminText<'a> {
    /// The name of it all.
    Administration,
    /// A user's name, as it is.
    Name(&'a str),
    /// The list of all sessions.
    SignedIn,
    /// The search for why somebody was logged out.
    Why,
    /// What to type there.
    WhyLabel,
    /// What it tells.
    WhyText,
    /// Nothing is known of that name.
    WhyNothing(&'a str),
    /// The user is known, and no end is.
    WhyNoEnd,
    /// What administrators did.
    Audit,
    /// Administrators did nothing.
    AuditNothing,
    /// Ends everyone's sessions.
    Everyone,
    /// What that does.
    EveryoneText,
    /// What to type, to confirm.
    EveryoneConfirm,
    /// The word to type.
    EveryoneWord,
    /// What was typed is another word.
    EveryoneUnconfirmed,
    /// It has begun.
    EveryoneBegun,
    /// It is under way already.
    EveryoneUnderWay,
    /// The label of the search.
    SearchLabel,
    /// Searches.
    Search,
    /// The label of the filter.
    Show,
    /// No filter.
    ShowAll,
    /// Sessions without a refresh token.
    ShowNotRenewable,
    /// Sessions whose renewal the provider refused.
    ShowRefused,
    /// Sessions whose grant has ended.
    ShowEnded,
    /// Personal access tokens.
    ShowTokens,
    /// Leads to the next part of the list.
    Next,
    /// How many sessions there are, and how many have a refresh token.
    Counts(i64, i64),
    /// So many sessions were looked at.
    LookedAt(usize),
    /// No session is shown.
    Nobody,
    /// A personal access token of this name.
    Token(&'a str),
    /// The user.
    User,
    /// The user's `sub`.
    Subject,
    /// The groups.
    Groups,
    /// The provider.
    Provider,
    /// The grant.
    Grant,
    /// The state of a session.
    State,
    /// When it began.
    Login,
    /// When it was last used.
    LastSeen,
    /// What opened it.
    OpenedBy,
    /// The access token.
    AccessToken,
    /// When it expires.
    Expires(&'a str),
    /// The refresh token.
    RefreshToken,
    /// There is one.
    Yes,
    /// There is one, until then if it is not used.
    YesUntil(&'a str),
    /// There is none.
    No,
    /// The last renewal.
    LastRenewed,
    /// When it was, and how many there were.
    RenewedAt(&'a str, i64),
    /// Whether the provider replaces refresh tokens.
    Rotation,
    /// It does.
    Rotating,
    /// It does not.
    Reusable,
    /// It is not known.
    Unknown,
    /// The next renewal.
    NextRenewal,
    /// At the first use from then on.
    NextFrom(&'a str),
    /// At the next use.
    NextAtUse,
    /// At the first use after a pause.
    NextAfterPause(&'a str),
    /// Never.
    NextNever,
    /// The end, if nobody uses it.
    EndsUnused,
    /// The end, if it is used all the time.
    EndsUsed,
    /// Then, and why.
    EndsBy(&'a str, &'a str),
    /// The heading of the sessions of a grant.
    Sessions,
    /// No session has the grant any more.
    NoSession,
    /// The heading of the picture.
    Timeline,
    /// What the picture shows: how many logins, renewals and failures, from when to when.
    TimelineSays {
        /// Renewals that succeeded.
        renewed: usize,
        /// Those that did not.
        failed: usize,
        /// From when.
        from: &'a str,
        /// To when.
        to: &'a str,
    },
    /// The sign of a login.
    SignLogin,
    /// The sign of a renewal.
    SignRenewed,
    /// The sign of a renewal that failed.
    SignFailed,
    /// The sign of an end.
    SignEnded,
    /// The sign of the present.
    SignNow,
    /// The sign of the next renewal.
    SignNext,
    /// The sign of the end that is predicted.
    SignPredicted,
    /// The heading of the history.
    History,
    /// Ends a session.
    EndSession,
    /// Ends all sessions of the user.
    EndUser,
    /// Renews now.
    RenewNow,
    /// A session was ended.
    SessionEnded,
    /// All sessions of the user were.
    UserEnded,
    /// It was gone before.
    Gone,
    /// The grant was renewed.
    Renewed,
    /// It was not, for this reason.
    NotRenewed(&'a str),
    /// How providers have answered.
    Providers,
    /// What that is counted by.
    ProvidersText,
    /// So many days alone.
    LastDays(&'a str),
    /// There were no token refreshes.
    NoCalls(&'a str),
    /// How far silent re-authentication is.
    PresentSettings,
    /// How many can be renewed.
    WithRefreshToken,
    /// So many of so many that were looked at.
    PartOf(i64, i64),
    /// What the chart of outcomes shows.
    ChartOutcomes,
    /// What the chart of durations shows.
    ChartLatency,
    /// The largest bar.
    MostCalls(i64),
    /// The highest point.
    MostMilliseconds(&'a str),
    /// The keys with which the provider with this issuer signs.
    KeysOf(&'a str),
    /// When they were fetched.
    KeysFetched(&'a str),
    /// They have not been fetched.
    KeysNotFetched,
    /// A key has no name.
    Unnamed,
    /// A key names no end.
    NoEnd,
    /// Longer than so many milliseconds.
    MoreThan(i64),
    /// Half of them took no longer.
    Median,
    /// Of twenty, nineteen took no longer.
    Slow,
    /// New tokens.
    OutcomeOk,
    /// The grant is dead.
    OutcomeDead,
    /// To be mended.
    OutcomeConfig,
    /// Tried again.
    OutcomeRetry,
    /// Nobody knows.
    OutcomeAmbiguous,
    /// A day.
    Day,
    /// All token refreshes.
    Calls,
    /// The figures of the charts.
    AsTable,
    /// Certificates and keys.
    Keys,
    /// The certificates that are served.
    Certificates,
    /// None are.
    NoCertificates,
    /// Those that are presented, and those that are trusted.
    OtherCertificates,
    /// One is presented as a client.
    ClientCertificate,
    /// One is of the key that signs.
    SigningCertificate,
    /// One is a CA bundle.
    TrustedCertificates,
    /// The keys of tokens at rest.
    EncryptionKeys,
    /// What is told of them.
    EncryptionKeysText,
    /// New tokens are encrypted with it.
    KeySeals(i64),
    /// It opens older ones.
    KeyOpens(i64),
    /// It is gone.
    KeyMissing(i64),
    /// How a provider has answered, in a sentence.
    HealthSays {
        /// In so many days.
        days: &'a str,
        /// So many calls.
        calls: i64,
        /// Of a hundred, so many were answered as they should be.
        answered: i64,
        /// Half of them within so long.
        median: &'a str,
        /// Of twenty, nineteen within so long.
        slow: &'a str,
    },
}

impl AdminText<'_> {
    /// The text in a language.
    pub fn said(&self, language: Language) -> Cow<'static, str> {
        match language {
            Language::English => texts::english_admin::text(self),
            Language::German => texts::german_admin::text(self),
        }
    }
}
