//! Sessions of several sites that come of one login.

use evergate::{
    clock::Timestamp,
    session::SessionHash,
    store::{HandedOver, LoginTarget, Sharing, Store},
};

use super::{contract, login, new_grant, session_of};

const AT: Timestamp = Timestamp(5000);

fn at(site: &str, replaces: Option<SessionHash>) -> HandedOver {
    HandedOver { session: SessionHash::fresh().1, site: site.to_owned(), replaces, at: AT }
}

async fn hand_over(store: &Store, from: SessionHash, site: &str) -> SessionHash {
    store.hand_over(from, &at(site, None)).await.unwrap().unwrap().hash
}

async fn lives(store: &Store, hash: SessionHash) -> bool {
    store.session(hash).await.unwrap().is_some()
}

contract! {
    a_session_that_is_handed_over_has_the_grant_and_the_beginning_of_the_login(store) {
        let (grant, from) = login(&store).await;
        let session = store.hand_over(from, &at("one.test", None)).await.unwrap().unwrap();
        assert_eq!((session.grant, session.created_at, session.last_seen), (grant, Timestamp(1000), AT));
        assert_eq!((session.login, session.site.as_deref()), (Some(from), Some("one.test")));
        assert_eq!(store.session(session.hash).await.unwrap().unwrap(), session);
        // One that was handed over itself hands the same login over.
        let further = store.hand_over(session.hash, &at("two.test", None)).await.unwrap().unwrap();
        assert_eq!(further.login, Some(from));
        let replacing = at("one.test", Some(session.hash));
        store.hand_over(from, &replacing).await.unwrap().unwrap();
        assert!(!lives(&store, session.hash).await, "the browser had it before");
        assert_eq!(store.successor(session.hash).await.unwrap().unwrap().hash, replacing.session);
    }
    the_sessions_of_a_login_end_together_whichever_ends_first(store) {
        for ends in 0..3 {
            let (grant, root) = login(&store).await;
            let (_, other) = login(&store).await;
            let all = [root, hand_over(&store, root, "one.test").await, hand_over(&store, root, "two.test").await];
            let ended = store.end_session(all[ends]).await.unwrap().unwrap();
            assert_eq!((ended.grant, ended.others.len()), (grant, 2));
            for hash in all {
                assert!(!lives(&store, hash).await && store.end_session(hash).await.unwrap().is_none());
                assert!(store.hand_over(hash, &at("three.test", None)).await.unwrap().is_none(), "nor is it handed over any more");
            }
            assert!(store.grant(grant).await.unwrap().is_none() && lives(&store, other).await);
        }
    }
    no_session_outlives_a_login_that_ends_while_it_is_handed_over(store) {
        for _ in 0..20 {
            let (grant, root) = login(&store).await;
            let (ended, handed_over) = tokio::join!(store.end_session(root), async {
                let new = at("one.test", None);
                store.hand_over(root, &new).await.map(|session| session.map(|session| session.hash))
            });
            ended.unwrap().unwrap();
            if let Some(hash) = handed_over.unwrap() {
                assert!(!lives(&store, hash).await);
            }
            assert!(store.grant(grant).await.unwrap().is_none());
        }
    }
    a_login_that_follows_takes_its_user_s_sessions_along_and_ends_another_s(store) {
        let (_, root) = login(&store).await;
        let one = hand_over(&store, root, "one.test").await;
        let again = new_grant();
        let session = session_of(again.id);
        let target = LoginTarget::New { session: session.clone(), replaces: Some(root) };
        store.save_login(&again, &target, Sharing::Own, AT).await.unwrap().unwrap();
        let followed = store.session(one).await.unwrap().unwrap();
        assert_eq!((followed.login, followed.grant), (Some(session.hash), again.id));

        // A silent login renews them all.
        let renewed = new_grant();
        let existing = LoginTarget::Existing(session.hash);
        store.save_login(&renewed, &existing, Sharing::Own, AT).await.unwrap().unwrap();
        assert_eq!(store.session(one).await.unwrap().unwrap().grant, renewed.id);

        let mut others = new_grant();
        others.identity.subject = "another".to_owned();
        let theirs = session_of(others.id);
        let target = LoginTarget::New { session: theirs.clone(), replaces: Some(session.hash) };
        store.save_login(&others, &target, Sharing::Own, AT).await.unwrap().unwrap();
        assert!(!lives(&store, one).await && lives(&store, theirs.hash).await);
    }
    what_was_handed_over_of_one_of_two_logins_at_once_follows_the_last(store) {
        let (_, root) = login(&store).await;
        let [first, second] = [new_grant(), new_grant()].map(|grant| (session_of(grant.id), grant));
        let replacing = |session: &evergate::session::Session| LoginTarget::New { session: session.clone(), replaces: Some(root) };
        store.save_login(&first.1, &replacing(&first.0), Sharing::Own, AT).await.unwrap().unwrap();
        let handed_over = hand_over(&store, first.0.hash, "one.test").await;
        // Of another tab, with the cookie of before.
        store.save_login(&second.1, &replacing(&second.0), Sharing::Own, AT).await.unwrap().unwrap();
        assert!(!lives(&store, first.0.hash).await);
        assert_eq!(store.session(handed_over).await.unwrap().unwrap().login, Some(second.0.hash));
        store.end_session(second.0.hash).await.unwrap().unwrap();
        assert!(!lives(&store, handed_over).await);
    }
}
