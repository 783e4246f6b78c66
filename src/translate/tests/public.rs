//! Paths without authentication.

use super::*;

#[test]
fn no_path_is_public_that_was_not() {
    for (pattern, path, is_active) in [
        ("^/static(/|$)", "/static", true),
        ("^/static(/.*)?$", "/static", true),
        ("^/metrics", "/metrics", true),
        ("^/", "/", true),
        ("^/static/", "/static", false),
        ("^/static/.*", "/static", false),
        ("/static/.+$", "/static", false),
        ("^/health$", "/health", false),
        ("^/$", "/", false),
        ("^/.+$", "/", false),
        ("/.+", "/", false),
    ] {
        let flag = format!("--skip-auth-route={pattern}");
        let arguments = [&BASE[..], &[&flag]].concat();
        let text = written(&arguments);
        let lines = format!("path = \"{path}\"\n");
        let table = text.split("[[route]]").find(|table| table.contains(&lines)).unwrap_or_else(|| panic!("{pattern}: {text}"));
        let rule = if is_active { "\nrule = \"public\"" } else { "\n#rule = \"public\"" };
        assert!(table.contains(rule), "{pattern}: {text}");
        assert_eq!(notes(&arguments, Severity::Warning).contains("is commented out"), !is_active, "{pattern}: {text}");
    }
    for pattern in ["^/a.*\\.css$", "\\.js$", "^/(a|b/c)"] {
        let flag = format!("--skip-auth-route={pattern}");
        assert!(!written(&[&BASE[..], &[&flag]].concat()).contains("public"), "{pattern}");
        assert!(notes(&[&BASE[..], &[&flag]].concat(), Severity::Warning).contains("write routes by hand"), "{pattern}");
    }
}

#[test]
fn an_expression_with_a_sign_that_oauth2_proxy_takes_for_a_method_opens_nothing() {
    for pattern in ["^/a=b", "^/a!=b", "GET=^/a!=b"] {
        let flag = format!("--skip-auth-route={pattern}");
        let arguments = [&BASE[..], &[&flag]].concat();
        assert!(!written(&arguments).contains("rule = \"public\""), "{pattern}");
        assert!(notes(&arguments, Severity::Warning).contains("a method that no request has"), "{pattern}");
    }
}

#[test]
fn what_is_public_but_for_some_paths_is_so_only_where_routes_can_say_it() {
    let routes = |flags: &[&'static str]| {
        let text = written(&with(flags));
        text.split_once("[[route]]").map_or_else(String::new, |(_, routes)| format!("[[route]]{routes}"))
    };
    let exact = routes(&["--skip-auth-route=!=^/api/"]);
    assert!(exact.contains("\npath = \"/\"\nrule = \"public\"") && exact.contains("\npath = \"/api\"\n"), "{exact}");
    for inexact in [
        &["--skip-auth-route=!=^/api"][..],
        &["--skip-auth-route=!=/api/"],
        &["--skip-auth-route=!=^/a.i/"],
        &["--skip-auth-route=!=^/api/", "--skip-auth-route=!=^/admin/"],
        &["--skip-auth-route=!=^/$"],
        &["--skip-auth-route=!=^/.+$"],
    ] {
        let text = routes(inexact);
        assert!(!text.contains("\nrule = \"public\""), "{inexact:?}: {text}");
        assert!(notes(&with(inexact), Severity::Warning).contains("no routes say the same"), "{inexact:?}");
    }
    for nothing in ["--skip-auth-route=!=^/", "--skip-auth-route=!=^/.*", "--skip-auth-route=!=.*"] {
        let text = routes(&[nothing]);
        assert!(!text.contains("public"), "{nothing}: {text}");
        assert!(notes(&with(&[nothing]), Severity::Info).contains("which is nothing"), "{nothing}");
    }
}
