//! The commands and addresses that documents show: those of Evergate are ones that it has.

use std::{collections::BTreeSet, fs, iter, os::unix::fs::PermissionsExt};

use clap::error::ErrorKind;

use super::{
    blocks::{Code, Simple, blocks, simple_commands, spans},
    documents, root,
};

/// Programs that read what Evergate prints. What else follows a `|` is another of its subcommands, as in `keys generate | status`.
const READERS: [&str; 4] = ["grep", "head", "jq", "tee"];

/// The arguments of each call of Evergate among these commands.
fn calls(commands: &[Simple]) -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = Vec::new();
    let mut follows = false;
    for Simple { after, words } in commands {
        let alternative = found.last().filter(|_| follows && *after == '|' && !READERS.contains(&&*words[0]));
        let arguments = match alternative {
            Some(last) => Some(last.iter().take(1).chain(words).cloned().collect()),
            None => arguments(words),
        };
        follows = arguments.is_some();
        found.extend(arguments);
    }
    found
}

/// What Evergate is called with, if it is called: by itself, after a variable, in a container, by Git, or by cargo.
fn arguments(words: &[String]) -> Option<Vec<String>> {
    if let Some(quoted) = words.iter().find_map(|word| word.strip_prefix("!evergate ")) {
        // Git adds what it wants.
        return Some(quoted.split(' ').chain(["get"]).map(str::to_owned).collect());
    }
    let words = words.split(|word| word.starts_with(['>', '<'])).next().unwrap_or_default();
    let is_assignment =
        |word: &String| word.split_once('=').is_some_and(|(name, _)| !name.is_empty() && !name.contains(['-', '/']));
    let first = words.iter().position(|word| !is_assignment(word))?;
    let after_dashes = words.iter().position(|word| word == "--").map(|at| at + 1);
    if words[first..].starts_with(&["cargo".to_owned(), "run".to_owned()]) {
        return Some(words[after_dashes?..].to_vec());
    }
    let is_ours = |at: &usize| words.get(*at).is_some_and(|word| word.rsplit('/').next() == Some("evergate"));
    let at = [Some(first), after_dashes].into_iter().flatten().find(is_ours)?;
    Some(words[at + 1..].to_vec())
}

/// Why Evergate would not take these arguments.
fn refused(arguments: &[String]) -> Option<clap::Error> {
    let given = iter::once("evergate").chain(arguments.iter().map(String::as_str));
    evergate::cli::command().try_get_matches_from(given).err()
}

#[test]
fn evergate_has_the_subcommands_and_options_that_documents_show() {
    let (mut wrong, mut checked) = (Vec::new(), 0);
    let mut judge = |place: &str, text: &str, is_fine: fn(ErrorKind) -> bool| {
        for arguments in calls(&simple_commands(text)) {
            checked += 1;
            if let Some(error) = refused(&arguments).filter(|error| !is_fine(error.kind())) {
                wrong.push(format!("{place}: evergate {}: {error}", arguments.join(" ")));
            }
        }
    };
    for block in blocks() {
        judge(&block.place, &block.text, |_| false);
    }
    // In a sentence a command may be named without what it takes.
    let is_named = |kind| {
        use ErrorKind::{DisplayHelpOnMissingArgumentOrSubcommand, MissingRequiredArgument, MissingSubcommand};
        [DisplayHelpOnMissingArgumentOrSubcommand, MissingRequiredArgument, MissingSubcommand].contains(&kind)
    };
    for span in spans().iter().filter(|span| ["evergate ", "cargo run "].iter().any(|start| span.text.starts_with(start))) {
        judge(&span.place, &span.text, is_named);
    }
    assert!(checked > 140, "{checked}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_command_that_evergate_does_not_have_is_found() {
    let is_refused =
        |text: &str| calls(&simple_commands(text)).iter().map(|arguments| refused(arguments).is_some()).collect::<Vec<_>>();
    let cases: [(&str, &[bool]); 11] = [
        ("evergate check", &[false]),
        ("evergate chek", &[true]),
        ("evergate sessions list --not-renewed", &[true]),
        ("evergate sessions list | show NAME | revok NAME", &[false, false, true]),
        ("evergate keys status | tee status", &[false]),
        ("CODER_OIDC_CLIENT_ID=a target/release/evergate serve --no-such-flag", &[true]),
        ("kubectl exec deploy/site -- evergate check --jsn", &[true]),
        ("git config credential.helper '!evergate git-credentials'", &[true]),
        ("x=\"$(evergate keys genrate)\"", &[true]),
        ("cargo run -- config exmaple", &[true]),
        ("config translate --output evergate", &[]),
    ];
    for (text, expected) in cases {
        assert_eq!(is_refused(text), expected, "{text}");
    }
}

/// What is wrong with the scripts of the repository that a command calls.
fn wrong_scripts(words: &[String]) -> Vec<String> {
    let is_script = |word: &str| ["config/", "tests/", "benches/", ".ci/"].iter().any(|folder| word.starts_with(folder));
    let Some(at) = words.iter().position(|word| !word.contains('=')).filter(|at| is_script(&words[*at])) else {
        return Vec::new();
    };
    let (script, arguments) = (&words[at], &words[at + 1..]);
    let mut wrong = Vec::new();
    let metadata = fs::metadata(root().join(script));
    if !metadata.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0) {
        wrong.push(format!("{script} is no script"));
    }
    if script == "tests/interop/run" {
        let is_there = |name: &&String| root().join("tests/interop").join(format!("{name}.py")).is_file();
        wrong.extend(arguments.iter().filter(|name| !is_there(name)).map(|name| format!("{script} knows no {name}")));
    }
    wrong
}

