//! Headers that an administrator sets and removes on one route.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::header_names;

/// Edits of the headers of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Edits {
    /// Removed first, in every spelling that some upstream would read as one.
    pub remove: Vec<HeaderName>,
    /// Then set, in place of any of the same name in any spelling.
    pub set: Vec<(HeaderName, HeaderValue)>,
}

impl Edits {
    /// Applies the edits.
    pub(super) fn apply(&self, headers: &mut HeaderMap) {
        if self.is_empty() {
            return;
        }
        self.remove_named(headers);
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
    }

    /// Whether nothing is edited.
    pub(super) fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty()
    }

    /// Removes what is removed or set from trailers, of which nothing is set.
    pub(super) fn remove_named(&self, headers: &mut HeaderMap) {
        let is_named = |name: &HeaderName| {
            let mut named = self.remove.iter().chain(self.set.iter().map(|(name, _)| name));
            named.any(|own| header_names::are_equivalent(own.as_str(), name.as_str()))
        };
        let named: Vec<HeaderName> = headers.keys().filter(|name| is_named(name)).cloned().collect();
        for name in named {
            headers.remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_removed_or_set_is_so_in_every_spelling() {
        let name = HeaderName::from_static;
        let edits =
            Edits { remove: vec![name("x-webauth-user")], set: vec![(name("x-tenant"), HeaderValue::from_static("ours"))] };
        let given = ["x-webauth-user", "x_webauth_user", "x-webauth_user", "x-tenant", "x_tenant", "x.tenant", "x-webauth-users"];
        let mut headers: HeaderMap = given.map(|given| (name(given), HeaderValue::from_static("theirs"))).into_iter().collect();
        edits.apply(&mut headers);
        let mut left: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        left.sort_unstable();
        assert_eq!(left, [("x-tenant", "ours"), ("x-webauth-users", "theirs")]);
    }
}
