use serde_json::json;

use super::*;

/// The headers that apps get by default.
fn rendered(identity: &Identity) -> Vec<String> {
    PRESETS[0]
        .header_set()
        .render(Claimant { identity, access_token: None, id_token: None })
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect()
}

/// What releases before group names, full names and roles read.
#[derive(Deserialize)]
struct OlderClaims {
    groups: Vec<String>,
}

#[test]
fn an_identity_is_read_as_it_was_written_and_one_that_is_not_verified_by_no_older_replica() {
    let verified = Identity { subject: "s".into(), email: Some("a@x".into()), groups: vec!["g".into()], ..Identity::default() };
    let unverified = Identity { email: None, unverified_email: Some("a@x".into()), ..verified.clone() };
    let renamed = Identity {
        group_names: Some(vec!["name".into()]),
        name: Some("Ann".into()),
        roles: vec!["r".into()],
        ..verified.clone()
    };
    let mut with_claims = verified.clone();
    with_claims.claims.record("email", Some(json!({"email": "boss@x", "username": "boss"})));
    with_claims.claims.record("absent", None);
    let untold = Identity { groups_unknown: true, tenant: Some("t".into()), groups: Vec::new(), ..verified.clone() };
    for identity in [&verified, &unverified, &renamed, &with_claims, &untold] {
        let text = serde_json::to_string(identity).unwrap();
        assert_eq!(&serde_json::from_str::<Identity>(&text).unwrap(), identity, "{text}");
    }
    let old = r#"{"subject":"s","username":null,"email":"a@x","groups":["g"]}"#;
    assert_eq!(serde_json::to_string(&verified).unwrap(), old, "as releases before have written it");
    let text = serde_json::to_string(&renamed).unwrap();
    assert_eq!(serde_json::from_str::<OlderClaims>(&text).unwrap().groups, ["g"], "they read the claim's values in {text}");
    let text = serde_json::to_string(&with_claims).unwrap();
    assert_eq!(serde_json::from_str::<OlderClaims>(&text).unwrap().groups, ["g"], "older replicas ignore other claims in {text}");
    assert!(serde_json::from_str::<Identity>(old).unwrap().claims.is_empty(), "and bring none");
    let text = serde_json::to_string(&unverified).unwrap();
    assert!(serde_json::from_str::<Claims>(&text).is_err(), "{text}");
}

#[test]
fn absent_claims_have_no_header() {
    let identity = Identity { subject: "s".into(), ..Identity::default() };
    assert_eq!(rendered(&identity), ["x-forwarded-user: s"]);
}

#[test]
fn an_address_that_nobody_vouches_for_is_told_to_no_app_and_read_as_none_by_who_does_not_know_it() {
    let identity = Identity { subject: "s".into(), unverified_email: Some("a@x".into()), ..Identity::default() };
    assert_eq!(rendered(&identity), ["x-forwarded-user: s"]);
    let written = serde_json::to_value(&identity).unwrap();
    assert!(written["email"].is_null());
    assert_eq!(serde_json::from_value::<Identity>(written).unwrap(), identity);
    let old: Identity = serde_json::from_str(r#"{"subject":"s","username":null,"email":"a@x","groups":[]}"#).unwrap();
    assert_eq!((old.email.as_deref(), old.unverified_email), (Some("a@x"), None), "it was verified when it was written");
}

#[test]
fn two_people_are_never_one_by_a_blank() {
    let told = |subject: &str, group: &str| {
        rendered(&Identity { subject: subject.into(), groups: vec![group.into()], ..Identity::default() })
    };
    for (subject, group, user, groups) in [
        ("ann", "admin", "ann", "admin"),
        ("ann ", " admin", "ann%20", "%20admin"),
        (" ann", "admin ", "%20ann", "admin%20"),
        ("ann\u{a0}", "ad min", "ann%C2%A0", "ad min"),
        ("ann%20", "admin%20", "ann%2520", "admin%2520"),
        ("ann%2520", "a", "ann%252520", "a"),
        ("auth0|7%7C", "50%", "auth0|7%7C", "50%25"),
    ] {
        assert_eq!(told(subject, group), [format!("x-forwarded-user: {user}"), format!("x-forwarded-groups: {groups}")]);
    }
}

#[test]
fn a_claim_can_neither_break_the_line_nor_add_a_group() {
    let identity = Identity {
        subject: "a\r\nX-Forwarded-Groups: admin".into(),
        username: Some("Zoë".into()),
        email: Some("z@example.com".into()),
        name: Some("Zo\u{eb}\nX-Forwarded-Roles: owner".into()),
        groups: vec!["a,admin".into(), "50%".into()],
        roles: vec!["a,owner".into(), "b".into()],
        ..Identity::default()
    };
    assert_eq!(
        rendered(&identity),
        [
            "x-forwarded-user: a%0D%0AX-Forwarded-Groups: admin",
            "x-forwarded-email: z@example.com",
            "x-forwarded-preferred-username: Zoë",
            "x-forwarded-name: Zoë%0AX-Forwarded-Roles: owner",
            "x-forwarded-groups: a%2Cadmin,50%25",
            "x-forwarded-roles: a%2Cowner,b",
        ]
    );
}

#[test]
fn groups_that_are_not_told_now_are_those_of_before_only_where_they_were_read_of_the_same_claim() {
    let (own, other) = (ClaimReader::of("now"), ClaimReader::of("before"));
    for (reader, expected) in [(Some(&own), &["admins"][..]), (Some(&other), &[]), (None, &[])] {
        let before = Identity { groups: vec!["admins".into()], reader: reader.cloned(), ..Identity::default() };
        let now = Identity { groups_unknown: true, reader: Some(own.clone()), ..Identity::default() };
        assert_eq!(now.with_groups_known_before(&before).groups, expected, "{reader:?}");
    }
}
