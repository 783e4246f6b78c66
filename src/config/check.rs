//! Understanding: texts become settings, and every text that cannot is a problem.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use ipnet::IpNet;
use url::Url;

use super::{
    Problem, Problems, Raw,
    connections::{server, strict_transport_security, trust, upstream},
    routes,
    sources::Source,
    values,
};
use crate::{
    address::{AccessUrl, Sites, TrustedProxies},
    exchange, forward, gateway, oidc,
    policy::{CrossOrigin, Policy},
    renewal,
    seal::KeyRing,
    secret::Secret,
    server,
    session::{
        self,
        cookie::{Cookies, LONGEST_NAME},
    },
    store, telemetry,
    tls::Trust,
};

/// Settings that are whole and make sense.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Connections.
    pub server: server::Settings,
    /// Addresses and our own pages.
    pub gateway: gateway::Settings,
    /// The provider.
    pub oidc: oidc::Settings,
    /// When to renew.
    pub renewal: renewal::Settings,
    /// How long sessions live.
    pub session: session::Settings,
    /// How long their history is kept.
    pub event_retention: Duration,
    /// Where they are kept.
    pub store: store::Settings,
    /// What seals tokens.
    pub keys: Keys,
    /// Who may pass.
    pub policy: Policy,
    /// Where the gateway's routes lead, each with whom it trusts.
    pub targets: Vec<(forward::Target, Trust)>,
    /// Whom we trust to be the provider.
    pub provider_trust: Trust,
    /// Logs and metrics.
    pub telemetry: telemetry::Settings,
    /// What is odd, and keeps nothing from working.
    pub warnings: Vec<Problem>,
}

/// Where the sealing keys come from.
#[derive(Clone, Debug)]
pub enum Keys {
    /// The settings.
    Given(KeyRing),
    /// A file beside the SQLite file, made at the first start.
    File(PathBuf),
}

/// Checks all settings.
///
/// # Errors
/// Every problem, those of `problems` first.
pub fn check(raw: &Raw, problems: Problems) -> Result<Checked, Problems> {
    let mut reader = Reader { raw, problems, warnings: raw.warnings.clone() };
    let (server, provider_trust) = (server(&mut reader), trust(&mut reader, "oidc_ca_file", "tls_client"));
    let upstream = upstream(&mut reader);
    let (gateway, targets) = match gateway(&mut reader, upstream) {
        Some((gateway, targets)) => (Some(gateway), targets),
        None => (None, Vec::new()),
    };
    let (oidc, policy) = oidc(&mut reader);
    let lacks_group_claim = oidc.as_ref().is_some_and(|oidc| oidc.mapping.groups.is_none()) && reader.asks_routes_groups();
    if lacks_group_claim {
        reader.warn("oidc_group_field", "is not set, so that nobody may take the routes that ask for groups");
    }
    let gateway = gateway.map(|gateway| gateway::Settings { lacks_group_claim, ..gateway });
    let (renewal, session) = (renewal(&mut reader), session(&mut reader));
    let event_retention = reader.positive("event_retention");
    let (store, keys) = store(&mut reader);
    let telemetry = telemetry(&mut reader);
    let all = (server, gateway, oidc, renewal, session, event_retention, store, keys, telemetry);
    match all {
        (
            Some(server),
            Some(gateway),
            Some(oidc),
            Some(renewal),
            Some(session),
            Some(event_retention),
            Some(store),
            Some(keys),
            Some(telemetry),
        ) if reader.problems.0.is_empty() => Ok(Checked {
            server,
            gateway,
            oidc,
            renewal,
            session,
            event_retention,
            store,
            keys,
            policy,
            targets,
            provider_trust,
            telemetry,
            warnings: reader.warnings,
        }),
        _ => Err(reader.problems),
    }
}

impl Raw {
    /// What is odd about how settings were given, and keeps nothing from working.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// Where a health check finds the server, whatever else is wrong with the settings.
    pub fn own_address(&self) -> Option<(SocketAddr, String)> {
        let mut reader = Reader { raw: self, problems: Problems::default(), warnings: Vec::new() };
        Some((reader.parsed("http_address", address)?, reader.parsed("path_prefix", prefix)?))
    }

    /// The store and its keys, for commands that need nothing else.
    ///
    /// # Errors
    /// The problems of these settings.
    pub fn store(&self, problems: Problems) -> Result<(store::Settings, Keys), Problems> {
        let mut reader = Reader { raw: self, problems, warnings: Vec::new() };
        match store(&mut reader) {
            (Some(store), Some(keys)) if reader.problems.0.is_empty() => Ok((store, keys)),
            (_, _) => Err(reader.problems),
        }
    }
}

