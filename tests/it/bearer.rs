//! API clients: bearer tokens of the provider, on routes that take them.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::harness::{
    ACCESS, World,
    eventually::eventually,
    idp::{Endpoint, Idp, Misbehaviour, Signer},
    visitor::{Reply, Visitor},
};

const ROUTES: &str = r#"
    [[route]]
    path = "/api"
    bearer_tokens = ["provider"]
    pass_access_token = true
    assertion = true

    [[route]]
    path = "/scoped"
    bearer_tokens = ["provider"]
    bearer_audiences = ["https://api.example", "other"]
    bearer_scopes = ["write", "admin"]

    [[route]]
    path = "/clients"
    bearer_tokens = ["provider"]
    bearer_clients = ["cli", "ci"]
    bearer_pass = true

    [[route]]
    path = "/staff"
    bearer_tokens = ["provider"]
    groups = ["staff"]

    [[route]]
    path = "/optional"
    rule = "optional"
    bearer_tokens = ["provider"]
"#;

fn world() -> crate::harness::Builder {
    World::build().set("oidc_group_field", "groups").routes(|_| ROUTES.to_owned())
}

async fn call(visitor: &Visitor, path: &str, token: &str) -> Reply {
    visitor.send(Method::GET, path, &[("authorization", &format!("Bearer {token}"))], "").await
}

fn api() -> String {
    format!("{ACCESS}/api")
}

/// A good token for `/api`, but for these claims.
fn token(idp: &Idp, claims: Value) -> String {
    idp.signed_access_token(&api(), claims, json!({}))
}

