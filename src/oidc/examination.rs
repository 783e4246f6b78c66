//! What can be found out about a provider without a user, for `evergate check`.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::Full;

use super::{
    AuthorizationOptions, CallbackProof, Provider, ProviderError, SHORT_CALL_TIMEOUT, TokenFailure,
    discovery::{MetadataDocument, ProviderMetadata},
    preset::{ErrorMeaning, error_meaning},
};
use crate::{
    clock::{Timestamp, millis},
    secret::{Secret, random_text},
};

/// What the provider's metadata and keys say.
#[derive(Clone, Debug)]
pub struct Examination {
    /// The provider's clock (`Date` and `Age`, RFC 9110 section 6.6.1 and RFC 9111 section 5.1), and ours when it was read.
    pub clocks: Option<(Timestamp, Timestamp)>,
    /// The scopes that logins ask for.
    pub scopes: Vec<String>,
    /// Those of them that the metadata do not list; empty if they list none.
    pub unlisted_scopes: Vec<String>,
    /// How logins ask for a refresh token, as a clause.
    pub offline_access: &'static str,
    /// Whether a refresh token is asked for, or comes by itself.
    pub brings_refresh_token: bool,
    /// Whether `grant_types_supported` has `refresh_token`, if it says, and if the product lists what it issues.
    pub lists_refresh_token_grant: Option<bool>,
    /// Whether `code_challenge_methods_supported` has `S256`, if it says.
    pub lists_pkce: Option<bool>,
    /// Whether it announces back-channel logout.
    pub back_channel_logout: bool,
    /// Whether it announces front-channel logout.
    pub front_channel_logout: bool,
    /// Which of the optional endpoints there are.
    pub optional_endpoints: Vec<&'static str>,
    /// How many keys can verify a signature.
    pub keys: usize,
    /// The algorithms that ID tokens may be signed with, if the metadata list them.
    pub signing_algorithms: Option<Vec<String>>,
    /// What it requires that Evergate does not support, each as a sentence's end.
    pub unsupported_requirements: Vec<String>,
}

/// Whether the provider accepts the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientProbe {
    /// It refuses a refresh token that it never issued, and not the client.
    Accepted,
    /// It refuses the client.
    Refused(String),
    /// It answers something else.
    Unclear(String),
}

/// Whether the redirect URI is registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedirectProbe {
    /// The provider redirects there, as it would with a user's login.
    Registered,
    /// It redirects there with an error (RFC 6749 section 4.1.2.1) that every user's login would meet.
    Fails(String),
    /// It answers with an error.
    Refused(StatusCode),
    /// It shows a page, which does not tell.
    Unclear,
}

impl Provider {
    /// Reads metadata and keys now.
    ///
    /// # Errors
    /// Why the provider cannot be used.
    pub async fn examine(&self) -> Result<Examination, ProviderError> {
        self.discover().await?;
        let metadata = self.metadata()?;
        let (document, clocks) = self.metadata_and_clocks().await?;
        let keys = self.published_key_set(&metadata).await.map_err(ProviderError::Keys)?.len();
        Ok(examination(&metadata, &document, keys, clocks))
    }

    async fn metadata_and_clocks(&self) -> Result<(MetadataDocument, Option<(Timestamp, Timestamp)>), ProviderError> {
        let address = self.metadata_address();
        let request = Request::get(address).body(Full::<Bytes>::default()).map_err(|_| ProviderError::Issuer)?;
        let response = self.http.send(request, SHORT_CALL_TIMEOUT).await?;
        let clocks = date(&response.headers).map(|theirs| (theirs, self.clock.now()));
        let document = MetadataDocument::parse(&response.body);
        let document = document.ok_or_else(|| ProviderError::NoMetadata("its answer is not a JSON object".to_owned()))?;
        Ok((document, clocks))
    }

    /// Presents a refresh token that was never issued, which tells whether the client is accepted and costs nothing.
    pub async fn probe_client(&self) -> ClientProbe {
        let failure = match self.probe().await {
            Ok(()) => return ClientProbe::Unclear("it accepts a refresh token that it never issued".to_owned()),
            Err(failure) => failure,
        };
        let TokenFailure::Refused { status, code, .. } = &failure else {
            return ClientProbe::Unclear(crate::telemetry::logs::causes(&failure));
        };
        match code.as_deref() {
            Some("invalid_client" | "unauthorized_client" | "incorrect_client_credentials") => {
                ClientProbe::Refused(failure.to_string())
            }
            // Some answer so with 401, which is the client's status by RFC 6749 section 5.2.
            Some("invalid_grant" | "bad_refresh_token") => ClientProbe::Accepted,
            // Dex and LemonLDAP::NG call such a token an invalid request; at others that may be said of the client.
            Some(code) if self.says_of_the_grant(*status, code) => ClientProbe::Accepted,
            _ if status.as_u16() == 401 => ClientProbe::Refused(failure.to_string()),
            Some(_) | None => ClientProbe::Unclear(failure.to_string()),
        }
    }

    /// Whether this error is one of the grant at this provider, as its preset says.
    fn says_of_the_grant(&self, status: StatusCode, code: &str) -> bool {
        matches!(error_meaning(self.preset().error_rules, status, code), Some(ErrorMeaning::Dead | ErrorMeaning::Grant))
    }