pub(super) struct Reader<'a> {
    pub(super) raw: &'a Raw,
    pub(super) problems: Problems,
    pub(super) warnings: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.raw.given.get(name).map(|given| given.text.as_str())
    }

    /// Notes what is odd about a setting and keeps nothing from working.
    pub(super) fn warn(&mut self, name: &str, message: impl Into<String>) {
        self.warnings.push(Problem { key: self.name(name), message: message.into() });
    }

    /// Whether a route lets only members of groups pass.
    fn asks_routes_groups(&self) -> bool {
        self.raw.routes.iter().any(|table| table.contains_key("groups"))
    }

    /// Whether a setting was given, though what was given may be unreadable, which has been said.
    pub(super) fn is_given(&self, name: &str) -> bool {
        self.raw.given.contains_key(name) || self.raw.unreadable.contains(name)
    }

    /// The name under which a setting was given, or would be.
    pub(super) fn name(&self, key: &str) -> String {
        self.raw.given.get(key).map_or(&Source::Environment, |given| &given.source).name(key)
    }

    /// A setting that may be left out. `parse` says what is wrong as a sentence's end, without the value.
    pub(super) fn parsed<T>(&mut self, name: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match parse(self.text(name)?) {
            Ok(value) => Some(value),
            Err(message) => {
                self.problems.add(self.name(name), message);
                None
            }
        }
    }

    fn required<T>(&mut self, name: &str, like: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        if !self.is_given(name) {
            self.problems.add(self.name(name), format!("is required, as in {like}"));
        }
        self.parsed(name, parse)
    }

    pub(super) fn duration(&mut self, name: &str) -> Option<Duration> {
        self.parsed(name, values::duration)
    }

    pub(super) fn positive(&mut self, name: &str) -> Option<Duration> {
        self.parsed(name, |text| match values::duration(text)? {
            Duration::ZERO => Err("must be longer than 0".to_owned()),
            duration => Ok(duration),
        })
    }

    pub(super) fn boolean(&mut self, name: &str) -> Option<bool> {
        self.parsed(name, values::boolean)
    }

    fn number(&mut self, name: &str) -> Option<u32> {
        self.parsed(name, |text| {
            text.parse()
                .ok()
                .filter(|number| (1..=10_000).contains(number))
                .ok_or_else(|| "must be a whole number from 1 to 10000".to_owned())
        })
    }

    pub(super) fn list(&self, name: &str) -> Vec<String> {
        self.text(name).map(values::list).unwrap_or_default()
    }

    pub(super) fn owned(&self, name: &str) -> Option<String> {
        self.text(name).map(str::to_owned)
    }
}

pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "must be an IP address and a port like 0.0.0.0:3000".to_owned())
}

fn prefix(text: &str) -> Result<String, String> {
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

/// What the names of cookies can begin with (RFC 6265 section 4.1.1).
fn cookie_name(text: &str) -> Result<String, String> {
    let plain = |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
    if (1..=LONGEST_NAME).contains(&text.len()) && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err(format!("must be up to {LONGEST_NAME} letters, digits, dots, dashes and underscores, as in evergate"))
    }
}

type Targets = Vec<(forward::Target, Trust)>;

