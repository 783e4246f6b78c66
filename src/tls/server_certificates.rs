//! The certificates that are served to clients, as settings.

use std::{path::PathBuf, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    server::{ResolvesServerCert, WebPkiClientVerifier, danger::ClientCertVerifier},
};

use super::{CertResolver, TlsError, read_roots};
use crate::clock::Clock;

/// Which certificates are served to clients, and with which versions of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerCertificates {
    /// PEM files of each certificate with its chain, and of its key. The first is served to a client that asks (SNI) for no name
    /// that any of them is for.
    pub files: Vec<(PathBuf, PathBuf)>,
    /// The oldest TLS that is spoken.
    pub min_version: MinVersion,
    /// Whether clients present a certificate (mTLS).
    pub client_auth: ClientAuth,
}

/// Whether clients present a certificate, which must be of the CA bundle in this PEM file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked for one.
    #[default]
    None,
    /// A client without one is served; one with a certificate that cannot be verified is not.
    VerifyIfGiven(PathBuf),
    /// A client without one that is verified is not served.
    RequireAndVerify(PathBuf),
}

impl ClientAuth {
    fn verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let (path, is_required) = match self {
            Self::None => return Ok(WebPkiClientVerifier::no_client_auth()),
            Self::VerifyIfGiven(path) => (path, false),
            Self::RequireAndVerify(path) => (path, true),
        };
        let roots: Arc<RootCertStore> = Arc::new(read_roots(path)?);
        let builder = WebPkiClientVerifier::builder(roots);
        let builder = if is_required { builder } else { builder.allow_unauthenticated() };
        builder.build().map_err(|error| TlsError::ClientCa(path.clone(), error))
    }
}

/// The oldest TLS that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinVersion {
    /// TLS 1.2.
    Tls12,
    /// TLS 1.3.
    Tls13,
}

impl ServerCertificates {
    /// Reads the files into a configuration of rustls, and the resolver that it serves them by. `hosts` are those that browsers
    /// reach us by.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(&self, hosts: Vec<String>, clock: Clock) -> Result<(ServerConfig, Arc<CertResolver>), TlsError> {
        let resolver = Arc::new(CertResolver::load(self.files.clone(), hosts, clock)?);
        let versions: &[&rustls::SupportedProtocolVersion] = match self.min_version {
            MinVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            MinVersion::Tls13 => &[&rustls::version::TLS13],
        };
        let resolves: Arc<dyn ResolvesServerCert> = Arc::clone(&resolver) as _;
        let mut config = ServerConfig::builder_with_protocol_versions(versions)
            .with_client_cert_verifier(self.client_auth.verifier()?)
            .with_cert_resolver(resolves);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok((config, resolver))
    }
}
