use std::time::Duration;

use super::*;
use crate::doctor::{
    facts::{DestructiveFacts, Logout, RenewalFacts, Reuse, Revocation, StormFacts},
    finding::Level,
};

const DAY: Duration = Duration::from_secs(86_400);

/// A provider with which all is well.
fn well() -> Facts {
    let renewed = Renewed { rotated: true, has_id_token: true, subject: Subject::Same, groups: Some(2) };
    Facts {
        issuer: "https://idp.example".to_owned(),
        preset: "generic",
        redirect_uri: "https://app.example/oauth2/callback".to_owned(),
        requested_scopes: vec!["openid".to_owned(), "offline_access".to_owned()],
        requested_by: Some("the scope offline_access"),
        group_field: Some("groups".to_owned()),
        session_idle: DAY,
        login_lifetime: None,
        login: Ok(LoginFacts {
            has_refresh_token: true,
            needed_consent: false,
            granted_scopes: None,
            access_lifetime: Duration::from_secs(300),
            refresh_lifetime: Some(RefreshLifetime::Response(7 * DAY)),
            groups: 2,
            groups_unknown: false,
        }),
        renewals: vec![RenewalFacts { result: Ok(renewed.clone()) }, RenewalFacts { result: Ok(renewed) }],
        storm: Some(Ok(StormFacts { requests: 100, answered: 100, calls: 1, longest_wait: Duration::from_millis(30) })),
        destructive: Some(DestructiveFacts { reuse: Reuse::EndsGrant, logout: Logout::Ended, revocation: Revocation::Works }),
        cleanup: Cleanup::Revoked,
    }
}

/// Changes something of the login.
fn login(change: impl Fn(&mut LoginFacts)) -> impl Fn(&mut Facts) {
    move |facts| change(facts.login.as_mut().unwrap())
}

/// Changes something of the second renewal.
fn second(change: impl Fn(&mut Renewed)) -> impl Fn(&mut Facts) {
    move |facts| change(facts.renewals[1].result.as_mut().unwrap())
}

fn destructive(change: impl Fn(&mut DestructiveFacts)) -> impl Fn(&mut Facts) {
    move |facts| change(facts.destructive.as_mut().unwrap())
}

#[test]
fn where_all_is_well_every_finding_is_ok() {
    let findings = judge(&well());
    assert!(findings.iter().all(|finding| finding.level == Level::Ok && finding.advice.is_none()), "{findings:#?}");
}

