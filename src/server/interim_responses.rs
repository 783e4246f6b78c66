//! Interim responses (RFC 9110 section 15.2) to clients of HTTP/1.1. hyper cannot send any, so they are written below it while it
//! has nothing of its own to write: the sender waits until they are written before it gives hyper the final response.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::Response;

use super::activity::ConnectionActivity;

/// Sends interim responses to the client of a connection.
#[derive(Clone, Debug, Default)]
pub struct InterimResponses(pub(super) Arc<ConnectionActivity>);

impl InterimResponses {
    /// Queues one, to a client of HTTP/1.1 that waits for the response to its request. Drops it when too many bytes are queued,
    /// as RFC 9110 lets a proxy do.
    pub fn send(&self, response: &Response<()>) {
        self.0.interim.push(response);
    }

    /// Whether any of them is not written yet.
    pub fn are_waiting(&self) -> bool {
        self.0.interim.is_waiting()
    }

    /// Ready when all of them are written.
    pub fn poll_sent(&self, context: &mut Context<'_>) -> Poll<()> {
        self.0.interim.poll_sent(context)
    }
}
