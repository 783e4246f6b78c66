//! Formats what `evergate sessions` prints. Pure.

use std::fmt::Write;

use serde_json::json;

use crate::{
    cli::output::{json_text, printable, printable_lines},
    clock::Timestamp,
    grant::{EndReason, Ended},
    history::{Event, Kind},
    session::{Limit, Opener, Settings},
    store::ListedSession,
};

/// An event, and the replica that wrote it.
pub(super) type Line = (Event, String);

/// Formats a time, in UTC.
fn time(at: Timestamp) -> String {
    chrono::DateTime::from_timestamp_millis(at.0).unwrap_or_default().format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Returns when a session ends if it is not used any more, and by which limit.
fn ends(listed: &ListedSession, limits: &Settings) -> (Timestamp, &'static str) {
    let session = &listed.session;
    let (at, limit) = limits.ends(session, session.last_seen);
    let by = match limit {
        _ if session.token.is_some() => "its expiry",
        Limit::Idle => "idle limit",
        Limit::Absolute => "absolute limit",
    };
    (at, by)
}

/// The state of a session at one moment.
enum SessionState<'a> {
    /// It reached a limit.
    Limit(Limit),
    /// Its grant has ended.
    Ended(&'a Ended),
    /// The provider refused the last token refresh with this code, without ending the grant.
    Refused(&'a str),
    /// Its refresh token reached its idle expiry at this time, by the provider's own figure.
    RefreshTokenExpired(Timestamp),
    /// A refresh token was presented, and the outcome is not known yet.
    Unknown,
    /// Its access token has expired, and is refreshed at the next use.
    Renewable,
    /// Its access token has expired, and there is no refresh token.
    Expired,
    /// Its access token is valid.
    Fresh,
}

fn session_state<'a>(listed: &'a ListedSession, limits: &Settings, now: Timestamp) -> SessionState<'a> {
    let grant = &listed.grant;
    if let Some(limit) = limits.reached(&listed.session, listed.session.last_seen, now) {
        return SessionState::Limit(limit);
    }
    if let Some(ended) = &grant.ended {
        return SessionState::Ended(ended);
    }
    if let Some(code) = &grant.refused {
        return SessionState::Refused(code);
    }
    if grant.is_outcome_unknown {
        return SessionState::Unknown;
    }
    let alive = now < grant.expires_at;
    match (grant.has_refresh_token, grant.refresh_until) {
        (true, Some(until)) if until <= now && !alive => SessionState::RefreshTokenExpired(until),
        _ if alive => SessionState::Fresh,
        (true, _) => SessionState::Renewable,
        (false, _) => SessionState::Expired,
    }
}

/// Describes the state of a session in a few words.
fn state(listed: &ListedSession, limits: &Settings, now: Timestamp) -> String {
    match session_state(listed, limits, now) {
        SessionState::Limit(Limit::Idle) => "idle limit reached".to_owned(),
        SessionState::Limit(Limit::Absolute) => "absolute limit reached".to_owned(),
        SessionState::Ended(ended) => format!("grant ended: {}", ended.reason.as_str()),
        SessionState::Refused(code) => format!("renewal refused: {}", printable(code)),
        SessionState::RefreshTokenExpired(_) => "refresh token expired unused".to_owned(),
        SessionState::Unknown => "renewal outcome unknown".to_owned(),
        SessionState::Fresh => "ok".to_owned(),
        SessionState::Renewable => "ok, to be renewed when used".to_owned(),
        SessionState::Expired => "token expired, not renewable".to_owned(),
    }
}

/// The number of columns of a list.
pub(super) const COLUMNS: usize = 8;

