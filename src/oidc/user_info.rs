//! User info (OIDC Core section 5.3): as JSON, or signed.

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use serde_json::Value;

use super::{Claims, Provider, ProviderError, SHORT_CALL, discovery::Known, http::Answer, keys::Purpose, verify::audiences};
use crate::{
    jose::{Object, object},
    secret::Secret,
};

impl Provider {
    /// User info for `subject`; `None` where it is not asked for. Claims that would name another token's
    /// subject are refused; distributed claims are never followed.
    pub(super) async fn userinfo(
        &self,
        known: &Known,
        access_token: &Secret,
        subject: &str,
        purpose: Purpose,
    ) -> Result<Option<Claims>, ProviderError> {
        let Some(url) = &known.userinfo else { return Ok(None) };
        let request = Request::get(url)
            .header(header::AUTHORIZATION, format!("Bearer {}", access_token.expose()))
            .header(header::ACCEPT, "application/json, application/jwt;q=0.9")
            .body(Full::<Bytes>::default())
            .map_err(|_| ProviderError::UserInfo("its address or the access token is malformed".to_owned()))?;
        let answer = self.http.ask(request, SHORT_CALL).await.map_err(ProviderError::UserInfoFetch)?;
        if !answer.status.is_success() {
            return Err(ProviderError::UserInfoRefused(answer.status));
        }
        let claims = if is_token(&answer) { self.signed_userinfo(known, &answer.body, purpose).await? } else { plain(&answer)? };
        if claims.repeated.iter().any(|name| name == "sub") {
            return Err(ProviderError::UserInfo("it has two subs".to_owned()));
        }
        match claims.members.get("sub").and_then(Value::as_str) {
            Some(found) if found == subject => Ok(Some(claims.members)),
            Some(_) => Err(ProviderError::OtherSubject),
            None => Err(ProviderError::UserInfo("it has no sub".to_owned())),
        }
    }

    /// Section 5.3.2: signed, and if it says from whom and for whom, then from this provider and for us.
    async fn signed_userinfo(&self, known: &Known, body: &[u8], purpose: Purpose) -> Result<Object, ProviderError> {
        let unusable = |why: &str| ProviderError::UserInfo(format!("it is a signed answer, and {why}"));
        let token = std::str::from_utf8(body).map_err(|_| unusable("it is not text"))?;
        let signed = self.signed(known, token, &known.userinfo_algorithms, purpose).await?;
        let (claims, _) = signed.map_err(|error| unusable(&error.to_string()))?;
        let is_ours = claims.members.get("iss").is_none_or(|issuer| issuer.as_str() == Some(known.issuer.as_str()));
        if !is_ours {
            return Err(unusable("its iss is another issuer"));
        }
        if claims.members.contains_key("aud") && !audiences(&claims).contains(&self.client_id()) {
            return Err(unusable("its aud is another client"));
        }
        Ok(claims)
    }
}

/// By what it says of itself, or by what a JSON object cannot look like.
fn is_token(answer: &Answer) -> bool {
    let kind = answer.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let says_so = kind.trim_start().to_ascii_lowercase().starts_with("application/jwt");
    says_so || answer.body.trim_ascii_start().starts_with(b"ey")
}

fn plain(answer: &Answer) -> Result<Object, ProviderError> {
    object(&answer.body).ok_or_else(|| ProviderError::UserInfo("it is neither a JSON object nor a signed token".to_owned()))
}
