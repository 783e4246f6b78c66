//! The authorization endpoint, as a browser and its person use it.

use std::collections::HashMap;

use evergate::secret::random_text;
use serde_json::{Value, json};
use url::Url;

use super::{CLIENT_ID, Idp};

impl Idp {
    /// Does at the authorization endpoint what the present user's browser, and its person where one is needed, would;
    /// returns where it is sent.
    pub async fn authorize(&self, request: &Url) -> Url {
        let user = self.state().user.clone();
        self.authorize_as(&user, request).await
    }

    /// The same for somebody else.
    pub async fn authorize_as(&self, user: &Value, request: &Url) -> Url {
        assert_eq!(format!("{}/authorize", self.issuer), format!("{}{}", request.origin().ascii_serialization(), request.path()));
        let mut query: HashMap<_, _> = request.query_pairs().into_owned().collect();
        if let Some(reference) = query.get("request_uri") {
            assert_eq!((query.len(), query["client_id"].as_str()), (2, CLIENT_ID), "a reference and nothing else");
            query = self.state().pushed.remove(reference).expect("a reference that was not used before");
        } else {
            assert_ne!(self.state().metadata["require_pushed_authorization_requests"], true, "only pushed requests are taken");
        }
        assert_eq!(query["response_type"], "code");
        assert_eq!(query["code_challenge_method"], "S256");
        assert_eq!(query["client_id"], CLIENT_ID);
        let prompt = query.get("prompt").map(String::as_str).unwrap_or_default();
        let code = random_text::<16>();
        let mut state = self.state();
        state.passes += 1;
        state.issued.extend([code.clone(), query["state"].clone(), query["nonce"].clone()]);
        let known = state.browsers.contains(user["sub"].as_str().unwrap());
        let asks = !known || state.wants_consent || matches!(prompt, "login" | "consent");
        let answer = if asks && prompt == "none" {
            ("error", if known { "consent_required" } else { "login_required" }.to_owned())
        } else {
            state.prompts += usize::from(asks);
            state.wants_consent = false;
            state.browsers.insert(user["sub"].as_str().unwrap().to_owned());
            let details = json!({
                "user": user, "nonce": query["nonce"], "challenge": query["code_challenge"], "redirect_uri": query["redirect_uri"],
                "scope": query["scope"], "access_type": query.get("access_type"), "prompt": prompt,
            });
            state.codes.insert(code.clone(), details);
            ("code", code)
        };
        Url::parse_with_params(
            &query["redirect_uri"],
            [(answer.0, answer.1.as_str()), ("state", &query["state"]), ("iss", &self.issuer)],
        )
        .unwrap()
    }
}
