//! How a terminal gets a token (`evergate login`): its user agrees in a browser that is signed in, and the browser brings a code that
//! the terminal redeems. As with PKCE (RFC 7636, RFC 8252), the code is worth nothing without the verifier, which never leaves the
//! terminal, so that whoever sees the code on its way gets no token.
//!
//! The code is sealed, and any replica redeems it. With the token it is stored that it was redeemed.

use std::time::Duration;

use base64::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Made, NotMade, PersonalTokens, Wanted};
use crate::{
    clock::Timestamp,
    grant::Grant,
    secret::{Secret, random_text, sha256},
    session::{PersonalToken, SessionHash},
};

const CONTEXT: &str = "terminal code";
/// How long a code may be redeemed: it is copied by hand where no browser can bring it.
const LIFE: Duration = Duration::from_secs(300);
/// A challenge is the hash of a verifier in base64url (RFC 7636 section 4.2).
const CHALLENGE: usize = 43;

/// What a terminal asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TerminalRequest {
    /// What the token is to be called.
    pub wanted: Wanted,
    /// The hash of the terminal's verifier.
    pub challenge: String,
    /// The port of this machine's loopback where the terminal waits; without one the user copies the code.
    pub port: Option<u16>,
    /// What the terminal recognises its own request by.
    pub state: String,
}

#[derive(Serialize, Deserialize)]
struct Code {
    /// The session in which the user agreed.
    session: [u8; 32],
    challenge: String,
    name: String,
    site: String,
    seconds: Option<u64>,
    routes: Vec<String>,
    /// Tells it from every other code.
    nonce: String,
    at: i64,
}

impl TerminalRequest {
    /// Reads the parameters of a request at a site, of which anybody may have made the link.
    ///
    /// # Errors
    /// What is wrong.
    pub fn parse(site: &str, parameter: impl Fn(&str) -> Option<String>) -> Result<Self, &'static str> {
        let challenge = parameter("code_challenge").unwrap_or_default();
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if challenge.len() != CHALLENGE || !is_plain(&challenge) {
            return Err("code_challenge is not the hash of a verifier");
        }
        let port = match parameter("port").map(|port| port.parse::<u16>()) {
            None => None,
            Some(Ok(port)) if port >= 1024 => Some(port),
            Some(_) => return Err("port is none that a terminal listens on"),
        };
        let state = parameter("state").unwrap_or_default();
        if state.len() > 100 || !is_plain(&state) {
            return Err("state is too long, or has odd characters");
        }
        let lifetime = parameter("days").map(|days| super::days(&days).ok_or("days is no number")).transpose()?;
        let routes = parameter("route").into_iter().collect();
        let name = parameter("name").unwrap_or_default().trim().to_owned();
        Ok(Self { wanted: Wanted { name, site: site.to_owned(), lifetime, routes }, challenge, port, state })
    }

    /// The parameters that [`Self::parse`] reads the same request from, and no other: anybody may have written more into the link. They
    /// stand as `evergate login` writes them.
    pub fn parameters(&self) -> Vec<(&'static str, String)> {
        let Wanted { name, lifetime, routes, .. } = &self.wanted;
        let mut parameters = vec![("name", name.clone())];
        parameters.extend([("code_challenge", self.challenge.clone()), ("state", self.state.clone())]);
        parameters.extend(lifetime.map(|lifetime| ("days", super::in_days(lifetime).to_string())));
        parameters.extend(routes.iter().map(|route| ("route", route.clone())));
        parameters.extend(self.port.map(|port| ("port", port.to_string())));
        parameters
    }
}

impl PersonalTokens {
    /// The code for a terminal whose user has agreed in this session.
    ///
    /// # Errors
    /// [`NotMade::Unfit`], [`NotMade::Code`].
    pub fn code(&self, session: SessionHash, request: &TerminalRequest) -> Result<Secret, NotMade> {
        self.checked(&request.wanted)?;
        let code = Code {
            session: session.0,
            challenge: request.challenge.clone(),
            name: request.wanted.name.clone(),
            site: request.wanted.site.clone(),
            seconds: request.wanted.lifetime.map(|lifetime| lifetime.as_secs()),
            routes: request.wanted.routes.clone(),
            nonce: random_text::<16>(),
            at: self.clock.now().0,
        };
        let plain = serde_json::to_vec(&code).map_err(|_| NotMade::Code("it cannot be written"))?;
        let sealed = self.keys.seal(CONTEXT, &plain).map_err(|_| NotMade::Code("it cannot be sealed"))?;
        Ok(Secret::new(BASE64_URL_SAFE_NO_PAD.encode(sealed)))
    }

    /// Redeems a code with the verifier of the terminal that asked for it.
    ///
    /// # Errors
    /// [`NotMade`].
    pub async fn redeem(&self, code: &str, verifier: &str) -> Result<Made, NotMade> {
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(code.trim()).map_err(|_| NotMade::Code("it is none of ours"))?;
        let plain = self.keys.open(CONTEXT, &sealed).map_err(|_| NotMade::Code("it is none of ours"))?;
        let code: Code = serde_json::from_slice(&plain).map_err(|_| NotMade::Code("it is none of ours"))?;
        if self.clock.now() >= Timestamp(code.at).plus(LIFE) {
            return Err(NotMade::Code("it is too old"));
        }
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(sha256(verifier.as_bytes()));
        if aws_lc_rs::constant_time::verify_slices_are_equal(challenge.as_bytes(), code.challenge.as_bytes()).is_err() {
            return Err(NotMade::Code("another terminal asked for it"));
        }
        let wanted =
            Wanted { name: code.name, site: code.site, lifetime: code.seconds.map(Duration::from_secs), routes: code.routes };
        let made_from = SessionHash(code.session);
        let grant = self.grant_of(made_from).await?;
        // Its token may have been ended meanwhile, and must not come back.
        let once = (sha256(&[b"terminal code", code.nonce.as_bytes()].concat()), Timestamp(code.at).plus(LIFE));
        self.save(made_from, &wanted, grant.as_ref(), once, PersonalToken::fresh()).await
    }

    /// Whose token it is becomes part of the history.
    async fn grant_of(&self, session: SessionHash) -> Result<Option<Grant>, NotMade> {
        let Some(session) = self.store.session(session).await? else { return Err(NotMade::SessionEnded) };
        Ok(self.store.grant(session.grant).await?)
    }
}
