//! What is written as a pattern where none is read, and rules of routes that no request takes: each is compared as it stands, so that it is
//! asked of nobody, or admits nobody.

use super::{
    policy::{is_address_pattern, is_group_pattern},
    problem::Problem,
    reader::Reader,
    route_rule::{CLAIMS, EMAILS, GROUPS, METHODS},
    routes::PATH,
    setting::Setting,
    values,
};
use crate::routing::{Route, Routes};

/// The methods that requests mostly have.
const USUAL_METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"];

/// Refuses paths that are written as patterns where what they are meant for takes a laxer route, and warns of all else that is not what it
/// seems to be. `own_pages` is the path of our own.
pub(super) fn check(reader: &mut Reader<'_>, routes: &Routes, own_pages: &str) {
    let tables = reader.routes().len();
    for route in routes.iter().filter(|route| route.target < tables) {
        let key = format!("route[{}].{}", route.target + 1, PATH.name);
        if let Some(meant) = meant_by_pattern(&route.prefix) {
            let shown = if meant.is_empty() { "/" } else { meant };
            let message =
                format!("is written as a pattern, and is read as it stands; {shown} is that path and all that is below it");
            if is_laxer_without(routes, route, meant) {
                let message = format!("{message}, which is open to those whom this rule keeps out");
                reader.problems.add(key, message);
                continue;
            }
            reader.warnings.push(Problem { key: key.clone(), message });
        }
        if below(&route.prefix, own_pages) {
            let message = "is below CODER_PATH_PREFIX, where all pages are Evergate's own, so that no request takes the route";
            reader.warnings.push(Problem { key: key.clone(), message: message.to_owned() });
        }
        let differs_in_case = |other: &&Route| {
            other.host == route.host && other.prefix != route.prefix && other.prefix.eq_ignore_ascii_case(&route.prefix)
        };
        // The first of them is taken.
        if let Some(other) = routes.iter().take_while(|other| other.target != route.target).find(differs_in_case) {
            let message = format!(
                "differs from that of route[{}] in case alone, which an app may not tell apart, so that its requests get 400",
                other.target + 1
            );
            reader.warnings.push(Problem { key, message });
        }
    }
    for at in 0..tables {
        warn_of_members(reader, at);
    }
}

/// What a path that is written as a pattern is meant for: `/admin` of `/admin/*`, `/admin.*`, `/admin$` and `/admin/:id`.
fn meant_by_pattern(prefix: &str) -> Option<&str> {
    let named = prefix.match_indices("/:").find(|(at, _)| prefix.as_bytes().get(at + 2).is_some_and(u8::is_ascii_alphabetic));
    let ends = [prefix.find('*'), prefix.find(".+"), named.map(|(at, _)| at), prefix.ends_with('$').then(|| prefix.len() - 1)];
    let meant = prefix.get(..ends.into_iter().flatten().min()?)?;
    Some(meant.trim_end_matches(['/', '.']))
}

/// Whether requests for `meant` take a route that lets more pass than `strict` does.
fn is_laxer_without(routes: &Routes, strict: &Route, meant: &str) -> bool {
    let is_for_it = |other: &&Route| {
        let has_host = match &strict.host {
            Some(host) => host.is_within(other.host.as_ref()),
            None => other.host.is_none(),
        };
        has_host && other.target != strict.target && below(meant, &other.prefix)
    };
    let is_stricter = |taken: &Route| strict.rule.asks_more_than(&taken.rule) || (taken.serves_stale && !strict.serves_stale);
    routes.iter().find(is_for_it).is_some_and(is_stricter)
}

/// Whether a path is this one or below it, by whole segments.
fn below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Warns of members of a route's lists that are nobody's, or no request's.
fn warn_of_members(reader: &mut Reader<'_>, at: usize) {
    let Some(table) = reader.routes().get(at) else { return };
    let text = |setting: &Setting| table.get(setting.name).and_then(|text| text.as_deref().ok()).unwrap_or_default();
    let mut warn = |setting: &Setting, message: String| {
        reader.warnings.push(Problem { key: format!("route[{}].{}", at + 1, setting.name), message });
    };
    if values::list(text(&EMAILS)).iter().any(|member| is_address_pattern(member)) {
        warn(&EMAILS, "has a pattern, and addresses are compared as they stand; domains are email_domains".to_owned());
    }
    if values::list(text(&GROUPS)).iter().any(|member| is_group_pattern(member)) {
        warn(&GROUPS, "has a star, and names are compared as they stand, so that it admits nobody".to_owned());
    }
    let claims = values::map_of_lists(text(&CLAIMS)).unwrap_or_default();
    if claims.values().flatten().any(|value| value == "*") {
        warn(
            &CLAIMS,
            "has a star, and values are compared as they stand; claims that a user must have are claims_exist".to_owned(),
        );
    }
    for method in values::list(text(&METHODS)).iter().map(|method| method.to_ascii_uppercase()) {
        let near = USUAL_METHODS.iter().find(|usual| strsim::damerau_levenshtein(usual, &method) == 1);
        match (method.as_str(), near) {
            ("*", _) => warn(&METHODS, "has a star, which no request's method is; leave it out to take all".to_owned()),
            ("TRACE", _) => warn(&METHODS, "has TRACE, which is refused on every route".to_owned()),
            (_, Some(near)) => warn(&METHODS, format!("has {method}; did you mean {near}?")),
            (_, None) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_is_written_as_a_pattern_is_meant_for_what_is_before_it() {
        for (path, meant) in [
            ("/admin/*", Some("/admin")),
            ("/admin*", Some("/admin")),
            ("/admin/**", Some("/admin")),
            ("/admin/.*", Some("/admin")),
            ("/admin.*", Some("/admin")),
            ("/admin/.+", Some("/admin")),
            ("/admin$", Some("/admin")),
            ("/admin/:id", Some("/admin")),
            ("/a/*/b", Some("/a")),
            ("/*", Some("")),
            ("/a-b.c~d", None),
            ("/c++", None),
            ("/$metadata", None),
            ("/a:b", None),
            ("/.well-known", None),
            ("/:8080", None),
            ("", None),
        ] {
            assert_eq!(meant_by_pattern(path), meant, "{path}");
        }
    }
}
