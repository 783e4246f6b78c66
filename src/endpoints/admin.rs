//! `admin`: the pages and the API of the administration.
//!
//! Who is no administrator is told that there is no such page: the list of who may is nobody else's business. The pages have an origin
//! of their own, as those of a user's own sessions. The API takes no cookie at all: apps are of the same origin as we are, and their
//! scripts could ask it with the cookie of an administrator who looks at them. It takes personal access tokens that their users have
//! made for the administration.

mod api;
mod api_request;
mod grant_page;
mod lists;
mod provider_page;

use axum::body::Body;
use http::{HeaderValue, Method, Response};
use hyper::body::Incoming;

use super::{
    Call, Endpoints, Refused,
    account::{field_of, own_page},
    administrators::Administrators,
    read_form,
};
use crate::{
    administration::{Actor, Everyone, words},
    admission::{AdmittedSession, Inquiry},
    grant::GrantId,
    language::Language,
    pages::{AdminPage, AdminText, Look, Part},
    refusal::{Refusal, response::redirect},
    secret::unhex,
    sign_in::Redirect,
};

/// The pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    SignedIn,
    Why,
    Audit,
    Everyone,
    Providers,
    Keys,
    Grant(GrantId),
}

impl Place {
    fn of(path: &str) -> Option<Self> {
        match path {
            "" => Some(Self::SignedIn),
            "/why" => Some(Self::Why),
            "/audit" => Some(Self::Audit),
            "/everyone" => Some(Self::Everyone),
            "/providers" => Some(Self::Providers),
            "/keys" => Some(Self::Keys),
            other => grant_id(other.strip_prefix("/grants/")?).map(Self::Grant),
        }
    }

    fn path(self) -> String {
        match self {
            Self::SignedIn => String::new(),
            Self::Why => "/why".to_owned(),
            Self::Audit => "/audit".to_owned(),
            Self::Everyone => "/everyone".to_owned(),
            Self::Providers => "/providers".to_owned(),
            Self::Keys => "/keys".to_owned(),
            Self::Grant(id) => format!("/grants/{id}"),
        }
    }

    fn takes(self, method: &Method) -> bool {
        let acts = matches!(self, Self::Everyone | Self::Grant(_));
        matches!(*method, Method::GET | Method::HEAD) || (acts && *method == Method::POST)
    }

    fn allow(self) -> HeaderValue {
        HeaderValue::from_static(if self.takes(&Method::POST) { "GET, HEAD, POST" } else { "GET, HEAD" })
    }
}

/// A grant's identifier as links have it.
fn grant_id(text: &str) -> Option<GrantId> {
    unhex(text).map(GrantId)
}

/// What has just been done, as the address of the page that says so names it.
const SESSION_ENDED: &str = "session_ended";
const USER_ENDED: &str = "user_ended";
const GONE: &str = "gone";
const UNCONFIRMED: &str = "unconfirmed";
const BEGUN: &str = "begun";
const UNDER_WAY: &str = "already";
/// Before the name of what became of a renewal.
const RENEWAL: &str = "renewal_";

/// A request for a page, by an administrator.
struct PageCall<'a> {
    call: &'a Call<'a>,
    admin: &'a Administrators,
    admitted: AdmittedSession,
    look: Look<'a>,
}

impl PageCall<'_> {
    /// A text in the language of the page.
    fn said(&self, text: AdminText<'_>) -> String {
        text.said(self.look.language).into_owned()
    }
}

impl Endpoints {
    /// Answers a request to the administration, whose path is `below` its own.
    pub(super) async fn administration(&self, call: &Call<'_>, below: &str, body: Incoming) -> Result<Response<Body>, Refused> {
        let admin = self.components.administrators.as_ref().ok_or(Refusal::NoSuchPage)?;
        if let Some(path) = below.strip_prefix("/api/v1") {
            return Ok(self.admin_api(call, admin, path, body).await);
        }
        let place = Place::of(below).ok_or(Refusal::NoSuchPage)?;
        if !place.takes(call.method) {
            return Err(Refused { allow: Some(place.allow()), ..Refusal::MethodNotAllowed.into() });
        }
        if *call.method == Method::POST {
            let form = read_form(body).await?;
            let admitted = self
                .sender_by(call, &form, Inquiry::to_administer(call.exchange, call.headers, &admin.rule))
                .await
                .map_err(hidden)?;
            let done = self.act(admin, place, &admitted, &form).await?;
            let location = call.exchange.site.at(&format!("{}?done={done}", self.admin_href(place)));
            return Ok(redirect(&Redirect::to(location), "administered"));
        }
        let admitted = self.user_by(call, &admin.rule).await.map_err(hidden)?;
        let page = PageCall { call, admin, admitted, look: self.look(call) };
        match place {
            Place::SignedIn => self.signed_in_page(&page).await,
            Place::Why => self.why_page(&page).await,
            Place::Audit => self.audit_page(&page).await,
            Place::Providers => self.providers_page(&page).await,
            Place::Keys => self.keys_page(&page).await,
            Place::Everyone => Ok(self.everyone_page(&page)),
            Place::Grant(id) => self.grant_page(&page, id).await,
        }
    }

