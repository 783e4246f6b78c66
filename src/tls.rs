//! Certificates: those that we trust and show as a client, and those that we show as a server.

mod certificate;
mod shown;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use hyper_rustls::ConfigBuilderExt;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::clock::Timestamp;

pub use certificate::CertificateState;
pub use shown::{MinVersion, Showing, Shown};

/// Whom we trust as a client of the provider or of an upstream, and who we say that we are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// PEM file of the authorities that are trusted; `None` trusts the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM files of a client certificate with its chain, and of its key.
    pub client: Option<(PathBuf, PathBuf)>,
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
    /// The system's authorities cannot be read.
    #[error("the system's certificate authorities cannot be read")]
    System(#[source] std::io::Error),
    /// A certificate or key is not usable, or they do not belong together.
    #[error("{} is not usable", .0.display())]
    Unusable(PathBuf, #[source] rustls::Error),
}

impl Trust {
    /// A client's configuration. Reads the files.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn client(&self) -> Result<ClientConfig, TlsError> {
        let builder = ClientConfig::builder();
        let builder = match &self.ca_file {
            None => builder.with_native_roots().map_err(TlsError::System)?,
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|error| TlsError::Unusable(path.clone(), error))?;
                }
                builder.with_root_certificates(Arc::new(roots))
            }
        };
        match &self.client {
            None => Ok(builder.with_no_client_auth()),
            Some((chain, key)) => builder
                .with_client_auth_cert(certificates(chain)?, private_key(key)?)
                .map_err(|error| TlsError::Unusable(chain.clone(), error)),
        }
    }
}

impl Trust {
    /// Says that whoever looks at its dates will refuse the certificate that we show as a client, where that is so.
    pub fn warn_of_dates(&self, now: Timestamp) {
        let Some((chain, _)) = &self.client else { return };
        let first = certificates(chain).ok().and_then(|chain| chain.into_iter().next());
        if let Some(fault) = first.and_then(|first| certificate::wrong_dates(&first, now)) {
            tracing::warn!(tls.file = %chain.display(), "the client certificate {} will be refused, because it {fault}", chain.display());
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |error| TlsError::File(path.to_owned(), error);
    let all = CertificateDer::pem_file_iter(path).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    if all.is_empty() { Err(TlsError::Empty(path.to_owned())) } else { Ok(all) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| TlsError::File(path.to_owned(), error))
}
