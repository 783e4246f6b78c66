//! SCIM 2.0 (RFC 7643, RFC 7644): a directory provisions the users of a provider, and says who is gone (`active: false`, DELETE).
//!
//! A user need not be provisioned to log in: who may enter is the rules' to say. But whom the directory has deactivated or deleted has
//! lost everything, and no login of theirs is let in until they are active again.

mod answer;
mod client;
mod documents;
mod emails;
mod error;
mod former;
mod json;
mod patch;
mod query;
mod text;
mod user;

use std::sync::Arc;

use serde_json::Value;

use super::{Deprovisioning, percent::percent_decoded};
use crate::oidc::Provider;

use client::{Change, Client};
use json::parse;
use query::{MAX_COUNT, Query};

pub use answer::ScimAnswer;
pub use error::ScimError;

/// A request of a SCIM client.
#[derive(Debug)]
pub struct ScimRequest<'a> {
    /// What is asked for.
    pub method: ScimMethod,
    /// The path below `/scim/v2/`.
    pub path: &'a str,
    /// The query.
    pub query: &'a str,
    /// The body.
    pub body: &'a [u8],
    /// The URL of `/scim/v2`.
    pub base: &'a str,
    /// The request's id, for the log.
    pub id: &'a str,
}

/// The methods of SCIM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScimMethod {
    /// Read.
    Get,
    /// Create.
    Post,
    /// Replace.
    Put,
    /// Change.
    Patch,
    /// Delete.
    Delete,
}

const NO_GROUPS: &str = "groups come with each login from the provider, and cannot be provisioned";

impl Deprovisioning {
    /// Whether any provider's users are provisioned by SCIM.
    pub fn takes_scim(&self) -> bool {
        self.sign_out.providers.iter().any(|provider| provider.has_scim_secret())
    }

    /// The provider whose users a SCIM client provisions, by its `Authorization` header: with or without `Bearer`, as Coder takes it.
    pub fn scim_client(&self, authorization: &str) -> Option<Arc<Provider>> {
        let secret = match authorization.split_once(' ') {
            Some((scheme, secret)) if scheme.eq_ignore_ascii_case("bearer") => secret.trim(),
            Some(_) | None => authorization.trim(),
        };
        self.sign_out.providers.iter().find(|provider| provider.is_scim_secret(secret)).map(Arc::clone)
    }

    /// Answers a request about the users of this provider.
    ///
    /// # Errors
    /// [`ScimError`]. Unless it is of the store or the request may come again, nothing was changed.
    pub async fn scim(&self, provider: &Arc<Provider>, request: &ScimRequest<'_>) -> Result<ScimAnswer, ScimError> {
        let (kind, id) = parts(request.path);
        let (kind, id) = (kind.as_str(), id.as_deref());
        let client = Client::new(&self.sign_out, provider, request.base, request.id);
        match (kind, id) {
            ("Users", None) => match request.method {
                ScimMethod::Get => client.list(Query::parse(request.query)?).await,
                ScimMethod::Post => client.create(parse(request.body)?).await,
                ScimMethod::Put | ScimMethod::Patch | ScimMethod::Delete => Err(scim_method_error(request.path)),
            },
            ("Users", Some(id)) => match request.method {
                ScimMethod::Get => client.show(id).await,
                ScimMethod::Put => client.change(id, Change::Replace(parse(request.body)?)).await,
                ScimMethod::Patch => client.change(id, Change::Patch(parse(request.body)?)).await,
                ScimMethod::Delete => client.change(id, Change::Delete).await,
                ScimMethod::Post => Err(scim_method_error(request.path)),
            },
            ("Groups", _) => Err(ScimError::Unsupported(NO_GROUPS)),
            ("Bulk", _) => Err(ScimError::Unsupported("there are no bulk operations: send each by itself")),
            ("Me", _) => Err(ScimError::Unsupported("there is no Me: the client is no user")),
            (".search", _) => Err(ScimError::Unsupported("there is no search by POST: send the filter in the query of Users")),
            (_, _) if request.method != ScimMethod::Get => Err(scim_method_error(request.path)),
            (_, _) => document(kind, id, request.base),
        }
    }
}

/// The error of a method that the resource at this path, below `/scim/v2/`, does not take.
pub fn scim_method_error(path: &str) -> ScimError {
    ScimError::Method {
        allow: match parts(path) {
            (kind, _) if kind != "Users" => "GET",
            (_, None) => "GET, POST",
            (_, Some(_)) => "GET, PUT, PATCH, DELETE",
        },
    }
}

/// The kind of resource and the identifier that a path names. A slash at its end or beside another names nothing, and clients write it that
/// join a base URL and a path; what is encoded is the same (RFC 3986 section 2.3). A directory would take 404 for a user who is gone already.
fn parts(path: &str) -> (String, Option<String>) {
    let path = path.trim_start_matches('/');
    let path = path.strip_suffix('/').unwrap_or(path);
    match path.split_once('/') {
        Some((kind, id)) => (percent_decoded(kind), Some(percent_decoded(id.trim_start_matches('/')))),
        None => (percent_decoded(path), None),
    }
}

/// What describes the server.
fn document(kind: &str, id: Option<&str>, base: &str) -> Result<ScimAnswer, ScimError> {
    let all = |document: Value| documents::list(&[document], 1, 1);
    let found = match (kind, id) {
        ("ServiceProviderConfig", None) => documents::service_provider_config(base, MAX_COUNT),
        ("ResourceTypes", None) => all(documents::user_type(base)),
        ("ResourceTypes", Some("User")) => documents::user_type(base),
        ("Schemas", None) => all(documents::user_schema(base)),
        ("Schemas", Some(user::USER_SCHEMA)) => documents::user_schema(base),
        (_, _) => return Err(ScimError::NotFound),
    };
    Ok(ScimAnswer::Found(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_the_same_however_it_is_written() {
        for (path, kind, id) in [
            ("Users", "Users", None),
            ("Users/", "Users", None),
            ("Users/ab", "Users", Some("ab")),
            ("Users/ab/", "Users", Some("ab")),
            ("Users/%61b", "Users", Some("ab")),
            ("Users/a+b", "Users", Some("a+b")),
            ("Schemas/urn%3Aietf%3Ax", "Schemas", Some("urn:ietf:x")),
            ("Users//", "Users", Some("")),
            ("Users//ab", "Users", Some("ab")),
            ("/Users/ab", "Users", Some("ab")),
            ("//Users//ab/", "Users", Some("ab")),
            ("/Users", "Users", None),
            ("Users/%2Fab", "Users", Some("/ab")),
            ("Users/ab/cd", "Users", Some("ab/cd")),
            ("/", "", None),
        ] {
            let (found, identifier) = parts(path);
            assert_eq!((found.as_str(), identifier.as_deref()), (kind, id), "{path}");
        }
    }
}
