//! All that a store can do, once each.

use std::time::Duration;

use evergate::{
    client_registration::ClientRegistration,
    clock::{Stopwatch, Timestamp},
    grant::{AttemptId, EndReason, Fingerprint, GrantId, Rotation},
    history::{self, Event},
    identity::Identity,
    seal::KeyRing,
    secret::{Secret, hex},
    session::{Limit, Opener, PersonalToken, Session, SessionHash, TokenScope, UserKey},
    store::{
        EventFilter, EventPlace, EventsOf, Expired, ExpiredAttempt, Fence, HandedOver, ListPosition, LoginSaved, LoginTarget,
        NameKind, NewGrant, NewIntent, NewToken, Renewed, SeenPosition, SessionFilter, SessionKind, Settings, Sharing, Store,
        TokenSaved, Tokens, Unverified,
    },
    telemetry::metrics::Metrics,
};

use crate::harness::postgres;

use super::filling::{EACH, NOW, START, USERS};

const LEASE: Duration = Duration::from_secs(60);
const AT: Timestamp = Timestamp(NOW);
/// Whose grants the tests save.
const REGISTRATION: ClientRegistration<'_> = ClientRegistration { issuer: "https://idp", client_id: "c" };

pub(super) async fn everything(url: &str, older: &str) {
    let newer = KeyRing::generate();
    let open = |keys: &[&str]| {
        let settings = Settings::Postgres(postgres::settings(url, 2));
        Store::open(&settings, KeyRing::from_base64(keys.iter().copied()).unwrap(), Metrics::default()).unwrap()
    };
    let store = open(&[older]);
    logins_and_sessions(&store).await;
    renewals(&store).await;
    ends(&store).await;
    history_and_upkeep(&store).await;
    keys(&store, &open(&[&newer, older])).await;
    rollbacks(&open(&[older]), url).await;
}

async fn logins_and_sessions(store: &Store) {
    let (grant, session) = login(store, "user-7", true, Sharing::Own, None).await;
    let (_, shared) = login(store, "user-7", true, Sharing::Shared { since_code: Stopwatch::start() }, Some(session)).await;
    login(store, "user-7", false, Sharing::Shared { since_code: Stopwatch::start() }, None).await;
    let existing = LoginTarget::Existing(shared);
    store.save_login(&new_grant("user-7", false), &existing, Sharing::Own, AT).await.unwrap().unwrap();
    assert!(store.session(shared).await.unwrap().is_some() && store.successor(session).await.unwrap().is_some());
    let handed_over = HandedOver { session: SessionHash::fresh().1, site: "one.test".to_owned(), replaces: None, at: AT };
    store.hand_over(shared, &handed_over).await.unwrap().unwrap();
    store.touch_sessions(&[(shared, Timestamp(NOW + 1)), (session, Timestamp(NOW + 1))]).await.unwrap();
    for (subject, provider_session) in
        [(Some("user-9000"), None), (None, Some("sid-9000")), (Some("user-9000"), Some("sid-18000"))]
    {
        let filter = SessionFilter { registration: REGISTRATION, subject, provider_session };
        assert!(!store.find_sessions(filter).await.unwrap().current().unwrap().is_empty(), "{filter:?}");
        store.remember_logout(filter, AT).await.unwrap();
        store.was_logged_out_since(filter, &[], AT).await.unwrap();
    }
    let (page, next) = store.list_sessions(ListPosition::START).await.unwrap();
    assert_eq!(page.len(), 100);
    let deep = ListPosition { created_at: Timestamp(START + USERS / 2 * EACH), ..next.unwrap() };
    assert!(store.list_sessions(deep).await.unwrap().1.is_some());
    for name in ["user-9000", "name-9001", "USER-9002@example.com"] {
        let found = store.sessions_named(name).await.unwrap();
        // What was filled in opens.
        let grant = store.grant(found.first().expect(name).grant.id).await.unwrap().unwrap();
        assert!(grant.missing_key.is_none() && grant.access_token.expose().len() == 1200, "{name}");
    }
    for beginning in ["user-90", "name-900"] {
        let mut found = 0;
        for by in [NameKind::Email, NameKind::Username] {
            found += store.sessions_beginning(beginning, by, None).await.unwrap().0.len();
            store.sessions_beginning(beginning, by, Some(("user-9050", GrantId([0; 16])))).await.unwrap();
        }
        assert!(found > 0, "{beginning}");
    }
    let of_user = store.sessions_of_user(REGISTRATION, "user-9000", SessionKind::All, SeenPosition::START).await;
    assert!(!of_user.unwrap().current().unwrap().0.is_empty());
    let (name, address) = (UserKey::username("NAME-9001"), UserKey::email("user-9002@example.com"));
    for key in [UserKey::Subject("user-9000".into()), name, address] {
        assert!(!store.find_sessions_of_key(REGISTRATION, &key).await.unwrap().current().unwrap().is_empty(), "{key:?}");
    }
    let (hash, id) = (hex(&shared.0), store.session(shared).await.unwrap().unwrap().grant.to_string());
    for prefix in [hash.chars().take(12).collect(), hash, id] {
        assert!(!store.sessions_by_prefix(&prefix).await.unwrap().is_empty(), "{prefix}");
    }
    let (_, browser) = login(store, "user-7", true, Sharing::Own, None).await;
    let scope = TokenScope { name: "script".into(), site: "app.test".into(), routes: Vec::new() };
    let token = PersonalToken { expires_at: Timestamp(i64::MAX), scope };
    let new = NewToken {
        hash: PersonalToken::fresh().1,
        made_from: browser,
        token: &token,
        most: (9, Duration::MAX),
        at: AT,
        once: (SessionHash::fresh().1.0, AT),
    };
    assert!(matches!(store.save_token(&new).await.unwrap(), TokenSaved::Saved(_)));
    assert!(store.tokens_of(REGISTRATION, "nobody").await.unwrap().is_empty());
    assert!(store.grant(grant).await.unwrap().is_some() && store.id_token(grant).await.unwrap().is_some());
    store.consume_once(shared.0, AT).await.unwrap();
    assert!(store.is_consumed(shared.0).await.unwrap());
    store.forget_consumed(shared.0).await.unwrap();
    assert!(!store.is_consumed(shared.0).await.unwrap());
}

