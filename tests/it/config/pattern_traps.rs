//! Patterns where none is read.

use super::{WHOLE, checked, environment, file, with};

/// The problems and the warnings of these routes.
fn said(routes: &str) -> (String, String) {
    let (_file, path) = file(routes);
    let mut given = environment(&WHOLE);
    given.config_path = Some(path);
    given.variables.extend([("CODER_OIDC_GROUP_FIELD".to_owned(), "groups".to_owned())]);
    match checked(&given) {
        Ok(checked) => (String::new(), checked.warnings.iter().map(|warning| format!("{warning}\n")).collect()),
        Err(problems) => (problems.to_string(), String::new()),
    }
}

#[test]
fn a_path_that_is_written_as_a_pattern_is_an_error_where_all_may_enter_what_its_rule_protects() {
    for path in ["/admin/*", "/admin*", "/admin/**", "/admin/.*", "/admin/.+", "/admin$", "/admin/:id"] {
        let route = |rule: &str| said(&format!("[[route]]\npath = \"{path}\"\n{rule}\n"));
        for rule in ["groups = [\"admins\"]", "networks = [\"10.0.0.0/8\"]", "methods = [\"GET\"]", "outage = \"strict\""] {
            let (problems, _) = route(rule);
            assert!(problems.contains("route[1].path: is written as a pattern"), "{path} {rule}: {problems}");
            assert!(problems.contains("/admin is that path and all that is below it"), "{path} {rule}: {problems}");
        }
        // What is served as it was meant, or to fewer than was meant.
        for rule in ["rule = \"public\"", "rule = \"optional\"", "rule = \"public\"\nmethods = [\"POST\"]", ""] {
            let (problems, warnings) = route(rule);
            assert!(problems.is_empty(), "{path} {rule}: {problems}");
            assert!(warnings.contains("route[1].path: is written as a pattern"), "{path} {rule}: {warnings}");
        }
    }
    for path in ["/admin", "/a-b.c~d", "/c++", "/$metadata", "/a:b"] {
        let (problems, warnings) = said(&format!("[[route]]\npath = \"{path}\"\ngroups = [\"admins\"]\n"));
        assert_eq!((problems.as_str(), warnings.as_str()), ("", ""), "{path}");
    }
}

#[test]
fn a_pattern_opens_nothing_where_another_route_has_its_rule_or_is_another_host_s() {
    let strict = "path = \"/admin/*\"\ngroups = [\"admins\"]\n";
    let (problems, _) = said(&format!("[[route]]\n{strict}\n[[route]]\npath = \"/admin\"\ngroups = [\"admins\"]\n"));
    assert_eq!(problems, "", "the other route protects it");
    let (problems, _) =
        said(&format!("[[route]]\nhost = \"a.example\"\n{strict}\n[[route]]\npath = \"/admin\"\ngroups = [\"admins\"]\n"));
    assert_eq!(problems, "", "of all hosts");
    let (problems, _) =
        said(&format!("[[route]]\n{strict}\n[[route]]\nhost = \"a.example\"\npath = \"/admin\"\ngroups = [\"admins\"]\n"));
    assert!(problems.contains("route[1].path"), "of another host alone");
}

#[test]
fn a_route_that_no_request_takes_is_warned_of() {
    let (_, warnings) = said("[[route]]\npath = \"/oauth2/x\"\n[[route]]\npath = \"/oauth2-docs\"\n");
    assert_eq!(warnings.lines().count(), 1, "{warnings}");
    assert!(warnings.starts_with("route[1].path: is below CODER_PATH_PREFIX"), "{warnings}");
    let (_, warnings) =
        said("[[route]]\npath = \"/Big\"\n[[route]]\npath = \"/big\"\n[[route]]\nhost = \"a.example\"\npath = \"/BIG\"\n");
    assert_eq!(warnings.lines().count(), 1, "{warnings}");
    assert!(warnings.starts_with("route[2].path: differs from that of route[1] in case alone"), "{warnings}");
}

