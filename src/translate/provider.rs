//! The provider.

use std::collections::BTreeMap;

use url::Url;

use super::{
    alpha_config::Alpha,
    given::Given,
    result::{Note, Translation, Value},
};

const ENTRA: &str = "https://login.microsoftonline.com/";

/// Translates the provider and the client.
pub(super) fn translate(given: &mut Given, alpha: &Alpha, result: &mut Translation) {
    issuer(given, result);
    client(given, result);
    scopes(given, result);
    claims(given, result);
    parameters(given, alpha, result);
    if let Some((files, origin)) = given.list("provider-ca-file") {
        let [file] = files.as_slice() else {
            result.ask_for("oidc_ca_file", "/etc/evergate/provider-ca.pem", &origin, "one file with all of these certificates");
            return;
        };
        result.set("oidc_ca_file", file.clone(), origin);
        if given.is_on("use-system-trust-store", false) {
            let message =
                "the system's certificates are not used besides; add those that you need to the file of CODER_OIDC_CA_FILE";
            result.notes.push(Note::warning(&given.origin("use-system-trust-store"), message));
        }
    }
}

fn issuer(given: &mut Given, result: &mut Translation) {
    let (kind, origin) =
        given.text("provider").unwrap_or_else(|| ("google".to_owned(), "oauth2-proxy's default provider".to_owned()));
    let configured = given.text("oidc-issuer-url");
    let tenant = given.text("azure-tenant");
    let known = match kind.as_str() {
        "google" => Some("https://accounts.google.com".to_owned()),
        "gitlab" => Some("https://gitlab.com".to_owned()),
        "azure" => Some(format!("{ENTRA}{}/v2.0", tenant.as_ref().map_or("common", |(tenant, _)| tenant))),
        "keycloak" => given.text("login-url").and_then(|(url, _)| Some(url.split_once("/protocol/openid-connect")?.0.to_owned())),
        _ => None,
    };
    let speaks_oidc = matches!(
        kind.as_str(),
        "oidc" | "keycloak-oidc" | "google" | "azure" | "entra-id" | "adfs" | "gitlab" | "cidaas" | "keycloak" | "login.gov"
    );
    if !speaks_oidc {
        let message = format!(
            "has no equivalent: {kind} is not an OpenID Connect provider for Evergate. Put a bridge such as Dex or Keycloak between \
             (docs/providers/github.md), and set CODER_OIDC_ISSUER_URL to that"
        );
        result.notes.push(Note::error(&origin, message));
        result.put("oidc_issuer_url", Value::ToFillIn("https://dex.example.com"), "the bridge's issuer");
        if let Some((_, origin)) = configured {
            result.notes.push(Note::info(&origin, format!("has no effect: {kind} has no issuer")));
        }
        return;
    }
    match (configured, known) {
        (Some((issuer, url_origin)), _) => result.set("oidc_issuer_url", issuer, format!("{url_origin}, {origin}")),
        (None, Some(issuer)) => result.set("oidc_issuer_url", issuer, format!("{origin}: {kind}")),
        (None, None) => result.ask_for(
            "oidc_issuer_url",
            "https://idp.example.com",
            &origin,
            "the provider's issuer, as its metadata have it",
        ),
    }
    let is_microsoft_s = matches!(kind.as_str(), "azure" | "entra-id");
    match &tenant {
        Some((_, origin)) if !is_microsoft_s => {
            result.notes.push(Note::info(origin, format!("has no effect, as in oauth2-proxy: the provider is {kind}")));
        }
        Some((tenant, origin)) if result.value("oidc_issuer_url").is_some_and(|issuer| issuer.contains(tenant.as_str())) => {
            result.notes.push(Note::info(origin, "is the tenant in CODER_OIDC_ISSUER_URL"));
        }
        // The issuer is of other tenants too, or of others alone.
        Some(_) | None => {}
    }
    if let Some(url) = result.value("oidc_issuer_url").and_then(|issuer| Url::parse(issuer).ok())
        && url.scheme() == "http"
        && !matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"))
    {
        result.notes.push(Note::error(
            &given.origin("oidc-issuer-url"),
            "is plain http, by which Evergate reaches a provider on loopback alone",
        ));
    }
    let is_entra = result.value("oidc_issuer_url").is_some_and(|issuer| issuer.starts_with(ENTRA));
    if given.is_on("insecure-oidc-skip-issuer-verification", false) {
        let origin = given.origin("insecure-oidc-skip-issuer-verification");
        if is_entra {
            result.notes.push(Note::info(
                &origin,
                "has no effect here: Evergate checks the issuer of each of Microsoft Entra ID's tenants",
            ));
        } else {
            result.set("dangerous_oidc_skip_issuer_checks", "true", origin);
        }
    }
    verified_addresses(given, is_entra, result);
}

