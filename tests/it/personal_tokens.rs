//! Personal access tokens: made by users for scripts, terminals and Git.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    time::Duration,
};

use base64::prelude::*;
use evergate::secret::{random_text, sha256};
use futures_util::{SinkExt, StreamExt};
use http::{Method, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::harness::{
    ACCESS, Kind, World,
    eventually::eventually,
    process::free_port,
    visitor::{Reply, Visitor},
};

const ROUTES: &str = r#"
    [[route]]
    path = "/api"
    bearer_tokens = ["personal"]
    groups = ["staff"]

    [[route]]
    path = "/git"
    bearer_tokens = ["personal", "provider"]
    bearer_pass = true

    [[route]]
    path = "/provider"
    bearer_tokens = ["provider"]

    [[route]]
    path = "/public"
    rule = "public"
"#;

const OWN_PAGE: [(&str, &str); 4] =
    [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), ("sec-fetch-user", "?1")];
const DAY: Duration = Duration::from_secs(24 * 3600);

fn world() -> crate::harness::Builder {
    World::build().routes(|_| ROUTES.to_owned())
}

/// Sends a form of one of our own pages, as the browser does in which the page is shown.
async fn submit(visitor: &Visitor, path: &str, form: &str) -> Reply {
    let shown = if path.starts_with("/oauth2/terminal") { format!("{path}?{form}") } else { path.to_owned() };
    let page = visitor.get(&shown).await.text();
    send(visitor, path, &format!("{form}&seal={}", seal_of(&page)), &OWN_PAGE).await
}

/// What a page of ours puts into its forms.
fn seal_of(page: &str) -> String {
    page.split("name=\"seal\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned()
}

/// Without the cookie: the page has an origin of its own.
async fn send(visitor: &Visitor, path: &str, form: &str, from: &[(&str, &str)]) -> Reply {
    let mut lines = from.to_vec();
    lines.extend([("accept", "text/html"), ("content-type", "application/x-www-form-urlencoded")]);
    visitor.without_cookies().send(Method::POST, path, &lines, form).await
}

/// A form of the app's page.
async fn sign_out(visitor: &Visitor, path: &str) {
    let lines = [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate"), ("origin", ACCESS), ("accept", "text/html")];
    visitor.send(Method::POST, path, &lines, "").await;
}

/// Makes a token as a person does, and reads it off the page.
async fn token(visitor: &Visitor, form: &str) -> String {
    let page = submit(visitor, "/oauth2/tokens", form).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text());
    let text = page.text();
    let secret = text.split("<code>").nth(1).and_then(|rest| rest.split("</code>").next());
    secret.unwrap_or_else(|| panic!("{text}")).to_owned()
}

async fn call(visitor: &Visitor, path: &str, token: &str) -> Reply {
    visitor.send(Method::GET, path, &[("authorization", &format!("Bearer {token}"))], "").await
}

async fn by_password(visitor: &Visitor, path: &str, token: &str) -> Reply {
    let credentials = BASE64_STANDARD.encode(format!("anything:{token}"));
    visitor.send(Method::GET, path, &[("authorization", &format!("Basic {credentials}"))], "").await
}

#[tokio::test]
async fn a_user_makes_a_token_sees_it_once_uses_it_as_bearer_or_password_and_ends_it() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let world = world().on(kind).start().await;
        let (ann, script) = (world.signed_in().await, world.visitor());
        let token = token(&ann, "name=backup+%3Cb%3E&days=7").await;
        assert!(token.starts_with("evg_") && token.len() > 40, "{token}");
        for reply in [call(&script, "/api/x", &token).await, by_password(&script, "/git/x", &token).await] {
            assert!(reply.is_upstreams(), "{kind:?} {} {}", reply.status, reply.text());
            let seen = world.upstream.last();
            assert_eq!(seen.header("x-forwarded-email"), Some("ann@example.com"));
            assert_eq!(seen.header("authorization"), None, "no app sees it, whatever the route says of others");
        }
        let page = ann.get("/oauth2/tokens").await;
        assert!(page.text().contains("backup &lt;b&gt;") && page.text().contains("every route at app.test"), "{}", page.text());
        assert!(page.text().contains("ends in 7 days") && !page.text().contains(&token), "{}", page.text());
        let stored = format!("{:?}", world.replicas[0].metrics);
        assert!(!stored.contains(&token));
        let id = page.text().split("name=\"end\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let bob = Visitor::of(world.address(), crate::harness::idp::user("bob"));
        bob.log_in(&world.idp, "/").await;
        submit(&bob, "/oauth2/tokens", &format!("end={id}")).await;
        assert!(call(&script, "/api", &token).await.is_upstreams(), "nobody else ends it");
        assert!(!bob.get("/oauth2/tokens").await.text().contains("backup"));
        let ended = submit(&ann, "/oauth2/tokens", &format!("end={id}")).await;
        assert_eq!(ended.status, StatusCode::SEE_OTHER);
        let refused = call(&script, "/api", &token).await;
        assert_eq!((refused.status, refused.json()["error"].as_str()), (StatusCode::UNAUTHORIZED, Some("invalid_token")));
        assert!(ann.fetch("/").await.is_upstreams(), "the browser's session goes on");
    }
}

