//! What the pages have in common that are about a user's own sessions and tokens.

use axum::body::Body;
use http::{Response, StatusCode};
use url::form_urlencoded;

use super::{Call, Endpoints, Refused};
use crate::{
    admission::{AdmittedSession, Inquiry, NotAdmitted},
    fetch_metadata::{FetchMetadata, Viewer},
    pages::Look,
    policy::Rule,
    refusal::{
        Refusal,
        response::{Popups, document, sandboxed},
    },
    session::SealedForm,
};

impl Endpoints {
    /// Whom a page is about. A browser that is not signed in is sent to a login, and comes back. The page is shown to persons alone: a
    /// script of the app that fetched it would have its seal, and so would a service worker.
    pub(super) async fn account_user(&self, call: &Call<'_>) -> Result<AdmittedSession, Refused> {
        self.user_by(call, &self.everybody).await
    }

    /// The same of a page for users whom this rule admits.
    pub(super) async fn user_by(&self, call: &Call<'_>, rule: &Rule) -> Result<AdmittedSession, Refused> {
        let reader = page_reader(call)?;
        let admitted = self.page_user(call, rule).await?;
        // The login came first, because the window that the refusal opens is one in which providers' scripts do not run.
        match reader {
            Reader::Person => Ok(admitted),
            Reader::Worker => Err(Refusal::WorkerReads.into()),
        }
    }

    /// The same of a page that has no secret, which a service worker may read.
    pub(super) async fn portal_user(&self, call: &Call<'_>) -> Result<AdmittedSession, Refused> {
        page_reader(call)?;
        self.page_user(call, &self.everybody).await
    }

    /// Whom a page of nobody's secrets is about.
    pub(super) async fn page_user(&self, call: &Call<'_>, rule: &Rule) -> Result<AdmittedSession, Refused> {
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
        match page_reader(call)? {
            Reader::Person => {}
            Reader::Worker => return Err(Refusal::WorkerReads.into()),
        }
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

/// Who reads a page of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// A person alone.
    Person,
    /// A service worker of the app, before a person does.
    Worker,
}

/// Who reads a page of ours. What a browser says that no person will see as a page is refused: a frame, or what a script fetches. A service
/// worker sends a navigation on, or reads the answer to one that its browser sends beforehand (Service Workers, navigation preload),
/// which says so.
pub(super) fn page_reader(call: &Call<'_>) -> Result<Reader, Refusal> {
    let is_preload = call.headers.contains_key("service-worker-navigation-preload");
    match FetchMetadata::of(call.headers).viewer() {
        Viewer::Page | Viewer::Unsaid if !is_preload => Ok(Reader::Person),
        Viewer::Page | Viewer::Unsaid | Viewer::BehindWorker => Ok(Reader::Worker),
        Viewer::Frame | Viewer::Nobody => Err(Refusal::NavigationRequired),
    }
}

/// A page of an origin of its own (CSP 3 section 6.3.2): the app is of the same one as we are, and its scripts could read a new token, or
/// press the buttons. As a form of such a page comes without our cookie, it brings a seal.
pub(super) fn own_page(text: String, look: &Look<'_>, mark: &'static str) -> Response<Body> {
    sandboxed(document(text, look, StatusCode::OK, mark), Popups::None)
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
