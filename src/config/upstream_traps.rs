//! Upstreams that lead where an administrator does not expect: to Evergate itself, or past the rule of another route.

use std::net::SocketAddr;

use http::uri::Scheme;

use super::{
    administration,
    app_tokens::APP_TOKEN_ADDRESS,
    forward::{EXT_AUTHZ_ADDRESS, TrustedTarget, UPSTREAM_URL},
    problem::Problem,
    reader::Reader,
    route_host::{PORTS, UPSTREAM},
    server,
    setting::Setting,
    telemetry, values,
};
use crate::{
    forward::Address,
    routing::{Route, Routes},
};

/// What is served at an address of our own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Own {
    /// Apps. Each request would come again and again, until nothing is left to make it with.
    Apps,
    /// Metrics, which may be shown to whoever a route lets in.
    Metrics,
    /// What is for others than browsers, or for administrators.
    Others,
}

/// Warns of upstreams that are Evergate itself. What is set may not be where Evergate listens, as with sockets of systemd.
pub(super) fn warn_of_loops(reader: &mut Reader<'_>, targets: &[TrustedTarget]) {
    let own = own_addresses(reader);
    for (at, (target, _)) in targets.iter().enumerate() {
        // Any other route leads where the default does, of which that tells.
        let key = match reader.routes().get(at) {
            Some(table) if table.contains_key(UPSTREAM.name) => format!("route[{}].{}", at + 1, UPSTREAM.name),
            Some(_) => continue,
            None => reader.name(&UPSTREAM_URL),
        };
        for (setting, _, own) in own.iter().filter(|(_, served, _)| *served != Own::Metrics) {
            if let Some(upstream) = target.upstreams.iter().find(|upstream| leads_to(upstream, *own)) {
                let message = format!("is {upstream}, at which Evergate itself listens ({})", reader.name(setting));
                reader.warnings.push(Problem { key: key.clone(), message });
            }
        }
    }
}

/// Refuses ports of requests that are Evergate's own: its metrics would be an app, and its own requests would come back to it. It warns of
/// those where nobody is answered who does not prove who they are.
pub(super) fn check_own_ports(reader: &mut Reader<'_>, targets: &[TrustedTarget]) {
    let own = own_addresses(reader);
    for (at, (target, _)) in targets.iter().enumerate() {
        let Some(template) = target.template.as_ref().filter(|template| template.address.has_local_port()) else { continue };
        // That none are given is a problem of its own.
        let is_given = reader.routes().get(at).is_some_and(|table| table.contains_key(PORTS.name));
        for (setting, served, address) in own.iter().filter(|own| is_given && template.hosts.ports().contains(&own.2.port())) {
            let message = format!("contains {}, on which Evergate itself listens ({})", address.port(), reader.name(setting));
            let key = format!("route[{}].{}", at + 1, PORTS.name);
            match served {
                Own::Apps | Own::Metrics => reader.problems.add(key, message),
                Own::Others => reader.warnings.push(Problem { key, message }),
            }
        }
    }
}

