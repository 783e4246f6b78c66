use std::convert::Infallible;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::Frame;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use super::{
    super::{error::BoxError, idle_pool::OnClose, transport::Transport},
    *,
};

const SECOND: Duration = Duration::from_secs(1);

/// A request of any body: what this module needs to know of one.
#[derive(Debug)]
struct TestRequest {
    method: Method,
    headers: HeaderMap,
    body: BoxBody<Bytes, BoxError>,
}

impl OutgoingRequest for TestRequest {
    type Body = BoxBody<Bytes, BoxError>;

    fn method(&self) -> &Method {
        &self.method
    }

    fn target(&self) -> &str {
        "/"
    }

    fn fields(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.headers.iter()
    }

    fn body(&self) -> &Self::Body {
        &self.body
    }

    fn body_mut(&mut self) -> &mut Self::Body {
        &mut self.body
    }
}

fn writer(method: Method, body: BoxBody<Bytes, BoxError>) -> RequestWriter<TestRequest> {
    RequestWriter::new(Box::new(TestRequest { method, headers: HeaderMap::new(), body }))
}

fn text(body: &'static str) -> BoxBody<Bytes, BoxError> {
    Full::from(body).map_err(|never: Infallible| match never {}).boxed()
}

/// A body of these frames, which then goes on forever, or fails.
fn unfinished(frames: &'static [&'static str], ends: Option<&'static str>) -> BoxBody<Bytes, BoxError> {
    let frames = futures_util::stream::iter(frames.iter().map(|data| Ok(Frame::data(Bytes::from_static(data.as_bytes())))));
    let end = futures_util::stream::once(async move {
        match ends {
            Some(error) => Err(BoxError::from(error)),
            None => std::future::pending().await,
        }
    });
    BodyExt::boxed(StreamBody::new(futures_util::StreamExt::chain(frames, end)))
}

fn pair() -> (Box<Connection>, UnixStream) {
    let (client, server) = UnixStream::pair().unwrap();
    (Box::new(Connection::new(Transport::Unix(client))), server)
}

async fn read_until(server: &mut UnixStream, end: &str) -> String {
    let mut read = Vec::new();
    while !read.ends_with(end.as_bytes()) {
        assert_ne!(server.read_buf(&mut read).await.unwrap(), 0, "{}", String::from_utf8_lossy(&read));
    }
    String::from_utf8(read).unwrap()
}

#[tokio::test]
async fn a_request_and_its_response_pass_and_the_connection_is_used_again() {
    let (connection, mut server) = pair();
    let pool = Arc::new(IdlePool::default());
    let serve = async {
        let request = read_until(&mut server, "\r\n\r\nhello").await;
        assert_eq!(request, "PUT / HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello");
        server.write_all(b"HTTP/1.1 103 \r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
    };
    let interims = std::sync::atomic::AtomicUsize::new(0);
    let count = |response: Response<()>| {
        assert_eq!(response.status(), StatusCode::EARLY_HINTS);
        interims.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    };
    let send = send_request(connection, writer(Method::PUT, text("hello")), None, Some(&count), Arc::clone(&pool));
    let (reply, ()) = tokio::join!(send, serve);
    let Ok(Http1Reply::Response(response)) = reply else { panic!("no response") };
    assert_eq!(response.status(), StatusCode::OK);
    assert!(pool.checkout(OnClose::Repeat).is_none(), "its body is not read yet");
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
    assert!(pool.checkout(OnClose::Repeat).is_some());
    assert_eq!(interims.into_inner(), 1);
}

#[tokio::test]
async fn a_connection_that_ends_without_a_word_gives_the_request_back() {
    let (connection, mut server) = pair();
    let serve = async move { drop(read_until(&mut server, "\r\n\r\n").await) };
    let send = send_request(connection, writer(Method::GET, text("")), None, None, Arc::default());
    let (reply, ()) = tokio::join!(send, serve);
    let Err(SendError::Unanswered(unanswered, Http1Error::UnexpectedEnd)) = reply else { panic!("{reply:?}") };
    assert!(unanswered.into_request().is_some());

    let (connection, server) = pair();
    drop(server);
    let reply = send_request(connection, writer(Method::PUT, text("hello")), None, None, Arc::default()).await;
    assert!(matches!(reply, Err(SendError::Unsent(..))), "{reply:?}");
}

#[tokio::test]
async fn a_connection_that_ends_within_the_head_is_broken() {
    let (connection, mut server) = pair();
    server.write_all(b"HTTP/1.1 200 OK\r\ncontent-").await.unwrap();
    let serve = async move { drop(read_until(&mut server, "\r\n\r\n").await) };
    let send = send_request(connection, writer(Method::GET, text("")), None, None, Arc::default());
    let (reply, ()) = tokio::join!(send, serve);
    assert!(matches!(reply, Err(SendError::Broken(Http1Error::UnexpectedEnd))), "{reply:?}");
}

#[tokio::test(start_paused = true)]
async fn the_time_for_the_head_runs_from_when_the_request_is_complete() {
    let (connection, _server) = pair();
    let reply = send_request(connection, writer(Method::GET, text("")), Some(4 * SECOND), None, Arc::default()).await;
    assert!(matches!(reply, Err(SendError::TimedOut)), "{reply:?}");

    let (connection, _server) = pair();
    let endless = writer(Method::PUT, unfinished(&["a"], None));
    let send = send_request(connection, endless, Some(4 * SECOND), None, Arc::default());
    assert!(tokio::time::timeout(60 * SECOND, send).await.is_err(), "the request is still being sent");
}

#[tokio::test]
async fn a_body_that_fails_breaks_the_request_off() {
    let (connection, mut server) = pair();
    let failing = writer(Method::PUT, unfinished(&["a"], Some("it failed")));
    let reply = send_request(connection, failing, None, None, Arc::default()).await;
    assert!(matches!(reply, Err(SendError::Broken(Http1Error::RequestBody(_)))), "{reply:?}");
    let mut sent = String::new();
    server.read_to_string(&mut sent).await.unwrap();
    assert!(!sent.ends_with("0\r\n\r\n"), "{sent}");
}

#[tokio::test]
async fn a_response_that_comes_early_is_read_while_the_request_goes_on() {
    let (connection, mut server) = pair();
    let serve = async {
        read_until(&mut server, "a\r\n").await;
        server.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\n\r\n").await.unwrap();
    };
    let endless = writer(Method::PUT, unfinished(&["a"], None));
    let send = send_request(connection, endless, None, None, Arc::default());
    let (reply, ()) = tokio::join!(send, serve);
    let Ok(Http1Reply::Response(response)) = reply else { panic!("no response") };
    let body = response.into_body().collect().await.unwrap();
    assert_eq!(body.trailers().unwrap()["x-sum"], "1");
    assert_eq!(body.to_bytes(), "ok");
}

#[tokio::test]
async fn a_body_that_ends_too_early_fails() {
    let (connection, mut server) = pair();
    let serve = async move {
        read_until(&mut server, "\r\n\r\n").await;
        server.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe").await.unwrap();
    };
    let send = send_request(connection, writer(Method::GET, text("")), None, None, Arc::default());
    let (reply, ()) = tokio::join!(send, serve);
    let Ok(Http1Reply::Response(response)) = reply else { panic!("no response") };
    assert!(matches!(response.into_body().collect().await, Err(Http1Error::UnexpectedEnd)));
}
