//! Envoy asks over gRPC, on a listener of its own.

use std::net::SocketAddr;

use http::{Method, StatusCode};
use serde_json::json;

use super::{EXPIRED, FETCH, PAGE, ROUTES, TOLD_BY_AUTHORIZATION};
use crate::harness::{
    Builder, Kind, World,
    assertion::ASSERTION,
    certificates::Authority,
    ext_authz::{CHECK, HEALTH, Question, Verdict, call, framed},
    idp::{Endpoint, Misbehaviour, user},
    logs::lines_with,
    visitor::{Visitor, path_of},
};

/// A gateway that is asked by an Envoy on loopback, and forwards nothing.
fn service() -> Builder {
    World::build().without("upstream_url").set("ext_authz_address", "127.0.0.1:0").set("proxy_trusted_origins", "127.0.0.1")
}

fn address(world: &World) -> SocketAddr {
    world.replicas[0].ext_authz_address.unwrap()
}

fn question<'a>(visitor: &Visitor, path: &'a str, lines: &[(&'a str, &str)]) -> Question<'a> {
    let asked = Question::get(path).line("cookie", visitor.cookie_header());
    lines.iter().fold(asked, |asked, (name, value)| asked.line(name, value))
}

async fn ask(world: &World, visitor: &Visitor, (method, path): (&str, &str), lines: &[(&str, &str)]) -> Verdict {
    Question { method, ..question(visitor, path, lines) }.ask(address(world)).await
}

async fn signed_in(world: &World) -> Visitor {
    let visitor = world.visitor();
    visitor.log_in(&world.idp, "/oauth2/start").await;
    visitor
}

#[tokio::test]
async fn an_ingress_is_told_what_the_rules_of_the_original_page_say() {
    let world = service().routes(|_| ROUTES.to_owned()).start().await;
    let stranger = world.visitor();
    world.idp.log_in_as(user("ann"));
    let ann = signed_in(&world).await;
    for (who, question, client, denied) in [
        (&stranger, ("GET", "/public/page"), &PAGE[..], None),
        (&stranger, ("GET", "/page"), &PAGE, Some(303)),
        (&stranger, ("GET", "/page"), &FETCH, Some(401)),
        (&stranger, ("POST", "/page"), &PAGE, Some(401)),
        (&ann, ("GET", "/page?q=1"), &PAGE, None),
        (&ann, ("POST", "/page"), &PAGE, None),
        (&ann, ("GET", "/admin/users"), &PAGE, Some(403)),
        (&ann, ("GET", "/public/..%2fadmin"), &PAGE, Some(400)),
        (&ann, ("GET", "/oauth2/userinfo"), &PAGE, Some(404)),
        (&ann, ("DELETE", "/read"), &PAGE, Some(405)),
        (&ann, ("POST", "/page"), &[("origin", "https://evil.app.test")], Some(403)),
        (&ann, ("GET", "/page"), &[("origin", "https://evil.app.test"), ("sec-websocket-key", "x")], Some(403)),
        (&ann, ("GET", "*"), &PAGE, Some(400)),
        (&ann, ("G T", "/page"), &PAGE, Some(400)),
    ] {
        let verdict = ask(&world, who, question, client).await;
        assert_eq!(verdict.denied, denied, "{question:?} {client:?} {}", verdict.body);
    }
    let denied = ask(&world, &ann, ("GET", "/admin"), &PAGE).await;
    assert!(denied.body.contains("You are signed in as ann@example.com"), "{}", denied.body);
    assert_eq!((denied.line("cache-control"), denied.line("content-type")), (Some("no-store"), Some("text/html; charset=utf-8")));
    let login = ask(&world, &stranger, ("GET", "/page?q=1"), &PAGE).await;
    assert!(login.lines.iter().any(|(name, _)| name == "set-cookie"), "the login is this browser's");
    let lines = lines_with(&["evergate::access", "\"original.path\":\"/admin/users\"", "\"http.response.status_code\":403"]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("\"rpc.grpc.status_code\":0") && lines[0].contains("\"http.route\":\"forward_auth\""), "{lines:?}");
}

#[tokio::test]
async fn the_app_gets_the_identity_and_nothing_that_its_client_says_of_that_however_it_is_spelt() {
    let world = service().set("identity_assertion", "true").routes(|_| ROUTES.to_owned()).start().await;
    world.idp.log_in_as(json!({"sub": "u-1", "email": "zoe@example.com", "email_verified": true, "groups": ["a,b", "c"]}));
    let zoe = signed_in(&world).await;
    let forged = ["x-forwarded-user", "x_forwarded_user", "x-forwarded_groups", "x-auth-request-user", "x.evergate.assertion"];
    for is_raw in [false, true] {
        let forged = forged.map(|name| (name, "intruder"));
        let asked = Question { is_raw, ..question(&zoe, "/page", &forged) };
        let verdict = asked.ask(address(&world)).await;
        assert_eq!(verdict.denied, None);
        for (name, value) in
            [("x-forwarded-user", "u-1"), ("x-forwarded-email", "zoe@example.com"), ("x-forwarded-groups", "a%2Cb,c")]
        {
            assert_eq!(verdict.line(name), Some(value), "{name}");
        }
        assert!(verdict.line(ASSERTION).is_some());
        for name in &["x_forwarded_user", "x-forwarded_groups", "x-auth-request-user", "x.evergate.assertion", "cookie"] {
            assert!(verdict.removes(name) && verdict.line(name).is_none(), "{name} {verdict:?}");
        }
        assert!(verdict.lines.iter().all(|(name, _)| !verdict.removes(name)), "{verdict:?}");
        // Of nobody, nothing is told.
        let public = Question { is_raw, ..question(&world.visitor(), "/public/page", &forged) }.ask(address(&world)).await;
        assert!(public.lines.is_empty(), "{public:?}");
        for name in ["x-forwarded-user", "x_forwarded_user", "x-forwarded-email", ASSERTION, "x-forwarded-access-token"] {
            assert!(public.removes(name), "{name}");
        }
    }
}

#[tokio::test]
async fn an_app_that_is_told_by_authorization_gets_no_client_s_own_whoever_asks() {
    let world = service().routes(|_| TOLD_BY_AUTHORIZATION.to_owned()).start().await;
    let (stranger, ann) = (world.visitor(), signed_in(&world).await);
    let forged = [("authorization", "User admin@example.com")];
    for path in ["/optional/page", "/public/page"] {
        for client in [&forged[..], &[]] {
            let verdict = ask(&world, &stranger, ("GET", path), client).await;
            assert_eq!((verdict.denied, verdict.line("authorization")), (None, None), "{path}");
            assert!(verdict.removes("authorization"), "{path} {verdict:?}");
        }
    }
    let told = ask(&world, &ann, ("GET", "/optional/page"), &forged).await;
    assert_eq!((told.denied, told.line("authorization")), (None, Some("User ann@example.com")));
    assert!(!told.removes("authorization"));
    // A claim that the user lacks leaves no line.
    let lacking = ask(&world, &ann, ("GET", "/lacking"), &forged).await;
    assert!(lacking.denied.is_none() && lacking.removes("authorization"), "{lacking:?}");
    // Another host's app takes it from its clients.
    let other = Question { host: "open.test", ..question(&stranger, "/page", &forged) }.ask(address(&world)).await;
    assert!(other.denied.is_none() && !other.removes("authorization"), "{other:?}");
}

#[tokio::test]
async fn the_app_gets_no_header_that_the_proxy_would_take_off_and_all_that_the_ingress_writes() {
    let world = service().routes(|_| ROUTES.to_owned()).start().await;
    let taken_off = ["remote-user", "x_remote_user", "x-auth-request-foo", "x-real-ip", "forwarded", "x-original-url", "proxy"];
    let left = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-port", "x-request-id", "accept", "x-app"];
    let lines: Vec<_> = taken_off.iter().chain(&left).map(|name| (*name, "10.0.0.1")).collect();
    let verdict = ask(&world, &world.visitor(), ("GET", "/public/page"), &lines).await;
    assert_eq!(verdict.denied, None);
    for name in taken_off.iter().chain(&["x-forwarded-host"]) {
        assert!(verdict.removes(name), "{name} {verdict:?}");
    }
    assert!(left.iter().all(|name| !verdict.removes(name)), "{verdict:?}");
}

#[tokio::test]
async fn the_session_cookie_stays_here_and_the_app_s_cookies_go_on() {
    let world = service().start().await;
    let ann = signed_in(&world).await;
    let session = format!("__Host-evergate_session={}", ann.session().unwrap());
    let one = Question::get("/").line("cookie", format!("a=1; {session}; b=2")).ask(address(&world)).await;
    assert_eq!((one.line("cookie"), one.removes("cookie")), (Some("a=1; b=2"), false));
    let several =
        Question { is_raw: true, ..Question::get("/").line("cookie", "a=1").line("cookie", &session).line("cookie", "b=2") };
    assert_eq!(several.ask(address(&world)).await.line("cookie"), Some("a=1; b=2"));
    // Not UTF-8, which no message to an ingress can hold.
    let odd = [b"a=\xe9; b=2; ", session.as_bytes()].concat();
    let odd = Question { is_raw: true, ..Question::get("/").line("cookie", odd) }.ask(address(&world)).await;
    assert_eq!((odd.denied, odd.line("cookie")), (None, Some("b=2")));
}

#[tokio::test]
async fn a_login_and_all_that_follows_work_as_through_the_proxy() {
    let world = service().on(Kind::Postgres).set("oidc_outage_grace", "0s").start().await;
    let stranger = world.visitor();
    let login = ask(&world, &stranger, ("GET", "/page?q=1"), &PAGE).await;
    assert_eq!(login.denied, Some(303));
    for (_, cookie) in login.lines.iter().filter(|(name, _)| name == "set-cookie") {
        let (name, rest) = cookie.split_once('=').unwrap();
        stranger.set_cookie(name, rest.split(';').next().unwrap());
    }
    let callback = world.idp.authorize(&login.line("location").unwrap().parse().unwrap()).await;
    let landed = stranger.get(&path_of(&callback)).await;
    assert_eq!(landed.location().as_str(), "https://app.test/page?q=1");
    // A storm of questions with an expired token makes one token call.
    world.clock.advance(EXPIRED);
    let asked = question(&stranger, "/page", &FETCH);
    let verdicts = futures_util::future::join_all((0..32).map(|_| asked.ask(address(&world)))).await;
    assert!(verdicts.iter().all(|verdict| verdict.denied.is_none()), "{verdicts:?}");
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1);
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Answer(503, "away".to_owned(), vec![]));
    world.clock.advance(EXPIRED);
    let away = ask(&world, &stranger, ("GET", "/page"), &PAGE).await;
    assert_eq!((away.denied, away.line("evergate-response")), (Some(503), Some("renewal_unavailable")));
    assert!(away.line("retry-after").is_some() && away.line("set-cookie").is_none());
    world.idp.behave(Endpoint::Refresh);
    stranger.send(Method::POST, "/oauth2/sign_out", &[("sec-fetch-site", "same-origin")], "").await;
    assert_eq!(asked.ask(address(&world)).await.denied, Some(401), "the session has ended");
}

