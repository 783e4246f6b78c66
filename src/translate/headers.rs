//! What apps are told of their users: the headers of requests, and those of the responses to an ingress.

use std::collections::BTreeMap;

use super::{
    alpha_config::{Alpha, Header, HeaderSource},
    given::Given,
    result::{Note, Translation, Value},
};

/// The headers that apps get unless something else is configured, with their claims.
const USUAL: [(&str, &str); 4] = [
    ("x-forwarded-user", "user"),
    ("x-forwarded-email", "email"),
    ("x-forwarded-groups", "groups"),
    ("x-forwarded-preferred-username", "preferred_username"),
];
const ACCESS_TOKEN: &str = "x-forwarded-access-token";

/// Translates headers. `answers_ingresses` says whether an ingress is told of users in responses.
pub(super) fn translate(given: &mut Given, alpha: &Alpha, answers_ingresses: bool, result: &mut Translation) {
    let (mut requests, responses) = if alpha.is_given {
        (alpha.request_headers.clone(), alpha.response_headers.clone())
    } else {
        (legacy_requests(given), legacy_responses(given))
    };
    let is_told = |name: &str, requests: &[Header]| requests.iter().any(|header| header.name.eq_ignore_ascii_case(name));
    for header in responses {
        let name = header.name.to_ascii_lowercase();
        if !answers_ingresses {
            let message = "has no equivalent: Evergate tells no browser who its user is in headers; \
                           with --reverse-proxy the responses to an ingress have them";
            result.notes.push(Note::warning(&header.origin, message));
        } else if let Some(end) = name.strip_prefix("x-auth-request-") {
            let own = format!("x-forwarded-{end}");
            let is_usual = USUAL.iter().any(|(usual, _)| *usual == own) || own == ACCESS_TOKEN;
            if !is_told(&own, &requests) {
                // The response to an ingress has what the app would get, by both names.
                requests.push(Header { name: if is_usual { own } else { header.name }, ..header });
            }
        } else if !is_told(&name, &requests) {
            requests.push(header);
        }
    }
    write(given, requests, result);
}

/// Writes the headers of requests as settings.
fn write(given: &mut Given, requests: Vec<Header>, result: &mut Translation) {
    let (mut own, mut origins, mut fixed) = (BTreeMap::new(), Vec::new(), BTreeMap::new());
    let mut access_token = None;
    for header in requests {
        let name = header.name.to_ascii_lowercase();
        let [source] = header.values.as_slice() else {
            result.notes.push(Note::error(&header.origin, "has no value or several, of which none is translated"));
            continue;
        };
        match source {
            HeaderSource::Fixed => {
                fixed.insert(header.name.clone(), "FILL-IN".to_owned());
                let message = "has a fixed value, which is not repeated here: write it in the place of FILL-IN in evergate.toml";
                result.notes.push(Note::warning(&header.origin, message));
            }
            HeaderSource::Claim { claim, password: Some(file), .. } => {
                credentials(given, claim, file.as_ref(), &header.origin, result)
            }
            HeaderSource::Claim { claim, prefix, password: None } => match template(claim) {
                Some(placeholder) if name == ACCESS_TOKEN && claim == "access_token" && prefix.is_empty() => {
                    access_token = Some((header.name.clone(), placeholder, header.origin.clone()));
                }
                Some(placeholder) => {
                    let prefix = prefix.replace('{', "{{").replace('}', "}}");
                    if own.insert(header.name.clone(), format!("{prefix}{placeholder}")).is_some() {
                        result.notes.push(Note::error(&header.origin, "is a header that is set twice"));
                    }
                    origins.push(header.origin.clone());
                }
                None => result.notes.push(Note::error(&header.origin, format!("has no equivalent: no app is told of {claim}"))),
            },
        }
    }
    let has_authorization = own.keys().any(|name: &String| name.eq_ignore_ascii_case("authorization"));
    if has_authorization && result.lines.iter().any(|line| line.name.starts_with("identity_basic_password")) {
        result.lines.retain(|line| !line.name.starts_with("identity_basic_"));
        let message = "cannot be sent besides a bearer token in the same header; the password is left out";
        result.notes.push(Note::error(&given.origin("basic-auth-password"), message));
    }
    let is_as_usual = |(name, claim): &(&str, &str)| {
        own.iter().any(|(own, text)| own.eq_ignore_ascii_case(name) && Some(text) == template(claim).as_ref())
    };
    let has_usual = USUAL.iter().all(is_as_usual);
    if has_usual {
        own.retain(|name, _| !USUAL.iter().any(|(usual, _)| name.eq_ignore_ascii_case(usual)));
    }
    origins.dedup();
    if let Some((name, placeholder, origin)) = access_token {
        if has_usual || !own.is_empty() {
            result.set("pass_access_token", "true", origin);
        } else {
            own.insert(name, placeholder);
            origins.push(origin);
        }
    }
    match (has_usual, own.is_empty()) {
        (true, true) => {}
        (true, false) => {
            result.set("identity", "evergate", "the usual headers, besides those of evergate.toml");
            result.put("identity_headers", Value::Map(own), origins.join(", "));
        }
        (false, false) => result.put("identity_headers", Value::Map(own), origins.join(", ")),
        (false, true) => result.set("identity", "none", "no header tells apps of their users"),
    }
    result.fixed_headers = fixed;
}

