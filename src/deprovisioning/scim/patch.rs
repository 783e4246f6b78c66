//! PATCH (RFC 7644 section 3.5.2), also as Microsoft Entra ID writes it: operations in any case, values without a path whose members may
//! be paths, truth values as texts.

use serde_json::Value;

use super::{
    error::ScimError,
    text::member,
    user::{Reading, User, Verb},
};

/// The most operations of a request, unless it deactivates the user.
const MAX_OPERATIONS: usize = 100;

/// The user after all operations of a request. If one of them fails, none has an effect, unless the others deactivate the user.
pub(super) fn apply(user: &User, body: &Value) -> Result<User, ScimError> {
    let Value::Object(members) = body else { return Err(ScimError::Syntax("the body is no object")) };
    let operations = member(members, "Operations").and_then(Value::as_array);
    let operations = operations.ok_or(ScimError::Syntax("Operations is no list"))?;
    let mut patched = user.clone();
    let done = match operations.len() {
        0..=MAX_OPERATIONS => run(&mut patched, operations, Reading::Strict),
        _ => Err(ScimError::Syntax("Operations is too long")),
    };
    match done {
        Ok(()) => Ok(patched),
        Err(error) => user.clone().deactivate(error, |user| run(user, operations, Reading::Tolerant)),
    }
}

fn run(user: &mut User, operations: &[Value], reading: Reading) -> Result<(), ScimError> {
    for operation in operations {
        match (operate(user, operation, reading), reading) {
            (Ok(()), _) | (Err(_), Reading::Tolerant) => {}
            (Err(error), Reading::Strict) => return Err(error),
        }
    }
    Ok(())
}