    /// Asks for a login that shows nothing (`prompt=none`), which tells whether `redirect_uri` is registered: to one that is not
    /// no provider redirects (RFC 6749 section 4.1.2.1).
    ///
    /// # Errors
    /// There was no answer.
    pub async fn probe_redirect_uri(&self, redirect_uri: &str) -> Result<RedirectProbe, ProviderError> {
        let draw = || Secret::new(random_text::<32>());
        let proof = CallbackProof { state: draw(), nonce: draw(), verifier: draw() };
        let options = AuthorizationOptions { prompt: Some("none"), ..AuthorizationOptions::default() };
        let url = self.authorization_url(redirect_uri, &proof, options).await?;
        let request = Request::get(url.as_str()).header(header::ACCEPT, "text/html").body(Full::<Bytes>::default());
        let request = request.map_err(|_| ProviderError::Metadata("authorization_endpoint"))?;
        let response = self.http.send(request, SHORT_CALL_TIMEOUT).await?;
        let location = response.headers.get(header::LOCATION).and_then(|location| location.to_str().ok()).unwrap_or_default();
        Ok(match response.status {
            status if status.is_client_error() => RedirectProbe::Refused(status),
            status if status.is_redirection() && is_to(location, redirect_uri) => outcome(location),
            _ => RedirectProbe::Unclear,
        })
    }
}

/// Whether `location` is the redirect URI with a query.
fn is_to(location: &str, redirect_uri: &str) -> bool {
    location.strip_prefix(redirect_uri).is_some_and(|rest| rest.is_empty() || rest.starts_with(['?', '#']))
}

/// What the response says that a provider sends to the redirect URI. Without a user it can be nothing but an error, and that a user
/// must do something (OpenID Connect Core section 3.1.2.6) is the one to hope for.
fn outcome(location: &str) -> RedirectProbe {
    let parameters = location.split_once(['?', '#']).map_or("", |(_, parameters)| parameters);
    let error = url::form_urlencoded::parse(parameters.as_bytes()).find(|(name, _)| name == "error").map(|(_, error)| error);
    match error.as_deref() {
        Some("invalid_scope" | "unauthorized_client" | "unsupported_response_type" | "invalid_request" | "invalid_client") => {
            RedirectProbe::Fails(error.unwrap_or_default().into_owned())
        }
        Some(_) | None => RedirectProbe::Registered,
    }
}

/// The provider's clock by a response's `Date`, which is older where a cache has kept the response: `Age` says by how much.
fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let date = httpdate::parse_http_date(headers.get(header::DATE)?.to_str().ok()?).ok()?;
    let age = match headers.get(header::AGE) {
        Some(age) => Duration::from_secs(age.to_str().ok()?.trim().parse::<u32>().ok()?.into()),
        None => Duration::ZERO,
    };
    Some(Timestamp(millis(date.duration_since(UNIX_EPOCH).ok()?)).plus(age))
}

fn examination(
    metadata: &ProviderMetadata,
    document: &MetadataDocument,
    keys: usize,
    clocks: Option<(Timestamp, Timestamp)>,
) -> Examination {
    let params = &metadata.authorization_params;
    let listed = document.list("scopes_supported").unwrap_or_default();
    let is_unlisted = |scope: &&String| !listed.is_empty() && !listed.contains(scope);
    let lists = |name: &str, value: &str| document.list(name).map(|members| members.iter().any(|member| member == value));
    let [_, _, optional @ .., _] = metadata.endpoints();
    Examination {
        clocks,
        scopes: params.scopes.clone(),
        unlisted_scopes: params.scopes.iter().filter(is_unlisted).cloned().collect(),
        offline_access: params.note,
        brings_refresh_token: params.asks_by_scope
            || (!metadata.preset.offline_access.needs_scope() && !params.is_parameter_overridden),
        lists_refresh_token_grant: lists("grant_types_supported", "refresh_token")
            .filter(|listed| *listed || metadata.preset.lists_refresh_token_grant),
        lists_pkce: lists("code_challenge_methods_supported", "S256"),
        back_channel_logout: document.is_set("backchannel_logout_supported"),
        front_channel_logout: document.is_set("frontchannel_logout_supported"),
        optional_endpoints: optional.into_iter().filter_map(|(name, address)| address.map(|_| name)).collect(),
        keys,
        signing_algorithms: document.list("id_token_signing_alg_values_supported"),
        unsupported_requirements: metadata.unsupported_requirements.iter().map(ToString::to_string).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_of_a_cached_response_is_that_of_its_origin_and_its_age() {
        let at = |age: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(header::DATE, "Thu, 01 Jan 1970 00:10:00 GMT".parse().unwrap());
            headers.extend(age.map(|age| (header::AGE, age.parse().unwrap())));
            date(&headers)
        };
        let seconds = |seconds: i64| Some(Timestamp(seconds * 1000));
        assert_eq!((at(None), at(Some("3000")), at(Some("0"))), (seconds(600), seconds(3600), seconds(600)));
        assert_eq!((at(Some("a while")), at(Some("-1"))), (None, None), "who knows how old it is");
    }
}
