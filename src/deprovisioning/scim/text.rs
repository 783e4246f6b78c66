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
/// let somebody in.
pub(super) fn boolean(name: &'static str, value: &Value) -> Result<bool, ScimError> {
    let refused = || ScimError::Attribute(name);
    let value = if let Value::Array(all) = value { only(all).ok_or_else(refused)? } else { value };
    let value = match value.as_object() {
        Some(members) => member(members, "value").or_else(|| member(members, name)).ok_or_else(refused)?,
        None => value,
    };
    match value {
        Value::Bool(value) => Ok(*value),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        Value::String(_) | Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => Err(ScimError::Attribute(name)),
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
