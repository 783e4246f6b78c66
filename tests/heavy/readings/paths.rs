//! Paths that mean `/admin` to somebody, put together out of what servers decode, merge, cut, resolve and fold.

use std::ops::RangeInclusive;

/// What may stand before the word. The first is what is plain, here and below.
const BEFORE: &[&str] = &[
    "/",
    "//",
    "///",
    "/./",
    "/%2e/",
    "/%2f",
    "/%252f",
    "/%5c",
    "/\\",
    "/%c0%af",
    "//x/",
    "///x/",
    "//x:80/",
    "//user@x:80/",
    "/%2fx/",
    "/%2f%2fx%2f",
    "/%252fx/",
    "/%5cx/",
    "/x/../",
    "/x/%2e%2e/",
    "/x%2f..%2f",
    "/x/..;/",
    "/x;/../",
    "/x/..+/",
    "/;x/",
    "/%20/",
    "/%ff/",
    "/%a0/",
    "/x%3f/",
    "/x%23/",
    "/x?/../",
    "/index.php/",
];

/// How the word may be written; and some others, which are nobody's.
const WORDS: &[&str] = &[
    "admin",
    "ADMIN",
    "Admin",
    "%61dmin",
    "%2561dmin",
    "%25%36%31dmin",
    "%u0061dmin",
    "%c1%a1dmin",
    "%e0%81%a1dmin",
    "%ef%bd%81dmin",
    "\u{ff41}\u{ff44}\u{ff4d}\u{ff49}\u{ff4e}",
    "adm%c4%b1n",
    "ADM%c4%b0N",
    "ad%ffmin",
    "ad%c2min",
    "admin%ff",
    "admin%a0",
    "admin%85",
    "%a0admin",
    "admin%c2%a0",
    "admin%c2%85",
    "admin%e3%80%80",
    "admin%ef%bb%bf",
    "admin%e2%80%8b",
    "ad%c2%admin",
    "admin%20",
    "%20admin",
    "admin+",
    "admin%2b",
    "admin.",
    "admin%2e",
    "admin%00",
    "admin%09",
    "admin%0a",
    "admin%0d%0a",
    "admin%1f",
    "admin%7f",
    "admin;x",
    "admin%3bx",
    "admin%3f",
    "admin%253f",
    "admin%23",
    "admin%2f",
    "admin%252f",
    "admin%5c",
    "admin\\",
    "x",
    "administrators",
    "caf%c3%a9",
    "a%20b",
];

/// What may stand behind it.
const AFTER: &[&str] = &["", "/", "//", "/x", "%2fx", ";a=b", ";/x", "?a", "#a", "/.", "/..;/", "/%2e%2e/admin", "%20", "%0a"];

/// Out of these, paths are made that nobody thought of.
const SCRAPS: &[&str] = &[
    "/",
    "/",
    "//",
    "%2f",
    "%252f",
    "%5c",
    "\\",
    ";",
    ";x",
    "?",
    "%3f",
    "#",
    "%23",
    ".",
    "%2e",
    "..",
    "%20",
    "+",
    "%a0",
    "%ff",
    "%0a",
    "%c2%a0",
    "%25",
    ":80",
    "@",
    "x",
    "index.php",
    "admin",
    "admin",
    "admin",
    "/admin",
    "/admin",
    "%61dmin",
    "ADMIN",
    "ad",
    "min",
];

/// How many of them.
const STRAY: usize = 4000;

/// Of those that are odd before, within and behind the word, one in so many is asked for at all.
const THRICE: usize = 5;

/// Of those that are odd in more than one way, one in so many is in the sample.
const SPARSE: usize = 50;

/// Whether all are to be asked for.
#[expect(clippy::disallowed_methods, reason = "tests have no settings")]
pub fn is_full() -> bool {
    std::env::var("EVERGATE_READINGS").is_ok_and(|text| text == "all")
}

pub fn all() -> Vec<String> {
    once().chain(more()).collect()
}

/// All that are odd in one way, and some of the others.
pub fn sample() -> Vec<String> {
    once().chain(more().step_by(SPARSE)).collect()
}

fn once() -> impl Iterator<Item = String> {
    written(0..=1)
}

fn more() -> impl Iterator<Item = String> {
    written(2..=2).chain(written(3..=3).step_by(THRICE)).chain(stray())
}

/// Whether it is one under `/admin` as it stands.
pub fn is_plainly_admin(path: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    path.strip_prefix("/admin").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What can be put together so that this many of its pieces are odd.
fn written(oddities: RangeInclusive<usize>) -> impl Iterator<Item = String> {
    let places = |pieces: &'static [&'static str]| pieces.iter().enumerate().map(|(at, piece)| (*piece, usize::from(at > 0)));
    let all = places(BEFORE).flat_map(move |(before, first)| {
        places(WORDS).flat_map(move |(word, second)| {
            places(AFTER).map(move |(after, third)| (format!("{before}{word}{after}"), first + second + third))
        })
    });
    all.filter(move |(_, odd)| oddities.contains(odd)).map(|(path, _)| path)
}

/// The same in every run (xorshift, Marsaglia 2003).
fn stray() -> impl Iterator<Item = String> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut below = move |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 33).unwrap() % bound
    };
    (0..STRAY).map(move |_| {
        let length = 1 + below(6);
        (0..length).fold("/".to_owned(), |path, _| path + SCRAPS[below(SCRAPS.len())])
    })
}