#[tokio::test]
async fn a_signed_token_for_the_route_is_its_user_s_and_one_that_is_not_good_is_refused() {
    let world = world().start().await;
    let (idp, client) = (&world.idp, world.visitor());
    let now = world.clock.now().seconds();
    for (what, claims, header) in [
        ("the usual", json!({}), json!({})),
        ("of several audiences", json!({"aud": ["account", api()]}), json!({})),
        ("the route's URL with a slash", json!({"aud": format!("{}/", api())}), json!({})),
        ("typ JWT", json!({}), json!({"typ": "JWT"})),
        ("no typ", json!({}), json!({"typ": null})),
        ("the whole media type", json!({}), json!({"typ": "application/AT+JWT"})),
        ("Keycloak's", json!({"typ": "Bearer", "nonce": "n", "azp": "cli", "client_id": null}), json!({"typ": "JWT"})),
        ("of a clock that is ahead", json!({"iat": now + 30, "nbf": now + 30}), json!({})),
        ("no iat", json!({"iat": null}), json!({})),
        (
            "Entra's of a client that acts for itself",
            json!({"scope": null, "client_id": null, "azp": "cli", "azpacr": "1", "roles": ["x"]}),
            json!({"typ": "JWT"}),
        ),
    ] {
        let reply = call(&client, "/api/x", &idp.signed_access_token(&api(), claims, header)).await;
        assert!(reply.is_upstreams(), "{what}: {} {}", reply.status, reply.text());
        assert_eq!(world.upstream.last().header("x-forwarded-email"), Some("ann@example.com"), "{what}");
    }
    let seen = world.upstream.requests().len();
    for (what, claims, header) in [
        ("for another resource", json!({"aud": format!("{ACCESS}/other")}), json!({})),
        ("for the login's client", json!({"aud": "gateway"}), json!({})),
        ("of an issuer that begins alike", json!({"iss": format!("{}/x", idp.issuer())}), json!({})),
        ("of no issuer", json!({"iss": null}), json!({})),
        ("expired", json!({"exp": now}), json!({})),
        ("without an end", json!({"exp": null}), json!({})),
        ("with an end that is no time", json!({"exp": "never"}), json!({})),
        ("not good yet", json!({"nbf": now + 120}), json!({})),
        ("issued in the future", json!({"iat": now + 120}), json!({})),
        ("without a subject or a client", json!({"sub": null, "client_id": null}), json!({})),
        ("an ID token with a nonce", json!({"nonce": "n"}), json!({"typ": "JWT"})),
        ("an ID token that has neither", json!({"scope": null, "client_id": null, "azp": "cli"}), json!({"typ": "JWT"})),
        (
            "Entra's refreshed ID token",
            json!({"scope": null, "client_id": null, "azp": "cli", "roles": ["x"]}),
            json!({"typ": "JWT"}),
        ),
        ("an ID token with a hash", json!({"at_hash": "h"}), json!({"typ": "at+jwt"})),
        ("Keycloak's ID token", json!({"typ": "ID"}), json!({"typ": "JWT"})),
        ("Keycloak's offline token", json!({"typ": "Offline"}), json!({"typ": "JWT"})),
        ("Cognito's ID token", json!({"token_use": "id"}), json!({"typ": "JWT"})),
        ("a logout token", json!({"events": {}}), json!({"typ": "logout+jwt"})),
        ("a security event", json!({"events": {}}), json!({"typ": "JWT"})),
        ("a client's assertion", json!({}), json!({"typ": "client-authentication+jwt"})),
        ("a proof of possession", json!({}), json!({"typ": "dpop+jwt"})),
        ("bound to a key", json!({"cnf": {"jkt": "x"}}), json!({})),
        ("with an unknown extension", json!({}), json!({"crit": ["x"]})),
        ("unsigned", json!({}), json!({"alg": "none"})),
    ] {
        let reply = call(&client, "/api/x", &idp.signed_access_token(&api(), claims, header)).await;
        assert_eq!((reply.status, &reply.json()["error"]), (StatusCode::UNAUTHORIZED, &json!("invalid_token")), "{what}");
        let challenge = reply.header("www-authenticate");
        assert!(challenge.starts_with("Bearer ") && challenge.contains("error=\"invalid_token\""), "{what}: {challenge}");
    }
    let stranger = Signer::generate("RS256", "stranger");
    let claims = json!({"iss": idp.issuer(), "sub": "sub-ann", "aud": api(), "exp": now + 300, "iat": now});
    for (what, header) in [("a key of nobody's", json!({"alg": "RS256", "kid": "stranger"})), ("no key", json!({"alg": "RS256"}))]
    {
        let reply = call(&client, "/api", &stranger.sign_with_header(&header, &claims)).await;
        assert!(matches!(reply.status, StatusCode::UNAUTHORIZED | StatusCode::SERVICE_UNAVAILABLE), "{what}: {}", reply.status);
    }
    let by_secret = Signer::with_secret(crate::harness::idp::CLIENT_SECRET);
    let reply = call(&client, "/api", &by_secret.sign_with_header(&json!({"alg": "HS256"}), &claims)).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "the client's secret signs no access token");
    for name in ["a", "b", "c"] {
        let forged = Signer::forged(&token(idp, json!({"jti": name})));
        assert_eq!(call(&client, "/api", &forged).await.status, StatusCode::UNAUTHORIZED, "nobody is to send it again");
    }
    assert_eq!(world.upstream.requests().len(), seen, "no app sees any of them");
}

