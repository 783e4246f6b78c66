//! Our own pages: their languages, what the administrator sets of them, and frames. `tests/heavy/pages.rs` has them in a browser.

use http::{Method, StatusCode};

use crate::harness::{World, visitor::Reply};

const HTML: (&str, &str) = ("accept", "text/html");
const GERMAN: (&str, &str) = ("accept-language", "de-AT,de;q=0.9,en;q=0.8");

async fn page(world: &World, path: &str, headers: &[(&str, &str)]) -> Reply {
    let headers: Vec<_> = [HTML].iter().chain(headers).copied().collect();
    world.visitor().send(Method::GET, path, &headers, "").await
}

#[tokio::test]
async fn a_person_reads_their_language_and_a_program_english() {
    let world = World::start().await;
    for (path, title) in [
        ("/oauth2/nowhere", "Nicht gefunden"),
        ("/oauth2/signed_out", "Abgemeldet"),
        ("/oauth2/sign_out", "Abmelden?"),
        ("/oauth2/callback?code=x&state=y", "Anmeldung abgelaufen"),
    ] {
        let german = page(&world, path, &[GERMAN]).await;
        assert_eq!(german.header("content-language"), "de", "{path}");
        assert!(german.text().contains("<html lang=\"de\">") && german.text().contains(&format!("<h1>{title}</h1>")), "{path}");
        assert!(german.text().contains("Anfrage ") && !german.text().contains("Request "), "{path}");
        let french = page(&world, path, &[("accept-language", "fr")]).await;
        assert!(french.header("content-language") == "en" && !french.text().contains(title), "{path}");
    }
    let told = world.visitor().send(Method::GET, "/oauth2/nowhere", &[GERMAN], "").await;
    assert_eq!(told.json()["message"], "There is no such page.");
}

#[tokio::test]
async fn a_login_for_a_form_that_was_lost_is_said_to_lead_back_only_where_it_does() {
    let world = World::start().await;
    for (referer, link) in [
        (&[("referer", "https://app.test/form")][..], "/oauth2/start?rd=%2Fform\">Sign in and go back to the page</a>"),
        (&[], "/oauth2/start\">Sign in</a>"),
    ] {
        let lines: Vec<_> = [HTML].iter().chain(referer).copied().collect();
        let lost = world.visitor().send(Method::POST, "/save", &lines, "a=b").await;
        assert_eq!(lost.status, StatusCode::UNAUTHORIZED);
        assert!(lost.text().contains(link), "{}", lost.text());
    }
}

