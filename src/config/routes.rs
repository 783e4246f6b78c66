//! Settings of `routing`, which only the file can hold: `[[route]]` tables, each with a place and a target.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use super::{
    app_tokens::{self, ROUTE_APP_TOKENS},
    bearer::{BEARER_AUDIENCES, BEARER_CLIENTS, BEARER_PASS, BEARER_SCOPES, BEARER_TOKENS},
    cors::CORS,
    ended_sessions::{KEEP_FORM_POSTS, SESSION_SCRIPT},
    forward::{TrustedTarget, may_lack_upstream, protocol},
    header_spoofing::keep_from_clients,
    identity::{
        HeaderSets, IdentitySettings, ROUTE_ASSERTION, ROUTE_BASIC_PASSWORD_FILE, ROUTE_BASIC_USER, ROUTE_IDENTITY,
        ROUTE_IDENTITY_HEADERS, ROUTE_PASS_ACCESS_TOKEN,
    },
    portal::{PORTAL_ICON, PORTAL_NAME, PORTAL_TEXT},
    provider_table,
    reader::Reader,
    route_host::{HOST, PORTS, UPSTREAM, UPSTREAM_NETWORKS, Upstreams},
    route_reader::RouteReader,
    route_rule::{
        CLAIMS, CLAIMS_EXIST, CLAIMS_MATCH, EMAIL_DOMAINS, EMAILS, EMAILS_FILE, GROUPS, METHODS, NETWORKS, PROVIDERS, RULE,
    },
    setting::{Setting, ValueType, setting},
    token_issuers, values,
};
use crate::{
    address::Sites,
    forward::{Edits, Target, is_framing_header, may_be_set},
    header_names,
    identity::HeaderSet,
    policy::{Policy, Rule},
    routing::{Route, RouteHost, Routes},
    tls::ClientTls,
};

/// The keys of a `[[route]]` table, in the order of the reference.
pub(super) const KEYS: &[&Setting] = &[
    &HOST,
    &PATH,
    &UPSTREAM,
    &PORTS,
    &UPSTREAM_NETWORKS,
    &PROTOCOL,
    &RULE,
    &PROVIDERS,
    &GROUPS,
    &EMAIL_DOMAINS,
    &EMAILS,
    &EMAILS_FILE,
    &CLAIMS,
    &CLAIMS_MATCH,
    &CLAIMS_EXIST,
    &NETWORKS,
    &METHODS,
    &CORS,
    &BEARER_TOKENS,
    &BEARER_AUDIENCES,
    &BEARER_CLIENTS,
    &BEARER_SCOPES,
    &BEARER_PASS,
    &OUTAGE,
    &STRIP_PREFIX,
    &UPGRADES,
    &HOST_HEADER,
    &REWRITE_DESTINATION,
    &ROUTE_IDENTITY,
    &ROUTE_IDENTITY_HEADERS,
    &ROUTE_BASIC_USER,
    &ROUTE_BASIC_PASSWORD_FILE,
    &ROUTE_PASS_ACCESS_TOKEN,
    &ROUTE_ASSERTION,
    &ROUTE_APP_TOKENS,
    &CONNECT_TIMEOUT,
    &BODY_TIMEOUT,
    &TIMEOUT,
    &IDLE_TIMEOUT,
    &TOTAL_TIMEOUT,
    &MAX_REQUESTS,
    &CA_FILE,
    &CLIENT_CERT_FILE,
    &CLIENT_KEY_FILE,
    &REMOVE_HEADERS,
    &SET_HEADERS,
    &REMOVE_ANSWER_HEADERS,
    &SET_ANSWER_HEADERS,
    &SESSION_SCRIPT,
    &PORTAL_NAME,
    &PORTAL_TEXT,
    &PORTAL_ICON,
    &KEEP_FORM_POSTS,
];