async fn renewals(store: &Store) {
    let (leased, session) = login(store, "user-8", true, Sharing::Own, None).await;
    store.begin_renewal(leased, NewIntent::first(AttemptId::random(), 0, LEASE)).await.unwrap().unwrap();
    let existing = LoginTarget::Existing(session);
    store.save_login(&new_grant("user-8", true), &existing, Sharing::Own, AT).await.unwrap().unwrap();
    let (id, _) = login(store, "user-8", true, Sharing::Own, None).await;
    let begin = async |generation, expired: Option<ExpiredAttempt>, lease| {
        let attempt = AttemptId::random();
        store.begin_renewal(id, NewIntent { expired, ..NewIntent::first(attempt, generation, lease) }).await.unwrap().unwrap();
        attempt
    };
    let attempt = begin(0, None, LEASE).await;
    for _ in 0..2 {
        assert!(store.save_renewal(id, attempt, 0, &renewed()).await.unwrap());
    }
    let attempt = begin(1, None, LEASE).await;
    store.release_intent(id, attempt, None, None).await.unwrap();
    let attempt = begin(1, None, LEASE).await;
    store.expire_dead_owners_lease(id, attempt, None, LEASE).await.unwrap();
    store.expire_lease(id, attempt, None, Duration::ZERO).await.unwrap();
    let attempt = begin(1, Some(ExpiredAttempt { attempt, within: None }), Duration::ZERO).await;
    assert!(store.abandon_attempt(id, attempt).await.unwrap());
    assert!(store.abandon_attempt(id, attempt).await.unwrap(), "its own end, the second time");
    let identity = Identity { subject: "user-8".into(), ..Identity::default() };
    store.save_identity(id, 1, &identity).await.unwrap();
    store.mark_unverified(id, 1, Unverified { since: AT, retry_at: AT }).await.unwrap();
    // Most tokens have expired long ago.
    assert!(store.due_before_idle_expiry(Timestamp(NOW - 400_000)).await.unwrap().is_done);
}

async fn ends(store: &Store) {
    for by_attempt in [true, false] {
        let (id, session) = login(store, "user-6", true, Sharing::Own, None).await;
        let attempt = AttemptId::random();
        let fence = if by_attempt { Fence::Attempt(attempt) } else { Fence::Generation(0) };
        store.begin_renewal(id, NewIntent::first(attempt, 0, LEASE)).await.unwrap().unwrap();
        let by = AttemptId::random();
        for _ in 0..2 {
            assert!(store.end_grant(id, by, fence, EndReason::Dead, None).await.unwrap(), "its own end, the second time");
        }
        store.end_session(session).await.unwrap().unwrap();
    }
    let (id, session) = login(store, "user-6", true, Sharing::Own, None).await;
    store.end_session(session).await.unwrap().unwrap();
    let revocation = store.claim_revocation(REGISTRATION, LEASE).await.unwrap().unwrap();
    store.would_end_others(&revocation, REGISTRATION, true).await.unwrap();
    assert!(store.end_was_requested(id).await.unwrap());
}

