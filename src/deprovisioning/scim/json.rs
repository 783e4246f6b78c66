//! Reads a body: JSON, in which what decides about a user is said in one way. Of a repeated member two readers may take different values.

use std::{collections::HashMap, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

use super::{error::ScimError, text::boolean, user::attribute};

/// The value of a body.
pub(super) fn parse(body: &[u8]) -> Result<Value, ScimError> {
    let no_json = |_| ScimError::Syntax("the body is no JSON");
    let value = serde_json::from_slice(body).map_err(no_json)?;
    let written: Node = serde_json::from_slice(body).map_err(no_json)?;
    if written.is_ambiguous(Place::Resource) {
        return Err(ScimError::Syntax("a member stands there twice, with different values"));
    }
    Ok(value)
}

/// Where an object stands, by which its members decide about the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The body: a user, or a list of operations.
    Resource,
    /// An operation of a PATCH.
    Operation,
    /// The value of an operation, which is attributes or one attribute's value, or that of an attribute of which parts are read.
    Value,
}

impl Place {
    /// Whether a member decides, whose name is in lower case and without the schema.
    fn decides(self, name: &str) -> bool {
        match self {
            Self::Resource => matches!(base(name), "active" | "username" | "externalid" | "emails" | "operations"),
            Self::Operation => matches!(name, "op" | "path" | "value"),
            Self::Value => name == "value" || Self::Resource.decides(name),
        }
    }

    /// The place of the objects in a member. `None`: nothing in them decides, as in an extension or in `manager`.
    fn within(self, name: &str) -> Option<Self> {
        match (self, base(name)) {
            (Self::Resource, "operations") => Some(Self::Operation),
            (Self::Operation, "value") | (Self::Resource | Self::Value, "active" | "emails") => Some(Self::Value),
            (Self::Resource | Self::Operation | Self::Value, _) => None,
        }
    }
}

/// The attribute that a path begins with.
fn base(path: &str) -> &str {
    path.split(['[', '.', ' ']).next().unwrap_or_default()
}

/// JSON as it is written, with each member that is repeated.
enum Node {
    Object(Vec<(String, Node)>),
    List(Vec<Node>),
    Plain(Value),
}

impl Node {
    /// Whether a member that decides is repeated with another value.
    fn is_ambiguous(&self, place: Place) -> bool {
        match self {
            Self::Object(members) => are_ambiguous(members, place, &mut HashMap::new()),
            Self::List(all) => all.iter().any(|one| one.is_ambiguous(place)),
            Self::Plain(_) => false,
        }
    }

    fn to_value(&self) -> Value {
        match self {
            Self::Object(members) => members.iter().map(|(name, node)| (name.clone(), node.to_value())).collect(),
            Self::List(all) => all.iter().map(Self::to_value).collect(),
            Self::Plain(value) => value.clone(),
        }
    }
}

/// Whether members are ambiguous, by themselves or with those that were `found` before.
fn are_ambiguous<'a>(members: &'a [(String, Node)], place: Place, found: &mut HashMap<String, &'a Node>) -> bool {
    members.iter().any(|(name, node)| match (attribute(name), node) {
        // What stands below the name of the schema is read as if it stood here.
        (name, Node::Object(members)) if name.is_empty() => are_ambiguous(members, place, found),
        (name, node) => {
            place.within(&name).is_some_and(|place| node.is_ambiguous(place))
                || (place.decides(&name) && found.insert(name.clone(), node).is_some_and(|before| !is_same(&name, before, node)))
        }
    })
}

/// Whether a repeated member says the same.
fn is_same(name: &str, before: &Node, node: &Node) -> bool {
    let (before, value) = (before.to_value(), node.to_value());
    let is_active = |value: &Value| boolean("active", value).ok();
    before == value || (name == "active" && is_active(&before).is_some() && is_active(&before) == is_active(&value))
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Nodes)
    }
}

struct Nodes;

impl<'de> Visitor<'de> for Nodes {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Node::Object(members))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Node, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = list.next_element()? {
            all.push(one);
        }
        Ok(Node::List(all))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Plain(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Plain(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Plain(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Plain(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Plain(value.into()))
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Plain(Value::Null))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_that_decides_has_one_value_in_any_case_and_wherever_it_is_read() {
        for body in [
            r#"{"active": false, "active": true}"#,
            r#"{"active": false, "Active": true}"#,
            r#"{"active": false, "active": null}"#,
            r#"{"active": false, "urn:ietf:params:scim:schemas:core:2.0:User:active": true}"#,
            r#"{"active": false, "urn:ietf:params:scim:schemas:core:2.0:User": {"active": true}}"#,
            r#"{"urn:ietf:params:scim:schemas:core:2.0:User": {"active": true, "active": false}}"#,
            r#"{"active": {"value": true, "value": false}}"#,
            r#"{"active": [{"value": true, "Value": false}]}"#,
            r#"{"userName": "ann", "userName": "bob"}"#,
            r#"{"externalId": "1", "externalid": "2"}"#,
            r#"{"emails": [{"value": "a@x"}], "emails": []}"#,
            r#"{"emails": [{"value": "a@x", "value": "b@x"}]}"#,
            r#"{"Operations": [], "operations": [{"op": "remove", "path": "emails"}]}"#,
            r#"{"Operations": [{"op": "add", "op": "remove", "path": "emails"}]}"#,
            r#"{"Operations": [{"op": "replace", "path": "active", "path": "title", "value": false}]}"#,
            r#"{"Operations": [{"op": "replace", "value": {"active": false, "active": true}}]}"#,
            r#"{"Operations": [{"op": "replace", "value": {"externalId": "1", "externalId": "2"}}]}"#,
            r#"{"Operations": [{"op": "replace", "path": "active", "value": {"value": false, "value": true}}]}"#,
            r#"{"Operations": [{"op": "replace", "path": "active", "value": false, "value": true}]}"#,
            r#"{"Operations": [{"op": "replace", "value":
                {"emails[type eq \"work\"].value": "a@x", "emails[type eq \"work\"].value": "b@x"}}]}"#,
            r#"{"active": "#,
            r#"{"active": false} {}"#,
        ] {
            assert!(parse(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn a_repetition_that_says_the_same_or_decides_nothing_is_taken() {
        for body in [
            r#"{"active": false, "userName": "ann", "displayName": "a", "displayName": "b"}"#,
            r#"{"active": false, "active": false, "Active": "False"}"#,
            r#"{"active": false, "urn:ietf:params:scim:schemas:core:2.0:User": {"active": false}}"#,
            r#"{"emails": [{"value": "a@x", "type": "work"}], "Emails": [{"type": "work", "value": "a@x"}]}"#,
            r#"{"externalId": "1", "externalId": "1"}"#,
            r#"{"active": false, "manager": {"value": "1", "value": "2", "active": true, "active": false}}"#,
            r#"{"active": false, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User":
                {"manager": {"value": "1", "value": "2"}, "userName": "a", "userName": "b"}}"#,
            r#"{"phoneNumbers": [{"value": "1", "value": "2"}], "op": 1, "op": 2}"#,
            r#"{"Operations": [{"op": "replace", "op": "replace", "path": "active", "value": false, "value": false}]}"#,
            r#"{"Operations": [{"op": "add", "path": "a", "value": 1}, {"op": "add", "path": "b", "value": [1.5, null, -1, "x"]}]}"#,
            r#"{"Operations": [{"op": "replace", "value": {"manager": {"value": "1", "value": "2"}, "active": false}}]}"#,
        ] {
            assert!(parse(body.as_bytes()).is_ok(), "{body}");
        }
    }
}
