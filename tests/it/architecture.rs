//! The module structure, checked by reading the sources.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Which module may use which. A module may always use itself.
const VOCABULARY: [&str; 9] =
    ["identity", "address", "seal", "secret", "backoff", "clock", "connection_slot", "timings", "header_names"];
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
    ("fuzz", &[]),
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
    "sign_in/redirect_loop",
    "sign_in/silent_history",
    "forward/reserved_headers",
    "forward/hop_by_hop",
    "forward/forwarding_headers",
    "forward/websocket",
    "forward/http1/request_head",
    "forward/http1/response_head",
    "forward/http1/chunks",
    "forward/http1/body_decoder",
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
    // Whole modules that are compiled for tests alone.
    let module = source.path.with_extension("");
    let is_tests = ["tests", "properties", "fuzz"].iter().any(|name| module.ends_with(name))
        || module.starts_with("fuzz")
        || module.starts_with("renewal/model");
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
fn the_picture_of_the_modules_is_the_code_s() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let picture = text.split("```layers\n").nth(1).unwrap().split("```").next().unwrap();
    let mut layers = BTreeMap::new();
    for (depth, line) in picture.lines().enumerate() {
        for module in line.split_whitespace() {
            assert_eq!(layers.insert(module, depth), None, "{module} is drawn twice");
        }
    }
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| !["main", "lib", "fuzz"].contains(&source.room.as_str())) {
        let Some(own) = layers.get(source.room.as_str()) else { panic!("{} is not drawn", source.room) };
        for (at, named) in rooms_named(source).into_iter().filter(|(_, named)| *named != source.room) {
            if layers.get(named.as_str()).is_some_and(|other| other <= own) {
                wrong.push(format!("src/{}:{}: {} is drawn no higher than {named}", source.path.display(), at + 1, source.room));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    let mut lost: Vec<_> = text
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.ends_with(".rs") && name.contains('/'))
        .filter(|name| !root.join("src").join(name).exists() && !root.join(name).exists())
        .collect();
    lost.dedup();
    assert!(lost.is_empty(), "files that are not there: {lost:?}");
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

/// Modules of several files that do not import each other in a circle: each can be read after those that it uses. A file that
/// only declares its children and hands their items on is none of the circle.
const WITHOUT_CIRCLES: &[&str] =
    &["address", "admission", "app", "config", "forward", "jose", "policy", "routing", "session", "sign_out", "telemetry", "tls"];

/// An import within the crate.
struct Import {
    path: Vec<String>,
    is_reexport: bool,
}

/// The module that a source is, by its names from the crate's root.
fn module_of(source: &Source) -> Vec<String> {
    let names = source.path.with_extension("");
    names.components().map(|name| name.as_os_str().to_string_lossy().into_owned()).collect()
}

/// What a source imports, or names by a path.
fn imports(source: &Source) -> Vec<Import> {
    let lines: Vec<&str> = code(source).map(|(_, line)| line.split(" // ").next().unwrap().trim()).collect();
    let mut found = Vec::new();
    // Paths outside of `use`; those within groups are read below.
    let is_of_path = |character: char| character.is_alphanumeric() || character == '_' || character == ':';
    for statement in lines.join(" ").split(';').map(str::trim).filter(|statement| !statement.contains("use ")) {
        let paths = statement.split(|character| !is_of_path(character)).filter(|path| path.contains("::"));
        found.extend(paths.map(|path| Import { path: path.split("::").map(str::to_owned).collect(), is_reexport: false }));
    }
    let mut statement = String::new();
    for line in lines {
        let begins = line.starts_with("use ") || (line.starts_with("pub") && line.contains(" use "));
        if statement.is_empty() && !begins {
            continue;
        }
        statement.push_str(line);
        if let Some(whole) = statement.strip_suffix(';') {
            let (visibility, tree) = whole.split_once("use ").unwrap();
            let is_reexport = visibility.starts_with("pub");
            found.extend(leaves(tree).into_iter().map(|path| Import { path, is_reexport }));
            statement.clear();
        }
    }
    found
}

/// The paths of a tree such as `a::{b, c::{self, d as e}}`.
fn leaves(tree: &str) -> Vec<Vec<String>> {
    let tree = tree.trim();
    let Some((prefix, group)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap().trim();
        return vec![path.split("::").filter(|name| *name != "self" || path == "self").map(str::to_owned).collect()];
    };
    let prefix: Vec<String> = prefix.split("::").filter(|name| !name.is_empty()).map(|name| name.trim().to_owned()).collect();
    let (mut depth, mut branches) = (0, vec![String::new()]);
    for character in group.strip_suffix('}').unwrap().chars() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                branches.push(String::new());
                continue;
            }
            _ => {}
        }
        branches.last_mut().unwrap().push(character);
    }
    let branches = branches.iter().filter(|branch| !branch.trim().is_empty());
    branches.flat_map(|branch| leaves(branch)).map(|leaf| [prefix.clone(), leaf].concat()).collect()
}

