//! Who may enter. A restriction that Evergate does not have is never left out: nobody enters then, until an administrator decides.

use std::collections::BTreeMap;

use super::{
    given::{Given, GivenOption},
    options::{self, Form, Meaning},
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
    result.notes.extend(given.all().filter_map(|(flag, option)| unreadable(flag, option)));
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

/// Has nobody enter if something that may restrict who enters was not translated.
pub(super) fn close(result: &mut Translation) {
    let mut origins: Vec<String> = Vec::new();
    for note in result.notes.iter().filter(|note| note.closes) {
        if !origins.contains(&note.subject) {
            origins.push(note.subject.clone());
        }
    }
    if origins.is_empty() {
        return;
    }
    result.set("oidc_allowed_groups", NOBODY, origins.join(", "));
    if result.value("oidc_group_field").is_none() {
        result.set("oidc_group_field", "groups", "what CODER_OIDC_ALLOWED_GROUPS is compared with");
    }
}

/// What is to be said of an option whose value is not here, or is not what it seems to be.
fn unreadable(flag: &str, option: &GivenOption) -> Option<Note> {
    let meaning = options::find(flag)?.meaning;
    let restricts = matches!(meaning, Meaning::Restriction(_) | Meaning::NoRestriction(_));
    if let Some(place) = &option.elsewhere {
        let message = format!("has its value in {place}, which is not translated; give it as a flag");
        return match meaning {
            Meaning::NoEffect(_) => None,
            Meaning::Restriction(_) | Meaning::NoRestriction(_) => Some(Note::closing(&option.origin, message)),
            // What these are in is said where they are written.
            Meaning::Becomes(_) if ["client-id", "client-secret", "basic-auth-password", "jwt-key"].contains(&flag) => None,
            Meaning::Becomes(_) | Meaning::NoEquivalent(_) => Some(Note::error(&option.origin, message)),
        };
    }
    // oauth2-proxy reads lists of flags as CSV, with quotes, and those of files as they are; here a comma separates.
    let is_list = options::find(flag)?.form == Form::List;
    let is_strange = |value: &String| value.contains([',', '"']) || value.trim() != value;
    (restricts && is_list && option.values.iter().any(is_strange)).then(|| {
        let message =
            "has a value with a comma, a quotation mark, or a blank before or after it, which no setting holds as it is";
        Note::closing(&option.origin, message)
    })
}

fn emails(given: &mut Given, rule: &mut RouteRule, result: &mut Translation) {
    let file = given.text("authenticated-emails-file");
    let Some((domains, origin)) = given.list("email-domain") else {
        match file {
            Some((file, origin)) => result.set("oidc_allowed_emails_file", file, origin),
            // What is given elsewhere is told already.
            None if given.has("email-domain") || given.has("authenticated-emails-file") => {}
            None => result.notes.push(Note::closing(
                "--email-domain",
                "is not given, nor is --authenticated-emails-file, and oauth2-proxy does not start without both: the rule stands where \
                 this translation does not read; give it as a flag (--email-domain=* is the default of the Helm chart)",
            )),
        }
        return;
    };
    if let Some(domain) = domains.iter().find(|domain| !is_domain(domain)) {
        return result.notes.push(Note::closing(&origin, format!("names {domain}, which is no domain")));
    }
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

/// Whether it is `*`, or a domain that may have `.` or `*.` before it.
fn is_domain(text: &str) -> bool {
    let name = text.strip_prefix("*.").or_else(|| text.strip_prefix('.')).unwrap_or(text);
    let is_name = !name.starts_with('.') && name.chars().all(|letter| letter.is_alphanumeric() || ".-_".contains(letter));
    text == "*" || (is_name && !name.is_empty())
}

/// A regular expression for a domain, or with `.` or `*.` before it for those below it.
fn domain_pattern(domain: &str) -> String {
    let name = domain.trim_start_matches(['*', '.']);
    let escaped = name.replace('.', "\\.");
    if name.len() == domain.len() { escaped } else { format!("[^@]+\\.{escaped}") }
}

/// The options that name groups, and the providers of oauth2-proxy that read them; none means all.
const GROUPS: [(&str, &[&str]); 3] =
    [("allowed-group", &[]), ("keycloak-group", &["keycloak", "keycloak-oidc"]), ("gitlab-group", &["gitlab"])];

fn groups(given: &mut Given, rule: &mut RouteRule, result: &mut Translation) {
    let provider = given.text("provider").map_or_else(|| "google".to_owned(), |(provider, _)| provider);
    let mut allowed = None::<(Vec<String>, String)>;
    for (flag, providers) in GROUPS {
        let Some((groups, origin)) = given.list(flag) else { continue };
        if !providers.is_empty() && !providers.contains(&provider.as_str()) {
            let message =
                format!("has no effect, as in oauth2-proxy: the provider is {provider}, not {}", providers.join(" or "));
            result.notes.push(Note::info(&origin, message));
            continue;
        }
        match &mut allowed {
            Some((others, other)) if *others != groups => {
                let message = format!("is given besides {other} with other groups; give the one that is to count");
                result.notes.push(Note::closing(&origin, message));
            }
            Some((_, other)) => *other = format!("{other}, {origin}"),
            None => allowed = Some((groups, origin)),
        }
    }
    if let Some((roles, origin)) = given.list("allowed-role") {
        role_claims(&roles, &origin, rule, result);
        if allowed.is_some() {
            result.notes.push(Note::error(
                &origin,
                "is given besides groups: one of both was enough there, and both must hold here; decide which it is to be",
            ));
        }
    }
    if let Some((groups, origin)) = allowed {
        result.set("oidc_allowed_groups", groups.join(","), origin);
        // One of both was enough there, so that those of the groups entered. The others are told as every restriction that is lost.
        if provider == "gitlab"
            && let Some((_, origin)) = given.list("gitlab-project")
        {
            let message = "has no equivalent: GitLab's tokens hold no projects; members of the groups alone may enter";
            result.notes.push(Note::error(&origin, message));
        }
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
