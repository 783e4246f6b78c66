//! Forward authentication: an ingress (nginx, Traefik, Caddy, HAProxy, Envoy) asks about each request whether it may pass, and who
//! sends it. What is asked is read and judged by the gateway, as every request is; here is how it is asked, and the response.

mod changes;
mod restrictions;

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Uri, header, request};

use crate::{
    exchange::{Exchange, Original},
    header_names,
    identity::ASSERTION,
    refusal::response::own_headers,
};

pub use restrictions::Restrictions;

/// How an ingress asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `auth`, as nginx's `auth_request` and oauth2-proxy have it: 202, 401 or 403, never a redirect.
    AuthRequest,
    /// `forward_auth`, for Traefik, Caddy and HAProxy: 200, or the response that the client is to get.
    ForwardAuth,
    /// `auth/…`, for Envoy's `ext_authz` over HTTP: the same about the request with this request's method and what follows as path.
    ExtAuthz,
    /// `refused`: the response that the client is to get in place of what `auth` refused.
    Refused,
}

const AUTH: &str = "/auth";

impl Form {
    /// The form of a request with this path below the prefix, if it is one that an ingress asks by.
    pub fn of(path: &str) -> Option<Self> {
        match path {
            AUTH => Some(Self::AuthRequest),
            "/forward_auth" => Some(Self::ForwardAuth),
            "/refused" => Some(Self::Refused),
            _ => path.strip_prefix(AUTH).is_some_and(|rest| rest.starts_with('/')).then_some(Self::ExtAuthz),
        }
    }

    /// Rebuilds the request that `asked` asks about. `prefix` is the path of our own pages.
    ///
    /// # Errors
    /// What is wrong.
    pub fn original(self, exchange: &Exchange, asked: &request::Parts, prefix: &str) -> Result<Original, &'static str> {
        match self {
            Self::ExtAuthz => Original::of_request_line(asked, &format!("{prefix}{AUTH}")),
            Self::AuthRequest | Self::ForwardAuth | Self::Refused => Original::of_headers(asked, exchange.is_from_trusted_proxy),
        }
    }

    /// What the query of `asked` demands of the user besides. Where it is always the client's query, nothing. An ingress that passes on the
    /// query of the `original` request may have demands in it, and the app's parameters too.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn restrictions(self, asked: &request::Parts, original: &Uri) -> Result<Restrictions, &'static str> {
        match self {
            Self::ExtAuthz => Ok(Restrictions::default()),
            Self::AuthRequest | Self::ForwardAuth | Self::Refused => {
                Restrictions::of_query(asked.uri.query().unwrap_or_default(), asked.uri.query() == original.query())
            }
        }
    }

    /// Whether the response reaches the client, who can be redirected by it.
    pub fn reaches_the_client(self) -> bool {
        self != Self::AuthRequest
    }

    /// The response to what may pass, with the lines that say who sends it.
    pub fn permitted(self, identity: IdentityLines<'_>) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = match self {
            Self::AuthRequest => StatusCode::ACCEPTED,
            Self::ForwardAuth | Self::ExtAuthz | Self::Refused => StatusCode::OK,
        };
        let headers = response.headers_mut();
        own_headers(headers, "permitted");
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(0));
        if self != Self::AuthRequest {
            // An ingress that copies an absent line may leave a client's own in its place, or write something of its own there.
            let usual = CLAIMS.iter().flat_map(|claim| [format!("{OURS}{claim}"), format!("{THEIRS}{claim}")]);
            let usual = usual.filter_map(|name| HeaderName::try_from(name).ok()).chain([ASSERTION]);
            for name in usual.chain(identity.names.iter().cloned()) {
                headers.insert(name, HeaderValue::from_static(""));
            }
        }
        let copies = identity.lines.iter().filter_map(|(name, value)| Some((as_auth_request(name)?, value.clone())));
        for (name, value) in copies.collect::<Vec<_>>().into_iter().chain(identity.lines) {
            headers.insert(name, value);
        }
        response
    }

    /// The response to what may not pass, of which nginx understands 401 and 403 alone. An outage stays an error.
    pub fn refused(self, mut response: Response<Body>) -> Response<Body> {
        let status = response.status();
        if self == Self::AuthRequest && status.is_client_error() && status != StatusCode::UNAUTHORIZED {
            *response.status_mut() = StatusCode::FORBIDDEN;
        }
        response
    }
}

const OURS: &str = "x-forwarded-";
const THEIRS: &str = "x-auth-request-";

/// The name that oauth2-proxy gives a line of ours in such a response.
fn as_auth_request(name: &HeaderName) -> Option<HeaderName> {
    HeaderName::try_from(format!("{THEIRS}{}", name.as_str().strip_prefix(OURS)?)).ok()
}

/// The beginnings of all names that say who sends a request, and nothing else, to some app.
const USERS: [&str; 4] = ["x-auth-request", "x-evergate", "remote-user", "x-remote-user"];

/// What a client cannot say of itself: who it is, however an ingress or an app would read the name.
const CLAIMS: [&str; 7] = ["user", "email", "preferred-username", "name", "groups", "roles", "access-token"];

/// The lines that say to an app who sends a request.
#[derive(Debug)]
pub struct IdentityLines<'a> {
    /// The names by which this or another app is told.
    pub names: &'a [HeaderName],
    /// The lines, of which some may be absent.
    pub lines: Vec<(HeaderName, HeaderValue)>,
    /// The client's `Authorization` is the token that the request was judged by, so that it forges nothing.
    pub authorization_is_proven: bool,
}