/// Formats a table with one line per session. `widths` are those of the pages before, and are widened where they must be.
pub(super) fn list(
    sessions: &[ListedSession],
    limits: &Settings,
    now: Timestamp,
    widths: &mut Option<[usize; COLUMNS]>,
) -> String {
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
pub(super) fn show(sessions: &[ListedSession], limits: &Settings, events: &[Line], now: Timestamp) -> String {
    let mut out = String::new();
    for listed in sessions {
        let (session, grant) = (&listed.session, &listed.grant);
        let (at, by) = ends(listed, limits);
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
    for (event, replica) in events {
        let took = event.duration.map(|duration| format!(" in {} ms", duration.as_millis())).unwrap_or_default();
        let code = details(event).map(|words| format!(" (provider: {words})")).unwrap_or_default();
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
    printable_lines(&out)
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

/// A session as JSON.
pub(super) fn session_json(listed: &ListedSession, limits: &Settings) -> serde_json::Value {
    let (session, grant) = (&listed.session, &listed.grant);
    let (ends_at, ends_by) = ends(listed, limits);
    json!({
        "session": session.hash.short(), "grant": grant.id.to_string(), "user": grant.identity.subject, "issuer": grant.issuer,
        "email": grant.identity.email, "preferredUsername": grant.identity.username,
        "createdAt": session.created_at.seconds(), "lastSeenAt": session.last_seen.seconds(),
        "site": session.site, "token": session.token.as_ref().map(|token| &token.scope.name), "endsAt": ends_at.seconds(), "endsBy": ends_by, "accessTokenExpiresAt": grant.expires_at.seconds(),
        "renewable": grant.has_refresh_token, "renewedAt": grant.renewed_at.seconds(), "renewals": grant.generation,
        "rotation": grant.rotation.as_str(), "refreshTokenUntil": grant.refresh_until.map(Timestamp::seconds),
        "endedBecause": grant.ended.as_ref().map(|ended| ended.reason.as_str()),
        "providerError": grant.ended.as_ref().and_then(|ended| ended.code.as_deref()),
    })
}

/// Formats sessions and history as JSON.
pub(super) fn json(sessions: &[ListedSession], limits: &Settings, events: &[Line]) -> String {
    let sessions: Vec<_> = sessions.iter().map(|listed| session_json(listed, limits)).collect();
    let events: Vec<_> = events
        .iter()
        .map(|(event, replica)| {
            json!({
                "at": event.at.seconds(), "kind": event.kind.as_str(), "grant": event.grant.to_string(), "session": event.session,
                "user": event.subject, "outcome": event.outcome, "reason": event.reason, "providerError": event.code,
                "milliseconds": event.duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
                "rotated": event.rotated, "detail": event.detail, "replica": replica,
            })
        })
        .collect();
    format!("{}\n", json_text(&json!({ "sessions": sessions, "events": events }).to_string()))
}

/// Explains in sentences the state of each session, and what ended those that are gone.
pub(super) fn why(sessions: &[ListedSession], limits: &Settings, events: &[Line], now: Timestamp) -> String {
    let mut out = String::new();
    for listed in sessions {
        let (session, grant) = (listed.session.hash.short(), &listed.grant);
        let (at, by) = ends(listed, limits);
        let unused = format!("Unused, it ends {} by its {by}.", time(at));
        let _infallible = match session_state(listed, limits, now) {
            SessionState::Limit(limit) => writeln!(out, "Session {session} has ended: {}.", limit_sentence(limit)),
            SessionState::Ended(ended) => {
                writeln!(out, "Session {session} must pass the provider again: {}.", end_sentence(ended, None))
            }
            SessionState::Refused(code) => writeln!(
                out,
                "Session {session} must pass the provider again: the provider refuses to renew its grant ({}), and does not say \
                 that it is dead.",
                printable(code)
            ),
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
    let ends = events.iter().filter_map(|(event, _)| Some((event, ending(event)?)));
    for (event, sentence) in ends {
        let session = event.session.as_deref().map(|session| format!(" (session {session})")).unwrap_or_default();
        let _infallible = writeln!(out, "{}{session}: {sentence}.", time(event.at));
    }
    if let Some((login, _)) = events.iter().find(|(event, _)| event.kind == Kind::Login && event.outcome != DENIED) {
        let _infallible = writeln!(out, "The last login was {}.", time(login.at));
    }
    printable_lines(&out)
}

fn limit_sentence(limit: Limit) -> &'static str {
    match limit {
        Limit::Idle => "nobody used it for CODER_SESSION_DURATION",
        Limit::Absolute => "it reached CODER_SESSION_MAX_DURATION",
    }
}

fn end_sentence(ended: &Ended, detail: Option<&str>) -> String {
    let words = ended.code.iter().map(String::as_str).chain(detail).map(printable).collect::<Vec<_>>().join(": ");
    let code = if words.is_empty() { words } else { format!(" ({words})") };
    match ended.reason {
        EndReason::Dead => format!("the provider refused its refresh token{code}"),
        EndReason::OutcomeUnknown => {
            "the outcome of a renewal is unknown, and this provider's refresh tokens are good for one use".to_owned()
        }
        EndReason::IdentityRefused => "a renewal brought an identity that is not this user's".to_owned(),
        EndReason::Expired => "its access token expired, and the provider gave no refresh token".to_owned(),
        EndReason::KeyLost => "its tokens were sealed under a key that is not there any more".to_owned(),
        EndReason::OtherProvider => "it belongs to another provider or client than are configured now".to_owned(),
    }
}

/// The outcome of a login that a rule denied.
const DENIED: &str = "denied";

/// Returns a sentence about an event that ended something or that needs a person; `None` for any other.
fn ending(event: &Event) -> Option<String> {
    match (event.kind, event.outcome.as_str(), event.reason.as_str()) {
        (Kind::Login, DENIED, rule) => {
            let detail = event.detail.as_deref().map(|detail| format!("; {}", printable(detail))).unwrap_or_default();
            Some(format!("a login was denied by the rule {rule}{detail}"))
        }
        (Kind::Logout, _, "user") => Some("the user logged out".to_owned()),
        (Kind::Logout, _, "user_everywhere") => Some("the user logged out of all browsers".to_owned()),
        (Kind::Logout, _, "provider") => Some("the user logged out at the provider, which said so".to_owned()),
        (Kind::Logout, _, "administrator") => Some("an administrator ended the session".to_owned()),
        (Kind::Logout, _, "another_login") => Some("its browser logged in again, and has another session".to_owned()),
        (Kind::Logout, _, other) => Some(format!("the session was ended ({other})")),
        (Kind::Limit, _, "idle") => Some(format!("the session ended: {}", limit_sentence(Limit::Idle))),
        (Kind::Limit, _, _) => Some(format!("the session ended: {}", limit_sentence(Limit::Absolute))),
        (Kind::Renewal, "dead", reason) => {
            let reason = match reason {
                "no_refresh_token" => EndReason::Expired,
                "identity_refused" => EndReason::IdentityRefused,
                _ => EndReason::Dead,
            };
            Some(end_sentence(&Ended { reason, code: event.code.clone() }, event.detail.as_deref()))
        }
        (Kind::Renewal, _, "outcome_unknown") => {
            Some(end_sentence(&Ended { reason: EndReason::OutcomeUnknown, code: None }, None))
        }
        (Kind::Renewal, "config", reason) => Some(format!(
            "the provider refused to renew, which a person must mend ({})",
            details(event).unwrap_or_else(|| reason.to_owned())
        )),
        (Kind::Renewal | Kind::Login | Kind::Revocation | Kind::AppToken, _, _) => None,
    }
}

#[cfg(test)]
mod tests;
