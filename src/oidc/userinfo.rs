//! The userinfo endpoint (OIDC Core section 5.3): its response is JSON, or a signed token.

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use serde_json::Value;

use super::{
    Claims, Provider, ProviderError, SHORT_CALL_TIMEOUT, discovery::ProviderMetadata, http::HttpResponse, id_token::audiences,
    issuer::IssuerMatch, key_cache::KeyPurpose,
};
use crate::{jose::JsonObject, secret::Secret};

impl Provider {
    /// Fetches user info of `subject`; `None` if there is no endpoint or it is not to be called. Claims of another subject are
    /// refused; distributed claims are never followed.
    pub(super) async fn fetch_userinfo(
        &self,
        metadata: &ProviderMetadata,
        access_token: &Secret,
        subject: &str,
        purpose: KeyPurpose,
    ) -> Result<Option<Claims>, ProviderError> {
        let Some(url) = &metadata.userinfo_endpoint else { return Ok(None) };
        let request = Request::get(url)
            .header(header::AUTHORIZATION, format!("Bearer {}", access_token.expose()))
            .header(header::ACCEPT, "application/json, application/jwt;q=0.9")
            .body(Full::<Bytes>::default())
            .map_err(|_| ProviderError::UserInfo("its address or the access token is malformed".to_owned()))?;
        let response = self.http.call_endpoint(request, SHORT_CALL_TIMEOUT).await.map_err(ProviderError::UserInfoFetch)?;
        if !response.status.is_success() {
            return Err(ProviderError::UserInfoRefused(response.status));
        }
        let claims =
            if is_token(&response) { self.signed_userinfo(metadata, &response.body, purpose).await? } else { plain(&response)? };
        if claims.is_unclear(&["sub"]) {
            return Err(ProviderError::UserInfo("it has two subs, or one that cannot be read".to_owned()));
        }
        match claims.members.get("sub").and_then(Value::as_str) {
            Some(found) if found == subject => Ok(Some(claims.once())),
            Some(_) => Err(ProviderError::OtherSubject),
            None => Err(ProviderError::UserInfo("it has no sub".to_owned())),
        }
    }

    /// Verifies signed user info: `iss` and `aud`, if they are there, must be this provider and this client (section 5.3.2).
    async fn signed_userinfo(
        &self,
        metadata: &ProviderMetadata,
        body: &[u8],
        purpose: KeyPurpose,
    ) -> Result<JsonObject, ProviderError> {
        let unusable = |why: &str| ProviderError::UserInfo(format!("it is a signed answer, and {why}"));
        let token = std::str::from_utf8(body).map_err(|_| unusable("it is not text"))?;
        let signed = self.verify_signature(metadata, token, &metadata.userinfo_algorithms, purpose).await?;
        let (claims, _) = signed.map_err(|error| unusable(&error.to_string()))?;
        if claims.has("iss") && metadata.issuer.compare(&claims) != IssuerMatch::Same {
            return Err(unusable("its iss is another issuer"));
        }
        if claims.has("aud") && !audiences(&claims).contains(&self.client_id()) {
            return Err(unusable("its aud is another client"));
        }
        Ok(claims)
    }
}

/// Whether the response is a token, by its type or by a beginning that no JSON object has.
fn is_token(response: &HttpResponse) -> bool {
    let kind = response.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let says_so = kind.trim_start().to_ascii_lowercase().starts_with("application/jwt");
    says_so || response.body.trim_ascii_start().starts_with(b"ey")
}

fn plain(response: &HttpResponse) -> Result<JsonObject, ProviderError> {
    JsonObject::parse(&response.body)
        .ok_or_else(|| ProviderError::UserInfo("it is neither a JSON object nor a signed token".to_owned()))
}
