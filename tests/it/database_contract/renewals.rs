//! The steps of a token refresh (renewal): the intent, its lease, and the fences of what is saved.

use std::time::Duration;

use evergate::{
    clock::Timestamp,
    grant::{AttemptId, EndReason, Rotation},
    identity::Identity,
    store::{ExpiredAttempt, Fence, NewIntent, Renewed, Unverified},
};

use super::{LEASE, begin, begin_following, contract, login, renewed, to_be_revoked};

contract! {
    only_one_attempt_holds_the_intent(store) {
        let (id, _) = login(&store).await;
        let won = begin(&store, id, 0, LEASE, None).await.unwrap();
        assert_eq!(won.refresh_token.expose(), "refresh-0");
        assert!(begin(&store, id, 0, LEASE, None).await.is_none());
        assert!(begin(&store, id, 0, LEASE, Some(won.attempt)).await.is_none(), "its lease runs");
        let read = store.grant(id).await.unwrap().unwrap();
        assert!(read.intent.is_some_and(|intent| intent.attempt == won.attempt && !intent.lease_expired) && read.presented == 1);
    }
    of_many_that_ask_at_once_one_wins(store) {
        let (id, _) = login(&store).await;
        let asking: Vec<_> = (0..20).map(|_| tokio::spawn({ let store = store.clone(); async move { begin(&store, id, 0, LEASE, None).await } })).collect();
        let mut won = 0;
        for asked in asking {
            won += usize::from(asked.await.unwrap().is_some());
        }
        assert_eq!(won, 1);
    }
    a_saved_renewal_replaces_the_tokens_and_gives_the_intent_back(store) {
        let (id, _) = login(&store).await;
        let won = begin(&store, id, 0, LEASE, None).await.unwrap();
        assert!(store.save_renewal(id, won.attempt, 0, &renewed("1")).await.unwrap());
        let read = store.grant(id).await.unwrap().unwrap();
        assert_eq!((read.access_token.expose(), read.generation, read.intent, read.presented, read.rotation), ("access-1", 1, None, 0, Rotation::Rotating));
        assert!(begin(&store, id, 0, LEASE, None).await.is_none(), "who saw the old generation has lost");
        assert_eq!(begin(&store, id, 1, LEASE, None).await.unwrap().refresh_token.expose(), "refresh-1");
    }
    saving_twice_is_saving_once(store) {
        let (id, _) = login(&store).await;
        let won = begin(&store, id, 0, LEASE, None).await.unwrap();
        assert!(store.save_renewal(id, won.attempt, 0, &renewed("1")).await.unwrap());
        assert!(store.save_renewal(id, won.attempt, 0, &renewed("1")).await.unwrap(), "the answer to the first may have been lost");
        assert_eq!(store.grant(id).await.unwrap().unwrap().generation, 1);
    }
    a_renewal_without_a_new_refresh_token_keeps_the_old_one(store) {
        let (id, _) = login(&store).await;
        let won = begin(&store, id, 0, LEASE, None).await.unwrap();
        let mut kept = renewed("1");
        (kept.tokens.refresh, kept.tokens.id) = (None, None);
        assert!(store.save_renewal(id, won.attempt, 0, &kept).await.unwrap());
        assert_eq!(begin(&store, id, 1, LEASE, None).await.unwrap().refresh_token.expose(), "refresh-0");
    }
    a_renewal_that_a_logout_overtook_is_not_saved(store) {
        let (id, hash) = login(&store).await;
        let won = begin(&store, id, 0, LEASE, None).await.unwrap();
        store.end_session(hash).await.unwrap().unwrap();
        assert_eq!(to_be_revoked(&store).await, ["refresh-0"]);
        assert!(to_be_revoked(&store).await.is_empty(), "whoever takes it has time for it");
        assert!(!store.save_renewal(id, won.attempt, 0, &renewed("1")).await.unwrap());
        assert!(store.grant(id).await.unwrap().is_none(), "nothing is resurrected");
    }
    a_lapsed_attempt_can_be_followed_and_the_first_result_is_the_one_that_counts(store) {
        let (id, _) = login(&store).await;
        let died = begin(&store, id, 0, Duration::ZERO, None).await.unwrap();
        assert!(store.grant(id).await.unwrap().unwrap().intent.unwrap().lease_expired);
        assert!(begin(&store, id, 0, LEASE, None).await.is_none(), "only by whoever knows of it");
        let follower = begin(&store, id, 0, LEASE, Some(died.attempt)).await.unwrap();
        assert_eq!(store.grant(id).await.unwrap().unwrap().presented, 2);
        assert!(store.save_renewal(id, died.attempt, 0, &renewed("late")).await.unwrap(), "tokens that exist are the ones to keep");
        assert!(!store.save_renewal(id, follower.attempt, 0, &renewed("1")).await.unwrap());
        assert!(!store.end_grant(id, AttemptId::random(), Fence::Attempt(follower.attempt), EndReason::Dead, None).await.unwrap(), "a lost race is not a dead user");
        assert_eq!(store.grant(id).await.unwrap().unwrap().access_token.expose(), "access-late");
    }
    a_released_intent_can_be_won_again_and_counts_as_never_presented(store) {
        let (id, _) = login(&store).await;
        let won = begin(&store, id, 0, LEASE, None).await.unwrap();
        store.release_intent(id, won.attempt, Some(Timestamp(7)), Some("invalid_scope")).await.unwrap();
        let read = store.grant(id).await.unwrap().unwrap();
        assert_eq!((read.intent, read.presented, read.retry_at), (None, 0, Some(Timestamp(7))));
        assert_eq!(read.refused.as_deref(), Some("invalid_scope"));
        let first = NewIntent::first(AttemptId::random(), 0, LEASE);
        assert!(store.begin_renewal(id, first).await.unwrap().is_none(), "only by whoever knows of the pause");
        let informed = NewIntent { retry_at: read.retry_at, ..first };
        assert!(store.begin_renewal(id, informed).await.unwrap().is_some());
    }
    a_lapsed_attempt_is_followed_within_its_grace_and_not_after(store) {
        let (id, _) = login(&store).await;
        let lapsed = begin(&store, id, 0, Duration::ZERO, None).await.unwrap().attempt;
        let follow = |within| begin_following(&store, id, 0, Duration::ZERO, Some(ExpiredAttempt { attempt: lapsed, within }));
        assert!(follow(Some(Duration::ZERO)).await.is_none());
        assert!(follow(Some(Duration::from_secs(60))).await.is_some());
    }
    an_unknown_outcome_that_becomes_known_is_kept_after_all(store) {
        let (id, _) = login(&store).await;
        let won = begin(&store, id, 0, LEASE, None).await.unwrap();
        assert!(!store.abandon_attempt(id, won.attempt).await.unwrap(), "not while the lease runs");
        store.expire_lease(id, won.attempt, None, Duration::ZERO).await.unwrap();
        assert!(store.abandon_attempt(id, won.attempt).await.unwrap());
        assert!(store.abandon_attempt(id, won.attempt).await.unwrap(), "its answer was lost, and the call is repeated");
        assert_eq!(store.grant(id).await.unwrap().unwrap().ended.unwrap().reason, EndReason::OutcomeUnknown);
        assert!(begin(&store, id, 0, LEASE, Some(won.attempt)).await.is_none());
        assert!(store.save_renewal(id, won.attempt, 0, &renewed("1")).await.unwrap());
        let read = store.grant(id).await.unwrap().unwrap();
        assert_eq!((read.ended, read.generation), (None, 1));
    }
    a_call_that_has_ended_with_an_unknown_outcome_is_left_to_settle_by_the_databases_clock(store) {
        let (id, _) = login(&store).await;
        let lost = begin(&store, id, 0, LEASE, None).await.unwrap().attempt;
        store.expire_lease(id, lost, None, Duration::from_secs(5)).await.unwrap();
        assert!(!store.grant(id).await.unwrap().unwrap().intent.unwrap().lease_expired);
        assert!(!store.expire_dead_owners_lease(id, lost, None, LEASE).await.unwrap(), "nobody's death ends it early");
        assert!(begin(&store, id, 0, LEASE, Some(lost)).await.is_none());
        crate::harness::eventually::eventually("it is settled", async || begin(&store, id, 0, LEASE, Some(lost)).await.is_some()).await;
    }
    a_dead_replicas_lease_expires_early_though_no_earlier_than_its_call_is_settled(store) {
        // This store has had no heartbeat.
        let (id, _) = login(&store).await;
        let died = begin(&store, id, 0, LEASE, None).await.unwrap().attempt;
        let expired = async || store.grant(id).await.unwrap().unwrap().intent.unwrap().lease_expired;
        assert!(!store.expire_dead_owners_lease(id, died, Some(LEASE / 2), LEASE).await.unwrap() && !expired().await);
        assert!(!store.expire_dead_owners_lease(id, AttemptId::random(), None, LEASE).await.unwrap() && !expired().await);
        assert!(store.expire_dead_owners_lease(id, died, None, LEASE).await.unwrap() && expired().await);
    }
    a_lease_of_before_the_databases_clock_was_set_back_is_dated_anew_and_not_waited_for(store) {
        let (id, _) = login(&store).await;
        let died = begin(&store, id, 0, 100 * LEASE, None).await.unwrap().attempt;
        let expired = async || store.grant(id).await.unwrap().unwrap().intent.unwrap().lease_expired;
        for left in [Some(LEASE / 2), None] {
            assert!(!store.expire_dead_owners_lease(id, died, left, LEASE).await.unwrap() || left.is_none());
            assert_eq!(expired().await, left.is_none(), "{left:?}");
        }
    }
    a_living_replicas_lease_is_its_own_however_long_it_is(store) {
        let beating = tokio::spawn({ let store = store.clone(); async move { store.run_heartbeat().await } });
        crate::harness::eventually::eventually("its heartbeat counts", async || {
            let (id, _) = login(&store).await;
            let held = begin(&store, id, 0, LEASE, None).await.unwrap().attempt;
            !store.expire_dead_owners_lease(id, held, None, LEASE).await.unwrap()
        })
        .await;
        let (id, _) = login(&store).await;
        let held = begin(&store, id, 0, 100 * LEASE, None).await.unwrap().attempt;
        assert!(!store.expire_dead_owners_lease(id, held, None, Duration::ZERO).await.unwrap());
        assert!(!store.grant(id).await.unwrap().unwrap().intent.unwrap().lease_expired, "a replica with other settings did not date it anew");
        beating.abort();
    }
    a_lease_counts_as_expired_only_for_a_replica_whose_own_heartbeat_is_new_by_the_databases_clock(store) {
        let beating = tokio::spawn({ let store = store.clone(); async move { store.run_heartbeat().await } });
        let expired = async || {
            let (id, _) = login(&store).await;
            let lost = begin(&store, id, 0, LEASE, None).await.unwrap().attempt;
            store.expire_lease(id, lost, None, Duration::from_millis(1)).await.unwrap();
            crate::harness::eventually::eventually("its lease is over", async || {
                store.grant(id).await.unwrap().unwrap().intent.unwrap().lease_expired
            })
            .await;
            (id, lost)
        };
        crate::harness::eventually::eventually("its heartbeats are taken", async || store.knows_who_lives()).await;
        crate::harness::eventually::eventually("it is retried after", async || {
            let (id, lost) = expired().await;
            begin(&store, id, 0, LEASE, Some(lost)).await.is_some()
        })
        .await;
        beating.abort();
        // Three seconds later, as after a jump of the clock by as much.
        crate::harness::eventually::eventually("it is neither given up nor retried after", async || {
            let (id, lost) = expired().await;
            !store.abandon_attempt(id, lost).await.unwrap() && begin(&store, id, 0, LEASE, Some(lost)).await.is_none()
        })
        .await;
        let (id, _) = login(&store).await;
        let lost = begin(&store, id, 0, LEASE, None).await.unwrap().attempt;
        store.expire_lease(id, lost, None, Duration::ZERO).await.unwrap();
        assert!(begin(&store, id, 0, LEASE, Some(lost)).await.is_some(), "whose call has ended is known");
    }
    a_dead_grant_is_ended_by_its_own_attempt_alone_and_loses_its_token(store) {
        let (id, _) = login(&store).await;
        let won = begin(&store, id, 0, LEASE, None).await.unwrap();
        let stranger = AttemptId::random();
        assert!(!store.end_grant(id, stranger, Fence::Attempt(stranger), EndReason::Dead, None).await.unwrap());
        for answer in ["heard", "lost, and the call repeated"] {
            let (fence, code) = (Fence::Attempt(won.attempt), Some("invalid_grant"));
            assert!(store.end_grant(id, won.attempt, fence, EndReason::Dead, code).await.unwrap(), "{answer}");
        }
        assert!(!store.end_grant(id, stranger, Fence::Attempt(won.attempt), EndReason::Dead, None).await.unwrap(), "another's");
        let read = store.grant(id).await.unwrap().unwrap();
        let ended = read.ended.unwrap();
        assert_eq!((ended.reason, ended.code.as_deref(), read.has_refresh_token), (EndReason::Dead, Some("invalid_grant"), false));
        assert!(!store.save_renewal(id, won.attempt, 0, &renewed("1")).await.unwrap());
        assert!(!store.end_grant(id, AttemptId::random(), Fence::Generation(0), EndReason::Expired, None).await.unwrap(), "it ends once");
    }
    a_released_intent_of_a_restored_grant_still_tells_of_the_backup(store) {
        let (id, _) = login(&store).await;
        store.mark_restored().await.unwrap();
        let restored = AttemptId::of_restored(id);
        let intent = async || store.grant(id).await.unwrap().unwrap().intent.unwrap();
        assert_eq!((intent().await.attempt, intent().await.lease_expired), (restored, true));
        let again = begin(&store, id, 0, LEASE, Some(restored)).await.unwrap();
        store.release_intent(id, again.attempt, None, None).await.unwrap();
        assert_eq!((intent().await.attempt, intent().await.lease_expired), (restored, true));
        assert!(store.abandon_attempt(id, restored).await.unwrap());
        assert_eq!(store.grant(id).await.unwrap().unwrap().ended.unwrap().reason, EndReason::Restored);
    }
    an_identity_is_replaced_unless_a_newer_renewal_came_first(store) {
        let (id, _) = login(&store).await;
        let other = Identity { subject: "s".into(), ..Identity::default() };
        store.save_identity(id, 9, &other).await.unwrap();
        assert_ne!(store.grant(id).await.unwrap().unwrap().identity, other);
        store.save_identity(id, 0, &other).await.unwrap();
        assert_eq!(store.grant(id).await.unwrap().unwrap().identity, other);
    }
    a_renewal_that_names_scopes_replaces_those_that_were_granted(store) {
        let (id, _) = login(&store).await;
        for (generation, scopes, expected) in [(0, Some("openid email"), "openid email"), (1, None, "openid email")] {
            let attempt = AttemptId::random();
            store.begin_renewal(id, NewIntent::first(attempt, generation, LEASE)).await.unwrap().unwrap();
            let renewed = Renewed { scopes: scopes.map(str::to_owned), ..renewed("1") };
            assert!(store.save_renewal(id, attempt, generation, &renewed).await.unwrap());
            assert_eq!(store.grant(id).await.unwrap().unwrap().scopes, expected);
        }
    }
    a_renewal_that_was_not_verified_stays_so_until_its_identity_is(store) {
        let (id, _) = login(&store).await;
        let (since, retry_at) = (Timestamp(2000), Timestamp(62_000));
        let renew = async |generation, unverified| {
            let attempt = AttemptId::random();
            let retry_at = store.grant(id).await.unwrap().unwrap().retry_at;
            let intent = NewIntent { retry_at, ..NewIntent::first(attempt, generation, LEASE) };
            store.begin_renewal(id, intent).await.unwrap().unwrap();
            assert!(store.save_renewal(id, attempt, generation, &Renewed { unverified, ..renewed("1") }).await.unwrap());
            let grant = store.grant(id).await.unwrap().unwrap();
            (grant.unverified_since, grant.retry_at)
        };
        let state = async || {
            let grant = store.grant(id).await.unwrap().unwrap();
            (grant.unverified_since, grant.retry_at)
        };
        assert_eq!(renew(0, None).await, (None, None));
        assert_eq!(renew(1, Some(Unverified { since, retry_at })).await, (Some(since), Some(retry_at)));
        let identity = Identity { subject: "s".into(), ..Identity::default() };
        store.save_identity(id, 1, &identity).await.unwrap();
        assert_eq!(state().await, (Some(since), Some(retry_at)), "of an older generation");
        store.save_identity(id, 2, &identity).await.unwrap();
        assert_eq!(state().await, (None, None));
        let unverified = Unverified { since, retry_at };
        store.mark_unverified(id, 1, unverified).await.unwrap();
        assert_eq!(state().await, (None, None), "of an older generation");
        store.mark_unverified(id, 2, unverified).await.unwrap();
        store.mark_unverified(id, 2, Unverified { since: retry_at, retry_at: Timestamp(99_000) }).await.unwrap();
        assert_eq!(state().await, (Some(since), Some(retry_at)), "since the first");
        assert_eq!(renew(2, None).await, (None, None), "a renewal that is verified when it is saved");
    }
}
