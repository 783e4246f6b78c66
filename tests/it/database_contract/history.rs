//! The history: events are written, and read by name.

use std::time::Duration;

use evergate::{
    clock::Timestamp,
    grant::GrantId,
    history::{self, Event},
    identity::Identity,
    session::SessionHash,
    store::Expired,
};

use super::{EXPIRED, contract};

contract! {
    history_is_read_by_person_session_and_grant_the_newest_first(store) {
        let identity = Identity { subject: "s".into(), email: Some("s@example.com".into()), ..Identity::default() };
        let (grant, hash) = (GrantId::random(), SessionHash::fresh().1);
        let login = Event::of(history::Kind::Login, grant, &identity, Timestamp(1)).of_session(hash);
        let renewal = Event {
            outcome: "dead".into(),
            code: Some("invalid_grant".into()),
            duration: Some(Duration::from_millis(12)),
            rotated: Some(false),
            ..Event::of(history::Kind::Renewal, grant, &identity, Timestamp(2))
        };
        store.enqueue_event(login.clone());
        store.enqueue_event(renewal.clone());
        store.flush_events().await;
        let read = async |name: &str, grant| {
            store.events(name, grant, 10).await.unwrap().into_iter().map(|(event, _)| event).collect::<Vec<_>>()
        };
        assert_eq!(read("s@example.com", None).await, [renewal.clone(), login.clone()]);
        assert_eq!(read("s", None).await.len(), 2);
        assert_eq!(read(&hash.short(), None).await, std::slice::from_ref(&login));
        assert_eq!(read("nobody", Some(grant)).await, [renewal, login]);
        let expired = Expired { events_before: Timestamp(1), ..EXPIRED };
        assert_eq!(store.sweep(&expired).await.unwrap().removed, 1, "an event lives as long as its retention");
    }
    an_event_that_the_store_refuses_does_not_keep_the_others_out(store) {
        let event = |who: &str| {
            let identity = Identity { subject: who.to_owned(), ..Identity::default() };
            Event::of(history::Kind::Login, GrantId::random(), &identity, Timestamp(1))
        };
        for who in ["before", "nu\0l", "after"] {
            store.enqueue_event(event(who));
        }
        store.flush_events().await;
        for who in ["before", "after"] {
            assert_eq!(store.events(who, None, 5).await.unwrap().len(), 1, "{who}");
        }
    }
}
