//! A SCIM user (RFC 7643 section 4.1): the attributes of which a directory finds its user again, and those by which a login is recognised.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    emails::{self, Email, EmailPath},
    error::ScimError,
    text::{boolean, is_unassigned, key, member, optional_key, shown},
};
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

/// How an attribute of a PATCH is changed, which makes a difference for lists alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Add,
    Replace,
}

/// What becomes of a request that has something which cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// It is refused.
    Strict,
    /// That is left as it was: the request deactivates the user, which no attribute besides may prevent.
    Tolerant,
}

impl User {
    /// Reads a user of a request, who was so `before`. A request that does not say whether the user is active leaves them as they were: to
    /// activate somebody takes a word.
    pub(super) fn read(resource: &Value, before: Option<&Self>) -> Result<Self, ScimError> {
        let Value::Object(members) = resource else { return Err(ScimError::Syntax("the body is no object")) };
        let named = || member(members, "userName").map(|value| key("userName", value)).transpose();
        let read = |user_name: Option<String>| {
            let mut user = Self {
                user_name: user_name.ok_or(ScimError::Value("userName is required"))?,
                external_id: None,
                active: before.is_none_or(|before| before.active),
                profile: Profile::default(),
            };
            user.set_all(Verb::Replace, members, Reading::Strict)?;
            Ok(user)
        };
        named().and_then(read).or_else(|error| {
            let mut user = match (before, named()) {
                (Some(before), _) => before.clone(),
                (None, Ok(Some(user_name))) => Self { user_name, external_id: None, active: true, profile: Profile::default() },
                (None, Ok(None) | Err(_)) => return Err(error),
            };
            user.deactivate(error, |user| user.set_all(Verb::Replace, members, Reading::Tolerant))
        })
    }

    /// The user after a change that leaves out what cannot be taken, if it deactivates them. Otherwise it is refused, with the `error`.
    pub(super) fn deactivate(
        &mut self,
        error: ScimError,
        change: impl FnOnce(&mut Self) -> Result<(), ScimError>,
    ) -> Result<Self, ScimError> {
        // So that the change has to say it.
        self.active = true;
        match change(self) {
            Ok(()) if !self.active => Ok(self.clone()),
            Ok(()) | Err(_) => Err(error),
        }
    }

    /// Changes attributes.
    pub(super) fn set_all(&mut self, verb: Verb, members: &Map<String, Value>, reading: Reading) -> Result<(), ScimError> {
        for (name, value) in members {
            match (self.set(verb, name, value, reading), reading) {
                (Ok(()), _) | (Err(_), Reading::Tolerant) => {}
                (Err(error), Reading::Strict) => return Err(error),
            }
        }
        Ok(())
    }

    /// Changes an attribute, whose name may be any path of a PATCH. What is not kept is left alone: clients send whatever their
    /// administrators have mapped. But of what could mean `active` nothing is dropped: its client would believe the user gone.
    pub(super) fn set(&mut self, verb: Verb, path: &str, value: &Value, reading: Reading) -> Result<(), ScimError> {
        let (profile, emails) = (&mut self.profile, emails::list);
        match (attribute(path).as_str(), verb) {
            // The user as a whole, also by the name of the schema (RFC 7644 section 3.5.2, RFC 7643 section 3.3).
            ("", _) => match value {
                Value::Object(members) => self.set_all(verb, members, reading)?,
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                    return Err(ScimError::NoTarget);
                }
            },
            ("username", _) => self.user_name = key("userName", value)?,
            ("externalid", _) => self.external_id = optional_key("externalId", value)?,
            ("active", _) => self.active = boolean("active", value)?,
            ("displayname", _) => profile.display_name = shown(value),
            ("name", _) if is_unassigned(value) => profile.unname(),
            ("name", _) => {
                let Value::Object(members) = value else { return Err(ScimError::Value("name is no object")) };
                for (name, value) in members {
                    self.set(verb, &format!("name.{name}"), value, reading)?;
                }
            }
            ("name.formatted", _) => profile.formatted = shown(value),
            ("name.givenname", _) => profile.given_name = shown(value),
            ("name.familyname", _) => profile.family_name = shown(value),
            ("emails", Verb::Replace) => profile.emails = emails(value)?,
            ("emails", Verb::Add) => emails::add(&mut profile.emails, emails(value)?)?,
            (other, _) if could_mean_active(other) => return Err(ScimError::Path),
            (other, _) => {
                if let Some(path) = EmailPath::parse(other) {
                    path?.set(&mut profile.emails, value)?;
                }
            }
        }
        Ok(())
    }

    /// Removes an attribute (RFC 7644 section 3.5.2.2). Of the addresses, those alone that a `value` lists: the section knows no such list,
    /// and clients that send one mean no others.
    pub(super) fn remove(&mut self, path: &str, value: Option<&Value>) -> Result<(), ScimError> {
        match (attribute(path).as_str(), value.filter(|value| !is_unassigned(value))) {
            ("emails", Some(listed)) => emails::remove_listed(&mut self.profile.emails, listed)?,
            (other, _) => self.remove_whole(other)?,
        }
        Ok(())
    }

    fn remove_whole(&mut self, attribute: &str) -> Result<(), ScimError> {
        match attribute {
            "username" | "active" => return Err(ScimError::Value("userName and active cannot be removed")),
            "name" => self.profile.unname(),
            other => match EmailPath::parse(other) {
                Some(path) => path?.remove(&mut self.profile.emails),
                None => self.set(Verb::Replace, other, &Value::Null, Reading::Strict)?,
            },
        }
        Ok(())
    }

    /// By what a login is recognised as this user's: the name, which is the login's own name or address at most providers, the
    /// addresses, and the provider's identifier, which Okta sends as `externalId`.
    pub(super) fn keys(&self) -> Vec<UserKey> {
        let addresses = self.profile.emails.iter().flat_map(|email| UserKey::of_email(&email.value));
        let name = UserKey::of_username(&self.user_name).chain(UserKey::of_email(&self.user_name));
        let mut keys: Vec<_> = self.external_id.iter().cloned().map(UserKey::Subject).collect();
        for key in name.chain(addresses) {
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        keys
    }

    /// Those that no other user has: of the user name, and of the provider's identifier.
    pub(super) fn own_keys(&self) -> [Vec<UserKey>; 2] {
        let identifier = self.external_id.iter().cloned().map(UserKey::Subject);
        [UserKey::of_username(&self.user_name).collect(), identifier.collect()]
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

/// A path in lower case, without the schema that it may begin with.
pub(super) fn attribute(path: &str) -> String {
    let path = path.trim().to_ascii_lowercase();
    let after_schema = path.strip_prefix(&USER_SCHEMA.to_ascii_lowercase());
    let attribute = after_schema.and_then(|rest| rest.strip_prefix(':').or_else(|| rest.is_empty().then_some("")));
    attribute.map(str::to_owned).unwrap_or(path)
}

/// Whether an attribute that is none could be meant for `active`: with a part or a filter, which it does not have, or behind a separator
/// that is none.
fn could_mean_active(attribute: &str) -> bool {
    let schema = USER_SCHEMA.to_ascii_lowercase();
    let name = attribute.strip_prefix(&schema).unwrap_or(attribute).trim_start_matches(['.', ':', '/', '$', ' ']);
    name.strip_prefix("active").is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '-')))
}