/// The addresses at which Evergate listens, with the settings that say so and what is served there.
fn own_addresses(reader: &Reader<'_>) -> Vec<(&'static Setting, Own, SocketAddr)> {
    let is_set = |setting: &Setting| reader.text(setting).is_some_and(|text| values::boolean(text) == Ok(true));
    let own: [(&'static Setting, Own, bool); 6] = [
        (&server::HTTP_ADDRESS, Own::Apps, true),
        (&server::TLS_ADDRESS, Own::Apps, is_set(&server::TLS_ENABLE)),
        (&telemetry::PROMETHEUS_ADDRESS, Own::Metrics, is_set(&telemetry::PROMETHEUS_ENABLE)),
        (&administration::ADMIN_ADDRESS, Own::Others, reader.is_given(&administration::ADMIN_GROUPS)),
        (&EXT_AUTHZ_ADDRESS, Own::Others, true),
        (&APP_TOKEN_ADDRESS, Own::Others, true),
    ];
    // That of a unix socket is none.
    let address = |setting| values::address(reader.text(setting)?).ok();
    let listening = own.into_iter().filter(|(_, _, listens)| *listens);
    listening.filter_map(|(setting, served, _)| Some((setting, served, address(setting)?))).collect()
}

/// Whether connections to an upstream's address come in at `own`. A name may lead anywhere, but for this machine's own.
fn leads_to(upstream: &Address, own: SocketAddr) -> bool {
    let Address::Tcp { scheme, authority } = upstream else { return false };
    let usual = if *scheme == Scheme::HTTPS { 443 } else { 80 };
    let own_ip = own.ip().to_canonical();
    let is_own_loopback = own_ip.is_loopback() || own_ip.is_unspecified();
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let is_here = match host.parse::<std::net::IpAddr>().map(|address| address.to_canonical()) {
        // A socket for all of IPv4 takes nothing of IPv6.
        Ok(address) if address.is_loopback() && own_ip.is_unspecified() => own.is_ipv6() || address.is_ipv4(),
        Ok(address) if address.is_unspecified() => is_own_loopback,
        Ok(address) => address == own_ip,
        Err(_) => host.eq_ignore_ascii_case("localhost") && is_own_loopback,
    };
    // Port 0 is any that is free.
    own.port() != 0 && own.port() == authority.port_u16().unwrap_or(usual) && is_here
}

/// Warns of routes that need no login and take their prefix off, where another route demands one for the same app: what is behind the
/// prefix reaches the app as any path of its own.
pub(super) fn warn_of_stripped_prefixes(reader: &mut Reader<'_>, routes: &Routes, targets: &[TrustedTarget]) {
    let upstreams = |route: &Route| targets.get(route.target).map_or(&[][..], |(target, _)| &target.upstreams);
    let strips = |route: &&Route| targets.get(route.target).is_some_and(|(target, _)| !target.strip_prefix.is_empty());
    for open in routes.iter().filter(|route| route.rule.policy().is_none()).filter(strips) {
        let shares_host = |other: &Route| open.host.is_none() || other.host.is_none() || open.host == other.host;
        let shares_app = |other: &&Route| {
            let app = upstreams(open).iter().find(|upstream| upstreams(other).contains(upstream));
            app.is_some() && other.rule.policy().is_some() && shares_host(other)
        };
        if let Some(strict) = routes.iter().find(shares_app) {
            let key = format!("route[{}].strip_prefix", open.target + 1);
            let (opened, asked) = (&open.prefix, if strict.prefix.is_empty() { "/" } else { &strict.prefix });
            let message = format!(
                "opens all paths of its app to those who are not signed in, and another route demands a login for {asked} of the same app: \
                 {opened}/x reaches the app as /x"
            );
            reader.warnings.push(Problem { key, message });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_upstream_is_evergate_itself_where_its_connections_come_in() {
        for (upstream, own, is_it) in [
            ("http://127.0.0.1:3000", "127.0.0.1:3000", true),
            ("http://localhost:3000", "127.0.0.1:3000", true),
            ("http://LOCALHOST:3000", "0.0.0.0:3000", true),
            ("http://127.0.0.1:3000", "0.0.0.0:3000", true),
            ("http://[::1]:3000", "[::]:3000", true),
            ("http://127.0.0.1:3000", "[::]:3000", true),
            ("http://[::1]:3000", "0.0.0.0:3000", false),
            ("http://0.0.0.0:3000", "127.0.0.1:3000", true),
            ("http://10.0.0.5", "10.0.0.5:80", true),
            ("https://127.0.0.1", "0.0.0.0:443", true),
            ("http://127.0.0.1:3001", "127.0.0.1:3000", false),
            ("http://127.0.0.1:3000", "10.0.0.5:3000", false),
            ("http://10.0.0.6:3000", "0.0.0.0:3000", false),
            ("http://app:3000", "0.0.0.0:3000", false),
            ("http://127.0.0.1:8080", "127.0.0.1:0", false),
            ("unix:/run/app.sock", "127.0.0.1:3000", false),
        ] {
            assert_eq!(leads_to(&Address::parse(upstream).unwrap(), own.parse().unwrap()), is_it, "{upstream} {own}");
        }
    }
}
