//! The JSON API of the administration, which `docs/openapi.json` describes.

use axum::body::Body;
use http::{HeaderValue, Method, Response, StatusCode, header};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::provider_page::providers_json;
use super::{
    api_request::{ApiCall, ApiMistake, HistoryQuery, SessionQuery, check_confirmation},
    hidden,
};
use crate::{
    administration::{
        Actor, EVENTS, Everyone, GrantStory, ListPlace, Listing, NamePosition, event_json, event_place, session_id, session_json,
    },
    admission::{Credential, Inquiry, NotAdmitted},
    clock::Timestamp,
    endpoints::{Call, Endpoints, Refused, administrators::Administrators, read_form},
    grant::{Grant, GrantId},
    refusal::{
        Refusal,
        response::{json as json_response, own_headers},
    },
    renewal::{NextRefresh, RefreshedNow},
    store::EventPart,
    visitor::SignInReason,
};

/// So many actions of administrators are in a part of the list.
const ACTIONS: usize = 100;
/// The description of the API, for its default path.
const DOCUMENT: &str = include_str!("../../../docs/openapi.json");

impl Endpoints {
    /// Answers a program.
    pub(super) async fn admin_api(&self, call: &Call<'_>, admin: &Administrators, path: &str, body: Incoming) -> Response<Body> {
        let answered = async {
            // First of all: nobody else learns even which paths there are.
            let actor = self.api_caller(call, admin).await?;
            let asked = ApiCall::read(call.method, path, call.query)?;
            self.answer_api(call, admin, &actor, asked, body).await
        };
        match answered.await {
            Ok(response) => response,
            Err(ApiMistake::Refused(refusal)) => refusal.into_problem(call.exchange),
            Err(ApiMistake::Method(methods)) => {
                let mut response = Refusal::MethodNotAllowed.into_problem(call.exchange);
                let methods = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
                response.headers_mut().extend(HeaderValue::try_from(methods).ok().map(|methods| (header::ALLOW, methods)));
                response
            }
        }
    }

    /// Who asks, by a personal access token that was made for the administration.
    async fn api_caller(&self, call: &Call<'_>, admin: &Administrators) -> Result<Actor, Refusal> {
        let authorization = call.headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let is_bearer = |line: &[u8]| line.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "));
        if !authorization.is_some_and(is_bearer) {
            return Err(Refusal::TokenNeeded(SignInReason::NoSession));
        }
        let inquiry = Inquiry::to_administer(call.exchange, call.headers, &admin.api_rule);
        let admitted = self.components.admission.admit(inquiry).await.map_err(|not_admitted| match not_admitted {
            NotAdmitted::SignIn(reason, _) => Refusal::TokenNeeded(reason),
            NotAdmitted::Refused(refusal) => hidden(refusal.into()).refusal,
        })?;
        match admitted.by {
            Credential::Session { signed_in, usable } => Ok(Actor::of(&usable.grant, signed_in.session().hash)),
            Credential::Token(_) => Err(Refusal::TokenNeeded(SignInReason::NoSession)),
        }
    }

    async fn answer_api(
        &self,
        call: &Call<'_>,
        admin: &Administrators,
        actor: &Actor,
        asked: ApiCall,
        body: Incoming,
    ) -> Result<Response<Body>, ApiMistake> {
        let administration = &admin.administration;
        let now = administration.clock.now();
        let answer = match asked {
            ApiCall::Document => self.document(),
            ApiCall::Sessions(query) => sessions(admin, query).await?,
            ApiCall::Session(id) => {
                let found = administration.sessions_by_prefix(&id).await.map_err(Refusal::from)?;
                let listed = found.iter().find(|listed| session_id(listed.session.hash) == *id).ok_or(Refusal::NoSuchPage)?;
                session_json(listed, &administration.limits, now)
            }
            ApiCall::EndSession(id) => {
                if !administration.end_session(actor, &id).await.map_err(Refusal::from)? {
                    return Err(Refusal::NoSuchPage.into());
                }
                return Ok(no_content());
            }
            ApiCall::Grant(id, after) => {
                let story = administration.grant(id, after).await.map_err(Refusal::from)?.ok_or(Refusal::NoSuchPage)?;
                grant_json(admin, &story, now)
            }
            ApiCall::Renew(id) => {
                let renewed = administration.renew(actor, id).await.map_err(Refusal::from)?;
                renewal_json(id, renewed.ok_or(Refusal::NoSuchPage)?)
            }
            ApiCall::EndUser(id) => {
                let ended = administration.end_user(actor, id).await.map_err(Refusal::from)?;
                json!({ "ended": ended.ok_or(Refusal::NoSuchPage)? })
            }
            ApiCall::History(HistoryQuery { name, issuer, filter, after }) => {
                let (sessions, of) = administration.found(&name, issuer.as_deref()).await.map_err(Refusal::from)?;
                let part = administration.history(&of, filter, after, EVENTS).await.map_err(Refusal::from)?;
                let sessions: Vec<_> = sessions.iter().map(|listed| session_json(listed, &administration.limits, now)).collect();
                json!({ "sessions": sessions, "events": events_json(&part), "next": part.next.map(event_place) })
            }
            ApiCall::Audit(after) => {
                let part = administration.audit(after, ACTIONS).await.map_err(Refusal::from)?;
                json!({ "events": events_json(&part), "next": part.next.map(event_place) })
            }
            ApiCall::Providers => providers_json(admin).await?,
            ApiCall::Keys => self.keys_json(admin).await?,
            ApiCall::EndEveryone => {
                let content_type = call.headers.get(header::CONTENT_TYPE).and_then(|line| line.to_str().ok());
                check_confirmation(content_type, &read_form(body).await?)?;
                let begun = administration.end_everyone(actor) == Everyone::Begun;
                let answer = json!({ "begun": begun });
                return Ok(json_response(&answer, StatusCode::ACCEPTED, "administration"));
            }
        };
        Ok(json_response(&answer, StatusCode::OK, "administration"))
    }

