//! What pages use that outlive their session; `tests/heavy/pages.rs` has it in a browser.

use std::{sync::Arc, time::Duration};

use http::{Method, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};

use crate::harness::{World, idp::Endpoint, visitor::Visitor, wire};

const OWN: [(&str, &str); 3] = [("origin", "https://app.test"), ("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors")];
const MINUTE: Duration = Duration::from_secs(60);

async fn refresh(visitor: &Visitor, headers: &[(&str, &str)]) -> StatusCode {
    visitor.send(Method::POST, "/oauth2/refresh", headers, "").await.status
}

#[tokio::test]
async fn a_refresh_extends_the_session_and_renews_its_token_and_to_ask_who_it_is_does_not() {
    let world = World::build().set("session_duration", "1h").start().await;
    let (used, unused) = (world.signed_in().await, world.signed_in().await);
    for _ in 0..3 {
        world.clock.advance(40 * MINUTE);
        let before = world.idp.calls(Endpoint::Refresh);
        assert_eq!(refresh(&used, &OWN).await, StatusCode::OK);
        assert_eq!(world.idp.calls(Endpoint::Refresh), before + 1, "the token had expired");
    }
    let told = used.send(Method::POST, "/oauth2/refresh", &OWN, "").await.json();
    assert!(told["user"].is_string() && told["accessTokenExpiresAt"].is_number(), "{told}");
    assert_eq!(refresh(&unused, &OWN).await, StatusCode::UNAUTHORIZED, "nobody used it for two hours");
    for _ in 0..2 {
        assert_eq!(used.fetch("/oauth2/userinfo").await.status, StatusCode::OK);
        world.clock.advance(40 * MINUTE);
    }
    assert_eq!(used.fetch("/oauth2/userinfo").await.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn no_other_origin_keeps_a_session_alive_whatever_it_may_ask_of_apps() {
    let world = World::build().set("allowed_origins", "https://friend.test").start().await;
    let visitor = world.signed_in().await;
    for headers in [
        &[("origin", "https://friend.test"), ("sec-fetch-site", "cross-site")][..],
        &[("origin", "https://evil.app.test"), ("sec-fetch-site", "same-site")],
        &[("sec-fetch-site", "cross-site")],
        &[("origin", "null")],
    ] {
        assert_eq!(refresh(&visitor, headers).await, StatusCode::FORBIDDEN, "{headers:?}");
    }
    assert_eq!(refresh(&visitor, &OWN).await, StatusCode::OK);
    assert_eq!(visitor.fetch("/oauth2/refresh").await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(refresh(&world.visitor(), &OWN).await, StatusCode::UNAUTHORIZED);
    let foreign = [("origin", "https://evil.test"), ("sec-fetch-site", "cross-site"), ("accept", "text/html")];
    let told = world.visitor().send(Method::POST, "/oauth2/refresh", &foreign, "").await.text();
    assert!(told.contains("Nothing was changed") && !told.contains("still signed in"), "nobody is: {told}");
}

#[tokio::test]
async fn the_script_is_for_everybody_and_a_login_may_end_at_a_page_that_says_so() {
    let world = World::start().await;
    let visitor = world.visitor();
    let script = visitor.fetch("/oauth2/session.js").await;
    assert_eq!((script.status, script.header("content-type")), (StatusCode::OK, "text/javascript; charset=utf-8"));
    assert_eq!((script.header("cache-control"), script.header("evergate-response")), ("public, max-age=300", "script"));
    assert!(script.text().starts_with("(()=>{") && !script.text().contains("//"), "without comments");
    let german = visitor.send(Method::GET, "/oauth2/session.js", &[("accept-language", "de-AT,en;q=0.8")], "").await;
    for (script, language, text) in [(&script, "en", "'Sign in'"), (&german, "de", "'Anmelden'")] {
        assert_eq!((script.header("content-language"), script.header("vary")), (language, "accept-language"));
        assert!(script.text().contains(text), "{}", script.text());
    }
    let landed = visitor.log_in(&world.idp, "/oauth2/start?rd=/oauth2/signed_in").await;
    assert_eq!(landed.as_str(), "https://app.test/oauth2/signed_in");
    assert!(visitor.get("/oauth2/signed_in").await.text().contains("Close this window"));
    let stranger = world.visitor().get("/oauth2/signed_in").await;
    assert_eq!(stranger.header("evergate-response"), "sign_in", "whose browser has kept no session is told nothing else");
}

#[tokio::test]
async fn a_login_of_a_new_window_ends_at_its_page_also_at_a_host_that_has_no_front_page() {
    let wiki = |upstream: &str| format!("[[route]]\npath = \"/wiki\"\nupstream = \"{upstream}\"\n");
    let world = World::build().without("upstream_url").routes(wiki).start().await;
    let visitor = world.visitor();
    for (rd, end) in [("/oauth2/signed_in", "/oauth2/signed_in"), ("/oauth2/sign_out", "/"), ("/oauth2/signed_in/x", "/")] {
        let landed = visitor.log_in(&world.idp, &format!("/oauth2/start?rd={rd}")).await;
        assert_eq!(landed.path(), end);
    }
    assert!(visitor.get("/oauth2/signed_in").await.text().contains("Close this window"));
    assert!(visitor.get("/wiki").await.is_upstreams());
}

const SCRIPT: &str = "<script src=\"/oauth2/session.js\"></script>";
const PAGE: [(&str, &str); 4] =
    [("accept", "text/html"), ("accept-encoding", "gzip"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];

/// An app whose pages tell which encoding they were asked for. `/slow` goes on when it is let.
async fn app(go_on: Arc<Notify>) -> std::net::SocketAddr {
    wire::app(move |mut stream| {
        let go_on = Arc::clone(&go_on);
        async move {
            while let Some((head, _)) = wire::read_head(&mut stream).await {
                let head = head.to_lowercase();
                let encoding = head.split("accept-encoding: ").nth(1).map_or("none", |rest| rest.lines().next().unwrap());
                let page = format!("<!doctype html><html><head><title>{encoding}</title>");
                let text = if head.contains("if-none-match: w/\"v1\"") {
                    "HTTP/1.1 304 Not Modified\r\netag: \"v1\"\r\n\r\n".to_owned()
                } else if head.starts_with("get /slow") {
                    let begin = "<!doctype html><html><head>";
                    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ntransfer-encoding: chunked\r\n\r\n";
                    let first = format!("{head}{:x}\r\n{begin}\r\n", begin.len());
                    if stream.write_all(first.as_bytes()).await.is_err() {
                        return;
                    }
                    go_on.notified().await;
                    "3\r\nend\r\n0\r\n\r\n".to_owned()
                } else {
                    let kind = if head.starts_with("get /text") { "text/plain" } else { "text/html" };
                    let length = page.len();
                    format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\netag: \"v1\"\r\n\r\n{page}")
                };
                if stream.write_all(text.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn the_script_is_put_into_pages_of_a_route_that_says_so_and_into_nothing_else() {
    let go_on = Arc::new(Notify::new());
    let app = app(Arc::clone(&go_on)).await;
    let routes = move |_: &str| {
        let route = |path: &str, more: &str| {
            format!("[[route]]\npath = \"{path}\"\nupstream = \"http://{app}\"\nrule = \"public\"\n{more}\n")
        };
        route("/", "session_script = true") + &route("/other", "")
    };
    let world = World::build().routes(routes).start().await;
    let visitor = world.visitor();
    let whole = |encoding: &str| format!("<!doctype html><html><head><title>{encoding}</title>");
    let page = visitor.send(Method::GET, "/doc", &PAGE, "").await;
    assert_eq!(page.text(), whole("identity").replace("<head>", &format!("<head>{SCRIPT}")));
    assert_eq!((page.header("etag"), page.header("content-length")), ("W/\"v1\"", ""));
    let again = [&PAGE[..], &[("if-none-match", "W/\"v1\"")]].concat();
    assert_eq!(visitor.send(Method::GET, "/doc", &again, "").await.status, StatusCode::NOT_MODIFIED);
    for (path, headers, encoding) in [
        ("/other/doc", &PAGE[..], "gzip"),
        ("/text", &PAGE, "identity"),
        ("/doc", &[("accept", "text/html"), ("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")], "none"),
    ] {
        let reply = visitor.send(Method::GET, path, headers, "").await;
        assert_eq!((reply.text(), reply.header("etag")), (whole(encoding), "\"v1\""), "{path}");
    }
    // The page is not waited for.
    let mut browser = TcpStream::connect(world.address()).await.unwrap();
    let ask = "GET /slow HTTP/1.1\r\nhost: app.test\r\naccept: text/html\r\nsec-fetch-mode: navigate\r\nsec-fetch-dest: document\r\n\r\n";
    browser.write_all(ask.as_bytes()).await.unwrap();
    let mut got = Vec::new();
    let mut until = async |end: &str| {
        while !String::from_utf8_lossy(&got).contains(end) {
            assert_ne!(browser.read_buf(&mut got).await.unwrap(), 0, "{}", String::from_utf8_lossy(&got));
        }
    };
    until(&format!("<head>{SCRIPT}")).await;
    go_on.notify_one();
    until("\r\n3\r\nend\r\n0\r\n\r\n").await;
}