/// The file that a path leads to from `module`, through whatever hands it on.
fn resolve(all: &BTreeMap<Vec<String>, Vec<Import>>, module: &[String], path: &[String]) -> Option<Vec<String>> {
    let mut at = module.to_vec();
    let mut rest = path;
    let mut is_relative = true;
    while let Some((first, behind)) = rest.split_first() {
        match first.as_str() {
            "crate" => at.clear(),
            "super" => drop(at.pop()),
            "self" => {}
            _ => break,
        }
        (rest, is_relative) = (behind, false);
    }
    let start = at.len();
    while let Some((first, behind)) = rest.split_first() {
        let child = [at.as_slice(), std::slice::from_ref(first)].concat();
        if !all.contains_key(&child) {
            break;
        }
        (at, rest) = (child, behind);
    }
    if is_relative && at.len() == start {
        return None;
    }
    let handed_on = rest.first().and_then(|name| {
        let import = all.get(&at)?.iter().find(|import| import.is_reexport && import.path.last() == Some(name))?;
        resolve(all, &at, &import.path)
    });
    handed_on.or(Some(at))
}

#[test]
fn files_of_a_module_do_not_import_each_other_in_a_circle() {
    let all: BTreeMap<_, _> = sources().iter().map(|source| (module_of(source), imports(source))).collect();
    let mut circles = Vec::new();
    for top in WITHOUT_CIRCLES {
        let mut open: BTreeMap<&Vec<String>, Vec<Vec<String>>> = BTreeMap::new();
        for (module, imports) in all.iter().filter(|(module, _)| module.first().is_some_and(|first| first == top)) {
            let used = imports.iter().filter(|import| !import.is_reexport);
            let used = used.filter_map(|import| resolve(&all, module, &import.path));
            open.insert(module, used.filter(|used| used != module && used.first() == module.first()).collect());
        }
        // What uses nothing that is left is no part of a circle.
        loop {
            let before = open.len();
            let names: Vec<_> = open.keys().map(|module| (*module).clone()).collect();
            open.retain(|_, used| used.iter().any(|used| names.contains(used)));
            if open.len() == before {
                break;
            }
        }
        for (module, used) in &open {
            let within: Vec<_> = used.iter().filter(|used| open.contains_key(used)).map(|used| used.join("::")).collect();
            circles.push(format!("{} uses {}", module.join("::"), within.join(", ")));
        }
    }
    assert!(circles.is_empty(), "files in a circle, or that use one:\n{}", circles.join("\n"));
}

#[test]
fn http1_is_a_leaf_that_could_be_a_crate() {
    for source in sources().iter().filter(|source| source.path.starts_with("forward/http1")) {
        for (at, line) in code(source) {
            let knows_us = line.contains("crate::") || line.contains("super::super::super");
            assert!(
                !knows_us,
                "src/{}:{}: forward/http1 knows nothing of the crate: {}",
                source.path.display(),
                at + 1,
                line.trim()
            );
        }
    }
    let root = sources().into_iter().find(|source| source.path == Path::new("forward/http1.rs")).unwrap();
    assert!(code(&root).all(|(_, line)| !line.contains("super::")), "nor of its parent");
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
            "forward/forwarder",
            "forward/backend",
            // A WebSocket on HTTP/2 is granted with 200 where HTTP/1.1 says 101.
            "forward/hop_by_hop",
            // The status says which responses have a body.
            "forward/http1/response_head",
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
        assert!(lines <= 400, "src/{} has {lines} lines: what else lives in there?", source.path.display());
    }
}
