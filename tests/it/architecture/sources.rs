//! Reads the sources: their files, the lines that run, and what they import.

use std::{
    fs,
    path::{Path, PathBuf},
};

pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) room: String,
    pub(super) text: String,
}

pub(super) fn sources() -> Vec<Source> {
    let found = within("src", &[""]);
    assert!(found.len() > 40, "the sources are where this test looks");
    found
}

/// The tests and their harness.
pub(super) fn test_sources() -> Vec<Source> {
    let found = within("tests", &["it", "heavy", "harness"]);
    assert!(found.len() > 40, "the tests are where this test looks");
    found
}

/// The sources in these folders of `root`.
fn within(root: &str, folders: &[&str]) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(root);
    let mut found = Vec::new();
    let mut folders: Vec<_> = folders.iter().map(|folder| root.join(folder)).collect();
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
    found
}

/// The lines that run: neither comments nor tests.
pub(super) fn code(source: &Source) -> impl Iterator<Item = (usize, &str)> {
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
pub(super) fn rooms_named(source: &Source) -> Vec<(usize, String)> {
    let mut named = Vec::new();
    let mut in_group = false;
    for (at, line) in code(source) {
        let line = line.trim();
        if in_group {
            // Only the group's own level names rooms; deeper ones are indented further.
            let deep = source.text.lines().nth(at).unwrap().starts_with("        ");
            if !deep && !line.starts_with('}') {
                // A short group is on one line whole.
                named.extend(top_level(line).into_iter().map(|room| (at, room)));
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
