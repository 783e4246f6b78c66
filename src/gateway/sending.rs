//! Where a browser is sent that cannot be served as it is.

use std::sync::Arc;

use http::HeaderMap;

use super::{
    Gateway,
    exchange::{Asker, Exchange},
    refusal::Refusal,
    visitor::Reason,
};
use crate::{
    grant::{EndReason, Grant},
    sign_in::{Lasted, Purpose, return_to::ReturnTo},
};

/// What becomes of a navigation that must sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// It goes through the provider and comes back to where it was going.
    Provider,
    /// It goes there no more: the provider has just said that its user may not enter.
    Withdrawn,
    /// It goes there no more: it would come back as it is.
    Circle,
}

/// By why somebody must sign in, and how long what they had has lasted.
fn next(reason: Reason, lasted: Lasted) -> Next {
    match (reason, lasted) {
        (Reason::GrantEnded(EndReason::Dead), Lasted::NoTime | Lasted::Shortly) => Next::Withdrawn,
        (Reason::GrantRefused | Reason::GrantEnded(EndReason::IdentityRefused | EndReason::Expired), Lasted::NoTime) => {
            Next::Circle
        }
        (
            Reason::GrantRefused | Reason::GrantEnded(EndReason::Dead | EndReason::IdentityRefused | EndReason::Expired),
            Lasted::Shortly | Lasted::Long,
        )
        | (
            Reason::NoSession
            | Reason::UnknownSession
            | Reason::SessionExpired
            | Reason::SettingsChanged
            | Reason::GrantEnded(EndReason::OutcomeUnknown | EndReason::OtherProvider | EndReason::KeyLost),
            _,
        ) => Next::Provider,
    }
}

impl Gateway {
    /// A navigation is sent to the provider and comes back to where it was going, silently if a session is to go on with
    /// a new grant; everything else is told where a login begins, because a redirect would reach no person.
    pub(super) async fn ask_to_sign_in(
        &self,
        exchange: &Exchange,
        reason: Reason,
        grant: Option<Arc<Grant>>,
        headers: &HeaderMap,
    ) -> Refusal {
        match exchange.asker {
            Asker::Navigation => {}
            Asker::Other => return Refusal::SignInNeeded(reason),
        }
        let (sign_in, site) = (&self.sign_in, &exchange.site);
        let grant = grant.as_deref();
        let lasted = grant.map_or(Lasted::Long, |grant| sign_in.lasted(grant, headers));
        match next(reason, lasted) {
            // Nobody clicks so fast: the session that a login brings does not come back with the next request.
            Next::Provider if sign_in.goes_in_circles(headers) => return Refusal::SignInNotKept(reason),
            Next::Provider => {}
            Next::Withdrawn => return Refusal::AccessWithdrawn(reason),
            Next::Circle => return Refusal::SignInDoesNotLast(reason),
        }
        let return_to = ReturnTo::parse(exchange.path_and_query(), site);
        let purpose = grant.map_or(Purpose::LoginOnTheWay, |grant| sign_in.purpose_for(grant, headers));
        let mut redirect = match sign_in.begin(site, &return_to, headers, purpose).await {
            Ok(redirect) => redirect,
            Err(error) => return Refusal::ProviderUnavailable(error),
        };
        if !matches!(purpose, Purpose::Silent(_)) {
            redirect.cookies.extend(sign_in.give_silence_up(headers));
        }
        Refusal::SignIn(reason, redirect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_is_not_sent_round_in_circles_and_who_may_not_enter_is_told_so() {
        let ended = Reason::GrantEnded;
        for (reason, [at_once, shortly, long]) in [
            (ended(EndReason::Dead), [Next::Withdrawn, Next::Withdrawn, Next::Provider]),
            (ended(EndReason::IdentityRefused), [Next::Circle, Next::Provider, Next::Provider]),
            (ended(EndReason::Expired), [Next::Circle, Next::Provider, Next::Provider]),
            (Reason::GrantRefused, [Next::Circle, Next::Provider, Next::Provider]),
            (ended(EndReason::OutcomeUnknown), [Next::Provider; 3]),
            (ended(EndReason::OtherProvider), [Next::Provider; 3]),
            (ended(EndReason::KeyLost), [Next::Provider; 3]),
            (Reason::NoSession, [Next::Provider; 3]),
            (Reason::UnknownSession, [Next::Provider; 3]),
            (Reason::SessionExpired, [Next::Provider; 3]),
            (Reason::SettingsChanged, [Next::Provider; 3]),
        ] {
            for (lasted, expected) in [(Lasted::NoTime, at_once), (Lasted::Shortly, shortly), (Lasted::Long, long)] {
                assert_eq!(next(reason, lasted), expected, "{reason:?} {lasted:?}");
            }
        }
    }
}
