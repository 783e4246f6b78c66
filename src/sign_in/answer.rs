//! What a provider sends a browser back with.

use url::form_urlencoded;

use super::CallbackError;
use crate::oidc::safe_description;

/// The parameters of an authorization response (RFC 6749 section 4.1.2, RFC 9207).
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) state: String,
    pub(super) code: Option<String>,
    pub(super) error: Option<String>,
    /// The provider's own words on the error, bounded and on one line.
    pub(super) description: Option<String>,
    pub(super) issuer: Option<String>,
}

impl Answer {
    pub(super) fn parse(query: &str) -> Result<Self, CallbackError> {
        let mut answer = Self::default();
        let mut state = None;
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let slot = match name.as_ref() {
                "state" => &mut state,
                "code" => &mut answer.code,
                "error" => &mut answer.error,
                "error_description" => &mut answer.description,
                "iss" => &mut answer.issuer,
                // Tokens that come by the front channel are not from the provider but from whoever (CV-51).
                "access_token" | "id_token" | "refresh_token" => return Err(CallbackError::Parameters("it carries a token")),
                _ => continue,
            };
            if slot.replace(value.into_owned()).is_some() {
                return Err(CallbackError::Parameters("one of them is there twice"));
            }
        }
        answer.state = state.filter(|state| !state.is_empty()).ok_or(CallbackError::Parameters("there is no state"))?;
        // It comes by way of the browser, which was given none of our secrets but the state.
        let secrets = [answer.state.as_str()];
        answer.description = answer.description.and_then(|said| safe_description(&said, secrets.into_iter()));
        answer.error = answer.error.map(|error| error.chars().filter(char::is_ascii_graphic).take(64).collect());
        Ok(answer)
    }
}