#[tokio::test]
async fn a_page_is_small_however_long_the_address_is_that_was_asked_for() {
    let (gone, long) = ("/gone?", "&".repeat(6000));
    let routes = "[[route]]\npath = \"/\"\n\n[[route]]\npath = \"/gone\"\nupstream = \"http://127.0.0.1:1\"\n\n\
                  [[route]]\npath = \"/admins\"\ngroups = [\"admins\"]\n";
    let world = World::build().routes(|_| routes.to_owned()).start().await;
    let visitor = world.signed_in().await;
    for (method, path, status, offer) in [
        (Method::GET, gone, StatusCode::BAD_GATEWAY, "href=\"\">Try again<"),
        (Method::GET, "/admins?", StatusCode::FORBIDDEN, "href=\"https://app.test/oauth2/start?another=true\""),
    ] {
        let short = visitor.send(method.clone(), &format!("{path}a=1"), &[HTML], "").await;
        assert!(short.text().contains("a%3D1") || short.text().contains("a=1"), "{}", short.text());
        let page = visitor.send(method, &format!("{path}{long}"), &[HTML], "").await;
        assert_eq!(page.status, status);
        assert!(page.text().len() < 20 * 1024, "{path}: {}", page.text().len());
        assert!(page.text().contains(offer), "{path}: {}", page.text());
    }
    let framed = [HTML, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
    let framed = world.visitor().send(Method::GET, &format!("/?{long}"), &framed, "").await;
    assert_eq!(framed.status, StatusCode::UNAUTHORIZED);
    assert!(framed.text().len() < 20 * 1024 && framed.text().contains("target=\"_blank\""), "{}", framed.text().len());
}

#[tokio::test]
async fn pages_bear_what_the_administrator_sets() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("logo.svg");
    std::fs::write(&file, "<svg xmlns=\"http://www.w3.org/2000/svg\"><script>alert(1)</script></svg>").unwrap();
    let world = World::build()
        .set("application_name", "Wiki & more")
        .set("logo_file", file.to_str().unwrap())
        .set("accent_color", "#102030")
        .set("support_address", "help@example.com")
        .set("page_texts", r#"{"de.not_found": "Diese Seite ist <weg>."}"#)
        .start()
        .await;
    let german = page(&world, "/oauth2/nowhere", &[GERMAN]).await;
    for part in [
        "<title>Nicht gefunden · Wiki &amp; more</title>",
        "<p class=\"name\">Wiki &amp; more</p>",
        "<img class=\"icon\" alt=\"\" src=\"/oauth2/logo\">",
        "--accent:#102030",
        "<a href=\"mailto:help@example.com\">Hilfe</a>",
        "<p>Diese Seite ist &lt;weg&gt;.</p>",
    ] {
        assert!(german.text().contains(part), "{part} in {}", german.text());
    }
    assert!(german.header("content-security-policy").contains("img-src 'self'"));
    assert!(page(&world, "/oauth2/nowhere", &[]).await.text().contains("There is no such page."));
    let logo = world.visitor().fetch("/oauth2/logo").await;
    assert_eq!((logo.status, logo.header("content-type")), (StatusCode::OK, "image/svg+xml"));
    assert!(logo.header("content-security-policy").contains("sandbox") && logo.header("x-content-type-options") == "nosniff");
    assert_eq!(World::start().await.visitor().fetch("/oauth2/logo").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn who_has_come_to_no_page_goes_on_from_the_apps_or_the_front_page() {
    let world = World::build()
        .without("upstream_url")
        .routes(|app| format!("[[route]]\npath = \"/wiki\"\nupstream = \"{app}\"\n"))
        .start()
        .await;
    let nowhere = page(&world, "/oauth2/nowhere", &[]).await;
    assert!(nowhere.text().contains("href=\"/\">To the front page<"), "{}", nowhere.text());
    let front = page(&world, "/", &[]).await;
    assert_eq!(front.status, StatusCode::NOT_FOUND);
    assert!(!front.text().contains("href=\"/\""), "it leads to itself: {}", front.text());
    let portal = World::build().set("portal_enable", "true").start().await;
    let nowhere = page(&portal, "/oauth2/nowhere", &[]).await;
    assert!(nowhere.text().contains("href=\"/oauth2/\">Your apps<"), "{}", nowhere.text());
}

#[tokio::test]
async fn a_frame_without_a_session_opens_the_login_in_a_window_of_its_own() {
    let world = World::start().await;
    for dest in ["iframe", "frame"] {
        let headers = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", dest)];
        let framed = page(&world, "/report?a=1", &headers).await;
        assert_eq!(framed.status, StatusCode::UNAUTHORIZED);
        let link = "href=\"https://app.test/oauth2/start?rd=%2Foauth2%2Fsigned_in\" target=\"_blank\" rel=\"noopener\"";
        assert!(
            framed.text().contains(link) && framed.text().contains("href=\"https://app.test/report?a=1\""),
            "{}",
            framed.text()
        );
        assert!(!framed.header("content-security-policy").contains("frame-ancestors"));
        let other = page(&world, "/oauth2/nowhere", &headers).await;
        let policy = other.header("content-security-policy");
        assert!(policy.contains("frame-ancestors 'self'"), "a page of links alone is for the app's own frames: {policy}");
        for path in ["/oauth2/sign_out", "/oauth2/signed_out"] {
            let other = page(&world, path, &headers).await;
            assert!(other.header("content-security-policy").contains("frame-ancestors 'none'"), "{path} is for no frame");
        }
    }
    let ours = World::build().set("additional_csp_policy", "frame-ancestors https://portal.test").start().await;
    let framed = page(&ours, "/", &[("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")]).await;
    assert!(framed.header("content-security-policy").contains("frame-ancestors https://portal.test"));
}

#[tokio::test]
async fn the_provider_s_error_is_shown_with_what_an_administrator_can_do_if_it_is_a_known_one() {
    let world = World::start().await;
    for (code, shown) in [
        (
            "invalid_scope",
            "Its error code is invalid_scope. For administrators: the provider does not grant one of CODER_OIDC_SCOPES.",
        ),
        ("unauthorized_client", "Its error code is unauthorized_client."),
        ("call-this-number-now", ""),
    ] {
        let visitor = world.visitor();
        let begun = visitor.get("/oauth2/start").await;
        let (_, state) = begun.location().query_pairs().into_owned().find(|(name, _)| name == "state").unwrap();
        let path = format!("/oauth2/callback?error={code}&state={state}&iss={}", world.idp.issuer());
        let failed = visitor.send(Method::GET, &path, &[HTML], "").await;
        assert_eq!(failed.status, StatusCode::BAD_GATEWAY, "{code}");
        assert!(failed.text().contains(shown) && !failed.text().contains("call-this-number-now"), "{code}: {}", failed.text());
    }
}
