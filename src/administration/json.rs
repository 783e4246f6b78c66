//! Sessions and events as JSON, for the command line and the API. Pure.

use serde_json::{Value, json};

use super::{EndCause, Ending, Limits, Prediction, SessionState, place::session_id, words};
use crate::{
    clock::Timestamp,
    language::Language,
    store::{ListedSession, StoredEvent},
};

/// A session as JSON. Times are seconds since the epoch.
pub fn session_json(listed: &ListedSession, limits: &Limits, now: Timestamp) -> Value {
    let (session, grant) = (&listed.session, &listed.grant);
    let (ends_at, cause) = Prediction::of_listed(listed, limits, now).unused;
    let ends_by = match cause {
        EndCause::Idle => "idle limit",
        EndCause::Absolute => "absolute limit",
        EndCause::Duration => "limit of its age",
        EndCause::TokenExpiry => "its expiry",
        EndCause::NoRefreshToken => "access token's expiry",
        EndCause::RefreshTokenIdle => "refresh token's expiry",
        EndCause::Refused => "provider's refusal",
        EndCause::GrantEnded => "grant's end",
    };
    json!({
        "id": session_id(session.hash), "session": session.hash.short(), "grant": grant.id.to_string(),
        "user": grant.identity.subject, "issuer": grant.issuer,
        "email": grant.identity.email, "preferredUsername": grant.identity.username,
        "state": SessionState::of(listed, limits, now).name(),
        "createdAt": session.created_at.seconds(), "lastSeenAt": session.last_seen.seconds(),
        "site": session.site, "token": session.token.as_ref().map(|token| &token.scope.name),
        "browser": listed.opener.browser, "address": listed.opener.address,
        "endsAt": ends_at.seconds(), "endsBy": ends_by, "accessTokenExpiresAt": grant.expires_at.seconds(),
        "renewable": grant.has_refresh_token, "renewedAt": grant.renewed_at.seconds(), "renewals": grant.generation,
        "rotation": grant.rotation.as_str(), "refreshTokenUntil": grant.refresh_until.map(Timestamp::seconds),
        "endedBecause": grant.ended.as_ref().map(|ended| ended.reason.as_str()),
        "providerError": grant.ended.as_ref().and_then(|ended| ended.code.as_deref()).or(grant.refused.as_deref()),
    })
}

/// An event as JSON, with what it says of an end.
pub fn event_json(StoredEvent { event, replica, .. }: &StoredEvent) -> Value {
    let why = Ending::of(event);
    json!({
        "at": event.at.seconds(), "kind": event.kind.as_str(), "grant": event.grant.to_string(), "session": event.session,
        "user": event.subject, "issuer": Some(&event.issuer).filter(|issuer| !issuer.is_empty()),
        "name": event.who, "preferredUsername": event.username, "outcome": event.outcome, "reason": event.reason, "providerError": event.code,
        "milliseconds": event.duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
        "rotated": event.rotated, "detail": event.detail, "administratorIssuer": event.actor_issuer,
        "administratorSubject": event.actor_subject, "administratorSession": event.actor_session, "replica": replica,
        "why": why.map(|why| json!({ "code": why.code(), "text": words::ending(&why, Language::English) })),
    })
}
