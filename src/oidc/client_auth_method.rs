//! The methods of client authentication, as the administrator names them.

/// A method of client authentication, by its name in client metadata (`token_endpoint_auth_method`, RFC 7591 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuthMethod {
    /// The client secret in the `Authorization` header.
    SecretBasic,
    /// The client secret in the form.
    SecretPost,
    /// An assertion that is signed with the client secret (HS256).
    SecretJwt,
    /// An assertion that is signed with a private key.
    PrivateKeyJwt,
    /// None: a public client, which sends its identifier alone.
    None,
}

impl ClientAuthMethod {
    /// All methods.
    pub const ALL: [Self; 5] = [Self::SecretBasic, Self::SecretPost, Self::SecretJwt, Self::PrivateKeyJwt, Self::None];

    /// The registered name.
    pub fn name(self) -> &'static str {
        match self {
            Self::SecretBasic => "client_secret_basic",
            Self::SecretPost => "client_secret_post",
            Self::SecretJwt => "client_secret_jwt",
            Self::PrivateKeyJwt => "private_key_jwt",
            Self::None => "none",
        }
    }

    /// The method with this registered name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }
}
