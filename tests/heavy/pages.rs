//! Our own pages, and pages that outlive their session, in a real browser.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    http::HeaderMap,
    response::{Html, Redirect},
    routing::{get, post},
};
use evergate::clock::Clock;
use http::{Method, StatusCode};
use tokio::net::TcpListener;

use crate::harness::{
    World,
    faults::FaultProxy,
    idp::{CLIENT_ID, CLIENT_SECRET, Idp},
};

/// An app that everybody may see, but for `/api`.
async fn public() -> World {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = listener.local_addr().unwrap();
    let pages = Router::new().fallback(async || Html("<!doctype html><title>A page</title>"));
    tokio::spawn(async move { axum::serve(listener, pages).await });
    let route = move |more: &str| format!("[[route]]\nupstream = \"http://{app}\"\n{more}\n");
    let routes = move |_: &str| route("path = \"/\"\nrule = \"public\"\nsession_script = true") + &route("path = \"/api\"");
    World::build().set("access_url", "http://public.test").routes(routes).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_browser_what_meets_the_end_of_a_session_waits_and_goes_on() {
    let public = public().await;
    run("session.mjs", &[&public.address().to_string()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_browser_our_own_pages_are_for_every_width_and_everybody_and_a_frame_opens_the_login_beside_it() {
    let routes = |_: &str| {
        let app = |path: &str, more: &str| format!("[[route]]\npath = \"{path}\"\n{more}\n");
        app(
            "/wiki",
            "portal_name = \"Wiki\"\nportal_text = \"What everybody should know, and where it is written down.\"\nbearer_tokens = [\"personal\"]",
        ) + &app("/charts", "portal_name = \"Verkehrsüberwachungsdiagramme\"")
    };
    let build = World::build().set("access_url", "http://portal.test").set("portal_enable", "true").routes(routes);
    let portal = build.start().await;
    let visitor = portal.visitor().on_host("portal.test");
    visitor.log_in(&portal.idp, "/wiki").await;
    // Sessions and tokens with buttons beside their lines.
    portal.visitor().on_host("portal.test").log_in(&portal.idp, "/wiki").await;
    let page = visitor.get("/oauth2/tokens").await.text();
    let seal = page.split("name=\"seal\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    let form = format!("seal={seal}&days=30&name=nightly-backup-of-all-that-there-is-to-be-kept");
    let made =
        visitor.send(Method::POST, "/oauth2/tokens", &[("content-type", "application/x-www-form-urlencoded")], &form).await;
    assert_eq!(made.status, StatusCode::OK);
    run("pages.mjs", &[&portal.address().to_string(), &visitor.cookies()["evergate_session"]]).await;
}

/// An app with a form, which tells what it has received.
async fn forms() -> (World, String) {
    const FORM: &str = "<!doctype html><html lang=\"en\"><title>A form</title><form method=\"post\" action=\"/save?x=1\">\
        <label>Title <input name=\"title\"></label><label>Text <textarea name=\"text\"></textarea></label>\
        <label>Password <input name=\"password\" type=\"password\"></label><button>Save</button></form>";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = listener.local_addr().unwrap();
    let received = Arc::<Mutex<Vec<serde_json::Value>>>::default();
    let told = Arc::clone(&received);
    let save = async move |headers: HeaderMap, body: String| {
        let cookie = headers.get("cookie").map_or("", |cookie| cookie.to_str().unwrap());
        received.lock().unwrap().push(serde_json::json!({ "body": body, "cookie": cookie }));
        Redirect::to("/saved")
    };
    let pages = Router::new()
        .route("/form", get(async || ([("set-cookie", "strict=1; SameSite=Strict; Path=/")], Html(FORM))))
        .route("/save", post(save))
        .route("/saved", get(async || Html("<!doctype html><title>Saved</title>")))
        .route("/received", get(async move || Json(told.lock().unwrap().clone())));
    tokio::spawn(async move { axum::serve(listener, pages).await });
    let routes = move |_: &str| format!("[[route]]\npath = \"/\"\nupstream = \"http://{app}\"\nkeep_form_posts = true\n");
    (World::build().in_real_time().set("access_url", "http://forms.test").routes(routes).start().await, app.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_browser_a_form_that_meets_the_end_of_its_session_is_sent_once_after_the_login() {
    let (world, app) = forms().await;
    world.idp.seat();
    run("forms.mjs", &[&world.address().to_string(), &app]).await;
}

/// An app whose service worker sends navigations on.
async fn with_worker() -> (World, String) {
    const FORM: &str = "<!doctype html><html lang=\"en\"><title>A form</title><form method=\"post\" action=\"/save\">\
        <label>Title <input name=\"title\"></label><button>Save</button></form><script>\
        navigator.serviceWorker.register('/worker.js');\
        const behind = () => { if (navigator.serviceWorker.controller) document.title = 'Behind a worker'; };\
        navigator.serviceWorker.addEventListener('controllerchange', behind); behind();</script>";
    const WORKER: &str = "self.addEventListener('install', () => skipWaiting());\
        self.addEventListener('activate', (event) => event.waitUntil(clients.claim()));\
        self.addEventListener('fetch', (event) => event.respondWith(fetch(event.request)));";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let app = listener.local_addr().unwrap();
    let received = Arc::<Mutex<Vec<serde_json::Value>>>::default();
    let told = Arc::clone(&received);
    let save = async move |body: String| {
        received.lock().unwrap().push(serde_json::json!({ "body": body }));
        Redirect::to("/saved")
    };
    let pages = Router::new()
        .route("/form", get(async || Html(FORM)))
        .route("/worker.js", get(async || ([("content-type", "text/javascript")], WORKER)))
        .route("/save", post(save))
        .route("/saved", get(async || Html("<!doctype html><title>Saved</title>")))
        .route("/received", get(async move || Json(told.lock().unwrap().clone())));
    tokio::spawn(async move { axum::serve(listener, pages).await });
    let routes = move |_: &str| {
        format!(
            "[[route]]\npath = \"/\"\nupstream = \"http://{app}\"\nkeep_form_posts = true\nportal_name = \"Forms\"\n\
             bearer_tokens = [\"personal\"]\n"
        )
    };
    let build = World::build().in_real_time().set("access_url", "http://worker.test").set("portal_enable", "true");
    (build.routes(routes).start().await, app.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_browser_an_app_with_a_service_worker_does_not_lock_its_users_out() {
    let (world, app) = with_worker().await;
    world.idp.seat();
    run("worker.mjs", &[&world.address().to_string(), &app]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_browser_the_choice_of_a_provider_is_for_every_width_and_everybody_and_is_remembered() {
    let (clock, line) = (Clock::System, FaultProxy::start().await);
    let partners = Idp::start(&line.url(), clock.clone()).await;
    line.forward_to(partners.address);
    let table = format!(
        "[[provider]]\nname = \"partners\"\ntext = \"Partners\"\nemail_domains = [\"partner.example\"]\noidc_issuer_url = \"{}\"\n\
         oidc_client_id = \"{CLIENT_ID}\"\noidc_client_secret = \"{CLIENT_SECRET}\"\n",
        partners.issuer()
    );
    let app = Router::new().fallback(async || Html("<!doctype html><title>A page</title>"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let upstream = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    let builder = World::build().by(clock).set("access_url", "http://choice.test").set("upstream_url", &upstream);
    let world = builder.routes(move |_| table.clone()).start().await;
    for provider in [&world.idp, &partners] {
        provider.seat();
    }
    run("choice.mjs", &[&world.address().to_string()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_browser_the_administration_is_for_every_width_and_everybody_and_its_buttons_do_what_they_say() {
    run("admin.mjs", &[]).await;
}

/// Runs a script, which must end well. It makes every picture of its pages that the documents show (`docs/screenshots`, in the folder of
/// its name), and with `UPDATE_SCREENSHOTS` those become what it has made.
async fn run(script: &'static str, arguments: &[&str]) {
    let arguments: Vec<_> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let temporary = tempfile::tempdir().unwrap();
    let pictures = std::env::var_os("EVERGATE_SCREENSHOTS").map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let made = pictures.clone();
    let run = tokio::task::spawn_blocking(move || {
        Command::new("node")
            .args([script, env!("CARGO_BIN_EXE_evergate")])
            .args(arguments)
            .env("EVERGATE_SCREENSHOTS", pictures)
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers"))
            .stdin(Stdio::null())
            .output()
    });
    let output = tokio::time::timeout(Duration::from_secs(600), run).await.unwrap().unwrap().unwrap();
    let told = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}");
    let shown = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/screenshots").join(script.trim_end_matches(".mjs"));
    for picture in std::fs::read_dir(shown).into_iter().flatten() {
        let picture = picture.unwrap();
        let made = made.join(picture.file_name());
        assert!(made.is_file(), "the documents show {}, which {script} does not make", picture.path().display());
        if std::env::var_os("UPDATE_SCREENSHOTS").is_some() {
            std::fs::copy(made, picture.path()).unwrap();
        }
    }
}
