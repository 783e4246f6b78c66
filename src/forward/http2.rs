//! Requests to one upstream over HTTP/2.

mod connection;
mod pool;
mod response_body;
mod upload;

use std::{
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use h2::{
    Reason,
    client::{ResponseFuture, SendRequest},
};
use http::{HeaderMap, HeaderValue, Method, Request, Version, header, request};
use hyper::body::Body;
use tokio::time::{Instant, Sleep};

use super::{
    connect::Connector,
    error::ForwardError,
    http1::{self, InterimHandler},
    http2_failure::Http2Failure,
    outgoing::Outgoing,
    reply::{Reply, Undelivered},
    request_body::RequestBody,
    response_body::UpstreamBody,
    target::Timeouts,
};

use connection::Opener;
use pool::{Http2Pool, Place};
use upload::{Progress, ResponseEnd, Upload};

pub(super) use response_body::Http2ResponseBody;

/// A request of which nothing was sent is tried on so many connections, each of which took no more.
const MAX_TRIES: usize = 4;

/// Sends requests to one upstream over HTTP/2.
#[derive(Debug)]
pub(super) struct Http2Client {
    pool: Arc<Http2Pool>,
}

/// A request that is under way, and whose response has not begun.
struct Sent {
    place: Arc<Place>,
    response: ResponseFuture,
    upload: Option<Upload>,
    /// The request itself, if it has no body.
    copy: Option<Box<Outgoing>>,
}

impl Http2Client {
    pub(super) fn new(connector: Connector, timeouts: &Timeouts) -> Self {
        let open = connector.open.clone();
        let opener = Opener { connector, timeout: timeouts.connect, ping: timeouts.ping };
        let pool = Http2Pool::with_reaper(opener, timeouts.connect);
        open.register(&pool);
        Self { pool }
    }

    /// Sends a request. The upstream may keep it waiting for no longer than `head_timeout`: between two pieces that it takes of the
    /// request, and for the head of its response.
    pub(super) async fn send(
        &self,
        outgoing: Box<Outgoing>,
        head_timeout: Option<Duration>,
        interim: InterimHandler<'_>,
    ) -> Result<Reply, Undelivered> {
        match self.send_once(outgoing, head_timeout, interim).await {
            // A connection that has ended is made anew. One that is just being left, or takes no more, is not tried again.
            Err(Undelivered { error: ForwardError::Broken(_) | ForwardError::Reset(_), outgoing: Some(again) }) => {
                self.send_once(again, head_timeout, interim).await
            }
            sent => sent,
        }
    }

    /// Sends on one of the connections. The request comes back if nothing was done about it, or if it may be sent once more
    /// whatever was done.
    async fn send_once(
        &self,
        outgoing: Box<Outgoing>,
        head_timeout: Option<Duration>,
        interim: InterimHandler<'_>,
    ) -> Result<Reply, Undelivered> {
        let Sent { place, response, upload, copy } = self.begin(outgoing).await?;
        let mut waiting = AwaitingHead { response, upload, wait: Wait::new(head_timeout), interim, has_interim: false };
        let mut response = match poll_fn(|context| waiting.poll(context)).await {
            Ok(response) => response,
            Err(NoHead::TimedOut) => return Err(ForwardError::TimedOut.into()),
            Err(NoHead::RequestBody(error)) => return Err(ForwardError::Incomplete(error.into()).into()),
            // An upstream that has begun to respond has got the request.
            Err(NoHead::Failed(error)) => return Err(undelivered(&place, error, copy.filter(|_| !waiting.has_interim))),
        };
        place.connection.note_answer();
        if response.headers().len() > http1::MAX_FIELDS as usize {
            return Err(ForwardError::Broken("the response has too many header lines".into()).into());
        }
        // h2 looks at the first line alone.
        let length = http1::content_length(response.headers_mut()).map_err(|error| ForwardError::Broken(error.into()))?;
        let end = waiting.upload.filter(|upload| upload.progress() != Progress::Over).map(|upload| {
            let end = ResponseEnd::default();
            tokio::spawn(upload.finish(end.clone(), Arc::clone(&place)));
            end
        });
        let (head, stream) = response.into_parts();
        let body = Http2ResponseBody::new(length, stream, end, place);
        Ok(Reply::Response(http::Response::from_parts(head, UpstreamBody::Http2(body))))
    }

    /// Opens a stream for a request, on a connection that takes it.
    async fn begin(&self, mut outgoing: Box<Outgoing>) -> Result<Sent, Undelivered> {
        let mut last_error = ForwardError::Busy;
        for _ in 0..MAX_TRIES {
            // What is repeated goes over a new connection: another idle one may be as dead as the first.
            let place = if outgoing.is_repeated { self.pool.checkout_new().await } else { self.pool.checkout().await };
            let place = match place {
                Ok(place) => Arc::new(place),
                Err(error) => return Err(Undelivered { error, outgoing: Some(outgoing) }),
            };
            match open_stream(place.connection.requests(), &outgoing).await {
                Ok((response, stream)) => {
                    if outgoing.body.is_end_stream() {
                        return Ok(Sent { place, response, upload: None, copy: Some(outgoing) });
                    }
                    let body = std::mem::replace(&mut outgoing.body, RequestBody::empty());
                    return Ok(Sent { place, response, upload: Some(Upload::new(stream, body)), copy: None });
                }
                // Nothing was sent.
                Err(error) => {
                    place.connection.close();
                    last_error = ForwardError::Broken(error.into());
                }
            }
        }
        Err(Undelivered { error: last_error, outgoing: Some(outgoing) })
    }
}

/// Opens a stream for a request and sends its head. An error is the connection's: nothing was sent.
async fn open_stream(
    mut requests: SendRequest<Bytes>,
    outgoing: &Outgoing,
) -> Result<(ResponseFuture, h2::SendStream<Bytes>), h2::Error> {
    let request = head_of(outgoing);
    poll_fn(|context| requests.poll_ready(context)).await?;
    requests.send_request(request, outgoing.body.is_end_stream())
}

/// The head of a request as it goes over HTTP/2.
fn head_of(Outgoing { head, own_headers, body, .. }: &Outgoing) -> Request<()> {
    let request::Parts { method, uri, headers, .. } = head.clone();
    let mut request = Request::new(());
    (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) = (method, uri, headers);
    *request.version_mut() = Version::HTTP_2;
    request.headers_mut().extend(own_headers.iter().cloned());
    let method = request.method().clone();
    write_framing(&method, request.headers_mut(), body);
    request
}

/// Writes what a head says of its body, in place of what a client said.
fn write_framing(method: &Method, headers: &mut HeaderMap, body: &RequestBody) {
    for name in [header::TRANSFER_ENCODING, header::CONNECTION, header::UPGRADE] {
        headers.remove(name);
    }
    let length = body.size_hint().exact().filter(|_| !body.is_end_stream());
    // One without a body says so where a body is usual (RFC 9110 section 8.6).
    let has_usually_none = matches!(*method, Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS);
    match length {
        Some(length) => {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
        None if body.is_end_stream() && !has_usually_none => {
            headers.insert(header::CONTENT_LENGTH, HeaderValue::from(0));
        }
        None => {
            headers.remove(header::CONTENT_LENGTH);
        }
    }
}

/// An exchange whose request is being sent, and the head of whose response has not come yet.
struct AwaitingHead<'a> {
    response: ResponseFuture,
    upload: Option<Upload>,
    wait: Wait,
    interim: InterimHandler<'a>,
    /// An interim response came.
    has_interim: bool,
}

/// Why no head came.
enum NoHead {
    /// The upstream kept the request waiting for too long.
    TimedOut,
    /// The body of the request failed.
    RequestBody(super::BodyError),
    /// The stream or its connection failed.
    Failed(h2::Error),
}

impl AwaitingHead<'_> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<http::Response<h2::RecvStream>, NoHead>> {
        while let Poll::Ready(Some(interim)) = self.response.poll_informational(context) {
            let interim = interim.map_err(NoHead::Failed)?;
            self.has_interim = true;
            if let Some(hand_on) = self.interim {
                hand_on(interim);
            }
        }
        // First, because an upstream that has responded may refuse the rest of the request.
        if let Poll::Ready(response) = Pin::new(&mut self.response).poll(context) {
            return Poll::Ready(response.map_err(NoHead::Failed));
        }
        let mut progress = Progress::Over;
        if let Some(upload) = &mut self.upload {
            if let Poll::Ready(Err(error)) = upload.poll(context) {
                return Poll::Ready(Err(NoHead::RequestBody(error)));
            }
            progress = upload.progress();
        }
        if self.wait.is_over(progress, context) { Poll::Ready(Err(NoHead::TimedOut)) } else { Poll::Pending }
    }
}

