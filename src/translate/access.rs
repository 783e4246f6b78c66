//! Who may enter. A restriction that Evergate does not have is never left out: nobody enters then, until an administrator decides.

use std::collections::BTreeMap;

use super::{
    given::Given,
    result::{Note, Translation},
};

/// What every route that is not public asks of its users.
#[derive(Clone, Debug, Default)]
pub(super) struct RouteRule {
    pub(super) claims: BTreeMap<String, Vec<String>>,
    pub(super) claims_match: BTreeMap<String, String>,
    /// Whom bearer tokens must be for; empty if none are taken.
    pub(super) bearer_audiences: Vec<String>,
    pub(super) comment: Vec<String>,
}

/// A group that nobody is in: what stands for a restriction that cannot be translated.
const NOBODY: &str = "nobody-until-an-administrator-decides";

/// Translates who may enter.
pub(super) fn translate(given: &mut Given, result: &mut Translation) -> RouteRule {
    let mut rule = RouteRule::default();
    emails(given, &mut rule, result);
    groups(given, &mut rule, result);
    if let Some((tenants, origin)) = given.list("entra-id-allowed-tenant") {
        rule.claims.insert("tid".to_owned(), tenants);
        rule.comment.push(origin);
    }
    if given.is_on("skip-jwt-bearer-tokens", false) {
        let origin = given.origin("skip-jwt-bearer-tokens");
        let message = "takes ID tokens too; Evergate takes access tokens of the provider, whose aud must name the client \
                       (bearer_tokens, docs/api-clients.md)";
        result.notes.push(Note::warning(&origin, message));
        rule.bearer_audiences.extend(given.text("client-id").map(|(client, _)| client));
        rule.comment.push(origin);
    }
    rule
}

fn emails(given: &mut Given, rule: &mut RouteRule, result: &mut Translation) {
    let file = given.text("authenticated-emails-file");
    let Some((domains, origin)) = given.list("email-domain") else {
        match file {
            Some((file, origin)) => result.set("oidc_allowed_emails_file", file, origin),
            None => result.notes.push(Note::warning(
                "--email-domain",
                "is not given, with which oauth2-proxy lets nobody in; here everybody enters whom the provider and the other rules admit",
            )),
        }
        return;
    };
    if domains.iter().any(|domain| domain == "*") {
        result.notes.push(Note::info(&origin, "admits every address, which Evergate does if no setting names any"));
        if let Some((_, origin)) = file {
            result.notes.push(Note::info(&origin, "has no effect: --email-domain=* admits every address, as in oauth2-proxy"));
        }
        return;
    }
    let is_whole = |domain: &&String| !domain.starts_with(['.', '*']);
    let whole: Vec<&str> = domains.iter().filter(is_whole).map(String::as_str).collect();
    if whole.len() == domains.len() {
        result.set("oidc_email_domain", whole.join(","), origin);
        if let Some((file, origin)) = file {
            result.set("oidc_allowed_emails_file", file, format!("{origin}; an address in it is enough"));
        }
        return;
    }
    if let Some((file, file_origin)) = file {
        // Both would be asked for, not one of them.
        result.set("oidc_allowed_emails_file", file, file_origin);
        result.notes.push(Note::error(
            &origin,
            "has subdomains, and there is a file of addresses: one was enough there, and both must hold here; list the domains whole",
        ));
    }
    let field =
        given.text("oidc-email-claim").or_else(|| given.text("user-id-claim")).map_or("email".to_owned(), |(claim, _)| claim);
    let alternatives: Vec<String> = domains.iter().map(|domain| domain_pattern(domain)).collect();
    rule.claims_match.insert(field, format!("(?i)[^@]+@({})", alternatives.join("|")));
    rule.comment.push(origin);
}

/// A regular expression for a domain, or with `.` or `*.` before it for those below it.
fn domain_pattern(domain: &str) -> String {
    let name = domain.trim_start_matches(['*', '.']);
    let escaped = name.replace('.', "\\.");
    if name.len() == domain.len() { escaped } else { format!("[^@]+\\.{escaped}") }
}

fn groups(given: &mut Given, rule: &mut RouteRule, result: &mut Translation) {
    let (mut allowed, mut origins) = (Vec::new(), Vec::new());
    for flag in ["allowed-group", "keycloak-group", "gitlab-group"] {
        if let Some((groups, origin)) = given.list(flag) {
            allowed.extend(groups);
            origins.push(origin);
        }
    }
    let roles = given.list("allowed-role");
    if allowed.is_empty()
        && let Some((roles, origin)) = &roles
    {
        role_claims(roles, origin, rule, result);
    } else if let Some((roles, origin)) = &roles {
        role_claims(roles, origin, rule, result);
        result.notes.push(Note::error(
            origin,
            "is given besides groups: one of both was enough there, and both must hold here; decide which it is to be",
        ));
    }
    let lost: Vec<_> = [
        "google-group",
        "gitlab-project",
        "github-org",
        "github-team",
        "github-repo",
        "github-user",
        "bitbucket-team",
        "bitbucket-repository",
    ]
    .into_iter()
    .filter(|flag| given.unused().any(|(unused, _)| unused == *flag))
    .map(|flag| given.origin(flag))
    .collect();
    if !lost.is_empty() && allowed.is_empty() {
        allowed.push(NOBODY.to_owned());
        origins.extend(lost);
    }
    if !allowed.is_empty() {
        result.set("oidc_allowed_groups", allowed.join(","), origins.join(", "));
    }
}

/// Keycloak's roles: of the realm, or as `client:role` of a client.
fn role_claims(roles: &[String], origin: &str, rule: &mut RouteRule, result: &mut Translation) {
    let mut by_claim = BTreeMap::<String, Vec<String>>::new();
    for role in roles {
        let (claim, role) = match role.split_once(':') {
            Some((client, role)) => (format!("resource_access.{client}.roles"), role),
            None => ("realm_access.roles".to_owned(), role.as_str()),
        };
        by_claim.entry(claim).or_default().push(role.to_owned());
    }
    if by_claim.len() > 1 {
        let message = "has roles of the realm and of clients, or of several clients: one was enough there, and one of each must be had here";
        result.notes.push(Note::error(origin, message));
    }
    rule.claims.extend(by_claim);
    rule.comment.push(origin.to_owned());
    let why = format!("{origin}: Keycloak has roles in the access token, whose `aud` must name the client");
    result.set("oidc_access_token_claims", "true", why.clone());
    result.set("oidc_ignore_userinfo", "true", why);
}
