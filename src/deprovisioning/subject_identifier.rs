//! Subject identifiers (RFC 9493): how a request or an event names a user.

use serde_json::{Map, Value};

use super::percent::percent_decoded;
use crate::session::UserKey;

/// Why nobody is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// It is no subject identifier of its format (section 3).
    #[error("malformed: {0}")]
    Malformed(&'static str),
    /// Its format names nobody whom this gateway could know.
    #[error("its format is not supported")]
    Unsupported,
    /// It is a user of another issuer.
    #[error("it is another issuer's user")]
    OtherIssuer,
}

/// Whose users an issuer names, to a provider whose users are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NamedIssuer {
    /// The provider's.
    Own,
    /// Those of another provider of the settings.
    OtherProvider,
    /// Nobody's here: the provider may have its users from there.
    Foreign,
}

/// The most members of a list of aliases.
const MAX_ALIASES: usize = 16;
/// No provider's identifier or address is longer (OpenID Connect Core section 2 has 255 characters for `sub`).
const MAX_LENGTH: usize = 1024;

/// The keys of the user whom an identifier names: of the issuers that `whose` says are the provider's.
pub(super) fn keys(identifier: &Value, whose: impl Fn(&str) -> NamedIssuer + Copy) -> Result<Vec<UserKey>, SubjectError> {
    let Value::Object(members) = identifier else { return Err(SubjectError::Malformed("it is no object")) };
    if text(members, "format")? == "aliases" {
        let identifiers = members.get("identifiers").and_then(Value::as_array);
        let identifiers = identifiers.filter(|all| (1..=MAX_ALIASES).contains(&all.len()));
        let identifiers = identifiers.ok_or(SubjectError::Malformed("identifiers is no list, or is too long"))?;
        return all_of_aliases(identifiers, whose);
    }
    keys_of(members, whose)
}

/// The aliases of one user (section 3.2.8), of which those count that can be understood. They do not nest. That of an issuer which is none
/// of ours says where the provider has its user from; that of another provider of ours says whose the user is.
fn all_of_aliases(identifiers: &[Value], whose: impl Fn(&str) -> NamedIssuer + Copy) -> Result<Vec<UserKey>, SubjectError> {
    let (mut keys, mut unnamed) = (Vec::new(), SubjectError::Unsupported);
    for identifier in identifiers {
        let Value::Object(members) = identifier else { return Err(SubjectError::Malformed("an alias is no object")) };
        match keys_of(members, whose) {
            Ok(named) => keys.extend(named),
            Err(SubjectError::Unsupported) => {}
            Err(error @ SubjectError::OtherIssuer) if whose(text(members, "iss")?) == NamedIssuer::Foreign => unnamed = error,
            Err(error @ (SubjectError::Malformed(_) | SubjectError::OtherIssuer)) => return Err(error),
        }
    }
    if keys.is_empty() { Err(unnamed) } else { Ok(keys) }
}

fn keys_of(members: &Map<String, Value>, whose: impl Fn(&str) -> NamedIssuer) -> Result<Vec<UserKey>, SubjectError> {
    match text(members, "format")? {
        // Section 3.2.3.
        "iss_sub" => {
            let (issuer, subject) = (text(members, "iss")?, text(members, "sub")?);
            match whose(issuer) {
                NamedIssuer::Own => Ok(vec![UserKey::Subject(subject.to_owned())]),
                NamedIssuer::OtherProvider | NamedIssuer::Foreign => Err(SubjectError::OtherIssuer),
            }
        }
        // Section 3.2.2. What is no address names nobody, least of all many.
        "email" => {
            let address = text(members, "email")?;
            let keys = || UserKey::of_email(address).collect();
            if is_address(address) { Ok(keys()) } else { Err(SubjectError::Malformed("email is no address")) }
        }
        // Section 3.2.1. Of an account at a host an ID token has the address or the user name.
        "account" => {
            let account = account(text(members, "uri")?).ok_or(SubjectError::Malformed("uri is no acct URI"))?;
            Ok(UserKey::of_email(&account).chain(UserKey::of_username(&account)).collect())
        }
        // Section 3.2.4: what the sender and the receiver have agreed on, which is the sender's `sub`.
        "opaque" => Ok(vec![UserKey::Subject(text(members, "id")?.to_owned())]),
        _ => Err(SubjectError::Unsupported),
    }
}

fn is_address(text: &str) -> bool {
    text.split_once('@').is_some_and(|(user, domain)| !user.is_empty() && !domain.is_empty())
}

/// The account of an `acct` URI (RFC 7565 section 7), as `user@host` without its percent-encoding. A scheme is of any case (RFC 3986
/// section 3.1).
fn account(uri: &str) -> Option<String> {
    let (scheme, account) = uri.split_once(':')?;
    let account = percent_decoded(account);
    (scheme.eq_ignore_ascii_case("acct") && is_address(&account) && is_name(&account)).then_some(account)
}

/// Whether a text can name somebody. With a control character it could not: no store has such a name, and Postgres would refuse the text.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_LENGTH && !text.contains(char::is_control)
}

