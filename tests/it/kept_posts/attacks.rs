//! What others try with a form that is kept.

use super::*;

#[tokio::test]
async fn another_user_in_the_same_browser_neither_sees_nor_sends_it_and_its_own_user_still_can() {
    let world = build().start().await;
    let visitor = signed_out_by_time(&world).await;
    let kept = post(&visitor, "/wiki", TYPED).await;
    let path = path_of(&kept.location());
    world.idp.log_in_as(user("bob"));
    let page = offered(&world, &visitor, &kept).await;
    assert_eq!((page.status, page.header("evergate-response")), (StatusCode::FORBIDDEN, "kept_post_of_another"));
    for part in ["typed-for-an-hour", "password", "/wiki", FIELD] {
        assert!(!page.text().contains(part), "{part} in {}", page.text());
    }
    // With a seal of his own form of the same browser.
    let id = path.split("id=").nth(1).unwrap();
    world.command(&["sessions", "revoke", "--all"]).await;
    eventually("his session has ended", async || !visitor.fetch("/wiki").await.is_upstreams()).await;
    let own = post(&visitor, "/wiki", "own=1").await;
    let own_value = value(&offered(&world, &visitor, &own).await);
    let seal = own_value.split_once('.').unwrap().1;
    for forged in [format!("{id}.{seal}"), format!("{id}."), format!("{id}.x")] {
        let reply = send_again(&visitor, "/wiki", &forged).await;
        assert_eq!(reply.header("evergate-response"), "kept_post", "{forged}");
        assert_eq!(post(&visitor, &path, &format!("{FIELD}={forged}")).await.status, StatusCode::FORBIDDEN);
    }
    assert!(arrived(&world).is_empty());
    world.idp.log_in_as(user("ann"));
    let link = page.text().split("href=\"/oauth2/start?").nth(1).unwrap().split('"').next().unwrap().replace("&amp;", "&");
    let page = visitor.browse(&world.idp, &format!("/oauth2/start?{link}")).await;
    assert!(send_again(&visitor, "/wiki", &value(&page)).await.is_upstreams());
    assert_eq!(arrived(&world), [TYPED]);
}

