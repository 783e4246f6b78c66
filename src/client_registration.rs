//! Which client of which provider something is of.

use std::sync::Arc;

/// A registration of Evergate as a client at a provider (RFC 7591), which the issuer and the client ID identify together. A grant
/// belongs to the one that it was given to: its tokens are presented for no other, and a subject is a user of no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientRegistration<'a> {
    /// The provider's issuer identifier.
    pub issuer: &'a str,
    /// The client ID there.
    pub client_id: &'a str,
}

/// The registrations that Evergate has and had at a provider, one after the other. Clones share them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registrations {
    issuer: Arc<str>,
    /// The present client first; there is always one.
    client_ids: Arc<[String]>,
}

impl Registrations {
    /// The present one alone.
    pub fn only(present: ClientRegistration<'_>) -> Self {
        Self { issuer: present.issuer.into(), client_ids: [present.client_id.to_owned()].into() }
    }

    /// With these clients too, which came before. None that is known is ever forgotten.
    #[must_use]
    pub fn after(&self, former: &[&str]) -> Self {
        let mut client_ids = self.client_ids.to_vec();
        for client_id in former {
            if !client_ids.iter().any(|known| known == client_id) {
                client_ids.push((*client_id).to_owned());
            }
        }
        Self { issuer: Arc::clone(&self.issuer), client_ids: client_ids.into() }
    }

    /// All of them, the present one first.
    pub fn iter(&self) -> impl Iterator<Item = ClientRegistration<'_>> {
        self.client_ids.iter().map(|client_id| ClientRegistration { issuer: &self.issuer, client_id })
    }

    /// The clients, the present one first.
    pub fn client_ids(&self) -> impl Iterator<Item = &str> {
        self.client_ids.iter().map(String::as_str)
    }

    /// Whether this is one of them.
    pub fn include(&self, registration: ClientRegistration<'_>) -> bool {
        self.iter().any(|own| own == registration)
    }
}
