//! Formats what `evergate sessions` prints. Pure.

use std::fmt::Write;

use serde_json::json;

use crate::{
    administration::{EndCause, Ending, Limits, Prediction, SessionState, event_json, event_place, session_json, words},
    cli::output::{json_text, printable, printable_lines},
    clock::Timestamp,
    grant::Ended,
    history::{Event, Kind},
    language::Language,
    session::{Limit, Opener},
    store::{EventPart, ListedSession, StoredEvent},
};

/// Formats a time, in UTC.
fn time(at: Timestamp) -> String {
    chrono::DateTime::from_timestamp_millis(at.0).unwrap_or_default().format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Returns when a session ends if it is not used any more, and by which end of its own.
fn ends(listed: &ListedSession, limits: &Limits, now: Timestamp) -> (Timestamp, &'static str) {
    let (at, cause) = Prediction::of_listed(listed, limits, now).unused;
    let by = match cause {
        EndCause::Idle => "idle limit",
        EndCause::Absolute => "absolute limit",
        EndCause::Duration => "limit of its age",
        EndCause::TokenExpiry => "expiry",
        EndCause::NoRefreshToken => "access token's expiry",
        EndCause::RefreshTokenIdle => "refresh token's expiry",
        EndCause::Refused => "provider's refusal",
        EndCause::GrantEnded => "grant's end",
    };
    (at, by)
}

/// Describes the state of a session in a few words.
fn state(listed: &ListedSession, limits: &Limits, now: Timestamp) -> String {
    printable(&words::state(SessionState::of(listed, limits, now), Language::English))
}

/// The number of columns of a list.
pub(super) const COLUMNS: usize = 8;

/// Formats a table with one line per session. `widths` are those of the pages before, and are widened where they must be.
pub(super) fn list(sessions: &[ListedSession], limits: &Limits, now: Timestamp, widths: &mut Option<[usize; COLUMNS]>) -> String {
    let titles = ["SESSION", "USER", "LOGIN", "LAST SEEN", "RENEWABLE", "LAST RENEWED", "RENEWALS", "STATE"].map(str::to_owned);
    let mut rows = if widths.is_none() { vec![titles] } else { Vec::new() };
    rows.extend(sessions.iter().map(|listed| {
        let grant = &listed.grant;
        [
            listed.session.hash.short(),
            printable(grant.identity.display()),
            time(listed.session.created_at),
            time(listed.session.last_seen),
            if grant.has_refresh_token { "yes" } else { "no" }.to_owned(),
            time(grant.renewed_at),
            grant.generation.to_string(),
            state(listed, limits, now),
        ]
    }));
    table(&rows, widths.get_or_insert_default())
}

fn table<const N: usize>(rows: &[[String; N]], widths: &mut [usize; N]) -> String {
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    rows.iter().fold(String::new(), |mut out, row| {
        let line = row.iter().zip(&*widths).fold(String::new(), |mut line, (cell, width)| {
            let _infallible = write!(line, "{cell:width$}  ", width = *width);
            line
        });
        out.push_str(line.trim_end());
        out.push('\n');
        out
    })
}

/// Formats each session in detail, then the history, newest first.
pub(super) fn show(sessions: &[ListedSession], limits: &Limits, part: &EventPart, now: Timestamp) -> String {
    let mut out = String::new();
    for listed in sessions {
        let (session, grant) = (&listed.session, &listed.grant);
        let (at, by) = ends(listed, limits, now);
        let _infallible = write!(
            out,
            "session {}\n  user            {} (sub {})\n  provider        {}\n  grant           {}\n  state           {}\n  login           {}\n  last seen       {}\n  \
             opened by       {}\n  ends unused     {} ({by})\n  access token    expires {}\n  refresh token   {}\n  last renewed    {} ({} renewals, rotation {})\n\n",
            session.hash.short(),
            printable(grant.identity.display()),
            printable(&grant.identity.subject),
            printable(&grant.issuer),
            grant.id,
            state(listed, limits, now),
            time(session.created_at),
            time(session.last_seen),
            opener(&listed.opener),
            time(at),
            time(grant.expires_at),
            match (grant.has_refresh_token, grant.refresh_until) {
                (true, Some(until)) => format!("yes, lives until {} unless renewed", time(until)),
                (true, None) => "yes".to_owned(),
                (false, _) => "no".to_owned(),
            },
            time(grant.renewed_at),
            grant.generation,
            grant.rotation.as_str(),
        );
    }
    out.push_str("history, the newest first\n");
    for StoredEvent { event, replica, .. } in &part.events {
        let took = event.duration.map(|duration| format!(" in {} ms", duration.as_millis())).unwrap_or_default();
        let by = if event.kind == Kind::Administration { "by" } else { "provider:" };
        let code = details(event).map(|words| format!(" ({by} {words})")).unwrap_or_default();
        let session = event.session.as_deref().map(|session| format!(" session {session}")).unwrap_or_default();
        let _infallible = writeln!(
            out,
            "  {}  {:10} {} {}{code}{took}{session} grant {} on {replica}",
            time(event.at),
            event.kind.as_str(),
            event.outcome,
            event.reason,
            event.grant
        );
    }
    out.push_str(&more(part));
    printable_lines(&out)
}

/// Where a history goes on, if it does.
fn more(part: &EventPart) -> String {
    part.next.map(|next| format!("there are more: --after {}\n", event_place(next))).unwrap_or_default()
}

/// Formats what administrators did.
pub(super) fn audit(part: &EventPart) -> String {
    let lines = part.events.iter().map(|StoredEvent { event, .. }| {
        let of = if event.issuer.is_empty() { String::new() } else { format!(" ({})", event.issuer) };
        let about = if event.who.is_empty() { String::new() } else { format!(": {}{of}", event.who) };
        let session = event.session.as_deref().map(|session| format!(" session {session}")).unwrap_or_default();
        printable(&format!("{}  {}{about}{session}", time(event.at), words::event(event, Language::English))) + "\n"
    });
    lines.collect::<String>() + &more(part)
}

/// The browser and the address that a session was opened by.
fn opener(opener: &Opener) -> String {
    let address = opener.address.map(|address| address.to_string());
    let known: Vec<_> = [opener.browser.as_deref().map(printable), address].into_iter().flatten().collect();
    if known.is_empty() { "unknown".to_owned() } else { known.join(", ") }
}

/// Returns the details of an event: the provider's error code and description, or others.
fn details(event: &Event) -> Option<String> {
    match (event.code.as_deref(), event.detail.as_deref()) {
        (Some(code), Some(detail)) => Some(format!("{}: {}", printable(code), printable(detail))),
        (Some(words), None) | (None, Some(words)) => Some(printable(words)),
        (None, None) => None,
    }
}

/// Formats sessions and history as JSON.
pub(super) fn json(sessions: &[ListedSession], limits: &Limits, part: &EventPart, now: Timestamp) -> String {
    let sessions: Vec<_> = sessions.iter().map(|listed| session_json(listed, limits, now)).collect();
    let events: Vec<_> = part.events.iter().map(event_json).collect();
    let next = part.next.map(event_place);
    format!("{}\n", json_text(&json!({ "sessions": sessions, "events": events, "next": next }).to_string()))
}

/// Explains in sentences the state of each session, and what ended those that are gone.
pub(super) fn why(
    sessions: &[ListedSession],
    limits: &Limits,
    events: &[StoredEvent],
    last_login: Option<Timestamp>,
    now: Timestamp,
) -> String {
    let mut out = String::new();
    for listed in sessions {
        let (session, grant) = (listed.session.hash.short(), &listed.grant);
        let (at, by) = ends(listed, limits, now);
        let unused = format!("Unused, it ends {} by its {by}.", time(at));
        let _infallible = match SessionState::of(listed, limits, now) {
            SessionState::Limit(limit) => writeln!(out, "Session {session} has ended: {}.", limit_sentence(limit)),
            SessionState::Ended(ended) if now < at => {
                let why = end_sentence(ended);
                writeln!(out, "Session {session} is served until {}, and must then pass the provider again: {why}.", time(at))
            }
            SessionState::Ended(ended) => {
                writeln!(out, "Session {session} must pass the provider again: {}.", end_sentence(ended))
            }
            SessionState::Refused(code) => {
                let is_served = now < at;
                let until = if is_served { format!("is served until {}, and must then", time(at)) } else { "must".to_owned() };
                writeln!(
                    out,
                    "Session {session} {until} pass the provider again: the provider refuses to renew its grant ({}), and does not \
                     say that it is dead.",
                    printable(code)
                )
            }
            SessionState::RefreshTokenExpired(until) => writeln!(
                out,
                "Session {session} must pass the provider again: nobody used it, and its refresh token was good until {} unless renewed.",
                time(until)
            ),
            SessionState::Unknown => writeln!(
                out,
                "Session {session} is logged in until {}; what became of its last renewal is not known yet.",
                time(grant.expires_at)
            ),
            SessionState::Restored => writeln!(
                out,
                "Session {session} is logged in until {}; the database was restored from a backup, and whether its refresh token was \
                 used since is found out when it is renewed next.",
                time(grant.expires_at)
            ),
            SessionState::Unserved(words) => writeln!(
                out,
                "Session {session} is not served until the provider renews it: its access token expired {}, \
                 CODER_OIDC_OUTAGE_GRACE is over, and the last renewal that the provider was asked for failed ({}). {unused}",
                time(grant.expires_at),
                printable(words)
            ),
            SessionState::Fresh | SessionState::Renewable if grant.has_refresh_token => writeln!(
                out,
                "Session {session} is logged in; its grant was last renewed {} and is renewed when it is used. {unused}",
                time(grant.renewed_at)
            ),
            SessionState::Fresh | SessionState::Renewable => writeln!(
                out,
                "Session {session} is logged in; its grant has no refresh token and lasts until {}. {unused}",
                time(grant.expires_at)
            ),
            SessionState::Expired => writeln!(
                out,
                "Session {session} must pass the provider again: its access token expired {}, and the provider gave no refresh token.",
                time(grant.expires_at)
            ),
        };
    }
    for StoredEvent { event, .. } in events {
        let done_by = (event.kind == Kind::Administration).then(|| words::event(event, Language::English));
        let ending = || Ending::of(event).map(|ending| words::ending(&ending, Language::English));
        let Some(sentence) = done_by.or_else(ending).map(|sentence| printable(&sentence)) else { continue };
        let session = event.session.as_deref().map(|session| format!(" (session {session})")).unwrap_or_default();
        let _infallible = writeln!(out, "{}{session}: {sentence}.", time(event.at));
    }
    if let Some(at) = last_login {
        let _infallible = writeln!(out, "The last login was {}.", time(at));
    }
    printable_lines(&out)
}

fn limit_sentence(limit: Limit) -> &'static str {
    match limit {
        Limit::Idle => "nobody used it for CODER_SESSION_DURATION",
        Limit::Absolute => "it reached CODER_SESSION_MAX_DURATION",
        Limit::Duration => "CODER_SESSION_DURATION has passed since its login, which use does not prolong",
        Limit::TokenExpiry => "the personal access token expired",
    }
}

/// What ended a grant.
fn end_sentence(ended: &Ended) -> String {
    printable(&words::ending(&Ending::Grant(ended.reason, ended.code.clone()), Language::English))
}

#[cfg(test)]
mod tests;
