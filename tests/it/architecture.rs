//! The walls of the house, kept by reading the sources.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Which room may know which. A room may always know itself.
const VOCABULARY: [&str; 8] = ["identity", "address", "seal", "secret", "backoff", "clock", "connection_slot", "header_names"];
const ARROWS: &[(&str, &[&str])] = &[
    ("cli", &["app", "config", "demo", "sign_out", "history", "grant", "session", "store", "telemetry"]),
    // The demonstration's provider signs its tokens.
    ("demo", &["app", "config", "jose"]),
    (
        "app",
        &[
            "config",
            "server",
            "gateway",
            "endpoints",
            "admission",
            "visitor",
            "sign_in",
            "sign_out",
            "renewal",
            "policy",
            "forward",
            "oidc",
            "session",
            "store",
            "telemetry",
            "tls",
        ],
    ),
    // The settings of the parts are theirs; config alone builds them.
    (
        "config",
        &[
            "server",
            "gateway",
            "exchange",
            "renewal",
            "policy",
            "routing",
            "forward",
            "oidc",
            "session",
            "store",
            "telemetry",
            "tls",
        ],
    ),
    ("server", &["tls"]),
    (
        "gateway",
        &[
            "endpoints",
            "admission",
            "refusal",
            "exchange",
            "visitor",
            "server",
            "policy",
            "routing",
            "forward",
            // The access line tells the user.
            "grant",
            "session",
            "telemetry",
        ],
    ),
    // Readiness tells of the certificates that are served.
    (
        "endpoints",
        &[
            "admission",
            "refusal",
            "exchange",
            "sign_in",
            "sign_out",
            "renewal",
            "policy",
            "routing",
            "pages",
            "oidc",
            "session",
            "store",
            "telemetry",
            "tls",
        ],
    ),
    ("admission", &["refusal", "exchange", "visitor", "sign_in", "renewal", "policy", "routing", "grant", "store"]),
    ("refusal", &["exchange", "visitor", "sign_in", "forward", "policy", "oidc", "pages", "session", "store", "telemetry"]),
    // The server says who the client end of a connection is.
    ("exchange", &["server", "forward", "policy", "session"]),
    ("visitor", &["policy", "grant", "session", "store", "telemetry"]),
    // A route's rule is the policy's.
    ("routing", &["policy"]),
    ("sign_in", &["policy", "oidc", "grant", "history", "session", "store", "telemetry"]),
    ("sign_out", &["oidc", "history", "session", "store", "telemetry"]),
    ("renewal", &["oidc", "grant", "history", "session", "store", "telemetry"]),
    ("policy", &[]),
    // The permit is the entry ticket, and our cookies' names are the session's.
    ("forward", &["policy", "session"]),
    ("pages", &[]),
    // The fingerprint of the settings is a grant's; signatures are checked in one place.
    ("oidc", &["grant", "jose", "telemetry"]),
    ("jose", &[]),
    ("grant", &[]),
    ("history", &["grant", "session"]),
    ("session", &["grant"]),
    // Records and their tables.
    ("store", &["grant", "history", "session", "telemetry"]),
    ("telemetry", &[]),
    ("tls", &["telemetry"]),
    ("main", &["cli"]),
    ("lib", &[]),
];

/// The only homes of outside crates.
const HOMES: &[(&str, &[&str])] = &[
    ("sqlx", &["store"]),
    ("openidconnect", &["oidc"]),
    ("figment", &["config"]),
    ("clap", &["cli"]),
    ("axum", &["gateway", "endpoints", "refusal", "app", "demo"]),
    ("tower_cookies", &["session"]),
    ("anyhow", &["cli", "app", "demo", "telemetry"]),
    ("prometheus_client", &["telemetry"]),
    ("quick_cache", &["session"]),
];

/// Rooms that decide and do nothing else.
const PURE: &[&str] = &[
    "renewal/decision",
    "renewal/recovery",
    "renewal/classify",
    "store/error",
    "policy",
    "routing",
    "routing/interpretations",
    "pages",
    "sign_in/return_to",
    "sign_in/rounds",
    "sign_in/silence",
    "forward/reserved_headers",
    "forward/hop_by_hop",
    "forward/forwarding_headers",
    "forward/websocket",
    "forward/http1/head",
    "forward/http1/chunks",
    "session/cookie",
    "oidc/authorization/params",
    "oidc/preset",
    "oidc/preset/table",
    "oidc/claims",
    "oidc/discovery/metadata",
    "oidc/logout_token",
    "oidc/merge",
    "oidc/id_token",
    "jose",
    "jose/algorithm",
    "jose/key",
    "jose/object",
    "jose/token",
    "gateway/destination",
    "admission/next_step",
    "exchange/kind",
    "exchange/malformed",
    "exchange/grpc",
    "refusal/table",
    "visitor/reason",
    "config/values",
];

struct Source {
    path: PathBuf,
    room: String,
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "rs") {
                let inside = path.strip_prefix(&root).unwrap().to_path_buf();
                let room = inside.components().next().unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
                found.push(Source { text: fs::read_to_string(&path).unwrap(), path: inside, room });
            }
        }
    }
    assert!(found.len() > 40, "the sources are where this test looks");
    found
}

