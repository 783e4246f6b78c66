//! Reads an identity from claims.

use serde_json::{Map, Value};

use super::{group_names::GroupNames, roles::Roles};
use crate::{
    identity::{ExtraClaims, Identity},
    jose::has_member,
};

/// The claims of an ID token or of user info, as the provider wrote them.
pub type Claims = Map<String, Value>;

/// Which claims hold the parts of an identity.
#[derive(Clone, Debug)]
pub struct ClaimMapping {
    /// `CODER_OIDC_USERNAME_FIELD`.
    pub username: String,
    /// `CODER_OIDC_NAME_FIELD`.
    pub name: String,
    /// `CODER_OIDC_EMAIL_FIELD`.
    pub email: String,
    /// `CODER_OIDC_GROUP_FIELD`; `None` reads no groups.
    pub groups: Option<String>,
    /// `CODER_OIDC_GROUP_MAPPING` and `CODER_OIDC_GROUP_REGEX_FILTER`.
    pub group_names: GroupNames,
    /// `CODER_OIDC_USER_ROLE_FIELD` and what belongs to it; `None` reads no roles.
    pub roles: Option<Roles>,
    /// `CODER_OIDC_IGNORE_EMAIL_VERIFIED`.
    pub ignore_email_verified: bool,
    /// The paths of further claims, which headers and rules of routes name.
    pub further: Vec<String>,
}

impl Default for ClaimMapping {
    fn default() -> Self {
        Self {
            username: "preferred_username".into(),
            name: "name".into(),
            email: "email".into(),
            groups: None,
            group_names: GroupNames::default(),
            roles: None,
            ignore_email_verified: false,
            further: Vec::new(),
        }
    }
}

/// Why claims make no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// `sub` is missing, empty, or has control characters (OIDC Core section 2).
    #[error("the claims have no usable sub")]
    NoSubject,
}

impl ClaimMapping {
    /// Reads an identity. Claims of an unexpected type count as absent. An e-mail address that is not verified is kept apart
    /// and not refused here: it may be verified later, and who may enter is the policy's decision.
    ///
    /// # Errors
    /// [`ClaimsError`].
    pub fn identity(&self, claims: &Claims) -> Result<Identity, ClaimsError> {
        self.identity_after(&ExtraClaims::default(), claims)
    }

    /// Reads the identity that follows one with the further claims `before`; see [`ClaimMapping::identity`].
    ///
    /// # Errors
    /// [`ClaimsError`].
    pub(super) fn identity_after(&self, before: &ExtraClaims, claims: &Claims) -> Result<Identity, ClaimsError> {
        let subject = text(claims, "sub").ok_or(ClaimsError::NoSubject)?;
        let email = self.address(claims);
        let is_verified = self.ignore_email_verified || is_true(claims.get("email_verified"));
        let (email, unverified_email) = if is_verified { (email, None) } else { (None, email) };
        let groups = self.groups.as_ref().map(|field| list(find(claims, field))).unwrap_or_default();
        let group_names = self.group_names.of(&groups);
        let roles = self.roles.as_ref().map(|roles| roles.of(&list(find(claims, &roles.field)))).unwrap_or_default();
        let (username, name) = (text(claims, &self.username), text(claims, &self.name));
        let groups_unknown = self.groups.as_ref().is_some_and(|field| lacks_groups(claims, field));
        let further = self.further(before, |path| find(claims, path).cloned());
        Ok(Identity {
            subject,
            username,
            name,
            email,
            unverified_email,
            groups,
            group_names,
            groups_unknown,
            roles,
            claims: further,
            ..Identity::default()
        })
    }

    /// The e-mail address that claims tell. Without one it is the user name if that is an address, as in Coder and as Entra ID has it,
    /// where the administrator vouches for addresses: who wrote a user name, `email_verified` does not say.
    fn address(&self, claims: &Claims) -> Option<String> {
        let vouched_for = |name: &String| self.ignore_email_verified && is_address(name);
        match find(claims, &self.email) {
            Some(_) => text(claims, &self.email),
            None => text(claims, &self.username).filter(vouched_for),
        }
    }

    /// The identity `before` after a token refresh that brought no whole set of claims: what it has stays, and of the further claims
    /// that it was never asked for those are added that `claims`, of the same user, have.
    pub fn completed(&self, before: &Identity, claims: &Claims) -> Identity {
        let further = self.further(&before.claims, |path| match before.claims.has_asked(path) {
            true => before.claims.get(path).cloned(),
            false => find(claims, path).cloned(),
        });
        Identity { claims: further, ..before.clone() }
    }

