//! By what those who have users' sessions ended name a user.

use unicode_normalization::UnicodeNormalization;

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
    /// The e-mail address, as [`UserKey::folded`] writes it.
    Email(String),
    /// The user name, as [`UserKey::folded`] writes it.
    Username(String),
}

/// The name of a user of a provider, as a hash: what is kept of it for long tells nothing of who it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UserName(pub [u8; 32]);

impl UserKey {
    /// A name as names are compared: in lower case, and composed (Unicode's NFC). Directories and providers write one in either case, and
    /// some of them decomposed.
    ///
    /// Who may enter must not be decided by it: a few letters of other scripts become ASCII ones.
    pub fn folded(name: &str) -> String {
        name.trim().nfc().collect::<String>().to_lowercase().nfc().collect()
    }

    /// An address, which is compared without regard to case, as the domains' owners and the providers do.
    pub fn email(address: &str) -> Self {
        Self::Email(Self::folded(address))
    }

    /// A user name, which is compared without regard to case.
    pub fn username(name: &str) -> Self {
        Self::Username(Self::folded(name))
    }

    /// All keys of an address: also that of the releases before, which compared addresses by the case of ASCII alone. Their replicas may run
    /// beside this one, and what they have recorded of users holds for long.
    pub fn of_email(address: &str) -> impl Iterator<Item = Self> {
        Self::and_former(Self::email(address), Self::Email(address.trim().to_ascii_lowercase()))
    }

    /// The same of a user name, of which the releases before took no composed form.
    pub fn of_username(name: &str) -> impl Iterator<Item = Self> {
        Self::and_former(Self::username(name), Self::Username(name.trim().to_lowercase()))
    }

    fn and_former(key: Self, former: Self) -> impl Iterator<Item = Self> {
        let former = Some(former).filter(|former| *former != key);
        std::iter::once(key).chain(former)
    }

    /// The texts under which a database that knows the case of ASCII alone may have this key, in that lower case: composed and decomposed,
    /// beyond ASCII in lower case, in upper case, and with capital initials. A name that mixes the cases beyond ASCII otherwise is not
    /// among them.
    pub fn written_forms(&self) -> Vec<String> {
        let text = match self {
            Self::Subject(text) => return vec![text.clone()],
            Self::Email(text) | Self::Username(text) => text,
        };
        if text.is_ascii() {
            return vec![text.clone()];
        }
        let mut forms = Vec::new();
        for form in [text.clone(), text.to_uppercase(), with_initials(text)] {
            for form in [form.nfc().collect::<String>(), form.nfd().collect()] {
                let form = form.to_ascii_lowercase();
                if !forms.contains(&form) {
                    forms.push(form);
                }
            }
        }
        forms
    }

    /// All keys of a user with these claims. An address that the provider has not verified counts too: whom it names in order to be
    /// rid of them is not to stay because of it.
    pub fn all_of(identity: &Identity) -> Vec<Self> {
        let addresses = [&identity.email, &identity.unverified_email];
        let addresses = addresses.into_iter().flatten().flat_map(|address| Self::of_email(address));
        let username = identity.username.iter().flat_map(|name| Self::of_username(name));
        std::iter::once(Self::Subject(identity.subject.clone())).chain(addresses).chain(username).collect()
    }

    /// All keys of a user whom a text names that is a user name, and may be an address.
    pub fn of_login(text: &str) -> impl Iterator<Item = Self> {
        let address = Some(text).filter(|text| text.contains('@'));
        Self::of_username(text).chain(address.into_iter().flat_map(Self::of_email))
    }

    /// All names of this user at a provider, for each of the clients that Evergate is or was there.
    pub fn names(identity: &Identity, registrations: &Registrations) -> Vec<UserName> {
        Self::each_name(&Self::all_of(identity), registrations)
    }

    /// The name of each of these keys, for each of these clients.
    pub fn each_name(keys: &[Self], registrations: &Registrations) -> Vec<UserName> {
        registrations.iter().flat_map(|registration| keys.iter().map(move |key| key.name(registration))).collect()
    }

    /// The names that a user has got at a provider who had the identity `before`.
    pub fn new_names(before: &Identity, after: &Identity, registrations: &Registrations) -> Vec<UserName> {
        let (known, mut keys) = (Self::all_of(before), Self::all_of(after));
        keys.retain(|key| !known.contains(key));
        Self::each_name(&keys, registrations)
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

    /// The names of a user for bearer tokens alone, by the provider's identifier: whatever is refused by these refuses no login.
    pub fn token_names(subject: &str, registrations: &Registrations) -> Vec<UserName> {
        let name = |ClientRegistration { issuer, client_id }: ClientRegistration<'_>| {
            UserName(sha256(format!("{:?}", ("bearer tokens", issuer, client_id, subject)).as_bytes()))
        };
        registrations.iter().map(name).collect()
    }
}