pub(super) const PATH: Setting = setting(
    "path",
    ValueType::Text,
    "",
    "The path prefix, by whole segments, as it stands and no pattern: `/admin` is `/admin` and all that is below it. The longest prefix wins. Default `/`.",
);
const PROTOCOL: Setting = setting("protocol", ValueType::Text, "", "As `CODER_UPSTREAM_PROTOCOL`.");
const OUTAGE: Setting = setting(
    "outage",
    ValueType::Text,
    "",
    "`grace` (default) serves sessions during an outage of the provider (`CODER_OIDC_OUTAGE_GRACE`); `strict` answers 503.",
);
const STRIP_PREFIX: Setting = setting(
    "strip_prefix",
    ValueType::Bool,
    "",
    "Whether Evergate removes `path` from the request path before it forwards the request. Default false.",
);
const UPGRADES: Setting = setting(
    "upgrades",
    ValueType::List,
    "",
    "Protocols besides WebSocket that a client may upgrade to (`Upgrade`), as in `[\"tcp\"]` for container shells. Evergate tunnels their bytes without inspection, on a public route for anybody. HTTP and TLS cannot be named.",
);
const HOST_HEADER: Setting = setting(
    "host_header",
    ValueType::Text,
    "",
    "The `Host` header towards the app. `keep` (default): the host that the browser asked for; `upstream`: the host of the upstream's address.",
);
const REWRITE_DESTINATION: Setting = setting(
    "rewrite_destination",
    ValueType::Bool,
    "",
    "For WebDAV: whether Evergate writes the scheme and host by which the app knows itself into `Destination` (RFC 4918 section 10.3), without the prefix that `strip_prefix` removes, so that COPY and MOVE work behind TLS termination. On every route, a destination on another server or another route gets 403. Default false.",
);
const CONNECT_TIMEOUT: Setting = setting("connect_timeout", ValueType::Duration, "", "As `CODER_UPSTREAM_CONNECT_TIMEOUT`.");
const BODY_TIMEOUT: Setting = setting("body_timeout", ValueType::Duration, "", "As `CODER_CLIENT_BODY_TIMEOUT`.");
const TIMEOUT: Setting = setting("timeout", ValueType::Duration, "", "As `CODER_UPSTREAM_TIMEOUT`.");
const IDLE_TIMEOUT: Setting = setting("idle_timeout", ValueType::Duration, "", "As `CODER_UPSTREAM_IDLE_TIMEOUT`.");
const TOTAL_TIMEOUT: Setting = setting("total_timeout", ValueType::Duration, "", "As `CODER_UPSTREAM_TOTAL_TIMEOUT`.");
const MAX_REQUESTS: Setting =
    setting("max_requests", ValueType::Number, "", "As `CODER_UPSTREAM_MAX_REQUESTS`, counted for this route alone.");
const CA_FILE: Setting = setting("ca_file", ValueType::Text, "", "As `CODER_UPSTREAM_CA_FILE`.");
const CLIENT_CERT_FILE: Setting = setting("client_cert_file", ValueType::Text, "", "As `CODER_UPSTREAM_CLIENT_CERT_FILE`.");
const CLIENT_KEY_FILE: Setting = setting("client_key_file", ValueType::Text, "", "As `CODER_UPSTREAM_CLIENT_KEY_FILE`.");
const REMOVE_HEADERS: Setting = setting("remove_headers", ValueType::List, "", "Headers that Evergate removes from requests.");
const SET_HEADERS: Setting = setting(
    "set_headers",
    ValueType::Map,
    "",
    "A table of headers that Evergate sets on requests. The headers that Evergate itself sends (`X-Forwarded-…`) cannot be set.",
);
const REMOVE_ANSWER_HEADERS: Setting =
    setting("remove_answer_headers", ValueType::List, "", "Headers that Evergate removes from responses.");
const SET_ANSWER_HEADERS: Setting =
    setting("set_answer_headers", ValueType::Map, "", "A table of headers that Evergate sets on responses.");

/// What routes begin from, and share.
struct Defaults<'a> {
    /// Whether a route may be for an ingress alone, which asks about its requests.
    may_lack_upstream: bool,
    target: &'a TrustedTarget,
    identity: &'a IdentitySettings,
    /// Whether the apps of all routes may ask for tokens.
    app_tokens: bool,
    /// The names of issuers whose tokens routes may take.
    token_issuers: &'a [String],
    /// The names of the providers.
    providers: &'a [String],
    sets: HeaderSets,
    /// `CODER_PATH_PREFIX`.
    own_pages: &'a str,
}

