//! From claims to an identity.

use serde_json::{Map, Value};

use crate::identity::Identity;

/// Claims of an ID token or of user info, as the provider wrote them.
pub type Claims = Map<String, Value>;

/// Which claims say who somebody is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// `CODER_OIDC_USERNAME_FIELD`.
    pub username: String,
    /// `CODER_OIDC_EMAIL_FIELD`.
    pub email: String,
    /// `CODER_OIDC_GROUP_FIELD`; `None` reads no groups.
    pub groups: Option<String>,
    /// `CODER_OIDC_IGNORE_EMAIL_VERIFIED`.
    pub ignore_email_verified: bool,
}

impl Default for Mapping {
    fn default() -> Self {
        Self { username: "preferred_username".into(), email: "email".into(), groups: None, ignore_email_verified: false }
    }
}

/// Why claims make no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// `sub` is missing, empty, or has control characters (OIDC Core section 2).
    #[error("the claims have no usable sub")]
    NoSubject,
    /// The provider does not vouch for the e-mail address.
    #[error("the e-mail address is not verified (email_verified is not true; CODER_OIDC_IGNORE_EMAIL_VERIFIED accepts it)")]
    EmailNotVerified,
}

impl Mapping {
    /// Reads an identity. Claims of an unexpected type count as absent.
    ///
    /// # Errors
    /// [`ClaimsError`].
    pub fn identity(&self, claims: &Claims) -> Result<Identity, ClaimsError> {
        let subject = text(claims, "sub").ok_or(ClaimsError::NoSubject)?;
        let email = text(claims, &self.email);
        if email.is_some() && !self.ignore_email_verified && !is_true(claims.get("email_verified")) {
            return Err(ClaimsError::EmailNotVerified);
        }
        let groups = self.groups.as_ref().map(|field| list(claims.get(field))).unwrap_or_default();
        Ok(Identity { subject, username: text(claims, &self.username), email, groups })
    }
}

/// Text that can be a name. One with control characters is none: it could not stand in a header, and would steer the
/// terminal of whoever reads it.
fn text(claims: &Claims, field: &str) -> Option<String> {
    let text = claims.get(field)?.as_str()?.trim();
    (!text.is_empty() && !text.contains(char::is_control)).then(|| text.to_owned())
}

/// Some providers (Entra, Cognito) write the boolean as a string.
fn is_true(value: Option<&Value>) -> bool {
    match value {
        Some(Value::Bool(verified)) => *verified,
        Some(Value::String(verified)) => verified.eq_ignore_ascii_case("true"),
        Some(Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_)) | None => false,
    }
}

/// A list of names, or one name alone.
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

    fn identity(mapping: &Mapping, claims: &Value) -> Result<Identity, ClaimsError> {
        mapping.identity(claims.as_object().unwrap())
    }

    #[test]
    fn claims_of_the_configured_names_become_the_identity() {
        let mapping = Mapping {
            username: "nick".into(),
            email: "upn".into(),
            groups: Some("memberOf".into()),
            ignore_email_verified: true,
        };
        let claims = json!({"sub": "1", "nick": "ann", "upn": "a@x.example", "memberOf": ["a", "", 3, "b"], "email": "other"});
        let expected = Identity {
            subject: "1".into(),
            username: Some("ann".into()),
            email: Some("a@x.example".into()),
            groups: vec!["a".into(), "b".into()],
        };
        assert_eq!(identity(&mapping, &claims).unwrap(), expected);
    }

    #[test]
    fn an_email_address_that_nobody_vouches_for_is_refused() {
        let mapping = Mapping::default();
        for verified in [json!(true), json!("true"), json!("True")] {
            assert!(identity(&mapping, &json!({"sub": "1", "email": "a@x", "email_verified": verified})).is_ok());
        }
        for verified in [json!(false), json!("false"), json!(null), json!(1), json!([true])] {
            let refused = identity(&mapping, &json!({"sub": "1", "email": "a@x", "email_verified": verified}));
            assert_eq!(refused, Err(ClaimsError::EmailNotVerified));
        }
        assert_eq!(identity(&mapping, &json!({"sub": "1", "email": "a@x"})), Err(ClaimsError::EmailNotVerified));
        assert!(identity(&mapping, &json!({"sub": "1"})).is_ok());
    }

    #[test]
    fn odd_claims_are_absent_and_a_missing_subject_is_refused() {
        assert_eq!(identity(&Mapping::default(), &json!({"sub": ""})), Err(ClaimsError::NoSubject));
        assert_eq!(identity(&Mapping::default(), &json!({"sub": 7})), Err(ClaimsError::NoSubject));
        assert_eq!(identity(&Mapping::default(), &json!({"sub": "a\u{0}b"})), Err(ClaimsError::NoSubject));
        let hidden = identity(&Mapping::default(), &json!({"sub": "1", "preferred_username": "a\u{1b}[2J"})).unwrap();
        assert_eq!(hidden.username, None);
        let odd = identity(&Mapping::default(), &json!({"sub": "1", "preferred_username": {"a": 1}, "email": 9})).unwrap();
        assert_eq!((odd.username, odd.email), (None, None));
    }
}