    /// Does what a form asks for, and names what came of it.
    async fn act(
        &self,
        admin: &Administrators,
        place: Place,
        admitted: &AdmittedSession,
        form: &[u8],
    ) -> Result<String, Refused> {
        let (administration, field) = (&admin.administration, |name| field_of(form, name));
        let actor = Actor::of(&admitted.usable.grant, admitted.session().hash);
        if let Place::Grant(grant) = place {
            if let Some(id) = field("end") {
                let ended = administration.end_session(&actor, &id).await.map_err(Refusal::from)?;
                return Ok(if ended { SESSION_ENDED } else { GONE }.to_owned());
            }
            if field("end_user").is_some() {
                let ended = administration.end_user(&actor, grant).await.map_err(Refusal::from)?;
                return Ok(if ended.is_some() { USER_ENDED } else { GONE }.to_owned());
            }
            if field("renew").is_some() {
                let renewed = administration.renew(&actor, grant).await.map_err(Refusal::from)?;
                return Ok(renewed.map_or(GONE.to_owned(), |renewed| format!("{RENEWAL}{}", renewed.name())));
            }
        }
        if place == Place::Everyone {
            let typed = field("confirm").unwrap_or_default();
            let is_meant =
                Language::ALL.iter().any(|language| AdminText::EveryoneWord.said(*language).eq_ignore_ascii_case(typed.trim()));
            return Ok(match is_meant.then(|| administration.end_everyone(&actor)) {
                None => UNCONFIRMED.to_owned(),
                Some(Everyone::Begun) => BEGUN.to_owned(),
                Some(Everyone::UnderWay) => UNDER_WAY.to_owned(),
            });
        }
        Err(Refusal::BadRequest("the form asks for nothing that there is").into())
    }

    fn everyone_page(&self, page: &PageCall<'_>) -> Response<Body> {
        let button = crate::pages::Button { name: "end", value: "everyone".into(), label: page.said(AdminText::Everyone) };
        let parts = [
            Part::Text(page.said(AdminText::EveryoneText)),
            Part::Confirm { label: page.said(AdminText::EveryoneConfirm), button },
        ];
        self.admin_page(page, Place::Everyone, AdminText::Everyone, &parts)
    }

    /// A page of the administration.
    fn admin_page(&self, page: &PageCall<'_>, place: Place, title: AdminText<'_>, parts: &[Part]) -> Response<Body> {
        let PageCall { call, admitted, look, .. } = page;
        let pages = [
            (Place::SignedIn, AdminText::SignedIn),
            (Place::Why, AdminText::Why),
            (Place::Providers, AdminText::Providers),
            (Place::Keys, AdminText::Keys),
            (Place::Audit, AdminText::Audit),
            (Place::Everyone, AdminText::Everyone),
        ];
        let notice = call.parameter("done").as_deref().and_then(|done| notice(done, look.language));
        let html = AdminPage {
            title: &page.said(title),
            pages: &pages.map(|(place, name)| (self.admin_href(place), page.said(name))),
            notice: notice.as_deref(),
            parts,
            href: &self.admin_href(place),
            seal: &self.form_seal(call, admitted),
            look,
        };
        own_page(html.html(), look, "administration")
    }

    fn admin_href(&self, place: Place) -> String {
        format!("{}/admin{}", self.components.prefix, place.path())
    }

    /// Whether a user may administer.
    pub(super) fn is_administrator(&self, admitted: &AdmittedSession) -> bool {
        let (grant, policies) = (&admitted.usable.grant, &self.components.admission.policies);
        let is_one = |admin: &Administrators| {
            let provider = self.components.sign_ins.of(grant);
            provider.is_some_and(|sign_in| admin.rule.takes_provider(sign_in.provider.name()))
                && admin.rule.permit(policies.of(grant.registration()), &grant.identity, || None).is_ok()
        };
        self.components.administrators.as_ref().is_some_and(is_one)
    }
}

/// What has just been done, in words.
fn notice(done: &str, language: Language) -> Option<String> {
    let text = match done {
        SESSION_ENDED => Some(AdminText::SessionEnded),
        USER_ENDED => Some(AdminText::UserEnded),
        GONE => Some(AdminText::Gone),
        UNCONFIRMED => Some(AdminText::EveryoneUnconfirmed),
        BEGUN => Some(AdminText::EveryoneBegun),
        UNDER_WAY => Some(AdminText::EveryoneUnderWay),
        "renewal_renewed" => Some(AdminText::Renewed),
        // A stranger's link could have the page say anything.
        "renewal_ended"
        | "renewal_not_renewable"
        | "renewal_other_provider"
        | "renewal_key_missing"
        | "renewal_refused"
        | "renewal_unavailable"
        | "renewal_under_way" => {
            let why = words::not_renewed(done.trim_start_matches(RENEWAL), language);
            return Some(AdminText::NotRenewed(&why).said(language).into_owned());
        }
        _ => None,
    };
    text.map(|text| text.said(language).into_owned())
}

/// Hides the administration from whoever may not administer.
fn hidden(refused: Refused) -> Refused {
    let Refusal::Denied(denied, _) = &refused.refusal else { return refused };
    tracing::info!(reason = denied.as_str(), %denied, "the administration was hidden from a user who is no administrator");
    Refusal::NoSuchPage.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_by_the_path_that_leads_to_it_and_by_no_other() {
        let grant = GrantId([0xab; 16]);
        for place in
            [Place::SignedIn, Place::Why, Place::Audit, Place::Everyone, Place::Providers, Place::Keys, Place::Grant(grant)]
        {
            assert_eq!(Place::of(&place.path()), Some(place));
        }
        for odd in ["/", "/why/", "/grants/", "/grants/ab", &format!("/grants/{}", "AB".repeat(16)), &format!("/grants/{grant}0")]
        {
            assert_eq!(Place::of(odd), None, "{odd}");
        }
    }
}