/// Whether an address must be verified: oauth2-proxy accepts one of which the provider says nothing.
fn verified_addresses(given: &mut Given, is_entra: bool, result: &mut Translation) {
    let issuer = result.value("oidc_issuer_url").unwrap_or_default();
    let serves_many = ["common", "organizations", "consumers"].iter().any(|tenant| issuer.contains(&format!("/{tenant}/")));
    if given.is_on("insecure-oidc-allow-unverified-email", false) {
        result.set("oidc_ignore_email_verified", "true", given.origin("insecure-oidc-allow-unverified-email"));
    } else if is_entra && !serves_many {
        let why = "Microsoft Entra ID does not say whether an address is verified, which oauth2-proxy accepts";
        result.set("oidc_ignore_email_verified", "true", why);
    } else {
        result.notes.push(if is_entra {
            let message = "Microsoft Entra ID does not say whether an address is verified, and any tenant's administrator can write one. \
                           Evergate refuses such users until you set CODER_OIDC_IGNORE_EMAIL_VERIFIED (docs/providers/entra.md)";
            Note::warning("e-mail addresses", message)
        } else {
            let message = "Evergate refuses users of whom the provider does not say email_verified, which oauth2-proxy accepts; \
                           CODER_OIDC_IGNORE_EMAIL_VERIFIED=true accepts them";
            Note::info("e-mail addresses", message)
        });
    }
}

fn client(given: &mut Given, result: &mut Translation) {
    match given.take("client-id") {
        Some(id) if !id.values.is_empty() => result.set("oidc_client_id", id.values.concat(), id.origin),
        Some(id) => {
            let place = id.elsewhere.unwrap_or_default();
            result.put("oidc_client_id", Value::ToFillIn("CLIENT-ID"), format!("{}: {place}", id.origin));
            let message = format!("set CODER_OIDC_CLIENT_ID to what is in {place}");
            result.notes.push(Note::asking(&["oidc_client_id"], &id.origin, message));
        }
        None => result.ask_for("oidc_client_id", "CLIENT-ID", "--client-id", "the client ID at the provider"),
    }
    if let Some((file, origin)) = given.text("client-secret-file") {
        result.set("oidc_client_secret_file", file, origin);
    } else if let Some(secret) = given.take("client-secret") {
        let place = secret.elsewhere.map_or_else(String::new, |place| format!(": {place}"));
        let value = secret.values.into_iter().next();
        result.put("oidc_client_secret", Value::Secret(value), format!("{}{place}", secret.origin));
    }
    if let Some((file, origin)) = given.text("jwt-key-file") {
        result.set("oidc_client_key_file", file, origin);
    } else if given.take("jwt-key").is_some() {
        let origin = given.origin("jwt-key");
        result.ask_for("oidc_client_key_file", "/run/secrets/client-key.pem", &origin, "write the key into a file");
    }
    if let Some((name, origin)) = given.text("provider-display-name") {
        result.set("oidc_sign_in_text", format!("Sign in with {name}"), origin);
    }
}

