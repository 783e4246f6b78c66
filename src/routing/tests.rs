use super::*;
use crate::policy::Policy;

fn route(host: Option<&str>, prefix: &str, rule: Rule, target: usize) -> Route {
    Route {
        host: host.map(|host| match HostPattern::parse(host) {
            Ok(pattern) => RouteHost::Matching(pattern),
            Err(_) => RouteHost::One(host.to_owned()),
        }),
        prefix: prefix.into(),
        rule,
        serves_stale: true,
        identity: Default::default(),
        assertion: None,
        app_tokens: false,
        cors: None,
        shown: None,
        keeps_form_posts: false,
        target,
    }
}

fn only(group: &str) -> Rule {
    Rule::signed_in(Policy { allowed_groups: vec![group.into()], ..Policy::default() })
}

fn everybody() -> Rule {
    Rule::signed_in(Policy::default())
}

/// A protected app with a public path, an administrators' path in that, and another app beside it.
fn routes() -> Routes {
    Routes::new(vec![
        route(None, "", everybody(), 0),
        route(None, "/public", Rule::public(), 1),
        route(None, "/public/admin", only("admins"), 2),
        route(None, "/public/admin/help", Rule::public(), 6),
        route(None, "/api", everybody(), 3),
        route(Some("other.example"), "", everybody(), 4),
        route(Some("other.example"), "/public", Rule::public(), 5),
    ])
}

#[test]
fn the_longest_prefix_wins_by_whole_segments() {
    let cases = [
        ("app.example", "/", 0),
        ("app.example", "/x", 0),
        ("app.example", "/public", 1),
        ("app.example", "/public/", 1),
        ("app.example", "/public/x", 1),
        ("app.example", "/publicity", 0),
        ("app.example", "/public/admin", 2),
        ("app.example", "/public/admin/x", 2),
        ("app.example", "/public/administrators", 1),
        ("app.example", "/api/v1", 3),
        ("other.example", "/", 4),
        ("OTHER.example", "/public/x", 5),
        ("other.example", "/api", 4),
        // Read differently, and under the same rule all the same.
        ("app.example", "/api/v4/projects/group%2Fproject", 3),
        ("app.example", "/a//b", 0),
        ("app.example", "/Caf%C3%A9;v=1", 0),
        ("app.example", "/public/%20x", 1),
        ("app.example", "/public//x", 1),
        ("app.example", "/public/why%3F", 1),
        ("app.example", "/public/c%23/x", 1),
        ("app.example", "/public/a%20b/", 1),
        ("app.example", "/public/wait...", 1),
        ("app.example", "/public/https://x/y", 1),
        ("app.example", "/public/https:%2F%2Fx%2Fadmin", 1),
        ("app.example", "/b.c/d", 0),
        ("app.example", "/public/c++", 1),
        ("app.example", "/public/index.php/x", 1),
        ("app.example", "/public/index.php", 1),
        ("app.example", "/caf%e9/x", 0),
        ("app.example", "/public/ann.smith/admin", 1),
        ("app.example", "/public/10:30::5", 1),
    ];
    for (host, path, target) in cases {
        assert_eq!(routes().find(host, path).map(|route| route.target), Ok(target), "{host}{path}");
    }
}

#[test]
fn a_path_that_leads_elsewhere_for_another_server_is_refused() {
    for path in [
        // Out of the public path into the protected app, and out of it into the administrators'.
        "/public/..",
        "/public/../secret",
        "/public/./admin",
        "/public/%2e%2e/secret",
        "/public/%2E./secret",
        "/public/..%2fsecret",
        "/public/..%5csecret",
        "/public\\..\\secret",
        "/public/..;/secret",
        "/public/..;x=y/secret",
        "/public/%252e%252e/secret",
        "/public%2f..%2fsecret",
        "/public/%00",
        "/public/%",
        "/public/%zz",
        "/public/%2",
        // The same place for a server that decodes, merges, or does not tell cases apart.
        "/public//admin",
        "/public/%61dmin",
        "/public%2fadmin",
        "/public/admin%2fx",
        "/public/ADMIN",
        "/public/admin;x",
        "//public/x",
        "/%70ublic/x",
        "/PUBLIC/x",
        "/public%2fx",
        "//api/x",
        // The same place for a server that takes the first segment for a host, as PHP's parse_url and Node's URL do.
        "//x/public/admin",
        "//x/api",
        "///x/public",
        "//user:pw@x:80/public/admin",
        "/%2fx/public/admin",
        "/%252f/x/api",
        // For one that cuts what it has decoded at a query or a fragment.
        "/public/admin%3f",
        "/public/admin%3Fx/y",
        "/public/admin%23x",
        "/public/admin%253fx",
        "/api%3f/../x",
        "//x%3f/api",
        // For one that takes blanks, or dots, off a segment's end.
        "/public/admin%20",
        "/public/admin%20/x",
        "/public/%20admin",
        "/public/admin%c2%a0",
        "/public/admin%E3%80%80/x",
        "/public/admin%e2%80%83;x",
        "/public/admin.",
        "/public/admin./x",
        "/public/admin.%20/x",
        "/public/..%20/x",
        "/public/%20../x",
        "/public/..%c2%a0",
        // For one that reads what no encoder writes, or letters of another form.
        "/public%c0%afadmin",
        "/public/%c0%ae%c0%ae/x",
        "/public/%ef%bd%81dmin",
        "/public/\u{ff41}dmin",
        // For one that takes bytes that are not UTF-8 for Latin-1, in which these are blanks, or leaves them out.
        "/public/admin%a0",
        "/public/admin%85/x",
        "/public/%a0admin",
        "/public/ad%ffmin",
        "/public/ad%c2min/x",
        "/public/ad%c0%afmin",
        "/public/.%ff./x",
        // For one to whom letters are of ASCII in another case, and signs are blanks.
        "/public/adm%c4%b1n",
        "/public/ADM%c4%b0N",
        "/public/admin%ef%bb%bf",
        "/public/admin%e2%80%8b/x",
        "/public/admin+",
        "/public/+admin/x",
        "/public/..+/x",
        // For one that is a script, whose name is in the path.
        "/index.php/api",
        "/public/index.php/admin",
        "/public/x.CGI/admin/x",
        "/public/index.php//admin",
        // For one that sees only what is behind the prefix.
        "/public/%2fx/admin",
        "/public/%5c%5cx/admin",
        // For a regular expression whose end is that of a line, and for whoever cuts at any control character.
        "/public/admin%0a",
        "/public/admin%0d%0ax",
        "/x%0a/public/admin",
        "/public/admin%09",
        "/public/admin%7f",
        "/public/admin%250a",
        // For one to whom other signs are dots, slashes and letters, and for Windows.
        "/public/%e2%80%a5/secret",
        "/public/%e2%80%a4%e2%80%a4/secret",
        "/public/..%e2%81%84secret",
        "/public%e2%88%95admin",
        "/public/%e2%93%90dmin",
        "/public/%c2%aadmin",
        "/public/%e1%b4%acdmin/x",
        "/public/a%e1%b5%88min",
        "/public/..%cd%be/x",
        "/public/%e0%80%ae%e0%80%ae/secret",
        "/public/admin::$DATA",
        "/public/admin::$data",
        "/public/admin::$index_allocation/x",
        "/public/admin::%24INDEX_ALLOCATION/x",
        "/public/admin:$i30:$index_allocation/x",
        "/public/admin:%24I30:$INDEX_ALLOCATION",
        "/public/x.cfm/admin",
        "/public/x.php5/admin",
        // Read half-way, they lead to a third route.
        "/public/%61dmin/help;x",
        "/public/%61dmin/HELP/x",
        "/public/%61dmin//help/x",
    ] {
        assert_eq!(routes().find("app.example", path).map(|route| route.target), Err(NoRoute::Ambiguous), "{path}");
    }
}

