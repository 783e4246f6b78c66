//! `frontchannel_logout`: the provider has the user's browser load it in a frame (OpenID Connect Front-Channel Logout 1.0 section 3).

use axum::body::Body;
use http::{HeaderValue, Response, header};
use url::form_urlencoded;

use super::{Call, Endpoints, Refused};
use crate::{
    oidc::is_name,
    refusal::{Refusal, response::own_headers},
};

impl Endpoints {
    /// Ends the sessions of `sid`. The response is the same whether there are any, so that nobody learns of them.
    pub(super) async fn front_channel_logout(&self, call: &Call<'_>) -> Result<Response<Body>, Refused> {
        let sign_out = &self.components.sign_out;
        let Parameters { iss, sid } = Parameters::parse(call.query).map_err(Refusal::BadRequest)?;
        let providers = sign_out.providers.of_front_channel_logout(iss.as_deref());
        if providers.is_empty() {
            return Err(Refusal::BadRequest("its iss is no provider's, or is missing where there are several").into());
        }
        let own = self.components.cookies.presented_sessions(call.headers);
        for provider in providers {
            sign_out.end_provider_session(provider, &sid, &own).await.map_err(Refusal::from)?;
        }
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        own_headers(headers, "logged_out");
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        // The providers alone may frame it, whichever of them is asked about.
        let origins: Vec<_> = sign_out.providers.iter().flat_map(|provider| provider.logout_origins()).collect();
        let policy = HeaderValue::try_from(format!("default-src 'none'; frame-ancestors {}", origins.join(" ")));
        let nobody = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
        headers.insert(header::CONTENT_SECURITY_POLICY, policy.unwrap_or(nobody));
        Ok(response)
    }
}

/// Whose session at which provider has ended.
#[derive(Debug, PartialEq, Eq)]
struct Parameters {
    iss: Option<String>,
    sid: String,
}

impl Parameters {
    /// Reads the query. One that repeats a parameter is refused, because two readers may take different values.
    fn parse(query: &str) -> Result<Self, &'static str> {
        let (mut iss, mut sid) = (None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let slot = match &*name {
                "iss" => &mut iss,
                "sid" => &mut sid,
                _ => continue,
            };
            if slot.replace(value.into_owned()).is_some() {
                return Err("iss or sid is there twice");
            }
        }
        let sid = sid.filter(|sid| is_name(sid)).ok_or("there is no sid, or none that a provider writes")?;
        if iss.as_ref().is_some_and(String::is_empty) {
            return Err("iss is empty");
        }
        Ok(Self { iss, sid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_parameter_is_taken_once_and_sid_must_be_there() {
        let of = |iss: Option<&str>, sid: &str| Ok(Parameters { iss: iss.map(str::to_owned), sid: sid.to_owned() });
        for (query, expected) in [
            ("iss=https%3A%2F%2Fidp&sid=a%2Bb", of(Some("https://idp"), "a+b")),
            ("sid=a", of(None, "a")),
            ("sid=a&other=b&other=c", of(None, "a")),
            ("", Err("there is no sid, or none that a provider writes")),
            ("iss=https://idp", Err("there is no sid, or none that a provider writes")),
            ("iss=https://idp&sid=", Err("there is no sid, or none that a provider writes")),
            ("sid=%00a", Err("there is no sid, or none that a provider writes")),
            (&format!("sid={}", "a".repeat(2000)), Err("there is no sid, or none that a provider writes")),
            ("iss=&sid=a", Err("iss is empty")),
            ("sid=a&sid=a", Err("iss or sid is there twice")),
            ("iss=a&iss=b&sid=a", Err("iss or sid is there twice")),
        ] {
            assert_eq!(Parameters::parse(query), expected, "{query}");
        }
    }
}
