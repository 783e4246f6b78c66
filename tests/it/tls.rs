//! TLS on every side: towards clients, towards apps, and towards the provider.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};

use crate::harness::{
    Builder, World,
    certificates::Authority,
    eventually::{eventually, in_time, settled},
    idp::Endpoint,
    logs::lines_with,
    wire::read_head,
};

fn secure_world(authority: &Authority) -> Builder {
    let (first, key) = authority.issue("first", &["app.test"]);
    let (second, second_key) = authority.issue("second", &["other.test", "*.wild.test"]);
    World::build()
        .secure(authority)
        .set("tls_cert_file", &format!("{first},{second}"))
        .set("tls_key_file", &format!("{key},{second_key}"))
        .set("strict_transport_security", "3600")
        .set("strict_transport_security_options", "includeSubDomains")
}

/// The certificate that the server showed.
fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

async fn ask_by_http_2(stream: TlsStream<TcpStream>, cookie: &str, path: &str) -> Response<Bytes> {
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(format!("https://app.test{path}")).header("cookie", cookie).body(Empty::<Bytes>::new()).unwrap();
    let (head, body) = sender.send_request(request).await.unwrap().into_parts();
    Response::from_parts(head, body.collect().await.unwrap().to_bytes())
}

#[tokio::test]
async fn clients_negotiate_http_2_or_1_1_and_are_shown_the_certificate_of_the_name_that_they_ask_for() {
    let authority = Authority::new();
    let world = secure_world(&authority).start().await;
    let visitor = world.signed_in().await;
    let address = world.replicas[0].tls_address.unwrap();
    let by_h2 = authority.connect(address, "app.test", &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(by_h2.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let answer = ask_by_http_2(by_h2, &visitor.cookie_header(), "/over-tls").await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["strict-transport-security"], "max-age=3600; includeSubDomains");
    let seen = world.upstream.last();
    assert_eq!((seen.header("x-forwarded-proto"), seen.header("x-forwarded-user")), (Some("https"), Some("sub-ann")));
    let old = authority.connect(address, "app.test", &["http/1.1"]).await.unwrap();
    assert_eq!(old.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let other = authority.connect(address, "other.test", &["h2"]).await.unwrap();
    let wild = authority.connect(address, "any.wild.test", &["h2"]).await.unwrap();
    assert_eq!(shown(&other), shown(&wild));
    assert_ne!(shown(&other), shown(&old));
    assert!(authority.connect(address, "third.test", &[]).await.is_err(), "the client finds that the certificate is another's");
}

#[tokio::test]
async fn over_tls_nothing_is_spoken_but_what_was_agreed_on() {
    let authority = Authority::new();
    let world = secure_world(&authority).start().await;
    let address = world.replicas[0].tls_address.unwrap();
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), vec![0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    let request = b"GET /oauth2/healthz HTTP/1.1\r\nhost: app.test\r\nconnection: close\r\n\r\n".to_vec();
    for (offered, bytes, is_served) in [
        (&["h2"][..], &preface, true),
        (&["h2"], &request, false),
        (&["http/1.1"], &preface, false),
        (&["http/1.1"], &request, true),
        // By prior knowledge HTTP/2 is for plain text alone (RFC 9113 section 3.3).
        (&[], &preface, false),
        (&[], &request, true),
    ] {
        let mut stream = authority.connect(address, "app.test", offered).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        let read = in_time("it is served or ended", stream.read_buf(&mut answer)).await;
        assert_eq!(read.unwrap_or(0) > 0, is_served, "{offered:?} {:?}", String::from_utf8_lossy(&answer));
    }
}

#[tokio::test]
async fn a_tls_connection_that_was_idle_serves_its_visitor_again_and_is_closed_properly_by_a_drain() {
    let authority = Authority::new();
    let mut world = secure_world(&authority).start().await;
    let visitor = world.signed_in().await;
    let address = world.replicas[0].tls_address.unwrap();
    let mut stream = authority.connect(address, "app.test", &["http/1.1"]).await.unwrap();
    let request = format!("GET /idle HTTP/1.1\r\nhost: app.test\r\ncookie: {}\r\n\r\n", visitor.cookie_header());
    for _ in 0..2 {
        stream.write_all(request.as_bytes()).await.unwrap();
        let (head, mut body) = read_head(&mut stream).await.unwrap();
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        let length = head.split_once("content-length: ").unwrap().1.split('\r').next().unwrap().parse().unwrap();
        while body.len() < length {
            assert_ne!(stream.read_buf(&mut body).await.unwrap(), 0);
        }
        // A connection that was idle for a second is parked when it is looked at next, each second: so often that happens within these
        // pauses, however slow the machine is.
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_millis(1100)).await;
        }
    }
    assert_eq!(world.upstream.last().header("x-forwarded-user"), Some("sub-ann"));
    let stopping = tokio::spawn(world.replicas.remove(0).stop());
    let end = in_time("it ends by itself", stream.read_buf(&mut Vec::new())).await;
    assert_eq!(end.expect("with a close_notify"), 0);
    drop(stream);
    assert!(stopping.await.unwrap());
}

