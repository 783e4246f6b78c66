use serde_json::json;

use super::*;

fn identity(mapping: &ClaimMapping, claims: &Value) -> Result<Identity, ClaimsError> {
    mapping.identity(claims.as_object().unwrap())
}

#[test]
fn groups_that_are_left_out_are_not_known_and_are_not_none() {
    let mapping = ClaimMapping { groups: Some("groups".into()), ..ClaimMapping::default() };
    let is_unknown = |mapping: &ClaimMapping, more: Value| {
        let mut claims = json!({"sub": "1"});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        identity(mapping, &claims).unwrap().groups_unknown
    };
    let elsewhere = json!({"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://graph"}}});
    for (claims, expected) in [
        (elsewhere.clone(), true),
        (json!({"hasgroups": true}), true),
        (json!({"hasgroups": "true"}), true),
        (json!({"hasgroups": false}), false),
        (json!({"_claim_names": {"roles": "src1"}}), false),
        (json!({"_claim_names": {"groups": "src1"}, "groups": ["a"]}), false),
        (json!({"_claim_names": {"groups": "src1"}, "groups": []}), false),
        (json!({}), false),
    ] {
        assert_eq!(is_unknown(&mapping, claims.clone()), expected, "{claims}");
    }
    assert!(!is_unknown(&ClaimMapping::default(), elsewhere), "nobody asks for groups");
}

#[test]
fn claims_of_the_configured_names_become_the_identity() {
    let mapping = ClaimMapping {
        username: "nick".into(),
        name: "display".into(),
        email: "upn".into(),
        groups: Some("memberOf".into()),
        ignore_email_verified: true,
        ..ClaimMapping::default()
    };
    let claims = json!({"sub": "1", "nick": "ann", "display": "Ann A.", "upn": "a@x.example", "memberOf": ["a", "", 3, "b"], "email": "other"});
    let expected = Identity {
        subject: "1".into(),
        username: Some("ann".into()),
        name: Some("Ann A.".into()),
        email: Some("a@x.example".into()),
        groups: vec!["a".into(), "b".into()],
        ..Identity::default()
    };
    assert_eq!(identity(&mapping, &claims).unwrap(), expected);
}

#[test]
fn a_user_name_that_is_an_address_is_the_address_where_there_is_none_and_addresses_are_vouched_for() {
    let vouched = ClaimMapping { ignore_email_verified: true, ..ClaimMapping::default() };
    for (mapping, claims, expected) in [
        (&vouched, json!({"preferred_username": "ann@x.example"}), Some("ann@x.example")),
        (&vouched, json!({"preferred_username": "ann@x.example", "email_verified": false}), Some("ann@x.example")),
        (&vouched, json!({"preferred_username": "ann@x.example", "email": "a@y.example"}), Some("a@y.example")),
        (&vouched, json!({"preferred_username": "ann@x.example", "email": ""}), None),
        (&vouched, json!({"preferred_username": "ann@x.example", "email": null}), None),
        (&vouched, json!({"preferred_username": "ann"}), None),
        (&vouched, json!({"preferred_username": "@x.example"}), None),
        (&vouched, json!({"preferred_username": "a@b@x.example"}), None),
        (&vouched, json!({"preferred_username": "ann b@x.example"}), None),
        (&ClaimMapping::default(), json!({"preferred_username": "ann@x.example"}), None),
        (&ClaimMapping::default(), json!({"preferred_username": "ann@x.example", "email_verified": true}), None),
    ] {
        let mut claims = claims;
        claims["sub"] = json!("1");
        let read = identity(mapping, &claims).unwrap();
        assert_eq!((read.email.as_deref(), read.unverified_email), (expected, None), "{claims}");
    }
    let before = identity(&vouched, &json!({"sub": "1", "preferred_username": "ann@x.example", "email": "a@y.example"})).unwrap();
    let newer = json!({"sub": "1", "preferred_username": "ann@z.example"});
    assert_eq!(vouched.updated_by(&before, newer.as_object().unwrap()).email.as_deref(), Some("a@y.example"));
    let before = identity(&vouched, &json!({"sub": "1", "preferred_username": "ann@x.example"})).unwrap();
    assert_eq!(vouched.updated_by(&before, newer.as_object().unwrap()).email.as_deref(), Some("ann@z.example"));
}

