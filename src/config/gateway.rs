//! Settings of `gateway`: the addresses that browsers know, and what is asked of every request.

use http::{HeaderName, HeaderValue, header};

use super::{
    cookies,
    forward::{self, TrustedTarget},
    identity, pages, pattern_traps,
    reader::Reader,
    routes, server,
    setting::{Section, Setting, ValueType, setting},
    upstream_traps::{check_own_ports, warn_of_loops, warn_of_stripped_prefixes},
    values,
};
use crate::{
    address::{AccessUrl, HostPattern, Sites, TrustedProxies},
    exchange,
    forward::is_framing_header,
    gateway::{self, ForwardAuth},
    policy::{CrossOrigin, OriginPattern},
};

/// The settings under their heading.
pub(super) const SECTION: Section = Section {
    title: "Addresses",
    settings: &[
        &ACCESS_URL,
        &WILDCARD_ACCESS_URL,
        &REDIRECT_URL,
        &REDIRECT_ALLOWED_HOSTS,
        &SHARED_LOGIN,
        &PATH_PREFIX,
        &REDIRECT_TO_ACCESS_URL,
        &STRICT_TRANSPORT_SECURITY,
        &STRICT_TRANSPORT_SECURITY_OPTIONS,
        &PROXY_TRUSTED_ORIGINS,
        &PROXY_TRUSTED_HEADERS,
        &ALLOWED_ORIGINS,
        &forward::FORWARD_AUTH,
        &forward::EXT_AUTHZ_ADDRESS,
        &forward::EXT_AUTHZ_TLS,
    ],
};

const ACCESS_URL: Setting = setting(
    "access_url",
    ValueType::Url,
    "",
    "Required. The external URL of Evergate, as browsers reach it: scheme, host and port, as in `https://app.example.com`. Register two addresses under it at the provider: `<access URL>/oauth2/callback` as redirect URI, `<access URL>/oauth2/signed_out` as post-logout redirect URI. Over plain http cookies are not protected on the network.",
);
const WILDCARD_ACCESS_URL: Setting = setting(
    "wildcard_access_url",
    ValueType::Text,
    "",
    "Further sites: all hosts that match, as in `*.apps.example.com`, where the star stands for letters, digits and dashes at the beginning of one label. The scheme is the access URL's. Each site has its own cookies and sessions; routes without a `host` serve it. The provider must accept a redirect URI of each, or one for all (`CODER_OIDC_REDIRECT_URL`).",
);
const REDIRECT_URL: Setting = setting(
    "oidc_redirect_url",
    ValueType::Url,
    "",
    "The site of the redirect URI and the post-logout redirect URI, for all sites, as in `https://login.example.com`: `<it>/oauth2/callback` and `<it>/oauth2/signed_out` alone are registered at the provider, and Evergate sends browsers on to the site where they began. It must lead to Evergate and have the access URL's scheme. Not set: those of each site.",
);
const REDIRECT_ALLOWED_HOSTS: Setting = setting(
    "oidc_redirect_allowed_hosts",
    ValueType::List,
    "",
    "Further sites: hosts by which browsers reach Evergate besides the access URL's, as in `other.example.com`. Each has its own cookies, sessions and redirect URI; routes without a `host` serve it.",
);
const SHARED_LOGIN: Setting = setting(
    "shared_login",
    ValueType::Bool,
    "false",
    "One login for all sites: a browser without a session at a site is sent through the site of `CODER_OIDC_REDIRECT_URL`, or else the access URL, whose session is handed over to the site without a prompt. A logout at one site ends the sessions of all. Only that site's redirect URI is registered at the provider (`docs/hosts.md`).",
);
pub(super) const PATH_PREFIX: Setting = setting(
    "path_prefix",
    ValueType::Text,
    "/oauth2",
    "The path prefix of Evergate's own endpoints. All other paths are the app's.",
);
const REDIRECT_TO_ACCESS_URL: Setting = setting(
    "redirect_to_access_url",
    ValueType::Bool,
    "false",
    "Whether Evergate redirects (308) requests for an unknown host, and plain-text requests while `CODER_TLS_ENABLE` is set, to the access URL (HTTP to HTTPS redirect). Otherwise unknown hosts get 421.",
);
const STRICT_TRANSPORT_SECURITY: Setting = setting(
    "strict_transport_security",
    ValueType::Number,
    "0",
    "HSTS: the `max-age` in seconds of `Strict-Transport-Security` (RFC 6797), for which browsers use https only. `0` sends no such header.",
);
const STRICT_TRANSPORT_SECURITY_OPTIONS: Setting =
    setting("strict_transport_security_options", ValueType::List, "", "Further HSTS directives: `includeSubDomains`, `preload`.");
