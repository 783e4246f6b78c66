//! Personal access tokens, which are sessions without a browser.

use std::time::Duration;

use evergate::{
    clock::Timestamp,
    grant::{AttemptId, EndReason},
    session::{Limit, PersonalToken, SessionHash, TokenScope},
    store::{Expired, Fence, NewGrant, NewToken, OwnToken, Store, TokenSaved, Tokens},
};

use super::{EXPIRED, REGISTRATION, contract, keep, login, new_grant, session_of, to_be_revoked, tokens};

/// How long tokens live at most, which says nothing here.
const LONGEST: Duration = Duration::from_secs(3600);

fn token(name: &str, expires_at: i64) -> PersonalToken {
    let scope = TokenScope { name: name.into(), site: "app.test".into(), routes: vec!["/api".into(), "app.test/ü".into()] };
    PersonalToken { expires_at: Timestamp(expires_at), scope }
}

/// Something that was not done yet, and how long it is remembered.
fn for_once() -> ([u8; 32], Timestamp) {
    (SessionHash::fresh().1.0, Timestamp(9000))
}

async fn save(store: &Store, made_from: SessionHash, token: &PersonalToken) -> (SessionHash, TokenSaved) {
    let (_, hash) = PersonalToken::fresh();
    let saved = store
        .save_token(&NewToken { hash, made_from, token, most: (2, LONGEST), at: Timestamp(2000), once: for_once() })
        .await
        .unwrap();
    (hash, saved)
}

