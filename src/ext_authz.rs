//! Envoy's external authorization over gRPC (`ext_authz`, `envoy.service.auth.v3`): its messages, as far as they are needed, read and
//! written. Pure. What a message means is for others to say.
//!
//! Envoy takes a call that fails for a failure of ours, and lets the request pass where it was told to (`failure_mode_allow`). A client
//! chooses what a message holds: so only what no client can bring about is malformed here, and texts are bytes, of which nobody
//! demands that they be UTF-8.

mod check_request;
mod check_response;
mod framing;
mod health;

#[cfg(test)]
pub(crate) use check_request::tests::{PIPE, UNSAID, WITHIN, written_check};
pub use check_request::{CheckRequest, Source};
pub use check_response::{CheckResponse, DeniedResponse, HeaderChanges};
pub use framing::{FramingError, frame, unframed};
pub use health::{HealthCheckRequest, health_check_response};

/// A method that an ingress may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rpc {
    /// `Check` of `envoy.service.auth.v3.Authorization`: may a request pass?
    Check,
    /// `Check` of `grpc.health.v1.Health`: is anybody there who can say so?
    HealthCheck,
}

/// The service that is asked whether a request may pass.
pub const AUTHORIZATION: &str = "envoy.service.auth.v3.Authorization";

impl Rpc {
    /// The method that the path of a request names.
    pub fn of(path: &str) -> Option<Self> {
        match path {
            "/envoy.service.auth.v3.Authorization/Check" => Some(Self::Check),
            "/grpc.health.v1.Health/Check" => Some(Self::HealthCheck),
            _ => None,
        }
    }
}
