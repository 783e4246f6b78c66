//! The statements in the sources of the store.

use std::{fs, path::Path};

use super::{GROWING, logged::Logged};

/// The statements on tables that grow that are not among those that were logged.
pub(super) fn missing(logged: &[Logged]) -> Vec<String> {
    let mut texts = Vec::new();
    let store = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/store");
    let mut folders = vec![store];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                texts.extend(statements(&fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(texts.len() > 40, "the statements are where this test looks");
    texts.retain(|text| !logged.iter().any(|logged| is_made_of(&logged.query, text)));
    texts
}

/// The string literals of a source that begin as a statement does and name a table that grows.
fn statements(source: &str) -> Vec<String> {
    let code = source.split("#[cfg(test)]").next().unwrap();
    let code: String = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    // No statement has a quotation mark, so that every second part is a literal.
    for pair in code.split('"').collect::<Vec<_>>().chunks(2) {
        let &[before, literal] = pair else { continue };
        let text: String =
            literal.split("\\\n").enumerate().map(|(at, line)| if at > 0 { line.trim_start() } else { line }).collect();
        let is_statement = ["SELECT ", "INSERT ", "UPDATE ", "DELETE ", "WITH "].iter().any(|verb| text.starts_with(verb));
        let names = |table: &str| {
            text.split(|character: char| !character.is_alphanumeric() && character != '_').any(|word| word == table)
        };
        if is_statement && GROWING.iter().any(|table| names(table)) && !before.trim_end().ends_with("sqlite:") {
            found.push(text);
        }
    }
    found
}

/// Whether a statement was made of this text, in which `{name}` stands for what may be anything.
fn is_made_of(statement: &str, text: &str) -> bool {
    let mut rest = statement;
    text.split('{').enumerate().all(|(at, part)| {
        let part = if at > 0 { part.split_once('}').unwrap().1 } else { part };
        let Some(found) = rest.find(part) else { return false };
        rest = rest.split_at(found + part.len()).1;
        true
    })
}