contract! {
    a_token_has_the_grant_of_its_session_and_is_read_as_it_was_saved(store) {
        let (grant, browser) = login(&store).await;
        let (hash, saved) = save(&store, browser, &token("a", 9000)).await;
        assert_eq!(saved, TokenSaved::Saved(grant));
        let session = store.session(hash).await.unwrap().unwrap();
        assert_eq!((session.grant, session.created_at, session.token.as_deref()), (grant, Timestamp(2000), Some(&token("a", 9000))));
        assert_eq!(store.session(browser).await.unwrap().unwrap().token, None);
        assert_eq!(store.tokens_of(REGISTRATION, "s").await.unwrap(), [OwnToken { session: session.clone(), is_over: false }]);
        assert!(store.tokens_of(REGISTRATION, "other").await.unwrap().is_empty());
        let listed = store.sessions_named("s").await.unwrap();
        assert!(listed.iter().any(|listed| listed.session.hash == hash && listed.session.token.is_some()));
    }
    what_may_be_done_once_makes_one_token_and_what_makes_none_may_be_done_again(store) {
        let (grant, browser) = login(&store).await;
        let once = ([9; 32], Timestamp(9000));
        let (wanted, at) = (token("a", 9000), Timestamp(2000));
        let make = async |most| {
            let (_, hash) = PersonalToken::fresh();
            store.save_token(&NewToken { hash, made_from: browser, token: &wanted, most: (most, LONGEST), at, once }).await.unwrap()
        };
        assert_eq!(make(0).await, TokenSaved::TooMany);
        assert_eq!(make(1).await, TokenSaved::Saved(grant));
        assert_eq!(make(1).await, TokenSaved::Repeated, "though the user has as many as they may have");
        assert_eq!(store.tokens_of(REGISTRATION, "s").await.unwrap().len(), 1);
    }
    a_token_keeps_the_grant_when_its_browser_s_session_ends_and_takes_it_along_as_the_last(store) {
        let (grant, browser) = login(&store).await;
        let (hash, _) = save(&store, browser, &token("a", 9000)).await;
        store.end_session(browser).await.unwrap();
        assert!(store.grant(grant).await.unwrap().is_some() && to_be_revoked(&store).await.is_empty());
        store.end_session(hash).await.unwrap();
        assert!(store.grant(grant).await.unwrap().is_none());
        assert_eq!(to_be_revoked(&store).await, ["refresh-0"]);
    }
    no_token_is_made_of_a_session_that_has_ended_nor_of_a_token_nor_of_a_grant_that_has_ended_or_cannot_be_refreshed(store) {
        let (grant, browser) = login(&store).await;
        let (first, _) = save(&store, browser, &token("a", 9000)).await;
        assert_eq!(save(&store, first, &token("b", 9000)).await.1, TokenSaved::SessionEnded, "a token makes no token");
        assert_eq!(save(&store, SessionHash([7; 32]), &token("b", 9000)).await.1, TokenSaved::SessionEnded);
        let unrenewable = NewGrant { tokens: Tokens { refresh: None, ..tokens("0") }, ..new_grant() };
        let there = session_of(unrenewable.id);
        keep(&store, &unrenewable, there.clone(), None).await;
        assert_eq!(save(&store, there.hash, &token("b", 9000)).await.1, TokenSaved::NotRenewable);
        assert!(store.end_grant(grant, AttemptId::random(), Fence::Generation(0), EndReason::Dead, None).await.unwrap());
        assert_eq!(save(&store, browser, &token("b", 9000)).await.1, TokenSaved::SessionEnded);
    }
    a_user_has_so_many_tokens_whatever_session_they_are_made_of(store) {
        let (_, browser) = login(&store).await;
        let other = new_grant();
        let there = session_of(other.id);
        keep(&store, &other, there.clone(), None).await;
        save(&store, browser, &token("a", 9000)).await;
        save(&store, there.hash, &token("b", 9000)).await;
        assert_eq!(save(&store, browser, &token("c", 9000)).await.1, TokenSaved::TooMany);
        let expired = token("a", 9000);
        let new = NewToken { hash: PersonalToken::fresh().1, made_from: browser, token: &expired, most: (2, LONGEST), at: Timestamp(9000), once: for_once() };
        assert!(matches!(store.save_token(&new).await.unwrap(), TokenSaved::Saved(_)), "those that have expired do not count");
    }
    tokens_of_a_dead_grant_leave_room_for_new_ones_and_those_of_one_whose_outcome_is_unknown_do_not(store) {
        for (reason, is_over) in [(EndReason::OutcomeUnknown, false), (EndReason::Dead, true)] {
            let lost = new_grant();
            let there = session_of(lost.id);
            keep(&store, &lost, there.clone(), None).await;
            save(&store, there.hash, &token("a", 9000)).await;
            assert!(store.end_grant(lost.id, AttemptId::random(), Fence::Generation(0), reason, None).await.unwrap());
            let found = store.tokens_of(REGISTRATION, "s").await.unwrap();
            assert!(found.iter().any(|token| token.session.grant == lost.id && token.is_over == is_over), "{found:?}");
        }
        let (_, browser) = login(&store).await;
        assert!(matches!(save(&store, browser, &token("b", 9000)).await.1, TokenSaved::Saved(_)));
        assert_eq!(save(&store, browser, &token("c", 9000)).await.1, TokenSaved::TooMany);
    }
    the_limits_of_browsers_leave_tokens_alone_and_their_own_end_does_not(store) {
        let (_, browser) = login(&store).await;
        let (hash, _) = save(&store, browser, &token("a", 9000)).await;
        let all = |now| Expired {
            created_before: Timestamp(100_000),
            limit: Limit::Absolute,
            seen_before: Some(Timestamp(100_000)),
            tokens_made_before: Timestamp(0),
            events_before: Timestamp(0),
            now: Timestamp(now),
        };
        store.sweep(&all(8999)).await.unwrap();
        assert!(store.session(browser).await.unwrap().is_none() && store.session(hash).await.unwrap().is_some());
        store.sweep(&all(9000)).await.unwrap();
        assert!(store.session(hash).await.unwrap().is_none());
    }
    a_token_that_is_older_than_any_may_be_does_not_count_and_is_swept_whatever_it_was_promised(store) {
        let (_, browser) = login(&store).await;
        let (first, _) = save(&store, browser, &token("a", 90_000)).await;
        save(&store, browser, &token("b", 90_000)).await;
        let wanted = token("c", 90_000);
        let new = |longest, at| NewToken {
            hash: PersonalToken::fresh().1, made_from: browser, token: &wanted, most: (2, longest), at: Timestamp(at), once: for_once(),
        };
        let day = Duration::from_millis(1000);
        assert_eq!(store.save_token(&new(day, 2999)).await.unwrap(), TokenSaved::TooMany);
        assert!(matches!(store.save_token(&new(day, 3000)).await.unwrap(), TokenSaved::Saved(_)));
        let made_before = |before| Expired { tokens_made_before: Timestamp(before), seen_before: None, ..EXPIRED };
        store.sweep(&made_before(1999)).await.unwrap();
        assert!(store.session(first).await.unwrap().is_some());
        assert_eq!(store.sweep(&made_before(2000)).await.unwrap().removed, 2, "and not the one that was made later");
        assert!(store.session(first).await.unwrap().is_none() && store.session(browser).await.unwrap().is_some());
    }
}
