//! gRPC calls, as far as a proxy has to know them: how long their client waits, and how they end
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).

use std::time::Duration;

use http::{HeaderMap, HeaderName, Method, Version, header, request};

/// How a call ended, in its trailers, or in a head that is the whole response.
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
/// How long the way of an answer to its client is taken to be, at most: a quarter of what that waits, where it waits less than 2 s.
const MAX_WAY: Duration = Duration::from_millis(500);

/// Why a call to us is not answered. The texts are what its client is told, and plain ASCII, as `grpc-message` must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallFailure {
    /// The client no longer waits.
    #[error("the deadline of the call has passed")]
    DeadlineExceeded,
    /// The message is none.
    #[error("{0}")]
    InvalidArgument(&'static str),
    /// There is nothing of this name.
    #[error("{0}")]
    NotFound(&'static str),
    /// Whoever calls may not.
    #[error("{0}")]
    PermissionDenied(&'static str),
    /// Nobody here does this.
    #[error("{0}")]
    Unimplemented(&'static str),
}

impl CallFailure {
    /// gRPC's status code (<https://github.com/grpc/grpc/blob/master/doc/statuscodes.md>).
    pub fn code(self) -> u16 {
        match self {
            Self::InvalidArgument(_) => 3,
            Self::DeadlineExceeded => 4,
            Self::NotFound(_) => 5,
            Self::PermissionDenied(_) => 7,
            Self::Unimplemented(_) => 12,
        }
    }
}

/// A call.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// How long its client waits, if it says so.
    timeout: Option<Duration>,
}

impl Call {
    /// The call that a request is, if it is one.
    pub(super) fn of(head: &request::Parts) -> Option<Self> {
        if head.version != Version::HTTP_2 || head.method != Method::POST {
            return None;
        }
        let kind = head.headers.get(header::CONTENT_TYPE)?.as_bytes().strip_prefix(b"application/grpc")?;
        let is_call = matches!(kind.first(), None | Some(b'+' | b';'));
        is_call.then(|| Self { timeout: head.headers.get(TIMEOUT).and_then(|value| timeout(value.to_str().ok()?)) })
    }

    /// How long its client still waits, if it says so.
    pub fn time_left(self, elapsed: Duration) -> Option<Duration> {
        self.timeout.map(|timeout| timeout.saturating_sub(elapsed))
    }

    /// How long an answer may still be worked on that is to reach its client in time, if that says how long it waits.
    pub fn time_to_answer(self, elapsed: Duration) -> Option<Duration> {
        self.timeout.map(|timeout| timeout.saturating_sub((timeout / 4).min(MAX_WAY)).saturating_sub(elapsed))
    }

    /// Whether its client has given it up by now.
    pub fn is_past(self, elapsed: Duration) -> bool {
        self.timeout.is_some_and(|timeout| elapsed >= timeout)
    }
}

/// `grpc-timeout`: up to eight digits, and a unit.
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let is_number = (1..=8).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_digit());
    let amount: u64 = digits.parse().ok().filter(|_| is_number)?;
    Some(match unit {
        "H" => Duration::from_secs(amount * 3600),
        "M" => Duration::from_secs(amount * 60),
        "S" => Duration::from_secs(amount),
        "m" => Duration::from_millis(amount),
        "u" => Duration::from_micros(amount),
        "n" => Duration::from_nanos(amount),
        _ => return None,
    })
}

/// How a call ended, by its trailers or by a head that is the whole response.
pub fn status(headers: &HeaderMap) -> Option<u32> {
    headers.get(STATUS)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_says_how_long_its_client_waits() {
        for (text, expected) in [
            ("1S", Some(Duration::from_secs(1))),
            ("100m", Some(Duration::from_millis(100))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("5u", Some(Duration::from_micros(5))),
            ("7n", Some(Duration::from_nanos(7))),
            ("2M", Some(Duration::from_secs(120))),
            ("123456789S", None),
            ("S", None),
            ("1", None),
            ("", None),
            ("+1S", None),
            ("1ü", None),
        ] {
            assert_eq!(timeout(text), expected, "{text}");
        }
    }

    #[test]
    fn an_answer_is_given_before_its_client_gives_up() {
        let left = |timeout: u64, elapsed: u64| {
            let call = Call { timeout: Some(Duration::from_millis(timeout)) };
            call.time_to_answer(Duration::from_millis(elapsed)).map(|left| left.as_millis())
        };
        assert_eq!([left(200, 0), left(200, 100), left(200, 180), left(30_000, 10)], [150, 50, 0, 29_490].map(Some));
        assert_eq!(Call { timeout: None }.time_to_answer(Duration::ZERO), None);
    }

    #[test]
    fn only_a_post_of_http_2_with_its_content_type_is_a_call() {
        let is_call = |version, method: &str, kind: &str| {
            let request = http::Request::builder().version(version).method(method).header("content-type", kind).body(()).unwrap();
            Call::of(&request.into_parts().0).is_some()
        };
        for kind in ["application/grpc", "application/grpc+proto", "application/grpc;charset=x"] {
            assert!(is_call(Version::HTTP_2, "POST", kind), "{kind}");
            assert!(!is_call(Version::HTTP_11, "POST", kind) && !is_call(Version::HTTP_2, "GET", kind));
        }
        assert!(!is_call(Version::HTTP_2, "POST", "application/grpc-web") && !is_call(Version::HTTP_2, "POST", "text/plain"));
    }
}
