//! Token exchange (RFC 8693), for two services that the client may have tokens for.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use evergate::secret::random_text;
use serde_json::json;

use super::{
    Idp, State,
    endpoints::{Fields, refuse},
};

pub(super) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

impl Idp {
    /// The parameters of the last exchange that came so far, without those that authenticate the client.
    pub fn last_exchange(&self) -> Fields {
        self.state().last_exchange.clone()
    }
}

pub(super) fn exchange(state: &mut State, form: &Fields) -> Response {
    let field = |name: &str| form.get(name).map(String::as_str);
    state.last_exchange = form.clone();
    let is_known = field("subject_token").is_some_and(|token| state.access.contains_key(token));
    if !is_known || [field("subject_token_type"), field("requested_token_type")] != [Some(ACCESS_TOKEN); 2] {
        return refuse(StatusCode::BAD_REQUEST, "invalid_request");
    }
    match (field("audience"), field("resource"), field("scope")) {
        (_, _, Some("admin")) => refuse(StatusCode::BAD_REQUEST, "invalid_scope"),
        (Some("billing"), None, scope) | (None, Some("https://files.example/"), scope) => {
            let token = format!("xt-{}", random_text::<24>());
            state.issued.push(token.clone());
            let mut answer = json!({"access_token": token, "issued_token_type": ACCESS_TOKEN, "token_type": "Bearer"});
            answer["expires_in"] = json!(120);
            answer["scope"] = json!(scope.unwrap_or("usual"));
            Json(answer).into_response()
        }
        (Some("payroll"), None, _) => refuse(StatusCode::FORBIDDEN, "access_denied"),
        _ => refuse(StatusCode::BAD_REQUEST, "invalid_target"),
    }
}
