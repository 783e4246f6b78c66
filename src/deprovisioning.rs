//! Whoever knows the users tells that one is gone: providers, security tools and directories have everything of a user ended.
//!
//! Each way of telling has a file here, which reads what is asked for and by whom. What they order is one and the same
//! [`UserEnd`](crate::sign_out::UserEnd), which reaches the users of one provider alone.

mod event_poll;
mod global_token_revocation;
mod percent;
mod scim;
mod security_event;
mod security_events;
mod subject_identifier;

use crate::{oidc::Provider, sign_out::SignOut};

use subject_identifier::NamedIssuer;

pub use global_token_revocation::RevocationError;
pub use scim::{ScimAnswer, ScimError, ScimMethod, ScimRequest, scim_method_error};
pub use security_events::SecurityEventError;
pub use subject_identifier::SubjectError;

/// Has users ended.
#[derive(Clone, Debug)]
pub struct Deprovisioning {
    /// Ends their sessions.
    pub sign_out: SignOut,
}

impl Deprovisioning {
    /// Whose users an issuer names, where those of this provider are looked for.
    fn whose(&self, provider: &Provider, issuer: &str) -> NamedIssuer {
        if provider.is_event_issuer(issuer) {
            NamedIssuer::Own
        } else if self.sign_out.providers.iter().any(|other| other.is_event_issuer(issuer)) {
            NamedIssuer::OtherProvider
        } else {
            NamedIssuer::Foreign
        }
    }
}
