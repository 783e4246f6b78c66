//! Settings of `oidc::claims`: which claims hold the parts of an identity.

use super::{
    reader::Reader,
    setting::{Section, Setting, ValueType, setting},
    values,
};
use crate::oidc::{ClaimMapping, GroupNames, Roles};

/// The settings under their heading.
pub(super) const SECTION: Section = Section {
    title: "Claims",
    settings: &[
        &IGNORE_USERINFO,
        &ACCESS_TOKEN_CLAIMS,
        &USERNAME_FIELD,
        &NAME_FIELD,
        &EMAIL_FIELD,
        &IGNORE_EMAIL_VERIFIED,
        &GROUP_FIELD,
        &GROUP_MAPPING,
        &GROUP_REGEX_FILTER,
        &USER_ROLE_FIELD,
        &USER_ROLE_MAPPING,
        &USER_ROLE_DEFAULT,
    ],
};

/// It stands among the settings of the provider; here, because a scope of that name says where the groups are.
pub(super) const SCOPES: Setting = setting(
    "oidc_scopes",
    ValueType::List,
    "",
    "The scopes that Evergate requests. Not set: `openid`, `profile` and `email` (those that the provider lists, if it lists any), and `offline_access` if the provider lists it; for Google `access_type=offline` instead.",
);
const IGNORE_USERINFO: Setting = setting(
    "oidc_ignore_userinfo",
    ValueType::Bool,
    "false",
    "Whether Evergate takes the claims from the ID token alone and does not call the UserInfo endpoint.",
);
const ACCESS_TOKEN_CLAIMS: Setting = setting(
    "oidc_access_token_claims",
    ValueType::Bool,
    "false",
    "Whether Evergate also takes the claims of the access token; those of the ID token win. The access token must be a JWT that is signed as ID tokens are, with this client in its `aud`; with any other nobody can log in. Needs `oidc_ignore_userinfo` to be `true`.",
);
const USERNAME_FIELD: Setting = setting(
    "oidc_username_field",
    ValueType::Text,
    "preferred_username",
    "The claim for `X-Forwarded-Preferred-Username`: its name, or a path to it.",
);
const NAME_FIELD: Setting = setting(
    "oidc_name_field",
    ValueType::Text,
    "name",
    "The claim for `X-Forwarded-Name`, the full name: the claim's name, or a path to it.",
);
const EMAIL_FIELD: Setting = setting(
    "oidc_email_field",
    ValueType::Text,
    "email",
    "The claim for `X-Forwarded-Email`: its name, or a path to it. If the provider sends no such claim, a user name that is an address counts, provided that `CODER_OIDC_IGNORE_EMAIL_VERIFIED` is `true`.",
);
pub(super) const IGNORE_EMAIL_VERIFIED: Setting = setting(
    "oidc_ignore_email_verified",
    ValueType::Bool,
    "false",
    "Whether Evergate accepts an e-mail address that the provider has not verified (`email_verified` is not true). If `false`, Evergate refuses the user (403) until the provider sends `email_verified`; the user is not logged out. Entra ID never sends it.",
);
pub(super) const GROUP_FIELD: Setting = setting(
    "oidc_group_field",
    ValueType::Text,
    "",
    "The claim that holds the groups: its name, or a path to it through objects, as in `realm_access.roles`. Not set: `groups` if that is among `oidc_scopes`, else none.",
);
const GROUP_MAPPING: Setting = setting(
    "oidc_group_mapping",
    ValueType::Map,
    "",
    "The names of groups by the provider's, as in `{\"4f1c9a\":\"admins\"}`. A group that it does not name keeps its own name, so a provider's group that is called `admins` is that group too. Routes (`groups`), `X-Forwarded-Groups` and `userinfo` have these names; `oidc_allowed_groups` has the provider's.",
);
const GROUP_REGEX_FILTER: Setting = setting(
    "oidc_group_regex_filter",
    ValueType::Text,
    ".*",
    "A regular expression (RE2 syntax, without `\\Q`, and with `\\{` and, in a class, `\\[`, `\\&`, `\\-` and `\\~` for those characters) for the names of groups, after `oidc_group_mapping`. Evergate ignores groups in whose name it matches nowhere: they are in no header and open no route. `^app-` keeps those that begin with `app-`. It does not affect `oidc_allowed_groups`.",
);
const USER_ROLE_FIELD: Setting = setting(
    "oidc_user_role_field",
    ValueType::Text,
    "",
    "The claim that holds the roles, for `X-Forwarded-Roles` and `userinfo`: its name, or a path to it. It may be the groups' claim. Not set: no roles. Roles open no routes here; the app knows what they mean.",
);
const USER_ROLE_MAPPING: Setting = setting(
    "oidc_user_role_mapping",
    ValueType::MapOfLists,
    "",
    "The roles that a value of the claim stands for, as in `{\"admin-group\":[\"template-admin\",\"user-admin\"]}`. A value that it does not name is a role itself; one with an empty list is none.",
);
const USER_ROLE_DEFAULT: Setting = setting(
    "oidc_user_role_default",
    ValueType::List,
    "",
    "Roles of every user, in addition to those of `oidc_user_role_field`.",
);

