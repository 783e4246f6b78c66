use serde_json::json;

use super::*;
use crate::{
    identity::{Identity, MAX_CLAIM_SIZE},
    secret::Secret,
};

fn ann() -> Identity {
    let mut identity = Identity {
        subject: "s1".into(),
        username: Some("ann".into()),
        email: Some("ann@x.example".into()),
        groups: vec!["staff".into(), "a,b".into()],
        ..Identity::default()
    };
    for (path, value) in [
        ("department", json!("R&D")),
        ("realm_access.roles", json!(["admin", "ops;x", 7, true, {"no": "text"}, null, ["no"], ""])),
        ("https://x.example/tenant", json!({"id": 5, "name": "Zoë"})),
        ("level", json!(3)),
        ("active", json!(false)),
        ("empty", json!([])),
        ("blank", json!("")),
        ("odd", json!("a\r\nX-Admin: yes")),
        ("gone", json!(null)),
    ] {
        identity.claims.record(path, Some(value));
    }
    identity
}

fn rendered(identity: &Identity, text: &str) -> Option<String> {
    let (access, id) = (Secret::new("at"), Secret::new("it"));
    Template::parse(text).unwrap().render(Claimant { identity, access_token: Some(&access), id_token: Some(&id) })
}

#[test]
fn a_text_is_written_around_any_claim_in_any_form() {
    for (text, expected) in [
        ("{user}", "s1"),
        ("user:{username}@{claim:department}", "user:ann@R&D"),
        ("{username} <{email}>", "ann <ann@x.example>"),
        ("fixed", "fixed"),
        ("{{{username}}}", "{ann}"),
        ("{groups}", "staff,a%2Cb"),
        ("{groups|join:;}", "staff;a,b"),
        ("{groups|join:, }", "staff, a%2Cb"),
        ("{groups|json}", r#"["staff","a,b"]"#),
        ("{claim:realm_access.roles}", "admin,ops;x,7,true"),
        ("{claim:realm_access.roles|join:;}", "admin;ops%3Bx;7;true"),
        ("{claim:https://x.example/tenant|json}", r#"{"id":5,"name":"Zo\u00eb"}"#),
        ("{claim:level}-{claim:active}", "3-false"),
        ("{claim:empty|json}", "[]"),
        ("{name or username}", "ann"),
        ("{claim:empty or claim:gone or claim:level}", "3"),
        ("{claim:odd}", "a%0D%0AX-Admin: yes"),
        ("{claim:odd|json}", r#""a\r\nX-Admin: yes""#),
        ("Bearer {access_token}", "Bearer at"),
        ("{id_token}", "it"),
    ] {
        assert_eq!(rendered(&ann(), text).as_deref(), Some(expected), "{text}");
    }
}

#[test]
fn a_header_is_absent_that_would_not_be_whole() {
    for text in [
        "{name}",
        "{username} {name}",
        "{roles}",
        "{roles|json}",
        "{claim:empty}",
        "{claim:blank}",
        "{claim:gone}",
        "{claim:gone|json}",
        "{claim:never.asked}",
        "{claim:__proto__}",
        "{claim:constructor.name or claim:toString}",
        "{claim:https://x.example/tenant}",
    ] {
        assert_eq!(rendered(&ann(), text), None, "{text}");
    }
    let (identity, template) = (ann(), Template::parse("Bearer {access_token}").unwrap());
    assert_eq!(template.render(Claimant { identity: &identity, access_token: None, id_token: None }), None);
}

#[test]
fn a_claim_that_is_too_large_has_no_header() {
    let mut identity = ann();
    identity.claims.record("department", Some(json!(vec!["member"; MAX_CLAIM_SIZE])));
    assert_eq!(rendered(&identity, "{claim:department}"), None);
}

#[test]
fn what_is_no_template_is_refused_with_the_reason() {
    for (text, reason) in [
        ("{", InvalidTemplate::Brace),
        ("a}b", InvalidTemplate::Brace),
        ("{user", InvalidTemplate::Brace),
        ("{}", InvalidTemplate::Source),
        ("{sub}", InvalidTemplate::Source),
        ("{claim:}", InvalidTemplate::Source),
        ("{user or }", InvalidTemplate::Source),
        ("{groups|}", InvalidTemplate::Format),
        ("{groups|csv}", InvalidTemplate::Format),
        ("{groups|join:}", InvalidTemplate::Format),
        ("{groups|join:and}", InvalidTemplate::Format),
        ("{groups|join:%}", InvalidTemplate::Format),
        ("{groups|join:----}", InvalidTemplate::Format),
        ("{user}\r\nX-Admin: 1", InvalidTemplate::Control),
    ] {
        assert_eq!(Template::parse(text), Err(reason), "{text}");
    }
    assert_eq!(Template::parse(&format!("{{claim:{}}}", "x".repeat(MAX_PATH + 1))), Err(InvalidTemplate::Source));
    assert!(InvalidTemplate::Source.to_string().contains("{claim:path}"));
}

#[test]
fn a_template_tells_what_it_needs() {
    let template = Template::parse("{claim:a.b or claim:c} {id_token}{{claim:no}}").unwrap();
    assert_eq!(template.claims().collect::<Vec<_>>(), ["a.b", "c"]);
    assert!(template.has_id_token() && template.has_token());
    let plain = Template::parse("{user} id_token").unwrap();
    assert!(!plain.has_id_token() && !plain.has_token());
    assert!(Template::parse("{access_token}").unwrap().has_token());
}
