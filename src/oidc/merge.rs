//! One set of claims out of the ID token's and user info's.

use serde_json::Value;

use super::{Claims, Mapping, claims::find};

const VERIFIED: &str = "email_verified";

/// The ID token's claims, and over them user info's, which are newer. A claim that is null or empty is absent (OIDC Core section
/// 5.3.2), and so is a mapped one of a type that it cannot have. The e-mail address and what vouches for it come from one
/// document: one that vouches for its own address says nothing of another's.
pub(super) fn merge(mut signed: Claims, more: Claims, mapping: &Mapping) -> Claims {
    let usable = |name: &str, value: &Value| {
        let is_name = name == mapping.email || name == mapping.username;
        let is_list = mapping.groups.as_deref() == Some(name);
        match value {
            Value::Null => false,
            Value::String(text) => !text.trim().is_empty(),
            Value::Array(_) => !is_name,
            Value::Bool(_) | Value::Number(_) | Value::Object(_) => !is_name && !is_list,
        }
    };
    signed.retain(|name, value| usable(name, value));
    let mut more: Claims = more.into_iter().filter(|(name, value)| usable(name, value)).collect();
    // A field may be a path, which leads to the same place in both or to none.
    match (find(&signed, &mapping.email), find(&more, &mapping.email)) {
        // The same address, and only the ID token says whether it is verified.
        (Some(before), Some(newer)) if before == newer && !more.contains_key(VERIFIED) => {}
        (_, Some(_)) => drop(signed.remove(VERIFIED)),
        (Some(_), None) => drop(more.remove(VERIFIED)),
        (None, None) => {}
    }
    // What only the ID token can say.
    for name in ["iss", "aud", "azp", "exp", "iat", "nonce", "sid"] {
        more.remove(name);
    }
    signed.extend(more);
    signed
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn null_and_empty_are_absent_and_an_address_comes_with_what_vouches_for_it() {
        let mapping = Mapping { groups: Some("groups".to_owned()), ..Mapping::default() };
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
        let by_path = Mapping { email: "profile.mail".to_owned(), ..Mapping::default() };
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
