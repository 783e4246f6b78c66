//! The provider's endpoints.

use std::{collections::HashMap, convert::Infallible, sync::Arc, time::Duration};

use axum::{
    Form, Json, Router,
    body::Body,
    extract::{Query, State as Shared},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::prelude::*;
use evergate::{
    oidc::DUMMY_REFRESH_TOKEN,
    secret::{random_text, sha256},
};
use futures_util::stream;
use serde_json::{Value, json};
use url::Url;

use super::{
    CLIENT_ID, Endpoint, Idp, Misbehaviour, Offline, Rotation, State, Token, client_check::authenticates, signing,
    token_exchange, unfinished,
};

type Provider = Shared<Arc<Idp>>;
pub(super) type Fields = HashMap<String, String>;

pub(super) fn router(idp: Arc<Idp>) -> Router {
    Router::new()
        .route("/.well-known/openid-configuration", get(metadata))
        .route("/common/.well-known/openid-configuration", get(metadata))
        .route("/authorize", get(authorize))
        .route("/jwks", get(jwks))
        .route("/token", post(token))
        .route("/moved/token", post(token))
        .route("/userinfo", get(userinfo))
        .route("/revoke", post(revoke))
        .route("/introspect", post(introspect))
        .route("/par", post(par))
        .route("/v1.0/me/getMemberObjects", post(graph))
        .with_state(idp)
}

/// Counts a call and does what the endpoint was told to; `work` is what it does when it behaves.
async fn answer(idp: &Idp, endpoint: Endpoint, work: impl FnOnce() -> Response) -> Response {
    let (behaves_as, misbehaviour) = {
        let mut state = idp.state();
        // A dummy is answered as a refresh is, unless the test says otherwise.
        let is_as_refresh = endpoint == Endpoint::Probe && !state.misbehaviour.contains_key(&endpoint);
        let behaves_as = if is_as_refresh { Endpoint::Refresh } else { endpoint };
        *state.calls.entry(endpoint).or_default() += 1;
        state.at_once += 1;
        state.most_at_once = state.most_at_once.max(state.at_once);
        (behaves_as, state.misbehaviour.get(&behaves_as).cloned())
    };
    // Also when its client goes away, which ends the call where it stands.
    let _under_way = UnderWay(idp);
    match misbehaviour {
        None => work(),
        Some(Misbehaviour::Slow(duration)) => {
            tokio::time::sleep(duration).await;
            work()
        }
        Some(Misbehaviour::Held) => {
            idp.until_let_go(behaves_as).await;
            work()
        }
        Some(Misbehaviour::HeldAnswer) => {
            let response = work();
            idp.until_let_go(behaves_as).await;
            response
        }
        Some(Misbehaviour::AtMost(most, duration)) => {
            if idp.state().at_once > most {
                idp.state().turned_away += 1;
                return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "1")]).into_response();
            }
            tokio::time::sleep(duration).await;
            work()
        }
        Some(Misbehaviour::SlowToAnswer(duration)) => {
            let response = work();
            tokio::time::sleep(duration).await;
            response
        }
        Some(Misbehaviour::Answer(status, body, headers)) => {
            let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            response
        }
        Some(Misbehaviour::WorkThenAnswer(status, body)) => {
            work();
            (StatusCode::from_u16(status).unwrap(), body).into_response()
        }
        Some(Misbehaviour::CutOff(status)) => unfinished::cut_off(status),
        Some(Misbehaviour::Unfinished(status)) => unfinished::stalled(status),
        Some(Misbehaviour::Endless) => {
            let piece = || async {
                tokio::time::sleep(Duration::from_millis(1)).await;
                Some((Ok::<_, Infallible>(vec![b' '; 65_536]), ()))
            };
            Body::from_stream(stream::unfold((), move |()| piece())).into_response()
        }
    }
}

struct UnderWay<'a>(&'a Idp);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.state().at_once -= 1;
    }
}

