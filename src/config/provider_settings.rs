//! The settings of one provider.

use crate::{policy::Policy, tls::ClientTls};

/// The settings of one provider.
#[derive(Clone, Debug)]
pub struct ProviderSettings {
    /// The provider, and the client that Evergate is there.
    pub oidc: crate::oidc::Settings,
    /// Who of its users may enter.
    pub policy: Policy,
    /// The certificates that connections to it trust and present.
    pub trust: ClientTls,
    /// The label of its button where users choose.
    pub text: Option<String>,
    /// The domains whose addresses are its users'.
    pub email_domains: Vec<String>,
}
