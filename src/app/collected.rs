//! What is kept of users' tokens.

use anyhow::bail;

use crate::gateway;

/// What is kept of a user's tokens beyond what every route needs. What a route needs besides has to be asked for from the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Collected {
    /// The paths of claims.
    pub(super) claims: Vec<String>,
    /// Whether ID tokens are read.
    pub(super) id_tokens: bool,
}

impl Collected {
    /// What these settings need.
    pub(super) fn for_routes(claims: &[String], settings: &gateway::Settings) -> Self {
        let id_tokens = settings.routes.iter().any(|route| route.identity.has_id_token());
        Self { claims: claims.to_vec(), id_tokens }
    }

    /// # Errors
    /// Something that `wanted` has is missing.
    pub(super) fn check(&self, wanted: &Self) -> anyhow::Result<()> {
        if let Some(claim) = wanted.claims.iter().find(|claim| !self.claims.contains(claim)) {
            bail!("a route needs the claim {claim}, which is not kept of users since the start; it takes a restart");
        }
        if wanted.id_tokens && !self.id_tokens {
            bail!("a route sends the ID token, which is not read since the start; it takes a restart");
        }
        Ok(())
    }
}
