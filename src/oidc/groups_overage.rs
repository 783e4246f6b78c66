//! Groups that are left out of tokens because they are too many (Microsoft Entra ID's groups overage), asked of Microsoft Graph.

use bytes::Bytes;
use http::{Request, header};
use http_body_util::Full;
use serde_json::{Map, Value, json};

use super::{Claims, FetchError, Provider, SHORT_CALL_TIMEOUT, claims::lacks_groups, discovery::ProviderMetadata};
use crate::{jose::has_member, secret::Secret, telemetry::logs::causes};

/// Why Microsoft Graph did not tell the groups. The texts say what to do about it.
#[derive(Debug, thiserror::Error)]
enum GraphError {
    #[error("nothing says where to ask for them: the metadata have no msgraph_host, and CODER_OIDC_GRAPH_URL is not set")]
    Unknown,
    #[error("the address of Microsoft Graph or the access token is malformed")]
    Malformed,
    #[error("Microsoft Graph could not be called")]
    Fetch(#[from] FetchError),
    #[error(
        "Microsoft Graph refuses the access token ({0}): it must be for Graph, so that CODER_OIDC_SCOPES has no scope of another \
         API, and the delegated permission User.Read must be granted"
    )]
    Denied(u16),
    #[error("Microsoft Graph answered with status {0}")]
    Status(u16),
    #[error("the answer of Microsoft Graph is no whole list of groups")]
    Unreadable,
}

impl Provider {
    /// The claims with the groups that Microsoft Graph tells, where the tokens leave them out. If it does not tell them, the claims
    /// stay as they are, and their identity says that its groups are not known.
    pub(super) async fn with_groups_of_graph(
        &self,
        metadata: &ProviderMetadata,
        mut claims: Claims,
        access_token: &Secret,
    ) -> Claims {
        let Some(field) = self.settings.mapping.groups.as_ref().filter(|field| lacks_groups(&claims, field)) else {
            return claims;
        };
        match self.groups_of_graph(metadata, access_token).await {
            Ok(groups) => drop(claims.insert(field.clone(), groups.into())),
            Err(error) => tracing::warn!(
                oidc.issuer = self.issuer(),
                error = causes(&error),
                "the provider has left a user's groups out of the tokens (groups overage), and they are not known"
            ),
        }
        claims
    }

    async fn groups_of_graph(&self, metadata: &ProviderMetadata, access_token: &Secret) -> Result<Vec<String>, GraphError> {
        let base = metadata.graph_url.as_ref().ok_or(GraphError::Unknown)?;
        let request = Request::post(format!("{}/v1.0/me/getMemberObjects", base.as_str().trim_end_matches('/')))
            .header(header::AUTHORIZATION, format!("Bearer {}", access_token.expose()))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            // Distribution lists may be in the claim too, by the app's registration.
            .body(Full::<Bytes>::from(json!({"securityEnabledOnly": false}).to_string()))
            .map_err(|_| GraphError::Malformed)?;
        let response = self.http.send(request, SHORT_CALL_TIMEOUT).await?;
        match response.status.as_u16() {
            200 => read(&response.body).ok_or(GraphError::Unreadable),
            status @ (401 | 403) => Err(GraphError::Denied(status)),
            status => Err(GraphError::Status(status)),
        }
    }
}

/// The identifiers in an answer of Graph's. A page of them is no answer: who is missing from it would be missing silently.
fn read(body: &[u8]) -> Option<Vec<String>> {
    let members: Map<String, Value> = serde_json::from_slice(body).ok()?;
    if has_member(&members, "@odata.nextLink") {
        return None;
    }
    members.get("value")?.as_array()?.iter().map(|id| id.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_list_is_an_answer() {
        let read = |value: Value| read(value.to_string().as_bytes());
        assert_eq!(read(json!({"@odata.context": "x", "value": ["a", "b"]})), Some(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(read(json!({"value": []})), Some(vec![]));
        for bad in [json!({"value": ["a"], "@odata.nextLink": "https://graph"}), json!({"value": ["a", 1]}), json!({}), json!([])]
        {
            assert_eq!(read(bad.clone()), None, "{bad}");
        }
    }
}