#[tokio::test]
async fn where_a_request_comes_from_is_what_the_ingress_s_connection_says() {
    let routes = "[[route]]\npath = \"/inside\"\nrule = \"public\"\nnetworks = [\"192.0.2.0/24\"]\n";
    let world = service().set("proxy_trusted_origins", "127.0.0.1,10.0.0.0/8").routes(move |_| routes.to_owned()).start().await;
    // Envoy itself is inside: nobody is taken for it.
    let routes = "[[route]]\npath = \"/own\"\nrule = \"public\"\nnetworks = [\"127.0.0.1\", \"0.0.0.0/0\"]\n";
    let at_envoy = service().routes(move |_| routes.to_owned()).start().await;
    for (source, denied) in [("", Some(403)), ("fe80::1%eth0", Some(403)), ("/run/envoy.sock", Some(403)), ("192.0.2.7", None)] {
        let asked = Question { source, ..Question::get("/own") }.ask(address(&at_envoy)).await;
        assert_eq!(asked.denied, denied, "{source}");
    }
    for (source, chain, denied) in [
        ("192.0.2.7", None, None),
        ("198.51.100.1", None, Some(403)),
        // Envoy adds no address (`use_remote_address: false`), and its client writes one.
        ("198.51.100.1", Some("192.0.2.7"), Some(403)),
        ("198.51.100.1", Some("192.0.2.7, 198.51.100.1"), Some(403)),
        // A load balancer before Envoy.
        ("10.0.0.3", Some("192.0.2.7"), None),
        ("10.0.0.3", Some("192.0.2.7, 10.0.0.3"), None),
        ("10.0.0.3", Some("192.0.2.7, 198.51.100.1"), Some(403)),
        // An address that is none says nothing, and nothing that a client writes takes its place.
        ("", Some("192.0.2.7"), Some(403)),
        ("fe80::1%2", Some("192.0.2.7"), Some(403)),
        ("fe80::1%eth0", Some("192.0.2.7"), Some(403)),
        ("192.0.2.7%eth0", Some("192.0.2.7"), Some(403)),
        ("10.0.0.3", Some("192.0.2.7, fe80::1%eth0, 10.0.0.4"), Some(403)),
        // A proxy at a unix socket of Envoy's machine says whom it speaks for.
        ("/run/envoy.sock", Some("192.0.2.7"), None),
        ("/run/envoy.sock", Some("192.0.2.7, 198.51.100.1"), Some(403)),
        ("/run/envoy.sock", Some("192.0.2.7, unix:"), Some(403)),
        ("/run/envoy.sock", None, Some(403)),
    ] {
        let asked = Question { source, ..Question::get("/inside") };
        let asked = chain.into_iter().fold(asked, |asked, chain| asked.line("x-forwarded-for", chain));
        assert_eq!(asked.ask(address(&world)).await.denied, denied, "{source} {chain:?}");
    }
}