#[tokio::test]
async fn a_token_is_limited_in_time_and_to_its_routes_and_not_by_the_limits_of_browsers() {
    let world = world().set("session_duration", "1h").set("session_max_duration", "2h").start().await;
    let (ann, script) = (world.signed_in().await, world.visitor());
    let for_git = token(&ann, "name=git&days=3&route=%2Fgit").await;
    let usual = token(&ann, "name=usual").await;
    assert!(call(&script, "/git", &for_git).await.is_upstreams());
    assert_eq!(call(&script, "/api", &for_git).await.status, StatusCode::UNAUTHORIZED);
    world.clock.advance(DAY * 2);
    assert!(!ann.fetch("/").await.is_upstreams(), "the browser's session has reached its limits");
    eventually("the sweep has run", async || world.metric(0, "evergate_sessions") <= 2.0).await;
    assert!(call(&script, "/git", &for_git).await.is_upstreams());
    world.clock.advance(DAY);
    assert_eq!(call(&script, "/git", &for_git).await.status, StatusCode::UNAUTHORIZED);
    assert!(call(&script, "/api", &usual).await.is_upstreams());
    world.clock.advance(DAY * 27);
    assert_eq!(call(&script, "/api", &usual).await.status, StatusCode::UNAUTHORIZED, "CODER_DEFAULT_TOKEN_LIFETIME");
    let again = world.signed_in().await;
    for (what, form) in [
        ("too long a life", "name=a&days=91"),
        ("no life", "name=a&days=0"),
        ("no name", "name=+&days=1"),
        ("a long name", &format!("name={}&days=1", "a".repeat(65))),
        ("a name with control characters", "name=a%0Ab&days=1"),
        ("a route that takes none", "name=a&days=1&route=%2Fprovider"),
        ("no number", "name=a&days=x"),
    ] {
        assert_eq!(submit(&again, "/oauth2/tokens", form).await.status, StatusCode::BAD_REQUEST, "{what}");
    }
}

