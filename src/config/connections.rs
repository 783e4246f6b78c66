//! Settings of connections: how clients reach us, and how we reach apps and the provider.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use http::HeaderValue;

use super::{
    check::{Reader, address},
    values,
};
use crate::{
    forward, server,
    tls::{MinVersion, Shown, Trust},
};

pub(super) fn server(reader: &mut Reader<'_>) -> Option<server::Settings> {
    let address = reader.parsed("http_address", address);
    let drain_deadline = reader.positive("shutdown_timeout");
    let tls = tls(reader);
    Some(server::Settings { address: address?, tls: tls?, drain_deadline: drain_deadline? })
}

/// Where TLS is ended, and with which certificates; `Some(None)` where it is not.
fn tls(reader: &mut Reader<'_>) -> Option<Option<(SocketAddr, Shown)>> {
    let enabled = reader.boolean("tls_enable")?;
    let address = reader.parsed("tls_address", address);
    let min_version = reader.parsed("tls_min_version", |text| match text {
        "tls12" => Ok(MinVersion::Tls12),
        "tls13" => Ok(MinVersion::Tls13),
        _ => Err("must be tls12 or tls13".to_owned()),
    });
    let (certificates, keys) = (reader.list("tls_cert_file"), reader.list("tls_key_file"));
    if enabled && (certificates.is_empty() || certificates.len() != keys.len()) {
        reader.problems.add(
            reader.name("tls_cert_file"),
            "must name as many files as CODER_TLS_KEY_FILE, and one at least, with CODER_TLS_ENABLE",
        );
    }
    if !enabled && !certificates.is_empty() {
        reader.warn("tls_cert_file", "is shown to nobody, because CODER_TLS_ENABLE is not set");
    }
    let files = certificates.into_iter().map(PathBuf::from).zip(keys.into_iter().map(PathBuf::from)).collect();
    let shown = Shown { files, min_version: min_version? };
    Some(enabled.then_some((address?, shown)))
}

/// Whom we trust, by the settings of these names.
pub(super) fn trust(reader: &mut Reader<'_>, ca_file: &str, client: &str) -> Trust {
    let [certificate, key] = [format!("{client}_cert_file"), format!("{client}_key_file")];
    let both = (reader.owned(&certificate), reader.owned(&key));
    if reader.is_given(&certificate) != reader.is_given(&key) {
        reader.problems.add(reader.name(&certificate), format!("and {} go together", reader.name(&key)));
    }
    Trust {
        ca_file: reader.owned(ca_file).map(PathBuf::from),
        client: both.0.zip(both.1).map(|(certificate, key)| (certificate.into(), key.into())),
    }
}

/// What gRPC servers allow by default.
const SHORTEST_PING: Duration = Duration::from_secs(300);

/// The target that `CODER_UPSTREAM_*` describe, which routes of the file begin from. Without an address, if that is not set.
pub(super) fn upstream(reader: &mut Reader<'_>) -> Option<(forward::Target, Trust)> {
    let upstreams: Vec<_> = reader
        .parsed("upstream_url", |text| forward::Address::parse(text).map_err(|error| error.to_string()))
        .into_iter()
        .collect();
    if upstreams.is_empty() && !reader.is_given("upstream_url") && reader.raw.routes.is_empty() {
        reader.problems.add(reader.name("upstream_url"), "is required, as in http://127.0.0.1:8080");
    }
    let protocol = reader.parsed("upstream_protocol", values::protocol);
    let (connect, head) = (reader.positive("upstream_connect_timeout"), reader.duration("upstream_timeout"));
    let (idle, total) = (reader.duration("upstream_idle_timeout"), reader.duration("upstream_total_timeout"));
    let ping = reader.duration("upstream_http2_ping");
    if ping.is_some_and(|ping| !ping.is_zero() && ping < SHORTEST_PING) {
        reader
            .problems
            .add(reader.name("upstream_http2_ping"), "must be 0, or 5m or more: gRPC servers end a connection for less");
    }
    let max_requests = reader.parsed("upstream_max_requests", values::limit);
    let body = reader.duration("client_body_timeout");
    let pass_access_token = reader.boolean("pass_access_token");
    let trust = trust(reader, "upstream_ca_file", "upstream_client");
    let limit = |limit: Duration| Some(limit).filter(|limit| !limit.is_zero());
    let timeouts = forward::Timeouts {
        connect: connect?,
        body: limit(body?),
        head: limit(head?),
        idle: limit(idle?),
        total: limit(total?),
        ping: limit(ping?),
    };
    let target = forward::Target {
        upstreams,
        protocol: protocol?,
        strip_prefix: String::new(),
        upgrades: Vec::new(),
        own_host: false,
        pass_access_token: pass_access_token?,
        request_edits: forward::Edits::default(),
        answer_edits: forward::Edits::default(),
        max_requests: max_requests?,
        timeouts,
    };
    Some((target, trust))
}

/// The header's value (RFC 6797 section 6.1); `Some(None)` where it is not set.
pub(super) fn strict_transport_security(reader: &mut Reader<'_>) -> Option<Option<HeaderValue>> {
    let seconds = reader.parsed("strict_transport_security", |text| {
        text.parse::<u32>().map_err(|_| "must be a whole number of seconds".to_owned())
    })?;
    let options = reader.list("strict_transport_security_options");
    if !options.iter().all(|option| matches!(option.as_str(), "includeSubDomains" | "preload")) {
        reader.problems.add(reader.name("strict_transport_security_options"), "must be includeSubDomains, preload or both");
    }
    let value = options.iter().fold(format!("max-age={seconds}"), |value, option| format!("{value}; {option}"));
    Some(HeaderValue::try_from(value).ok().filter(|_| seconds > 0))
}
