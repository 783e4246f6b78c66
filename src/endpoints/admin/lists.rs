//! The lists of the administration: who is signed in, why somebody no longer is, and what administrators did.

use axum::body::Body;
use http::Response;

use super::Place;
use crate::{
    administration::{EndedBecause, Ending, Filter, SessionState, event_place, parse_event_place, parse_place, words},
    admission::AdmittedSession,
    endpoints::{Call, Endpoints, Refused, administrators::Administrators},
    history::Event,
    pages::{AdminText, Look, Part, Row, Search},
    refusal::Refusal,
    store::{EventPlace, ListPosition, ListedSession},
};

/// How many sessions a page shows, so that it stays small.
const SESSIONS: usize = 20;
/// How many events.
pub(super) const EVENTS: usize = 25;

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
    pub(super) async fn signed_in_page(
        &self,
        call: &Call<'_>,
        admin: &Administrators,
        admitted: &AdmittedSession,
    ) -> Result<Response<Body>, Refused> {
        let (look, administration) = (self.look(call), &admin.administration);
        let said = |text: AdminText<'_>| text.said(look.language).into_owned();
        let name = call.parameter("name").map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        let show = call.parameter("show").unwrap_or_else(|| "all".to_owned());
        let filter = filter(&show).ok_or(Refusal::BadRequest("show names nothing that can be shown"))?;
        let mut parts = vec![Part::Search(Search {
            href: self.admin_href(Place::SignedIn),
            field: ("name", said(AdminText::SearchLabel), name.clone().unwrap_or_default()),
            choices_label: said(AdminText::Show),
            choices: SHOWN.iter().map(|(value, label)| (*value, said(*label), *value == show)).collect(),
        })];
        let (sessions, next) = match &name {
            Some(name) => {
                let mut found = administration.search(searchable(name)?).await.map_err(Refusal::from)?;
                found.retain(|listed| filter.matches(listed));
                let is_cut = found.len() > SESSIONS;
                found.truncate(SESSIONS);
                parts.extend(is_cut.then(|| Part::Text(said(AdminText::SearchIsCut))));
                (found, None)
            }
            None => {
                let after = match call.parameter("after") {
                    Some(text) => parse_place(&text).ok_or(Refusal::BadRequest("after is no place in the list"))?,
                    None => ListPosition::START,
                };
                if after == ListPosition::START && filter == Filter::default() {
                    let counts = administration.store.counts().await.map_err(Refusal::from)?;
                    parts.push(Part::Text(said(AdminText::Counts(counts.sessions, counts.with_refresh_token))));
                }
                let listing = administration.list(&filter, after, SESSIONS).await.map_err(Refusal::from)?;
                if listing.looked_at > SESSIONS {
                    parts.push(Part::Text(said(AdminText::LookedAt(listing.looked_at))));
                }
                (listing.sessions, listing.next)
            }
        };
        if sessions.is_empty() {
            parts.push(Part::Text(said(AdminText::Nobody)));
        } else {
            parts.push(Part::Rows(sessions.iter().map(|listed| self.session_row(admin, listed, &look)).collect()));
        }
        if let Some(next) = next {
            let href = format!("{}?show={show}&after={next}", self.admin_href(Place::SignedIn));
            parts.push(Part::Link(href, said(AdminText::Next)));
        }
        Ok(self.admin_page(call, admitted, Place::SignedIn, AdminText::SignedIn, &parts, &look))
    }

    fn session_row(&self, admin: &Administrators, listed: &ListedSession, look: &Look<'_>) -> Row {
        let said = |text: AdminText<'_>| text.said(look.language).into_owned();
        let ListedSession { session, grant, opener } = listed;
        let state = SessionState::of(listed, &admin.administration.limits, admin.administration.clock.now());
        let times = format!(
            "{}: {} · {}: {}",
            said(AdminText::Login),
            words::time(session.created_at),
            said(AdminText::LastSeen),
            words::time(session.last_seen)
        );
        let token = session.token.as_ref().map(|token| said(AdminText::Token(&token.scope.name)));
        let address = opener.address.map(|address| address.to_string());
        let places = [token, opener.browser.clone(), address, session.site.as_deref().map(str::to_owned)];
        let places = places.into_iter().flatten().collect::<Vec<_>>().join(" · ");
        let details = [words::state(state, look.language), times, places].into_iter().filter(|line| !line.is_empty());
        Row {
            name: grant.identity.display().to_owned(),
            href: Some(self.admin_href(Place::Grant(grant.id))),
            details: details.collect(),
            button: None,
        }
    }

    /// Why somebody was logged out.
    pub(super) async fn why_page(
        &self,
        call: &Call<'_>,
        admin: &Administrators,
        admitted: &AdmittedSession,
    ) -> Result<Response<Body>, Refused> {
        let (look, administration) = (self.look(call), &admin.administration);
        let said = |text: AdminText<'_>| text.said(look.language).into_owned();
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
            let sessions = administration.named(searchable(&name)?).await.map_err(Refusal::from)?;
            let events = administration.history(&name, &sessions).await.map_err(Refusal::from)?;
            if sessions.is_empty() && events.is_empty() {
                parts.push(Part::Text(said(AdminText::WhyNothing(&name))));
            }
            if !sessions.is_empty() {
                parts.push(Part::Heading(said(AdminText::Sessions)));
                let rows = sessions.iter().take(SESSIONS).map(|listed| self.session_row(admin, listed, &look));
                parts.push(Part::Rows(rows.collect()));
            }
            let ends: Vec<_> = events.iter().filter(|(event, _)| Ending::of(event).is_some()).take(EVENTS).collect();
            if !ends.is_empty() {
                parts.push(Part::Heading(said(AdminText::Why)));
                let row =
                    |event: &Event| Row { href: Some(self.admin_href(Place::Grant(event.grant))), ..event_row(event, "", &look) };
                parts.push(Part::Rows(ends.into_iter().map(|(event, _)| row(event)).collect()));
            }
        }
        Ok(self.admin_page(call, admitted, Place::Why, AdminText::Why, &parts, &look))
    }

    /// What administrators did.
    pub(super) async fn audit_page(
        &self,
        call: &Call<'_>,
        admin: &Administrators,
        admitted: &AdmittedSession,
    ) -> Result<Response<Body>, Refused> {
        let look = self.look(call);
        let said = |text: AdminText<'_>| text.said(look.language).into_owned();
        let after = match call.parameter("after") {
            Some(text) => parse_event_place(&text).ok_or(Refusal::BadRequest("after is no place in the list"))?,
            None => EventPlace::START,
        };
        let part = admin.administration.audit(after, EVENTS).await.map_err(Refusal::from)?;
        let row = |event: &Event| {
            let mut row = event_row(event, "", &look);
            if !event.who.is_empty() {
                row.details.insert(0, format!("{}: {}", said(AdminText::User), event.who));
                row.href = Some(self.admin_href(Place::Grant(event.grant)));
            }
            row
        };
        let shown: Vec<_> = part.events.iter().map(|(event, _)| row(event)).collect();
        let mut parts = vec![if shown.is_empty() { Part::Text(said(AdminText::AuditNothing)) } else { Part::Rows(shown) }];
        if let Some(next) = part.next {
            let href = format!("{}?after={}", self.admin_href(Place::Audit), event_place(next));
            parts.push(Part::Link(href, said(AdminText::Next)));
        }
        Ok(self.admin_page(call, admitted, Place::Audit, AdminText::Audit, &parts, &look))
    }
}

/// An event as a line of a list.
pub(super) fn event_row(event: &Event, replica: &str, look: &Look<'_>) -> Row {
    let took = event.duration.map(|took| format!("{} ms", took.as_millis()));
    let session = event.session.clone();
    let replica = Some(replica.to_owned()).filter(|replica| !replica.is_empty());
    let details = [Some(words::time(event.at)), session, took, replica].into_iter().flatten().collect::<Vec<_>>().join(" · ");
    Row { name: words::event(event, look.language), href: None, details: vec![details], button: None }
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
