//! Paths without authentication. A route is never wider than what was public: where it would be, it stands commented out.

use super::{
    given::Given,
    patterns::{Paths, is_precise, paths},
    result::{Note, RouteTable, Translation},
};

/// One of `skip-auth-route`.
struct Skip {
    methods: Vec<String>,
    /// Whether it is about what the expression does not match.
    is_negated: bool,
    expression: String,
    origin: String,
}

/// Translates paths without authentication into routes.
pub(super) fn translate(given: &mut Given, result: &mut Translation) {
    let mut skips = Vec::new();
    for flag in ["skip-auth-route", "skip-auth-regex"] {
        let (texts, origin) = given.list(flag).unwrap_or_default();
        skips.extend(texts.iter().map(|text| parse(text, flag == "skip-auth-route", &origin)));
    }
    let negated = skips.iter().filter(|skip| skip.is_negated).count();
    for skip in &skips {
        if !skip.methods.iter().all(|method| method.chars().all(|letter| letter.is_ascii_alphabetic())) {
            let message =
                "has `=` within its expression, before which oauth2-proxy reads a method that no request has; nothing is public";
            result.notes.push(Note::warning(&skip.origin, message));
            continue;
        }
        match paths(&skip.expression) {
            Some(sets) if skip.is_negated => all_but(skip, &sets, negated == 1, result),
            Some(sets) => sets.iter().for_each(|set| public(skip, set, result)),
            None => result.notes.push(Note::warning(
                &skip.origin,
                format!(
                    "`{}` is no path and what is below it, so that no route says the same; write routes by hand",
                    skip.expression
                ),
            )),
        }
    }
}

/// `[METHOD=|METHOD!=|!=]expression`, which oauth2-proxy splits at the first sign, wherever it is.
fn parse(text: &str, has_method: bool, origin: &str) -> Skip {
    let split = ["!=", "="].iter().find_map(|sign| Some((text.split_once(sign)?, *sign == "!=")));
    let ((method, expression), is_negated) = split.filter(|_| has_method).unwrap_or((("", text), false));
    let methods = if method.is_empty() { Vec::new() } else { vec![method.to_ascii_uppercase()] };
    Skip { methods, is_negated, expression: expression.to_owned(), origin: origin.to_owned() }
}

fn public(skip: &Skip, set: &Paths, result: &mut Translation) {
    let mut route = RouteTable {
        is_public: true,
        methods: skip.methods.clone(),
        comment: format!("`{}` of {}", skip.expression, skip.origin),
        ..RouteTable::default()
    };
    match set {
        Paths::From(path) => route.path.clone_from(path),
        Paths::Below(path) => {
            route.path.clone_from(path);
            route.is_commented_out = true;
            let message = format!(
                "`{}` opens what is below {path}/ alone; a route opens {path} itself too, and is commented out in evergate.toml. If that \
                 may be public, write `^{path}(/|$)`",
                skip.expression
            );
            result.notes.push(Note::warning(&skip.origin, message));
        }
        Paths::Beginning(path) => {
            route.path.clone_from(path);
            route.comment.push_str(&format!("; fewer than before: {path} and what is below it, by whole segments"));
        }
        Paths::Only(path) => {
            route.path.clone_from(path);
            route.is_commented_out = true;
            let message = format!(
                "`{}` opens one path alone; a route opens what is below {path} too, and is commented out in evergate.toml",
                skip.expression
            );
            result.notes.push(Note::warning(&skip.origin, message));
        }
    }
    if !route.methods.is_empty() {
        let message = format!(
            "`{}` opens {} for {} alone; other methods get 405 there, also of users who are signed in",
            skip.expression,
            if route.path.is_empty() { "/" } else { &route.path },
            route.methods.join(", ")
        );
        result.notes.push(Note::warning(&skip.origin, message));
    }
    add(route, result);
}

/// Everything is public but what the expression matches.
fn all_but(skip: &Skip, sets: &[Paths], is_the_only_one: bool, result: &mut Translation) {
    let is_everything = |set: &Paths| matches!(set, Paths::From(path) if path.is_empty());
    if sets.iter().any(is_everything) {
        let message = format!("`{}` makes public what it does not match, which is nothing", skip.expression);
        return result.notes.push(Note::info(&skip.origin, message));
    }
    // Where a path ends within a segment, more would be public than before; and of `/` no route says that it is public for what is below
    // it alone.
    let can_be_said = |set: &Paths| match set {
        Paths::Only(path) | Paths::Below(path) | Paths::From(path) => !matches!(path.as_str(), "" | "/"),
        Paths::Beginning(_) => false,
    };
    let is_exact = is_precise(&skip.expression) && sets.iter().all(can_be_said);
    let is_commented_out = !is_exact || !is_the_only_one || !skip.methods.is_empty();
    if is_commented_out {
        let message = format!(
            "`{}` makes public what it does not match; no routes say the same, and those in evergate.toml are commented out",
            skip.expression
        );
        result.notes.push(Note::warning(&skip.origin, message));
    }
    let comment = format!("everything is public but what `{}` matches ({})", skip.expression, skip.origin);
    let all = RouteTable { is_public: true, is_commented_out, comment: comment.clone(), ..RouteTable::default() };
    add(all, result);
    for set in sets {
        let (Paths::Only(path) | Paths::Below(path) | Paths::From(path) | Paths::Beginning(path)) = set;
        add(RouteTable { path: path.clone(), is_commented_out, comment: comment.clone(), ..RouteTable::default() }, result);
    }
}

/// Adds a route, which takes the place of one with the same path: the app that this leads to stays.
fn add(mut route: RouteTable, result: &mut Translation) {
    let path = route.path.trim_end_matches('/');
    route.path = if path.is_empty() { "/".to_owned() } else { path.to_owned() };
    let is_below = |app: &&RouteTable| {
        app.upstream.is_some()
            && (route.path == app.path || route.path.starts_with(&format!("{}/", app.path.trim_end_matches('/'))))
    };
    // What is not public of an app is a route of its own; the deepest one is this path's.
    let apps = result.routes.iter().filter(|app| !app.is_public && !app.is_commented_out);
    if let Some(app) = apps.filter(is_below).max_by_key(|app| app.path.len()) {
        route.upstream.clone_from(&app.upstream);
        route.uses_own_host = app.uses_own_host;
        route.timeout.clone_from(&app.timeout);
        if app.strips_prefix && app.path == route.path {
            route.strips_prefix = true;
        } else if app.strips_prefix {
            route.is_commented_out = true;
            let message =
                format!("the app behind {} is reached without that prefix, which a route below it cannot remove", app.path);
            result.notes.push(Note::warning(&route.comment, message));
        }
    } else if let Some(front) = result.routes.iter().find(|front| front.path == "/" && !front.is_commented_out) {
        route.uses_own_host = front.uses_own_host;
        route.timeout.clone_from(&front.timeout);
    }
    match result.routes.iter_mut().find(|other| other.path == route.path && !other.is_commented_out && !route.is_commented_out) {
        Some(other) if other.is_public && route.is_public => {
            // Both may be public for some methods; for none means for all.
            let all = other.methods.is_empty() || route.methods.is_empty();
            other.methods = if all { Vec::new() } else { [other.methods.clone(), route.methods].concat() };
        }
        // A path that is protected by one and public by another was public.
        Some(other) if route.is_public => *other = route,
        Some(_) => {}
        None => result.routes.push(route),
    }
}
