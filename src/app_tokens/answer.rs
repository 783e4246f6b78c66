//! The life of a request for a token.

use bytes::Bytes;
use http::{Response, request};
use http_body_util::Full;

use super::{
    caller::{self, ReachedBy},
    components::AppTokens,
    error::TokenError,
    given::Given,
    holder::Holder,
    token_request::TokenRequest,
};
use crate::{
    grant::ExchangeTarget,
    history::{Event, Kind},
};

impl AppTokens {
    /// Answers a request: its only entry and exit.
    pub(super) async fn answer(&self, reached: ReachedBy, head: &request::Parts) -> Response<Full<Bytes>> {
        match self.token(reached, head).await {
            Ok(given) => given.into_response(),
            Err(error) => {
                self.parts.metrics.app_token(error.outcome());
                tracing::info!(error.r#type = error.code(), "an app's request for a token was refused: {error}");
                error.into_response()
            }
        }
    }

    async fn token(&self, reached: ReachedBy, head: &request::Parts) -> Result<Given, TokenError> {
        caller::check(head, reached, self.parts.settings.secret.as_ref())?;
        let request = TokenRequest::read(head, &self.parts.prefix)?;
        if let Some(target) = &request.exchange
            && !self.parts.settings.audiences.contains(&target.name)
        {
            return Err(TokenError::AudienceNotAllowed);
        }
        let holder = Box::pin(self.find_holder(&request)).await?;
        let given = match &request.exchange {
            Some(target) => {
                Given::exchanged(&self.exchange(&holder.grant, target, request.lasting).await?, self.parts.clock.now())
            }
            None => Given::access_token(&holder.grant, self.parts.clock.now()),
        };
        self.record(&holder, request.exchange.as_ref());
        Ok(given)
    }

    /// Records who got a token of whom and for what: each time in the log, and once for each token in the grant's history.
    fn record(&self, holder: &Holder, target: Option<&ExchangeTarget>) {
        let grant = &holder.grant;
        let (issuer, subject) = (&grant.issuer, &grant.identity.subject);
        let outcome = if target.is_some() { "exchanged" } else { "given" };
        let audience = target.map(|target| target.name.as_str());
        self.parts.metrics.app_token(outcome);
        tracing::info!(
            grant.id = %grant.id,
            user.id = self.parts.logged_user.name(issuer, subject),
            http.route = holder.route.as_deref(),
            oauth.audience = audience,
            asked.by = holder.asked_by(),
            "an app got an access token of its user"
        );
        let of = |what: &str, name: Option<&str>| name.map(|name| format!("{what} {name}"));
        let parts = [of("route", holder.route.as_deref()), of("audience", audience)];
        let detail = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
        if grant.exchanged.is_first_for(&detail) {
            let now = self.parts.clock.now();
            let event = Event::of(Kind::AppToken, grant.id, &grant.issuer, &grant.identity, now).because(holder.asked_by());
            let detail = Some(detail).filter(|detail| !detail.is_empty());
            self.parts.store.enqueue_event(Event { outcome: outcome.to_owned(), detail, ..event }.of_session(holder.session));
        }
    }
}
