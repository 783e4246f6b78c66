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
        require_page(call)?;
        let admitted = self.page_user(call, rule).await?;
        // The login came first, because the window that the refusal opens is one in which providers' scripts do not run.
        require_person(call)?;
        Ok(admitted)
    }

    /// The same of a page that has no secret, which a service worker may read.
    pub(super) async fn portal_user(&self, call: &Call<'_>) -> Result<AdmittedSession, Refused> {
        require_page(call)?;
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
        require_person(call)?;
        let seal = field_of(form, "seal").unwrap_or_default();
        let session = self
            .components
            .form_seals
            .open(SealedForm::Account, &seal, call.exchange.site.authority())
            .ok_or(Refusal::FormExpired)?;
        let admitted = self.components.admission.admit_proven(inquiry, session).await.map_err(|not| match not {
            // Whether or not the browser has another session by now: the page, loaded again, is its, or leads through a login and back.
            NotAdmitted::SignIn(..) => Refusal::FormExpired,
            NotAdmitted::Refused(refusal) => refusal,
        })?;
        call.is_of(&admitted);
        Ok(admitted)
    }

    /// The seal of the forms that this user is shown here.
    pub(super) fn form_seal(&self, call: &Call<'_>, admitted: &AdmittedSession) -> String {
        self.components.form_seals.seal(SealedForm::Account, admitted.session().hash, call.exchange.site.authority())
    }
}

/// Checks that a person or a service worker reads a page of ours. What a browser says that no person will see as a page is refused: a
/// frame, or what a script fetches.
pub(super) fn require_page(call: &Call<'_>) -> Result<(), Refusal> {
    match FetchMetadata::of(call.headers).viewer() {
        Viewer::Page | Viewer::Unsaid | Viewer::BehindWorker => Ok(()),
        Viewer::Frame | Viewer::Nobody => Err(Refusal::NavigationRequired),
    }
}

/// Checks that a person alone reads it. A service worker of the app sends a navigation on, or reads the answer to one that its browser
/// sends beforehand (Service Workers, navigation preload), which says so.
fn require_person(call: &Call<'_>) -> Result<(), Refusal> {
    require_page(call)?;
    let is_preload = call.headers.contains_key("service-worker-navigation-preload");
    let is_behind_worker = is_preload || FetchMetadata::of(call.headers).viewer() == Viewer::BehindWorker;
    if is_behind_worker { Err(Refusal::WorkerReads) } else { Ok(()) }
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

/// The page of a list of so many lines that is shown for one that is asked for: the last one, where the list has become shorter.
pub(super) fn within(page: usize, lines: usize, on_page: usize) -> usize {
    page.min(lines.div_ceil(on_page.max(1))).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_behind_the_last_one_is_the_last_one() {
        for (page, lines, shown) in [(1, 0, 1), (9, 0, 1), (1, 20, 1), (2, 20, 1), (2, 21, 2), (1000, 41, 3)] {
            assert_eq!(within(page, lines, 20), shown, "{page} of {lines}");
        }
    }
}
