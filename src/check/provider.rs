//! The provider: whether it is who it is said to be, and lets users stay logged in.

use std::time::Duration;

use futures_util::future::join_all;

use super::Finding;
use crate::{
    clock::{Clock, Timestamp},
    config::{Checked, ProviderSettings},
    oidc::{ClientProbe, Examination, LEEWAY, Provider, ProviderError, RedirectProbe},
    telemetry::logs::causes,
};

/// No more redirect URIs are tried, so that no provider takes this for an attack.
const MAX_REDIRECT_URIS: usize = 20;
const DISCOVERY: &str = "provider";
const REFERENCE: &str = "docs/renewal.md";
const ODD: &str = "docs/odd-providers.md";

/// Discovers the providers, and asks each what it tells anybody.
pub(super) async fn check(checked: &Checked, clock: &Clock) -> Vec<Finding> {
    let all = join_all(checked.providers().map(|settings| check_one(checked, settings, clock))).await;
    if all.len() == 1 {
        return all.into_iter().flatten().collect();
    }
    let named = checked.providers().zip(all);
    named.flat_map(|(of, findings)| findings.into_iter().map(|finding| finding.at(&of.oidc.name))).collect()
}

async fn check_one(checked: &Checked, settings: &ProviderSettings, clock: &Clock) -> Vec<Finding> {
    let tls = match settings.trust.client_config() {
        Ok(tls) => tls,
        Err(error) => {
            let advice = "correct CODER_OIDC_CA_FILE, CODER_TLS_CLIENT_CERT_FILE and CODER_TLS_CLIENT_KEY_FILE";
            return vec![Finding::error(DISCOVERY, causes(&error)).advise(advice)];
        }
    };
    let provider = match Provider::new(settings.oidc.clone(), tls, clock.clone()) {
        Ok(provider) => provider,
        Err(error) => {
            let advice = "correct CODER_OIDC_CLIENT_KEY_FILE and CODER_OIDC_CLIENT_CERT_FILE";
            return vec![Finding::error("client key", causes(&error)).advise(advice).see("docs/settings.md")];
        }
    };
    let mut findings: Vec<_> = proxy(&provider).into_iter().collect();
    let examined = match provider.examine().await {
        Ok(examined) => examined,
        Err(error) => {
            findings.push(unusable(&error));
            return findings;
        }
    };
    findings.push(Finding::ok(
        DISCOVERY,
        format!("{} has metadata and {} keys; preset {}", provider.issuer(), examined.keys, provider.preset().name),
    ));
    findings.extend(clock_skew(&examined));
    findings.extend(keys(&examined));
    findings.extend(
        examined.unsupported_requirements.iter().map(|requirement| Finding::error("provider's demands", requirement).see(ODD)),
    );
    findings.push(refresh_tokens(&examined));
    findings.extend(provider.preset().login_lifetime.map(login_lifetime));
    findings.extend(scopes(&examined));
    findings.extend(pkce(&examined));
    findings.push(client(provider.probe_client().await));
    let redirect_uris = checked.gateway.callback_uris(provider.name());
    for redirect_uri in redirect_uris.all().iter().take(MAX_REDIRECT_URIS) {
        findings.extend(redirect(redirect_uri, provider.probe_redirect_uri(redirect_uri).await));
    }
    findings.push(logout(&examined));
    findings
}

fn unusable(error: &ProviderError) -> Finding {
    let advice = match error {
        ProviderError::IssuerMismatch { found, .. } => format!("set CODER_OIDC_ISSUER_URL to {found}"),
        ProviderError::NoMetadata(_) => {
            "set CODER_OIDC_ISSUER_URL to the issuer, to which /.well-known/openid-configuration is appended".to_owned()
        }
        ProviderError::Untrusted(_) => {
            "have the provider serve its whole chain, or set CODER_OIDC_CA_FILE to its CA's certificate".to_owned()
        }
        ProviderError::Metadata(_) => "have the provider's administrator look at its metadata".to_owned(),
        ProviderError::Keys(_) => "look whether its jwks_uri can be reached from here".to_owned(),
        ProviderError::NotReady
        | ProviderError::Misconfigured
        | ProviderError::Issuer
        | ProviderError::Discovery(_)
        | ProviderError::Fetch(_)
        | ProviderError::PushedAuthorization(_)
        | ProviderError::PushedAuthorizationResponse
        | ProviderError::TooManyLogins
        | ProviderError::Token(_)
        | ProviderError::IdToken(_)
        | ProviderError::LogoutToken(_)
        | ProviderError::NoIdToken
        | ProviderError::UserInfoFetch(_)
        | ProviderError::UserInfoRefused(_)
        | ProviderError::UserInfo(_)
        | ProviderError::AccessToken(_)
        | ProviderError::OtherSubject
        | ProviderError::Claims(_) => "look for DNS, a firewall or a proxy between here and the provider".to_owned(),
    };
    Finding::error(DISCOVERY, causes(error)).advise(advice).see(ODD)
}

