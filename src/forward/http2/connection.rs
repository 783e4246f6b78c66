//! One connection of HTTP/2 to an upstream.

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use tokio::sync::Notify;

use crate::forward::{
    connect::Connector,
    http1::{self, BoxError, Transport},
};

/// A client that reads slowly holds up its own response alone: what one stream may have on its way is little, and what a
/// connection may, no limit.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// What is written for a connection and not sent yet.
const SEND_BUFFER: usize = 1024 * 1024;
/// The largest head of a response, where 32 bytes are added to each line (RFC 9113 section 6.5.2): no less than HTTP/1.1 may have.
const MAX_HEADER_LIST: u32 = http1::MAX_HEAD_BYTES + 32 * http1::MAX_FIELDS;
/// How long an upstream may take to answer a ping, where pings are configured.
const PONG_TIMEOUT: Duration = Duration::from_secs(20);

/// One connection.
#[derive(Debug)]
pub(super) struct Http2Connection {
    requests: SendRequest<Bytes>,
    state: Arc<ConnectionState>,
    has_answered: AtomicBool,
}

/// What is known of a connection.
#[derive(Debug, Default)]
struct ConnectionState {
    /// How many requests the upstream takes at the same time; none before it has said so.
    max_requests: AtomicUsize,
    is_closed: AtomicBool,
    changed: Notify,
}

/// Opens connections to one upstream.
#[derive(Debug)]
pub(super) struct Opener {
    pub(super) connector: Connector,
    /// How long it may take until the upstream says how many requests it takes.
    pub(super) timeout: Duration,
    /// The time between two pings while requests are under way, if there are to be any.
    pub(super) ping: Option<Duration>,
}

impl Http2Connection {
    /// What sends a request.
    pub(super) fn requests(&self) -> SendRequest<Bytes> {
        self.requests.clone()
    }

    /// How many requests the upstream takes on it at the same time.
    pub(super) fn max_requests(&self) -> usize {
        self.state.max_requests.load(Ordering::Relaxed)
    }

    /// Whether it takes no more requests.
    pub(super) fn is_closed(&self) -> bool {
        self.state.is_closed.load(Ordering::Relaxed)
    }

    /// Notes that it takes no more requests, though those under way may go on.
    pub(super) fn close(&self) {
        self.state.is_closed.store(true, Ordering::Relaxed);
    }

    /// Notes that a response came over it.
    pub(super) fn note_answer(&self) {
        self.has_answered.store(true, Ordering::Relaxed);
    }

    /// Whether any response came over it.
    pub(super) fn has_answered(&self) -> bool {
        self.has_answered.load(Ordering::Relaxed)
    }
}

impl Opener {
    /// Opens a connection, which calls `changed` when it takes more requests, or none any more.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn open(&self, changed: impl Fn() + Send + Sync + 'static) -> Result<Http2Connection, BoxError> {
        let (transport, slot) = self.connector.connect().await?;
        let mut builder = Builder::new();
        builder.initial_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
        builder.max_header_list_size(MAX_HEADER_LIST).max_send_buffer_size(SEND_BUFFER).enable_push(false);
        // Until the upstream says how many it takes.
        builder.initial_max_send_streams(0);
        let (requests, connection) = builder.handshake::<_, Bytes>(transport).await?;
        let state = Arc::new(ConnectionState::default());
        let driven = run(connection, self.ping, Arc::clone(&state), changed);
        tokio::spawn(async move {
            driven.await;
            drop(slot);
        });
        let connection = Http2Connection { requests, state, has_answered: AtomicBool::new(false) };
        let is_ready = async {
            loop {
                let changed = connection.state.changed.notified();
                if connection.max_requests() > 0 || connection.is_closed() {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(self.timeout, is_ready).await.map_err(|_| "the upstream sends no settings that take a request")?;
        if connection.is_closed() {
            Err("the connection ended before the upstream's settings came".into())
        } else {
            Ok(connection)
        }
    }
}

/// Drives a connection until it ends.
async fn run(
    mut connection: Connection<Transport, Bytes>,
    ping: Option<Duration>,
    state: Arc<ConnectionState>,
    changed: impl Fn() + Send + Sync + 'static,
) {
    let tell = || {
        state.changed.notify_waiters();
        changed();
    };
    let pings = connection.ping_pong().zip(ping);
    let driven = poll_fn(|context| {
        let ended = Pin::new(&mut connection).poll(context);
        let max_requests = connection.max_concurrent_send_streams();
        if state.max_requests.swap(max_requests, Ordering::Relaxed) < max_requests {
            tell();
        }
        ended
    });
    let unanswered = async {
        match pings {
            Some((pings, interval)) => until_unanswered(pings, interval).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = driven => if let Err(error) = ended {
            tracing::debug!(%error, "connection to an upstream of HTTP/2 ended");
        },
        () = unanswered => tracing::debug!("an upstream of HTTP/2 has not answered a ping; its connection ends"),
    }
    state.is_closed.store(true, Ordering::Relaxed);
    tell();
}

/// Sends pings until one is not answered in time.
async fn until_unanswered(mut pings: h2::PingPong, interval: Duration) {
    loop {
        tokio::time::sleep(interval).await;
        let answered = tokio::time::timeout(PONG_TIMEOUT, pings.ping(h2::Ping::opaque())).await;
        if !matches!(answered, Ok(Ok(_))) {
            return;
        }
    }
}
