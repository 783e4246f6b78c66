//! SCIM 2.0 (RFC 7643, RFC 7644): a directory provisions the users of a provider, and says who is gone (`active: false`, DELETE).
//!
//! A user need not be provisioned to log in: who may enter is the rules' to say. But whom the directory has deactivated or deleted has
//! lost everything, and no login of theirs is let in until they are active again.

mod documents;
mod error;
mod patch;
mod query;
mod user;

use std::{sync::Arc, time::Duration};

use serde_json::Value;

use super::Deprovisioning;
use crate::{
    clock::Timestamp,
    oidc::Provider,
    secret::{hex, random, random_text},
    session::{EndSource, UserKey, UserName},
    sign_out::UserEnd,
    store::{ScimFilter, ScimSaved, ScimUser, StoreError},
};

use query::{MAX_COUNT, Query};
use user::{Profile, User};

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

/// What a SCIM client gets.
#[derive(Debug)]
pub enum ScimAnswer {
    /// A resource or a list.
    Found(Value),
    /// A new resource, and its URL.
    Created(Value, String),
    /// Nothing is left.
    Deleted,
}

/// How long an order is remembered, of which none is a repetition.
const BRIEFLY: Duration = Duration::from_secs(60);
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
    /// [`ScimError`]. Unless it is of the store, nothing was changed.
    pub async fn scim(&self, provider: &Arc<Provider>, request: &ScimRequest<'_>) -> Result<ScimAnswer, ScimError> {
        let client = Client { parts: self, provider, base: request.base };
        let (kind, id) = request.path.split_once('/').map_or((request.path, None), |(kind, id)| (kind, Some(id)));
        match (kind, id) {
            ("Users", None) => client.users(request).await,
            ("Users", Some(id)) => client.user(id, request).await,
            ("Groups" | "Bulk" | "Me" | ".search", _) => Err(ScimError::Unsupported(NO_GROUPS)),
            (_, _) if request.method != ScimMethod::Get => Err(ScimError::Method),
            (_, _) => document(kind, id, request.base),
        }
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

/// One provider's SCIM client.
struct Client<'a> {
    parts: &'a Deprovisioning,
    provider: &'a Arc<Provider>,
    base: &'a str,
}