#[tokio::test]
async fn a_host_is_the_one_that_the_ingress_forwards_by() {
    let world = service().routes(|_| ROUTES.to_owned()).start().await;
    let at = async |host, lines: &[(&str, &str)]| {
        Question { host, ..question(&world.visitor(), "/page", lines) }.ask(address(&world)).await.denied
    };
    assert_eq!(at("open.test", &FETCH).await, None);
    assert_eq!(at("app.test", &[("x-forwarded-host", "open.test"), ("host", "open.test")]).await, Some(401));
    assert_eq!(at("evil.test", &[("x-forwarded-host", "open.test")]).await, Some(421));
    assert_eq!(at("", &FETCH).await, Some(421));
}

#[tokio::test]
async fn the_ingress_s_configuration_may_demand_more_of_a_route() {
    let world = service().start().await;
    let ann = signed_in(&world).await;
    for (context, denied) in [
        (vec![("team", "x")], None),
        (vec![("allowed_email_domains", "example.com")], None),
        (vec![("allowed_groups", "others")], Some(403)),
        (vec![("allowed_groups", "")], Some(403)),
    ] {
        let asked = Question { context: context.clone(), ..question(&ann, "/page", &FETCH) };
        assert_eq!(asked.ask(address(&world)).await.denied, denied, "{context:?}");
    }
}

