//! The authorization request and what its answer must prove (OIDC Core 3.1.2, RFC 7636, RFC 9207).

use openidconnect::{PkceCodeChallenge, PkceCodeVerifier};
use url::Url;

use super::discovery::Known;
use crate::secret::Secret;

/// What a login asks of the provider beyond the settings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ask<'a> {
    /// `prompt` (OIDC Core section 3.1.2.1): `none` for an answer without a word to the user.
    pub prompt: Option<&'static str>,
    /// `login_hint`: who the browser's user was, for a provider that knows several.
    pub login_hint: Option<&'a str>,
    /// `id_token_hint` (OIDC Core section 3.1.2.1): an ID token of that user's, were it expired. Recommended with `prompt=none`,
    /// and demanded by some.
    pub id_token_hint: Option<&'a Secret>,
}

/// Servers and proxies take an address of this length at the least (RFC 9110 section 4.1 names it for a whole request line).
const LONGEST: usize = 8 * 1024;

/// What one login's answer is held against. Whoever makes it gives nonce and verifier 256 bits of chance each.
#[derive(Clone, Debug)]
pub struct CallbackProof {
    /// `state`: comes back with the answer.
    pub state: Secret,
    /// `nonce`: comes back inside the ID token.
    pub nonce: Secret,
    /// PKCE's `code_verifier`: goes with the code.
    pub verifier: Secret,
}

/// The request for `proof` at a provider. The parameters that make it safe come last and replace any of the
/// administrator's of the same name (CV-20).
pub(super) fn authorization_url(known: &Known, client_id: &str, redirect_uri: &str, proof: &CallbackProof, ask: Ask<'_>) -> Url {
    let challenge = PkceCodeChallenge::from_code_verifier_sha256(&PkceCodeVerifier::new(proof.verifier.expose().to_owned()));
    let scope = known.plan.scopes.join(" ");
    let ours = [
        ("response_type", "code"),
        ("client_id", client_id),
        ("redirect_uri", redirect_uri),
        ("scope", &scope),
        ("state", proof.state.expose()),
        ("nonce", proof.nonce.expose()),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", challenge.method().as_str()),
    ];
    let mut url = known.authorization.clone();
    {
        let mut query = url.query_pairs_mut();
        for (name, value) in &known.plan.params {
            let asked = (name == "prompt" && ask.prompt.is_some())
                || (name == "login_hint" && ask.login_hint.is_some())
                || (name == "id_token_hint" && ask.id_token_hint.is_some());
            if !asked && !ours.iter().any(|(own, _)| own == name) {
                query.append_pair(name, value);
            }
        }
        query.extend_pairs(ask.prompt.map(|prompt| ("prompt", prompt)));
        query.extend_pairs(ask.login_hint.map(|hint| ("login_hint", hint)));
        query.extend_pairs(ours);
    }
    let Some(hint) = ask.id_token_hint else { return url };
    let mut hinted = url.clone();
    hinted.query_pairs_mut().append_pair("id_token_hint", hint.expose());
    if hinted.as_str().len() > LONGEST { url } else { hinted }
}
