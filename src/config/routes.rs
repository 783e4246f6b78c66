//! The file's routes: `[[route]]` tables, each a place and where it leads.

use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};

use super::{Problems, check::Reader, sources::RouteTable, table::ValueType, values};
use crate::{
    address::Sites,
    forward::{Address, Edits, Target, is_framing_header, is_reserved_header},
    policy::{Policy, Rule},
    routing::{Route, Routes},
    tls::Trust,
};

/// The keys of a route.
pub(super) const KEYS: &[(&str, ValueType, &str)] = &[
    (
        "host",
        ValueType::Text,
        "The host, with its port unless that is the scheme's own. It becomes an address of Evergate's beside the access URL: register its `/oauth2/callback` and `/oauth2/signed_out` too. Without it, the route is every host's.",
    ),
    ("path", ValueType::Text, "The path, and all below it by whole segments; the longest wins. Default `/`."),
    (
        "upstream",
        ValueType::List,
        "One address or several, taken in turn; one that cannot be reached is passed over. Default `CODER_UPSTREAM_URL`.",
    ),
    ("protocol", ValueType::Text, "As `CODER_UPSTREAM_PROTOCOL`."),
    ("rule", ValueType::Text, "`signed_in` (default) or `public`: nobody is recognised, and the app is told of nobody."),
    ("groups", ValueType::List, "Only members of one of these groups."),
    ("email_domains", ValueType::List, "Only addresses of one of these domains."),
    ("methods", ValueType::List, "Only these methods; others are answered 405."),
    (
        "outage",
        ValueType::Text,
        "`grace` (default) serves sessions during an outage of the provider (`CODER_OIDC_OUTAGE_GRACE`); `strict` answers 503.",
    ),
    ("strip_prefix", ValueType::Bool, "Whether `path` is taken off before the app sees it. Default false."),
    (
        "upgrades",
        ValueType::List,
        "Protocols besides WebSocket that a client may change to (`Upgrade`), as in `[\"tcp\"]` for container shells. What goes through is not looked at, on a public route for anybody. HTTP and TLS cannot be named.",
    ),
    (
        "host_header",
        ValueType::Text,
        "`keep` (default): the app is told the host that the browser asked for; `upstream`: its own.",
    ),
    ("pass_access_token", ValueType::Bool, "As `CODER_PASS_ACCESS_TOKEN`."),
    ("connect_timeout", ValueType::Duration, "As `CODER_UPSTREAM_CONNECT_TIMEOUT`."),
    ("body_timeout", ValueType::Duration, "As `CODER_CLIENT_BODY_TIMEOUT`."),
    ("timeout", ValueType::Duration, "As `CODER_UPSTREAM_TIMEOUT`."),
    ("idle_timeout", ValueType::Duration, "As `CODER_UPSTREAM_IDLE_TIMEOUT`."),
    ("total_timeout", ValueType::Duration, "As `CODER_UPSTREAM_TOTAL_TIMEOUT`."),
    ("max_requests", ValueType::Number, "As `CODER_UPSTREAM_MAX_REQUESTS`, counted for this route alone."),
    ("ca_file", ValueType::Text, "As `CODER_UPSTREAM_CA_FILE`."),
    ("client_cert_file", ValueType::Text, "As `CODER_UPSTREAM_CLIENT_CERT_FILE`."),
    ("client_key_file", ValueType::Text, "As `CODER_UPSTREAM_CLIENT_KEY_FILE`."),
    ("remove_headers", ValueType::List, "Headers that are removed from requests."),
    (
        "set_headers",
        ValueType::Map,
        "A table of headers that requests are given. Those that are Evergate's own (`X-Forwarded-…`) cannot be set.",
    ),
    ("remove_answer_headers", ValueType::List, "Headers that are removed from answers."),
    ("set_answer_headers", ValueType::Map, "A table of headers that answers are given."),
];

/// One table while it is read.
struct Table<'a> {
    number: usize,
    given: &'a RouteTable,
    problems: &'a mut Problems,
}

