//! Where a browser is sent that cannot, or should not, be served with what it has. Pure.

use crate::{
    exchange::RequestKind,
    grant::EndReason,
    sign_in::{BrowserHistory, Lasted},
    visitor::SignInReason,
};

/// Whether a request could be served as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// It could: a login would only bring something better.
    Optional,
    /// It could not.
    Required,
}

/// All that the decision depends on, besides the reason.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) kind: RequestKind,
    /// Whether the session's grant still lives; `None` where there is none.
    pub(super) has_living_grant: Option<bool>,
    /// Whether the provider may be asked for silent re-authentication.
    pub(super) supports_prompt_none: bool,
    /// What the browser has been through.
    pub(super) history: BrowserHistory,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextStep {
    /// It is served with what it has.
    Serve,
    /// Its browser logs in at the provider and comes back to where it was going.
    LogIn,
    /// The same by silent re-authentication: its session goes on with a new grant.
    LogInSilently,
    /// It is told to sign in (401): a redirect would reach no person.
    TellToSignIn,
    /// A page says that the provider has just withdrawn its user's access.
    AccessWithdrawn,
    /// A page says that its grants end as soon as they are obtained: it would come back with another such.
    GrantDoesNotLast,
    /// A page says that its browser does not keep the session cookie: it would come back without.
    CookieNotKept,
}

pub(super) fn decide(reason: SignInReason, need: Need, facts: Facts) -> NextStep {
    match (need, without_serving(reason, facts)) {
        (Need::Required, step) => step,
        (Need::Optional, step @ (NextStep::LogIn | NextStep::LogInSilently)) if is_worth_a_login(reason, facts) => step,
        // Whoever can be served is shown no page of a failure.
        (Need::Optional, _) => NextStep::Serve,
    }
}

/// What becomes of a request that is not served.
fn without_serving(reason: SignInReason, facts: Facts) -> NextStep {
    if facts.kind == RequestKind::Api {
        return NextStep::TellToSignIn;
    }
    let lasted = if facts.history.is_redirect_loop { Lasted::NoTime } else { facts.history.grant_lasted };
    match (reason, lasted) {
        (SignInReason::GrantEnded(EndReason::Dead), Lasted::NoTime | Lasted::Shortly) => return NextStep::AccessWithdrawn,
        (
            SignInReason::GrantRefused | SignInReason::GrantEnded(EndReason::IdentityRefused | EndReason::Expired),
            Lasted::NoTime,
        ) => return NextStep::GrantDoesNotLast,
        (
            SignInReason::GrantRefused
            | SignInReason::GrantEnded(EndReason::Dead | EndReason::IdentityRefused | EndReason::Expired),
            Lasted::Shortly | Lasted::Long,
        )
        | (
            SignInReason::NoSession
            | SignInReason::UnknownSession
            | SignInReason::SessionExpired
            | SignInReason::SettingsChanged
            | SignInReason::GrantEnded(
                EndReason::OutcomeUnknown | EndReason::Restored | EndReason::OtherProvider | EndReason::KeyLost,
            ),
            _,
        ) => {}
    }
    // Nobody clicks so fast: the session that a login brings does not come back with the next request.
    if facts.history.is_redirect_loop {
        return NextStep::CookieNotKept;
    }
    // Where the provider does not know prompt=none, only a living session is worth keeping: its user may be asked something, and
    // may come back without another grant.
    let is_silent = facts.has_living_grant.is_some_and(|lives| lives || facts.supports_prompt_none);
    if is_silent && facts.history.may_be_silent { NextStep::LogInSilently } else { NextStep::LogIn }
}

