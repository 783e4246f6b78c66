//! Security events (Shared Signals Framework 1.0): a transmitter tells what has happened to a user, an account, a credential or a device.

use std::time::Duration;

use super::{
    Deprovisioning,
    security_event::{Meaning, meaning},
    subject_identifier::SubjectError,
};
use crate::{
    clock::Timestamp,
    oidc::{EventDelivery, LEEWAY, Provider, SecurityEventRefusal},
    session::{EndSource, UserKey},
    sign_out::{EndExtent, UserEnd},
    store::StoreError,
};

/// Why a security event is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum SecurityEventError {
    /// It is not to be believed, or cannot be verified now.
    #[error(transparent)]
    Refused(#[from] SecurityEventRefusal),
    /// It is believed, and names nobody.
    #[error("its subject names no user: {0}")]
    Subject(SubjectError),
    /// The store could not record it; it should be sent again.
    #[error("the store could not record it")]
    Store(#[from] StoreError),
}

impl SecurityEventError {
    /// What the transmitter is told (RFC 8935 section 2.4, RFC 8936 section 2.6): little of why, because anybody may push an event. `None`:
    /// it is to send the event again.
    pub fn code(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Refused(SecurityEventRefusal::Malformed(_)) => {
                Some(("invalid_request", "The body is no acceptable security event token."))
            }
            Self::Refused(SecurityEventRefusal::Issuer) => Some(("invalid_issuer", "The issuer is not accepted.")),
            Self::Refused(SecurityEventRefusal::Audience) => Some(("invalid_audience", "The audience is another.")),
            Self::Refused(SecurityEventRefusal::Secret) => {
                Some(("authentication_failed", "The authorization header is not acceptable."))
            }
            Self::Refused(SecurityEventRefusal::Signature(_)) => Some(("invalid_key", "The signature cannot be verified.")),
            Self::Subject(SubjectError::OtherIssuer) => Some(("access_denied", "The subject is another issuer's user.")),
            Self::Subject(SubjectError::Malformed(_) | SubjectError::Unsupported) => {
                Some(("invalid_request", "The subject is malformed."))
            }
            Self::Store(error) if error.is_of_values() => Some(("invalid_request", "The event cannot be recorded.")),
            Self::Refused(SecurityEventRefusal::Unavailable(_)) | Self::Store(_) => None,
        }
    }
}

const SOURCE: EndSource = EndSource::SecurityEvent;

/// How long an event is remembered. One that is sent again later ends nothing that began since it was issued.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

impl Deprovisioning {
    /// Takes a security event, and does what it asks for. What is understood and does not concern anybody here is accepted.
    ///
    /// # Errors
    /// [`SecurityEventError`].
    pub async fn receive(&self, token: &str, delivery: EventDelivery<'_>) -> Result<(), SecurityEventError> {
        let request_id = delivery.request_id();
        let (token, concerned) = self.sign_out.providers.verify_security_event(token, delivery).await?;
        let (id, event) = (&*token.id, &*token.event_type);
        let ignore = |why: &str| {
            self.sign_out.metrics.user_end(SOURCE.as_str(), "ignored");
            tracing::info!(request.id = request_id, event.id = id, event.type = event, why, "a security event has ended nothing");
        };
        let now = self.sign_out.clock.now();
        let mut is_of_any = false;
        for provider in concerned {
            let meant = meaning(&token, |issuer| self.whose(provider, issuer));
            is_of_any |= meant != Err(SubjectError::OtherIssuer);
            let extents = match meant {
                Ok(Meaning::End(extent)) => vec![extent],
                Ok(Meaning::EndSessionOrUser(id)) => self.session_or_user(provider, id).await,
                Ok(Meaning::Nothing(why)) => {
                    ignore(why);
                    continue;
                }
                Ok(Meaning::Verification) => {
                    tracing::info!(
                        request.id = request_id,
                        event.id = id,
                        "a transmitter has verified that its security events arrive"
                    );
                    continue;
                }
                Ok(Meaning::StreamUpdated) => {
                    let status = token.event.get("status").and_then(serde_json::Value::as_str).unwrap_or_default();
                    tracing::warn!(
                        request.id = request_id,
                        event.id = id,
                        status,
                        "a transmitter has changed its stream of security events"
                    );
                    continue;
                }
                // A transmitter knows more kinds of subjects than a gateway does.
                Err(SubjectError::Unsupported) => {
                    ignore("its subject names no user whom a gateway could know");
                    continue;
                }
                // It may be a user of the next provider's.
                Err(SubjectError::OtherIssuer) => continue,
                Err(error @ SubjectError::Malformed(_)) => return Err(SecurityEventError::Subject(error)),
            };
            // Who has logged in since it was issued has proved themselves since.
            let sessions_until = token.issued_at.plus(LEEWAY);
            let until = (sessions_until.min(now), sessions_until);
            let order = format!("{} {} {id}", provider.client_id(), token.issuer);
            let (mut sessions, mut done) = (0, Ok(()));
            for extent in extents {
                // Each is an order of its own: what one has recorded must not pass for the other's repetition.
                let kind =
                    if matches!(extent, EndExtent::Logout { .. } | EndExtent::SessionOfUser { .. }) { " session" } else { "" };
                let order = (format!("{order}{kind}"), now.max(token.issued_at).plus(REMEMBERED));
                let end = UserEnd::of_event(provider, extent, SOURCE, until, order);
                sessions += self.sign_out.count_known(&end).await;
                done = done.and(self.sign_out.end_user(end).await);
            }
            if sessions == 0 {
                tracing::info!(
                    request.id = request_id, event.id = id, event.type = event,
                    "a security event is about a user or a session with no session here; logins and tokens that are older are refused"
                );
            } else {
                tracing::info!(request.id = request_id, event.id = id, event.type = event, sessions, "a security event ends a user's sessions");
            }
            done?;
        }
        if is_of_any { Ok(()) } else { Err(SecurityEventError::Subject(SubjectError::OtherIssuer)) }
    }

    /// What ends where an identifier is that of a session at the provider, or of a user. A session that is known here is meant alone. Of
    /// one that is not, a login may be under way: both are ended then, of which one at most is anybody's.
    async fn session_or_user(&self, provider: &Provider, id: String) -> Vec<EndExtent> {
        let of_session = EndExtent::Logout { subject: None, provider_session: Some(id.clone()) };
        let always = Timestamp(i64::MAX);
        let probe = UserEnd::of_event(provider, of_session.clone(), SOURCE, (always, always), (String::new(), always));
        if self.sign_out.count_known(&probe).await > 0 {
            return vec![of_session];
        }
        vec![of_session, EndExtent::Everything(vec![UserKey::Subject(id)])]
    }
}