#[test]
fn a_prefix_with_upper_case_is_that_of_an_app_that_may_not_tell_cases_apart() {
    let routes = Routes::new(vec![route(None, "", everybody(), 0), route(None, "/Admin", only("admins"), 1)]);
    assert_eq!(routes.find("app.example", "/Admin/x").map(|route| route.target), Ok(1));
    assert_eq!(routes.find("app.example", "/other").map(|route| route.target), Ok(0));
    for path in ["/admin/x", "/ADMIN", "/aDmin/x"] {
        assert_eq!(routes.find("app.example", path).map(|route| route.target), Err(NoRoute::Ambiguous), "{path}");
    }
}

#[test]
fn a_prefix_may_be_a_script_or_have_a_plus() {
    let routes = Routes::new(vec![
        route(None, "", everybody(), 0),
        route(None, "/index.php", Rule::public(), 1),
        route(None, "/c++", Rule::public(), 2),
    ]);
    for (path, target) in [("/index.php", 1), ("/index.php/x", 1), ("/c++", 2), ("/c++/x", 2), ("/x", 0)] {
        assert_eq!(routes.find("app.example", path).map(|route| route.target), Ok(target), "{path}");
    }
}

#[test]
fn with_one_route_only_what_no_server_should_be_asked_for_is_refused() {
    let one = Routes::new(vec![route(None, "", everybody(), 0)]);
    for path in [
        "/a//b",
        "/a%2Fb",
        "/A/b;c",
        "/%E2%82%AC",
        "/a%252Fb",
        "/.well-known/x",
        "/a/..b",
        "/...",
        "/a.b/c.",
        "//x/y",
        "/a%20",
        "/a%3fb",
    ] {
        assert!(one.find("app.example", path).is_ok(), "{path}");
    }
    for path in ["/..", "/a/%2e%2e", "/a/..%2fb", "/a/.", "/%", "/a%0", "/a%00b", "/a%0ab", "/a\\b", "/a/..%5Cb"] {
        assert_eq!(one.find("app.example", path).map(|_| ()), Err(NoRoute::Ambiguous), "{path}");
    }
    let none = Routes::new(vec![route(None, "/app", everybody(), 0)]);
    assert_eq!(none.find("app.example", "/other").map(|_| ()), Err(NoRoute::Unknown));
}

#[test]
fn one_host_goes_before_hosts_that_match_the_narrowest_pattern_first_and_these_before_all() {
    let routes = Routes::new(vec![
        route(None, "", everybody(), 0),
        route(Some("*.e.example"), "", everybody(), 1),
        route(Some("{port}--{name}.e.example"), "", everybody(), 2),
        route(Some("{port}--{name}.e.example"), "/api", everybody(), 3),
        route(Some("docs.e.example"), "", everybody(), 4),
    ]);
    for (host, path, target) in [
        ("app.example", "/", 0),
        ("one.e.example", "/", 1),
        ("one.e.example", "/api", 1),
        ("8080--one.e.example", "/", 2),
        ("8080--one.e.example", "/api/x", 3),
        ("x--one.e.example", "/", 1),
        ("docs.e.example", "/", 4),
        ("a.b.e.example", "/", 0),
    ] {
        assert_eq!(routes.find(host, path).unwrap().target, target, "{host}{path}");
    }
    assert_eq!(routes.names().next().unwrap(), "docs.e.example/");
}