    /// The description, with the path at which the API is.
    fn document(&self) -> Value {
        let mut document: Value = serde_json::from_str(DOCUMENT).unwrap_or_default();
        if let Some(url) = document.pointer_mut("/servers/0/url") {
            *url = format!("{}/admin/api/v1", self.components.prefix).into();
        }
        document
    }
}

async fn sessions(admin: &Administrators, query: SessionQuery) -> Result<Value, Refusal> {
    let administration = &admin.administration;
    let SessionQuery { name, filter, after, limit } = query;
    let now = administration.clock.now();
    let Listing { sessions, next, looked_at } = match (name, after) {
        (Some(name), after) => administration.search(&name, &filter, &after, limit).await?,
        // Whoever drops the name goes on in the list of all.
        (None, ListPlace::Login(after) | ListPlace::Name(NamePosition { session: after, .. })) => {
            administration.list(&filter, after, limit).await?
        }
    };
    let sessions: Vec<_> = sessions.iter().map(|listed| session_json(listed, &administration.limits, now)).collect();
    Ok(json!({ "sessions": sessions, "next": next, "lookedAt": looked_at }))
}

fn grant_json(admin: &Administrators, story: &GrantStory, now: Timestamp) -> Value {
    let limits = &admin.administration.limits;
    let end = |(at, cause): (Timestamp, crate::administration::EndCause)| json!({ "at": at.seconds(), "by": cause.name() });
    let sessions = story.sessions.iter().map(|(listed, prediction)| {
        let mut session = session_json(listed, limits, now);
        let predicted = json!({ "unused": end(prediction.unused), "used": end(prediction.used) });
        session.as_object_mut().map(|members| members.insert("predictedEnd".to_owned(), predicted));
        session
    });
    json!({
        "grant": story.id.to_string(),
        "details": story.grant.as_ref().map(|grant| details(grant, story.next)),
        "sessions": sessions.collect::<Vec<_>>(),
        "events": events_json(&story.events),
        "mostEvents": EVENTS,
        "next": story.events.next.map(event_place),
        "lastEnd": story.last_end.as_ref().map(event_json),
    })
}

fn details(grant: &Grant, next: Option<NextRefresh>) -> Value {
    let (when, at) = match next {
        Some(NextRefresh::From(at)) => ("first_use_from", Some(at)),
        Some(NextRefresh::AtNextUse) => ("next_use", None),
        Some(NextRefresh::AfterPause(at)) => ("after_pause", Some(at)),
        Some(NextRefresh::Never) | None => ("never", None),
    };
    json!({
        "user": grant.identity.subject, "issuer": grant.issuer, "email": grant.identity.email,
        "preferredUsername": grant.identity.username, "groups": grant.identity.group_names(), "scopes": grant.scopes,
        "createdAt": grant.created_at.seconds(), "renewedAt": grant.renewed_at.seconds(), "renewals": grant.generation,
        "accessTokenExpiresAt": grant.expires_at.seconds(), "renewable": grant.has_refresh_token,
        "refreshTokenUntil": grant.refresh_until.map(Timestamp::seconds), "rotation": grant.rotation.as_str(),
        "refused": grant.refused, "endedBecause": grant.ended.as_ref().map(|ended| ended.reason.as_str()),
        "nextRenewal": { "when": when, "at": at.map(Timestamp::seconds) },
    })
}

