//! The names of groups: the claim's values, renamed and then filtered, as Coder does it.

use std::collections::BTreeMap;

use regex::Regex;

use crate::pattern::{InvalidPattern, compile};

/// How the values of the groups claim become names. The default changes nothing.
#[derive(Clone, Debug, Default)]
pub struct GroupNames {
    /// `CODER_OIDC_GROUP_MAPPING`: names by the provider's.
    mapping: BTreeMap<String, String>,
    /// `CODER_OIDC_GROUP_REGEX_FILTER`: the names that are kept; `None` keeps all.
    filter: Option<Regex>,
}

impl GroupNames {
    /// Renames by `mapping`, and then keeps the names in which `pattern` matches anywhere.
    ///
    /// # Errors
    /// [`InvalidPattern`].
    pub fn new(mapping: BTreeMap<String, String>, pattern: &str) -> Result<Self, InvalidPattern> {
        let filter = match pattern {
            ".*" => None,
            pattern => Some(compile(pattern)?),
        };
        Ok(Self { mapping, filter })
    }

    /// The names of `claimed`, each once and in order; `None` if they are the claim's values as they are.
    pub(super) fn of(&self, claimed: &[String]) -> Option<Vec<String>> {
        if self.is_identity() {
            return None;
        }
        let mut names: Vec<String> = Vec::new();
        for name in claimed.iter().map(|group| self.mapping.get(group).unwrap_or(group)) {
            if self.filter.as_ref().is_none_or(|filter| filter.is_match(name)) && !names.contains(name) {
                names.push(name.clone());
            }
        }
        Some(names)
    }

    /// What tells these settings from others; `None` if they change nothing.
    pub(super) fn fingerprint(&self) -> Option<String> {
        (!self.is_identity()).then(|| format!("{:?} {:?}", self.mapping, self.filter.as_ref().map(Regex::as_str)))
    }

    fn is_identity(&self) -> bool {
        self.mapping.is_empty() && self.filter.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(mapping: &[(&str, &str)], pattern: &str, claimed: &[&str]) -> Option<Vec<String>> {
        let mapping = mapping.iter().map(|(from, to)| ((*from).to_owned(), (*to).to_owned())).collect();
        let claimed: Vec<_> = claimed.iter().map(|group| (*group).to_owned()).collect();
        GroupNames::new(mapping, pattern).unwrap().of(&claimed)
    }

    #[test]
    fn groups_are_renamed_first_and_then_filtered() {
        let mapping = [("4f1c", "app-admins"), ("77aa", "app-staff"), ("app-old", "retired")];
        for (mapping, pattern, claimed, expected) in [
            (&mapping[..], ".*", &["4f1c", "ops"][..], &["app-admins", "ops"][..]),
            (&mapping, "^app-", &["4f1c", "ops", "app-old"], &["app-admins"]),
            (&[], "^app-", &["ops", "app-staff"], &["app-staff"]),
            (&[], "staff", &["app-staff-eu", "ops"], &["app-staff-eu"]),
            (&[], "(?i)^APP", &["app-staff", "ops"], &["app-staff"]),
            (&[("a", "one"), ("b", "one")], ".*", &["a", "b", "one"], &["one"]),
            (&mapping, "^app-", &["ops"], &[]),
            (&mapping, ".*", &[], &[]),
        ] {
            assert_eq!(names(mapping, pattern, claimed).unwrap(), expected, "{pattern} {claimed:?}");
        }
        assert_eq!(names(&[], ".*", &["ops", "ops"]), None, "they stay as they are");
    }

    #[test]
    fn a_pattern_that_is_none_or_has_no_bounds_is_refused() {
        let refused = |pattern: &str| GroupNames::new(BTreeMap::new(), pattern).unwrap_err();
        for pattern in ["(", "[a", "a(?=b)", r"(a)\1"] {
            assert_eq!(refused(pattern), InvalidPattern::Syntax, "{pattern}");
        }
        assert_eq!(refused(r"(\pL{1000}){1000}"), InvalidPattern::TooLarge);
    }

    #[test]
    fn a_pattern_on_which_backtracking_would_never_end_answers() {
        let claimed = "a".repeat(50_000);
        assert_eq!(names(&[], "^(a+)+$", &[&claimed, &format!("{claimed}!")]).unwrap(), [claimed]);
    }
}
