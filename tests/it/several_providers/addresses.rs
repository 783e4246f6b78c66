//! E-mail addresses: they choose a provider, and no provider vouches for another's.

use http::StatusCode;
use serde_json::json;

use super::{Both, links};
use crate::harness::{idp::user, logs::lines_with, visitor::path_of};

const DOMAINS: &str = "email_domains = [\"partners.test\", \"@bücher.test\"]";

#[tokio::test]
async fn an_address_chooses_its_provider() {
    let both = Both::with(DOMAINS, "").await;
    let visitor = both.world.visitor();
    let page = visitor.get("/oauth2/start?rd=/page").await.text();
    assert!(
        page.contains("name=\"login_hint\"") && page.contains("<input type=\"hidden\" name=\"rd\" value=\"/page\">"),
        "{page}"
    );
    for address in ["Bob%40Partners.Test", "bob%40xn--bcher-kva.test"] {
        let request = visitor.get(&format!("/oauth2/start?rd=/page&login_hint={address}")).await.location();
        assert!(request.as_str().starts_with(both.partners.issuer()), "{request}");
        let hint = request.query_pairs().find(|(name, _)| name == "login_hint").unwrap().1.into_owned();
        assert!(hint.to_lowercase().starts_with("bob@"), "the provider is told: {hint}");
    }
    // A portal of the provider's says who it is (third-party initiated login).
    let portal = visitor.get(&format!("/oauth2/start?iss={}", both.partners.issuer())).await.location();
    assert!(portal.as_str().starts_with(both.partners.issuer()), "{portal}");
    for unknown in ["iss=https://nobody.test", "provider=nobody"] {
        assert_eq!(visitor.get(&format!("/oauth2/start?{unknown}")).await.status, StatusCode::BAD_REQUEST, "{unknown}");
    }
    for address in ["bob%40nowhere.test", "bob", "bob%40partners.test.evil"] {
        let page = visitor.get(&format!("/oauth2/start?rd=/page&login_hint={address}")).await;
        assert!(page.text().contains("No sign-in service is known for that address."), "{}", page.text());
        assert_eq!(links(&page).len(), 2, "they choose");
    }
}

#[tokio::test]
async fn an_address_of_another_provider_s_domain_lets_nobody_in() {
    let both = Both::with(DOMAINS, "").await;
    let as_somebody = |field: &str, text: &str| {
        let mut claims = user("eve");
        claims[field] = json!(text);
        claims
    };
    for claims in [
        as_somebody("email", "bob@partners.test"),
        as_somebody("email", "bob@PARTNERS.test."),
        as_somebody("preferred_username", "bob@partners.test"),
        as_somebody("sub", "bob@partners.test"),
    ] {
        both.world.idp.log_in_as(claims.clone());
        let visitor = both.world.visitor();
        let request = visitor.get("/oauth2/start?provider=default").await.location();
        let denied = visitor.get(&path_of(&both.world.idp.authorize(&request).await)).await;
        assert_eq!(denied.status, StatusCode::FORBIDDEN, "{claims}");
        assert!(denied.text().contains("belongs to another sign-in service"), "{}", denied.text());
        assert!(visitor.session().is_none());
        both.partners.log_in_as(claims);
        assert!(both.of_partners().await.get("/").await.is_upstreams(), "its own users may have them");
    }
    assert!(!lines_with(&["access denied", "at a domain of another provider"]).is_empty());
}

#[tokio::test]
async fn an_address_that_becomes_another_provider_s_is_refused_at_the_next_request() {
    let both = Both::with(DOMAINS, "").await;
    let visitor = both.of_default().await;
    assert!(visitor.get("/").await.is_upstreams());
    both.world.idp.edit_id_token(|claims| claims["email"] = json!("bob@partners.test"));
    both.world.idp.edit_userinfo(|claims| claims["email"] = json!("bob@partners.test"));
    both.world.clock.advance(super::EXPIRED);
    let denied = visitor.fetch("/").await;
    assert_eq!(
        (denied.status, denied.json()["reason"].as_str()),
        (StatusCode::FORBIDDEN, Some("foreign_address")),
        "{}",
        denied.text()
    );
}