pub(super) const PROXY_TRUSTED_ORIGINS: Setting = setting(
    "proxy_trusted_origins",
    ValueType::List,
    "",
    "Trusted proxies: networks (CIDR) of the load balancers and proxies in front of Evergate. Evergate uses their `X-Forwarded-For`, `-Proto` and `-Host` and replaces those of every other client.",
);
const PROXY_TRUSTED_HEADERS: Setting = setting(
    "proxy_trusted_headers",
    ValueType::List,
    "X-Forwarded-For",
    "The headers in which trusted proxies write the client's address, as in `Cf-Connecting-Ip,X-Forwarded-For`: the first one that a request has counts. Name only headers that the outermost proxy overwrites, because a client may send them too. The app finds the address that counted under each of these names.",
);
const ALLOWED_ORIGINS: Setting = setting(
    "allowed_origins",
    ValueType::List,
    "",
    "CSRF and cross-site WebSocket hijacking protection: origins (`https://other.example.com`, or `https://*.apps.example.com` for all that differ in the beginning of one label) whose pages may send state-changing requests and open WebSockets, besides the access URL's own origin. Other origins get 403. `*` allows every origin and leaves the protection to the app.",
);

/// The gateway's settings, and the targets that its routes lead to. `default_target` is what `CODER_UPSTREAM_*` describe.
pub(super) fn read(
    reader: &mut Reader<'_>,
    default_target: Option<TrustedTarget>,
) -> Option<(gateway::Settings, Vec<TrustedTarget>)> {
    let access_url =
        reader.required(&ACCESS_URL, "https://app.example.com", |text| AccessUrl::parse(text).map_err(str::to_owned));
    let path_prefix = reader.parsed(&PATH_PREFIX, path_prefix);
    let cross_origin = cross_origin(reader);
    let trusted_proxies = trusted_proxies(reader);
    let redirect_unknown_hosts = reader.boolean(&REDIRECT_TO_ACCESS_URL);
    let serves_tls = reader.boolean(&server::TLS_ENABLE);
    let shares_login = reader.boolean(&SHARED_LOGIN);
    let is_asked_by_http = reader.boolean(&forward::FORWARD_AUTH);
    if is_asked_by_http == Some(true) && !reader.is_given(&PROXY_TRUSTED_ORIGINS) {
        reader.warn(&PROXY_TRUSTED_ORIGINS, "is not set, so that no ingress is believed which page and host it asks about");
    }
    let strict_transport_security = strict_transport_security(reader);
    if serves_tls == Some(true) && access_url.as_ref().is_some_and(|url| !url.is_https()) {
        reader.warn(&server::TLS_ENABLE, "is set, and CODER_ACCESS_URL is http: browsers are sent there, to plain text");
    }
    // The routes are read even if the access URL is unusable, so that their mistakes are reported with it.
    let mut sites = Sites::new(access_url.or_else(|| AccessUrl::parse("https://unknown.invalid").ok())?);
    let identity = identity::read(reader);
    let (routes, mut targets) =
        routes::read(reader, &mut sites, default_target?, &identity, path_prefix.as_deref().unwrap_or("/oauth2"));
    if let Some(trusted) = &trusted_proxies {
        targets.iter_mut().for_each(|(target, _)| target.address_headers = trusted.other_client_headers());
    }
    check_own_ports(reader, &targets);
    warn_of_loops(reader, &targets);
    warn_of_stripped_prefixes(reader, &routes, &targets);
    pattern_traps::check(reader, &routes, path_prefix.as_deref().unwrap_or("/oauth2"));
    let serves_apps = targets.iter().any(|(target, _)| target.has_upstream());
    let redirect_url = further_sites(reader, &mut sites);
    check_access_url(reader, &sites);
    let cookies = cookies::read(reader, sites.main().is_https());
    let branding = pages::read(reader, path_prefix.as_deref().unwrap_or("/oauth2"));
    let settings = gateway::Settings {
        exchange: exchange::Settings {
            sites,
            serves_tls: serves_tls?,
            trusted: trusted_proxies?,
            cross_origin,
            cookies: cookies?,
            request_ids: exchange::RequestIds::default(),
        },
        routes,
        is_asked_by_http: is_asked_by_http?,
        forward_auth: match (forward::may_lack_upstream(reader), serves_apps) {
            (false, _) => ForwardAuth::Off,
            (true, true) => ForwardAuth::BesideProxy,
            (true, false) => ForwardAuth::Only,
        },
        redirect_unknown_hosts: redirect_unknown_hosts?,
        strict_transport_security: strict_transport_security?,
        prefix: path_prefix?,
        branding: branding?,
        redirect_url,
        shares_login: shares_login?,
        // The claims belong to the provider's settings; `check` fills this in.
        lacks_group_claim: false,
        // As above.
        administered_at: gateway::Entrance::Public,
    };
    Some((settings, targets))
}

