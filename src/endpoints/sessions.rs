//! `sessions`: a user's own sessions and tokens, which they can end.

use std::time::Duration;

use axum::body::Body;
use http::{Method, Response};
use hyper::body::Incoming;

use super::{
    Call, Endpoints, Refused,
    account::{MOST_PAGES, field_of, own_page, page_number},
    read_form,
};
use crate::{
    administration::{Limits, Prediction},
    admission::AdmittedSession,
    grant::Grant,
    pages::{Line, Look, SessionLine, SessionsPage, Text},
    personal_tokens::identifier,
    refusal::{Refusal, response::redirect},
    secret::hex,
    session::{Session, SessionHash},
    sign_in::Redirect,
    store::{ListedSession, SeenPosition, SessionKind},
};

/// How many sessions, and tokens, are on a page, so that it stays small.
const ON_PAGE: usize = 15;
/// What has just been done, as the address of the page that says so names it.
const ENDED: &str = "ended";
const OTHERS_ENDED: &str = "others_ended";

impl Endpoints {
    /// Shows the user's sessions, ends one, all others, or everything.
    pub(super) async fn sessions(&self, call: &Call<'_>, body: Incoming) -> Result<Response<Body>, Refused> {
        if *call.method != Method::POST {
            return self.sessions_page(call, &self.account_user(call).await?).await;
        }
        let page = page_number(call)?;
        let form = read_form(body).await?;
        let admitted = self.sender_of(call, &form).await?;
        let (sign_out, grant, own) = (&self.components.sign_out, &admitted.usable.grant, own_login(admitted.session()));
        let mut done = None;
        if let Some(named) = field_of(&form, "end") {
            let is_named = |hash| identifier(hash) == named;
            sign_out.end_one_of_user(grant, own, is_named).await.map_err(Refusal::from)?;
            done = Some(ENDED);
        }
        if field_of(&form, "others").is_some() {
            sign_out.end_other_browsers(grant, own).await.map_err(Refusal::from)?;
            done = Some(OTHERS_ENDED);
        }
        let location = call.exchange.site.at(&self.sessions_address(page, done));
        Ok(redirect(&Redirect::to(location), "session_ended"))
    }

    /// Those of the user's sessions of this kind that are alive and pass, those that were used last first: `most` of them behind the first
    /// `skip`, and whether there are more. A session that was handed over to another site is a part of the one that it came from.
    async fn sessions_of(
        &self,
        grant: &Grant,
        of_kind: SessionKind,
        (skip, most): (usize, usize),
        passes: impl Fn(&ListedSession) -> bool,
    ) -> Result<(Vec<ListedSession>, bool), Refusal> {
        let parts = self.components.sign_ins.parts();
        let (limits, now) = (self.limits(), parts.clock.now());
        let (registration, subject) = (grant.registration(), &grant.identity.subject);
        let (mut found, mut position) = (Vec::new(), Some(SeenPosition::START));
        while let Some(after) = position.filter(|_| found.len() <= skip + most) {
            let (mut part, next) = parts.store.sessions_of_user(registration, subject, of_kind, after).await?.even_if_old();
            part.retain(|listed| !Prediction::of_listed(listed, &limits, now).is_over(now) && passes(listed));
            found.extend(part);
            position = next;
        }
        let mut shown: Vec<_> = found.into_iter().skip(skip).take(most + 1).collect();
        let has_more = shown.len() > most;
        shown.truncate(most);
        Ok((shown, has_more))
    }

