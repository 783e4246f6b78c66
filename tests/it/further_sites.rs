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

async fn sign_out(visitor: &Visitor, host: &str, rd: &str) -> Reply {
    let rd: String = url::form_urlencoded::byte_serialize(rd.as_bytes()).collect();
    let headers = [("host", host), ("sec-fetch-site", "same-origin")];
    visitor.send(Method::POST, &format!("/oauth2/sign_out?rd={rd}"), &headers, "").await
}

#[tokio::test]
async fn a_logout_leads_to_a_page_of_any_of_our_sites_and_to_no_other() {
    let routes = |upstream: &str| {
        let route =
            |host: &str, path: &str| format!("[[route]]\nhost = \"{host}\"\npath = \"{path}\"\nupstream = \"{upstream}\"\n");
        [("portal.test:8443", "/"), ("wiki.test", "/wiki"), ("*.apps.test", "/"), ("app.test", "/")]
            .map(|(host, path)| route(host, path))
            .concat()
    };
    let without_end_session =
        |idp: &crate::harness::idp::Idp| idp.set_metadata(serde_json::json!({"end_session_endpoint": null}));
    let world = World::build().without("upstream_url").routes(routes).start_with(without_end_session).await;
    for (rd, page) in [
        ("https://portal.test:8443/bye?a=b", "https://portal.test:8443/bye?a=b"),
        ("https://wiki.test/wiki/x", "https://wiki.test/wiki/x"),
        ("https://Two.apps.test/", "https://two.apps.test/"),
        ("https://app.test/bye", "https://app.test/bye"),
        ("https://one.apps.test/bye", "https://one.apps.test/bye"),
        ("/bye", "https://one.apps.test/bye"),
        // No route has it.
        ("https://wiki.test/other", "https://one.apps.test/"),
    ] {
        assert_eq!(sign_out(&world.visitor(), "one.apps.test", rd).await.location().as_str(), page, "{rd}");
    }
    for evil in [
        "https://evil.test/",
        "//portal.test:8443/",
        "http://portal.test:8443/bye",
        "https://portal.test/bye",
        "https://portal.test:8443@evil.test/",
        "https://u:p@portal.test:8443/",
        "https://evil.test\\@portal.test:8443/",
        "https:\\\\portal.test:8443/",
        "https://two.apps.test:8443/",
        "https://a.b.apps.test/",
        "https://two.apps.test.evil.test/",
        "https://two.apps\t.test/",
        "\thttps://two.apps.test/",
        "https://two.apps.test//evil.test",
        "javascript://two.apps.test/%0aalert(1)",
    ] {
        assert_eq!(
            sign_out(&world.visitor(), "one.apps.test", evil).await.location().as_str(),
            "https://one.apps.test/",
            "{evil:?}"
        );
    }
}

#[tokio::test]
async fn a_logout_leads_to_another_site_also_after_the_provider_s_and_after_the_question_as_long_as_that_is_ours() {
    for for_all in [None, Some("https://login.test")] {
        let build = World::build().set("wildcard_access_url", "*.apps.test");
        let mut world = match for_all {
            Some(uri) => build.set("oidc_redirect_url", uri).start().await,
            None => build.start().await,
        };
        let (visitor, here) = (world.visitor(), "one.apps.test");
        let question = [("host", here), ("sec-fetch-site", "cross-site"), ("accept", "text/html")];
        let asked = visitor.send(Method::GET, "/oauth2/sign_out?rd=https://two.apps.test/bye", &question, "").await.text();
        assert!(asked.contains("value=\"https://two.apps.test/bye\""), "{asked}");
        let at_provider = sign_out(&visitor, here, "https://two.apps.test/bye").await.location();
        let back = format!("/oauth2/signed_out?state={}", parameter(&at_provider, "state").unwrap());
        if for_all.is_some() {
            assert_eq!(get(&visitor, "login.test", &back).await.location().as_str(), format!("https://{here}{back}"));
        }
        assert_eq!(get(&visitor, here, &back).await.location().as_str(), "https://two.apps.test/bye");
        world.restart_with(&[("wildcard_access_url", "*.others.test"), ("oidc_redirect_allowed_hosts", here)]).await;
        let end = get(&visitor.at(world.address()), here, &back).await;
        assert_eq!(end.location().as_str(), "https://one.apps.test/");
    }
}
