//! A JSON object whose members are read one by one: one that cannot be read spoils no other, and it remembers which were repeated.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Map, Value, value::RawValue};

/// A JSON object's members, and which of them nobody can be sure of.
#[derive(Clone, Debug, Default)]
pub struct JsonObject {
    /// The members by name; of a repeated one the last (RFC 7519 section 4). One that cannot be read is null.
    pub members: Map<String, Value>,
    /// The names of repeated members. Two readers may take different values, so a member that matters must not be among them.
    pub repeated: Vec<String>,
    /// The names of members that cannot be read: with half of a surrogate pair, bytes that are not UTF-8, or a number that is too large. A
    /// name that cannot be read itself is as it stands there, in quotes.
    pub unreadable: Vec<String>,
}

/// The members of an object as they stand there, in their order; of a name that cannot be read what stands there.
struct RawMembers<'a>(Vec<(Result<String, &'a str>, &'a RawValue)>);

impl JsonObject {
    /// The members that stand there once and can be read: of the others nobody knows what was meant.
    pub fn once(mut self) -> Map<String, Value> {
        for name in self.repeated.iter().chain(&self.unreadable) {
            self.members.remove(name);
        }
        self.members
    }

    /// Whether a member says something ([`has_member`]).
    pub fn has(&self, name: &str) -> bool {
        has_member(&self.members, name)
    }

    /// Whether one of these members is there of which nobody knows what was meant.
    pub fn is_unclear(&self, names: &[&str]) -> bool {
        self.repeated.iter().chain(&self.unreadable).any(|name| names.contains(&name.as_str()))
    }

    /// Parses an object; `None` for anything else.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = String::from_utf8_lossy(text);
        let all = raw_members(&text)?;
        // Where bytes were replaced, two texts that differed may look alike, as those of two users.
        let is_replaced = |raw: &str| matches!(text, Cow::Owned(_)) && raw.contains(char::REPLACEMENT_CHARACTER);
        let mut object = Self::default();
        for (name, raw) in all {
            let name = match name {
                Ok(name) => name,
                Err(unreadable) => {
                    object.unreadable.push(unreadable.to_owned());
                    continue;
                }
            };
            let value = Some(raw.get()).filter(|raw| !is_replaced(raw)).and_then(|raw| serde_json::from_str(raw).ok());
            if value.is_none() {
                object.unreadable.push(name.clone());
            }
            if object.members.insert(name.clone(), value.unwrap_or(Value::Null)).is_some() {
                object.repeated.push(name);
            }
        }
        Some(object)
    }

    /// The objects of a list that is a member of an object. `None`: it is no object, or that is no list.
    pub(super) fn parse_list(text: &[u8], member: &str) -> Option<Vec<Self>> {
        let text = String::from_utf8_lossy(text);
        let (_, raw) = raw_members(&text)?.into_iter().rfind(|(name, _)| name.as_deref() == Ok(member))?;
        let list: Vec<&RawValue> = serde_json::from_str(raw.get()).ok()?;
        Some(list.into_iter().filter_map(|raw| Self::parse(raw.get().as_bytes())).collect())
    }
}

/// The members of an object as they stand there, in their order; of a name that cannot be read what stands there. `None` for anything else.
pub fn raw_members(text: &str) -> Option<Vec<(Result<String, &str>, &RawValue)>> {
    let RawMembers(all) = serde_json::from_str(text).ok()?;
    Some(all)
}

/// Whether a member says something: one that is null or an empty text counts as absent (OpenID Connect Core section 5.3.2), as many servers
/// write what they do not have.
pub fn has_member(members: &Map<String, Value>, name: &str) -> bool {
    members.get(name).is_some_and(|value| !value.is_null() && value.as_str() != Some(""))
}

impl<'de: 'a, 'a> Deserialize<'de> for RawMembers<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = RawMembers<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawMembers<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<&'de RawValue, &'de RawValue>()? {
                    members.push((serde_json::from_str(name.get()).map_err(|_| name.get()), value));
                }
                Ok(RawMembers(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_cannot_be_read_spoils_nothing_else_and_is_named() {
        let cases: [(&[u8], &str); 7] = [
            (br#"{"sub": "ann", "name": "half \ud83d"}"#, "name"),
            (br#"{"sub": "ann", "\ud83d": 1}"#, r#""\ud83d""#),
            (b"{\"sub\": \"ann\", \"name\": \"Andr\xe9\"}", "name"),
            (br#"{"sub": "ann", "score": 1e400}"#, "score"),
            (br#"{"sub": "ann", "address": {"street": "\udc00"}}"#, "address"),
            (b"{\"sub\": \"ann\", \"groups\": [\"staff\", \"Andr\xe9\"]}", "groups"),
            (b"{\"sub\": \"ann\", \"m\xfcll\": 1}", "m\u{fffd}ll"),
        ];
        for (text, odd) in cases {
            let object = JsonObject::parse(text).unwrap();
            let is_read = odd.contains(char::REPLACEMENT_CHARACTER);
            assert_eq!(object.members.get("sub"), Some(&json!("ann")), "{odd}");
            assert_eq!((object.is_unclear(&[odd]), object.is_unclear(&["sub"])), (!is_read, false), "{odd}");
            assert_eq!(object.once().contains_key(odd), is_read, "{odd}");
        }
    }

    #[test]
    fn a_member_that_is_null_or_empty_says_nothing() {
        let object = JsonObject::parse(br#"{"a": null, "b": "", "c": 0, "d": false, "e": [], "f": " "}"#).unwrap();
        assert_eq!(
            ["a", "b", "c", "d", "e", "f", "g"].map(|name| object.has(name)),
            [false, false, true, true, true, true, false]
        );
    }

    #[test]
    fn a_name_is_read_as_its_escapes_say() {
        let object = JsonObject::parse(br#"{"\u0073ub": "ann", "sub": "bob"}"#).unwrap();
        assert_eq!((object.members["sub"].as_str(), object.repeated), (Some("bob"), vec!["sub".to_owned()]));
    }

    #[test]
    fn a_replacement_character_that_was_sent_is_text_like_any_other() {
        let object = JsonObject::parse("{\"sub\": \"a\u{fffd}\"}".as_bytes()).unwrap();
        assert_eq!((object.members["sub"].as_str(), object.is_unclear(&["sub"])), (Some("a\u{fffd}"), false));
    }

    #[test]
    fn a_member_that_stands_there_once_well_and_once_badly_is_unclear() {
        for text in [r#"{"sub": "ann", "sub": "\ud83d"}"#, r#"{"sub": "\ud83d", "sub": "ann"}"#] {
            let object = JsonObject::parse(text.as_bytes()).unwrap();
            assert_eq!((object.repeated.clone(), object.unreadable.clone()), (vec!["sub".to_owned()], vec!["sub".to_owned()]));
            assert!(object.once().is_empty(), "{text}");
        }
    }

    #[test]
    fn what_is_no_object_is_none() {
        for text in ["", "[]", "1", "\"a\"", "{", "{\"a\":}", "{\"a\":1} x", "null"] {
            assert!(JsonObject::parse(text.as_bytes()).is_none(), "{text}");
        }
    }
}