/// Where Envoy lets requests pass whose question fails (`failure_mode_allow`), nobody may be able to make one fail.
#[tokio::test]
async fn whatever_a_client_can_bring_about_is_a_refusal_and_no_failed_call() {
    let world = service().start().await;
    let ann = signed_in(&world).await;
    let long = "x".repeat(70 * 1024);
    let names: Vec<String> = (0..300).map(|number| format!("x-{number}")).collect();
    let many = names.iter().fold(question(&ann, "/", &[]), |asked, name| asked.line(name, "1"));
    let huge = "x".repeat(1024 * 1024);
    for (what, asked, denied) in [
        ("many headers", many, 431),
        ("long headers", question(&ann, "/", &[]).line("x-a", &long), 431),
        ("more than is read", question(&ann, "/", &[]).line("x-a", &huge), 431),
        ("a control character", question(&ann, "/", &[]).line("x-a", "a\x01"), 400),
        ("a name with a blank", question(&ann, "/", &[]).line("x a", "a"), 400),
        ("a smuggled path", question(&ann, "/a b", &[]), 400),
    ] {
        assert_eq!(asked.ask(address(&world)).await.denied, Some(denied), "{what}");
    }
    let not_utf8 = question(&ann, "/", &[]).line("x-a", b"\xff\xfe");
    assert_eq!(not_utf8.ask(address(&world)).await.denied, None, "an app may know what it is");
}

