//! An HTTP/1.1 client (RFC 9112) for connections that carry one request at a time.
//!
//! A request is driven by whoever waits for its response: its body is written while the response is read, without a task between
//! the two. A response that could be read in more than one way is refused.
//!
//! This module knows nothing of the rest of the crate, so that it can be tested, fuzzed and moved by itself. [`response_head`],
//! [`chunks`] and [`body_decoder`] are pure: they take bytes as they come, and give the same result however those are split.

pub mod body_decoder;
pub mod chunks;
pub mod reaper;
pub mod request_head;
pub mod response_head;

mod body_reader;
mod connection;
mod early_response;
mod error;
mod exchange;
mod finish_request;
mod idle_pool;
mod limits;
mod output;
mod request;
mod request_writer;
mod response_body;
mod timer;
mod transport;

pub use connection::Connection;
pub use error::{BoxError, Http1Error};
pub use exchange::{Http1Reply, InterimHandler, SendError, send_request};
pub use idle_pool::{IdlePool, OnClose};
pub use limits::{MAX_FIELDS, MAX_HEAD_BYTES};
pub use request::OutgoingRequest;
pub use request_writer::RequestWriter;
pub use response_body::Http1ResponseBody;
pub use response_head::{content_length, has_no_content};
pub use transport::{AsyncStream, Transport};

#[cfg(test)]
mod fuzz;