#[test]
fn a_field_is_a_claim_s_whole_name_first_and_else_a_path_through_objects() {
    let claims = json!({
        "sub": "1", "email_verified": true,
        "realm_access": {"roles": ["a", "b"]},
        "resource_access": {"my.client": {"roles": ["c"]}},
        "https://x.example/groups": ["d"],
        "a.b": ["whole"], "a": {"b": ["path"]},
        "profile": {"nick": "ann", "mail": "ann@x.example"},
        "text": "none", "list": [{"roles": ["e"]}],
    });
    for (field, groups) in [
        ("realm_access.roles", &["a", "b"][..]),
        ("resource_access.my.client.roles", &["c"]),
        ("https://x.example/groups", &["d"]),
        ("a.b", &["whole"]),
        ("realm_access", &[]),
        ("realm_access.", &[]),
        (".roles", &[]),
        ("realm_access.roles.0", &[]),
        ("text.roles", &[]),
        ("list.roles", &[]),
        ("nothing.of.this", &[]),
    ] {
        let mapping = ClaimMapping { groups: Some(field.into()), ..ClaimMapping::default() };
        assert_eq!(identity(&mapping, &claims).unwrap().groups, groups, "{field}");
    }
    let mapping = ClaimMapping { username: "profile.nick".into(), email: "profile.mail".into(), ..ClaimMapping::default() };
    let read = identity(&mapping, &claims).unwrap();
    assert_eq!((read.username.as_deref(), read.email.as_deref()), (Some("ann"), Some("ann@x.example")));
}

#[test]
fn an_email_address_that_nobody_vouches_for_is_kept_apart() {
    let read = |mapping: &ClaimMapping, claims: Value| {
        let identity = identity(mapping, &claims).unwrap();
        (identity.email, identity.unverified_email)
    };
    let address = Some("a@x".to_owned());
    let mapping = ClaimMapping::default();
    for verified in [json!(true), json!("true"), json!("True")] {
        let claims = json!({"sub": "1", "email": "a@x", "email_verified": verified});
        assert_eq!(read(&mapping, claims), (address.clone(), None));
    }
    for verified in [json!(false), json!("false"), json!(null), json!(1), json!([true])] {
        let claims = json!({"sub": "1", "email": "a@x", "email_verified": verified});
        assert_eq!(read(&mapping, claims.clone()), (None, address.clone()));
        let ignoring = ClaimMapping { ignore_email_verified: true, ..ClaimMapping::default() };
        assert_eq!(read(&ignoring, claims), (address.clone(), None));
    }
    assert_eq!(read(&mapping, json!({"sub": "1", "email": "a@x"})), (None, address));
    assert_eq!(read(&mapping, json!({"sub": "1"})), (None, None));
}

#[test]
fn further_claims_are_kept_by_their_path_and_what_is_absent_is_known_to_be() {
    let mapping = ClaimMapping {
        further: ["department", "realm_access.roles", "https://x.example/tenant", "__proto__", "constructor.name"]
            .map(str::to_owned)
            .into(),
        ..ClaimMapping::default()
    };
    let claims = json!({
        "sub": "1", "department": "eng", "realm_access": {"roles": ["a"]}, "https://x.example/tenant": {"id": 5},
    });
    let read = identity(&mapping, &claims).unwrap().claims;
    assert_eq!(read.get("department"), Some(&json!("eng")));
    assert_eq!(read.get("realm_access.roles"), Some(&json!(["a"])));
    assert_eq!(read.get("https://x.example/tenant"), Some(&json!({"id": 5})));
    assert_eq!((read.get("__proto__"), read.get("constructor.name"), read.get("sub")), (None, None, None));
    assert!(!read.lacks_any(&mapping.further));
}

#[test]
fn a_claim_that_is_too_large_is_absent_and_told_of() {
    let mapping = ClaimMapping { further: vec!["huge".into(), "small".into()], ..ClaimMapping::default() };
    let claims = json!({"sub": "1", "huge": "x".repeat(10_000), "small": "x"});
    let read = identity(&mapping, &claims).unwrap().claims;
    assert_eq!((read.get("huge"), read.get("small")), (None, Some(&json!("x"))));
    assert_eq!(mapping.too_large(claims.as_object().unwrap()).collect::<Vec<_>>(), ["huge"]);
}

