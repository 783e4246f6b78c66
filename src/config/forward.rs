//! Settings of `forward`: the app behind Evergate, which routes of the file begin from.

use super::table::{Section, Setting, ValueType, setting};

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
