//! TLS: the certificates that Evergate trusts and presents as a client, and those that it serves to clients (TLS termination).

mod cert_resolver;
mod certificate_file;
mod certificate_state;
mod server_certificates;

use std::{
    collections::{HashMap, hash_map::Entry},
    path::{Path, PathBuf},
    sync::Arc,
};

use hyper_rustls::ConfigBuilderExt;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::clock::Timestamp;

pub use cert_resolver::CertResolver;
pub use certificate_file::{CertificateFile, CertificateUse};
pub use certificate_state::{CertificateState, end_of_certificate};
pub use server_certificates::{ClientAuth, MinVersion, ServerCertificates};

/// What Evergate trusts, and presents, as a TLS client of the provider or of an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientTls {
    /// PEM file of the CA bundle; `None` trusts the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM files of the client certificate (mTLS) with its chain, and of its key.
    pub client_certificate: Option<(PathBuf, PathBuf)>,
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or is not PEM.
    #[error("{} cannot be used", .0.display())]
    File(PathBuf, #[source] rustls::pki_types::pem::Error),
    /// A file holds no certificate.
    #[error("{} holds no certificate", .0.display())]
    Empty(PathBuf),
    /// The system's certificate authorities cannot be read.
    #[error("the system's certificate authorities cannot be read")]
    System(#[source] std::io::Error),
    /// A certificate or key is not usable, or they do not belong together.
    #[error("{} is not usable", .0.display())]
    Unusable(PathBuf, #[source] rustls::Error),
    /// Clients cannot be verified by these certificates.
    #[error("clients cannot be verified by {}", .0.display())]
    ClientCa(PathBuf, #[source] rustls::server::VerifierBuilderError),
}

impl ClientTls {
    /// Reads the files into a configuration of rustls.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn client_config(&self) -> Result<ClientConfig, TlsError> {
        let builder = ClientConfig::builder();
        let builder = match &self.ca_file {
            None => builder.with_native_roots().map_err(TlsError::System)?,
            Some(path) => builder.with_root_certificates(Arc::new(read_roots(path)?)),
        };
        match &self.client_certificate {
            None => Ok(builder.with_no_client_auth()),
            Some((chain, key)) => builder
                .with_client_auth_cert(read_chain(chain)?, read_private_key(key)?)
                .map_err(|error| TlsError::Unusable(chain.clone(), error)),
        }
    }

    /// Warns if servers will refuse the client certificate because of its validity period.
    pub fn warn_of_validity(&self, now: Timestamp) {
        let Some((chain, _)) = &self.client_certificate else { return };
        let leaf = read_chain(chain).ok().and_then(|chain| chain.into_iter().next());
        if let Some(fault) = leaf.and_then(|leaf| certificate_state::validity_fault(&leaf, now)) {
            tracing::warn!(tls.file = %chain.display(), "the client certificate {} will be refused, because it {fault}", chain.display());
        }
    }
}

/// Reads the files of all targets, each of them once: hundreds of routes mostly trust alike, and the system's authorities are many.
/// Configurations of the same files share what was read.
///
/// # Errors
/// [`TlsError`].
pub fn client_configs<T>(targets: Vec<(T, ClientTls)>) -> Result<Vec<(T, ClientConfig)>, TlsError> {
    let mut read = HashMap::new();
    let config_of = |(target, files): (T, ClientTls)| {
        let config = match read.entry(files) {
            Entry::Occupied(before) => before.into_mut(),
            Entry::Vacant(first) => {
                let config = first.key().client_config()?;
                first.insert(config)
            }
        };
        Ok((target, config.clone()))
    };
    targets.into_iter().map(config_of).collect()
}

fn read_roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in read_chain(path)? {
        roots.add(certificate).map_err(|error| TlsError::Unusable(path.to_owned(), error))?;
    }
    Ok(roots)
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |error| TlsError::File(path.to_owned(), error);
    let chain = CertificateDer::pem_file_iter(path).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    if chain.is_empty() { Err(TlsError::Empty(path.to_owned())) } else { Ok(chain) }
}

fn read_private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| TlsError::File(path.to_owned(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_many_targets_trust_is_read_once() {
        let folder = tempfile::tempdir().unwrap();
        let trusting = |name: &str| {
            let path = folder.path().join(name);
            let certificate = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap().cert;
            std::fs::write(&path, certificate.pem()).unwrap();
            ClientTls { ca_file: Some(path), client_certificate: None }
        };
        let (one, other) = (trusting("one"), trusting("other"));
        let configs = client_configs(vec![("a", one.clone()), ("b", other), ("c", one.clone())]).unwrap();
        let [("a", a), ("b", b), ("c", c)] = configs.as_slice() else { panic!("{configs:?}") };
        assert!(Arc::ptr_eq(&a.client_auth_cert_resolver, &c.client_auth_cert_resolver), "of one reading");
        assert!(!Arc::ptr_eq(&a.client_auth_cert_resolver, &b.client_auth_cert_resolver));
        std::fs::remove_file(one.ca_file.as_ref().unwrap()).unwrap();
        assert!(client_configs(vec![("a", one)]).is_err(), "nothing is kept from one time to the next");
    }
}
