//! Sites besides the access URL: by a wildcard, by a list of hosts, and with one redirect URI for all of them.

use std::borrow::Cow;

use http::{Method, StatusCode};
use url::Url;

use crate::harness::{
    World,
    visitor::{Reply, Visitor, path_of},
};

fn parameter<'a>(url: &'a Url, name: &str) -> Option<Cow<'a, str>> {
    url.query_pairs().find(|(found, _)| found == name).map(|(_, value)| value)
}

/// Navigates to a page of `host`.
async fn get(visitor: &Visitor, host: &str, path: &str) -> Reply {
    let headers = [("accept", "text/html"), ("host", host), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    visitor.send(Method::GET, path, &headers, "").await
}

#[tokio::test]
async fn every_host_of_a_wildcard_is_a_site_with_its_own_login_and_no_other_host_is() {
    let world =
        World::build().set("wildcard_access_url", "*.apps.test").set("oidc_redirect_allowed_hosts", "second.test").start().await;
    for host in ["one.apps.test", "two.apps.test", "second.test"] {
        let visitor = world.visitor();
        let request = get(&visitor, host, "/doc").await.location();
        assert_eq!(parameter(&request, "redirect_uri").unwrap(), format!("https://{host}/oauth2/callback"));
        let callback = world.idp.authorize(&request).await;
        assert_eq!(get(&visitor, host, &path_of(&callback)).await.location().as_str(), format!("https://{host}/doc"));
        assert!(get(&visitor, host, "/doc").await.is_upstreams());
        assert_eq!(world.upstream.last().header("x-forwarded-host"), Some(host));
    }
    let listed = async |site: &str| {
        let (_, text) = world.command(&["sessions", "list", "--json", "--site", site]).await;
        let list: serde_json::Value = serde_json::from_str(&text).unwrap();
        list["sessions"].as_array().unwrap().iter().map(|session| session["site"].to_string()).collect::<Vec<_>>()
    };
    assert_eq!(listed("Two.Apps.test").await, ["\"two.apps.test\""]);
    assert!(listed("apps.test").await.is_empty());
    for stranger in ["apps.test", "a.b.apps.test", "third.test", "one.apps.test:8443", "one.apps.test.evil.test"] {
        assert_eq!(get(&world.visitor(), stranger, "/doc").await.status, StatusCode::MISDIRECTED_REQUEST, "{stranger}");
    }
}

#[tokio::test]
async fn one_redirect_uri_serves_all_sites_and_browsers_are_sent_on_to_where_they_began() {
    let mut world =
        World::build().set("wildcard_access_url", "*.apps.test").set("oidc_redirect_url", "https://login.test").start().await;
    let (visitor, site) = (world.visitor(), "one.apps.test");
    let request = get(&visitor, site, "/doc?x").await.location();
    assert_eq!(parameter(&request, "redirect_uri").unwrap(), "https://login.test/oauth2/callback");
    let callback = world.idp.authorize(&request).await;
    assert_eq!(callback.host_str(), Some("login.test"));
    let sent_on = get(&visitor, "login.test", &path_of(&callback)).await;
    assert!(sent_on.set_cookies().is_empty(), "the session is the other site's");
    let sent_on = sent_on.location();
    assert_eq!((sent_on.host_str(), path_of(&sent_on)), (Some(site), path_of(&callback)));
    assert_eq!(get(&visitor, site, &path_of(&sent_on)).await.location().as_str(), "https://one.apps.test/doc?x");
    assert!(get(&visitor, site, "/doc").await.is_upstreams());

    let sign_out = [("host", site), ("sec-fetch-site", "same-origin")];
    let at_provider = visitor.send(Method::POST, "/oauth2/sign_out", &sign_out, "").await.location();
    assert_eq!(parameter(&at_provider, "post_logout_redirect_uri").unwrap(), "https://login.test/oauth2/signed_out");
    let back = format!("/oauth2/signed_out?state={}", parameter(&at_provider, "state").unwrap());
    let sent_on = get(&visitor, "login.test", &back).await.location();
    assert_eq!((sent_on.host_str(), path_of(&sent_on).as_str()), (Some(site), back.as_str()));
    assert!(get(&visitor, site, &back).await.text().contains("Signed out"));

    // A login that began at a site that is none of ours any more leads nowhere else.
    let request = get(&visitor, site, "/doc").await.location();
    let callback = world.idp.authorize(&request).await;
    world.restart_with(&[("wildcard_access_url", "*.others.test")]).await;
    let visitor = visitor.at(world.address());
    let refused = get(&visitor, "login.test", &path_of(&callback)).await;
    assert!(refused.headers.get("location").is_none_or(|location| !location.to_str().unwrap().contains(site)), "{refused:?}");
}

#[tokio::test]
async fn a_forged_state_sends_no_browser_to_another_site() {
    let world = World::build().set("oidc_redirect_url", "https://login.test").start().await;
    for state in ["", "x", "https://evil.test", "eyJoIjoiZXZpbC50ZXN0In0"] {
        for page in ["callback?code=c&", "signed_out?"] {
            let reply = get(&world.visitor(), "login.test", &format!("/oauth2/{page}state={state}")).await;
            assert_ne!(reply.status, StatusCode::SEE_OTHER, "{page} {state}");
        }
    }
}
