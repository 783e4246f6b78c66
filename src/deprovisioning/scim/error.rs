//! Why a SCIM client is refused (RFC 7644 section 3.12).

use crate::store::StoreError;

/// Why a request is refused. The texts go to the client, which is authenticated.
#[derive(Debug, thiserror::Error)]
pub enum ScimError {
    /// Its body cannot be read.
    #[error("{0}")]
    Syntax(&'static str),
    /// A value is not one that the attribute may have.
    #[error("{0}")]
    Value(&'static str),
    /// The value of this attribute is not one that it may have.
    #[error("{0} has a value that it may not have")]
    Attribute(&'static str),
    /// The filter is none of those that are supported.
    #[error("the supported filters are userName, externalId and id with eq and a text")]
    Filter,
    /// An operation names no attribute, or nothing that there is.
    #[error("the operation needs a path to what there is")]
    NoTarget,
    /// A path is none of those that are supported.
    #[error("the supported paths are attributes, and emails by type, value or primary with eq")]
    Path,
    /// There is a user with this name.
    #[error("there is a user with this userName")]
    Uniqueness,
    /// There is no such resource.
    #[error("there is no such resource")]
    NotFound,
    /// The server does not do this.
    #[error("{0}")]
    Unsupported(&'static str),
    /// The resource does not take this method.
    #[error("the resource does not take this method")]
    Method {
        /// Those that it takes, as the header `Allow` has them.
        allow: &'static str,
    },
    /// The user is changed by others meanwhile, or the process ends; the request should be sent again.
    #[error("it could not be finished; please try again")]
    Unfinished,
    /// The store could not record it; the request should be sent again.
    #[error("the store is not available; please try again")]
    Store(#[from] StoreError),
}
