//! What the pages have in common that are about a user's own sessions and tokens.

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use url::form_urlencoded;

use super::{Call, Endpoints, Refused};
use crate::{
    admission::{AdmittedSession, Inquiry, NotAdmitted},
    fetch_metadata::{FetchDest, FetchMetadata, FetchMode},
    pages::Look,
    policy::Rule,
    refusal::{Refusal, response::document},
    session::SealedForm,
};

/// These pages have an origin of their own (CSP 3 section 6.3.2): the app is of the same one as we are, and its scripts could read a new
/// token, or press the buttons. As a form of theirs comes without our cookie, it brings a seal.
const SANDBOX: &str = "sandbox allow-forms allow-top-navigation allow-top-navigation-by-user-activation";

impl Endpoints {
    /// Whom a page is about. A browser that is not signed in is sent to a login, and comes back. The page is shown to persons alone: a
    /// script of the app that fetched it would have its seal.
    pub(super) async fn account_user(&self, call: &Call<'_>) -> Result<AdmittedSession, Refused> {
        self.user_by(call, &self.everybody).await
    }

    /// The same of a page for users whom this rule admits.
    pub(super) async fn user_by(&self, call: &Call<'_>, rule: &Rule) -> Result<AdmittedSession, Refused> {
        refuse_unless_navigation(call)?;
        let (admission, exchange) = (&self.components.admission, call.exchange);
        let inquiry = Inquiry::about_the_visitor(exchange, call.headers, rule);
        match admission.admit_session(inquiry).await {
            Ok(admitted) => {
                call.is_of(&admitted);
                Ok(admitted)
            }
            Err(NotAdmitted::Refused(refusal)) => Err(refusal.into()),
            Err(NotAdmitted::SignIn(reason, grant)) => {
                Err(admission.send_to_login(exchange, call.headers, rule, reason, grant).await.into())
            }
        }
    }

    /// Who sent a form of these pages: whoever it was shown to.
    pub(super) async fn sender_of(&self, call: &Call<'_>, form: &[u8]) -> Result<AdmittedSession, Refused> {
        self.sender_by(call, form, Inquiry::about_the_visitor(call.exchange, call.headers, &self.everybody)).await
    }

    /// The same of a page whose users are admitted by this inquiry.
    pub(super) async fn sender_by(&self, call: &Call<'_>, form: &[u8], inquiry: Inquiry<'_>) -> Result<AdmittedSession, Refused> {
        refuse_unless_navigation(call)?;
        let seal = field_of(form, "seal").unwrap_or_default();
        let session = self
            .components
            .form_seals
            .open(SealedForm::Account, &seal, call.exchange.site.authority())
            .ok_or(Refusal::FormExpired)?;
        let admitted = self.components.admission.admit_proven(inquiry, session).await;
        let admitted = admitted.map_err(NotAdmitted::without_redirect)?;
        call.is_of(&admitted);
        Ok(admitted)
    }

    /// The seal of the forms that this user is shown here.
    pub(super) fn form_seal(&self, call: &Call<'_>, admitted: &AdmittedSession) -> String {
        self.components.form_seals.seal(SealedForm::Account, admitted.session().hash, call.exchange.site.authority())
    }
}

/// Refuses what a browser says that no person will see as a page: a frame, or what a script or a worker fetches. A service worker reads
/// the answer to a navigation that its browser sends beforehand (Service Workers, navigation preload), which says so.
pub(super) fn refuse_unless_navigation(call: &Call<'_>) -> Result<(), Refusal> {
    let fetch = FetchMetadata::of(call.headers);
    let navigates = fetch.mode().is_none_or(|mode| mode == FetchMode::Navigate);
    let is_for_a_worker = call.headers.contains_key("service-worker-navigation-preload");
    let is_shown = navigates && fetch.dest().is_none_or(|dest| dest == FetchDest::Document) && !is_for_a_worker;
    if is_shown { Ok(()) } else { Err(Refusal::NavigationRequired) }
}

/// A page of an origin of its own.
pub(super) fn own_page(text: String, look: &Look<'_>, mark: &'static str) -> Response<Body> {
    let mut response = document(text, look, StatusCode::OK, mark);
    response.headers_mut().append(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(SANDBOX));
    response
}

/// A field of a form.
pub(super) fn field_of(form: &[u8], name: &str) -> Option<String> {
    form_urlencoded::parse(form).find(|(found, _)| found == name).map(|(_, value)| value.into_owned())
}

/// How many pages a list has at most: whoever has more sessions than that ends all others.
pub(super) const MOST_PAGES: usize = 1000;

/// Which page of a list is asked for, from one on.
///
/// # Errors
/// [`Refusal::BadRequest`].
pub(super) fn page_number(call: &Call<'_>) -> Result<usize, Refusal> {
    let Some(text) = call.parameter("page") else { return Ok(1) };
    let page = text.parse().ok().filter(|page| (1..=MOST_PAGES).contains(page));
    page.ok_or(Refusal::BadRequest("page must be a number from 1 to 1000"))
}
