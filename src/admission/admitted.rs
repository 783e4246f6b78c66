//! What judging a request comes to: that it may pass and by what it was authenticated, or why not.

use std::sync::Arc;

use crate::{
    bearer::{self, VerifiedToken},
    grant::Grant,
    identity::Identity,
    policy::Permit,
    refusal::Refusal,
    renewal::Usable,
    session::Session,
    store::StoreError,
    visitor::{SignInReason, SignedIn},
};

/// A request that may pass.
#[derive(Debug)]
pub struct Admitted {
    /// Proof of it.
    pub permit: Permit,
    /// How it was authenticated.
    pub by: Credential,
}

/// A session's request that may pass.
#[derive(Debug)]
pub struct AdmittedSession {
    pub(super) permit: Permit,
    pub(super) signed_in: SignedIn,
    /// The grant that it is served with.
    pub usable: Usable,
}

impl AdmittedSession {
    /// The session.
    pub fn session(&self) -> &Session {
        self.signed_in.session()
    }

    /// Whose session it is.
    pub fn signed_in(&self) -> &SignedIn {
        &self.signed_in
    }
}

impl From<AdmittedSession> for Admitted {
    fn from(AdmittedSession { permit, signed_in, usable }: AdmittedSession) -> Self {
        Self { permit, by: Credential::Session { signed_in, usable } }
    }
}

/// By what a request was authenticated.
#[derive(Debug)]
pub enum Credential {
    /// The session cookie.
    Session {
        /// Whose request it is.
        signed_in: SignedIn,
        /// The grant that it is served with.
        usable: Usable,
    },
    /// A bearer token.
    Token(Arc<VerifiedToken>),
}

impl Credential {
    /// Who sends the request.
    pub fn identity(&self) -> &Identity {
        match self {
            Self::Session { usable, .. } => &usable.grant.identity,
            Self::Token(token) => &token.identity,
        }
    }
}

/// Why a request may not pass.
#[derive(Debug)]
pub enum NotAdmitted {
    /// Its user must sign in first; the grant that they had, if any.
    SignIn(SignInReason, Option<Arc<Grant>>),
    /// Signing in does not help, or not now.
    Refused(Refusal),
}

impl NotAdmitted {
    /// The refusal of a request that is led to no login.
    pub fn without_redirect(self) -> Refusal {
        match self {
            Self::SignIn(reason, _) => Refusal::SignInNeeded(reason),
            Self::Refused(refusal) => refusal,
        }
    }

    /// Whether the request is to be served as nobody's where that is possible: nobody is signed in any more, or somebody whom the
    /// policy for every user does not admit. During an outage it is not known who it is, and another site's request is no one's.
    pub fn is_of_nobody(&self) -> bool {
        match self {
            Self::SignIn(..) => true,
            Self::Refused(refusal) => matches!(refusal, Refusal::Denied(denied, _) if denied.is_about_the_user()),
        }
    }
}

impl From<bearer::Malformed> for NotAdmitted {
    fn from(malformed: bearer::Malformed) -> Self {
        Self::Refused(malformed.into())
    }
}

impl From<Refusal> for NotAdmitted {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for NotAdmitted {
    fn from(error: StoreError) -> Self {
        Self::Refused(error.into())
    }
}