    async fn sessions_page(&self, call: &Call<'_>, admitted: &AdmittedSession) -> Result<Response<Body>, Refused> {
        let (look, own, grant) = (self.look(call), own_login(admitted.session()), &admitted.usable.grant);
        let page = page_number(call)?;
        let is_first = page == 1;
        let done = [ENDED, OTHERS_ENDED].into_iter().find(|done| call.parameter("done").as_deref() == Some(*done));
        // This browser's is the first of all, whenever it was used last.
        let (mut browsers, has_more) = self
            .sessions_of(grant, SessionKind::Browser, ((page - 1) * ON_PAGE, ON_PAGE), |listed| listed.session.hash != own)
            .await?;
        // All that the page of a list that has become shorter would show are on one before it.
        if browsers.is_empty() && !is_first {
            return Ok(redirect(&Redirect::to(call.exchange.site.at(&self.sessions_address(1, done))), "sessions"));
        }
        if is_first {
            let mut owns =
                self.components.sign_ins.parts().store.sessions_by_prefix(&hex(&own.0)).await.map_err(Refusal::from)?;
            owns.retain(|listed| listed.session.hash == own);
            browsers.splice(0..0, owns);
        }
        let (tokens, has_more_tokens) = match is_first {
            true => self.sessions_of(grant, SessionKind::Token, (0, ON_PAGE), |_| true).await?,
            false => (Vec::new(), false),
        };
        let lines = |sessions: &[ListedSession]| sessions.iter().map(|listed| self.line(listed, own, &look)).collect::<Vec<_>>();
        let (href, tokens_href) = (self.sessions_address(page, None), self.tokens_href());
        let next = self.sessions_address(page + 1, None);
        let page = SessionsPage {
            user: grant.identity.display(),
            notice: done.map(|done| if done == ENDED { Text::OneEnded } else { Text::OthersEnded }),
            sessions: &lines(&browsers),
            next: (has_more && page < MOST_PAGES).then_some(&next),
            has_others: browsers.iter().any(|listed| listed.session.hash != own),
            tokens: &lines(&tokens),
            has_more_tokens,
            tokens_href: self.may_make_tokens(admitted).then_some(&tokens_href),
            href: &href,
            sign_out: &format!("{}/sign_out", self.components.prefix),
            seal: &self.form_seal(call, admitted),
            look: &look,
        };
        Ok(own_page(page.html(), &look, "sessions"))
    }

    fn line(&self, listed: &ListedSession, own: SessionHash, look: &Look<'_>) -> SessionLine {
        let ListedSession { session, opener, .. } = listed;
        let parts = self.components.sign_ins.parts();
        let (limits, now) = (self.limits(), parts.clock.now());
        let seen = (session.last_seen != session.created_at).then(|| now.since(session.last_seen));
        let Prediction { unused: (ends, _), used } = Prediction::of_listed(listed, &limits, now);
        let unused = used.0 != ends;
        let name = match (&session.token, &opener.browser) {
            (Some(token), _) => token.scope.name.to_string(),
            (None, Some(browser)) => browser.clone(),
            (None, None) => look.text(Text::UnknownBrowser).into_owned(),
        };
        let times = Text::SessionTimes { since: now.since(session.created_at), seen };
        let end = Text::SessionEnds { left: rounded_up(ends.since(now)), unused };
        let mut details: Vec<_> = [times, end].map(|text| Line::own(look.text(text))).into();
        let places = [session.site.as_deref().map(str::to_owned), opener.address.map(|address| address.to_string())];
        let places = places.into_iter().flatten().collect::<Vec<_>>().join(", ");
        details.extend(Some(places).filter(|places| !places.is_empty()).map(Line::from));
        SessionLine { id: (session.hash != own).then(|| identifier(session.hash)), name, details }
    }

    fn limits(&self) -> Limits {
        let sessions = self.components.sign_ins.parts().sessions.clone();
        Limits { sessions, outage_grace: self.components.admission.renewer.outage_grace() }
    }

    /// The address of a part of the list, which names what has just been done.
    fn sessions_address(&self, page: usize, done: Option<&str>) -> String {
        let page = (page > 1).then(|| format!("page={page}"));
        let query: Vec<_> = page.into_iter().chain(done.map(|done| format!("done={done}"))).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}/sessions{mark}{}", self.components.prefix, query.join("&"))
    }
}

/// The session that the browser has at the site where it logged in.
fn own_login(session: &Session) -> SessionHash {
    session.login.unwrap_or(session.hash)
}

/// What is left, in whole units of the one in which it is told, and rounded up: what has just begun is told as it was set.
fn rounded_up(left: Duration) -> Duration {
    let unit = match left.as_secs() {
        0..60 => return left,
        60..3600 => 60,
        3600..86_400 => 3600,
        _ => 86_400,
    };
    let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
    Duration::from_secs(seconds.div_ceil(unit) * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_just_begun_is_told_as_it_was_set() {
        for seconds in [60, 120, 3600, 7200, 86_400, 30 * 86_400] {
            let set = Duration::from_secs(seconds);
            assert_eq!(rounded_up(set), set, "{seconds}");
        }
        for seconds in [120, 3600, 7200, 86_400, 30 * 86_400] {
            let set = Duration::from_secs(seconds);
            assert_eq!(rounded_up(set - Duration::from_millis(1)), set, "{seconds}");
        }
        assert_eq!(rounded_up(Duration::from_secs(59)), Duration::from_secs(59), "it is less than a minute");
    }
}
