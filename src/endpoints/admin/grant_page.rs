//! The page of a grant: its sessions, its renewals as a picture, when it is renewed next, and when it is likely to end.

use axum::body::Body;
use http::Response;

use super::{
    PageCall, Place,
    lists::{EVENTS, event_row, place_of_events, state_line, times_line},
};
use crate::{
    administration::{GrantStory, Limits, Prediction, SessionState, event_place, words},
    clock::Timestamp,
    endpoints::{
        Endpoints, Refused,
        account::{page_number, within},
    },
    grant::{Grant, GrantId, Rotation},
    history::{Event, Kind},
    pages::{AdminText, Button, Line, LongList, Look, Mark, Part, Row, Sign, Text, Timeline},
    refusal::Refusal,
    renewal::NextRefresh,
    store::{EventPart, ListedSession, StoredEvent},
};

/// How many sessions a page shows, and how many groups, so that it stays small.
const SESSIONS: usize = 10;
const GROUPS: usize = 20;
/// How many events it shows where there is little room.
const FEW_EVENTS: usize = 5;

impl Endpoints {
    /// The page of a grant, or what is left of it.
    pub(super) async fn grant_page(&self, page: &PageCall<'_>, id: GrantId) -> Result<Response<Body>, Refused> {
        let PageCall { call, admin, look, .. } = page;
        let said = |text: AdminText<'_>| page.said(text);
        let after = place_of_events(call)?;
        let story = admin.administration.grant(id, after).await.map_err(Refusal::from)?.ok_or(Refusal::NoSuchPage)?;
        let now = admin.administration.clock.now();
        let limits = &admin.administration.limits;
        let mut parts = vec![Part::Facts(facts(&story, limits, now, look))];
        parts.push(Part::Heading(said(AdminText::Timeline)));
        parts.push(Part::Timeline(timeline(&story, now, look)));
        parts.push(Part::Heading(said(AdminText::Sessions)));
        if story.sessions.is_empty() {
            parts.push(Part::Text(said(AdminText::NoSession)));
        } else {
            let number = within(page_number(call)?, story.sessions.len(), SESSIONS);
            let shown = story.sessions.iter().skip((number - 1) * SESSIONS).take(SESSIONS);
            let rows = shown.map(|(listed, prediction)| {
                let state = SessionState::of(listed, &admin.administration.limits, now);
                session_row(listed, state, *prediction, look)
            });
            parts.push(Part::Rows(rows.collect()));
            if story.sessions.len() > number * SESSIONS {
                let href = format!("{}?page={}", self.admin_href(Place::Grant(id)), number + 1);
                parts.push(Part::Link(href, look.text(Text::More(story.sessions.len() - number * SESSIONS)).into_owned()));
            }
        }
        if let Some(grant) = &story.grant {
            let button = |name, label| Button { name, value: "true".to_owned(), label: said(label) };
            let may_renew = grant.has_refresh_token && grant.ended.is_none();
            let renew = may_renew.then(|| button("renew", AdminText::RenewNow));
            parts.push(Part::Buttons(renew.into_iter().chain([button("end_user", AdminText::EndUser)]).collect()));
        }
        parts.push(Part::Heading(said(AdminText::History)));
        let shown = EventPart::of(story.events.events.clone(), EVENTS);
        let own = self.admin_href(Place::Grant(id));
        let row = |stored: &StoredEvent| {
            let behind = format!("{own}?after={}", event_place(stored.place()));
            (event_row(&stored.event, &stored.replica, look), behind)
        };
        let goes_on = shown.next.or(story.events.next).is_some();
        parts.push(Part::Long(LongList { rows: shown.events.iter().map(row).collect(), goes_on, few: FEW_EVENTS }));
        let title = display(&story);
        Ok(self.admin_page(page, Place::Grant(id), AdminText::Name(&title), &parts))
    }
}

/// Whose grant it is.
fn display(story: &GrantStory) -> String {
    let of_grant = story.grant.as_ref().map(|grant| grant.identity.display());
    let of_event = story.events.events.first().or(story.last_end.as_ref()).map(|stored| stored.event.who.as_str());
    of_grant.or(of_event).unwrap_or_default().to_owned()
}

