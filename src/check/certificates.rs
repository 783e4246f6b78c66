//! The certificates that clients are served, those that Evergate presents itself, and what it trusts its peers by.

use std::time::Duration;

use super::Finding;
use crate::{
    clock::Clock,
    config::{Checked, with_targets},
    tls::{CertificateFile, CertificateState, CertificateUse, TlsError},
};

/// A certificate that expires sooner is worth a warning.
const EXPIRY_WARNING: Duration = Duration::from_secs(14 * 86_400);

/// Whether all of them are valid, and those that are served fit the sites' names.
pub(super) fn check(checked: &Checked, clock: &Clock) -> Vec<Finding> {
    let files = with_targets(&checked.certificate_files(), &checked.targets);
    served(checked, clock).into_iter().chain(files.iter().filter_map(|file| other(file, clock))).collect()
}

/// One that is presented or trusted; `None`: it cannot be read, which is told where it is used.
fn other(CertificateFile { file, used_as, expires_at }: &CertificateFile, clock: &Clock) -> Option<Finding> {
    const CHECK: &str = "certificate file";
    let (name, now) = (file.display(), clock.now());
    let what = match used_as {
        CertificateUse::Client => "the client certificate",
        CertificateUse::Signing => "the certificate of the key that signs",
        CertificateUse::Trusted => "the CA bundle",
    };
    let left = (*expires_at)?.since(now);
    let days = left.as_secs() / 86_400;
    let finding = match left {
        Duration::ZERO => Finding::error(CHECK, format!("{what} {name} has expired")).advise("replace the file"),
        left if left < EXPIRY_WARNING => {
            Finding::warning(CHECK, format!("{what} {name} expires in {days} days")).advise("replace the file")
        }
        _ => Finding::ok(CHECK, format!("{what} {name} expires in {days} days")),
    };
    Some(finding.see("docs/data-plane.md"))
}

/// Whether those that are served can be, fit the sites' names, and are valid.
fn served(checked: &Checked, clock: &Clock) -> Vec<Finding> {
    const CHECK: &str = "certificate";
    let Some((_, certificates)) = &checked.server.tls else { return Vec::new() };
    let hosts = checked.gateway.exchange.sites.certificate_hosts();
    let resolver = match certificates.load(hosts, clock.clone()) {
        Ok((_, resolver)) => resolver,
        Err(error) => return vec![unusable(CHECK, &error)],
    };
    let days = |then: crate::clock::Timestamp| then.since(clock.now()).as_secs() / 86_400;
    vec![
        match (resolver.certificate_state(), resolver.first_expiry()) {
            (CertificateState::Valid, Some(expiry)) if expiry.since(clock.now()) < EXPIRY_WARNING => {
                Finding::warning(CHECK, format!("it expires in {} days", days(expiry)))
                    .advise("replace the files of CODER_TLS_CERT_FILE; they are reloaded within seconds")
            }
            (CertificateState::Valid, Some(expiry)) => {
                Finding::ok(CHECK, format!("it fits all sites and expires in {} days", days(expiry)))
            }
            (CertificateState::Valid, None) => Finding::ok(CHECK, "it fits all sites"),
            (CertificateState::WrongName, _) => Finding::error(CHECK, "it is for other host names than the sites'")
                .advise("serve a certificate for the hosts of CODER_ACCESS_URL, of CODER_WILDCARD_ACCESS_URL and of each route"),
            (CertificateState::NotYetValid(_), _) => {
                Finding::error(CHECK, "it is not valid yet").advise("compare this machine's clock")
            }
            (CertificateState::Expired(_), _) => {
                Finding::error(CHECK, "it has expired").advise("replace the files of CODER_TLS_CERT_FILE")
            }
        }
        .see("docs/data-plane.md"),
    ]
}

fn unusable(check: &'static str, error: &TlsError) -> Finding {
    let seen = crate::telemetry::logs::causes(error);
    Finding::error(check, seen).advise("correct CODER_TLS_CERT_FILE and CODER_TLS_KEY_FILE").see("docs/data-plane.md")
}