#[test]
fn a_claim_that_was_never_asked_for_is_added_and_what_is_known_stays() {
    let of = |paths: &[&str]| ClaimMapping {
        further: paths.iter().map(|path| (*path).to_owned()).collect(),
        ..ClaimMapping::default()
    };
    let before = identity(&of(&["a", "b", "c"]), &json!({"sub": "1", "a": 1, "c": 3})).unwrap();
    let newer = json!({"sub": "1", "a": "other", "b": "new", "d": 4});
    let after = of(&["a", "b", "d", "e"]).completed(&before, newer.as_object().unwrap()).claims;
    assert_eq!((after.get("a"), after.get("b"), after.get("d")), (Some(&json!(1)), None, Some(&json!(4))));
    assert_eq!(after.get("c"), Some(&json!(3)), "another replica's settings may name it");
    assert!(after.has_asked("e") && after.get("e").is_none());
    assert_eq!(of(&["a", "b", "c"]).completed(&before, newer.as_object().unwrap()), before);
}

#[test]
fn while_user_info_is_away_a_further_claim_is_taken_back_and_none_is_given() {
    let mapping =
        ClaimMapping { further: ["kind", "teams", "level", "site"].map(str::to_owned).into(), ..ClaimMapping::default() };
    let before = identity(&mapping, &json!({"sub": "1", "kind": "staff", "teams": ["a", "b"], "level": 3})).unwrap();
    let restricted = |claims: &Value| mapping.restricted_by(&before, claims.as_object().unwrap()).claims;
    let after = restricted(&json!({"sub": "1", "kind": "guest", "teams": ["b", "c"], "site": "x"}));
    assert_eq!((after.get("kind"), after.get("teams")), (None, Some(&json!(["b"]))));
    assert_eq!((after.get("level"), after.get("site")), (Some(&json!(3)), None));
    assert_eq!(restricted(&json!({"sub": "1", "kind": "staff"})), before.claims);
}

#[test]
fn user_info_without_an_id_token_changes_what_it_speaks_of_and_nothing_else() {
    let roles = Roles { field: "realm.roles".into(), mapping: [].into(), default: vec!["member".into()] };
    let mapping = ClaimMapping {
        groups: Some("groups".into()),
        roles: Some(roles),
        further: vec!["level".into(), "site".into()],
        ..ClaimMapping::default()
    };
    let whole = json!({
        "sub": "1", "email": "a@x", "email_verified": true, "preferred_username": "ann", "groups": ["staff", "admins"],
        "realm": {"roles": ["boss"]}, "level": 3,
    });
    let before = identity(&mapping, &whole).unwrap();
    let after = |more: &Value| {
        let mut claims = json!({"sub": "1"});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        mapping.updated_by(&before, claims.as_object().unwrap())
    };
    let address = |more: Value| {
        let identity = after(&more);
        (identity.email, identity.unverified_email)
    };
    assert_eq!(after(&json!({})), before, "what it lacks altogether is no withdrawal");
    assert_eq!(after(&json!({"groups": {"a": 1}})), before, "and neither is what it cannot mean");
    assert_eq!(after(&json!({"_claim_names": {"groups": "src1"}})).groups, before.groups);
    assert_eq!(after(&json!({"groups": []})).groups, [""; 0]);
    assert_eq!(after(&json!({"groups": ["staff", "owners"]})).groups, ["staff", "owners"]);
    assert_eq!(after(&json!({"preferred_username": "anne"})).username.as_deref(), Some("anne"));
    assert_eq!(after(&json!({"realm": {"roles": ["clerk"]}})).roles, ["clerk", "member"]);
    assert_eq!(after(&json!({"realm": {}})).roles, ["member"], "the object is there, and the list is not in it any more");
    assert_eq!(address(json!({"email": "a@x"})), (Some("a@x".into()), None), "the same address, and nothing more of it");
    assert_eq!(address(json!({"email": "a@x", "email_verified": false})), (None, Some("a@x".into())));
    assert_eq!(address(json!({"email": "b@y"})), (None, Some("b@y".into())), "nobody vouches for the other address");
    assert_eq!(address(json!({"email": "b@y", "email_verified": true})), (Some("b@y".into()), None));
    assert_eq!(address(json!({"email_verified": false})), (Some("a@x".into()), None), "of an address that it does not have");
    let further = after(&json!({"level": 4, "site": "x"})).claims;
    assert_eq!((further.get("level"), further.get("site")), (Some(&json!(4)), Some(&json!("x"))));
}

