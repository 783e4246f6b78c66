//! The documents: they name each concept as the field does, and their links lead somewhere.

mod blocks;
mod commands;
mod settings;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

use evergate::pages::Message;

/// What engineers who know other proxies search for.
const USUAL_NAMES: [&str; 15] = [
    "CSRF",
    "mTLS",
    "circuit breaker",
    "keep-alive",
    "idle timeout",
    "TLS termination",
    "load balancer",
    "back-off",
    "rate limit",
    "single-flight",
    "token refresh",
    "lingering close",
    "forward auth",
    "SSE",
    "session fixation",
];

const GLOSSARY: &str = "docs/glossary.md";

/// Where documents are; subfolders hold vendored ones.
const FOLDERS: [&str; 6] = ["", "docs", "docs/providers", "docs/recipes", "migrations", "tests/interop"];

/// One document: its lines without code blocks.
struct Document {
    lines: Vec<String>,
}

/// A heading and the text under it, up to the next heading of the same level or a higher one.
struct Section {
    anchor: String,
    text: String,
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn documents() -> BTreeMap<String, Document> {
    let mut found = BTreeMap::new();
    for folder in FOLDERS {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let name = path.strip_prefix(root()).unwrap().display().to_string();
                found.insert(name, Document::read(&fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(found.contains_key("README.md") && found.contains_key(GLOSSARY), "{:?}", found.keys());
    found
}

impl Document {
    fn read(text: &str) -> Self {
        let mut is_code = false;
        let outside_code = |line: &&str| {
            let is_fence = line.trim_start().starts_with("```");
            is_code ^= is_fence;
            !is_code && !is_fence && !line.starts_with("    ")
        };
        Self { lines: text.lines().filter(outside_code).map(str::to_owned).collect() }
    }

    fn text(&self) -> String {
        self.lines.join("\n")
    }

    fn sections(&self) -> Vec<Section> {
        let level = |line: &String| line.bytes().take_while(|byte| *byte == b'#').count();
        let headings =
            self.lines.iter().enumerate().filter(|(_, line)| level(line) > 0 && line.trim_start_matches('#').starts_with(' '));
        let mut seen = BTreeMap::<String, usize>::new();
        headings
            .map(|(at, heading)| {
                let base = anchor(heading.trim_start_matches('#'));
                let count = seen.entry(base.clone()).or_default();
                let anchor = if *count == 0 { base } else { format!("{base}-{count}") };
                *count += 1;
                let is_below = |line: &&String| level(line) == 0 || level(line) > level(heading);
                let below: Vec<_> = self.lines[at + 1..].iter().take_while(is_below).map(String::as_str).collect();
                Section { anchor, text: format!("{heading}\n{}", below.join("\n")) }
            })
            .collect()
    }

    /// The targets of links and images, without those of other sites.
    fn links(&self) -> Vec<String> {
        let text = self.text();
        let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:")).map(str::to_owned).collect()
    }
}

/// The anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let kept = |letter: &char| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_');
    heading.trim().to_lowercase().chars().filter(kept).map(|letter| if letter == ' ' { '-' } else { letter }).collect()
}

/// Whether a text holds a name as whole words, in any case and across the ends of lines.
fn mentions(text: &str, name: &str) -> bool {
    let text = text.to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
    let is_edge = |letter: Option<char>| !letter.is_some_and(char::is_alphanumeric);
    let around: Vec<&str> = text.split(&name.to_lowercase()).collect();
    around.windows(2).any(|pair| is_edge(pair[0].chars().next_back()) && is_edge(pair[1].chars().next()))
}

/// A link of a document as a file of the repository and an anchor in it.
fn resolve(document: &str, target: &str) -> (String, Option<String>) {
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor.to_owned())));
    if file.is_empty() {
        return (document.to_owned(), anchor);
    }
    let mut path = Path::new(document).parent().unwrap().to_path_buf();
    for part in Path::new(file).components() {
        match part {
            Component::ParentDir => assert!(path.pop(), "{document} links out of the repository: {target}"),
            Component::Normal(part) => path.push(part),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => panic!("{document} links oddly: {target}"),
        }
    }
    (path.display().to_string(), anchor)
}

