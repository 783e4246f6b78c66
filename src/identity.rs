//! The identity of a user, and the headers that forward it to an upstream.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use crate::{clock::Timestamp, secret::Secret};

/// The verified claims that Evergate uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct Identity {
    /// `sub`: the provider's identifier of the user, which never changes.
    pub subject: String,
    /// The claim that `CODER_OIDC_USERNAME_FIELD` names.
    pub username: Option<String>,
    /// The claim that `CODER_OIDC_NAME_FIELD` names: the full name.
    pub name: Option<String>,
    /// The claim that `CODER_OIDC_EMAIL_FIELD` names, if the provider has verified it or that is not required.
    pub email: Option<String>,
    /// The same claim, if the provider has not verified it and that is required. A separate field, so that it is not mistaken for
    /// an address that may be forwarded.
    pub unverified_email: Option<String>,
    /// The claim that `CODER_OIDC_GROUP_FIELD` names, as the provider writes it.
    pub groups: Vec<String>,
    /// The groups' names by `CODER_OIDC_GROUP_MAPPING` and `CODER_OIDC_GROUP_REGEX_FILTER`; `None` if they are the claim's values.
    pub group_names: Option<Vec<String>>,
    /// The roles, by `CODER_OIDC_USER_ROLE_FIELD`, `_MAPPING` and `_DEFAULT`.
    pub roles: Vec<String>,
}

/// The stored form of an identity. An identity with an unverified address is stored in a form that a replica of an older release,
/// which would admit the user, cannot read.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Stored {
    Unverified { unverified: Claims, unverified_email: String },
    Plain(Claims),
}

#[derive(Serialize, Deserialize)]
struct Claims {
    subject: String,
    username: Option<String>,
    email: Option<String>,
    /// The claim's values, which older releases check and forward.
    groups: Vec<String>,
    // What follows is absent where it says nothing, so that the form is that of older releases, which ignore it elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group_names: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    roles: Vec<String>,
}

impl From<Identity> for Stored {
    fn from(identity: Identity) -> Self {
        let Identity { subject, username, name, email, unverified_email, groups, group_names, roles } = identity;
        let claims = Claims { subject, username, email, groups, group_names, name, roles };
        match unverified_email {
            Some(unverified_email) => Self::Unverified { unverified: claims, unverified_email },
            None => Self::Plain(claims),
        }
    }
}

impl From<Stored> for Identity {
    fn from(stored: Stored) -> Self {
        let (claims, unverified_email) = match stored {
            Stored::Unverified { unverified, unverified_email } => (unverified, Some(unverified_email)),
            Stored::Plain(claims) => (claims, None),
        };
        let Claims { subject, username, email, groups, group_names, name, roles } = claims;
        Self { subject, username, name, email, unverified_email, groups, group_names, roles }
    }
}

impl Identity {
    /// Returns the display name: the e-mail address, else the user name, else the subject.
    pub fn display(&self) -> &str {
        let email = self.email.as_deref().or(self.unverified_email.as_deref());
        email.or(self.username.as_deref()).unwrap_or(&self.subject)
    }

    /// Returns the names of the user's groups, as routes and upstreams know them.
    pub fn group_names(&self) -> &[String] {
        self.group_names.as_ref().unwrap_or(&self.groups)
    }
}

/// `X-Forwarded-User`: the subject.
pub const USER: HeaderName = HeaderName::from_static("x-forwarded-user");
/// `X-Forwarded-Email`.
pub const EMAIL: HeaderName = HeaderName::from_static("x-forwarded-email");
/// `X-Forwarded-Preferred-Username`.
pub const USERNAME: HeaderName = HeaderName::from_static("x-forwarded-preferred-username");
/// `X-Forwarded-Name`: the full name.
pub const NAME: HeaderName = HeaderName::from_static("x-forwarded-name");
/// `X-Forwarded-Groups`, comma-separated.
pub const GROUPS: HeaderName = HeaderName::from_static("x-forwarded-groups");
/// `X-Forwarded-Roles`, comma-separated.
pub const ROLES: HeaderName = HeaderName::from_static("x-forwarded-roles");
/// `X-Forwarded-Access-Token`, only with `CODER_PASS_ACCESS_TOKEN`.
pub const ACCESS_TOKEN: HeaderName = HeaderName::from_static("x-forwarded-access-token");
/// `X-Evergate-Renewed-At`: the time of the last successful renewal in seconds since the epoch, sent only while the last verified
/// identity is used during an outage of the provider.
pub const RENEWED_AT: HeaderName = HeaderName::from_static("x-evergate-renewed-at");