#[test]
fn odd_claims_are_absent_and_a_missing_subject_is_refused() {
    assert_eq!(identity(&ClaimMapping::default(), &json!({"sub": ""})), Err(ClaimsError::NoSubject));
    assert_eq!(identity(&ClaimMapping::default(), &json!({"sub": " "})), Err(ClaimsError::NoSubject));
    assert_eq!(identity(&ClaimMapping::default(), &json!({"sub": 7})), Err(ClaimsError::NoSubject));
    let verbatim = identity(&ClaimMapping::default(), &json!({"sub": "ann ", "preferred_username": " Ann"})).unwrap();
    assert_eq!((verbatim.subject.as_str(), verbatim.username.as_deref()), ("ann ", Some(" Ann")));
    assert_eq!(identity(&ClaimMapping::default(), &json!({"sub": "a\u{0}b"})), Err(ClaimsError::NoSubject));
    let hidden = identity(&ClaimMapping::default(), &json!({"sub": "1", "preferred_username": "a\u{1b}[2J"})).unwrap();
    assert_eq!(hidden.username, None);
    let odd = identity(&ClaimMapping::default(), &json!({"sub": "1", "preferred_username": {"a": 1}, "email": 9})).unwrap();
    assert_eq!((odd.username, odd.email), (None, None));
}

#[test]
fn while_user_info_is_away_the_id_token_takes_back_and_gives_nothing() {
    let mapping = ClaimMapping { groups: Some("groups".into()), ..ClaimMapping::default() };
    let before = Identity {
        subject: "1".into(),
        email: Some("a@x".into()),
        groups: vec!["staff".into(), "admins".into()],
        ..Identity::default()
    };
    let restricted_by = |claims: &Value| mapping.restricted_by(&before, claims.as_object().unwrap());
    assert_eq!(restricted_by(&json!({"groups": ["staff", "owners"]})).groups, ["staff"]);
    assert_eq!(restricted_by(&json!({"groups": "staff"})).groups, ["staff"], "of a list with one some providers make a text");
    let roles = Roles { field: "groups".into(), mapping: [].into(), default: vec!["member".into()] };
    let with_roles = ClaimMapping { roles: Some(roles), ..mapping.clone() };
    let as_admin = Identity { roles: vec!["admins".into(), "member".into()], ..before.clone() };
    let claims = json!({"groups": ["staff"]});
    assert_eq!(with_roles.restricted_by(&as_admin, claims.as_object().unwrap()).roles, ["member"]);
    assert_eq!(with_roles.restricted_by(&as_admin, json!({}).as_object().unwrap()).roles, ["admins", "member"]);
    let renamed = ClaimMapping {
        group_names: GroupNames::new([("staff".to_owned(), "crew".to_owned())].into(), ".*").unwrap(),
        ..mapping.clone()
    };
    let claims = json!({"groups": ["staff", "owners"]});
    assert_eq!(renamed.restricted_by(&before, claims.as_object().unwrap()).group_names(), ["crew"], "by today's names");
    assert_eq!(restricted_by(&json!({"sub": "1"})), before, "what it does not speak of stays");
    let denied = restricted_by(&json!({"email": "a@x", "email_verified": false}));
    assert_eq!((denied.email, denied.unverified_email.as_deref()), (None, Some("a@x")));
    assert_eq!(restricted_by(&json!({"email": "b@x", "email_verified": false})), before, "that is about another address");
}

#[test]
fn a_claim_that_another_replica_has_asked_for_is_kept_as_it_is_now_if_there_is_room() {
    let mapping = ClaimMapping { further: vec!["mine".into()], ..ClaimMapping::default() };
    let mut before = ExtraClaims::default();
    for path in ["theirs", "gone", "large"] {
        before.record(path, Some(json!("old")));
    }
    let large = "x".repeat(crate::identity::MAX_CLAIM_SIZE);
    let claims = json!({"sub": "1", "mine": "m", "theirs": "new", "large": large, "nobodys": "n"});
    let read = mapping.identity_after(&before, claims.as_object().unwrap()).unwrap().claims;
    assert_eq!((read.get("mine"), read.get("theirs")), (Some(&json!("m")), Some(&json!("new"))));
    assert!(read.has_asked("gone") && read.get("gone").is_none(), "withdrawn");
    assert!(!read.has_asked("large") && !read.has_asked("nobodys"));
}