fn text<'a>(members: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, SubjectError> {
    match members.get(name).and_then(Value::as_str) {
        Some(text) if is_name(text) => Ok(text),
        Some(_) | None => Err(SubjectError::Malformed(name)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_user_is_named_by_the_formats_of_which_the_gateway_knows_users() {
        let subject = |text: &str| UserKey::Subject(text.into());
        let aliases = |all: Value| json!({"format": "aliases", "identifiers": all});
        let ann = json!({"format": "email", "email": "Ann@Example.com"});
        let account = |uri: &str| json!({"format": "account", "uri": uri});
        let both = |name: &str| Ok(vec![UserKey::email(name), UserKey::username(name)]);
        for (identifier, expected) in [
            (json!({"format": "iss_sub", "iss": "https://idp", "sub": "a"}), Ok(vec![subject("a")])),
            (json!({"format": "iss_sub", "iss": "https://other", "sub": "a"}), Err(SubjectError::OtherIssuer)),
            (json!({"format": "iss_sub", "iss": "https://idp"}), Err(SubjectError::Malformed("sub"))),
            (json!({"format": "iss_sub", "iss": "https://idp", "sub": ""}), Err(SubjectError::Malformed("sub"))),
            (json!({"format": "iss_sub", "iss": "https://idp", "sub": ["a", "b"]}), Err(SubjectError::Malformed("sub"))),
            (ann.clone(), Ok(vec![UserKey::email("ann@example.com")])),
            (json!({"format": "email", "email": "@example.com"}), Err(SubjectError::Malformed("email is no address"))),
            (json!({"format": "email", "email": "%"}), Err(SubjectError::Malformed("email is no address"))),
            (
                json!({"format": "email", "email": "JÖRG@example.com"}),
                Ok(vec![UserKey::email("jörg@example.com"), UserKey::Email("jÖrg@example.com".into())]),
            ),
            (account("acct:Ann@example.com"), both("ann@example.com")),
            (account("ACCT:ann%2Bx&y=z+1@example.com"), both("ann+x&y=z+1@example.com")),
            (account("acct:j%C3%B6rg@example.com"), both("jörg@example.com")),
            (account("acct:@example.com"), Err(SubjectError::Malformed("uri is no acct URI"))),
            (account("acct:ann"), Err(SubjectError::Malformed("uri is no acct URI"))),
            (account("mailto:ann@example.com"), Err(SubjectError::Malformed("uri is no acct URI"))),
            (account("ann@example.com"), Err(SubjectError::Malformed("uri is no acct URI"))),
            (json!({"format": "account", "id": "a"}), Err(SubjectError::Malformed("uri"))),
            (json!({"format": "opaque", "id": "a"}), Ok(vec![subject("a")])),
            (json!({"format": "opaque", "id": "*"}), Ok(vec![subject("*")])),
            (json!({"format": "opaque", "id": "a".repeat(1025)}), Err(SubjectError::Malformed("id"))),
            (json!({"format": "opaque", "id": "a\0b"}), Err(SubjectError::Malformed("id"))),
            (json!({"format": "email", "email": "a\nb@example.com"}), Err(SubjectError::Malformed("email"))),
            (account("acct:a%00b@example.com"), Err(SubjectError::Malformed("uri is no acct URI"))),
            (json!({"format": "phone_number", "phone_number": "+1"}), Err(SubjectError::Unsupported)),
            (json!({"email": "ann@example.com"}), Err(SubjectError::Malformed("format"))),
            (json!("ann"), Err(SubjectError::Malformed("it is no object"))),
            (json!(null), Err(SubjectError::Malformed("it is no object"))),
            (
                aliases(json!([ann, {"format": "phone_number"}, {"format": "opaque", "id": "a"}])),
                Ok(vec![UserKey::email("ann@example.com"), subject("a")]),
            ),
            (
                aliases(json!([{"format": "opaque", "id": "a"}, account("acct:ann@example.com")])),
                Ok(vec![subject("a"), UserKey::email("ann@example.com"), UserKey::username("ann@example.com")]),
            ),
            (aliases(json!([{"format": "did"}])), Err(SubjectError::Unsupported)),
            (aliases(json!([aliases(json!([ann]))])), Err(SubjectError::Unsupported)),
            (
                aliases(json!([{"format": "iss_sub", "iss": "https://upstream", "sub": "a"}, ann])),
                Ok(vec![UserKey::email("ann@example.com")]),
            ),
            (aliases(json!([{"format": "iss_sub", "iss": "https://upstream", "sub": "a"}])), Err(SubjectError::OtherIssuer)),
            (aliases(json!([ann, {"format": "iss_sub", "iss": "https://other", "sub": "a"}])), Err(SubjectError::OtherIssuer)),
            (aliases(json!([ann, {"format": "iss_sub", "iss": "https://upstream"}])), Err(SubjectError::Malformed("sub"))),
            (aliases(json!(vec![ann; 17])), Err(SubjectError::Malformed("identifiers is no list, or is too long"))),
        ] {
            let whose = |issuer: &str| match issuer {
                "https://idp" => NamedIssuer::Own,
                "https://other" => NamedIssuer::OtherProvider,
                _ => NamedIssuer::Foreign,
            };
            assert_eq!(keys(&identifier, whose), expected, "{identifier}");
        }
    }
}
