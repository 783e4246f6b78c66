//! Reads what oauth2-proxy is configured by: its arguments, its environment, its files, and files that hold those.

use std::collections::BTreeMap;

use super::{
    alpha, manifest,
    result::Note,
    source_reader::{Read, SourceReader},
};
use crate::config::{Problems, document};

/// What oauth2-proxy is configured by.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Its command line.
    pub arguments: Vec<String>,
    /// Its environment; variables without its prefix are for `${...}` in the alpha configuration alone.
    pub variables: BTreeMap<String, String>,
    /// Paths of files: its own, those of variables, and manifests.
    pub files: Vec<String>,
}

/// Reads a file of this path.
type Open<'a> = &'a dyn Fn(&str) -> std::io::Result<String>;

/// The sources while they are read.
struct Files<'a> {
    reader: SourceReader<'a>,
    open: Open<'a>,
    /// The names of those that were read.
    loaded: Vec<String>,
}

/// Reads all sources; `open` reads a file.
///
/// # Errors
/// What cannot be read.
pub(super) fn read(sources: &Sources, open: Open<'_>) -> Result<Read, Problems> {
    let reader = SourceReader {
        read: Read::default(),
        variables: &sources.variables,
        problems: Problems::default(),
        embedded: BTreeMap::new(),
        alpha_documents: Vec::new(),
        proxies: 0,
        config_files: 0,
    };
    let mut files = Files { reader, open, loaded: Vec::new() };
    for path in &sources.files {
        files.file(path);
    }
    for (name, value) in &sources.variables {
        files.reader.variable(name, value);
    }
    files.reader.arguments(&sources.arguments, "");
    files.named_files();
    let mut reader = files.reader;
    for (count, what) in [
        (reader.proxies, "several oauth2-proxies"),
        (reader.config_files, "several files of oauth2-proxy's"),
        (reader.alpha_documents.len(), "several alpha configurations"),
    ] {
        // Together they would let in the users of each.
        if count > 1 {
            reader.problems.add("what is given", format!("configures {what}; give one of them at a time"));
        }
    }
    for (name, node) in std::mem::take(&mut reader.alpha_documents) {
        alpha::read(&mut reader, &name, &node);
    }
    if reader.problems.0.is_empty() { Ok(reader.read) } else { Err(reader.problems) }
}

/// A path's last part.
fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

impl Files<'_> {
    fn file(&mut self, path: &str) {
        match (self.open)(path) {
            Ok(text) => self.text(path, &text),
            Err(error) => self.reader.problems.add(path, format!("cannot be read: {error}")),
        }
    }

    /// Reads a file's text as what its name says.
    fn text(&mut self, path: &str, text: &str) {
        let name = file_name(path).to_owned();
        self.loaded.push(name.clone());
        let extension = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        let before = self.progress();
        match extension.as_str() {
            "yaml" | "yml" | "json" => self.yaml(&name, text),
            "env" => self.reader.env_file(text),
            _ => self.reader.config_file(&name, text),
        }
        if self.progress() == before {
            self.reader.problems.add(name, "holds nothing of oauth2-proxy's");
        }
    }

    /// What grows with whatever is read.
    fn progress(&self) -> [usize; 6] {
        let SourceReader { read, problems, embedded, alpha_documents, proxies, .. } = &self.reader;
        [read.given.additions, read.given.notes.len(), problems.0.len(), embedded.len(), alpha_documents.len(), *proxies]
    }

    fn yaml(&mut self, name: &str, text: &str) {
        let (found, mut unreadable) = (self.reader.proxies + self.reader.alpha_documents.len(), Vec::new());
        for part in manifest::documents(text) {
            match document::yaml(part) {
                Ok(node) if alpha::is_alpha(&node) => self.reader.alpha_documents.push((name.to_owned(), node)),
                Ok(node) => manifest::read(&mut self.reader, name, &node),
                Err(message) => unreadable.push((manifest::is_ours(part), message)),
            }
        }
        // Other documents of a file that holds ours are none of ours, unless they speak of it.
        let has_ours = self.reader.proxies + self.reader.alpha_documents.len() > found;
        for (_, message) in unreadable.into_iter().filter(|(is_ours, _)| *is_ours || !has_ours) {
            self.reader.problems.add(name, message);
        }
    }

    /// The files that options name.
    fn named_files(&mut self) {
        for (flag, is_alpha) in [("config", false), ("alpha-config", true)] {
            let Some((path, origin)) = self.reader.read.given.text(flag) else { continue };
            self.reader.read.given.notes.push(Note::info(&origin, "is read along"));
            let name = file_name(&path).to_owned();
            if self.loaded.contains(&name) {
                continue;
            }
            let text = self.reader.embedded.get(&name).cloned().map_or_else(|| (self.open)(&path).ok(), Some);
            match text {
                Some(text) if is_alpha => match document::yaml(&text) {
                    Ok(node) => self.reader.alpha_documents.push((name.clone(), node)),
                    Err(message) => self.reader.problems.add(name, message),
                },
                Some(text) => self.reader.config_file(&name, &text),
                None => {
                    self.reader.problems.add(origin, format!("names {path}, which is not here; give a copy of that file too"))
                }
            }
        }
    }
}
