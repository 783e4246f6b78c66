//! `sessions`: a user's own sessions and tokens, which they can end.

use axum::body::Body;
use http::{Method, Response};
use hyper::body::Incoming;

use super::{
    Call, Endpoints, Refused,
    account::{field_of, own_page},
    read_form,
};
use crate::{
    admission::AdmittedSession,
    grant::Grant,
    pages::{Look, SessionLine, SessionsPage, Text},
    personal_tokens::identifier,
    refusal::{Refusal, response::redirect},
    session::{Limit, Session, SessionHash},
    sign_in::Redirect,
    sign_out::LogoutInitiator,
    store::ListedSession,
};

impl Endpoints {
    /// Shows the user's sessions, ends one, all others, or everything.
    pub(super) async fn sessions(&self, call: &Call<'_>, body: Incoming) -> Result<Response<Body>, Refused> {
        if call.exchange.method != Method::POST {
            return self.sessions_page(call, &self.account_user(call).await?).await;
        }
        let form = read_form(body).await?;
        let admitted = self.sender_of(call, &form).await?;
        let (named, ends_others) = (field_of(&form, "end"), field_of(&form, "others").is_some());
        let own = own_login(admitted.session());
        let mut ended = self.sessions_of(&admitted).await?;
        ended.retain(|ListedSession { session, .. }| {
            let is_named = named.as_deref() == Some(identifier(session.hash).as_str());
            session.hash != own && (is_named || (ends_others && session.token.is_none()))
        });
        let ended = ended.iter().map(|listed| listed.session.hash).collect();
        self.components.sign_out.end_others(ended, LogoutInitiator::User).await.map_err(Refusal::from)?;
        let location = call.exchange.site.at(&self.sessions_href());
        Ok(redirect(&Redirect { location, cookies: Vec::new() }, "session_ended"))
    }

    /// The sessions and tokens of the user that are alive, those that were used last first. A session that was handed over to
    /// another site is a part of the one that it came from.
    async fn sessions_of(&self, admitted: &AdmittedSession) -> Result<Vec<ListedSession>, Refusal> {
        let (limits, now) = (&self.components.sign_ins.first().sessions, self.components.sign_ins.first().clock.now());
        let Grant { issuer, client_id, identity, .. } = &*admitted.usable.grant;
        let mut found = self.components.sign_ins.first().store.sessions_of_user(issuer, client_id, &identity.subject).await?;
        found.retain(|ListedSession { session, .. }| limits.reached(session, session.last_seen, now).is_none());
        Ok(found)
    }

    async fn sessions_page(&self, call: &Call<'_>, admitted: &AdmittedSession) -> Result<Response<Body>, Refused> {
        let (look, own) = (self.look(call), own_login(admitted.session()));
        let (tokens, mut browsers): (Vec<_>, Vec<_>) =
            self.sessions_of(admitted).await?.into_iter().partition(|listed| listed.session.token.is_some());
        // A stable sort: this browser's first, the others as they were.
        browsers.sort_by_key(|listed| listed.session.hash != own);
        let lines = |sessions: &[ListedSession]| sessions.iter().map(|listed| self.line(listed, own, &look)).collect::<Vec<_>>();
        let (href, tokens_href) = (self.sessions_href(), self.tokens_href());
        let page = SessionsPage {
            user: admitted.usable.grant.identity.display(),
            sessions: &lines(&browsers),
            tokens: &lines(&tokens),
            tokens_href: self.may_make_tokens(admitted).then_some(&tokens_href),
            href: &href,
            sign_out: &format!("{}/sign_out", self.components.prefix),
            seal: &self.form_seal(call, admitted),
            look: &look,
        };
        Ok(own_page(page.html(), &look, "sessions"))
    }

    fn line(&self, listed: &ListedSession, own: SessionHash, look: &Look<'_>) -> SessionLine {
        let ListedSession { session, grant, opener } = listed;
        let (limits, now) = (&self.components.sign_ins.first().sessions, self.components.sign_ins.first().clock.now());
        let seen = (session.last_seen != session.created_at).then(|| now.since(session.last_seen));
        let (by_limit, limit) = limits.ends(session, session.last_seen);
        // Without a refresh token it ends with the access token.
        let ends = if grant.has_refresh_token { by_limit } else { by_limit.min(grant.expires_at) };
        let unused = limit == Limit::Idle && ends == by_limit;
        let name = match (&session.token, &opener.browser) {
            (Some(token), _) => token.scope.name.to_string(),
            (None, Some(browser)) => browser.clone(),
            (None, None) => look.text(Text::UnknownBrowser).into_owned(),
        };
        let mut details = vec![look.text(Text::SessionTimes { since: now.since(session.created_at), seen }).into_owned()];
        details.push(look.text(Text::SessionEnds { left: ends.since(now), unused }).into_owned());
        let places = [session.site.as_deref().map(str::to_owned), opener.address.map(|address| address.to_string())];
        let places = places.into_iter().flatten().collect::<Vec<_>>().join(", ");
        details.extend(Some(places).filter(|places| !places.is_empty()));
        SessionLine { id: (session.hash != own).then(|| identifier(session.hash)), name, details }
    }

    fn sessions_href(&self) -> String {
        format!("{}/sessions", self.components.prefix)
    }
}

/// The session that the browser has at the site where it logged in.
fn own_login(session: &Session) -> SessionHash {
    session.login.unwrap_or(session.hash)
}
