//! The e-mail addresses of a SCIM user, and the paths by which a PATCH selects some of them (RFC 7644 section 3.5.2).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    error::ScimError,
    text::{boolean, is_unassigned, key, member, shown},
};
use crate::session::UserKey;

/// One of a user's e-mail addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Email {
    pub(super) value: String,
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<String>,
    #[serde(default)]
    pub(super) primary: bool,
}

/// The addresses that a path selects, and what of them: `emails[type eq "work"].value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EmailPath {
    selection: Selection,
    part: Part,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Selection {
    Kind(String),
    Value(String),
    Primary(bool),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// The address, or all of it that is given.
    Whole,
    Kind,
    Primary,
    /// One that is not kept.
    Other,
}

/// The most e-mail addresses of a user.
const MAX_EMAILS: usize = 16;

/// Reads a list of addresses. One that has none (`""`, `null`) is unassigned (RFC 7643 section 2.5).
pub(super) fn list(value: &Value) -> Result<Vec<Email>, ScimError> {
    let all = match value {
        _ if is_unassigned(value) => return Ok(Vec::new()),
        Value::Array(all) => all.iter().collect(),
        Value::Object(_) => vec![value],
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => return Err(ScimError::Attribute("emails")),
    };
    let mut emails = Vec::new();
    for email in all {
        let Value::Object(members) = email else { return Err(ScimError::Attribute("emails")) };
        let mut read = Email::default();
        if read.take(members)? {
            emails.push(read);
        }
    }
    bounded(emails)
}

/// Adds addresses to those that there are (section 3.5.2.1). One that is there already is changed.
pub(super) fn add(emails: &mut Vec<Email>, new: Vec<Email>) -> Result<(), ScimError> {
    let mut all = emails.clone();
    for email in new {
        if email.primary {
            all.iter_mut().for_each(|other| other.primary = false);
        }
        match all.iter_mut().find(|other| UserKey::folded(&other.value) == UserKey::folded(&email.value)) {
            Some(same) => *same = Email { kind: email.kind.or(same.kind.take()), ..email },
            None => all.push(email),
        }
    }
    *emails = bounded(all)?;
    Ok(())
}

/// Removes those addresses that are listed, each as an object or by itself. One that is not there is removed already.
pub(super) fn remove_listed(emails: &mut Vec<Email>, listed: &Value) -> Result<(), ScimError> {
    let all = match listed {
        Value::Array(all) => all.iter().collect(),
        Value::Object(_) | Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => vec![listed],
    };
    let mut addresses = Vec::new();
    for one in all {
        let address = match one {
            Value::Object(members) => member(members, "value").ok_or(ScimError::Attribute("emails"))?,
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => one,
        };
        addresses.push(UserKey::folded(&key("emails", address)?));
    }
    emails.retain(|email| !addresses.contains(&UserKey::folded(&email.value)));
    Ok(())
}

fn bounded(emails: Vec<Email>) -> Result<Vec<Email>, ScimError> {
    if emails.len() > MAX_EMAILS { Err(ScimError::Value("there are too many emails")) } else { Ok(emails) }
}

impl Email {
    /// Takes over what of an address is given. Returns whether the address is there.
    fn take(&mut self, members: &Map<String, Value>) -> Result<bool, ScimError> {
        if let Some(kind) = member(members, "type") {
            self.kind = shown(kind).map(|kind| kind.to_ascii_lowercase());
        }
        if let Some(primary) = member(members, "primary") {
            self.primary = !is_unassigned(primary) && boolean("emails", primary)?;
        }
        match member(members, "value") {
            Some(value) if is_unassigned(value) => self.value.clear(),
            Some(value) => self.value = key("emails", value)?,
            None => {}
        }
        Ok(!self.value.is_empty())
    }
}

impl EmailPath {
    /// Reads a path in lower case. `None`: it is of another attribute.
    pub(super) fn parse(path: &str) -> Option<Result<Self, ScimError>> {
        let rest = path.strip_prefix("emails")?;
        if !rest.starts_with(['[', '.', ' ']) {
            return None;
        }
        Some(Self::after_name(rest).ok_or(ScimError::Path))
    }

