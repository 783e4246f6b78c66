//! The module structure, checked by reading the sources.

mod circles;
mod rules;
mod sources;

use std::{collections::BTreeMap, fs, path::Path};

use rules::{ARROWS, CHOOSE_STATUSES, HOMES, LONG_TESTS, PURE, VOCABULARY};
use sources::{code, rooms_named, sources, test_sources};

#[test]
fn modules_use_only_what_lies_below_them() {
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
fn whether_a_claim_is_there_is_asked_in_one_way() {
    let mut broken = Vec::new();
    for source in sources().iter().filter(|source| source.room == "oidc") {
        for (at, line) in code(source).filter(|(_, line)| line.contains(".contains_key(")) {
            broken.push(format!(
                "src/{}:{}: null counts as absent (`has_member`): {}",
                source.path.display(),
                at + 1,
                line.trim()
            ));
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
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
        let chooses = code(&source).any(|(_, line)| line.contains("StatusCode::"));
        assert!(!chooses || CHOOSE_STATUSES.contains(&module.as_str()), "src/{module} chooses a status");
    }
}

#[test]
fn no_error_s_text_has_the_cause_in_it_that_is_its_source_besides() {
    let mut broken = Vec::new();
    for source in sources() {
        let lines: Vec<_> = code(&source).collect();
        for pair in lines.windows(2) {
            let [(at, text), (_, variant)] = pair else { continue };
            let is_source = variant.contains("(#[source]") || variant.contains("(#[from]");
            if text.contains("#[error(") && text.contains("{0}") && is_source {
                broken.push(format!("src/{}:{}: the log has the cause twice: {}", source.path.display(), at + 1, text.trim()));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn files_are_of_a_size_that_one_can_read() {
    for source in sources() {
        assert_ne!(source.path.file_name().unwrap(), "mod.rs", "foo.rs beside foo/ instead: {}", source.path.display());
        let lines = source.text.lines().count();
        assert!(lines <= 400, "src/{} has {lines} lines: what else lives in there?", source.path.display());
    }
}

#[test]
fn tests_are_of_a_size_that_one_can_read() {
    let mut long = Vec::new();
    for source in test_sources() {
        let name = source.path.display().to_string();
        assert_ne!(source.path.file_name().unwrap(), "mod.rs", "foo.rs beside foo/ instead: tests/{name}");
        if source.text.lines().count() > 400 {
            long.push(name);
        }
    }
    long.sort();
    assert_eq!(long, LONG_TESTS, "tests of more than 400 lines, and those that are known to be");
}

#[test]
fn every_rule_is_about_something_that_is_there() {
    let all = sources();
    let is_file = |name: &str| all.iter().any(|source| source.path.with_extension("").to_string_lossy() == name);
    let gone: Vec<_> = [PURE, CHOOSE_STATUSES].concat().into_iter().chain(VOCABULARY).filter(|name| !is_file(name)).collect();
    assert!(gone.is_empty(), "rules about files that are gone: {gone:?}");
    let chooses = |name: &&&str| {
        let is_it = |source: &&sources::Source| source.path.with_extension("").to_string_lossy() == **name;
        all.iter().filter(is_it).any(|source| code(source).any(|(_, line)| line.contains("StatusCode::")))
    };
    let idle: Vec<_> = CHOOSE_STATUSES.iter().filter(|name| !chooses(name)).collect();
    assert!(idle.is_empty(), "files that choose no status: {idle:?}");
    let mut unused = Vec::new();
    // `main` names the library from without.
    for (module, allowed) in ARROWS.iter().filter(|(module, _)| *module != "main") {
        let used: Vec<_> =
            all.iter().filter(|source| source.room == *module).flat_map(rooms_named).map(|(_, name)| name).collect();
        unused
            .extend(allowed.iter().filter(|name| !used.contains(&(**name).to_owned())).map(|name| format!("{module} > {name}")));
    }
    assert!(unused.is_empty(), "dependencies that are allowed and not there: {unused:?}");
}
