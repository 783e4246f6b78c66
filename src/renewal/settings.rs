//! The settings of token refresh.

use std::time::Duration;

use crate::{
    grant::{Fingerprint, Grant},
    identity::ClaimReader,
    oidc::Provider,
};

/// Settings of token refresh.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `CODER_OIDC_RENEW_BEFORE`: how long before expiry the background refresh begins; for short-lived tokens a third of their
    /// lifetime.
    pub renew_before: Duration,
    /// `CODER_OIDC_OUTAGE_GRACE`: how long after expiry the last verified identity is used while the provider cannot refresh it.
    pub outage_grace: Duration,
    /// `CODER_OIDC_MAX_CONCURRENT_RENEWALS`.
    pub max_concurrent: usize,
    /// The paths of the claims that headers and rules of routes name. A grant that was never asked for one of them is refreshed before
    /// its time.
    pub claims: Vec<String>,
    /// How the provider's claims are read; `None` until it is known which provider it is.
    pub reading: Option<Reading>,
}

/// How a provider's claims are read. An identity that was read otherwise is refreshed before its time: who may pass would be decided
/// by what the settings do not say any more.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The present settings.
    pub reader: ClaimReader,
    /// The settings of a login, of which that is a part. Releases before did not say how an identity was read.
    pub fingerprint: Fingerprint,
}

impl Settings {
    /// Whether an identity lacks what a refresh brings: a claim that was never asked for, or all claims as they are read now.
    pub fn is_outdated(&self, grant: &Grant) -> bool {
        grant.identity.claims.lacks_any(&self.claims) || self.reading.as_ref().is_some_and(|reading| reading.is_other(grant))
    }
}

impl Reading {
    /// How this provider's claims are read.
    pub fn of(provider: &Provider) -> Self {
        Self { reader: provider.claim_reader().clone(), fingerprint: provider.fingerprint().clone() }
    }

    fn is_other(&self, grant: &Grant) -> bool {
        let is_other = match &grant.identity.reader {
            Some(reader) => *reader != self.reader,
            None => grant.fingerprint != self.fingerprint,
        };
        // A provider that sends no claims with a refresh would be asked again and again.
        is_other && grant.identity.tried_reader.as_ref() != Some(&self.reader)
    }
}
