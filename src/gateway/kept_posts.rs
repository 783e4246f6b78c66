//! Forms that meet the end of their session: kept, and sent again ([`crate::kept_posts`]).

use std::ops::ControlFlow;

use http::{HeaderMap, request};
use hyper::body::Incoming;

use super::{Answered, Gateway, Judged, for_method};
use crate::{
    admission::{Admitted, Credential},
    exchange::Exchange,
    forward::{ClientBody, ForwardError, Forwarded},
    kept_posts::{KeptPost, NotKept, Resend},
    refusal::{Refusal, response::redirect},
    routing::Route,
    sign_in::Redirect,
    telemetry::logs::causes,
};

impl Gateway {
    /// Whether a request on this route may be our page's button's.
    pub(super) fn may_be_resend(&self, route: &Route, exchange: &Exchange, headers: &HeaderMap) -> bool {
        route.keeps_form_posts && self.parts.kept_posts.may_be_resend(exchange, headers)
    }

    /// Reads the short body of such a request, before it is judged, and what it asks for, if it is the button's.
    pub(super) async fn read_resend(&self, body: Incoming) -> Result<(ClientBody, Option<Resend>), Refusal> {
        let broke_off = || Refusal::BadRequest("the form took too long, or broke off");
        let body = self.parts.kept_posts.read_short(body).await.ok_or_else(broke_off)?;
        let resend = Resend::parse(&body);
        Ok((body.into(), resend))
    }

    /// What becomes of a request that is refused on a route that keeps forms. Who must sign in gets the login, and their form is kept.
    pub(super) async fn keep_or_refuse(
        &self,
        exchange: &Exchange,
        head: &request::Parts,
        (body, resend): (ClientBody, Option<&Resend>),
        refusal: Refusal,
    ) -> Refusal {
        let Refusal::SignInNeeded(reason) = refusal else { return refusal };
        if let Some(resend) = resend {
            return Refusal::SignIn(reason, self.offer(exchange, resend));
        }
        match self.parts.kept_posts.keep(exchange, &head.headers, body).await {
            Ok(redirect) => return Refusal::SignIn(reason, redirect),
            Err(NotKept::NoForm) => {}
            Err(error @ (NotKept::Store(_) | NotKept::Seal | NotKept::Full)) => tracing::warn!(
                request.id = exchange.id_text(),
                error = causes(&error),
                "a form that met the end of its session is not kept"
            ),
            Err(error @ (NotKept::Nobody | NotKept::TooLarge | NotKept::BrokeOff)) => tracing::info!(
                request.id = exchange.id_text(),
                error = causes(&error),
                "a form that met the end of its session is not kept"
            ),
        }
        Refusal::SignInNeeded(reason)
    }

    /// The form that is to be sent again by a request that may pass, with its head and body in place of the button's; or, if it cannot
    /// be sent, a redirect to our page, which says why.
    pub(super) async fn redeem(
        &self,
        exchange: &Exchange,
        (head, body): (&mut request::Parts, &mut ClientBody),
        (judged, resend): (&Judged, &Resend),
    ) -> Result<ControlFlow<Answered, Box<KeptPost>>, Refusal> {
        let look_again = || ControlFlow::Break(for_method(exchange, redirect(&self.offer(exchange, resend), "kept_post")));
        let Judged::User(Admitted { by: Credential::Session { signed_in, usable }, .. }) = judged else {
            return Ok(look_again());
        };
        let whose = (signed_in.session().hash, &*usable.grant);
        let Some(kept) = self.parts.kept_posts.redeem(exchange, &head.headers, resend, whose).await? else {
            return Ok(look_again());
        };
        *body = kept.write_to(&mut head.headers, &exchange.site).into();
        Ok(ControlFlow::Continue(Box::new(kept)))
    }

    /// Keeps a form again that was sent and certainly did not reach the app.
    pub(super) async fn put_back(&self, kept: &KeptPost, forwarded: &Result<Forwarded, ForwardError>) {
        match forwarded {
            Err(ForwardError::Unreachable(_) | ForwardError::Busy | ForwardError::NoConnection(_) | ForwardError::NoUpstream) => {
                self.parts.kept_posts.put_back(kept).await;
            }
            Ok(_)
            | Err(
                ForwardError::Broken(_)
                | ForwardError::Reset(_)
                | ForwardError::UnexpectedUpgrade
                | ForwardError::SessionEnded
                | ForwardError::Incomplete(_)
                | ForwardError::TimedOut
                | ForwardError::Target(_),
            ) => {}
        }
    }

    /// Sends a browser to the page that offers the form.
    fn offer(&self, exchange: &Exchange, resend: &Resend) -> Redirect {
        Redirect::to(exchange.site.at(&self.parts.kept_posts.page(resend.id())))
    }
}