fn renewal_json(id: GrantId, renewed: RefreshedNow) -> Value {
    let retry = match renewed {
        RefreshedNow::Unavailable(wait) => Some(wait.as_secs().max(1)),
        RefreshedNow::Renewed
        | RefreshedNow::Ended
        | RefreshedNow::NotRenewable
        | RefreshedNow::OtherProvider
        | RefreshedNow::KeyMissing
        | RefreshedNow::Refused
        | RefreshedNow::UnderWay => None,
    };
    json!({ "grant": id.to_string(), "outcome": renewed.name(), "retryAfter": retry })
}

fn events_json(part: &EventPart) -> Vec<Value> {
    part.events.iter().map(event_json).collect()
}

fn no_content() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    own_headers(response.headers_mut(), "administration");
    response
}

impl From<Refused> for ApiMistake {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused.refusal)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{
        administration::Ending,
        endpoints::admin::api_request::PATHS,
        grant::{EndReason, Rotation},
        history::{ANOTHER_LOGIN, DURING_LOGIN, ENDED_AGAIN, Event, Kind},
        identity::Identity,
        sign_out::LogoutInitiator,
    };

    #[test]
    fn the_document_describes_each_path_and_method_of_the_table_and_no_other() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        let described: BTreeSet<_> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                let methods = ["get", "post", "delete", "put", "patch"].into_iter().filter(|method| item.get(method).is_some());
                methods.map(|method| format!("{} {path}", method.to_uppercase())).collect::<Vec<_>>()
            })
            .collect();
        let served: BTreeSet<_> = PATHS
            .iter()
            .flat_map(|path| path.methods.iter().map(|method| format!("{method} {}", path.template)))
            .filter(|served| !served.starts_with("HEAD"))
            .collect();
        assert_eq!(described, served);
    }

    #[test]
    fn the_document_names_whatever_has_ended_a_grant_and_each_rotation() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let reasons: Vec<_> = EndReason::ALL.map(|reason| json!(reason.as_str())).into_iter().chain([Value::Null]).collect();
        let rotations = [Rotation::Unknown, Rotation::Reusable, Rotation::Rotating].map(Rotation::as_str);
        for schema in ["Session", "SessionOfGrant", "GrantDetails"] {
            let properties = &document["components"]["schemas"][schema]["properties"];
            assert_eq!(properties["endedBecause"]["enum"], json!(reasons), "{schema}");
            assert_eq!(properties["rotation"]["enum"], json!(rotations), "{schema}");
        }
    }

    #[test]
    fn the_document_names_each_reason_for_an_end() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let described =
            &document["components"]["schemas"]["Event"]["properties"]["why"]["oneOf"][1]["properties"]["code"]["enum"];
        let described: BTreeSet<_> = described.as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
        let logouts = LogoutInitiator::all().map(LogoutInitiator::as_str).chain([
            ANOTHER_LOGIN,
            DURING_LOGIN,
            ENDED_AGAIN,
            "by a newer release",
        ]);
        let others = [
            (Kind::Login, "denied", "group"),
            (Kind::Limit, "ok", "idle"),
            (Kind::Limit, "ok", "absolute"),
            (Kind::Limit, "ok", "duration"),
            (Kind::Limit, "ok", "token_expired"),
            (Kind::Renewal, "dead", "invalid_grant"),
            (Kind::Renewal, "dead", "no_refresh_token"),
            (Kind::Renewal, "dead", "identity_refused"),
            (Kind::Renewal, "dead", "other_provider"),
            (Kind::Renewal, "dead", "key_lost"),
            (Kind::Renewal, "ambiguous", "outcome_unknown"),
            (Kind::Renewal, "config", "invalid_client"),
        ];
        let told: BTreeSet<_> = logouts
            .map(|by| (Kind::Logout, "ok", by))
            .chain(others)
            .map(|(kind, outcome, reason)| {
                let event = Event::of(kind, GrantId([0; 16]), "", &Identity::default(), Timestamp(0)).because(reason);
                Event { outcome: outcome.to_owned(), ..event }
            })
            .flat_map(|event| [Event { code: Some("restored".to_owned()), ..event.clone() }, event])
            .map(|event| Ending::of(&event).unwrap().code())
            .collect();
        assert_eq!(described, told);
    }
}
