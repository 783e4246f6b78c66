//! Claims that only a header or a rule of some route needs.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::Error as _};
use serde_json::Value;

/// The largest claim that is kept, in bytes of JSON. A larger one counts as absent: a part of a list would be another list.
pub const MAX_CLAIM_SIZE: usize = 8 * 1024;
/// The most that all claims of an identity take together, in bytes of JSON.
pub const MAX_CLAIMS_SIZE: usize = 16 * 1024;

/// Claims by their path, as the settings name it. `null`: the provider was asked, and the user has no such claim. A path that is
/// not there was never asked for, as in a grant that is older than the setting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExtraClaims(BTreeMap<String, Value>);

impl ExtraClaims {
    /// Whether no claim was ever asked for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the claim at `path`; `None` if the user has none.
    pub fn get(&self, path: &str) -> Option<&Value> {
        self.0.get(path).filter(|value| !value.is_null())
    }

    /// The paths that were asked for.
    pub fn asked(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Records what the provider says of `path`, for whoever else needs it, if there is room beside the others.
    pub fn record_if_it_fits(&mut self, path: &str, value: Option<Value>) {
        if !self.record(path, value) {
            self.0.remove(path);
        }
    }

    /// Whether one of `paths` was never asked for.
    pub fn lacks_any(&self, paths: &[String]) -> bool {
        paths.iter().any(|path| !self.0.contains_key(path))
    }

    /// Whether `path` was asked for.
    pub fn has_asked(&self, path: &str) -> bool {
        self.0.contains_key(path)
    }

    /// Forgets what was asked for since, which is to be asked for again.
    #[must_use]
    pub fn asked_like(mut self, before: &Self) -> Self {
        self.0.retain(|path, _| before.has_asked(path));
        self
    }

    /// Whether they leave no room for another claim of the largest size. Of replicas that need different claims, each drops then what the
    /// other has asked for.
    pub fn are_crowded(&self) -> bool {
        self.0.values().map(size).sum::<usize>() > MAX_CLAIMS_SIZE - MAX_CLAIM_SIZE
    }

    /// Records what the provider says of `path`. A claim that is too large counts as absent; returns `false` then.
    pub fn record(&mut self, path: &str, value: Option<Value>) -> bool {
        let value = value.unwrap_or(Value::Null);
        let size = size(&value);
        let others: usize = self.0.iter().filter(|(other, _)| *other != path).map(|(_, value)| self::size(value)).sum();
        let fits = size <= MAX_CLAIM_SIZE && others + size <= MAX_CLAIMS_SIZE;
        self.0.insert(path.to_owned(), if fits { value } else { Value::Null });
        fits
    }
}

fn size(value: &Value) -> usize {
    if value.is_null() { 0 } else { value.to_string().len() }
}

// As one text of JSON within the identity's JSON, in which every quote is escaped: Postgres finds users by the texts of two other
// members, and no claim's name may look like theirs.
impl Serialize for ExtraClaims {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&serde_json::to_string(&self.0).map_err(S::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for ExtraClaims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        serde_json::from_str(&text).map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_claim_that_was_asked_for_and_is_absent_is_not_one_that_was_never_asked_for() {
        let mut claims = ExtraClaims::default();
        assert!(claims.record("department", Some(json!("eng"))) && claims.record("office", None));
        assert_eq!((claims.get("department"), claims.get("office"), claims.get("other")), (Some(&json!("eng")), None, None));
        assert!(!claims.lacks_any(&["department".into(), "office".into()]) && claims.lacks_any(&["other".into()]));
        assert!(claims.lacks_any(&["__proto__".into(), "constructor".into()]));
    }

    #[test]
    fn a_claim_that_is_too_large_is_absent_as_a_whole_and_takes_no_place() {
        let mut claims = ExtraClaims::default();
        assert!(!claims.record("huge", Some(json!("x".repeat(MAX_CLAIM_SIZE)))));
        assert_eq!(claims.get("huge"), None);
        assert!(!claims.lacks_any(&["huge".into()]), "nobody asks for it again and again");
        let large = json!("x".repeat(MAX_CLAIM_SIZE - 2));
        assert!(claims.record("a", Some(large.clone())) && claims.record("b", Some(large.clone())));
        assert!(!claims.record("c", Some(json!("x"))), "beyond what all may take together");
        assert!(claims.record("a", Some(large)), "in the place of its own");
    }

    #[test]
    fn claims_are_written_so_that_none_looks_like_another_member_of_the_identity() {
        let mut claims = ExtraClaims::default();
        claims.record("email", Some(json!({"email": "boss@x", "username": "boss"})));
        claims.record("username", Some(json!("boss")));
        let text = serde_json::to_string(&claims).unwrap();
        assert!(!text.contains(r#""email":""#) && !text.contains(r#""username":""#), "{text}");
        assert_eq!(serde_json::from_str::<ExtraClaims>(&text).unwrap(), claims);
    }
}
