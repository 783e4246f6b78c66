//! Which paths a regular expression of `skip-auth-route` matches, as far as routes can say it.

/// A set of paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Paths {
    /// This path alone.
    Only(String),
    /// What is below it, without itself.
    Below(String),
    /// It and what is below it; the empty text is every path.
    From(String),
    /// Every path that begins with these letters, also in the middle of a segment.
    Beginning(String),
}

/// The sets that an expression matches together; `None` if no route can say it.
pub(super) fn paths(expression: &str) -> Option<Vec<Paths>> {
    match expression {
        "" | "^" | ".*" | ".*$" | "^.*" | "^.*$" | "/" | "/.*" | "/.*$" | "^/" | "^/.*" | "^/.*$" => {
            return Some(vec![Paths::From(String::new())]);
        }
        _ => {}
    }
    // Without `^` it matches in the middle of a path too. Fewer paths are public then, not more.
    let body = expression.strip_prefix('^').unwrap_or(expression);
    alternatives(body)?.iter().map(|one| of_one(one)).collect()
}

/// Writes out one group of alternatives, as in `/(health|metrics)$`.
fn alternatives(body: &str) -> Option<Vec<String>> {
    let group = body.split_once('(').and_then(|(before, rest)| rest.split_once(')').map(|(group, after)| (before, group, after)));
    match group {
        Some((before, group, after)) if group.contains('|') && !group.contains('/') && !group.contains('$') => {
            let is_plain = group.split('|').all(|one| literal(one).is_some());
            is_plain.then(|| group.split('|').map(|one| format!("{before}{one}{after}")).collect())
        }
        Some(_) | None => Some(vec![body.to_owned()]),
    }
}

/// Whether nothing but the [`paths`] is matched: those of other expressions are fewer than the expression's.
pub(super) fn is_precise(expression: &str) -> bool {
    let without_dots = expression.replace("\\.", "").replace(".*", "").replace(".+", "");
    expression.starts_with('^') && !without_dots.contains('.')
}

/// Makes a set of the path before an ending.
type MakeSet = fn(String) -> Paths;

/// How expressions end, the longest ending first.
const ENDINGS: [(&str, MakeSet); 14] = [
    ("(/.*)?$", Paths::From),
    ("(/|$).*", Paths::From),
    ("(/|$)", Paths::From),
    ("($|/)", Paths::From),
    ("/.*$", Paths::Below),
    ("/.+$", Paths::Below),
    ("/.*", Paths::Below),
    ("/.+", Paths::Below),
    ("/?$", Paths::Only),
    ("/$", Paths::Only),
    (".*$", Paths::Beginning),
    (".*", Paths::Beginning),
    ("$", Paths::Only),
    ("/", Paths::Below),
];

fn of_one(body: &str) -> Option<Paths> {
    let found = ENDINGS.iter().find_map(|(ending, make)| Some((literal(body.strip_suffix(ending)?)?, *make)));
    let (path, make) = match found {
        Some(found) => found,
        None => (literal(body)?, Paths::Beginning as MakeSet),
    };
    (path.is_empty() || path.starts_with('/')).then(|| match make(path) {
        Paths::Only(path) if path.is_empty() => Paths::Only("/".to_owned()),
        Paths::Beginning(path) if path.is_empty() => Paths::From(path),
        set @ (Paths::Only(_) | Paths::Below(_) | Paths::From(_) | Paths::Beginning(_)) => set,
    })
}

/// A text without anything special, and with what is escaped as it is meant.
fn literal(expression: &str) -> Option<String> {
    let (mut text, mut letters) = (String::new(), expression.chars());
    while let Some(letter) = letters.next() {
        // A dot that is not escaped is any letter. Most who write it mean a dot, which is fewer paths.
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "/-_~!&',=:@.".contains(letter);
        let letter = match letter {
            '\\' => letters.next().filter(|next| !next.is_alphanumeric() && (is_plain(*next) || "$()*+".contains(*next)))?,
            plain if is_plain(plain) => plain,
            _ => return None,
        };
        text.push(letter);
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expression_is_understood_if_a_route_can_say_it() {
        let only = |path: &str| Paths::Only(path.to_owned());
        let below = |path: &str| Paths::Below(path.to_owned());
        let from = |path: &str| Paths::From(path.to_owned());
        let beginning = |path: &str| Paths::Beginning(path.to_owned());
        for (expression, expected) in [
            ("^/health$", vec![only("/health")]),
            ("^/health/?$", vec![only("/health")]),
            ("^/$", vec![only("/")]),
            ("^/favicon\\.ico$", vec![only("/favicon.ico")]),
            ("^/favicon.ico$", vec![only("/favicon.ico")]),
            ("^/static/", vec![below("/static")]),
            ("^/static/.*", vec![below("/static")]),
            ("/static/.*$", vec![below("/static")]),
            ("^/static(/|$)", vec![from("/static")]),
            ("^/static(/.*)?$", vec![from("/static")]),
            ("^/metrics", vec![beginning("/metrics")]),
            ("/metrics", vec![beginning("/metrics")]),
            ("^/api/v1.*", vec![beginning("/api/v1")]),
            ("^/(health|metrics)$", vec![only("/health"), only("/metrics")]),
            ("^/", vec![from("")]),
            ("^/.*$", vec![from("")]),
            ("^/.+$", vec![below("")]),
            ("/.+", vec![below("")]),
            (".*", vec![from("")]),
        ] {
            assert_eq!(paths(expression), Some(expected), "{expression}");
        }
        for strange in [
            "^/a[0-9]+$",
            "\\.css$",
            "^/a/.*/b$",
            "^/(a|b/c)$",
            "^/a|^/b",
            "^/a?b",
            "(?i)^/a",
            "^/a{2}",
            "^/(a)",
            "health",
            "^/\\w+",
            "^/a%2f",
            "^/a\\?b",
        ] {
            assert_eq!(paths(strange), None, "{strange}");
        }
        for (expression, expected) in [("^/a/", true), ("^/a\\.b/.*", true), ("/a/", false), ("^/a.b/", false), ("^/a/.+$", true)]
        {
            assert_eq!(is_precise(expression), expected, "{expression}");
        }
    }
}
