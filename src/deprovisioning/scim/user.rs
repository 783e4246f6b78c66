//! A SCIM user (RFC 7643 section 4.1): the attributes of which a directory finds its user again, and those by which a login is recognised.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::error::ScimError;
use crate::session::UserKey;

/// The schema of users.
pub(super) const USER_SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:User";

/// A user as a SCIM client has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) user_name: String,
    pub(super) external_id: Option<String>,
    pub(super) active: bool,
    pub(super) profile: Profile,
}

/// What is kept of a user besides, for the client to see again what it wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Profile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) formatted: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) given_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) family_name: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) emails: Vec<Email>,
}

/// One of a user's e-mail addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Email {
    pub(super) value: String,
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<String>,
    #[serde(default)]
    pub(super) primary: bool,
}

/// The longest text of an attribute that is kept.
const MAX_TEXT: usize = 320;
/// The most e-mail addresses of a user.
const MAX_EMAILS: usize = 16;

impl User {
    /// Reads a user of a request. `active` is what they are if the request does not say.
    pub(super) fn read(resource: &Value, active: bool) -> Result<Self, ScimError> {
        let Value::Object(members) = resource else { return Err(ScimError::Syntax("the body is no object")) };
        let user_name = member(members, "userName").map(|value| text("userName", value)).transpose()?;
        let mut user = Self {
            user_name: user_name.ok_or(ScimError::Value("userName is required"))?,
            external_id: None,
            active,
            profile: Profile::default(),
        };
        for (name, value) in members {
            user.set(name, value)?;
        }
        Ok(user)
    }

    /// Replaces an attribute, whose name may be any path of a PATCH. What is not kept is left alone: clients send whatever their
    /// administrators have mapped.
    pub(super) fn set(&mut self, path: &str, value: &Value) -> Result<(), ScimError> {
        match attribute(path).as_str() {
            "username" => self.user_name = text("userName", value)?,
            "externalid" => self.external_id = optional("externalId", value)?,
            "active" => self.active = boolean(value)?,
            "displayname" => self.profile.display_name = optional("displayName", value)?,
            "name" => {
                let Value::Object(members) = value else { return Err(ScimError::Value("name is no object")) };
                for (name, value) in members {
                    self.set(&format!("name.{name}"), value)?;
                }
            }
            "name.formatted" => self.profile.formatted = optional("name.formatted", value)?,
            "name.givenname" => self.profile.given_name = optional("name.givenName", value)?,
            "name.familyname" => self.profile.family_name = optional("name.familyName", value)?,
            "emails" => self.profile.emails = emails(value)?,
            other => {
                if let Some(kind) = email_kind(other) {
                    self.set_email(kind, &text("emails", value)?)?;
                }
            }
        }
        Ok(())
    }

    /// Removes an attribute (RFC 7644 section 3.5.2.2).
    pub(super) fn remove(&mut self, path: &str) -> Result<(), ScimError> {
        match attribute(path).as_str() {
            "username" | "active" => return Err(ScimError::Value("userName and active cannot be removed")),
            "emails" => self.profile.emails.clear(),
            "name" => (self.profile.formatted, self.profile.given_name, self.profile.family_name) = (None, None, None),
            other => match email_kind(other) {
                Some(kind) => self.profile.emails.retain(|email| email.kind.as_deref() != Some(kind)),
                None => self.set(other, &Value::Null)?,
            },
        }
        Ok(())
    }

    fn set_email(&mut self, kind: &str, address: &str) -> Result<(), ScimError> {
        let emails = &mut self.profile.emails;
        if let Some(email) = emails.iter_mut().find(|email| email.kind.as_deref() == Some(kind)) {
            address.clone_into(&mut email.value);
        } else if emails.len() < MAX_EMAILS {
            let primary = emails.is_empty();
            emails.push(Email { value: address.to_owned(), kind: Some(kind.to_owned()), primary });
        } else {
            return Err(ScimError::Value("there are too many emails"));
        }
        Ok(())
    }

    /// By what a login is recognised as this user's: the name, which is the login's own name or address at most providers, the
    /// addresses, and the provider's identifier, which Okta sends as `externalId`.
    pub(super) fn keys(&self) -> Vec<UserKey> {
        let addresses = self.profile.emails.iter().map(|email| UserKey::email(&email.value));
        let name = [UserKey::username(&self.user_name), UserKey::email(&self.user_name)];
        let mut keys: Vec<_> = self.external_id.iter().cloned().map(UserKey::Subject).collect();
        for key in name.into_iter().chain(addresses) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys
    }