impl Client<'_> {
    async fn users(&self, request: &ScimRequest<'_>) -> Result<ScimAnswer, ScimError> {
        match request.method {
            ScimMethod::Get => {
                let Query { filter, start, count } = Query::parse(request.query)?;
                let store = &self.parts.sign_out.store;
                let (found, total) =
                    store.scim_users(self.provider.issuer(), self.provider.client_id(), &filter, (start - 1, count)).await?;
                let users = found.iter().map(|stored| self.render(stored)).collect::<Result<Vec<_>, _>>()?;
                Ok(ScimAnswer::Found(documents::list(&users, total, start)))
            }
            ScimMethod::Post => {
                let user = User::read(&json(request.body)?, true)?;
                let now = self.parts.sign_out.clock.now();
                let stored = self.stored(hex(&random::<16>()), &user, now, now)?;
                self.save(&user, &stored).await?;
                Ok(ScimAnswer::Created(self.render(&stored)?, self.location(&stored.id)))
            }
            ScimMethod::Put | ScimMethod::Patch | ScimMethod::Delete => Err(ScimError::Method),
        }
    }

    async fn user(&self, id: &str, request: &ScimRequest<'_>) -> Result<ScimAnswer, ScimError> {
        let before = self.find(id).await?;
        let now = self.parts.sign_out.clock.now();
        let after = match request.method {
            ScimMethod::Get => return Ok(ScimAnswer::Found(self.render(&before)?)),
            // A request that does not say whether the user is active leaves them as they are: to activate somebody takes a word.
            ScimMethod::Put => User::read(&json(request.body)?, before.active)?,
            ScimMethod::Patch => patch::apply(read(&before)?, &json(request.body)?)?,
            ScimMethod::Delete => {
                let user = User { active: false, ..read(&before)? };
                let names = self.names(&user.keys());
                let gone = self.parts.sign_out.store.delete_scim_user(&before.id, &names).await?;
                self.end(&user, &gone, now).await?;
                tracing::info!(scim.user = id, "a SCIM client has deleted a user");
                return Ok(ScimAnswer::Deleted);
            }
            ScimMethod::Post => return Err(ScimError::Method),
        };
        let stored = self.stored(before.id.clone(), &after, before.created_at, now)?;
        self.save(&after, &stored).await?;
        if before.active != after.active {
            tracing::info!(scim.user = id, active = after.active, "a SCIM client has changed whether a user is active");
        }
        Ok(ScimAnswer::Found(self.render(&stored)?))
    }

    /// Saves a user. Whoever is not active has lost everything when it returns, and is not let in from the moment at which it is saved.
    async fn save(&self, user: &User, stored: &ScimUser) -> Result<(), ScimError> {
        let names = self.names(&user.keys());
        match self.parts.sign_out.store.save_scim_user(stored, &names).await? {
            ScimSaved::Saved { blocked } => self.end(user, &blocked, stored.changed_at).await,
            ScimSaved::NameTaken => Err(ScimError::Uniqueness),
        }
    }

    /// Ends everything of a user by those of their names that no active user has as well.
    async fn end(&self, user: &User, blocked: &[UserName], now: Timestamp) -> Result<(), ScimError> {
        let mut keys = user.keys();
        keys.retain(|key| blocked.contains(&self.name(key)));
        if keys.is_empty() {
            return Ok(());
        }
        let order = (random_text::<16>(), now.plus(BRIEFLY));
        let end = UserEnd::of_everything(self.provider, keys, EndSource::Scim, now, order);
        Ok(self.parts.sign_out.end_user(&end).await?)
    }

    async fn find(&self, id: &str) -> Result<ScimUser, ScimError> {
        let filter = ScimFilter::Id(id.to_owned());
        let (issuer, client_id) = (self.provider.issuer(), self.provider.client_id());
        let (found, _) = self.parts.sign_out.store.scim_users(issuer, client_id, &filter, (0, 1)).await?;
        found.into_iter().next().ok_or(ScimError::NotFound)
    }

    fn name(&self, key: &UserKey) -> UserName {
        key.name(self.provider.issuer(), self.provider.client_id())
    }

    fn names(&self, keys: &[UserKey]) -> Vec<UserName> {
        keys.iter().map(|key| self.name(key)).collect()
    }

    fn stored(&self, id: String, user: &User, created_at: Timestamp, changed_at: Timestamp) -> Result<ScimUser, ScimError> {
        Ok(ScimUser {
            id,
            issuer: self.provider.issuer().to_owned(),
            client_id: self.provider.client_id().to_owned(),
            user_name: user.user_name.clone(),
            external_id: user.external_id.clone(),
            profile: serde_json::to_string(&user.profile).map_err(|_| ScimError::Syntax("it cannot be stored"))?,
            active: user.active,
            created_at,
            changed_at,
        })
    }

    fn render(&self, stored: &ScimUser) -> Result<Value, ScimError> {
        let user = read(stored)?;
        let (created, changed) = (date_time(stored.created_at), date_time(stored.changed_at));
        Ok(user.render(&stored.id, &self.location(&stored.id), &created, &changed))
    }

    fn location(&self, id: &str) -> String {
        format!("{}/Users/{id}", self.base)
    }
}

fn read(stored: &ScimUser) -> Result<User, ScimError> {
    let profile: Profile = serde_json::from_str(&stored.profile).map_err(|_| StoreError::Malformed("SCIM user"))?;
    let ScimUser { user_name, external_id, active, .. } = stored;
    Ok(User { user_name: user_name.clone(), external_id: external_id.clone(), active: *active, profile })
}

/// RFC 7643 section 2.3.5.
fn date_time(at: Timestamp) -> String {
    chrono::DateTime::from_timestamp_millis(at.0).unwrap_or_default().format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn json(body: &[u8]) -> Result<Value, ScimError> {
    serde_json::from_slice(body).map_err(|_| ScimError::Syntax("the body is no JSON"))
}
