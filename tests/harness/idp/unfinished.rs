//! Answers whose body does not come whole.

use std::time::Duration;

use axum::{
    body::Body,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use futures_util::{Stream, StreamExt, stream};

/// The connection breaks within the body. The head has left by then.
pub(super) fn cut_off(status: u16) -> Response {
    let cut = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        Err(std::io::Error::other("cut off"))
    };
    beginning(status, stream::once(cut))
}

/// The rest of the body does not come.
pub(super) fn stalled(status: u16) -> Response {
    beginning(status, stream::pending())
}

/// An answer that is to have a long body, of which this comes after the first bytes.
fn beginning(status: u16, rest: impl Stream<Item = std::io::Result<Vec<u8>>> + Send + 'static) -> Response {
    let first = stream::once(async { Ok(b"{\"error\":".to_vec()) });
    let length = [(header::CONTENT_LENGTH, "1000")];
    (StatusCode::from_u16(status).unwrap(), length, Body::from_stream(first.chain(rest))).into_response()
}
