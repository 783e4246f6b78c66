//! The demonstration's identity provider: two people, one client, tokens that live for seconds.

use std::{collections::HashMap, sync::Arc, time::Duration};

use axum::{
    Form, Json, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, Uri, header},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use base64::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::{
    clock::Clock,
    identity::Identity,
    jose::{Algorithm, SigningKey},
    lock::{Mutex, MutexGuard},
    secret::{Secret, random_text, sha256},
};

/// How long access tokens live.
pub const ACCESS_TOKEN_LIFE: Duration = Duration::from_secs(30);

pub(super) const CLIENT_ID: &str = "demo";
const COOKIE: &str = "demo_provider_session";
const CHOOSE: &str = include_str!("choose.html");

/// Somebody of the made history, whose grant can be renewed.
#[derive(Debug)]
pub(super) struct MadePerson {
    pub(super) identity: Identity,
    pub(super) refresh_token: Secret,
}

struct Person {
    id: String,
    name: String,
    groups: Vec<String>,
}

/// Who can be chosen.
const PEOPLE: [(&str, &str, &[&str]); 2] =
    [("maya", "Maya Lindqvist", &["engineering", "on-call"]), ("tomas", "Tomás Rivera", &["design"])];

struct DemoProvider {
    issuer: String,
    app: String,
    key: SigningKey,
    /// Those who can be chosen, and then those of the made history.
    people: Vec<Person>,
    state: Mutex<DemoState>,
}

#[derive(Default)]
struct DemoState {
    /// The person of each session at the provider, by the session cookie's value.
    sessions: HashMap<String, usize>,
    codes: HashMap<String, IssuedCode>,
    refresh_tokens: HashMap<String, usize>,
    access_tokens: HashMap<String, usize>,
}

struct IssuedCode {
    person: usize,
    nonce: Option<String>,
    challenge: String,
    redirect_uri: String,
}

type Shared = State<Arc<DemoProvider>>;

/// The provider's endpoints. `app` is the only origin that it redirects browsers to.
pub(super) fn router(issuer: &str, app: &str, made: Vec<MadePerson>) -> anyhow::Result<Router> {
    let owned = |text: &str| text.to_owned();
    let mut people: Vec<_> = PEOPLE
        .iter()
        .map(|(id, name, groups)| Person {
            id: owned(id),
            name: owned(name),
            groups: groups.iter().map(|group| owned(group)).collect(),
        })
        .collect();
    let mut state = DemoState::default();
    for MadePerson { identity, refresh_token } in made {
        state.refresh_tokens.insert(refresh_token.expose().to_owned(), people.len());
        people.push(Person { id: identity.subject, name: identity.name.unwrap_or_default(), groups: identity.groups });
    }
    let provider = DemoProvider {
        issuer: issuer.to_owned(),
        app: app.to_owned(),
        key: SigningKey::generate("demo")?,
        people,
        state: Mutex::new(state),
    };
    Ok(Router::new()
        .route("/.well-known/openid-configuration", get(metadata))
        .route("/jwks", get(jwks))
        .route("/authorize", get(authorize))
        .route("/token", post(token))
        .route("/userinfo", get(userinfo))
        .route("/revoke", post(revoke))
        .route("/logout", get(logout))
        .with_state(Arc::new(provider)))
}

impl DemoProvider {
    fn state(&self) -> MutexGuard<'_, DemoState> {
        self.state.lock()
    }

    /// The token response for `person`, with a new refresh token.
    fn issue(&self, person: usize, nonce: Option<&str>) -> Option<Json<Value>> {
        let who = self.people.get(person)?;
        let now = Clock::System.now().seconds();
        let (access, refresh) = (random_text::<24>(), random_text::<24>());
        let mut claims = profile(who);
        if let Some(members) = claims.as_object_mut() {
            members.extend([
                ("iss".to_owned(), json!(self.issuer)),
                ("aud".to_owned(), json!(CLIENT_ID)),
                ("iat".to_owned(), json!(now)),
                ("exp".to_owned(), json!(now + 300)),
            ]);
            members.extend(nonce.map(|nonce| ("nonce".to_owned(), json!(nonce))));
        }
        let id_token = self.key.sign(Algorithm::Es256, &claims).ok()?;
        let mut state = self.state();
        state.access_tokens.insert(access.clone(), person);
        state.refresh_tokens.insert(refresh.clone(), person);
        Some(Json(json!({
            "access_token": access, "token_type": "Bearer", "expires_in": ACCESS_TOKEN_LIFE.as_secs(),
            "refresh_token": refresh, "id_token": id_token, "scope": "openid profile email offline_access",
        })))
    }
}

fn profile(who: &Person) -> Value {
    json!({
        "sub": who.id, "name": who.name, "preferred_username": who.id,
        "email": format!("{}@example.com", who.id), "email_verified": true, "groups": who.groups,
    })
}

async fn metadata(State(provider): Shared) -> Json<Value> {
    let at = |path: &str| format!("{}/{path}", provider.issuer);
    Json(json!({
        "issuer": provider.issuer, "authorization_endpoint": at("authorize"), "token_endpoint": at("token"),
        "userinfo_endpoint": at("userinfo"), "jwks_uri": at("jwks"), "revocation_endpoint": at("revoke"), "end_session_endpoint": at("logout"),
        "response_types_supported": ["code"], "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"], "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
    }))
}

async fn jwks(State(provider): Shared) -> Json<Value> {
    Json(json!({"keys": [provider.key.jwk()]}))
}

#[derive(Deserialize)]
struct Authorize {
    client_id: String,
    redirect_uri: String,
    state: String,
    nonce: Option<String>,
    code_challenge: String,
    prompt: Option<String>,
    /// Set by the page on which the person is chosen.
    person: Option<usize>,
}

