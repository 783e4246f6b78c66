//! What the facts mean for users. Pure.

mod trials;

use std::time::Duration;

use super::{
    facts::{Cleanup, Facts, LoginFacts, RefreshLifetime, Renewed, Subject},
    finding::Finding,
    words::duration,
};

/// An access token that lives shorter than this makes many calls.
const SHORT_ACCESS_LIFETIME_SECS: u64 = 60;

/// The findings, in the order of the examination.
pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    let login = match &facts.login {
        Ok(login) => login,
        Err(reason) => {
            let advice = format!(
                "register {} as redirect URI at the provider, and check CODER_OIDC_ISSUER_URL, CODER_OIDC_CLIENT_ID and \
                 CODER_OIDC_CLIENT_SECRET",
                facts.redirect_uri
            );
            let failed = Finding::error("login", format!("the login failed: {reason}"), advice);
            return [failed].into_iter().chain(cleanup(&facts.cleanup)).collect();
        }
    };
    let mut findings = vec![Finding::ok("login", "the login succeeded; state, nonce, PKCE and the ID token are verified")];
    findings.push(refresh_token(facts, login));
    findings.extend(scopes(facts, login));
    if login.groups_unknown {
        findings.push(unknown_groups());
    } else if facts.group_field.is_some() && login.groups == 0 {
        findings.push(no_groups(facts));
    }
    for (number, renewal) in ["first renewal", "second renewal"].into_iter().zip(&facts.renewals) {
        match &renewal.result {
            Ok(renewed) => findings.extend(renewed_as(number, renewed, facts, login)),
            Err(reason) => findings.push(Finding::error(
                number,
                format!("the provider did not renew the tokens: {reason}"),
                "allow the grant type refresh_token for this client, and look up the error in the provider's log",
            )),
        }
    }
    findings.extend(rotation(facts));
    if !facts.renewals.is_empty() && facts.renewals.iter().all(|renewal| renewal.result.is_ok()) {
        findings.push(access_lifetime(login));
        findings.push(match facts.login_lifetime {
            Some(usual) => login_lifetime(login.refresh_lifetime.map_or(usual, RefreshLifetime::duration)),
            None => idle_expiry(facts, login),
        });
    }
    findings.extend(trials::findings(facts));
    findings.extend(cleanup(&facts.cleanup));
    findings
}

fn refresh_token(facts: &Facts, login: &LoginFacts) -> Finding {
    let topic = "refresh token";
    if login.needed_consent {
        return Finding::ok(
            topic,
            "the provider issues one, only after consent (prompt=consent), which Evergate requests by itself where it is needed",
        );
    }
    if login.has_refresh_token {
        return Finding::ok(topic, "the provider issues one");
    }
    let text = format!(
        "the provider issues none: users log in again whenever their access token expires, after {}",
        duration(login.access_lifetime)
    );
    let advice = match facts.requested_by {
        Some(by) => format!(
            "{by} was requested; allow the grant type refresh_token and offline access for this client at the provider, or set \
             CODER_OIDC_AUTH_URL_PARAMS={{\"prompt\":\"consent\"}} if it asks for consent first"
        ),
        None => "nothing requests a refresh token; add offline_access to CODER_OIDC_SCOPES, or set CODER_OIDC_PRESET if the \
                 provider is a well-known one at an address of its own"
            .to_owned(),
    };
    Finding::error(topic, text, advice)
}

fn scopes(facts: &Facts, login: &LoginFacts) -> Option<Finding> {
    let requested = facts.requested_scopes.join(" ");
    let Some(granted) = &login.granted_scopes else {
        return Some(Finding::ok("scopes", format!("granted as requested: {requested}")));
    };
    // Some providers leave out of the list what is no scope of an access token.
    let is_missing = |scope: &&String| !granted.contains(scope) && (*scope != "offline_access" || !login.has_refresh_token);
    let missing: Vec<_> = facts.requested_scopes.iter().filter(is_missing).map(String::as_str).collect();
    if missing.is_empty() {
        return Some(Finding::ok("scopes", format!("granted: {}", granted.join(" "))));
    }
    let text = format!("requested: {requested}; not granted: {}", missing.join(" "));
    Some(Finding::warning("scopes", text, "allow these scopes for this client, or leave them out of CODER_OIDC_SCOPES"))
}

fn no_groups(facts: &Facts) -> Finding {
    let field = facts.group_field.as_deref().unwrap_or_default();
    Finding::warning(
        "groups",
        format!("the user has no groups in the claim {field}"),
        "if this user has groups, have the provider put them into the ID token or user info (a scope or a claim mapping), or \
         correct CODER_OIDC_GROUP_FIELD",
    )
}

fn unknown_groups() -> Finding {
    Finding::error(
        "groups",
        "the user has too many groups for a token (groups overage), and Microsoft Graph did not tell them; the log above says why: \
         rules that need groups refuse the user",
        "grant the delegated permission User.Read of Microsoft Graph, assign groups to the app, or use app roles",
    )
}

