//! What operators see.

use std::time::Duration;

use evergate::{telemetry::Field, timings::Timings};
use http::StatusCode;

use crate::harness::{World, eventually::eventually, logs::lines_with, visitor::Visitor};

#[tokio::test]
async fn metrics_tell_of_requests_logins_renewals_and_sessions_on_a_listener_of_their_own() {
    let mut world = World::start().await;
    let visitor = world.signed_in().await;
    world.clock.advance(Duration::from_secs(301));
    visitor.get("/").await;
    world.visitor().fetch("/").await;
    assert!(visitor.get("/metrics").await.is_upstreams(), "the app's own /metrics is the app's");
    let metrics = Visitor::new(world.replicas[0].metrics_address.unwrap());
    let text = metrics.get("/metrics").await.text();
    for line in [
        "evergate_requests_total{status=\"2xx\"}",
        "evergate_requests_total{status=\"4xx\"} 1",
        "evergate_logins_total{outcome=\"ok\"} 1",
        "evergate_renewals_total{outcome=\"ok\",reason=\"rotated\"} 1",
        "evergate_renewals_total{outcome=\"dead\",reason=\"consent_required\"} 0",
        "evergate_renewals_total{outcome=\"dead\",reason=\"bad_refresh_token\"} 0",
        "evergate_provider_seconds_count{call=\"refresh\"} 1",
        "evergate_store_seconds_count{operation=\"session\"}",
        "evergate_store_seconds_count{operation=\"mark_restored\"} 0",
        "evergate_store_failures_total{operation=\"save_login\"} 0",
        "evergate_request_seconds_bucket",
        "evergate_client_config_error 0",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    eventually("the store's changes are heard of", async || world.metric(0, "evergate_store_listener_connected") == 1.0).await;
    world.add_replica().await;
    let figures = world.replicas[1].metrics.clone();
    eventually("sessions are counted", async || {
        let text = figures.render().unwrap();
        text.contains("evergate_sessions 1\n") && text.contains("evergate_sessions_with_refresh_token 1\n")
    })
    .await;
}

#[tokio::test]
async fn each_request_has_one_access_line_with_its_id_and_without_its_query() {
    let world = World::start().await;
    let visitor = world.signed_in().await;
    visitor.get("/one-line?secret=hush-hush").await;
    let id = world.upstream.last().header("x-request-id").unwrap().to_owned();
    let lines = lines_with(&["evergate::access", &id]);
    assert_eq!(lines.len(), 1);
    let line: serde_json::Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(
        (&line["http.request.method"], &line["url.path"], &line["http.response.status_code"], &line["response"]),
        (&"GET".into(), &"/one-line".into(), &200.into(), &"upstream".into())
    );
    assert!(lines_with(&["hush-hush"]).is_empty());
    let refused = world.visitor().fetch("/refused").await.json();
    assert_eq!(lines_with(&["evergate::access", refused["request_id"].as_str().unwrap()]).len(), 1);
}

#[tokio::test]
async fn a_sample_of_the_access_lines_leaves_out_none_that_somebody_may_ask_about() {
    let world = World::build().set("access_log_sample_ratio", "0").start().await;
    let visitor = world.signed_in().await;
    visitor.get("/left-out").await;
    assert_eq!(visitor.get("/oauth2/nowhere-sampled").await.status, StatusCode::NOT_FOUND);
    assert_eq!(world.visitor().get("/login-sampled").await.status, StatusCode::SEE_OTHER);
    for written in ["/oauth2/nowhere-sampled", "/login-sampled"] {
        assert_eq!(lines_with(&["evergate::access", written]).len(), 1, "{written}");
    }
    assert!(lines_with(&["evergate::access", "/left-out"]).is_empty());
}

#[tokio::test]
async fn an_access_line_tells_what_it_is_to_tell_and_the_id() {
    let fields = "url.path,http.response.status_code,end";
    let world = World::build().set("access_log_fields", fields).start().await;
    world.signed_in().await.get("/few-fields").await;
    let lines = lines_with(&["evergate::access", "/few-fields"]);
    let line: serde_json::Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    let told: Vec<_> = line
        .as_object()
        .unwrap()
        .keys()
        .filter(|key| !["timestamp", "level", "target", "message"].contains(&key.as_str()))
        .collect();
    assert_eq!(told, ["end", "http.response.status_code", "request.id", "url.path"]);
    let documented = include_str!("../../docs/data-plane.md");
    let missing: Vec<_> =
        Field::ALL.iter().map(|field| field.name()).filter(|name| !documented.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/data-plane.md has no {missing:?}");
}

#[tokio::test]
async fn the_access_line_tells_the_route_the_user_the_upstream_s_time_and_why_a_request_was_refused() {
    let routes = |upstream: &str| format!("[[route]]\npath = \"/other\"\nupstream = \"{upstream}\"\n");
    let world = World::build().routes(routes).start().await;
    let visitor = world.signed_in().await;
    let line = |id: &str| -> serde_json::Value {
        let lines = lines_with(&["evergate::access", id]);
        assert_eq!(lines.len(), 1, "{lines:?}");
        serde_json::from_str(&lines[0]).unwrap()
    };
    let mut users = Vec::new();
    for (path, route) in [("/app", "/"), ("/other/page", "/other")] {
        visitor.get(path).await;
        let line = line(world.upstream.last().header("x-request-id").unwrap());
        assert_eq!((&line["http.route"], &line["server.address"]), (&route.into(), &"app.test".into()), "{line}");
        let upstream = world.upstream.address.to_string();
        assert_eq!((&line["upstream.address"], &line["http.request.body.size"]), (&upstream.into(), &0.into()), "{line}");
        assert!(line["upstream.us"].as_u64() <= line["head.us"].as_u64() && line["upstream.us"].is_u64(), "{line}");
        users.push(line["user.id"].as_str().unwrap().to_owned());
    }
    visitor.send(http::Method::POST, "/upload", &[("content-type", "text/plain")], "twelve bytes").await;
    assert_eq!(line(world.upstream.last().header("x-request-id").unwrap())["http.request.body.size"], 12);
    assert!(users[0] == users[1] && users[0].len() == 16, "by a hash: {users:?}");
    let own = visitor.get("/oauth2/sessions").await.text();
    let own = line(own.split("Request ").nth(1).unwrap().split('<').next().unwrap());
    assert_eq!((&own["http.route"], own["user.id"].as_str()), (&"endpoints".into(), Some(&*users[0])), "{own}");
    let refused = line(world.visitor().fetch("/app").await.json()["request_id"].as_str().unwrap());
    assert_eq!(
        (&refused["response"], &refused["reason"], &refused["http.route"]),
        (&"sign_in_required".into(), &"no_session".into(), &"/".into())
    );
    assert!(refused["user.id"].is_null() && refused["upstream.us"].is_null(), "{refused}");
    let text = world.replicas[0].metrics.render().unwrap();
    for (series, count) in [("/other\",status=\"2xx", 1), ("/\",status=\"4xx", 1), ("endpoints\",status=\"1xx", 0)] {
        let line = format!("evergate_http_server_request_duration_seconds_count{{route=\"{series}\"}} {count}\n");
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn the_access_line_of_a_request_that_found_no_app_names_the_app() {
    let routes = "[[route]]\npath = \"/\"\nupstream = \"http://127.0.0.1:1\"\n";
    let world = World::build().routes(|_| routes.to_owned()).start().await;
    let failed = world.signed_in().await.fetch("/").await;
    let lines = lines_with(&["evergate::access", failed.json()["request_id"].as_str().unwrap()]);
    assert!(lines[0].contains("\"upstream.address\":\"127.0.0.1:1\""), "{lines:?}");
}

#[tokio::test]
async fn the_access_line_tells_host_and_port_apart() {
    let world = World::start().await;
    world.visitor().send(http::Method::GET, "/oauth2/healthz", &[("host", "[2001:db8::5e4]:3000")], "").await;
    let lines = lines_with(&["evergate::access", "2001:db8::5e4"]);
    let line: serde_json::Value = serde_json::from_str(lines.last().expect("its line")).unwrap();
    assert_eq!((&line["server.address"], &line["server.port"]), (&"2001:db8::5e4".into(), &3000.into()), "{line}");
}

#[tokio::test]
async fn what_can_be_counted_is_there_from_the_start() {
    let world = World::start().await;
    let text = world.replicas[0].metrics.render().unwrap();
    for line in [
        "evergate_logins_total{outcome=\"denied\"} 0",
        "evergate_logouts_total 0",
        "evergate_renewals_total{outcome=\"dead\",reason=\"invalid_grant\"} 0",
        "evergate_renewals_total{outcome=\"ok\",reason=\"rotated\"} 0",
        "evergate_provider_seconds_count{call=\"introspection\"} 0",
        "evergate_http_server_request_duration_seconds_count{route=\"/\",status=\"5xx\"} 0",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn liveness_and_readiness_answer_by_any_name() {
    let world = World::start().await;
    let visitor = world.visitor();
    for path in ["/oauth2/healthz", "/oauth2/readyz"] {
        let reply = visitor.send(http::Method::GET, path, &[("host", "10.1.2.3:3000")], "").await;
        assert_eq!(reply.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn readiness_tells_of_routes_that_nobody_may_take() {
    let routes = |upstream: &str| format!("[[route]]\npath = \"/admin\"\ngroups = [\"admins\"]\nupstream = \"{upstream}\"\n");
    for (world, told) in [
        (World::build().routes(routes).start().await, "ok"),
        (World::build().without("oidc_group_field").routes(routes).start().await, "no_claim"),
        (World::build().without("oidc_group_field").start().await, "ok"),
    ] {
        let reply = world.visitor().get("/oauth2/readyz").await;
        assert_eq!((&reply.json()["groups"], reply.status), (&told.into(), StatusCode::OK), "the other routes are served");
    }
}

#[tokio::test]
async fn a_draining_gateway_is_unready_first() {
    let slow = |timings: &mut Timings| timings.unready_before_stop = Duration::from_secs(600);
    let mut world = World::build().timed(slow).start().await;
    let address = world.address();
    let stopping = tokio::spawn(world.replicas.remove(0).stop());
    let probe = Visitor::new(address);
    eventually("it is unready and still accepts connections", async || {
        let reply = probe.get("/oauth2/readyz").await;
        reply.status == StatusCode::SERVICE_UNAVAILABLE && reply.json()["draining"] == true
    })
    .await;
    stopping.abort();
}

#[tokio::test]
async fn one_line_at_start_says_what_will_be_asked_of_the_provider() {
    let world = World::start().await;
    let lines = lines_with(&[world.idp.issuer(), "provider discovered"]);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("offline_access is asked for, because the provider lists it")
            && lines[0].contains("openid profile email offline_access"),
        "{lines:?}"
    );
}

#[tokio::test]
async fn pages_of_ours_are_safe_to_show() {
    let world = World::start().await;
    let page = world.visitor().send(http::Method::GET, "/oauth2/callback", &[("accept", "text/html")], "").await;
    assert!(page.text().contains("<h1>Sign-in failed</h1>"));
    for (name, value) in [
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("content-type", "text/html; charset=utf-8"),
    ] {
        assert_eq!(page.header(name), value);
    }
    assert!(page.header("content-security-policy").starts_with("default-src 'none'"));
}

#[tokio::test]
async fn a_head_ends_nothing_and_uses_nothing_up() {
    let world = World::start().await;
    let visitor = world.visitor();
    let own: [(&str, &str); 3] =
        [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    let head = async |path: &str, lines: &[(&str, &str)]| {
        let lines = [&[("accept", "text/html")], lines].concat();
        visitor.send(http::Method::HEAD, path, &lines, "").await
    };
    let begun = head("/oauth2/start?rd=/page", &[]).await;
    assert_eq!(begun.status, StatusCode::SEE_OTHER, "as by GET");
    let back = world.idp.authorize(&visitor.get("/page").await.location()).await;
    let callback = format!("{}?{}", back.path(), back.query().unwrap());
    let refused = head(&callback, &[]).await;
    assert_eq!((refused.status, refused.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "GET, POST"));
    assert!(refused.set_cookies().is_empty());
    assert_eq!(visitor.get(&callback).await.location().path(), "/page", "the attempt is good still");
    for lines in [&own[..], &[]] {
        for path in ["/oauth2/sign_out", "/oauth2/sign_out?everywhere=true"] {
            let asked = head(path, lines).await;
            assert!(asked.status == StatusCode::OK && asked.set_cookies().is_empty(), "{path} {lines:?}: {}", asked.status);
        }
    }
    assert!(visitor.get("/").await.is_upstreams());
}

#[tokio::test]
async fn what_an_endpoint_refuses_leads_nowhere_but_to_a_fresh_login_and_names_the_methods_it_takes() {
    let world = World::start().await;
    let visitor = world.visitor();
    let failed = visitor.send(http::Method::GET, "/oauth2/callback?code=x", &[("accept", "text/html")], "").await;
    let page = failed.text();
    assert!(page.contains("/oauth2/start\"") && !page.contains("callback"), "{page}");
    for (path, allowed) in [
        ("/oauth2/healthz", "GET, HEAD"),
        ("/oauth2/backchannel_logout", "POST"),
        ("/oauth2/sign_out", "GET, HEAD, POST"),
        ("/oauth2/start", "GET, HEAD, POST"),
        ("/oauth2/callback", "GET, POST"),
        ("/oauth2/frontchannel_logout", "GET"),
    ] {
        let reply = visitor.send(http::Method::DELETE, path, &[], "").await;
        assert_eq!((reply.status, reply.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, allowed), "{path}");
    }
    let traced = visitor.send(http::Method::TRACE, "/", &[], "").await;
    assert!(traced.status == StatusCode::METHOD_NOT_ALLOWED && traced.header("allow").starts_with("GET, HEAD, "));
}
