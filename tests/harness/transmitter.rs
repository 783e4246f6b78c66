//! A transmitter of security events (Shared Signals Framework 1.0) that is no provider: it has an issuer with a path, and keys of its own.

use std::sync::Arc;

use axum::{Json, Router, routing::get};
use evergate::{clock::Clock, secret::random_text};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::idp::Signer;

pub struct Transmitter {
    issuer: String,
    clock: Clock,
    key: Arc<std::sync::Mutex<Signer>>,
}

impl Transmitter {
    pub async fn start(clock: Clock) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let (issuer, key) = (format!("{origin}/tenant"), Signer::generate("ES256", "transmitter-1"));
        let keys = json!({"keys": [key.jwk()]});
        let metadata = json!({"issuer": issuer, "jwks_uri": format!("{origin}/keys"), "spec_version": "1_0"});
        let router = Router::new()
            .route("/.well-known/ssf-configuration/tenant", get(move || async move { Json(metadata) }))
            .route("/keys", get(move || async move { Json(keys) }));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { issuer, clock, key: Arc::new(std::sync::Mutex::new(key)) }
    }

    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// A security event with these claims and header members besides, or instead of, the usual ones; `null` leaves one out.
    pub fn event(&self, claims: Value, header: Value) -> String {
        let mut all = json!({"iss": self.issuer, "iat": self.clock.now().seconds(), "jti": random_text::<8>()});
        let mut head = json!({"alg": "ES256", "typ": "secevent+jwt", "kid": "transmitter-1"});
        for (target, edits) in [(&mut all, claims), (&mut head, header)] {
            for (name, value) in edits.as_object().unwrap() {
                target[name] = value.clone();
            }
            target.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        }
        self.key.lock().unwrap().sign_with_header(&head, &all)
    }
}