#[tokio::test]
async fn certificates_are_read_again_when_they_change_and_a_broken_file_changes_nothing() {
    let authority = Authority::new();
    let world = secure_world(&authority).start().await;
    let address = world.replicas[0].tls_address.unwrap();
    let before = shown(&authority.connect(address, "app.test", &[]).await.unwrap());
    std::fs::write(authority.path("first.pem"), "no certificate").unwrap();
    let said = "certificate reload failed";
    eventually("it is said", async || !lines_with(&[said, "first.pem"]).is_empty()).await;
    assert_eq!(shown(&authority.connect(address, "app.test", &[]).await.unwrap()), before);
    authority.issue("first", &["app.test"]);
    eventually("the new one is shown", async || shown(&authority.connect(address, "app.test", &[]).await.unwrap()) != before)
        .await;
}

#[tokio::test]
async fn certificates_that_are_asked_to_be_read_again_are_shown_at_once() {
    let authority = Authority::new();
    let world = secure_world(&authority).start().await;
    let address = world.replicas[0].tls_address.unwrap();
    let before = shown(&authority.connect(address, "app.test", &[]).await.unwrap());
    std::fs::write(authority.path("first.pem"), "no certificate").unwrap();
    world.replicas[0].read_certificates_again();
    assert_eq!(shown(&authority.connect(address, "app.test", &[]).await.unwrap()), before);
    authority.issue("first", &["app.test"]);
    world.replicas[0].read_certificates_again();
    assert_ne!(shown(&authority.connect(address, "app.test", &[]).await.unwrap()), before);
}

