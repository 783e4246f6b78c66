//! Refresh tokens that expire for want of use.

use std::time::Duration;

use evergate::{
    clock::Timestamp,
    grant::AttemptId,
    store::{NewIntent, Renewed, Tokens},
};

use super::{LEASE, contract, keep, new_grant, renewed, session_of, tokens};

contract! {
    a_used_grant_is_due_before_its_refresh_token_dies_and_an_idle_one_is_not(store) {
        let life = Duration::from_secs(1800);
        let mut grant = new_grant();
        grant.tokens.refresh_life = Some(life);
        let session = session_of(grant.id);
        keep(&store, &grant, session.clone(), None).await;
        let due = async |at: Timestamp| store.due_before_idle_expiry(at).await.unwrap().due;
        let began = Timestamp(1000);
        assert!(due(began.plus(life / 2)).await.is_empty(), "too early");
        assert_eq!(due(began.plus(life * 4 / 5)).await, [grant.id]);
        assert!(due(began.plus(life * 4 / 5)).await.is_empty(), "its renewal has begun");
        assert_eq!(due(began.plus(life * 9 / 10)).await, [grant.id], "its renewal has failed");
        assert!(due(began.plus(life)).await.is_empty(), "too late");
        let renewed = Renewed {
            tokens: Tokens { refresh_life: Some(life), ..tokens("1") },
            at: began.plus(life * 4 / 5),
            ..renewed("1")
        };
        let attempt = AttemptId::random();
        store.begin_renewal(grant.id, NewIntent::first(attempt, 0, LEASE)).await.unwrap().unwrap();
        assert!(store.save_renewal(grant.id, attempt, 0, &renewed).await.unwrap());
        let late = began.plus(life * 8 / 5);
        assert!(due(late).await.is_empty(), "nobody has used it for a whole life of its token");
        store.touch_sessions(&[(session.hash, late)]).await.unwrap();
        assert_eq!(due(late.plus(life / 8)).await, [grant.id], "its user came back in time");
    }
    a_refresh_token_that_comes_to_live_shorter_or_lives_again_is_due_in_time(store) {
        let life = |seconds| Some(Duration::from_secs(seconds));
        let mut grant = new_grant();
        grant.tokens.refresh_life = life(36_000);
        let session = session_of(grant.id);
        keep(&store, &grant, session.clone(), None).await;
        for (generation, at) in [(0, 1_000_000), (1, 9_000_000)] {
            let renewed = Renewed { tokens: Tokens { refresh_life: life(400), ..tokens("1") }, at: Timestamp(at), ..renewed("1") };
            let attempt = AttemptId::random();
            store.begin_renewal(grant.id, NewIntent::first(attempt, generation, LEASE)).await.unwrap().unwrap();
            assert!(store.save_renewal(grant.id, attempt, generation, &renewed).await.unwrap());
            store.touch_sessions(&[(session.hash, Timestamp(at))]).await.unwrap();
            assert_eq!(store.due_before_idle_expiry(Timestamp(at + 350_000)).await.unwrap().due, [grant.id]);
            assert!(store.due_before_idle_expiry(Timestamp(at + 500_000)).await.unwrap().due.is_empty(), "it has expired");
        }
    }
}
