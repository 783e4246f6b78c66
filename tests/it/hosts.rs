//! Routes whose host is a pattern: each host has an app, a login and cookies of its own.

mod apps;

use http::{Method, StatusCode};

use crate::harness::{
    World,
    logs::lines_with,
    upstream::Upstream,
    visitor::{Reply, Visitor, path_of},
};

use apps::SocketApps;

const NAVIGATION: [(&str, &str); 4] =
    [("accept", "text/html"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"), ("sec-fetch-site", "none")];

/// Navigates to a page of `host`.
async fn get(visitor: &Visitor, host: &str, path: &str) -> Reply {
    visitor.send(Method::GET, path, &[&NAVIGATION[..], &[("host", host)]].concat(), "").await
}

/// Logs in at `host`.
async fn log_in(world: &World, host: &str) -> Visitor {
    let visitor = world.visitor();
    let callback = world.idp.authorize(&get(&visitor, host, "/").await.location()).await;
    assert_eq!(callback.host_str(), host.split(':').next());
    assert_eq!(get(&visitor, host, &path_of(&callback)).await.location().host_str(), Some(host));
    visitor
}

#[tokio::test]
async fn the_port_in_a_host_leads_to_the_app_on_that_port_if_it_is_one_of_the_range() {
    let (first, second) = (Upstream::start().await, Upstream::start().await);
    let (one, other) = (first.address.port(), second.address.port());
    let (low, high) = (one.min(other), one.max(other));
    let world = World::build()
        .routes(move |_| {
            format!("[[route]]\nhost = \"{{port}}--{{name}}.apps.test\"\nports = \"{low}-{high}\"\nupstream = \"http://127.0.0.1:{{port}}\"\n")
        })
        .start()
        .await;
    for app in [&first, &second] {
        let host = format!("{}--ann.apps.test", app.address.port());
        let visitor = log_in(&world, &host).await;
        assert!(get(&visitor, &host, "/doc?x").await.is_upstreams());
        let seen = app.last();
        assert_eq!((seen.target.as_str(), seen.header("host")), ("/doc?x", Some(host.as_str())));
        assert_eq!(seen.header("x-forwarded-user"), Some("sub-ann"));
        assert_eq!(app.requests().len(), 1, "and the other saw nothing");
    }
    let out_of_range = [format!("{}--a.apps.test", low - 1), format!("{}--a.apps.test", high.checked_add(1).unwrap_or(1))];
    for host in out_of_range.iter().map(String::as_str).chain(["0--a.apps.test", "a.apps.test", "80.a--a.apps.test", "apps.test"])
    {
        assert_eq!(get(&world.visitor(), host, "/").await.status, StatusCode::MISDIRECTED_REQUEST, "{host}");
    }
    assert!(world.upstream.requests().is_empty());
}

#[tokio::test]
async fn the_label_of_a_host_leads_to_its_app_and_one_that_leads_nowhere_is_a_bad_gateway_with_its_cause_in_the_log() {
    let apps = SocketApps::start(&["one", "two"]).await;
    let directory = apps.directory();
    let world = World::build()
        .routes(move |_| {
            format!(
                "[[route]]\nhost = \"*.apps.test\"\nupstream = \"unix:{directory}/{{label}}.sock\"\nrule = \"public\"\n\
                 [[route]]\nhost = \"*.names.test\"\nupstream = \"http://{{label}}.apps.invalid:8080\"\nrule = \"public\"\n"
            )
        })
        .start()
        .await;
    let anybody = world.visitor();
    for label in ["one", "two", "ONE"] {
        let reply = get(&anybody, &format!("{label}.apps.test"), "/").await;
        assert_eq!((reply.status, reply.text()), (StatusCode::OK, label.to_lowercase()));
    }
    for host in ["three.apps.test", "nowhere-to-be-found.names.test"] {
        let reply = get(&anybody, host, "/").await;
        assert_eq!(
            (reply.status, reply.header("evergate-response")),
            (StatusCode::BAD_GATEWAY, "upstream_unreachable"),
            "{host}"
        );
    }
    assert!(!lines_with(&["the upstream failed a request", "dns error"]).is_empty());
    for host in ["..%2fone.apps.test", "a.one.apps.test", "one..apps.test", "..apps.test", "one/.apps.test", "apps.test"] {
        let status = anybody.send(Method::GET, "/", &[("host", host)], "").await.status;
        assert!(matches!(status, StatusCode::MISDIRECTED_REQUEST | StatusCode::BAD_REQUEST), "{host} {status}");
    }
}

#[tokio::test]
async fn an_ingress_asks_about_hosts_of_a_pattern_by_the_pattern_s_rule() {
    let world = World::build()
        .without("upstream_url")
        .set("forward_auth", "true")
        .set("proxy_trusted_origins", "127.0.0.1")
        .routes(|_| "[[route]]\nhost = \"*.apps.test\"\nrule = \"public\"\n".to_owned())
        .start()
        .await;
    let asked = async |host: &'static str| {
        let told =
            [("x-forwarded-method", "GET"), ("x-forwarded-uri", "/"), ("x-forwarded-host", host), ("host", "evergate.internal")];
        world.visitor().send(Method::GET, "/oauth2/auth", &told, "").await.status
    };
    assert_eq!(asked("one.apps.test").await, StatusCode::ACCEPTED);
    assert_eq!(asked("app.test").await, StatusCode::UNAUTHORIZED);
    assert!(asked("a.b.apps.test").await.is_client_error());
}
