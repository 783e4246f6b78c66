//! The sweep: what has expired is deleted, and nothing else.

use std::time::Duration;

use evergate::{
    clock::Timestamp,
    history,
    store::{EventFilter, EventPlace, EventsOf, Expired, LoginTarget, Sharing, Swept},
};

use super::{EXPIRED, LEASE, NOTHING, begin, contract, keep, login, new_grant, session_of};
use crate::harness::eventually::eventually;

contract! {
    sweeping_removes_what_has_expired_in_batches_and_nothing_else(store) {
        for _ in 0..101 {
            login(&store).await;
        }
        let (young, kept) = login(&store).await;
        store.touch_sessions(&[(kept, Timestamp(9000))]).await.unwrap();
        store.consume_once([1; 32], Timestamp(5)).await.unwrap();
        let mut removed = Vec::new();
        loop {
            let swept = store.sweep(&EXPIRED).await.unwrap();
            removed.push(swept.removed);
            if swept.is_done {
                break;
            }
        }
        assert!(removed.len() == 2 && removed.iter().sum::<u64>() == 203, "{removed:?}");
        assert!(store.session(kept).await.unwrap().is_some() && store.grant(young).await.unwrap().is_some());
        // By whichever provider: the event tells it.
        let of = EventsOf::User { issuer: String::new(), subject: "s".into() };
        let limits = store.events(&of, EventFilter::Ends, EventPlace::START, 200).await.unwrap();
        let is_told = |event: &history::Event| event.kind == history::Kind::Limit && event.reason == "idle" && !event.issuer.is_empty();
        assert!(limits.len() == 101 && limits.iter().all(|stored| is_told(&stored.event)));
        let counts = store.counts().await.unwrap();
        assert_eq!((counts.sessions, counts.with_refresh_token), (1, 1));
    }
    a_session_is_idle_by_when_it_was_last_seen_however_often_the_sweep_looks_at_it(store) {
        let (_, hash) = login(&store).await;
        let sweep = async |seen_before| store.sweep(&Expired { seen_before: Some(Timestamp(seen_before)), ..EXPIRED }).await.unwrap().removed;
        for (seen, before) in [(3000, 2000), (5000, 4000), (5001, 5000)] {
            store.touch_sessions(&[(hash, Timestamp(seen))]).await.unwrap();
            assert_eq!((sweep(before).await, sweep(before).await), (0, 0));
        }
        assert_eq!(sweep(5001).await, 2, "the session and its grant");
        assert!(store.session(hash).await.unwrap().is_none());
    }
    a_grant_goes_with_the_sweep_when_its_last_session_has_left_it(store) {
        let (first, session) = login(&store).await;
        let (joined, other) = (new_grant(), new_grant());
        for grant in [&joined, &other] {
            store.save_login(grant, &LoginTarget::Existing(session), Sharing::Own, Timestamp(2000)).await.unwrap().unwrap();
        }
        let replacing = new_grant();
        keep(&store, &replacing, session_of(replacing.id), Some(session)).await;
        assert!(store.grant(first).await.unwrap().is_some(), "until the sweep");
        assert_eq!(store.sweep(&NOTHING).await.unwrap(), Swept { removed: 3, is_done: true });
        for gone in [first, joined.id, other.id] {
            assert!(store.grant(gone).await.unwrap().is_none());
        }
        assert!(store.grant(replacing.id).await.unwrap().is_some());
        assert_eq!(store.sweep(&NOTHING).await.unwrap().removed, 0);
    }
    a_grant_without_a_session_is_kept_while_its_renewal_is_under_way_and_no_longer(store) {
        let sessions = [login(&store).await, login(&store).await];
        for ((id, session), lease) in sessions.into_iter().zip([LEASE * 60, Duration::from_millis(500)]) {
            begin(&store, id, 0, lease, None).await.unwrap();
            let newer = new_grant();
            store.save_login(&newer, &LoginTarget::Existing(session), Sharing::Own, Timestamp(2000)).await.unwrap().unwrap();
        }
        let [(leased, _), (lapsed, _)] = sessions;
        eventually("a grant whose lease has ended is removed", async || {
            store.sweep(&NOTHING).await.unwrap();
            store.grant(lapsed).await.unwrap().is_none()
        })
        .await;
        assert!(store.grant(leased).await.unwrap().is_some());
    }
}
