//! What it finds by a login and two renewals, word for word.

use std::sync::atomic::{AtomicUsize, Ordering};

use evergate::doctor::{Extent, Report};
use serde_json::{Value, json};

use super::{Person, examine, provider};
use crate::harness::idp::{Endpoint, Idp, Misbehaviour, Offline, Rotation};

/// An edit that begins after so many answers.
fn after(answers: usize, edit: impl Fn(&mut Value) + Send + 'static) -> impl Fn(&mut Value) + Send + 'static {
    let seen = AtomicUsize::new(0);
    move |value| {
        if seen.fetch_add(1, Ordering::Relaxed) >= answers {
            edit(value);
        }
    }
}

/// The report, without what differs from run to run.
fn steady(report: &Report, idp: &Idp) -> String {
    report.text().replace(idp.issuer(), "ISSUER")
}

#[tokio::test]
async fn a_login_that_the_doctor_cannot_verify_leaves_no_token() {
    let (idp, _line) = provider().await;
    idp.edit_id_token(|claims| claims["aud"] = json!("another client"));
    let report = examine(&mut Person::at(&idp), Extent::default()).await;
    assert!(report.text().contains("aud"), "{}", report.text());
    assert_eq!(idp.revoked().len(), 1);
    assert!(!idp.has_live_refresh_token());
}

#[tokio::test]
async fn a_report_says_what_each_provider_does_and_what_that_means() {
    type Prepare = fn(&Idp);
    let cases: [(&str, Prepare); 15] = [
        ("all_is_well", |_| {}),
        ("a_reusable_token", |idp| idp.rotate_as(Rotation::Reusable)),
        ("no_refresh_token", |idp| idp.give_refresh_tokens(Offline::Never)),
        ("groups_lost_at_a_renewal", |idp| {
            idp.edit_id_token(after(1, |claims| claims["groups"] = Value::Null));
            idp.edit_userinfo(after(1, |claims| claims["groups"] = json!([])));
        }),
        ("no_groups", |idp| {
            let mut user = crate::harness::idp::user("ann");
            user["groups"] = json!([]);
            idp.log_in_as(user);
        }),
        ("another_subject_at_a_renewal", |idp| idp.edit_id_token(after(1, |claims| claims["sub"] = json!("sub-eve")))),
        ("an_expired_id_token_at_a_renewal", |idp| idp.edit_id_token(after(1, |claims| claims["exp"] = json!(1)))),
        ("no_id_token_at_a_renewal", |idp| idp.edit_answer(after(1, |answer| answer["id_token"] = Value::Null))),
        ("a_scope_refused", |idp| idp.edit_answer(|answer| answer["scope"] = json!("openid email offline_access"))),
        ("short_lives", |idp| {
            idp.access_tokens_live(Some(json!(30)));
            idp.edit_answer(|answer| answer["refresh_expires_in"] = json!(5400));
        }),
        ("a_renewal_refused", |idp| {
            let refusal = json!({"error": "unauthorized_client", "error_description": "not for refresh_token"}).to_string();
            idp.misbehave(Endpoint::Refresh, Misbehaviour::Answer(400, refusal, Vec::new()));
        }),
        ("a_wrong_secret", |idp| idp.change_secret("another")),
        ("a_wrong_nonce", |idp| idp.edit_id_token(|claims| claims["nonce"] = json!("of another login"))),
        ("no_revocation_endpoint", |idp| idp.set_metadata(json!({"revocation_endpoint": null}))),
        ("no_discovery", |idp| {
            idp.misbehave(Endpoint::Discovery, Misbehaviour::Answer(404, String::new(), Vec::new()));
        }),
    ];
    for (name, prepare) in cases {
        let (idp, _line) = provider().await;
        prepare(&idp);
        let report = examine(&mut Person::at(&idp), Extent::default()).await;
        insta::assert_snapshot!(name, steady(&report, &idp));
        assert_eq!(idp.reuses(), 0, "{name}: a used refresh token was presented again");
        // The tokens of a login that is not believed are revoked, and used for nothing else, as at the gateway.
        let revokes = name != "no_revocation_endpoint";
        assert!(!revokes || !idp.has_live_refresh_token(), "{name}: a refresh token lives on");
    }
}

#[tokio::test]
async fn a_login_is_accepted_only_with_its_own_state_and_its_issuer() {
    type ComesBack = fn(&mut url::Url);
    let cases: [(&str, ComesBack); 4] = [
        ("the state is not that of this login", |url| set(url, "state", Some("another"))),
        ("there is no state", |url| set(url, "state", None)),
        ("names another issuer", |url| set(url, "iss", Some("https://other.example"))),
        ("declined at the provider", |url| {
            set(url, "code", None);
            set(url, "error", Some("access_denied"));
        }),
    ];
    for (reason, comes_back) in cases {
        let (idp, _line) = provider().await;
        let mut person = Person { comes_back, ..Person::at(&idp) };
        let report = examine(&mut person, Extent::default()).await.json();
        assert_eq!((&report["level"], &report["verdict"]), (&json!("error"), &json!("Users cannot log in.")), "{reason}");
        let text = report["findings"][0]["text"].as_str().unwrap();
        assert!(text.contains(reason), "{text}");
        assert_eq!(idp.calls(Endpoint::Code), 0, "{reason}: the code was sent");
    }
}

/// Replaces a parameter of an address, adds it, or takes it away.
fn set(url: &mut url::Url, name: &str, value: Option<&str>) {
    let others: Vec<_> =
        url.query_pairs().filter(|(other, _)| other != name).map(|(n, v)| (n.into_owned(), v.into_owned())).collect();
    url.query_pairs_mut().clear().extend_pairs(others).extend_pairs(value.map(|value| (name, value)));
}

#[tokio::test]
async fn the_page_has_every_finding_escaped_and_no_script() {
    let (idp, _line) = provider().await;
    let refusal = json!({"error": "invalid_grant", "error_description": "<script>alert(1)</script>"}).to_string();
    idp.misbehave(Endpoint::Refresh, Misbehaviour::Answer(400, refusal, Vec::new()));
    let report = examine(&mut Person::at(&idp), Extent::default()).await;
    let page = report.html();
    assert!(page.contains("&lt;script&gt;alert(1)") && !page.contains("<script"), "{page}");
    for finding in report.json()["findings"].as_array().unwrap() {
        assert!(page.contains(finding["topic"].as_str().unwrap()), "{finding} in {page}");
    }
    assert!(page.contains(idp.issuer()));
}
