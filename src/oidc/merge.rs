//! Merges the claims of the ID token and of user info.

use serde_json::Value;

use super::{ClaimMapping, Claims, claims::find};
use crate::jose::has_member;

const VERIFIED: &str = "email_verified";

/// The ID token's claims, overridden by user info's, which are newer. A claim that is null or empty counts as absent (OIDC Core
/// section 5.3.2), and so does a mapped claim of a type that it cannot have. The e-mail address and `email_verified` are taken
/// from the same document, because each document speaks only of its own address.
pub(super) fn merge(mut signed: Claims, userinfo: Claims, mapping: &ClaimMapping) -> Claims {
    let usable = |name: &str, value: &Value| {
        let is_name = [&mapping.email, &mapping.username, &mapping.name].into_iter().any(|field| field == name);
        let is_list = mapping.groups.as_deref() == Some(name) || mapping.roles.as_ref().is_some_and(|roles| roles.field == name);
        match value {
            Value::Null => false,
            Value::String(text) => !text.trim().is_empty(),
            Value::Array(_) => !is_name,
            Value::Bool(_) | Value::Number(_) | Value::Object(_) => !is_name && !is_list,
        }
    };
    signed.retain(|name, value| usable(name, value));
    let mut userinfo: Claims = userinfo.into_iter().filter(|(name, value)| usable(name, value)).collect();
    // A mapped claim may be a path, which is resolved in both documents.
    match (find(&signed, &mapping.email), find(&userinfo, &mapping.email)) {
        // The addresses are the same, and only the ID token tells whether it is verified.
        (Some(before), Some(newer)) if before == newer && !has_member(&userinfo, VERIFIED) => {}
        (_, Some(_)) => drop(signed.remove(VERIFIED)),
        (Some(_), None) => drop(userinfo.remove(VERIFIED)),
        (None, None) => {}
    }
    // Claims about the ID token itself.
    for name in ["iss", "aud", "azp", "exp", "iat", "nonce", "sid"] {
        userinfo.remove(name);
    }
    signed.extend(userinfo);
    signed
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn null_and_empty_are_absent_and_an_address_comes_with_what_vouches_for_it() {
        let mapping = ClaimMapping { groups: Some("groups".to_owned()), ..ClaimMapping::default() };
        let whole = json!({"email": "a@x", "email_verified": true, "groups": ["g"], "preferred_username": "ann"});
        let cases = [
            ("nothing more", json!({}), whole.clone()),
            ("null", json!({"email": null, "email_verified": null, "groups": null, "preferred_username": null}), whole.clone()),
            ("empty", json!({"email": "", "email_verified": "", "groups": "", "preferred_username": " "}), whole.clone()),
            ("odd types", json!({"email": 7, "groups": {"a": 1}, "preferred_username": ["x"]}), whole.clone()),
            (
                "no groups any more",
                json!({"groups": []}),
                json!({"email": "a@x", "email_verified": true, "groups": [], "preferred_username": "ann"}),
            ),
            (
                "another address that nobody vouches for",
                json!({"email": "b@y"}),
                json!({"email": "b@y", "groups": ["g"], "preferred_username": "ann"}),
            ),
            (
                "another address, verified",
                json!({"email": "b@y", "email_verified": true}),
                json!({"email": "b@y", "email_verified": true, "groups": ["g"], "preferred_username": "ann"}),
            ),
            (
                "the same address, which is not verified any more",
                json!({"email": "a@x", "email_verified": false}),
                json!({"email": "a@x", "email_verified": false, "groups": ["g"], "preferred_username": "ann"}),
            ),
            ("the same address, and nothing more of it", json!({"email": "a@x"}), whole.clone()),
            ("a word on an address that it does not have", json!({"email_verified": false}), whole.clone()),
        ];
        for (what, more, expected) in cases {
            let object = |value: &Value| value.as_object().unwrap().clone();
            assert_eq!(merge(object(&whole), object(&more), &mapping), object(&expected), "{what}");
        }
        let by_path = ClaimMapping { email: "profile.mail".to_owned(), ..ClaimMapping::default() };
        let (mine, theirs) =
            (json!({"email_verified": true, "profile": {"mail": "me@x"}}), json!({"profile": {"mail": "boss@x"}}));
        let merged = merge(mine.as_object().unwrap().clone(), theirs.as_object().unwrap().clone(), &by_path);
        assert_eq!(Value::Object(merged), theirs, "nobody vouches for the other address, wherever it stands");
        let unsure = json!({"email": "a@x", "email_verified": false});
        let vouched = json!({"email_verified": true});
        let merged = merge(unsure.as_object().unwrap().clone(), vouched.as_object().unwrap().clone(), &mapping);
        assert_eq!(Value::Object(merged), unsure, "user info vouches for an address of its own alone");
    }
}