/// The routes of the file and, last, that of `CODER_UPSTREAM_URL` or, with `CODER_FORWARD_AUTH`, of whatever an ingress has. Their
/// hosts are added to the sites.
pub(super) fn read(
    reader: &mut Reader<'_>,
    sites: &mut Sites,
    default_target: TrustedTarget,
    identity: &IdentitySettings,
    own_pages: &str,
) -> (Routes, Vec<TrustedTarget>) {
    let (mut routes, mut targets) = (Vec::new(), Vec::new());
    let (tables, may_lack_upstream) = (reader.routes(), may_lack_upstream(reader));
    let app_tokens = app_tokens::of_all_routes(reader);
    let token_issuers = token_issuers::names(reader.token_issuers());
    let provider_names = provider_table::names(reader.raw());
    let mut defaults = Defaults {
        may_lack_upstream,
        target: &default_target,
        identity,
        app_tokens,
        token_issuers: &token_issuers,
        providers: &provider_names,
        sets: HeaderSets::default(),
        own_pages,
    };
    for (at, given) in tables.iter().enumerate() {
        let mut route_reader = RouteReader { kind: "route", number: at + 1, given, problems: &mut reader.problems };
        let (route, target) = route_reader.read(sites, &mut defaults, targets.len());
        routes.push(route);
        targets.push(target);
    }
    let mut sets = defaults.sets;
    if !default_target.0.upstreams.is_empty() || may_lack_upstream {
        let rule = Rule::signed_in(Policy::default());
        let assertion = identity.assertion.then(|| sites.main().at("").into());
        let app_tokens = app_tokens && assertion.is_some();
        let identity = sets.share(identity.header_set().unwrap_or_default());
        routes.push(Route {
            host: None,
            prefix: String::new(),
            rule,
            serves_stale: true,
            identity,
            assertion,
            app_tokens,
            cors: None,
            shown: None,
            keeps_form_posts: false,
            target: targets.len(),
        });
        targets.push(default_target);
    }
    for (at, route) in routes.iter().enumerate() {
        let same = |other: &Route| other.host == route.host && other.prefix == route.prefix;
        if at < tables.len() && routes.iter().take(at).any(same) {
            reader.problems.add(format!("route[{}]", at + 1), "has the host and path of a route before it");
        }
    }
    keep_from_clients(&sets, &routes, &mut targets);
    (Routes::new(routes), targets)
}

