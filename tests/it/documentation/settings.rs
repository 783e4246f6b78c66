//! The settings that documents show: each block is read as Evergate would read it.

use std::{collections::BTreeMap, fs};

use evergate::{
    config::{Environment, Problems, check},
    seal::KeyRing,
};

use super::blocks::{Code, blocks, simple_commands};

/// What a block need not say, because the text around it is about something else.
const BASE: [(&str, &str); 5] = [
    ("CODER_ACCESS_URL", "https://app.example.com"),
    ("CODER_UPSTREAM_URL", "http://127.0.0.1:8080"),
    ("CODER_OIDC_ISSUER_URL", "https://idp.example.com"),
    ("CODER_OIDC_CLIENT_ID", "app"),
    ("CODER_OIDC_CLIENT_SECRET", "secret"),
];
/// The further provider of the documents, for routes that name it.
const PROVIDER: &str =
    "[[provider]]\nname = \"partners\"\noidc_issuer_url = \"https://login.partner.example\"\noidc_client_id = \"app\"\n";
/// How tables of the file of settings begin.
const TABLES: [&str; 4] = ["[[route]]", "[[provider]]", "[[token_issuer]]", "route = ["];
/// How blocks begin that show a part of a route.
const PARTS: [&str; 2] = ["identity_headers = ", "[route.cors]"];

/// The variables and the file of settings that a block shows.
struct Shown {
    variables: BTreeMap<String, String>,
    file: String,
}

fn shown(block: &Code) -> Shown {
    let begins = |line: &str, with: &[&str]| with.iter().any(|start| line.starts_with(start));
    let lines: Vec<&str> = block.text.lines().collect();
    let may_be_file = ["", "toml"].contains(&&*block.language);
    let first = lines.iter().position(|line| may_be_file && (begins(line, &TABLES) || begins(line, &PARTS)));
    let (before, file) = lines.split_at(first.unwrap_or(lines.len()));
    let is_part = file.first().is_some_and(|line| begins(line, &PARTS));
    let whole = if is_part { "[[route]]\npath = \"/part\"\n" } else { "" };
    let mut variables = BTreeMap::new();
    if ["", "sh", "ini"].contains(&&*block.language) {
        for simple in simple_commands(&before.join("\n")) {
            let words = simple.words.iter().skip_while(|word| *word == "export");
            let assigned = words.map_while(|word| word.split_once('='));
            let own = assigned.filter(|(name, _)| name.starts_with("CODER_"));
            // What a command prints is a key.
            let value = |value: &str| if value.is_empty() { KeyRing::generate() } else { value.to_owned() };
            variables.extend(own.map(|(name, text)| (name.to_owned(), value(text))));
        }
        // A line that a command adds to a file of variables.
        for added in before.iter().filter_map(|line| line.trim().strip_prefix("echo \"")) {
            let name =
                added.split_once('=').map(|(name, _)| name).filter(|name| name.starts_with("CODER_") && added.contains("$("));
            variables.extend(name.map(|name| (name.to_owned(), KeyRing::generate())));
        }
    }
    Shown { variables, file: if file.is_empty() { String::new() } else { format!("{whole}{}\n", file.join("\n")) } }
}

/// What is wrong with what a block shows, except that its files are not on this machine.
fn problems(shown: &Shown) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let mut variables: BTreeMap<String, String> = BASE.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    for (name, value) in &shown.variables {
        // A secret's file counts in its place, and so does a key.
        variables.remove(name.trim_end_matches("_FILE"));
        if name == "CODER_OIDC_CLIENT_KEY_FILE" {
            variables.remove("CODER_OIDC_CLIENT_SECRET");
        }
        variables.insert(name.clone(), value.clone());
    }
    if !shown.file.is_empty() {
        let path = folder.path().join("evergate.toml");
        let names_provider = shown.file.contains("\"partners\"") && !shown.file.contains("[[provider]]");
        fs::write(&path, format!("{}{}", shown.file, if names_provider { PROVIDER } else { "" })).unwrap();
        variables.insert("CODER_CONFIG_PATH".to_owned(), path.display().to_string());
    }
    let mut problems = Problems::default();
    let raw = Environment { variables, ..Environment::default() }.read(&mut problems);
    let found = check(&raw, problems).err().unwrap_or_default();
    found.0.iter().map(ToString::to_string).filter(|problem| !problem.contains("No such file")).collect()
}

#[test]
fn settings_that_documents_show_are_read() {
    let (mut wrong, mut variables, mut files) = (Vec::new(), 0, 0);
    for block in blocks() {
        let shown = shown(&block);
        variables += shown.variables.len();
        files += usize::from(!shown.file.is_empty());
        wrong.extend(problems(&shown).into_iter().map(|problem| format!("{}: {problem}", block.place)));
    }
    assert!(variables > 100 && files > 30, "{variables} {files}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn settings_that_are_wrong_are_found() {
    let judged =
        |text: &str| problems(&shown(&Code { place: String::new(), language: String::new(), text: text.to_owned() })).join("; ");
    assert_eq!(judged("export CODER_SESSION_DURATION=8h\n\n[[route]]\npath = \"/a\"\nrule = \"public\""), "");
    for (text, told) in [
        ("export CODER_SESSION_DURATION=eight", "CODER_SESSION_DURATION"),
        ("CODER_OIDC_CLIENT_IDS=a", "CODER_OIDC_CLIENT_IDS"),
        ("[[route]]\npath = \"/a\"\nrules = \"public\"", "rules"),
        ("[[route]]\npath = \"/a\"\nrule = \"open\"", "rule"),
        ("[[provider]]\nname = \"a\"", "oidc_issuer_url"),
        ("identity_headers = { X-User = \"{nobody}\" }", "identity_headers"),
    ] {
        assert!(judged(text).contains(told), "{text}: {}", judged(text));
    }
}