async fn history_and_upkeep(store: &Store) {
    store.examine().await.unwrap();
    let grant = GrantId::random();
    let identity = Identity { subject: "user-5".into(), ..Identity::default() };
    store.enqueue_event(Event::of(history::Kind::Login, grant, "https://idp", &identity, AT));
    assert!(store.flush_events().await);
    for name in ["user-5", "user-5@example.com", "nobody"] {
        store.event_users(name).await.unwrap();
    }
    let of_user = EventsOf::User { issuer: "https://idp".into(), subject: "user-5".into() };
    for of in [of_user, EventsOf::Grant(grant), EventsOf::Session("0123abcd".into())] {
        for filter in [EventFilter::All, EventFilter::Ends, EventFilter::Logins] {
            store.events(&of, filter, EventPlace::START, 50).await.unwrap();
        }
    }
    for prefix in ["0123ab", "0123abcd0123abcd"] {
        store.event_sessions(prefix).await.unwrap();
        store.event_grants(prefix).await.unwrap();
    }
    store.recent_renewals("https://idp", Timestamp(AT.0 - 3_600_000), 16).await.unwrap();
    store.events_of_administrators(EventPlace { at: AT, id: 1 }, 100).await.unwrap();
    assert!(!store.has_sessions(grant).await.unwrap());
    assert!(!store.sample_grants().await.unwrap().is_empty());
    store.count_refresh(REGISTRATION, "ok", LEASE, AT);
    store.flush_provider_hours().await;
    assert_eq!(store.provider_hours(Timestamp(0)).await.unwrap().len(), 1);
    let counts = store.counts().await.unwrap();
    assert!((counts.sessions - USERS).abs() < USERS / 10 && counts.with_refresh_token > USERS / 2, "{counts:?}");
    // Few of each have expired, and the sessions that were seen first are still in use.
    let before = |users: i64| Timestamp(START + users * EACH);
    let expired = Expired {
        created_before: before(20),
        limit: Limit::Absolute,
        seen_before: Some(before(60)),
        tokens_made_before: before(50),
        events_before: before(30),
        now: before(40),
    };
    while !store.sweep(&expired).await.unwrap().is_done {}
}

/// Encrypts anew what another key has encrypted, at the end of the table.
async fn keys(older: &Store, newer: &Store) {
    let mut grant = new_grant("user-4", true);
    grant.id.0[..4].fill(0xff);
    let session = new_session(grant.id);
    let target = LoginTarget::New { session, replaces: None };
    older.save_login(&grant, &target, Sharing::Own, AT).await.unwrap().unwrap();
    let before = GrantId([0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert!(newer.reseal(Some(before), 10).await.unwrap().done > 0);
    newer.key_usage_of_revocations().await.unwrap();
    newer.reseal_revocations().await.unwrap();
    newer.check_for_missing_keys().await.unwrap();
    newer.living_replicas().await.unwrap();
    newer.mark_restored().await.unwrap();
}

/// Puts right what the database has lost. A store of its own, which presents no token for a while after that.
async fn rollbacks(store: &Store, url: &str) {
    let (id, _) = login(store, "user-3", true, Sharing::Own, None).await;
    let attempt = AttemptId::random();
    store.begin_renewal(id, NewIntent::first(attempt, 0, LEASE)).await.unwrap().unwrap();
    let forget = async |what: &str| postgres::run(url, &format!("UPDATE grants SET {what} WHERE id = '\\x{id}'")).await;
    forget("attempt = NULL, presented = 0").await;
    assert_eq!(store.grant(id).await.unwrap().unwrap().intent.unwrap().attempt, attempt);
    assert!(store.save_renewal(id, attempt, 0, &renewed()).await.unwrap());
    forget("generation = 0").await;
    assert_eq!(store.grant(id).await.unwrap().unwrap().generation, 1);
}

async fn login(
    store: &Store,
    subject: &str,
    has_token: bool,
    sharing: Sharing,
    replaces: Option<SessionHash>,
) -> (GrantId, SessionHash) {
    let grant = new_grant(subject, has_token);
    let session = new_session(grant.id);
    let target = LoginTarget::New { session, replaces };
    let LoginSaved { session, grant, .. } = store.save_login(&grant, &target, sharing, AT).await.unwrap().unwrap();
    (grant, session)
}

fn new_session(grant: GrantId) -> Session {
    Session {
        hash: SessionHash::fresh().1,
        grant,
        created_at: AT,
        last_seen: AT,
        provider_session: None,
        site: None,
        token: None,
        login: None,
    }
}

fn new_grant(subject: &str, has_token: bool) -> NewGrant {
    NewGrant {
        id: GrantId::random(),
        issuer: "https://idp".into(),
        client_id: "c".into(),
        former_clients: Vec::new(),
        identity: Identity { subject: subject.into(), ..Identity::default() },
        scopes: "openid".into(),
        fingerprint: Fingerprint::of("asked"),
        provider_session: None,
        tokens: Tokens { refresh: has_token.then(|| Secret::new("refresh")), ..tokens() },
        opener: Opener::default(),
    }
}

fn tokens() -> Tokens {
    Tokens {
        access: Secret::new("access"),
        refresh: Some(Secret::new("refresh")),
        id: Some(Secret::new("id")),
        expires_at: Timestamp(NOW + 300_000),
        lifetime: Duration::from_secs(300),
        refresh_life: Some(Duration::from_secs(1800)),
    }
}

fn renewed() -> Renewed {
    Renewed { tokens: tokens(), scopes: None, rotation: Rotation::Rotating, at: AT, unverified: None }
}
