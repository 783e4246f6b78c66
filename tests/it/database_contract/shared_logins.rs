//! Sessions of several sites that come of one login.

use evergate::{
    clock::Timestamp,
    seal::KeyRing,
    session::{Session, SessionHash},
    store::{HandedOver, LoginTarget, NewGrant, ReplacedSession, Settings, Sharing, Store},
    telemetry::metrics::Metrics,
};
use sqlx::{Connection, Executor, PgConnection};
use tokio_util::sync::CancellationToken;

use super::{contract, keep, login, new_grant, session_of};
use crate::harness::{eventually::eventually, postgres};

const AT: Timestamp = Timestamp(5000);

fn at(site: &str, replaces: Option<SessionHash>) -> HandedOver {
    HandedOver { session: SessionHash::fresh().1, site: site.to_owned(), replaces, at: AT }
}

async fn hand_over(store: &Store, from: SessionHash, site: &str) -> SessionHash {
    store.hand_over(from, &at(site, None)).await.unwrap().unwrap().session.hash
}

async fn lives(store: &Store, hash: SessionHash) -> bool {
    store.session(hash).await.unwrap().is_some()
}

contract! {
    a_session_that_is_handed_over_has_the_grant_and_the_beginning_of_the_login(store) {
        let (grant, from) = login(&store).await;
        let session = store.hand_over(from, &at("one.test", None)).await.unwrap().unwrap().session;
        assert_eq!((session.grant, session.created_at, session.last_seen), (grant, Timestamp(1000), AT));
        assert_eq!((session.login, session.site.as_deref()), (Some(from), Some("one.test")));
        assert_eq!(store.session(session.hash).await.unwrap().unwrap(), session);
        // One that was handed over itself hands the same login over.
        let further = store.hand_over(session.hash, &at("two.test", None)).await.unwrap().unwrap().session;
        assert_eq!(further.login, Some(from));
        let replacing = at("one.test", Some(session.hash));
        let replaced = store.hand_over(from, &replacing).await.unwrap().unwrap().replaced;
        assert_eq!(replaced, [ReplacedSession { session: session.clone(), issuer: "https://idp".into(), identity: Some(new_grant().identity) }]);
        assert!(!lives(&store, session.hash).await, "the browser had it before");
        assert_eq!(store.successor(session.hash).await.unwrap().unwrap().hash, replacing.session);
    }
    a_hand_over_whose_client_has_left_replaces_nothing(store) {
        let (_, from) = login(&store).await;
        let before = hand_over(&store, from, "one.test").await;
        let (replacing, left) = (at("one.test", Some(before)), CancellationToken::new());
        left.cancel();
        assert!(store.hand_over_to_client(from, &replacing, Some(&left)).await.unwrap().is_none());
        assert!(lives(&store, before).await && !lives(&store, replacing.session).await);
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
                store.hand_over(root, &new).await.map(|done| done.map(|done| done.session.hash))
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
        let again = NewGrant { provider_session: Some("sid-2".into()), ..new_grant() };
        let session = Session { created_at: AT, ..session_of(again.id) };
        let target = LoginTarget::New { session: session.clone(), replaces: Some(root) };
        store.save_login(&again, &target, Sharing::Own, AT).await.unwrap().unwrap();
        let followed = store.session(one).await.unwrap().unwrap();
        assert_eq!((followed.login, followed.grant), (Some(session.hash), again.id));
        assert_eq!((followed.created_at, followed.provider_session.as_deref()), (AT, Some("sid-2")), "it began with that login");

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
        let replacing = |session: &Session| LoginTarget::New { session: session.clone(), replaces: Some(root) };
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

fn session_with(hash: SessionHash, grant: &NewGrant) -> Session {
    Session { hash, ..session_of(grant.id) }
}

#[tokio::test]
async fn a_hand_over_and_a_login_lock_sessions_in_the_order_in_which_last_seen_times_are_written() {
    let (url, _) = postgres::fresh_database().await;
    let keys = KeyRing::from_base64([KeyRing::generate().as_str()]).unwrap();
    let store = Store::open(&Settings::Postgres(postgres::settings(&url, 4)), keys, Metrics::default()).unwrap();
    let grant = new_grant();
    let [root, old, first, new, again, last] = [9, 8, 1, 7, 10, 11].map(|byte| SessionHash([byte; 32]));
    keep(&store, &grant, session_with(root, &grant), None).await;
    let replacing = |session, replaces| HandedOver { session, replaces, ..at("one.test", None) };
    store.hand_over(root, &replacing(old, None)).await.unwrap().unwrap();
    store.hand_over(root, &replacing(first, Some(old))).await.unwrap().unwrap();

    let (mut other, mut observer) = (PgConnection::connect(&url).await.unwrap(), PgConnection::connect(&url).await.unwrap());
    let is_waited_for = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    const LOCK: &str = "SELECT 1 FROM sessions WHERE hash = $1 FOR UPDATE NOWAIT";
    // The session that the hand-over replaces has a follower; so has, at last, that which the login replaces.
    for (login, smallest, greatest) in [(None, first, root), (Some(again), new, root), (Some(last), new, again)] {
        other.execute("BEGIN").await.unwrap();
        sqlx::query(LOCK).bind(&smallest.0[..]).execute(&mut other).await.unwrap();
        let store = store.clone();
        let written = tokio::spawn(async move {
            match login {
                Some(hash) => {
                    let grant = new_grant();
                    let target = LoginTarget::New { session: session_with(hash, &grant), replaces: Some(root) };
                    store.save_login(&grant, &target, Sharing::Own, AT).await.map(|saved| saved.is_some())
                }
                None => store.hand_over(root, &replacing(new, Some(old))).await.map(|session| session.is_some()),
            }
        });
        eventually("the lock is waited for", async || {
            sqlx::query_scalar::<_, i64>(is_waited_for).fetch_one(&mut observer).await.unwrap() == 1
        })
        .await;
        sqlx::query(LOCK).bind(&greatest.0[..]).execute(&mut other).await.expect("it is not locked yet");
        other.execute("COMMIT").await.unwrap();
        assert!(written.await.unwrap().unwrap());
    }
    for (hash, is_there) in [(root, false), (first, false), (again, false), (new, true), (last, true)] {
        assert_eq!(lives(&store, hash).await, is_there, "{}", hash.0[0]);
    }
}
