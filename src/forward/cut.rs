//! What ends with its session: whatever of a request or of its answer is still under way then.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper::body::Body;
use tokio_util::sync::WaitForCancellationFutureOwned;

use crate::session::live::{Connection, Watch};

/// An answer that is waited for this long is registered with its session.
const LONG: Duration = Duration::from_millis(500);

/// A body that breaks off when its session ends. It is registered once it has to be waited for, which most never have.
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
    /// For a body that may have to be waited for.
    pub(super) fn new(body: &impl Body, watch: Option<&Watch>) -> Option<Self> {
        let watch = watch.filter(|_| !body.is_end_stream())?.clone();
        Some(Self { watch, registered: None })
    }

    /// Whether its session has ended, as far as it is registered.
    pub(super) fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        self.registered.as_mut().is_some_and(|registered| registered.ended.as_mut().poll(context).is_ready())
    }

    /// The same of a body that is waited for now.
    pub(super) fn waits(&mut self, context: &mut Context<'_>) -> bool {
        let watch = &self.watch;
        self.registered.get_or_insert_with(|| {
            let connection = watch.open();
            let ended = Box::pin(connection.ended().clone().cancelled_owned());
            Box::new(Registered { _connection: connection, ended })
        });
        self.is_over(context)
    }
}

/// Waits until the session ends of a request whose answer is waited for. Never, if it is nobody's.
pub(super) async fn session_ended(watch: Option<&Watch>) {
    let Some(watch) = watch else { return std::future::pending().await };
    tokio::time::sleep(LONG).await;
    let connection = watch.open();
    connection.ended().cancelled().await;
}

/// Ready when the session of a body that nobody takes has ended.
pub(super) fn poll_cut(watched: Option<&mut SessionCut>, context: &mut Context<'_>) -> Poll<()> {
    if watched.is_some_and(|watched| watched.waits(context)) { Poll::Ready(()) } else { Poll::Pending }
}
