//! Which client of which provider something is of.

/// A registration of Evergate as a client at a provider (RFC 7591), which the issuer and the client ID identify together. A grant
/// belongs to the one that it was given to: its tokens are presented for no other, and a subject is a user of no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientRegistration<'a> {
    /// The provider's issuer identifier.
    pub issuer: &'a str,
    /// The client ID there.
    pub client_id: &'a str,
}