/// What a browser gets that nobody has logged in with: with `prompt=none` it is sent back, to an address that is registered alone.
/// Browsers of tests do without, by [`Idp::authorize`].
async fn authorize(Shared(idp): Provider, Query(query): Query<Fields>) -> Response {
    let pushed = query.get("request_uri").and_then(|reference| idp.state().pushed.remove(reference));
    let query = pushed.unwrap_or(query);
    let is_seated = idp.state().is_seated;
    if is_seated {
        let request = Url::parse_with_params(&format!("{}/authorize", idp.issuer), &query).unwrap();
        return (StatusCode::FOUND, [(header::LOCATION, idp.authorize(&request).await.to_string())]).into_response();
    }
    let redirect_uri = query.get("redirect_uri").map(String::as_str).unwrap_or_default();
    if !redirect_uri.starts_with("https://app.test/") {
        return (StatusCode::BAD_REQUEST, "this redirect_uri is not registered").into_response();
    }
    if query.get("prompt").map(String::as_str) != Some("none") {
        return "Who are you?".into_response();
    }
    let error = query.get("fails_with").map_or("login_required", String::as_str);
    let location = format!("{redirect_uri}?error={error}&state={}", query["state"]);
    (StatusCode::FOUND, [(header::LOCATION, location)]).into_response()
}

async fn metadata(Shared(idp): Provider) -> Response {
    let at = |path: &str| format!("{}/{path}", idp.issuer);
    let mut document = json!({
        "issuer": idp.issuer, "authorization_endpoint": at("authorize"), "token_endpoint": at("token"), "userinfo_endpoint": at("userinfo"),
        "jwks_uri": at("jwks"), "revocation_endpoint": at("revoke"), "end_session_endpoint": at("end_session"),
        "response_types_supported": ["code"], "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256", "RS256", "PS256", "ES384", "ES512", "EdDSA"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"], "authorization_response_iss_parameter_supported": true,
    });
    for (name, value) in idp.state().metadata.as_object().unwrap() {
        document[name] = value.clone();
    }
    document.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    answer(&idp, Endpoint::Discovery, || Json(document).into_response()).await
}

/// As the API server of Kubernetes has them, which gives keys to nobody who does not ask for their own media type.
async fn jwks(Shared(idp): Provider, headers: HeaderMap) -> Response {
    const MEDIA_TYPE: &str = "application/jwk-set+json";
    let accepted = headers.get(header::ACCEPT).map_or("*/*", |value| value.to_str().unwrap());
    if !accepted.split(',').any(|kind| [MEDIA_TYPE, "*/*"].contains(&kind.trim())) {
        return StatusCode::NOT_ACCEPTABLE.into_response();
    }
    let keys = idp.state().published.clone();
    answer(&idp, Endpoint::Jwks, || ([(header::CONTENT_TYPE, MEDIA_TYPE)], json!({"keys": keys}).to_string()).into_response())
        .await
}

pub(super) fn refuse(status: StatusCode, code: &str) -> Response {
    (status, Json(json!({"error": code, "error_description": "as the test asked"}))).into_response()
}

async fn token(Shared(idp): Provider, uri: Uri, headers: HeaderMap, Form(form): Form<Fields>) -> Response {
    if uri.path().contains("/moved/") != idp.state().has_moved {
        return StatusCode::NOT_FOUND.into_response();
    }
    let kind = form.get("grant_type").map(String::as_str);
    let endpoint = match (kind, form.get("refresh_token").map(String::as_str)) {
        (Some("refresh_token"), Some(DUMMY_REFRESH_TOKEN)) => Endpoint::Probe,
        (Some("refresh_token"), _) => Endpoint::Refresh,
        (Some(token_exchange::GRANT_TYPE), _) => Endpoint::Exchange,
        _ => Endpoint::Code,
    };
    answer(&idp, endpoint, || {
        let mut state = idp.state();
        if !authenticates(&idp, &mut state, &headers, &form) {
            return refuse(StatusCode::UNAUTHORIZED, &state.refuses_clients_with);
        }
        if endpoint == Endpoint::Exchange {
            return token_exchange::exchange(&mut state, &form);
        }
        if endpoint == Endpoint::Code { code(&idp, &mut state, &form) } else { refresh(&idp, &mut state, &form) }
    })
    .await
}

