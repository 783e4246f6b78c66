//! Settings of `forward`: the app behind Evergate, which routes of the file begin from.

use std::time::Duration;

use super::{
    reader::Reader,
    setting::{Section, Setting, ValueType, setting},
    tls::trust,
    values,
};
use crate::{forward, tls::Trust};

/// The settings under their heading.
pub(super) const SECTION: Section = Section {
    title: "Upstream",
    settings: &[
        &UPSTREAM_URL,
        &UPSTREAM_PROTOCOL,
        &UPSTREAM_CONNECT_TIMEOUT,
        &CLIENT_BODY_TIMEOUT,
        &UPSTREAM_TIMEOUT,
        &UPSTREAM_IDLE_TIMEOUT,
        &UPSTREAM_TOTAL_TIMEOUT,
        &UPSTREAM_HTTP2_PING,
        &UPSTREAM_MAX_REQUESTS,
        &UPSTREAM_CA_FILE,
        &UPSTREAM_CLIENT_CERT_FILE,
        &UPSTREAM_CLIENT_KEY_FILE,
        &PASS_ACCESS_TOKEN,
    ],
};

const UPSTREAM_URL: Setting = setting(
    "upstream_url",
    ValueType::Url,
    "",
    "Required unless a route leads from `/`. The app: `http://host:port`, `https://host:port` or `unix:/path/to/socket`.",
);
const UPSTREAM_PROTOCOL: Setting = setting(
    "upstream_protocol",
    ValueType::Text,
    "http1",
    "What is spoken with the app: `http1`, or `http2`, over TLS by ALPN and on plain text by prior knowledge, as gRPC servers speak it.",
);
const UPSTREAM_CONNECT_TIMEOUT: Setting = setting(
    "upstream_connect_timeout",
    ValueType::Duration,
    "10s",
    "How long the app may take to be connected to, name and TLS included; then 502.",
);
const CLIENT_BODY_TIMEOUT: Setting = setting(
    "client_body_timeout",
    ValueType::Duration,
    "60s",
    "How long a client may pause within its request's body on a public route; then 408. `0` is for ever. Whoever is signed in may pause, as streams do.",
);
const UPSTREAM_TIMEOUT: Setting = setting(
    "upstream_timeout",
    ValueType::Duration,
    "5m",
    "How long a request that has been sent whole waits for the head of the app's answer; then it is answered 504. `0` waits for ever. Bodies, streams and WebSockets have no limit.",
);
const UPSTREAM_IDLE_TIMEOUT: Setting = setting(
    "upstream_idle_timeout",
    ValueType::Duration,
    "0",
    "How long the app may pause within an answer; then it breaks off, which the client sees. `0` is for ever, as streams need it.",
);
const UPSTREAM_TOTAL_TIMEOUT: Setting =
    setting("upstream_total_timeout", ValueType::Duration, "0", "The same for the whole answer.");
const UPSTREAM_HTTP2_PING: Setting = setting(
    "upstream_http2_ping",
    ValueType::Duration,
    "0",
    "How often a connection of HTTP/2 to the app is asked whether it is alive: `5m` or more, because gRPC servers end one that is asked more often, with every call on it. `0` asks never; an app that vanished is found by TCP keep-alive, within two minutes.",
);
const UPSTREAM_MAX_REQUESTS: Setting = setting(
    "upstream_max_requests",
    ValueType::Number,
    "0",
    "How many requests each address of the app may have at once, WebSockets and streams among them; others are answered 503. `0` is no limit.",
);
const UPSTREAM_CA_FILE: Setting = setting(
    "upstream_ca_file",
    ValueType::Text,
    "",
    "PEM file of the authorities that the app's certificate is judged by, instead of the system's.",
);
const UPSTREAM_CLIENT_CERT_FILE: Setting =
    setting("upstream_client_cert_file", ValueType::Text, "", "PEM file of a certificate that Evergate shows the app.");
const UPSTREAM_CLIENT_KEY_FILE: Setting = setting("upstream_client_key_file", ValueType::Text, "", "PEM file of its key.");
const PASS_ACCESS_TOKEN: Setting = setting(
    "pass_access_token",
    ValueType::Bool,
    "false",
    "Whether the app gets the user's current access token in `X-Forwarded-Access-Token`.",
);

/// A target, and the certificates that its connections trust and present.
pub(super) type TrustedTarget = (forward::Target, Trust);

/// The shortest interval between pings that gRPC servers allow by default.
const MIN_HTTP2_PING: Duration = Duration::from_secs(300);

/// The target that `CODER_UPSTREAM_*` describe, from which the file's routes inherit. It has no address if none is set.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<TrustedTarget> {
    let upstreams: Vec<_> = reader
        .parsed(&UPSTREAM_URL, |text| forward::Address::parse(text).map_err(|error| error.to_string()))
        .into_iter()
        .collect();
    if upstreams.is_empty() && !reader.is_given(&UPSTREAM_URL) && reader.routes().is_empty() {
        reader.problem(&UPSTREAM_URL, "is required, as in http://127.0.0.1:8080");
    }
    let protocol = reader.parsed(&UPSTREAM_PROTOCOL, protocol);
    let (connect, head) = (reader.positive(&UPSTREAM_CONNECT_TIMEOUT), reader.duration(&UPSTREAM_TIMEOUT));
    let (idle, total) = (reader.duration(&UPSTREAM_IDLE_TIMEOUT), reader.duration(&UPSTREAM_TOTAL_TIMEOUT));
    let ping = reader.duration(&UPSTREAM_HTTP2_PING);
    if ping.is_some_and(|ping| !ping.is_zero() && ping < MIN_HTTP2_PING) {
        reader.problem(&UPSTREAM_HTTP2_PING, "must be 0, or 5m or more: gRPC servers end a connection for less");
    }
    let max_requests = reader.parsed(&UPSTREAM_MAX_REQUESTS, values::limit);
    let body = reader.duration(&CLIENT_BODY_TIMEOUT);
    let pass_access_token = reader.boolean(&PASS_ACCESS_TOKEN);
    let trust = trust(reader, &UPSTREAM_CA_FILE, &UPSTREAM_CLIENT_CERT_FILE, &UPSTREAM_CLIENT_KEY_FILE);
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

/// The HTTP version that an upstream speaks.
pub(super) fn protocol(text: &str) -> Result<forward::Protocol, String> {
    match text {
        "http1" => Ok(forward::Protocol::Http1),
        "http2" => Ok(forward::Protocol::Http2),
        _ => Err("must be http1 or http2".to_owned()),
    }
}
