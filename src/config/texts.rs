//! Converts values of the file to the texts that the environment would hold, and reads secrets. A value of another type than the
//! setting's is a problem and is never ignored: without its secret a client would be a public one.

use figment::value::Value;

use super::{setting::ValueType, values};

/// Converts a value to a text.
///
/// # Errors
/// What the value must be, without the value itself.
pub(super) fn text_of(value_type: ValueType, value: &Value) -> Result<String, String> {
    let text = match (value_type, value) {
        (ValueType::List, Value::String(_, text)) => return values::check_list(text).map(|()| text.clone()),
        (_, Value::String(_, text)) => Some(text.clone()),
        (ValueType::Bool, Value::Bool(_, _)) | (ValueType::Bool | ValueType::Number | ValueType::Duration, Value::Num(_, _)) => {
            plain(value)
        }
        (ValueType::List, Value::Array(_, members)) => return Ok(values::list_of(&texts_of(members)?)),
        (ValueType::Secrets, Value::Array(_, members)) => return secrets(members),
        (ValueType::Map, Value::Dict(_, members)) => object(members, plain),
        (ValueType::MapOfLists, Value::Dict(_, members)) => object(members, texts),
        (ValueType::Table, Value::Dict(_, members)) => object(members, plain_or_list),
        (_, _) => None,
    };
    text.ok_or_else(|| must_be(value_type).to_owned())
}

fn must_be(value_type: ValueType) -> &'static str {
    match value_type {
        ValueType::Text | ValueType::Url | ValueType::Address | ValueType::Secret => "must be a text in quotes",
        ValueType::Duration => "must be a duration in quotes like \"45s\"",
        ValueType::Bool => "must be true or false",
        ValueType::Number => "must be a whole number",
        ValueType::List | ValueType::Secrets => "must be a list of texts like [\"one\", \"two\"]",
        ValueType::Map => "must be a table of texts like { one = \"two\" }",
        ValueType::Table => "must be a table like { one = \"two\", three = [\"four\"] }",
        ValueType::MapOfLists => "must be a table of lists like { one = [\"two\", \"three\"] }",
    }
}

/// A text, a whole number, or true or false.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(_, text) => Some(text.clone()),
        Value::Bool(_, value) => Some(value.to_string()),
        Value::Num(_, number) => {
            number.to_i128().map(|number| number.to_string()).or_else(|| number.to_u128().map(|number| number.to_string()))
        }
        Value::Array(_, _) | Value::Dict(_, _) | Value::Char(_, _) | Value::Empty(_, _) => None,
    }
}

fn texts_of(members: &[Value]) -> Result<Vec<&str>, String> {
    members.iter().map(Value::as_str).collect::<Option<Vec<_>>>().ok_or_else(|| must_be(ValueType::List).to_owned())
}

/// Secrets as they stand in a variable, between commas, which none of them has.
fn secrets(members: &[Value]) -> Result<String, String> {
    match texts_of(members)? {
        texts if texts.iter().any(|text| text.contains(',')) => {
            Err("has a member with a comma in it, which stands between members".to_owned())
        }
        texts => Ok(texts.join(",")),
    }
}

/// A table as a JSON object. figment represents a date as a table with a name that begins with `$__`, which is refused.
fn object<T: Into<serde_json::Value>>(members: &figment::value::Dict, read: impl Fn(&Value) -> Option<T>) -> Option<String> {
    let member = |(name, value): (&String, &Value)| Some((name.clone(), read(value)?.into()));
    let object = members.iter().map(member).collect::<Option<serde_json::Map<_, _>>>()?;
    (!members.keys().any(|name| name.starts_with("$__"))).then(|| serde_json::Value::Object(object).to_string())
}

/// A list of texts, whatever is in them.
fn texts(value: &Value) -> Option<Vec<String>> {
    value.as_array()?.iter().map(|member| member.as_str().map(str::to_owned)).collect()
}

fn plain_or_list(value: &Value) -> Option<serde_json::Value> {
    plain(value).map(Into::into).or_else(|| texts(value).map(Into::into))
}

/// A secret as it is used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SecretText {
    pub(super) text: String,
    /// Warnings, which reveal nothing of the secret.
    pub(super) oddities: Vec<&'static str>,
}

/// Reads a secret. It is kept literally, except for a byte order mark, which is certainly an editor's. What looks like a mistake
/// is a warning, because the provider will only report that the secret is wrong.
///
/// # Errors
/// The secret is empty.
pub(super) fn secret(value_type: ValueType, given: &str) -> Result<SecretText, &'static str> {
    let mut oddities = Vec::new();
    let text = given.strip_prefix('\u{feff}').map_or(given, |text| {
        oddities.push("begins with a byte order mark, which is left out");
        text
    });
    if text.trim().is_empty() {
        return Err("holds nothing");
    }
    // The members of a list are trimmed, and must be base64.
    if value_type == ValueType::Secret {
        let quoted = |quote: char| text.len() > 1 && text.starts_with(quote) && text.ends_with(quote);
        if quoted('"') || quoted('\'') {
            oddities.push("is in quotes, which are taken for a part of it");
        }
        if text.trim() != text {
            oddities.push("has blanks or empty lines around it, which are taken for a part of it");
        }
        if text.trim().contains(['\n', '\r']) {
            oddities.push("has several lines, which are taken for one secret");
        }
    }
    Ok(SecretText { text: text.to_owned(), oddities })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_kept_to_the_letter_and_what_looks_like_a_slip_is_said() {
        for (given, text, oddities) in [
            ("plain", "plain", &[][..]),
            ("in ner", "in ner", &[]),
            ("it's", "it's", &[]),
            ("\"", "\"", &[]),
            ("\u{feff}plain", "plain", &["begins with a byte order mark, which is left out"]),
            ("\"quoted\"", "\"quoted\"", &["is in quotes, which are taken for a part of it"]),
            ("'quoted'", "'quoted'", &["is in quotes, which are taken for a part of it"]),
            (" plain", " plain", &["has blanks or empty lines around it, which are taken for a part of it"]),
            ("\nplain", "\nplain", &["has blanks or empty lines around it, which are taken for a part of it"]),
            ("plain\n", "plain\n", &["has blanks or empty lines around it, which are taken for a part of it"]),
            ("two\nlines", "two\nlines", &["has several lines, which are taken for one secret"]),
        ] {
            assert_eq!(
                secret(ValueType::Secret, given),
                Ok(SecretText { text: text.to_owned(), oddities: oddities.to_vec() }),
                "{given:?}"
            );
        }
        assert!(secret(ValueType::Secrets, "one,\ntwo").is_ok_and(|read| read.oddities.is_empty()), "a list may have lines");
        for empty in ["", " ", "\n\n", "\u{feff}", "\u{feff}\n"] {
            assert_eq!(secret(ValueType::Secret, empty), Err("holds nothing"), "{empty:?}");
        }
    }
}
