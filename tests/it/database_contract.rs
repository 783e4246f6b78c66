//! The contract of the store: one suite, run on both databases.

use std::{collections::HashSet, time::Duration};

use evergate::{
    clock::Timestamp,
    grant::{AttemptId, EndReason, Fingerprint, GrantId, Rotation},
    history::{self, Event},
    identity::Identity,
    seal::KeyRing,
    secret::{Secret, hex},
    session::{Session, SessionHash},
    store::{
        Expired, ExpiredAttempt, Fence, ListPosition, LoginTarget, NewGrant, Renewed, RevocationToken, SessionFilter, Settings,
        Sharing, Store, Swept, Tokens, Unverified,
    },
    telemetry::metrics::Metrics,
};

use crate::harness::{
    eventually::eventually,
    pgbouncer::{self, Pooling},
    postgres,
};

const EXPIRED: Expired =
    Expired { created_before: Timestamp(0), seen_before: Timestamp(8000), events_before: Timestamp(0), now: Timestamp(6) };
const NOTHING: Expired = Expired { seen_before: Timestamp(0), ..EXPIRED };
const LEASE: Duration = Duration::from_secs(60);

struct Opened {
    store: Store,
    _directory: tempfile::TempDir,
}

/// Where the suite runs.
#[derive(Clone, Copy, Debug)]
enum Place {
    Sqlite,
    Postgres,
    BehindPgBouncer(Pooling),
}

const PLACES: [Place; 4] =
    [Place::Sqlite, Place::Postgres, Place::BehindPgBouncer(Pooling::Transaction), Place::BehindPgBouncer(Pooling::Session)];

async fn open(place: Place) -> Opened {
    let directory = tempfile::tempdir().unwrap();
    let settings = match place {
        Place::Sqlite => Settings::Sqlite(directory.path().join("db.sqlite")),
        Place::Postgres => Settings::Postgres(postgres::settings(&postgres::fresh_database().await.0, 4)),
        Place::BehindPgBouncer(pooling) => {
            let (url, address) = postgres::fresh_database().await;
            let mut url = url::Url::parse(&url).unwrap();
            url.set_port(Some(pgbouncer::before(address, pooling).await.address.port())).unwrap();
            Settings::Postgres(postgres::settings(url.as_str(), 4))
        }
    };
    let keys = KeyRing::from_base64([KeyRing::generate().as_str()]).unwrap();
    let store = Store::open(&settings, keys, Metrics::default()).unwrap();
    store.migrate().await.unwrap();
    Opened { store, _directory: directory }
}

/// Runs a test of the contract on each store.
macro_rules! contract {
    ($($name:ident($store:ident) $test:block)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                for place in PLACES {
                    let opened = open(place).await;
                    let $store = opened.store.clone();
                    $test
                }
            }
        )*
    };
}

fn tokens(name: &str) -> Tokens {
    Tokens {
        access: Secret::new(format!("access-{name}")),
        refresh: Some(Secret::new(format!("refresh-{name}"))),
        id: Some(Secret::new(format!("id-{name}"))),
        expires_at: Timestamp(5000),
        lifetime: Duration::from_secs(5),
        refresh_life: None,
    }
}

fn new_grant() -> NewGrant {
    NewGrant {
        id: GrantId::random(),
        issuer: "https://idp".into(),
        client_id: "c".into(),
        identity: Identity { subject: "s".into(), username: Some("ü".into()), groups: vec!["a".into()], ..Identity::default() },
        scopes: "openid".into(),
        fingerprint: Fingerprint::of("asked read"),
        provider_session: None,
        tokens: tokens("0"),
    }
}

async fn keep(store: &Store, grant: &NewGrant, session: Session, replaces: Option<SessionHash>) {
    let at = session.created_at;
    store
        .save_login(grant, &LoginTarget::New { session, replaces }, Sharing::Own, at)
        .await
        .unwrap()
        .expect("a new session is never ended");
}