    fn after_name(rest: &str) -> Option<Self> {
        let (filter, part) = rest.trim_start().strip_prefix('[')?.rsplit_once(']')?;
        let part = match part {
            "" | ".value" => Part::Whole,
            ".type" => Part::Kind,
            ".primary" => Part::Primary,
            _ if part.starts_with('.') => Part::Other,
            _ => return None,
        };
        let mut words = filter.trim().splitn(3, ' ');
        let (attribute, operator, value) = (words.next()?, words.next()?, words.next()?.trim());
        if operator != "eq" {
            return None;
        }
        let value: Value = serde_json::from_str(value).ok()?;
        let selection = match attribute {
            "type" => Selection::Kind(value.as_str()?.to_owned()),
            "value" => Selection::Value(value.as_str()?.to_owned()),
            "primary" => Selection::Primary(boolean("emails", &value).ok()?),
            _ => return None,
        };
        Some(Self { selection, part })
    }

    fn selects(&self, email: &Email) -> bool {
        match &self.selection {
            Selection::Kind(kind) => email.kind.as_ref() == Some(kind),
            Selection::Value(value) => UserKey::folded(&email.value) == UserKey::folded(value),
            Selection::Primary(primary) => email.primary == *primary,
        }
    }

    /// Changes what is selected. An address that is not there yet is added, as Microsoft Entra ID expects.
    pub(super) fn set(&self, emails: &mut Vec<Email>, value: &Value) -> Result<(), ScimError> {
        if is_unassigned(value) {
            self.remove(emails);
            return Ok(());
        }
        let members = match (self.part, value) {
            (Part::Whole, Value::Object(members)) => members.clone(),
            (Part::Whole, _) => Map::from_iter([("value".to_owned(), value.clone())]),
            (Part::Kind, _) => Map::from_iter([("type".to_owned(), value.clone())]),
            (Part::Primary, _) => Map::from_iter([("primary".to_owned(), value.clone())]),
            (Part::Other, _) => return Ok(()),
        };
        let mut all = emails.clone();
        let mut is_found = false;
        for email in all.iter_mut().filter(|email| self.selects(email)) {
            is_found = true;
            email.take(&members)?;
        }
        if !is_found {
            let mut email = match &self.selection {
                Selection::Kind(kind) => Email { kind: Some(kind.clone()), primary: all.is_empty(), ..Email::default() },
                Selection::Primary(true) => Email { primary: true, ..Email::default() },
                // There is nothing whose part could be changed (section 3.5.2.3).
                Selection::Value(_) | Selection::Primary(false) => return Err(ScimError::NoTarget),
            };
            if !email.take(&members)? {
                return Err(ScimError::NoTarget);
            }
            all.push(email);
        }
        all.retain(|email| !email.value.is_empty());
        *emails = bounded(all)?;
        Ok(())
    }

