//! Logins: what is saved, whose session each replaces, and grants that logins share.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use evergate::{
    clock::{Stopwatch, Timestamp},
    grant::{AttemptId, EndReason, GrantId, Rotation},
    secret::Secret,
    session::{Session, SessionHash},
    store::{Fence, LoginSaved, LoginTarget, NewGrant, OrphanedToken, Sharing, Store, TokenEnd},
};

use super::{LEASE, REGISTRATION, begin, contract, keep, login, new_grant, renewed, session_of, to_be_revoked};

/// Saves a login where the provider keeps one refresh token for all, and whose code was presented when `since_code` began.
async fn share(store: &Store, grant: &NewGrant, since_code: Stopwatch, at: i64) -> LoginSaved {
    let target = LoginTarget::New { session: session_of(grant.id), replaces: None };
    store.save_login(grant, &target, Sharing::Shared { since_code }, Timestamp(at)).await.unwrap().unwrap()
}

/// A code is presented, and then time passes by the database's clock.
async fn code_presented() -> Stopwatch {
    let since_code = Stopwatch::start();
    while since_code.elapsed() < Duration::from_millis(20) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    since_code
}

contract! {
    what_a_login_keeps_is_what_is_read(store) {
        let grant = new_grant();
        let session = session_of(grant.id);
        keep(&store, &grant, session.clone(), None).await;
        assert_eq!(store.session(session.hash).await.unwrap(), Some(session));
        let read = store.grant(grant.id).await.unwrap().unwrap();
        assert_eq!((&read.identity, read.generation, read.rotation, read.presented), (&grant.identity, 0, Rotation::Unknown, 0));
        assert_eq!((read.access_token.expose(), read.has_refresh_token, read.intent, read.ended), ("access-0", true, None, None));
        assert_eq!((read.expires_at, read.lifetime), (Timestamp(5000), Duration::from_secs(5)));
        assert!(store.session(SessionHash::fresh().1).await.unwrap().is_none() && store.grant(GrantId::random()).await.unwrap().is_none());
    }
    a_login_replaces_the_browser_s_session_and_no_other(store) {
        let ((_, old), (_, other)) = (login(&store).await, login(&store).await);
        let grant = new_grant();
        keep(&store, &grant, session_of(grant.id), Some(old)).await;
        assert!(store.session(old).await.unwrap().is_none());
        assert!(store.session(other).await.unwrap().is_some());
    }
    of_two_tabs_that_come_back_with_one_cookie_the_second_replaces_what_the_first_has_made(store) {
        let grants = [new_grant(), new_grant(), new_grant(), new_grant()];
        let [before, first, second, other] = [0, 1, 2, 3].map(|at: usize| session_of(grants[at].id));
        keep(&store, &grants[0], before.clone(), None).await;
        keep(&store, &grants[1], first.clone(), Some(before.hash)).await;
        assert_eq!(store.successor(before.hash).await.unwrap().unwrap().hash, first.hash, "its connections live on");
        keep(&store, &grants[2], second.clone(), Some(before.hash)).await;
        assert!(store.session(first.hash).await.unwrap().is_none(), "no browser has it any more");
        assert_eq!(store.successor(first.hash).await.unwrap().unwrap().hash, second.hash);
        // Whoever else comes with that cookie takes nothing over, and ends nothing of its owner's.
        let mut stranger = grants[3].clone();
        stranger.identity.subject = "another".into();
        keep(&store, &stranger, other.clone(), Some(before.hash)).await;
        assert!(store.session(second.hash).await.unwrap().is_some() && store.successor(second.hash).await.unwrap().is_none());
    }
    a_token_whose_end_may_have_been_asked_for_waits_in_the_store_until_that_is_known(store) {
        let grant = new_grant();
        let orphaned = OrphanedToken {
            registration: REGISTRATION,
            identity: &grant.identity,
            provider_session: None,
            reason: "logged_out_meanwhile",
            end: TokenEnd::UnrequestedAfter(LEASE),
        };
        let waiting = store.enqueue_revocation(grant.id, &Secret::new("new"), orphaned).await.unwrap();
        assert!(store.claim_revocation(REGISTRATION, LEASE).await.unwrap().is_none(), "nobody may have asked");
        store.request_revocation(&waiting).await.unwrap();
        let due = store.claim_revocation(REGISTRATION, LEASE).await.unwrap().unwrap();
        assert!(!due.nobody_asked && !due.spares_others);
    }
    a_revocation_that_nobody_asked_for_spares_a_grant_whose_outcome_is_unknown(store) {
        for (reason, is_spared) in [(EndReason::OutcomeUnknown, true), (EndReason::KeyLost, true), (EndReason::Dead, false)] {
            let mut served = new_grant();
            served.identity.subject = reason.as_str().into();
            let session = Session { provider_session: Some("sid".into()), ..session_of(served.id) };
            keep(&store, &served, session, None).await;
            assert!(store.end_grant(served.id, AttemptId::random(), Fence::Generation(0), reason, None).await.unwrap());
            let left = OrphanedToken {
                registration: REGISTRATION,
                identity: &served.identity,
                provider_session: Some("sid"),
                reason: "left",
                end: TokenEnd::Unrequested,
            };
            store.enqueue_revocation(GrantId::random(), &Secret::new("left"), left).await.unwrap();
            let due = store.claim_revocation(REGISTRATION, LEASE).await.unwrap().unwrap();
            assert!(due.spares_others);
            for shared in [false, true] {
                assert_eq!(store.would_end_others(&due, REGISTRATION, shared).await.unwrap(), is_spared, "{reason:?}");
            }
        }
    }
    a_grant_that_another_session_uses_outlives_a_logout(store) {
        let grant = new_grant();
        let first = session_of(grant.id);
        keep(&store, &grant, first.clone(), None).await;
        // The provider keeps one refresh token a user, and gives the second login none.
        let mut second = new_grant();
        second.tokens.refresh = None;
        let shared = session_of(second.id);
        let target = LoginTarget::New { session: shared.clone(), replaces: None };
        let saved = store.save_login(&second, &target, Sharing::Shared { since_code: Stopwatch::start() }, Timestamp(1000)).await.unwrap().unwrap();
        assert_eq!((saved.grant, saved.renewable), (grant.id, true));
        assert!(store.grant(second.id).await.unwrap().is_none(), "what it brought is not kept");
        let ended = store.end_session(first.hash).await.unwrap().unwrap();
        assert!(to_be_revoked(&store).await.is_empty() && ended.id_token.is_some());
        assert!(store.grant(grant.id).await.unwrap().is_some());
        store.end_session(shared.hash).await.unwrap().unwrap();
        assert_eq!(to_be_revoked(&store).await, ["refresh-0"]);
        assert!(store.end_session(shared.hash).await.unwrap().is_none());
    }
    a_login_joins_no_grant_that_has_ended(store) {
        let (ended, _) = login(&store).await;
        store.end_grant(ended, AttemptId::random(), Fence::Generation(0), EndReason::Dead, None).await.unwrap();
        let mut second = new_grant();
        second.tokens.refresh = None;
        let target = LoginTarget::New { session: session_of(second.id), replaces: None };
        let saved = store.save_login(&second, &target, Sharing::Shared { since_code: Stopwatch::start() }, Timestamp(1000)).await.unwrap().unwrap();
        assert_eq!((saved.grant, saved.renewable), (second.id, false));
    }
    a_shared_login_that_brings_a_token_takes_the_users_sessions_over(store) {
        let (older, session) = login(&store).await;
        let newer = new_grant();
        let target = LoginTarget::New { session: session_of(newer.id), replaces: None };
        store.save_login(&newer, &target, Sharing::Shared { since_code: Stopwatch::start() }, Timestamp(1000)).await.unwrap().unwrap();
        assert_eq!(store.session(session).await.unwrap().unwrap().grant, newer.id);
        assert!(store.grant(older).await.unwrap().is_some(), "a renewal under way may still want its row");
    }
    a_renewal_that_is_put_off_makes_no_login_one_whose_code_came_later(store) {
        let older = share(&store, &new_grant(), code_presented().await, 1000).await;
        let since_code = code_presented().await;
        let put_off = begin(&store, older.grant, 0, LEASE, None).await.unwrap();
        store.release_intent(older.grant, put_off.attempt, Some(Timestamp(9000)), None).await.unwrap();
        let newer = new_grant();
        let saved = share(&store, &newer, since_code, 1000).await;
        assert_eq!((saved.grant, saved.renewable), (newer.id, true));
        assert_eq!(store.session(older.session).await.unwrap().unwrap().grant, newer.id, "the other's token is dead");
    }
    a_login_whose_code_came_later_is_joined_though_it_was_renewed_since(store) {
        let since_code = code_presented().await;
        let later = share(&store, &new_grant(), code_presented().await, 1000).await;
        let won = begin(&store, later.grant, 0, LEASE, None).await.unwrap();
        assert!(store.save_renewal(later.grant, won.attempt, 0, &renewed("1")).await.unwrap());
        let saved = share(&store, &new_grant(), since_code, 9000).await;
        assert_eq!((saved.grant, saved.renewable), (later.grant, true));
        assert_eq!(store.session(later.session).await.unwrap().unwrap().grant, later.grant);
    }
    of_grants_that_a_login_may_join_it_takes_that_of_the_code_that_came_last_whatever_their_replicas_clocks_say(store) {
        let (first, second) = (code_presented().await, code_presented().await);
        let third = code_presented().await;
        // The one before has no session any more, and the clock of the replica that saved it was fast.
        share(&store, &new_grant(), second, 9000).await;
        let last = share(&store, &new_grant(), third, 1000).await;
        assert_eq!(share(&store, &new_grant(), first, 1000).await.grant, last.grant, "it was overtaken by both");
        let mut without = new_grant();
        without.tokens.refresh = None;
        assert_eq!(share(&store, &without, Stopwatch::start(), 1000).await.grant, last.grant);
    }
    a_login_that_becomes_no_session_is_for_its_user_s_other_sessions_and_nobody_else_s(store) {
        let since_code = code_presented().await;
        let own = share(&store, &new_grant(), code_presented().await, 1000).await;
        let (passed_on, late) = (new_grant(), new_grant());
        assert!(store.pass_login_on(&passed_on, Stopwatch::start(), Timestamp(2000)).await.unwrap());
        assert_eq!(store.session(own.session).await.unwrap().unwrap().grant, passed_on.id);
        assert!(!store.pass_login_on(&late, since_code, Timestamp(2000)).await.unwrap(), "a later code has ended its token");
        let mut stranger = new_grant();
        stranger.identity.subject = "another".into();
        assert!(!store.pass_login_on(&stranger, Stopwatch::start(), Timestamp(2000)).await.unwrap());
        assert_eq!(store.session(own.session).await.unwrap().unwrap().grant, passed_on.id);
        assert!(store.grant(late.id).await.unwrap().is_none() && store.grant(stranger.id).await.unwrap().is_none());
    }
    a_login_whose_client_has_left_replaces_nothing(store) {
        let (_, before) = login(&store).await;
        let (grant, left) = (new_grant(), CancellationToken::new());
        let target = LoginTarget::New { session: session_of(grant.id), replaces: Some(before) };
        left.cancel();
        let saved = store.save_login_of_client(&grant, &target, Sharing::Own, Timestamp(1000), Some(&left)).await.unwrap();
        assert!(saved.is_none() && store.session(before).await.unwrap().is_some());
        assert!(store.grant(grant.id).await.unwrap().is_none());
    }
    an_existing_session_moves_to_the_new_grant_unless_it_was_ended(store) {
        let (_, session) = login(&store).await;
        let newer = new_grant();
        let saved = store.save_login(&newer, &LoginTarget::Existing(session), Sharing::Own, Timestamp(2000)).await.unwrap();
        assert_eq!(saved.unwrap().grant, newer.id);
        assert_eq!(store.session(session).await.unwrap().unwrap().created_at, Timestamp(1000), "its absolute limit stays");
        store.end_session(session).await.unwrap();
        let third = new_grant();
        assert!(store.save_login(&third, &LoginTarget::Existing(session), Sharing::Own, Timestamp(2000)).await.unwrap().is_none());
        assert!(store.grant(third.id).await.unwrap().is_none(), "a logout is not undone");
    }
    an_attempt_is_consumed_once(store) {
        assert!(store.consume_once([1; 32], Timestamp(5)).await.unwrap());
        assert!(!store.consume_once([1; 32], Timestamp(5)).await.unwrap());
        assert!(store.consume_once([2; 32], Timestamp(5)).await.unwrap());
    }
}
