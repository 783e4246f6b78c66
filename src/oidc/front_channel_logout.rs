//! Whose a front-channel logout is, and who may show it in a frame (OpenID Connect Front-Channel Logout 1.0).

use std::sync::Arc;

use url::{Origin, Url};

use super::{Provider, Providers};

impl Providers {
    /// The providers that a front-channel logout with this `iss` is of: several, if Evergate is several clients of one issuer. Microsoft
    /// Entra ID sends none, so that a logout without it is the only provider's; of several it is nobody's.
    pub fn of_front_channel_logout(&self, iss: Option<&str>) -> Vec<&Arc<Provider>> {
        match iss {
            Some(iss) => self.iter().filter(|provider| provider.is_named_by(iss)).collect(),
            None => self.only().into_iter().collect(),
        }
    }
}

impl Provider {
    /// The origins that may show our page of a front-channel logout in a frame: the issuer's, and that of its own logout.
    pub fn logout_origins(&self) -> Vec<String> {
        let end_session = self.metadata().ok().and_then(|metadata| metadata.end_session_endpoint.clone());
        let issuer = Url::parse(self.issuer()).ok();
        let mut origins: Vec<_> = [issuer, end_session]
            .into_iter()
            .flatten()
            .map(|url| url.origin())
            .filter(Origin::is_tuple)
            .map(|origin| origin.ascii_serialization())
            .collect();
        origins.dedup();
        origins
    }

    fn is_named_by(&self, iss: &str) -> bool {
        match self.metadata() {
            Ok(metadata) if metadata.issuer.is_checked() => metadata.issuer.is_of_response(iss),
            Ok(_) | Err(_) => iss == self.issuer(),
        }
    }
}
