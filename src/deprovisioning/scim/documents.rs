//! What a SCIM client is told of the server (RFC 7644 section 4): what it can do, and which attributes it keeps.

use serde_json::{Value, json};

use super::user::USER_SCHEMA;

const CONFIG_SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";
const TYPE_SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
const SCHEMA_SCHEMA: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";

/// `ServiceProviderConfig`.
pub(super) fn service_provider_config(base: &str, most: i64) -> Value {
    let unsupported = json!({"supported": false});
    json!({
        "schemas": [CONFIG_SCHEMA], "patch": {"supported": true}, "filter": {"supported": true, "maxResults": most},
        "bulk": {"supported": false, "maxOperations": 0, "maxPayloadSize": 0},
        "changePassword": unsupported, "sort": unsupported, "etag": unsupported,
        "authenticationSchemes": [{
            "type": "oauthbearertoken", "name": "Bearer token", "primary": true,
            "description": "The secret of CODER_SCIM_AUTH_HEADER, as Authorization: Bearer",
        }],
        "meta": {"resourceType": "ServiceProviderConfig", "location": format!("{base}/ServiceProviderConfig")},
    })
}

/// The resource type of users, which is the only one.
pub(super) fn user_type(base: &str) -> Value {
    json!({
        "schemas": [TYPE_SCHEMA], "id": "User", "name": "User", "endpoint": "/Users", "schema": USER_SCHEMA,
        "description": "A user whose logins are let in while they are active",
        "meta": {"resourceType": "ResourceType", "location": format!("{base}/ResourceTypes/User")},
    })
}

/// The schema of users, as far as it is kept.
pub(super) fn user_schema(base: &str) -> Value {
    let attribute = |name: &str, kind: &str, required: bool, unique: bool| {
        json!({
            "name": name, "type": kind, "multiValued": false, "required": required, "caseExact": false, "mutability": "readWrite",
            "returned": "default", "uniqueness": if unique { "server" } else { "none" },
        })
    };
    let text = |name: &str| attribute(name, "string", false, false);
    let complex = |name: &str, multiple: bool, parts: Value| {
        json!({
            "name": name, "type": "complex", "multiValued": multiple, "required": false, "mutability": "readWrite",
            "returned": "default", "subAttributes": parts,
        })
    };
    json!({
        "schemas": [SCHEMA_SCHEMA], "id": USER_SCHEMA, "name": "User", "description": "User",
        "attributes": [
            attribute("userName", "string", true, true), text("displayName"), attribute("active", "boolean", false, false),
            complex("name", false, json!([text("formatted"), text("givenName"), text("familyName")])),
            complex("emails", true, json!([text("value"), text("type"), attribute("primary", "boolean", false, false)])),
        ],
        "meta": {"resourceType": "Schema", "location": format!("{base}/Schemas/{USER_SCHEMA}")},
    })
}

/// A list of resources (RFC 7644 section 3.4.2).
pub(super) fn list(resources: &[Value], total: i64, start: i64) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"], "totalResults": total, "startIndex": start,
        "itemsPerPage": resources.len(), "Resources": resources,
    })
}
