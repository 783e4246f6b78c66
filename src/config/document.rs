//! Documents of other programs, read as texts, lists and maps.

use figment::{
    Figment, Provider,
    providers::{Format, Toml},
    value::Value,
};

pub use super::yaml::Node;
use super::{file::position, yaml::parse};

/// Reads TOML. Numbers, true and false become texts.
///
/// # Errors
/// Where it cannot be read. The text is not repeated, because it may hold a secret.
pub fn toml(text: &str) -> Result<Node, String> {
    let data = Figment::new().merge(Toml::string(text)).data();
    let data = data.map_err(|error| format!("is not valid TOML ({})", position(&error)))?;
    Ok(Node::Map(data.into_values().flatten().map(|(name, value)| (name, node(&value))).collect()))
}

/// Reads YAML of one document.
///
/// # Errors
/// Where it cannot be read, without its text.
pub fn yaml(text: &str) -> Result<Node, String> {
    parse(text)
        .map_err(|at| format!("is not YAML that Evergate reads, which is one document without anchors, aliases and tags ({at})"))
}

fn node(value: &Value) -> Node {
    match value {
        Value::String(_, text) => Node::Text(text.clone()),
        Value::Char(_, character) => Node::Text(character.to_string()),
        Value::Bool(_, value) => Node::Text(value.to_string()),
        Value::Num(_, number) => {
            let whole = number.to_i128().map(|number| number.to_string());
            Node::Text(whole.or_else(|| number.to_f64().map(|number| number.to_string())).unwrap_or_default())
        }
        Value::Empty(_, _) => Node::Null,
        Value::Array(_, members) => Node::List(members.iter().map(node).collect()),
        Value::Dict(_, members) => Node::Map(members.iter().map(|(name, member)| (name.clone(), node(member))).collect()),
    }
}