    /// Removes what is selected (section 3.5.2.2).
    pub(super) fn remove(&self, emails: &mut Vec<Email>) {
        match self.part {
            Part::Whole => emails.retain(|email| !self.selects(email)),
            Part::Kind => emails.iter_mut().filter(|email| self.selects(email)).for_each(|email| email.kind = None),
            Part::Primary => emails.iter_mut().filter(|email| self.selects(email)).for_each(|email| email.primary = false),
            Part::Other => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn emails() -> Vec<Email> {
        list(&json!([{"value": "A@x.example", "type": "work", "primary": true}, {"value": "b@x.example", "type": "home"}]))
            .unwrap()
    }

    fn written(emails: &[Email]) -> Vec<(&str, &str, bool)> {
        emails.iter().map(|email| (email.value.as_str(), email.kind.as_deref().unwrap_or(""), email.primary)).collect()
    }

    #[test]
    fn a_path_selects_addresses_by_type_value_or_primary() {
        for (path, value, expected) in [
            ("emails[type eq \"work\"].value", json!("c@x"), vec![("c@x", "work", true), ("b@x.example", "home", false)]),
            (
                "emails[type eq \"work\"]",
                json!({"value": "c@x", "primary": "False"}),
                vec![("c@x", "work", false), ("b@x.example", "home", false)],
            ),
            ("emails[primary eq true].value", json!("c@x"), vec![("c@x", "work", true), ("b@x.example", "home", false)]),
            (
                "emails[value eq \"B@X.example\"].type",
                json!(null),
                vec![("A@x.example", "work", true), ("b@x.example", "", false)],
            ),
            (
                "emails[value eq \"b@x.example\"].type",
                json!("Other"),
                vec![("A@x.example", "work", true), ("b@x.example", "other", false)],
            ),
            ("emails[value eq \"a@x.example\"]", json!({"value": null}), vec![("b@x.example", "home", false)]),
            ("emails[type eq \"home\"].value", json!(""), vec![("A@x.example", "work", true)]),
            ("emails[type eq \"home\"].display", json!("B"), written(&emails())),
            ("emails[type eq \"other\"].value", json!("c@x"), {
                vec![("A@x.example", "work", true), ("b@x.example", "home", false), ("c@x", "other", false)]
            }),
        ] {
            let mut changed = emails();
            EmailPath::parse(path).unwrap().unwrap().set(&mut changed, &value).unwrap();
            assert_eq!(written(&changed), expected, "{path} {value}");
        }
        for (path, left) in [
            ("emails[value eq \"a@x.example\"]", vec!["b@x.example"]),
            ("emails[type eq \"home\"]", vec!["A@x.example"]),
            ("emails[primary eq true]", vec!["b@x.example"]),
            ("emails[type eq \"none\"]", vec!["A@x.example", "b@x.example"]),
        ] {
            let mut changed = emails();
            EmailPath::parse(path).unwrap().unwrap().remove(&mut changed);
            assert_eq!(changed.iter().map(|email| email.value.as_str()).collect::<Vec<_>>(), left, "{path}");
        }
    }

    #[test]
    fn a_path_that_would_do_nothing_is_refused() {
        for path in [
            "emails.value",
            "emails[type sw \"w\"]",
            "emails[type eq work]",
            "emails[type eq \"work\"",
            "emails[display eq \"a\"]",
        ] {
            assert!(EmailPath::parse(path).unwrap().is_err(), "{path}");
        }
        assert!(EmailPath::parse("emailsx").is_none() && EmailPath::parse("phoneNumbers[type eq \"work\"]").is_none());
        let set = |path: &str, value: Value| EmailPath::parse(path).unwrap().unwrap().set(&mut emails(), &value);
        assert!(set("emails[value eq \"none@x\"].value", json!("c@x")).is_err());
        assert!(set("emails[type eq \"none\"].primary", json!(true)).is_err());
        assert!(set("emails[type eq \"work\"].value", json!(["c@x"])).is_err());
    }

    #[test]
    fn what_is_listed_is_removed_and_nothing_else() {
        for (listed, left) in [
            (json!([{"value": "a@X.example"}]), vec!["b@x.example"]),
            (json!({"value": "b@x.example", "type": "work"}), vec!["A@x.example"]),
            (json!(["b@x.example", "none@x.example"]), vec!["A@x.example"]),
            (json!("a@x.example"), vec!["b@x.example"]),
            (json!([{"value": "none@x.example"}]), vec!["A@x.example", "b@x.example"]),
        ] {
            let mut changed = emails();
            remove_listed(&mut changed, &listed).unwrap();
            assert_eq!(changed.iter().map(|email| email.value.as_str()).collect::<Vec<_>>(), left, "{listed}");
        }
        for odd in [json!([{"type": "work"}]), json!([[]]), json!([5]), json!(true), json!([{"value": null}])] {
            assert!(remove_listed(&mut emails(), &odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn what_is_added_leaves_what_there_is() {
        let mut all = emails();
        add(&mut all, list(&json!({"value": "c@x", "primary": true})).unwrap()).unwrap();
        add(&mut all, list(&json!([{"value": "B@X.example"}, {"value": ""}, {"value": null}, {}])).unwrap()).unwrap();
        assert_eq!(written(&all), [("A@x.example", "work", false), ("B@X.example", "home", false), ("c@x", "", true)]);
        add(&mut all, list(&json!([{"value": "Ö@x.example"}, {"value": "o\u{308}@X.example"}])).unwrap()).unwrap();
        assert_eq!(all.pop().map(|email| email.value), Some("o\u{308}@X.example".into()), "it is the one address");
        let many: Vec<_> = (0..14).map(|at| json!({"value": format!("{at}@x")})).collect();
        assert!(add(&mut all, list(&json!(many)).unwrap()).is_err());
        assert_eq!(all.len(), 3, "as it was");
    }
}
