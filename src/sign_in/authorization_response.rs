//! Parses the authorization response, with which the provider redirects a browser back.

use url::form_urlencoded;

use super::callback_error::CallbackError;
use crate::oidc::safe_description;

/// The parameters of an authorization response (RFC 6749 section 4.1.2, RFC 9207).
#[derive(Debug, Default)]
pub(super) struct AuthorizationResponse {
    pub(super) state: String,
    pub(super) code: Option<String>,
    pub(super) error: Option<String>,
    /// The `error_description`, bounded and on one line.
    pub(super) description: Option<String>,
    pub(super) issuer: Option<String>,
}

impl AuthorizationResponse {
    pub(super) fn parse(query: &str) -> Result<Self, CallbackError> {
        let mut response = Self::default();
        let mut state = None;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let slot = match name.as_ref() {
                "state" => &mut state,
                "code" => &mut response.code,
                "error" => &mut response.error,
                "error_description" => &mut response.description,
                "iss" => &mut response.issuer,
                // Tokens in the front channel may come from anybody (RFC 9700 section 2.1.2).
                "access_token" | "id_token" | "refresh_token" => return Err(CallbackError::Parameters("it carries a token")),
                _ => continue,
            };
            if slot.replace(value.into_owned()).is_some() {
                return Err(CallbackError::Parameters("one of them is there twice"));
            }
        }
        response.state = state.filter(|state| !state.is_empty()).ok_or(CallbackError::Parameters("there is no state"))?;
        // The description comes from the browser, to which `state` is the only secret that was sent.
        let secrets = [response.state.as_str()];
        response.description = response.description.and_then(|said| safe_description(&said, secrets.into_iter()));
        response.error = response.error.map(|error| error.chars().filter(char::is_ascii_graphic).take(64).collect());
        Ok(response)
    }
}
