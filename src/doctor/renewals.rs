//! Renewals, verified as every renewal is.

use super::{
    examiner::{Doctor, reason},
    facts::{RenewalFacts, Renewed, Subject},
};
use crate::{
    identity::Identity,
    oidc::{RefreshVerdict, UnverifiedToken, VerifiedLogin},
    secret::Secret,
};

/// The refresh tokens of one grant.
#[derive(Debug)]
pub(super) struct HeldGrant {
    /// Who logged in.
    pub(super) identity: Identity,
    /// The refresh token that is valid, as far as is known.
    pub(super) current: Secret,
    /// The refresh token that the current one replaced, if renewals replace it.
    pub(super) spent: Option<Secret>,
}

impl HeldGrant {
    /// The grant of a login; `None` if it brought no refresh token.
    pub(super) fn of(login: &VerifiedLogin) -> Option<Self> {
        let current = login.tokens.refresh_token.clone()?;
        Some(Self { identity: login.identity.clone(), current, spent: None })
    }

    /// The grant of a login that could not be verified.
    pub(super) fn unverified(left_over: UnverifiedToken) -> Self {
        let identity = Identity { subject: left_over.subject, ..Identity::default() };
        Self { identity, current: left_over.refresh_token, spent: None }
    }

    /// Replaces the current token by the one that a renewal brought; whether that is a new one.
    pub(super) fn replace(&mut self, newer: Option<Secret>) -> bool {
        match newer.filter(|newer| *newer != self.current) {
            Some(newer) => {
                self.spent = Some(std::mem::replace(&mut self.current, newer));
                true
            }
            None => false,
        }
    }
}

impl Doctor {
    /// Renews the grant once.
    pub(super) async fn renew(&self, grant: &mut HeldGrant) -> RenewalFacts {
        let tokens = match self.provider.refresh(&grant.current).await {
            Ok(tokens) => tokens,
            Err(failure) => return RenewalFacts { result: Err(reason(&failure)) },
        };
        let rotated = grant.replace(tokens.refresh_token.clone());
        let local = self.provider.verify_refresh_locally(&tokens, &grant.identity);
        let (subject, groups) = match self.provider.verify_refresh(&tokens, &grant.identity, local).await {
            RefreshVerdict::Verified(identity) => (Subject::Same, Some(identity.groups.len())),
            RefreshVerdict::SubjectMismatch(error) => (Subject::Other(reason(&error)), None),
            RefreshVerdict::Inconclusive(error) => (Subject::Unverified(reason(&error)), None),
        };
        RenewalFacts { result: Ok(Renewed { rotated, has_id_token: tokens.id_token.is_some(), subject, groups }) }
    }
}
