//! An upstream's address with values of the requested host in it: `http://{label}.apps.internal:8080`, `http://127.0.0.1:{port}`,
//! `unix:/run/apps/{label}.sock`. Pure.
//!
//! Whoever sends a request chooses the values (server-side request forgery). A value is a part of one label of a name whose domain is
//! fixed, a port of a range, or a part of a socket's path; [`HostPattern`] says what it may be.

use ipnet::IpNet;

use super::address::Address;
use crate::address::HostPattern;

/// Upstreams by the requested host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTemplate {
    /// The route's hosts.
    pub hosts: HostPattern,
    /// Where the upstream of a host is.
    pub address: AddressTemplate,
    /// The networks that its name may lead to; `None`: all but this machine's own and the clouds' services.
    pub networks: Option<Vec<IpNet>>,
}

/// An address with values in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressTemplate {
    text: String,
    /// Whether a value is a part of a host's name.
    names_hosts: bool,
}

impl std::fmt::Display for AddressTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl AddressTemplate {
    /// Whether a text is meant for a template.
    pub fn is_meant(text: &str) -> bool {
        text.contains(['{', '}'])
    }

    /// Reads a template whose values are those of `hosts`.
    ///
    /// # Errors
    /// What is wrong, as the end of a sentence.
    pub fn parse(text: &str, hosts: &HostPattern) -> Result<Self, String> {
        let example = fill(text, &hosts.values(&hosts.example()).unwrap_or_default());
        if Self::is_meant(&example) {
            return Err("has a name in braces that the route's host does not have".to_owned());
        }
        Address::parse(&example).map_err(|error| error.to_string())?;
        let names_hosts = match text.split_once("://") {
            Some((_, authority)) => names_hosts(authority)?,
            None => false,
        };
        Ok(Self { text: text.to_owned(), names_hosts })
    }

    /// The address with these values.
    pub(super) fn fill(&self, values: &[(&str, &str)]) -> Option<Address> {
        Address::parse(&fill(&self.text, values)).ok()
    }

    /// Whether a value is a part of a host's name, so that a request decides which name is looked up.
    pub(super) fn names_hosts(&self) -> bool {
        self.names_hosts
    }

    /// Whether the port of this very machine is a value.
    pub fn has_local_port(&self) -> bool {
        let host = self.text.trim_end_matches('/').split_once("://").and_then(|(_, authority)| authority.strip_suffix(":{port}"));
        // As a URL spells it: 127.1 and 0x7f.1 are addresses too.
        let spelled = host.and_then(|host| url::Url::parse(&format!("http://{host}")).ok()?.host_str().map(str::to_owned));
        let host = spelled.as_deref().map(|host| host.trim_end_matches('.'));
        host.is_some_and(|host| {
            let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
            host.eq_ignore_ascii_case("localhost")
                || address.is_ok_and(|address| address.is_loopback() || address.is_unspecified())
        })
    }

    /// Whether a value is the port.
    pub fn has_port(&self) -> bool {
        self.text.contains(":{port}")
    }
}

fn fill(text: &str, values: &[(&str, &str)]) -> String {
    values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
}

/// Whether a host has values in it, of which none may be its domain or a part of an address.
fn names_hosts(authority: &str) -> Result<bool, String> {
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, ""));
    let port = port.trim_end_matches('/');
    if AddressTemplate::is_meant(port) && port != "{port}" {
        return Err("must have {port} alone for its port".to_owned());
    }
    if host.contains("{port}") {
        return Err("has {port} elsewhere than for its port".to_owned());
    }
    let Some((_, behind)) = host.rsplit_once('}') else { return Ok(false) };
    let domain = behind.split_once('.').map(|(_, domain)| domain).unwrap_or_default();
    let top = domain.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    if top.is_empty() || top.starts_with(|first: char| first.is_ascii_digit()) {
        return Err(
            "must end in a fixed domain, as in http://{label}.apps.internal:8080, or requests could reach any host".to_owned()
        );
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> HostPattern {
        HostPattern::parse("{port}--{name}.apps.example.com").unwrap()
    }

    #[test]
    fn an_address_has_the_values_of_the_host() {
        for (text, filled, names_hosts) in [
            ("http://127.0.0.1:{port}", "http://127.0.0.1:8080", false),
            ("http://{name}.apps.internal:{port}", "http://ann.apps.internal:8080", true),
            ("https://ws-{name}.apps.internal", "https://ws-ann.apps.internal", true),
            ("http://{name}-x.apps.internal:80/", "http://ann-x.apps.internal", true),
            ("unix:/run/{name}/{port}.sock", "unix:/run/ann/8080.sock", false),
        ] {
            let template = AddressTemplate::parse(text, &hosts()).unwrap();
            let host = hosts();
            let values = host.values("8080--ann.apps.example.com").unwrap();
            assert_eq!(template.fill(&values), Some(Address::parse(filled).unwrap()), "{text}");
            assert_eq!(template.names_hosts(), names_hosts, "{text}");
        }
    }

    #[test]
    fn a_value_is_never_a_whole_host_nor_a_part_of_an_address_or_of_a_path() {
        for text in [
            "http://{name}",
            "http://{name}:8080",
            "http://{name}.:80",
            "http://apps.{name}:80",
            "http://10.0.0.{name}:80",
            "http://{name}.0.0.1:80",
            "http://{name}.internal.0x7f:80",
            "http://{name}.apps.internal:80{port}",
            "http://{name}.apps.internal:{name}",
            "http://{port}.apps.internal:80",
            "http://127.0.0.1/{name}",
            "http://{user}.apps.internal",
            "http://{name.apps.internal",
            "{name}://apps.internal",
            "http://{name}@apps.internal",
            "unix:run/{name}.sock",
        ] {
            assert!(AddressTemplate::parse(text, &hosts()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_port_of_this_machine_is_one_however_its_address_is_spelled() {
        for (text, is_local) in [
            ("http://127.0.0.1:{port}", true),
            ("http://127.0.0.1:{port}/", true),
            ("http://127.1:{port}", true),
            ("http://0x7f.1:{port}", true),
            ("http://localhost.:{port}", true),
            ("http://[::1]:{port}", true),
            ("http://10.0.0.1:{port}", false),
            ("http://apps.internal:{port}", false),
        ] {
            assert_eq!(AddressTemplate::parse(text, &hosts()).unwrap().has_local_port(), is_local, "{text}");
        }
    }
}
