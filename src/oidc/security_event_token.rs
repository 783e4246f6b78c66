//! Security event tokens (SET, RFC 8417), as transmitters of shared signals send them: which providers they concern, and whether they are
//! to be believed.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value};

use super::{
    EventError, LEEWAY, Provider, Providers,
    id_token::{VerifyError, audiences, check_clear, time},
};
use crate::{
    clock::Timestamp,
    jose::{JsonObject, SignedToken},
};

/// A security event whose transmitter is known.
#[derive(Clone, Debug, PartialEq)]
pub struct SecurityEventToken {
    /// The transmitter (`iss`).
    pub issuer: String,
    /// Its identifier (`jti`), which is unique at the transmitter.
    pub id: String,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// The type of the event, a URI.
    pub event_type: String,
    /// What the event says.
    pub event: Map<String, Value>,
    /// Whom it is about (RFC 9493), if that stands outside of the event.
    pub sub_id: Option<Value>,
}

/// How a security event has come.
#[derive(Clone, Copy, Debug)]
pub enum EventDelivery<'a> {
    /// It was pushed (RFC 8935).
    Pushed {
        /// The request's bearer token.
        bearer: Option<&'a str>,
        /// The URL that the request came to.
        endpoint: &'a str,
        /// The request's id, for the log.
        request_id: &'a str,
    },
    /// It was polled for, at the stream of this provider (RFC 8936): no other's users are meant, and no secret is to be brought.
    Polled(&'a Arc<Provider>),
}

impl<'a> EventDelivery<'a> {
    /// The id of the request by which it was pushed.
    pub fn request_id(&self) -> Option<&'a str> {
        match self {
            Self::Pushed { request_id, .. } => Some(request_id),
            Self::Polled(_) => None,
        }
    }
}

/// Why a security event is refused, by the codes of RFC 8935 section 2.4.
#[derive(Debug, thiserror::Error)]
pub enum SecurityEventRefusal {
    /// It is no security event (`invalid_request`).
    #[error("it is no security event token: {0}")]
    Malformed(VerifyError),
    /// It is of no transmitter of the settings (`invalid_issuer`).
    #[error("its iss is no provider's, and is not CODER_OIDC_EVENT_ISSUER_URL")]
    Issuer,
    /// It is for somebody else (`invalid_audience`).
    #[error("its aud is another receiver, and not in CODER_OIDC_EVENT_AUDIENCE")]
    Audience,
    /// The request does not bring the secret (`authentication_failed`).
    #[error("the request does not bring CODER_OIDC_EVENT_SECRET")]
    Secret,
    /// The transmitter's keys do not verify it (`invalid_key`).
    #[error("its signature cannot be verified")]
    Signature(#[source] VerifyError),
    /// It cannot be verified now, and should be sent again.
    #[error("it cannot be verified now: {0}")]
    Unavailable(String),
}

/// The type that makes it no other token of the provider's (RFC 8417 section 2.3), which Shared Signals require.
const TYPE: &str = "secevent+jwt";
/// How far ahead of this machine's clock a security event may be: transmitters do not send again what is refused, and it is no clock that
/// is further ahead.
const MAX_AHEAD: Duration = Duration::from_secs(24 * 3600);

impl Providers {
    /// Verifies a security event, and says which providers' users it may be about: those of the providers alone that the transmitter is
    /// configured for, and that the event is for.
    ///
    /// # Errors
    /// [`SecurityEventRefusal`].
    pub async fn verify_security_event<'a>(
        &'a self,
        token: &str,
        delivery: EventDelivery<'a>,
    ) -> Result<(SecurityEventToken, Vec<&'a Arc<Provider>>), SecurityEventRefusal> {
        let parsed = SignedToken::parse(token).map_err(|error| SecurityEventRefusal::Malformed(error.into()))?;
        let claims = parsed.unverified();
        let issuer = claims.members.get("iss").and_then(Value::as_str).unwrap_or_default();
        let mut concerned: Vec<_> = self.iter().filter(|provider| provider.is_event_issuer(issuer)).collect();
        let first = *concerned.first().ok_or(SecurityEventRefusal::Issuer)?;
        // Before anything that costs more than a comparison.
        concerned.retain(|provider| provider.takes(delivery));
        if concerned.is_empty() {
            return Err(SecurityEventRefusal::Secret);
        }
        let now = first.clock.now();
        let event = validate(&parsed, now).map_err(SecurityEventRefusal::Malformed)?;
        let audiences = audiences(claims);
        concerned.retain(|provider| audiences.iter().any(|audience| provider.is_event_audience(audience, delivery)));
        let verifier = concerned.first().ok_or(SecurityEventRefusal::Audience)?;
        verifier.verify_event_signature(token, claims).await.map_err(|error| match error {
            EventError::Refused(error) => SecurityEventRefusal::Signature(error),
            EventError::Unavailable(why) => SecurityEventRefusal::Unavailable(why),
        })?;
        Ok((event, concerned))
    }
}

impl Provider {
    /// Whether it takes events that come so.
    fn takes(self: &Arc<Self>, delivery: EventDelivery<'_>) -> bool {
        match delivery {
            EventDelivery::Pushed { bearer, .. } => self.takes_events_with(bearer),
            EventDelivery::Polled(by) => Arc::ptr_eq(self, by),
        }
    }

    fn is_event_audience(&self, audience: &str, delivery: EventDelivery<'_>) -> bool {
        let is_endpoint = match delivery {
            EventDelivery::Pushed { endpoint, .. } => audience == endpoint,
            EventDelivery::Polled(_) => false,
        };
        is_endpoint || audience == self.client_id() || self.settings.event_audiences.iter().any(|own| own == audience)
    }
}

/// Validates everything except issuer, audience and signature.
fn validate(token: &SignedToken<'_>, now: Timestamp) -> Result<SecurityEventToken, VerifyError> {
    let refused = |what| Err(VerifyError::Refused(what));
    if token.typ().as_deref() != Some(TYPE) {
        return refused("its typ is another token's");
    }
    let claims: &JsonObject = token.unverified();
    check_clear(claims, &["iss", "aud", "iat", "exp", "jti", "events", "sub_id"])?;
    let text = |name: &str| claims.members.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let (Some(issuer), Some(id)) = (text("iss"), text("jti")) else { return refused("it has no iss or no jti") };
    // An event stays true, so that its age is no matter: what began since is spared by whoever acts on it.
    let Some(issued_at) = time(claims, "iat") else { return refused("it has no iat that is a time") };
    if issued_at > now.plus(MAX_AHEAD) {
        return Err(VerifyError::OutsideValidity("it was issued more than a day in the future"));
    }
    if claims.has("exp") && time(claims, "exp").is_none_or(|expires_at| now >= expires_at.plus(LEEWAY)) {
        return Err(VerifyError::OutsideValidity("it has expired"));
    }
    let Some(Value::Object(events)) = claims.members.get("events") else { return refused("its events are no object") };
    let mut events = events.iter();
    let (Some((event_type, Value::Object(event))), None) = (events.next(), events.next()) else {
        return refused("it has not one event, which is an object");
    };
    Ok(SecurityEventToken {
        issuer: issuer.to_owned(),
        id: id.to_owned(),
        issued_at,
        event_type: event_type.clone(),
        event: event.clone(),
        sub_id: claims.members.get("sub_id").filter(|subject| !subject.is_null()).cloned(),
    })
}
