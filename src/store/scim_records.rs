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

/// The names of a user that no two users of a directory have at one time: two may have one address.
#[derive(Clone, Debug, Default)]
pub struct OwnNames {
    /// Of the user name, which somebody else may be given later.
    pub user_names: Vec<UserName>,
    /// Of the provider's identifier, which nobody else is ever given.
    pub identifiers: Vec<UserName>,
}

impl OwnNames {
    /// The kind of a name that is the identifier.
    pub(super) const IDENTIFIER: i64 = 2;

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &UserName> {
        self.user_names.iter().chain(&self.identifiers)
    }

    /// Which of them a name is, as it is stored.
    pub(super) fn kind_of(&self, name: &UserName) -> i64 {
        if self.identifiers.contains(name) { Self::IDENTIFIER } else { i64::from(self.user_names.contains(name)) }
    }

    /// Whether whoever has these may be the one who had those, one name of whom is the same: not by another identifier.
    pub(super) fn may_be_of(&self, had: &Self) -> bool {
        let is_unknown = self.identifiers.is_empty() || had.identifiers.is_empty();
        is_unknown || self.identifiers.iter().any(|identifier| had.identifiers.contains(identifier))
    }
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
