//! Protected resource metadata (RFC 9728): where a client that was refused finds the provider whose tokens a route takes. MCP clients
//! begin with it.

use axum::body::Body;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use serde_json::json;

use super::{Endpoints, Refused};
use crate::{
    exchange::Exchange,
    refusal::{
        Refusal,
        response::{json as json_response, own_headers},
    },
    routing::Route,
};

impl Endpoints {
    /// The metadata of a route. Anybody may read them, scripts of all origins too; what is said here is said in every refusal.
    ///
    /// # Errors
    /// [`Refusal::MethodNotAllowed`].
    pub fn resource_metadata(&self, exchange: &Exchange, method: &Method, route: &Route) -> Result<Response<Body>, Box<Refused>> {
        let mut response = match *method {
            Method::GET | Method::HEAD => self.metadata_of(exchange, route),
            // Scripts of MCP clients send headers of their own.
            Method::OPTIONS => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NO_CONTENT;
                own_headers(response.headers_mut(), MARK);
                response
            }
            _ => {
                let allow = Some(HeaderValue::from_static("GET, HEAD, OPTIONS"));
                return Err(Box::new(Refused { allow, ..Refusal::MethodNotAllowed.into() }));
            }
        };
        let all: [(HeaderName, &str); 3] = [
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD"),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, "*"),
        ];
        response.headers_mut().extend(all.map(|(name, value)| (name, HeaderValue::from_static(value))));
        Ok(response)
    }

    fn metadata_of(&self, exchange: &Exchange, route: &Route) -> Response<Body> {
        let scopes = route.rule.tokens.as_ref().map(|tokens| tokens.scopes.as_slice()).unwrap_or_default();
        let mut body = json!({
            "resource": exchange.site.at(&route.prefix),
            "authorization_servers": self.issuers_of(route),
            "bearer_methods_supported": ["header"],
        });
        if let Some(members) = body.as_object_mut()
            && !scopes.is_empty()
        {
            members.insert("scopes_supported".to_owned(), scopes.into());
        }
        json_response(&body, StatusCode::OK, MARK)
    }
}

impl Endpoints {
    /// The issuers of the providers whose tokens a route takes, each once.
    fn issuers_of(&self, route: &Route) -> Vec<&str> {
        let mut issuers: Vec<&str> = Vec::new();
        for provider in self.components.sign_ins.among(&route.rule.providers).into_iter().map(|sign_in| &sign_in.provider) {
            if !issuers.contains(&provider.issuer()) {
                issuers.push(provider.issuer());
            }
        }
        issuers
    }
}

const MARK: &str = "resource_metadata";
