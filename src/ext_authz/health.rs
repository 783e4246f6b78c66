//! `grpc.health.v1`: by which load balancers and orchestrators ask whether a server of gRPC can serve
//! (<https://github.com/grpc/grpc/blob/master/doc/health-checking.md>).

use super::AUTHORIZATION;
use crate::protobuf::{Fields, Malformed, Message, Value};

/// Which service is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthCheckRequest {
    /// All of them, or the one that there is.
    Known,
    /// One that nobody offers.
    Unknown,
}

impl HealthCheckRequest {
    /// Reads a message.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(message: &[u8]) -> Result<Self, Malformed> {
        let (mut fields, mut service) = (Fields(message), &[][..]);
        while let Some((number, value)) = fields.next_field()? {
            if let (1, Value::Bytes(name)) = (number, value) {
                service = name;
            }
        }
        let is_known = service.is_empty() || service == AUTHORIZATION.as_bytes();
        Ok(if is_known { Self::Known } else { Self::Unknown })
    }
}

/// The response: `SERVING` or `NOT_SERVING`.
pub fn health_check_response(is_ready: bool) -> Vec<u8> {
    let mut message = Message::default();
    message.number(1, if is_ready { 1 } else { 2 });
    message.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_and_its_service_are_known() {
        let named = |name: &str| {
            let mut message = Message::default();
            message.bytes(1, name.as_bytes());
            HealthCheckRequest::read(&message.into_bytes())
        };
        assert_eq!([HealthCheckRequest::read(b""), named(""), named(AUTHORIZATION)], [Ok(HealthCheckRequest::Known); 3]);
        assert_eq!(named("envoy.service.auth.v2.Authorization"), Ok(HealthCheckRequest::Unknown));
        assert_eq!(HealthCheckRequest::read(b"\x0a"), Err(Malformed));
        assert_eq!([health_check_response(true), health_check_response(false)], [b"\x08\x01", b"\x08\x02"]);
    }
}
