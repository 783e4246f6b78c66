//! A libpq connection URI, `postgres://user:password@host:port,host:port/database?parameter=value` (PostgreSQL documentation,
//! 34.1.1.2), and the connection options of each of its hosts.
//!
//! sqlx reads URLs of one host alone, logs the values of parameters that it does not know, and refuses what the `url` crate
//! refuses. So the URI is taken apart here, and each host's part is handed to sqlx in a form that it reads.

use std::{fmt, str::FromStr, time::Duration};

use sqlx::{ConnectOptions, postgres::PgConnectOptions};
use url::{Url, form_urlencoded};

use crate::secret::Secret;

/// Where Postgres is: one host or several, and how to log in there.
#[derive(Clone)]
pub struct PostgresUrl {
    /// At least one.
    pub(super) hosts: Vec<PgConnectOptions>,
    pub(super) target: Target,
    /// The longest time that connecting to one host may take, if the URL limits it.
    pub(super) connect_timeout: Option<Duration>,
}

impl fmt::Debug for PostgresUrl {
    /// Without the options, which hold the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresUrl").field("hosts", &self.hosts.len()).field("target", &self.target).finish_non_exhaustive()
    }
}

/// Which of the hosts is connected to (`target_session_attrs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The first that accepts a connection.
    Any,
    /// The first that takes writes; if none does, the first that accepts a connection.
    Writable,
}

/// Parameters that sqlx takes as they are.
const FOR_SQLX: &[&str] =
    &["dbname", "user", "password", "application_name", "sslmode", "sslcert", "ssl-cert", "sslkey", "ssl-key"];
/// Parameters of libpq that change nothing here.
const WITHOUT_EFFECT: &[&str] = &[
    "client_encoding",
    "fallback_application_name",
    "keepalives",
    "keepalives_count",
    "keepalives_idle",
    "keepalives_interval",
    "sslcompression",
    "sslsni",
    "statement-cache-capacity",
    "tcp_user_timeout",
];
/// Parameters of libpq of which one value alone is what happens here.
const WITH_ONE_VALUE: &[(&str, &[&str])] = &[
    ("channel_binding", &["disable", "prefer"]),
    ("gssencmode", &["disable", "prefer"]),
    ("load_balance_hosts", &["disable"]),
    ("sslnegotiation", &["postgres"]),
];

impl PostgresUrl {
    /// Reads a URI.
    ///
    /// # Errors
    /// What is wrong with it, without any of its values.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
        let rest = rest.ok_or("must begin with postgres://")?;
        let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = address.split_once('/').unwrap_or((address, ""));
        let (user, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let mut parts = Parts::default();
        if !user.is_empty() {
            let (name, password) = user.split_once(':').map_or((user, None), |(name, password)| (name, Some(password)));
            parts.set("user", decode(name));
            if let Some(password) = password.filter(|password| !password.is_empty()) {
                parts.set("password", decode(password));
            }
        }
        if !database.is_empty() {
            parts.set("dbname", decode(database));
        }
        for host in hosts.split(',').filter(|_| !hosts.is_empty()) {
            let (name, port) = split_port(host)?;
            parts.hosts.push(decode(name));
            parts.ports.push(port.to_owned());
        }
        if query.contains('@') {
            return Err("has an @ behind a question mark; in a password write @ as %40 and ? as %3F".to_owned());
        }
        for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
            let (name, value) = parameter.split_once('=').ok_or("has a parameter without a value")?;
            parts.read(&decode(name), decode(value))?;
        }
        parts.finish()
    }

    /// Takes this password instead of the URL's.
    pub(super) fn with_password(&self, host: usize, password: Option<&Secret>) -> Option<PgConnectOptions> {
        let options = self.hosts.get(host)?.clone();
        Some(match password {
            Some(password) => options.password(password.expose()),
            None => options,
        })
    }
}

/// What has been read of a URI.
#[derive(Default)]
struct Parts {
    hosts: Vec<String>,
    ports: Vec<String>,
    /// For sqlx.
    parameters: Vec<(String, String)>,
    target: Option<Target>,
    connect_timeout: Option<Duration>,
    /// `sslrootcert=system`.
    trusts_public_authorities: bool,
}

impl Parts {
    fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// What libpq makes of `sslmode` beside `sslrootcert` (PostgreSQL documentation, 34.19.1).
    fn settle_tls(&mut self) -> Result<(), String> {
        match (self.get("sslmode"), self.trusts_public_authorities) {
            (None, true) => self.set("sslmode", "verify-full".to_owned()),
            (Some("verify-full"), true) => {}
            (Some(_), true) => return Err("has sslrootcert=system, which needs sslmode=verify-full".to_owned()),
            (Some("require"), false) if self.get("sslrootcert").is_some() => self.set("sslmode", "verify-ca".to_owned()),
            (_, false) => {}
        }
        Ok(())
    }

