//! How the provider authenticates its client: by one method, and by no other.

use std::collections::HashMap;

use axum::http::{HeaderMap, header};
use base64::prelude::*;
use evergate::{
    jose::{Algorithm, KeySet, SignedToken, UnknownKeyIds, VerificationOptions},
    secret::Secret,
};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::{CLIENT_ID, Idp, State};

/// The method that the client is registered with.
#[derive(Default, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCheck {
    #[default]
    Basic,
    /// Compares what is in the header without decoding it.
    BasicUndecoded,
    Post,
    /// Assertions that are signed with the secret, for this audience.
    SecretJwt(Audience),
    /// Assertions that are signed with a registered key, for this audience.
    PrivateKeyJwt(Audience),
    /// A public client.
    Public,
}

/// The audience that assertions must name, as one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    TokenEndpoint,
    Issuer,
}

type Form = HashMap<String, String>;

/// Whether a request is the client's. One that uses two methods is not (RFC 6749 section 2.3).
pub(super) fn authenticates(idp: &Idp, state: &mut State, headers: &HeaderMap, form: &Form) -> bool {
    let basic = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap());
    let [secret, assertion, id] =
        ["client_secret", "client_assertion", "client_id"].map(|name| form.get(name).map(String::as_str));
    if id.is_some_and(|id| id != CLIENT_ID) {
        return false;
    }
    let encode = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
    let header = |id: String, secret: String| format!("Basic {}", BASE64_STANDARD.encode(format!("{id}:{secret}")));
    match (state.client_check, basic, secret, assertion) {
        (ClientCheck::Basic, Some(basic), None, None) => basic == header(encode(CLIENT_ID), encode(&state.secret)),
        (ClientCheck::BasicUndecoded, Some(basic), None, None) => basic == header(CLIENT_ID.to_owned(), state.secret.clone()),
        (ClientCheck::Post, None, Some(secret), None) => id.is_some() && secret == state.secret,
        (ClientCheck::SecretJwt(audience) | ClientCheck::PrivateKeyJwt(audience), None, None, Some(assertion)) => {
            form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
                && accepts(idp, state, audience, assertion)
        }
        (ClientCheck::Public, None, None, None) => id.is_some(),
        _ => false,
    }
}

/// RFC 7523 section 3, with all that is optional in it.
fn accepts(idp: &Idp, state: &mut State, audience: Audience, assertion: &str) -> bool {
    state.issued.push(assertion.to_owned());
    state.last_assertion = assertion.to_owned();
    let secret = Secret::new(state.secret.clone());
    let algorithms: &[Algorithm] = match state.client_check {
        ClientCheck::PrivateKeyJwt(_) => &Algorithm::ASYMMETRIC,
        ClientCheck::SecretJwt(_)
        | ClientCheck::Basic
        | ClientCheck::BasicUndecoded
        | ClientCheck::Post
        | ClientCheck::Public => &[Algorithm::Hs256],
    };
    let keys = KeySet::parse(json!({"keys": state.client_keys}).to_string().as_bytes()).unwrap();
    let options = VerificationOptions {
        algorithms,
        keys: &keys,
        key_issuer: None,
        unknown_key_ids: UnknownKeyIds::Reject,
        secrets: &[&secret],
    };
    let Ok((claims, _)) = SignedToken::parse(assertion).unwrap().verify(options) else { return false };
    let claims = claims.members;
    let audience = match audience {
        Audience::TokenEndpoint => format!("{}/token", idp.issuer),
        Audience::Issuer => idp.issuer.clone(),
    };
    let (now, time) = (idp.clock.now().seconds(), |name: &str| claims[name].as_i64().unwrap());
    claims["iss"] == CLIENT_ID
        && claims["sub"] == CLIENT_ID
        && claims["aud"] == Value::String(audience)
        && time("iat") <= now
        && time("nbf") <= now
        && (now + 1..=now + 60).contains(&time("exp"))
        && state.assertions.insert(claims["jti"].as_str().unwrap().to_owned())
}

impl Idp {
    /// Registers the client with this method.
    pub fn check_client(&self, check: ClientCheck) {
        self.state().client_check = check;
    }

    /// Registers these public keys of the client, and forgets all others.
    pub fn register_client_keys(&self, keys: &[Value]) {
        self.state().client_keys = keys.to_vec();
    }

    /// The header of the client's last assertion.
    pub fn last_assertion_header(&self) -> Value {
        let state = self.state();
        let header = state.last_assertion.split('.').next().unwrap();
        serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap()
    }
}
