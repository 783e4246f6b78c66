//! Reads an identity from claims.

use serde_json::{Map, Value};

use super::{group_names::GroupNames, roles::Roles};
use crate::identity::{ExtraClaims, Identity};

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
        let subject = text(claims, "sub").ok_or(ClaimsError::NoSubject)?;
        let email = text(claims, &self.email);
        let is_verified = self.ignore_email_verified || is_true(claims.get("email_verified"));
        let (email, unverified_email) = if is_verified { (email, None) } else { (None, email) };
        let groups = self.groups.as_ref().map(|field| list(find(claims, field))).unwrap_or_default();
        let group_names = self.group_names.of(&groups);
        let roles = self.roles.as_ref().map(|roles| roles.of(&list(find(claims, &roles.field)))).unwrap_or_default();
        let (username, name) = (text(claims, &self.username), text(claims, &self.name));
        let groups_unknown = self.groups.as_ref().is_some_and(|field| lacks_groups(claims, field));
        let further = self.further(|path| find(claims, path).cloned());
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
            tenant: None,
        })
    }

    /// The identity `before` after a token refresh that brought no whole set of claims: what it has stays, and of the further claims
    /// that it was never asked for those are added that `claims`, of the same user, have.
    pub fn completed(&self, before: &Identity, claims: &Claims) -> Identity {
        let further = self.further(|path| match before.claims.has_asked(path) {
            true => before.claims.get(path).cloned(),
            false => find(claims, path).cloned(),
        });
        Identity { claims: further, ..before.clone() }
    }

    /// The further claims, each of them as `value` says, and nothing else.
    fn further(&self, value: impl Fn(&str) -> Option<Value>) -> ExtraClaims {
        let mut further = ExtraClaims::default();
        for path in &self.further {
            further.record(path, value(path));
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
        let denied = !self.ignore_email_verified && claims.get("email_verified").is_some_and(|value| !is_true(Some(value)));
        if denied && text(claims, &self.email) == identity.email && identity.email.is_some() {
            identity.unverified_email = identity.email.take();
        }
        identity.claims = self.further(|path| match (before.claims.get(path)?, find(claims, path)) {
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
    let is_elsewhere = claims.get("_claim_names").and_then(Value::as_object).is_some_and(|names| names.contains_key(field));
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

/// A text claim, unchanged: `ann` and `ann ` are two people. A text with control characters counts as absent, because it cannot
/// be sent in a header and would control the terminal of whoever reads it.
fn text(claims: &Claims, field: &str) -> Option<String> {
    let text = find(claims, field)?.as_str()?;
    (!text.trim().is_empty() && !text.contains(char::is_control)).then(|| text.to_owned())
}

/// Some providers (Entra, Cognito) write the boolean as a string.
fn is_true(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Bool(verified)) => *verified,
        Some(Value::String(verified)) => verified.eq_ignore_ascii_case("true"),
        Some(Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_)) | None => false,
    }
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
mod tests {
    use serde_json::json;

    use super::*;

    fn identity(mapping: &ClaimMapping, claims: &Value) -> Result<Identity, ClaimsError> {
        mapping.identity(claims.as_object().unwrap())
    }

    #[test]
    fn groups_that_are_left_out_are_not_known_and_are_not_none() {
        let mapping = ClaimMapping { groups: Some("groups".into()), ..ClaimMapping::default() };
        let is_unknown = |mapping: &ClaimMapping, more: Value| {
            let mut claims = json!({"sub": "1"});
            claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            identity(mapping, &claims).unwrap().groups_unknown
        };
        let elsewhere = json!({"_claim_names": {"groups": "src1"}, "_claim_sources": {"src1": {"endpoint": "https://graph"}}});
        for (claims, expected) in [
            (elsewhere.clone(), true),
            (json!({"hasgroups": true}), true),
            (json!({"hasgroups": "true"}), true),
            (json!({"hasgroups": false}), false),
            (json!({"_claim_names": {"roles": "src1"}}), false),
            (json!({"_claim_names": {"groups": "src1"}, "groups": ["a"]}), false),
            (json!({"_claim_names": {"groups": "src1"}, "groups": []}), false),
            (json!({}), false),
        ] {
            assert_eq!(is_unknown(&mapping, claims.clone()), expected, "{claims}");
        }
        assert!(!is_unknown(&ClaimMapping::default(), elsewhere), "nobody asks for groups");
    }

    #[test]
    fn claims_of_the_configured_names_become_the_identity() {
        let mapping = ClaimMapping {
            username: "nick".into(),
            name: "display".into(),
            email: "upn".into(),
            groups: Some("memberOf".into()),
            ignore_email_verified: true,
            ..ClaimMapping::default()
        };
        let claims = json!({"sub": "1", "nick": "ann", "display": "Ann A.", "upn": "a@x.example", "memberOf": ["a", "", 3, "b"], "email": "other"});
        let expected = Identity {
            subject: "1".into(),
            username: Some("ann".into()),
            name: Some("Ann A.".into()),
            email: Some("a@x.example".into()),
            groups: vec!["a".into(), "b".into()],
            ..Identity::default()
        };
        assert_eq!(identity(&mapping, &claims).unwrap(), expected);
    }

    #[test]
    fn a_field_is_a_claim_s_whole_name_first_and_else_a_path_through_objects() {
        let claims = json!({
            "sub": "1", "email_verified": true,
            "realm_access": {"roles": ["a", "b"]},
            "resource_access": {"my.client": {"roles": ["c"]}},
            "https://x.example/groups": ["d"],
            "a.b": ["whole"], "a": {"b": ["path"]},
            "profile": {"nick": "ann", "mail": "ann@x.example"},
            "text": "none", "list": [{"roles": ["e"]}],
        });
        for (field, groups) in [
            ("realm_access.roles", &["a", "b"][..]),
            ("resource_access.my.client.roles", &["c"]),
            ("https://x.example/groups", &["d"]),
            ("a.b", &["whole"]),
            ("realm_access", &[]),
            ("realm_access.", &[]),
            (".roles", &[]),
            ("realm_access.roles.0", &[]),
            ("text.roles", &[]),
            ("list.roles", &[]),
            ("nothing.of.this", &[]),
        ] {
            let mapping = ClaimMapping { groups: Some(field.into()), ..ClaimMapping::default() };
            assert_eq!(identity(&mapping, &claims).unwrap().groups, groups, "{field}");
        }
        let mapping = ClaimMapping { username: "profile.nick".into(), email: "profile.mail".into(), ..ClaimMapping::default() };
        let read = identity(&mapping, &claims).unwrap();
        assert_eq!((read.username.as_deref(), read.email.as_deref()), (Some("ann"), Some("ann@x.example")));
    }

    #[test]
    fn an_email_address_that_nobody_vouches_for_is_kept_apart() {
        let read = |mapping: &ClaimMapping, claims: Value| {
            let identity = identity(mapping, &claims).unwrap();
            (identity.email, identity.unverified_email)
        };
        let address = Some("a@x".to_owned());
        let mapping = ClaimMapping::default();
        for verified in [json!(true), json!("true"), json!("True")] {
            let claims = json!({"sub": "1", "email": "a@x", "email_verified": verified});
            assert_eq!(read(&mapping, claims), (address.clone(), None));
        }
        for verified in [json!(false), json!("false"), json!(null), json!(1), json!([true])] {
            let claims = json!({"sub": "1", "email": "a@x", "email_verified": verified});
            assert_eq!(read(&mapping, claims.clone()), (None, address.clone()));
            let ignoring = ClaimMapping { ignore_email_verified: true, ..ClaimMapping::default() };
            assert_eq!(read(&ignoring, claims), (address.clone(), None));
        }
        assert_eq!(read(&mapping, json!({"sub": "1", "email": "a@x"})), (None, address));
        assert_eq!(read(&mapping, json!({"sub": "1"})), (None, None));
    }

    #[test]
    fn further_claims_are_kept_by_their_path_and_what_is_absent_is_known_to_be() {
        let mapping = ClaimMapping {
            further: ["department", "realm_access.roles", "https://x.example/tenant", "__proto__", "constructor.name"]
                .map(str::to_owned)
                .into(),
            ..ClaimMapping::default()
        };
        let claims = json!({
            "sub": "1", "department": "eng", "realm_access": {"roles": ["a"]}, "https://x.example/tenant": {"id": 5},
        });
        let read = identity(&mapping, &claims).unwrap().claims;
        assert_eq!(read.get("department"), Some(&json!("eng")));
        assert_eq!(read.get("realm_access.roles"), Some(&json!(["a"])));
        assert_eq!(read.get("https://x.example/tenant"), Some(&json!({"id": 5})));
        assert_eq!((read.get("__proto__"), read.get("constructor.name"), read.get("sub")), (None, None, None));
        assert!(!read.lacks_any(&mapping.further));
    }

    #[test]
    fn a_claim_that_is_too_large_is_absent_and_told_of() {
        let mapping = ClaimMapping { further: vec!["huge".into(), "small".into()], ..ClaimMapping::default() };
        let claims = json!({"sub": "1", "huge": "x".repeat(10_000), "small": "x"});
        let read = identity(&mapping, &claims).unwrap().claims;
        assert_eq!((read.get("huge"), read.get("small")), (None, Some(&json!("x"))));
        assert_eq!(mapping.too_large(claims.as_object().unwrap()).collect::<Vec<_>>(), ["huge"]);
    }

    #[test]
    fn a_claim_that_was_never_asked_for_is_added_and_what_is_known_stays() {
        let of = |paths: &[&str]| ClaimMapping {
            further: paths.iter().map(|path| (*path).to_owned()).collect(),
            ..ClaimMapping::default()
        };
        let before = identity(&of(&["a", "b", "c"]), &json!({"sub": "1", "a": 1, "c": 3})).unwrap();
        let newer = json!({"sub": "1", "a": "other", "b": "new", "d": 4});
        let after = of(&["a", "b", "d", "e"]).completed(&before, newer.as_object().unwrap()).claims;
        assert_eq!((after.get("a"), after.get("b"), after.get("d")), (Some(&json!(1)), None, Some(&json!(4))));
        assert!(!after.has_asked("c") && after.has_asked("e"), "settings name the one no more, and the other is absent");
        assert_eq!(of(&["a", "b", "c"]).completed(&before, newer.as_object().unwrap()), before);
    }

    #[test]
    fn while_user_info_is_away_a_further_claim_is_taken_back_and_none_is_given() {
        let mapping =
            ClaimMapping { further: ["kind", "teams", "level", "site"].map(str::to_owned).into(), ..ClaimMapping::default() };
        let before = identity(&mapping, &json!({"sub": "1", "kind": "staff", "teams": ["a", "b"], "level": 3})).unwrap();
        let restricted = |claims: &Value| mapping.restricted_by(&before, claims.as_object().unwrap()).claims;
        let after = restricted(&json!({"sub": "1", "kind": "guest", "teams": ["b", "c"], "site": "x"}));
        assert_eq!((after.get("kind"), after.get("teams")), (None, Some(&json!(["b"]))));
        assert_eq!((after.get("level"), after.get("site")), (Some(&json!(3)), None));
        assert_eq!(restricted(&json!({"sub": "1", "kind": "staff"})), before.claims);
    }

    #[test]
    fn odd_claims_are_absent_and_a_missing_subject_is_refused() {
        assert_eq!(identity(&ClaimMapping::default(), &json!({"sub": ""})), Err(ClaimsError::NoSubject));
        assert_eq!(identity(&ClaimMapping::default(), &json!({"sub": " "})), Err(ClaimsError::NoSubject));
        assert_eq!(identity(&ClaimMapping::default(), &json!({"sub": 7})), Err(ClaimsError::NoSubject));
        let verbatim = identity(&ClaimMapping::default(), &json!({"sub": "ann ", "preferred_username": " Ann"})).unwrap();
        assert_eq!((verbatim.subject.as_str(), verbatim.username.as_deref()), ("ann ", Some(" Ann")));
        assert_eq!(identity(&ClaimMapping::default(), &json!({"sub": "a\u{0}b"})), Err(ClaimsError::NoSubject));
        let hidden = identity(&ClaimMapping::default(), &json!({"sub": "1", "preferred_username": "a\u{1b}[2J"})).unwrap();
        assert_eq!(hidden.username, None);
        let odd = identity(&ClaimMapping::default(), &json!({"sub": "1", "preferred_username": {"a": 1}, "email": 9})).unwrap();
        assert_eq!((odd.username, odd.email), (None, None));
    }

    #[test]
    fn while_user_info_is_away_the_id_token_takes_back_and_gives_nothing() {
        let mapping = ClaimMapping { groups: Some("groups".into()), ..ClaimMapping::default() };
        let before = Identity {
            subject: "1".into(),
            email: Some("a@x".into()),
            groups: vec!["staff".into(), "admins".into()],
            ..Identity::default()
        };
        let restricted_by = |claims: &Value| mapping.restricted_by(&before, claims.as_object().unwrap());
        assert_eq!(restricted_by(&json!({"groups": ["staff", "owners"]})).groups, ["staff"]);
        assert_eq!(restricted_by(&json!({"groups": "staff"})).groups, ["staff"], "of a list with one some providers make a text");
        let roles = Roles { field: "groups".into(), mapping: [].into(), default: vec!["member".into()] };
        let with_roles = ClaimMapping { roles: Some(roles), ..mapping.clone() };
        let as_admin = Identity { roles: vec!["admins".into(), "member".into()], ..before.clone() };
        let claims = json!({"groups": ["staff"]});
        assert_eq!(with_roles.restricted_by(&as_admin, claims.as_object().unwrap()).roles, ["member"]);
        assert_eq!(with_roles.restricted_by(&as_admin, json!({}).as_object().unwrap()).roles, ["admins", "member"]);
        let renamed = ClaimMapping {
            group_names: GroupNames::new([("staff".to_owned(), "crew".to_owned())].into(), ".*").unwrap(),
            ..mapping.clone()
        };
        let claims = json!({"groups": ["staff", "owners"]});
        assert_eq!(renamed.restricted_by(&before, claims.as_object().unwrap()).group_names(), ["crew"], "by today's names");
        assert_eq!(restricted_by(&json!({"sub": "1"})), before, "what it does not speak of stays");
        let denied = restricted_by(&json!({"email": "a@x", "email_verified": false}));
        assert_eq!((denied.email, denied.unverified_email.as_deref()), (None, Some("a@x")));
        assert_eq!(restricted_by(&json!({"email": "b@x", "email_verified": false})), before, "that is about another address");
    }
}
