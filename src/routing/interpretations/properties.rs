//! Properties of path interpretation, where a table cannot be complete.

use proptest::prelude::*;

use super::*;
use crate::{
    policy::{Policy, Rule},
    routing::{Route, Routes},
};

/// The rules of the routes below, from the laxest to the strictest.
const PUBLIC: usize = 0;
const SIGNED_IN: usize = 1;
const ADMINS: usize = 2;

fn route(prefix: &str, strictness: usize) -> Route {
    let rule = match strictness {
        PUBLIC => Rule::public(),
        SIGNED_IN => Rule::signed_in(Policy::default()),
        _ => Rule::signed_in(Policy { allowed_groups: vec!["admins".to_owned()], ..Policy::default() }),
    };
    Route {
        host: None,
        prefix: prefix.to_owned(),
        rule,
        serves_stale: true,
        identity: Default::default(),
        assertion: None,
        app_tokens: false,
        cors: None,
        shown: None,
        keeps_form_posts: false,
        target: strictness,
    }
}

const PREFIXES: [(&str, usize); 6] = [
    ("", SIGNED_IN),
    ("/public", PUBLIC),
    ("/public/admin", ADMINS),
    ("/public/admin/help", PUBLIC),
    ("/api", SIGNED_IN),
    ("/api/v2/open", PUBLIC),
];

fn routes() -> Routes {
    Routes::new(PREFIXES.iter().map(|(prefix, strictness)| route(prefix, *strictness)).collect())
}

/// What a server may do with a path before it looks at it, written without the code under test.
fn readings(path: &[u8]) -> Vec<Vec<u8>> {
    let decoded = {
        let (mut out, mut rest) = (Vec::new(), path);
        while let Some((first, after)) = rest.split_first() {
            let hex = after.get(..2).and_then(|digits| str::from_utf8(digits).ok()).filter(|_| *first == b'%');
            let byte = hex.filter(|digits| !digits.starts_with('+')).and_then(|digits| u8::from_str_radix(digits, 16).ok());
            out.push(byte.unwrap_or(*first));
            rest = if byte.is_some() { &after[2..] } else { after };
        }
        out
    };
    let text = String::from_utf8_lossy(path).into_owned();
    let cut = text.split(['?', '#']).next().unwrap_or_default().to_owned();
    let without_parameters: Vec<_> = text.split('/').map(|segment| segment.split(';').next().unwrap_or_default()).collect();
    let trimmed: Vec<_> = text.split('/').map(|segment| segment.trim_end_matches(['.', ' '])).collect();
    let mut merged = text.clone();
    while merged.contains("//") {
        merged = merged.replace("//", "/");
    }
    let others =
        [text.replace('\\', "/"), text.to_ascii_lowercase(), cut, without_parameters.join("/"), trimmed.join("/"), merged];
    std::iter::once(decoded).chain(others.into_iter().map(String::into_bytes)).collect()
}

/// How strict the rule of a path is that a server has read; by the longest prefix, in which cases do not count.
fn strictness(path: &[u8]) -> usize {
    let path = String::from_utf8_lossy(path).to_ascii_lowercase();
    let is_under = |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let under = PREFIXES.iter().filter(|(prefix, _)| is_under(prefix));
    under.max_by_key(|(prefix, _)| prefix.len()).map_or(SIGNED_IN, |(_, strictness)| *strictness)
}

/// Paths out of the pieces that servers disagree about.
fn paths() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "/",
        "/",
        "/",
        "public",
        "public",
        "admin",
        "admin",
        "help",
        "api",
        "v2",
        "open",
        "%2F",
        "%2f",
        "%252f",
        "//",
        "/./",
        "..",
        ".",
        "%2e",
        ";",
        ";x=1",
        "%3b",
        "%00",
        "%20",
        " ",
        "\\",
        "%5c",
        "ADMIN",
        "%61dmin",
        "%41dmin",
        "%2561dmin",
        "Public",
        "%3f",
        "%23",
        "\u{ff41}dmin",
        "\u{17f}",
        "\u{130}",
        "%c0%af",
        "%ef%bc%8f",
        "%",
        "+",
        "index.php/",
        "x",
    ]);
    prop::collection::vec(pieces, 1..9).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn resolving_what_is_resolved_changes_nothing(path in "[ -~\u{80}-\u{ff}]{0,24}") {
        let once = resolve(&path, usize::MAX);
        prop_assert_eq!(resolve(&once, usize::MAX), once);
    }

    #[test]
    fn no_path_takes_a_laxer_route_than_some_server_reads_it_under(path in paths()) {
        let routes = routes();
        let Ok(taken) = routes.find("app.example", &path) else { return Ok(()) };
        // Three steps in any order, each of which is one server's way, or one behind another.
        let mut read = vec![path.clone().into_bytes()];
        for _ in 0..3 {
            let further: Vec<_> = read.iter().flat_map(|path| readings(path)).collect();
            read.extend(further);
            read.sort_unstable();
            read.dedup();
        }
        for reading in read {
            prop_assert!(
                strictness(&reading) <= taken.target,
                "{path} takes the route {:?}, and may be read as {}", taken.prefix, String::from_utf8_lossy(&reading)
            );
        }
    }
}
