//! Upstreams that lead where nobody meant them to.

use evergate::config::Problem;

use super::{WHOLE, checked, environment, file, with};

#[test]
fn an_upstream_that_is_evergate_itself_is_warned_of() {
    let warned = |warnings: &[Problem]| warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let own = warned(&with(&[("CODER_UPSTREAM_URL", "http://localhost:3000")]).unwrap().warnings);
    assert!(own.contains("CODER_UPSTREAM_URL: is http://localhost:3000, at which Evergate itself listens"), "{own}");
    let elsewhere = [("CODER_UPSTREAM_URL", "http://localhost:3000"), ("CODER_HTTP_ADDRESS", "127.0.0.1:3001")];
    assert!(!warned(&with(&elsewhere).unwrap().warnings).contains("itself listens"));
    let (_file, path) = file("[[route]]\npath = \"/a\"\nupstream = [\"http://10.0.0.1\", \"http://127.0.0.1:3000\"]\n");
    let mut given = environment(&WHOLE);
    given.config_path = Some(path);
    let route = warned(&checked(&given).unwrap().warnings);
    assert!(route.contains("route[1].upstream: is http://127.0.0.1:3000, at which Evergate itself listens"), "{route}");
}

#[test]
fn an_upstream_that_is_a_listener_for_others_than_browsers_is_warned_of() {
    for (variable, more) in [
        ("CODER_ADMIN_ADDRESS", &[("CODER_ADMIN_GROUPS", "admins"), ("CODER_OIDC_GROUP_FIELD", "groups")][..]),
        ("CODER_EXT_AUTHZ_ADDRESS", &[("CODER_PROXY_TRUSTED_ORIGINS", "10.0.0.0/8")]),
        (
            "CODER_APP_TOKEN_ADDRESS",
            &[("CODER_APP_TOKEN_SECRET", "0123456789abcdef0123456789abcdef"), ("CODER_APP_TOKEN_BY_USER", "true")],
        ),
    ] {
        let upstream = [(variable, "127.0.0.1:3009"), ("CODER_UPSTREAM_URL", "http://localhost:3009")];
        let warnings = with(&[&upstream[..], more].concat()).unwrap().warnings;
        let own = format!("is http://localhost:3009, at which Evergate itself listens ({variable})");
        let is_told = warnings.iter().any(|warning| warning.key == "CODER_UPSTREAM_URL" && warning.message == own);
        assert!(is_told, "{variable}: {warnings:?}");
    }
}

#[test]
fn a_port_of_requests_that_is_a_listener_for_others_prevents_no_start() {
    let (_file, path) = file(
        "[[route]]\nhost = \"{port}--{name}.apps.example\"\nupstream = \"http://127.0.0.1:{port}\"\nports = \"3000-9999\"\n",
    );
    let said = |more: &[(&str, &str)]| {
        let mut given = environment(&[&WHOLE[..], more].concat());
        given.config_path = Some(path.clone());
        checked(&given)
    };
    assert!(said(&[]).unwrap_err().to_string().contains("contains 3000, on which Evergate itself listens (CODER_HTTP_ADDRESS)"));
    let elsewhere = ("CODER_HTTP_ADDRESS", "127.0.0.1:80");
    let envoys = [elsewhere, ("CODER_EXT_AUTHZ_ADDRESS", ":9191"), ("CODER_PROXY_TRUSTED_ORIGINS", "10.0.0.0/8")];
    let warnings = said(&envoys).unwrap().warnings;
    let message = "contains 9191, on which Evergate itself listens (CODER_EXT_AUTHZ_ADDRESS)";
    assert!(warnings.iter().any(|warning| warning.key == "route[1].ports" && warning.message == message), "{warnings:?}");
}

#[test]
fn a_prefix_that_is_taken_off_before_an_app_that_another_route_protects_is_warned_of() {
    let warned = |routes: &str| {
        let (_file, path) = file(routes);
        let mut given = environment(&WHOLE);
        given.config_path = Some(path);
        let warnings = checked(&given).unwrap().warnings;
        warnings
            .iter()
            .any(|warning| warning.key == "route[1].strip_prefix" && warning.message.contains("/open/x reaches the app as /x"))
    };
    let open = "[[route]]\npath = \"/open\"\nrule = \"public\"\nstrip_prefix = true\n";
    let admin = "[[route]]\npath = \"/admin\"\ngroups = [\"admins\"]\n";
    assert!(warned(open), "all else of the app needs a login");
    assert!(warned(&open.replace("public", "optional")));
    let other = "upstream = \"http://10.0.0.1\"\n";
    assert!(!warned(&[open, other].concat()), "an app of its own");
    assert!(warned(&[open, other, admin, other].concat()));
    assert!(!warned(&open.replace("true", "false")));
    assert!(!warned(&open.replace("rule = \"public\"\n", "")), "it needs a login as well");
}
