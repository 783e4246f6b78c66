//! Which headers an app gets, and what is in them.

use base64::prelude::*;
use http::{HeaderName, HeaderValue, header};

use super::{Claimant, IdentityHeaders, Template};
use crate::secret::Secret;

/// The headers that say to an app who sends a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderSet {
    /// The headers and their values. No two names are one to any upstream.
    pub lines: Vec<(HeaderName, Template)>,
    /// What `Authorization: Basic` is made from, if that is sent.
    pub basic: Option<BasicCredentials>,
}

/// A user's name with a password that is the same for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BasicCredentials {
    /// The user's name. A name with a colon cannot be told (RFC 7617 section 2), and has no header.
    pub user: Template,
    /// The password, by which the app knows Evergate.
    pub password: Secret,
}

impl HeaderSet {
    /// Renders the set. A header is absent if a claim that it needs is.
    pub fn render(&self, claimant: Claimant<'_>) -> IdentityHeaders {
        let line = |(name, template): &(HeaderName, Template)| {
            let mut value = HeaderValue::from_bytes(template.render(claimant)?.as_bytes()).ok()?;
            value.set_sensitive(template.has_token());
            Some((name.clone(), value))
        };
        let basic = self.basic.as_ref().and_then(|basic| basic.render(claimant));
        self.lines.iter().filter_map(line).chain(basic.map(|value| (header::AUTHORIZATION, value))).collect()
    }

    /// The names of all headers, whether or not every user has them.
    pub fn names(&self) -> impl Iterator<Item = &HeaderName> {
        const AUTHORIZATION: &HeaderName = &header::AUTHORIZATION;
        self.lines.iter().map(|(name, _)| name).chain(self.basic.as_ref().map(|_| AUTHORIZATION))
    }

    /// The paths of the claims that it needs besides the identity's own parts.
    pub fn claims(&self) -> impl Iterator<Item = &str> {
        self.templates().flat_map(Template::claims)
    }

    /// Whether it needs the ID token.
    pub fn has_id_token(&self) -> bool {
        self.templates().any(Template::has_id_token)
    }

    fn templates(&self) -> impl Iterator<Item = &Template> {
        self.lines.iter().map(|(_, template)| template).chain(self.basic.as_ref().map(|basic| &basic.user))
    }
}

impl BasicCredentials {
    fn render(&self, claimant: Claimant<'_>) -> Option<HeaderValue> {
        let user = self.user.render(claimant).filter(|user| !user.contains(':'))?;
        let credentials = BASE64_STANDARD.encode(format!("{user}:{}", self.password.expose()));
        let mut value = HeaderValue::try_from(format!("Basic {credentials}")).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;

    fn of(user: Option<&str>, lines: &[(&'static str, &str)]) -> Vec<String> {
        let set = HeaderSet {
            lines: lines.iter().map(|(name, text)| (HeaderName::from_static(name), Template::parse(text).unwrap())).collect(),
            basic: user.map(|user| BasicCredentials { user: Template::parse(user).unwrap(), password: Secret::new("pass:word") }),
        };
        let identity = Identity { subject: "s".into(), username: Some("Zoë".into()), ..Identity::default() };
        let (access, id) = (Secret::new("at"), Secret::new("it"));
        let headers = set.render(Claimant { identity: &identity, access_token: Some(&access), id_token: Some(&id) });
        assert!(!format!("{headers:?}").contains("Basic"), "no credential is printed");
        headers.iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))).collect()
    }

    #[test]
    fn a_password_goes_with_the_user_s_name_and_a_name_that_would_end_in_it_goes_nowhere() {
        let basic = |credentials: &str| vec![format!("authorization: Basic {}", BASE64_STANDARD.encode(credentials))];
        assert_eq!(of(Some("{username}"), &[]), basic("Zoë:pass:word"));
        assert_eq!(of(Some("{email or user}"), &[]), basic("s:pass:word"));
        assert_eq!(of(Some("urn:{user}"), &[]), [""; 0]);
        assert_eq!(of(Some("{email}"), &[]), [""; 0], "without a name there is nobody to tell of");
    }

    #[test]
    fn tokens_are_told_as_bearer_and_not_printed() {
        let lines = [("authorization", "Bearer {id_token}"), ("x-token", "{access_token}"), ("x-email", "{email}")];
        assert_eq!(of(None, &lines), ["authorization: Bearer it", "x-token: at"]);
    }
}