/// An identity as header lines, rendered once for a grant and shared by all its requests.
#[derive(Clone, Debug, Default)]
pub struct IdentityHeaders(Arc<[(HeaderName, HeaderValue)]>);

impl IdentityHeaders {
    /// Renders `identity`. An absent claim has no header line.
    pub fn render(identity: &Identity) -> Self {
        let list = |members: &[String]| members.iter().map(|member| escape(member, true)).collect::<Vec<_>>().join(",");
        let (groups, roles) = (list(identity.group_names()), list(&identity.roles));
        let lines = [
            (USER, Some(identity.subject.as_str()), false),
            (EMAIL, identity.email.as_deref(), false),
            (USERNAME, identity.username.as_deref(), false),
            (NAME, identity.name.as_deref(), false),
            (GROUPS, Some(groups.as_str()).filter(|groups| !groups.is_empty()), true),
            (ROLES, Some(roles.as_str()).filter(|roles| !roles.is_empty()), true),
        ];
        Self(
            lines
                .into_iter()
                .filter_map(|(name, value, escaped)| {
                    let value = value?;
                    let text = if escaped { value.to_owned() } else { escape(value, false) };
                    Some((name, HeaderValue::from_bytes(text.as_bytes()).ok()?))
                })
                .collect(),
        )
    }

    /// Returns the header lines.
    pub fn iter(&self) -> impl Iterator<Item = &(HeaderName, HeaderValue)> {
        self.0.iter()
    }
}

/// Percent-encodes control characters, and within a list its separator: a claim's text must neither end a header line (header
/// injection) nor add a member to a list. Also encodes whitespace at the ends, which header parsers strip, so that two users
/// would become one, and a percent sign that could be taken for one of these escapes. Other characters are written as UTF-8.
fn escape(text: &str, in_list: bool) -> String {
    use std::fmt::Write;
    let inner = text.trim();
    let start = text.len() - text.trim_start().len();
    let is_inner = |at: usize| (start..start + inner.len()).contains(&at);
    let mut out = String::with_capacity(text.len());
    for (at, character) in text.char_indices() {
        let rest = text.get(at..).unwrap_or_default();
        let must = character.is_ascii_control()
            || !is_inner(at)
            || (character == '%' && (in_list || is_escape_of_ours(rest)))
            || (in_list && character == ',');
        if must {
            character.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| {
                let _infallible = write!(out, "%{byte:02X}");
            });
        } else {
            out.push(character);
        }
    }
    out
}

/// Whether a text begins with an escape that [`escape`] could write: of a control character, whitespace, a percent sign, or a
/// character beyond ASCII.
fn is_escape_of_ours(text: &str) -> bool {
    let digits = text.get(1..3).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
    byte.is_some_and(|byte| byte <= b' ' || byte == b'%' || byte >= 0x7F)
}

/// The identity of an authenticated user, as it is forwarded to an upstream.
#[derive(Clone, Debug)]
pub struct ForwardedIdentity {
    /// The identity's header lines.
    pub headers: IdentityHeaders,
    /// The access token, for routes that forward it; `None` while it is not verified to be this user's.
    pub access_token: Option<Secret>,
    /// When the identity was last verified, if its refresh is overdue and it is used within the outage grace.
    pub stale_since: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(identity: &Identity) -> Vec<String> {
        IdentityHeaders::render(identity)
            .iter()
            .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
            .collect()
    }

    /// What releases before group names, full names and roles read.
    #[derive(Deserialize)]
    struct OlderClaims {
        groups: Vec<String>,
    }

