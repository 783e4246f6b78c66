//! What an app asks for, read of its request's head. Pure.

use std::time::Duration;

use http::{Method, request};
use url::form_urlencoded;

use super::{caller::only, error::TokenError};
use crate::{grant::ExchangeTarget, identity::ASSERTION};

/// What an app asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TokenRequest {
    pub(super) whose: Whose,
    /// How long the token must live.
    pub(super) lasting: Duration,
    /// What the access token is to be exchanged for, if it is.
    pub(super) exchange: Option<ExchangeTarget>,
}

/// Whose token it is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// That of the session that this assertion names.
    Session(String),
    /// That of a user, whose sessions have one.
    User {
        /// The issuer; `None` is the provider's.
        issuer: Option<String>,
        /// `sub`.
        subject: String,
    },
}

/// How long a token must live of which it is not said.
const DEFAULT_LASTING: Duration = Duration::from_secs(30);
/// Nobody may ask for more. No token needs to live longer than that, because half of its lifetime is enough anyway.
const MAX_LASTING: u64 = 86_400;
/// The longest value of a parameter in bytes.
const MAX_VALUE: usize = 1024;

impl TokenRequest {
    /// Reads a request for a token, whose endpoint is below `prefix`.
    ///
    /// # Errors
    /// [`TokenError::NotFound`], [`TokenError::MethodNotAllowed`], [`TokenError::InvalidRequest`].
    pub(super) fn read(head: &request::Parts, prefix: &str) -> Result<Self, TokenError> {
        if head.uri.path().strip_prefix(prefix) != Some("/token") {
            return Err(TokenError::NotFound);
        }
        if head.method != Method::GET {
            return Err(TokenError::MethodNotAllowed);
        }
        let mut given = Parameters::default();
        for (name, value) in form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()) {
            given.take(&name, &value)?;
        }
        let lasting = match given.min_validity.as_deref().map(str::parse) {
            None => DEFAULT_LASTING,
            Some(Ok(seconds @ 0..=MAX_LASTING)) => Duration::from_secs(seconds),
            Some(_) => return Err(TokenError::InvalidRequest("min_validity must be a number of seconds, a day at most")),
        };
        let has_assertion = head.headers.contains_key(ASSERTION);
        let whose = match (given.subject, given.issuer) {
            (Some(_), _) if has_assertion => {
                return Err(TokenError::InvalidRequest("either an assertion or a subject names the user, and not both"));
            }
            (Some(subject), issuer) => Whose::User { issuer, subject },
            (None, Some(_)) => return Err(TokenError::InvalidRequest("issuer is given without subject")),
            (None, None) if !has_assertion => {
                return Err(TokenError::InvalidRequest("the header X-Evergate-Assertion, or subject, must name the user"));
            }
            (None, None) => only(&head.headers, &ASSERTION)
                .map(|assertion| Whose::Session(assertion.to_owned()))
                .ok_or(TokenError::InvalidRequest("X-Evergate-Assertion must stand once"))?,
        };
        let exchange = match (given.audience, given.resource) {
            (Some(_), Some(_)) => return Err(TokenError::InvalidRequest("either audience or resource names the other service")),
            (Some(name), None) => Some(ExchangeTarget { name, is_resource: false, scope: given.scope }),
            (None, Some(name)) => Some(ExchangeTarget { name, is_resource: true, scope: given.scope }),
            (None, None) if given.scope.is_some() => {
                return Err(TokenError::InvalidRequest("scope is given without audience or resource"));
            }
            (None, None) => None,
        };
        Ok(Self { whose, lasting, exchange })
    }
}

/// The parameters of the query, each of which stands once at most.
#[derive(Default)]
struct Parameters {
    subject: Option<String>,
    issuer: Option<String>,
    audience: Option<String>,
    resource: Option<String>,
    scope: Option<String>,
    min_validity: Option<String>,
}