#[test]
fn what_engineers_search_for_is_found_outside_the_glossary() {
    let documents = documents();
    let searched: String = documents
        .iter()
        .filter(|(name, _)| *name == "README.md" || (name.starts_with("docs/") && *name != GLOSSARY))
        .map(|(_, document)| document.text() + "\n")
        .collect();
    let missing: Vec<_> = USUAL_NAMES.iter().filter(|name| !mentions(&searched, name)).collect();
    assert!(missing.is_empty(), "neither README.md nor docs/ name {missing:?}");
}

#[test]
fn relative_links_between_documents_lead_to_files_and_headings() {
    let documents = documents();
    let mut broken = BTreeSet::new();
    for (name, document) in &documents {
        for target in document.links() {
            let (file, anchor) = resolve(name, &target);
            let exists = root().join(&file).exists();
            let has_heading = anchor.is_none_or(|anchor| {
                documents.get(&file).is_some_and(|document| document.sections().iter().any(|section| section.anchor == anchor))
            });
            if !(exists && has_heading) {
                broken.insert(format!("{name}: {target}"));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn a_screenshot_is_shown_by_a_document() {
    let documents = documents();
    let shown: BTreeSet<_> = documents
        .iter()
        .flat_map(|(name, document)| document.links().into_iter().map(|target| resolve(name, &target).0))
        .collect();
    for folder in fs::read_dir(root().join("docs/screenshots")).unwrap() {
        for picture in fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = picture.unwrap().path();
            let name = path.strip_prefix(root()).unwrap().display().to_string();
            assert!(shown.contains(&name), "no document shows {name}");
        }
    }
}

#[test]
fn an_alert_s_runbook_is_a_section_of_a_document() {
    let documents = documents();
    let alerts = fs::read_to_string(root().join("config/prometheus/evergate.rules.yaml")).unwrap();
    let runbooks: Vec<_> = alerts.lines().filter_map(|line| line.trim().strip_prefix("runbook: ")).collect();
    assert!(!runbooks.is_empty());
    for runbook in runbooks {
        let (file, anchor) = resolve("README.md", runbook);
        let document = documents.get(&file).unwrap_or_else(|| panic!("{runbook}"));
        assert!(anchor.is_none_or(|anchor| document.sections().iter().any(|section| section.anchor == anchor)), "{runbook}");
    }
}

#[test]
fn the_glossary_s_index_leads_to_sections_that_name_the_concept() {
    let documents = documents();
    let index = documents[GLOSSARY].sections().into_iter().find(|section| section.anchor == "index-of-usual-names").unwrap();
    let rows: Vec<Vec<&str>> = index
        .text
        .lines()
        .filter(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    for name in USUAL_NAMES {
        assert!(rows.iter().any(|row| mentions(row[0], name)), "the index lacks {name}");
    }
    let mut wrong = Vec::new();
    for row in rows {
        let (names, linked) = (row[0], row[1]);
        for target in (Document { lines: vec![linked.to_owned()] }).links() {
            let (file, anchor) = resolve(GLOSSARY, &target);
            let sections = documents[&file].sections();
            let text = sections.iter().find(|section| Some(&section.anchor) == anchor.as_ref()).map(|section| &section.text);
            if !names.split(", ").any(|name| text.is_some_and(|text| mentions(text, name))) {
                wrong.push(format!("{names}: {target}"));
            }
        }
    }
    assert!(wrong.is_empty(), "these sections do not name the concept: {wrong:#?}");
}

#[test]
fn files_that_documents_name_are_there() {
    let (mut files, mut folders) = (Vec::new(), vec![root().join("src"), root().join("tests")]);
    while let Some(folder) = folders.pop() {
        // Other people's files are of no interest.
        for entry in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| !path.ends_with("peers")) {
            if entry.is_dir() { folders.push(entry) } else { files.push(entry) }
        }
    }
    let mut gone = Vec::new();
    for (name, document) in documents() {
        for line in &document.lines {
            for file in line.split('`').skip(1).step_by(2).filter(|file| file.ends_with(".rs") && !file.contains([' ', '*'])) {
                // What CONTRIBUTING says of how files are named.
                let is_example = ["foo.rs", "mod.rs"].contains(&file);
                if !is_example && !files.iter().any(|there| there.ends_with(file)) {
                    gone.push(format!("{name}: {file}"));
                }
            }
            for file in line.split('`').skip(1).step_by(2) {
                let is_named = ["config/", "tests/", "benches/", "docs/"].iter().any(|folder| file.starts_with(folder));
                if is_named
                    && !file.ends_with(".rs")
                    && !file.contains([' ', '*', '<', '…'])
                    && !root().join(file.trim_end_matches('/')).exists()
                {
                    gone.push(format!("{name}: {file}"));
                }
            }
        }
    }
    assert!(gone.is_empty(), "files that are not there: {gone:#?}");
}

#[test]
fn settings_that_documents_name_are_in_the_reference() {
    let names = |text: &str| -> BTreeSet<String> {
        let is_edge = |letter: char| !(letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_');
        text.split(is_edge).filter(|word| word.len() > "CODER_".len() && word.starts_with("CODER_")).map(str::to_owned).collect()
    };
    let read = |name: &str| fs::read_to_string(root().join(name)).unwrap();
    let known = names(&read("docs/settings.md"));
    let mut unknown = BTreeSet::new();
    // What is installed says what to set as well.
    let installed = [
        "config/prometheus/evergate.rules.yaml",
        "config/grafana/evergate.json",
        "config/debian/evergate.env",
        "config/debian/evergate.8",
        "config/helm/evergate/values.yaml",
        "config/helm/evergate/templates/NOTES.txt",
        "compose.yaml",
        "Dockerfile",
    ];
    for name in documents().into_keys().chain(installed.map(str::to_owned)) {
        // Code blocks too, which people paste.
        for setting in names(&read(&name)) {
            // A secret, from a file.
            let is_there = known.contains(&setting) || known.contains(setting.trim_end_matches("_FILE"));
            // The page says of this one that it is misspelt.
            let is_example = setting == "CODER_OIDC_ROLE_FIELD";
            if !is_there && !is_example {
                unknown.insert(format!("{name}: {setting}"));
            }
        }
    }
    assert!(unknown.is_empty(), "docs/settings.md has no {unknown:#?}");
}

#[test]
fn every_app_that_is_known_by_name_has_a_recipe_with_the_headers_that_it_is_sent() {
    let documents = documents();
    let index = documents["docs/recipes/README.md"].text();
    for preset in evergate::identity::PRESETS {
        let all = documents["docs/identity.md"].text();
        assert!(all.contains(&format!("`{}`", preset.name)), "docs/identity.md does not name {}", preset.name);
        if ["evergate", "none"].contains(&preset.name) {
            continue;
        }
        let page = format!("docs/recipes/{}.md", preset.name);
        let text = documents.get(&page).unwrap_or_else(|| panic!("{page} is missing")).text().to_lowercase();
        for (header, _) in preset.headers {
            assert!(text.contains(header), "{page} does not name {header}");
        }
        let settings = fs::read_to_string(root().join(&page)).unwrap();
        assert!(settings.contains(&format!("identity = \"{}\"", preset.name)), "{page} does not say how");
        assert!(index.contains(&format!("`{}`", preset.name)), "the index of recipes does not name {}", preset.name);
    }
}

#[test]
fn every_preset_is_in_the_index_of_providers() {
    let table = fs::read_to_string(root().join("src/oidc/preset/table.rs")).unwrap();
    let presets: Vec<&str> = table.split("name: \"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert!(presets.contains(&"keycloak"), "{presets:?}");
    let index = documents()["docs/providers/README.md"].text();
    let missing: Vec<_> = presets.into_iter().filter(|preset| !index.contains(&format!("`{preset}`"))).collect();
    assert!(missing.is_empty(), "docs/providers/README.md does not name {missing:?}");
}

#[test]
fn every_message_of_our_pages_is_in_the_document_with_its_text() {
    let document = fs::read_to_string(root().join("docs/pages.md")).unwrap();
    for message in Message::ALL {
        let row = format!("| `{}` | {} |", message.name(), message.for_programs());
        assert!(document.contains(&row), "{row}");
    }
}
