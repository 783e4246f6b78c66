//! Requests to one upstream over HTTP/1.1, one at a time on each connection.
//!
//! The upstream may close an idle connection in the moment in which a request goes out on it. Whatever the request is, it is sent
//! on another one if nothing of it was sent; a safe one without a body also if it was, once, when the connection ended before the
//! first byte of a response. Any other goes over a new connection while the upstream is known to close idle ones unannounced.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    address::Address,
    connect::Connector,
    error::ForwardError,
    http1::{
        BoxError, Connection, Http1Error, Http1Reply, IdlePool, InterimHandler, OnClose, RequestWriter, SendError, send_request,
    },
    outgoing::Outgoing,
    reply::{Reply, Undelivered},
    response_body::UpstreamBody,
    upstream_connections::Pool,
};

/// While no more connections may be open, it is looked so often for one that has become idle.
const IDLE_POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Sends requests to one upstream over HTTP/1.1.
#[derive(Debug)]
pub(super) struct Http1Client {
    connector: Connector,
    idle: Arc<IdlePool>,
}

impl Http1Client {
    /// A client of the upstream at `address`, none of whose connections is used again before it has been idle for `min_idle`.
    pub(super) fn new(connector: Connector, address: &Address, min_idle: Duration) -> Self {
        let idle = IdlePool::with_reaper(address.to_string(), min_idle);
        connector.open.register(&idle);
        Self { connector, idle }
    }

    /// Sends a request. The head of its response must come within `head_timeout` from when all of it was sent.
    pub(super) async fn send(
        &self,
        outgoing: Box<Outgoing>,
        head_timeout: Option<Duration>,
        interim: InterimHandler<'_>,
    ) -> Result<Reply, Undelivered> {
        let mut is_repeated = outgoing.is_repeated;
        let on_close = if outgoing.may_be_repeated() { OnClose::Repeat } else { OnClose::Lose };
        let mut writer = RequestWriter::new(outgoing);
        loop {
            // What is repeated goes over a new connection: another idle one may be as dead as the first.
            let idle = if is_repeated { None } else { self.idle.checkout(on_close) };
            let (connection, was_idle) = match idle {
                Some(connection) => (connection, true),
                // Boxed, as what few requests need: all of them carry the rest.
                None => match Box::pin(self.open((!is_repeated).then_some(on_close))).await {
                    Ok(opened) => opened,
                    Err(error) => return Err(unreachable(writer, error)),
                },
            };
            match send_request(connection, writer, head_timeout, interim, Arc::clone(&self.idle)).await {
                // The connection was just being closed.
                Err(SendError::Unsent(unsent, _)) if was_idle => {
                    self.idle.note_early_close();
                    writer = unsent;
                }
                Err(SendError::Unanswered(unanswered, error)) if was_idle => {
                    self.idle.note_early_close();
                    let Some(repeated) = unanswered.into_request().and_then(Outgoing::repeat) else {
                        return Err(ForwardError::Broken(error.into()).into());
                    };
                    tracing::debug!(%error, "idle connection ended without a response; the request is sent once more");
                    (writer, is_repeated) = (RequestWriter::new(repeated), true);
                }
                result => return reply(result),
            }
        }
    }

    /// A new connection, or `instead` one that becomes idle while no other may be open; and whether it was idle. One that takes nothing
    /// says that there is no upstream.
    async fn open(&self, instead: Option<OnClose>) -> Result<(Box<Connection>, bool), BoxError> {
        let deadline = self.connector.deadline();
        let slot = tokio::select! {
            biased;
            slot = self.connector.slot() => slot?,
            idle = self.becomes_idle(instead) => return Ok((idle, true)),
        };
        let transport = self.connector.connect_in_slot(deadline).await?;
        Ok((Box::new(Connection::holding(transport, Box::new(slot))), false))
    }

    /// Waits for a connection to become idle.
    async fn becomes_idle(&self, on_close: Option<OnClose>) -> Box<Connection> {
        let Some(on_close) = on_close else { return std::future::pending().await };
        loop {
            tokio::time::sleep(IDLE_POLL_INTERVAL).await;
            if let Some(idle) = self.idle.checkout(on_close) {
                return idle;
            }
        }
    }
}

impl Pool for IdlePool {
    fn longest_idle_since(&self) -> Option<Instant> {
        Self::longest_idle_since(self)
    }

    fn close_longest_idle(&self) {
        Self::close_longest_idle(self);
    }
}

fn reply(result: Result<Http1Reply<Outgoing>, SendError<Outgoing>>) -> Result<Reply, Undelivered> {
    match result {
        Ok(Http1Reply::Response(response)) => Ok(Reply::Response(response.map(UpstreamBody::Http1))),
        Ok(Http1Reply::Upgraded(response, connection)) => Ok(Reply::Upgraded(response, connection)),
        Err(SendError::Unsent(writer, error)) => Err(unreachable(writer, error.into())),
        Err(SendError::Broken(Http1Error::RequestBody(error))) => Err(ForwardError::Incomplete(error).into()),
        Err(SendError::Unanswered(_, error) | SendError::Broken(error)) => Err(ForwardError::Broken(error.into()).into()),
        Err(SendError::TimedOut) => Err(ForwardError::TimedOut.into()),
    }
}

fn unreachable(writer: RequestWriter<Outgoing>, error: BoxError) -> Undelivered {
    Undelivered { error: ForwardError::of_connecting(error), outgoing: writer.into_request() }
}
