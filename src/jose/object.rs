//! A JSON object whose members are read one by one.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Map, Value};

/// The members, and which of them stood there more than once.
#[derive(Clone, Debug, Default)]
pub struct Object {
    /// By name; of several with one name the last (RFC 7519 section 4).
    pub members: Map<String, Value>,
    /// Names that came more than once. Two readers may take different ones, so that what decides must not be among them.
    pub repeated: Vec<String>,
}

/// Reads one; `None` for anything else.
pub fn object(text: &[u8]) -> Option<Object> {
    serde_json::from_slice(text).ok()
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object, A::Error> {
                let mut object = Object::default();
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
