//! Settings of `forward`: the app behind Evergate, which routes of the file begin from.

use std::time::Duration;

use super::{
    reader::Reader,
    setting::{Section, Setting, ValueType, setting},
    tls::trust,
    values,
};
use crate::{forward, tls::ClientTls};

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
    ],
};

pub(super) const UPSTREAM_URL: Setting = setting(
    "upstream_url",
    ValueType::Url,
    "",
    "Required unless a route has the path `/`, or `CODER_FORWARD_AUTH` or `CODER_EXT_AUTHZ_ADDRESS` is set. The upstream (backend), which is the app: `http://host:port`, `https://host:port` or `unix:/path/to/socket`.",
);
const UPSTREAM_PROTOCOL: Setting = setting(
    "upstream_protocol",
    ValueType::Text,
    "http1",
    "The HTTP version towards the app: `http1`, or `http2`, over TLS by ALPN and in plain text by prior knowledge (h2c), as gRPC servers need it. An upgrade (WebSocket) goes over HTTP/1.1 in either case, so that an app that speaks HTTP/2 alone has none.",
);
const UPSTREAM_CONNECT_TIMEOUT: Setting = setting(
    "upstream_connect_timeout",
    ValueType::Duration,
    "10s",
    "Connect timeout towards the app, including DNS lookup and TLS handshake; then 502.",
);
const CLIENT_BODY_TIMEOUT: Setting = setting(
    "client_body_timeout",
    ValueType::Duration,
    "60s",
    "Idle timeout within a request body on a public route: how long the client may pause; then 408. `0` is no limit. It does not apply to authenticated requests, which may be long streams, to gRPC calls, or once an app of HTTP/2 has begun to respond.",
);
const UPSTREAM_TIMEOUT: Setting = setting(
    "upstream_timeout",
    ValueType::Duration,
    "5m",
    "Response header timeout: how long Evergate waits for the head of the app's response after the whole request was sent, and for the app to take more of an upload; then the client gets 504. `0` waits forever. It does not limit bodies, streams and WebSockets.",
);
const UPSTREAM_IDLE_TIMEOUT: Setting = setting(
    "upstream_idle_timeout",
    ValueType::Duration,
    "0",
    "Idle timeout (read timeout) within the app's response: how long the app may pause within the body. Then Evergate aborts the response, so that the client sees that it is incomplete. `0` is no limit, as streams (SSE, long polls) need it.",
);
const UPSTREAM_TOTAL_TIMEOUT: Setting = setting(
    "upstream_total_timeout",
    ValueType::Duration,
    "0",
    "Total timeout of the body of the app's response. Then Evergate aborts the response, as with `CODER_UPSTREAM_IDLE_TIMEOUT`. `0` is no limit.",
);
const UPSTREAM_HTTP2_PING: Setting = setting(
    "upstream_http2_ping",
    ValueType::Duration,
    "0",
    "HTTP/2 keep-alive: the interval of PING frames on connections to the app. `5m` or more, because gRPC servers close a connection with more frequent pings, with every call on it. `0` sends none; TCP keep-alive detects an app that vanished within two minutes.",
);
const UPSTREAM_MAX_REQUESTS: Setting = setting(
    "upstream_max_requests",
    ValueType::Number,
    "0",
    "Concurrency limit: how many requests, including WebSockets and streams, each upstream address may have at the same time. Further requests get 503. `0` is no limit.",
);
const UPSTREAM_CA_FILE: Setting = setting(
    "upstream_ca_file",
    ValueType::Text,
    "",
    "PEM file of the CA bundle that Evergate verifies the app's certificate with, instead of the system's CA certificates.",
);
const UPSTREAM_CLIENT_CERT_FILE: Setting = setting(
    "upstream_client_cert_file",
    ValueType::Text,
    "",
    "PEM file of the client certificate (mTLS) that Evergate presents to the app.",
);
const UPSTREAM_CLIENT_KEY_FILE: Setting =
    setting("upstream_client_key_file", ValueType::Text, "", "PEM file of the private key of `CODER_UPSTREAM_CLIENT_CERT_FILE`.");
pub(super) const FORWARD_AUTH: Setting = setting(
    "forward_auth",
    ValueType::Bool,
    "false",
    "Forward auth: whether an ingress (nginx `auth_request`, Traefik ForwardAuth, Caddy `forward_auth`, HAProxy, Envoy `ext_authz` over HTTP) may ask Evergate about its requests, at `/oauth2/auth` and `/oauth2/forward_auth`. `CODER_UPSTREAM_URL` and the routes' `upstream` are optional then. Set `CODER_PROXY_TRUSTED_ORIGINS` to the ingress's networks ([forward-auth.md](forward-auth.md)).",
);
pub(super) const EXT_AUTHZ_ADDRESS: Setting = setting(
    "ext_authz_address",
    ValueType::Address,
    "",
    "Forward auth over gRPC: the address and port at which Envoy (Istio, Contour, Emissary) asks Evergate about its requests by `ext_authz` (`envoy.service.auth.v3.Authorization`), as in `:9191`. Only proxies of `CODER_PROXY_TRUSTED_ORIGINS` are answered. `CODER_UPSTREAM_URL` and the routes' `upstream` are optional then, and `CODER_FORWARD_AUTH` is not needed ([forward-auth.md](forward-auth.md#envoy-over-grpc)). Not set: nowhere.",
);
pub(super) const EXT_AUTHZ_TLS: Setting = setting(
    "ext_authz_tls",
    ValueType::Bool,
    "false",
    "Whether Evergate terminates TLS on `CODER_EXT_AUTHZ_ADDRESS`, with the certificates of `CODER_TLS_CERT_FILE` and the client certificates of `CODER_TLS_CLIENT_AUTH`.",
);

/// A target, and the certificates that its connections trust and present.
pub(super) type TrustedTarget = (forward::Target, ClientTls);

/// The shortest interval between pings that gRPC servers allow by default.
const MIN_HTTP2_PING: Duration = Duration::from_secs(300);

/// The target that `CODER_UPSTREAM_*` describe, from which the file's routes inherit. It has no address if none is set.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<TrustedTarget> {
    let upstreams: Vec<_> = reader
        .parsed(&UPSTREAM_URL, |text| forward::Address::parse(text).map_err(|error| error.to_string()))
        .into_iter()
        .collect();
    if upstreams.is_empty() && !reader.is_given(&UPSTREAM_URL) && reader.routes().is_empty() && !may_lack_upstream(reader) {
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
        template: None,
        protocol: protocol?,
        strip_prefix: String::new(),
        upgrades: Vec::new(),
        own_host: false,
        rewrites_destination: false,
        identity_headers: Vec::new(),
        address_headers: Vec::new(),
        request_edits: forward::Edits::default(),
        answer_edits: forward::Edits::default(),
        injection: None,
        max_requests: max_requests?,
        timeouts,
    };
    Some((target, trust))
}

/// Whether requests may go to an app by another way: from an ingress that asks about them.
pub(super) fn may_lack_upstream(reader: &Reader<'_>) -> bool {
    let asks_by_http = reader.text(&FORWARD_AUTH).is_some_and(|text| values::boolean(text) == Ok(true));
    asks_by_http || reader.is_given(&EXT_AUTHZ_ADDRESS)
}

/// The HTTP version that an upstream speaks.
pub(super) fn protocol(text: &str) -> Result<forward::Protocol, String> {
    match text {
        "http1" => Ok(forward::Protocol::Http1),
        "http2" => Ok(forward::Protocol::Http2),
        _ => Err("must be http1 or http2".to_owned()),
    }
}
