//! Sessions, cookies, logs and pages.

use super::{
    given::Given,
    result::{Note, Translation, Value},
};

/// Translates sessions and cookies.
pub(super) fn translate(given: &mut Given, result: &mut Translation) {
    lifetimes(given, result);
    cookies(given, result);
    store(given, result);
    pages_and_logs(given, result);
}

/// Without `cookie-refresh` a session ends so long after the login; with it, so long after its last use.
fn lifetimes(given: &mut Given, result: &mut Translation) {
    let refresh = given.text("cookie-refresh").filter(|(refresh, _)| {
        !refresh.trim_end_matches(|letter: char| letter.is_ascii_alphabetic()).chars().all(|digit| digit == '0')
    });
    let (expire, origin) = given
        .text("cookie-expire")
        .unwrap_or_else(|| ("168h".to_owned(), "oauth2-proxy's default for --cookie-expire".to_owned()));
    if expire.chars().all(|letter| letter == '0' || letter.is_ascii_alphabetic()) {
        let message =
            "has no equivalent: a session does not end with the browser; CODER_SESSION_DURATION says how long it lasts unused";
        return result.notes.push(Note::warning(&origin, message));
    }
    if expire.contains('.') {
        return result.ask_for("session_duration", "168h", &origin, "how long a session lasts; without a fraction");
    }
    result.set("session_duration", expire.clone(), origin.clone());
    match refresh {
        None => {
            result.set("session_max_duration", expire, format!("{origin}; without --cookie-refresh it counts from the login"))
        }
        Some((_, origin)) => {
            let message =
                "extends sessions as long as they are used; here they end 30 days after the login (CODER_SESSION_MAX_DURATION)";
            result.notes.push(Note::info(&origin, message));
        }
    }
}

fn cookies(given: &mut Given, result: &mut Translation) {
    if let Some((name, origin)) = given.text("cookie-name") {
        let name = name.trim_start_matches("__Host-").trim_start_matches("__Secure-").to_owned();
        result.set("cookie_name", name, origin);
    }
    let is_https = result.value("access_url").is_none_or(|url| url.starts_with("https:"));
    match given.text("cookie-samesite") {
        Some((value, origin)) if value.eq_ignore_ascii_case("none") && is_https => {
            result.set("samesite_auth_cookie", "none", origin)
        }
        Some((value, origin)) if value.eq_ignore_ascii_case("strict") => {
            result.notes.push(Note::info(&origin, "is lax here: CSRF protection does not depend on it (CODER_ALLOWED_ORIGINS)"));
        }
        Some(_) | None => {}
    }
}

fn store(given: &mut Given, result: &mut Translation) {
    let Some((kind, origin)) = given.text("session-store-type").filter(|(kind, _)| kind != "cookie") else { return };
    let why = "replicas share sessions in Postgres; without it, one process has them in SQLite";
    result.put("pg_connection_url_file", Value::ToFillIn("/run/secrets/pg_connection_url"), format!("{origin}: {why}"));
    let why = "made by evergate keys generate; needed with Postgres";
    result.put("external_token_encryption_keys_file", Value::ToFillIn("/run/secrets/encryption_keys"), why);
    let message = format!(
        "sessions were in {kind}: set CODER_PG_CONNECTION_URL_FILE and CODER_EXTERNAL_TOKEN_ENCRYPTION_KEYS_FILE if there are several \
         replicas; without them one process has its sessions in SQLite (CODER_DATA_DIR)"
    );
    let asked = ["pg_connection_url_file", "external_token_encryption_keys_file"];
    result.notes.push(Note::asking(&asked, &origin, message));
}

fn pages_and_logs(given: &mut Given, result: &mut Translation) {
    if let Some((logo, origin)) = given.text("custom-sign-in-logo") {
        if logo.starts_with("https://") {
            result.set("oidc_icon_url", logo, origin);
        } else if logo != "-" {
            result.notes.push(Note::warning(&origin, "has no equivalent: CODER_OIDC_ICON_URL takes an https URL alone"));
        }
    }
    if !given.is_on("request-logging", true) {
        result.set("log_filter", "info,evergate::access=off", given.origin("request-logging"));
    }
    if let Some((path, origin)) = given.text("logging-filename") {
        result.set("logging_json", path, origin);
    }
}
