//! Connections of HTTP/1.1 to one upstream, each used for one request at a time and rested in between.
//!
//! The upstream may close a connection that had rested in the moment in which a request goes out on it. Whatever the request is, it
//! is sent on if nothing of it was sent; a safe one without a body also if it was, once, when the connection ended before the
//! first byte of an answer.

use std::{sync::Arc, time::Duration};

use super::{
    ForwardError, InterimHandler, Outgoing,
    connect::Connector,
    http1::{Connection, Http1Error, Http1Reply, IdlePool, RequestWriter, SendError},
    upstream::Undelivered,
};

/// The connections to one upstream.
#[derive(Debug)]
pub(super) struct Pool {
    connector: Connector,
    pool: Arc<IdlePool>,
}

impl Pool {
    pub(super) fn new(connector: Connector) -> Self {
        Self { connector, pool: IdlePool::with_reaper() }
    }

    /// Sends a request. The head of its answer must come `within` a time from when all of it was sent.
    pub(super) async fn send(
        &self,
        outgoing: Box<Outgoing>,
        within: Option<Duration>,
        interim: InterimHandler<'_>,
    ) -> Result<Http1Reply, Undelivered> {
        let is_repeated = outgoing.is_repeated;
        let mut writer = RequestWriter::new(outgoing);
        // What is repeated goes over a new connection: another that has rested may be as dead as the first.
        while !is_repeated && let Some(rested) = self.pool.checkout() {
            match rested.send_request(writer, within, interim, Arc::clone(&self.pool)).await {
                // It was just being closed.
                Err(SendError::Unsent(unsent, _)) => writer = unsent,
                Err(SendError::Unanswered(unanswered, error)) => {
                    let Some(again) = unanswered.again() else { return Err(ForwardError::Broken(error.into()).into()) };
                    tracing::debug!(%error, "a connection that had rested ended without an answer; the request is sent once more");
                    writer = again;
                    break;
                }
                answered => return answered.map_err(Undelivered::from),
            }
        }
        // Boxed, as what few requests need: all of them carry the rest.
        Box::pin(self.send_anew(writer, within, interim)).await
    }

    /// The same on a new connection. One that takes nothing says that there is no app.
    async fn send_anew(
        &self,
        writer: RequestWriter,
        within: Option<Duration>,
        interim: InterimHandler<'_>,
    ) -> Result<Http1Reply, Undelivered> {
        let stream = match self.connector.connect().await {
            Ok(stream) => stream,
            Err(error) => return Err(Undelivered::unreachable(writer, error)),
        };
        let new = Box::new(Connection::new(stream));
        Ok(new.send_request(writer, within, interim, Arc::clone(&self.pool)).await?)
    }
}

impl Undelivered {
    fn unreachable(writer: RequestWriter, error: Box<dyn std::error::Error + Send + Sync>) -> Self {
        Self { error: ForwardError::Unreachable(error), outgoing: writer.into_outgoing() }
    }
}

impl From<SendError> for Undelivered {
    fn from(failed: SendError) -> Self {
        match failed {
            SendError::Unsent(writer, error) => Self::unreachable(writer, error.into()),
            SendError::Broken(Http1Error::Request(error)) => ForwardError::Incomplete(error).into(),
            SendError::Unanswered(_, error) | SendError::Broken(error) => ForwardError::Broken(error.into()).into(),
            SendError::TimedOut => ForwardError::TimedOut.into(),
        }
    }
}
