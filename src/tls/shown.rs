//! The certificates that we show to clients: chosen by the name that they ask for, read again when their files change.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    time::{Duration, SystemTime},
};

use rustls::{
    ServerConfig,
    client::verify_server_name,
    crypto::CryptoProvider,
    pki_types::ServerName,
    server::{ClientHello, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
};

use super::{
    TlsError,
    certificate::{CertificateState, judge, server_name},
    certificates, private_key,
};
use crate::{clock::Clock, telemetry::logs::causes};

/// Which certificates are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// PEM files of a certificate with its chain, and of its key. The first is shown to who asks for no name that any has.
    pub files: Vec<(PathBuf, PathBuf)>,
    /// The oldest protocol that is spoken.
    pub min_version: MinVersion,
}

/// The oldest TLS that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MinVersion {
    /// 1.2.
    Tls12,
    /// 1.3.
    Tls13,
}

/// Certificates that are being shown.
#[derive(Debug)]
pub struct Showing {
    files: Vec<(PathBuf, PathBuf)>,
    /// Those that browsers know us by.
    hosts: Vec<String>,
    clock: Clock,
    state: RwLock<State>,
}

#[derive(Debug)]
struct State {
    keys: Vec<Arc<CertifiedKey>>,
    read_at: Vec<Option<SystemTime>>,
}

/// The files are looked at this often.
const LOOK: Duration = Duration::from_secs(2);

impl Shown {
    /// Reads the files, for browsers that come to `hosts`.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn read(&self, hosts: Vec<String>, clock: Clock) -> Result<(ServerConfig, Arc<Showing>), TlsError> {
        let state = RwLock::new(read(&self.files)?);
        let showing = Arc::new(Showing { files: self.files.clone(), hosts, clock, state });
        let versions: &[&rustls::SupportedProtocolVersion] = match self.min_version {
            MinVersion::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            MinVersion::Tls13 => &[&rustls::version::TLS13],
        };
        let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(&showing) as _;
        let mut config =
            ServerConfig::builder_with_protocol_versions(versions).with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok((config, showing))
    }
}

fn read(files: &[(PathBuf, PathBuf)]) -> Result<State, TlsError> {
    // Before the files: what changes while they are read is read again.
    let read_at = changed_at(files);
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let keys = files.iter().map(|(chain, key)| certified(&provider, chain, key).map(Arc::new)).collect::<Result<_, _>>()?;
    Ok(State { keys, read_at })
}

fn certified(provider: &CryptoProvider, chain: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let unusable = |error| TlsError::Unusable(chain.to_owned(), error);
    let certified = CertifiedKey::from_der(certificates(chain)?, private_key(key)?, provider).map_err(unusable)?;
    certified.keys_match().map_err(unusable)?;
    Ok(certified)
}

fn changed_at(files: &[(PathBuf, PathBuf)]) -> Vec<Option<SystemTime>> {
    let changed = |path: &PathBuf| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    files.iter().flat_map(|(chain, key)| [changed(chain), changed(key)]).collect()
}

impl Showing {
    /// The worst that clients of our hosts find now.
    pub fn certificate_state(&self) -> CertificateState {
        self.judged().into_iter().max().unwrap_or(CertificateState::Good)
    }

    /// What clients of each of our hosts find now.
    fn judged(&self) -> Vec<CertificateState> {
        let (state, now) = (self.state.read().unwrap_or_else(PoisonError::into_inner), self.clock.now());
        let judged = self.hosts.iter().map(|host| {
            let name = server_name(host);
            // No client sends the name of a bare address (RFC 6066 section 3).
            let sent = name.as_ref().filter(|name| matches!(name, ServerName::DnsName(_)));
            let shown = state.chosen(sent).and_then(|key| key.end_entity_cert().ok());
            shown.map_or(CertificateState::WrongName, |shown| judge(shown, name.as_ref(), now))
        });
        judged.collect()
    }

    /// Says of which hosts it has changed what their clients find, and returns what they find.
    fn tell(&self, told: &[CertificateState]) -> Vec<CertificateState> {
        let judged = self.judged();
        for (at, (host, state)) in self.hosts.iter().zip(&judged).enumerate() {
            let before = told.get(at).unwrap_or(&CertificateState::Good);
            if before == state {
                continue;
            }
            match state.fault() {
                None => tracing::info!(tls.host = host, "the certificate that clients of {host} are shown is good again"),
                Some(fault) => tracing::warn!(
                    tls.host = host,
                    "clients of {host} will refuse the certificate of CODER_TLS_CERT_FILE that they are shown, because it {fault}"
                ),
            }
        }
        judged
    }

    /// Reads the files again, for ever, when they have changed. What cannot be used does not replace what can. Says what
    /// clients find, at first and whenever that changes, as it does by itself when a certificate expires.
    pub async fn keep_read(&self) {
        let mut refused: Option<Vec<Option<SystemTime>>> = None;
        let mut told = Vec::new();
        loop {
            told = self.tell(&told);
            tokio::time::sleep(LOOK).await;
            let now = changed_at(&self.files);
            if refused.as_ref() == Some(&now) || self.state.read().unwrap_or_else(PoisonError::into_inner).read_at == now {
                continue;
            }
            refused = self.read_again().is_err().then_some(now);
        }
    }

    /// Reads the files again, whether or not they have changed. What cannot be used does not replace what can, and is in the log.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn read_again(&self) -> Result<(), TlsError> {
        match read(&self.files) {
            Ok(state) => {
                *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
                tracing::info!("certificates were read again");
                Ok(())
            }
            Err(error) => {
                tracing::error!(error = causes(&error), "changed certificates cannot be used; the old ones are shown on");
                Err(error)
            }
        }
    }
}

impl State {
    /// The certificate for who asks for this name, or for none.
    fn chosen(&self, name: Option<&ServerName<'_>>) -> Option<&Arc<CertifiedKey>> {
        let is_for = |key: &&Arc<CertifiedKey>| {
            let certificate = key.end_entity_cert().ok().and_then(|certificate| ParsedCertificate::try_from(certificate).ok());
            certificate.zip(name).is_some_and(|(certificate, name)| verify_server_name(&certificate, name).is_ok())
        };
        self.keys.iter().find(is_for).or_else(|| self.keys.first())
    }
}

impl ResolvesServerCert for Showing {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        self.state.read().unwrap_or_else(PoisonError::into_inner).chosen(name.as_ref()).cloned()
    }
}