#[tokio::test]
async fn nobody_else_is_answered_and_no_app_loses_the_path() {
    let world = service().set("proxy_trusted_origins", "10.0.0.0/8").start().await;
    let asked = framed(&Question::get("/").message());
    let refused = call(address(&world), CHECK, &[], asked.clone()).await;
    assert_eq!((refused.grpc.as_deref(), refused.message.len()), (Some("7"), 0), "{refused:?}");
    // An app's own method of this name is an app's on the main listener, and nobody is told there what Envoy is.
    let world = World::build().set("ext_authz_address", "127.0.0.1:0").set("proxy_trusted_origins", "127.0.0.1").start().await;
    let ann = world.signed_in().await;
    let called = call(world.address(), CHECK, &[("cookie", &ann.cookie_header())], asked).await;
    assert_eq!(called.headers.get("x-upstream").map(|value| value.to_str().unwrap()), Some("yes"), "{called:?}");
    assert_eq!(world.upstream.last().target, CHECK);
    // Nor is anything else served where Envoy asks, nor asked by HTTP unless that is allowed.
    let there = Visitor::new(address(&world));
    for path in ["/", "/oauth2/start", "/oauth2/userinfo", "/oauth2/auth", CHECK] {
        assert_eq!(there.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(ann.get("/oauth2/auth").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_call_that_is_none_is_told_so_in_grpc_s_words() {
    let world = service().start().await;
    let at = address(&world);
    let good = Question::get("/").message();
    let compressed = [&[1], &framed(&good)[1..]].concat();
    let twice = [framed(&good), framed(&good)].concat();
    let cut = framed(&good[..good.len() - 1]);
    for (what, path, headers, body, expected) in [
        ("compressed", CHECK, &[][..], compressed.clone(), "12"),
        ("compressed, as the head says", CHECK, &[("grpc-encoding", "gzip")], compressed, "12"),
        ("two messages", CHECK, &[], twice, "3"),
        ("no message", CHECK, &[], Vec::new(), "3"),
        ("a frame that breaks off", CHECK, &[], framed(&good)[..9].to_vec(), "3"),
        ("a message that breaks off", CHECK, &[], cut, "3"),
        ("about nothing of HTTP", CHECK, &[], framed(b""), "3"),
        ("another method", "/envoy.service.auth.v2.Authorization/Check", &[], framed(&good), "12"),
        ("a deadline that is past", CHECK, &[("grpc-timeout", "1n")], framed(&good), "4"),
        ("a deadline that is far", CHECK, &[("grpc-timeout", "1H"), ("grpc-encoding", "identity")], framed(&good), "0"),
    ] {
        let called = call(at, path, headers, body).await;
        assert_eq!((called.status, called.grpc.as_deref()), (200, Some(expected)), "{what}: {called:?}");
    }
    let plain = call(at, CHECK, &[("content-type", "application/json")], b"{}".to_vec()).await;
    assert_eq!((plain.status, plain.grpc), (404, None));
}

#[tokio::test]
async fn a_question_that_waits_for_a_renewal_is_refused_before_its_deadline_and_the_renewal_goes_on() {
    let world = service().start().await;
    let ann = signed_in(&world).await;
    world.clock.advance(EXPIRED);
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Held);
    let asked = framed(&question(&ann, "/", &FETCH).message());
    let called = call(address(&world), CHECK, &[("grpc-timeout", "1S")], asked).await;
    // A call that failed would be let pass by an Envoy with `failure_mode_allow`.
    assert_eq!(called.grpc.as_deref(), Some("0"), "{called:?}");
    let verdict = Verdict::read(&called.message[5..]);
    assert_eq!((verdict.denied, verdict.line("evergate-response")), (Some(503), Some("renewal_unavailable")));
    assert!(verdict.line("retry-after").is_some());
    world.idp.behave(Endpoint::Refresh);
    assert_eq!(ask(&world, &ann, ("GET", "/"), &FETCH).await.denied, None);
    assert_eq!(world.idp.calls(Endpoint::Refresh), 1);
}

#[tokio::test]
async fn whoever_asks_is_told_whether_questions_are_answered() {
    let world = service().set("proxy_trusted_origins", "10.0.0.0/8").start().await;
    let at = address(&world);
    let named = |name: &str| framed(&crate::harness::protobuf::field(1, name.as_bytes()));
    for body in [framed(b""), named("envoy.service.auth.v3.Authorization")] {
        let called = call(at, HEALTH, &[], body).await;
        assert_eq!((called.grpc.as_deref(), &called.message[5..]), (Some("0"), &b"\x08\x01"[..]), "SERVING");
    }
    assert_eq!(call(at, HEALTH, &[], named("other")).await.grpc.as_deref(), Some("5"));
}

#[tokio::test]
async fn tls_is_terminated_there_too() {
    let authority = Authority::new();
    let world = service().secure(&authority).set("ext_authz_tls", "true").start().await;
    let stream = authority.connect(address(&world), "app.test", &["h2"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
}
