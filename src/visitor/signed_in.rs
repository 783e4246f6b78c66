//! Whom a request comes from.

use std::sync::Arc;

use super::reason::SignInReason;
use crate::{
    grant::Grant,
    session::{Session, cache::CachedSession},
    store::StoreError,
};

/// Who sends a request.
#[derive(Debug)]
pub enum Visitor {
    /// Nobody that we know, and why.
    Anonymous(SignInReason),
    /// Somebody with a session.
    SignedIn(SignedIn),
    /// Somebody with a session as this replica last knew it, because the store cannot be asked.
    Remembered(SignedIn, Box<StoreError>),
}

/// A session within its limits, and its grant.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The session.
    pub session: Arc<CachedSession>,
    /// The grant that it points to.
    pub grant: Arc<Grant>,
}

impl SignedIn {
    /// The session, as it was loaded.
    pub fn session(&self) -> &Session {
        &self.session.session
    }
}

impl Visitor {
    /// The visitor if their session is one of this kind; nobody else.
    pub(super) fn if_session(self, is_one: impl Fn(&Session) -> bool) -> Self {
        match &self {
            Self::SignedIn(signed_in) | Self::Remembered(signed_in, _) if !is_one(signed_in.session()) => {
                Self::Anonymous(SignInReason::UnknownSession)
            }
            Self::Anonymous(_) | Self::SignedIn(_) | Self::Remembered(..) => self,
        }
    }
}
