//! Our own pages, under `CODER_PATH_PREFIX`: a table of what there is, and a file for each part.
//!
//! An endpoint gets the components that it needs, answers with a response of its own or with a refusal, and renders no refusal
//! itself.

mod account;
mod admin;
mod administrators;
mod choice;
pub mod forward_auth;
mod front_channel_logout;
mod global_token_revocation;
mod hand_over;
pub mod health;
mod in_page;
mod jwks;
mod kept_post;
mod login;
mod logo;
mod logout;
mod portal;
mod resource_metadata;
mod scim;
mod security_events;
mod sessions;
mod table;
mod tokens;
mod userinfo;

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, request};
use hyper::body::Incoming;

use crate::{
    address::AccessUrl,
    admission::{Admission, AdmittedSession, Inquiry, NotAdmitted},
    assertion::Assertions,
    deprovisioning::Deprovisioning,
    exchange::Exchange,
    grant::Grant,
    kept_posts::KeptPosts,
    oidc::DEFAULT_NAME,
    pages::{Branding, Look},
    personal_tokens::PersonalTokens,
    policy::{Policy, Rule},
    refusal::Refusal,
    routing::Routes,
    session::{FormSeals, cookie::Cookies},
    sign_in::{SignIns, return_from, return_to::ReturnTo},
    sign_out::SignOut,
};

use health::Health;
use table::{Page, TABLE, UserPage, Who, follows_a_login};

pub use administrators::Administrators;
pub use table::{is_administration, is_probe};

/// What endpoints work with.
#[derive(Debug)]
pub struct Components {
    /// `CODER_PATH_PREFIX`, without a slash at its end.
    pub prefix: String,
    /// Which pages of apps a login may lead to.
    pub routes: Routes,
    /// The names of our cookies.
    pub cookies: Cookies,
    /// How our own pages look.
    pub branding: Arc<Branding>,
    /// Who may pass.
    pub admission: Arc<Admission>,
    /// Login.
    pub sign_ins: SignIns,
    /// Logout.
    pub sign_out: SignOut,
    /// Has users ended whom others say to be gone.
    pub deprovisioning: Deprovisioning,
    /// What readiness tells.
    pub health: Health,
    /// What proves that a form came from one of our own pages.
    pub form_seals: FormSeals,
    /// Forms that met the end of their session.
    pub kept_posts: KeptPosts,
    /// Personal access tokens.
    pub personal_tokens: PersonalTokens,
    /// The keys that verify assertions.
    pub assertions: Arc<Assertions>,
    /// Who administers, if anybody does.
    pub administrators: Option<Administrators>,
}

/// The endpoints of a gateway.
#[derive(Debug)]
pub struct Endpoints {
    components: Components,
    /// The rule for whoever an endpoint is about: signed in, and let pass by the policy for every user.
    everybody: Rule,
}

/// A request to an endpoint.
struct Call<'a> {
    exchange: &'a Exchange,
    /// As it was sent: of a WebSocket on HTTP/2, which none of these is, CONNECT.
    method: &'a Method,
    headers: &'a HeaderMap,
    query: &'a str,
    /// Who was found to ask, for the access line.
    visitor: &'a OnceLock<Arc<Grant>>,
}

/// An endpoint's refusal, and what its response carries besides.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// The page that a login begun from the refusal's page leads to; without one, to the front page.
    pub return_to: Option<ReturnTo>,
    /// `Set-Cookie` values.
    pub cookies: Vec<HeaderValue>,
    /// `Allow`, where the endpoint does not take the method (RFC 9110 section 15.5.6).
    pub allow: Option<HeaderValue>,
}

impl<R: Into<Refusal>> From<R> for Refused {
    fn from(refusal: R) -> Self {
        Self { refusal: refusal.into(), return_to: None, cookies: Vec::new(), allow: None }
    }
}

/// After how many seconds another system, such as a directory, sends again what cannot be recorded now. No person waits for it.
const SYSTEMS_RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");
/// Our forms hold one short field.
const LARGEST_FORM: usize = 16 * 1024;
const FORM_DEADLINE: Duration = Duration::from_secs(10);