/// What stands in braces for a claim of oauth2-proxy's session; `None` if no app is told of it here.
fn template(claim: &str) -> Option<String> {
    Some(match claim {
        "user" => "{user}".to_owned(),
        "email" => "{email}".to_owned(),
        "groups" => "{groups}".to_owned(),
        "preferred_username" => "{username}".to_owned(),
        "access_token" => "{access_token}".to_owned(),
        "id_token" => "{id_token}".to_owned(),
        "refresh_token" | "created_at" | "expires_on" => return None,
        other => format!("{{claim:{other}}}"),
    })
}

/// `Authorization: Basic` with one password for all users.
fn credentials(given: &mut Given, claim: &str, file: Option<&String>, origin: &str, result: &mut Translation) {
    match (file, given.text("basic-auth-password")) {
        (Some(file), _) => result.set("identity_basic_password_file", file.clone(), origin),
        (None, Some((password, origin))) => result.put("identity_basic_password", Value::Secret(Some(password)), origin),
        (None, None) => result.put("identity_basic_password", Value::Secret(None), origin),
    }
    if let Some(placeholder) = template(claim) {
        result.set("identity_basic_user", placeholder, format!("the name with that password ({origin})"));
    }
}

fn header(name: &str, claim: &str, prefix: &str, origin: &str) -> Header {
    let source = HeaderSource::Claim { claim: claim.to_owned(), prefix: prefix.to_owned(), password: None };
    Header { name: name.to_owned(), values: vec![source], origin: origin.to_owned() }
}

fn basic(given: &mut Given, flag: &'static str) -> Header {
    let claim = if given.is_on("prefer-email-to-user", false) { "email" } else { "user" };
    let source = HeaderSource::Claim { claim: claim.to_owned(), prefix: "Basic ".to_owned(), password: Some(None) };
    Header { name: "Authorization".to_owned(), values: vec![source], origin: given.origin(flag) }
}

/// The headers of requests that the flags ask for.
fn legacy_requests(given: &mut Given) -> Vec<Header> {
    let mut headers = Vec::new();
    let (basic_auth, user_headers) = (given.is_on("pass-basic-auth", true), given.is_on("pass-user-headers", true));
    if basic_auth && given.take("basic-auth-password").is_some() {
        headers.push(basic(given, "basic-auth-password"));
    }
    if basic_auth || user_headers {
        let origin = given.origin("pass-user-headers");
        headers.push(header("X-Forwarded-Groups", "groups", "", &origin));
        headers.push(header("X-Forwarded-Preferred-Username", "preferred_username", "", &origin));
        if given.is_on("prefer-email-to-user", false) {
            headers.push(header("X-Forwarded-User", "email", "", &given.origin("prefer-email-to-user")));
        } else {
            headers.push(header("X-Forwarded-User", "user", "", &origin));
            headers.push(header("X-Forwarded-Email", "email", "", &origin));
        }
    }
    if given.is_on("pass-access-token", false) {
        headers.push(header("X-Forwarded-Access-Token", "access_token", "", &given.origin("pass-access-token")));
    }
    if given.is_on("pass-authorization-header", false) {
        headers.push(header("Authorization", "id_token", "Bearer ", &given.origin("pass-authorization-header")));
    }
    headers
}

/// The headers of responses that the flags ask for.
fn legacy_responses(given: &mut Given) -> Vec<Header> {
    let mut headers = Vec::new();
    if given.is_on("set-xauthrequest", false) {
        let origin = given.origin("set-xauthrequest");
        headers.push(header("X-Auth-Request-User", "user", "", &origin));
        headers.push(header("X-Auth-Request-Email", "email", "", &origin));
        headers.push(header("X-Auth-Request-Preferred-Username", "preferred_username", "", &origin));
        headers.push(header("X-Auth-Request-Groups", "groups", "", &origin));
        if given.is_on("pass-access-token", false) {
            headers.push(header("X-Auth-Request-Access-Token", "access_token", "", &origin));
        }
    }
    if given.is_on("set-basic-auth", false) {
        headers.push(basic(given, "set-basic-auth"));
    }
    if given.is_on("set-authorization-header", false) {
        headers.push(header("Authorization", "id_token", "Bearer ", &given.origin("set-authorization-header")));
    }
    headers
}
