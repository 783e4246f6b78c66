//! Connections of HTTP/1.1 to one upstream, each used for one request at a time and rested in between.
//!
//! The upstream may close a connection that had rested in the moment in which a request goes out on it. Whatever the request is, it
//! is sent on if nothing of it was sent; a safe one without a body also if it was, once, when the connection ended before the
//! first byte of an answer.

use std::{sync::Arc, time::Duration};

use super::{
    ForwardError, Interim, Outgoing,
    connect::Connector,
    http1::{Answered, Broken, Connection, Failed, Resting, Sending},
    upstream::Undelivered,
};

/// The connections to one upstream.
#[derive(Debug)]
pub(super) struct Pool {
    connector: Connector,
    resting: Arc<Resting>,
}

impl Pool {
    pub(super) fn new(connector: Connector) -> Self {
        Self { connector, resting: Resting::swept() }
    }

    /// Sends a request. The head of its answer must come `within` a time from when all of it was sent.
    pub(super) async fn send(
        &self,
        outgoing: Box<Outgoing>,
        within: Option<Duration>,
        interim: Interim<'_>,
    ) -> Result<Answered, Undelivered> {
        let is_repeated = outgoing.is_repeated;
        let mut sending = Sending::new(outgoing);
        // What is repeated goes over a new connection: another that has rested may be as dead as the first.
        while !is_repeated && let Some(rested) = self.resting.wake() {
            match rested.ask(sending, within, interim, Arc::clone(&self.resting)).await {
                // It was just being closed.
                Err(Failed::Unsent(unsent, _)) => sending = unsent,
                Err(Failed::Unanswered(unanswered, error)) => {
                    let Some(again) = unanswered.again() else { return Err(ForwardError::Broken(error.into()).into()) };
                    tracing::debug!(%error, "a connection that had rested ended without an answer; the request is sent once more");
                    sending = again;
                    break;
                }
                answered => return answered.map_err(Undelivered::from),
            }
        }
        // Boxed, as what few requests need: all of them carry the rest.
        Box::pin(self.send_anew(sending, within, interim)).await
    }

    /// The same on a new connection. One that takes nothing says that there is no app.
    async fn send_anew(&self, sending: Sending, within: Option<Duration>, interim: Interim<'_>) -> Result<Answered, Undelivered> {
        let stream = match self.connector.connect().await {
            Ok(stream) => stream,
            Err(error) => return Err(Undelivered::unreachable(sending, error)),
        };
        let new = Box::new(Connection::new(stream));
        Ok(new.ask(sending, within, interim, Arc::clone(&self.resting)).await?)
    }
}

impl Undelivered {
    fn unreachable(sending: Sending, error: Box<dyn std::error::Error + Send + Sync>) -> Self {
        Self { error: ForwardError::Unreachable(error), outgoing: sending.into_outgoing() }
    }
}

impl From<Failed> for Undelivered {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Unsent(sending, error) => Self::unreachable(sending, error.into()),
            Failed::Broken(Broken::Request(error)) => ForwardError::Incomplete(error).into(),
            Failed::Unanswered(_, error) | Failed::Broken(error) => ForwardError::Broken(error.into()).into(),
            Failed::TimedOut => ForwardError::TimedOut.into(),
        }
    }
}
