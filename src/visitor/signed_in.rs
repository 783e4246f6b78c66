//! Whom a request comes from.

use std::sync::Arc;

use super::reason::SignInReason;
use crate::{grant::Grant, session::cache::CachedSession, store::StoreError};

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