#[test]
fn a_member_that_is_a_pattern_or_no_method_is_warned_of() {
    for (rule, warned) in [
        ("emails = [\"*@example.com\"]", "emails: has a pattern"),
        ("emails = [\"ann@example.com\", \"@example.com\"]", "emails: has a pattern"),
        ("groups = [\"*\"]", "groups: has a star"),
        ("claims = { department = [\"*\"] }", "claims: has a star"),
        ("methods = [\"*\"]", "methods: has a star"),
        ("methods = [\"GET\", \"trace\"]", "methods: has TRACE"),
        ("methods = [\"gte\"]", "methods: has GTE; did you mean GET?"),
    ] {
        let (problems, warnings) = said(&format!("[[route]]\npath = \"/a\"\n{rule}\n"));
        assert!(warnings.starts_with(&format!("route[1].{warned}")), "{rule}: {problems}{warnings}");
    }
    for rule in ["emails = [\"ann@example.com\", \"ann\"]", "methods = [\"GET\", \"PROPFIND\", \"PURGE\", \"patch\", \"LOCK\"]"] {
        let (problems, warnings) = said(&format!("[[route]]\npath = \"/a\"\n{rule}\n"));
        assert_eq!((problems.as_str(), warnings.as_str()), ("", ""), "{rule}");
    }
    for (variable, value) in [
        ("CODER_OIDC_ALLOWED_EMAILS", "*@example.com"),
        ("CODER_OIDC_ALLOWED_EMAILS", "ann@example.com,@example.com"),
        ("CODER_OIDC_ALLOWED_GROUPS", "*"),
    ] {
        let warnings = with(&[("CODER_OIDC_GROUP_FIELD", "groups"), (variable, value)]).unwrap().warnings;
        assert!(warnings.iter().any(|warning| warning.key == variable), "{variable}={value}: {warnings:?}");
    }
}

#[test]
fn a_host_with_a_star_is_said_where_no_pattern_is_read() {
    for (more, problem) in [
        (&[("CODER_ACCESS_URL", "https://*.example.com")][..], "CODER_ACCESS_URL: must be one host, without a star"),
        (&[("CODER_OIDC_REDIRECT_URL", "https://*.example.com")], "CODER_OIDC_REDIRECT_URL: must be one host, without a star"),
    ] {
        let problems = with(more).unwrap_err().to_string();
        assert!(problems.contains(problem), "{problems}");
    }
    // What served other sites goes on serving them.
    for (more, key) in [
        (
            &[("CODER_ACCESS_URL", "https://*.example.com"), ("CODER_WILDCARD_ACCESS_URL", "*.apps.example.com")][..],
            "CODER_ACCESS_URL",
        ),
        (&[("CODER_OIDC_REDIRECT_ALLOWED_HOSTS", "*.example.com")], "CODER_OIDC_REDIRECT_ALLOWED_HOSTS"),
        (&[("CODER_ALLOWED_ORIGINS", "https://*.com")], "CODER_ALLOWED_ORIGINS"),
    ] {
        let warnings = with(more).unwrap().warnings;
        assert!(warnings.iter().any(|warning| warning.key == key && warning.message.contains("star")), "{key}: {warnings:?}");
    }
    for origins in ["https://*.apps.example.com", "https://a.example,https://*.b.example", "*"] {
        let warnings = with(&[("CODER_ALLOWED_ORIGINS", origins)]).unwrap().warnings;
        assert!(warnings.iter().all(|warning| warning.key != "CODER_ALLOWED_ORIGINS"), "{origins}: {warnings:?}");
    }
    for origins in ["null", "https://*.apps.example.com/", "https://a.example/path"] {
        let problems = with(&[("CODER_ALLOWED_ORIGINS", origins)]).unwrap_err().to_string();
        assert!(problems.contains("CODER_ALLOWED_ORIGINS: must be origins like"), "{origins}: {problems}");
    }
}
