//! The log line of each refusal: its cause, once, where it is handled.

use super::Refusal;
use crate::{
    bearer::TokenRefusal, exchange::Exchange, policy::Denied, sign_in::CallbackError, store::StoreError, telemetry::logs::causes,
};

impl Refusal {
    /// Logs the cause.
    pub(super) fn log(&self, exchange: &Exchange) {
        let id = exchange.id_text();
        match self {
            Self::SignIn(reason, _) | Self::SignInNeeded(reason) | Self::TokenNeeded(reason) => {
                tracing::debug!(request.id = id, reason = reason.as_str(), "sign-in needed")
            }
            Self::SignInDoesNotLast(reason) => {
                tracing::error!(request.id = id, reason = reason.as_str(), "a grant ended as soon as it was obtained")
            }
            Self::SignInNotKept(reason) => tracing::warn!(
                request.id = id,
                reason = reason.as_str(),
                "a browser has signed in again and again and brings no session cookie, or two different ones"
            ),
            Self::AccessWithdrawn(reason) => {
                tracing::info!(request.id = id, reason = reason.as_str(), "the provider ended a grant shortly after it gave it")
            }
            Self::LogoutToken(error) => tracing::warn!(request.id = id, %error, "a logout token was refused"),
            Self::Misdirected => tracing::info!(
                request.id = id,
                server.address = exchange.origin.host,
                "a request names a host that is none of the sites"
            ),
            Self::BadRequest(why) => tracing::debug!(request.id = id, why, "bad request"),
            Self::Unreadable(status) => tracing::debug!(request.id = id, status, "a request that cannot be read"),
            // The server warns of it.
            Self::Full => tracing::debug!(request.id = id, "all client connections are in use"),
            Self::HeadTooLarge => tracing::debug!(request.id = id, "a request with too large a head"),
            Self::MethodNotAllowed
            | Self::NoSuchPage
            | Self::NavigationRequired
            | Self::WorkerReads
            | Self::FormExpired
            | Self::RedirectToAccessUrl => {}
            // Logged where it is judged, with what was judged.
            Self::Denied(Denied::CrossOrigin | Denied::Origin, _) => {}
            Self::Denied(denied @ (Denied::GroupsUnknown | Denied::ForeignAddress), _)
            | Self::Callback(CallbackError::Denied(denied @ (Denied::GroupsUnknown | Denied::ForeignAddress), _)) => {
                tracing::warn!(request.id = id, reason = denied.as_str(), %denied, "access denied")
            }
            Self::Denied(
                denied @ (Denied::EmailNotVerified
                | Denied::EmailDomain
                | Denied::Provider
                | Denied::Group
                | Denied::Claim
                | Denied::Deprovisioned
                | Denied::Network
                | Denied::Destination
                | Denied::Method),
                _,
            )
            | Self::Callback(CallbackError::Denied(denied, _)) => {
                tracing::info!(request.id = id, reason = denied.as_str(), %denied, "access denied")
            }
            Self::Token(TokenRefusal::Invalid(error)) => tracing::info!(request.id = id, %error, "a bearer token is refused"),
            Self::Token(TokenRefusal::Denied(denied)) => {
                tracing::info!(request.id = id, error = %denied, "a bearer token is refused")
            }
            Self::Token(TokenRefusal::Unavailable(why)) => {
                tracing::warn!(request.id = id, why, "a bearer token cannot be verified")
            }
            // That the store is away is said once, when it is found out.
            Self::StoreUnavailable(error @ StoreError::KnownUnavailable { .. })
            | Self::Callback(CallbackError::Store(error @ StoreError::KnownUnavailable { .. })) => {
                tracing::debug!(request.id = id, error = causes(error), "the store is known to be away")
            }
            Self::StoreUnavailable(error) | Self::Callback(CallbackError::Store(error)) => {
                tracing::error!(request.id = id, error = causes(error), "the store failed a request")
            }
            Self::RenewalUnavailable(wait) => {
                tracing::debug!(request.id = id, retry.seconds = wait.as_secs(), "a renewal is due and the provider is away")
            }
            Self::ProviderUnavailable(error) => tracing::warn!(request.id = id, error = causes(error), "a login cannot begin"),
            Self::Callback(error) => tracing::warn!(request.id = id, error = causes(error), "a login failed"),
            Self::Upstream(error) => tracing::warn!(request.id = id, error = causes(error), "the upstream failed a request"),
        }
    }
}
