//! The revocation of what an examination was given.

use super::{
    examiner::{Doctor, reason},
    facts::Cleanup,
    renewals::HeldGrant,
};

impl Doctor {
    /// Gives up a grant of which it is not known whether it is alive.
    pub(super) async fn drop_grant(&self, grant: &mut Option<HeldGrant>) {
        let _dead_or_revoked = self.clean_up(grant.take().as_ref()).await;
    }

    /// Revokes what is left.
    pub(super) async fn clean_up(&self, grant: Option<&HeldGrant>) -> Cleanup {
        let Some(grant) = grant else { return Cleanup::NothingLeft };
        match self.provider.revoke(&grant.current).await {
            Ok(true) => Cleanup::Revoked,
            Ok(false) => Cleanup::NoEndpoint,
            Err(error) => Cleanup::Failed(reason(&error)),
        }
    }
}
