//! The private key of `private_key_jwt` and its certificate: files that are read again when they change, so that a key is
//! rotated without a restart.

use std::{fs, io, path::PathBuf, sync::Arc};

use aws_lc_rs::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use base64::prelude::*;
use rustls::{
    pki_types::{CertificateDer, pem::PemObject},
    server::ParsedCertificate,
};
use zeroize::Zeroizing;

use crate::{
    file_stamp::FileStamp,
    jose::{PrivateKeyError, SigningKey},
    lock::Mutex,
    telemetry::logs::causes,
};

/// Where the client's private key is, and how the provider finds its public half.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientKeyFiles {
    /// `CODER_OIDC_CLIENT_KEY_FILE`: PEM.
    pub key: PathBuf,
    /// `CODER_OIDC_CLIENT_CERT_FILE`: PEM. Its thumbprints are in the header of each assertion.
    pub certificate: Option<PathBuf>,
    /// `CODER_OIDC_CLIENT_KEY_ID`: the header's `kid`.
    pub id: Option<String>,
}

/// Why the client's key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ClientKeyError {
    /// A file cannot be read.
    #[error("{} cannot be read", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// The file holds no key that can be used.
    #[error("{} holds no usable private key", .0.display())]
    Key(PathBuf, #[source] PrivateKeyError),
    /// The file holds no certificate.
    #[error("{} holds no usable certificate", .0.display())]
    Certificate(PathBuf, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// The certificate is another key's.
    #[error("the certificate in {} is not that of the private key in {}", .0.display(), .1.display())]
    Mismatch(PathBuf, PathBuf),
}

/// The key as it was last read.
#[derive(Debug)]
pub(super) struct ClientKey {
    files: ClientKeyFiles,
    loaded: Mutex<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    key: Arc<SigningKey>,
    /// How the files were when they were last read, whether or not they could be used.
    stamps: [Option<FileStamp>; 2],
    /// Why they could not be used then, as it was logged.
    failure: Option<String>,
}

impl ClientKey {
    /// Reads the files.
    ///
    /// # Errors
    /// [`ClientKeyError`].
    pub(super) fn load(files: ClientKeyFiles) -> Result<Self, ClientKeyError> {
        // The stamps come first, so that a file that changes while it is read is read again.
        let stamps = files.stamps();
        let key = Arc::new(files.read()?);
        Ok(Self { files, loaded: Mutex::new(Loaded { key, stamps, failure: None }) })
    }

    /// The key. Files that have changed are read again, and replace what was read before if they can be used; until they can, they are
    /// tried each time.
    pub(super) fn current(&self) -> Arc<SigningKey> {
        let mut loaded = self.loaded.lock();
        let stamps = self.files.stamps();
        if loaded.stamps != stamps || loaded.failure.is_some() {
            loaded.stamps = stamps;
            match self.files.read() {
                Ok(key) => {
                    (loaded.key, loaded.failure) = (Arc::new(key), None);
                    tracing::info!("the client's private key was read again");
                }
                Err(error) => {
                    let failure = causes(&error);
                    if loaded.failure.as_ref() != Some(&failure) {
                        tracing::error!(
                            error = failure,
                            "the client's private key could not be read again; the previous one is still used"
                        );
                    }
                    loaded.failure = Some(failure);
                }
            }
        }
        Arc::clone(&loaded.key)
    }
}

impl ClientKeyFiles {
    fn stamps(&self) -> [Option<FileStamp>; 2] {
        [Some(&self.key), self.certificate.as_ref()].map(|path| FileStamp::of(path?))
    }

    fn read(&self) -> Result<SigningKey, ClientKeyError> {
        let unreadable = |path: &PathBuf| {
            let path = path.clone();
            move |error| ClientKeyError::Unreadable(path, error)
        };
        let pem = Zeroizing::new(fs::read(&self.key).map_err(unreadable(&self.key))?);
        let mut key = SigningKey::from_pem(&pem).map_err(|error| ClientKeyError::Key(self.key.clone(), error))?;
        if let Some(id) = &self.id {
            key = key.with_header("kid", id);
        }
        let Some(path) = &self.certificate else { return Ok(key) };
        let pem = fs::read(path).map_err(unreadable(path))?;
        let unusable = |error: Box<dyn std::error::Error + Send + Sync>| ClientKeyError::Certificate(path.clone(), error);
        let certificate = CertificateDer::from_pem_slice(&pem).map_err(|error| unusable(error.into()))?;
        let parsed = ParsedCertificate::try_from(&certificate).map_err(|error| unusable(error.into()))?;
        if key.public_key_der().as_deref() != Some(parsed.subject_public_key_info().as_ref()) {
            return Err(ClientKeyError::Mismatch(path.clone(), self.key.clone()));
        }
        // RFC 7515 sections 4.1.7 and 4.1.8. Entra ID finds the key by either of them.
        let thumbprint = |hash| BASE64_URL_SAFE_NO_PAD.encode(digest::digest(hash, &certificate));
        let (sha1, sha256) = (thumbprint(&SHA1_FOR_LEGACY_USE_ONLY), thumbprint(&SHA256));
        Ok(key.with_header("x5t", &sha1).with_header("x5t#S256", &sha256))
    }
}
