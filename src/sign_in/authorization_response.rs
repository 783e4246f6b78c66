//! Parses the authorization response, with which the provider redirects a browser back.

use url::form_urlencoded;

use super::callback_error::CallbackError;
use crate::oidc::safe_description;

/// The parameters of an authorization response (RFC 6749 section 4.1.2, RFC 9207).
#[derive(Debug, Default)]
pub struct AuthorizationResponse {
    /// `state`.
    pub state: String,
    /// `code`, of a success.
    code: Option<String>,
    /// `error`.
    pub error: Option<String>,
    /// The `error_description`, bounded and on one line.
    description: Option<String>,
    /// `iss`.
    pub issuer: Option<String>,
}

/// The parameters that are read.
const NAMES: [&str; 5] = ["state", "code", "error", "error_description", "iss"];

/// The longest query that a form becomes, in bytes.
const MAX_QUERY_LEN: usize = 8 * 1024;

impl AuthorizationResponse {
    /// The query of a response that came as a form: what is read of it, so that nothing else gets into an address.
    pub(super) fn query_of_form(form: &[u8]) -> Result<String, CallbackError> {
        let form = std::str::from_utf8(form).map_err(|_| CallbackError::Parameters("the form is not text"))?;
        Self::parse(form)?;
        let pairs = form_urlencoded::parse(form.as_bytes()).filter(|(name, _)| NAMES.contains(&name.as_ref()));
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        if query.len() > MAX_QUERY_LEN { Err(CallbackError::Parameters("it is too long")) } else { Ok(query) }
    }

    /// Parses the query of the redirect URI.
    ///
    /// # Errors
    /// [`CallbackError::Parameters`].
    pub fn parse(query: &str) -> Result<Self, CallbackError> {
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
        // Of a parameter without a value nothing is said (RFC 6749 section 3.1).
        let is_given = |value: &String| !value.is_empty();
        (response.code, response.error) = (response.code.filter(is_given), response.error.filter(is_given));
        response.state = state.filter(|state| !state.is_empty()).ok_or(CallbackError::Parameters("there is no state"))?;
        // The description comes from the browser, to which `state` is the only secret that was sent.
        let secrets = [response.state.as_str()];
        response.description = response.description.and_then(|said| safe_description(&said, secrets.into_iter()));
        response.error = response.error.map(|error| error.chars().filter(char::is_ascii_graphic).take(64).collect());
        Ok(response)
    }

    /// The code of a success.
    ///
    /// # Errors
    /// [`CallbackError::Declined`], [`CallbackError::Refused`], or [`CallbackError::Parameters`] without a code.
    pub fn code(&self) -> Result<&str, CallbackError> {
        match (&self.code, &self.error) {
            (_, Some(error)) if error == "access_denied" => Err(CallbackError::Declined),
            (_, Some(error)) => Err(CallbackError::Refused { code: error.clone(), description: self.description.clone() }),
            (Some(code), None) => Ok(code),
            (None, None) => Err(CallbackError::Parameters("there is neither a code nor an error")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_code_or_error_is_none() {
        let code = |query: &str| AuthorizationResponse::parse(query).unwrap().code().map(str::to_owned);
        assert_eq!(code("state=a&code=c&error=").unwrap(), "c");
        assert!(matches!(code("state=a&code="), Err(CallbackError::Parameters(_))));
        assert!(matches!(code("state=a&code=&error="), Err(CallbackError::Parameters(_))));
        assert!(matches!(code("state=a&code=&error=access_denied"), Err(CallbackError::Declined)));
        assert!(AuthorizationResponse::parse("state=a&code=&code=c").is_err(), "and it still stands there twice");
    }

    #[test]
    fn of_a_form_only_what_is_read_becomes_a_query() {
        let query = |form: &str| AuthorizationResponse::query_of_form(form.as_bytes()).ok();
        assert_eq!(query("state=a%26b&code=c&session_state=x&scope=openid").as_deref(), Some("state=a%26b&code=c"));
        let long = format!("state=a&code={}", "c".repeat(MAX_QUERY_LEN));
        for refused in ["code=c", "state=a&state=b&code=c", "state=a&id_token=x", "state=a&access_token=x", &long] {
            assert_eq!(query(refused), None, "{:.60}", refused);
        }
    }
}
