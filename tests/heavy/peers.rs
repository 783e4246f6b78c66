//! A provider and a browser that nobody here wrote.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use evergate::{
    app::{self, Running},
    clock::Clock,
    config::{Environment, Problems, check},
    timings::Timings,
};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use url::Url;

use crate::harness::{
    client_key::ClientKey,
    doctor::Doctor,
    eventually::eventually,
    upstream::Upstream,
    visitor::{Reply, Visitor, path_of},
};

const PEERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers");
const ACCESS: &str = "http://app.test";

/// npm's `oidc-provider`, certified by the OpenID Foundation. Ends with its standard input.
pub(super) struct Certified {
    pub(super) issuer: Url,
    events: Arc<Mutex<Vec<Value>>>,
    commands: ChildStdin,
    _process: Child,
}

impl Certified {
    fn start() -> Self {
        Self::start_with(&[])
    }

    pub(super) fn start_with(arguments: &[&str]) -> Self {
        let mut process = Command::new("node")
            .args(["oidc-provider.mjs", "--access-token-seconds", "2", "--redirect-uri", &format!("{ACCESS}/oauth2/callback")])
            .args(arguments)
            .args(["--post-logout-redirect-uri", &format!("{ACCESS}/oauth2/signed_out")])
            .current_dir(PEERS)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node is installed");
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let first = lines.next().expect("it started; tests/run installs what it needs").unwrap();
        let first: Value = serde_json::from_str(&first).unwrap();
        let events: Arc<Mutex<Vec<Value>>> = Arc::default();
        let noted = Arc::clone(&events);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                noted.lock().unwrap().extend(serde_json::from_str::<Value>(&line));
            }
        });
        let commands = process.stdin.take().unwrap();
        Self { issuer: first["issuer"].as_str().unwrap().parse().unwrap(), events, commands, _process: process }
    }

    /// How many events have these members.
    fn count(&self, members: &Value) -> usize {
        let has = |event: &Value| members.as_object().unwrap().iter().all(|(name, value)| event[name] == *value);
        self.events.lock().unwrap().iter().filter(|event| has(event)).count()
    }

    pub(super) fn renewals(&self) -> usize {
        self.count(&json!({"event": "grant.success", "grant_type": "refresh_token"}))
    }

    fn command(&mut self, command: &str) {
        writeln!(self.commands, "{command}").unwrap();
    }
}

