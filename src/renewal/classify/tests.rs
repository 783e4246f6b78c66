use std::{collections::BTreeSet, sync::Arc};

use super::*;
use crate::{oidc::Preset, telemetry::metrics::Metrics};

const CLIENT: FailureClass = FailureClass::Config(ConfigScope::Client);
const GRANT: FailureClass = FailureClass::Config(ConfigScope::Grant);
const RETRY: FailureClass = FailureClass::Retry(Some(Duration::from_secs(7)));

fn refused(preset: &str, status: u16, code: &str) -> FailureClass {
    let code = Some(code).filter(|code| !code.is_empty()).map(str::to_owned);
    let failure = TokenFailure::Refused {
        status: StatusCode::from_u16(status).unwrap(),
        code,
        description: None,
        retry_after: Some(Duration::from_secs(7)),
        may_hide_an_answer: false,
    };
    classify(&failure, Preset::named(preset).unwrap().error_rules)
}

/// The refusals that each provider's documentation, sources or users tell of.
#[test]
fn every_known_answer_of_every_known_provider_has_its_class() {
    let cases = [
        ("google", 400, "invalid_grant", FailureClass::Dead),
        ("google", 400, "invalid_rapt", FailureClass::Dead),
        ("google", 400, "deleted_client", CLIENT),
        ("google", 401, "disabled_client", CLIENT),
        ("google", 403, "org_internal", CLIENT),
        ("google", 400, "admin_policy_enforced", GRANT),
        ("google", 401, "unauthorized_client", CLIENT),
        ("entra", 400, "invalid_grant", FailureClass::Dead),
        ("entra", 400, "interaction_required", FailureClass::Dead),
        ("entra", 400, "consent_required", FailureClass::Dead),
        ("entra", 400, "login_required", FailureClass::Dead),
        ("entra", 401, "invalid_client", CLIENT),
        ("entra", 400, "unauthorized_client", CLIENT),
        ("entra", 503, "temporarily_unavailable", RETRY),
        ("okta", 400, "invalid_grant", FailureClass::Dead),
        ("okta", 400, "access_denied", GRANT),
        ("okta", 429, "", RETRY),
        ("keycloak", 400, "invalid_grant", FailureClass::Dead),
        ("keycloak", 400, "invalid_scope", FailureClass::Dead),
        ("keycloak", 401, "unauthorized_client", CLIENT),
        ("keycloak", 401, "invalid_client", CLIENT),
        ("auth0", 403, "invalid_grant", FailureClass::Dead),
        ("auth0", 403, "unauthorized_client", CLIENT),
        ("auth0", 429, "too_many_requests", RETRY),
        ("gitlab", 400, "invalid_grant", FailureClass::Dead),
        ("gitlab", 401, "invalid_grant", FailureClass::Dead),
        ("gitlab", 400, "invalid_scope", GRANT),
        ("pingfederate", 400, "invalid_grant", FailureClass::Dead),
        ("pingfederate", 400, "unauthorized_client", CLIENT),
        ("pingone", 400, "invalid_grant", FailureClass::Dead),
        ("onelogin", 400, "invalid_grant", FailureClass::Dead),
        ("onelogin", 400, "invalid_request", GRANT),
        ("cognito", 400, "invalid_grant", FailureClass::Dead),
        ("cognito", 400, "invalid_scope", GRANT),
        ("dex", 400, "invalid_request", FailureClass::Dead),
        ("dex", 500, "invalid_request", FailureClass::Ambiguous),
        ("dex", 400, "invalid_grant", FailureClass::Dead),
        ("authentik", 400, "invalid_grant", FailureClass::Dead),
        ("authentik", 400, "invalid_scope", GRANT),
        ("authentik", 400, "invalid_client", CLIENT),
        ("authelia", 400, "invalid_grant", FailureClass::Dead),
        ("authelia", 400, "invalid_scope", GRANT),
        ("zitadel", 400, "invalid_grant", FailureClass::Dead),
        ("hydra", 400, "invalid_grant", FailureClass::Dead),
        ("hydra", 400, "invalid_request", RETRY),
        ("jumpcloud", 400, "invalid_grant", FailureClass::Dead),
        ("jumpcloud", 400, "invalid_request", RETRY),
        ("adfs", 400, "invalid_grant", FailureClass::Dead),
        ("django-oauth-toolkit", 400, "invalid_grant", FailureClass::Dead),
        ("spring", 400, "invalid_grant", FailureClass::Dead),
        ("spring", 401, "invalid_client", CLIENT),
        ("lemonldap", 400, "invalid_grant", FailureClass::Dead),
        ("lemonldap", 401, "invalid_grant", FailureClass::Dead),
        // Also the answer while its session store fails, so that the token may be alive.
        ("lemonldap", 400, "invalid_request", GRANT),
        ("lemonldap", 500, "server_error", FailureClass::Ambiguous),
        ("canaille", 400, "invalid_grant", FailureClass::Dead),
        // No body says why.
        ("glewlwyd", 400, "", GRANT),
        ("glewlwyd", 500, "", FailureClass::Ambiguous),
        ("github", 200, "bad_refresh_token", FailureClass::Dead),
        ("github", 200, "incorrect_client_credentials", CLIENT),
        ("github", 200, "unverified_user_email", GRANT),
    ];
    for (preset, status, code, expected) in cases {
        assert_eq!(refused(preset, status, code), expected, "{preset} {status} {code}");
    }
    for preset in PRESETS.iter().filter(|preset| preset.name != "generic") {
        assert!(cases.iter().any(|(name, ..)| *name == preset.name), "{} has no row", preset.name);
    }
}

