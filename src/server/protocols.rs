//! hyper's settings of both protocols.

use hyper::server::conn::{http1, http2};

use super::{MAX_HEAD_BYTES, MAX_HEADER_FIELDS, stream_task::StreamExecutor};

/// The longest head of a request of HTTP/2, where 32 bytes are added to each field (RFC 9113 section 6.5.2). A head of more than
/// [`MAX_HEAD_BYTES`] without those is refused with a response of ours.
const MAX_HEAD_BYTES_HTTP2: u32 = 4 * 64 * 1024;
const MAX_STREAMS: u32 = 100;
/// An app that takes a body slowly holds up that stream alone: what one stream may have on its way is little, and what a connection
/// may is as much as all its streams together.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = MAX_STREAMS * STREAM_WINDOW;

/// hyper's settings of both protocols.
#[derive(Clone, Debug)]
pub(super) struct Protocols {
    pub(super) http1: http1::Builder,
}

impl Protocols {
    pub(super) fn new() -> Self {
        let mut http1 = http1::Builder::new();
        // A head that does not come is an idle connection (`Lifetime`).
        http1.header_read_timeout(None).max_buf_size(MAX_HEAD_BYTES).max_headers(MAX_HEADER_FIELDS);
        Self { http1 }
    }

    /// Those of a connection of HTTP/2.
    pub(super) fn http2<B>(executor: StreamExecutor<B>) -> http2::Builder<StreamExecutor<B>> {
        let mut http2 = http2::Builder::new(executor);
        // No pings: some clients answer one only when they next read, and what is merely quiet must not end. A client that has
        // vanished is detected by TCP keep-alive.
        http2.enable_connect_protocol().max_concurrent_streams(MAX_STREAMS).max_header_list_size(MAX_HEAD_BYTES_HTTP2);
        http2.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
        http2
    }
}