fn operate(user: &mut User, operation: &Value, reading: Reading) -> Result<(), ScimError> {
    let Value::Object(operation) = operation else { return Err(ScimError::Syntax("an operation is no object")) };
    let name = member(operation, "op").and_then(Value::as_str).unwrap_or_default();
    let path = match member(operation, "path") {
        None | Some(Value::Null) => None,
        Some(Value::String(path)) => Some(path.as_str()),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            return Err(ScimError::Syntax("path is no text"));
        }
    };
    let verb = match name.to_ascii_lowercase().as_str() {
        "add" => Verb::Add,
        "replace" => Verb::Replace,
        "remove" => return user.remove(path.ok_or(ScimError::NoTarget)?, member(operation, "value")),
        _ => return Err(ScimError::Syntax("op is none of add, replace and remove")),
    };
    match (path, member(operation, "value")) {
        (Some(path), Some(value)) => user.set(verb, path, value, reading),
        (None, Some(Value::Object(attributes))) => user.set_all(verb, attributes, reading),
        (_, _) => Err(ScimError::Syntax("an operation has no value")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::user::USER_SCHEMA, *};

    fn ann() -> User {
        User::read(&json!({"userName": "ann", "displayName": "Ann", "emails": [{"value": "a@x.example", "type": "work"}]}), None)
            .unwrap()
    }

    #[test]
    fn a_user_is_deactivated_in_each_way_in_which_directories_do_it() {
        for operation in [
            json!({"op": "replace", "path": "active", "value": false}),
            json!({"op": "replace", "value": {"active": false}}),
            json!({"op": "Replace", "path": "active", "value": "False"}),
            json!({"op": "Add", "path": "active", "value": "false"}),
            json!({"op": "replace", "value": {"Active": "False"}}),
            json!({"op": "replace", "path": "urn:ietf:params:scim:schemas:core:2.0:User:active", "value": false}),
            json!({"op": "replace", "path": null, "value": {"active": false, "unknown": {"a": 1}}}),
            json!({"op": "replace", "path": "", "value": {"active": false}}),
            json!({"op": "add", "path": USER_SCHEMA, "value": {"active": "False"}}),
            json!({"op": "replace", "value": {USER_SCHEMA: {"active": false}}}),
            json!({"op": "replace", "path": USER_SCHEMA, "value": {"active": false, "name": "no object", "emails": 5}}),
            json!({"op": "replace", "path": "active", "value": [false]}),
            json!({"op": "Replace", "path": "active", "value": [{"$ref": null, "value": "False"}]}),
            json!({"op": "replace", "path": "active", "value": {"active": false}}),
            json!({"op": "replace", "value": {"active": {"value": "false"}}}),
            json!({"op": "replace", "path": "active", "value": " False "}),
            json!({"op": "replace", "path": "active", "value": {"value": "False", "active": false}}),
        ] {
            assert!(!apply(&ann(), &json!({"Operations": [operation]})).unwrap().active, "{operation}");
        }
    }

    #[test]
    fn attributes_change_by_paths_and_what_is_not_kept_is_left_alone() {
        let patched = apply(
            &ann(),
            &json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "operations": [
                {"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "b@x.example"},
                {"op": "Add", "path": "emails[type eq \"home\"].value", "value": "c@x.example"},
                {"op": "replace", "value": {"name.givenName": "Ann", "userName": "anna"}},
                {"op": "Add", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", "value": "x"},
                {"op": "Add", "path": "addresses[type eq \"work\"].country", "value": "x"},
                {"op": "Add", "path": "activeDirectoryId", "value": "x"},
                {"op": "Remove", "path": "displayName"},
            ]}),
        )
        .unwrap();
        let addresses: Vec<_> = patched.profile.emails.iter().map(|email| email.value.as_str()).collect();
        assert_eq!((patched.user_name.as_str(), addresses), ("anna", vec!["b@x.example", "c@x.example"]));
        assert_eq!((patched.profile.given_name.as_deref(), patched.profile.display_name), (Some("Ann"), None));
        assert!(patched.active);
    }

    #[test]
    fn a_user_is_deactivated_whatever_is_written_besides() {
        let active = json!({"op": "replace", "path": "active", "value": false});
        for besides in [
            json!({"op": "replace", "path": "name", "value": null}),
            json!({"op": "replace", "path": "emails[type eq \"work\"]", "value": {"value": "b@x.example"}}),
            json!({"op": "replace", "path": "emails[type sw \"w\"]", "value": "b@x.example"}),
            json!({"op": "replace", "path": "userName", "value": ""}),
            json!({"op": "remove", "path": "active"}),
            json!({"op": "move", "path": "title"}),
            json!({"op": "replace", "path": "active.value", "value": true}),
            json!({"op": "replace", "path": "", "value": [{"active": true}]}),
            json!("x"),
        ] {
            for operations in [[&besides, &active], [&active, &besides]] {
                assert!(!apply(&ann(), &json!({"Operations": operations})).unwrap().active, "{besides}");
            }
        }
        let at_once = json!({"op": "replace", "value": {"userName": null, "active": "False", "displayName": "A\tB"}});
        assert!(!apply(&ann(), &json!({"Operations": [at_once]})).unwrap().active);
        let mut many = vec![json!({"op": "add", "path": "nickName", "value": "x"}); 101];
        assert!(apply(&ann(), &json!({"Operations": many})).is_err());
        many.push(active.clone());
        assert!(!apply(&ann(), &json!({"Operations": many})).unwrap().active);
        let and_back = json!([{"op": "move"}, active, {"op": "replace", "path": "active", "value": true}]);
        assert!(apply(&ann(), &json!({"Operations": and_back})).is_err());
    }

    #[test]
    fn addresses_are_added_to_those_that_there_are() {
        for operation in [
            json!({"op": "add", "path": "emails", "value": [{"value": "b@x.example"}]}),
            json!({"op": "Add", "value": {"emails": {"value": "b@x.example"}}}),
        ] {
            let patched = apply(&ann(), &json!({"Operations": [operation]})).unwrap();
            assert_eq!(patched.profile.emails.len(), 2, "{operation}");
        }
        let replaced = json!({"op": "replace", "path": "emails", "value": [{"value": "b@x.example"}]});
        assert_eq!(apply(&ann(), &json!({"Operations": [replaced]})).unwrap().profile.emails.len(), 1);
    }

    #[test]
    fn addresses_that_are_listed_are_removed_and_the_others_are_left() {
        let both = json!({"op": "add", "path": "emails", "value": [{"value": "b@x.example"}]});
        for (operation, left) in [
            (json!({"op": "Remove", "path": "emails", "value": [{"value": "A@x.example"}]}), vec!["b@x.example"]),
            (json!({"op": "remove", "path": format!("{USER_SCHEMA}:emails"), "value": "b@x.example"}), vec!["a@x.example"]),
            (json!({"op": "remove", "path": "emails", "value": [{"value": "a@x.example"}, "b@x.example"]}), vec![]),
            (json!({"op": "remove", "path": "emails", "value": null}), vec![]),
            (json!({"op": "remove", "path": "emails"}), vec![]),
            (json!({"op": "remove", "path": "displayName", "value": "Ann"}), vec!["a@x.example", "b@x.example"]),
        ] {
            let patched = apply(&ann(), &json!({"Operations": [both, operation]})).unwrap();
            let addresses: Vec<_> = patched.profile.emails.iter().map(|email| email.value.as_str()).collect();
            assert_eq!(addresses, left, "{operation}");
        }
    }

    #[test]
    fn an_operation_that_cannot_be_done_is_refused() {
        for body in [
            json!({}),
            json!({"Operations": {}}),
            json!({"Operations": [{}]}),
            json!({"Operations": ["replace"]}),
            json!({"Operations": [{"op": "move", "path": "active", "value": false}]}),
            json!({"Operations": [{"op": "replace", "path": "active"}]}),
            json!({"Operations": [{"op": "replace", "path": "active", "value": "maybe"}]}),
            json!({"Operations": [{"op": "replace", "path": "active", "value": [false, false]}]}),
            json!({"Operations": [{"op": "replace", "path": "active", "value": [[false]]}]}),
            json!({"Operations": [{"op": "replace", "path": "active", "value": {"status": false}}]}),
            json!({"Operations": [{"op": "replace", "path": "active", "value": {"value": true, "active": false}}]}),
            json!({"Operations": [{"op": "replace", "value": {"active": {"value": false, "active": true}}}]}),
            json!({"Operations": [{"op": "replace", "value": "x"}]}),
            json!({"Operations": [{"op": "replace", "path": ["active"], "value": false}]}),
            json!({"Operations": [{"op": "remove"}]}),
            json!({"Operations": [{"op": "remove", "path": "emails", "value": [{"type": "work"}]}]}),
            json!({"Operations": [{"op": "remove", "path": "emails.value"}]}),
            json!({"Operations": [{"op": "add", "path": "emails[type sw \"w\"].value", "value": "b@x.example"}]}),
            json!({"Operations": [{"op": "replace", "path": "active.value", "value": false}]}),
            json!({"Operations": [{"op": "replace", "path": "active[value eq true]", "value": false}]}),
            json!({"Operations": [{"op": "replace", "path": "active[", "value": false}]}),
            json!({"Operations": [{"op": "replace", "path": "/active", "value": false}]}),
            json!({"Operations": [{"op": "replace", "path": format!("{USER_SCHEMA}.active"), "value": false}]}),
            json!({"Operations": [{"op": "replace", "value": {"active.value": false}}]}),
            json!({"Operations": [{"op": "replace", "path": "", "value": false}]}),
            json!({"Operations": [{"op": "replace", "path": USER_SCHEMA, "value": "active"}]}),
            json!({"Operations": [{"op": "remove", "path": USER_SCHEMA}]}),
            json!({"Operations": [{"op": "remove", "path": "active.value"}]}),
            json!({"Operations": [{"op": "remove", "path": "active"}]}),
            json!({"Operations": [{"op": "remove", "path": "userName"}]}),
            json!({"Operations": vec![json!({"op": "replace", "path": "active", "value": true}); 101]}),
        ] {
            assert!(apply(&ann(), &body).is_err(), "{body}");
        }
        assert_eq!(apply(&ann(), &json!({"Operations": []})).unwrap(), ann());
    }
}
