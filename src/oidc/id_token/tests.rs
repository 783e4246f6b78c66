use serde_json::{Map, json};

use super::*;

const NOW: i64 = 1_700_000_000;

fn object(members: &Value) -> JsonObject {
    JsonObject { members: members.as_object().unwrap().clone(), ..JsonObject::default() }
}

fn good() -> Map<String, Value> {
    let claims = json!({"iss": "https://id.example/a", "aud": "client", "sub": "ann", "iat": NOW, "exp": NOW + 60, "nonce": "n"});
    claims.as_object().unwrap().clone()
}

fn judged(edits: &Value, subject: Option<&str>) -> Result<(), VerifyError> {
    let mut claims = good();
    claims.extend(edits.as_object().unwrap().clone());
    claims.retain(|_, value| *value != json!("(absent)"));
    let expected = Expected {
        issuer: &ExpectedIssuer::Exactly("https://id.example/a".to_owned()),
        client_id: "client",
        subject,
        tenant: None,
        nonce: if subject.is_some() { ExpectedNonce::Unchecked } else { ExpectedNonce::Exactly("n") },
        access_token: "at",
        algorithm: Algorithm::Rs256,
        now: Timestamp(NOW * 1000),
    };
    validate_claims(&object(&Value::Object(claims)), expected)
}

#[test]
fn claims_that_nobody_needs_are_not_looked_at() {
    let odd = json!({
        "updated_at": "2026-01-01T00:00:00Z", "acr": 1, "address": "1 Main St", "preferred_username": 77, "auth_time": "yesterday",
        "amr": "pwd", "email_verified": "yes", "birthdate": [], "locale": {"a": 1}, "phone_number_verified": 3, "c_hash": 4,
        "iat": 1_700_000_000.5, "nbf": null, "azp": null, "at_hash": "",
    });
    assert_eq!(judged(&odd, None), Ok(()));
    assert_eq!(judged(&odd, Some("ann")), Ok(()));
}

#[test]
fn a_claim_that_decides_must_be_right() {
    let refused = [
        json!({"iss": "(absent)"}),
        json!({"iss": "https://id.example/a/"}),
        json!({"iss": ["https://id.example/a"]}),
        json!({"aud": "(absent)"}),
        json!({"aud": []}),
        json!({"aud": ["client", "other"]}),
        json!({"aud": ["client", "other"], "azp": "other"}),
        json!({"azp": "other"}),
        json!({"azp": ["other"]}),
        json!({"azp": 7}),
        json!({"at_hash": 7}),
        json!({"nbf": "now"}),
        json!({"nbf": {}}),
        json!({"sub": "(absent)"}),
        json!({"sub": ""}),
        json!({"sub": 7}),
        json!({"exp": "(absent)"}),
        json!({"exp": "soon"}),
        json!({"exp": 1e300}),
        json!({"iat": "(absent)"}),
        json!({"nonce": "m"}),
        json!({"nonce": "(absent)"}),
        json!({"at_hash": "other"}),
    ];
    for edits in refused {
        assert!(matches!(judged(&edits, None), Err(VerifyError::Refused(_))), "{edits}");
    }
    for edits in [json!({"exp": NOW - 61}), json!({"iat": NOW + 61}), json!({"nbf": NOW + 61})] {
        assert!(matches!(judged(&edits, None), Err(VerifyError::OutsideValidity(_))), "{edits}");
    }
    let half = BASE64_URL_SAFE_NO_PAD.encode(&crate::secret::sha256(b"at")[..16]);
    for edits in [
        json!({"aud": ["client"]}),
        json!({"aud": ["client", "client"]}),
        json!({"aud": ["client", "other"], "azp": "client"}),
        json!({"exp": NOW - 59}),
        json!({"nbf": NOW + 59}),
        json!({"at_hash": half}),
    ] {
        assert_eq!(judged(&edits, None), Ok(()), "{edits}");
    }
    let twice = JsonObject { repeated: vec!["sub".to_owned()], ..object(&Value::Object(good())) };
    let expected = Expected {
        issuer: &ExpectedIssuer::Exactly("https://id.example/a".to_owned()),
        client_id: "client",
        subject: None,
        tenant: None,
        nonce: ExpectedNonce::Unchecked,
        access_token: "at",
        algorithm: Algorithm::EdDsa,
        now: Timestamp(NOW * 1000),
    };
    assert!(matches!(validate_claims(&twice, expected), Err(VerifyError::Refused(_))));
    let harmless = JsonObject { repeated: vec!["address".to_owned()], ..twice };
    assert_eq!(validate_claims(&harmless, expected), Ok(()));
}