#[tokio::test]
async fn what_clients_find_of_the_certificate_is_said_and_shown_at_the_time_of_asking() {
    const DAY: Duration = Duration::from_secs(86_400);
    let (authority, clock) = (Authority::new(), evergate::clock::Clock::manual());
    let now = clock.now();
    // A name that no other test has, by which its lines in the log are found.
    let host = "judged.app.test";
    let (certificate, key) = authority.issue_for("front", &[host], now.plus(DAY)..now.plus(3 * DAY));
    let world = World::build()
        .by(clock)
        .set("access_url", &format!("https://{host}"))
        .set("tls_enable", "true")
        .set("tls_address", "127.0.0.1:0")
        .set("tls_cert_file", &certificate)
        .set("tls_key_file", &key)
        .start()
        .await;
    let shown = async || world.visitor().get("/oauth2/readyz").await;
    let lines = |found: &str| lines_with(&["WARN", "served for judged.app.test will be refused", found]).len();
    assert_eq!(shown().await.json()["certificate"], "not_yet_valid");
    eventually("it is said", async || lines("is not valid before") == 1).await;
    let expiry = now.plus(3 * DAY).seconds();
    #[expect(clippy::cast_possible_truncation, reason = "a figure of whole seconds")]
    eventually("its expiry is a figure", async || {
        world.metric(0, "evergate_certificate_expiry_timestamp_seconds") as i64 == expiry
    })
    .await;
    world.clock.advance(2 * DAY);
    assert_eq!(shown().await.json()["certificate"], "ok");
    world.clock.advance(2 * DAY);
    let reply = shown().await;
    assert_eq!((&reply.json()["certificate"], reply.status), (&"expired".into(), StatusCode::OK), "sessions are served");
    eventually("it is said when it expires", async || lines("expired at") == 1).await;
    authority.issue("front", &["another.test"]);
    eventually("another name is read", async || shown().await.json()["certificate"] == "wrong_name").await;
    eventually("it is said", async || lines("is for other host names") == 1).await;
    authority.issue("front", &["*.app.test"]);
    eventually("a wildcard has the name", async || shown().await.json()["certificate"] == "ok").await;
    eventually("it is said", async || !lines_with(&["INFO", "served for judged.app.test is valid again"]).is_empty()).await;
    assert_eq!(lines(""), 3, "each once");
}

#[tokio::test]
async fn a_client_certificate_that_has_expired_is_said_at_the_start() {
    let (authority, clock) = (Authority::new(), evergate::clock::Clock::manual());
    let hour = Duration::from_secs(3600);
    let (old, old_key) = authority.issue_for("client", &["gateway.test"], clock.now().minus(2 * hour)..clock.now().minus(hour));
    let _world = World::build()
        .by(clock)
        .set("tls_client_cert_file", &old)
        .set("tls_client_key_file", &old_key)
        .set("upstream_client_cert_file", &authority.issue("good", &["gateway.test"]).0)
        .set("upstream_client_key_file", &authority.path("good.key").display().to_string())
        .start()
        .await;
    assert_eq!(lines_with(&["WARN", &old, "will be refused, because it expired at"]).len(), 1);
    assert!(lines_with(&["WARN", &authority.path("good.pem").display().to_string()]).is_empty());
}

#[tokio::test]
async fn the_certificate_of_each_site_is_the_one_that_its_clients_are_shown() {
    let authority = Authority::new();
    for (names, state) in [(["app.test", "docs.test"], "ok"), (["app.test", "other.test"], "wrong_name")] {
        let (first, first_key) = authority.issue("first", &names[..1]);
        let (second, second_key) = authority.issue("second", &names[1..]);
        let world = World::build()
            .secure(&authority)
            .set("tls_cert_file", &format!("{first},{second}"))
            .set("tls_key_file", &format!("{first_key},{second_key}"))
            .routes(|upstream| format!("[[route]]\nhost = \"docs.test\"\nupstream = \"{upstream}\"\n"))
            .start()
            .await;
        assert_eq!(world.visitor().get("/oauth2/readyz").await.json()["certificate"], state);
    }
    let world = World::start().await;
    assert!(world.visitor().get("/oauth2/readyz").await.json()["certificate"].is_null(), "TLS is ended elsewhere");
}

#[tokio::test]
async fn tls_beside_an_access_url_in_plain_text_is_shown() {
    let authority = Authority::new();
    let world = World::build().secure(&authority).set("access_url", "http://app.test").start().await;
    let reply = world.visitor().get("/oauth2/readyz").await;
    assert_eq!((&reply.json()["access_url"], reply.status), (&"plain_http".into(), StatusCode::OK));
}

