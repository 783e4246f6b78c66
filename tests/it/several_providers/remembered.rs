//! The provider that a browser's user chose last.

use http::Method;

use super::*;

const COOKIE: &str = "__Host-evergate_provider";
const START: &str = "/oauth2/start?rd=%2F";

/// A request as the browser sends it when its user clicks a link of a page of this site.
fn click(site: &'static str) -> [(&'static str, &'static str); 4] {
    [("accept", "text/html"), ("sec-fetch-site", site), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")]
}

/// Clicks a link that begins a login at a provider, on a page of this site, and logs in there.
async fn choose(visitor: &Visitor, site: &'static str, name: &str, idp: &Idp) -> Reply {
    let begun = visitor.send(Method::GET, &format!("/oauth2/start?provider={name}&rd=%2F"), &click(site), "").await;
    come_back(visitor, idp, &begun).await
}

async fn come_back(visitor: &Visitor, idp: &Idp, sent: &Reply) -> Reply {
    let reply = visitor.get(&path_of(&idp.authorize(&sent.location()).await)).await;
    assert_eq!(reply.header("evergate-response"), "signed_in", "{}", reply.text());
    reply
}

/// The same browser without its session.
fn without_session(visitor: &Visitor) -> Visitor {
    let later = visitor.without_cookies();
    for (name, value) in visitor.cookies().into_iter().filter(|(name, _)| !name.ends_with("_session")) {
        later.set_cookie(&name, &value);
    }
    later
}

fn is_choice(reply: &Reply) -> bool {
    reply.header("evergate-response") == "choose_provider"
}

#[tokio::test]
async fn who_has_chosen_goes_straight_there_the_next_time_and_comes_back_so_again() {
    let both = Both::start().await;
    let visitor = both.world.visitor();
    let landed = choose(&visitor, "same-origin", "partners", &both.partners).await;
    let set = landed.set_cookies().into_iter().find(|line| line.starts_with(COOKIE)).unwrap();
    for part in ["=partners;", "HttpOnly", "Secure", "SameSite=Lax", "Path=/"] {
        assert!(set.contains(part), "{set}");
    }
    for _ in 0..2 {
        both.world.clock.advance(Duration::from_secs(60));
        let later = without_session(&visitor);
        let to_choose = later.get("/page").await.location();
        assert_eq!(path_of(&to_choose), "/oauth2/start?rd=%2Fpage");
        let straight = later.get(&path_of(&to_choose)).await;
        assert!(straight.location().as_str().starts_with(both.partners.issuer()));
        assert_eq!(path_of(&come_back(&later, &both.partners, &straight).await.location()), "/page");
        assert_eq!(later.cookies()[COOKIE], "partners");
    }
    // Another choice counts from then on.
    choose(&visitor, "same-origin", "default", &both.world.idp).await;
    assert!(without_session(&visitor).get(START).await.location().as_str().starts_with(both.world.idp.issuer()));
}

#[tokio::test]
async fn who_does_not_come_back_is_asked_with_the_last_one_first_and_tabs_that_open_together_are_not() {
    let both = Both::start().await;
    let visitor = both.world.visitor();
    choose(&visitor, "same-origin", "partners", &both.partners).await;
    let later = without_session(&visitor);
    for _ in 0..3 {
        assert!(later.get(START).await.location().as_str().starts_with(both.partners.issuer()), "a tab each");
        both.world.clock.advance(Duration::from_secs(1));
    }
    both.world.clock.advance(Duration::from_secs(10));
    let page = later.get(START).await;
    assert!(is_choice(&page), "{}", page.text());
    let (first, second) = (links(&page)[0].clone(), links(&page)[1].clone());
    assert!(first.contains("provider=partners") && second.contains("provider=default"), "{first} {second}");
    assert_eq!(page.text().matches("<small>last used</small>").count(), 1);
    let german = [("accept-language", "de"), ("accept", "text/html")];
    assert!(later.send(Method::GET, START, &german, "").await.text().contains("<small>zuletzt benutzt</small>"));
    // Whoever goes there all the same goes straight there again.
    choose(&later, "same-origin", "partners", &both.partners).await;
    assert!(without_session(&later).get(START).await.location().as_str().starts_with(both.partners.issuer()));
}

#[tokio::test]
async fn after_a_sign_out_and_for_another_account_and_for_an_address_the_user_is_asked() {
    let both = Both::with("email_domains = [\"partner.example\"]", "").await;
    let visitor = both.world.visitor();
    choose(&visitor, "same-origin", "partners", &both.partners).await;
    assert!(is_choice(&visitor.get("/oauth2/start?another=true&rd=%2F").await));
    let unknown = visitor.get("/oauth2/start?login_hint=ann%40nowhere.example").await;
    assert!(is_choice(&unknown), "{}", unknown.text());
    let out = visitor.send(Method::POST, "/oauth2/sign_out", &[("sec-fetch-site", "same-origin")], "").await;
    assert_eq!(out.status, StatusCode::SEE_OTHER);
    let page = visitor.get(START).await;
    assert!(is_choice(&page) && page.text().contains("last used"), "{}", page.text());
}

#[tokio::test]
async fn no_page_of_another_site_chooses_and_no_cookie_leads_to_what_is_no_provider() {
    let both = Both::start().await;
    for site in ["cross-site", "same-site", "none"] {
        let visitor = both.world.visitor();
        choose(&visitor, site, "partners", &both.partners).await;
        assert!(!visitor.cookies().contains_key(COOKIE), "{site}");
        assert!(is_choice(&without_session(&visitor).get(START).await));
    }
    let visitor = both.world.visitor();
    choose(&visitor, "same-origin", "default", &both.world.idp).await;
    choose(&visitor, "cross-site", "partners", &both.partners).await;
    assert!(without_session(&visitor).get(START).await.location().as_str().starts_with(both.world.idp.issuer()));
    // A link alone, without a login, chooses nothing.
    visitor.send(Method::GET, "/oauth2/start?provider=partners&rd=%2F", &click("same-origin"), "").await;
    assert_eq!(visitor.cookies()[COOKIE], "default");
    for planted in ["", "nobody", "https://evil.example", "partners/../x", "partners.9999999999999999999", "partners.-1", "."] {
        let stranger = both.world.visitor();
        stranger.set_cookie(COOKIE, planted);
        assert!(is_choice(&stranger.get(START).await), "{planted:?}");
    }
    let lines = [("accept", "text/html"), ("cookie", "__Host-evergate_provider=partners; __Host-evergate_provider=default")];
    assert!(is_choice(&both.world.visitor().send(Method::GET, START, &lines, "").await), "one of two is planted");
}

#[tokio::test]
async fn a_provider_that_is_away_does_not_keep_who_has_chosen_it_from_the_others() {
    let both = Both::prepared(World::build().without_provider(), "", "", |_, partners| {
        partners.set_metadata(json!({"issuer": "https://somebody.else"}));
    })
    .await;
    eventually("the first provider is found", async || {
        let state = both.world.visitor().get("/oauth2/readyz").await.json();
        state["providers"]["default"]["provider"] == "ok" && state["providers"]["partners"]["provider_error"] == "configuration"
    })
    .await;
    let visitor = both.world.visitor();
    visitor.set_cookie(COOKIE, "partners");
    let page = visitor.get(START).await;
    assert!(is_choice(&page), "{}", page.text());
}

#[tokio::test]
async fn a_browser_that_keeps_no_session_is_not_sent_round_in_circles() {
    let both = Both::start().await;
    let mut visitor = both.world.visitor();
    choose(&visitor, "same-origin", "partners", &both.partners).await;
    for round in 0..10 {
        visitor = without_session(&visitor);
        let reply = visitor.get("/").await;
        if reply.status != StatusCode::SEE_OTHER {
            assert_eq!((reply.header("evergate-response"), round), ("sign_in_not_kept", 3));
            return;
        }
        let straight = visitor.get(&path_of(&reply.location())).await;
        come_back(&visitor, &both.partners, &straight).await;
    }
    panic!("the browser was sent round in circles");
}

#[tokio::test]
async fn where_there_is_one_provider_or_a_route_is_for_one_nothing_is_remembered() {
    let world = World::start().await;
    let visitor = world.visitor();
    choose(&visitor, "same-origin", "default", &world.idp).await;
    assert!(!visitor.cookies().contains_key(COOKIE));
    let both = Both::with("", "[[route]]\npath = \"/partners\"\nproviders = [\"partners\"]\n").await;
    let visitor = both.world.visitor();
    let sent = visitor.get("/partners").await;
    come_back(&visitor, &both.partners, &sent).await;
    assert!(!visitor.cookies().contains_key(COOKIE), "the route chose");
}
