//! The certificates besides those that are served to clients: what Evergate presents itself, and what it trusts its peers by.

use std::path::{Path, PathBuf};

use super::{ClientTls, certificate_state::not_after, read_chain, server_certificates::ClientAuth};
use crate::clock::Timestamp;

/// What the certificates of a file are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CertificateUse {
    /// Evergate presents it as a client (mTLS).
    Client,
    /// It is of the key by which Evergate signs as a client of the provider (`private_key_jwt`).
    Signing,
    /// A peer's certificate must be of it (CA bundle).
    Trusted,
}

impl CertificateUse {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Client, Self::Signing, Self::Trusted];

    /// The name, for programs. It must not change.
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client_certificate",
            Self::Signing => "signing_certificate",
            Self::Trusted => "ca_bundle",
        }
    }
}

/// A file of certificates, as it was read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CertificateFile {
    /// Where it is.
    pub file: PathBuf,
    /// What it is for.
    pub used_as: CertificateUse,
    /// When it expires; of a bundle, when the last of it does, because one may have some that expired long ago. `None`: it cannot be read.
    pub expires_at: Option<Timestamp>,
}

impl CertificateFile {
    /// Reads a file.
    pub fn read(file: &Path, used_as: CertificateUse) -> Self {
        let chain = read_chain(file).unwrap_or_default();
        let expires_at = match used_as {
            CertificateUse::Client | CertificateUse::Signing => chain.first().and_then(not_after),
            CertificateUse::Trusted => chain.iter().filter_map(not_after).max(),
        };
        Self { file: file.to_owned(), used_as, expires_at }
    }

    /// The file as it is in use now.
    #[must_use]
    pub fn now(&self) -> Self {
        if self.may_change() { Self::read(&self.file, self.used_as) } else { self.clone() }
    }

    /// Whether it is in use as it is in the file, whenever that changes. The key that signs is read again then, and the others when the
    /// settings are.
    pub fn may_change(&self) -> bool {
        match self.used_as {
            CertificateUse::Signing => true,
            CertificateUse::Client | CertificateUse::Trusted => false,
        }
    }
}

impl ClientTls {
    /// The files, as they are now.
    pub fn files(&self) -> Vec<CertificateFile> {
        let presented = self.client_certificate.as_ref().map(|(chain, _)| CertificateFile::read(chain, CertificateUse::Client));
        let trusted = self.ca_file.as_ref().map(|bundle| CertificateFile::read(bundle, CertificateUse::Trusted));
        presented.into_iter().chain(trusted).collect()
    }
}

impl ClientAuth {
    /// The file by which clients are verified, if they are.
    pub fn file(&self) -> Option<CertificateFile> {
        match self {
            Self::None => None,
            Self::VerifyIfGiven(bundle) | Self::RequireAndVerify(bundle) => {
                Some(CertificateFile::read(bundle, CertificateUse::Trusted))
            }
        }
    }
}