fn gateway(reader: &mut Reader<'_>, upstream: Option<(forward::Target, Trust)>) -> Option<(gateway::Settings, Targets)> {
    let access = reader.required("access_url", "https://app.example.com", |text| AccessUrl::parse(text).map_err(str::to_owned));
    let (prefix, cookie_name) = (reader.parsed("path_prefix", prefix), reader.parsed("cookie_name", cookie_name));
    let origins = reader.list("allowed_origins");
    let cross_origin = if origins.iter().any(|origin| origin == "*") { CrossOrigin::Any } else { CrossOrigin::Only(origins) };
    if let CrossOrigin::Only(origins) = &cross_origin
        && !origins.iter().all(|origin| AccessUrl::parse(origin).is_ok_and(|url| url.at("") == *origin))
    {
        reader
            .problems
            .add(reader.name("allowed_origins"), "must be origins like https://other.example.com, without a path, or *");
    }
    let trusted = reader.list("proxy_trusted_origins").iter().map(|text| network(text)).collect::<Option<Vec<_>>>();
    if trusted.is_none() {
        reader.problems.add(reader.name("proxy_trusted_origins"), "must be networks like 10.0.0.0/8,fd00::/8");
    }
    if trusted.iter().flatten().any(|net| net.prefix_len() == 0) {
        reader
            .problems
            .add(reader.name("proxy_trusted_origins"), "must not trust every address: any client could then choose its own");
    }
    let redirect_strays = reader.boolean("redirect_to_access_url");
    let serves_tls = reader.boolean("tls_enable");
    let strict_transport_security = strict_transport_security(reader);
    if serves_tls == Some(true) && access.as_ref().is_some_and(|access| !access.is_https()) {
        reader.warn("tls_enable", "is set, and CODER_ACCESS_URL is http: browsers are sent there, to plain text");
    }
    // The routes' mistakes are told even if the access URL is one.
    let mut sites = Sites::new(access.or_else(|| AccessUrl::parse("https://unknown.invalid").ok())?);
    let (routes, targets) = routes::read(reader, &mut sites, upstream?);
    let cookies = Cookies::new(sites.main().is_https(), &cookie_name?);
    let settings = gateway::Settings {
        exchange: exchange::Settings {
            sites,
            serves_tls: serves_tls?,
            trusted: TrustedProxies(trusted?),
            cross_origin,
            cookies,
            request_ids: exchange::RequestIds::default(),
        },
        routes,
        redirect_unknown_hosts: redirect_strays?,
        strict_transport_security: strict_transport_security?,
        prefix: prefix?,
        // Nothing is known of claims here.
        lacks_group_claim: false,
    };
    Some((settings, targets))
}

/// A network, or one address.
fn network(text: &str) -> Option<IpNet> {
    text.parse().ok().or_else(|| text.parse::<std::net::IpAddr>().map(IpNet::from).ok())
}

fn oidc(reader: &mut Reader<'_>) -> (Option<oidc::Settings>, Policy) {
    let issuer = reader.required("oidc_issuer_url", "https://idp.example.com", issuer);
    let preset = reader.parsed("oidc_preset", |text| match text {
        "auto" => Ok(None),
        name => oidc::Preset::named(name).map(Some).ok_or_else(|| {
            format!("must be auto or one of {}", oidc::PRESETS.iter().map(|preset| preset.name).collect::<Vec<_>>().join(", "))
        }),
    });
    let client_id = reader.required("oidc_client_id", "my-app", |text| Ok(text.to_owned()));
    let scopes = reader.text("oidc_scopes").map(values::list);
    let auth_params = reader.parsed("oidc_auth_url_params", values::auth_params).unwrap_or_default();
    let token_timeout = reader.positive("oidc_token_timeout");
    let rotation_grace = reader.duration("oidc_refresh_token_grace");
    let introspection = reader.text("oidc_introspection_url").and_then(|text| match issuer_url(text) {
        Ok(url) => Some(url),
        Err(problem) => {
            reader.problems.add(reader.name("oidc_introspection_url"), problem);
            None
        }
    });
    let asks_groups = scopes.iter().flatten().any(|scope| scope == "groups");
    let groups = reader.owned("oidc_group_field").or_else(|| asks_groups.then(|| "groups".to_owned()));
    let policy = Policy {
        email_domains: reader.list("oidc_email_domain").iter().map(|domain| domain.trim_start_matches('@').to_owned()).collect(),
        allowed_groups: reader.list("oidc_allowed_groups"),
    };
    // A list that is there and holds nothing is a mistake that would open the door to everybody.
    for (name, empty) in
        [("oidc_email_domain", policy.email_domains.is_empty()), ("oidc_allowed_groups", policy.allowed_groups.is_empty())]
    {
        if reader.text(name).is_some() && empty {
            reader.problems.add(reader.name(name), "is set and names nothing; leave it out to allow all");
        }
    }
    if !policy.allowed_groups.is_empty() && groups.is_none() && !reader.is_given("oidc_group_field") {
        reader
            .problems
            .add(reader.name("oidc_allowed_groups"), "needs CODER_OIDC_GROUP_FIELD to say which claim holds the groups");
    }
    if reader.is_given("oidc_client_secret_previous") && !reader.is_given("oidc_client_secret") {
        reader.problems.add(reader.name("oidc_client_secret_previous"), "needs CODER_OIDC_CLIENT_SECRET, the new one");
    }
    let ignore_email_verified = reader.boolean("oidc_ignore_email_verified");
    let ignore_userinfo = reader.boolean("oidc_ignore_userinfo");
    let silent_login = reader.boolean("oidc_silent_login");
    let settings = || {
        Some(oidc::Settings {
            issuer: issuer?,
            preset: preset?,
            client_id: client_id?,
            client_secret: reader.text("oidc_client_secret").map(Secret::new),
            previous_secret: reader.text("oidc_client_secret_previous").map(Secret::new),
            scopes,
            auth_params,
            silent_login,
            ignore_userinfo: ignore_userinfo?,
            mapping: oidc::Mapping {
                username: reader.owned("oidc_username_field")?,
                email: reader.owned("oidc_email_field")?,
                groups,
                ignore_email_verified: ignore_email_verified?,
            },
            rotation_grace,
            introspection,
            token_timeout: token_timeout?,
        })
    };
    (settings(), policy)
}

