//! Addresses: those that browsers know, those that are listened on, and the proxies in front.

use url::Url;

use super::{
    given::Given,
    result::{Note, Translation},
    upstreams::Serves,
};

/// Translates addresses. Returns whether an ingress asks Evergate about its requests.
pub(super) fn translate(given: &mut Given, serves: Serves, has_response_headers: bool, result: &mut Translation) -> bool {
    external(given, result);
    sites(given, result);
    listening(given, result);
    force_https(given, result);
    let is_behind_proxy = given.is_on("reverse-proxy", false);
    proxies(given, is_behind_proxy, result);
    let tells =
        ["set-xauthrequest", "set-authorization-header", "set-basic-auth"].map(|flag| given.is_on(flag, false)).contains(&true);
    let answers = serves == Serves::Nothing || (is_behind_proxy && (tells || has_response_headers));
    if answers {
        let why = match serves {
            Serves::Nothing => {
                "there is no app to forward requests to, so that an ingress asks about them (docs/forward-auth.md)"
            }
            Serves::Apps => "an ingress may ask about its requests too (docs/forward-auth.md)",
        };
        result.set("forward_auth", "true", why);
        if !is_behind_proxy {
            proxies(given, true, result);
        }
    }
    answers
}

fn external(given: &mut Given, result: &mut Translation) {
    let prefix = given.text("proxy-prefix");
    let callback = given.text("redirect-url");
    let url = callback.as_ref().and_then(|(url, _)| Url::parse(url).ok()).filter(Url::has_host);
    match (url, callback) {
        (Some(url), Some((_, origin))) => {
            result.set("access_url", url.origin().ascii_serialization(), origin.clone());
            let path = url.path().trim_end_matches('/');
            let expected = prefix.as_ref().map_or("/oauth2", |(prefix, _)| prefix.trim_end_matches('/')).to_owned();
            if path != format!("{expected}/callback") && !path.is_empty() {
                let message = format!("has the path {path}; register {expected}/callback at the provider, which Evergate uses");
                result.notes.push(Note::warning(&origin, message));
            }
        }
        (_, callback) => {
            let subject = callback.map_or("--redirect-url".to_owned(), |(_, origin)| origin);
            result.ask_for("access_url", "https://app.example.com", &subject, "the address that browsers reach Evergate at");
        }
    }
    if let Some((prefix, origin)) = prefix.filter(|(prefix, _)| prefix.trim_end_matches('/') != "/oauth2") {
        result.set("path_prefix", prefix, origin);
    }
}

/// A redirect to https, which is known to be needed only where TLS is terminated here.
fn force_https(given: &mut Given, result: &mut Translation) {
    if !given.is_on("force-https", false) {
        return;
    }
    let origin = given.origin("force-https");
    if result.value("tls_enable").is_none() {
        let message = "redirects only where Evergate terminates TLS: let the proxy that does redirect plain http";
        result.notes.push(Note::warning(&origin, message));
    }
    result.set("redirect_to_access_url", "true", origin);
}