impl IdentityLines<'_> {
    /// Whether a client says who it is by a header that is ours to send. Some ingresses pass it on where the response has none, and
    /// few take off all of its spellings. Who says the same, as an app that passes on what it was sent, is no impostor.
    pub fn are_forged_by(&self, client: &HeaderMap) -> bool {
        let says_the_same = |name: &HeaderName, value: &HeaderValue| {
            let is_it = |own: &HeaderName| own == name || as_auth_request(own).as_ref() == Some(name);
            self.lines.iter().any(|(own, told)| is_it(own) && told == value)
        };
        let is_proven = |name: &HeaderName| *name == header::AUTHORIZATION && self.authorization_is_proven;
        client.iter().any(|(name, value)| self.are_named(name.as_str()) && !is_proven(name) && !says_the_same(name, value))
    }

    /// Whether a header of this name tells an app who sends a request, in whatever spelling.
    fn are_named(&self, name: &str) -> bool {
        let is_claim = |start: &str| CLAIMS.iter().any(|claim| header_names::are_equivalent(name, &format!("{start}{claim}")));
        let is_own = || self.names.iter().any(|own| header_names::are_equivalent(own.as_str(), name));
        // An ingress writes where its client is to land after a login (oauth2-proxy has it so).
        let is_redirect = || header_names::are_equivalent(name, "x-auth-request-redirect");
        is_own() || is_claim(OURS) || USERS.iter().any(|start| header_names::has_prefix(name, start)) && !is_redirect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(lines: &[(&str, &str)]) -> IdentityLines<'static> {
        let lines = lines.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let names = Box::leak(Box::new(["x-webauth-user", "x-forwarded-user", "authorization"].map(HeaderName::from_static)));
        IdentityLines { names, lines, authorization_is_proven: false }
    }

    #[test]
    fn the_path_says_how_it_is_asked() {
        for (path, form) in [
            ("/auth", Some(Form::AuthRequest)),
            ("/auth/", Some(Form::ExtAuthz)),
            ("/auth/a/b", Some(Form::ExtAuthz)),
            ("/forward_auth", Some(Form::ForwardAuth)),
            ("/refused", Some(Form::Refused)),
            ("/authentic", None),
            ("/forward_auth/", None),
            ("/start", None),
        ] {
            assert_eq!(Form::of(path), form, "{path}");
        }
    }

    #[test]
    fn the_identity_is_told_by_both_names() {
        let response = Form::AuthRequest.permitted(lines(&[("x-forwarded-groups", "a,b"), ("x-webauth-user", "ann")]));
        let told = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        assert_eq!(told("x-forwarded-groups").as_deref(), Some("a,b"));
        assert_eq!(told("x-auth-request-groups").as_deref(), Some("a,b"));
        assert_eq!(told("x-webauth-user").as_deref(), Some("ann"));
        assert_eq!(told("cache-control").as_deref(), Some("no-store"));
        let theirs = Form::AuthRequest.permitted(lines(&[("x-forwarded-user", "u-1"), ("x-auth-request-user", "ann")]));
        assert_eq!(theirs.headers()["x-auth-request-user"], "ann", "a name that an administrator set is not overwritten");
        assert_eq!(told("x-forwarded-email"), None, "as oauth2-proxy leaves it out");
        for form in [Form::ForwardAuth, Form::ExtAuthz] {
            let response = form.permitted(lines(&[("x-forwarded-user", "ann")]));
            let told = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
            assert_eq!((told("x-forwarded-user").as_deref(), told("x-auth-request-user").as_deref()), (Some("ann"), Some("ann")));
            assert_eq!((told("x-forwarded-email").as_deref(), told("x-auth-request-email").as_deref()), (Some(""), Some("")));
            assert_eq!((told("x-webauth-user").as_deref(), told("authorization").as_deref()), (Some(""), Some("")));
            assert_eq!(told("x-evergate-assertion").as_deref(), Some(""));
            let has_one_of_each = response.headers().keys().all(|name| response.headers().get_all(name).iter().count() == 1);
            assert!(has_one_of_each, "{response:?}");
        }
    }

    #[test]
    fn who_claims_to_be_somebody_is_an_impostor_unless_it_is_true() {
        let identity = lines(&[("x-forwarded-user", "ann"), ("x-webauth-user", "ann")]);
        let is_impostor = |name: &str, value: &str| identity.are_forged_by(&lines(&[(name, value)]).lines.into_iter().collect());
        for name in ["x-forwarded-user", "x-auth-request-user", "x-webauth-user"] {
            assert!(is_impostor(name, "admin") && !is_impostor(name, "ann"), "{name}");
        }
        for name in
            ["x_forwarded_user", "x-auth_request-groups", "x-auth-request-email", "x-forwarded-access-token", "x-webauth_user"]
                .into_iter()
                .chain([
                    "authorization",
                    "remote-user",
                    "remote_user",
                    "x-remote-user-groups",
                    "x-auth-request-foo",
                    "x.evergate.x",
                ])
        {
            assert!(is_impostor(name, "admin"), "{name}");
        }
        for name in ["x-forwarded-for", "x-forwarded-uri", "x-auth-request-redirect", "x-real-ip", "cookie", "remote-users"] {
            assert!(!is_impostor(name, "x"), "{name}");
        }
        let client = lines(&[("authorization", "Bearer token")]).lines.into_iter().collect();
        let judged_by_token = IdentityLines { authorization_is_proven: true, ..lines(&[]) };
        assert!(!judged_by_token.are_forged_by(&client) && lines(&[]).are_forged_by(&client));
        let elsewhere = IdentityLines { names: &[], ..lines(&[]) };
        assert!(!elsewhere.are_forged_by(&client), "an app that is not told by it takes it from its clients");
    }
}