impl RouteReader<'_> {
    fn read(&mut self, sites: &mut Sites, defaults: &mut Defaults<'_>, target: usize) -> (Route, TrustedTarget) {
        self.refuse_unknown_keys(KEYS);
        let host = self.host(sites);
        let prefix = self.parsed(&PATH, path).unwrap_or_default();
        let mut rule = self.rule(defaults.providers);
        let serves_stale = self.choice(&OUTAGE, "grace", "strict");
        let strip_prefix = self.parsed(&STRIP_PREFIX, values::boolean).unwrap_or(false);
        let own_host = !self.choice(&HOST_HEADER, "keep", "upstream");
        let own_site = self.only_site(host.as_ref(), sites);
        let shown = self.shown(host.as_ref(), own_site.clone());
        let site = own_site.unwrap_or_else(|| sites.main().clone());
        rule.tokens = self.bearer_tokens(&rule, &site, (host.as_ref(), &prefix), defaults.token_issuers);
        let assertion = self.assertion(defaults.identity, &rule, site.at(&prefix));
        let app_tokens = self.app_tokens(defaults.app_tokens, assertion.is_some());
        if matches!(host, Some(RouteHost::Matching(_))) {
            self.check_audiences_of_pattern(rule.tokens.as_ref().is_some_and(|tokens| tokens.of_provider), assertion.is_some());
        }
        let identity = self.identity(defaults.identity, &rule);
        let request_edits = self.edits(&REMOVE_HEADERS, &SET_HEADERS);
        self.check_edits(&request_edits, &identity);
        let identity = defaults.sets.share(identity);
        let cors = self.cors(&rule).map(Arc::new);
        let upstreams = self.upstreams(host.as_ref());
        let keeps_form_posts = self.keeps_form_posts(&rule);
        let route = Route {
            host,
            prefix: prefix.clone(),
            rule,
            serves_stale,
            identity,
            assertion,
            app_tokens,
            cors,
            shown,
            keeps_form_posts,
            target,
        };
        let (base, trust) = defaults.target;
        let (upstreams, template) = match upstreams {
            Some(Upstreams::Listed(listed)) => (listed, None),
            Some(Upstreams::Templated(template)) => (Vec::new(), Some(template)),
            None => (base.upstreams.clone(), None),
        };
        let target = Target {
            upstreams,
            template,
            protocol: self.parsed(&PROTOCOL, protocol).unwrap_or(base.protocol),
            strip_prefix: if strip_prefix { prefix } else { String::new() },
            upgrades: self.upgrades(),
            own_host,
            rewrites_destination: self.parsed(&REWRITE_DESTINATION, values::boolean).unwrap_or(false),
            identity_headers: Vec::new(),
            address_headers: Vec::new(),
            request_edits,
            answer_edits: self.edits(&REMOVE_ANSWER_HEADERS, &SET_ANSWER_HEADERS),
            injection: self.injection(defaults.own_pages),
            max_requests: self.parsed(&MAX_REQUESTS, values::limit).unwrap_or(base.max_requests),
            timeouts: crate::forward::Timeouts {
                connect: self.parsed(&CONNECT_TIMEOUT, values::duration).unwrap_or(base.timeouts.connect),
                body: self.limit(&BODY_TIMEOUT, base.timeouts.body),
                head: self.limit(&TIMEOUT, base.timeouts.head),
                idle: self.limit(&IDLE_TIMEOUT, base.timeouts.idle),
                total: self.limit(&TOTAL_TIMEOUT, base.timeouts.total),
                ping: base.timeouts.ping,
            },
        };
        let is_cors = |(name, _): &(HeaderName, HeaderValue)| name.as_str().starts_with("access-control-");
        if route.cors.is_some() && target.answer_edits.set.iter().any(is_cors) {
            self.problem(&SET_ANSWER_HEADERS, "names a header that cors writes");
        }
        if !target.has_upstream() && !defaults.may_lack_upstream && !self.is_given(&UPSTREAM) {
            self.problem(&UPSTREAM, "is required, because CODER_UPSTREAM_URL is not set");
        }
        let trust = self.trust(trust);
        (route, (target, trust))
    }

    /// Protocols other than WebSocket. HTTP and TLS are refused, because requests that nobody has checked would pass through the
    /// tunnel.
    fn upgrades(&mut self) -> Vec<String> {
        let names = self.list(&UPGRADES);
        let is_request = |name: &String| {
            let name = name.to_ascii_lowercase();
            ["http", "h2", "h3", "tls"].iter().any(|start| name.starts_with(start))
        };
        if names.iter().any(is_request) {
            self.problem(&UPGRADES, "names HTTP or TLS, through which requests would pass that nobody has checked");
        }
        if !names.iter().all(|name| HeaderName::from_bytes(name.replace('/', "-").as_bytes()).is_ok()) {
            self.problem(&UPGRADES, "must be names of protocols, as in [\"tcp\"]");
        }
        names
    }

    fn edits(&mut self, remove: &Setting, set: &Setting) -> Edits {
        let names = self.list(remove);
        let names = names.iter().map(|name| HeaderName::from_bytes(name.as_bytes())).collect::<Result<Vec<_>, _>>();
        if names.is_err() {
            self.problem(remove, "must be names of headers");
        }
        let lines = self.parsed(set, |text| {
            let wrong = || "must be a table of headers, as in { X-App = \"one\" }".to_owned();
            let line = |(name, value): (String, String)| {
                let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong())?;
                Ok((name, HeaderValue::from_str(&value).map_err(|_| wrong())?))
            };
            values::map(text).map_err(|_| wrong())?.into_iter().map(line).collect::<Result<Vec<_>, String>>()
        });
        if lines.iter().flatten().any(|(name, _)| !may_be_set(name.as_str())) {
            self.problem(set, "names a header that is Evergate's own to send");
        }
        if names.iter().flatten().any(is_framing_header) {
            self.problem(remove, "names a header that says how messages are sent, which is not for a route to change");
        }
        if lines.iter().flatten().any(|(name, _)| is_framing_header(name)) {
            self.problem(set, "names a header that says how messages are sent, which is not for a route to change");
        }
        Edits { remove: names.unwrap_or_default(), set: lines.unwrap_or_default() }
    }

    /// An app would be told two things of its user.
    fn check_edits(&mut self, edits: &Edits, identity: &HeaderSet) {
        let is_same = |one: &HeaderName, other: &HeaderName| header_names::are_equivalent(one.as_str(), other.as_str());
        if edits.set.iter().any(|(name, _)| identity.names().any(|own| is_same(name, own))) {
            self.problem(&SET_HEADERS, "names an identity header of this route");
        }
    }

    fn trust(&mut self, base: &ClientTls) -> ClientTls {
        let mut file = |key: &Setting| self.parsed(key, |path| Ok(std::path::PathBuf::from(path)));
        let (ca_file, client) = (file(&CA_FILE), (file(&CLIENT_CERT_FILE), file(&CLIENT_KEY_FILE)));
        if self.given.contains_key(CLIENT_CERT_FILE.name) != self.given.contains_key(CLIENT_KEY_FILE.name) {
            self.problem(&CLIENT_CERT_FILE, "and client_key_file go together");
        }
        ClientTls {
            ca_file: ca_file.or_else(|| base.ca_file.clone()),
            client_certificate: client.0.zip(client.1).or_else(|| base.client_certificate.clone()),
        }
    }
}

/// A path without a slash at its end; `/` is empty. It must be as it is requested from apps, with nothing encoded or relative.
fn path(text: &str) -> Result<String, String> {
    let trimmed = text.trim_end_matches('/');
    let plain = |character: char| character.is_ascii_alphanumeric() || "/-_.~!$&'()*+,=:@".contains(character);
    let good = text.starts_with('/')
        && trimmed.chars().all(plain)
        && !trimmed.contains("//")
        && !trimmed.split('/').any(|part| matches!(part, "." | ".."));
    if good { Ok(trimmed.to_owned()) } else { Err("must be a path like /api, without escapes".to_owned()) }
}