/// Further hosts. There one cookie served all of a domain; here each host has its own.
fn sites(given: &mut Given, result: &mut Translation) {
    let own = result.value("access_url").and_then(|url| Url::parse(url).ok()).and_then(|url| url.host_str().map(str::to_owned));
    let (mut wildcards, mut hosts, mut origins) = (Vec::new(), Vec::new(), Vec::new());
    for flag in ["cookie-domain", "whitelist-domain"] {
        let Some((domains, origin)) = given.list(flag) else { continue };
        for domain in domains {
            let host = domain.split(':').next().unwrap_or_default();
            let name = host.trim_start_matches(['*', '.']).to_owned();
            // A cookie's domain is all hosts below it, with or without its dot.
            let is_below = name.len() != host.len() || flag == "cookie-domain";
            let is_own = own.as_deref() == Some(name.as_str());
            match (is_below, is_own) {
                (true, true) if flag == "cookie-domain" && !host.starts_with('.') => {}
                (true, _) if !name.contains('.') => {}
                (true, _) => wildcards.push(format!("*.{name}")),
                (false, false) => hosts.push(name),
                (false, true) => {}
            }
        }
        origins.push(origin);
    }
    let mut seen = std::collections::BTreeSet::new();
    wildcards.retain(|wildcard| seen.insert(wildcard.clone()));
    hosts.retain(|host| seen.insert(host.clone()));
    let origins = origins.join(", ");
    let mut wildcards = wildcards.into_iter();
    if let Some(wildcard) = wildcards.next() {
        if let Some(access) = result.value("access_url").map(str::to_owned) {
            result.set("oidc_redirect_url", access, "one redirect URI for all hosts, as before");
        }
        let message = format!(
            "each host below {wildcard} has a cookie of its own here: send /oauth2/ of each to Evergate; the provider logs a user in to \
             the next host without a prompt"
        );
        result.notes.push(Note::warning(&origins, message));
        result.set("wildcard_access_url", wildcard, origins.clone());
    }
    for further in wildcards {
        result
            .notes
            .push(Note::error(&origins, format!("names {further} too, and Evergate serves one domain with all its hosts")));
    }
    if !hosts.is_empty() {
        result.set("oidc_redirect_allowed_hosts", hosts.join(","), origins);
    }
}

fn listening(given: &mut Given, result: &mut Translation) {
    let (http, origin) =
        given.text("http-address").unwrap_or_else(|| ("127.0.0.1:4180".to_owned(), "oauth2-proxy's default".to_owned()));
    let certificate = given.text("tls-cert-file");
    let plain = |address: &str| address.trim_start_matches("http://").trim_start_matches("https://").to_owned();
    if http.starts_with("unix:") || http.to_ascii_lowercase().starts_with("fd:") {
        result.notes.push(Note::warning(&origin, "has no equivalent: Evergate listens on an address and port"));
    } else if http != "-" && certificate.is_none() {
        result.set("http_address", plain(&http), origin);
    }
    let https = given.text("https-address");
    if let Some((file, origin)) = certificate {
        let (address, address_origin) = https.unwrap_or_else(|| (":443".to_owned(), "oauth2-proxy's default".to_owned()));
        result.set("tls_enable", "true", origin.clone());
        result.set("tls_address", plain(&address), address_origin);
        result.set("tls_cert_file", file, origin);
        if let Some((key, origin)) = given.text("tls-key-file") {
            result.set("tls_key_file", key, origin);
        }
        if let Some((version, origin)) = given.text("tls-min-version") {
            result.set("tls_min_version", if version.ends_with("1.3") { "tls13" } else { "tls12" }, origin);
        }
    }
    if let Some((address, origin)) = given.text("metrics-address").filter(|(address, _)| address != "-") {
        result.set("prometheus_enable", "true", origin.clone());
        result.set("prometheus_address", plain(&address), origin);
    }
}

/// The proxies that are believed. oauth2-proxy believes everybody unless it is told whom.
fn proxies(given: &mut Given, is_behind_proxy: bool, result: &mut Translation) {
    let header = given.text("real-client-ip-header");
    let networks = given.list("trusted-proxy-ip");
    if !is_behind_proxy {
        return;
    }
    let usable = networks.map(|(networks, origin)| {
        let believes_all = networks.iter().any(|network| network.ends_with("/0"));
        (networks.join(","), origin, believes_all)
    });
    match usable {
        Some((networks, origin, false)) => result.set("proxy_trusted_origins", networks, origin),
        Some((_, _, true)) | None => result.ask_for(
            "proxy_trusted_origins",
            "10.0.0.0/8",
            &given.origin("reverse-proxy"),
            "the networks of the proxy in front; oauth2-proxy believes every client, Evergate believes nobody else",
        ),
    }
    if let Some((header, origin)) = header {
        result.set("proxy_trusted_headers", header, origin);
    }
}