/// Whether calls to the provider go through a proxy.
fn proxy(provider: &Provider) -> Option<Finding> {
    let (address, goes_through) = provider.proxy()?;
    let seen = match goes_through {
        true => format!("calls to the provider go through {address} (HTTPS_PROXY)"),
        false => format!(
            "calls to the provider do not go through {address} (HTTPS_PROXY): NO_PROXY names it, or it is on this machine"
        ),
    };
    Some(Finding::info("proxy", seen).see("docs/data-plane.md"))
}

/// Tokens are valid by the provider's clock and judged by ours.
fn clock_skew(examined: &Examination) -> Option<Finding> {
    const CHECK: &str = "clock";
    let (theirs, ours) = examined.clocks?;
    let apart = difference(theirs, ours);
    let seen = format!("the provider's clock and this machine's are {} s apart", apart.as_secs());
    Some(if apart > LEEWAY {
        Finding::error(CHECK, seen).advise("synchronize the clocks (NTP): tokens are refused for their times").see(ODD)
    } else if apart > LEEWAY / 6 {
        Finding::warning(CHECK, seen).advise("synchronize the clocks (NTP)")
    } else {
        Finding::ok(CHECK, "the provider's clock and this machine's agree")
    })
}

fn difference(one: Timestamp, other: Timestamp) -> Duration {
    one.since(other).max(other.since(one))
}

fn keys(examined: &Examination) -> Option<Finding> {
    const CHECK: &str = "signatures";
    let uses_secrets = examined.signing_algorithms.as_ref().is_some_and(|names| names.iter().all(|name| name.starts_with("HS")));
    if uses_secrets {
        let seen = "ID tokens are signed with the client secret (HS256): whoever has it can make them";
        Some(Finding::warning(CHECK, seen).advise("choose a signing key at the provider (RS256 or ES256)").see(ODD))
    } else if examined.keys == 0 {
        Some(Finding::error(CHECK, "the provider publishes no key that can verify a signature").see(ODD))
    } else {
        None
    }
}

fn refresh_tokens(examined: &Examination) -> Finding {
    const CHECK: &str = "refresh token";
    let how = examined.offline_access;
    if examined.lists_refresh_token_grant == Some(false) {
        Finding::error(CHECK, "grant_types_supported has no refresh_token: sessions end with their access token")
            .advise("enable refresh tokens at the provider, for this client")
            .see(REFERENCE)
    } else if examined.unlisted_scopes.iter().any(|scope| scope == "offline_access") {
        Finding::warning(CHECK, format!("{how}, and the provider does not list it"))
            .advise("enable offline_access at the provider, for this client")
            .see(REFERENCE)
    } else if examined.brings_refresh_token {
        Finding::ok(CHECK, how)
    } else {
        Finding::warning(CHECK, format!("{how}: sessions may end with their access token"))
            .advise("add offline_access to CODER_OIDC_SCOPES")
            .see(REFERENCE)
    }
}

/// A refresh token that is never replaced ends for all users, active or not.
fn login_lifetime(lifetime: Duration) -> Finding {
    let hours = lifetime.as_secs() / 3600;
    let seen = format!("a login brings one refresh token, which is never replaced and lives {hours} hours by default");
    Finding::info("login", seen)
        .advise("raise it at the provider (AD FS: SsoLifetime), if users log in again too often")
        .see(REFERENCE)
}

fn scopes(examined: &Examination) -> Option<Finding> {
    let unlisted: Vec<_> =
        examined.unlisted_scopes.iter().filter(|scope| *scope != "offline_access").map(String::as_str).collect();
    (!unlisted.is_empty()).then(|| {
        let seen = format!("the provider does not list the scopes {}: it may refuse every login", unlisted.join(" "));
        Finding::warning("scopes", seen).advise("correct CODER_OIDC_SCOPES, or allow them at the provider").see(ODD)
    })
}

