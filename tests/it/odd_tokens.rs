//! Tokens and answers of all sorts: what nobody needs decides nothing, and what decides is checked.

use std::{io::Write, time::Duration};

use flate2::{Compression, write::GzEncoder};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use evergate::secret::random_text;

use crate::harness::{
    Kind, World,
    eventually::eventually,
    idp::{Endpoint, Misbehaviour, Pack, Signer},
    logs::lines_with,
};

const EXPIRED: Duration = Duration::from_secs(301);
const LONG_SECRET: &str = "a client secret of more than thirty-two bytes";

type Edit = fn(&mut Value);

async fn login_ends_with(world: &World) -> StatusCode {
    world.visitor().browse(&world.idp, "/").await.status
}

#[tokio::test]
async fn claims_that_nobody_needs_decide_nothing_at_login_or_renewal() {
    let world = World::start().await;
    let odd = json!({
        "updated_at": "2026-11-25T10:00:00.000Z", "acr": 1, "amr": "pwd", "address": "1 Main St", "preferred_username": 77,
        "phone_number_verified": "no", "auth_time": "never", "birthdate": 1970, "zoneinfo": [], "locale": {}, "c_hash": 1, "at_hash": "",
        "azp": null, "profile": "not an address", "picture": "", "nbf": null,
    });
    world.idp.edit_id_token(move |claims| claims.as_object_mut().unwrap().extend(odd.as_object().unwrap().clone()));
    world.idp.edit_userinfo(|claims| drop(claims.as_object_mut().unwrap().remove("preferred_username")));
    let visitor = world.signed_in().await;
    for _ in 0..2 {
        assert!(visitor.get("/").await.is_upstreams());
        let seen = world.upstream.last();
        assert_eq!(seen.header("x-forwarded-email"), Some("ann@example.com"));
        assert_eq!(seen.header("x-forwarded-preferred-username"), None, "of an unexpected type, so absent");
        assert_eq!(seen.header("x-evergate-renewed-at"), None);
        world.clock.advance(EXPIRED);
    }
}

#[tokio::test]
async fn a_name_that_no_index_can_hold_costs_no_login_and_no_history() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = World::build().on(kind).set("oidc_email_domain", "example.com").start().await;
        world.idp.edit_userinfo(|_| {});
        let log_in = async |edit: &Value| {
            let mut person = crate::harness::idp::user("ann");
            person.as_object_mut().unwrap().extend(edit.as_object().unwrap().clone());
            world.idp.log_in_as(person);
            world.visitor().browse(&world.idp, "/").await
        };
        let long = random_text::<3000>();
        // Denied by what nobody vouches for, which the history tells.
        let unverified = json!({"email": format!("{long}@other.example"), "email_verified": false});
        assert_eq!(log_in(&unverified).await.status, StatusCode::FORBIDDEN);
        for sid in [json!(long), json!("a\u{0}b"), json!("")] {
            assert!(log_in(&json!({"sid": sid, "preferred_username": long, "name": long})).await.is_upstreams(), "{sid}");
            assert_eq!(world.upstream.last().header("x-forwarded-preferred-username"), None);
        }
        assert_eq!(log_in(&json!({"sub": long})).await.status, StatusCode::FORBIDDEN);
        assert!(log_in(&json!({})).await.is_upstreams(), "and nobody else is kept out");
        eventually("everything is in the history", async || {
            let (_, told) = world.command(&["sessions", "show", "sub-ann"]).await;
            told.contains("denied") && told.matches("renewable").count() >= 4
        })
        .await;
    }
}

