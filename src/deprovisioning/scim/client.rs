//! What one provider's SCIM client reads and changes.
//!
//! Whoever is not to be active any more is locked out first, by the names that they have had, and has lost everything before anything
//! else is changed or deleted. So a change that breaks off in between is finished by its repetition, which finds the user as they were.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    answer::ScimAnswer,
    documents,
    error::ScimError,
    former::{self, FormerName},
    patch,
    query::Query,
    user::{Profile, User},
};
use crate::{
    clock::Timestamp,
    oidc::Provider,
    secret::{hex, random, random_text},
    session::{EndSource, UserKey, UserName},
    sign_out::{SignOut, UserEnd},
    store::{OwnNames, ScimDeleted, ScimFilter, ScimSaved, ScimUser, StoreError},
};

/// How long an order is remembered, of which none is a repetition.
const BRIEFLY: Duration = Duration::from_secs(60);
/// How often a change is made anew of a user whom others change meanwhile.
const MAX_ATTEMPTS: usize = 8;

/// One provider's SCIM client.
#[derive(Clone)]
pub(super) struct Client {
    sign_out: SignOut,
    provider: Arc<Provider>,
    base: Arc<str>,
    request_id: Arc<str>,
}

/// A change of a user.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// PUT.
    Replace(Value),
    /// PATCH.
    Patch(Value),
    /// DELETE.
    Delete,
}

impl Client {
    /// The client of a provider, of which `base` is the URL of `/scim/v2`, and which sends the request with this id.
    pub(super) fn new(sign_out: &SignOut, provider: &Arc<Provider>, base: &str, request_id: &str) -> Self {
        Self { sign_out: sign_out.clone(), provider: Arc::clone(provider), base: base.into(), request_id: request_id.into() }
    }

    /// A page of users.
    pub(super) async fn list(&self, Query { filter, start, count }: Query) -> Result<ScimAnswer, ScimError> {
        let (found, total) = self.find_all(&filter, (start - 1, count)).await?;
        let users = found.iter().map(|stored| self.render(stored)).collect::<Result<Vec<_>, _>>()?;
        Ok(ScimAnswer::Found(documents::list(&users, total, start)))
    }

    /// One user.
    pub(super) async fn show(&self, id: &str) -> Result<ScimAnswer, ScimError> {
        Ok(ScimAnswer::Found(self.render(&self.find(id).await?)?))
    }

    /// Provisions a user.
    pub(super) async fn create(&self, resource: Value) -> Result<ScimAnswer, ScimError> {
        let this = self.clone();
        self.sign_out.to_its_end(async move { this.provision(&resource).await }).await
    }

    /// Changes a user.
    pub(super) async fn change(&self, id: &str, change: Change) -> Result<ScimAnswer, ScimError> {
        let (this, id) = (self.clone(), id.to_owned());
        let work = async move {
            for _ in 0..MAX_ATTEMPTS {
                match this.try_change(&id, &change).await {
                    Err(ScimError::Unfinished) => {}
                    done => return done,
                }
            }
            Err(ScimError::Unfinished)
        };
        self.sign_out.to_its_end(work).await
    }

    async fn provision(&self, resource: &Value) -> Result<ScimAnswer, ScimError> {
        let user = User::read(resource, None)?;
        let now = self.sign_out.clock.now();
        let mut stored = self.stored(&user, &[], now)?;
        stored.id = hex(&random::<16>());
        // One who was provisioned when Evergate was another client at the provider is found there.
        let (found, _) = self.find_all(&ScimFilter::UserName(user.user_name.clone()), (0, 1)).await?;
        if found.iter().any(|found| found.client_id != stored.client_id) {
            return Err(ScimError::Uniqueness);
        }
        match self.sign_out.store.save_scim_user(&stored, None, &self.names(&user.keys()), &self.own_names(&user)).await? {
            ScimSaved::Saved { blocked } => self.end(&stored, user.keys(), &blocked).await?,
            ScimSaved::NameTaken => {
                // It may be this request's own user, of whom it could not end everything when it came first.
                let (found, _) = self.find_all(&ScimFilter::UserName(user.user_name), (0, 1)).await?;
                for taken in found.iter().filter(|taken| !taken.active) {
                    self.lock_out(taken).await?;
                }
                return Err(ScimError::Uniqueness);
            }
            ScimSaved::Changed => return Err(ScimError::Unfinished),
        }
        Ok(ScimAnswer::Created(self.render(&stored)?, self.location(&stored.id)))
    }