#[test]
fn each_fact_that_harms_users_has_a_finding_of_its_own_with_advice() {
    type Change = Box<dyn Fn(&mut Facts)>;
    let cases: Vec<(&str, Level, &str, Change)> = vec![
        ("login", Level::Error, "the login failed: no", Box::new(|facts| facts.login = Err("no".to_owned()))),
        (
            "refresh token",
            Level::Error,
            "users log in again whenever their access token expires, after 5 minutes",
            Box::new(login(|login| login.has_refresh_token = false)),
        ),
        (
            "scopes",
            Level::Warning,
            "not granted: groups",
            Box::new(|facts| {
                facts.requested_scopes.push("groups".to_owned());
                login(|login| login.granted_scopes = Some(vec!["openid".to_owned()]))(facts);
            }),
        ),
        ("groups", Level::Warning, "no groups in the claim groups", Box::new(login(|login| login.groups = 0))),
        (
            "groups",
            Level::Error,
            "Microsoft Graph did not tell them",
            Box::new(login(|login| (login.groups, login.groups_unknown) = (0, true))),
        ),
        (
            "login",
            Level::Warning,
            "all users go through the provider again 7 days after their login",
            Box::new(|facts| facts.login_lifetime = Some(Duration::from_secs(8 * 3600))),
        ),
        (
            "login",
            Level::Warning,
            "all users go through the provider again 8 hours after their login",
            Box::new(|facts| {
                facts.login_lifetime = Some(Duration::from_secs(8 * 3600));
                login(|login| login.refresh_lifetime = None)(facts);
            }),
        ),
        (
            "groups",
            Level::Error,
            "groups at the login: 2; after the second renewal: 0",
            Box::new(second(|renewed| renewed.groups = Some(0))),
        ),
        (
            "second renewal",
            Level::Error,
            "the provider did not renew the tokens: invalid_grant",
            Box::new(|facts| facts.renewals[1].result = Err("invalid_grant".to_owned())),
        ),
        (
            "second renewal",
            Level::Error,
            "about another user or client: sub",
            Box::new(second(|renewed| renewed.subject = Subject::Other("sub".to_owned()))),
        ),
        (
            "second renewal",
            Level::Error,
            "which cannot be verified: key",
            Box::new(second(|renewed| renewed.subject = Subject::Unverified("key".to_owned()))),
        ),
        (
            "access token",
            Level::Warning,
            "it lives 59 seconds",
            Box::new(login(|login| login.access_lifetime = Duration::from_secs(59))),
        ),
        (
            "idle users",
            Level::Warning,
            "users idle for more than 7 days will be asked to log in",
            Box::new(|facts| facts.session_idle = 8 * DAY),
        ),
        (
            "renewal storm",
            Level::Error,
            "2 calls to the provider",
            Box::new(|facts| facts.storm.as_mut().unwrap().as_mut().unwrap().calls = 2),
        ),
        (
            "renewal storm",
            Level::Error,
            "99 answered",
            Box::new(|facts| facts.storm.as_mut().unwrap().as_mut().unwrap().answered = 99),
        ),
        (
            "revocation tried",
            Level::Error,
            "a stolen one survives a logout",
            Box::new(destructive(|found| found.revocation = Revocation::HasNoEffect)),
        ),
        (
            "reuse of a spent token",
            Level::Warning,
            "could not be found out: timed out",
            Box::new(destructive(|found| found.reuse = Reuse::Unknown("timed out".to_owned()))),
        ),
        (
            "logout at the provider",
            Level::Warning,
            "no end-session endpoint",
            Box::new(destructive(|found| found.logout = Logout::NoEndpoint)),
        ),
        ("revocation", Level::Warning, "no revocation endpoint", Box::new(|facts| facts.cleanup = Cleanup::NoEndpoint)),
        (
            "revocation",
            Level::Warning,
            "could not be revoked: status 500",
            Box::new(|facts| facts.cleanup = Cleanup::Failed("status 500".to_owned())),
        ),
    ];
    for (topic, level, text, change) in cases {
        let mut facts = well();
        change(&mut facts);
        let findings = judge(&facts);
        let bad: Vec<_> = findings.iter().filter(|finding| finding.level > Level::Ok).collect();
        let [finding] = bad.as_slice() else { panic!("one finding of {topic} ({text}): {bad:#?}") };
        assert_eq!((finding.topic, finding.level), (topic, level), "{finding:?}");
        assert!(finding.text.contains(text) && finding.advice.is_some(), "{finding:?}");
    }
}

#[test]
fn what_a_provider_may_do_either_way_is_told_and_not_blamed() {
    let told = |change: &dyn Fn(&mut Facts)| {
        let mut facts = well();
        change(&mut facts);
        let findings = judge(&facts);
        assert!(findings.iter().all(|finding| finding.level == Level::Ok), "{findings:#?}");
        findings.into_iter().map(|finding| finding.text).collect::<Vec<_>>().join("\n")
    };
    let never_rotates = |facts: &mut Facts| {
        for renewal in &mut facts.renewals {
            renewal.result.as_mut().unwrap().rotated = false;
        }
    };
    assert!(told(&never_rotates).contains("leave the refresh token as it is"));
    assert!(told(&second(|renewed| renewed.rotated = false)).contains("some renewals replace"));
    assert!(told(&second(|renewed| renewed.has_id_token = false)).contains("new tokens without an ID token"));
    assert!(told(&login(|login| login.needed_consent = true)).contains("only after consent"));
    assert!(told(&login(|login| login.refresh_lifetime = None)).contains("does not say how long"));
    assert!(told(&destructive(|found| found.reuse = Reuse::Refused)).contains("its successor stays valid"));
    assert!(told(&destructive(|found| found.logout = Logout::Survived)).contains("survives a visit"));
    // Some providers do not list it, and issue a refresh token all the same.
    let unlisted = login(|login| login.granted_scopes = Some(vec!["openid".to_owned()]));
    assert!(told(&unlisted).contains("granted: openid"));
}
