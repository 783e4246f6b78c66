//! The identity of a user, and the headers that forward it to an upstream.
//!
//! Which headers an app gets is a [`HeaderSet`]: names with a [`Template`] each, written by an administrator or taken from
//! [`PRESETS`]. A set is rendered once for a grant.

mod claimant;
mod claims;
mod escape;
mod forwarded;
mod header_set;
mod presets;
mod reader;
mod rendered;
mod signed_assertions;
mod template;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

pub use claimant::Claimant;
pub use claims::{ExtraClaims, MAX_CLAIM_SIZE, MAX_CLAIMS_SIZE};
pub use forwarded::{ASSERTION, AUTH_TIME, ForwardedIdentity, IdentityHeaders, RENEWED_AT};
pub use header_set::{BasicCredentials, HeaderSet};
pub use presets::{ACCESS_TOKEN_LINE, IdentityPreset, PRESETS};
pub use reader::ClaimReader;
pub use rendered::RenderedHeaders;
pub use signed_assertions::{AssertionFor, SignedAssertions};
pub use template::{InvalidTemplate, Template};

/// The verified claims that Evergate uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Identity {
    /// `sub`: the provider's identifier of the user, which never changes.
    pub subject: String,
    /// The claim that `CODER_OIDC_USERNAME_FIELD` names.
    pub username: Option<String>,
    /// The claim that `CODER_OIDC_NAME_FIELD` names: the full name.
    pub name: Option<String>,
    /// The claim that `CODER_OIDC_EMAIL_FIELD` names, if the provider has verified it or that is not required.
    pub email: Option<String>,
    /// The same claim, if the provider has not verified it and that is required. A separate field, so that it is not mistaken for
    /// an address that may be forwarded.
    pub unverified_email: Option<String>,
    /// The claim that `CODER_OIDC_GROUP_FIELD` names, as the provider writes it.
    pub groups: Vec<String>,
    /// The groups' names by `CODER_OIDC_GROUP_MAPPING` and `CODER_OIDC_GROUP_REGEX_FILTER`; `None` if they are the claim's values.
    pub group_names: Option<Vec<String>>,
    /// The provider has not told the groups, and says so: they are too many for a token.
    pub groups_unknown: bool,
    /// The roles, by `CODER_OIDC_USER_ROLE_FIELD`, `_MAPPING` and `_DEFAULT`.
    pub roles: Vec<String>,
    /// Further claims, which a header or a rule of some route names.
    pub claims: ExtraClaims,
    /// The tenant (`tid`) of an issuer for many, as Microsoft Entra ID's `common`.
    pub tenant: Option<String>,
    /// How the claims were read of which it was made as a whole; `None` if an older release read them.
    pub reader: Option<ClaimReader>,
    /// How token refreshes since were to read them, which brought only a part of the claims.
    pub tried_reader: Option<ClaimReader>,
    /// Since when they do.
    pub tried_since: Option<Timestamp>,
    /// The last token refresh could not read all that the provider has to say, as while user info cannot be fetched.
    pub is_partly_unread: bool,
}

/// The stored form of an identity. An identity with an unverified address is stored in a form that a replica of an older release,
/// which would admit the user, cannot read.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Stored {
    Unverified { unverified: Claims, unverified_email: String },
    Plain(Claims),
}

#[derive(Serialize, Deserialize)]
struct Claims {
    subject: String,
    username: Option<String>,
    email: Option<String>,
    /// The claim's values, which older releases check and forward.
    groups: Vec<String>,
    // What follows is absent where it says nothing, so that the form is that of older releases, which ignore it elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group_names: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
    #[serde(default, skip_serializing_if = "ExtraClaims::is_empty")]
    claims: ExtraClaims,
    /// Older releases read no groups then, and refuse who needs some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    groups_unknown: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reader: Option<ClaimReader>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tried_reader: Option<ClaimReader>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tried_since: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    is_partly_unread: Option<bool>,
}

impl From<Identity> for Stored {
    fn from(identity: Identity) -> Self {
        let Identity {
            subject,
            username,
            name,
            email,
            unverified_email,
            groups,
            group_names,
            groups_unknown,
            roles,
            claims,
            tenant,
            reader,
            tried_reader,
            tried_since,
            is_partly_unread,
        } = identity;
        let groups_unknown = groups_unknown.then_some(true);
        let claims = Claims {
            subject,
            username,
            email,
            groups,
            group_names,
            name,
            roles,
            claims,
            groups_unknown,
            tenant,
            reader,
            tried_reader,
            tried_since: tried_since.map(|at| at.0),
            is_partly_unread: is_partly_unread.then_some(true),
        };
        match unverified_email {
            Some(unverified_email) => Self::Unverified { unverified: claims, unverified_email },
            None => Self::Plain(claims),
        }
    }
}

impl From<Stored> for Identity {
    fn from(stored: Stored) -> Self {
        let (claims, unverified_email) = match stored {
            Stored::Unverified { unverified, unverified_email } => (unverified, Some(unverified_email)),
            Stored::Plain(claims) => (claims, None),
        };
        let Claims {
            subject,
            username,
            email,
            groups,
            group_names,
            name,
            roles,
            claims,
            groups_unknown,
            tenant,
            reader,
            tried_reader,
            tried_since,
            is_partly_unread,
        } = claims;
        Self {
            subject,
            username,
            name,
            email,
            unverified_email,
            groups,
            group_names,
            groups_unknown: groups_unknown.unwrap_or_default(),
            roles,
            claims,
            tenant,
            reader,
            tried_reader,
            tried_since: tried_since.map(Timestamp),
            is_partly_unread: is_partly_unread.unwrap_or_default(),
        }
    }
}

impl Identity {
    /// Returns the display name: the e-mail address, else the user name, else the subject.
    pub fn display(&self) -> &str {
        let email = self.email.as_deref().or(self.unverified_email.as_deref());
        email.or(self.username.as_deref()).unwrap_or(&self.subject)
    }

    /// Takes over the groups that were known before, where these claims do not tell them. Those of another claim are not these.
    #[must_use]
    pub fn with_groups_known_before(self, before: &Self) -> Self {
        if !self.groups_unknown || before.reader != self.reader {
            return self;
        }
        let (groups, group_names) = (before.groups.clone(), before.group_names.clone());
        Self { groups, group_names, groups_unknown: before.groups_unknown, ..self }
    }

    /// Returns the names of the user's groups, as routes and upstreams know them.
    pub fn group_names(&self) -> &[String] {
        self.group_names.as_ref().unwrap_or(&self.groups)
    }
}

#[cfg(test)]
mod tests;
