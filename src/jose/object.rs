//! A JSON object that remembers which members were repeated.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Map, Value};

/// A JSON object's members, and which of them were repeated.
#[derive(Clone, Debug, Default)]
pub struct JsonObject {
    /// The members by name; of a repeated one the last (RFC 7519 section 4).
    pub members: Map<String, Value>,
    /// The names of repeated members. Two readers may take different values, so a member that matters must not be among them.
    pub repeated: Vec<String>,
}

impl JsonObject {
    /// The members that stand there once: of the others nobody knows which was meant.
    pub fn once(mut self) -> Map<String, Value> {
        for name in &self.repeated {
            self.members.remove(name);
        }
        self.members
    }

    /// Parses an object; `None` for anything else.
    pub fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }
}

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = JsonObject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonObject, A::Error> {
                let mut object = JsonObject::default();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if object.members.insert(name.clone(), value).is_some() {
                        object.repeated.push(name);
                    }
                }
                Ok(object)
            }
        }
        deserializer.deserialize_map(Members)
    }
}