impl Profile {
    fn unname(&mut self) {
        (self.formatted, self.given_name, self.family_name) = (None, None, None);
    }
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
        let user = User::read(&okta, None).unwrap();
        assert_eq!(
            user.keys(),
            [UserKey::Subject("00u1".into()), UserKey::username("ann@example.com"), UserKey::email("ann@example.com")]
        );
        let rendered = user.render("1", "https://x/1", "c", "m");
        assert_eq!((&rendered["emails"][0]["value"], &rendered["name"]["givenName"]), (&json!("Ann@Example.com"), &json!("Ann")));
        assert!(!rendered.to_string().contains("secret"));
        assert_eq!(User::read(&rendered, Some(&user)).unwrap(), user, "it is read as it was written");
        let entra = json!({"userName": "ann@example.com", "active": "False", "emails": null, "externalId": ""});
        assert!(!User::read(&entra, None).unwrap().active);
        for odd in [
            json!({}),
            json!([]),
            json!({"userName": ""}),
            json!({"userName": ["a"]}),
            json!({"userName": "a", "active": "no"}),
            json!({"userName": "a", "active": null}),
            json!({"userName": "a", "active": 0}),
            json!({"userName": "a", "emails": "a@example.com"}),
            json!({"userName": "a", "emails": ["a@example.com"]}),
            json!({"userName": "a", "emails": [{"value": 1}]}),
            json!({"userName": "a", "externalId": "a\tb"}),
            json!({"userName": "a", "name": "Ann"}),
            json!({"userName": "a".repeat(321)}),
            json!({"userName": "a\u{0}"}),
        ] {
            assert!(User::read(&odd, None).is_err(), "{odd}");
        }
    }

    #[test]
    fn what_deactivates_a_user_is_not_refused_for_what_is_written_besides() {
        let before =
            User::read(&json!({"userName": "ann", "externalId": "00u1", "emails": [{"value": "a@x.example"}]}), None).unwrap();
        for besides in [
            json!({"name": null}),
            json!({"name": "Ann"}),
            json!({"emails": [{"value": ""}]}),
            json!({"emails": null}),
            json!({"emails": "a@x.example"}),
            json!({"emails": (0..17).map(|at| json!({"value": format!("{at}@x")})).collect::<Vec<_>>()}),
            json!({"userName": null}),
            json!({"userName": "a".repeat(321)}),
            json!({"externalId": "a\tb"}),
            json!({"displayName": "漢".repeat(2000)}),
            json!({"name": {"familyName": "A\tsh", "givenName": 5}}),
        ] {
            let mut resource = besides.clone();
            let members = resource.as_object_mut().unwrap();
            members.insert("active".into(), json!("False"));
            members.entry("userName").or_insert(json!("ann"));
            let user = User::read(&resource, Some(&before)).unwrap();
            assert_eq!((user.active, user.user_name.as_str()), (false, "ann"), "{besides}");
        }
        let nameless = json!({"active": false});
        assert!(!User::read(&nameless, Some(&before)).unwrap().active);
        assert!(User::read(&nameless, None).is_err(), "nobody is named");
        let again = User { active: false, ..before };
        assert!(User::read(&json!({"userName": "", "displayName": "Ann"}), Some(&again)).is_err(), "it does not say so");
    }

    #[test]
    fn as_much_of_a_text_is_kept_as_can_be() {
        let user = json!({"userName": "漢".repeat(320), "displayName": "A\tB\n", "name": {"formatted": "字".repeat(400)}});
        let user = User::read(&user, None).unwrap();
        assert_eq!(user.profile.display_name.as_deref(), Some("A B"));
        assert_eq!(user.profile.formatted.map(|text| text.chars().count()), Some(320));
    }
}