/// Scopes. The usual ones are not configured, because Evergate then asks for a refresh token as the provider wants it.
fn scopes(given: &mut Given, result: &mut Translation) {
    let kind = given.text("provider").map_or_else(String::new, |(kind, _)| kind);
    let (mut scopes, origin): (Vec<String>, String) = match given.text("scope") {
        Some((text, origin)) => (text.split([' ', ',']).filter(|scope| !scope.is_empty()).map(str::to_owned).collect(), origin),
        // As oauth2-proxy does it.
        None if kind == "oidc" && given.list("allowed-group").is_some() => {
            let origin = format!("{}: oauth2-proxy adds the scope groups", given.origin("allowed-group"));
            (["openid", "email", "profile", "groups"].map(str::to_owned).to_vec(), origin)
        }
        None => return,
    };
    let is_usual = |scope: &String| ["openid", "email", "profile", "offline_access"].contains(&scope.as_str());
    if scopes.iter().all(is_usual) {
        let message =
            "is not translated, because Evergate requests these by itself, and offline_access where the provider wants it";
        result.notes.push(Note::info(&origin, message));
        return;
    }
    let issuer = result.value("oidc_issuer_url").unwrap_or_default();
    let asks_otherwise = ["accounts.google.com", "gitlab", "/realms/"].iter().any(|part| issuer.contains(part));
    if !scopes.iter().any(|scope| scope == "offline_access") && !asks_otherwise {
        if issuer.starts_with(ENTRA) {
            scopes.push("offline_access".to_owned());
        } else {
            let message = "has no offline_access; add it to CODER_OIDC_SCOPES if the provider gives refresh tokens for nothing else \
                           (evergate check says so), or users log in again when their access token expires";
            result.notes.push(Note::warning(&origin, message));
        }
    }
    result.set("oidc_scopes", scopes.join(","), origin);
}

fn claims(given: &mut Given, result: &mut Translation) {
    if given.is_on("skip-claims-from-profile-url", false) {
        result.set("oidc_ignore_userinfo", "true", given.origin("skip-claims-from-profile-url"));
    }
    let mut field = None;
    for flag in ["oidc-email-claim", "user-id-claim"] {
        let Some((claim, origin)) = given.text(flag) else { continue };
        if claim == "email" {
            result.notes.push(Note::info(&origin, "is as Evergate does it"));
        } else if let Some(other) = &field {
            result.notes.push(Note::info(&origin, format!("has no effect, as in oauth2-proxy: {other} is given")));
        } else {
            result.set("oidc_email_field", claim, origin.clone());
            field = Some(origin);
        }
    }
    let is_google = result.value("oidc_issuer_url") == Some("https://accounts.google.com");
    match given.text("oidc-groups-claim") {
        Some((claim, origin)) => result.set("oidc_group_field", claim, origin),
        None if is_google && result.value("oidc_allowed_groups").is_none() => {}
        None => result.set("oidc_group_field", "groups", "oauth2-proxy's default for --oidc-groups-claim"),
    }
}

/// Parameters of the authorization URL.
fn parameters(given: &mut Given, alpha: &Alpha, result: &mut Translation) {
    let (mut all, mut origins) = (BTreeMap::new(), Vec::new());
    let flags = [
        ("prompt", "prompt"),
        ("acr-values", "acr_values"),
        ("resource", "resource"),
        ("auth-request-response-mode", "response_mode"),
    ];
    let mut given: Vec<(String, String, String)> = flags
        .iter()
        .filter_map(|(flag, name)| given.text(flag).map(|(value, origin)| ((*name).to_owned(), value, origin)))
        .collect();
    given.extend(alpha.login_parameters.iter().map(|(name, (value, origin))| (name.clone(), value.clone(), origin.clone())));
    for (name, value, origin) in given {
        let breaks_logins = (name == "prompt" && value.contains("none"))
            || (name == "response_mode" && !matches!(value.as_str(), "query" | "form_post"));
        if breaks_logins {
            result.notes.push(Note::warning(&origin, format!("is left out: with {name}={value} no user could log in here")));
        } else if name == "approval_prompt" || name == "access_type" {
            result.notes.push(Note::info(&origin, "has no effect here: Evergate asks Google for refresh tokens by itself"));
        } else {
            all.insert(name, value);
            origins.push(origin);
        }
    }
    if !all.is_empty() {
        result.put("oidc_auth_url_params", Value::Map(all), origins.join(", "));
    }
}