/// Which claims hold the identity.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<ClaimMapping> {
    let groups = groups_claim(reader);
    let group_names = group_names(reader);
    if groups.is_none() && reader.is_given(&GROUP_MAPPING) {
        reader.warn(&GROUP_MAPPING, "has no effect without CODER_OIDC_GROUP_FIELD, which says which claim holds the groups");
    }
    let roles = roles(reader);
    let ignore_email_verified = reader.boolean(&IGNORE_EMAIL_VERIFIED);
    Some(ClaimMapping {
        username: reader.owned(&USERNAME_FIELD)?,
        name: reader.owned(&NAME_FIELD)?,
        email: reader.owned(&EMAIL_FIELD)?,
        groups,
        group_names: group_names?,
        roles,
        ignore_email_verified: ignore_email_verified?,
        // `check` fills this in, from the routes.
        further: Vec::new(),
    })
}

/// Which documents besides the ID token have claims.
pub(super) struct Sources {
    pub(super) ignore_userinfo: bool,
    pub(super) access_token_claims: bool,
}

/// Where claims are read.
pub(super) fn sources(reader: &mut Reader<'_>) -> Option<Sources> {
    let (ignore_userinfo, access_token_claims) = (reader.boolean(&IGNORE_USERINFO), reader.boolean(&ACCESS_TOKEN_CLAIMS));
    if access_token_claims == Some(true) && ignore_userinfo == Some(false) {
        reader.problem(&ACCESS_TOKEN_CLAIMS, "needs CODER_OIDC_IGNORE_USERINFO to be true");
    }
    Some(Sources { ignore_userinfo: ignore_userinfo?, access_token_claims: access_token_claims? })
}

/// The claim that holds the groups: as configured, or `groups` where the scope of that name is requested.
pub(super) fn groups_claim(reader: &Reader<'_>) -> Option<String> {
    let requests_groups = || scopes(reader).into_iter().flatten().any(|scope| scope == "groups");
    reader.owned(&GROUP_FIELD).or_else(|| requests_groups().then(|| "groups".to_owned()))
}

/// The scopes, each once; `None` if they are not set. Blanks may stand between them as well, which is OAuth's own form (RFC 6749 section
/// 3.3).
pub(super) fn scopes(reader: &Reader<'_>) -> Option<Vec<String>> {
    let members = values::list(reader.text(&SCOPES)?);
    let mut scopes: Vec<String> = Vec::new();
    for scope in members.iter().flat_map(|member| member.split_whitespace()) {
        if !scopes.iter().any(|known| known == scope) {
            scopes.push(scope.to_owned());
        }
    }
    Some(scopes)
}

fn roles(reader: &mut Reader<'_>) -> Option<Roles> {
    let mapping = reader.parsed(&USER_ROLE_MAPPING, values::map_of_lists).unwrap_or_default();
    let default = reader.list(&USER_ROLE_DEFAULT);
    let field = reader.owned(&USER_ROLE_FIELD);
    for setting in [&USER_ROLE_MAPPING, &USER_ROLE_DEFAULT].into_iter().filter(|_| field.is_none()) {
        if reader.is_given(setting) {
            reader.warn(setting, "has no effect without CODER_OIDC_USER_ROLE_FIELD, which says which claim holds the roles");
        }
    }
    Some(Roles { field: field?, mapping, default })
}

fn group_names(reader: &mut Reader<'_>) -> Option<GroupNames> {
    let mapping = reader.parsed(&GROUP_MAPPING, values::map);
    let pattern = reader.owned(&GROUP_REGEX_FILTER)?;
    match GroupNames::new(mapping.unwrap_or_default(), &pattern) {
        Ok(names) => Some(names),
        Err(error) => {
            reader.problem(&GROUP_REGEX_FILTER, error.to_string());
            None
        }
    }
}
