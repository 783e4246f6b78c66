//! The rest of a request whose response is complete.

use std::{future::poll_fn, time::Duration};

use super::{connection::Connection, idle_pool::Reuse, request::OutgoingRequest, request_writer::RequestWriter};

/// The rest of a request is given up when nothing of it could be written for so long.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Writes the rest of a request, because a server that responded early may want it all the same, and then releases the
/// connection. A server that takes no more of it does not keep it forever, with all that it holds.
pub(super) async fn finish_request<R: OutgoingRequest>(
    mut writer: RequestWriter<R>,
    mut connection: Box<Connection>,
    reuse: Reuse,
) {
    let mut written_before = None;
    while written_before != Some(writer.written()) {
        written_before = Some(writer.written());
        let written = poll_fn(|context| writer.poll(&mut connection.transport, context));
        match tokio::time::timeout(STALL_TIMEOUT, written).await {
            Ok(Ok(())) if writer.is_complete() => return reuse.release(connection),
            Ok(_) => return,
            Err(_) => {}
        }
    }
}