/// What is due to be revoked, and taken by that.
async fn to_be_revoked(store: &Store) -> Vec<String> {
    let mut tokens = Vec::new();
    while let Some(revocation) = store.claim_revocation("https://idp", "c", LEASE).await.unwrap() {
        match revocation.token {
            RevocationToken::Readable(token) => tokens.push(token.expose().to_owned()),
            other @ (RevocationToken::KeyMissing | RevocationToken::Dead) => panic!("{other:?}"),
        }
    }
    tokens
}

async fn login(store: &Store) -> (GrantId, SessionHash) {
    let grant = new_grant();
    let session = session_of(grant.id);
    let hash = session.hash;
    keep(store, &grant, session, None).await;
    (grant.id, hash)
}

fn session_of(grant: GrantId) -> Session {
    Session {
        hash: SessionHash::fresh().1,
        grant,
        created_at: Timestamp(1000),
        last_seen: Timestamp(1000),
        provider_session: None,
    }
}

fn renewed(name: &str) -> Renewed {
    Renewed { tokens: tokens(name), scopes: None, rotation: Rotation::Rotating, at: Timestamp(2000), unverified: None }
}

struct Won {
    attempt: AttemptId,
    refresh_token: Secret,
}

/// Wins the intent, as one attempt.
async fn begin(store: &Store, id: GrantId, generation: i64, lease: Duration, takes_over: Option<AttemptId>) -> Option<Won> {
    let followed = takes_over.map(|attempt| ExpiredAttempt { attempt, within: None });
    begin_following(store, id, generation, lease, followed).await
}

async fn begin_following(
    store: &Store,
    id: GrantId,
    generation: i64,
    lease: Duration,
    takes_over: Option<ExpiredAttempt>,
) -> Option<Won> {
    let attempt = AttemptId::random();
    store
        .begin_renewal(id, attempt, generation, lease, takes_over)
        .await
        .unwrap()
        .map(|refresh_token| Won { attempt, refresh_token })
}

