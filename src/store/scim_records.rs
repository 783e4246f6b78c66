//! Users whom a SCIM client provisions, as the store takes and returns them.

use crate::{clock::Timestamp, session::UserName};

/// A user whom a SCIM client has provisioned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScimUser {
    /// The identifier, which the client is given.
    pub id: String,
    /// The issuer identifier of the provider whose user it is.
    pub issuer: String,
    /// The client at the provider.
    pub client_id: String,
    /// `userName`.
    pub user_name: String,
    /// `externalId`.
    pub external_id: Option<String>,
    /// The other attributes that are kept, as JSON.
    pub profile: String,
    /// Whether logins of the user are let in.
    pub active: bool,
    /// When the user was provisioned.
    pub created_at: Timestamp,
    /// When the user was last changed.
    pub changed_at: Timestamp,
}

/// Selects users whom a SCIM client has provisioned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScimFilter {
    /// All of the provider's.
    All,
    /// By the identifier.
    Id(String),
    /// By `userName`, in any case.
    UserName(String),
    /// By `externalId`.
    ExternalId(String),
}

/// What became of a user who was to be saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScimSaved {
    /// The user is saved.
    Saved {
        /// The names by which somebody is locked out: the user, if they are not active; or else whoever has shared them, and is not.
        blocked: Vec<UserName>,
    },
    /// Another user has the name. Nothing was saved.
    NameTaken,
    /// The user has been changed or deleted meanwhile. Nothing was saved.
    Changed,
}

/// What became of a user who was to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScimDeleted {
    /// There is no such user any more.
    Deleted,
    /// The user has been changed meanwhile, and was not deleted.
    Changed,
}
