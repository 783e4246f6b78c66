//! Files of a module that import each other.

use std::collections::{BTreeMap, BTreeSet};

use super::sources::{Source, code, sources};

/// An import within the crate.
struct Import {
    path: Vec<String>,
    is_reexport: bool,
    /// A re-export is also used by the file itself where its name occurs once more.
    is_used: bool,
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
    let words: Vec<_> =
        lines.iter().flat_map(|line| line.split(|letter: char| !letter.is_alphanumeric() && letter != '_')).collect();
    let is_named_twice = |name: Option<&String>| words.iter().filter(|word| name.is_some_and(|name| name == *word)).count() > 1;
    // Paths outside of `use`; those within groups are read below.
    let is_of_path = |character: char| character.is_alphanumeric() || character == '_' || character == ':';
    for statement in lines.join(" ").split(';').map(str::trim).filter(|statement| !statement.contains("use ")) {
        let paths = statement.split(|character| !is_of_path(character)).filter(|path| path.contains("::"));
        found.extend(paths.map(|path| Import {
            path: path.split("::").map(str::to_owned).collect(),
            is_reexport: false,
            is_used: true,
        }));
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
            found.extend(leaves(tree).into_iter().map(|path| Import {
                is_used: !is_reexport || is_named_twice(path.last()),
                path,
                is_reexport,
            }));
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

/// Each file can be read after those that it uses. A file that only declares its children and hands their items on is none of a
/// circle.
#[test]
fn files_of_a_module_do_not_import_each_other_in_a_circle() {
    let all: BTreeMap<_, _> = sources().iter().map(|source| (module_of(source), imports(source))).collect();
    let mut uses: BTreeMap<&Vec<String>, BTreeSet<Vec<String>>> = BTreeMap::new();
    for (module, imports) in &all {
        let used = imports.iter().filter(|import| import.is_used);
        let used = used.filter_map(|import| resolve(&all, module, &import.path));
        uses.insert(module, used.filter(|used| used != module && used.first() == module.first()).collect());
    }
    let mut circles = Vec::new();
    for (module, used) in &uses {
        let within: Vec<_> = used.iter().filter(|used| reachable(&uses, used).contains(*module)).collect();
        if !within.is_empty() {
            let within: Vec<_> = within.iter().map(|used| used.join("::")).collect();
            circles.push(format!("{} uses {}", module.join("::"), within.join(", ")));
        }
    }
    assert!(circles.is_empty(), "files in a circle:\n{}", circles.join("\n"));
}

/// What a module uses, directly or through what it uses.
fn reachable<'a>(uses: &'a BTreeMap<&Vec<String>, BTreeSet<Vec<String>>>, from: &'a Vec<String>) -> BTreeSet<&'a Vec<String>> {
    let (mut seen, mut open) = (BTreeSet::from([from]), vec![from]);
    while let Some(module) = open.pop() {
        open.extend(uses.get(module).into_iter().flatten().filter(|used| seen.insert(used)));
    }
    seen
}