contract! {
    what_a_login_keeps_is_what_is_read(store) {
        let grant = new_grant();
        let session = session_of(grant.id);
        keep(&store, &grant, session.clone(), None).await;
        assert_eq!(store.session(session.hash).await.unwrap(), Some(session));
        let read = store.grant(grant.id).await.unwrap().unwrap();
        assert_eq!((&read.identity, read.generation, read.rotation, read.presented), (&grant.identity, 0, Rotation::Unknown, 0));
        assert_eq!((read.access_token.expose(), read.has_refresh_token, read.intent, read.ended), ("access-0", true, None, None));
        assert_eq!((read.expires_at, read.lifetime), (Timestamp(5000), Duration::from_secs(5)));
        assert!(store.session(SessionHash::fresh().1).await.unwrap().is_none() && store.grant(GrantId::random()).await.unwrap().is_none());
    }
    migrating_again_changes_nothing(store) {
        let (id, _) = login(&store).await;
        store.migrate().await.unwrap();
        assert!(store.grant(id).await.unwrap().is_some());
    }
    a_login_replaces_the_browser_s_session_and_no_other(store) {
        let ((_, old), (_, other)) = (login(&store).await, login(&store).await);
        let grant = new_grant();
        keep(&store, &grant, session_of(grant.id), Some(old)).await;
        assert!(store.session(old).await.unwrap().is_none());
        assert!(store.session(other).await.unwrap().is_some());
    }
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
        assert!(!store.end_grant(id, Fence::Attempt(follower.attempt), EndReason::Dead, None).await.unwrap(), "a lost race is not a dead user");
        assert_eq!(store.grant(id).await.unwrap().unwrap().access_token.expose(), "access-late");
    }
    a_released_intent_can_be_won_again_and_counts_as_never_presented(store) {
        let (id, _) = login(&store).await;
        let won = begin(&store, id, 0, LEASE, None).await.unwrap();
        store.release_intent(id, won.attempt, Some(Timestamp(7)), Some("invalid_scope")).await.unwrap();
        let read = store.grant(id).await.unwrap().unwrap();
        assert_eq!((read.intent, read.presented, read.retry_at), (None, 0, Some(Timestamp(7))));
        assert_eq!(read.refused.as_deref(), Some("invalid_scope"));
        assert!(begin(&store, id, 0, LEASE, None).await.is_some());
    }
    a_lapsed_attempt_is_followed_within_its_grace_and_not_after(store) {
        let (id, _) = login(&store).await;
        let lapsed = begin(&store, id, 0, Duration::ZERO, None).await.unwrap().attempt;
        let follow = |within| begin_following(&store, id, 0, Duration::ZERO, Some(ExpiredAttempt { attempt: lapsed, within }));
        assert!(follow(Some(Duration::ZERO)).await.is_none());
        assert!(follow(Some(Duration::from_secs(60))).await.is_some());
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
    an_unknown_outcome_that_becomes_known_is_kept_after_all(store) {
        let (id, _) = login(&store).await;
        let won = begin(&store, id, 0, LEASE, None).await.unwrap();
        assert!(!store.abandon_attempt(id, won.attempt).await.unwrap(), "not while the lease runs");
        store.expire_lease(id, won.attempt, None).await.unwrap();
        assert!(store.abandon_attempt(id, won.attempt).await.unwrap());
        assert_eq!(store.grant(id).await.unwrap().unwrap().ended.unwrap().reason, EndReason::OutcomeUnknown);
        assert!(begin(&store, id, 0, LEASE, Some(won.attempt)).await.is_none());
        assert!(store.save_renewal(id, won.attempt, 0, &renewed("1")).await.unwrap());
        let read = store.grant(id).await.unwrap().unwrap();
        assert_eq!((read.ended, read.generation), (None, 1));
    }
    a_dead_grant_is_ended_by_its_own_attempt_alone_and_loses_its_token(store) {
        let (id, _) = login(&store).await;
        let won = begin(&store, id, 0, LEASE, None).await.unwrap();
        let stranger = AttemptId::random();
        assert!(!store.end_grant(id, Fence::Attempt(stranger), EndReason::Dead, None).await.unwrap());
        assert!(store.end_grant(id, Fence::Attempt(won.attempt), EndReason::Dead, Some("invalid_grant")).await.unwrap());
        let read = store.grant(id).await.unwrap().unwrap();
        let ended = read.ended.unwrap();
        assert_eq!((ended.reason, ended.code.as_deref(), read.has_refresh_token), (EndReason::Dead, Some("invalid_grant"), false));
        assert!(!store.save_renewal(id, won.attempt, 0, &renewed("1")).await.unwrap());
        assert!(!store.end_grant(id, Fence::Generation(0), EndReason::Expired, None).await.unwrap(), "it ends once");
    }
    an_identity_is_replaced_unless_a_newer_renewal_came_first(store) {
        let (id, _) = login(&store).await;
        let other = Identity { subject: "s".into(), ..Identity::default() };
        store.save_identity(id, 9, &other).await.unwrap();
        assert_ne!(store.grant(id).await.unwrap().unwrap().identity, other);
        store.save_identity(id, 0, &other).await.unwrap();
        assert_eq!(store.grant(id).await.unwrap().unwrap().identity, other);
    }
    of_two_tabs_that_come_back_with_one_cookie_the_second_replaces_what_the_first_has_made(store) {
        let grants = [new_grant(), new_grant(), new_grant(), new_grant()];
        let [before, first, second, other] = [0, 1, 2, 3].map(|at: usize| session_of(grants[at].id));
        keep(&store, &grants[0], before.clone(), None).await;
        keep(&store, &grants[1], first.clone(), Some(before.hash)).await;
        assert_eq!(store.successor(before.hash).await.unwrap().unwrap().hash, first.hash, "its connections live on");
        keep(&store, &grants[2], second.clone(), Some(before.hash)).await;
        assert!(store.session(first.hash).await.unwrap().is_none(), "no browser has it any more");
        assert_eq!(store.successor(first.hash).await.unwrap().unwrap().hash, second.hash);
        // Whoever else comes with that cookie takes nothing over, and ends nothing of its owner's.
        let mut stranger = grants[3].clone();
        stranger.identity.subject = "another".into();
        keep(&store, &stranger, other.clone(), Some(before.hash)).await;
        assert!(store.session(second.hash).await.unwrap().is_some() && store.successor(second.hash).await.unwrap().is_none());
    }
    a_grant_that_another_session_uses_outlives_a_logout(store) {
        let grant = new_grant();
        let first = session_of(grant.id);
        keep(&store, &grant, first.clone(), None).await;
        // The provider keeps one refresh token a user, and gives the second login none.
        let mut second = new_grant();
        second.tokens.refresh = None;
        let shared = session_of(second.id);
        let target = LoginTarget::New { session: shared.clone(), replaces: None };
        let saved = store.save_login(&second, &target, Sharing::Shared, Timestamp(1000)).await.unwrap().unwrap();
        assert_eq!((saved.grant, saved.renewable), (grant.id, true));
        assert!(store.grant(second.id).await.unwrap().is_none(), "what it brought is not kept");
        let ended = store.end_session(first.hash).await.unwrap().unwrap();
        assert!(to_be_revoked(&store).await.is_empty() && ended.id_token.is_some());
        assert!(store.grant(grant.id).await.unwrap().is_some());
        store.end_session(shared.hash).await.unwrap().unwrap();
        assert_eq!(to_be_revoked(&store).await, ["refresh-0"]);
        assert!(store.end_session(shared.hash).await.unwrap().is_none());
    }
    a_renewal_that_names_scopes_replaces_those_that_were_granted(store) {
        let (id, _) = login(&store).await;
        for (generation, scopes, expected) in [(0, Some("openid email"), "openid email"), (1, None, "openid email")] {
            let attempt = AttemptId::random();
            store.begin_renewal(id, attempt, generation, LEASE, None).await.unwrap().unwrap();
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
            store.begin_renewal(id, attempt, generation, LEASE, None).await.unwrap().unwrap();
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
        store.mark_unverified(id, 1, since).await.unwrap();
        assert_eq!(state().await.0, None, "of an older generation");
        store.mark_unverified(id, 2, since).await.unwrap();
        store.mark_unverified(id, 2, retry_at).await.unwrap();
        assert_eq!(state().await.0, Some(since), "since the first");
        assert_eq!(renew(2, None).await, (None, None), "a renewal that is verified when it is saved");
    }
    a_login_joins_no_grant_that_has_ended(store) {
        let (ended, _) = login(&store).await;
        store.end_grant(ended, Fence::Generation(0), EndReason::Dead, None).await.unwrap();
        let mut second = new_grant();
        second.tokens.refresh = None;
        let target = LoginTarget::New { session: session_of(second.id), replaces: None };
        let saved = store.save_login(&second, &target, Sharing::Shared, Timestamp(1000)).await.unwrap().unwrap();
        assert_eq!((saved.grant, saved.renewable), (second.id, false));
    }
    a_shared_login_that_brings_a_token_takes_the_users_sessions_over(store) {
        let (older, session) = login(&store).await;
        let newer = new_grant();
        let target = LoginTarget::New { session: session_of(newer.id), replaces: None };
        store.save_login(&newer, &target, Sharing::Shared, Timestamp(1000)).await.unwrap().unwrap();
        assert_eq!(store.session(session).await.unwrap().unwrap().grant, newer.id);
        assert!(store.grant(older).await.unwrap().is_some(), "a renewal under way may still want its row");
    }
    an_existing_session_moves_to_the_new_grant_unless_it_was_ended(store) {
        let (_, session) = login(&store).await;
        let newer = new_grant();
        let saved = store.save_login(&newer, &LoginTarget::Existing(session), Sharing::Own, Timestamp(2000)).await.unwrap();
        assert_eq!(saved.unwrap().grant, newer.id);
        assert_eq!(store.session(session).await.unwrap().unwrap().created_at, Timestamp(1000), "its absolute limit stays");
        store.end_session(session).await.unwrap();
        let third = new_grant();
        assert!(store.save_login(&third, &LoginTarget::Existing(session), Sharing::Own, Timestamp(2000)).await.unwrap().is_none());
        assert!(store.grant(third.id).await.unwrap().is_none(), "a logout is not undone");
    }
    sessions_are_found_by_their_user_and_by_the_providers_session(store) {
        let mut grant = new_grant();
        grant.provider_session = Some("sid-1".into());
        keep(&store, &grant, session_of(grant.id), None).await;
        login(&store).await;
        let filter = |subject, provider_session| SessionFilter { issuer: "https://idp", client_id: "c", subject, provider_session };
        let found = async |filter| store.find_sessions(filter).await.unwrap().len();
        assert_eq!(found(filter(Some("s"), None)).await, 2);
        assert_eq!(found(filter(None, Some("sid-1"))).await, 1);
        assert_eq!(found(filter(Some("other"), Some("sid-1"))).await, 0, "both must be right");
        assert_eq!(found(SessionFilter { issuer: "https://other", ..filter(Some("s"), None) }).await, 0);
    }
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
        store.begin_renewal(grant.id, attempt, 0, LEASE, None).await.unwrap().unwrap();
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
            store.begin_renewal(grant.id, attempt, generation, LEASE, None).await.unwrap().unwrap();
            assert!(store.save_renewal(grant.id, attempt, generation, &renewed).await.unwrap());
            store.touch_sessions(&[(session.hash, Timestamp(at))]).await.unwrap();
            assert_eq!(store.due_before_idle_expiry(Timestamp(at + 350_000)).await.unwrap().due, [grant.id]);
            assert!(store.due_before_idle_expiry(Timestamp(at + 500_000)).await.unwrap().due.is_empty(), "it has expired");
        }
    }
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
    last_seen_times_never_go_backwards(store) {
        let (_, hash) = login(&store).await;
        store.touch_sessions(&[(hash, Timestamp(3000)), (SessionHash::fresh().1, Timestamp(3000))]).await.unwrap();
        store.touch_sessions(&[(hash, Timestamp(2000))]).await.unwrap();
        assert_eq!(store.session(hash).await.unwrap().unwrap().last_seen, Timestamp(3000));
    }
    an_attempt_is_consumed_once(store) {
        assert!(store.consume_once([1; 32], Timestamp(5)).await.unwrap());
        assert!(!store.consume_once([1; 32], Timestamp(5)).await.unwrap());
        assert!(store.consume_once([2; 32], Timestamp(5)).await.unwrap());
    }
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
        let limits = store.events("s", None, 200).await.unwrap();
        assert!(limits.len() == 101 && limits.iter().all(|(event, _)| event.kind == history::Kind::Limit && event.reason == "idle"));
        let counts = store.counts().await.unwrap();
        assert_eq!((counts.sessions, counts.with_refresh_token), (1, 1));
    }
    a_session_is_idle_by_when_it_was_last_seen_however_often_the_sweep_looks_at_it(store) {
        let (_, hash) = login(&store).await;
        let sweep = async |seen_before| store.sweep(&Expired { seen_before: Timestamp(seen_before), ..EXPIRED }).await.unwrap().removed;
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
            for name in [username, &grant.identity.subject] {
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
    changes_are_announced(store) {
        let (id, hash) = login(&store).await;
        let mut changes = store.changes();
        store.save_identity(id, 0, &Identity { subject: "s".into(), ..Identity::default() }).await.unwrap();
        assert_eq!(changes.recv().await.unwrap(), evergate::store::Change::Grant(id));
        store.end_session(hash).await.unwrap();
        assert_eq!(changes.recv().await.unwrap(), evergate::store::Change::Session(hash));
    }
}
