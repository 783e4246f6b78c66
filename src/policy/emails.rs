//! Single e-mail addresses that are allowed: by the settings, or by a file that is read again when it changes.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::lock::RwLock;

/// Allowed addresses. They are compared whole, without regard to case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedEmails {
    /// Those of the settings, in lower case.
    listed: Vec<String>,
    file: Option<EmailFile>,
}

/// A file of addresses. Clones share what was read.
#[derive(Clone, Debug)]
pub struct EmailFile {
    path: PathBuf,
    addresses: Arc<RwLock<HashSet<String>>>,
}

impl AllowedEmails {
    /// Allows `listed` addresses and those of `file`.
    pub fn new(listed: &[String], file: Option<EmailFile>) -> Self {
        Self { listed: listed.iter().map(|address| address.to_ascii_lowercase()).collect(), file }
    }

    /// Whether anything is said of addresses: a file without one allows nobody.
    pub fn is_given(&self) -> bool {
        !self.listed.is_empty() || self.file.is_some()
    }

    /// Whether an address is allowed.
    pub(super) fn allows(&self, address: &str) -> bool {
        let address = address.to_ascii_lowercase();
        self.listed.contains(&address) || self.file.as_ref().is_some_and(|file| file.has(&address))
    }

    /// The file, if there is one.
    pub fn file(&self) -> Option<&EmailFile> {
        self.file.as_ref()
    }
}

impl EmailFile {
    /// A file at `path` with this content.
    pub fn new(path: PathBuf, text: &str) -> Self {
        Self { path, addresses: Arc::new(RwLock::new(addresses(text))) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many addresses it has.
    pub fn count(&self) -> usize {
        self.addresses.read().len()
    }

    /// Takes over its content. Returns whether that changed anything.
    pub fn replace(&self, text: &str) -> bool {
        let newer = addresses(text);
        let mut current = self.addresses.write();
        let has_changed = *current != newer;
        *current = newer;
        has_changed
    }

    fn has(&self, address: &str) -> bool {
        self.addresses.read().contains(address)
    }
}

impl PartialEq for EmailFile {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for EmailFile {}

/// The addresses of a file, as oauth2-proxy reads it: one a line, the first field of those of CSV; a line that begins with `#` is a
/// comment.
fn addresses(text: &str) -> HashSet<String> {
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim).filter(|line| !line.starts_with('#'));
    let first = lines.filter_map(|line| line.split(',').next()).map(|field| field.trim().trim_matches('"').trim());
    first.filter(|address| !address.is_empty()).map(str::to_ascii_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_compared_whole_and_in_any_case() {
        let allowed = AllowedEmails::new(&["Ann@Example.com".to_owned()], None);
        assert!(allowed.allows("ann@example.COM"));
        for other in ["", "ann", "xann@example.com", "ann@example.com.evil", "ann@example.com,", " ann@example.com"] {
            assert!(!allowed.allows(other), "{other}");
        }
        assert!(allowed.is_given() && !AllowedEmails::default().is_given());
    }

    #[test]
    fn a_file_has_an_address_a_line_and_what_it_says_last_counts() {
        let text = "\u{feff}# staff\r\nann@example.com\r\n\r\n  \"Bob@Example.com\" , Bob\n#eve@example.com\n";
        let file = EmailFile::new("/emails".into(), text);
        let allowed = AllowedEmails::new(&[], Some(file.clone()));
        assert_eq!(file.count(), 2);
        assert!(allowed.allows("ann@example.com") && allowed.allows("bob@example.com"));
        for other in ["eve@example.com", "#eve@example.com", "bob", ""] {
            assert!(!allowed.allows(other), "{other}");
        }
        assert!(file.replace("eve@example.com") && !file.replace("eve@example.com\n"));
        assert!(allowed.allows("eve@example.com") && !allowed.allows("ann@example.com"));
        assert!(file.replace("") && allowed.is_given() && !allowed.allows(""), "an empty file allows nobody");
    }
}