#[test]
fn scripts_that_documents_call_are_there() {
    let (mut wrong, mut checked) = (Vec::new(), 0);
    // A sentence names files, too, by themselves.
    let is_command = |span: &Code| span.text.contains(' ');
    for code in blocks().iter().chain(&spans().into_iter().filter(is_command).collect::<Vec<_>>()) {
        for simple in simple_commands(&code.text) {
            checked += 1;
            wrong.extend(wrong_scripts(&simple.words).into_iter().map(|wrong| format!("{}: {wrong}", code.place)));
        }
    }
    assert!(checked > 100, "{checked}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_script_that_is_not_there_is_found() {
    let is_wrong = |text: &str| simple_commands(text).iter().flat_map(|simple| wrong_scripts(&simple.words)).count();
    let cases = [
        ("tests/interop/run upgrade chart", 0),
        ("tests/interop/run upgrades", 1),
        ("A=1 config/release/bild x", 1),
        ("Cargo.toml", 0),
    ];
    for (text, expected) in cases {
        assert_eq!(is_wrong(text), expected, "{text}");
    }
}

/// The paths under `/oauth2` that a text names, but those of providers.
fn own_paths(text: &str) -> BTreeSet<String> {
    let is_path = |letter: &char| letter.is_ascii_alphanumeric() || "_-./".contains(*letter);
    let is_edge = |letter: char| letter.is_whitespace() || "`'\"(<=,".contains(letter);
    let host = |before: &str| {
        let address = before.rsplit(is_edge).next().unwrap_or_default();
        let host = address.split_once("://").map_or(address, |(_, host)| host);
        host.split(':').next().unwrap_or_default().to_owned()
    };
    let parts: Vec<&str> = text.split("/oauth2/").collect();
    // What documents call Evergate, and what is a path alone.
    let ours = ["", "127.0.0.1", "localhost", "app.example.com", "evergate"];
    let own = parts.windows(2).filter(|pair| ours.contains(&&*host(pair[0])));
    own.map(|pair| {
        let path: String = iter::once('/').chain(pair[1].chars().take_while(is_path)).collect();
        path.trim_end_matches(['.', '/']).to_owned()
    })
    .collect()
}

/// Addresses that are named as somebody else's: a location of nginx's own, and one of oauth2-proxy's.
const OF_OTHERS: [&str; 2] = ["/auth_admins", "/static"];

/// The endpoints that there are.
fn endpoints() -> BTreeSet<String> {
    let quoted = |name: &str, before: &str| -> Vec<String> {
        let source = fs::read_to_string(root().join(name)).unwrap();
        source.split(before).skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
    };
    let mut found: BTreeSet<String> = quoted("src/endpoints/table.rs", "path: \"").into_iter().collect();
    assert!(found.contains("/readyz") && found.contains("/sign_out"), "{found:?}");
    let api = quoted("src/endpoints/admin/api_request.rs", "template: \"");
    found.extend(api.iter().map(|path| format!("/admin/api/v1{path}")));
    // What has a listener or a table of its own.
    let others = ["", "/admin", "/admin/api/v1", "/scim/v2", "/token", "/auth", "/forward_auth", "/refused", "/kept_post"];
    found.extend(others.map(str::to_owned));
    found
}

#[test]
fn addresses_of_evergate_s_own_that_documents_name_are_there() {
    let (endpoints, mut wrong, mut checked) = (endpoints(), BTreeSet::new(), 0);
    for name in documents().into_keys() {
        for path in own_paths(&fs::read_to_string(root().join(&name)).unwrap()) {
            checked += 1;
            let is_there = endpoints.contains(&path) || path.starts_with("/callback/") || OF_OTHERS.contains(&&*path);
            if !is_there {
                wrong.insert(format!("{name}: /oauth2{path}"));
            }
        }
    }
    assert!(checked > 60, "{checked}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_readme_leaves_out_no_endpoint_and_the_man_page_no_subcommand() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let table = readme.split("### Endpoints under").nth(1).unwrap().split("\n### ").next().unwrap();
    let has_row_elsewhere = |path: &String| path.is_empty() || path == "/token" || path.starts_with("/admin/api/v1/");
    let endpoints: Vec<_> = endpoints().into_iter().filter(|path| !has_row_elsewhere(path)).collect();
    let is_told = |path: &str| table.contains(&format!("`{}", if path == "/" { path } else { path.trim_start_matches('/') }));
    let missing: Vec<_> = endpoints.iter().filter(|path| !is_told(path)).collect();
    assert!(endpoints.len() > 25 && missing.is_empty(), "{missing:?}");
    let page = fs::read_to_string(root().join("config/debian/evergate.8")).unwrap().replace("\\-", "-");
    let synopsis = page.split(".SH SYNOPSIS").nth(1).unwrap().split(".SH").next().unwrap();
    for subcommand in evergate::cli::command().get_subcommands() {
        let name = subcommand.get_name();
        assert!(synopsis.split_whitespace().any(|word| word == name), "{name} in {synopsis}");
    }
}

#[test]
fn an_address_that_is_not_there_is_found() {
    let text = "`/oauth2/redyz`, curl \"https://app.example.com/oauth2/tokens?x=1\". \
        https://dev.okta.com/oauth2/default (http://127.0.0.1:3000/oauth2/)";
    assert_eq!(own_paths(text), ["", "/redyz", "/tokens"].map(str::to_owned).into());
    assert!(!endpoints().contains("/redyz"));
}
