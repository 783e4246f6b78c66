//! The values of a SCIM user's attributes, as clients write them.

use serde_json::{Map, Value};

use super::error::ScimError;

/// The longest text of an attribute that is kept, in characters.
const MAX_TEXT: usize = 320;

/// A text by which a user is found or recognised: it is taken as it is, or not at all.
pub(super) fn key(name: &'static str, value: &Value) -> Result<String, ScimError> {
    match value.as_str().map(str::trim) {
        Some(text) if !text.is_empty() && text.chars().count() <= MAX_TEXT && !text.contains(char::is_control) => {
            Ok(text.to_owned())
        }
        Some(_) | None => Err(ScimError::Attribute(name)),
    }
}

/// A [`key`] that may be unassigned (RFC 7643 section 2.5).
pub(super) fn optional_key(name: &'static str, value: &Value) -> Result<Option<String>, ScimError> {
    if is_unassigned(value) { Ok(None) } else { key(name, value).map(Some) }
}

/// A text that is kept for the client alone: as much of it as can be kept, or nothing of what is no text.
pub(super) fn shown(value: &Value) -> Option<String> {
    let text: String = value.as_str()?.trim().chars().take(MAX_TEXT).map(|c| if c.is_control() { ' ' } else { c }).collect();
    Some(text.trim_end().to_owned()).filter(|text| !text.is_empty())
}

/// Microsoft Entra ID sends `"False"`, also as the `value` of the only one in a list. What is neither is refused: to take it for `true` would
/// let somebody in. So is an object whose `value` and whose member of the attribute's name differ, because two readers may take either.
pub(super) fn boolean(name: &'static str, value: &Value) -> Result<bool, ScimError> {
    let refused = || ScimError::Attribute(name);
    let value = if let Value::Array(all) = value { only(all).ok_or_else(refused)? } else { value };
    let Value::Object(members) = value else { return truth(value).ok_or_else(refused) };
    let assigned = |name: &str| member(members, name).filter(|value| !is_unassigned(value));
    let read = match (assigned("value"), assigned(name)) {
        (Some(value), Some(named)) => truth(value).filter(|read| truth(named) == Some(*read)),
        (Some(value), None) | (None, Some(value)) => truth(value),
        (None, None) => None,
    };
    read.ok_or_else(refused)
}

/// A truth value, also as a text.
fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        Value::String(text) => match text.trim() {
            text if text.eq_ignore_ascii_case("true") => Some(true),
            text if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        },
        Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

fn only(all: &[Value]) -> Option<&Value> {
    match all {
        [only] => Some(only),
        _ => None,
    }
}

/// Whether a value says that the attribute has none.
pub(super) fn is_unassigned(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        Value::Array(all) => all.is_empty(),
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => false,
    }
}

/// A member by its name in any case (RFC 7643 section 2.1).
pub(super) fn member<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    members.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_truth_value_is_read_in_each_way_in_which_it_is_written_and_of_two_that_differ_neither() {
        for (value, read) in [
            (json!(false), Some(false)),
            (json!("True"), Some(true)),
            (json!(" False "), Some(false)),
            (json!("true\n"), Some(true)),
            (json!([{"value": " false"}]), Some(false)),
            (json!({"active": "False"}), Some(false)),
            (json!({"value": false, "active": "False"}), Some(false)),
            (json!({"value": null, "active": false}), Some(false)),
            (json!({"value": false, "active": ""}), Some(false)),
            (json!({"value": true, "active": false}), None),
            (json!({"Value": "False", "Active": true}), None),
            (json!([{"value": true, "active": false}]), None),
            (json!({"value": false, "active": "maybe"}), None),
            (json!({"value": "maybe", "active": false}), None),
            (json!({"value": null}), None),
            (json!({}), None),
            (json!(""), None),
            (json!("F alse"), None),
            (json!(null), None),
            (json!(0), None),
        ] {
            assert_eq!(boolean("active", &value).ok(), read, "{value}");
        }
    }
}