    /// The identity `before` after a token refresh without an ID token, by these claims of user info, which are newer and win over an
    /// ID token's. What they do not speak of stays, because the ID token may have said it. The address and `email_verified` are
    /// taken together; the same address without `email_verified` stays as it was.
    pub(super) fn updated_by(&self, before: &Identity, newer: &Claims) -> Identity {
        let Ok(now) = self.identity(newer) else { return before.clone() };
        let mut identity = before.clone();
        let keeps_address = self.keeps_address(before, &now, newer);
        identity.username = now.username.or(identity.username);
        identity.name = now.name.or(identity.name);
        if !keeps_address {
            (identity.email, identity.unverified_email) = (now.email, now.unverified_email);
        }
        if self.groups.as_ref().is_some_and(|field| tells(newer, field)) {
            (identity.groups, identity.group_names, identity.groups_unknown) = (now.groups, now.group_names, false);
        }
        if self.roles.as_ref().is_some_and(|roles| tells(newer, &roles.field)) {
            identity.roles = now.roles;
        }
        identity.claims = self.further(&before.claims, |path| match find(newer, path) {
            None if has_parent(newer, path) => None,
            None => before.claims.get(path).cloned(),
            Some(value) => Some(value.clone()),
        });
        identity
    }

    /// Whether [`ClaimMapping::updated_by`] leaves nothing of `before`, which may have been read otherwise, but further claims.
    pub(super) fn replaces(&self, before: &Identity, newer: &Claims) -> bool {
        let Ok(now) = self.identity(newer) else { return false };
        let has_address = before.email.is_some() || before.unverified_email.is_some();
        (before.username.is_none() || now.username.is_some())
            && (before.name.is_none() || now.name.is_some())
            && !(has_address && self.keeps_address(before, &now, newer))
            && (before.groups.is_empty() || self.groups.as_ref().is_some_and(|field| tells(newer, field)))
            && (before.roles.is_empty() || self.roles.as_ref().is_some_and(|roles| tells(newer, &roles.field)))
    }

    /// Whether the address stays as it was, by what user info tells `now`.
    fn keeps_address(&self, before: &Identity, now: &Identity, newer: &Claims) -> bool {
        let address = now.email.as_ref().or(now.unverified_email.as_ref());
        // Without a word of the address, only one that was the user name goes with it.
        let speaks = find(newer, &self.email).is_some() || before.email == before.username;
        !speaks
            || address.is_none_or(|address| {
                !has_member(newer, "email_verified")
                    && [&before.email, &before.unverified_email].contains(&&Some(address.clone()))
            })
    }

    /// The further claims, each of them as `value` says: first its own, then those that somebody has asked for before. A replica whose
    /// routes name other claims, as in a rolling deploy, would have to ask for them again.
    fn further(&self, before: &ExtraClaims, value: impl Fn(&str) -> Option<Value>) -> ExtraClaims {
        let mut further = ExtraClaims::default();
        for path in &self.further {
            further.record(path, value(path));
        }
        for path in before.asked().filter(|path| !self.further.iter().any(|own| own == path)) {
            further.record_if_it_fits(path, value(path));
        }
        further
    }

    /// The further claims that `claims` have and that are too large to be kept.
    pub(super) fn too_large<'a>(&'a self, claims: &'a Claims) -> impl Iterator<Item = &'a str> {
        let mut further = ExtraClaims::default();
        self.further.iter().filter(move |path| !further.record(path, find(claims, path).cloned())).map(String::as_str)
    }