/// Adds the sites that are neither the access URL's nor a route's, and returns that of the redirect URI, where it is one for all.
fn further_sites(reader: &mut Reader<'_>, sites: &mut Sites) -> Option<AccessUrl> {
    for host in reader.list(&REDIRECT_ALLOWED_HOSTS) {
        if host.contains('*') {
            reader.warn(
                &REDIRECT_ALLOWED_HOSTS,
                "has a star, and hosts are read as they stand; a pattern is CODER_WILDCARD_ACCESS_URL",
            );
        }
        if let Err(message) = sites.add(&host) {
            reader.problem(&REDIRECT_ALLOWED_HOSTS, message);
        }
    }
    let wildcard = reader.parsed(&WILDCARD_ACCESS_URL, |text| match text.starts_with('*') && !text.contains('{') {
        true => HostPattern::parse(text).map_err(str::to_owned),
        false => Err("must be a host whose first label begins with a star, as in *.apps.example.com".to_owned()),
    });
    if let Some(Err(message)) = wildcard.map(|pattern| sites.add_pattern(&pattern)) {
        reader.problem(&WILDCARD_ACCESS_URL, message);
    }
    let redirect_url = reader.parsed(&REDIRECT_URL, |text| AccessUrl::parse(text).map_err(str::to_owned))?;
    if redirect_url.scheme() != sites.main().scheme() {
        reader.problem(&REDIRECT_URL, "must have the scheme of CODER_ACCESS_URL");
    } else if redirect_url.authority().contains('*') {
        reader.problem(&REDIRECT_URL, "must be one host, without a star");
    } else if let Err(message) = sites.add(redirect_url.authority()) {
        reader.problem(&REDIRECT_URL, message);
    }
    Some(redirect_url)
}

/// Refuses an access URL that no browser reaches, unless they reach another site.
fn check_access_url(reader: &mut Reader<'_>, sites: &Sites) {
    if !sites.main().authority().contains('*') {
        return;
    }
    match sites.all().nth(1).is_some() || sites.pattern_examples().next().is_some() {
        true => reader.warn(&ACCESS_URL, "has a star, and is read as it stands, so that it is no browser's site"),
        false => reader.problem(&ACCESS_URL, "must be one host, without a star; further sites are CODER_WILDCARD_ACCESS_URL"),
    }
}

