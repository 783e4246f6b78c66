//! Client authentication (RFC 6749 section 2.3.1), the same on every authenticated call: token requests, revocation (RFC 7009
//! section 2.1) and introspection (RFC 7662 section 2.1).

use base64::prelude::*;
use http::{StatusCode, header, request};
use url::form_urlencoded::{self, Serializer};

use super::{http::HttpResponse, token_call::error_code};
use crate::secret::Secret;

/// How the client authenticates with its secret. Without a secret it is a public client, which sends its identifier alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClientAuth {
    /// `client_secret_basic`: in the header.
    Basic,
    /// `client_secret_post`: in the form.
    Post,
}

impl ClientAuth {
    /// The method for the `token_endpoint_auth_methods_supported` of the metadata: [`ClientAuth::Basic`], which every provider
    /// must support, unless only the other one is listed.
    pub(super) fn choose(supported: Option<&[String]>) -> Self {
        let has = |name: &str| supported.is_some_and(|methods| methods.iter().any(|method| method == name));
        if has("client_secret_post") && !has("client_secret_basic") { Self::Post } else { Self::Basic }
    }

    /// Adds the client's identifier and secret to a form post.
    pub(super) fn apply(
        self,
        client_id: &str,
        secret: Option<&Secret>,
        form: &mut Serializer<'_, String>,
        request: request::Builder,
    ) -> request::Builder {
        match (secret, self) {
            (None, _) => {
                form.append_pair("client_id", client_id);
                request
            }
            (Some(secret), Self::Post) => {
                form.append_pair("client_id", client_id).append_pair("client_secret", secret.expose());
                request
            }
            (Some(secret), Self::Basic) => {
                let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
                let pair = format!("{}:{}", encode(client_id), encode(secret.expose()));
                request.header(header::AUTHORIZATION, format!("Basic {}", BASE64_STANDARD.encode(pair)))
            }
        }
    }
}

/// Whether the provider refused to authenticate the client, so that it did nothing with what was presented. Keycloak sends
/// `unauthorized_client`, with 401, where RFC 6749 section 5.2 has `invalid_client`.
pub(super) fn is_client_auth_error(response: &HttpResponse) -> bool {
    if response.status.is_success() && error_code(&response.body).is_none() {
        return false;
    }
    response.status == StatusCode::UNAUTHORIZED
        || error_code(&response.body).is_some_and(|code| {
            matches!(code.as_str(), "invalid_client" | "unauthorized_client" | "incorrect_client_credentials")
        })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;

    use super::*;

    #[test]
    fn any_401_and_the_error_codes_are_about_client_authentication() {
        let judged = |status: u16, body: &'static str| {
            is_client_auth_error(&HttpResponse {
                status: StatusCode::from_u16(status).unwrap(),
                headers: HeaderMap::new(),
                body: Bytes::from(body),
            })
        };
        assert!(judged(401, r#"{"error":"unauthorized_client"}"#) && judged(401, "") && judged(401, "<html>"));
        assert!(judged(400, r#"{"error":"invalid_client"}"#) && judged(400, r#"{"error":"unauthorized_client"}"#));
        assert!(judged(200, r#"{"error":"incorrect_client_credentials"}"#));
        for (status, body) in [
            (400, r#"{"error":"invalid_grant"}"#),
            (200, r#"{"access_token":"a"}"#),
            (500, ""),
            (403, ""),
            (200, r#"{"active":false}"#),
        ] {
            assert!(!judged(status, body), "{status} {body}");
        }
    }
}
