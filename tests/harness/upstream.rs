//! An app that records what it is sent.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{AppendHeaders, IntoResponse, Response},
    routing::any,
};
use futures_util::{SinkExt, StreamExt};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, sync::watch};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{handshake::derive_accept_key, protocol::Role},
};

pub struct Upstream {
    pub address: SocketAddr,
    seen: Arc<Shared>,
}

struct Shared {
    requests: Mutex<Vec<Seen>>,
    gate: watch::Sender<bool>,
}

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Seen {
    /// The only value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().map(|value| std::str::from_utf8(value.as_bytes()).unwrap());
        assert!(values.next().is_none(), "{name} arrived twice");
        value
    }
}

impl Upstream {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Shared { requests: Mutex::default(), gate: watch::channel(false).0 });
        let pages = Router::new()
            .route("/websocket", any(websocket))
            .route("/stream", any(stream))
            .route("/half", any(half))
            .route("/page", any(page))
            .route("/gated", any(gated))
            .route(
                "/forged",
                any(|| async {
                    ([("evergate-response", "signed_in"), ("evergate-answer", "signed_in"), ("x-app", "1")], "forged")
                }),
            )
            .route("/cookies", any(|| async { AppendHeaders([(header::SET_COOKIE, "a=1"), (header::SET_COOKIE, "b=2")]) }))
            .route("/{place}/own-cors", any(own_cors))
            .fallback(record)
            .with_state(Arc::clone(&seen));
        tokio::spawn(async move { axum::serve(listener, pages).await });
        Self { address, seen }
    }

    pub fn requests(&self) -> Vec<Seen> {
        self.seen.requests.lock().unwrap().clone()
    }

    pub fn last(&self) -> Seen {
        self.requests().last().cloned().expect("nothing reached the upstream")
    }

    /// Lets requests to `/gated` be answered.
    pub fn open_gate(&self) {
        self.seen.gate.send_replace(true);
    }

    /// All that ever arrived, as one text.
    pub fn everything(&self) -> String {
        format!("{:?}", self.seen.requests.lock().unwrap())
    }
}

async fn note(shared: &Shared, request: Request) -> Seen {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap_or_default();
    let seen = Seen { method: head.method.to_string(), target: head.uri.to_string(), headers: head.headers, body };
    shared.requests.lock().unwrap().push(seen.clone());
    seen
}

async fn record(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let seen = note(&shared, request).await;
    let mut response = Response::new(Body::from(format!("{} {} {}", seen.method, seen.target, seen.body.len())));
    response.headers_mut().insert("x-upstream", "yes".parse().unwrap());
    response
}

/// Says itself whose scripts may read it.
async fn own_cors(state: State<Arc<Shared>>, request: Request) -> Response {
    let mut response = record(state, request).await;
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-origin", "https://evil.example"),
        ("access-control-allow-credentials", "true"),
        ("access-control-allow-private-network", "true"),
        ("vary", "Accept"),
    ] {
        response.headers_mut().append(name, value.parse().unwrap());
    }
    response
}

/// Keeps nothing, for runs in which there would be too much; tells whether the identity is stale.
async fn page(request: Request) -> Response {
    let stale = if request.headers().contains_key("x-evergate-renewed-at") { "stale" } else { "fresh" };
    ([("x-upstream", stale)], "a page").into_response()
}

/// Answers once the test says so.
async fn gated(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    note(&shared, request).await;
    let mut open = shared.gate.subscribe();
    let _opened = open.wait_for(|open| *open).await;
    "through the gate".into_response()
}

/// Two pieces, the second only once the test says so.
async fn stream(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    note(&shared, request).await;
    let mut open = shared.gate.subscribe();
    let pieces = futures_util::stream::once(async { Ok::<_, std::convert::Infallible>("first ") }).chain(
        futures_util::stream::once(async move {
            let _opened = open.wait_for(|open| *open).await;
            Ok("second")
        }),
    );
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(pieces)).into_response()
}

/// The same, of a length that is known.
async fn half(state: State<Arc<Shared>>, request: Request) -> Response {
    let (_, body) = stream(state, request).await.into_parts();
    ([(header::CONTENT_LENGTH, "first second".len())], body).into_response()
}

/// Echoes.
async fn websocket(State(shared): State<Arc<Shared>>, mut request: Request) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    let seen = note(&shared, request).await;
    let Some(key) = seen.headers.get("sec-websocket-key") else { return StatusCode::BAD_REQUEST.into_response() };
    let accept = derive_accept_key(key.as_bytes());
    tokio::spawn(async move {
        let io = TokioIo::new(upgrade.await.unwrap());
        let mut socket = WebSocketStream::from_raw_socket(io, Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
                return;
            }
        }
    });
    (
        StatusCode::SWITCHING_PROTOCOLS,
        [("connection", "upgrade"), ("upgrade", "websocket"), ("sec-websocket-accept", accept.as_str())],
    )
        .into_response()
}
