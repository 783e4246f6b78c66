//! Access tokens as API clients obtain them: JWTs, and opaque ones of which introspection tells.

use serde_json::{Value, json};

use super::{Idp, user};

impl Idp {
    /// A JWT for `audience` with these claims besides, or instead of, the usual ones; `null` leaves one out.
    pub fn signed_access_token(&self, audience: &str, claims: Value, header: Value) -> String {
        let state = self.state();
        let now = self.clock.now().seconds();
        let key = state.keys.first().unwrap();
        let mut all = user("ann");
        let usual = json!({
            "iss": self.issuer, "aud": audience, "iat": now, "exp": now + 300, "client_id": "cli", "scope": "openid read",
        });
        let mut head = json!({"alg": key.algorithm(), "typ": "at+jwt", "kid": key.jwk()["kid"]});
        all.as_object_mut().unwrap().extend(usual.as_object().unwrap().clone());
        for (target, edits) in [(&mut all, claims), (&mut head, header)] {
            for (name, value) in edits.as_object().unwrap() {
                target[name] = value.clone();
            }
            target.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        }
        key.sign_with_header(&head, &all)
    }

    /// What introspection says of this access token from now on.
    pub fn tell_of(&self, token: &str, told: Value) {
        self.state().opaque.insert(token.to_owned(), told);
    }
}