/// Redirects a browser with a session straight back, and lets any other choose a person.
async fn authorize(State(provider): Shared, Query(query): Query<Authorize>, headers: HeaderMap, uri: Uri) -> Response {
    if query.client_id != CLIENT_ID || !query.redirect_uri.starts_with(&format!("{}/", provider.app)) {
        return (StatusCode::BAD_REQUEST, "unknown client or redirect_uri").into_response();
    }
    let known = session_of(&headers).and_then(|session| provider.state().sessions.get(session).copied());
    let back = |answer: (&str, &str)| {
        let back = [answer, ("state", &query.state), ("iss", &provider.issuer)];
        Url::parse_with_params(&query.redirect_uri, back).ok()
    };
    let Some(person) = query.person.filter(|person| *person < PEOPLE.len()).or(known) else {
        if query.prompt.as_deref() == Some("none") {
            return back(("error", "login_required"))
                .map_or_else(|| StatusCode::BAD_REQUEST.into_response(), |back| Redirect::to(back.as_str()).into_response());
        }
        return Html(choose_page(uri.query().unwrap_or_default())).into_response();
    };
    let (session, code) = (random_text::<24>(), random_text::<24>());
    {
        let mut state = provider.state();
        state.sessions.insert(session.clone(), person);
        state.codes.insert(
            code.clone(),
            IssuedCode {
                person,
                nonce: query.nonce.clone(),
                challenge: query.code_challenge.clone(),
                redirect_uri: query.redirect_uri.clone(),
            },
        );
    }
    let Some(back) = back(("code", &code)) else { return StatusCode::BAD_REQUEST.into_response() };
    ([(header::SET_COOKIE, format!("{COOKIE}={session}; Path=/; HttpOnly; SameSite=Lax"))], Redirect::to(back.as_str()))
        .into_response()
}

fn choose_page(query: &str) -> String {
    let cards = PEOPLE.iter().enumerate().map(|(at, (_, name, groups))| {
        let initial = name.chars().next().unwrap_or(' ');
        let href = format!("/authorize?{query}&person={at}").replace('&', "&amp;").replace('"', "&quot;");
        format!(
            r#"<a class="person" href="{href}"><span>{initial}</span><b>{}</b><small>{}</small></a>"#,
            name,
            groups.join(", ")
        )
    });
    CHOOSE.replace("{people}", &cards.collect::<String>())
}

fn session_of(headers: &HeaderMap) -> Option<&str> {
    let line = headers.get(header::COOKIE)?.to_str().ok()?;
    line.split(';').filter_map(|pair| pair.trim().split_once('=')).find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

#[derive(Deserialize)]
struct TokenRequest {
    grant_type: String,
    client_id: Option<String>,
    code: Option<String>,
    code_verifier: Option<String>,
    redirect_uri: Option<String>,
    refresh_token: Option<String>,
}

async fn token(State(provider): Shared, Form(form): Form<TokenRequest>) -> Response {
    let error = |code: &str| (StatusCode::BAD_REQUEST, Json(json!({"error": code}))).into_response();
    if form.client_id.as_deref() != Some(CLIENT_ID) {
        return error("invalid_client");
    }
    let issued = match form.grant_type.as_str() {
        "authorization_code" => {
            let code = form.code.and_then(|code| provider.state().codes.remove(&code));
            let proves = |code: &IssuedCode| {
                form.code_verifier
                    .as_deref()
                    .is_some_and(|verifier| BASE64_URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes())) == code.challenge)
            };
            match code {
                Some(code) if proves(&code) && form.redirect_uri.as_deref() == Some(code.redirect_uri.as_str()) => {
                    provider.issue(code.person, code.nonce.as_deref())
                }
                Some(_) | None => return error("invalid_grant"),
            }
        }
        "refresh_token" => {
            // A refresh token is good for one use; a second one is refused.
            let person = form.refresh_token.and_then(|token| provider.state().refresh_tokens.remove(&token));
            match person {
                Some(person) => provider.issue(person, None),
                None => return error("invalid_grant"),
            }
        }
        _ => return error("unsupported_grant_type"),
    };
    issued.map_or_else(|| StatusCode::INTERNAL_SERVER_ERROR.into_response(), IntoResponse::into_response)
}

async fn userinfo(State(provider): Shared, headers: HeaderMap) -> Response {
    let token = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    let person = token.and_then(|token| provider.state().access_tokens.get(token).copied());
    match person.and_then(|person| provider.people.get(person)) {
        Some(who) => Json(profile(who)).into_response(),
        None => StatusCode::UNAUTHORIZED.into_response(),
    }
}

#[derive(Deserialize)]
struct Revoke {
    token: String,
}

async fn revoke(State(provider): Shared, Form(form): Form<Revoke>) -> StatusCode {
    provider.state().refresh_tokens.remove(&form.token);
    StatusCode::OK
}

#[derive(Deserialize)]
struct Logout {
    post_logout_redirect_uri: Option<String>,
    state: Option<String>,
}

async fn logout(State(provider): Shared, Query(query): Query<Logout>, headers: HeaderMap) -> Response {
    if let Some(session) = session_of(&headers) {
        provider.state().sessions.remove(session);
    }
    let back = query.post_logout_redirect_uri.filter(|uri| uri.starts_with(&format!("{}/", provider.app)));
    let back = Url::parse(&back.unwrap_or_else(|| format!("{}/", provider.app)));
    let Ok(mut back) = back else { return StatusCode::BAD_REQUEST.into_response() };
    if let Some(state) = query.state {
        back.query_pairs_mut().append_pair("state", &state);
    }
    Redirect::to(back.as_str()).into_response()
}
