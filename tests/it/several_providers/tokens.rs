//! Bearer tokens: each goes to its own provider alone.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;

use super::{Both, EXPIRED};
use crate::{
    administration::{token, told},
    app_tokens::job::{Job, SECRET, request_of, token as given},
    harness::{
        Kind, World,
        eventually::eventually,
        idp::{Endpoint, Misbehaviour},
        visitor::Reply,
    },
};

const ROUTES: &str = "[[route]]\npath = \"/any\"\nbearer_tokens = [\"provider\", \"personal\"]\nbearer_clients = [\"cli\"]\n\n\
    [[route]]\npath = \"/staff\"\nproviders = [\"default\"]\nbearer_tokens = [\"provider\", \"personal\"]\nbearer_clients = [\"cli\"]\n\n\
    [[route]]\npath = \"/partners\"\nproviders = [\"partners\"]\nbearer_tokens = [\"provider\", \"personal\"]\nbearer_clients = [\"cli\"]\n\n";

async fn ask(both: &Both, path: &str, token: &str) -> Reply {
    let authorization = format!("Bearer {token}");
    both.world.visitor().send(Method::GET, path, &[("authorization", &authorization)], "").await
}

#[tokio::test]
async fn a_signed_token_is_verified_by_the_provider_that_it_names() {
    let both = Both::with("", ROUTES).await;
    let ours = both.world.idp.signed_access_token("x", json!({}), json!({}));
    let theirs = both.partners.signed_access_token("x", json!({}), json!({}));
    for (token, staff, partners) in [(&ours, true, false), (&theirs, false, true)] {
        assert!(ask(&both, "/any", token).await.is_upstreams());
        for (path, passes) in [("/staff", staff), ("/partners", partners)] {
            let reply = ask(&both, path, token).await;
            assert_eq!(reply.is_upstreams(), passes, "{path} {}", reply.text());
            assert!(passes || reply.status == StatusCode::UNAUTHORIZED);
        }
    }
    let forged = both.partners.signed_access_token("x", json!({"iss": both.world.idp.issuer()}), json!({}));
    for path in ["/any", "/staff", "/partners"] {
        // Until keys may be fetched again, a token that newer ones might verify is put off.
        both.world.clock.advance(Duration::from_secs(11));
        assert_eq!(ask(&both, path, &forged).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn an_opaque_token_goes_to_no_provider_but_the_only_one_of_its_route() {
    let both = Both::prepared(World::build(), "", ROUTES, |ours, theirs| {
        for idp in [ours, theirs] {
            idp.introspect(true);
        }
    })
    .await;
    let told = |sub: &str| json!({"active": true, "sub": sub, "client_id": "cli", "token_type": "Bearer"});
    both.world.idp.tell_of("opaque-1", told("ann"));
    both.partners.tell_of("opaque-1", told("eve"));
    assert_eq!(ask(&both, "/any", "opaque-1").await.status, StatusCode::UNAUTHORIZED, "nobody knows whose it is");
    assert_eq!((both.world.idp.calls(Endpoint::Introspection), both.partners.calls(Endpoint::Introspection)), (0, 0));
    assert!(ask(&both, "/partners", "opaque-1").await.is_upstreams());
    assert_eq!(both.world.upstream.last().header("x-forwarded-user"), Some("eve"));
    assert_eq!(both.world.idp.calls(Endpoint::Introspection), 0);
    assert!(ask(&both, "/staff", "opaque-1").await.is_upstreams());
    assert_eq!(both.world.upstream.last().header("x-forwarded-user"), Some("ann"), "what one says is no word of the other's");
}

#[tokio::test]
async fn metadata_of_a_route_name_the_issuers_of_its_providers() {
    let both = Both::with("", ROUTES).await;
    let (ours, theirs) = (both.world.idp.issuer(), both.partners.issuer());
    for (path, expected) in [("/any", vec![ours, theirs]), ("/staff", vec![ours]), ("/partners", vec![theirs])] {
        let metadata = both.world.visitor().fetch(&format!("/.well-known/oauth-protected-resource{path}")).await.json();
        assert_eq!(metadata["authorization_servers"], json!(expected), "{path}");
    }
}

#[tokio::test]
async fn what_is_ended_at_one_provider_leaves_a_token_of_the_other_s_user() {
    let both = Both::with("", ROUTES).await;
    let theirs = both.of_partners().await;
    let their_token = told(&token(&theirs, "").await);
    for whose in ["--all", "sub-ann"] {
        let ours = both.of_default().await;
        let our_token = told(&token(&ours, "").await);
        let (code, said) = both.world.command(&["sessions", "revoke", whose, "--issuer", both.world.idp.issuer()]).await;
        assert_eq!((code, said.matches("ended session").count()), (0, 2), "{whose}: {said}");
        eventually("ours is refused", async || ask(&both, "/any", &our_token).await.status == StatusCode::UNAUTHORIZED).await;
        assert!(ask(&both, "/any", &their_token).await.is_upstreams(), "{whose}: {said}");
        assert!(theirs.get("/any").await.is_upstreams(), "{whose}: {said}");
    }
}

/// The same subject at another provider is somebody else.
#[tokio::test]
async fn a_job_that_names_a_provider_s_user_waits_for_no_session_at_another_provider() {
    let jobs =
        World::build().set("app_token_address", "127.0.0.1:0").set("app_token_secret", SECRET).set("app_token_by_user", "true");
    let both = Both::of(jobs, "", "").await;
    let _ours = both.of_default().await;
    let job = Job::of(&both.world, 0);
    let asked = async |issuer: &str| {
        let target = format!("/oauth2/token?subject=sub-ann&issuer={issuer}");
        job.send(Method::GET, &target, &job.usual_headers()).await
    };
    let first = given(&asked(both.world.idp.issuer()).await);
    assert_eq!(asked(both.partners.issuer()).await.status, StatusCode::NOT_FOUND);
    // As many as are looked at, and newer ones.
    both.world.clock.advance(EXPIRED);
    for _ in 0..32 {
        both.of_partners().await;
    }
    both.world.clock.advance(EXPIRED);
    both.partners.misbehave(Endpoint::Refresh, Misbehaviour::Answer(503, "away".to_owned(), vec![]));
    let refreshed = both.partners.calls(Endpoint::Refresh);
    let second = asked(both.world.idp.issuer()).await;
    assert_eq!(second.status, StatusCode::OK, "{}", second.text());
    assert_ne!(given(&second), first, "it was refreshed");
    assert_eq!(both.partners.calls(Endpoint::Refresh), refreshed, "nobody else's was");
    assert_eq!(asked(both.partners.issuer()).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

/// What a server lacks that takes no writes may be there, and all providers but one lack a session.
#[tokio::test]
async fn a_job_s_session_is_found_on_a_standby_whichever_provider_it_is_of() {
    const ROUTE: &str = "[[route]]\npath = \"/jobs\"\nassertion = true\napp_tokens = true\npass_access_token = true\n";
    let jobs = World::build().on(Kind::Postgres).set("app_token_address", "127.0.0.1:0").set("app_token_secret", SECRET);
    let both = Both::of(jobs, "", ROUTE).await;
    let (world, job) = (&both.world, Job::of(&both.world, 0));
    let ours = request_of(world, &both.of_default().await, "/jobs").await;
    let theirs = request_of(world, &both.of_partners().await, "/jobs").await;
    world.set_store_read_only(true, true).await;
    eventually("the store takes no writes", async || world.visitor().get("/oauth2/readyz").await.json()["store"] == "read_only")
        .await;
    for (assertion, forwarded) in [ours, theirs] {
        eventually("its session is found", async || job.by_session(&assertion, "").await.status == StatusCode::OK).await;
        assert_eq!(given(&job.by_session(&assertion, "").await), forwarded);
    }
    world.set_store_read_only(false, false).await;
}
