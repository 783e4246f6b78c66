//! Sessions: found, listed, and when they were last seen.

use std::collections::HashSet;

use evergate::{
    client_registration::ClientRegistration,
    clock::Timestamp,
    grant::{AttemptId, EndReason},
    identity::Identity,
    secret::hex,
    session::{SessionHash, UserKey},
    store::{END_RETENTION, Expired, Fence, ListPosition, SeenPosition, SessionFilter, SessionKind},
};

use super::{EXPIRED, NOTHING, REGISTRATION, contract, keep, login, new_grant, session_of};

contract! {
    sessions_are_found_by_their_user_and_by_the_providers_session(store) {
        let mut grant = new_grant();
        grant.provider_session = Some("sid-1".into());
        keep(&store, &grant, session_of(grant.id), None).await;
        login(&store).await;
        let filter = |subject, provider_session| SessionFilter { registration: REGISTRATION, subject, provider_session };
        let found = async |filter| store.find_sessions(filter).await.unwrap().current().unwrap().len();
        let other = ClientRegistration { issuer: "https://other", ..REGISTRATION };
        assert_eq!(found(filter(Some("s"), None)).await, 2);
        assert_eq!(found(filter(None, Some("sid-1"))).await, 1);
        assert_eq!(found(filter(Some("other"), Some("sid-1"))).await, 0, "both must be right");
        assert_eq!(found(SessionFilter { registration: other, ..filter(Some("s"), None) }).await, 0);
    }
    users_are_ended_once_and_for_what_is_older(store) {
        let mut grant = new_grant();
        grant.identity.unverified_email = Some("O\"Neil@Example.com".into());
        let session = session_of(grant.id);
        keep(&store, &grant, session.clone(), None).await;
        login(&store).await;
        let found = async |issuer, key| {
            let registration = ClientRegistration { issuer, ..REGISTRATION };
            store.find_sessions_of_key(registration, &key).await.unwrap().current().unwrap()
        };
        let (address, subject) = (UserKey::email("o\"neil@example.COM"), UserKey::Subject("s".into()));
        assert_eq!(found("https://idp", address.clone()).await, [session.hash]);
        assert_eq!(found("https://idp", subject.clone()).await.len(), 2);
        for (issuer, key) in [
            ("https://other", address.clone()),
            ("https://idp", UserKey::email("o")),
            ("https://idp", UserKey::email("%")),
            ("https://idp", UserKey::Subject("%".into())),
        ] {
            assert!(found(issuer, key.clone()).await.is_empty(), "{issuer} {key:?}");
        }
        let names = [subject.name(REGISTRATION), address.name(REGISTRATION)];
        assert_eq!(store.user_ended_at(&names).await.unwrap(), None);
        store.end_users(&names, Timestamp(20)).await.unwrap();
        store.end_users(&names[..1], Timestamp(10)).await.unwrap();
        store.end_users(&names[1..], Timestamp(30)).await.unwrap();
        assert_eq!(store.user_ended_at(&names).await.unwrap(), Some(Timestamp(30)), "later ends win");
        assert_eq!(store.ended_users().await.unwrap().current().unwrap(), [(names[0], Timestamp(20)), (names[1], Timestamp(30))].into());
        let later = Timestamp(30).plus(END_RETENTION);
        store.sweep(&Expired { now: later, ..NOTHING }).await.unwrap();
        assert!(store.ended_users().await.unwrap().current().unwrap().is_empty());
    }
    a_user_is_found_by_a_name_in_either_case_whatever_the_collation(store) {
        for name in ["IVAN", "iris", "Ilya\\Ivanov", "JÖRG"] {
            let mut grant = new_grant();
            grant.identity.username = Some(name.into());
            let session = session_of(grant.id);
            keep(&store, &grant, session.clone(), None).await;
            for told in [name.to_owned(), name.to_uppercase(), name.to_lowercase()] {
                let found = store.find_sessions_of_key(REGISTRATION, &UserKey::username(&told)).await.unwrap().current().unwrap();
                assert_eq!(found, [session.hash], "{name} is told of as {told}");
            }
        }
    }
    sessions_of_a_restored_database_count_as_used_when_that_is_said(store) {
        let (_, used_before_the_backup) = login(&store).await;
        let before = store.now().await.unwrap();
        store.mark_restored().await.unwrap();
        let session = store.session(used_before_the_backup).await.unwrap().unwrap();
        assert!(session.last_seen >= before, "{:?} {before:?}", session.last_seen);
        store.sweep(&EXPIRED).await.unwrap();
        store.sweep(&Expired { seen_before: Some(Timestamp(before.0 - 1)), ..NOTHING }).await.unwrap();
        assert!(store.session(used_before_the_backup).await.unwrap().is_some(), "no idle limit ends it");
    }
    all_sessions_are_listed_by_pages_each_once(store) {
        for _ in 0..101 {
            login(&store).await;
        }
        let (page, next) = store.list_sessions(ListPosition::START).await.unwrap();
        let (rest, end) = store.list_sessions(next.unwrap()).await.unwrap();
        let hashes: HashSet<_> = page.iter().chain(&rest).map(|listed| listed.session.hash).collect();
        assert_eq!((page.len(), rest.len(), hashes.len(), end), (100, 1, 101, None));
        let (page, next) = store.list_sessions(ListPosition { created_at: Timestamp(1000), ..ListPosition::START }).await.unwrap();
        assert_eq!((page.len(), next.is_some()), (100, true), "those of one moment are in the order of their hashes");
        let listed = &page[0].grant;
        assert_eq!((listed.identity.subject.as_str(), listed.has_refresh_token, listed.is_outcome_unknown), ("s", true, false));
    }
    a_user_s_sessions_are_listed_as_long_as_their_grants_may_go_on(store) {
        for (reason, is_listed) in [(EndReason::OutcomeUnknown, true), (EndReason::KeyLost, true), (EndReason::Dead, false)] {
            let (grant, session) = login(&store).await;
            let listed = async || {
                let found = store.sessions_of_user(REGISTRATION, "s", SessionKind::All, SeenPosition::START).await;
                found.unwrap().current().unwrap().0.iter().any(|listed| listed.session.hash == session)
            };
            assert!(listed().await);
            assert!(store.end_grant(grant, AttemptId::random(), Fence::Generation(0), reason, None).await.unwrap());
            assert_eq!(listed().await, is_listed, "{reason:?}");
        }
    }
    sessions_are_found_by_each_name_of_their_user_and_by_how_their_identifiers_begin(store) {
        login(&store).await;
        for (username, email, unverified_email) in
            [("O\"Neil\\", Some("Ann@Example.com"), None), ("nul\0 ü", None, Some("ann@example.com")), ("bob", None, None)]
        {
            let mut grant = new_grant();
            let owned = |text: Option<&str>| text.map(str::to_owned);
            grant.identity = Identity {
                subject: format!("sub {username}").replace('\0', ""),
                username: Some(username.to_owned()),
                email: owned(email),
                unverified_email: owned(unverified_email),
                groups: vec!["\"email\":\"x\"".into()],
                ..Identity::default()
            };
            let session = session_of(grant.id);
            keep(&store, &grant, session.clone(), None).await;
            let found = async |name: &str| store.sessions_named(name).await.unwrap().into_iter().map(|found| found.session.hash).collect::<Vec<_>>();
            for name in [username, &grant.identity.subject, &username.to_ascii_uppercase()] {
                assert!(name.contains('\0') || found(name).await == [session.hash], "{name:?}");
            }
            for email in email.iter().chain(&unverified_email) {
                assert!(found(&email.to_uppercase()).await.contains(&session.hash), "{email}");
            }
            let by = async |prefix: &str| store.sessions_by_prefix(prefix).await.unwrap().iter().map(|found| found.session.hash).collect::<Vec<_>>();
            let (hash, id) = (hex(&session.hash.0), grant.id.to_string());
            let head = |text: &str, digits| text.chars().take(digits).collect::<String>();
            for prefix in [head(&hash, 12), head(&hash, 13), head(&id, 12), hash, id] {
                assert_eq!(by(&prefix).await, [session.hash], "{prefix}");
            }
        }
        for nobody in ["", "x", "BOB", "ann"] {
            assert!(store.sessions_named(nobody).await.unwrap().iter().all(|found| found.grant.identity.username.as_deref() != Some(nobody)));
        }
        assert!(store.sessions_by_prefix("no digits").await.unwrap().is_empty());
    }
    last_seen_times_never_go_backwards(store) {
        let (_, hash) = login(&store).await;
        store.touch_sessions(&[(hash, Timestamp(3000)), (SessionHash::fresh().1, Timestamp(3000))]).await.unwrap();
        store.touch_sessions(&[(hash, Timestamp(2000))]).await.unwrap();
        assert_eq!(store.session(hash).await.unwrap().unwrap().last_seen, Timestamp(3000));
    }
}
