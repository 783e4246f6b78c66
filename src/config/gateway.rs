//! Settings of `gateway`: the addresses that browsers know, and what is asked of every request.

use http::HeaderValue;
use ipnet::IpNet;

use super::{
    forward::TrustedTarget,
    reader::Reader,
    routes, server,
    setting::{Section, Setting, ValueType, setting},
};
use crate::{
    address::{AccessUrl, Sites, TrustedProxies},
    exchange, gateway,
    policy::CrossOrigin,
    session::cookie::{Cookies, DEFAULT_NAME, MAX_NAME_LEN},
};

/// The settings under their heading.
pub(super) const SECTION: Section = Section {
    title: "Addresses",
    settings: &[
        &ACCESS_URL,
        &PATH_PREFIX,
        &REDIRECT_TO_ACCESS_URL,
        &STRICT_TRANSPORT_SECURITY,
        &STRICT_TRANSPORT_SECURITY_OPTIONS,
        &COOKIE_NAME,
        &PROXY_TRUSTED_ORIGINS,
        &ALLOWED_ORIGINS,
    ],
};

const ACCESS_URL: Setting = setting(
    "access_url",
    ValueType::Url,
    "",
    "Required. The external URL of Evergate, as browsers reach it: scheme, host and port, as in `https://app.example.com`. Register two addresses under it at the provider: `<access URL>/oauth2/callback` as redirect URI, `<access URL>/oauth2/signed_out` as post-logout redirect URI. Over plain http cookies are not protected on the network.",
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
const COOKIE_NAME: Setting = setting(
    "cookie_name",
    ValueType::Text,
    DEFAULT_NAME,
    "The prefix of the names of Evergate's cookies. Two gateways on one host name with different ports need different prefixes, because browsers do not separate cookies by port.",
);
const PROXY_TRUSTED_ORIGINS: Setting = setting(
    "proxy_trusted_origins",
    ValueType::List,
    "",
    "Trusted proxies: networks (CIDR) of the load balancers and proxies in front of Evergate. Evergate uses their `X-Forwarded-For`, `-Proto` and `-Host` and replaces those of every other client.",
);
const ALLOWED_ORIGINS: Setting = setting(
    "allowed_origins",
    ValueType::List,
    "",
    "CSRF and cross-site WebSocket hijacking protection: origins (`https://other.example.com`) whose pages may send state-changing requests and open WebSockets, besides the access URL's own origin. Other origins get 403. `*` allows every origin and leaves the protection to the app.",
);

/// The gateway's settings, and the targets that its routes lead to. `default_target` is what `CODER_UPSTREAM_*` describe.
pub(super) fn read(
    reader: &mut Reader<'_>,
    default_target: Option<TrustedTarget>,
) -> Option<(gateway::Settings, Vec<TrustedTarget>)> {
    let access_url =
        reader.required(&ACCESS_URL, "https://app.example.com", |text| AccessUrl::parse(text).map_err(str::to_owned));
    let (path_prefix, cookie_name) = (reader.parsed(&PATH_PREFIX, path_prefix), reader.parsed(&COOKIE_NAME, cookie_name));
    let cross_origin = cross_origin(reader);
    let trusted_proxies = trusted_proxies(reader);
    let redirect_unknown_hosts = reader.boolean(&REDIRECT_TO_ACCESS_URL);
    let serves_tls = reader.boolean(&server::TLS_ENABLE);
    let strict_transport_security = strict_transport_security(reader);
    if serves_tls == Some(true) && access_url.as_ref().is_some_and(|url| !url.is_https()) {
        reader.warn(&server::TLS_ENABLE, "is set, and CODER_ACCESS_URL is http: browsers are sent there, to plain text");
    }
    // The routes are read even if the access URL is unusable, so that their mistakes are reported with it.
    let mut sites = Sites::new(access_url.or_else(|| AccessUrl::parse("https://unknown.invalid").ok())?);
    let (routes, targets) = routes::read(reader, &mut sites, default_target?);
    let cookies = Cookies::new(sites.main().is_https(), &cookie_name?);
    let settings = gateway::Settings {
        exchange: exchange::Settings {
            sites,
            serves_tls: serves_tls?,
            trusted: trusted_proxies?,
            cross_origin,
            cookies,
            request_ids: exchange::RequestIds::default(),
        },
        routes,
        redirect_unknown_hosts: redirect_unknown_hosts?,
        strict_transport_security: strict_transport_security?,
        prefix: path_prefix?,
        // The claims belong to the provider's settings; `check` fills this in.
        lacks_group_claim: false,
    };
    Some((settings, targets))
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

/// A cookie name is a token (RFC 6265 section 4.1.1); only its plain characters are allowed here.
fn cookie_name(text: &str) -> Result<String, String> {
    let plain = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
    if (1..=MAX_NAME_LEN).contains(&text.len()) && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err(format!("must be up to {MAX_NAME_LEN} letters, digits, dots, dashes and underscores, as in evergate"))
    }
}

fn cross_origin(reader: &mut Reader<'_>) -> CrossOrigin {
    let origins = reader.list(&ALLOWED_ORIGINS);
    if origins.iter().any(|origin| origin == "*") {
        return CrossOrigin::Any;
    }
    if !origins.iter().all(|origin| AccessUrl::parse(origin).is_ok_and(|url| url.at("") == *origin)) {
        reader.problem(&ALLOWED_ORIGINS, "must be origins like https://other.example.com, without a path, or *");
    }
    CrossOrigin::Only(origins)
}

fn trusted_proxies(reader: &mut Reader<'_>) -> Option<TrustedProxies> {
    let networks = reader.list(&PROXY_TRUSTED_ORIGINS).iter().map(|text| network(text)).collect::<Option<Vec<_>>>();
    if networks.is_none() {
        reader.problem(&PROXY_TRUSTED_ORIGINS, "must be networks like 10.0.0.0/8,fd00::/8");
    }
    if networks.iter().flatten().any(|network| network.prefix_len() == 0) {
        reader.problem(&PROXY_TRUSTED_ORIGINS, "must not trust every address: any client could then choose its own");
    }
    networks.map(TrustedProxies)
}

/// A network, or one address.
fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<std::net::IpAddr>().map(IpNet::from).ok())
}

/// The header's value (RFC 6797 section 6.1); `Some(None)` where the header is not sent.
fn strict_transport_security(reader: &mut Reader<'_>) -> Option<Option<HeaderValue>> {
    let seconds = reader.parsed(&STRICT_TRANSPORT_SECURITY, |text| {
        text.parse::<u32>().map_err(|_| "must be a whole number of seconds".to_owned())
    })?;
    let options = reader.list(&STRICT_TRANSPORT_SECURITY_OPTIONS);
    if !options.iter().all(|option| matches!(option.as_str(), "includeSubDomains" | "preload")) {
        reader.problem(&STRICT_TRANSPORT_SECURITY_OPTIONS, "must be includeSubDomains, preload or both");
    }
    let value = options.iter().fold(format!("max-age={seconds}"), |value, option| format!("{value}; {option}"));
    Some(HeaderValue::try_from(value).ok().filter(|_| seconds > 0))
}