/// The routes of the file, and last that of `CODER_UPSTREAM_URL`, if it is set. Their hosts become sites.
pub(super) fn read(reader: &mut Reader<'_>, sites: &mut Sites, upstream: (Target, Trust)) -> (Routes, Vec<(Target, Trust)>) {
    let (mut routes, mut targets) = (Vec::new(), Vec::new());
    let raw = reader.raw;
    for (at, given) in raw.routes.iter().enumerate() {
        let mut table = Table { number: at + 1, given, problems: &mut reader.problems };
        let (route, target) = table.read(sites, &upstream, targets.len());
        routes.push(route);
        targets.push(target);
    }
    if !upstream.0.upstreams.is_empty() {
        let rule = Rule::signed_in(Policy::default());
        routes.push(Route { host: None, prefix: String::new(), rule, serves_stale: true, target: targets.len() });
        targets.push(upstream);
    }
    for (at, route) in routes.iter().enumerate() {
        let same = |other: &Route| other.host == route.host && other.prefix == route.prefix;
        if at < raw.routes.len() && routes.iter().take(at).any(same) {
            reader.problems.add(format!("route[{}]", at + 1), "has the host and path of a route before it");
        }
    }
    (Routes::new(routes), targets)
}

impl Table<'_> {
    fn read(&mut self, sites: &mut Sites, upstream: &(Target, Trust), target: usize) -> (Route, (Target, Trust)) {
        for name in self.given.keys() {
            if !KEYS.iter().any(|(key, ..)| key == name) {
                let near = KEYS.iter().map(|(key, ..)| *key).min_by_key(|key| strsim::damerau_levenshtein(key, name));
                let hint = near
                    .filter(|near| strsim::damerau_levenshtein(near, name) <= 3)
                    .map(|near| format!("; did you mean {near}?"));
                self.problem(name, format!("there is no such setting of a route{}", hint.unwrap_or_default()));
            }
        }
        let host = self.parsed("host", |host| Ok(host.to_ascii_lowercase()));
        if let Some(host) = &host
            && let Err(error) = sites.add(host)
        {
            self.problem("host", error);
        }
        // As the site writes it, so that a default port that was written out is none.
        let host = host.map(|host| sites.find(&host).map_or(host, |site| site.authority().to_owned()));
        let prefix = self.parsed("path", path).unwrap_or_default();
        let rule = self.rule();
        let serves_stale = self.choice("outage", "grace", "strict");
        let strip_prefix = self.parsed("strip_prefix", values::boolean).unwrap_or(false);
        let own_host = !self.choice("host_header", "keep", "upstream");
        let route = Route { host, prefix: prefix.clone(), rule, serves_stale, target };
        let (base, trust) = upstream;
        let target = Target {
            upstreams: self.upstreams().unwrap_or_else(|| base.upstreams.clone()),
            protocol: self.parsed("protocol", values::protocol).unwrap_or(base.protocol),
            strip_prefix: if strip_prefix { prefix } else { String::new() },
            upgrades: self.upgrades(),
            own_host,
            pass_access_token: self.parsed("pass_access_token", values::boolean).unwrap_or(base.pass_access_token),
            request_edits: self.edits("remove_headers", "set_headers"),
            answer_edits: self.edits("remove_answer_headers", "set_answer_headers"),
            max_requests: self.parsed("max_requests", values::limit).unwrap_or(base.max_requests),
            timeouts: crate::forward::Timeouts {
                connect: self.parsed("connect_timeout", values::duration).unwrap_or(base.timeouts.connect),
                body: self.limit("body_timeout", base.timeouts.body),
                head: self.limit("timeout", base.timeouts.head),
                idle: self.limit("idle_timeout", base.timeouts.idle),
                total: self.limit("total_timeout", base.timeouts.total),
                ping: base.timeouts.ping,
            },
        };
        if target.upstreams.is_empty() {
            self.problem("upstream", "is required, because CODER_UPSTREAM_URL is not set");
        }
        let trust = self.trust(trust);
        (route, (target, trust))
    }

    fn problem(&mut self, key: &str, message: impl Into<String>) {
        self.problems.add(format!("route[{}].{key}", self.number), message.into());
    }

    fn parsed<T>(&mut self, key: &str, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        match self.given.get(key)?.as_deref().map_err(|message: &String| message.clone()).and_then(parse) {
            Ok(value) => Some(value),
            Err(message) => {
                self.problem(key, message);
                None
            }
        }
    }

    /// Whether one of two words is the first, which is the default.
    fn choice(&mut self, key: &str, first: &'static str, second: &'static str) -> bool {
        let chosen = self.parsed(key, |text| match text {
            text if text == first => Ok(true),
            text if text == second => Ok(false),
            _ => Err(format!("must be {first} or {second}")),
        });
        chosen.unwrap_or(true)
    }

    fn list(&mut self, key: &str) -> Vec<String> {
        let list = self.parsed(key, |text| match values::list(text) {
            list if list.is_empty() => Err("is set and names nothing".to_owned()),
            list => Ok(list),
        });
        list.unwrap_or_default()
    }

    fn limit(&mut self, key: &str, default: Option<Duration>) -> Option<Duration> {
        match self.parsed(key, values::duration) {
            Some(limit) => Some(limit).filter(|limit| !limit.is_zero()),
            None => default,
        }
    }

    /// Requests that nobody had checked would go through a tunnel of HTTP.
    fn upgrades(&mut self) -> Vec<String> {
        let names = self.list("upgrades");
        let is_request = |name: &String| {
            let name = name.to_ascii_lowercase();
            ["http", "h2", "h3", "tls"].iter().any(|start| name.starts_with(start))
        };
        if names.iter().any(is_request) {
            self.problem("upgrades", "names HTTP or TLS, through which requests would pass that nobody has checked");
        }
        if !names.iter().all(|name| HeaderName::from_bytes(name.replace('/', "-").as_bytes()).is_ok()) {
            self.problem("upgrades", "must be names of protocols, as in [\"tcp\"]");
        }
        names
    }

    fn upstreams(&mut self) -> Option<Vec<Address>> {
        self.parsed("upstream", |text| {
            values::list(text).iter().map(|one| Address::parse(one).map_err(|error| error.to_string())).collect()
        })
    }

    fn rule(&mut self) -> Rule {
        let signed_in = self.choice("rule", "signed_in", "public");
        let policy = Policy { email_domains: self.list("email_domains"), allowed_groups: self.list("groups") };
        if !signed_in && policy != Policy::default() {
            self.problem("rule", "is public, so that groups and email_domains would be asked of nobody");
        }
        let methods = self.list("methods");
        let methods =
            methods.iter().map(|name| Method::from_bytes(name.to_ascii_uppercase().as_bytes())).collect::<Result<_, _>>();
        let Ok(methods) = methods else {
            self.problem("methods", "must be methods like GET");
            return Rule::signed_in(policy);
        };
        let mut rule = if signed_in { Rule::signed_in(policy) } else { Rule::public() };
        rule.methods = methods;
        rule
    }

    fn edits(&mut self, remove: &str, set: &str) -> Edits {
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
        if lines.iter().flatten().any(|(name, _)| is_reserved_header(name.as_str())) {
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

    fn trust(&mut self, base: &Trust) -> Trust {
        let mut file = |key: &str| self.parsed(key, |path| Ok(std::path::PathBuf::from(path)));
        let (ca_file, client) = (file("ca_file"), (file("client_cert_file"), file("client_key_file")));
        if self.given.contains_key("client_cert_file") != self.given.contains_key("client_key_file") {
            self.problem("client_cert_file", "and client_key_file go together");
        }
        Trust {
            ca_file: ca_file.or_else(|| base.ca_file.clone()),
            client: client.0.zip(client.1).or_else(|| base.client.clone()),
        }
    }
}

/// A path without a slash at its end; `/` is empty. It must be as apps are asked for it: nothing encoded, nothing relative.
fn path(text: &str) -> Result<String, String> {
    let trimmed = text.trim_end_matches('/');
    let plain = |character: char| character.is_ascii_alphanumeric() || "/-_.~!$&'()*+,=:@".contains(character);
    let good = text.starts_with('/')
        && trimmed.chars().all(plain)
        && !trimmed.contains("//")
        && !trimmed.split('/').any(|part| matches!(part, "." | ".."));
    if good { Ok(trimmed.to_owned()) } else { Err("must be a path like /api, without escapes".to_owned()) }
}