/// The state of a grant, with what its sessions tell of the provider; where each of its sessions has reached a limit of its own, that of the last one.
fn state_of<'a>(story: &'a GrantStory, grant: &'a Grant, limits: &Limits, now: Timestamp) -> SessionState<'a> {
    let states = || story.sessions.iter().map(|(listed, _)| SessionState::of(listed, limits, now));
    let is_limit = |state: &SessionState<'_>| match state {
        SessionState::Limit(_) => true,
        SessionState::Ended(_)
        | SessionState::Refused(_)
        | SessionState::RefreshTokenExpired(_)
        | SessionState::Unknown
        | SessionState::Restored
        | SessionState::Unserved(_)
        | SessionState::Renewable
        | SessionState::Expired
        | SessionState::Fresh => false,
    };
    if let Some(unserved) = states().find(|state| matches!(state, SessionState::Unserved(_))) {
        return unserved;
    }
    let is_over = states().all(|state| is_limit(&state));
    states().next().filter(|_| is_over).unwrap_or_else(|| SessionState::of_grant(grant, now))
}

fn facts(story: &GrantStory, limits: &Limits, now: Timestamp, look: &Look<'_>) -> Vec<(Line, Line)> {
    let said = |text: AdminText<'_>| text.said(look.language).into_owned();
    let subject = story.events.events.first().or(story.last_end.as_ref()).map(|stored| stored.event.subject.clone());
    let Some(grant) = &story.grant else {
        let end = story.last_end.as_ref().map(|stored| words::event(&stored.event, look.language)).unwrap_or_default();
        let foreign = story.last_end.as_ref().and_then(|stored| stored.event.words()).unwrap_or_default();
        let gone = format!("{} {end}", said(AdminText::NoSession)).trim_end().to_owned();
        let facts = [
            (AdminText::Subject, subject.unwrap_or_default().into()),
            (AdminText::Grant, Line::own(story.id.to_string())),
            (AdminText::State, Line::ending_in(gone, foreign.len())),
        ];
        return facts.map(|(name, value)| (Line::own(said(name)), value)).into();
    };
    let names = grant.identity.group_names();
    let more = names.len().saturating_sub(GROUPS);
    let more = (more > 0).then(|| look.text(Text::More(more)).into_owned());
    let groups = names.iter().take(GROUPS).cloned().chain(more).collect::<Vec<_>>().join(", ");
    let refresh = match (grant.has_refresh_token, grant.refresh_until) {
        (true, Some(until)) => said(AdminText::YesUntil(&words::time(until))),
        (true, None) => said(AdminText::Yes),
        (false, _) => said(AdminText::No),
    };
    let rotation = match grant.rotation {
        Rotation::Unknown => AdminText::Unknown,
        Rotation::Reusable => AdminText::Reusable,
        Rotation::Rotating => AdminText::Rotating,
    };
    let renewed = AdminText::RenewedAt(&words::time(grant.renewed_at), grant.generation).said(look.language);
    let mut facts = vec![
        (AdminText::Subject, grant.identity.subject.clone().into()),
        (AdminText::State, state_line(state_of(story, grant, limits, now), look)),
        (AdminText::NextRenewal, Line::own(next_renewal(story.next, look))),
        (AdminText::LastRenewed, Line::own(renewed)),
        (AdminText::AccessToken, Line::own(said(AdminText::Expires(&words::time(grant.expires_at))))),
        (AdminText::RefreshToken, Line::own(refresh)),
        (AdminText::Rotation, Line::own(said(rotation))),
        (AdminText::Provider, grant.issuer.clone().into()),
        (AdminText::Grant, Line::own(grant.id.to_string())),
    ];
    if !groups.is_empty() {
        facts.insert(1, (AdminText::Groups, groups.into()));
    }
    facts.into_iter().map(|(name, value)| (Line::own(said(name)), value)).collect()
}

fn next_renewal(next: Option<NextRefresh>, look: &Look<'_>) -> String {
    let said = |text: AdminText<'_>| text.said(look.language).into_owned();
    match next {
        Some(NextRefresh::From(at)) => said(AdminText::NextFrom(&words::time(at))),
        Some(NextRefresh::AtNextUse) => said(AdminText::NextAtUse),
        Some(NextRefresh::AfterPause(at)) => said(AdminText::NextAfterPause(&words::time(at))),
        Some(NextRefresh::Never) | None => said(AdminText::NextNever),
    }
}