#[tokio::test]
async fn another_browser_that_knows_the_address_gets_nothing_of_it_even_of_the_same_user() {
    let world = build().start().await;
    let visitor = signed_out_by_time(&world).await;
    let kept = post(&visitor, "/wiki", TYPED).await;
    let pressed = value(&offered(&world, &visitor, &kept).await);
    let other = world.signed_in().await;
    assert_eq!(other.get(&path_of(&kept.location())).await.status, StatusCode::GONE);
    let reply = send_again(&other, "/wiki", &pressed).await;
    assert_eq!(reply.header("evergate-response"), "kept_post");
    // Nor with the first browser's mark beside its own, of which one is planted.
    let mark = visitor.cookies()["__Host-evergate_browser"].clone();
    let both = format!("{}; __Host-evergate_browser={mark}", other.cookie_header());
    let lines =
        [("accept", "text/html"), ("cookie", both.as_str()), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    let page = world.visitor().send(Method::GET, &path_of(&kept.location()), &lines, "").await;
    assert_eq!(page.status, StatusCode::GONE);
    // With the mark in place of its own it is the same user's and browser's, and still the seal is another session's.
    other.set_cookie("__Host-evergate_browser", &mark);
    assert_eq!(send_again(&other, "/wiki", &pressed).await.header("evergate-response"), "kept_post");
    assert!(arrived(&world).is_empty());
}

#[tokio::test]
async fn it_goes_where_it_was_going_and_nowhere_else() {
    let routes = |_: &str| {
        "[[route]]\npath = \"/wiki\"\nkeep_form_posts = true\n[[route]]\npath = \"/shop\"\nkeep_form_posts = true\n".to_owned()
    };
    let world =
        World::build().set("session_duration", "1h").set("wildcard_access_url", "*.apps.test").routes(routes).start().await;
    let visitor = signed_out_by_time(&world).await;
    let kept = post(&visitor, "/wiki/a?b=1", TYPED).await;
    let pressed = value(&offered(&world, &visitor, &kept).await);
    for target in ["/wiki/a", "/wiki/a?b=2", "/wiki/a?b=1&c", "/wiki/A?b=1", "/shop/a?b=1"] {
        let reply = send_again(&visitor, target, &pressed).await;
        assert_eq!(reply.header("evergate-response"), "kept_post", "{target}");
    }
    assert!(arrived(&world).is_empty());
    // On a route that keeps nothing it is a form like any other, and the app gets what was sent.
    send_again(&visitor, "/other", &pressed).await;
    assert_eq!(arrived(&world), [format!("{FIELD}={pressed}")]);
    // At another site its cookies are not even sent, and mean nothing.
    let elsewhere = visitor.on_host("one.apps.test");
    let page = elsewhere.get(&path_of(&kept.location())).await;
    assert!(matches!(page.status, StatusCode::GONE | StatusCode::SEE_OTHER), "{}", page.status);
    assert!(send_again(&visitor, "/wiki/a?b=1", &pressed).await.is_upstreams());
    assert_eq!(arrived(&world)[1..], [TYPED]);
}

#[tokio::test]
async fn a_button_that_is_pressed_many_times_at_once_sends_it_once() {
    let world = build().replicas(2).start().await;
    let visitor = signed_out_by_time(&world).await;
    let kept = post(&visitor, "/wiki", TYPED).await;
    let pressed = value(&offered(&world, &visitor, &kept).await);
    let presses = (0..12).map(|number| {
        let (visitor, pressed) = (visitor.at(world.replicas[number % 2].address), pressed.clone());
        tokio::spawn(async move { send_again(&visitor, "/wiki", &pressed).await.is_upstreams() })
    });
    let mut sent = 0;
    for press in presses.collect::<Vec<_>>() {
        sent += usize::from(press.await.unwrap());
    }
    assert_eq!((sent, arrived(&world)), (1, vec![TYPED.to_owned()]));
}

#[tokio::test]
async fn no_page_of_another_site_presses_the_buttons_and_no_script_or_frame_reads_the_page() {
    let world = build().start().await;
    let visitor = signed_out_by_time(&world).await;
    let kept = post(&visitor, "/wiki", TYPED).await;
    let (path, pressed) = (path_of(&kept.location()), value(&offered(&world, &visitor, &kept).await));
    let form = format!("{FIELD}={pressed}");
    for (site, origin) in [("cross-site", "https://evil.test"), ("same-site", "https://evil.app.test"), ("cross-site", "null")] {
        let lines = [
            ("accept", "text/html"),
            ("content-type", URL_ENCODED),
            ("origin", origin),
            ("sec-fetch-site", site),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        for target in ["/wiki", path.as_str()] {
            assert_eq!(
                visitor.send(Method::POST, target, &lines, &form).await.status,
                StatusCode::FORBIDDEN,
                "{target} {origin}"
            );
        }
    }
    for (mode, dest) in [("cors", "empty"), ("navigate", "iframe"), ("no-cors", "script")] {
        let lines =
            [("accept", "text/html"), ("sec-fetch-site", "same-origin"), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)];
        let reply = visitor.send(Method::GET, &path, &lines, "").await;
        assert!(reply.status == StatusCode::FORBIDDEN && !reply.text().contains(FIELD), "{mode} {dest}");
    }
    assert!(arrived(&world).is_empty());
}

#[tokio::test]
async fn the_seal_of_the_page_which_scripts_of_the_app_may_see_opens_no_page_about_the_account() {
    let routes = |_: &str| "[[route]]\npath = \"/wiki\"\nkeep_form_posts = true\nbearer_tokens = [\"personal\"]\n".to_owned();
    let world = World::build().set("session_duration", "1h").routes(routes).start().await;
    let visitor = signed_out_by_time(&world).await;
    let kept = post(&visitor, "/wiki", TYPED).await;
    let pressed = value(&offered(&world, &visitor, &kept).await);
    let (id, seal) = pressed.split_once('.').unwrap();
    for (path, fields) in [("/oauth2/tokens", "name=x"), ("/oauth2/sessions", "others=true")] {
        let reply = post(&visitor.without_cookies(), path, &format!("seal={seal}&{fields}")).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{path}");
    }
    let sessions = visitor.get("/oauth2/sessions").await.text();
    let theirs = sessions.split("name=\"seal\" value=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!(send_again(&visitor, "/wiki", &format!("{id}.{theirs}")).await.header("evergate-response"), "kept_post");
    assert!(arrived(&world).is_empty());
}

#[tokio::test]
async fn names_of_fields_and_paths_are_text_and_an_address_of_two_slashes_is_of_this_host() {
    let world = World::build()
        .set("session_duration", "1h")
        .without("upstream_url")
        .routes(|upstream| format!("[[route]]\npath = \"/\"\nupstream = \"{upstream}\"\nkeep_form_posts = true\n"))
        .start()
        .await;
    let visitor = signed_out_by_time(&world).await;
    let evil = "%3Cscript%3Ealert(1)%3C%2Fscript%3E=1&%22%3E%3Cimg+src%3Dx%3E=2";
    let (kept, of_two_slashes) = (post(&visitor, "/a'&b?c='&d", evil).await, post(&visitor, "//evil.test/x", TYPED).await);
    let page = offered(&world, &visitor, &kept).await.text();
    assert!(!page.contains("<script") && !page.contains("<img") && page.contains("&lt;script&gt;alert(1)"), "{page}");
    assert!(page.contains("action=\"https://app.test/a&#39;&amp;b?c=&#39;&amp;d\""), "{page}");
    // Whether a route takes it is the routes' to say; kept or not, the button of no page leads to another host.
    if of_two_slashes.status == StatusCode::SEE_OTHER {
        let page = offered(&world, &visitor, &of_two_slashes).await.text();
        assert!(!page.contains("action=\"//") && page.contains("action=\"https://app.test//evil.test/x\""), "{page}");
    }
}