    /// [`ScimError::Unfinished`]: the user has been changed meanwhile.
    async fn try_change(&self, id: &str, change: &Change) -> Result<ScimAnswer, ScimError> {
        let mut stored = self.find(id).await?;
        let (user, was_active) = (read(&stored)?, stored.active);
        let after = match change {
            Change::Replace(resource) => Some(User::read(resource, Some(&user))?),
            Change::Patch(operations) => Some(patch::apply(&user, operations)?),
            Change::Delete => None,
        };
        let is_active = after.as_ref().is_some_and(|after| after.active);
        if !is_active {
            stored = self.lock_out(&stored).await?;
        }
        if let Some(after) = after
            && (after.active || after != read(&stored)?)
        {
            stored = self.save(&stored, &after).await?;
        }
        if was_active != is_active {
            tracing::info!(
                request.id = &*self.request_id,
                scim.user = id,
                active = is_active,
                "a SCIM client has changed whether a user is active"
            );
        }
        match change {
            Change::Replace(_) | Change::Patch(_) => Ok(ScimAnswer::Found(self.render(&stored)?)),
            Change::Delete => match self.sign_out.store.delete_scim_user(&stored, &self.own_names(&user)).await? {
                ScimDeleted::Deleted => {
                    tracing::info!(request.id = &*self.request_id, scim.user = id, "a SCIM client has deleted a user");
                    Ok(ScimAnswer::Deleted)
                }
                ScimDeleted::Changed => Err(ScimError::Unfinished),
            },
        }
    }

    /// Locks a user out, who has lost everything when it returns. Also one who is locked out already: their end may be unfinished.
    async fn lock_out(&self, stored: &ScimUser) -> Result<ScimUser, ScimError> {
        self.save(stored, &User { active: false, ..read(stored)? }).await
    }

    /// Saves a user who is as they were `before`. Whoever is locked out by it has lost everything when it returns.
    async fn save(&self, before: &ScimUser, after: &User) -> Result<ScimUser, ScimError> {
        let (now, had) = (self.sign_out.clock.now(), read(before)?);
        let former = former::after_change(former_names(before)?, &had, after, now);
        let stored = self.stored(after, &former, now)?;
        let (id, client_id) = (before.id.clone(), before.client_id.clone());
        let stored = ScimUser { id, client_id, created_at: before.created_at, ..stored };
        match self
            .sign_out
            .store
            .save_scim_user(&stored, Some(before), &self.names(&after.keys()), &self.own_names(after))
            .await?
        {
            ScimSaved::Saved { blocked } => {
                let mut keys = had.keys();
                keys.extend(after.keys());
                self.end(&stored, keys, &blocked).await?;
                if !stored.active {
                    self.end_by_former_names(&stored.id, &former).await?;
                }
                Ok(stored)
            }
            ScimSaved::NameTaken => Err(ScimError::Uniqueness),
            ScimSaved::Changed => Err(ScimError::Unfinished),
        }
    }

