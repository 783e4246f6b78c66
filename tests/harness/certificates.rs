//! Certificates for a test, and browsers that trust them.

use std::{ops::Range, path::PathBuf, sync::Arc, time::Duration};

use evergate::clock::Timestamp;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, PKCS_RSA_SHA256, date_time_ymd};
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// An authority, and a folder in which its certificates are.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Of another name than what it signs, which BoringSSL would take for self-signed.
        params.distinguished_name.push(DnType::CommonName, "the authority of a test");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    /// Writes a certificate for these names, with its key.
    pub fn issue(&self, file: &str, names: &[&str]) -> (String, String) {
        self.write(file, &Self::params(names))
    }

    /// The same for a certificate that is valid for this time alone.
    pub fn issue_for(&self, file: &str, names: &[&str], valid: Range<Timestamp>) -> (String, String) {
        let time = |at: Timestamp| date_time_ymd(1970, 1, 1) + Duration::from_secs(at.seconds().try_into().unwrap());
        let mut params = Self::params(names);
        (params.not_before, params.not_after) = (time(valid.start), time(valid.end));
        self.write(file, &params)
    }

    /// The same with an RSA key, which clients can verify that know nothing else.
    pub fn issue_rsa(&self, file: &str, names: &[&str]) -> (String, String) {
        self.write_with(file, &Self::params(names), &KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap())
    }

    fn params(names: &[&str]) -> CertificateParams {
        CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    fn write(&self, file: &str, params: &CertificateParams) -> (String, String) {
        self.write_with(file, params, &KeyPair::generate().unwrap())
    }

    fn write_with(&self, file: &str, params: &CertificateParams, key: &KeyPair) -> (String, String) {
        let certificate = params.signed_by(key, &self.issuer).unwrap();
        let paths = [format!("{file}.pem"), format!("{file}.key")].map(|name| self.path(&name));
        std::fs::write(&paths[1], key.serialize_pem()).unwrap();
        std::fs::write(&paths[0], certificate.pem()).unwrap();
        (paths[0].display().to_string(), paths[1].display().to_string())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The file of the authority's own certificate.
    pub fn ca_file(&self) -> String {
        self.path("ca.pem").display().to_string()
    }

    /// Connects as a client that trusts this authority and offers these protocols.
    pub async fn connect(
        &self,
        address: std::net::SocketAddr,
        name: &str,
        protocols: &[&str],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut config = ClientConfig::builder().with_root_certificates(self.roots()).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(address).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name.to_owned()).unwrap(), stream).await
    }

    /// Connects as a client of TLS 1.2 that verifies signatures of RSA alone.
    pub async fn connect_by_rsa(&self, address: std::net::SocketAddr, name: &str) -> std::io::Result<TlsStream<TcpStream>> {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        provider.cipher_suites.retain(|suite| format!("{:?}", suite.suite()).starts_with("TLS_ECDHE_RSA_"));
        let config =
            ClientConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(&[&rustls::version::TLS12]).unwrap();
        let config = config.with_root_certificates(self.roots()).with_no_client_auth();
        let stream = TcpStream::connect(address).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(name.to_owned()).unwrap(), stream).await
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        roots
    }
}
