//! The contract of the store: one suite, run on both databases.

mod history;
mod idle_expiry;
mod kept_posts;
mod logins;
mod personal_tokens;
mod renewals;
mod scim_users;
mod sessions;
mod shared_logins;
mod sweep;

use std::time::Duration;

use evergate::{
    client_registration::ClientRegistration,
    clock::Timestamp,
    grant::{AttemptId, Fingerprint, GrantId, Rotation},
    identity::Identity,
    seal::KeyRing,
    secret::Secret,
    session::{Limit, Opener, Session, SessionHash},
    store::{
        Expired, ExpiredAttempt, LoginTarget, NewGrant, NewIntent, Renewed, RevocationToken, Settings, Sharing, Store, Tokens,
    },
    telemetry::metrics::Metrics,
};

use crate::harness::{
    pgbouncer::{self, Pooling},
    postgres,
};

const EXPIRED: Expired = Expired {
    created_before: Timestamp(0),
    limit: Limit::Absolute,
    seen_before: Some(Timestamp(8000)),
    tokens_made_before: Timestamp(0),
    events_before: Timestamp(0),
    now: Timestamp(6),
};
const NOTHING: Expired = Expired { seen_before: None, ..EXPIRED };
const LEASE: Duration = Duration::from_secs(60);
/// Whose grants the tests save.
const REGISTRATION: ClientRegistration<'_> = ClientRegistration { issuer: "https://idp", client_id: "c" };

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
        // With the collation that agrees least with Unicode's lower case and with the order of bytes.
        Place::Postgres => Settings::Postgres(postgres::settings(&postgres::fresh_turkish_database().await.0, 4)),
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
                for place in $crate::database_contract::PLACES {
                    let opened = $crate::database_contract::open(place).await;
                    let $store = opened.store.clone();
                    $test
                }
            }
        )*
    };
}
use contract;

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
        former_clients: Vec::new(),
        identity: Identity { subject: "s".into(), username: Some("ü".into()), groups: vec!["a".into()], ..Identity::default() },
        scopes: "openid".into(),
        fingerprint: Fingerprint::of("asked read"),
        provider_session: None,
        tokens: tokens("0"),
        opener: Opener { browser: Some("Firefox, Linux".into()), address: "2001:db8::1".parse().ok() },
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
    while let Some(revocation) = store.claim_revocation(REGISTRATION, LEASE).await.unwrap() {
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
        site: None,
        token: None,
        login: None,
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
        .begin_renewal(id, NewIntent { expired: takes_over, ..NewIntent::first(attempt, generation, lease) })
        .await
        .unwrap()
        .map(|refresh_token| Won { attempt, refresh_token })
}

contract! {
    migrating_again_changes_nothing(store) {
        let (id, _) = login(&store).await;
        store.migrate().await.unwrap();
        assert!(store.grant(id).await.unwrap().is_some());
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
