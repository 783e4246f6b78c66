//! How a request to an upstream of HTTP/2 failed, by the errors of hyper and h2.

use std::{error::Error, io};

/// How a request to an upstream of HTTP/2 failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Http2Failure {
    /// The upstream reset the stream.
    Reset,
    /// The upstream reset the stream, and says that it did nothing about the request (REFUSED_STREAM).
    Refused,
    /// The upstream takes no more of the connection's streams (GOAWAY).
    GoAway,
    /// The body of the request failed, so that the stream was reset here.
    RequestBody,
    /// The connection ended.
    Ended,
    /// What came over the connection could not be read.
    Other,
}

impl Http2Failure {
    /// Classifies an error by its causes.
    pub(super) fn of(error: &(dyn Error + 'static)) -> Self {
        let mut cause = Some(error);
        while let Some(error) = cause {
            match error.downcast_ref::<h2::Error>() {
                Some(error) if error.is_reset() && error.is_remote() => {
                    return if error.reason() == Some(h2::Reason::REFUSED_STREAM) { Self::Refused } else { Self::Reset };
                }
                Some(error) if error.is_go_away() && error.is_remote() => return Self::GoAway,
                Some(error) if let Some(error) = error.get_io() => return Self::of_io(error),
                Some(error) if error.is_reset() && !error.is_library() => return Self::RequestBody,
                Some(_) => return Self::Other,
                None => {}
            }
            // hyper takes these out of h2's errors.
            match error.downcast_ref::<io::Error>() {
                Some(error) => return Self::of_io(error),
                None => cause = error.source(),
            }
        }
        Self::Other
    }

    /// Invalid data came over TLS and is not what was sent.
    fn of_io(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::InvalidData { Self::Other } else { Self::Ended }
    }
}
