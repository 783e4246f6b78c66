//! Clients that keep the window of a stream shut, in a time that passes by itself.

use bytes::Bytes;
use h2::{Reason, RecvStream, client};
use http::{Request, Response};
use hyper::body::{Body, Frame, Incoming};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, duplex},
    sync::{Semaphore, mpsc},
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{
    connection_slot::{ConnectionSlot, InUse},
    server::{
        ConnectionService, InterimResponses, Peer, alpn::Expected, connection::serve_connection, protocols::Protocols,
        write_timeout::WRITE_TIMEOUT,
    },
};

const SECOND: Duration = Duration::from_secs(1);

/// A body of what an app sends, which may be cut.
struct Piped {
    pieces: mpsc::Receiver<Bytes>,
    cut: Pin<Box<dyn Future<Output = ()> + Send>>,
    _in_use: InUse,
}

impl Body for Piped {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.pieces.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

impl CutBody for Piped {
    fn poll_cut(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.cut.as_mut().poll(context)
    }
}

/// A connection whose every response comes from an app.
struct Served {
    ours: tokio::io::DuplexStream,
    apps: mpsc::UnboundedReceiver<mpsc::Sender<Bytes>>,
    cut: CancellationToken,
}

fn serve() -> Served {
    let (ours, theirs) = duplex(64 * 1024);
    let (apps, cut) = (mpsc::unbounded_channel(), CancellationToken::new());
    let (new_app, cutting) = (apps.0, cut.clone());
    let make_service = move |peer: Peer| ConnectionService {
        reject: Box::new(|_| Response::new(Bytes::from_static(b"unreadable"))),
        respond: move |_request: Request<Incoming>| {
            let (sender, pieces) = mpsc::channel(1);
            new_app.send(sender).unwrap();
            let cut = Box::pin(cutting.clone().cancelled_owned());
            std::future::ready(Ok(Response::new(Piped { pieces, cut, _in_use: peer.slot.in_use() })))
        },
    };
    spawn(theirs, make_service);
    Served { ours, apps: apps.1, cut }
}

fn spawn<S, F>(stream: tokio::io::DuplexStream, make_service: impl FnOnce(Peer) -> ConnectionService<S> + Send + 'static)
where
    S: Fn(Request<Incoming>) -> F + Send + Unpin + 'static,
    F: Future<Output = Result<Response<Piped>, crate::server::StreamReset>> + Send + 'static,
{
    tokio::spawn(async move {
        let slot = ConnectionSlot::new(Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap());
        let address = "127.0.0.1".parse().unwrap();
        let peer = Peer { address, is_secure: false, slot, interims: InterimResponses::default() };
        let stop = CancellationToken::new();
        serve_connection(&Protocols::new(), stream, Expected::Either, peer, &stop, make_service).await;
    });
}

/// Requests of a client whose streams take so many bytes before it says that they take more.
struct Client {
    requests: client::SendRequest<Bytes>,
    apps: mpsc::UnboundedReceiver<mpsc::Sender<Bytes>>,
}

impl Client {
    async fn connect(served: Served, window: u32) -> Self {
        let mut builder = client::Builder::new();
        builder.initial_window_size(window).initial_connection_window_size(1024 * 1024);
        let (requests, connection) = builder.handshake(served.ours).await.unwrap();
        tokio::spawn(connection);
        Self { requests, apps: served.apps }
    }

    /// Asks; the response, and the app that sends it.
    async fn ask(&mut self) -> (RecvStream, mpsc::Sender<Bytes>) {
        let request = Request::get("http://a/").body(()).unwrap();
        let (response, _request_has_ended) = self.requests.send_request(request, true).unwrap();
        (response.await.unwrap().into_body(), self.apps.recv().await.unwrap())
    }
}

/// How long it takes until nobody takes anything of the app any more.
#[expect(clippy::disallowed_methods, reason = "how long it takes is what is asked")]
async fn until_released(app: &mpsc::Sender<Bytes>) -> Duration {
    let begun = Instant::now();
    timeout(SECOND * 3600, app.closed()).await.expect("it is released");
    begun.elapsed()
}

/// The code by which a response is reset, after whatever else of it.
async fn reset_of(response: &mut RecvStream) -> Reason {
    loop {
        match timeout(SECOND, response.data()).await.expect("it is reset immediately").expect("it is not whole") {
            Ok(_) => {}
            Err(error) => return error.reason().unwrap(),
        }
    }
}

fn is_send_timeout(took: Duration) -> bool {
    (WRITE_TIMEOUT..=WRITE_TIMEOUT * 5 / 4 + SECOND).contains(&took)
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_which_its_client_takes_nothing_is_reset_after_the_send_timeout_and_one_that_waits_for_its_app_is_not() {
    for (window, sent) in [(0, 1), (0, 3), (10, 1), (10, 3)] {
        let mut client = Client::connect(serve(), window).await;
        let (mut quiet, quiet_app) = client.ask().await;
        let (mut shut, app) = client.ask().await;
        let writing = app.clone();
        tokio::spawn(async move {
            for _ in 0..sent {
                let _released = writing.send(Bytes::from_static(&[7; 100])).await;
            }
        });
        let took = until_released(&app).await;
        assert!(is_send_timeout(took), "{window}, {sent}: {took:?}");
        assert_eq!(reset_of(&mut shut).await, Reason::CANCEL, "{window}, {sent}");

        // The other one is served on, after whatever time.
        sleep(SECOND * 3600 * 5).await;
        assert!(!quiet_app.is_closed());
        quiet_app.send(Bytes::from_static(b"late")).await.unwrap();
        if window > 0 {
            assert_eq!(quiet.data().await.unwrap().unwrap(), "late");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_client_takes_a_byte_now_and_then_is_served() {
    let mut client = Client::connect(serve(), 1).await;
    let (mut slow, app) = client.ask().await;
    app.send(Bytes::from_static(b"twenty bytes of it..")).await.unwrap();
    let mut taken = Vec::new();
    while taken.len() < 20 {
        let data = slow.data().await.unwrap().expect("it is not reset");
        taken.extend_from_slice(&data);
        sleep(WRITE_TIMEOUT - SECOND).await;
        slow.flow_control().release_capacity(data.len()).unwrap();
    }
    assert_eq!(taken, b"twenty bytes of it..");
    assert!(!app.is_closed());
}

/// The same, whose client takes what it is sent a kilobyte a second.
fn slowly(Served { mut ours, apps, cut }: Served) -> Served {
    let (mut near, far) = duplex(16 * 1024);
    tokio::spawn(async move {
        let (mut up, mut down) = ([0; 4096], [0; 1024]);
        loop {
            tokio::select! {
                read = near.read(&mut up) => ours.write_all(&up[..read.unwrap()]).await.unwrap(),
                read = ours.read(&mut down) => {
                    near.write_all(&down[..read.unwrap()]).await.unwrap();
                    sleep(SECOND).await;
                }
            }
        }
    });
    Served { ours: far, apps, cut }
}

/// Streams whose turn comes less often than every send timeout.
#[tokio::test(start_paused = true)]
async fn streams_that_wait_for_their_turn_on_a_slow_connection_are_not_reset() {
    const STREAMS: usize = 12;
    const LENGTH: usize = 40_000;
    let mut client = Client::connect(slowly(serve()), 1024 * 1024).await;
    let mut responses = Vec::new();
    for _ in 0..STREAMS {
        let (response, app) = client.ask().await;
        tokio::spawn(async move { app.send(Bytes::from_static(&[7; LENGTH])).await });
        responses.push(response);
    }
    let received = futures_util::future::join_all(responses.into_iter().map(async |mut response| {
        let mut length = 0;
        while let Some(data) = response.data().await {
            let data = data.expect("it is not reset");
            length += data.len();
            response.flow_control().release_capacity(data.len()).unwrap();
        }
        length
    }));
    let received = received.await;
    assert_eq!(received, [LENGTH; STREAMS]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_window_is_shut_is_reset_though_its_client_takes_another_one_slowly() {
    // More than there is on its way to the client, so that the connection is never free.
    const WINDOW: u32 = 128 * 1024;
    let mut client = Client::connect(slowly(serve()), WINDOW).await;
    let ((_shut, app), (mut slow, slow_app)) = (client.ask().await, client.ask().await);
    app.send(Bytes::from_static(&[7; 2 * WINDOW as usize])).await.unwrap();
    let endless = slow_app.clone();
    tokio::spawn(async move { while endless.send(Bytes::from_static(&[7; 16 * 1024])).await.is_ok() {} });
    tokio::spawn(async move {
        while let Some(Ok(data)) = slow.data().await {
            slow.flow_control().release_capacity(data.len()).unwrap();
        }
    });
    until_released(&app).await;
    assert!(!slow_app.is_closed(), "the other one is served on");
}

#[tokio::test(start_paused = true)]
async fn a_stall_after_hours_of_progress_and_rest_is_one_like_the_first() {
    let mut client = Client::connect(serve(), 100).await;
    let (mut response, app) = client.ask().await;
    for rest in [0, 7, 61, 3600, 40, 14, 16] {
        sleep(SECOND * rest).await;
        app.send(Bytes::from_static(&[7; 100])).await.unwrap();
        assert_eq!(response.data().await.unwrap().unwrap().len(), 100);
        response.flow_control().release_capacity(100).unwrap();
    }
    sleep(SECOND * 3600).await;
    app.send(Bytes::from_static(&[7; 101])).await.unwrap();
    let took = until_released(&app).await;
    assert!(is_send_timeout(took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_to_end_does_so_immediately_though_its_client_takes_nothing_of_it() {
    for window in [0, 10] {
        let served = serve();
        let cut = served.cut.clone();
        let mut client = Client::connect(served, window).await;
        let (mut shut, app) = client.ask().await;
        for _ in 0..3 {
            let _queued = timeout(SECOND, app.send(Bytes::from_static(&[7; 100]))).await;
        }
        assert!(!app.is_closed());
        cut.cancel();
        assert!(until_released(&app).await < SECOND, "{window}");
        assert_eq!(reset_of(&mut shut).await, Reason::CANCEL, "{window}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_over_http_1_is_ended_as_well_while_its_client_takes_nothing() {
    let mut served = serve();
    served.ours.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let app = served.apps.recv().await.unwrap();
    while timeout(SECOND, app.send(Bytes::from_static(&[7; 16 * 1024]))).await.is_ok() {}
    // A byte now and then is no stall.
    for _ in 0..10 {
        sleep(WRITE_TIMEOUT / 2).await;
        served.ours.read_u8().await.unwrap();
        assert!(!app.is_closed());
    }
    served.cut.cancel();
    assert!(until_released(&app).await < SECOND);
    let mut rest = Vec::new();
    served.ours.read_to_end(&mut rest).await.unwrap();
    assert!(!rest.ends_with(b"0\r\n\r\n"), "the client sees that it is not whole");
}