    /// The identity `before`, reduced by what these claims withdraw. Used with the ID token's claims while user info cannot be
    /// read: groups and roles that they do not list are removed, an e-mail address that they call unverified becomes unverified, and a
    /// further claim that they contradict is absent.
    pub fn restricted_by(&self, before: &Identity, claims: &Claims) -> Identity {
        let mut identity = before.clone();
        if let Some(groups) = self.groups.as_ref().and_then(|field| find(claims, field)).filter(|value| is_list(value)) {
            let remaining = list(Some(groups));
            identity.groups.retain(|group| remaining.contains(group));
            identity.group_names = self.group_names.of(&identity.groups);
        }
        if let Some(roles) = &self.roles
            && let Some(claimed) = find(claims, &roles.field).filter(|value| is_list(value))
        {
            let remaining = roles.of(&list(Some(claimed)));
            identity.roles.retain(|role| remaining.contains(role));
        }
        let denied =
            !self.ignore_email_verified && has_member(claims, "email_verified") && !is_true(claims.get("email_verified"));
        if denied && self.address(claims) == identity.email && identity.email.is_some() {
            identity.unverified_email = identity.email.take();
        }
        identity.claims = self.further(&before.claims, |path| match (before.claims.get(path)?, find(claims, path)) {
            (had, None) => Some(had.clone()),
            (Value::Array(had), Some(Value::Array(claimed))) => {
                Some(had.iter().filter(|member| claimed.contains(member)).cloned().collect())
            }
            (had, Some(claimed)) => Some(had.clone()).filter(|had| had == claimed),
        });
        identity
    }
}

/// Whether the provider says that it has left the groups out: by a reference to where they are (distributed claims, OIDC Core
/// section 5.6.2), or by Microsoft Entra ID's `hasgroups`.
pub(super) fn lacks_groups(claims: &Claims, field: &str) -> bool {
    let is_elsewhere = claims.get("_claim_names").and_then(Value::as_object).is_some_and(|names| has_member(names, field));
    find(claims, field).is_none() && (is_elsewhere || is_true(claims.get("hasgroups")))
}

/// The claim of that name, which may have dots (`https://app.example/groups`). If there is none, the name is a path through
/// objects (`realm_access.roles`), whose members' names may have dots too.
pub(super) fn find<'a>(claims: &'a Claims, field: &str) -> Option<&'a Value> {
    claims.get(field).or_else(|| {
        field.match_indices('.').find_map(|(at, _)| {
            let (name, rest) = (field.get(..at)?, field.get(at + 1..)?);
            find(claims.get(name)?.as_object()?, rest)
        })
    })
}

/// Whether claims say who is in the list of this name: by the list, or by the object that holds it and does not have it any more.
fn tells(claims: &Claims, field: &str) -> bool {
    find(claims, field).map_or_else(|| has_parent(claims, field), is_list)
}

/// Whether claims have the object in which the claim of this path would be.
fn has_parent(claims: &Claims, field: &str) -> bool {
    field
        .rmatch_indices('.')
        .filter_map(|(at, _)| field.get(..at))
        .any(|parent| find(claims, parent).is_some_and(Value::is_object))
}

/// A text claim, unchanged: `ann` and `ann ` are two people. One that is no name counts as absent.
pub(super) fn text(claims: &Claims, field: &str) -> Option<String> {
    find(claims, field)?.as_str().filter(|text| is_name(text)).map(str::to_owned)
}

/// The longest name that is read, in bytes: of a user, or of a session at the provider. An index of Postgres takes 2,704 for a row, and
/// `sub` has 255 at most (OpenID Connect Core section 2).
const LONGEST_NAME: usize = 1024;

/// Whether a text can be a name. With control characters it could not be sent in a header nor stored, and would control the terminal of
/// whoever reads it.
pub fn is_name(text: &str) -> bool {
    text.len() <= LONGEST_NAME && !text.trim().is_empty() && !text.contains(char::is_control)
}

/// Some providers (Entra, Cognito) write the boolean as a string.
fn is_true(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Bool(verified)) => *verified,
        Some(Value::String(verified)) => verified.eq_ignore_ascii_case("true"),
        Some(Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_)) | None => false,
    }
}

/// Whether a user name is an e-mail address: one `@`, with something on both sides of it and no blank.
fn is_address(name: &str) -> bool {
    name.split_once('@').is_some_and(|(user, domain)| !user.is_empty() && !domain.is_empty() && !domain.contains('@'))
        && !name.contains(char::is_whitespace)
}

/// Whether a claim says who is in it: a list, or the one name that some providers make of a list with one.
fn is_list(value: &Value) -> bool {
    value.is_array() || value.is_string()
}

/// A list of names; one name alone is a list of one.
fn list(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(members)) => {
            members.iter().filter_map(Value::as_str).filter(|name| !name.is_empty()).map(str::to_owned).collect()
        }
        Some(Value::String(name)) if !name.is_empty() => vec![name.clone()],
        Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) | None => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