#[test]
fn every_answer_of_the_standard_has_its_class() {
    let cases = [
        (400, "invalid_grant", FailureClass::Dead),
        (401, "invalid_grant", FailureClass::Dead),
        (403, "invalid_grant", FailureClass::Dead),
        (400, "interaction_required", FailureClass::Dead),
        (400, "consent_required", FailureClass::Dead),
        (400, "login_required", FailureClass::Dead),
        (401, "invalid_client", CLIENT),
        (400, "unauthorized_client", CLIENT),
        (400, "unsupported_grant_type", CLIENT),
        (400, "invalid_request", GRANT),
        (400, "invalid_scope", GRANT),
        (400, "", RETRY),
        (403, "", RETRY),
        (403, "never_heard_of", GRANT),
        (418, "", RETRY),
        (400, "never_heard_of", GRANT),
        (200, "never_heard_of", GRANT),
        (401, "", CLIENT),
        (404, "", FailureClass::Retry(None)),
        (405, "", FailureClass::Retry(None)),
        (410, "", FailureClass::Retry(None)),
        (302, "", RETRY),
        (429, "", RETRY),
        (503, "", RETRY),
        (400, "temporarily_unavailable", RETRY),
        (400, "slow_down", RETRY),
        (500, "", FailureClass::Ambiguous),
        (502, "", FailureClass::Ambiguous),
        (504, "", FailureClass::Ambiguous),
        (408, "", FailureClass::Ambiguous),
        (400, "server_error", FailureClass::Ambiguous),
    ];
    for (status, code, expected) in cases {
        assert_eq!(refused("generic", status, code), expected, "{status} {code}");
    }
}

#[test]
fn what_a_dummy_is_told_is_no_word_about_real_tokens_unless_the_provider_knows_how_to_refuse_one() {
    let told = |status: u16, code: Option<&str>| {
        let failure = TokenFailure::Refused {
            status: StatusCode::from_u16(status).unwrap(),
            code: code.map(str::to_owned),
            description: None,
            retry_after: None,
            may_hide_an_answer: false,
        };
        [false, true].map(|rejects| is_inconclusive(&failure, classify(&failure, &[]), rejects))
    };
    assert_eq!(told(400, Some("invalid_grant")), [true, true]);
    for status in [400, 500] {
        assert_eq!(told(status, None), [true, false], "{status}");
    }
    for status in [302, 401, 403, 404, 429, 503] {
        assert_eq!(told(status, None), [false, false], "{status}");
    }
}

