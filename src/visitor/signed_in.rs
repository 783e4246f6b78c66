//! Whom a request comes from.

use std::sync::Arc;

use super::reason::SignInReason;
use crate::{grant::Grant, session::cache::CachedSession};

/// Who sends a request.
#[derive(Debug)]
pub enum Visitor {
    /// Nobody that we know, and why.
    Anonymous(SignInReason),
    /// Somebody with a session.
    SignedIn(SignedIn),
}

/// A session within its limits, and its grant.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The session.
    pub session: Arc<CachedSession>,
    /// The grant that it points to.
    pub grant: Arc<Grant>,
}
