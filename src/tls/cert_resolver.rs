//! Chooses which certificate is served by the name that a client asks for (SNI), and reloads certificates whose files change.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rustls::{
    SignatureScheme,
    client::verify_server_name,
    crypto::CryptoProvider,
    pki_types::ServerName,
    server::{ClientHello, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::{
    TlsError,
    certificate_state::{CertificateState, check, not_after, server_name, validity_fault},
    read_chain, read_private_key,
};
use crate::{
    clock::{Clock, Timestamp},
    file_stamp::FileStamp,
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
    pairs: Vec<Pair>,
}

/// A certificate and its key, as they were last read.
#[derive(Clone, Debug)]
struct Pair {
    certificate: Arc<CertifiedKey>,
    /// How both files were when they were last read, whether or not they could be used.
    stamps: [Option<FileStamp>; 2],
    /// Why they could not be used then, as it was logged.
    failure: Option<String>,
}

/// Which files are read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reread {
    All,
    /// Those that have changed, and those that could not be used when they were last read.
    Changed,
}

/// How often it is checked whether the files have changed.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

fn load((chain, key): &(PathBuf, PathBuf), provider: &CryptoProvider) -> Result<Pair, TlsError> {
    // The stamps come first, so that a file that changes while it is read is read again.
    let stamps = stamps(chain, key);
    Ok(Pair { certificate: Arc::new(load_certificate(provider, chain, key)?), stamps, failure: None })
}

fn stamps(chain: &Path, key: &Path) -> [Option<FileStamp>; 2] {
    [chain, key].map(FileStamp::of)
}

fn load_certificate(provider: &CryptoProvider, chain: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let unusable = |error| TlsError::Unusable(chain.to_owned(), error);
    let certificate = CertifiedKey::from_der(read_chain(chain)?, read_private_key(key)?, provider).map_err(unusable)?;
    certificate.keys_match().map_err(unusable)?;
    Ok(certificate)
}

impl CertResolver {
    pub(super) fn load(files: Vec<(PathBuf, PathBuf)>, hosts: Vec<String>, clock: Clock) -> Result<Self, TlsError> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let pairs = files.iter().map(|files| load(files, &provider)).collect::<Result<_, _>>()?;
        Ok(Self { files, hosts, clock, loaded: RwLock::new(Loaded { pairs }) })
    }

    /// The gravest fault that clients of any of our hosts find now.
    pub fn certificate_state(&self) -> CertificateState {
        self.states().into_iter().max().unwrap_or(CertificateState::Valid)
    }

    /// When the first of the loaded certificates expires.
    pub fn first_expiry(&self) -> Option<Timestamp> {
        let loaded = self.loaded();
        let certificates = loaded.pairs.iter().filter_map(|pair| pair.certificate.end_entity_cert().ok());
        certificates.filter_map(not_after).min()
    }

    /// The files of the loaded certificates, and when each expires.
    pub fn expiries(&self) -> Vec<(String, Option<Timestamp>)> {
        let loaded = self.loaded();
        let ends = loaded.pairs.iter().map(|pair| pair.certificate.end_entity_cert().ok().and_then(not_after));
        self.files.iter().map(|(chain, _)| chain.display().to_string()).zip(ends).collect()
    }

    /// What clients of each of our hosts find now.
    fn states(&self) -> Vec<CertificateState> {
        let (loaded, now) = (self.loaded(), self.clock.now());
        let states = self.hosts.iter().map(|host| {
            let name = server_name(host);
            // No client sends a bare address as a name (RFC 6066 section 3).
            let sni = name.as_ref().filter(|name| matches!(name, ServerName::DnsName(_)));
            let served = loaded.choose(sni, None, now).and_then(|certificate| certificate.end_entity_cert().ok());
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

    /// Reloads the files whenever they have changed, forever. Those that cannot be used do not replace what can, and are tried again. Logs
    /// what clients find at first, and whenever that changes, as it also does when a certificate expires.
    pub async fn run_reload(&self) {
        let mut logged = Vec::new();
        loop {
            logged = self.log_changes(&logged);
            tokio::time::sleep(CHECK_INTERVAL).await;
            // What could not be used was logged.
            let _logged = self.reread(Reread::Changed);
        }
    }

    /// Reloads the files, whether or not they have changed, and logs the outcome. Files that cannot be used do not replace what
    /// can, and hold no other certificate back.
    ///
    /// # Errors
    /// The first [`TlsError`].
    pub fn reload(&self) -> Result<(), TlsError> {
        self.reread(Reread::All)
    }

    fn reread(&self, which: Reread) -> Result<(), TlsError> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let before = self.loaded().pairs.clone();
        let (mut pairs, mut first) = (Vec::with_capacity(before.len()), None);
        for (files, before) in self.files.iter().zip(before) {
            let stamps = stamps(&files.0, &files.1);
            if which == Reread::Changed && stamps == before.stamps && before.failure.is_none() {
                pairs.push(before);
                continue;
            }
            let file = files.0.display().to_string();
            pairs.push(match load(files, &provider) {
                Ok(pair) => {
                    tracing::info!(tls.file = file, "certificates reloaded");
                    pair
                }
                Err(error) => {
                    let failure = causes(&error);
                    // Once, and not every two seconds.
                    if which == Reread::All || before.failure.as_ref() != Some(&failure) {
                        tracing::error!(
                            tls.file = file,
                            error = failure,
                            "certificate reload failed; the previous certificate is still served"
                        );
                    }
                    first = first.or(Some(error));
                    Pair { stamps, failure: Some(failure), ..before }
                }
            });
        }
        *self.loaded.write() = Loaded { pairs };
        first.map_or(Ok(()), Err)
    }

    fn loaded(&self) -> RwLockReadGuard<'_, Loaded> {
        self.loaded.read()
    }
}

impl Loaded {
    /// The certificate for a client that asks for `name`, or for none, and verifies signatures of these `schemes`; `None`: of any. Of several
    /// for one name the first that the client can use: it takes no signature of another algorithm, and an expired certificate with a
    /// warning at best.
    fn choose(
        &self,
        name: Option<&ServerName<'_>>,
        schemes: Option<&[SignatureScheme]>,
        now: Timestamp,
    ) -> Option<&Arc<CertifiedKey>> {
        let is_for_name = |key: &&Arc<CertifiedKey>| {
            let certificate = key.end_entity_cert().ok().and_then(|certificate| ParsedCertificate::try_from(certificate).ok());
            certificate.zip(name).is_some_and(|(certificate, name)| verify_server_name(&certificate, name).is_ok())
        };
        let certificates = || self.pairs.iter().map(|pair| &pair.certificate);
        let matching: Vec<_> = certificates().filter(is_for_name).collect();
        let worth = |key: &&Arc<CertifiedKey>| {
            let is_verified = schemes.is_none_or(|schemes| key.key.choose_scheme(schemes).is_some());
            (is_verified, key.end_entity_cert().is_ok_and(|certificate| validity_fault(certificate, now).is_none()))
        };
        match matching.as_slice() {
            [] => certificates().next(),
            [only] => Some(only),
            // The last of the greatest is the first of these.
            several => several.iter().rev().copied().max_by_key(worth),
        }
    }
}

impl ResolvesServerCert for CertResolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        self.loaded().choose(name.as_ref(), Some(hello.signature_schemes()), self.clock.now()).cloned()
    }
}