fn session_row(listed: &ListedSession, state: SessionState<'_>, prediction: Prediction, look: &Look<'_>) -> Row {
    let said = |text: AdminText<'_>| text.said(look.language).into_owned();
    let ListedSession { session, opener, .. } = listed;
    let name = match (&session.token, &opener.browser) {
        (Some(token), _) => Line::ending_in(said(AdminText::Token(&token.scope.name)), token.scope.name.len()),
        (None, Some(browser)) => browser.clone().into(),
        (None, None) => Line::own(look.text(Text::UnknownBrowser)),
    };
    let ends = |text, (at, cause)| {
        let by = said(AdminText::EndsBy(&words::time(at), words::end_cause(cause, look.language)));
        Line::own(format!("{}: {by}", said(text)))
    };
    let address = opener.address.map(|address| address.to_string());
    let places = [Some(session.hash.short()), address, session.site.as_deref().map(str::to_owned)];
    let places = places.into_iter().flatten().collect::<Vec<_>>().join(" · ");
    let mut details = vec![
        state_line(state, look),
        times_line(session, look),
        Line::ending_in(places, session.site.as_deref().map_or(0, str::len)),
        ends(AdminText::EndsUnused, prediction.unused),
    ];
    if prediction.used != prediction.unused {
        details.push(ends(AdminText::EndsUsed, prediction.used));
    }
    let id = crate::administration::session_id(session.hash);
    Row { name, href: None, details, button: Some(Button { name: "end", value: id, label: said(AdminText::EndSession) }) }
}

/// How far a picture reaches beyond the present at most, as a part of what it shows of the past: an end in a month would leave no room
/// for what happened today.
const FUTURE: i64 = 2;

fn timeline(story: &GrantStory, now: Timestamp, look: &Look<'_>) -> Timeline {
    let said = |text: AdminText<'_>| text.said(look.language).into_owned();
    let mut marks: Vec<_> = story.events.events.iter().rev().filter_map(|stored| mark(&stored.event, look)).collect();
    let first = marks.iter().map(|mark| mark.at).min().unwrap_or(now.0);
    let begun = story.grant.as_ref().map_or(first, |grant| grant.created_at.0);
    // Of a long history, the newest events.
    let from = if story.events.next.is_none() { begun.min(first) } else { first };
    let count = |sign: Sign| marks.iter().filter(|mark| mark.sign == sign).count();
    let (renewed, failed) = (count(Sign::Renewed), count(Sign::Failed));
    marks.push(Mark { at: now.0, sign: Sign::Now, label: said(AdminText::SignNow) });
    let next = match story.next {
        Some(NextRefresh::From(at) | NextRefresh::AfterPause(at)) => Some(at),
        Some(NextRefresh::AtNextUse | NextRefresh::Never) | None => None,
    };
    let end = story.sessions.iter().map(|(_, prediction)| prediction.unused.0).max();
    let is_near =
        |at: &Timestamp| at.0 > now.0 && at.0.saturating_sub(now.0) <= now.0.saturating_sub(from).saturating_mul(FUTURE);
    marks.extend(next.filter(is_near).map(|at| Mark { at: at.0, sign: Sign::Next, label: next_renewal(story.next, look) }));
    let label = |at: Timestamp| format!("{}: {}", said(AdminText::SignPredicted), words::time(at));
    marks.extend(end.filter(is_near).map(|at| Mark { at: at.0, sign: Sign::Predicted, label: label(at) }));
    let to = marks.iter().map(|mark| mark.at).max().unwrap_or(now.0);
    let (first, last) = (words::time(Timestamp(from)), words::time(Timestamp(to)));
    let is_drawn = |sign: &Sign| marks.iter().any(|mark| mark.sign == *sign);
    let legend = Sign::ALL.into_iter().filter(is_drawn).map(|sign| (sign, said(name(sign)))).collect();
    let says = said(AdminText::TimelineSays { renewed, failed, from: &first, to: &last });
    Timeline { from, to, marks, says, ends: (first, last), legend }
}

fn name(sign: Sign) -> AdminText<'static> {
    match sign {
        Sign::Login => AdminText::SignLogin,
        Sign::Renewed => AdminText::SignRenewed,
        Sign::Failed => AdminText::SignFailed,
        Sign::Ended => AdminText::SignEnded,
        Sign::Now => AdminText::SignNow,
        Sign::Next => AdminText::SignNext,
        Sign::Predicted => AdminText::SignPredicted,
    }
}

/// How an event is drawn, if it is.
fn mark(event: &Event, look: &Look<'_>) -> Option<Mark> {
    let sign = match (event.kind, event.outcome.as_str()) {
        (Kind::Login, "denied") => Sign::Ended,
        (Kind::Login, _) => Sign::Login,
        (Kind::Renewal, "ok") => Sign::Renewed,
        (Kind::Renewal, "dead") | (Kind::Logout | Kind::Limit, _) => Sign::Ended,
        (Kind::Renewal, _) => Sign::Failed,
        (Kind::Revocation | Kind::AppToken | Kind::Administration, _) => return None,
    };
    Some(Mark { at: event.at.0, sign, label: format!("{}: {}", words::time(event.at), words::event(event, look.language)) })
}
