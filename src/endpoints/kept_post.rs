//! `kept_post`: a form that met the end of its session is offered to its user, who sends it again or discards it. It goes to the app from
//! there, and not through this page: see `gateway/kept_posts.rs`.

use axum::body::Body;
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use hyper::body::Incoming;
use url::form_urlencoded::Serializer;

use super::{Call, Endpoints, Refused, account::require_page, read_form};
use crate::{
    admission::{AdmittedSession, Inquiry, NotAdmitted},
    kept_posts::{KeptPost, RESEND_FIELD, Resend},
    pages::{Action, KeptPostPage, Message, Page, Text},
    policy::Rule,
    refusal::{
        Refusal,
        response::{document, html, redirect},
    },
    session::{SealedForm, UserHash},
    sign_in::{Redirect, return_to::ReturnTo},
};

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

impl Endpoints {
    /// Offers a form that is kept, or discards it.
    pub(super) async fn kept_post(&self, call: &Call<'_>, body: Incoming) -> Result<Response<Body>, Refused> {
        // A service worker may read it: the form was sent through that, and a script of the app's own origin may send any.
        require_page(call)?;
        if *call.method == Method::POST {
            return self.discard_post(call, body).await;
        }
        let id = call.parameter("id").unwrap_or_default();
        let found = self.components.kept_posts.find(&call.exchange.site, call.headers, &id).await.map_err(Refusal::from)?;
        let admitted = self.post_user(call, &self.rule_of(call, found.as_ref())).await?;
        let Some(kept) = found.filter(|kept| self.is_kept_by_route(call, kept)) else { return Ok(self.post_is_gone(call)) };
        if !kept.is_of(UserHash::of_grant(&admitted.usable.grant)) {
            return Ok(self.post_of_another(call, &id));
        }
        let site = &call.exchange.site;
        let seal = self.components.form_seals.seal(SealedForm::KeptPost(kept.name()), admitted.session().hash, site.authority());
        let look = self.look(call);
        let page = KeptPostPage {
            path: kept.path(),
            // With its host: a path of two slashes would be another's.
            target: &site.at(kept.target()),
            fields: &kept.field_names(),
            size: kept.size(),
            resend: (RESEND_FIELD, &Resend::value(&id, &seal)),
            discard: &self.components.kept_posts.page(&id),
            look: &look,
        };
        let mut response = document(page.html(), &look, StatusCode::OK, "kept_post");
        // Without a referrer browsers send no origin either, and the buttons' own posts would look like a stranger's.
        response.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
        // A page of the app that opens this one in a window gets no hold of it.
        response.headers_mut().insert(OPENER_POLICY, HeaderValue::from_static("same-origin"));
        Ok(response)
    }

    /// Removes a form whose user does not want it to be sent, and leads to the page that it came from.
    async fn discard_post(&self, call: &Call<'_>, body: Incoming) -> Result<Response<Body>, Refused> {
        let form = read_form(body).await?;
        let resend = Resend::parse(&form).ok_or(Refusal::BadRequest("it names no form that is kept"))?;
        let (site, posts) = (&call.exchange.site, &self.components.kept_posts);
        let admitted = self.admit(call).await?;
        let Some(kept) = posts.find(site, call.headers, resend.id()).await.map_err(Refusal::from)? else {
            return Ok(self.post_is_gone(call));
        };
        let sealed_for = self.components.form_seals.open(SealedForm::KeptPost(kept.name()), resend.seal(), site.authority());
        let is_own = kept.is_of(UserHash::of_grant(&admitted.usable.grant));
        if sealed_for != Some(admitted.session().hash) || !is_own {
            return Err(Refusal::FormExpired.into());
        }
        posts.discard(&kept).await.map_err(Refusal::from)?;
        let back = kept.referer().map_or_else(ReturnTo::front_page, |page| ReturnTo::parse(page, site));
        Ok(redirect(&Redirect::to(site.at(back.path())), "kept_post_discarded"))
    }

    /// Who is offered a form. A browser that is not signed in is sent to a login, and comes back.
    async fn post_user(&self, call: &Call<'_>, rule: &Rule) -> Result<AdmittedSession, Refused> {
        let (admission, exchange) = (&self.components.admission, call.exchange);
        match admission.admit_session(Inquiry::about_the_visitor(exchange, call.headers, rule)).await {
            Ok(admitted) => Ok(admitted),
            Err(NotAdmitted::SignIn(reason, grant)) => {
                Err(admission.send_to_login(exchange, call.headers, rule, reason, grant).await.into())
            }
            Err(NotAdmitted::Refused(refusal)) => {
                let return_to = Some(ReturnTo::parse(exchange.path_and_query(), &exchange.site));
                Err(Refused { return_to, ..refusal.into() })
            }
        }
    }

    /// The rule for whoever is offered a form: a user of the providers that its route is for.
    fn rule_of(&self, call: &Call<'_>, kept: Option<&KeptPost>) -> Rule {
        let mut rule = self.everybody.clone();
        let route = kept.and_then(|kept| self.components.routes.find(call.exchange.site.authority(), kept.path()).ok());
        rule.providers = route.map(|route| route.rule.providers.clone()).unwrap_or_default();
        rule
    }

    /// Whether the route that a form goes to still has forms kept: settings may have changed.
    fn is_kept_by_route(&self, call: &Call<'_>, kept: &KeptPost) -> bool {
        let route = self.components.routes.find(call.exchange.site.authority(), kept.path());
        route.is_ok_and(|route| route.keeps_form_posts)
    }

    fn post_is_gone(&self, call: &Call<'_>) -> Response<Body> {
        let look = self.look(call);
        let (title, text) = look.message(Message::KeptPostGone);
        let label = look.text(Text::FrontPage);
        let action = Action::Link { href: "/", label: &label };
        html(&Page { title, text, action, again: None, look: &look }, StatusCode::GONE, "kept_post_gone")
    }

    fn post_of_another(&self, call: &Call<'_>, id: &str) -> Response<Body> {
        let look = self.look(call);
        let (title, text) = look.message(Message::KeptPostOfAnother);
        let rd = self.components.kept_posts.page(id);
        let query = Serializer::new(String::new()).append_pair("another", "true").append_pair("rd", &rd).finish();
        let (href, label) = (format!("{}/start?{query}", self.components.prefix), look.text(Text::AnotherAccount));
        let action = Action::Link { href: &href, label: &label };
        html(&Page { title, text, action, again: None, look: &look }, StatusCode::FORBIDDEN, "kept_post_of_another")
    }
}
