//! What a SCIM client gets.

use serde_json::Value;

/// What a SCIM client gets.
#[derive(Debug)]
pub enum ScimAnswer {
    /// A resource or a list.
    Found(Value),
    /// A new resource, and its URL.
    Created(Value, String),
    /// Nothing is left.
    Deleted,
}