fn renewed_as(topic: &'static str, renewed: &Renewed, facts: &Facts, login: &LoginFacts) -> Vec<Finding> {
    let tokens = if renewed.has_id_token { "new tokens with an ID token" } else { "new tokens without an ID token" };
    let mut findings = match &renewed.subject {
        Subject::Same => vec![Finding::ok(topic, format!("{tokens}, about the same user"))],
        Subject::Other(reason) => vec![Finding::error(
            topic,
            format!("{tokens}, about another user or client: {reason}"),
            "Evergate ends such a session; the provider must keep sub, iss and aud of an ID token at a renewal",
        )],
        Subject::Unverified(reason) => vec![Finding::error(
            topic,
            format!("{tokens}, which cannot be verified: {reason}"),
            "Evergate keeps the last verified identity until a renewal can be verified; correct what the provider signs with",
        )],
    };
    if facts.group_field.is_some()
        && login.groups > 0
        && let Some(groups) = renewed.groups
        && groups < login.groups
    {
        findings.push(Finding::error(
            "groups",
            format!("groups at the login: {}; after the {topic}: {groups}; users lose what the others allow", login.groups),
            "have the provider put groups into the ID tokens of renewals, or into user info",
        ));
    }
    findings
}

fn rotation(facts: &Facts) -> Option<Finding> {
    let renewed: Vec<_> = facts.renewals.iter().filter_map(|renewal| renewal.result.as_ref().ok()).collect();
    let rotated = renewed.iter().filter(|renewed| renewed.rotated).count();
    Some(match (renewed.len(), rotated) {
        (0, _) => return None,
        (_, 0) => Finding::ok("rotation", "renewals leave the refresh token as it is"),
        (all, some) if all == some => Finding::ok(
            "rotation",
            "each renewal replaces the refresh token; if the provider accepts the replaced one for a while (a reuse interval), \
             CODER_OIDC_REFRESH_TOKEN_GRACE may say for how long",
        ),
        (_, _) => Finding::ok("rotation", "some renewals replace the refresh token"),
    })
}

fn access_lifetime(login: &LoginFacts) -> Finding {
    let (topic, lifetime) = ("access token", duration(login.access_lifetime));
    if login.access_lifetime.as_secs() < SHORT_ACCESS_LIFETIME_SECS {
        let text = format!("it lives {lifetime}: the provider is called that often for each active user");
        return Finding::warning(topic, text, "let access tokens live 5 minutes or longer");
    }
    Finding::ok(topic, format!("it lives {lifetime}; active users are renewed before it expires and notice nothing"))
}

/// A refresh token that is never replaced ends for all users, active or not.
fn login_lifetime(lifetime: Duration) -> Finding {
    let lifetime = duration(lifetime);
    Finding::warning(
        "login",
        format!(
            "a login brings one refresh token, which is never replaced: all users go through the provider again {lifetime} after \
             their login, and those whom it does not know any more log in"
        ),
        "let the provider's refresh tokens live longer (AD FS: SsoLifetime, or registered devices)",
    )
}

fn idle_expiry(facts: &Facts, login: &LoginFacts) -> Finding {
    let topic = "idle users";
    let Some(lifetime) = login.refresh_lifetime else {
        return Finding::ok(
            topic,
            "the provider does not say how long an unused refresh token lives; its own settings do, and users who are idle for \
             longer will be asked to log in",
        );
    };
    let by = match lifetime {
        RefreshLifetime::Response(_) => "as the token response says".to_owned(),
        RefreshLifetime::Preset(_) => format!("as is usual of {}", facts.preset),
    };
    let (idle, session) = (duration(lifetime.duration()), duration(facts.session_idle));
    if lifetime.duration() < facts.session_idle {
        return Finding::warning(
            topic,
            format!(
                "users idle for more than {idle} will be asked to log in: an unused refresh token lives that long ({by}), and \
                 CODER_SESSION_DURATION allows {session}"
            ),
            format!("let the provider's refresh tokens (or its user sessions) live {session} or longer without use"),
        );
    }
    Finding::ok(
        topic,
        format!(
            "users idle for more than {session} will be asked to log in, by CODER_SESSION_DURATION; an unused refresh token lives \
             {idle} ({by})"
        ),
    )
}

fn cleanup(cleanup: &Cleanup) -> Option<Finding> {
    let topic = "revocation";
    match cleanup {
        Cleanup::NothingLeft => None,
        Cleanup::Revoked => {
            Some(Finding::ok(topic, "the provider has confirmed that the refresh token of this login is revoked"))
        }
        Cleanup::NoEndpoint => Some(Finding::warning(
            topic,
            "the provider has no revocation endpoint: refresh tokens live on after a logout, this login's too",
            "let refresh tokens expire soon, or end this login's session in the provider's console",
        )),
        Cleanup::Failed(reason) => Some(Finding::warning(
            topic,
            format!("the refresh token of this login could not be revoked: {reason}"),
            "allow token revocation for this client, and end this login's session in the provider's console",
        )),
    }
}

#[cfg(test)]
mod tests;
