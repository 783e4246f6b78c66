//! The hosts of a route, and the upstreams of a route whose host is a pattern.

use std::{ops::RangeInclusive, sync::Arc};

use super::{
    bearer::{BEARER_AUDIENCES, BEARER_CLIENTS, BEARER_TOKENS},
    identity::ROUTE_ASSERTION,
    route_reader::RouteReader,
    setting::{Setting, ValueType, setting},
    values,
};
use crate::{
    address::{AccessUrl, HostPattern, Sites},
    forward::{Address, AddressTemplate, UpstreamTemplate},
    routing::RouteHost,
};

pub(super) const HOST: Setting = setting(
    "host",
    ValueType::Text,
    "",
    "The host (virtual host), with its port unless that is the scheme's default. It becomes a site, an external address of Evergate beside the access URL: register its `/oauth2/callback` and `/oauth2/signed_out` at the provider too. All hosts that match a pattern: `*.apps.example.com`, where the star stands for `{label}`, or `{port}--{name}.apps.example.com`; `docs/hosts.md` describes what the values may be. Without it, the route applies to every host.",
);
pub(super) const UPSTREAM: Setting = setting(
    "upstream",
    ValueType::List,
    "",
    "One upstream address or several, balanced in turn (load balancing by round robin); Evergate skips one that it cannot connect to. Where `host` is a pattern, one address may have its values, as in `http://{name}.apps.internal:{port}`, `http://127.0.0.1:{port}` or `unix:/run/apps/{label}.sock`. Default `CODER_UPSTREAM_URL`. With `CODER_FORWARD_AUTH` it may be left out of a route that an ingress serves.",
);
pub(super) const PORTS: Setting = setting(
    "ports",
    ValueType::Text,
    "",
    "The range of numbers that `{port}` in `host` may be, as in `8000-8999`. Required where `upstream` has `{port}` for its port.",
);
pub(super) const UPSTREAM_NETWORKS: Setting = setting(
    "upstream_networks",
    ValueType::List,
    "",
    "The networks (CIDR) that names of an `upstream` with values of the host in its name may lead to. Default: all but this machine itself, link-local and multicast addresses, and the clouds' metadata services.",
);

/// Where a route leads.
pub(super) enum Upstreams {
    /// To these addresses in turn.
    Listed(Vec<Address>),
    /// To one for each host.
    Templated(UpstreamTemplate),
}

impl RouteReader<'_> {
    /// The hosts, which become sites.
    pub(super) fn host(&mut self, sites: &mut Sites) -> Option<RouteHost> {
        let ports = self.parsed(&PORTS, port_range);
        let host = self.parsed(&HOST, |host| Ok(host.to_ascii_lowercase()));
        let host = host.and_then(|host| match HostPattern::is_meant(&host) {
            true => {
                let pattern = self.parsed(&HOST, |host| HostPattern::parse(host).map_err(str::to_owned))?;
                let pattern = pattern.with_ports(ports.clone().unwrap_or(1..=u16::MAX));
                self.added(sites.add_pattern(&pattern));
                Some(RouteHost::Matching(pattern))
            }
            false => {
                self.added(sites.add(&host));
                // The site's spelling leaves out the scheme's default port.
                Some(RouteHost::One(sites.find(&host).map_or(host, |site| site.authority().to_owned())))
            }
        });
        let names_port = matches!(&host, Some(RouteHost::Matching(pattern)) if pattern.names().any(|name| name == "port"));
        if ports.is_some() && !names_port {
            self.problem(&PORTS, "is the range of {port}, which the route's host does not have");
        }
        host
    }

    /// The site of a route that is for one.
    pub(super) fn only_site(&self, host: Option<&RouteHost>, sites: &Sites) -> Option<Arc<AccessUrl>> {
        match host {
            Some(RouteHost::One(host)) => sites.find(host),
            Some(RouteHost::Matching(_)) | None => None,
        }
    }

    /// Refuses, on a route whose host is a pattern, what is for one app: all its apps would accept each other's tokens.
    pub(super) fn check_audiences_of_pattern(&mut self, takes_tokens: bool, sends_assertions: bool) {
        if takes_tokens && !self.is_given(&BEARER_AUDIENCES) && !self.is_given(&BEARER_CLIENTS) {
            self.problem(&BEARER_TOKENS, "needs bearer_audiences or bearer_clients on a route whose host is a pattern");
        }
        if sends_assertions {
            self.problem(
                &ROUTE_ASSERTION,
                "must be false on a route whose host is a pattern: all its apps would accept each other's",
            );
        }
    }

    fn added(&mut self, result: Result<(), &'static str>) {
        if let Err(error) = result {
            self.problem(&HOST, error);
        }
    }

    /// The upstreams, if the route has its own.
    pub(super) fn upstreams(&mut self, host: Option<&RouteHost>) -> Option<Upstreams> {
        let networks = self.upstream_networks();
        let is_template = |text: &str| AddressTemplate::is_meant(text);
        let has_template = self.given.get(UPSTREAM.name).and_then(|text| text.as_deref().ok()).is_some_and(is_template);
        if !has_template {
            if networks.is_some() {
                self.problem(&UPSTREAM_NETWORKS, "is about names with values of the host, which upstream does not have");
            }
            let listed = self.parsed(&UPSTREAM, |text| {
                values::list(text).iter().map(|one| Address::parse(one).map_err(|error| error.to_string())).collect()
            });
            return listed.map(Upstreams::Listed);
        }
        let Some(RouteHost::Matching(hosts)) = host else {
            if host.is_none() || self.is_given(&HOST) {
                self.problem(&UPSTREAM, "has a name in braces, which is for a route whose host is a pattern");
            }
            return None;
        };
        let address = self.parsed(&UPSTREAM, |text| match values::list(text).as_slice() {
            [one] => AddressTemplate::parse(one, hosts),
            _ => Err("must be one address where it has a name in braces".to_owned()),
        })?;
        if address.has_port() && !self.is_given(&PORTS) {
            self.problem(&PORTS, "is required, because upstream has {port} for its port: which ports requests may reach");
        }
        Some(Upstreams::Templated(UpstreamTemplate { hosts: hosts.clone(), address, networks }))
    }

    fn upstream_networks(&mut self) -> Option<Vec<ipnet::IpNet>> {
        if !self.is_given(&UPSTREAM_NETWORKS) {
            return None;
        }
        let networks = self.list(&UPSTREAM_NETWORKS).iter().map(|text| values::network(text)).collect::<Option<Vec<_>>>();
        if networks.is_none() {
            self.problem(&UPSTREAM_NETWORKS, "must be networks like 10.0.0.0/8 or fd00::/8");
        }
        networks
    }
}

/// A range of ports, or one.
fn port_range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let wrong = || "must be a range of ports like 8000-8999".to_owned();
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong);
    let range = port(first)?..=port(last)?;
    if range.is_empty() { Err(wrong()) } else { Ok(range) }
}