/// The lines that run: neither comments nor tests.
fn code(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let is_tests = source.path.ends_with("tests.rs");
    source
        .text
        .lines()
        .enumerate()
        .take_while(move |(_, line)| !is_tests && *line != "#[cfg(test)]")
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// The rooms that a source names after `crate::`, grouped imports included.
fn rooms_named(source: &Source) -> Vec<(usize, String)> {
    let mut named = Vec::new();
    let mut in_group = false;
    for (at, line) in code(source) {
        let line = line.trim();
        if in_group {
            // Only the group's own level names rooms; deeper ones are indented further.
            let deep = source.text.lines().nth(at).unwrap().starts_with("        ");
            if !deep && !line.starts_with('}') {
                named.push((at, line.split([':', ',', ' ']).next().unwrap().to_owned()));
            }
            in_group = deep || line != "};";
            continue;
        }
        if line.ends_with("crate::{") {
            in_group = true;
            continue;
        }
        for part in line.split("crate::").skip(1) {
            match part.strip_prefix('{') {
                Some(group) => named.extend(top_level(group).into_iter().map(|room| (at, room))),
                None => named.push((
                    at,
                    part.split(|character: char| !character.is_alphanumeric() && character != '_').next().unwrap().to_owned(),
                )),
            }
        }
    }
    named
}

/// The first words of a one-line group: `address::X, secret::{a, b}` is address and secret.
fn top_level(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut words = vec![String::new()];
    for character in group.chars() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => words.push(String::new()),
            other if depth == 0 => words.last_mut().unwrap().push(other),
            _ => {}
        }
    }
    words.iter().map(|word| word.trim().split("::").next().unwrap().to_owned()).filter(|word| !word.is_empty()).collect()
}

#[test]
fn rooms_know_only_what_lies_below_them() {
    let arrows: BTreeMap<_, _> = ARROWS.iter().copied().collect();
    let mut broken = Vec::new();
    for source in sources() {
        let room = source.room.as_str();
        let allowed = if VOCABULARY.contains(&room) {
            &[][..]
        } else {
            arrows.get(room).unwrap_or_else(|| panic!("{room} is no room that this test knows"))
        };
        for (at, named) in rooms_named(&source) {
            if named != room && !allowed.contains(&named.as_str()) && !VOCABULARY.contains(&named.as_str()) {
                broken.push(format!("src/{}:{}: {room} must not know {named}", source.path.display(), at + 1));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn outside_crates_stay_in_their_homes() {
    let mut broken = Vec::new();
    for source in sources() {
        for (outside, homes) in HOMES {
            let uses = |line: &str| line.contains(&format!("{outside}::")) || line.contains(&format!("use {outside}"));
            for (at, line) in code(&source).filter(|(_, line)| uses(line)) {
                if !homes.contains(&source.room.as_str()) {
                    broken.push(format!(
                        "src/{}:{}: {outside} belongs to {homes:?}: {}",
                        source.path.display(),
                        at + 1,
                        line.trim()
                    ));
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn what_decides_does_nothing_else() {
    let mut broken = Vec::new();
    for source in sources() {
        let module = source.path.with_extension("").display().to_string();
        if PURE.contains(&module.as_str()) {
            for (at, line) in code(&source).filter(|(_, line)| {
                ["async fn", ".await", "tokio::", "std::fs", "std::net::Tcp", "Clock::", "random"]
                    .iter()
                    .any(|sign| line.contains(sign))
            }) {
                broken.push(format!("src/{}:{}: {module} is pure: {}", source.path.display(), at + 1, line.trim()));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn statuses_are_chosen_in_the_refusal_table_and_own_pages() {
    for source in sources() {
        let module = source.path.with_extension("").display().to_string();
        let may = [
            "refusal/table",
            "refusal/response",
            "refusal/login",
            "endpoints/health",
            "endpoints/logout",
            "endpoints/userinfo",
            "demo/provider",
            "demo/sample_app",
            "renewal/classify",
            "forward",
            // A WebSocket on HTTP/2 is granted with 200 where HTTP/1.1 says 101.
            "forward/hop_by_hop",
            // Which answers have a body is told by their status.
            "forward/http1/head",
            "oidc/client_auth",
            "oidc/introspection",
            "oidc/http",
            "oidc/discovery",
            "oidc/userinfo",
            "oidc/error",
            "oidc/preset/table",
            "telemetry/metrics",
        ];
        let chooses = code(&source).any(|(_, line)| line.contains("StatusCode::"));
        assert!(!chooses || may.contains(&module.as_str()), "src/{module} chooses a status");
    }
}

#[test]
fn files_are_of_a_size_that_one_can_read() {
    for source in sources() {
        assert_ne!(source.path.file_name().unwrap(), "mod.rs", "foo.rs beside foo/ instead: {}", source.path.display());
        let lines = source.text.lines().count();
        assert!(lines <= 480, "src/{} has {lines} lines: what else lives in there?", source.path.display());
    }
}
