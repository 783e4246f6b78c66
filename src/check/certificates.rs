//! The certificates that clients are served.

use std::time::Duration;

use super::Finding;
use crate::{
    clock::Clock,
    config::Checked,
    tls::{CertificateState, TlsError},
};

/// A certificate that expires sooner is worth a warning.
const EXPIRY_WARNING: Duration = Duration::from_secs(14 * 86_400);

/// Whether they can be served, fit the sites' names, and are valid.
pub(super) fn check(checked: &Checked, clock: &Clock) -> Vec<Finding> {
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
