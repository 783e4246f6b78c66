//! Many tabs of one browser that log in together, and browsers that leave while they do.

use std::time::Duration;

use http::StatusCode;
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};

use crate::harness::{
    ACCESS, Database, Kind, World,
    eventually::eventually,
    idp::{Endpoint, Idp, Misbehaviour, Offline, user},
    logs::lines_with,
    visitor::{Visitor, path_of},
};

const EXPIRED: Duration = Duration::from_secs(301);
const TABS: usize = 8;

/// The callback that a tab of this browser comes back with for `path`.
async fn at_provider(world: &World, visitor: &Visitor, path: &str) -> String {
    path_of(&world.idp.authorize(&visitor.get(path).await.location()).await)
}

/// A transaction that no login gets past which replaces a session.
enum Lock {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl Lock {
    async fn of(world: &World) -> Self {
        match &world.database {
            Database::Postgres { url } => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                connection.execute("BEGIN; SELECT hash FROM sessions FOR UPDATE").await.unwrap();
                Self::Postgres(connection)
            }
            Database::Sqlite { directory } => {
                let url = format!("sqlite://{}/evergate.sqlite", directory.path().display());
                let mut connection = SqliteConnection::connect(&url).await.unwrap();
                connection.execute("BEGIN IMMEDIATE").await.unwrap();
                Self::Sqlite(connection)
            }
        }
    }

    async fn release(self) {
        match self {
            Self::Postgres(connection) => connection.close().await.unwrap(),
            Self::Sqlite(connection) => connection.close().await.unwrap(),
        }
    }
}

/// As Dex does: a code that is redeemed ends the user's other refresh tokens.
fn newest(idp: &Idp) {
    idp.give_refresh_tokens(Offline::Newest);
}

#[tokio::test]
async fn tabs_that_come_back_together_redeem_one_code_and_each_gets_its_page() {
    let world = World::build().on(Kind::Sqlite).set("oidc_preset", "dex").start_with(newest).await;
    let visitor = world.visitor();
    let mut callbacks = Vec::new();
    for tab in 0..TABS {
        callbacks.push(at_provider(&world, &visitor, &format!("/tab/{tab}")).await);
    }
    world.idp.misbehave(Endpoint::Code, Misbehaviour::HeldAnswer);
    let tabs = callbacks.into_iter().map(|callback| {
        let visitor = visitor.clone();
        tokio::spawn(async move { visitor.get(&callback).await })
    });
    let tabs: Vec<_> = tabs.collect();
    eventually("the others wait", async || lines_with(&["waits for that of another tab"]).len() == TABS - 1).await;
    world.idp.behave(Endpoint::Code);
    for (tab, reply) in tabs.into_iter().enumerate() {
        assert_eq!(reply.await.unwrap().location().as_str(), format!("{ACCESS}/tab/{tab}"));
    }
    assert_eq!(world.idp.calls(Endpoint::Code), 1);
    world.clock.advance(EXPIRED);
    assert!(visitor.get("/").await.is_upstreams());
    assert_eq!((world.idp.calls(Endpoint::Refresh), world.idp.prompts()), (1, 1));
}

#[tokio::test]
async fn whoever_logs_in_as_another_user_in_a_second_tab_is_served_as_that_user() {
    for second in ["/two", "/oauth2/start?another=true&rd=/two"] {
        let world = World::start().await;
        let visitor = world.visitor();
        let (one, two) = (visitor.get("/one").await.location(), visitor.get(second).await.location());
        let ann = path_of(&world.idp.authorize(&one).await);
        assert_eq!(visitor.get(&ann).await.location().path(), "/one");
        assert_eq!(visitor.fetch("/oauth2/userinfo").await.json()["user"], "sub-ann");
        world.idp.log_in_as(user("bob"));
        world.idp.forget_browsers();
        let bob = path_of(&world.idp.authorize(&two).await);
        let page = visitor.browse(&world.idp, &bob).await;
        assert!(page.is_upstreams(), "{}", page.text());
        assert_eq!(visitor.fetch("/oauth2/userinfo").await.json()["user"], "sub-bob", "{second}");
    }
}