fn issuer(text: &str) -> Result<String, String> {
    let url = issuer_url(text)?;
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must not have a query or fragment".to_owned());
    }
    Ok(text.to_owned())
}

/// An address of the provider's. Tokens go there, so that nobody on the way may read them.
fn issuer_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|_| "is not a URL".to_owned())?;
    let loopback = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    };
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        _ => return Err("must begin with https:// (http:// is for a provider on loopback only)".to_owned()),
    }
    Ok(url)
}

fn renewal(reader: &mut Reader<'_>) -> Option<renewal::Settings> {
    let renew_before = reader.positive("oidc_renew_before");
    let outage_grace = reader.duration("oidc_outage_grace");
    let max_concurrent = reader.number("oidc_max_concurrent_renewals");
    Some(renewal::Settings {
        renew_before: renew_before?,
        outage_grace: outage_grace?,
        max_concurrent: usize::try_from(max_concurrent?).unwrap_or(usize::MAX),
    })
}

fn session(reader: &mut Reader<'_>) -> Option<session::Settings> {
    let idle = reader.positive("session_duration");
    let absolute = reader.positive("session_max_duration");
    let disabled = reader.boolean("disable_session_expiry_refresh");
    Some(session::Settings { idle: idle?, absolute: absolute?, sliding: !disabled? })
}

fn store(reader: &mut Reader<'_>) -> (Option<store::Settings>, Option<Keys>) {
    let max_open = reader.number("pg_conn_max_open");
    let url = reader.parsed("pg_connection_url", |text| {
        let scheme = Url::parse(text).map_err(|_| "is not a URL like postgres://user:password@host/database".to_owned())?;
        if matches!(scheme.scheme(), "postgres" | "postgresql") {
            Ok(Secret::new(text))
        } else {
            Err("must begin with postgres://".to_owned())
        }
    });
    let directory = reader.owned("data_dir").map(PathBuf::from);
    let keys = reader.text("external_token_encryption_keys").map(values::list);
    let keys = match keys {
        Some(keys) => match KeyRing::from_base64(keys.iter().map(String::as_str)) {
            Ok(ring) => Some(Keys::Given(ring)),
            Err(error) => {
                reader.problems.add(
                    reader.name("external_token_encryption_keys"),
                    format!("{error}; make one with: evergate keys generate"),
                );
                None
            }
        },
        None if reader.is_given("external_token_encryption_keys") => None,
        None if reader.is_given("pg_connection_url") => {
            let message =
                "is required with Postgres, where tokens are sealed for all replicas; make a key with: evergate keys generate";
            reader.problems.add(reader.name("external_token_encryption_keys"), message);
            None
        }
        None => directory.as_ref().map(|directory| Keys::File(directory.join("token.key"))),
    };
    let store = match (reader.text("pg_connection_url"), url, max_open) {
        (Some(_), Some(url), Some(max_open)) => Some(store::Settings::Postgres(store::PostgresSettings { url, max_open })),
        (None, _, _) => directory.map(|directory| store::Settings::Sqlite(directory.join("evergate.sqlite"))),
        (Some(_), _, _) => None,
    };
    (store, keys)
}

fn telemetry(reader: &mut Reader<'_>) -> Option<telemetry::Settings> {
    let filter = reader.parsed("log_filter", |text| {
        tracing_subscriber::EnvFilter::try_new(text)
            .map(|_| text.to_owned())
            .map_err(|_| "must be a filter like info,evergate=debug".to_owned())
    });
    let json = reader.boolean("logging_json");
    let address = reader.parsed("prometheus_address", address);
    let enabled = reader.boolean("prometheus_enable");
    Some(telemetry::Settings { json, filter: filter?, metrics_address: Some(address?).filter(|_| enabled == Some(true)) })
}