    fn set(&mut self, name: &str, value: String) {
        self.parameters.retain(|(known, _)| known != name);
        self.parameters.push((name.to_owned(), value));
    }

    fn read(&mut self, name: &str, value: String) -> Result<(), String> {
        match name {
            "host" => self.hosts = value.split(',').map(str::to_owned).collect(),
            // Beside a host it would be the address to connect to, and the host the name in the certificate.
            "hostaddr" if self.hosts.is_empty() => self.hosts = value.split(',').map(str::to_owned).collect(),
            "hostaddr" => return Err("has a host and a hostaddr; Evergate takes one of them".to_owned()),
            "port" => self.ports = value.split(',').map(str::to_owned).collect(),
            // The authorities of the system are those that are trusted without it.
            "sslrootcert" | "ssl-root-cert" | "ssl-ca" if value == "system" => self.trusts_public_authorities = true,
            "sslrootcert" | "ssl-root-cert" | "ssl-ca" => self.set("sslrootcert", value),
            "ssl-mode" => self.set("sslmode", value),
            "options" => self.parameters.push(("options".to_owned(), value)),
            "connect_timeout" => {
                let seconds = value.parse::<u64>().map_err(|_| "has a connect_timeout that is no number of seconds")?;
                self.connect_timeout = (seconds > 0).then(|| Duration::from_secs(seconds));
            }
            "target_session_attrs" => {
                self.target = Some(match value.as_str() {
                    "any" => Target::Any,
                    "read-write" | "primary" => Target::Writable,
                    _ => return Err("has a target_session_attrs of servers that take no writes; use read-write".to_owned()),
                });
            }
            _ if FOR_SQLX.contains(&name) => self.set(name, value),
            _ if name.starts_with("options[") => self.parameters.push((name.to_owned(), value)),
            _ if WITHOUT_EFFECT.contains(&name) => {}
            _ => {
                let values = WITH_ONE_VALUE.iter().find(|(known, _)| *known == name).map(|(_, values)| *values);
                let is_name = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
                // What is not written like a name may be a part of a password.
                let values = values.ok_or_else(|| match is_name {
                    true => format!("has the unknown parameter {name:?}"),
                    false => "has an unknown parameter".to_owned(),
                })?;
                if !values.contains(&value.as_str()) {
                    return Err(format!("has a {name} that Evergate does not support; it may be {}", values.join(" or ")));
                }
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<PostgresUrl, String> {
        self.settle_tls()?;
        let count = self.hosts.len().max(1);
        if self.ports.len() > 1 && count != self.ports.len() {
            return Err("has another number of ports than of hosts".to_owned());
        }
        let hosts = (0..count)
            .map(|at| {
                let host = self.hosts.get(at).filter(|host| !host.is_empty());
                let port = if self.ports.len() == 1 { self.ports.first() } else { self.ports.get(at) };
                options(&self.parameters, host, port.filter(|port| !port.is_empty()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        // The servers of a cluster are one primary and its standbys.
        let target = self.target.unwrap_or(if count > 1 { Target::Writable } else { Target::Any });
        Ok(PostgresUrl { hosts, target, connect_timeout: self.connect_timeout })
    }
}

/// One host's options, by sqlx.
fn options(parameters: &[(String, String)], host: Option<&String>, port: Option<&String>) -> Result<PgConnectOptions, String> {
    if port.is_some_and(|port| port.parse::<u16>().is_err()) {
        return Err("has a port that is no number below 65536".to_owned());
    }
    // A host that is given as a parameter may be anything that libpq takes, a socket's directory too.
    let mut url = Url::parse("postgres:///").map_err(|error| error.to_string())?;
    let mut query = url.query_pairs_mut();
    query.extend_pairs(host.map(|host| ("host", host)));
    query.extend_pairs(port.map(|port| ("port", port)));
    query.extend_pairs(parameters);
    drop(query);
    let options =
        PgConnectOptions::from_str(url.as_str()).map_err(|_| "has a parameter with a value that Postgres does not know")?;
    // Poolers refuse what they do not track, and no number here is a float.
    let options = options.extra_float_digits(None).disable_statement_logging();
    let is_named = parameters.iter().any(|(name, _)| name == "application_name");
    Ok(if is_named { options } else { options.application_name("evergate") })
}

/// Splits a host from its port. An IPv6 address is in brackets, and a name has no colon.
fn split_port(text: &str) -> Result<(&str, &str), String> {
    if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or("has an IPv6 address without its closing bracket")?;
        return Ok((address, port.strip_prefix(':').unwrap_or("")));
    }
    Ok(text.split_once(':').unwrap_or((text, "")))
}

/// Decodes percent-encoding. A plus is a plus.
fn decode(text: &str) -> String {
    let value = text.replace('+', "%2B").replace('&', "%26");
    form_urlencoded::parse(format!("value={value}").as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, u16, String, Option<String>)> {
        let url = PostgresUrl::parse(text).unwrap();
        let read = |options: &PgConnectOptions| {
            let host = options.get_socket().map_or_else(|| options.get_host().to_owned(), |path| path.display().to_string());
            (host, options.get_port(), options.get_username().to_owned(), options.get_database().map(str::to_owned))
        };
        url.hosts.iter().map(read).collect()
    }

    #[test]
    fn the_forms_of_libpq_are_read() {
        let of =
            |host: &str, port, user: &str, database: &str| (host.to_owned(), port, user.to_owned(), Some(database.to_owned()));
        assert_eq!(read("postgres://u:p%40x@h:6432/d"), [of("h", 6432, "u", "d")]);
        assert_eq!(read("postgresql://u@h/d?application_name=a&connect_timeout=3"), [of("h", 5432, "u", "d")]);
        assert_eq!(read("postgres://u@/d?host=/run/postgresql"), [of("/run/postgresql", 5432, "u", "d")]);
        assert_eq!(read("postgres://u@%2Frun%2Fpostgresql:5433/d"), [of("/run/postgresql", 5433, "u", "d")]);
        assert_eq!(read("postgres://u@[::1]:5433/d"), [of("::1", 5433, "u", "d")]);
        let two = [of("a", 5432, "u", "d"), of("b", 6432, "u", "d")];
        assert_eq!(read("postgres://u@a,b:6432/d"), two);
        assert_eq!(read("postgres://u@/d?host=a,b&port=5432,6432"), two);
        assert_eq!(read("postgres:///d?user=u&host=a,b&port=7"), [of("a", 7, "u", "d"), of("b", 7, "u", "d")]);
        assert_eq!(read("postgres://h/?user=u+v&dbname=d%2Fe"), [of("h", 5432, "u+v", "d/e")]);
    }

    #[test]
    fn several_hosts_are_a_cluster_of_which_the_primary_is_sought() {
        let target = |text| PostgresUrl::parse(text).unwrap().target;
        assert_eq!(target("postgres://a/d"), Target::Any);
        assert_eq!(target("postgres://a,b/d"), Target::Writable);
        assert_eq!(target("postgres://a,b/d?target_session_attrs=any"), Target::Any);
        assert_eq!(target("postgres://a/d?target_session_attrs=read-write"), Target::Writable);
    }

    #[test]
    fn certificates_are_checked_as_libpq_would() {
        let mode = |parameters| {
            format!("{:?}", PostgresUrl::parse(&format!("postgres://h/d?{parameters}")).unwrap().hosts[0].get_ssl_mode())
        };
        assert_eq!(mode("sslrootcert=system"), "VerifyFull");
        assert_eq!(mode("sslmode=require&sslrootcert=/ca.pem"), "VerifyCa");
        assert_eq!((mode("sslmode=require"), mode("sslmode=disable")), ("Require".to_owned(), "Disable".to_owned()));
    }

    #[test]
    fn a_password_is_not_in_what_is_printed_for_developers() {
        let url = PostgresUrl::parse("postgres://u:hunter2@h/d").unwrap();
        assert!(!format!("{url:?}").contains("hunter2"));
    }

    #[test]
    fn what_is_wrong_with_a_url_is_told_without_its_values() {
        for (text, problem) in [
            ("mysql://u:hunter2@h/d", "must begin with postgres://"),
            ("postgres://u:hunter2@h/d?sslpassword=hunter2", "has the unknown parameter \"sslpassword\""),
            ("postgres://u:hunter2@h:x/d", "has a port that is no number below 65536"),
            ("postgres://u:hunter2@a,b,c/d?port=1,2", "has another number of ports than of hosts"),
            ("postgres://u@a/d?port=1,2", "has another number of ports than of hosts"),
            ("postgres://u@a:1,b:2/d?host=c", "has another number of ports than of hosts"),
            ("postgres://u@h/d?sslmode=hunter2", "has a parameter with a value that Postgres does not know"),
            (
                "postgres://u@h/d?channel_binding=require",
                "has a channel_binding that Evergate does not support; it may be disable or prefer",
            ),
            (
                "postgres://u@h/d?target_session_attrs=standby",
                "has a target_session_attrs of servers that take no writes; use read-write",
            ),
            ("postgres://u:hunter?k9Lq=2@h/d", "has an @ behind a question mark; in a password write @ as %40 and ? as %3F"),
            ("postgres://u@h/d?H9=2", "has an unknown parameter"),
            ("postgres://u@h/d?hostaddr=::1", "has a host and a hostaddr; Evergate takes one of them"),
            ("postgres://u@h/d?sslmode=require&sslrootcert=system", "has sslrootcert=system, which needs sslmode=verify-full"),
            ("postgres://u@[::1/d", "has an IPv6 address without its closing bracket"),
        ] {
            assert_eq!(PostgresUrl::parse(text).unwrap_err(), problem);
        }
    }
}