impl Parameters {
    fn take(&mut self, name: &str, value: &str) -> Result<(), TokenError> {
        let parameter = match name {
            "subject" => &mut self.subject,
            "issuer" => &mut self.issuer,
            "audience" => &mut self.audience,
            "resource" => &mut self.resource,
            "scope" => &mut self.scope,
            "min_validity" => &mut self.min_validity,
            _ => return Err(TokenError::InvalidRequest("the query has an unknown parameter")),
        };
        if value.is_empty() || value.len() > MAX_VALUE || value.chars().any(char::is_control) {
            return Err(TokenError::InvalidRequest("a parameter of the query is empty, too long, or no text"));
        }
        if parameter.replace(value.to_owned()).is_some() {
            return Err(TokenError::InvalidRequest("a parameter of the query stands twice"));
        }
        // RFC 6749 section 3.3.
        let is_scope = |text: &str| text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && !b"\"\\".contains(&byte));
        if name == "scope" && !is_scope(value) {
            return Err(TokenError::InvalidRequest("scope must be scopes, separated by spaces"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn read(method: &str, uri: &str, assertions: &[&str]) -> Result<TokenRequest, TokenError> {
        let request = Request::builder().method(method).uri(uri);
        let request = assertions.iter().fold(request, |request, assertion| request.header(ASSERTION, *assertion));
        let (head, ()) = request.body(()).unwrap().into_parts();
        TokenRequest::read(&head, "/oauth2")
    }

    #[test]
    fn a_request_names_a_session_or_a_user_and_what_the_token_is_for() {
        let session = |exchange, lasting| {
            Ok(TokenRequest { whose: Whose::Session("a.b.c".into()), lasting: Duration::from_secs(lasting), exchange })
        };
        let target = |name: &str, is_resource, scope: Option<&str>| {
            Some(ExchangeTarget { name: name.into(), is_resource, scope: scope.map(str::to_owned) })
        };
        for (query, expected) in [
            ("", session(None, 30)),
            ("?", session(None, 30)),
            ("?min_validity=0", session(None, 0)),
            ("?audience=billing&scope=read+write", session(target("billing", false, Some("read write")), 30)),
            ("?resource=https%3A%2F%2Fb.example%2F", session(target("https://b.example/", true, None), 30)),
        ] {
            assert_eq!(read("GET", &format!("/oauth2/token{query}"), &["a.b.c"]), expected, "{query}");
        }
        let by_user = read("GET", "/oauth2/token?subject=ann&issuer=https://idp.example&min_validity=60", &[]).unwrap();
        assert_eq!(by_user.whose, Whose::User { issuer: Some("https://idp.example".into()), subject: "ann".into() });
    }

    #[test]
    fn what_is_not_clear_is_refused() {
        assert_eq!(read("GET", "/oauth2/tokens", &["a.b.c"]), Err(TokenError::NotFound));
        assert_eq!(read("GET", "/oauth2/token/", &["a.b.c"]), Err(TokenError::NotFound));
        assert_eq!(read("POST", "/oauth2/token", &["a.b.c"]), Err(TokenError::MethodNotAllowed));
        for (query, assertions) in [
            ("", &[][..]),
            ("", &["a.b.c", "a.b.c"]),
            ("?issuer=x", &["a.b.c"]),
            ("?subject=ann", &["a.b.c"]),
            ("?subject=", &[]),
            ("?subject=ann&subject=eve", &[]),
            ("?subject=ann%0a", &[]),
            ("?audience=a&resource=b", &["a.b.c"]),
            ("?audience=a&audience=b", &["a.b.c"]),
            ("?scope=read", &["a.b.c"]),
            ("?audience=a&scope=%22", &["a.b.c"]),
            ("?min_validity=-1", &["a.b.c"]),
            ("?min_validity=86401", &["a.b.c"]),
            ("?access_token=x", &["a.b.c"]),
        ] {
            let refused = read("GET", &format!("/oauth2/token{query}"), assertions);
            assert!(matches!(refused, Err(TokenError::InvalidRequest(_))), "{query}: {refused:?}");
        }
    }
}
