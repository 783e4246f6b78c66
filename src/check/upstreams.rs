//! The apps: whether they can be reached from here, and perhaps past Evergate.

use std::{io, net::IpAddr, sync::Arc, time::Duration};

use rustls::pki_types::ServerName;
use tokio::{
    net::{TcpStream, UnixStream, lookup_host},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::Finding;
use crate::{config::Checked, forward::Address, gateway::ForwardAuth, telemetry::logs::causes, tls::ClientTls};

const CHECK: &str = "upstream";
/// How long an app may take to accept a connection.
const DEADLINE: Duration = Duration::from_secs(5);

/// Connects to each address once, and sends nothing.
pub(super) async fn check(checked: &Checked) -> Vec<Finding> {
    let targets = checked.targets.iter();
    let mut upstreams: Vec<(&Address, &ClientTls)> =
        targets.flat_map(|(target, trust)| target.upstreams.iter().map(move |address| (address, trust))).collect();
    upstreams.sort_by_key(|(address, _)| address.to_string());
    upstreams.dedup();
    let mut findings = Vec::new();
    for (address, trust) in upstreams {
        findings.extend(check_one(address, trust).await);
    }
    for template in checked.targets.iter().filter_map(|(target, _)| target.template.as_ref()) {
        let seen =
            format!("{} was not tried: the host of a request says which app that is ({})", template.address, template.hosts);
        findings.push(Finding::info(CHECK, seen));
    }
    if findings.is_empty() && checked.gateway.forward_auth == ForwardAuth::Only {
        return vec![Finding::ok(
            CHECK,
            "no app is proxied: an ingress asks about its requests (CODER_FORWARD_AUTH, CODER_EXT_AUTHZ_ADDRESS)",
        )];
    }
    if findings.is_empty() {
        let seen = "no route leads to an app";
        findings.push(Finding::error(CHECK, seen).advise("set CODER_UPSTREAM_URL").see("docs/data-plane.md"));
    }
    findings
}

async fn check_one(address: &Address, trust: &ClientTls) -> Vec<Finding> {
    let reached = match address {
        Address::Unix(path) => timeout(DEADLINE, UnixStream::connect(path)).await.map(|connected| connected.map(|_| None)),
        Address::Tcp { scheme, authority } => {
            let is_tls = *scheme == http::uri::Scheme::HTTPS;
            let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
            let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
            let connected = async {
                let (stream, ip) = connect(&host, port).await?;
                if is_tls {
                    shake_hands(stream, host, trust).await?;
                }
                Ok(Some(ip))
            };
            timeout(DEADLINE, connected).await
        }
    };
    match reached.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(ip) => {
            let mut findings = vec![Finding::ok(CHECK, format!("{address} accepts connections"))];
            findings.extend(ip.and_then(|ip| past_us(address, ip)));
            findings
        }
        Err(error) if error.kind() == io::ErrorKind::TimedOut => vec![
            Finding::error(CHECK, format!("{address} did not accept a connection within {} s", DEADLINE.as_secs()))
                .advise("look for a firewall or a network policy between here and the app"),
        ],
        Err(error) => vec![
            Finding::error(CHECK, format!("{address} cannot be connected to: {error}"))
                .advise("start the app, or correct CODER_UPSTREAM_URL or the route's upstream")
                .see("docs/data-plane.md"),
        ],
    }
}

/// Whether the app speaks TLS, and proves that it is the one.
async fn shake_hands(stream: TcpStream, host: String, trust: &ClientTls) -> io::Result<()> {
    let config = trust.client_config().map_err(|error| io::Error::other(causes(&error)))?;
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map(drop)
}

async fn connect(host: &str, port: u16) -> io::Result<(TcpStream, IpAddr)> {
    let addresses: Vec<_> = lookup_host((host, port)).await?.collect();
    // Of several each has its share of three quarters of the time, so that a silent one leaves some to the others, and to TLS.
    let share = match u32::try_from(addresses.len()) {
        Ok(several @ 2..) => DEADLINE * 3 / (4 * several),
        Ok(0 | 1) | Err(_) => DEADLINE,
    };
    let mut last = io::Error::other("its name has no address");
    for address in addresses {
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok((stream, address.ip())),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

/// Whoever reaches the app past Evergate can say who they are by a header.
fn past_us(address: &Address, ip: IpAddr) -> Option<Finding> {
    const ADVICE: &str = "have the app listen where only Evergate reaches it, as on loopback or in a network of its own";
    let is_private = match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        // Unique local and link-local addresses (RFC 4193, RFC 4291).
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    if ip.to_canonical().is_loopback() {
        None
    } else if is_private {
        let seen = format!("{address} is at {ip}, a private address: whoever else reaches it passes Evergate by");
        Some(Finding::info("upstream's network", seen).advise(ADVICE))
    } else {
        let seen = format!("{address} is at {ip}, a public address: whoever reaches it passes Evergate by");
        Some(Finding::warning("upstream's network", seen).advise(ADVICE).see("docs/data-plane.md"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Level;

    #[test]
    fn an_app_that_others_may_reach_is_told_by_its_address() {
        let address = Address::parse("http://app:80").unwrap();
        let level = |ip: &str| past_us(&address, ip.parse().unwrap()).map(|finding| finding.level);
        for (ip, expected) in [
            ("127.0.0.1", None),
            ("::1", None),
            ("::ffff:127.0.0.1", None),
            ("10.1.2.3", Some(Level::Info)),
            ("fd00::7", Some(Level::Info)),
            ("198.51.100.7", Some(Level::Warning)),
            ("2001:db8::7", Some(Level::Warning)),
        ] {
            assert_eq!(level(ip), expected, "{ip}");
        }
    }
}
