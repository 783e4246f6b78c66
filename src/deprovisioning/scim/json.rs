//! Reads a body: JSON, in which what decides about a user stands once. Of a repeated member two readers may take different values.

use std::{collections::HashSet, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

use super::{error::ScimError, user::attribute};

/// What must not be repeated in one object, in lower case and without the schema.
const DECIDING: [&str; 6] = ["active", "username", "operations", "op", "path", "value"];

/// Whether a member that decides is repeated somewhere in a text.
struct IsRepeated(bool);

/// The value of a body.
pub(super) fn parse(body: &[u8]) -> Result<Value, ScimError> {
    let value = serde_json::from_slice(body).map_err(|_| ScimError::Syntax("the body is no JSON"))?;
    match serde_json::from_slice(body) {
        Ok(IsRepeated(false)) => Ok(value),
        Ok(IsRepeated(true)) | Err(_) => Err(ScimError::Syntax("a member stands there twice")),
    }
}

impl<'de> Deserialize<'de> for IsRepeated {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Members)
    }
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = IsRepeated;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<IsRepeated, A::Error> {
        let (mut names, mut is_repeated) = (HashSet::new(), false);
        while let Some((name, IsRepeated(within))) = map.next_entry::<String, IsRepeated>()? {
            let name = attribute(&name);
            is_repeated |= within || (DECIDING.contains(&name.as_str()) && !names.insert(name));
        }
        Ok(IsRepeated(is_repeated))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<IsRepeated, A::Error> {
        let mut is_repeated = false;
        while let Some(IsRepeated(within)) = list.next_element()? {
            is_repeated |= within;
        }
        Ok(IsRepeated(is_repeated))
    }

    fn visit_bool<E>(self, _: bool) -> Result<IsRepeated, E> {
        Ok(IsRepeated(false))
    }

    fn visit_i64<E>(self, _: i64) -> Result<IsRepeated, E> {
        Ok(IsRepeated(false))
    }

    fn visit_u64<E>(self, _: u64) -> Result<IsRepeated, E> {
        Ok(IsRepeated(false))
    }

    fn visit_f64<E>(self, _: f64) -> Result<IsRepeated, E> {
        Ok(IsRepeated(false))
    }

    fn visit_str<E>(self, _: &str) -> Result<IsRepeated, E> {
        Ok(IsRepeated(false))
    }

    fn visit_unit<E>(self) -> Result<IsRepeated, E> {
        Ok(IsRepeated(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_decides_stands_once_in_any_case_and_within_whatever_there_is() {
        for (body, is_read) in [
            (r#"{"active": false, "userName": "ann", "displayName": "a", "displayName": "b"}"#, true),
            (
                r#"{"Operations": [{"op": "add", "path": "a", "value": 1}, {"op": "add", "path": "b", "value": [1.5, null, "x"]}]}"#,
                true,
            ),
            (r#"{"active": false, "active": true}"#, false),
            (r#"{"active": false, "Active": true}"#, false),
            (r#"{"active": false, "urn:ietf:params:scim:schemas:core:2.0:User:active": true}"#, false),
            (r#"{"userName": "ann", "userName": "bob"}"#, false),
            (r#"{"Operations": [], "operations": []}"#, false),
            (r#"{"Operations": [{"op": "replace", "value": {"active": false, "active": true}}]}"#, false),
            (r#"{"Operations": [{"op": "replace", "path": "active", "value": false, "value": true}]}"#, false),
            (r#"{"active": "#, false),
        ] {
            assert_eq!(parse(body.as_bytes()).is_ok(), is_read, "{body}");
        }
    }
}