/// How long the upstream has kept a request waiting.
struct Wait {
    timeout: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
    waits_since: Progress,
}

impl Wait {
    fn new(timeout: Option<Duration>) -> Self {
        Self { timeout, timer: None, waits_since: Progress::AwaitsClient }
    }

    /// Whether it has done so for too long. A client that is waited for costs the upstream nothing.
    #[expect(clippy::disallowed_methods, reason = "how long an app may take has nothing to do with tokens' times")]
    fn is_over(&mut self, progress: Progress, context: &mut Context<'_>) -> bool {
        let Some(timeout) = self.timeout else { return false };
        if progress != self.waits_since {
            self.waits_since = progress;
            // A time that no clock reaches is none.
            match (Instant::now().checked_add(timeout), &mut self.timer) {
                (Some(deadline), Some(timer)) => timer.as_mut().reset(deadline),
                (deadline, timer) => *timer = deadline.map(|deadline| Box::pin(tokio::time::sleep_until(deadline))),
            }
        }
        progress != Progress::AwaitsClient && self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(context).is_ready())
    }
}

/// Why a request failed, and its copy if that may be sent once more.
fn undelivered(place: &Place, error: h2::Error, copy: Option<Box<Outgoing>>) -> Undelivered {
    match Http2Failure::of(&error) {
        // A reset that claims to be no error would look to a client like the end of a response.
        Http2Failure::Reset if error.reason() == Some(Reason::NO_ERROR) => ForwardError::Broken(error.into()).into(),
        Http2Failure::Reset => ForwardError::Reset(error.into()).into(),
        Http2Failure::RequestBody => ForwardError::Incomplete(error.into()).into(),
        // Nothing was done about streams beyond those that a GOAWAY names (RFC 9113 section 6.8).
        Http2Failure::GoAway => {
            place.connection.close();
            Undelivered { error: ForwardError::Broken(error.into()), outgoing: copy }
        }
        // Nor about one that is refused (section 8.7).
        Http2Failure::Refused => Undelivered { error: ForwardError::Reset(error.into()), outgoing: copy },
        // Whether anything was done is not known.
        Http2Failure::Ended => {
            place.connection.close();
            let again = copy.filter(|_| place.connection.has_answered()).and_then(Outgoing::repeat);
            Undelivered { error: ForwardError::Broken(error.into()), outgoing: again }
        }
        Http2Failure::Other => ForwardError::Broken(error.into()).into(),
    }
}