#[tokio::test]
async fn a_token_outlives_the_browser_s_logout_and_ends_with_the_user_s_grant() {
    let world = world().start().await;
    let (ann, script) = (world.signed_in().await, world.visitor());
    let kept = token(&ann, "name=kept").await;
    sign_out(&ann, "/oauth2/sign_out").await;
    assert!(!ann.fetch("/").await.is_upstreams());
    assert!(call(&script, "/api", &kept).await.is_upstreams());
    assert!(world.idp.revoked().is_empty(), "its refresh token is in use");
    world.clock.advance(Duration::from_secs(301));
    assert!(call(&script, "/api", &kept).await.is_upstreams(), "its access token is refreshed as a browser's is");
    world.idp.kill_grants();
    world.clock.advance(Duration::from_secs(301));
    assert_eq!(call(&script, "/api", &kept).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(call(&script, "/api", &kept).await.json()["error"], "invalid_token");
}

#[tokio::test]
async fn a_logout_everywhere_and_an_administrator_end_tokens_too() {
    let world = world().start().await;
    let (ann, script) = (world.signed_in().await, world.visitor());
    let first = token(&ann, "name=first").await;
    sign_out(&ann, "/oauth2/sign_out?everywhere=true").await;
    assert_eq!(call(&script, "/api", &first).await.status, StatusCode::UNAUTHORIZED);
    let ann = world.signed_in().await;
    let second = token(&ann, "name=second").await;
    let (_, listed) = world.command(&["sessions", "list", "--json"]).await;
    assert!(listed.contains("\"second\"") && !listed.contains(&second), "{listed}");
    let (code, printed) = world.command(&["sessions", "revoke", "sub-ann"]).await;
    assert_eq!(code, 0, "{printed}");
    eventually("the token has ended", async || call(&script, "/api", &second).await.status == StatusCode::UNAUTHORIZED).await;
}

#[tokio::test]
async fn a_token_is_no_cookie_a_cookie_is_no_token_and_no_app_gets_one_that_is_not_taken() {
    let world = world().start().await;
    let ann = world.signed_in().await;
    let token = token(&ann, "name=a").await;
    let script = world.visitor();
    script.set_cookie("__Host-evergate_session", &token);
    assert_eq!(script.fetch("/api").await.status, StatusCode::UNAUTHORIZED);
    let script = world.visitor();
    assert_eq!(call(&script, "/api", &ann.session().unwrap()).await.status, StatusCode::UNAUTHORIZED);
    let seen = world.upstream.requests().len();
    for path in ["/", "/public", "/provider"] {
        for visitor in [&script, &ann] {
            assert_eq!(call(visitor, path, &token).await.status, StatusCode::UNAUTHORIZED, "{path}");
            assert_eq!(by_password(visitor, path, &token).await.status, StatusCode::UNAUTHORIZED, "{path}");
        }
    }
    assert_eq!(world.upstream.requests().len(), seen);
    let app_s = BASE64_STANDARD.encode("ann:the-app's-own");
    let own = ann.send(Method::GET, "/git", &[("authorization", &format!("Basic {app_s}"))], "").await;
    assert!(own.is_upstreams(), "a password that is no token of ours is the app's");
    assert_eq!(world.upstream.last().header("authorization"), Some(format!("Basic {app_s}").as_str()));
    for unknown in ["evg_", "evg_x", &format!("evg_{}", random_text::<32>())] {
        assert_eq!(call(&script, "/api", unknown).await.status, StatusCode::UNAUTHORIZED, "{unknown}");
    }
}

#[tokio::test]
async fn no_other_site_and_no_script_of_the_app_makes_or_ends_a_token_or_reads_one() {
    let world = world().start().await;
    let ann = world.signed_in().await;
    for (what, lines) in [
        (
            "another site's form",
            &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("origin", "https://evil.example")][..],
        ),
        ("a sibling's form", &[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "navigate")]),
        ("a script of the app", &[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors"), ("origin", ACCESS)]),
        (
            "a frame of the app's",
            &[
                ("sec-fetch-site", "same-origin"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "iframe"),
                ("sec-fetch-user", "?1"),
            ],
        ),
        (
            "a form that a script sends",
            &[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")],
        ),
        (
            "a worker of the app",
            &[
                ("sec-fetch-site", "same-origin"),
                ("sec-fetch-mode", "navigate"),
                ("sec-fetch-dest", "empty"),
                ("sec-fetch-user", "?1"),
            ],
        ),
        ("a script of the app without CORS", &[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "no-cors")]),
        ("an old browser on another site", &[("origin", "https://evil.example")]),
    ] {
        for path in ["/oauth2/tokens", "/oauth2/terminal"] {
            let reply = ann.send(Method::POST, path, lines, "name=evil&days=1").await;
            assert_eq!(reply.status, StatusCode::FORBIDDEN, "{what} {path}");
        }
    }
    for (what, lines) in [
        ("a script of the app", [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")]),
        ("a worker of the app", [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "empty")]),
        (
            "a frame of the app's",
            [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
        ),
    ] {
        let reply = ann.send(Method::GET, "/oauth2/tokens", &lines, "").await;
        assert_eq!((reply.status, seal_of(&reply.text())), (StatusCode::FORBIDDEN, String::new()), "{what} gets no seal");
    }
    let shown = seal_of(&ann.get("/oauth2/tokens").await.text());
    for lines in [
        [("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty")],
        [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
    ] {
        let reply = send(&ann, "/oauth2/tokens", &format!("name=evil&seal={shown}"), &lines).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "nor is one of use to it");
    }
    assert!(!ann.get("/oauth2/tokens").await.text().contains("evil"));
    let page = submit(&ann, "/oauth2/tokens", "name=good").await;
    let policies: Vec<_> =
        page.headers.get_all("content-security-policy").iter().map(|policy| policy.to_str().unwrap()).collect();
    assert!(policies.iter().any(|policy| policy.starts_with("sandbox") && !policy.contains("allow-same-origin")), "{policies:?}");
    let stranger = world.visitor();
    assert_eq!(submit(&stranger, "/oauth2/tokens", "name=a").await.status, StatusCode::FORBIDDEN);
    let ended = world.signed_in().await;
    let seal = seal_of(&ended.get("/oauth2/tokens").await.text());
    sign_out(&ended, "/oauth2/sign_out").await;
    let late = send(&ended, "/oauth2/tokens", &format!("name=a&seal={seal}"), &OWN_PAGE).await;
    assert_eq!(late.status, StatusCode::UNAUTHORIZED, "whose session has ended meanwhile");
    let sent = stranger.get("/oauth2/tokens").await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER, "a person is sent to a login, and comes back");
    assert_eq!(stranger.browse(&world.idp, "/oauth2/tokens").await.status, StatusCode::OK);
    let none = World::start().await;
    assert_eq!(none.signed_in().await.get("/oauth2/tokens").await.status, StatusCode::NOT_FOUND, "where no route takes any");
}

#[tokio::test]
async fn git_and_curl_are_asked_for_a_password_and_a_browser_s_scripts_are_not() {
    let world = world().start().await;
    let visitor = world.visitor();
    let asked = async |lines: &[(&str, &str)]| {
        let reply = visitor.send(Method::GET, "/git/repository", lines, "").await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
        reply.headers.get_all("www-authenticate").iter().any(|line| line.to_str().unwrap().starts_with("Basic "))
    };
    assert!(asked(&[("user-agent", "git/2.39.5"), ("accept", "*/*")]).await);
    for lines in [
        &[("user-agent", "Mozilla/5.0"), ("accept", "*/*")][..],
        &[("sec-fetch-mode", "cors"), ("accept", "*/*")],
        &[("origin", ACCESS), ("accept", "application/json")],
    ] {
        assert!(!asked(lines).await, "{lines:?}");
    }
    let of_provider = visitor.send(Method::GET, "/provider", &[("user-agent", "git/2.39.5")], "").await;
    assert!(!of_provider.header("www-authenticate").contains("Basic"));
}

#[tokio::test]
async fn a_user_has_so_many_tokens_and_no_more() {
    let world = world().start().await;
    let ann = world.signed_in().await;
    for number in 0..50 {
        token(&ann, &format!("name=t{number}")).await;
    }
    assert_eq!(submit(&ann, "/oauth2/tokens", "name=more").await.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_websocket_that_was_opened_with_a_token_is_cut_when_the_token_is_ended() {
    let routes = "[[route]]\npath = \"/websocket\"\nbearer_tokens = [\"personal\"]\n";
    let world = World::build().routes(|_| routes.to_owned()).start().await;
    let ann = world.signed_in().await;
    let token = token(&ann, "name=a").await;
    let mut request = "ws://app.test/websocket".into_client_request().unwrap();
    request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let stream = TcpStream::connect(world.address()).await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    socket.send("hello".into()).await.unwrap();
    assert!(socket.next().await.unwrap().unwrap().is_text());
    let page = ann.get("/oauth2/tokens").await.text();
    let id = page.split("name=\"end\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    submit(&ann, "/oauth2/tokens", &format!("end={id}")).await;
    let end = async { while socket.next().await.is_some_and(|message| message.is_ok_and(|message| !message.is_close())) {} };
    tokio::time::timeout(Duration::from_secs(60), end).await.expect("it is cut");
}

#[tokio::test]
async fn a_terminal_redeems_its_own_code_once_and_soon() {
    let world = world().start().await;
    let (ann, terminal) = (world.signed_in().await, world.visitor());
    let verifier = random_text::<32>();
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()));
    let query = format!("name=laptop&days=2&code_challenge={challenge}&state=abc");
    let page = ann.get(&format!("/oauth2/terminal?{query}&port=4711")).await;
    assert!(page.text().contains("“laptop”") && page.text().contains("ann@example.com"), "{}", page.text());
    let sent = submit(&ann, "/oauth2/terminal", &format!("{query}&port=4711")).await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER);
    let location = sent.location();
    assert_eq!((location.host_str(), location.port(), location.path()), (Some("127.0.0.1"), Some(4711), "/"));
    let code = location.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    let redeem = async |code: &str, verifier: &str| {
        let form = format!("code={code}&code_verifier={verifier}");
        terminal.send(Method::POST, "/oauth2/terminal/token", &[("accept", "application/json")], &form).await
    };
    assert_eq!(redeem(&code, &random_text::<32>()).await.status, StatusCode::BAD_REQUEST, "another terminal's verifier");
    assert_eq!(redeem("nothing", &verifier).await.status, StatusCode::BAD_REQUEST);
    let told = redeem(&code, &verifier).await.json();
    assert_eq!((told["token_type"].as_str(), told["expires_in"].as_u64()), (Some("Bearer"), Some(2 * 24 * 3600)));
    assert!(call(&terminal, "/api", told["access_token"].as_str().unwrap()).await.is_upstreams());
    let page = ann.get("/oauth2/tokens").await.text();
    let id = page.split("name=\"end\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    submit(&ann, "/oauth2/tokens", &format!("end={id}")).await;
    assert_eq!(
        redeem(&code, &verifier).await.status,
        StatusCode::BAD_REQUEST,
        "a code is redeemed once, also after its token's end"
    );
    let late = submit(&ann, "/oauth2/terminal", &query).await.text();
    let late = late.split("<code>").nth(1).unwrap().split("</code>").next().unwrap().to_owned();
    world.clock.advance(Duration::from_secs(300));
    assert_eq!(redeem(&late, &verifier).await.status, StatusCode::BAD_REQUEST, "and soon");
    let of_ended = submit(&ann, "/oauth2/terminal", &query).await.text();
    let of_ended = of_ended.split("<code>").nth(1).unwrap().split("</code>").next().unwrap().to_owned();
    sign_out(&ann, "/oauth2/sign_out").await;
    assert_eq!(redeem(&of_ended, &verifier).await.status, StatusCode::UNAUTHORIZED, "whose session has ended meanwhile");
    let ann = world.signed_in().await;
    for wrong in [
        "name=a&code_challenge=short",
        &format!("{query}&port=80"),
        &format!("{query}&port=evil.example"),
        "name=a",
        &format!("{query}&name={}", "a".repeat(65)).replace("name=laptop&", ""),
    ] {
        assert_eq!(ann.get(&format!("/oauth2/terminal?{wrong}")).await.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
}

#[tokio::test]
async fn evergate_login_brings_a_terminal_a_token_that_curl_and_git_can_use() {
    let address = format!("127.0.0.1:{}", free_port());
    let access = format!("http://{address}");
    let world =
        World::build().set("access_url", &access).set("http_address", &address).routes(|_| ROUTES.to_owned()).start().await;
    let ann = world.visitor().on_host(&address);
    ann.log_in(&world.idp, "/").await;
    let home = tempfile::tempdir().unwrap();
    let evergate = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_evergate"));
        command.args(arguments).env_clear().env("HOME", home.path()).env("PATH", "/nowhere");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let mut login = evergate(&["login", &access, "--name", "laptop"]).spawn().unwrap();
    let (told, here) = (login.stderr.take().unwrap(), access.clone());
    let page = tokio::task::spawn_blocking(move || {
        let page = |line: String| line.trim().strip_prefix(&here).map(str::to_owned);
        BufReader::new(told).lines().find_map(|line| page(line.unwrap())).expect("it says where to go")
    });
    let page = page.await.unwrap();
    let shown = ann.get(&page).await.text();
    assert!(shown.contains("laptop"));
    let (_, query) = page.split_once('?').unwrap();
    let form = format!("{query}&seal={}", seal_of(&shown));
    let sent = send(&ann, "/oauth2/terminal", &form, &OWN_PAGE).await.location();
    let mut stream = TcpStream::connect(("127.0.0.1", sent.port().unwrap())).await.unwrap();
    AsyncWriteExt::write_all(
        &mut stream,
        format!("GET /?{} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n", sent.query().unwrap()).as_bytes(),
    )
    .await
    .unwrap();
    let mut shown = String::new();
    stream.read_to_string(&mut shown).await.unwrap();
    assert!(shown.contains("can be closed"), "{shown}");
    assert!(tokio::task::spawn_blocking(move || login.wait()).await.unwrap().unwrap().success());
    let printed = evergate(&["token", &access]).output().unwrap();
    let token = String::from_utf8(printed.stdout).unwrap().trim().to_owned();
    let script = world.visitor().on_host(&address);
    assert!(call(&script, "/api", &token).await.is_upstreams());
    let mut helper = evergate(&["git-credential", "get"]).spawn().unwrap();
    helper.stdin.take().unwrap().write_all(format!("protocol=http\nhost={address}\n\n").as_bytes()).unwrap();
    let told = helper.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(told.stdout).unwrap(), format!("username=evergate\npassword={token}\n"));
    let mut helper = evergate(&["git-credential", "get"]).spawn().unwrap();
    helper.stdin.take().unwrap().write_all(b"protocol=https\nhost=other.example\n\n").unwrap();
    assert!(helper.wait_with_output().unwrap().stdout.is_empty(), "other servers get none");
    let file = home.path().join(".config/evergate/tokens.json");
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(evergate(&["token", "https://other.example"]).output().unwrap().status.code(), Some(69));
}

#[tokio::test]
async fn a_token_is_for_the_host_where_it_was_made_and_no_ingress_hands_one_to_an_app() {
    let routes = "[[route]]\nhost = \"other.test\"\npath = \"/api\"\nbearer_tokens = [\"personal\"]\n\
        [[route]]\npath = \"/api\"\nbearer_tokens = [\"personal\"]\n";
    let build =
        World::build().routes(|_| routes.to_owned()).set("forward_auth", "true").set("proxy_trusted_origins", "127.0.0.1");
    let world = build.start().await;
    let (ann, script) = (world.signed_in().await, world.visitor());
    let token = token(&ann, "name=a").await;
    assert!(call(&script, "/api", &token).await.is_upstreams());
    assert_eq!(call(&script.on_host("other.test"), "/api", &token).await.status, StatusCode::UNAUTHORIZED);
    let seal = seal_of(&ann.get("/oauth2/tokens").await.text());
    let elsewhere = send(&ann.on_host("other.test"), "/oauth2/tokens", &format!("name=b&seal={seal}"), &OWN_PAGE).await;
    assert_eq!(elsewhere.status, StatusCode::FORBIDDEN, "nor is a form of one host's page taken at another");
    let authorization = format!("Bearer {token}");
    let lines = [
        ("x-forwarded-method", "GET"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "app.test"),
        ("x-forwarded-uri", "/api"),
        ("authorization", authorization.as_str()),
    ];
    let asked = script.send(Method::GET, "/oauth2/forward_auth", &lines, "").await;
    assert_eq!((asked.status, asked.json()["error"].as_str()), (StatusCode::UNAUTHORIZED, Some("invalid_token")));
}

#[tokio::test]
async fn where_a_login_is_optional_no_app_sees_the_token_of_somebody_who_may_not_enter() {
    let routes = "[[route]]\npath = \"/optional\"\nrule = \"optional\"\nbearer_tokens = [\"personal\", \"provider\"]\n";
    let world = World::build().routes(|_| routes.to_owned()).start().await;
    let ann = world.signed_in().await;
    let token = token(&ann, "name=a").await;
    let mut world = world;
    world.restart_with(&[("oidc_email_domain", "other.example")]).await;
    let script = world.visitor();
    let good = world.idp.signed_access_token(&format!("{ACCESS}/optional"), serde_json::json!({}), serde_json::json!({}));
    for token in [&token, &good] {
        let reply = call(&script, "/optional", token).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{}", reply.text());
    }
    assert!(script.fetch("/optional").await.is_upstreams());
}

#[tokio::test]
async fn tokens_go_on_with_the_grant_that_their_browser_s_session_gets_in_place_of_a_lost_one() {
    let world = world().start().await;
    let (ann, script) = (world.signed_in().await, world.visitor());
    let token = token(&ann, "name=a").await;
    // As after a lost response.
    world.sql("UPDATE grants SET ended_reason = 'outcome_unknown'").await;
    let mut world = world;
    world.restart_with(&[]).await;
    let (ann, script) = (ann.at(world.address()), script.at(world.address()));
    world.clock.advance(Duration::from_secs(301));
    assert_eq!(call(&script, "/api", &token).await.status, StatusCode::UNAUTHORIZED);
    assert!(ann.browse(&world.idp, "/").await.is_upstreams(), "the browser returns silently");
    assert!(call(&script, "/api", &token).await.is_upstreams(), "and its tokens with it");
}

#[tokio::test]
async fn a_script_of_another_origin_that_brings_a_token_needs_no_cookie_s_protection() {
    let world = world().start().await;
    let ann = world.signed_in().await;
    let token = token(&ann, "name=a").await;
    let lines = |credentials: &str| vec![("origin", "https://spa.example".to_owned()), ("authorization", credentials.to_owned())];
    let send = async |credentials: String| {
        let lines = lines(&credentials);
        let lines: Vec<_> = lines.iter().map(|(name, value)| (*name, value.as_str())).collect();
        world.visitor().send(Method::POST, "/api", &lines, "x").await.status
    };
    assert_eq!(send(format!("Bearer {token}")).await, StatusCode::OK);
    let kept_by_a_browser = format!("Basic {}", BASE64_STANDARD.encode(format!("a:{token}")));
    assert_eq!(send(kept_by_a_browser).await, StatusCode::FORBIDDEN);
}
