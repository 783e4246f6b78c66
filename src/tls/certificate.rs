//! What a client finds of a certificate that it is shown: whether it is of this time, and of the name that was asked for.

use std::time::{Duration, UNIX_EPOCH};

use rustls::{
    CertificateError, Error, RootCertStore,
    client::{verify_server_cert_signed_by_trust_anchor, verify_server_name},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use crate::clock::{Timestamp, millis};

/// What a client finds that trusts the issuer; the graver, the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CertificateState {
    /// Nothing is wrong.
    Good,
    /// It has not the name that was asked for.
    WrongName,
    /// It is not valid before then.
    NotYetValid(Timestamp),
    /// It expired then.
    Expired(Timestamp),
}

/// The name of a site's host, if certificates can have it.
pub(super) fn server_name(host: &str) -> Option<ServerName<'_>> {
    ServerName::try_from(host).ok()
}

/// Judges a certificate as a client does at this time that asked for this name.
pub(super) fn judge(certificate: &CertificateDer<'_>, name: Option<&ServerName<'_>>, now: Timestamp) -> CertificateState {
    let Ok(certificate) = ParsedCertificate::try_from(certificate) else { return CertificateState::WrongName };
    let has_name = name.is_some_and(|name| verify_server_name(&certificate, name).is_ok());
    // Of two faults the graver is told.
    dates(&certificate, now).max(if has_name { CertificateState::Good } else { CertificateState::WrongName })
}

/// What is wrong with the dates of a certificate that we show as a client, as a sentence's end.
pub(super) fn wrong_dates(certificate: &CertificateDer<'_>, now: Timestamp) -> Option<String> {
    dates(&ParsedCertificate::try_from(certificate).ok()?, now).fault()
}

/// Judges the dates alone. Who issued a certificate is not for us to say: with nobody to trust, rustls judges the time first, and
/// then finds that the issuer is unknown. It is the code that our own clients judge by; a parser besides would be a dependency for
/// two figures.
fn dates(certificate: &ParsedCertificate<'_>, now: Timestamp) -> CertificateState {
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms.all;
    let time = UnixTime::since_unix_epoch(since_epoch(now));
    match verify_server_cert_signed_by_trust_anchor(certificate, &RootCertStore::empty(), &[], time, algorithms) {
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            CertificateState::Expired(timestamp(not_after))
        }
        Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. })) => {
            CertificateState::NotYetValid(timestamp(not_before))
        }
        Ok(()) | Err(_) => CertificateState::Good,
    }
}

impl CertificateState {
    /// What is wrong, as a sentence's end.
    pub(super) fn fault(self) -> Option<String> {
        match self {
            Self::Good => None,
            Self::WrongName => Some("has not its name".to_owned()),
            Self::NotYetValid(from) => Some(format!("is not valid before {}", date(from))),
            Self::Expired(at) => Some(format!("expired at {}", date(at))),
        }
    }
}

fn timestamp(time: UnixTime) -> Timestamp {
    Timestamp(millis(Duration::from_secs(time.as_secs())))
}

fn since_epoch(time: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(time.0).unwrap_or(0))
}

/// As people read it.
fn date(time: Timestamp) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + since_epoch(time))
}
