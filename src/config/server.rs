//! Settings of `server`: where clients connect, and how the server stops.

use super::table::{Section, Setting, ValueType, setting};

/// The settings under their heading.
pub(super) const SECTION: Section = Section {
    title: "Listening and TLS",
    settings: &[&HTTP_ADDRESS, &TLS_ENABLE, &TLS_ADDRESS, &TLS_CERT_FILE, &TLS_KEY_FILE, &TLS_MIN_VERSION, &SHUTDOWN_TIMEOUT],
};

const HTTP_ADDRESS: Setting =
    setting("http_address", ValueType::Address, "127.0.0.1:3000", "Where Evergate listens for HTTP/1.1 and HTTP/2.");
const TLS_ENABLE: Setting = setting(
    "tls_enable",
    ValueType::Bool,
    "false",
    "Whether Evergate ends TLS itself, on `CODER_TLS_ADDRESS`, besides listening on `CODER_HTTP_ADDRESS`.",
);
const TLS_ADDRESS: Setting = setting(
    "tls_address",
    ValueType::Address,
    "127.0.0.1:3443",
    "Where Evergate listens for TLS, with HTTP/2 and HTTP/1.1 (ALPN).",
);
const TLS_CERT_FILE: Setting = setting(
    "tls_cert_file",
    ValueType::List,
    "",
    "PEM files of certificates, each with its chain. Which is shown is decided by the name that a client asks for (SNI); the first is shown to others. Files that change are read again, at once on SIGHUP; one that cannot be used does not replace one that can.",
);
const TLS_KEY_FILE: Setting = setting("tls_key_file", ValueType::List, "", "PEM files of their keys, in the same order.");
const TLS_MIN_VERSION: Setting =
    setting("tls_min_version", ValueType::Text, "tls12", "The oldest version that is spoken: `tls12` or `tls13`.");
const SHUTDOWN_TIMEOUT: Setting = setting(
    "shutdown_timeout",
    ValueType::Duration,
    "30s",
    "How long the process may take to stop after SIGTERM, SIGINT or SIGQUIT: requests finish, and in the second half WebSockets (close code 1012) and event streams end one after the other (docs/deploys.md). It stops as soon as nothing is left to wait for.",
);
