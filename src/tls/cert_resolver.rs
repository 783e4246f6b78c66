//! Chooses which certificate is served by the name that a client asks for (SNI), and reloads certificates whose files change.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use rustls::{
    client::verify_server_name,
    crypto::CryptoProvider,
    pki_types::ServerName,
    server::{ClientHello, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::{
    TlsError,
    certificate_state::{CertificateState, check, not_after, server_name},
    read_chain, read_private_key,
};
use crate::{
    clock::{Clock, Timestamp},
    lock::{RwLock, RwLockReadGuard},
    telemetry::logs::causes,
};

/// The certificates that are served now.
#[derive(Debug)]
pub struct CertResolver {
    files: Vec<(PathBuf, PathBuf)>,
    /// The hosts that browsers reach us by.
    hosts: Vec<String>,
    clock: Clock,
    loaded: RwLock<Loaded>,
}

#[derive(Debug)]
struct Loaded {
    certificates: Vec<Arc<CertifiedKey>>,
    modified: Vec<Option<SystemTime>>,
}

/// How often the files' modification times are checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

fn load(files: &[(PathBuf, PathBuf)]) -> Result<Loaded, TlsError> {
    // The times come first, so that a file that changes while it is read is read again.
    let modified = modification_times(files);
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let certificates =
        files.iter().map(|(chain, key)| load_certificate(&provider, chain, key).map(Arc::new)).collect::<Result<_, _>>()?;
    Ok(Loaded { certificates, modified })
}

fn load_certificate(provider: &CryptoProvider, chain: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let unusable = |error| TlsError::Unusable(chain.to_owned(), error);
    let certificate = CertifiedKey::from_der(read_chain(chain)?, read_private_key(key)?, provider).map_err(unusable)?;
    certificate.keys_match().map_err(unusable)?;
    Ok(certificate)
}

fn modification_times(files: &[(PathBuf, PathBuf)]) -> Vec<Option<SystemTime>> {
    let modified = |path: &PathBuf| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    files.iter().flat_map(|(chain, key)| [modified(chain), modified(key)]).collect()
}

impl CertResolver {
    pub(super) fn load(files: Vec<(PathBuf, PathBuf)>, hosts: Vec<String>, clock: Clock) -> Result<Self, TlsError> {
        let loaded = RwLock::new(load(&files)?);
        Ok(Self { files, hosts, clock, loaded })
    }

    /// The gravest fault that clients of any of our hosts find now.
    pub fn certificate_state(&self) -> CertificateState {
        self.states().into_iter().max().unwrap_or(CertificateState::Valid)
    }

    /// When the first of the loaded certificates expires.
    pub fn first_expiry(&self) -> Option<Timestamp> {
        let loaded = self.loaded();
        let certificates = loaded.certificates.iter().filter_map(|certificate| certificate.end_entity_cert().ok());
        certificates.filter_map(not_after).min()
    }

    /// The files of the loaded certificates, and when each expires.
    pub fn expiries(&self) -> Vec<(String, Option<Timestamp>)> {
        let loaded = self.loaded();
        let ends = loaded.certificates.iter().map(|certificate| certificate.end_entity_cert().ok().and_then(not_after));
        self.files.iter().map(|(chain, _)| chain.display().to_string()).zip(ends).collect()
    }

    /// What clients of each of our hosts find now.
    fn states(&self) -> Vec<CertificateState> {
        let (loaded, now) = (self.loaded(), self.clock.now());
        let states = self.hosts.iter().map(|host| {
            let name = server_name(host);
            // No client sends a bare address as a name (RFC 6066 section 3).
            let sni = name.as_ref().filter(|name| matches!(name, ServerName::DnsName(_)));
            let served = loaded.choose(sni).and_then(|certificate| certificate.end_entity_cert().ok());
            served.map_or(CertificateState::WrongName, |served| check(served, name.as_ref(), now))
        });
        states.collect()
    }

    /// Logs for which hosts the state is another than in `logged`, and returns the states.
    fn log_changes(&self, logged: &[CertificateState]) -> Vec<CertificateState> {
        let states = self.states();
        for (at, (host, state)) in self.hosts.iter().zip(&states).enumerate() {
            let before = logged.get(at).unwrap_or(&CertificateState::Valid);
            if before == state {
                continue;
            }
            match state.fault() {
                None => tracing::info!(tls.host = host, "certificate served for {host} is valid again"),
                Some(fault) => tracing::warn!(
                    tls.host = host,
                    "certificate of CODER_TLS_CERT_FILE served for {host} will be refused by clients, because it {fault}"
                ),
            }
        }
        states
    }

    /// Reloads the files whenever they have changed, forever. Files that cannot be used do not replace what can. Logs what clients
    /// find at first, and whenever that changes, as it also does when a certificate expires.
    pub async fn run_reload(&self) {
        let mut rejected: Option<Vec<Option<SystemTime>>> = None;
        let mut logged = Vec::new();
        loop {
            logged = self.log_changes(&logged);
            tokio::time::sleep(CHECK_INTERVAL).await;
            let modified = modification_times(&self.files);
            if rejected.as_ref() == Some(&modified) || self.loaded().modified == modified {
                continue;
            }
            rejected = self.reload().is_err().then_some(modified);
        }
    }

    /// Reloads the files, whether or not they have changed, and logs the outcome. Files that cannot be used do not replace what
    /// can.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn reload(&self) -> Result<(), TlsError> {
        match load(&self.files) {
            Ok(loaded) => {
                *self.loaded.write() = loaded;
                tracing::info!("certificates reloaded");
                Ok(())
            }
            Err(error) => {
                tracing::error!(error = causes(&error), "certificate reload failed; the previous certificates are still served");
                Err(error)
            }
        }
    }

    fn loaded(&self) -> RwLockReadGuard<'_, Loaded> {
        self.loaded.read()
    }
}

impl Loaded {
    /// The certificate for a client that asks for `name`, or for none.
    fn choose(&self, name: Option<&ServerName<'_>>) -> Option<&Arc<CertifiedKey>> {
        let is_for_name = |key: &&Arc<CertifiedKey>| {
            let certificate = key.end_entity_cert().ok().and_then(|certificate| ParsedCertificate::try_from(certificate).ok());
            certificate.zip(name).is_some_and(|(certificate, name)| verify_server_name(&certificate, name).is_ok())
        };
        self.certificates.iter().find(is_for_name).or_else(|| self.certificates.first())
    }
}

impl ResolvesServerCert for CertResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        self.loaded().choose(name.as_ref()).cloned()
    }
}