#[tokio::test]
async fn plain_text_and_strays_are_sent_to_the_access_url() {
    let authority = Authority::new();
    let world = secure_world(&authority).set("redirect_to_access_url", "true").start().await;
    let visitor = world.visitor();
    let plain = visitor.send(Method::POST, "/form?a=b", &[], "x=y").await;
    assert_eq!((plain.status, plain.header("location")), (StatusCode::PERMANENT_REDIRECT, "https://app.test/form?a=b"));
    let stray = visitor.send(Method::GET, "//evil.example/x", &[("host", "evil.example")], "").await;
    assert_eq!((stray.status, stray.header("location")), (StatusCode::PERMANENT_REDIRECT, "https://app.test//evil.example/x"));
    assert_eq!(visitor.get("/oauth2/healthz").await.status, StatusCode::OK, "probes need no name");
    assert!(world.upstream.requests().is_empty());
}

/// An app that speaks TLS, demands a client certificate, and says which protocol it was spoken to in.
async fn secure_app(authority: &Authority, protocols: &[&str]) -> SocketAddr {
    let (certificate, key) = authority.issue("app", &["localhost"]);
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.ca_file()).unwrap()).unwrap();
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let mut config = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![CertificateDer::from_pem_file(certificate).unwrap()], PrivateKeyDer::from_pem_file(key).unwrap())
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let socket = TcpSocket::new_v4().unwrap();
    // So that sockets hold little of what a slow app does not read.
    socket.set_recv_buffer_size(32 * 1024).unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(128).unwrap();
    let (address, acceptor) = (listener.local_addr().unwrap(), TlsAcceptor::from(Arc::new(config)));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = service_fn(|request: Request<hyper::body::Incoming>| async move {
                    let host = request.uri().authority().map(ToString::to_string);
                    let host = host.or_else(|| Some(request.headers().get("host")?.to_str().unwrap().to_owned()));
                    let version = request.version();
                    // A slow one: whatever is larger than what sockets hold waits for it.
                    if request.uri().path() == "/slow" {
                        settled().await;
                    }
                    let length = request.into_body().collect().await.map_or(0, |body| body.to_bytes().len());
                    let text = format!("{version:?} {} {length}", host.unwrap_or_default());
                    let response = Response::builder().header("x-upstream", "yes").body(Full::<Bytes>::from(text)).unwrap();
                    Ok::<_, std::convert::Infallible>(response)
                });
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ended = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

/// A world whose app is a secure one.
async fn world_before(authority: &Authority, protocol: &str) -> World {
    let app = secure_app(authority, &["h2", "http/1.1"]).await;
    let (certificate, key) = authority.issue("gateway", &["gateway.test"]);
    World::build()
        .set("upstream_url", &format!("https://localhost:{}", app.port()))
        .set("upstream_protocol", protocol)
        .set("upstream_ca_file", &authority.ca_file())
        .set("upstream_client_cert_file", &certificate)
        .set("upstream_client_key_file", &key)
        .start()
        .await
}

#[tokio::test]
async fn an_app_is_judged_by_its_own_authority_and_shown_our_certificate() {
    for (protocol, spoken) in [("http2", "HTTP/2.0 app.test 0"), ("http1", "HTTP/1.1 app.test 0")] {
        let authority = Authority::new();
        let world = world_before(&authority, protocol).await;
        let visitor = world.signed_in().await;
        for _ in 0..3 {
            assert_eq!(visitor.get("/").await.text(), spoken);
        }
    }
}

#[tokio::test]
async fn what_tls_holds_back_because_an_app_is_slow_reaches_it_all_the_same() {
    let authority = Authority::new();
    let world = world_before(&authority, "http1").await;
    let visitor = world.signed_in().await;
    // One of these ends while the sockets are full and less is left than TLS holds back.
    for lengths in (1..=128).map(|number| 48 * 1024 * number).collect::<Vec<usize>>().chunks(16) {
        let upload = |length: usize| {
            let visitor = visitor.clone();
            tokio::spawn(async move {
                let body = "x".repeat(length);
                let reply = visitor.send(Method::POST, "/slow", &[("origin", "https://app.test")], &body);
                let reply = in_time("all of it arrives", reply).await;
                assert_eq!(reply.text(), format!("HTTP/1.1 app.test {length}"));
            })
        };
        for uploaded in lengths.iter().map(|length| upload(*length)).collect::<Vec<_>>() {
            uploaded.await.unwrap();
        }
    }
}

