//! The lists of the administration: who is signed in, why somebody no longer is, and what administrators did.

use axum::body::Body;
use http::Response;

use super::{PageCall, Place};
use crate::{
    administration::{
        EVERYBODY, EndedBecause, Filter, ListPlace, Listing, NamePosition, SessionState, event_place, parse_event_place, words,
    },
    endpoints::{Call, Endpoints, Refused, administrators::Administrators},
    history::{Event, Kind},
    pages::{AdminText, Line, Look, Part, Row, Search, Text, cut, escape},
    refusal::Refusal,
    session::Session,
    store::{EventFilter, EventPlace, ListPosition, ListedSession},
};

/// How many sessions a page shows, so that it stays small.
const SESSIONS: usize = 20;
/// How many sessions the page shows that tells why they ended.
const WHY_SESSIONS: usize = 10;
/// How many events.
pub(super) const EVENTS: usize = 25;

/// About how long a line is at least whose texts are as short as they get, in bytes of HTML.
const LEAST_OF_LINE: usize = 250;
/// So many lines are shown however long a name is.
const FEWEST_LINES: usize = 5;

/// What can be shown alone: the name in links, the label, and what passes.
const SHOWN: [(&str, AdminText<'static>); 5] = [
    ("all", AdminText::ShowAll),
    ("not_renewable", AdminText::ShowNotRenewable),
    ("refused", AdminText::ShowRefused),
    ("ended", AdminText::ShowEnded),
    ("tokens", AdminText::ShowTokens),
];

/// The filter of a name of [`SHOWN`]; `None`: it is none of them.
pub(super) fn filter(name: &str) -> Option<Filter> {
    let all = Filter::default();
    match name {
        "all" => Some(all),
        "not_renewable" => Some(Filter { not_renewable: true, ..all }),
        "refused" => Some(Filter { refused: true, ..all }),
        "ended" => Some(Filter { ended: Some(EndedBecause::Any), ..all }),
        "tokens" => Some(Filter { tokens: true, ..all }),
        _ => None,
    }
}

impl Endpoints {
    /// Who is signed in.
    pub(super) async fn signed_in_page(&self, page: &PageCall<'_>) -> Result<Response<Body>, Refused> {
        let PageCall { call, admin, look, .. } = page;
        let (administration, said) = (&admin.administration, |text: AdminText<'_>| page.said(text));
        let name = call.parameter("name").map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        let show = call.parameter("show").unwrap_or_else(|| "all".to_owned());
        let filter = filter(&show).ok_or(Refusal::BadRequest("show names nothing that can be shown"))?;
        let mut parts = vec![Part::Search(Search {
            href: self.admin_href(Place::SignedIn),
            field: ("name", said(AdminText::SearchLabel), name.clone().unwrap_or_default()),
            choices_label: said(AdminText::Show),
            choices: SHOWN.iter().map(|(value, label)| (*value, said(*label), *value == show)).collect(),
        })];
        let after = match call.parameter("after") {
            Some(text) => ListPlace::parse(&text).ok_or(Refusal::BadRequest("after is no place in the list"))?,
            None => ListPlace::START,
        };
        let listing = match (&name, &after) {
            (Some(name), after) => {
                let most = lines_beside(name, SESSIONS);
                administration.search(searchable(name)?, &filter, after, most).await.map_err(Refusal::from)?
            }
            (None, ListPlace::Login(after) | ListPlace::Name(NamePosition { session: after, .. })) => {
                if *after == ListPosition::START && filter == Filter::default() {
                    let counts = administration.store.counts().await.map_err(Refusal::from)?;
                    parts.push(Part::Text(said(AdminText::Counts(counts.sessions, counts.with_refresh_token))));
                }
                administration.list(&filter, *after, SESSIONS).await.map_err(Refusal::from)?
            }
        };
        let Listing { sessions, next, looked_at } = listing;
        if looked_at > SESSIONS {
            parts.push(Part::Text(said(AdminText::LookedAt(looked_at))));
        }
        if sessions.is_empty() {
            parts.push(Part::Text(said(AdminText::Nobody)));
        } else {
            parts.push(Part::Rows(sessions.iter().map(|listed| self.session_row(admin, listed, look)).collect()));
        }
        if let Some(next) = next {
            let name = name.map(|name| format!("name={}&", in_query(&name))).unwrap_or_default();
            let href = format!("{}?{name}show={show}&after={next}", self.admin_href(Place::SignedIn));
            parts.push(Part::Link(href, said(AdminText::Next)));
        }
        Ok(self.admin_page(page, Place::SignedIn, AdminText::SignedIn, &parts))
    }

    fn session_row(&self, admin: &Administrators, listed: &ListedSession, look: &Look<'_>) -> Row {
        let ListedSession { session, grant, opener } = listed;
        let state = SessionState::of(listed, &admin.administration.limits, admin.administration.clock.now());
        let token = session.token.as_ref().map(|token| AdminText::Token(&token.scope.name).said(look.language).into_owned());
        let address = opener.address.map(|address| address.to_string());
        let places = [token, opener.browser.clone(), address, session.site.as_deref().map(str::to_owned)];
        let places = places.into_iter().flatten().collect::<Vec<_>>().join(" · ");
        let mut details = vec![state_line(state, look), times_line(session, look)];
        details.extend(Some(places).filter(|places| !places.is_empty()).map(Line::from));
        Row {
            name: grant.identity.display().to_owned().into(),
            href: Some(self.admin_href(Place::Grant(grant.id))),
            details,
            button: None,
        }
    }

    /// Why somebody was logged out.
    pub(super) async fn why_page(&self, page: &PageCall<'_>) -> Result<Response<Body>, Refused> {
        let PageCall { call, admin, look, .. } = page;
        let (administration, said) = (&admin.administration, |text: AdminText<'_>| page.said(text));
        let name = call.parameter("name").map(|name| name.trim().to_owned()).unwrap_or_default();
        let mut parts = vec![
            Part::Text(said(AdminText::WhyText)),
            Part::Search(Search {
                href: self.admin_href(Place::Why),
                field: ("name", said(AdminText::WhyLabel), name.clone()),
                choices_label: String::new(),
                choices: Vec::new(),
            }),
        ];
        if !name.is_empty() {
            let after = place_of_events(call)?;
            let (sessions, of) = administration.found(searchable(&name)?, None).await.map_err(Refusal::from)?;
            let ends = administration
                .history(&of, EventFilter::Ends, after, lines_beside(&name, EVENTS))
                .await
                .map_err(Refusal::from)?;
            if sessions.is_empty() && of.is_empty() {
                parts.push(Part::Text(said(AdminText::WhyNothing(&name))));
            }
            if !sessions.is_empty() && after == EventPlace::START {
                parts.push(Part::Heading(said(AdminText::Sessions)));
                let rows = sessions.iter().take(WHY_SESSIONS).map(|listed| self.session_row(admin, listed, look));
                parts.push(Part::Rows(rows.collect()));
                if sessions.len() > WHY_SESSIONS {
                    let href = format!("{}?name={}", self.admin_href(Place::SignedIn), in_query(&name));
                    parts.push(Part::Link(href, look.text(Text::More(sessions.len() - WHY_SESSIONS)).into_owned()));
                }
            }
            if !of.is_empty() {
                parts.push(Part::Heading(said(AdminText::Why)));
                let row = |event: &Event| {
                    let mut row = Row { href: self.grant_href(event), ..event_row(event, "", look) };
                    // Whoever looks for a name sees of whom of that name it is told.
                    row.details.insert(0, whose(event).into());
                    row
                };
                let rows: Vec<_> = ends.events.iter().map(|stored| row(&stored.event)).collect();
                parts.push(if rows.is_empty() { Part::Text(said(AdminText::WhyNoEnd)) } else { Part::Rows(rows) });
            }
            if let Some(next) = ends.next {
                let (why, name) = (self.admin_href(Place::Why), in_query(&name));
                parts.push(Part::Link(format!("{why}?name={name}&after={}", event_place(next)), said(AdminText::Next)));
            }
        }
        Ok(self.admin_page(page, Place::Why, AdminText::Why, &parts))
    }

    /// The page of the grant of an event; `None`: it is about no grant.
    fn grant_href(&self, event: &Event) -> Option<String> {
        (event.grant != EVERYBODY).then(|| self.admin_href(Place::Grant(event.grant)))
    }

    /// What administrators did.
    pub(super) async fn audit_page(&self, page: &PageCall<'_>) -> Result<Response<Body>, Refused> {
        let PageCall { call, admin, look, .. } = page;
        let after = place_of_events(call)?;
        let part = admin.administration.audit(after, EVENTS).await.map_err(Refusal::from)?;
        let row = |event: &Event| {
            let mut row = event_row(event, "", look);
            if !event.who.is_empty() {
                let whose = whose(event);
                row.details.insert(0, Line::ending_in(format!("{}: {whose}", page.said(AdminText::User)), whose.len()));
                row.href = self.grant_href(event);
            }
            row
        };
        let shown: Vec<_> = part.events.iter().map(|stored| row(&stored.event)).collect();
        let mut parts = vec![if shown.is_empty() { Part::Text(page.said(AdminText::AuditNothing)) } else { Part::Rows(shown) }];
        if let Some(next) = part.next {
            let href = format!("{}?after={}", self.admin_href(Place::Audit), event_place(next));
            parts.push(Part::Link(href, page.said(AdminText::Next)));
        }
        Ok(self.admin_page(page, Place::Audit, AdminText::Audit, &parts))
    }
}

/// A place in a list of events, as the address has it.
pub(super) fn place_of_events(call: &Call<'_>) -> Result<EventPlace, Refusal> {
    match call.parameter("after") {
        Some(text) => parse_event_place(&text).ok_or(Refusal::BadRequest("after is no place in the list")),
        None => Ok(EventPlace::START),
    }
}

/// How many of so many lines a page has room for beside a name that is searched for: the form has it, and two links.
fn lines_beside(name: &str, most: usize) -> usize {
    let taken = escape(name).len() + 2 * in_query(name).len();
    most.saturating_sub(taken / LEAST_OF_LINE).max(FEWEST_LINES)
}

/// A text as a query has it.
fn in_query(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Whom an event is about: of a name, and of a provider where that is told.
fn whose(event: &Event) -> String {
    let names =
        [Some(event.who.as_str()), event.username.as_deref().filter(|name| *name != event.who), Some(event.issuer.as_str())];
    names.into_iter().flatten().filter(|name| !name.is_empty()).collect::<Vec<_>>().join(" · ")
}

/// The state of a session or a grant, which may end in a provider's words.
pub(super) fn state_line(state: SessionState<'_>, look: &Look<'_>) -> Line {
    let foreign = match state {
        SessionState::Ended(ended) => ended.code.as_deref().unwrap_or_default(),
        SessionState::Refused(words) | SessionState::Unserved(words) => words,
        SessionState::Limit(_)
        | SessionState::RefreshTokenExpired(_)
        | SessionState::Unknown
        | SessionState::Restored
        | SessionState::Renewable
        | SessionState::Expired
        | SessionState::Fresh => "",
    };
    Line::ending_in(words::state(state, look.language), foreign.len())
}

/// When a session began, and when it was used last.
pub(super) fn times_line(session: &Session, look: &Look<'_>) -> Line {
    let said = |text: AdminText<'_>| text.said(look.language);
    let (login, seen) = (words::time(session.created_at), words::time(session.last_seen));
    Line::own(format!("{}: {login} · {}: {seen}", said(AdminText::Login), said(AdminText::LastSeen)))
}

/// An event as a line of a list.
pub(super) fn event_row(event: &Event, replica: &str, look: &Look<'_>) -> Row {
    let took = event.duration.map(|took| format!("{} ms", took.as_millis()));
    let session = event.session.clone();
    let own = [Some(words::time(event.at)), session, took].into_iter().flatten().collect::<Vec<_>>().join(" · ");
    let details = if replica.is_empty() { own } else { format!("{own} · {replica}") };
    Row { name: event_line(event, look), href: None, details: vec![Line::ending_in(details, replica.len())], button: None }
}

/// What happened. Of who acted as an administrator the sentence is about, and begins with, so much is told; other words of others end it.
pub(super) fn event_line(event: &Event, look: &Look<'_>) -> Line {
    const MOST: usize = 64;
    let short = |text: &Option<String>| text.as_ref().map(|text| cut(text, MOST).into_owned());
    if event.kind == Kind::Administration {
        let event = Event {
            detail: short(&event.detail),
            actor_subject: short(&event.actor_subject),
            actor_issuer: short(&event.actor_issuer),
            issuer: cut(&event.issuer, MOST).into_owned(),
            ..event.clone()
        };
        return Line::own(words::event(&event, look.language));
    }
    Line::ending_in(words::event(event, look.language), event.words().map_or(0, |words| words.len()))
}

/// What can be searched for: no database takes more, or a NUL.
pub(super) fn searchable(name: &str) -> Result<&str, Refusal> {
    if name.chars().count() > 320 || name.contains(char::is_control) {
        return Err(Refusal::BadRequest("the name is too long, or has control characters"));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_can_be_chosen_is_a_filter_and_needs_no_escape_in_a_link() {
        for (name, _) in SHOWN {
            assert!(filter(name).is_some() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        }
        assert_eq!(filter("nothing"), None);
    }

    #[test]
    fn what_no_database_takes_is_not_searched_for() {
        assert!(searchable("ann@example.com").is_ok() && searchable("100%_\\'\"").is_ok());
        assert!(searchable("a\0b").is_err() && searchable(&"x".repeat(321)).is_err());
    }
}