    #[test]
    fn an_identity_is_read_as_it_was_written_and_one_that_is_not_verified_by_no_older_replica() {
        let verified =
            Identity { subject: "s".into(), email: Some("a@x".into()), groups: vec!["g".into()], ..Identity::default() };
        let unverified = Identity { email: None, unverified_email: Some("a@x".into()), ..verified.clone() };
        let renamed = Identity {
            group_names: Some(vec!["name".into()]),
            name: Some("Ann".into()),
            roles: vec!["r".into()],
            ..verified.clone()
        };
        for identity in [&verified, &unverified, &renamed] {
            let text = serde_json::to_string(identity).unwrap();
            assert_eq!(&serde_json::from_str::<Identity>(&text).unwrap(), identity, "{text}");
        }
        let old = r#"{"subject":"s","username":null,"email":"a@x","groups":["g"]}"#;
        assert_eq!(serde_json::to_string(&verified).unwrap(), old, "as releases before have written it");
        let text = serde_json::to_string(&renamed).unwrap();
        assert_eq!(serde_json::from_str::<OlderClaims>(&text).unwrap().groups, ["g"], "they read the claim's values in {text}");
        let text = serde_json::to_string(&unverified).unwrap();
        assert!(serde_json::from_str::<Claims>(&text).is_err(), "{text}");
    }

    #[test]
    fn absent_claims_have_no_header() {
        let identity = Identity { subject: "s".into(), ..Identity::default() };
        assert_eq!(rendered(&identity), ["x-forwarded-user: s"]);
    }

    #[test]
    fn an_address_that_nobody_vouches_for_is_told_to_no_app_and_read_as_none_by_who_does_not_know_it() {
        let identity = Identity { subject: "s".into(), unverified_email: Some("a@x".into()), ..Identity::default() };
        assert_eq!(rendered(&identity), ["x-forwarded-user: s"]);
        let written = serde_json::to_value(&identity).unwrap();
        assert!(written["email"].is_null());
        assert_eq!(serde_json::from_value::<Identity>(written).unwrap(), identity);
        let old: Identity = serde_json::from_str(r#"{"subject":"s","username":null,"email":"a@x","groups":[]}"#).unwrap();
        assert_eq!((old.email.as_deref(), old.unverified_email), (Some("a@x"), None), "it was verified when it was written");
    }

    #[test]
    fn two_people_are_never_one_by_a_blank() {
        let told = |subject: &str, group: &str| {
            rendered(&Identity { subject: subject.into(), groups: vec![group.into()], ..Identity::default() })
        };
        for (subject, group, user, groups) in [
            ("ann", "admin", "ann", "admin"),
            ("ann ", " admin", "ann%20", "%20admin"),
            (" ann", "admin ", "%20ann", "admin%20"),
            ("ann\u{a0}", "ad min", "ann%C2%A0", "ad min"),
            ("ann%20", "admin%20", "ann%2520", "admin%2520"),
            ("ann%2520", "a", "ann%252520", "a"),
            ("auth0|7%7C", "50%", "auth0|7%7C", "50%25"),
        ] {
            assert_eq!(told(subject, group), [format!("x-forwarded-user: {user}"), format!("x-forwarded-groups: {groups}")]);
        }
    }

    #[test]
    fn a_claim_can_neither_break_the_line_nor_add_a_group() {
        let identity = Identity {
            subject: "a\r\nX-Forwarded-Groups: admin".into(),
            username: Some("Zoë".into()),
            email: Some("z@example.com".into()),
            name: Some("Zo\u{eb}\nX-Forwarded-Roles: owner".into()),
            groups: vec!["a,admin".into(), "50%".into()],
            roles: vec!["a,owner".into(), "b".into()],
            ..Identity::default()
        };
        assert_eq!(
            rendered(&identity),
            [
                "x-forwarded-user: a%0D%0AX-Forwarded-Groups: admin",
                "x-forwarded-email: z@example.com",
                "x-forwarded-preferred-username: Zoë",
                "x-forwarded-name: Zoë%0AX-Forwarded-Roles: owner",
                "x-forwarded-groups: a%2Cadmin,50%25",
                "x-forwarded-roles: a%2Cowner,b",
            ]
        );
    }
}