#[tokio::test]
async fn a_token_ends_at_its_exp_though_it_was_verified_before() {
    let world = world().start().await;
    let client = world.visitor();
    let token = token(&world.idp, json!({"exp": world.clock.now().seconds() + 40}));
    assert!(call(&client, "/api", &token).await.is_upstreams());
    world.clock.advance(Duration::from_secs(39));
    assert!(call(&client, "/api", &token).await.is_upstreams());
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(call(&client, "/api", &token).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_signature_is_verified_once_a_minute_so_that_a_key_that_is_withdrawn_signs_nothing_for_longer() {
    let world = world().start().await;
    let client = world.visitor();
    let long = json!({"exp": world.clock.now().seconds() + 3600});
    let old = token(&world.idp, long.clone());
    assert!(call(&client, "/api", &old).await.is_upstreams());
    world.clock.advance(Duration::from_secs(11));
    world.idp.rotate_keys(true);
    assert!(call(&client, "/api", &token(&world.idp, long)).await.is_upstreams(), "the new key is fetched");
    assert!(call(&client, "/api", &old).await.is_upstreams());
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(call(&client, "/api", &old).await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_token_authenticates_nobody_on_a_route_that_takes_none() {
    let world = world().start().await;
    let client = world.visitor();
    let token = world.idp.signed_access_token(ACCESS, json!({}), json!({}));
    let reply = call(&client, "/", &token).await;
    assert_eq!((reply.status, &reply.json()["error"]), (StatusCode::UNAUTHORIZED, &json!("sign_in_required")));
    assert!(!reply.header("www-authenticate").contains("Bearer"), "nor is one asked for");
    assert_eq!(call(&client, "/oauth2/userinfo", &token).await.status, StatusCode::UNAUTHORIZED);
    let ann = world.signed_in().await;
    assert!(call(&ann, "/", "the-app's-own").await.is_upstreams(), "there the header is the app's");
    assert_eq!(world.upstream.last().header("authorization"), Some("Bearer the-app's-own"));
}

#[tokio::test]
async fn the_token_decides_and_not_the_session_beside_it_and_a_request_without_one_is_told_how() {
    let world = world().start().await;
    let ann = world.signed_in().await;
    assert_eq!(call(&ann, "/api", "nobody-s").await.status, StatusCode::UNAUTHORIZED);
    assert!(ann.fetch("/api").await.is_upstreams(), "without one, it is the session's");
    let bob = token(&world.idp, json!({"sub": "sub-bob", "email": "bob@example.com"}));
    assert!(call(&ann, "/api", &bob).await.is_upstreams());
    assert_eq!(world.upstream.last().header("x-forwarded-email"), Some("bob@example.com"));
    assert_eq!(world.upstream.last().header("cookie"), None);
    let told = world.visitor().fetch("/scoped").await;
    assert_eq!(told.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        told.header("www-authenticate"),
        format!(
            "Bearer realm=\"Evergate\", resource_metadata=\"{ACCESS}/.well-known/oauth-protected-resource/scoped\", scope=\"write admin\""
        )
    );
    let page = world.visitor().get("/api").await;
    assert_eq!(page.status, StatusCode::SEE_OTHER, "a person's browser is sent to a login as anywhere");
    for (what, lines) in [
        ("two tokens", &[("authorization", "Bearer a"), ("authorization", "Bearer b")][..]),
        ("a token after a password", &[("authorization", "Basic YTpi"), ("authorization", "Bearer b")]),
        ("an empty token", &[("authorization", "Bearer ")]),
        ("odd characters", &[("authorization", "Bearer a b")]),
    ] {
        let reply = ann.send(Method::GET, "/api", lines, "").await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{what}");
    }
    let anonymous = world.visitor().fetch("/optional").await;
    assert!(anonymous.is_upstreams());
    assert_eq!(call(&world.visitor(), "/optional", "nobody-s").await.status, StatusCode::UNAUTHORIZED, "a bad one is told so");
}

#[tokio::test]
async fn the_rules_for_users_and_of_the_route_hold_for_tokens_too() {
    let world = world().set("oidc_email_domain", "example.com").start().await;
    let client = world.visitor();
    let staff = |claims: Value| world.idp.signed_access_token(&format!("{ACCESS}/staff"), claims, json!({}));
    assert!(call(&client, "/staff", &staff(json!({}))).await.is_upstreams());
    for (reason, claims) in [
        ("group", json!({"groups": ["others"]})),
        ("group", json!({"groups": null})),
        ("email_domain", json!({"email": "ann@other.example"})),
        ("email_domain", json!({"email": null})),
        ("email_not_verified", json!({"email_verified": false})),
    ] {
        let reply = call(&client, "/staff", &staff(claims)).await;
        assert_eq!((reply.status, &reply.json()["reason"]), (StatusCode::FORBIDDEN, &json!(reason)));
    }
    let scoped = |claims: Value| world.idp.signed_access_token("https://api.example", claims, json!({}));
    for scopes in [json!({"scope": "admin read write"}), json!({"scope": null, "scp": ["write", "admin"]})] {
        assert!(call(&client, "/scoped", &scoped(scopes)).await.is_upstreams());
    }
    for scopes in [json!({"scope": "write"}), json!({"scope": ["write admin"]}), json!({"scope": null})] {
        let reply = call(&client, "/scoped", &scoped(scopes)).await;
        assert_eq!((reply.status, &reply.json()["error"]), (StatusCode::FORBIDDEN, &json!("insufficient_scope")));
        assert!(reply.header("www-authenticate").ends_with("scope=\"write admin\""), "{}", reply.header("www-authenticate"));
    }
    for (client_claims, status) in [
        (json!({"aud": null}), StatusCode::OK),
        (json!({"client_id": null, "azp": "ci"}), StatusCode::OK),
        (json!({"client_id": "other", "azp": "cli"}), StatusCode::UNAUTHORIZED),
        (json!({"client_id": null}), StatusCode::UNAUTHORIZED),
    ] {
        let token = world.idp.signed_access_token("account", client_claims.clone(), json!({}));
        assert_eq!(call(&client, "/clients", &token).await.status, status, "{client_claims}");
    }
}

#[tokio::test]
async fn the_app_is_told_who_it_is_and_gets_the_token_where_the_route_says_so() {
    let world = world().start().await;
    let client = world.visitor();
    let good = token(&world.idp, json!({}));
    assert!(call(&client, "/api", &good).await.is_upstreams());
    let seen = world.upstream.last();
    assert_eq!(seen.header("authorization"), None, "an app need not be trusted with it");
    assert_eq!(seen.header("x-forwarded-access-token"), Some(good.as_str()));
    assert_eq!(seen.header("x-forwarded-groups"), Some("staff"));
    assert_eq!(seen.header("x-evergate-assertion").unwrap().split('.').count(), 3);
    let of_client = world.idp.signed_access_token("account", json!({}), json!({}));
    assert!(call(&client, "/clients", &of_client).await.is_upstreams());
    let seen = world.upstream.last();
    assert_eq!(seen.header("authorization"), Some(format!("Bearer {of_client}").as_str()));
    assert_eq!(seen.header("x-forwarded-access-token"), None);
    let spoofed = format!("Bearer {good}");
    let reply = client.send(Method::GET, "/api", &[("authorization", &spoofed), ("x-forwarded-user", "admin")], "").await;
    assert!(reply.is_upstreams());
    assert_ne!(world.upstream.last().header("x-forwarded-user"), Some("admin"));
}

#[tokio::test]
async fn an_opaque_token_is_asked_about_once_for_a_while_and_never_beyond_its_end() {
    let world = world().start_with(|idp| idp.introspect(true)).await;
    let (idp, client) = (&world.idp, world.visitor());
    let told = |more: Value| {
        let mut told = json!({
            "active": true, "sub": "sub-ann", "email": "ann@example.com", "email_verified": true, "aud": api(), "client_id": "cli",
            "exp": world.clock.now().seconds() + 100, "token_type": "Bearer", "iss": idp.issuer(),
        });
        told.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        told
    };
    idp.tell_of("good", told(json!({})));
    let asked = world.visitor();
    let replies = futures_util::future::join_all((0..32).map(|_| call(&asked, "/api", "good"))).await;
    assert!(replies.iter().all(Reply::is_upstreams), "{:?}", replies.iter().map(|reply| reply.status).collect::<Vec<_>>());
    assert_eq!(idp.calls(Endpoint::Introspection), 1, "32 requests at once ask once");
    assert_eq!(world.upstream.last().header("x-forwarded-email"), Some("ann@example.com"));
    idp.tell_of("good", json!({"active": false}));
    world.clock.advance(Duration::from_secs(29));
    assert!(call(&client, "/api", "good").await.is_upstreams(), "within CODER_OIDC_INTROSPECTION_CACHE");
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(call(&client, "/api", "good").await.status, StatusCode::UNAUTHORIZED, "it was revoked");
    assert_eq!(idp.calls(Endpoint::Introspection), 2);

    idp.tell_of("short", told(json!({"exp": world.clock.now().seconds() + 10})));
    assert!(call(&client, "/api", "short").await.is_upstreams());
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(call(&client, "/api", "short").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(idp.calls(Endpoint::Introspection), 3, "nobody needs to be asked about its end");

    for (name, what, more) in [
        ("t1", "not active", json!({"active": false})),
        ("t2", "an active that is no boolean", json!({"active": "true"})),
        ("t3", "for another resource", json!({"aud": "other"})),
        ("t4", "for nobody in particular", json!({"aud": null})),
        ("t5", "of another issuer", json!({"iss": "https://other.example"})),
        ("t6", "expired", json!({"exp": 1})),
        ("t7", "a refresh token (Hydra)", json!({"token_use": "refresh_token"})),
        ("t8", "a refresh token (Keycloak)", json!({"typ": "Refresh"})),
        ("t9", "a bound token", json!({"token_type": "DPoP"})),
        ("t10", "a bound token that does not say so", json!({"cnf": {"x5t#S256": "x"}})),
    ] {
        idp.tell_of(name, told(more));
        assert_eq!(call(&client, "/api", name).await.status, StatusCode::UNAUTHORIZED, "{what}");
    }
    let machine = told(json!({"sub": null, "email": null, "username": null}));
    let machine: Value = machine.as_object().unwrap().clone().into_iter().filter(|(_, value)| !value.is_null()).collect();
    idp.tell_of("machine", machine);
    assert!(call(&client, "/api", "machine").await.is_upstreams());
    assert_eq!(world.upstream.last().header("x-forwarded-user"), Some("client:cli"), "a client that acts for itself is no user");
    let _ann = world.signed_in().await;
    let real: Vec<_> = world.idp.secrets().into_iter().filter(|secret| !secret.contains(' ')).collect();
    assert!(real.len() > 2, "the client's secret, and the tokens of a login");
    for (secret, path) in real.iter().flat_map(|secret| [(secret, "/api"), (secret, "/clients")]) {
        assert!(!call(&client, path, secret).await.is_upstreams(), "what else the provider has issued");
    }
}

#[tokio::test]
async fn while_the_provider_is_away_known_tokens_pass_and_unknown_ones_are_told_to_come_again() {
    let world = world().start_with(|idp| idp.introspect(true)).await;
    let (idp, client) = (&world.idp, world.visitor());
    let told = json!({"active": true, "sub": "sub-ann", "aud": api(), "exp": world.clock.now().seconds() + 5000});
    idp.tell_of("known", told.clone());
    idp.tell_of("unknown", told);
    assert!(call(&client, "/api", "known").await.is_upstreams());
    for status in [500, 503, 429, 403] {
        idp.misbehave(Endpoint::Introspection, Misbehaviour::Answer(status, String::new(), vec![]));
        world.clock.advance(Duration::from_secs(60));
        assert!(call(&client, "/api", "known").await.is_upstreams(), "{status}");
        let reply = call(&client, "/api", "unknown").await;
        assert_eq!((reply.status, reply.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "2"), "{status}");
        let calls = idp.calls(Endpoint::Introspection);
        assert!(call(&client, "/api", "known").await.is_upstreams());
        assert_eq!(idp.calls(Endpoint::Introspection), calls, "nobody asks again at once");
    }
    world.clock.advance(Duration::from_secs(3600));
    assert_eq!(call(&client, "/api", "known").await.status, StatusCode::SERVICE_UNAVAILABLE, "the grace is over");
    idp.behave(Endpoint::Introspection);
    world.clock.advance(Duration::from_secs(2));
    assert!(call(&client, "/api", "known").await.is_upstreams());
    assert!(call(&client, "/api", "unknown").await.is_upstreams());
}

#[tokio::test]
async fn a_new_key_of_the_provider_is_fetched_for_a_token_and_strangers_make_no_more_calls() {
    let world = world().start().await;
    let client = world.visitor();
    assert!(call(&client, "/api", &token(&world.idp, json!({}))).await.is_upstreams());
    world.idp.rotate_keys(true);
    let calls = world.idp.calls(Endpoint::Jwks);
    let newer = token(&world.idp, json!({}));
    assert!(call(&client, "/api", &newer).await.is_upstreams());
    assert_eq!(world.idp.calls(Endpoint::Jwks), calls + 1);
    let stranger = Signer::generate("RS256", "stranger");
    let now = world.clock.now().seconds();
    for number in 0..20 {
        let header = json!({"alg": "RS256", "kid": format!("stranger-{number}")});
        let claims = json!({"iss": world.idp.issuer(), "sub": "eve", "aud": api(), "exp": now + 300, "iat": now, "jti": number});
        let reply = call(&client, "/api", &stranger.sign_with_header(&header, &claims)).await;
        assert!(!reply.is_upstreams());
        let foreign = json!({"iss": "https://evil.example", "sub": "eve", "aud": api(), "exp": now + 300, "jti": number});
        let reply = call(&client, "/api", &stranger.sign_with_header(&header, &foreign)).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(world.idp.calls(Endpoint::Jwks), calls + 1, "within ten seconds");
    assert!(call(&client, "/api", &newer).await.is_upstreams());
}

#[tokio::test]
async fn a_websocket_ends_with_the_token_that_it_was_opened_with() {
    let routes = "[[route]]\npath = \"/websocket\"\nbearer_tokens = [\"provider\"]\n";
    let world = World::build().routes(|_| routes.to_owned()).start().await;
    let token = world.idp.signed_access_token(&format!("{ACCESS}/websocket"), json!({}), json!({}));
    let mut request = "ws://app.test/websocket".into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let stream = TcpStream::connect(world.address()).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.expect("it is opened");
    socket.send("hello".into()).await.unwrap();
    assert!(socket.next().await.unwrap().unwrap().is_text());
    world.clock.advance(Duration::from_secs(300));
    let end = async { while socket.next().await.is_some_and(|message| message.is_ok_and(|message| !message.is_close())) {} };
    tokio::time::timeout(Duration::from_secs(60), end).await.expect("it is cut");
}

#[tokio::test]
async fn an_ingress_is_told_of_tokens_as_of_sessions() {
    let world = world().set("forward_auth", "true").set("proxy_trusted_origins", "127.0.0.1").start().await;
    let ingress = world.visitor();
    let ask = async |token: &str| {
        let authorization = format!("Bearer {token}");
        let lines = [
            ("x-forwarded-method", "GET"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "app.test"),
            ("x-forwarded-uri", "/api/things"),
            ("authorization", &authorization),
        ];
        ingress.send(Method::GET, "/oauth2/forward_auth", &lines, "").await
    };
    let good = ask(&token(&world.idp, json!({}))).await;
    assert_eq!((good.status, good.header("x-forwarded-email")), (StatusCode::OK, "ann@example.com"));
    let bad = ask("nobody-s").await;
    assert_eq!(bad.status, StatusCode::UNAUTHORIZED);
    assert!(bad.header("www-authenticate").contains("invalid_token"));
}

#[tokio::test]
async fn a_client_finds_the_provider_by_the_metadata_of_the_route_and_other_well_known_paths_are_the_app_s() {
    let world = world().start().await;
    let client = world.visitor();
    let metadata = client.fetch("/.well-known/oauth-protected-resource/scoped").await;
    assert_eq!(metadata.header("access-control-allow-origin"), "*");
    let expected = json!({
        "resource": format!("{ACCESS}/scoped"), "authorization_servers": [world.idp.issuer()],
        "bearer_methods_supported": ["header"], "scopes_supported": ["write", "admin"],
    });
    assert_eq!(metadata.json(), expected);
    let of_api = client.fetch("/.well-known/oauth-protected-resource/api").await.json();
    assert_eq!((of_api["resource"].as_str(), of_api.get("scopes_supported")), (Some(api().as_str()), None));
    let preflight = [("origin", "https://inspector.example"), ("access-control-request-method", "GET")];
    let preflight = client.send(Method::OPTIONS, "/.well-known/oauth-protected-resource/api", &preflight, "").await;
    assert_eq!((preflight.status, preflight.header("access-control-allow-headers")), (StatusCode::NO_CONTENT, "*"));
    let posted = client.send(Method::POST, "/.well-known/oauth-protected-resource/api", &[], "").await;
    assert_eq!((posted.status, posted.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD, OPTIONS"));
    let ann = world.signed_in().await;
    for path in ["", "/", "/api/", "/api/deeper", "/other", "/API"] {
        let path = format!("/.well-known/oauth-protected-resource{path}");
        assert!(ann.fetch(&path).await.is_upstreams(), "{path}");
        assert_eq!(client.fetch(&path).await.status, StatusCode::UNAUTHORIZED, "{path}");
    }
}

#[tokio::test]
async fn a_provider_that_hangs_holds_up_no_token_that_was_good_a_moment_ago() {
    let world = world().in_real_time().set("oidc_introspection_cache", "0").start_with(|idp| idp.introspect(true)).await;
    let (idp, client) = (&world.idp, world.visitor());
    let told =
        json!({"active": true, "sub": "sub-ann", "aud": api(), "client_id": "cli", "exp": world.clock.now().seconds() + 5000});
    idp.tell_of("known", told);
    assert!(call(&client, "/api", "known").await.is_upstreams());
    idp.misbehave(Endpoint::Introspection, Misbehaviour::Held);
    // More than may be under way at a time, of tokens that nobody knows.
    let strangers: Vec<_> = (0..40)
        .map(|number| {
            let client = client.copy();
            tokio::spawn(async move { call(&client, "/api", &format!("stranger-{number}")).await.status })
        })
        .collect();
    let replies = futures_util::future::join_all((0..8).map(|_| call(&client, "/api", "known"))).await;
    assert!(replies.iter().all(Reply::is_upstreams), "{:?}", replies.iter().map(|reply| reply.status).collect::<Vec<_>>());
    for stranger in strangers {
        assert_eq!(stranger.await.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
    }
    idp.behave(Endpoint::Introspection);
    assert!(call(&client, "/api", "known").await.is_upstreams());
}

#[tokio::test]
async fn a_key_that_the_provider_withdraws_verifies_nothing_after_an_hour_though_no_newer_one_is_seen() {
    let world = world().start().await;
    let client = world.visitor();
    let token = token(&world.idp, json!({"exp": world.clock.now().seconds() + 1_000_000_000}));
    assert!(call(&client, "/api", &token).await.is_upstreams());
    world.idp.rotate_keys(true);
    world.clock.advance(Duration::from_secs(61));
    assert!(call(&client, "/api", &token).await.is_upstreams(), "its keys are looked at once an hour");
    world.clock.advance(Duration::from_secs(3600));
    eventually("it is refused", async || {
        world.clock.advance(Duration::from_secs(61));
        call(&client, "/api", &token).await.status == StatusCode::UNAUTHORIZED
    })
    .await;
}
