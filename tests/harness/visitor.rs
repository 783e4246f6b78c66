//! A browser, as far as these tests need one: it keeps cookies and says what browsers say of themselves.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Empty, Full};
use hyper::{body::Incoming, client::conn::http2::SendRequest, ext::Protocol, upgrade::Upgraded};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{client::IntoClientRequest, protocol::Role},
};
use url::Url;

use super::idp::Idp;

#[derive(Clone)]
pub struct Visitor {
    address: SocketAddr,
    host: Arc<str>,
    cookies: Arc<Mutex<BTreeMap<String, String>>>,
    habits: Arc<Habits>,
}

#[derive(Clone)]
struct Habits {
    /// Who sits before it; else the provider's present user.
    person: Option<Value>,
    /// What its navigations say.
    navigation: &'static [(&'static str, &'static str)],
}

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn location(&self) -> Url {
        assert_eq!(self.status, StatusCode::SEE_OTHER, "{} {}", self.status, self.text());
        Url::parse(self.header("location")).expect("an absolute location")
    }

    /// Whether the upstream made it.
    pub fn is_upstreams(&self) -> bool {
        self.headers.contains_key("x-upstream") && !self.headers.contains_key("evergate-response")
    }

    pub fn set_cookies(&self) -> Vec<&str> {
        self.headers.get_all(header::SET_COOKIE).iter().map(|line| line.to_str().unwrap()).collect()
    }
}