#[tokio::test]
async fn an_app_whose_certificate_is_not_to_be_trusted_is_not_spoken_to() {
    let authority = Authority::new();
    let app = secure_app(&authority, &["http/1.1"]).await;
    let world = World::build().set("upstream_url", &format!("https://localhost:{}", app.port())).start().await;
    let visitor = world.signed_in().await;
    let answer = visitor.get("/").await;
    assert_eq!((answer.status, answer.header("evergate-response")), (StatusCode::BAD_GATEWAY, "upstream_unreachable"));
}

#[tokio::test]
async fn a_provider_whose_certificate_is_not_to_be_trusted_is_an_alarm_and_logs_nobody_out() {
    let authority = Authority::new();
    let app = secure_app(&authority, &["http/1.1"]).await;
    let mut world = World::build().start().await;
    let visitor = world.signed_in().await;
    // From now on the token endpoint is one that cannot prove who it is.
    world.idp.set_metadata(serde_json::json!({"token_endpoint": format!("https://localhost:{}/token", app.port())}));
    world.restart_with(&[]).await;
    let visitor = visitor.at(world.address());
    world.clock.advance(Duration::from_secs(301));
    assert!(visitor.get("/").await.is_upstreams(), "served within the grace");
    assert_eq!(visitor.fetch("/oauth2/readyz").await.json()["client"], "refused");
    let said = lines_with(&[world.idp.issuer(), "failed to renew OIDC token: untrusted_certificate"]);
    assert!(!said.is_empty());
    assert_eq!(world.idp.calls(Endpoint::Refresh), 0);
}

/// What a client with this certificate is answered over TLS; `None` where it gets no answer.
async fn answered(authority: &Authority, address: SocketAddr, certificate: Option<&(String, String)>) -> Option<StatusCode> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority.ca_file()).unwrap()).unwrap();
    let config = ClientConfig::builder().with_root_certificates(roots);
    let config = match certificate {
        Some((chain, key)) => config
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_file(chain).unwrap()],
                PrivateKeyDer::from_pem_file(key).unwrap(),
            )
            .unwrap(),
        None => config.with_no_client_auth(),
    };
    let stream = TcpStream::connect(address).await.unwrap();
    let stream = TlsConnector::from(Arc::new(config)).connect("app.test".try_into().unwrap(), stream).await.ok()?;
    // With TLS 1.3 a client learns only when it reads that its certificate was refused.
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(connection);
    let request = Request::get("/oauth2/healthz").header("host", "app.test").body(Empty::<Bytes>::new()).unwrap();
    sender.send_request(request).await.ok().map(|answer| answer.status())
}

#[tokio::test]
async fn clients_present_a_certificate_where_it_is_required_and_none_that_is_not_verified() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (trusted, strange) = (authority.issue("client", &["ann"]), other.issue("client", &["ann"]));
    let ok = Some(StatusCode::OK);
    for (mode, without, with_trusted, with_strange) in
        [("none", ok, ok, ok), ("request", ok, ok, ok), ("verify-if-given", ok, ok, None), ("require-and-verify", None, ok, None)]
    {
        let world =
            secure_world(&authority).set("tls_client_auth", mode).set("tls_client_ca_file", &authority.ca_file()).start().await;
        let address = world.replicas[0].tls_address.unwrap();
        assert_eq!(answered(&authority, address, None).await, without, "{mode}, without a certificate");
        assert_eq!(answered(&authority, address, Some(&trusted)).await, with_trusted, "{mode}, with one of the authority's");
        assert_eq!(answered(&authority, address, Some(&strange)).await, with_strange, "{mode}, with another authority's");
    }
}
