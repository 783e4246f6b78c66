//! The settings of token refresh.

use std::time::Duration;

use crate::{
    clock::Timestamp,
    grant::{Fingerprint, Grant},
    identity::ClaimReader,
    oidc::Provider,
};

/// How long an identity stays as a replica with other settings has read it.
const BETWEEN_REPLICAS: Duration = Duration::from_secs(60);

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
    /// Since when this process reads them so.
    pub since: Timestamp,
}

impl Settings {
    /// Whether an identity lacks what a refresh is to bring now: a claim that was never asked for, or all claims as they are read now.
    ///
    /// Two replicas must not have the provider asked by turns. What a refresh has brought a moment ago, since this process began, was
    /// read so by one with other settings: that stays for a while. It keeps claims that this one has asked for, unless they are too many.
    pub(super) fn is_outdated(&self, grant: &Grant, now: Timestamp) -> bool {
        let (claims, reading) = (&grant.identity.claims, self.reading.as_ref());
        let is_new = grant.generation > 0
            && now.since(grant.renewed_at) < BETWEEN_REPLICAS
            && reading.is_some_and(|reading| grant.renewed_at > reading.since);
        let is_asked_for_elsewhere = is_new && (claims.are_crowded() || grant.identity.is_partly_unread);
        (claims.lacks_any(&self.claims) && !is_asked_for_elsewhere)
            || (!is_new && reading.is_some_and(|reading| reading.is_other(grant)))
    }

    /// Whether an identity was read by other settings so long ago that it is good for nothing more: refreshes do not bring all claims, and a
    /// rule that was tightened would never hold. A login brings them.
    pub(super) fn is_read_too_long_ago(&self, grant: &Grant, now: Timestamp) -> bool {
        let since = self.reading.as_ref().and_then(|reading| reading.tried_since(grant));
        since.is_some_and(|since| now >= since.plus(self.outage_grace))
    }
}

impl Reading {
    /// How this provider's claims are read.
    pub fn of(provider: &Provider, since: Timestamp) -> Self {
        Self { reader: provider.claim_reader().clone(), fingerprint: provider.fingerprint().clone(), since }
    }

    fn is_other(&self, grant: &Grant) -> bool {
        let is_other = match &grant.identity.reader {
            Some(reader) => *reader != self.reader,
            None => grant.fingerprint != self.fingerprint,
        };
        // A provider that sends no claims with a refresh would be asked again and again.
        is_other && grant.identity.tried_reader.as_ref() != Some(&self.reader)
    }

    /// Since when refreshes do not bring all claims of an identity that was read by other settings, if they do not. Of one that an older
    /// release has read it is not known whether it was by others.
    fn tried_since(&self, grant: &Grant) -> Option<Timestamp> {
        let identity = &grant.identity;
        let is_other = identity.reader.as_ref().is_some_and(|reader| *reader != self.reader);
        identity.tried_since.filter(|_| is_other && identity.tried_reader.as_ref() == Some(&self.reader))
    }
}
