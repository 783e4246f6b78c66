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