#[tokio::test]
async fn a_claim_that_stands_there_twice_counts_as_absent() {
    let world = World::build().set("oidc_group_field", "groups").set("oidc_allowed_groups", "admins").start().await;
    let twice =
        r#"{"sub":"sub-ann","email":"ann@example.com","email":"boss@example.com","groups":["staff"],"groups":["admins"]}"#;
    world.idp.misbehave(Endpoint::Userinfo, Misbehaviour::Answer(200, twice.to_owned(), vec![]));
    let refused = world.visitor().browse(&world.idp, "/").await;
    assert_eq!((refused.status, refused.header("evergate-response")), (StatusCode::FORBIDDEN, "access_denied"));
    let once = r#"{"sub":"sub-ann","email":"ann@example.com","email":"boss@example.com","groups":["admins"]}"#;
    world.idp.misbehave(Endpoint::Userinfo, Misbehaviour::Answer(200, once.to_owned(), vec![]));
    assert!(world.visitor().browse(&world.idp, "/").await.is_upstreams());
    assert_ne!(world.upstream.last().header("x-forwarded-email"), Some("boss@example.com"));
}

#[tokio::test]
async fn many_groups_are_all_told_to_the_app_and_said_to_be_many() {
    let world = World::build().set("oidc_group_field", "groups").start().await;
    world.idp.edit_userinfo(|claims| claims["groups"] = (0..800).map(|number| format!("group-{number:04}")).collect());
    assert!(world.visitor().browse(&world.idp, "/").await.is_upstreams());
    assert_eq!(world.upstream.last().header("x-forwarded-groups").unwrap().split(',').count(), 800);
    assert_eq!(lines_with(&[world.idp.issuer(), "is in so many groups"]).len(), 1);
}

#[tokio::test]
async fn people_and_groups_whose_names_differ_by_a_blank_are_not_one() {
    let world = World::build().set("oidc_group_field", "groups").set("oidc_allowed_groups", "staff, admin").start().await;
    world.idp.edit_userinfo(|_| {});
    let login = async |sub: &str, groups: Value| {
        let mut person = crate::harness::idp::user("ann");
        (person["sub"], person["groups"]) = (json!(sub), groups);
        world.idp.log_in_as(person);
        let visitor = world.visitor();
        visitor.browse(&world.idp, "/").await;
        visitor
    };
    let (plain, blank) = (login("ann", json!(["staff"])).await, login("ann ", json!(["staff", " admin"])).await);
    for _ in 0..2 {
        for (visitor, user, groups) in [(&plain, "ann", "staff"), (&blank, "ann%20", "staff,%20admin")] {
            assert!(visitor.get("/").await.is_upstreams(), "{user}");
            let seen = world.upstream.last();
            assert_eq!((seen.header("x-forwarded-user"), seen.header("x-forwarded-groups")), (Some(user), Some(groups)));
        }
        world.clock.advance(EXPIRED);
    }
    let outsider = login("eve", json!([" admin"])).await;
    assert_eq!(outsider.get("/").await.status, StatusCode::SEE_OTHER, "whose group is another one");
}

#[tokio::test]
async fn a_slow_login_s_access_token_is_not_believed_for_longer_than_it_lives() {
    let world = World::start().await;
    let clock = world.clock.clone();
    world.idp.access_tokens_live(Some(json!(60)));
    world.idp.edit_userinfo(move |_| clock.advance(Duration::from_secs(40)));
    let visitor = world.visitor();
    visitor.log_in(&world.idp, "/").await;
    world.idp.edit_userinfo(|_| {});
    let told = visitor.fetch("/oauth2/userinfo").await.json();
    let left = told["accessTokenExpiresAt"].as_i64().unwrap() - world.clock.now().seconds();
    assert!(left <= 20 || told["renewals"].as_i64() > Some(0), "{told}");
}

#[tokio::test]
async fn every_algorithm_with_a_public_key_is_accepted_at_login_and_renewal() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    for algorithm in ["RS256", "PS256", "ES384", "ES512", "EdDSA"] {
        world.idp.change_algorithm(algorithm);
        world.clock.advance(EXPIRED);
        assert!(visitor.get("/").await.is_upstreams(), "{algorithm}");
        assert_eq!(world.upstream.last().header("x-evergate-renewed-at"), None, "{algorithm}");
        assert_eq!(login_ends_with(&world).await, StatusCode::OK, "{algorithm}");
    }
}