const NAVIGATION: [(&str, &str); 4] = [
    ("accept", "text/html,application/xhtml+xml"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-site", "none"),
];
/// What Chromium says of a navigation that a service worker sends on, of a page that was typed: `respondWith(fetch(event.request))`.
/// `tests/peers/worker.mjs` has a real one.
pub const BEHIND_WORKER: [(&str, &str); 4] = [
    ("accept", "text/html,application/xhtml+xml"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-dest", "empty"),
    ("sec-fetch-site", "same-origin"),
];
const SCRIPT: [(&str, &str); 4] =
    [("accept", "application/json"), ("sec-fetch-mode", "cors"), ("sec-fetch-dest", "empty"), ("sec-fetch-site", "same-origin")];

impl Visitor {
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            host: "app.test".into(),
            cookies: Arc::default(),
            habits: Arc::new(Habits { person: None, navigation: &NAVIGATION }),
        }
    }

    /// A browser of this person's.
    pub fn of(address: SocketAddr, person: Value) -> Self {
        Self { habits: Arc::new(Habits { person: Some(person), navigation: &NAVIGATION }), ..Self::new(address) }
    }

    /// The same browser, at a site of another name.
    pub fn on_host(&self, host: &str) -> Self {
        Self { host: host.into(), ..self.clone() }
    }

    /// The same browser, whose navigations a service worker of the app sends on.
    pub fn behind_worker(&self) -> Self {
        let habits = Habits { navigation: &BEHIND_WORKER, ..(*self.habits).clone() };
        Self { habits: Arc::new(habits), ..self.clone() }
    }

    /// The same browser, its requests reaching another replica.
    pub fn at(&self, address: SocketAddr) -> Self {
        Self { address, ..self.clone() }
    }

    /// A browser at the same place without any cookies.
    pub fn without_cookies(&self) -> Self {
        Self { cookies: Arc::default(), ..self.clone() }
    }

    /// Another browser with the same cookies, as when they are copied.
    pub fn copy(&self) -> Self {
        Self { cookies: Arc::new(Mutex::new(self.cookies())), ..self.clone() }
    }

    pub fn cookies(&self) -> BTreeMap<String, String> {
        self.cookies.lock().unwrap().clone()
    }

    pub fn set_cookie(&self, name: &str, value: &str) {
        self.cookies.lock().unwrap().insert(name.to_owned(), value.to_owned());
    }

    pub fn session(&self) -> Option<String> {
        self.cookies().get("__Host-evergate_session").cloned()
    }

    /// Navigates.
    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, self.habits.navigation, "").await
    }

    /// Asks as a page's script does.
    pub async fn fetch(&self, path: &str) -> Reply {
        self.send(Method::GET, path, &SCRIPT, "").await
    }

    /// Asks `count` times at once.
    pub async fn fetch_at_once(&self, count: usize, path: &'static str) -> Vec<Reply> {
        let asking: Vec<_> = (0..count)
            .map(|_| {
                let visitor = self.clone();
                tokio::spawn(async move { visitor.fetch(path).await })
            })
            .collect();
        let mut replies = Vec::new();
        for asked in asking {
            replies.push(asked.await.unwrap());
        }
        replies
    }

    /// Asks with these headers and no others.
    pub async fn send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        self.try_send(method, path, headers, body).await.expect("an answer")
    }

    /// Asks as a page's script does, if there is anybody to answer.
    pub async fn try_fetch(&self, path: &str) -> Option<Reply> {
        self.try_send(Method::GET, path, &SCRIPT, "").await
    }

    pub async fn try_send(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Option<Reply> {
        let (head, body) = self.begin(method, path, headers, body).await?.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        let reply = Reply { status: head.status, headers: head.headers, body };
        self.keep_cookies(&reply);
        Some(reply)
    }

    /// Asks as a page's script does, and leaves the answer's body to be read.
    pub async fn open(&self, path: &str) -> Response<Incoming> {
        self.begin(Method::GET, path, &SCRIPT, "").await.expect("an answer")
    }

    /// Asks over a connection of its own, which ends when the answer's body does or is dropped.
    async fn begin(&self, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Option<Response<Incoming>> {
        let stream = TcpStream::connect(self.address).await.ok()?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request = request.header("host", &*self.host);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let cookies = self.cookie_header();
        if !cookies.is_empty() {
            request = request.header("cookie", cookies);
        }
        let request = request.body(Full::<Bytes>::from(body.to_owned())).unwrap();
        sender.send_request(request).await.ok()
    }

    /// The `Cookie` header's value.
    pub fn cookie_header(&self) -> String {
        self.cookies().iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    /// Opens a WebSocket with this browser's session.
    pub async fn websocket(&self) -> WebSocketStream<TcpStream> {
        let mut request = "ws://app.test/websocket".into_client_request().unwrap();
        let cookie = format!("__Host-evergate_session={}", self.session().unwrap());
        request.headers_mut().insert("cookie", cookie.parse().unwrap());
        request.headers_mut().insert("x-forwarded-user", "admin".parse().unwrap());
        let stream = TcpStream::connect(self.address).await.unwrap();
        tokio_tungstenite::client_async(request, stream).await.unwrap().0
    }

    /// The same on a stream of a connection of HTTP/2 (RFC 8441).
    pub async fn websocket_on(&self, connection: &mut SendRequest<Empty<Bytes>>) -> WebSocketStream<TokioIo<Upgraded>> {
        let opening = Request::builder()
            .method(Method::CONNECT)
            .uri("http://app.test/websocket")
            .header("cookie", self.cookie_header())
            .header("sec-websocket-version", "13")
            .extension(Protocol::from_static("websocket"))
            .body(Empty::new())
            .unwrap();
        connection.ready().await.unwrap();
        let opened = connection.send_request(opening).await.unwrap();
        assert_eq!(opened.status(), StatusCode::OK);
        let stream = TokioIo::new(hyper::upgrade::on(opened).await.unwrap());
        WebSocketStream::from_raw_socket(stream, Role::Client, None).await
    }

    fn keep_cookies(&self, reply: &Reply) {
        let mut jar = self.cookies.lock().unwrap();
        for line in reply.set_cookies() {
            let (pair, attributes) = line.split_once(';').unwrap_or((line, ""));
            let (name, value) = pair.split_once('=').unwrap();
            if attributes.contains("Max-Age=0") {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// Goes to `path` as a browser does, through the provider and back as often as it is sent there, until a page comes.
    pub async fn browse(&self, idp: &Idp, path: &str) -> Reply {
        self.try_browse(idp, path).await.expect("an answer")
    }

    pub async fn try_browse(&self, idp: &Idp, path: &str) -> Option<Reply> {
        let mut reply = self.try_send(Method::GET, path, self.habits.navigation, "").await?;
        for _ in 0..12 {
            if reply.status != StatusCode::SEE_OTHER {
                return Some(reply);
            }
            let next = reply.location();
            let here = if next.as_str().starts_with(idp.issuer()) { self.at_provider(idp, &next).await } else { next };
            reply = self.try_send(Method::GET, &path_of(&here), self.habits.navigation, "").await?;
        }
        panic!("the browser was sent round in circles");
    }

    async fn at_provider(&self, idp: &Idp, request: &Url) -> Url {
        match &self.habits.person {
            Some(person) => idp.authorize_as(person, request).await,
            None => idp.authorize(request).await,
        }
    }

    /// Goes to `path`, through the provider as its present user, and back; returns the last redirect.
    pub async fn log_in(&self, idp: &Idp, path: &str) -> Url {
        let logged_in = async {
            loop {
                let callback = self.at_provider(idp, &self.get(path).await.location()).await;
                let landed = self.get(&path_of(&callback)).await;
                // A machine that is slow enough makes a store or a provider that is away; its page tries again by itself.
                if landed.status != StatusCode::SERVICE_UNAVAILABLE {
                    return landed.location();
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), logged_in).await.expect("a login that ends")
    }
}

/// Path and query of a URL.
pub fn path_of(url: &Url) -> String {
    url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
}
