//! Settings of `server`: where clients connect, and how the server stops.

use std::{net::SocketAddr, path::PathBuf};

use super::{
    reader::Reader,
    setting::{Section, Setting, ValueType, setting},
    values,
};
use crate::{
    server,
    tls::{ClientAuth, MinVersion, ServerCertificates},
};

/// The settings under their heading.
pub(super) const SECTION: Section = Section {
    title: "Listening and TLS",
    settings: &[
        &HTTP_ADDRESS,
        &TLS_ENABLE,
        &TLS_ADDRESS,
        &TLS_CERT_FILE,
        &TLS_KEY_FILE,
        &TLS_MIN_VERSION,
        &TLS_CLIENT_AUTH,
        &TLS_CLIENT_CA_FILE,
        &SHUTDOWN_TIMEOUT,
    ],
};

pub(super) const HTTP_ADDRESS: Setting = setting(
    "http_address",
    ValueType::Address,
    "127.0.0.1:3000",
    "The address and port that Evergate listens on for plain-text HTTP/1.1 and HTTP/2. A port alone, as in `:3000`, is all interfaces, with IPv6 where the system has it. Empty is not set: Evergate listens on loopback, where `evergate healthcheck` asks, and Coder not at all.",
);
pub(super) const TLS_ENABLE: Setting = setting(
    "tls_enable",
    ValueType::Bool,
    "false",
    "Whether Evergate terminates TLS (TLS termination) on `CODER_TLS_ADDRESS`. It listens on `CODER_HTTP_ADDRESS` as well.",
);
pub(super) const TLS_ADDRESS: Setting = setting(
    "tls_address",
    ValueType::Address,
    "127.0.0.1:3443",
    "The address and port that Evergate listens on for TLS, with HTTP/2 and HTTP/1.1 (ALPN).",
);
const TLS_CERT_FILE: Setting = setting(
    "tls_cert_file",
    ValueType::List,
    "",
    "PEM files of server certificates, each with its chain. SNI (the host name that a client asks for) selects the certificate that is served; clients without a matching name get the first. Files that change are reloaded within seconds, on SIGHUP immediately. A certificate that cannot be used does not replace one that can.",
);
const TLS_KEY_FILE: Setting =
    setting("tls_key_file", ValueType::List, "", "PEM files of the private keys of `CODER_TLS_CERT_FILE`, in the same order.");
const TLS_MIN_VERSION: Setting =
    setting("tls_min_version", ValueType::Text, "tls12", "The minimum TLS version for clients: `tls12` or `tls13`.");
const TLS_CLIENT_AUTH: Setting = setting(
    "tls_client_auth",
    ValueType::Text,
    "none",
    "Client certificates (mTLS) on `CODER_TLS_ADDRESS`: `none`; `verify-if-given` refuses the handshake of a client whose certificate is not of `CODER_TLS_CLIENT_CA_FILE`; `require-and-verify` also that of a client without one. Users log in all the same. Coder's `request`, which verifies nothing and refuses nobody, is `none` here; Evergate does not start with `require-any`, which any certificate satisfies. `CODER_HTTP_ADDRESS` asks for no certificate, so let it be reached by nobody else.",
);
pub(super) const TLS_CLIENT_CA_FILE: Setting = setting(
    "tls_client_ca_file",
    ValueType::Text,
    "",
    "PEM file of the CA bundle that Evergate verifies client certificates with; read at the start. As in Coder, with `CODER_TLS_CLIENT_CERT_FILE` it is the CA bundle for the provider too, unless `CODER_OIDC_CA_FILE` is set.",
);
const SHUTDOWN_TIMEOUT: Setting = setting(
    "shutdown_timeout",
    ValueType::Duration,
    "30s",
    "The timeout of the graceful shutdown (drain) after SIGTERM, SIGINT or SIGQUIT: requests finish, and in the second half WebSockets (close code 1012) and event streams (SSE) end one after the other (docs/deploys.md). The process stops as soon as nothing is left to wait for.",
);

