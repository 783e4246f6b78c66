//! By what those who have users' sessions ended name a user.

use crate::{
    client_registration::{ClientRegistration, Registrations},
    identity::Identity,
    secret::sha256,
};

/// By what a user of a provider is named.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UserKey {
    /// The provider's identifier of the user (`sub`).
    Subject(String),
    /// The e-mail address, in lower case.
    Email(String),
    /// The user name, in lower case.
    Username(String),
}

/// The name of a user of a provider, as a hash: what is kept of it for long tells nothing of who it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UserName(pub [u8; 32]);

impl UserKey {
    /// An address, which is compared without regard to case, as the domains' owners and the providers do.
    pub fn email(address: &str) -> Self {
        Self::Email(address.trim().to_ascii_lowercase())
    }

    /// A user name, which is compared without regard to case.
    pub fn username(name: &str) -> Self {
        Self::Username(name.trim().to_lowercase())
    }

    /// All keys of a user with these claims. An address that the provider has not verified counts too: whom it names in order to be
    /// rid of them is not to stay because of it.
    pub fn all_of(identity: &Identity) -> Vec<Self> {
        let addresses = [&identity.email, &identity.unverified_email];
        let addresses = addresses.into_iter().flatten().map(|address| Self::email(address));
        let username = identity.username.iter().map(|name| Self::username(name));
        std::iter::once(Self::Subject(identity.subject.clone())).chain(addresses).chain(username).collect()
    }

    /// All names of this user at a provider, for each of the clients that Evergate is or was there.
    pub fn names(identity: &Identity, registrations: &Registrations) -> Vec<UserName> {
        let keys = Self::all_of(identity);
        registrations.iter().flat_map(|registration| keys.iter().map(move |key| key.name(registration))).collect()
    }

    /// The name of a provider's user: two providers may give the same subject to different people.
    pub fn name(&self, ClientRegistration { issuer, client_id }: ClientRegistration<'_>) -> UserName {
        let (kind, text) = match self {
            Self::Subject(text) => ("subject", text),
            Self::Email(text) => ("email", text),
            Self::Username(text) => ("username", text),
        };
        UserName(sha256(format!("{:?}", ("user", issuer, client_id, kind, text)).as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_known_by_the_subject_and_by_an_address_in_any_case() {
        let ann = Identity { subject: "Ann".into(), email: Some("Ann@Example.com".into()), ..Identity::default() };
        assert_eq!(UserKey::all_of(&ann), [UserKey::Subject("Ann".into()), UserKey::email("ann@example.COM")]);
        let unverified = Identity { email: None, unverified_email: Some("ann@example.com".into()), ..ann };
        assert!(UserKey::all_of(&unverified).contains(&UserKey::email("ann@example.com")));
        assert_eq!(UserKey::all_of(&Identity::default()), [UserKey::Subject(String::new())]);
    }

    #[test]
    fn no_two_users_have_one_name() {
        let subject = |text: &str| UserKey::Subject(text.into());
        let at = |issuer, client_id| ClientRegistration { issuer, client_id };
        let names = [
            subject("a").name(at("i", "c")),
            subject("b").name(at("i", "c")),
            subject("a").name(at("j", "c")),
            subject("a").name(at("i", "d")),
            subject("A").name(at("i", "c")),
            UserKey::email("a").name(at("i", "c")),
            UserKey::username("a").name(at("i", "c")),
            subject("a\", \"c").name(at("i", "c")),
        ];
        let distinct: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
    }
}