/// The path of Evergate's own pages, without a slash at its end.
pub(super) fn path_prefix(text: &str) -> Result<String, String> {
    let text = text.trim_end_matches('/');
    let plain = |character: char| character.is_ascii_alphanumeric() || matches!(character, '/' | '-' | '_' | '.' | '~');
    if text.len() > 1
        && text.starts_with('/')
        && text.chars().all(plain)
        && !text.contains("//")
        && !text.split('/').any(|part| matches!(part, "." | ".."))
    {
        Ok(text.to_owned())
    } else {
        Err("must be a path like /oauth2".to_owned())
    }
}

fn cross_origin(reader: &mut Reader<'_>) -> CrossOrigin {
    let listed = reader.list(&ALLOWED_ORIGINS);
    if listed.iter().any(|origin| origin == "*") {
        return CrossOrigin::Any;
    }
    let mut origins = Vec::new();
    for text in listed {
        match OriginPattern::parse(&text) {
            Ok(origin) if !origin.is_everybodys() => origins.push(origin),
            // No browser's origin is this, which prevents nothing from working.
            Err(why) if text.contains('*') && AccessUrl::parse(&text).is_ok_and(|url| url.at("") == text) => {
                reader.warn(&ALLOWED_ORIGINS, why);
            }
            Ok(_) | Err(_) => reader.problem(
                &ALLOWED_ORIGINS,
                "must be origins like https://other.example.com or https://*.apps.example.com, without a path, or *",
            ),
        }
    }
    CrossOrigin::Only(origins)
}

fn trusted_proxies(reader: &mut Reader<'_>) -> Option<TrustedProxies> {
    let networks = reader.list(&PROXY_TRUSTED_ORIGINS).iter().map(|text| values::network(text)).collect::<Option<Vec<_>>>();
    if networks.is_none() {
        reader.problem(&PROXY_TRUSTED_ORIGINS, "must be networks like 10.0.0.0/8,fd00::/8");
    }
    if networks.iter().flatten().any(|network| network.prefix_len() == 0) {
        reader.problem(&PROXY_TRUSTED_ORIGINS, "must not trust every address: any client could then choose its own");
    }
    let headers = reader.parsed(&PROXY_TRUSTED_HEADERS, |text| {
        let names = values::list(text).iter().map(|name| name.parse()).collect::<Result<Vec<HeaderName>, _>>();
        let names = names.map_err(|_| "must be names of headers, as in X-Forwarded-For".to_owned())?;
        // An address in its place would make another message of each request.
        let is_taken = |name: &HeaderName| is_framing_header(name) || [header::AUTHORIZATION, header::COOKIE].contains(name);
        match names.iter().any(is_taken) {
            true => Err("names a header in which no proxy writes an address".to_owned()),
            false => Ok(names),
        }
    });
    Some(TrustedProxies::new(networks?, headers?))
}

/// The header's value (RFC 6797 section 6.1); `Some(None)` where the header is not sent.
fn strict_transport_security(reader: &mut Reader<'_>) -> Option<Option<HeaderValue>> {
    let seconds = reader.parsed(&STRICT_TRANSPORT_SECURITY, |text| {
        text.parse::<u32>().map_err(|_| "must be a whole number of seconds".to_owned())
    })?;
    // A directive's name has no case (RFC 6797 section 6.1).
    let known = |option: &String| ["includeSubDomains", "preload"].into_iter().find(|known| known.eq_ignore_ascii_case(option));
    let options = reader.list(&STRICT_TRANSPORT_SECURITY_OPTIONS).iter().map(known).collect::<Option<Vec<_>>>();
    let options = options.unwrap_or_else(|| {
        reader.problem(&STRICT_TRANSPORT_SECURITY_OPTIONS, "must be includeSubDomains, preload or both");
        Vec::new()
    });
    let value = options.iter().fold(format!("max-age={seconds}"), |value, option| format!("{value}; {option}"));
    Some(HeaderValue::try_from(value).ok().filter(|_| seconds > 0))
}