/// Whether something better is worth a redirect of a browser that could be served.
fn is_worth_a_login(reason: SignInReason, facts: Facts) -> bool {
    match reason {
        SignInReason::GrantRefused => facts.supports_prompt_none && facts.history.may_be_silent,
        SignInReason::SettingsChanged => facts.history.may_be_silent,
        SignInReason::GrantEnded(_) | SignInReason::NoSession | SignInReason::UnknownSession | SignInReason::SessionExpired => {
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: Facts = Facts {
        kind: RequestKind::PageNavigation,
        has_living_grant: Some(false),
        supports_prompt_none: true,
        history: BrowserHistory { may_be_silent: true, grant_lasted: Lasted::Long, is_redirect_loop: false },
    };
    const LOOP: BrowserHistory = BrowserHistory { is_redirect_loop: true, ..PAGE.history };
    const NOISY: BrowserHistory = BrowserHistory { may_be_silent: false, ..PAGE.history };

    fn ended(reason: EndReason) -> SignInReason {
        SignInReason::GrantEnded(reason)
    }

    const ALL: [SignInReason; 12] = [
        SignInReason::GrantEnded(EndReason::Dead),
        SignInReason::GrantEnded(EndReason::IdentityRefused),
        SignInReason::GrantEnded(EndReason::Expired),
        SignInReason::GrantEnded(EndReason::OutcomeUnknown),
        SignInReason::GrantEnded(EndReason::Restored),
        SignInReason::GrantEnded(EndReason::OtherProvider),
        SignInReason::GrantEnded(EndReason::KeyLost),
        SignInReason::GrantRefused,
        SignInReason::NoSession,
        SignInReason::UnknownSession,
        SignInReason::SessionExpired,
        SignInReason::SettingsChanged,
    ];

    #[test]
    fn a_browser_is_not_sent_round_in_circles_and_who_may_not_enter_is_told_so() {
        use NextStep::{AccessWithdrawn, CookieNotKept, GrantDoesNotLast, LogInSilently};
        for reason in ALL {
            let [at_once, shortly, long, in_a_loop] = match reason {
                SignInReason::GrantEnded(EndReason::Dead) => [AccessWithdrawn, AccessWithdrawn, LogInSilently, AccessWithdrawn],
                SignInReason::GrantEnded(EndReason::IdentityRefused | EndReason::Expired) | SignInReason::GrantRefused => {
                    [GrantDoesNotLast, LogInSilently, LogInSilently, GrantDoesNotLast]
                }
                SignInReason::GrantEnded(
                    EndReason::OutcomeUnknown | EndReason::Restored | EndReason::OtherProvider | EndReason::KeyLost,
                )
                | SignInReason::NoSession
                | SignInReason::UnknownSession
                | SignInReason::SessionExpired
                | SignInReason::SettingsChanged => [LogInSilently, LogInSilently, LogInSilently, CookieNotKept],
            };
            for (grant_lasted, expected) in [(Lasted::NoTime, at_once), (Lasted::Shortly, shortly), (Lasted::Long, long)] {
                let history = BrowserHistory { grant_lasted, ..PAGE.history };
                assert_eq!(decide(reason, Need::Required, Facts { history, ..PAGE }), expected, "{reason:?} {grant_lasted:?}");
            }
            assert_eq!(decide(reason, Need::Required, Facts { history: LOOP, ..PAGE }), in_a_loop, "{reason:?} in a loop");
        }
    }

    #[test]
    fn a_program_is_told_to_sign_in_and_never_redirected() {
        for reason in ALL {
            for history in [PAGE.history, LOOP, NOISY] {
                let facts = Facts { kind: RequestKind::Api, history, ..PAGE };
                assert_eq!(decide(reason, Need::Required, facts), NextStep::TellToSignIn, "{reason:?}");
                assert_eq!(decide(reason, Need::Optional, facts), NextStep::Serve, "{reason:?}");
            }
        }
    }

    #[test]
    fn only_a_grant_is_replaced_silently_and_only_where_silence_is_understood_or_costs_nothing() {
        for (has_living_grant, supports_prompt_none, may_be_silent, expected) in [
            (None, true, true, NextStep::LogIn),
            (Some(false), true, true, NextStep::LogInSilently),
            (Some(false), false, true, NextStep::LogIn),
            (Some(true), false, true, NextStep::LogInSilently),
            (Some(true), true, false, NextStep::LogIn),
        ] {
            let history = BrowserHistory { may_be_silent, ..PAGE.history };
            let facts = Facts { has_living_grant, supports_prompt_none, history, ..PAGE };
            assert_eq!(decide(ended(EndReason::OutcomeUnknown), Need::Required, facts), expected, "{facts:?}");
        }
    }

    #[test]
    fn whoever_can_be_served_is_sent_away_only_for_something_better() {
        let living = Facts { has_living_grant: Some(true), ..PAGE };
        for (reason, facts, expected) in [
            (SignInReason::SettingsChanged, living, NextStep::LogInSilently),
            (SignInReason::SettingsChanged, Facts { supports_prompt_none: false, ..living }, NextStep::LogInSilently),
            (SignInReason::SettingsChanged, Facts { history: NOISY, ..living }, NextStep::Serve),
            (SignInReason::GrantRefused, living, NextStep::LogInSilently),
            (SignInReason::GrantRefused, Facts { supports_prompt_none: false, ..living }, NextStep::Serve),
            (SignInReason::GrantRefused, Facts { history: NOISY, ..living }, NextStep::Serve),
            (ended(EndReason::KeyLost), living, NextStep::LogInSilently),
            (ended(EndReason::KeyLost), Facts { history: NOISY, ..living }, NextStep::LogIn),
            (SignInReason::SettingsChanged, Facts { history: LOOP, ..living }, NextStep::Serve),
            (SignInReason::GrantRefused, Facts { history: LOOP, ..living }, NextStep::Serve),
        ] {
            assert_eq!(decide(reason, Need::Optional, facts), expected, "{reason:?} {facts:?}");
        }
    }
}
