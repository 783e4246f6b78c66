//! Which form of client authentication the provider accepts, as this process has learnt it from refusals. The metadata tell what
//! a provider supports, not what it expects of this client.
//!
//! A refused call tries one other form. None is tried for a while once all of them have been refused or one has been learnt, and
//! after the first refusal of a form that was accepted before, which is rather about the secret: so a wrong secret does not
//! multiply calls.

use std::time::Duration;

use super::client_auth::{ClientAuthVariant, ClientEndpoint};
use crate::{
    clock::Timestamp,
    lock::{Mutex, MutexGuard},
};

/// How long no other form is tried after all have been refused, or after one has been learnt.
const PAUSE: Duration = Duration::from_secs(300);

/// What is learnt of each endpoint.
#[derive(Debug, Default)]
pub(super) struct LearntAuth {
    token: Mutex<Learnt>,
    revocation: Mutex<Learnt>,
    introspection: Mutex<Learnt>,
}

#[derive(Debug, Default)]
struct Learnt {
    accepted: Option<ClientAuthVariant>,
    /// The current form was accepted, and has not been refused since.
    is_confirmed: bool,
    /// How many other forms were tried since the last pause.
    tried: usize,
    /// No other form is tried before this time.
    paused_until: Timestamp,
}

impl LearntAuth {
    /// The form to authenticate in at an endpoint that may accept `variants`: the one that it has accepted, or else the one that
    /// the token endpoint has, because a client is usually registered with one method for all endpoints; or else the first.
    pub(super) fn current(&self, endpoint: ClientEndpoint, variants: &[ClientAuthVariant]) -> Option<ClientAuthVariant> {
        let accepted = |endpoint| self.of(endpoint).accepted.filter(|variant| variants.contains(variant));
        accepted(endpoint).or_else(|| accepted(ClientEndpoint::Token)).or_else(|| variants.first().copied())
    }

    /// The form to try after `refused`, if one is to be tried now.
    pub(super) fn next(
        &self,
        endpoint: ClientEndpoint,
        variants: &[ClientAuthVariant],
        refused: ClientAuthVariant,
        now: Timestamp,
    ) -> Option<ClientAuthVariant> {
        let mut learnt = self.of(endpoint);
        if std::mem::take(&mut learnt.is_confirmed) {
            learnt.pause(now);
        }
        if now.pause_until(learnt.paused_until, PAUSE).is_some() {
            return None;
        }
        let mut others = variants.iter().copied().filter(|variant| *variant != refused).skip(learnt.tried);
        let next = others.next();
        learnt.tried += 1;
        if others.next().is_none() {
            learnt.pause(now);
        }
        next
    }

    /// Records that an endpoint accepts the form that it was called with.
    pub(super) fn confirm(&self, endpoint: ClientEndpoint) {
        self.of(endpoint).is_confirmed = true;
    }

    /// Records that an endpoint accepts this form, after it has refused another one.
    pub(super) fn accept(&self, endpoint: ClientEndpoint, variant: ClientAuthVariant, now: Timestamp) {
        let mut learnt = self.of(endpoint);
        learnt.accepted = Some(variant);
        learnt.is_confirmed = true;
        learnt.pause(now);
    }

    fn of(&self, endpoint: ClientEndpoint) -> MutexGuard<'_, Learnt> {
        let learnt = match endpoint {
            ClientEndpoint::Token => &self.token,
            ClientEndpoint::Revocation => &self.revocation,
            ClientEndpoint::Introspection => &self.introspection,
        };
        learnt.lock()
    }
}

impl Learnt {
    fn pause(&mut self, now: Timestamp) {
        self.tried = 0;
        self.paused_until = now.plus(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ClientAuthVariant::{Basic, BasicUnencoded, Post};

    const ALL: [ClientAuthVariant; 3] = [Basic, BasicUnencoded, Post];
    const NOW: Timestamp = Timestamp(1_000_000);

    #[test]
    fn each_refusal_tries_one_other_form_and_after_the_last_there_is_a_pause() {
        let learnt = LearntAuth::default();
        let next = |now| learnt.next(ClientEndpoint::Token, &ALL, Basic, now);
        for round in [NOW, NOW.plus(PAUSE)] {
            assert_eq!((next(round), next(round), next(round)), (Some(BasicUnencoded), Some(Post), None));
        }
        assert_eq!(learnt.next(ClientEndpoint::Revocation, &ALL[..1], Basic, NOW), None, "there is no other one");
    }

    #[test]
    fn the_first_refusal_of_a_form_that_was_accepted_tries_no_other_one() {
        let learnt = LearntAuth::default();
        let next = |now| learnt.next(ClientEndpoint::Token, &ALL, Basic, now);
        learnt.confirm(ClientEndpoint::Token);
        assert_eq!((next(NOW), next(NOW), next(NOW.plus(PAUSE))), (None, None, Some(BasicUnencoded)));
        let before = NOW.minus(Duration::from_secs(300));
        learnt.confirm(ClientEndpoint::Token);
        assert_eq!((next(NOW), next(before)), (None, Some(BasicUnencoded)), "a clock that was set back prolongs no pause");
        learnt.confirm(ClientEndpoint::Token);
        assert_eq!((next(NOW.plus(PAUSE)), next(NOW.plus(2 * PAUSE))), (None, Some(BasicUnencoded)));
    }

    #[test]
    fn an_accepted_form_is_used_and_does_not_give_way_again_before_the_pause_is_over() {
        let learnt = LearntAuth::default();
        let current = |endpoint, variants: &[ClientAuthVariant]| learnt.current(endpoint, variants);
        assert_eq!(current(ClientEndpoint::Token, &ALL), Some(Basic));
        learnt.accept(ClientEndpoint::Token, Post, NOW);
        assert_eq!(current(ClientEndpoint::Token, &ALL), Some(Post));
        assert_eq!(learnt.next(ClientEndpoint::Token, &ALL, Post, NOW), None);
        assert_eq!(learnt.next(ClientEndpoint::Token, &ALL, Post, NOW.plus(PAUSE)), Some(Basic));
        // Another endpoint follows the token endpoint until it has accepted something else, and never uses what it does not list.
        assert_eq!(current(ClientEndpoint::Revocation, &ALL), Some(Post));
        assert_eq!(current(ClientEndpoint::Revocation, &ALL[..2]), Some(Basic));
        learnt.accept(ClientEndpoint::Revocation, BasicUnencoded, NOW);
        assert_eq!(current(ClientEndpoint::Revocation, &ALL), Some(BasicUnencoded));
        assert_eq!(current(ClientEndpoint::Introspection, &ALL), Some(Post));
    }
}
