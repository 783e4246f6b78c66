//! Connections of HTTP/1.1 to one upstream, each used for one request at a time and rested in between.
//!
//! A request is sent again only if it surely was not begun, on a connection that had rested: the upstream may have closed that
//! in the same moment.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{Request, Response, Uri};
use hyper::{
    body::Incoming,
    client::conn::http1::{self, SendRequest},
};
use tokio::time::Instant;
use tower_service::Service;

use super::{ForwardError, body::WithoutTrailers};

/// Shorter than common servers keep idle connections, so that we seldom use one that is just being closed.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// So many rest at most.
const MOST_RESTING: usize = 1024;

/// The connections to one upstream, made by `C`.
#[derive(Debug)]
pub(super) struct Pool<C> {
    connector: C,
    resting: Arc<Resting>,
}

#[derive(Debug, Default)]
struct Resting(Mutex<VecDeque<(SendRequest<WithoutTrailers>, Instant)>>);

/// The connection that an answer comes over. Given back when all of the answer has come, and else closed with it.
#[derive(Debug)]
pub(super) struct Lease {
    sender: SendRequest<WithoutTrailers>,
    resting: Arc<Resting>,
}

impl Resting {
    fn lock(&self) -> MutexGuard<'_, VecDeque<(SendRequest<WithoutTrailers>, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The one that has rested for the shortest time. One that is not ready is still taking the rest of a request whose answer
    /// came early, and nobody else waits for that.
    fn wake(&self) -> Option<SendRequest<WithoutTrailers>> {
        let mut resting = self.lock();
        let at = resting.iter().rposition(|(sender, since)| sender.is_ready() && since.elapsed() < LONGEST_REST)?;
        resting.remove(at).map(|(sender, _)| sender)
    }
}

impl Lease {
    #[expect(clippy::disallowed_methods, reason = "how long a connection rests has nothing to do with tokens' times")]
    pub(super) fn give_back(self) {
        let mut resting = self.resting.lock();
        // Those in front have rested longest.
        while resting.front().is_some_and(|(sender, since)| sender.is_closed() || since.elapsed() >= LONGEST_REST)
            || resting.len() >= MOST_RESTING
        {
            resting.pop_front();
        }
        resting.push_back((self.sender, Instant::now()));
    }
}

impl<C> Pool<C>
where
    C: Service<Uri> + Clone,
    C::Response: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    C::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    pub(super) fn new(connector: C) -> Self {
        Self { connector, resting: Arc::default() }
    }

    pub(super) async fn send(&self, mut request: Request<WithoutTrailers>) -> Result<(Response<Incoming>, Lease), ForwardError> {
        while let Some(mut sender) = self.resting.wake() {
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((response, self.lease(sender))),
                Err(mut failed) => match failed.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(ForwardError::Broken(failed.into_error().into())),
                },
            }
        }
        // Boxed, as what few requests need: all of them carry the rest.
        let mut sender = Box::pin(self.connect(request.uri().clone())).await?;
        match sender.send_request(request).await {
            Ok(response) => Ok((response, self.lease(sender))),
            Err(error) => Err(ForwardError::Broken(error.into())),
        }
    }

    fn lease(&self, sender: SendRequest<WithoutTrailers>) -> Lease {
        Lease { sender, resting: Arc::clone(&self.resting) }
    }

    async fn connect(&self, target: Uri) -> Result<SendRequest<WithoutTrailers>, ForwardError> {
        let mut connector = self.connector.clone();
        std::future::poll_fn(|context| connector.poll_ready(context)).await.map_err(unreachable)?;
        let stream = connector.call(target).await.map_err(unreachable)?;
        let (mut sender, connection) = http1::handshake(stream).await.map_err(unreachable)?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to an upstream broke off");
            }
        });
        sender.ready().await.map_err(unreachable)?;
        Ok(sender)
    }
}

fn unreachable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ForwardError {
    ForwardError::Unreachable(error.into())
}