#[tokio::test]
async fn whoever_logs_in_as_another_user_while_the_first_tab_s_login_is_under_way_is_served_as_that_user() {
    // As if each came back long after the one before.
    let world = World::build().timed(|timings| timings.tabs_apart = Duration::ZERO).start().await;
    let visitor = world.visitor();
    let ann = at_provider(&world, &visitor, "/one").await;
    let two = visitor.get("/two").await.location();
    world.idp.misbehave(Endpoint::Code, Misbehaviour::HeldAnswer);
    let tab = |callback: String| {
        let tab = visitor.copy();
        tokio::spawn(
            async move { (tab.get(&callback).await.location(), tab.fetch("/oauth2/userinfo").await.json()["user"].clone()) },
        )
    };
    let first = tab(ann);
    eventually("the first code is presented", async || world.idp.calls(Endpoint::Code) == 1).await;
    world.idp.log_in_as(user("bob"));
    world.idp.forget_browsers();
    let second = tab(path_of(&world.idp.authorize(&two).await));
    eventually("the second waits", async || lines_with(&["waits for that of another tab"]).len() == 1).await;
    world.idp.behave(Endpoint::Code);
    for (tab, path, expected) in [(first, "/one", "sub-ann"), (second, "/two", "sub-bob")] {
        let (location, who) = tab.await.unwrap();
        assert_eq!((location.path(), who.as_str()), (path, Some(expected)));
    }
}

#[tokio::test]
async fn a_refusal_that_comes_back_twice_is_told_twice_and_asks_nobody_again() {
    let world = World::start().await;
    let visitor = world.visitor();
    let request = visitor.get("/").await.location();
    let state = request.query_pairs().find(|(name, _)| name == "state").map(|(_, state)| state.into_owned()).unwrap();
    let refusal = format!("/oauth2/callback?error=access_denied&state={state}&iss={}", world.idp.issuer());
    let (first, second) = (visitor.get(&refusal).await, visitor.get(&refusal).await);
    assert!(!first.status.is_redirection(), "{}", first.text());
    assert_eq!((second.status, second.header("evergate-response")), (first.status, first.header("evergate-response")));
}

#[tokio::test]
async fn a_second_tab_of_the_same_user_goes_on_with_the_session_of_the_first() {
    let world = World::start().await;
    let visitor = world.visitor();
    let (one, two) = (visitor.get("/one").await.location(), visitor.get("/two").await.location());
    world.clock.advance(Duration::from_secs(1));
    visitor.get(&path_of(&world.idp.authorize(&one).await)).await;
    let session = visitor.session();
    let page = visitor.browse(&world.idp, &path_of(&world.idp.authorize(&two).await)).await;
    assert!(page.is_upstreams());
    assert_eq!(visitor.session(), session, "what the first tab's page asks for now has its cookie");
}

#[tokio::test]
async fn however_the_returns_of_three_tabs_mix_each_gets_its_page() {
    let world = World::start().await;
    let visitor = world.visitor();
    // Opened at once, so that each has a binding of its own.
    let mut tabs = Vec::new();
    for path in ["/a", "/b", "/c"] {
        let fresh = world.visitor();
        let to_provider = fresh.get(path).await.location();
        fresh.cookies().iter().for_each(|(name, value)| visitor.set_cookie(name, value));
        tabs.push((path, to_provider));
    }
    let mut returning = Vec::new();
    for (path, to_provider) in tabs {
        returning.push((path, path_of(&world.idp.authorize(&to_provider).await)));
    }
    for _ in 0..3 {
        let mut later = Vec::new();
        for (path, callback) in returning {
            let next = visitor.get(&callback).await.location();
            match next.as_str().starts_with(world.idp.issuer()) {
                true => later.push((path, path_of(&world.idp.authorize(&next).await))),
                false => assert_eq!(next.as_str(), format!("{ACCESS}{path}")),
            }
        }
        returning = later;
    }
    assert!(returning.is_empty(), "{returning:?}");
}