    /// The resource as a response has it.
    pub(super) fn render(&self, id: &str, location: &str, created: &str, changed: &str) -> Value {
        let Profile { display_name, formatted, given_name, family_name, emails } = &self.profile;
        let mut resource = json!({
            "schemas": [USER_SCHEMA], "id": id, "userName": self.user_name, "active": self.active,
            "meta": {"resourceType": "User", "location": location, "created": created, "lastModified": changed},
        });
        let name = json!({"formatted": formatted, "givenName": given_name, "familyName": family_name});
        let name: Map<_, _> = name.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()).map(owned).collect();
        let optional = [
            ("externalId", json!(self.external_id)),
            ("displayName", json!(display_name)),
            ("name", if name.is_empty() { Value::Null } else { Value::Object(name) }),
            ("emails", if emails.is_empty() { Value::Null } else { json!(emails) }),
        ];
        if let Some(members) = resource.as_object_mut() {
            members
                .extend(optional.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.to_owned(), value)));
        }
        resource
    }
}

fn owned((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

/// A member by its name in any case (RFC 7643 section 2.1).
pub(super) fn member<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    members.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// A path in lower case, without the schema that it may begin with.
fn attribute(path: &str) -> String {
    let path = path.trim().to_ascii_lowercase();
    let schema = format!("{}:", USER_SCHEMA.to_ascii_lowercase());
    path.strip_prefix(&schema).map(str::to_owned).unwrap_or(path)
}

/// The type of the address that a path selects: `emails[type eq "work"].value`.
fn email_kind(path: &str) -> Option<&str> {
    let kind = path.strip_prefix("emails[type eq \"")?;
    let kind = kind.strip_suffix("\"].value").or_else(|| kind.strip_suffix("\"]"))?;
    kind.bytes().all(|byte| byte.is_ascii_alphanumeric()).then_some(kind)
}

fn text(name: &'static str, value: &Value) -> Result<String, ScimError> {
    match value.as_str().map(str::trim) {
        Some(text) if !text.is_empty() && text.len() <= MAX_TEXT && !text.contains(char::is_control) => Ok(text.to_owned()),
        Some(_) | None => Err(ScimError::Attribute(name)),
    }
}

fn optional(name: &'static str, value: &Value) -> Result<Option<String>, ScimError> {
    if value.is_null() || value == "" { Ok(None) } else { text(name, value).map(Some) }
}

/// Microsoft Entra ID sends `"False"`. What is neither is refused: to take it for `true` would let somebody in.
fn boolean(value: &Value) -> Result<bool, ScimError> {
    match value {
        Value::Bool(value) => Ok(*value),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        Value::String(_) | Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            Err(ScimError::Attribute("active"))
        }
    }
}

fn emails(value: &Value) -> Result<Vec<Email>, ScimError> {
    let all = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Array(all) if all.len() <= MAX_EMAILS => all,
        Value::Array(_) | Value::Object(_) | Value::String(_) | Value::Bool(_) | Value::Number(_) => {
            return Err(ScimError::Attribute("emails"));
        }
    };
    let read = |email: &Value| {
        let Value::Object(members) = email else { return Err(ScimError::Attribute("emails")) };
        let address = member(members, "value").ok_or(ScimError::Attribute("emails"))?;
        let kind = member(members, "type").map(|kind| optional("emails", kind)).transpose()?.flatten();
        let primary = member(members, "primary").map(boolean).transpose()?.unwrap_or_default();
        Ok(Email { value: text("emails", address)?, kind: kind.map(|kind| kind.to_ascii_lowercase()), primary })
    };
    all.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_read_as_okta_and_entra_write_it() {
        let okta = json!({
            "schemas": [USER_SCHEMA], "userName": "ann@example.com", "externalId": "00u1", "active": true, "locale": "en-US",
            "name": {"givenName": "Ann", "familyName": "Ash"}, "displayName": "Ann Ash", "groups": [], "password": "secret",
            "emails": [{"primary": true, "value": "Ann@Example.com", "type": "work"}],
        });
        let user = User::read(&okta, true).unwrap();
        assert_eq!(
            user.keys(),
            [UserKey::Subject("00u1".into()), UserKey::username("ann@example.com"), UserKey::email("ann@example.com")]
        );
        let rendered = user.render("1", "https://x/1", "c", "m");
        assert_eq!((&rendered["emails"][0]["value"], &rendered["name"]["givenName"]), (&json!("Ann@Example.com"), &json!("Ann")));
        assert!(!rendered.to_string().contains("secret"));
        assert_eq!(User::read(&rendered, false).unwrap(), user, "it is read as it was written");
        let entra = json!({"userName": "ann@example.com", "active": "False", "emails": null, "externalId": ""});
        assert!(!User::read(&entra, true).unwrap().active);
        for odd in [
            json!({}),
            json!([]),
            json!({"userName": ""}),
            json!({"userName": ["a"]}),
            json!({"userName": "a", "active": "no"}),
            json!({"userName": "a", "active": null}),
            json!({"userName": "a", "active": 0}),
            json!({"userName": "a", "emails": "a@example.com"}),
            json!({"userName": "a", "emails": [{}]}),
            json!({"userName": "a".repeat(321)}),
            json!({"userName": "a\u{0}"}),
        ] {
            assert!(User::read(&odd, true).is_err(), "{odd}");
        }
    }
}
