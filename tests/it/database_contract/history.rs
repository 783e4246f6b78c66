//! The history: events are written, and read by whose they are, the newest first.

use std::time::Duration;

use evergate::{
    administration::Ending,
    clock::Timestamp,
    grant::GrantId,
    history::{Event, Kind},
    identity::Identity,
    session::SessionHash,
    store::{EventFilter, EventPart, EventPlace, EventsOf, Expired, Store},
};

use super::{EXPIRED, contract};

const IDP: &str = "https://idp";

fn user(issuer: &str, subject: &str) -> EventsOf {
    EventsOf::User { issuer: issuer.to_owned(), subject: subject.to_owned() }
}

/// The newest events.
async fn read(store: &Store, of: EventsOf) -> Vec<Event> {
    let found = store.events(&of, EventFilter::All, EventPlace::START, 200).await.unwrap();
    found.into_iter().map(|stored| stored.event).collect()
}

contract! {
    history_is_read_by_person_session_and_grant_the_newest_first(store) {
        let identity = Identity { subject: "s".into(), email: Some("s@example.com".into()), ..Identity::default() };
        let (grant, hash) = (GrantId::random(), SessionHash::fresh().1);
        let login = Event::of(Kind::Login, grant, IDP, &identity, Timestamp(1)).of_session(hash);
        let renewal = Event {
            outcome: "dead".into(),
            code: Some("invalid_grant".into()),
            duration: Some(Duration::from_millis(12)),
            rotated: Some(false),
            actor_issuer: Some(IDP.into()),
            actor_subject: Some("sub-ann".into()),
            actor_session: Some("01234567".into()),
            ..Event::of(Kind::Renewal, grant, IDP, &identity, Timestamp(2))
        };
        store.enqueue_event(login.clone());
        store.enqueue_event(renewal.clone());
        store.flush_events().await;
        assert_eq!(read(&store, user(IDP, "s")).await, [renewal.clone(), login.clone()]);
        assert_eq!(read(&store, user("", "s")).await.len(), 2);
        assert!(read(&store, user("https://other", "s")).await.is_empty(), "another provider's user of the same `sub`");
        assert_eq!(read(&store, EventsOf::Session(hash.short())).await, std::slice::from_ref(&login));
        assert_eq!(read(&store, EventsOf::Grant(grant)).await, [renewal, login]);
        let expired = Expired { events_before: Timestamp(1), ..EXPIRED };
        assert_eq!(store.sweep(&expired).await.unwrap().removed, 1, "an event lives as long as its retention");
    }
    a_user_a_session_and_a_grant_are_found_in_the_history_by_what_people_know_of_them(store) {
        let (grant, hash) = (GrantId::random(), SessionHash::fresh().1);
        let at = |identity: &Identity, issuer: &str, number| {
            Event::of(Kind::Logout, grant, issuer, identity, Timestamp(number)).of_session(hash)
        };
        let ann = Identity {
            subject: "a1".into(), username: Some("Ann.Example".into()), email: Some("Ann@Example.com".into()), ..Identity::default()
        };
        let nameless = Identity { subject: "b2".into(), ..Identity::default() };
        for number in 0..70 {
            store.enqueue_event(at(&ann, IDP, number));
        }
        store.enqueue_event(at(&ann, "https://other", 1));
        store.enqueue_event(Event { username: None, ..at(&ann, "", 1) });
        store.enqueue_event(at(&nameless, IDP, 1));
        store.flush_events().await;
        let pair = |issuer: &str, subject: &str| (issuer.to_owned(), subject.to_owned());
        let both = [pair(IDP, "a1"), pair("https://other", "a1")];
        for name in ["ann@example.com", "ANN@EXAMPLE.COM", "ann.example", "Ann.Example"] {
            let found = store.event_users(name).await.unwrap();
            assert!(both.iter().all(|pair| found.contains(pair)), "{name}: {found:?}");
            assert_eq!(found.contains(&pair("", "a1")), name.contains('@'), "what an older release wrote has no user name");
        }
        assert_eq!(store.event_users("b2").await.unwrap().last(), Some(&pair("", "b2")));
        for nobody in ["ann", "%", "A1", ""] {
            assert!(store.event_users(nobody).await.unwrap().is_empty(), "{nobody}");
        }
        let session = (hash.short(), grant);
        let long = hash.0.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        let begun = |text: &str, digits| text.chars().take(digits).collect::<String>();
        for prefix in [begun(&long, 6), begun(&long, 8), begun(&long, 32), long] {
            assert_eq!(store.event_sessions(&prefix).await.unwrap(), std::slice::from_ref(&session), "{prefix}");
        }
        let id = grant.to_string();
        for prefix in [begun(&id, 6), begun(&id, 20), id] {
            assert_eq!(store.event_grants(&prefix).await.unwrap(), [grant], "{prefix}");
        }
        for prefix in ["zz", "ann@example.com", &"0".repeat(33), &"0".repeat(65)] {
            assert!(store.event_grants(prefix).await.unwrap().is_empty(), "{prefix}");
        }
        assert!(store.event_sessions("ann@example.com").await.unwrap().is_empty());
    }
    what_tells_of_an_end_is_read_without_what_happened_in_between_and_is_what_the_pages_take_for_an_end(store) {
        let (grant, identity) = (GrantId::random(), Identity { subject: "s".into(), ..Identity::default() });
        let mut expected = Vec::new();
        let mut number = 0;
        for kind in Kind::ALL {
            for outcome in ["ok", "denied", "dead", "config", "retry", "ambiguous"] {
                for reason in ["", "outcome_unknown", "idle", "user"] {
                    number += 1;
                    let event = Event { outcome: outcome.into(), ..Event::of(kind, grant, IDP, &identity, Timestamp(number)) };
                    let event = event.because(reason);
                    if Ending::of(&event).is_some() || kind == Kind::Administration {
                        expected.insert(0, event.clone());
                    }
                    store.enqueue_event(event);
                }
            }
        }
        store.flush_events().await;
        for of in [user(IDP, "s"), EventsOf::Grant(grant)] {
            let mut seen = Vec::new();
            let mut position = Some(EventPlace::START);
            while let Some(after) = position {
                let part = EventPart::of(store.events(&of, EventFilter::Ends, after, 6).await.unwrap(), 5);
                seen.extend(part.events.into_iter().map(|stored| stored.event));
                position = part.next;
            }
            assert_eq!(seen, expected, "{of:?}");
            let logins = store.events(&of, EventFilter::Logins, EventPlace::START, 100).await.unwrap();
            assert!(logins.len() == 4 && logins.iter().all(|stored| stored.event.kind == Kind::Login && stored.event.outcome == "ok"));
        }
    }
    an_event_that_the_store_refuses_does_not_keep_the_others_out(store) {
        let event = |who: &str| {
            let identity = Identity { subject: who.to_owned(), ..Identity::default() };
            Event::of(Kind::Login, GrantId::random(), IDP, &identity, Timestamp(1))
        };
        for who in ["before", "nu\0l", "after"] {
            store.enqueue_event(event(who));
        }
        store.flush_events().await;
        for who in ["before", "after"] {
            assert_eq!(read(&store, user(IDP, who)).await.len(), 1, "{who}");
        }
    }
}