/// The server's settings.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<server::Settings> {
    let address = reader.parsed(&HTTP_ADDRESS, values::address);
    let drain_deadline = reader.positive(&SHUTDOWN_TIMEOUT);
    let tls = tls(reader);
    // Where ingresses ask depends on settings of others; `check` fills it in.
    Some(server::Settings { address: address?, tls: tls?, ext_authz: None, drain_deadline: drain_deadline? })
}

/// Where TLS is terminated, and with which certificates; `Some(None)` where it is not.
fn tls(reader: &mut Reader<'_>) -> Option<Option<(SocketAddr, ServerCertificates)>> {
    let enabled = reader.boolean(&TLS_ENABLE)?;
    let address = reader.parsed(&TLS_ADDRESS, values::address);
    let min_version = reader.parsed(&TLS_MIN_VERSION, |text| match text {
        "tls12" => Ok(MinVersion::Tls12),
        "tls13" => Ok(MinVersion::Tls13),
        _ => Err("must be tls12 or tls13".to_owned()),
    });
    let (certificates, keys) = (reader.list(&TLS_CERT_FILE), reader.list(&TLS_KEY_FILE));
    if enabled && (certificates.is_empty() || certificates.len() != keys.len()) {
        reader.problem(&TLS_CERT_FILE, "must name as many files as CODER_TLS_KEY_FILE, and one at least, with CODER_TLS_ENABLE");
    }
    if !enabled && !certificates.is_empty() {
        reader.warn(&TLS_CERT_FILE, "is not served, because CODER_TLS_ENABLE is not set");
    }
    let client_auth = client_auth(reader, enabled);
    let files = certificates.into_iter().map(PathBuf::from).zip(keys.into_iter().map(PathBuf::from)).collect();
    let served = ServerCertificates { files, min_version: min_version?, client_auth: client_auth? };
    Some(enabled.then_some((address?, served)))
}

/// Whether clients present certificates.
fn client_auth(reader: &mut Reader<'_>, enabled: bool) -> Option<ClientAuth> {
    let authorities = reader.owned(&TLS_CLIENT_CA_FILE).map(PathBuf::from);
    let asked = reader.owned(&TLS_CLIENT_AUTH)?;
    let verify: fn(PathBuf) -> ClientAuth = match asked.as_str() {
        "none" => return Some(ClientAuth::None),
        "request" => {
            reader.warn(&TLS_CLIENT_AUTH, "is request, and nobody looks at such a certificate: none is asked for");
            return Some(ClientAuth::None);
        }
        "verify-if-given" => ClientAuth::VerifyIfGiven,
        "require-and-verify" => ClientAuth::RequireAndVerify,
        "require-any" => {
            let why = "must not be require-any: anybody can make such a certificate; require-and-verify asks for one of CODER_TLS_CLIENT_CA_FILE";
            reader.problem(&TLS_CLIENT_AUTH, why);
            return None;
        }
        _ => {
            reader.problem(&TLS_CLIENT_AUTH, "must be none, request, verify-if-given or require-and-verify");
            return None;
        }
    };
    if !enabled {
        reader.problem(&TLS_CLIENT_AUTH, "needs CODER_TLS_ENABLE: without it no client is asked for a certificate");
    }
    if authorities.is_none() {
        reader.problem(&TLS_CLIENT_AUTH, "needs CODER_TLS_CLIENT_CA_FILE to verify certificates with");
    }
    let plain = reader.text(&HTTP_ADDRESS).and_then(|text| values::address(text).ok());
    if asked == "require-and-verify" && plain.is_some_and(|address| !address.ip().is_loopback()) {
        reader.warn(
            &HTTP_ADDRESS,
            "is not on loopback, and asks no client for the certificate that CODER_TLS_CLIENT_AUTH requires",
        );
    }
    authorities.map(verify)
}