/// The text with each word's first letter in upper case.
fn with_initials(text: &str) -> String {
    let mut begins = true;
    text.chars().fold(String::with_capacity(text.len()), |mut out, letter| {
        if begins {
            out.extend(letter.to_uppercase())
        } else {
            out.push(letter)
        }
        begins = !letter.is_alphanumeric();
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_in_any_case_and_in_either_form_also_beyond_ascii() {
        for (one, other) in [
            ("jörg@example.com", "JÖRG@EXAMPLE.COM"),
            ("jörg@example.com", "jo\u{308}rg@example.com"),
            ("Ångström", "A\u{30a}NGSTRO\u{308}M"),
            ("Иван Йорданов", "иван и\u{306}орданов"),
            ("ИВАН", "иван"),
            ("ΝΙΚΟΣ", "νικος"),
        ] {
            assert_eq!(UserKey::email(one), UserKey::email(other), "{one}");
            assert_eq!(UserKey::username(one), UserKey::username(other), "{one}");
            let folded = UserKey::folded(one);
            assert_eq!(UserKey::folded(&folded), folded, "it is the same again");
            // Whatever of them is stored is found under one of the forms.
            let forms = UserKey::email(one).written_forms();
            assert!([one, other].iter().all(|written| forms.contains(&written.to_ascii_lowercase())), "{one}: {forms:?}");
        }
        assert_ne!(UserKey::email("jörg@example.com"), UserKey::email("jorg@example.com"));
        assert_eq!(UserKey::username("Ann").written_forms(), ["ann"]);
        assert_eq!(UserKey::Subject("JÖRG".into()).written_forms(), ["JÖRG"]);
    }

    #[test]
    fn a_user_is_known_by_what_the_releases_before_recorded_too() {
        let all = |address: &str| UserKey::of_email(address).collect::<Vec<_>>();
        assert_eq!(all("JÖRG@Example.com"), [UserKey::email("jörg@example.com"), UserKey::Email("jÖrg@example.com".into())]);
        assert_eq!(all("ANN@Example.com"), [UserKey::email("ann@example.com")]);
        let names: Vec<_> = UserKey::of_username("JO\u{308}RG").collect();
        assert_eq!(names, [UserKey::username("jörg"), UserKey::Username("jo\u{308}rg".into())]);
        let joerg = Identity { email: Some("JÖRG@x".into()), username: Some("jörg".into()), ..Identity::default() };
        let keys = UserKey::all_of(&joerg);
        assert!([UserKey::email("jörg@x"), UserKey::Email("jÖrg@x".into())].iter().all(|key| keys.contains(key)), "{keys:?}");
    }

    #[test]
    fn a_user_is_known_by_the_subject_and_by_an_address_in_any_case() {
        let ann = Identity { subject: "Ann".into(), email: Some("Ann@Example.com".into()), ..Identity::default() };
        assert_eq!(UserKey::all_of(&ann), [UserKey::Subject("Ann".into()), UserKey::email("ann@example.COM")]);
        let unverified = Identity { email: None, unverified_email: Some("ann@example.com".into()), ..ann };
        assert!(UserKey::all_of(&unverified).contains(&UserKey::email("ann@example.com")));
        assert_eq!(UserKey::all_of(&Identity::default()), [UserKey::Subject(String::new())]);
    }

    #[test]
    fn a_name_is_new_that_the_identity_before_had_in_no_form() {
        let registrations = Registrations::only(ClientRegistration { issuer: "i", client_id: "c" }).after(&["d"]);
        let identity = |email: &str, username: Option<&str>| Identity {
            subject: "ann".into(),
            email: Some(email.into()),
            username: username.map(str::to_owned),
            ..Identity::default()
        };
        let before = identity("ann@x", Some("ann"));
        let named = |key: UserKey| registrations.iter().map(|registration| key.name(registration)).collect::<Vec<_>>();
        for (after, expected) in [
            (identity("ANN@x", Some("Ann")), Vec::new()),
            (identity("ann@x", None), Vec::new()),
            (identity("left@x", Some("ann")), named(UserKey::email("left@x"))),
            (
                Identity { email: None, unverified_email: Some("left@x".into()), ..before.clone() },
                named(UserKey::email("left@x")),
            ),
        ] {
            assert_eq!(UserKey::new_names(&before, &after, &registrations), expected, "{after:?}");
        }
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
