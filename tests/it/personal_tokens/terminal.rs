//! How a terminal gets a token: `evergate login`.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    time::Duration,
};

use base64::prelude::*;
use evergate::secret::{random_text, sha256};
use http::{Method, StatusCode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{OWN_PAGE, ROUTES, call, seal_of, send, sign_out, submit, world};
use crate::harness::{ACCESS, World, process::free_port};

#[tokio::test]
async fn the_page_of_a_terminal_is_small_however_long_its_address_is() {
    let world = world().start().await;
    let ann = world.signed_in().await;
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(sha256(b"verifier"));
    let query = format!("name=laptop&days=2&route=%2Fapi&port=4711&code_challenge={challenge}&state=abc");
    let blanks = "+".repeat(9000);
    for more in [format!("x={}", "y".repeat(30_000)), format!("x={}", "%22".repeat(5000)), format!("name=x{blanks}")] {
        let page = ann.get(&format!("/oauth2/terminal?{query}&{more}")).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.text().len() <= 20 * 1024, "{}", page.text().len());
    }
    let blank = ann.get(&format!("/oauth2/terminal?{}", query.replace("laptop", &format!("{blanks}laptop{blanks}")))).await;
    assert!(blank.text().len() <= 20 * 1024 && blank.text().contains("<strong>laptop</strong>"), "{}", blank.text());
    // What it passes on is what was asked for.
    let page = ann.get(&format!("/oauth2/terminal?{query}&x=y")).await.text();
    let action = page.split("action=\"").nth(1).unwrap().split('"').next().unwrap().replace("&amp;", "&");
    let asked = |query: &str| {
        let mut pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        pairs.sort();
        pairs
    };
    assert_eq!(asked(action.split_once('?').unwrap().1), asked(&query));
}

#[tokio::test]
async fn a_terminal_redeems_its_own_code_once_and_soon() {
    let world = world().start().await;
    let (ann, terminal) = (world.signed_in().await, world.visitor());
    let verifier = random_text::<32>();
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()));
    let query = format!("name=laptop&days=2&code_challenge={challenge}&state=abc");
    let page = ann.get(&format!("/oauth2/terminal?{query}&port=4711")).await;
    assert!(page.text().contains("<strong>laptop</strong>") && page.text().contains("ann@example.com"), "{}", page.text());
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
async fn a_terminal_s_page_that_stood_open_for_too_long_leads_back_to_itself() {
    let world = world().start().await;
    let ann = world.signed_in().await;
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(sha256(b"verifier"));
    let query = format!("name=laptop&code_challenge={challenge}&state=abc&days=2&port=4711");
    let page = ann.get(&format!("/oauth2/terminal?{query}")).await.text();
    let address = page.split("action=\"").nth(1).unwrap().split('"').next().unwrap().replace("&amp;", "&");
    assert_eq!(address, format!("/oauth2/terminal?{query}"));
    world.clock.advance(Duration::from_secs(3600));
    for (language, said) in [("en", "This page is too old"), ("de", "Diese Seite ist zu alt")] {
        let lines = [OWN_PAGE.as_slice(), &[("accept-language", language)]].concat();
        let late = send(&ann, &address, &format!("{query}&seal={}", seal_of(&page)), &lines).await;
        assert_eq!((late.status, late.header("evergate-response")), (StatusCode::FORBIDDEN, "form_expired"));
        let link = format!("href=\"{ACCESS}{}\"", address.replace('&', "&amp;"));
        assert!(late.text().contains(said) && late.text().contains(&link), "{}", late.text());
    }
    assert_eq!(submit(&ann, "/oauth2/terminal", &query).await.status, StatusCode::SEE_OTHER, "the page is as it was");
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
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let mut kept: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    kept[access.as_str()]["expires_at"] = 1.into();
    std::fs::write(&file, kept.to_string()).unwrap();
    let printed = evergate(&["token", &access]).output().unwrap();
    assert!(printed.stdout.is_empty() && !printed.status.success(), "it has expired");
    assert!(String::from_utf8(printed.stderr).unwrap().contains("has expired"));
    let mut helper = evergate(&["git-credential", "get"]).spawn().unwrap();
    helper.stdin.take().unwrap().write_all(format!("protocol=http\nhost={address}\n\n").as_bytes()).unwrap();
    let told = helper.wait_with_output().unwrap();
    assert!(told.stdout.is_empty() && String::from_utf8(told.stderr).unwrap().contains("evergate login"));
    assert_eq!(evergate(&["token", "https://other.example"]).output().unwrap().status.code(), Some(69));
}