#[tokio::test]
async fn a_client_that_leaves_ends_no_other_session_of_its_user() {
    // Where revoking one refresh token ends all.
    let world = World::build().set("oidc_preset", "auth0").start().await;
    let (stays, leaves) = (world.signed_in().await, world.visitor());
    let callback = at_provider(&world, &leaves, "/").await;
    let codes = world.idp.calls(Endpoint::Code);
    world.idp.misbehave(Endpoint::Code, Misbehaviour::HeldAnswer);
    let request = tokio::spawn(async move { leaves.get(&callback).await });
    eventually("the code is presented", async || world.idp.calls(Endpoint::Code) > codes).await;
    request.abort();
    let _cancelled = request.await;
    world.idp.behave(Endpoint::Code);
    eventually("its token is spared", async || world.command(&["sessions", "show", "sub-ann"]).await.1.contains("in_use")).await;
    world.clock.advance(EXPIRED);
    assert_eq!(stays.fetch("/").await.status, StatusCode::OK);
    assert!(world.idp.revoked().is_empty());
}

#[tokio::test]
async fn a_client_that_leaves_while_it_logs_in_costs_nobody_their_session() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = World::build().on(kind).set("oidc_preset", "dex").start_with(newest).await;
        let (stays, leaves) = (world.signed_in().await, world.visitor());
        let callback = at_provider(&world, &leaves, "/").await;
        let codes = world.idp.calls(Endpoint::Code);
        world.idp.misbehave(Endpoint::Code, Misbehaviour::HeldAnswer);
        let request = tokio::spawn({
            let leaves = leaves.clone();
            async move { leaves.get(&callback).await }
        });
        eventually("the code is presented", async || world.idp.calls(Endpoint::Code) > codes).await;
        request.abort();
        assert!(request.await.is_err_and(|error| error.is_cancelled()));
        world.idp.behave(Endpoint::Code);
        world.clock.advance(EXPIRED);
        eventually("its grant is the other browser's", async || stays.fetch("/").await.status == StatusCode::OK).await;
        assert!(leaves.session().is_none());
        eventually("and one session is left", async || {
            let (_, listed) = world.command(&["sessions", "list"]).await;
            listed.lines().filter(|line| line.contains("ann@")).count() == 1
        })
        .await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_its_login_is_saved_keeps_the_session_that_it_had() {
    for (kind, who) in [(Kind::Sqlite, "ann"), (Kind::Postgres, "ann"), (Kind::Sqlite, "bob"), (Kind::Postgres, "bob")] {
        let world = World::build().on(kind).start().await;
        let visitor = world.signed_in().await;
        world.idp.log_in_as(user(who));
        world.idp.forget_browsers();
        let callback = at_provider(&world, &visitor, "/oauth2/start?rd=/b").await;
        let (codes, infos) = (world.idp.calls(Endpoint::Code), world.idp.calls(Endpoint::Userinfo));
        world.idp.misbehave(Endpoint::Code, Misbehaviour::HeldAnswer);
        let request = tokio::spawn({
            let visitor = visitor.clone();
            async move { visitor.get(&callback).await }
        });
        eventually("the code is presented", async || world.idp.calls(Endpoint::Code) > codes).await;
        let lock = Lock::of(&world).await;
        world.idp.behave(Endpoint::Code);
        eventually("it is about to be saved", async || world.idp.calls(Endpoint::Userinfo) > infos && world.idp.at_once() == 0)
            .await;
        visitor.get("/oauth2/readyz").await;
        request.abort();
        assert!(request.await.is_err_and(|error| error.is_cancelled()));
        eventually("it has left", async || !lines_with(&["/oauth2/callback", "client_left"]).is_empty()).await;
        lock.release().await;
        eventually("its tokens are left over", async || {
            world.command(&["sessions", "show", &format!("sub-{who}")]).await.1.contains("client_left")
        })
        .await;
        assert_eq!(visitor.fetch("/oauth2/userinfo").await.json()["user"], "sub-ann", "{kind:?} {who}");
    }
}

#[tokio::test]
async fn the_tokens_of_a_client_that_leaves_while_it_logs_in_are_revoked() {
    let world = World::start().await;
    let visitor = world.visitor();
    let callback = at_provider(&world, &visitor, "/").await;
    world.idp.misbehave(Endpoint::Code, Misbehaviour::HeldAnswer);
    let request = tokio::spawn(async move { visitor.get(&callback).await });
    eventually("the code is presented", async || world.idp.calls(Endpoint::Code) == 1).await;
    request.abort();
    let _cancelled = request.await;
    world.idp.behave(Endpoint::Code);
    eventually("its refresh token is revoked", async || world.idp.revoked().len() == 1).await;
}
