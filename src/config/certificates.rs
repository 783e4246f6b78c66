//! The files of certificates that the settings name besides those that are served.

use super::Checked;
use crate::{
    forward::Target,
    tls::{CertificateFile, CertificateUse, ClientTls},
};

impl Checked {
    /// The files of all that stays until a restart: towards providers, token issuers and the collector of traces, and by which clients are
    /// verified. They are read now.
    pub fn certificate_files(&self) -> Vec<CertificateFile> {
        let signing = |provider: &super::ProviderSettings| {
            let certificate = provider.oidc.client_key.as_ref().and_then(|key| key.certificate.as_ref());
            certificate.map(|file| CertificateFile::read(file, CertificateUse::Signing))
        };
        let traces = self
            .telemetry
            .traces
            .as_ref()
            .map(|traces| ClientTls { ca_file: traces.ca_file.clone(), client_certificate: traces.client_certificate.clone() });
        let mut files: Vec<_> = self.providers().filter_map(signing).collect();
        let trusts = self.providers().map(|provider| &provider.trust).chain(self.token_issuers.iter().map(|(_, trust)| trust));
        files.extend(trusts.chain(traces.as_ref()).flat_map(ClientTls::files));
        files.extend(self.server.tls.as_ref().and_then(|(_, certificates)| certificates.client_auth.file()));
        files
    }
}

/// These files and those of the routes' targets, each once.
pub fn with_targets(files: &[CertificateFile], targets: &[(Target, ClientTls)]) -> Vec<CertificateFile> {
    let mut all: Vec<_> = files.iter().cloned().chain(targets.iter().flat_map(|(_, trust)| trust.files())).collect();
    all.sort();
    all.dedup_by(|one, other| (&one.file, one.used_as) == (&other.file, other.used_as));
    all
}