#[tokio::test]
async fn a_shared_secret_signs_where_the_metadata_list_it_and_it_is_long_enough() {
    let cases = [
        (LONG_SECRET, json!(["RS256", "HS256"]), StatusCode::OK),
        (LONG_SECRET, json!(["RS256"]), StatusCode::FORBIDDEN),
        (LONG_SECRET, json!(null), StatusCode::FORBIDDEN),
        ("short", json!(["RS256", "HS256"]), StatusCode::FORBIDDEN),
    ];
    for (secret, listed, expected) in cases {
        let world = World::build()
            .set("oidc_client_secret", secret)
            .start_with(|idp| {
                idp.change_secret(secret);
                idp.set_metadata(json!({"id_token_signing_alg_values_supported": listed.clone()}));
                idp.sign_with(Signer::with_secret(secret), &[]);
            })
            .await;
        assert_eq!(login_ends_with(&world).await, expected, "{secret} {listed}");
    }
}

#[tokio::test]
async fn a_token_signed_with_a_key_of_the_set_as_secret_makes_no_session() {
    let public = Signer::generate("RS256", "a").jwk();
    let world = World::build()
        .set("oidc_client_secret", LONG_SECRET)
        .start_with(|idp| {
            idp.change_secret(LONG_SECRET);
            idp.set_metadata(json!({"id_token_signing_alg_values_supported": ["RS256", "HS256"]}));
            let published = [public.clone(), json!({"kty": "oct", "k": "AAAA", "kid": "b"})];
            idp.sign_with(Signer::with_secret(public["n"].as_str().unwrap()), &published);
        })
        .await;
    assert_eq!(login_ends_with(&world).await, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn what_decides_is_checked_at_login() {
    let world = World::start().await;
    let edits: [(&str, Edit); 8] = [
        ("an nbf that is no time", |claims| claims["nbf"] = json!("later")),
        ("an azp that is a list", |claims| claims["azp"] = json!(["other"])),
        ("an azp that is a number", |claims| claims["azp"] = json!(7)),
        ("an at_hash that is a number", |claims| claims["at_hash"] = json!(7)),
        ("nbf", |claims| claims["nbf"] = json!(claims["iat"].as_i64().unwrap() + 3600)),
        ("at_hash", |claims| claims["at_hash"] = json!("AAAAAAAAAAAAAAAAAAAAAA")),
        ("azp", |claims| claims["azp"] = json!("other")),
        ("exp", |claims| claims["exp"] = json!("soon")),
    ];
    for (what, edit) in edits {
        world.idp.edit_id_token(edit);
        assert_eq!(login_ends_with(&world).await, StatusCode::FORBIDDEN, "{what}");
    }
    world.idp.edit_id_token(|_| {});
    world.idp.edit_payload(|payload| payload.replacen('{', r#"{"sub":"sub-admin","#, 1));
    assert_eq!(login_ends_with(&world).await, StatusCode::FORBIDDEN, "two subs");
    world.idp.edit_payload(|payload| payload.replacen('{', r#"{"address":1,"address":2,"#, 1));
    assert_eq!(login_ends_with(&world).await, StatusCode::OK, "two of what nobody needs");
}

fn gzip(body: &[u8]) -> (Vec<u8>, Option<&'static str>) {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    (encoder.finish().unwrap(), Some("gzip"))
}

fn marked(body: &[u8]) -> (Vec<u8>, Option<&'static str>) {
    ([b"\xef\xbb\xbf", body].concat(), None)
}

#[tokio::test]
async fn an_answer_is_read_however_it_is_written_and_spends_no_refresh_token_in_vain() {
    let world = World::start().await;
    let packs: [(&str, Option<Pack>); 3] = [("gzip", Some(gzip)), ("a BOM", Some(marked)), ("an empty error", None)];
    for (what, pack) in packs {
        world.idp.pack(pack);
        world.idp.edit_answer(|answer| {
            answer["error"] = json!("");
            answer["token_type"] = json!(" BEARER ");
        });
        let visitor = world.signed_in().await;
        world.clock.advance(EXPIRED);
        assert!(visitor.get("/").await.is_upstreams(), "{what}");
        assert_eq!(world.upstream.last().header("x-evergate-renewed-at"), None, "{what}");
    }
}

#[tokio::test]
async fn signed_user_info_is_verified_and_read() {
    let world = World::start().await;
    world.idp.edit_id_token(|claims| drop(claims.as_object_mut().unwrap().remove("groups")));
    world.idp.sign_userinfo(true);
    let visitor = world.signed_in().await;
    for _ in 0..2 {
        assert!(visitor.get("/").await.is_upstreams());
        assert_eq!(world.upstream.last().header("x-forwarded-groups"), Some("staff"));
        world.clock.advance(EXPIRED);
    }
    for (what, edit) in [
        ("another issuer", (|claims| claims["iss"] = json!("https://evil.example")) as Edit),
        ("another audience", |claims| claims["aud"] = json!("other")),
        ("another sub", |claims| claims["sub"] = json!("sub-bob")),
    ] {
        world.idp.edit_userinfo(edit);
        assert_ne!(login_ends_with(&world).await, StatusCode::OK, "{what}");
    }
    world.idp.edit_userinfo(|_| {});
    world.idp.edit_header(|_| {});
    world.idp.misbehave(Endpoint::Userinfo, Misbehaviour::Answer(200, "eyJhbGciOiJub25lIn0.e30.".to_owned(), vec![]));
    assert_eq!(login_ends_with(&world).await, StatusCode::BAD_GATEWAY);
    assert!(!lines_with(&["user info is unusable: it is a signed answer, and its algorithm none is not accepted"]).is_empty());
}

#[tokio::test]
async fn the_log_says_which_call_was_refused_with_which_status() {
    let world = World::start().await;
    world.idp.misbehave(Endpoint::Userinfo, Misbehaviour::Answer(403, String::new(), vec![]));
    assert_eq!(login_ends_with(&world).await, StatusCode::BAD_GATEWAY);
    assert!(!lines_with(&["user info was refused with status 403"]).is_empty());
}

#[tokio::test]
async fn null_and_empty_claims_of_user_info_take_nothing_away() {
    let world = World::start().await;
    world.idp.edit_userinfo(|claims| {
        *claims = json!({"sub": claims["sub"], "email": null, "email_verified": null, "groups": null, "preferred_username": ""});
    });
    let visitor = world.signed_in().await;
    assert!(visitor.get("/").await.is_upstreams());
    let seen = world.upstream.last();
    assert_eq!(seen.header("x-forwarded-email"), Some("ann@example.com"));
    assert_eq!(seen.header("x-forwarded-groups"), Some("staff"));
    assert_eq!(seen.header("x-forwarded-preferred-username"), Some("ann"));
}

#[tokio::test]
async fn an_address_is_verified_by_the_document_that_it_stands_in() {
    let world = World::build().set("oidc_email_domain", "example.com,corp.example").start().await;
    world.idp.edit_userinfo(|claims| *claims = json!({"sub": claims["sub"], "email": "boss@corp.example"}));
    let visitor = world.visitor();
    let reply = visitor.browse(&world.idp, "/").await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN, "nobody vouches for it");
    world.idp.edit_userinfo(|claims| {
        *claims = json!({"sub": claims["sub"], "email": "boss@corp.example", "email_verified": true});
    });
    assert_eq!(login_ends_with(&world).await, StatusCode::OK);
}

const FORM: [(&str, &str); 1] = [("content-type", "application/x-www-form-urlencoded")];

async fn announce(world: &World, token: &str) -> StatusCode {
    world.visitor().send(Method::POST, "/oauth2/backchannel_logout", &FORM, &format!("logout_token={token}")).await.status
}

/// Ory Hydra's.
#[tokio::test]
async fn a_fresh_logout_token_without_exp_logs_out_once() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    let now = world.clock.now().seconds();
    let old = world.idp.logout_token(json!({"exp": null, "iat": now - 181}), json!({}));
    assert_eq!(announce(&world, &old).await, StatusCode::BAD_REQUEST);
    assert!(visitor.get("/").await.is_upstreams());
    let fresh = world.idp.logout_token(json!({"exp": null}), json!({}));
    assert_eq!(announce(&world, &fresh).await, StatusCode::OK);
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
    let visitor = world.signed_in().await;
    assert_eq!(announce(&world, &fresh).await, StatusCode::OK);
    assert!(visitor.get("/").await.is_upstreams(), "it is remembered, and does nothing when it comes again");
}

#[tokio::test]
async fn a_logout_token_is_signed_as_the_provider_s_id_tokens_are() {
    let world = World::start().await;
    let (rs256, es256) = (Signer::generate("RS256", "r"), Signer::generate("ES256", "e"));
    let published = [rs256.jwk(), es256.jwk()];
    world.idp.sign_with(rs256, &published);
    let visitor = world.signed_in().await;
    world.idp.sign_with(es256, &published);
    assert_eq!(announce(&world, &world.idp.logout_token(json!({}), json!({}))).await, StatusCode::BAD_REQUEST);
    assert!(visitor.get("/").await.is_upstreams());
    assert!(!lines_with(&["a logout token was refused", "its algorithm ES256 is not accepted"]).is_empty());
    assert!(lines_with(&["a logout token was refused", "ID token"]).is_empty());
    // The provider's ID tokens are ES256 from now on, and so are its logout tokens.
    world.signed_in().await;
    assert_eq!(announce(&world, &world.idp.logout_token(json!({}), json!({}))).await, StatusCode::OK);
    assert_eq!(visitor.fetch("/").await.status, StatusCode::UNAUTHORIZED);
}

/// Half of a surrogate pair, Latin-1, and a number that no computer holds.
#[tokio::test]
async fn what_cannot_be_read_and_nobody_needs_keeps_nobody_out() {
    const ODD: &str = r#""half":"\ud83d","big":1e400,"nested":{"a":["\udc00"]}"#;
    let world = World::build()
        .start_with(|idp| {
            let at = |path: &str| format!("{}/{path}", idp.issuer());
            let (issuer, authorize, token, keys, userinfo) =
                (idp.issuer(), at("authorize"), at("token"), at("jwks"), at("userinfo"));
            let metadata = format!(
                r#"{{{ODD},"issuer":"{issuer}","authorization_endpoint":"{authorize}","token_endpoint":"{token}",
                "jwks_uri":"{keys}","userinfo_endpoint":"{userinfo}","response_types_supported":["code"],
                "scopes_supported":["openid","email","offline_access"]}}"#
            );
            idp.misbehave(Endpoint::Discovery, Misbehaviour::Answer(200, metadata, vec![]));
            let key = idp.published()[0].to_string().replacen('{', &format!("{{{ODD},"), 1);
            let keys = format!(r#"{{{ODD},"keys":[{{"kty":"EC","kid":"\ud83d","crv":"P-256"}},{key}]}}"#);
            idp.misbehave(Endpoint::Jwks, Misbehaviour::Answer(200, keys, vec![]));
            let userinfo = format!(r#"{{{ODD},"sub":"sub-ann","email":"ann@example.com","email_verified":true}}"#);
            idp.misbehave(Endpoint::Userinfo, Misbehaviour::Answer(200, userinfo, vec![]));
            idp.edit_payload(|payload| payload.replacen('{', &format!("{{{ODD},"), 1));
        })
        .await;
    let visitor = world.signed_in().await;
    for _ in 0..2 {
        assert!(visitor.get("/").await.is_upstreams());
        let seen = world.upstream.last();
        assert_eq!((seen.header("x-forwarded-email"), seen.header("x-evergate-renewed-at")), (Some("ann@example.com"), None));
        world.clock.advance(EXPIRED);
    }
    assert_eq!(announce_logout(&world).await, StatusCode::OK);
    // What decides must be readable.
    world.idp.edit_payload(|payload| payload.replacen('{', r#"{"azp":"\ud83d","#, 1));
    assert_eq!(login_ends_with(&world).await, StatusCode::FORBIDDEN);
}

async fn announce_logout(world: &World) -> StatusCode {
    let body = format!("logout_token={}", world.idp.logout_token(json!({}), json!({})));
    let form = [("content-type", "application/x-www-form-urlencoded")];
    world.visitor().send(Method::POST, "/oauth2/backchannel_logout", &form, &body).await.status
}