#[test]
fn what_was_surely_not_sent_is_told_from_what_may_have_arrived() {
    let cause = || Arc::from(Box::<dyn std::error::Error + Send + Sync>::from("x"));
    assert_eq!(classify(&TokenFailure::NotReady, &[]), FailureClass::Retry(None));
    assert_eq!(classify(&FetchError::NotSent(cause()).into(), &[]), FailureClass::Retry(None));
    assert_eq!(classify(&FetchError::Broken(cause()).into(), &[]), FailureClass::Ambiguous);
    assert_eq!(classify(&FetchError::TimedOut(Duration::ZERO).into(), &[]), FailureClass::Ambiguous);
    assert_eq!(classify(&TokenFailure::Unusable("x"), &[]), FailureClass::Ambiguous);
}

#[test]
fn whatever_ends_a_grant_or_leaves_its_outcome_unknown_is_counted_from_zero() {
    let metrics = Metrics::default();
    codes_of_presets().for_each(|(class, code)| metrics.expect_renewal(class, code));
    let text = metrics.render().unwrap();
    let codes = PRESETS.iter().flat_map(|preset| preset.error_rules).map(|rule| rule.code).chain([
        "invalid_grant",
        "interaction_required",
        "consent_required",
        "login_required",
        "invalid_client",
        "invalid_request",
        "server_error",
        "temporarily_unavailable",
        "unheard_of",
    ]);
    let refused = |status: u16, code: Option<&str>| TokenFailure::Refused {
        status: StatusCode::from_u16(status).unwrap(),
        code: code.map(str::to_owned),
        description: None,
        retry_after: None,
        may_hide_an_answer: false,
    };
    let codes: Vec<_> = codes.map(Some).chain([None]).collect();
    let mut failures: Vec<_> = (400..600)
        .flat_map(|status| codes.iter().map(move |code| (status, *code)))
        .map(|(status, code)| refused(status, code))
        .collect();
    let lost = || Arc::new(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
    failures.push(TokenFailure::NoResponse(FetchError::Broken(lost())));
    failures.push(TokenFailure::NoResponse(FetchError::TimedOut(Duration::from_secs(1))));
    failures.push(TokenFailure::NoResponse(FetchError::Unreadable(lost())));
    let mut seen = BTreeSet::new();
    for (preset, failure) in PRESETS.iter().flat_map(|preset| failures.iter().map(move |failure| (preset, failure))) {
        let class = classify(failure, preset.error_rules);
        if matches!(class, FailureClass::Dead | FailureClass::Ambiguous) {
            let (class, reason) = (class.as_str(), counted_reason(failure, class));
            seen.insert(format!("evergate_renewals_total{{outcome=\"{class}\",reason=\"{reason}\"}} 0\n"));
        }
    }
    assert!(seen.len() > 12, "{seen:?}");
    for line in seen {
        assert!(text.contains(&line), "{line} is not there before it happens");
    }
}

#[test]
fn a_503_of_a_proxy_s_own_may_hide_the_providers_answer_unless_it_says_that_nothing_was_done() {
    for (status, code, retry_after, may_hide_an_answer, expected) in [
        (503, None, None, true, FailureClass::Ambiguous),
        (503, None, None, false, FailureClass::Retry(None)),
        (503, Some("temporarily_unavailable"), None, true, FailureClass::Retry(None)),
        (503, None, Some(Duration::from_secs(7)), true, RETRY),
    ] {
        let (status, code) = (StatusCode::from_u16(status).unwrap(), code.map(str::to_owned));
        let failure = TokenFailure::Refused { status, code, description: None, retry_after, may_hide_an_answer };
        assert_eq!(classify(&failure, &[]), expected, "{failure:?}");
    }
}