/// The settings of an Evergate before it.
fn settings(idp: &Certified, upstream: &str, directory: &Path) -> Vec<(&'static str, String)> {
    vec![
        ("access_url", ACCESS.to_owned()),
        ("http_address", "127.0.0.1:0".to_owned()),
        ("upstream_url", upstream.to_owned()),
        ("oidc_issuer_url", idp.issuer.as_str().trim_end_matches('/').to_owned()),
        ("oidc_client_id", "evergate".to_owned()),
        ("oidc_client_secret", "not-much-of-a-secret".to_owned()),
        ("oidc_auth_url_params", r#"{"prompt":"consent"}"#.to_owned()),
        ("data_dir", directory.to_str().unwrap().to_owned()),
    ]
}

/// Evergate before it, by the clock that both share.
async fn gateway(idp: &Certified, upstream: &Upstream, directory: &Path) -> Running {
    let settings = settings(idp, &format!("http://{}", upstream.address), directory);
    gateway_with(settings, None).await
}

async fn gateway_with(settings: Vec<(&'static str, String)>, config_path: Option<String>) -> Running {
    let flags = settings.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let environment = Environment { flags, config_path, ..Environment::default() };
    let raw = environment.read(&mut Problems::default());
    let checked = check(&raw, Problems::default()).unwrap();
    let running = app::start(checked, Clock::System, Timings::default()).await.unwrap();
    let visitor = Visitor::new(running.address);
    eventually("the provider is found", async || visitor.get("/oauth2/readyz").await.json()["provider"] == "ok").await;
    running
}

/// The same browser's half that talks to the provider.
fn at_provider(idp: &Certified) -> Visitor {
    Visitor::new(idp.issuer.socket_addrs(|| None).unwrap()[0])
}

/// Where a reply of the provider's leads; it writes relative addresses.
fn next_of(idp: &Certified, reply: &Reply) -> Url {
    idp.issuer.join(reply.header("location")).unwrap()
}

/// Logs in through the provider's own pages; the header of `oidc-provider.mjs` tells the steps. Returns where it ends.
async fn log_in_at(provider: &Visitor, idp: &Certified, begin: Url) -> Url {
    let host = format!("127.0.0.1:{}", idp.issuer.port().unwrap());
    let form = [("content-type", "application/x-www-form-urlencoded"), ("host", host.as_str())];
    let page = [("accept", "text/html"), ("host", host.as_str())];
    let mut next = begin;
    for submitted in ["prompt=login&login=maya&password=any", "prompt=consent"] {
        let asked = provider.send(Method::GET, &path_of(&next), &page, "").await;
        let question = next_of(idp, &asked);
        let answered = provider.send(Method::POST, &path_of(&question), &form, submitted).await;
        next = next_of(idp, &answered);
    }
    let done = provider.send(Method::GET, &path_of(&next), &page, "").await;
    next_of(idp, &done)
}

/// Logs in at the gateway.
async fn log_in(visitor: &Visitor, provider: &Visitor, idp: &Certified) {
    let begin = visitor.get("/deep?x=1").await.location();
    let landed = visitor.get(&path_of(&log_in_at(provider, idp, begin).await)).await.location();
    assert_eq!(landed.as_str(), format!("{ACCESS}/deep?x=1"));
}

/// Logs out at the provider, which asks for confirmation.
async fn log_out_at(provider: &Visitor, idp: &Certified, address: &Url) {
    let host = format!("127.0.0.1:{}", idp.issuer.port().unwrap());
    let question = provider.send(Method::GET, &path_of(address), &[("accept", "text/html"), ("host", &host)], "").await.text();
    let xsrf = question.split("name=\"xsrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next());
    let form = [("content-type", "application/x-www-form-urlencoded"), ("host", host.as_str())];
    let confirmed = format!("xsrf={}&logout=yes", xsrf.unwrap_or_else(|| panic!("no form: {question}")));
    let done = provider.send(Method::POST, "/session/end/confirm", &form, &confirmed).await;
    assert_eq!(next_of(idp, &done).as_str(), format!("{ACCESS}/oauth2/signed_out"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_out_what_a_certified_provider_does() {
    let idp = Certified::start();
    let settings = settings(&idp, "http://127.0.0.1:9", Path::new("/nonexistent"));
    let mut doctor = Doctor::start(&settings, &["--storm", "--destructive", "--yes", "--json"]);
    let mut provider = at_provider(&idp);
    while let Some(address) = doctor.sends_to_more() {
        if address.path().contains("/session/end") {
            log_out_at(&provider, &idp, &address).await;
            doctor.type_line("");
        } else {
            provider = at_provider(&idp);
            doctor.type_line(log_in_at(&provider, &idp, address).await.as_str());
        }
    }
    let (code, printed) = doctor.end();
    let report: Value = serde_json::from_str(&printed).unwrap_or_else(|_| panic!("not JSON: {printed}"));
    let facts = &report["facts"];
    let storm = &facts["storm"];
    assert_eq!((&storm["requests"], &storm["answered"], &storm["calls"]), (&json!(100), &json!(100), &json!(1)), "{report:#}");
    assert_eq!(facts["renewals"][1]["rotated"], true, "{report:#}");
    // A grant with offline_access outlives the provider's session (OpenID Connect Core section 11).
    let expected = json!({"reuse": "ends_grant", "logout": "survived", "revocation": "works"});
    assert_eq!(facts["destructive"], expected, "{report:#}");
    assert_eq!((code, &report["level"]), (1, &json!("warning")), "access tokens live 2 s: {report:#}");
    // Two renewals and the storm's; the token that is presented after its reuse is refused; one after the logout.
    assert_eq!(idp.renewals(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_certified_provider_users_log_in_stay_and_log_out() {
    let (mut idp, upstream, directory) = (Certified::start(), Upstream::start().await, tempfile::tempdir().unwrap());
    let running = gateway(&idp, &upstream, directory.path()).await;
    let (visitor, provider) = (Visitor::new(running.address), at_provider(&idp));
    log_in(&visitor, &provider, &idp).await;
    visitor.get("/").await;
    assert_eq!(upstream.last().header("x-forwarded-user"), Some("maya"));

    // Two renewals and more, each once though many requests need it.
    eventually("tokens of 2 s are renewed", async || {
        assert!(visitor.fetch_at_once(10, "/").await.iter().all(Reply::is_upstreams));
        idp.renewals() >= 3
    })
    .await;
    assert_eq!(idp.count(&json!({"event": "grant.error", "detail": "refresh token already used"})), 0);
    assert!(idp.count(&json!({"event": "grant.error"})) <= 1, "a look, with a token that is nobody's");
    let info = visitor.fetch("/oauth2/userinfo").await.json();
    assert!(info["renewals"].as_i64().unwrap() >= 2, "{info}");

    // A thief presents a used token: the provider ends the grant, and only a login brings a new one.
    idp.command("replay");
    eventually("the provider noticed", async || idp.count(&json!({"event": "grant.revoked"})) > 0).await;
    eventually("the grant is dead", async || {
        let reply = visitor.fetch("/").await;
        reply.status == StatusCode::UNAUTHORIZED && reply.json()["reason"] == "grant_dead"
    })
    .await;

    let again = Visitor::new(running.address);
    log_in(&again, &at_provider(&idp), &idp).await;
    let revoked = idp.count(&json!({"event": "grant.revoked", "by": "revocation"}));
    let to_provider = again.send(Method::POST, "/oauth2/sign_out", &[], "").await.location();
    assert_eq!(to_provider.host_str(), idp.issuer.host_str());
    assert_eq!(again.fetch("/").await.status, StatusCode::UNAUTHORIZED);
    eventually("the refresh token is revoked", async || {
        idp.count(&json!({"event": "grant.revoked", "by": "revocation"})) > revoked
    })
    .await;
    let host = format!("127.0.0.1:{}", idp.issuer.port().unwrap());
    let question = provider.send(Method::GET, &path_of(&to_provider), &[("accept", "text/html"), ("host", &host)], "").await;
    assert_eq!(question.status, StatusCode::OK, "the post-logout address is the registered one: {}", question.text());
    assert!(running.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certified_provider_accepts_each_method_of_client_authentication_with_pushed_requests_and_without() {
    const SECRET: &str = "a-secret-of-more-than-thirty-two-bytes";
    let directory = tempfile::tempdir().unwrap();
    let (rsa, ec) = (ClientKey::generate("RS256"), ClientKey::generate("ES256"));
    for (method, key) in [
        ("client_secret_post", None),
        ("client_secret_jwt", None),
        ("private_key_jwt", Some(&rsa)),
        ("private_key_jwt", Some(&ec)),
    ] {
        let jwk = key.map(|key| key.jwk.to_string()).unwrap_or_default();
        let mut arguments = vec!["--client-auth-method", method, "--client-secret", SECRET];
        if key.is_some() {
            arguments.extend(["--client-jwk", &jwk, "--require-par"]);
        }
        let (idp, upstream, data) = (Certified::start_with(&arguments), Upstream::start().await, tempfile::tempdir().unwrap());
        let mut settings = settings(&idp, &format!("http://{}", upstream.address), data.path());
        settings.retain(|(name, _)| *name != "oidc_client_secret");
        match key {
            Some(key) => {
                key.write_key(directory.path());
                let [path, _] = ClientKey::paths(directory.path());
                settings.push(("oidc_client_key_file", path.display().to_string()));
            }
            None => settings.extend([("oidc_client_secret", SECRET.to_owned()), ("oidc_client_auth_method", method.to_owned())]),
        }
        let running = gateway_with(settings, None).await;
        let visitor = Visitor::new(running.address);
        log_in(&visitor, &at_provider(&idp), &idp).await;
        eventually("tokens of 2 s are renewed", async || {
            assert!(visitor.fetch("/").await.is_upstreams());
            idp.renewals() >= 1
        })
        .await;
        let pushed = idp.count(&json!({"event": "pushed_authorization_request.success"}));
        assert_eq!(pushed, usize::from(key.is_some()), "{method}");
        visitor.send(Method::POST, "/oauth2/sign_out", &[], "").await;
        eventually("the refresh token is revoked", async || {
            idp.count(&json!({"event": "grant.revoked", "by": "revocation"})) > 0
        })
        .await;
        assert!(running.stop().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_browser_the_demo_logs_in_renews_and_logs_out() {
    let directory = tempfile::tempdir().unwrap();
    let demo = evergate::demo::start(None, None, directory.path(), evergate::demo::Content::Nothing).await.unwrap();
    let url = demo.url.clone();
    let run = tokio::task::spawn_blocking(move || {
        Command::new("node").args(["browser.mjs", &url]).current_dir(PEERS).stdin(Stdio::null()).output()
    });
    let output = tokio::time::timeout(Duration::from_secs(300), run).await.unwrap().unwrap().unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
    assert!(demo.gateway.stop().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn users_of_two_certified_providers_stay_also_while_one_of_them_is_gone() {
    let (first, upstream, directory) = (Certified::start(), Upstream::start().await, tempfile::tempdir().unwrap());
    let second = Certified::start_with(&["--redirect-uri", &format!("{ACCESS}/oauth2/callback/second")]);
    let file = directory.path().join("evergate.toml");
    let table = format!(
        "[[provider]]\nname = \"second\"\noidc_issuer_url = \"{}\"\noidc_client_id = \"evergate\"\n\
         oidc_client_secret = \"not-much-of-a-secret\"\noidc_auth_url_params = {{ prompt = \"consent\" }}\n",
        second.issuer.as_str().trim_end_matches('/')
    );
    std::fs::write(&file, table).unwrap();
    let settings = settings(&first, &format!("http://{}", upstream.address), directory.path());
    let running = gateway_with(settings, Some(file.display().to_string())).await;
    let mut visitors = Vec::new();
    for (name, idp) in [("default", &first), ("second", &second)] {
        let visitor = Visitor::new(running.address);
        let begin = visitor.get(&format!("/oauth2/start?provider={name}&rd=/deep")).await.location();
        let landed = visitor.get(&path_of(&log_in_at(&at_provider(idp), idp, begin).await)).await.location();
        assert_eq!(landed.as_str(), format!("{ACCESS}/deep"));
        visitors.push(visitor);
    }
    eventually("both renew tokens of 2 s", async || {
        for visitor in &visitors {
            assert!(visitor.fetch("/").await.is_upstreams());
        }
        first.renewals() >= 2 && second.renewals() >= 2
    })
    .await;
    drop(second);
    let before = first.renewals();
    eventually("the one renews on, and the other's users are served", async || {
        for visitor in &visitors {
            let reply = visitor.fetch("/").await;
            assert!(reply.is_upstreams(), "{}", reply.text());
        }
        first.renewals() >= before + 2
    })
    .await;
    assert!(running.stop().await);
}
