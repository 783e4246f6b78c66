//! Forward authentication with real ingresses, by the configurations of `docs/forward-auth.md`.

use std::time::Duration;

use http::{Method, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::harness::{
    World,
    behind_ingress::everything_works,
    certificates::Authority,
    eventually::eventually,
    idp::{Endpoint, Misbehaviour},
    ingress::{Ingress, Kind},
    upstream::Upstream,
    visitor::Visitor,
};

#[tokio::test]
async fn nginx_asks_about_every_request() {
    everything_works(Kind::Nginx).await;
}

#[tokio::test]
async fn caddy_asks_about_every_request() {
    everything_works(Kind::Caddy).await;
}

#[tokio::test]
async fn haproxy_asks_about_every_request() {
    everything_works(Kind::HaProxy).await;
}

#[tokio::test]
async fn traefik_asks_about_every_request() {
    everything_works(Kind::Traefik).await;
}

#[tokio::test]
async fn envoy_asks_about_every_request() {
    everything_works(Kind::Envoy).await;
}

#[tokio::test]
async fn envoy_asks_about_every_request_over_grpc() {
    everything_works(Kind::EnvoyGrpc).await;
}

#[tokio::test]
async fn envoy_asks_about_every_request_over_grpc_with_header_lines_as_they_are() {
    everything_works(Kind::EnvoyGrpcRaw).await;
}

/// A gateway that an Envoy asks over gRPC.
fn asked_over_grpc() -> crate::harness::Builder {
    World::build().without("upstream_url").set("ext_authz_address", "127.0.0.1:0").set("proxy_trusted_origins", "127.0.0.1")
}

/// Whoever sends what makes a question fail would get in.
#[tokio::test]
async fn envoy_that_lets_pass_what_it_cannot_ask_about_lets_nobody_pass_for_what_they_send() {
    let mut world = asked_over_grpc().start().await;
    let app = Upstream::start().await;
    let careless = |config: String| {
        let line = "transport_api_version: V3\n";
        assert!(config.contains(line));
        let body = "with_request_body: {max_request_bytes: 4000000, allow_partial_message: true, pack_as_bytes: true}";
        config.replacen(line, &format!("{line}              failure_mode_allow: true\n              {body}\n"), 1)
    };
    let ingress = Ingress::start_edited(Kind::EnvoyGrpc, &world.replicas[0], app.address, careless).await;
    let stranger = Visitor::new(ingress.address);
    eventually("Envoy has Evergate behind it", async || stranger.get("/oauth2/healthz").await.status == StatusCode::OK).await;
    assert_eq!(stranger.fetch("/doc").await.status, StatusCode::UNAUTHORIZED);
    let long = "x".repeat(50_000);
    let names: Vec<String> = (0..90).map(|number| format!("x-{number}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
    for (what, path, headers) in [
        ("a long header", "/doc", &[("x-a", long.as_str())][..]),
        ("many headers", "/doc", &many),
        ("forged names", "/doc", &[("x_forwarded_user", "admin"), ("x-forwarded-for", "bogus"), ("x-forwarded-proto", "ftp")]),
    ] {
        let reply = stranger.try_send(Method::GET, path, headers, "").await;
        assert!(reply.is_none_or(|reply| !reply.is_upstreams() && reply.status.is_client_error()), "{what}");
    }
    for request in [&b"GET /d\xfcc HTTP/1.1\r\nhost: app.test\r\n"[..], b"GET /doc HTTP/1.1\r\nhost: app.test\r\nx-a: \xfc\r\n"] {
        let mut stream = TcpStream::connect(ingress.address).await.unwrap();
        stream.write_all(&[request, b"connection: close\r\n\r\n"].concat()).await.unwrap();
        let mut response = Vec::new();
        stream.read_to_end(&mut response).await.unwrap();
        assert!(response.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&response));
    }
    let large = "x".repeat(3_000_000);
    let reply = stranger.try_send(Method::POST, "/doc", &[("origin", "https://app.test")], &large).await.expect("a response");
    assert!(reply.status.is_client_error(), "{}", reply.status);
    assert!(app.requests().is_empty(), "{}", app.everything());
    // What an administrator has chosen so: an Evergate that is not there.
    for replica in world.replicas.drain(..) {
        replica.stop().await;
    }
    eventually("Envoy lets everything pass", async || stranger.fetch("/doc").await.is_upstreams()).await;
}

/// A token that has expired is a client's own doing, and so is the wait for its refresh.
#[tokio::test]
async fn envoy_that_waits_for_a_moment_lets_nobody_pass_and_hands_on_every_way_to_authenticate() {
    let world =
        asked_over_grpc().routes(|_| "[[route]]\npath = \"/api\"\nbearer_tokens = [\"provider\"]\n".to_owned()).start().await;
    let app = Upstream::start().await;
    let careless = |config: String| {
        let (line, timeout) = ("transport_api_version: V3\n", "timeout: 30s");
        assert!(config.contains(line) && config.contains(timeout));
        config.replacen(line, &format!("{line}              failure_mode_allow: true\n"), 1).replacen(timeout, "timeout: 2s", 1)
    };
    let ingress = Ingress::start_edited(Kind::EnvoyGrpc, &world.replicas[0], app.address, careless).await;
    let visitor = Visitor::new(ingress.address);
    eventually("Envoy has Evergate behind it", async || visitor.fetch("/doc").await.status == StatusCode::UNAUTHORIZED).await;
    let refused = visitor.fetch("/api").await;
    let challenges = refused.headers.get_all("www-authenticate").iter().map(|line| line.to_str().unwrap());
    let schemes: Vec<_> = challenges.filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(schemes, ["Bearer", "Cookie"], "{:?}", refused.headers);
    visitor.log_in(&world.idp, "/doc").await;
    let seen = app.requests().len();
    world.clock.advance(Duration::from_secs(301));
    world.idp.misbehave(Endpoint::Refresh, Misbehaviour::Held);
    let reply = visitor.fetch("/doc").await;
    assert_eq!((reply.status, reply.header("evergate-response")), (StatusCode::SERVICE_UNAVAILABLE, "renewal_unavailable"));
    assert_eq!(app.requests().len(), seen, "{}", app.everything());
    world.idp.behave(Endpoint::Refresh);
    eventually("it is refreshed", async || visitor.fetch("/doc").await.is_upstreams()).await;
}

#[tokio::test]
async fn envoy_lets_nobody_pass_while_evergate_is_away() {
    let mut world = asked_over_grpc().start().await;
    let app = Upstream::start().await;
    let ingress = Ingress::start(Kind::EnvoyGrpc, &world.replicas[0], app.address).await;
    let stranger = Visitor::new(ingress.address);
    eventually("Envoy has Evergate behind it", async || stranger.fetch("/doc").await.status == StatusCode::UNAUTHORIZED).await;
    for replica in world.replicas.drain(..) {
        replica.stop().await;
    }
    eventually("Envoy says so", async || stranger.fetch("/doc").await.status == StatusCode::SERVICE_UNAVAILABLE).await;
    assert!(app.requests().is_empty());
}

#[tokio::test]
async fn envoy_asks_over_tls_and_finds_out_whether_anybody_answers() {
    let authority = Authority::new();
    let world = asked_over_grpc().secure(&authority).set("ext_authz_tls", "true").start().await;
    let app = Upstream::start().await;
    let secure = |config: String| {
        let cluster = "  - name: ext_authz\n";
        assert!(config.contains(cluster));
        let tls = format!(
            "{cluster}    health_checks: [{{timeout: 1s, interval: 1s, unhealthy_threshold: 1, healthy_threshold: 1, grpc_health_check: {{}}}}]\n    \
             transport_socket:\n      name: envoy.transport_sockets.tls\n      typed_config:\n        \
             \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext\n        \
             sni: app.test\n        common_tls_context: {{alpn_protocols: [h2], validation_context: {{trusted_ca: {{filename: {}}}}}}}\n",
            authority.ca_file()
        );
        config.replace(cluster, &tls)
    };
    let ingress = Ingress::start_edited(Kind::EnvoyGrpc, &world.replicas[0], app.address, secure).await;
    let visitor = Visitor::new(ingress.address);
    eventually("Envoy has Evergate behind it", async || visitor.fetch("/doc").await.status == StatusCode::UNAUTHORIZED).await;
    visitor.log_in(&world.idp, "/doc").await;
    assert!(visitor.get("/doc").await.is_upstreams());
}
