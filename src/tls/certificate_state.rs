//! What a peer finds when it checks a certificate of ours: its validity period, and the host name that it is for.

use std::time::{Duration, UNIX_EPOCH};

use rustls::{
    CertificateError, Error, RootCertStore,
    client::{verify_server_cert_signed_by_trust_anchor, verify_server_name},
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use crate::clock::{Timestamp, millis};

/// What a client that trusts the issuer finds. A graver fault compares greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CertificateState {
    /// The certificate has no fault.
    Valid,
    /// The certificate is for other host names, or cannot be parsed.
    WrongName,
    /// The certificate is not valid before this time.
    NotYetValid(Timestamp),
    /// The certificate expired at this time.
    Expired(Timestamp),
}

/// The host as a name that a certificate can be for, if it is one.
pub(super) fn server_name(host: &str) -> Option<ServerName<'_>> {
    ServerName::try_from(host).ok()
}

/// Checks a certificate as a client does that connects to `name` at `now`.
pub(super) fn check(certificate: &CertificateDer<'_>, name: Option<&ServerName<'_>>, now: Timestamp) -> CertificateState {
    let Ok(certificate) = ParsedCertificate::try_from(certificate) else { return CertificateState::WrongName };
    let has_name = name.is_some_and(|name| verify_server_name(&certificate, name).is_ok());
    // Of two faults the graver is reported.
    check_validity(&certificate, now).max(if has_name { CertificateState::Valid } else { CertificateState::WrongName })
}

/// When a certificate expires: what a client at the end of time would be told.
pub(super) fn not_after(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    match check_validity(&ParsedCertificate::try_from(certificate).ok()?, END_OF_TIME) {
        CertificateState::Expired(at) => Some(at),
        CertificateState::Valid | CertificateState::WrongName | CertificateState::NotYetValid(_) => None,
    }
}

/// When a certificate in DER expires; `None`: it is none that can be read.
pub fn end_of_certificate(der: &[u8]) -> Option<Timestamp> {
    not_after(&CertificateDer::from(der))
}

/// The last moment that a certificate can name (RFC 5280 section 4.1.2.5): the end of the year 9999.
const END_OF_TIME: Timestamp = Timestamp(253_402_300_799_000);

/// What is wrong with a certificate's validity period, as the end of a sentence.
pub(super) fn validity_fault(certificate: &CertificateDer<'_>, now: Timestamp) -> Option<String> {
    check_validity(&ParsedCertificate::try_from(certificate).ok()?, now).fault()
}

/// Checks the validity period alone. The issuer is not for us to judge: with an empty list of trusted authorities rustls checks
/// the period first, and only then finds the issuer unknown. Evergate's own clients check by the same code; another parser would
/// be a dependency for two numbers.
fn check_validity(certificate: &ParsedCertificate<'_>, now: Timestamp) -> CertificateState {
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms.all;
    let time = UnixTime::since_unix_epoch(since_epoch(now));
    match verify_server_cert_signed_by_trust_anchor(certificate, &RootCertStore::empty(), &[], time, algorithms) {
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            CertificateState::Expired(timestamp(not_after))
        }
        Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. })) => {
            CertificateState::NotYetValid(timestamp(not_before))
        }
        Ok(()) | Err(_) => CertificateState::Valid,
    }
}

impl CertificateState {
    /// What is wrong, as the end of a sentence.
    pub(super) fn fault(self) -> Option<String> {
        match self {
            Self::Valid => None,
            Self::WrongName => Some("is for other host names".to_owned()),
            Self::NotYetValid(from) => Some(format!("is not valid before {}", http_date(from))),
            Self::Expired(at) => Some(format!("expired at {}", http_date(at))),
        }
    }
}

fn timestamp(time: UnixTime) -> Timestamp {
    Timestamp(millis(Duration::from_secs(time.as_secs())))
}

fn since_epoch(time: Timestamp) -> Duration {
    Duration::from_millis(u64::try_from(time.0).unwrap_or(0))
}

fn http_date(time: Timestamp) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + since_epoch(time))
}