#[test]
fn only_another_subject_proves_somebody_else() {
    let others = [
        json!({"sub": "bob"}),
        json!({"sub": "ann "}),
        // Nothing smaller hides it.
        json!({"sub": "bob", "exp": 1, "iss": "https://id.example/a/"}),
        json!({"sub": "bob", "iss": "https://evil.example/a", "aud": "other"}),
    ];
    for edits in others {
        assert!(matches!(judged(&edits, Some("ann")), Err(VerifyError::IdentityMismatch(_))), "{edits}");
    }
    let unclear = [
        // A provider that got another name, or a deploy that went wrong.
        json!({"iss": "https://id.example/b"}),
        json!({"iss": "https://evil.example/a"}),
        json!({"aud": "other"}),
        json!({"aud": ["other", "another"]}),
        json!({"iss": "https://id.example/a/"}),
        json!({"iss": "http://id.example/a"}),
        json!({"iss": "id.example/a"}),
        json!({"iss": "HTTPS://ID.example:443/a"}),
        json!({"iss": 7}),
        json!({"iss": ""}),
        json!({"aud": ["client", "other"]}),
        json!({"aud": "Client"}),
        json!({"aud": {}}),
        json!({"aud": ""}),
        json!({"sub": 7}),
        json!({"sub": null}),
    ];
    for edits in unclear {
        assert!(matches!(judged(&edits, Some("ann")), Err(VerifyError::Refused(_))), "{edits}");
    }
}

#[test]
fn a_time_is_a_number_or_its_digits() {
    let read = |value: Value| time(&object(&json!({"at": value})), "at").map(|at| at.0);
    for (value, expected) in [
        (json!(1_700_000_000), Some(1_700_000_000_000)),
        (json!(1_700_000_000.5), Some(1_700_000_000_500)),
        (json!("1700000000"), Some(1_700_000_000_000)),
        (json!(""), None),
        (json!("-1"), None),
        (json!("1e9"), None),
        (json!("99999999999999999999"), None),
        (json!(null), None),
        (json!([1]), None),
    ] {
        assert_eq!(read(value.clone()), expected, "{value}");
    }
}

#[test]
fn a_beginning_that_is_written_as_text_counts() {
    let early = judged(&json!({"nbf": "99999999999"}), None);
    assert_eq!(early, Err(VerifyError::OutsideValidity("it is not good yet (nbf)")));
}

#[test]
fn an_authentication_of_the_future_is_none() {
    let check = |at: Value| check_max_age(&object(&json!({"auth_time": at})), Duration::from_secs(300), Timestamp(NOW * 1000));
    assert_eq!(check(json!(NOW + 59)), Ok(()));
    assert!(check(json!(NOW + 61)).is_err());
}

#[test]
fn a_token_is_older_than_keys_that_were_fetched_a_minute_after_it_says_that_it_was_issued() {
    let token = |claims: Value| {
        let part = |value: Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.AAAA", part(json!({"alg": "RS256"})), part(claims))
    };
    let fetched = Some(Timestamp(NOW * 1000));
    for (claims, fetched, expected) in [
        (json!({"iat": NOW - 60}), fetched, true),
        (json!({"iat": NOW - 59}), fetched, false),
        (json!({"iat": NOW + 60}), fetched, false),
        (json!({}), fetched, false),
        (json!({"iat": NOW - 60}), None, false),
    ] {
        assert_eq!(was_issued_before(&token(claims.clone()), fetched), expected, "{claims} {fetched:?}");
    }
}
