//! The cut of whatever of a request or its response is under way when its session ends.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper::body::Body;
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::session::live::{Connection, Watch};

/// A response that is waited for this long is registered with its session.
const LONG_WAIT: Duration = Duration::from_millis(500);

/// Cuts a body when its session ends. The body is registered once it has to be waited for, which most never have.
#[derive(Debug)]
pub(super) struct SessionCut {
    watch: Watch,
    registered: Option<Box<Registered>>,
}

#[derive(Debug)]
struct Registered {
    _connection: Connection,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl SessionCut {
    /// The cut of a body; `None` if it is empty, or is not a session's.
    pub(super) fn new(body: &impl Body, watch: Option<&Watch>) -> Option<Self> {
        let watch = watch.filter(|_| !body.is_end_stream())?.clone();
        Some(Self { watch, registered: None })
    }

    /// Whether the session has ended, if the body is registered.
    pub(super) fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        self.registered.as_mut().is_some_and(|registered| registered.ended.as_mut().poll(context).is_ready())
    }

    /// Whether the session has ended of a body that is waited for now.
    pub(super) fn is_over_while_waiting(&mut self, context: &mut Context<'_>) -> bool {
        let watch = &self.watch;
        self.registered.get_or_insert_with(|| {
            let connection = watch.open();
            let ended = Box::pin(connection.ended().clone().cancelled_owned());
            Box::new(Registered { _connection: connection, ended })
        });
        self.is_over(context)
    }

    /// Ready when the session has ended of a body of which nothing is taken.
    pub(super) fn poll_over(cut: Option<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if cut.is_some_and(|cut| cut.is_over_while_waiting(context)) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// Waits until the session ends of a request whose response is waited for; forever if it is not a session's.
pub(super) async fn session_ended(watch: Option<&Watch>) {
    let Some(watch) = watch else { return std::future::pending().await };
    tokio::time::sleep(LONG_WAIT).await;
    let connection = watch.open();
    connection.ended().cancelled().await;
}
