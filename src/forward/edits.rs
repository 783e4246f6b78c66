//! Headers that an administrator sets and removes on one route.

use http::{HeaderMap, HeaderName, HeaderValue};

/// What is done to the headers of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// Removed first.
    pub remove: Vec<HeaderName>,
    /// Then set, in place of any of the same name.
    pub set: Vec<(HeaderName, HeaderValue)>,
}

impl Edits {
    /// Does it.
    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
    }
}