fn pkce(examined: &Examination) -> Option<Finding> {
    (examined.lists_pkce == Some(false)).then(|| {
        let seen = "the provider does not list PKCE with S256, which Evergate sends with every login";
        Finding::info("PKCE", seen).see(ODD)
    })
}

fn client(probe: ClientProbe) -> Finding {
    const CHECK: &str = "client";
    match probe {
        ClientProbe::Accepted => Finding::ok(CHECK, "the provider accepts the client's credentials"),
        ClientProbe::Refused(error) => Finding::error(CHECK, error)
            .advise(
                "correct CODER_OIDC_CLIENT_ID and CODER_OIDC_CLIENT_SECRET (or register the certificate of \
                 CODER_OIDC_CLIENT_KEY_FILE), and allow the refresh_token grant for this client",
            )
            .see(REFERENCE),
        ClientProbe::Unclear(error) => {
            let seen = format!("a refresh token that was never issued is answered in a way that does not tell: {error}");
            Finding::warning(CHECK, seen).advise("look at the provider's log").see(ODD)
        }
    }
}

fn redirect(redirect_uri: &str, probe: Result<RedirectProbe, ProviderError>) -> Option<Finding> {
    const CHECK: &str = "redirect URI";
    match probe {
        Ok(RedirectProbe::Registered) => Some(Finding::ok(CHECK, format!("the provider redirects to {redirect_uri}"))),
        Ok(RedirectProbe::Fails(error)) => Some(
            Finding::error(CHECK, format!("the provider redirects to {redirect_uri} with the error {error}: no login succeeds"))
                .advise("correct CODER_OIDC_SCOPES and CODER_OIDC_AUTH_URL_PARAMS, or allow the code flow for this client")
                .see(ODD),
        ),
        Ok(RedirectProbe::Refused(status)) if matches!(status.as_u16(), 404 | 405 | 410) => Some(
            Finding::error(CHECK, format!("the authorization endpoint answers with status {}", status.as_u16()))
                .advise("have the provider's administrator look at authorization_endpoint in its metadata")
                .see(ODD),
        ),
        Ok(RedirectProbe::Refused(status)) => Some(
            Finding::error(
                CHECK,
                format!("the provider answers a login that leads to {redirect_uri} with status {}", status.as_u16()),
            )
            .advise(format!("register {redirect_uri} at the provider, to the letter"))
            .see(ODD),
        ),
        Ok(RedirectProbe::Unclear) => Some(
            Finding::info(
                CHECK,
                format!("the provider shows a page for a login that leads to {redirect_uri}, which does not tell whether it is registered"),
            )
            .advise("compare it with what is registered at the provider, or log in once (evergate doctor)")
            .see("docs/check.md"),
        ),
        Err(ref error @ ProviderError::PushedAuthorization(_)) => Some(
            Finding::error(CHECK, format!("a login that leads to {redirect_uri} cannot begin: {error}"))
                .advise(format!("register {redirect_uri} at the provider, to the letter, and correct CODER_OIDC_SCOPES"))
                .see(ODD),
        ),
        Err(error) => Some(Finding::error(CHECK, format!("a login cannot begin: {}", causes(&error))).see(ODD)),
    }
}

fn logout(examined: &Examination) -> Finding {
    const CHECK: &str = "logout";
    let has = |name: &str| examined.optional_endpoints.contains(&name);
    let mut ways = Vec::new();
    ways.extend(has("end_session_endpoint").then_some("logs out at the provider"));
    ways.extend(has("revocation_endpoint").then_some("revokes the refresh token"));
    ways.extend(match (examined.back_channel_logout, examined.front_channel_logout) {
        (true, _) => Some("is told of logouts there, if its back-channel logout URI is registered"),
        (false, true) => {
            Some("is told of logouts there, if its front-channel logout URI is registered and the ID token has a sid")
        }
        (false, false) => None,
    });
    if ways.is_empty() {
        Finding::info(CHECK, "a logout ends the session here alone: the provider has no endpoint for more").see(ODD)
    } else {
        Finding::ok(CHECK, format!("Evergate {}", ways.join(", ")))
    }
}