fn code(idp: &Idp, state: &mut State, form: &Fields) -> Response {
    let Some(details) = form.get("code").and_then(|code| state.codes.remove(code)) else {
        return refuse(StatusCode::BAD_REQUEST, "invalid_grant");
    };
    let verifier = form.get("code_verifier").map(String::as_str).unwrap_or_default();
    state.issued.push(verifier.to_owned());
    if BASE64_URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes())) != details["challenge"]
        || form.get("redirect_uri").map(String::as_str) != details["redirect_uri"].as_str()
    {
        return refuse(StatusCode::BAD_REQUEST, "invalid_grant");
    }
    state.families += 1;
    let family = state.families;
    let user = &details["user"];
    let asked = details["scope"].as_str().unwrap().contains("offline_access");
    let of_user = |token: &&Token| token.user["sub"] == user["sub"];
    let offline = match state.offline {
        Offline::Never => false,
        Offline::Scope | Offline::Newest => asked,
        Offline::Consent => {
            details["access_type"] == "offline"
                && (details["prompt"] == "consent" || !state.refresh.values().any(|token| of_user(&token)))
        }
    };
    if offline && state.offline == Offline::Newest {
        let older: Vec<_> =
            state.refresh.values().filter(of_user).map(|token| token.family).filter(|older| *older != family).collect();
        state.revoked_families.extend(older);
    }
    let new = offline.then(|| fresh(state, family, user));
    issue(idp, state, user, new, details["nonce"].as_str())
}

fn refresh(idp: &Idp, state: &mut State, form: &Fields) -> Response {
    let dead = || refuse(StatusCode::BAD_REQUEST, "invalid_grant");
    let now = idp.clock.now().0;
    let presented = form.get("refresh_token").cloned().unwrap_or_default();
    let rotation = state.rotation;
    if state.revoked.contains(&presented) {
        return dead();
    }
    let Some(token) = state.refresh.get_mut(&presented) else { return dead() };
    state.presented += 1;
    let (family, user, used_at) = (token.family, token.user.clone(), token.used_at);
    if state.revoked_families.contains(&family) {
        return dead();
    }
    let new = match (rotation, used_at) {
        (Rotation::Reusable | Rotation::Single, _) => None,
        (Rotation::Grace(grace), Some(at)) if now - at < i64::try_from(grace.as_millis()).unwrap() => Some(()),
        (Rotation::Unpunished, Some(_)) => return dead(),
        (Rotation::Strict | Rotation::Grace(_), Some(_)) => {
            state.reuses += 1;
            state.revoked_families.insert(family);
            return dead();
        }
        (Rotation::Strict | Rotation::Grace(_) | Rotation::Unpunished, None) => {
            token.used_at = Some(now);
            Some(())
        }
    };
    let new = new.map(|()| fresh(state, family, &user));
    state.renewed += 1;
    issue(idp, state, &user, new, None)
}

fn fresh(state: &mut State, family: u64, user: &Value) -> String {
    let token = format!("rt-{}", random_text::<24>());
    state.refresh.insert(token.clone(), Token { family, user: user.clone(), used_at: None });
    token
}

fn issue(idp: &Idp, state: &mut State, user: &Value, refresh: Option<String>, nonce: Option<&str>) -> Response {
    let now = idp.clock.now().seconds();
    let mut claims = user.clone();
    claims["iss"] = json!(idp.issuer);
    claims["aud"] = json!(CLIENT_ID);
    claims["iat"] = json!(now);
    claims["exp"] = json!(now + 300);
    if let Some(nonce) = nonce {
        claims["nonce"] = json!(nonce);
    }
    if let Some(edit) = &state.edit_id_token {
        edit(&mut claims);
    }
    let key = state.keys.first().unwrap();
    let mut header = json!({"alg": key.algorithm(), "typ": "JWT", "kid": key.jwk()["kid"]});
    if let Some(edit) = &state.edit_header {
        edit(&mut header);
    }
    let payload = claims.to_string();
    let payload = state.edit_payload.as_ref().map_or(payload.clone(), |edit| edit(payload));
    let id_token = key.sign_text(&header, &payload);
    let access = format!("at-{}", random_text::<24>());
    state.access.insert(access.clone(), user.clone());
    state.issued.extend([access.clone(), id_token.clone()]);
    state.issued.extend(refresh.clone());
    let mut answer = json!({"access_token": access, "token_type": "Bearer", "id_token": id_token});
    if let Some(life) = &state.life {
        answer["expires_in"] = life.clone();
    }
    if let Some(refresh) = refresh {
        answer["refresh_token"] = json!(refresh);
    }
    if let Some(edit) = &state.edit_answer {
        edit(&mut answer);
    }
    answer.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    signing::written(state, &answer)
}