impl Endpoints {
    /// The endpoints with these components.
    pub fn new(components: Components) -> Self {
        Self { components, everybody: Rule::signed_in(Policy::default()) }
    }

    /// Whether sessions can be served, as readiness tells.
    pub fn is_ready(&self) -> bool {
        self.components.health.is_ready()
    }

    /// Answers a request whose path below the prefix is `path`. The grant of whoever it was found to be of is left in `visitor`, for the
    /// access line.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn respond(
        &self,
        exchange: &Exchange,
        path: &str,
        head: &request::Parts,
        body: Incoming,
        visitor: &OnceLock<Arc<Grant>>,
    ) -> Result<Response<Body>, Refused> {
        let (path, provider) = match path.strip_prefix("/callback/") {
            Some(DEFAULT_NAME) => return Err(Refusal::NoSuchPage.into()),
            Some(name) => ("/callback", name),
            None => (path, DEFAULT_NAME),
        };
        let call =
            Call { exchange, method: &head.method, headers: &head.headers, query: head.uri.query().unwrap_or_default(), visitor };
        if let Some(below) = administrators::below(path) {
            return Box::pin(self.administration(&call, below, body)).await;
        }
        if let Some(path) = path.strip_prefix("/scim/v2/") {
            return Box::pin(self.scim(&call, path, head, body)).await;
        }
        let endpoint = TABLE.iter().find(|endpoint| endpoint.path == path).ok_or(Refusal::NoSuchPage)?;
        if !endpoint.methods.contains(call.method) {
            let methods = endpoint.methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
            let allow = HeaderValue::try_from(methods).ok();
            return Err(Refused { allow, ..Refusal::MethodNotAllowed.into() });
        }
        match endpoint.who {
            Who::Anybody(Page::Start) if head.method == Method::POST => self.start_by_form(&call, body).await,
            Who::Anybody(Page::Start) => self.start(call).await,
            Who::Anybody(Page::Callback) if head.method == Method::POST => self.callback_by_form(&call, provider, body).await,
            Who::Anybody(Page::Callback) => self.callback(call, provider).await,
            Who::Anybody(Page::HandOver) => self.hand_over(call).await,
            Who::Anybody(Page::HandedOver) => self.handed_over(call).await,
            Who::Anybody(Page::Again) => Ok(self.again(&call)),
            Who::Anybody(Page::SignOut) => self.sign_out(call, body).await,
            Who::Anybody(Page::SignedOut) => Ok(self.signed_out(&call).await),
            Who::Anybody(Page::BackchannelLogout) => self.backchannel_logout(call.headers, body).await,
            Who::Anybody(Page::FrontchannelLogout) => self.front_channel_logout(&call).await,
            Who::Anybody(Page::GlobalTokenRevocation) => self.global_token_revocation(&call, body).await,
            Who::Anybody(Page::SecurityEvents) => self.security_event(&call, body).await,
            Who::Anybody(Page::Sessions) => self.sessions(&call, body).await,
            Who::Anybody(Page::Tokens) => self.tokens(&call, body).await,
            Who::Anybody(Page::Terminal) => self.terminal(&call, body).await,
            Who::Anybody(Page::TerminalToken) => self.terminal_token(body).await,
            Who::Anybody(Page::KeptPost) => self.kept_post(&call, body).await,
            Who::Anybody(Page::KeySet) => Ok(jwks::respond(&self.components.assertions)),
            Who::Anybody(Page::Script) => Ok(in_page::script(call.headers)),
            Who::Anybody(Page::LoginDone) => {
                self.page_user(&call, &self.everybody).await?;
                Ok(in_page::signed_in(&self.look(&call)))
            }
            Who::Anybody(Page::Logo) => Ok(logo::respond(&self.components.branding)?),
            Who::Anybody(Page::Portal) => self.portal(&call).await,
            Who::Anybody(Page::Icon) => Ok(self.icon(&call)?),
            Who::Anybody(Page::Liveness) => Ok(health::alive()),
            Who::Anybody(Page::Readiness) => {
                let Components { health, sign_ins, admission, .. } = &self.components;
                Ok(health.ready(sign_ins, &admission.renewer))
            }
            Who::SignedIn(UserPage::UserInfo) => {
                let admitted = self.admit(&call).await?;
                Ok(userinfo::respond(&admitted.usable.grant))
            }
            Who::SignedIn(UserPage::Refresh) => {
                in_page::check_origin(&head.headers, &exchange.site)?;
                let inquiry = Inquiry::to_keep_the_session(exchange, &head.headers, &self.everybody);
                let admitted = self.admit_by(&call, inquiry).await?;
                Ok(userinfo::respond(&admitted.usable.grant))
            }
        }
    }

    /// How a response's pages look.
    fn look(&self, call: &Call<'_>) -> Look<'_> {
        Look { branding: &self.components.branding, language: call.exchange.language(), request_id: call.exchange.id_text() }
    }

    /// The visitor, if the app's pages would be shown to them.
    async fn admit(&self, call: &Call<'_>) -> Result<AdmittedSession, Refusal> {
        self.admit_by(call, Inquiry::about_the_visitor(call.exchange, call.headers, &self.everybody)).await
    }

    async fn admit_by(&self, call: &Call<'_>, inquiry: Inquiry<'_>) -> Result<AdmittedSession, Refusal> {
        let admitted = self.components.admission.admit_session(inquiry).await.map_err(NotAdmitted::without_redirect)?;
        call.is_of(&admitted);
        Ok(admitted)
    }
}

