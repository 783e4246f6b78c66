//! Why a request or a user is denied.

/// Why a request or a user is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The provider has not verified the e-mail address.
    #[error("the e-mail address is not verified (email_verified is not true; CODER_OIDC_IGNORE_EMAIL_VERIFIED accepts it)")]
    EmailNotVerified,
    /// The e-mail address is missing, or neither it nor its domain is allowed.
    #[error(
        "the e-mail address is not of an allowed domain (CODER_OIDC_EMAIL_DOMAIN, or the route's own), nor one of the allowed addresses"
    )]
    EmailDomain,
    /// The user has an address at a domain of another provider.
    #[error(
        "the user's name or e-mail address is at a domain of another provider (email_domains of its [[provider]]), which alone says \
         whose such an address is"
    )]
    ForeignAddress,
    /// The user is of a provider that the route is not for.
    #[error("the user is of another provider than those of the route (providers)")]
    Provider,
    /// Another site's page sent the request (CSRF).
    #[error("another site's page sent a request that could change something")]
    CrossOrigin,
    /// The route's CORS policy does not allow the origin of a preflight.
    #[error("the origin of the preflight is none of those of the route's cors")]
    Origin,
    /// The route does not allow this method.
    #[error("the route does not take this method")]
    Method,
    /// The provider has not told the user's groups.
    #[error(
        "the provider has not told the user's groups, which are too many for its tokens (groups overage); the log says why they \
         could not be asked for"
    )]
    GroupsUnknown,
    /// The user is in none of the allowed groups.
    #[error("the user is in none of the allowed groups (CODER_OIDC_ALLOWED_GROUPS, or the route's own)")]
    Group,
    /// A claim is not as the route's rule wants it.
    #[error("a claim is missing or not as the route's rule wants it")]
    Claim,
    /// A directory has deactivated or deleted the user.
    #[error("a SCIM client has deactivated or deleted the user (active is false)")]
    Deprovisioned,
    /// The client is in none of the allowed networks.
    #[error("the client's address is in none of the route's networks")]
    Network,
    /// A COPY or MOVE leads to another server or another route.
    #[error("the Destination of a COPY or MOVE is not on the route of the request")]
    Destination,
}

impl Denied {
    /// Whether it is this user who is not let in, whatever they ask for.
    pub fn is_about_the_user(self) -> bool {
        match self {
            Self::EmailNotVerified
            | Self::EmailDomain
            | Self::ForeignAddress
            | Self::Provider
            | Self::GroupsUnknown
            | Self::Group
            | Self::Deprovisioned
            | Self::Claim => true,
            Self::CrossOrigin | Self::Origin | Self::Method | Self::Network | Self::Destination => false,
        }
    }

    /// Returns the rule's name in responses, in logs and in the history.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::EmailNotVerified => "email_not_verified",
            Self::EmailDomain => "email_domain",
            Self::ForeignAddress => "foreign_address",
            Self::Provider => "provider",
            Self::CrossOrigin => "cross_origin",
            Self::Origin => "origin",
            Self::Method => "method",
            Self::GroupsUnknown => "groups_unknown",
            Self::Group => "group",
            Self::Claim => "claim",
            Self::Deprovisioned => "deprovisioned",
            Self::Network => "network",
            Self::Destination => "destination",
        }
    }
}