    /// Ends everything of whoever is locked out by one of these keys, now that a user is as they are `stored`.
    async fn end(&self, stored: &ScimUser, keys: Vec<UserKey>, blocked: &[UserName]) -> Result<(), ScimError> {
        let mut locked = Vec::new();
        for key in keys {
            if self.names(std::slice::from_ref(&key)).iter().any(|name| blocked.contains(name)) && !locked.contains(&key) {
                locked.push(key);
            }
        }
        if locked.is_empty() {
            return Ok(());
        }
        let order = (random_text::<16>(), self.sign_out.clock.now().plus(BRIEFLY));
        let end = UserEnd::of_locked_out(&self.provider, locked, EndSource::Scim, order);
        if !stored.active {
            // A bearer token may name its user by the provider's identifier alone, which the directory need not know. Their sessions do, for as
            // long as they are there.
            let tokens = self.sign_out.token_names_of_users(&end).await?;
            self.sign_out.store.lock_out_also(stored, &tokens).await?;
        }
        Ok(self.sign_out.end_user(end).await?)
    }

    /// Ends what a user who is not active has had since before they gave these names up, but for names that another active user has.
    async fn end_by_former_names(&self, id: &str, former: &[FormerName]) -> Result<(), ScimError> {
        for given_up in former.chunk_by(|one, next| one.until() == next.until()) {
            let Some(until) = given_up.first().map(FormerName::until) else { continue };
            let mut keys: Vec<_> = given_up.iter().map(FormerName::key).collect();
            let of_others = self.sign_out.store.names_of_others(&self.names(&keys), id).await?;
            keys.retain(|key| !self.names(std::slice::from_ref(key)).iter().any(|name| of_others.contains(name)));
            if keys.is_empty() {
                continue;
            }
            let order = (random_text::<16>(), self.sign_out.clock.now().plus(BRIEFLY));
            let end = UserEnd::of_everything(&self.provider, keys, EndSource::Scim, until, order);
            self.sign_out.end_user(end).await?;
        }
        Ok(())
    }

    async fn find(&self, id: &str) -> Result<ScimUser, ScimError> {
        let (found, _) = self.find_all(&ScimFilter::Id(id.to_owned()), (0, 1)).await?;
        found.into_iter().next().ok_or(ScimError::NotFound)
    }

    async fn find_all(&self, filter: &ScimFilter, page: (i64, i64)) -> Result<(Vec<ScimUser>, i64), StoreError> {
        // A replica that has started since may be another client at the provider, to which its directory provisions.
        self.sign_out.learn_clients().await?;
        let registrations = self.provider.registrations();
        let clients: Vec<_> = registrations.client_ids().collect();
        self.sign_out.store.scim_users(self.provider.issuer(), &clients, filter, page).await
    }

    fn names(&self, keys: &[UserKey]) -> Vec<UserName> {
        UserKey::each_name(keys, &self.provider.registrations())
    }

    fn own_names(&self, user: &User) -> OwnNames {
        let [user_names, identifiers] = user.own_keys().map(|keys| self.names(&keys));
        OwnNames { user_names, identifiers }
    }

    /// The record of a new user, without an identifier.
    fn stored(&self, user: &User, former: &[FormerName], changed_at: Timestamp) -> Result<ScimUser, ScimError> {
        let profile = StoredProfile { profile: &user.profile, former };
        Ok(ScimUser {
            id: String::new(),
            issuer: self.provider.issuer().to_owned(),
            client_id: self.provider.client_id().to_owned(),
            user_name: user.user_name.clone(),
            external_id: user.external_id.clone(),
            profile: serde_json::to_string(&profile).map_err(|_| ScimError::Syntax("it cannot be stored"))?,
            active: user.active,
            created_at: changed_at,
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

/// What of a user is stored as JSON.
#[derive(Serialize)]
struct StoredProfile<'a> {
    #[serde(flatten)]
    profile: &'a Profile,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    former: &'a [FormerName],
}

fn former_names(stored: &ScimUser) -> Result<Vec<FormerName>, ScimError> {
    #[derive(Deserialize)]
    struct Stored {
        #[serde(default)]
        former: Vec<FormerName>,
    }
    let stored: Stored = serde_json::from_str(&stored.profile).map_err(|_| StoreError::Malformed("SCIM user"))?;
    Ok(stored.former)
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