async fn userinfo(Shared(idp): Provider, headers: HeaderMap) -> Response {
    answer(&idp, Endpoint::Userinfo, || {
        let state = idp.state();
        let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().unwrap().strip_prefix("Bearer "));
        match token.and_then(|token| state.access.get(token)) {
            Some(user) => {
                let mut claims = user.clone();
                if let Some(edit) = &state.edit_userinfo {
                    edit(&mut claims);
                }
                signing::userinfo(&idp, &state, claims)
            }
            None => StatusCode::UNAUTHORIZED.into_response(),
        }
    })
    .await
}

async fn revoke(Shared(idp): Provider, headers: HeaderMap, Form(form): Form<Fields>) -> Response {
    answer(&idp, Endpoint::Revocation, || {
        let mut state = idp.state();
        if !authenticates(&idp, &mut state, &headers, &form) {
            return refuse(StatusCode::UNAUTHORIZED, &state.refuses_clients_with);
        }
        let token = form["token"].clone();
        state.revoked.push(token);
        StatusCode::OK.into_response()
    })
    .await
}

/// Microsoft Graph, for the user of an access token.
async fn graph(Shared(idp): Provider, headers: HeaderMap, Json(asked): Json<Value>) -> Response {
    answer(&idp, Endpoint::Graph, || {
        let state = idp.state();
        let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().unwrap().strip_prefix("Bearer "));
        if !token.is_some_and(|token| state.access.contains_key(token)) || asked != json!({"securityEnabledOnly": false}) {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        Json(json!({"@odata.context": "Collection(Edm.String)", "value": state.graph_groups})).into_response()
    })
    .await
}

/// RFC 9126.
async fn par(Shared(idp): Provider, headers: HeaderMap, Form(form): Form<Fields>) -> Response {
    answer(&idp, Endpoint::Par, || {
        let mut state = idp.state();
        if !authenticates(&idp, &mut state, &headers, &form) {
            return refuse(StatusCode::UNAUTHORIZED, &state.refuses_clients_with);
        }
        if !form["redirect_uri"].starts_with("https://app.test/") || form.contains_key("request_uri") {
            return refuse(StatusCode::BAD_REQUEST, "invalid_request");
        }
        let reference = format!("urn:ietf:params:oauth:request_uri:{}", random_text::<16>());
        state.issued.extend([form["state"].clone(), form["nonce"].clone(), reference.clone()]);
        let request = form.into_iter().filter(|(name, _)| !name.starts_with("client_") || name == "client_id");
        let mut request: Fields = request.collect();
        // RFC 9126 section 2.1: who the client is, it has proved.
        request.insert("client_id".to_owned(), CLIENT_ID.to_owned());
        state.pushed.insert(reference.clone(), request);
        (StatusCode::CREATED, Json(json!({"request_uri": reference, "expires_in": 60}))).into_response()
    })
    .await
}

/// RFC 7662: asking uses nothing up.
async fn introspect(Shared(idp): Provider, headers: HeaderMap, Form(form): Form<Fields>) -> Response {
    answer(&idp, Endpoint::Introspection, || {
        let mut state = idp.state();
        if !authenticates(&idp, &mut state, &headers, &form) {
            return refuse(StatusCode::UNAUTHORIZED, &state.refuses_clients_with);
        }
        let presented = form.get("token").map(String::as_str).unwrap_or_default();
        if let Some(told) = state.opaque.get(presented) {
            return Json(told.clone()).into_response();
        }
        let lives = |token: &Token| token.used_at.is_none() && !state.revoked_families.contains(&token.family);
        let active = state.refresh.get(presented).is_some_and(lives) && !state.revoked.iter().any(|token| token == presented);
        Json(json!({ "active": active && !state.introspects_badly })).into_response()
    })
    .await
}