impl Call<'_> {
    /// Has the access line name this visitor.
    fn is_of(&self, admitted: &AdmittedSession) {
        let _found_before = self.visitor.set(Arc::clone(&admitted.usable.grant));
    }

    /// The parameter `name` of the query.
    fn parameter(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.query.as_bytes()).find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
    }

    /// Whether the query says `name=true`.
    fn flag(&self, name: &str) -> bool {
        url::form_urlencoded::parse(self.query.as_bytes()).any(|(found, value)| found == name && value == "true")
    }

    /// Where the parameter `rd` of `parameters` leads, if a route serves that; the front page else. `None`: there is none.
    fn return_to(&self, parameters: &str, components: &Components) -> Option<ReturnTo> {
        self.page_named_by("rd", parameters, components)
    }

    fn page_named_by(&self, name: &str, parameters: &str, components: &Components) -> Option<ReturnTo> {
        Some(self.served(return_from(parameters, name, &self.exchange.site)?, components))
    }

    /// The page whose request an ingress refused and sent here, if it says so (oauth2-proxy's `X-Auth-Request-Redirect`).
    fn page_of_ingress(&self, components: &Components) -> Option<ReturnTo> {
        let page = self.headers.get("x-auth-request-redirect").filter(|_| self.exchange.is_from_trusted_proxy)?;
        Some(self.served(ReturnTo::parse(page.to_str().ok()?, &self.exchange.site), components))
    }

    /// The page, if a route serves it, or it is one of our own that a login may lead to; the front page else.
    fn served(&self, return_to: ReturnTo, components: &Components) -> ReturnTo {
        let is_served = components.serves(&self.exchange.site, return_to.path(), follows_a_login);
        if is_served { return_to } else { ReturnTo::front_page() }
    }
}

impl Components {
    /// Whether a route of `site` serves the page with this path and query; one of our own, which no route serves, if `is_led_to` says so of
    /// its path below the prefix.
    fn serves(&self, site: &AccessUrl, page: &str, is_led_to: impl Fn(&str) -> bool) -> bool {
        let path = page.split('?').next().unwrap_or_default();
        match path.strip_prefix(&self.prefix).filter(|rest| rest.is_empty() || rest.starts_with('/')) {
            Some(own) => is_led_to(own),
            None => self.routes.find(site.authority(), path).is_ok(),
        }
    }
}

/// Reads a form, for which nobody needs long.
async fn read_form(body: Incoming) -> Result<Bytes, Refusal> {
    match tokio::time::timeout(FORM_DEADLINE, axum::body::to_bytes(Body::new(body), LARGEST_FORM)).await {
        Ok(Ok(form)) => Ok(form),
        Ok(Err(_)) | Err(_) => Err(Refusal::BadRequest("the form is too large, too slow, or broke off")),
    }
}
